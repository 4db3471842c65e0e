#pragma once
/* One gRPC call, unary or with a stream of answers, over HTTP/2 on a unix socket: libcurl carries
 * it, grpc_frames takes it apart. Each has a connection of its own, so that a stream nobody reads
 * holds up no other call. */

#include <protobuf-c/protobuf-c.h>

#include "loop/curl_glue.h"

struct grpc_call;

struct grpc_request {
        const char *socket;
        const char *method;         /* "containerd.services.version.v1.Version/Version" */
        const char *const *headers; /* further ones, NULL-terminated "Name: value"; may be NULL */
        const ProtobufCMessage *message; /* NULL: an empty one */
        uint64_t timeout_us;             /* the whole call; 0: none (streams) */
        size_t message_max;              /* longer answers are skipped and told as too long */
        bool unary;                      /* OK without exactly one answer is -EPROTO */
        /* Each message that comes, borrowed for the call. Negative ends the call with that error.
         * libcurl is at work meanwhile: cancel no call from here. */
        int (*on_message)(const void *message, size_t size, bool too_long, void *userdata);
        /* Once, at the end; the call is freed afterwards. @error: 0: the server said OK; negative
         * errno otherwise (as curl_request.on_done; -EBADMSG broken frames; -EREMOTEIO a status of
         * gRPC). @why: a few words for people, "" where @error says all. */
        void (*on_end)(int error, const char *why, void *userdata);
        void *userdata;
};

/** Nothing of @request is kept but the callbacks. Return: 0; -ENOMEM; -EINVAL. */
int grpc_call_start(struct curl_glue *glue, const struct grpc_request *request,
                struct grpc_call **ret_call);
/** Drop it without on_end. Takes NULL; returns NULL. Not from within on_message. */
struct grpc_call *grpc_call_cancel(struct grpc_call *call);
