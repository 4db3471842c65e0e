/* Requests to others as spans: docker, podman, containerd, what probes ask. Names by
 * OpenTelemetry's semantic conventions for HTTP clients and for RPC. A query may have a token in it
 * and is left out, and so is who asks. */

#include <string.h>

#include "base/clock.h"
#include "engine/tracer.h"
#include "loop/curl_glue.h"

#define PART_MAX 256

/* Where in @url the host begins, and how long host and port are. */
static size_t find_host(const char *url, const char **ret_host) {
        const char *begin = strstr(url, "://"), *at;
        size_t n;

        begin = begin ? begin + 3 : url;
        n = strcspn(begin, "/?#");
        at = memrchr(begin, '@', n);
        if (at) {
                n -= (size_t) (at + 1 - begin);
                begin = at + 1;
        }
        *ret_host = begin;
        return n;
}

static void add_server(struct span *span, const char *host, size_t n) {
        const char *colon = memrchr(host, ':', n), *bracket = memrchr(host, ']', n);
        char text[PART_MAX];
        int64_t port = 0;

        if (colon && bracket && colon < bracket)
                colon = NULL; /* of the address */
        for (const char *c = colon; c && ++c < host + n && port < 65536;)
                port = port * 10 + (*c - '0');
        (void) snprintf(text, sizeof(text), "%.*s", (int) (colon ? colon - host : (ptrdiff_t) n),
                        host);
        span_add(span, "server.address", text);
        if (colon)
                span_add_int(span, "server.port", port);
}

/* "/containerd.services.tasks.v1.Tasks/Kill" */
static void add_rpc(struct span *span, const char *path) {
        const char *slash = strrchr(path, '/');
        char service[PART_MAX];

        (void) snprintf(service, sizeof(service), "%.*s",
                        slash && slash > path ? (int) (slash - path - 1) : 0,
                        path + (*path == '/'));
        span_name(span, "%s", path + (*path == '/'));
        span_add(span, "rpc.system", "grpc");
        span_add(span, "rpc.service", service);
        span_add(span, "rpc.method", slash ? slash + 1 : path);
}

static void *call_begun(const struct curl_request *request, void *userdata) {
        struct spans *spans = userdata;
        const char *method = request->method ? request->method : request->body ? "POST" : "GET";
        const char *host, *target;
        char path[PART_MAX];
        struct span *span;
        size_t n;

        span = span_begin(spans, spans_current(spans), SPAN_CLIENT, clock_realtime_us(),
                        clock_monotonic_us());
        if (!span)
                return NULL;
        n = find_host(request->url, &host);
        target = host + n;
        (void) snprintf(path, sizeof(path), "%.*s", (int) strcspn(target, "?#"), target);
        if (request->http2_prior_knowledge) {
                add_rpc(span, path);
        } else {
                span_name(span, "%s", method);
                span_add(span, "http.request.method", method);
                span_add(span, "url.scheme",
                                strncmp(request->url, "https:", 6) == 0 ? "https" : "http");
                span_add(span, "url.path", path[0] ? path : "/");
        }
        if (request->unix_socket) {
                span_add(span, "network.transport", "unix");
                span_add(span, "network.peer.address", request->unix_socket);
        } else {
                add_server(span, host, n);
        }
        return span;
}

static void call_done(void *mark, int error, long status, void *userdata) {
        struct span *span = mark;
        char text[24];

        if (status > 0)
                span_add_int(span, "http.response.status_code", status);
        if (error < 0) {
                span_add(span, "error.type", strerrorname_np(-error));
                span_fail(span, strerrordesc_np(-error));
        } else if (status >= 400) {
                (void) snprintf(text, sizeof(text), "%ld", status);
                span_add(span, "error.type", text);
                span_fail(span, NULL);
        }
        (void) span_end(span, clock_monotonic_us());
}

static void call_cancelled(void *mark, void *userdata) {
        struct span *span = mark;

        span_add(span, "error.type", "cancelled");
        span_fail(span, "given up");
        (void) span_end(span, clock_monotonic_us());
}

void tracer_watch(struct curl_glue *curl, struct spans *spans) {
        curl_glue_watch(curl,
                        spans ? &(struct curl_watch){ .begun = call_begun,
                                                .done = call_done,
                                                .cancelled = call_cancelled,
                                                .userdata = spans }
                              : NULL);
}
