#pragma once
/* Who answers while the loop is held up: a thread of its own, that does nothing until the loop's
 * beat is HEALTH_LATE_US old, and then takes in connections itself: GET /health is told 503 and for
 * how long, all else 503. Once the loop turns again, it leaves them to the loop.
 *
 * It shakes hands with TLS clients by the listener's own context, client certificates included, in
 * sessions that no other thread sees; the context is only read, which GnuTLS allows from several
 * threads. What the loop has taken in before it was held up stays unanswered. */

#include <stddef.h>

#include "api/api.h"

#define HTTP_WATCH_MAX 16

struct http_watch;
struct tls_context;

struct http_watch_listener {
        int fd;                  /* duplicated */
        struct tls_context *tls; /* NULL: its clients speak plainly; referenced */
};

/** @api: borrowed; its heartbeat_us is read as an atomic. Loop thread, as freeing. */
int http_watch_new(const struct http_watch_listener *listeners, size_t n_listeners,
                const struct api_context *api, struct http_watch **ret_watch);
struct http_watch *http_watch_free(struct http_watch *watch);
DEFINE_FREEP(struct http_watch, http_watch_free);
