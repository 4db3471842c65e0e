/* Messages out of a gRPC stream. A length is believed only as far as bytes come: nothing is
 * allocated ahead of them. */

#include "source/grpc_frames.h"

#include <string.h>

void grpc_frames_done(struct grpc_frames *frames) {
        buf_done(&frames->message);
        frames->n_head = 0;
        frames->left = 0;
        frames->skipping = false;
}

bool grpc_frames_is_partial(const struct grpc_frames *frames) {
        return frames->n_head > 0;
}

void grpc_head_write(uint8_t head[static GRPC_HEAD_BYTES], uint32_t size) {
        head[0] = 0; /* not compressed */
        for (size_t i = 0; i < 4; i++)
                head[1 + i] = (uint8_t) (size >> (24 - 8 * i));
}

static int head_read(struct grpc_frames *frames) {
        if (frames->head[0] != 0)
                return -EBADMSG; /* we offer no compression, so there is none */
        frames->left = 0;
        for (size_t i = 1; i < GRPC_HEAD_BYTES; i++)
                frames->left = frames->left << 8 | frames->head[i];
        buf_reset(&frames->message);
        frames->skipping = frames->left > frames->message.max;
        return frames->skipping ? 1 : 0;
}

/* NOLINTNEXTLINE(readability-function-cognitive-complexity): a parser, step by step */
int grpc_frames_feed(struct grpc_frames *frames, const void *data, size_t size,
                int (*on_message)(const void *message, size_t size, bool too_long, void *userdata),
                void *userdata) {
        const uint8_t *bytes = data;
        size_t n;
        int r;

        while (size > 0) {
                if (frames->n_head < GRPC_HEAD_BYTES) {
                        frames->head[frames->n_head++] = *bytes++;
                        size--;
                        if (frames->n_head < GRPC_HEAD_BYTES)
                                continue;
                        r = head_read(frames);
                        if (r > 0)
                                r = on_message("", 0, true, userdata);
                        if (r < 0)
                                return r;
                }

                n = size < frames->left ? size : frames->left;
                r = n > 0 && !frames->skipping ? buf_append(&frames->message, bytes, n) : 0;
                if (r < 0)
                        return r;
                bytes += n;
                size -= n;
                frames->left -= (uint32_t) n;
                if (frames->left > 0)
                        return 0;

                frames->n_head = 0;
                r = frames->skipping ? 0
                                     : on_message(frames->message.size ? frames->message.data : "",
                                                       frames->message.size, false, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}
