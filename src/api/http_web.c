/* Users and fields of a web configuration file. */

#include "api/http_web.h"

#include <string.h>

struct http_web *http_web_new(void) {
        struct http_web *web = calloc(1, sizeof(*web));

        if (web)
                web->n_ref = 1;
        return web;
}

struct http_web *http_web_ref(struct http_web *web) {
        if (web)
                web->n_ref++;
        return web;
}

struct http_web *http_web_unref(struct http_web *web) {
        if (!web || --web->n_ref > 0)
                return NULL;
        for (size_t i = 0; i < web->n_users; i++) {
                free(web->users[i].name);
                free(web->users[i].hash);
        }
        for (size_t i = 0; i < web->n_headers; i++) {
                free(web->headers[i].name);
                free(web->headers[i].value);
        }
        free(web);
        return NULL;
}

const char *http_web_hash(const struct http_web *web, const char *name) {
        for (size_t i = 0; i < web->n_users; i++)
                if (strcmp(web->users[i].name, name) == 0)
                        return web->users[i].hash;
        return NULL;
}
