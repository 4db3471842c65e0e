#pragma once
/* gRPC's messages out of a byte stream that is cut anywhere: one byte of flags, four of length (big
 * endian), the message ("Length-Prefixed-Message", gRPC over HTTP2). Pure. */

#include "base/buf.h"

#define GRPC_HEAD_BYTES 5

struct grpc_frames {
        uint8_t head[GRPC_HEAD_BYTES]; /* all private */
        size_t n_head;
        struct buf message;
        uint32_t left; /* bytes of the message that are still to come */
        bool skipping; /* it is longer than the limit */
};

#define GRPC_FRAMES_INIT(max_bytes) \
        { .message = BUF_INIT(max_bytes) }

void grpc_frames_done(struct grpc_frames *frames);
/** Is a message half read? At the end of a stream: it was cut. */
bool grpc_frames_is_partial(const struct grpc_frames *frames);

/**
 * Feed bytes; @on_message is called for each whole message (borrowed for the call, never NULL), or,
 * with @too_long and no bytes, where one passes the limit: that one is skipped to its end.
 *
 * Return: 0; -EBADMSG a compressed message, or a head that is none: nothing after it can be read;
 * -ENOMEM; a negative value of @on_message ends it too.
 */
int grpc_frames_feed(struct grpc_frames *frames, const void *data, size_t size,
                int (*on_message)(const void *message, size_t size, bool too_long, void *userdata),
                void *userdata);

/** Write the head of a message of @size bytes. */
void grpc_head_write(uint8_t head[static GRPC_HEAD_BYTES], uint32_t size);
