#pragma once
/* Who answers while the loop is held up: a thread of its own, that does nothing until the loop's
 * beat is HEALTH_LATE_US old, and then takes in connections itself: GET /health is told 503 and for
 * how long, all else 503. Once the loop turns again, it leaves them to the loop. */

#include <stddef.h>

#include "api/api.h"

#define HTTP_WATCH_MAX 16

struct http_watch;

/** @fds: listening sockets, whose connections speak plain HTTP; duplicated. @api: borrowed; its
 * heartbeat_us is read as an atomic. */
int http_watch_new(const int *fds, size_t n_fds, const struct api_context *api,
                struct http_watch **ret_watch);
struct http_watch *http_watch_free(struct http_watch *watch);
DEFINE_FREEP(struct http_watch, http_watch_free);
