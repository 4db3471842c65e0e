/* A gRPC stream: it is read the same in one piece and byte by byte, up to the same error. */

#include "source/grpc_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
        uint64_t sum;
        size_t bytes;
};

static int on_message(const void *message, size_t size, bool too_long, void *userdata) {
        struct seen *seen = userdata;
        const uint8_t *bytes = message;

        assert(message && (!too_long || size == 0));
        seen->bytes += size;
        seen->sum = seen->sum * 31 + 2 * size + too_long + 1;
        for (size_t i = 0; i < size; i++)
                seen->sum = seen->sum * 31 + bytes[i];
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct grpc_frames whole = GRPC_FRAMES_INIT(1024), cut = GRPC_FRAMES_INIT(1024);
        struct seen seen_whole = {}, seen_cut = {};
        int r, s = 0;

        if (size > 65536)
                return 0;
        r = grpc_frames_feed(&whole, data, size, on_message, &seen_whole);
        for (size_t i = 0; i < size && s == 0; i++)
                s = grpc_frames_feed(&cut, data + i, 1, on_message, &seen_cut);
        assert(r == s && (r == 0 || r == -EBADMSG || r == -ENOMEM));
        assert(seen_whole.sum == seen_cut.sum && seen_whole.bytes <= size);
        assert(grpc_frames_is_partial(&whole) == grpc_frames_is_partial(&cut));
        grpc_frames_done(&whole);
        grpc_frames_done(&cut);
        return 0;
}
