#pragma once
/* What the HTTP face's files share: http.c (listeners, MHD on the loop), http_request.c (routes,
 * rights, errors), sse.c, rest.c and metrics.c (answers). */

#include <microhttpd.h>

#include "api/http.h"
#include "api/http_basic.h"
#include "api/http_caller.h"
#include "api/tls_link.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/listen.h"
#include "base/log.h"
#include "model/listener.h"

struct http;
struct http_route;
struct json_object;

struct http_gate;
struct passwords;

struct http_listener {
        struct list list;     /* of those that only end what is open, once they are closed */
        struct listener spec; /* as it was asked for */
        struct http *http;
        struct MHD_Daemon *daemon; /* gets connections from the gate; has no listening socket */
        struct http_gate *gate;
        struct tls_links *links; /* in front of the gate */
        int fd;
        size_t n_connections; /* behind the gate */
        sd_event_source *accept, *rest, *io, *timer;
        bool closing; /* takes nothing new, its streams end */
        bool resting; /* does not listen for now, its successor has the port */
        char address[LISTEN_NAME_MAX];
};

/* One request from its first line to its end. */
struct http_request {
        struct list list;
        struct http *http;
        const struct http_listener *listener;
        struct MHD_Connection *connection;
        const struct http_route *route;
        char *id;      /* what the target has in place of the route's "{id}"; NULL: nothing */
        char *refusal; /* why the target is refused; NULL: it is fine */
        struct http_caller caller; /* by http_caller_get() */
        enum http_basic basic;
        uint64_t begin_us;
        size_t held;     /* bytes of its answer, as they count in http->answers */
        struct buf body; /* of a method that takes one */
        size_t body_size;
        unsigned int status;
        const char *method; /* a constant: the label of metrics */
        bool begun, suspended;
        bool is_cut;      /* its client was too slow: the connection is about to end */
        bool is_stream;   /* its answer has no end */
        bool is_answered; /* what was waited for has come */
        char *answer;     /* NULL: there was no memory for it */
        size_t answer_size;
        unsigned int answer_status;
        const char *answer_type;
        char *path;                /* as asked, without the query, cut; NULL: nobody wants it */
        struct span *span;         /* NULL: traces are off */
        struct http_wait *waiting; /* whose answer is under way */
};

/* The head of whatever an answer waits for; either of the two may end first. */
struct http_wait {
        struct http_request *request; /* NULL: the client is gone */
};

/* A configuration that can be gone over to without fail. */
struct http_staged {
        struct http_config config;
        char *token;
        struct token_digest token_digest;
        char *cors_origins[HTTP_ORIGINS_MAX];
        struct http_listener *listeners[HTTP_LISTENERS_MAX];
        struct listener specs[HTTP_LISTENERS_MAX];
        bool is_new[HTTP_LISTENERS_MAX];  /* else it is one of the present ones */
        bool is_late[HTTP_LISTENERS_MAX]; /* it waits for a port that a present one has */
};

struct http {
        struct http_config config;
        const struct api_context *api;
        char *token;
        struct token_digest token_digest; /* of token */
        char *cors_origins[HTTP_ORIGINS_MAX];
        gid_t group; /* whose members need none on the unix socket; -1: there is no such group */
        struct http_listener *listeners[HTTP_LISTENERS_MAX];
        size_t n_listeners;
        struct list closing_listeners; /* of struct http_listener */
        struct http_staged *staged;    /* NULL: nothing */
        struct list requests;
        struct list sse;            /* of struct sse */
        struct list sample_streams; /* of struct sample_stream */
        size_t n_sse;               /* of both */
        size_t n_sse_reads;         /* pages of the journal under way for them */
        uint64_t sse_missed;
        sd_event_source *pump, *heartbeat;
        struct http_metrics *metrics;
        struct http_watch *watch; /* answers while the loop cannot */
        size_t metrics_size;      /* bytes that the last scrape was, not compressed */
        size_t answers;           /* bytes of those under way; what streams hold is bounded there */
        unsigned int n_gzip;      /* compressed bodies under way */
        struct log_ratelimit log_limit;
        struct passwords *passwords;
        uint64_t tls_ends[TLS_END_MAX_]; /* handshakes, by how they ended */
        bool closing;
};

/* http.c */
/** Let MHD go on with what was resumed or queued, on the loop's next turn. */
void http_pump(struct http *http);
int http_listener_open(struct http *http, const struct listener *spec,
                struct http_listener **ret_listener);
/** Take in those that have connected by now. */
void http_listener_drain(struct http_listener *listener);
/** It takes nothing new. Those that it has taken in are served. */
void http_listener_close(struct http_listener *listener);
struct http_listener *http_listener_free(struct http_listener *listener);
DEFINE_FREEP(struct http_listener, http_listener_free);
/** Whether a listener of that kind has TLS, and with what. */
bool http_has_tls(const struct http_config *config, const struct listener *spec);
struct tls_context *http_tls_of(const struct http_config *config, const struct listener *spec);
/** Whether what connects there now speaks TLS. */
bool http_listener_has_tls(const struct http_listener *listener);
/** Whether the web configuration holds for it. */
bool http_listener_has_web(const struct http_listener *listener);
void http_suspend(struct http_request *request);
void http_resume(struct http_request *request);

/* http_stage.c */
/** Drop the references. */
void http_drop_tls(struct http_config *config);

/* http_request.c */
enum MHD_Result http_handle(struct http_request *request, const char *url, const char *method,
                const char *upload, size_t *upload_size);
enum MHD_Result http_answer(struct http_request *request, unsigned int status, const char *type,
                const char *text, size_t size);
/** The same, but takes @text, which malloc() gave: a large answer is not copied. */
enum MHD_Result http_answer_taken(struct http_request *request, unsigned int status,
                const char *type, char *text, size_t size);
/** {"error":{"code","message"}} */
enum MHD_Result http_error(struct http_request *request, unsigned int status, const char *code,
                const char *message);
/** 400 of code "bad_request". */
enum MHD_Result http_bad_request(struct http_request *request, const char *message);
/** The body as one JSON object; else answers 400 (415, 413) and *ret_object is NULL. Caller puts.
 */
enum MHD_Result http_body_json(struct http_request *request, struct json_object **ret_object);
/** Let the request sleep until http_answer_later(). */
enum MHD_Result http_wait(struct http_request *request, struct http_wait *wait);
/** The answer that was waited for; takes what is in @text. Does nothing if the client is gone. */
void http_answer_later(
                struct http_wait *wait, unsigned int status, const char *type, struct buf *text);
/** The same of an error. */
void http_error_later(
                struct http_wait *wait, unsigned int status, const char *code, const char *message);
const char *http_query(struct http_request *request, const char *name);
const char *http_header(struct http_request *request, const char *name);
#define HTTP_FIELD_MAX 1024
/** All fields of that name as one list, cut at @text's size. Return: @text; NULL: there is none. */
const char *http_header_list(
                struct http_request *request, const char *name, char text[static HTTP_FIELD_MAX]);

/** Its path with "{id}" in place of what was asked; NULL: there is none. */
const char *http_route_path(const struct http_request *request);
/** Everybody may ask it: monitors do. */
bool http_route_is_public(const struct http_request *request);

/* http_log.c: each request as a line of the log, and as a span. */
/** Lines at most: with four periods in any 30 s they stay below 1,000, the daemon's own beside. */
#define HTTP_LOG_LIMIT \
        { .interval_us = 10 * USEC_PER_SEC, .burst = 240 }
void http_log_begun(struct http_request *request, const char *url);
void http_log_ended(struct http_request *request);
/** One that was refused before it was one. */
void http_log_refused(struct http *http, const char *method, unsigned int status);
/** Say how many lines were held back, once they are no more. */
void http_log_flush(struct http *http);

/* sse.c */
enum MHD_Result sse_open(struct http_request *request);
void sse_heartbeat(struct http *http);
/** End the streams of that token. */
void sse_end(struct http *http, const char *token_id);
enum MHD_Result sse_answer(struct http_request *request, struct MHD_Response *response);

/* sse_samples.c */
enum MHD_Result sse_samples_open(struct http_request *request);
void sse_samples_heartbeat(struct http *http);
void sse_samples_end(struct http *http, const char *token_id);

/* rest.c */
struct json_object;
enum MHD_Result rest_answer_json(
                struct http_request *request, unsigned int status, struct json_object *object);
enum MHD_Result rest_health(struct http_request *request, const char *id);
enum MHD_Result rest_ready(struct http_request *request, const char *id);
enum MHD_Result rest_version(struct http_request *request, const char *id);
enum MHD_Result rest_config(struct http_request *request, const char *id);
enum MHD_Result rest_workloads(struct http_request *request, const char *id);
enum MHD_Result rest_workload(struct http_request *request, const char *id);
enum MHD_Result rest_events(struct http_request *request, const char *id);
/** Read kind, name, action, slug, workload, severity and since from the query. Return: 0; -EINVAL
 * and the field's name. */
struct event_filter;
int rest_filter(struct http_request *request, struct event_filter *ret_filter,
                const char **ret_field);
/** 400, with what that field of the query may be. */
enum MHD_Result rest_query_refused(struct http_request *request, const char *field);

/* rest_action.c */
enum MHD_Result rest_workload_stop(struct http_request *request, const char *id);
enum MHD_Result rest_workload_destroy(struct http_request *request, const char *id);
enum MHD_Result rest_workload_scale(struct http_request *request, const char *id);

/* rest_app.c */
enum MHD_Result rest_apps(struct http_request *request, const char *id);
enum MHD_Result rest_app(struct http_request *request, const char *slug);
enum MHD_Result rest_app_put(struct http_request *request, const char *slug);
enum MHD_Result rest_app_delete(struct http_request *request, const char *slug);
enum MHD_Result rest_app_metrics(struct http_request *request, const char *slug);

/* rest_analytics.c */
enum MHD_Result rest_analytics(struct http_request *request, const char *slug);

/* rest_timeline.c */
enum MHD_Result rest_timeline(struct http_request *request, const char *slug);
enum MHD_Result rest_timeline_post(struct http_request *request, const char *slug);

/* rest_probe.c */
enum MHD_Result rest_probes(struct http_request *request, const char *id);
enum MHD_Result rest_probe(struct http_request *request, const char *slug);
enum MHD_Result rest_probe_put(struct http_request *request, const char *slug);
enum MHD_Result rest_probe_delete(struct http_request *request, const char *slug);
enum MHD_Result rest_probe_run(struct http_request *request, const char *slug);

/* rest_token.c */
enum MHD_Result rest_tokens(struct http_request *request, const char *id);
enum MHD_Result rest_token_post(struct http_request *request, const char *id);
enum MHD_Result rest_token_delete(struct http_request *request, const char *id);

/* rest_listener.c */
enum MHD_Result rest_ca(struct http_request *request, const char *id);
enum MHD_Result rest_listeners(struct http_request *request, const char *id);

/* rest_node.c */
enum MHD_Result rest_nodes(struct http_request *request, const char *name);
enum MHD_Result rest_node(struct http_request *request, const char *name);

/* metrics.c */
enum MHD_Result metrics_answer(struct http_request *request, const char *id);

/* http_metrics.c */
struct exposition;
int http_metrics_new(struct http_metrics **ret_metrics);
struct http_metrics *http_metrics_free(struct http_metrics *metrics);
/** @took_us: USEC_INFINITY: refused before it was timed. */
void http_metrics_count(struct http_metrics *metrics, const char *method, const char *path,
                unsigned int status, uint64_t took_us);
void http_metrics_render_tls(const struct http *http, struct exposition *exposition);
void http_metrics_render(const struct http_metrics *metrics, struct exposition *exposition);
