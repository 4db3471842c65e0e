#pragma once
/* A listener as http.listen names it: "ADDRESS:PORT" or "unix:PATH", and behind it what it serves
 * and whether it speaks TLS: "0.0.0.0:9888 serves=metrics+health tls=off". */

#include "base/diag.h"
#include "base/listen.h"

enum {
        LISTENER_API = 1 << 0,
        LISTENER_METRICS = 1 << 1,
        LISTENER_HEALTH = 1 << 2,
        LISTENER_ALL = LISTENER_API | LISTENER_METRICS | LISTENER_HEALTH,
};

enum listener_tls {
        LISTENER_TLS_AUTO, /* on for what others than this host may reach */
        LISTENER_TLS_ON,
        LISTENER_TLS_OFF,
};

struct listener {
        char address[LISTEN_NAME_MAX]; /* for listen_open() */
        unsigned int serves;           /* LISTENER_API | ... ; never 0 */
        enum listener_tls tls;
        bool is_unix;
        bool is_local; /* only this host reaches it: a local socket, or loopback */
};

#define LISTENER_SERVES_MAX 32

/** Return: 0; -EINVAL with @diag->text (@diag may be NULL). */
int listener_parse(const char *text, struct listener *ret_listener, struct diag *diag);
/** "api+metrics". Return: @text. */
const char *listener_serves_to_string(unsigned int serves, char text[static LISTENER_SERVES_MAX]);
/** The service that a path belongs to: one of LISTENER_API and so on. */
unsigned int listener_service_of(const char *path);
