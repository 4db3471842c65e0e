#pragma once
/* What a web configuration file (daemon/web_config.h) asks of a listener beside TLS: users with
 * passwords, and fields of answers. Plain data, shared by reference, never changed. */

#include "base/macro.h"

#define HTTP_WEB_USERS_MAX   256
#define HTTP_WEB_HEADERS_MAX 8

struct http_web {
        unsigned int n_ref; /* private */
        struct {
                char *name, *hash; /* bcrypt */
        } users[HTTP_WEB_USERS_MAX];
        size_t n_users;
        struct {
                char *name, *value;
        } headers[HTTP_WEB_HEADERS_MAX];
        size_t n_headers;
};

/** Return: one without any, referenced once; NULL: no memory. */
struct http_web *http_web_new(void);
struct http_web *http_web_ref(struct http_web *web); /* takes NULL */
struct http_web *http_web_unref(struct http_web *web);
DEFINE_FREEP(struct http_web, http_web_unref);
/** The user's hash; NULL: there is no such user. */
const char *http_web_hash(const struct http_web *web, const char *name);
