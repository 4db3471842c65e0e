/* gRPC as a client: a POST whose body is one framed message, answers as frames, the outcome in the
 * field grpc-status, which comes as a trailer, or as a header where there is no answer at all. */

#include "source/grpc_call.h"

#include <string.h>

#include "base/text.h"
#include "source/grpc_frames.h"

#define HEADERS_MAX 8
#define WHY_MAX     200

struct grpc_call {
        struct grpc_request request; /* only the callbacks are used after the start */
        struct curl_call *call;
        struct grpc_frames frames;
        size_t n_messages;
};

static struct grpc_call *call_free(struct grpc_call *call) {
        if (!call)
                return NULL;
        curl_call_cancel(call->call);
        grpc_frames_done(&call->frames);
        free(call);
        return NULL;
}
DEFINE_FREEP(struct grpc_call, call_free);

static int call_message(const void *message, size_t size, bool too_long, void *userdata) {
        struct grpc_call *call = userdata;

        call->n_messages++;
        return call->request.on_message(message, size, too_long, call->request.userdata);
}

static int call_data(struct curl_call *curl, const char *data, size_t size, void *userdata) {
        struct grpc_call *call = userdata;

        return grpc_frames_feed(&call->frames, data, size, call_message, call);
}

static int outcome(const struct grpc_call *call, struct curl_call *curl, int error, long status,
                char why[static WHY_MAX]) {
        const char *code = curl_call_field(curl, "grpc-status"),
                   *text = curl_call_field(curl, "grpc-message");
        _cleanup_(freep) char *clean = NULL;

        why[0] = '\0';
        /* What the server said tells more than how the transfer ended after it. */
        if (code && strcmp(code, "0") != 0) {
                (void) text_sanitize(
                                text ? text : "", text ? strlen(text) : 0, WHY_MAX / 2, &clean);
                (void) snprintf(why, WHY_MAX, "gRPC status %.8s%s%s", code,
                                clean && clean[0] ? ": " : "", clean ? clean : "");
                return -EREMOTEIO;
        }
        if (error < 0)
                return error;
        if (status != 200) {
                (void) snprintf(why, WHY_MAX, "HTTP status %ld", status);
                return -EPROTO;
        }
        if (!code || grpc_frames_is_partial(&call->frames)) {
                (void) snprintf(why, WHY_MAX, "the answer was cut");
                return -EPROTO;
        }
        if (call->request.unary && call->n_messages != 1) {
                (void) snprintf(why, WHY_MAX, "%zu answers, not one", call->n_messages);
                return -EPROTO;
        }
        return 0;
}

static void call_done(struct curl_call *curl, int error, long status, const char *body, size_t size,
                void *userdata) {
        struct grpc_call *call = userdata;
        char why[WHY_MAX];
        int r;

        r = outcome(call, curl, error, status, why);
        call->call = NULL;
        call->request.on_end(r, why, call->request.userdata);
        call_free(call);
}

static int pack(const ProtobufCMessage *message, struct buf *ret_body) {
        size_t size = message ? protobuf_c_message_get_packed_size(message) : 0;
        _cleanup_(freep) uint8_t *packed = NULL;
        uint8_t head[GRPC_HEAD_BYTES];
        int r;

        packed = malloc(size + 1);
        if (!packed)
                return -ENOMEM;
        if (message)
                (void) protobuf_c_message_pack(message, packed);
        grpc_head_write(head, (uint32_t) size);
        r = buf_append(ret_body, head, sizeof(head));
        return r < 0 ? r : buf_append(ret_body, packed, size);
}

int grpc_call_start(struct curl_glue *glue, const struct grpc_request *request,
                struct grpc_call **ret_call) {
        const char *headers[HEADERS_MAX + 1] = { "content-type: application/grpc", "te: trailers",
                "user-agent: virtwatch" };
        _cleanup_(call_freep) struct grpc_call *call = NULL;
        _cleanup_(buf_done) struct buf body = BUF_INIT(64 * 1024);
        char url[256], timeout[48];
        size_t n = 3;
        int r;

        /* Not the host that docker's calls name: libcurl keeps its connections by host, and what
         * asks for HTTP/1.1 waits in vain behind one that speaks HTTP/2. */
        if ((size_t) snprintf(url, sizeof(url), "http://containerd/%s", request->method) >=
                        sizeof(url))
                return -EINVAL;
        if (request->timeout_us) {
                (void) snprintf(timeout, sizeof(timeout), "grpc-timeout: %jum",
                                (uintmax_t) (request->timeout_us / USEC_PER_MSEC));
                headers[n++] = timeout;
        }
        for (size_t i = 0; request->headers && request->headers[i]; i++) {
                if (n >= HEADERS_MAX)
                        return -EINVAL;
                headers[n++] = request->headers[i];
        }

        call = calloc(1, sizeof(*call));
        if (!call)
                return -ENOMEM;
        call->request = *request;
        call->frames = (struct grpc_frames) GRPC_FRAMES_INIT(request->message_max);
        r = pack(request->message, &body);
        if (r >= 0) {
                r = curl_glue_start(glue,
                                &(struct curl_request){
                                                .url = url,
                                                .unix_socket = request->socket,
                                                .headers = headers,
                                                .body = body.data,
                                                .body_size = body.size,
                                                .http2_prior_knowledge = true,
                                                .own_connection = true,
                                                .timeout_us = request->timeout_us,
                                                .on_data = call_data,
                                                .on_done = call_done,
                                                .userdata = call,
                                },
                                &call->call);
        }
        if (r < 0)
                return r == -ENOSPC ? -EINVAL : r;

        *ret_call = TAKE_PTR(call);
        return 0;
}

struct grpc_call *grpc_call_cancel(struct grpc_call *call) {
        return call_free(call);
}
