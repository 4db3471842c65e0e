/* What a request leaves behind: a line of the log, a span, neither. No query is in either, since
 * people put tokens there; what they put into the path is escaped and cut. */

#include <arpa/inet.h>
#include <string.h>

#include "api/http_head.h"
#include "api/http_internal.h"
#include "base/clock.h"
#include "base/text.h"
#include "model/spans.h"
#include "model/token.h"

#define PATH_MAX_BYTES 256

/* Of the client; "unix" where it has none. Return: @text. */
static const char *peer_address(
                const struct http_request *request, char text[static INET6_ADDRSTRLEN]) {
        const union MHD_ConnectionInfo *info = request->listener->spec.is_unix
                        ? NULL
                        : MHD_get_connection_info(
                                          request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        const struct sockaddr *address = info ? info->client_addr : NULL;
        const void *bytes = NULL;

        if (address && address->sa_family == AF_INET)
                bytes = &((const struct sockaddr_in *) (const void *) address)->sin_addr;
        else if (address && address->sa_family == AF_INET6)
                bytes = &((const struct sockaddr_in6 *) (const void *) address)->sin6_addr;
        if (!bytes || !inet_ntop(address->sa_family, bytes, text, INET6_ADDRSTRLEN))
                (void) snprintf(text, INET6_ADDRSTRLEN, "unix");
        return text;
}

/* ---- spans ---- */

static bool is_known(const struct http_request *request) {
        return http_method_from_string(request->method) != HTTP_OTHER;
}

static void span_start(struct http_request *request) {
        struct trace_context parent;
        char fields[HTTP_FIELD_MAX], address[INET6_ADDRSTRLEN];
        const char *text;
        bool has_parent;
        struct span *span;

        text = http_header_list(request, "traceparent", fields);
        has_parent = text && trace_parent_parse(text, &parent) >= 0;
        text = has_parent ? http_header_list(request, "tracestate", fields) : NULL;
        if (text)
                (void) trace_state_take(&parent, text);
        span = span_begin(request->http->api->spans, has_parent ? &parent : NULL, SPAN_SERVER,
                        clock_realtime_us() - (clock_monotonic_us() - request->begin_us),
                        request->begin_us);
        span_add(span, "http.request.method", is_known(request) ? request->method : "_OTHER");
        span_add(span, "url.scheme", http_listener_has_tls(request->listener) ? "https" : "http");
        (void) peer_address(request, address);
        if (strcmp(address, "unix") == 0)
                span_add(span, "network.transport", "unix");
        else
                span_add(span, "network.peer.address", address);
        span_add(span, "user_agent.original", http_header(request, MHD_HTTP_HEADER_USER_AGENT));
        request->span = span;
}

static void span_stop(struct http_request *request) {
        const char *route = http_route_path(request);
        struct span *span = request->span;
        char text[16];

        span_name(span, "%s%s%s", is_known(request) ? request->method : "HTTP", route ? " " : "",
                        route ? route : "");
        span_add(span, "url.path", request->path);
        span_add(span, "http.route", route);
        if (request->status > 0) {
                span_add_int(span, "http.response.status_code", request->status);
        } else {
                span_fail(span, "cancelled", "the client went before it was answered");
        }
        if (request->status >= 500) {
                (void) snprintf(text, sizeof(text), "%u", request->status);
                span_fail(span, text, NULL);
        }
        request->span = span_end(span, clock_monotonic_us());
}

/* ---- lines ---- */

/* At which level its line is; -ENOENT: there is none. What it was is known only at its end. */
static int level_of(const struct http_request *request) {
        bool is_routine = http_route_is_public(request) && request->status > 0 &&
                        request->status < 400;
        enum log_level level = LOG_LEVEL_INFO;

        if (request->http->api->request_log == API_REQUEST_LOG_OFF)
                return -ENOENT;
        if (request->http->api->request_log == API_REQUEST_LOG_DEBUG || is_routine)
                level = LOG_LEVEL_DEBUG;
        return level <= log_get_level() ? (int) level : -ENOENT;
}

static bool may_write(struct http *http) {
        unsigned int held;

        if (!log_ratelimit_pass(&http->log_limit, clock_monotonic_us(), &held))
                return false;
        if (held > 0)
                log_info("%u requests are not in the log, as they were too many", held);
        return true;
}

void http_log_flush(struct http *http) {
        if (http->log_limit.held > 0)
                (void) may_write(http);
}

static void write_line(struct http_request *request, enum log_level level) {
        const struct trace_context *context = span_context(request->span);
        uint64_t took_us = clock_monotonic_us() - request->begin_us;
        char status[16], took[40], address[INET6_ADDRSTRLEN], trace_id[TRACE_HEX_MAX] = "";
        bool is_text = log_get_target() == LOG_TARGET_TEXT;
        struct log_field fields[8];
        size_t n = 0;

        (void) snprintf(status, sizeof(status), "%u", request->status);
        (void) snprintf(took, sizeof(took), "%ju.%03ju%s", (uintmax_t) (took_us / USEC_PER_MSEC),
                        (uintmax_t) (took_us % USEC_PER_MSEC), is_text ? "ms" : "");
        fields[n++] = (struct log_field){ LOG_TARGET_FIELD, "virtwatchd::api" };
        if (!is_text) { /* where they are in the sentence */
                fields[n++] = (struct log_field){ "VIRTWATCH_METHOD", request->method };
                fields[n++] = (struct log_field){ "VIRTWATCH_PATH", request->path };
        }
        fields[n++] = (struct log_field){ LOG_NUMBER("VIRTWATCH_STATUS"), status };
        fields[n++] = is_text ? (struct log_field){ "VIRTWATCH_DURATION", took }
                              : (struct log_field){ LOG_NUMBER("VIRTWATCH_DURATION_MS"), took };
        fields[n++] = (struct log_field){ "VIRTWATCH_CLIENT", peer_address(request, address) };
        if (context) {
                (void) trace_hex(context->trace_id, TRACE_ID_BYTES, trace_id);
                fields[n++] = (struct log_field){ "VIRTWATCH_TRACE_ID", trace_id };
        }
        log_with(level, fields, n, "%s %s", request->method, request->path);
}

/* ---- both ---- */

static void begin(struct http_request *request, const char *url) {
        _cleanup_(freep) char *cut = NULL;

        if (spans_on(request->http->api->spans))
                span_start(request);
        if (!request->span && request->http->api->request_log == API_REQUEST_LOG_OFF)
                return;
        /* A token in the URL is refused; the log and the collector are no place for it either. */
        cut = token_text_is_within(url) ? strdup("(with a token)") : strndup(url, PATH_MAX_BYTES);
        request->path = cut ? text_escape_terminal(cut) : NULL;
}

static void end(struct http_request *request) {
        int level = request->path ? level_of(request) : -ENOENT;

        if (level >= 0 && may_write(request->http))
                write_line(request, (enum log_level) level);
        if (request->span)
                span_stop(request);
        free(request->path);
}

/* These two are all that a request pays where nobody wants either. */
void http_log_begun(struct http_request *request, const char *url) {
        const struct api_context *api = request->http->api;

        if (spans_on(api->spans) || api->request_log != API_REQUEST_LOG_OFF)
                begin(request, url);
}

void http_log_ended(struct http_request *request) {
        if (request->path || request->span)
                end(request);
}

void http_log_refused(struct http *http, const char *method, unsigned int status) {
        enum log_level level = http->api->request_log == API_REQUEST_LOG_INFO ? LOG_LEVEL_INFO
                                                                              : LOG_LEVEL_DEBUG;
        char text[16];

        if (http->api->request_log == API_REQUEST_LOG_OFF || level > log_get_level() ||
                        !may_write(http))
                return;
        (void) snprintf(text, sizeof(text), "%u", status);
        log_with(level,
                        FIELDS({ LOG_TARGET_FIELD, "virtwatchd::api" },
                                        { LOG_NUMBER("VIRTWATCH_STATUS"), text }),
                        "%s, refused before it was read to its end", method);
}
