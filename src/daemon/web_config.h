#pragma once
/* The web configuration file that Prometheus and its exporters share
 * (https://github.com/prometheus/exporter-toolkit/blob/v0.14.0/docs/web-configuration.md), read for
 * the listeners that serve metrics and not the API. Other keys than the ones named there are
 * errors; so are the values that ask for less than TLS 1.2, and those that GnuTLS words otherwise
 * (cipher_suites, curve_preferences). Paths are taken from the file's folder. */

#include "api/http_web.h"
#include "api/tls_context.h"

/* As struct tls_pem. */
struct web_pem {
        char *path; /* NULL: not given */
        char *text; /* NULL: in the file at @path */
        unsigned int line, column;
};

struct web_config {
        struct http_web *web;
        bool has_tls;
        struct web_pem certificate, key, client_ca; /* the last may be none */
        char *client_sans[TLS_SANS_MAX];
        size_t n_client_sans;
        enum tls_client_auth client_auth;
        unsigned int min_version, max_version; /* 2 or 3 */
};

/** Return: 0; -EINVAL, or an errno of reading, with @diag; -ENOMEM. */
int web_config_read(struct web_config *config, const char *path, struct diag *diag);
/** The same of text; @path is what relative paths and complaints are about. */
int web_config_parse(struct web_config *config, const char *path, const char *text, size_t size,
                struct diag *diag);
void web_config_done(struct web_config *config);
