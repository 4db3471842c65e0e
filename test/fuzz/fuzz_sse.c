/* A stream has the same events whether it comes whole, byte by byte, or cut in the middle. */

#include <string.h>

#include "cli/cli.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_event(const char *data, size_t size, void *userdata) {
        struct buf *seen = userdata;

        assert(buf_printf(seen, "%zu:", size) == 0);
        assert(buf_append(seen, data, size) == 0);
}

/* All events of the stream, and its last id, when fed in pieces of @piece bytes. */
static void read_in_pieces(const char *text, size_t size, size_t piece, struct buf *seen) {
        struct sse_parser parser = SSE_PARSER_INIT;

        for (size_t i = 0; i < size; i += piece)
                assert(sse_parser_feed(&parser, text + i, size - i < piece ? size - i : piece,
                                       on_event, seen) == 0);
        assert(buf_append_str(seen, parser.id) == 0);
        assert(strlen(parser.id) < sizeof(parser.id));
        sse_parser_done(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const size_t pieces[] = { size + 1, 1, size / 2 + 1 };
        struct buf seen[ARRAY_SIZE(pieces)];

        if (size > 65536)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
                seen[i] = (struct buf) BUF_INIT(1 << 24);
                read_in_pieces((const char *) data, size, pieces[i], &seen[i]);
                assert(seen[i].size == seen[0].size);
                assert(memcmp(seen[i].data, seen[0].data, seen[0].size) == 0);
        }
        for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
                buf_done(&seen[i]);
        return 0;
}
