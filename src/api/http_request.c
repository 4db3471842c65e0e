/* Which answer a request gets: is it well-formed, is there such a path, may the caller, then the
 * face that knows. */

#include <string.h>

#include "api/http_accept.h"
#include "api/http_caller.h"
#include "api/http_cors.h"
#include "api/http_gzip.h"
#include "api/http_head.h"
#include "api/http_internal.h"
#include "api/http_web.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/json.h"
#include "base/text.h"
#include "model/spans.h"

enum {
        ON_GET,
        ON_PUT,
        ON_POST,
        ON_DELETE,
        ON_MAX_
}; /* ON_GET: and HEAD */

#define METHODS_MAX  48
#define ANSWER_SMALL (16U * 1024) /* bytes; errors, health and the like always go out */

struct http_route {
        const char *path; /* a "{id}" takes the rest of the target, but what is behind it */
        bool is_public;
        enum scope scope; /* what a method that writes needs; reading needs SCOPE_READ */
        enum MHD_Result (*on[ON_MAX_])(struct http_request *request, const char *id);
};

static const struct http_route routes[] = {
        { "/health", true, SCOPE_READ, { [ON_GET] = rest_health } },
        { "/healthz", true, SCOPE_READ, { [ON_GET] = rest_health } },
        { "/ready", true, SCOPE_READ, { [ON_GET] = rest_ready } },
        { "/metrics", true, SCOPE_READ, { [ON_GET] = metrics_answer } },
        { "/v1/metrics", true, SCOPE_READ, { [ON_GET] = metrics_answer } },
        { "/api/v1/ca", true, SCOPE_READ, { [ON_GET] = rest_ca } },
        { "/api/v1/listeners", false, SCOPE_READ, { [ON_GET] = rest_listeners } },
        { "/api/v1/version", true, SCOPE_READ, { [ON_GET] = rest_version } },
        { "/api/v1/config", false, SCOPE_ADMIN, { [ON_GET] = rest_config } },
        { "/api/v1/events", false, SCOPE_READ, { [ON_GET] = rest_events } },
        { "/api/v1/workloads", false, SCOPE_READ, { [ON_GET] = rest_workloads } },
        { "/api/v1/workloads/{id}/stop", false, SCOPE_ACTIONS, { [ON_POST] = rest_workload_stop } },
        { "/api/v1/workloads/{id}/destroy", false, SCOPE_ACTIONS,
                        { [ON_POST] = rest_workload_destroy } },
        { "/api/v1/workloads/{id}/scale", false, SCOPE_ACTIONS,
                        { [ON_POST] = rest_workload_scale } },
        { "/api/v1/workloads/{id}", false, SCOPE_READ, { [ON_GET] = rest_workload } },
        { "/api/v1/pods", false, SCOPE_READ, { [ON_GET] = rest_workloads } },
        { "/api/v1/pods/{id}", false, SCOPE_READ, { [ON_GET] = rest_workload } },
        { "/api/v1/nodes", false, SCOPE_READ, { [ON_GET] = rest_nodes } },
        { "/api/v1/nodes/stats", false, SCOPE_READ, { [ON_GET] = rest_nodes } },
        { "/api/v1/nodes/{name}", false, SCOPE_READ, { [ON_GET] = rest_node } },
        { "/api/app-gateway/apps", false, SCOPE_READ, { [ON_GET] = rest_apps } },
        { "/api/app-gateway/apps/{slug}", false, SCOPE_APPS_WRITE,
                        { [ON_GET] = rest_app,
                                        [ON_PUT] = rest_app_put,
                                        [ON_DELETE] = rest_app_delete } },
        { "/api/app-gateway/analytics/{slug}", false, SCOPE_READ, { [ON_GET] = rest_analytics } },
        { "/api/app-gateway/events/{slug}", false, SCOPE_EVENTS_WRITE,
                        { [ON_GET] = rest_timeline, [ON_POST] = rest_timeline_post } },
        { "/api/app-gateway/metrics/{slug}", false, SCOPE_READ, { [ON_GET] = rest_app_metrics } },
        { "/api/app-gateway/probes", false, SCOPE_PROBES_WRITE, { [ON_GET] = rest_probes } },
        { "/api/app-gateway/probes/{slug}/run", false, SCOPE_PROBES_WRITE,
                        { [ON_POST] = rest_probe_run } },
        { "/api/app-gateway/probes/{slug}", false, SCOPE_PROBES_WRITE,
                        { [ON_GET] = rest_probe,
                                        [ON_PUT] = rest_probe_put,
                                        [ON_DELETE] = rest_probe_delete } },
        { "/api/v1/tokens", false, SCOPE_ADMIN,
                        { [ON_GET] = rest_tokens, [ON_POST] = rest_token_post } },
        { "/api/v1/tokens/{id}", false, SCOPE_ADMIN, { [ON_DELETE] = rest_token_delete } },
};

const char *http_query(struct http_request *request, const char *name) {
        return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(struct http_request *request, const char *name) {
        return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

struct field_list {
        const char *name;
        char *text;
        size_t size;
};

static enum MHD_Result add_field(
                void *userdata, enum MHD_ValueKind kind, const char *name, const char *value) {
        struct field_list *list = userdata;
        size_t n = value ? strlen(value) : 0;

        if (strcasecmp(name, list->name) != 0)
                return MHD_YES;
        if (list->size + n + 2 > HTTP_FIELD_MAX)
                return MHD_NO;
        if (list->size > 0)
                list->text[list->size++] = ',';
        memcpy(list->text + list->size, value ? value : "", n + 1);
        list->size += n;
        return MHD_YES;
}

/* NOLINTBEGIN(readability-non-const-parameter): add_field() writes it */
const char *http_header_list(
                struct http_request *request, const char *name, char text[static HTTP_FIELD_MAX]) {
        struct field_list list = { .name = name, .text = text };

        (void) MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_field, &list);
        return list.size > 0 ? text : NULL;
}
/* NOLINTEND(readability-non-const-parameter) */

/* Takes @text. */
static struct MHD_Response *make_response(struct http_request *request, char *text, size_t size) {
        struct MHD_Response *response = NULL;
        char fields[HTTP_FIELD_MAX];

        if (size >= HTTP_GZIP_MIN &&
                        http_accepts_gzip(http_header_list(
                                        request, MHD_HTTP_HEADER_ACCEPT_ENCODING, fields)))
                response = http_gzip_response(text, size, &request->http->n_gzip);
        if (response)
                return response;
        response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
        if (!response)
                free(text);
        return response;
}

static const char *allowed_methods(const struct http_route *route, char text[static METHODS_MAX]) {
        static const char *const names[ON_MAX_] = { "GET, HEAD", "PUT", "POST", "DELETE" };
        size_t n = 0;

        text[0] = '\0';
        for (size_t i = 0; route && i < ON_MAX_; i++) {
                if (!route->on[i])
                        continue;
                n += (size_t) snprintf(text + n, METHODS_MAX - n, "%s%s", n ? ", " : "", names[i]);
        }
        return text;
}

const char *http_route_path(const struct http_request *request) {
        return request->route ? request->route->path : NULL;
}

bool http_route_is_public(const struct http_request *request) {
        return request->route && request->route->is_public;
}

/* Metrics and health are new each time; what is left are the objects of the API. */
static bool has_etag(const struct http_request *request, const char *type) {
        return request->route && !request->route->is_public &&
                        (strcmp(request->method, "GET") == 0 ||
                                        strcmp(request->method, "HEAD") == 0) &&
                        strcmp(type, "application/json") == 0;
}

enum MHD_Result http_answer(struct http_request *request, unsigned int status, const char *type,
                const char *text, size_t size) {
        char *copy = malloc(size + 1);

        if (!copy)
                return MHD_NO;
        if (size > 0)
                memcpy(copy, text, size);
        return http_answer_taken(request, status, type, copy, size);
}

static void add_web_headers(const struct http_request *request, struct MHD_Response *response) {
        const struct http_web *web = request->http->config.web;

        for (size_t i = 0; http_listener_has_web(request->listener) && i < web->n_headers; i++) {
                (void) MHD_del_response_header(
                                response, web->headers[i].name, "nosniff"); /* ours */
                (void) MHD_add_response_header(
                                response, web->headers[i].name, web->headers[i].value);
        }
}

/* A client that does not read keeps its answer in memory, for up to a minute, and anybody may ask
 * for metrics. */
static bool may_hold(struct http_request *request, size_t size) {
        const size_t max = request->http->config.answers_max;
        struct http *http = request->http;

        if (max > 0 && size > ANSWER_SMALL && (size > max || http->answers > max - size))
                return false;
        request->held += size;
        http->answers += size;
        return true;
}

enum MHD_Result http_answer_taken(struct http_request *request, unsigned int status,
                const char *type, char *text, size_t size) {
        static const char too_many[] =
                        "{\"error\":{\"code\":\"busy\",\"message\":\"too many answers wait to be read, try again\"}}";
        char methods[METHODS_MAX], etag[HTTP_ETAG_MAX] = "", seconds[24];
        struct MHD_Response *response;
        enum MHD_Result r;

        if (!may_hold(request, size)) {
                free(text);
                text = strdup(too_many);
                if (!text)
                        return MHD_NO;
                status = MHD_HTTP_SERVICE_UNAVAILABLE;
                type = "application/json";
                size = strlen(too_many);
        }
        if (status == MHD_HTTP_OK && has_etag(request, type))
                (void) http_etag(text, size, etag);
        if (etag[0] && http_etag_matches(request, etag)) {
                status = MHD_HTTP_NOT_MODIFIED;
                size = 0;
        }
        response = make_response(request, text, size);
        if (!response)
                return MHD_NO;
        if (status != MHD_HTTP_NOT_MODIFIED && status != MHD_HTTP_NO_CONTENT)
                (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
        if (etag[0])
                (void) MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, etag);
        (void) MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
                        etag[0] ? "private, no-cache" : "no-store");
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
        http_cors_add(request, response);
        if (status == MHD_HTTP_UNAUTHORIZED) {
                (void) MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                http_listener_has_web(request->listener)
                                                ? "Basic realm=\"virtwatch\", charset=\"UTF-8\""
                                                : "Bearer");
        }
        add_web_headers(request, response);
        if (status == MHD_HTTP_TOO_MANY_REQUESTS) {
                (void) snprintf(seconds, sizeof(seconds), "%ju",
                                (uintmax_t) (request->caller.wait_us / USEC_PER_SEC + 1));
                (void) MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
        }
        if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
                (void) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
                                allowed_methods(request->route, methods));
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
        r = MHD_queue_response(request->connection, status, response);
        MHD_destroy_response(response);
        request->status = status;
        http_metrics_count(request->http->metrics, request->method,
                        request->route ? request->route->path : "_other", status,
                        clock_monotonic_us() - request->begin_us);
        return r;
}

enum MHD_Result http_error(struct http_request *request, unsigned int status, const char *code,
                const char *message) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        struct json_object *error = json_object_new_object();
        const char *text;

        if (!object || !error) {
                (void) json_object_put(error);
                return MHD_NO;
        }
        (void) json_add_string(error, "code", code);
        (void) json_add_string(error, "message", message);
        (void) json_add(object, "error", error);
        text = json_text(object);
        return text ? http_answer(request, status, "application/json", text, strlen(text)) : MHD_NO;
}

enum MHD_Result http_bad_request(struct http_request *request, const char *message) {
        return http_error(request, MHD_HTTP_BAD_REQUEST, "bad_request", message);
}

/* Where in @url the id of the path lies, at least one byte; a path without one wants the whole. */
static bool match_path(
                const char *path, const char *url, const char **ret_id, size_t *ret_id_size) {
        const char *brace = strchr(path, '{'), *rest = brace ? strchr(brace, '}') + 1 : NULL;
        size_t n = brace ? (size_t) (brace - path) : 0, size = strlen(url);

        if (!brace)
                return strcmp(url, path) == 0;
        if (strncmp(url, path, n) != 0 || size <= n + strlen(rest) ||
                        strcmp(url + size - strlen(rest), rest) != 0)
                return false;
        *ret_id = url + n;
        *ret_id_size = size - n - strlen(rest);
        return true;
}

/* The first that matches. Return: 0; -ENOENT; -ENOMEM. */
static int find_route(struct http_request *request, const char *url) {
        const char *id = NULL;
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
                if (!match_path(routes[i].path, url, &id, &n))
                        continue;
                if (id && !request->id)
                        request->id = strndup(id, n);
                if (id && !request->id)
                        return -ENOMEM;
                request->route = &routes[i];
                return 0;
        }
        return -ENOENT;
}

/* What a header's name may hold (RFC 9110, token). */
static const char token_bytes[] =
                "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/* Framing that two parsers may read in two ways. */
static enum MHD_Result count_header(
                void *userdata, enum MHD_ValueKind kind, const char *name, const char *value) {
        unsigned int *counts = userdata;

        if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0)
                counts[0]++;
        else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0)
                counts[1]++;
        else if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0)
                counts[2]++;
        if (!name[0] || name[strspn(name, token_bytes)] || (value && strpbrk(value, "\r\n")))
                counts[3]++;
        return MHD_YES;
}

static const char *framing_fault(struct http_request *request) {
        unsigned int counts[4] = {};

        (void) MHD_get_connection_values(
                        request->connection, MHD_HEADER_KIND, count_header, counts);
        if (counts[0] > 1 || (counts[0] && counts[1]))
                return "Content-Length must be given once, and not beside Transfer-Encoding";
        if (counts[2] > 1)
                return "Host must be given once";
        return counts[3] ? "a header has a byte where none such may be" : NULL;
}

/* The route's answer to the method; -ENOENT: it has none. */
static int find_answer(const struct http_route *route, const char *method) {
        static const int answers[HTTP_METHOD_MAX_] = {
                [HTTP_GET] = ON_GET,
                [HTTP_HEAD] = ON_GET,
                [HTTP_PUT] = ON_PUT,
                [HTTP_POST] = ON_POST,
                [HTTP_DELETE] = ON_DELETE,
                [HTTP_PATCH] = ON_MAX_,
                [HTTP_OPTIONS] = ON_MAX_,
                [HTTP_OTHER] = ON_MAX_,
        };
        int answer = answers[http_method_from_string(method)];

        return answer < ON_MAX_ && route->on[answer] ? answer : -ENOENT;
}

/* Who may read may not read what is the administrator's. */
static enum scope scope_of(const struct http_route *route, int answer) {
        return answer == ON_GET && route->scope != SCOPE_ADMIN ? SCOPE_READ : route->scope;
}

static enum MHD_Result answer_preflight(struct http_request *request) {
        struct MHD_Response *response;
        char methods[METHODS_MAX];
        enum MHD_Result r;

        response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
        if (!response)
                return MHD_NO;
        http_cors_add(request, response);
        (void) MHD_add_response_header(response, "Access-Control-Allow-Methods",
                        allowed_methods(request->route, methods));
        (void) MHD_add_response_header(response, "Access-Control-Allow-Headers",
                        "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Virtwatch-Token");
        (void) MHD_add_response_header(response, "Access-Control-Max-Age", "600");
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
        r = MHD_queue_response(request->connection, MHD_HTTP_NO_CONTENT, response);
        MHD_destroy_response(response);
        request->status = MHD_HTTP_NO_CONTENT;
        http_metrics_count(request->http->metrics, request->method, request->route->path,
                        request->status, clock_monotonic_us() - request->begin_us);
        return r;
}

static enum MHD_Result dispatch(struct http_request *request, const char *url, const char *method) {
        const char *fault = request->refusal ? request->refusal : framing_fault(request);
        char methods[METHODS_MAX], message[96];
        struct http_denial denial;
        enum MHD_Result result = MHD_NO;
        int answer, r;

        if (!http_basic_passes(request, &result))
                return result;
        if (fault)
                return http_bad_request(request, fault);
        if (http_caller_shows_token(request, url))
                return http_error(request, MHD_HTTP_BAD_REQUEST, "token_in_url",
                                "a token does not belong into a URL, which is logged: send it as Authorization: Bearer TOKEN");
        r = find_route(request, url);
        if (r == -ENOMEM)
                return MHD_NO;
        if (r < 0)
                return http_error(
                                request, MHD_HTTP_NOT_FOUND, "not_found", "there is no such path");
        if (!(request->listener->spec.serves & listener_service_of(request->route->path)))
                return http_error(request, MHD_HTTP_NOT_FOUND, "not_served_here",
                                "this address does not serve that path; another may");
        if (http_cors_is_preflight(request, method))
                return answer_preflight(request);
        answer = find_answer(request->route, method);
        if (answer < 0) {
                (void) snprintf(message, sizeof(message), "this path takes %s",
                                allowed_methods(request->route, methods));
                return http_error(request, MHD_HTTP_METHOD_NOT_ALLOWED, "method_not_allowed",
                                message);
        }
        if (!request->route->is_public &&
                        http_caller_is_denied(request, request->route->path,
                                        scope_of(request->route, answer), &denial))
                return http_error(request, denial.status, denial.code, denial.message);
        return request->route->on[answer](request, request->id);
}

/* A body is kept only for who may send one there; for others it is counted. */
static enum MHD_Result take_body(struct http_request *request, const char *url, const char *method,
                const char *data, size_t size) {
        int answer;

        request->body_size += size;
        if (request->body_size > request->http->config.body_max)
                return MHD_NO; /* the gate has seen to those that say so beforehand */
        if (!request->route && find_route(request, url) == -ENOMEM)
                return MHD_NO;
        if (!request->route)
                return MHD_YES;
        answer = find_answer(request->route, method);
        if (answer < 0 || answer == ON_GET ||
                        !scope_allows(http_caller_get(request)->scopes,
                                        scope_of(request->route, answer)))
                return MHD_YES;
        return buf_append(&request->body, data, size) < 0 ? MHD_NO : MHD_YES;
}

/* Whole numbers that json-c would make another of. */
struct number_search {
        const char *name; /* of the body's member that it lies in */
        size_t name_size;
        bool found;
};

static void on_body_piece(const struct json_piece *piece, void *userdata) {
        struct number_search *search = userdata;
        char text[24];
        uint64_t high;
        int64_t low;

        if (search->found)
                return;
        if (piece->depth == 1) {
                search->name = piece->name;
                search->name_size = piece->name_size;
        }
        if (piece->kind != JSON_NUMBER || memchr(piece->text, '.', piece->size) ||
                        memchr(piece->text, 'e', piece->size) ||
                        memchr(piece->text, 'E', piece->size))
                return;
        (void) snprintf(text, sizeof(text), "%.*s", (int) (piece->size < 24 ? piece->size : 23),
                        piece->text);
        search->found = piece->size >= sizeof(text) ||
                        (text_to_u64(text, &high) < 0 && text_to_i64(text, &low) < 0);
}

enum MHD_Result http_body_json(struct http_request *request, struct json_object **ret_object) {
        const char *type = http_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
        struct number_search search = {};
        struct json_object *object = NULL;
        size_t offset = 0;
        struct diag diag = {};
        char message[96];
        int r;

        *ret_object = NULL;
        if (!type || strncasecmp(type, "application/json", 16) != 0 ||
                        (type[16] && !strchr("; \t", type[16])))
                return http_error(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                "unsupported_media_type", "the body must be application/json");
        r = json_visit(request->body.data ? request->body.data : "", request->body.size,
                        JSON_DEPTH_MAX, on_body_piece, &search, &offset);
        if (r >= 0 && search.found) {
                diag_set(&diag, 0, 0, "%.*s: has a whole number that 64 bits do not hold",
                                (int) (search.name_size < 64 ? search.name_size : 64),
                                search.name ? search.name : "");
                return http_bad_request(request, diag.text);
        }
        if (r >= 0)
                r = json_parse(request->body.data, request->body.size, &object);
        if (r < 0) {
                (void) snprintf(message, sizeof(message), "the body is not JSON, at byte %zu (%s)",
                                offset,
                                r == -EEXIST                   ? "a name that is there twice"
                                                : r == -E2BIG  ? "nested too deep"
                                                : r == -EILSEQ ? "not UTF-8"
                                                               : "see RFC 8259");
                return http_bad_request(request, message);
        }
        if (!json_object_is_type(object, json_type_object)) {
                (void) json_object_put(object);
                return http_bad_request(request, "the body must be a JSON object");
        }
        *ret_object = object;
        return MHD_YES;
}

enum MHD_Result http_wait(struct http_request *request, struct http_wait *wait) {
        wait->request = request;
        request->waiting = wait;
        http_suspend(request);
        return MHD_YES;
}

void http_answer_later(
                struct http_wait *wait, unsigned int status, const char *type, struct buf *text) {
        struct http_request *request = wait->request;

        if (!request)
                return;
        wait->request = NULL;
        request->waiting = NULL;
        request->answer_status = status;
        request->answer_type = type;
        request->answer_size = text->size;
        request->answer = buf_take(text);
        request->is_answered = true;
        http_resume(request);
}

void http_error_later(struct http_wait *wait, unsigned int status, const char *code,
                const char *message) {
        _cleanup_(buf_done) struct buf text = BUF_INIT(1024);

        (void) buf_printf(&text, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}", code, message);
        http_answer_later(wait, status, "application/json", &text);
}

enum MHD_Result http_handle(struct http_request *request, const char *url, const char *method,
                const char *upload, size_t *upload_size) {
        size_t size = *upload_size;
        enum MHD_Result r;

        if (!request->begun) {
                request->begun = true;
                request->method = http_method_to_string(http_method_from_string(method));
                http_log_begun(request, url);
                return MHD_YES; /* the headers; MHD calls again for a body, or without one */
        }
        if (size > 0) {
                *upload_size = 0;
                return take_body(request, url, method, upload, size);
        }
        if (request->is_answered && !request->answer)
                return MHD_NO; /* asked for again, it would be done again */
        if (request->is_answered)
                return http_answer_taken(request, request->answer_status, request->answer_type,
                                TAKE_PTR(request->answer), request->answer_size);
        if (!request->span)
                return dispatch(request, url, method);
        spans_enter(request->http->api->spans, span_context(request->span));
        r = dispatch(request, url, method);
        spans_leave(request->http->api->spans);
        return r;
}
