#pragma once
/* The HTTP server: libmicrohttpd on its epoll descriptor, listeners on TCP and on a unix socket,
 * routes, authorisation, limits. One thread: the loop's. */

#include "api/api.h"

struct http_web;
struct tls_context;

#define HTTP_LISTENERS_MAX 8
#define HTTP_ORIGINS_MAX   16

struct http_config {
        const char *addresses[HTTP_LISTENERS_MAX]; /* "127.0.0.1:9887" "[::1]:0"
                                                      "unix:/run/virtwatch/http.sock"; with
                                                      options, see model/listener.h */
        size_t n_addresses;
        const char *cors_origins[HTTP_ORIGINS_MAX]; /* "https://panel.example": whose pages may ask;
                                                       copied */
        size_t n_cors_origins;
        const char *token; /* bearer token; NULL: only the socket's root and group may read */
        unsigned int connections_max;         /* default 4096 */
        unsigned int connections_per_address; /* at a listener that has TLS or that other hosts
                                                 reach; 0: any number */
        unsigned int sse_readers_max;         /* default 2048 */
        size_t body_max;                      /* bytes, default 1 MiB */
        size_t answers_max;          /* bytes of answers that are not read to their end yet, all
                                        together, but for small ones; 0: any number */
        uint64_t header_timeout_us;  /* default 10 s */
        uint64_t sse_heartbeat_us;   /* default 15 s */
        struct tls_context *tls;     /* referenced, as the next two; NULL: none can have TLS */
        struct tls_context *web_tls; /* of the web configuration; NULL: it has no word on TLS */
        struct http_web *web; /* for listeners that serve metrics and not the API; NULL: none */
};

struct http;

/** Bind and serve. Return: 0; -EADDRINUSE, -EACCES … with the address in *ret_address (borrowed
 * from @config). */
int http_new(const struct http_config *config, const struct api_context *api,
                struct http **ret_http, const char **ret_address);
struct http *http_free(struct http *http);

/**
 * Make ready for another configuration: listeners that are new are opened (and take connections
 * from http_commit() on), those of the same address stay as they are, with all that is open on
 * them.
 *
 * Return: 0; as http_new(), and then all is as it was.
 */
int http_stage(struct http *http, const struct http_config *config, const char **ret_address);
/**
 * The second step, last of all that may fail: where a listener that is new needs the port of one
 * that goes (127.0.0.1:9887 and 0.0.0.0:9887), the port changes hands. Who has connected by then is
 * served by the one that goes, who connects later is taken in by the new one after http_commit();
 * between the two it takes as long as a bind(), and who tries just then is refused or reset.
 *
 * Return: as http_new(), and then those that were to go listen again.
 */
int http_stage_ports(struct http *http, const char **ret_address);
/** Go over to it. Listeners that are no longer wanted are closed; who has connected to them is
 * answered, streams end. */
void http_commit(struct http *http);
/** Forget it. */
void http_unstage(struct http *http);
/** A round of samples is complete: those of the slot at @at_us go to who streams them. */
void sse_samples_ready(struct http *http, uint64_t at_us);
/** A token is in force no more: its streams end. */
void http_token_gone(struct http *http, const char *token_id);
DEFINE_FREEP(struct http, http_free);

/** Certificates were made or read anew: what connects from now on gets these. Arguments as the
 * configuration's. */
void http_set_tls(struct http *http, struct tls_context *tls, struct tls_context *web_tls,
                struct http_web *web);

/** "127.0.0.1:41234": where listener @i really listens (port 0 resolved); NULL past the last. */
const char *http_address(const struct http *http, size_t i);
