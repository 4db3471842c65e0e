/* Requests to others as spans: docker, podman, containerd, what probes ask. Names by
 * OpenTelemetry's semantic conventions for HTTP clients and for RPC. A query may have a token in it
 * and is left out, and so is who asks. */

#include <string.h>

#include "base/clock.h"
#include "base/text.h"
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
        const char *service = path + (*path == '/'), *slash = strrchr(service, '/');
        char text[PART_MAX];

        (void) snprintf(text, sizeof(text), "%.*s", slash ? (int) (slash - service) : 0, service);
        span_call(span, "grpc", text[0] ? text : NULL, slash ? slash + 1 : service);
}

/* What is kept of a call while it is under way. What its answer leads to has the parent that it
 * had: an update that is tried again, what follows a look. */
struct mark {
        struct spans *spans; /* a reference */
        struct span *span;
        bool is_grpc, has_parent;
        struct trace_context parent;
};

static struct mark *mark_free(struct mark *mark) {
        (void) spans_unref(mark->spans);
        free(mark);
        return NULL;
}

static void *call_begun(const struct curl_request *request, void *userdata) {
        struct spans *spans = userdata;
        const char *method = request->method ? request->method : request->body ? "POST" : "GET";
        const struct trace_context *parent = spans_current(spans);
        const char *host, *target;
        char path[PART_MAX];
        struct mark *mark;
        struct span *span;
        size_t n;

        mark = calloc(1, sizeof(*mark));
        if (!mark)
                return NULL;
        mark->span = span = span_begin(
                        spans, parent, SPAN_CLIENT, clock_realtime_us(), clock_monotonic_us());
        mark->spans = spans_ref(spans);
        if (!span)
                return mark_free(mark);
        mark->is_grpc = request->http2_prior_knowledge;
        mark->has_parent = parent != NULL;
        if (parent)
                mark->parent = *parent;
        n = find_host(request->url, &host);
        target = host + n;
        (void) snprintf(path, sizeof(path), "%.*s", (int) strcspn(target, "?#"), target);
        if (mark->is_grpc) {
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
        return mark;
}

/* What the server said tells more than how the transfer ended after it. Return: whether it said
 * something. */
static bool add_grpc_status(struct span *span, struct curl_call *call) {
        const char *text = curl_call_field(call, "grpc-status");
        uint64_t code;

        if (!text || text_to_u64(text, &code) < 0 || code > INT32_MAX)
                return false;
        span_add_int(span, "rpc.grpc.status_code", (int64_t) code);
        if (code != 0) {
                span_fail(span, text, curl_call_field(call, "grpc-message"));
        }
        return true;
}

static void call_done(
                void *userdata, struct curl_call *call, int error, long status, void *unused) {
        struct mark *mark = userdata;
        struct span *span = mark->span;
        char text[24];

        if (status > 0)
                span_add_int(span, "http.response.status_code", status);
        if (mark->is_grpc && add_grpc_status(span, call)) {
                ;
        } else if (error < 0) {
                span_fail(span, strerrorname_np(-error), strerrordesc_np(-error));
        } else if (status >= 400) {
                (void) snprintf(text, sizeof(text), "%ld", status);
                span_fail(span, text, NULL);
        } else if (mark->is_grpc) {
                span_fail(span, "EPROTO", "the answer was cut");
        }
        mark->span = span_end(span, clock_monotonic_us());
        spans_enter(mark->spans, mark->has_parent ? &mark->parent : NULL);
}

static void call_over(void *userdata, void *unused) {
        struct mark *mark = userdata;

        spans_leave(mark->spans);
        mark_free(mark);
}

static void call_cancelled(void *userdata, void *unused) {
        struct mark *mark = userdata;

        span_fail(mark->span, "cancelled", "given up");
        (void) span_end(mark->span, clock_monotonic_us());
        mark_free(mark);
}

void tracer_watch(struct curl_glue *curl, struct spans *spans) {
        curl_glue_watch(curl,
                        spans ? &(struct curl_watch){ .begun = call_begun,
                                                .done = call_done,
                                                .over = call_over,
                                                .cancelled = call_cancelled,
                                                .userdata = spans }
                              : NULL);
}
