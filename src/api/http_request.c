/* Which answer a request gets: is it well-formed, is there such a path, may the caller, then the
 * face that knows. */

#include <string.h>
#include <sys/socket.h>

#include "api/http_accept.h"
#include "api/http_gzip.h"
#include "api/http_head.h"
#include "api/http_internal.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

struct http_route {
        const char *path; /* a trailing "{id}" takes the rest of the target */
        bool is_public;
        enum MHD_Result (*answer)(struct http_request *request, const char *id);
};

static const struct http_route routes[] = {
        { "/health", true, rest_health },
        { "/healthz", true, rest_health },
        { "/ready", true, rest_ready },
        { "/metrics", true, metrics_answer },
        { "/v1/metrics", true, metrics_answer },
        { "/api/v1/version", true, rest_version },
        { "/api/v1/events", false, rest_events },
        { "/api/v1/workloads", false, rest_workloads },
        { "/api/v1/workloads/{id}", false, rest_workload },
        { "/api/v1/pods", false, rest_workloads },
        { "/api/v1/pods/{id}", false, rest_workload },
        { "/api/app-gateway/metrics/{slug}", false, rest_app_metrics },
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

static struct MHD_Response *make_response(
                struct http_request *request, const char *text, size_t size) {
        struct MHD_Response *response = NULL;
        char fields[HTTP_FIELD_MAX];

        if (size >= HTTP_GZIP_MIN &&
                        http_accepts_gzip(http_header_list(
                                        request, MHD_HTTP_HEADER_ACCEPT_ENCODING, fields)))
                response = http_gzip_response(text, size, &request->http->n_gzip);
        if (!response)
                response = MHD_create_response_from_buffer(
                                size, (void *) (uintptr_t) text, MHD_RESPMEM_MUST_COPY);
        return response;
}

enum MHD_Result http_answer(struct http_request *request, unsigned int status, const char *type,
                const char *text, size_t size) {
        struct MHD_Response *response;
        enum MHD_Result r;

        response = make_response(request, text, size);
        if (!response)
                return MHD_NO;
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
        (void) MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept, Accept-Encoding");
        if (status == MHD_HTTP_UNAUTHORIZED)
                (void) MHD_add_response_header(
                                response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
        if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
                (void) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
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

/* Takes as long for a wrong first byte as for a wrong last one. */
static bool token_equals(const char *token, const char *given) {
        size_t n = strlen(token), m = strlen(given);
        unsigned int differ = n != m;

        for (size_t i = 0; i < n; i++)
                differ |= (unsigned char) token[i] ^ (unsigned char) (m ? given[i % m] : 0);
        return differ == 0;
}

static bool peer_is_trusted(struct http_request *request) {
        const union MHD_ConnectionInfo *info;
        socklen_t size = sizeof(struct ucred);
        gid_t group = request->http->group, groups[1024];
        struct ucred peer;

        if (!request->listener->is_unix)
                return false;
        info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return false;
        if (peer.uid == 0 || peer.uid == geteuid())
                return true;
        if (group == (gid_t) -1)
                return false;
        if (peer.gid == group)
                return true;
        size = sizeof(groups);
        if (getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return false;
        for (size_t i = 0; i < size / sizeof(groups[0]); i++)
                if (groups[i] == group)
                        return true;
        return false;
}

static bool may(struct http_request *request) {
        const char *given = http_header(request, MHD_HTTP_HEADER_AUTHORIZATION);

        if (request->http->token && given && strncasecmp(given, "Bearer ", 7) == 0 &&
                        token_equals(request->http->token, given + 7))
                return true;
        given = http_header(request, "X-Virtwatch-Token");
        if (request->http->token && given && token_equals(request->http->token, given))
                return true;
        return peer_is_trusted(request);
}

static const struct http_route *find_route(const char *url, const char **ret_id) {
        for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
                const char *brace = strchr(routes[i].path, '{');
                size_t n = brace ? (size_t) (brace - routes[i].path) : 0;

                *ret_id = brace ? url + n : NULL;
                if (brace ? strncmp(url, routes[i].path, n) == 0 && url[n]
                          : strcmp(url, routes[i].path) == 0)
                        return &routes[i];
        }
        return NULL;
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

static enum MHD_Result dispatch(struct http_request *request, const char *url, const char *method) {
        const char *id, *fault = request->refusal ? request->refusal : framing_fault(request);

        if (fault)
                return http_error(request, MHD_HTTP_BAD_REQUEST, "bad_request", fault);
        request->route = find_route(url, &id);
        if (!request->route)
                return http_error(
                                request, MHD_HTTP_NOT_FOUND, "not_found", "there is no such path");
        if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
                return http_error(request, MHD_HTTP_METHOD_NOT_ALLOWED, "method_not_allowed",
                                "this path takes GET and HEAD");
        if (!request->route->is_public && !may(request))
                return http_error(request, MHD_HTTP_UNAUTHORIZED, "unauthorized",
                                "a token is needed: Authorization: Bearer TOKEN");
        return request->route->answer(request, id);
}

enum MHD_Result http_handle(struct http_request *request, const char *url, const char *method,
                size_t *upload_size) {
        if (!request->begun) {
                request->begun = true;
                request->method = http_method_to_string(http_method_from_string(method));
                return MHD_YES; /* the headers; MHD calls again for a body, or without one */
        }
        if (*upload_size > 0) {
                request->body_size += *upload_size;
                *upload_size = 0;
                /* Nothing here takes a body: it is counted, and past its limit the connection ends.
                 */
                return request->body_size > request->http->config.body_max ? MHD_NO : MHD_YES;
        }
        if (request->answer)
                return http_answer(request, request->answer_status, request->answer_type,
                                request->answer, request->answer_size);
        return dispatch(request, url, method);
}
