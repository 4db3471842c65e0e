/* gRPC frames: a recorded stream cut in every way, and streams that are broken. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "source/grpc_frames.h"
#include "test.h"

struct seen {
        unsigned int messages, too_long;
        size_t bytes;
        uint32_t sum;
        int answer;
};

static int on_message(const void *message, size_t size, bool too_long, void *userdata) {
        struct seen *seen = userdata;
        const uint8_t *bytes = message;

        assert_non_null(message);
        seen->messages += !too_long;
        seen->too_long += too_long;
        seen->bytes += size;
        for (size_t i = 0; i < size; i++)
                seen->sum = seen->sum * 31 + bytes[i];
        seen->sum = seen->sum * 31 + (uint32_t) size;
        return seen->answer;
}

static size_t read_fixture(uint8_t *data, size_t size) {
        FILE *file = fopen(FIXTURES_DIR "/containerd16-subscribe.grpc.bin", "re");
        size_t n;

        assert_non_null(file);
        n = fread(data, 1, size, file);
        (void) fclose(file);
        assert_true(n > 1000 && n < size);
        return n;
}

static void a_recorded_stream_is_the_same_however_it_is_cut(void **state) {
        struct grpc_frames whole = GRPC_FRAMES_INIT(65536);
        struct seen expected = {};
        uint8_t data[4096];
        size_t size = read_fixture(data, sizeof(data));

        assert_int_equal(grpc_frames_feed(&whole, data, size, on_message, &expected), 0);
        assert_int_equal(expected.messages, 9);
        assert_int_equal(expected.bytes, size - 9 * GRPC_HEAD_BYTES);
        assert_false(grpc_frames_is_partial(&whole));
        grpc_frames_done(&whole);

        for (size_t step = 1; step < 200; step++) {
                struct grpc_frames frames = GRPC_FRAMES_INIT(65536);
                struct seen seen = {};

                for (size_t at = 0; at < size; at += step) {
                        size_t n = size - at < step ? size - at : step;

                        assert_int_equal(grpc_frames_feed(&frames, data + at, n, on_message, &seen),
                                        0);
                }
                assert_int_equal(seen.messages, expected.messages);
                assert_int_equal(seen.sum, expected.sum);
                assert_false(grpc_frames_is_partial(&frames));
                grpc_frames_done(&frames);
        }
}

static void a_cut_stream_is_told_from_a_whole_one(void **state) {
        uint8_t data[4096];
        size_t size = read_fixture(data, sizeof(data));
        unsigned int boundaries = 0;

        for (size_t n = 1; n <= size; n++) {
                struct grpc_frames frames = GRPC_FRAMES_INIT(65536);
                struct seen seen = {};

                assert_int_equal(grpc_frames_feed(&frames, data, n, on_message, &seen), 0);
                boundaries += !grpc_frames_is_partial(&frames);
                grpc_frames_done(&frames);
        }
        assert_int_equal(boundaries, 9);
}

static void a_message_past_the_limit_is_skipped_and_the_stream_goes_on(void **state) {
        struct grpc_frames frames = GRPC_FRAMES_INIT(16);
        uint8_t stream[] = { 0, 0, 0, 0, 17,                       /* one too long */
                1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* its bytes */
                0, 0, 0, 0, 0,                                     /* one without any */
                0, 0, 0, 0, 2, 'o', 'k' };

        for (size_t step = 1; step <= sizeof(stream); step++) {
                struct seen seen = {};

                for (size_t at = 0; at < sizeof(stream); at += step) {
                        size_t n = sizeof(stream) - at < step ? sizeof(stream) - at : step;

                        assert_int_equal(grpc_frames_feed(&frames, stream + at, n, on_message,
                                                         &seen),
                                        0);
                }
                assert_int_equal(seen.too_long, 1);
                assert_int_equal(seen.messages, 2);
                assert_int_equal(seen.bytes, 2);
        }
        grpc_frames_done(&frames);
}

static void a_length_alone_takes_no_memory(void **state) {
        static const uint8_t head[] = { 0, 0x03, 0xff, 0xff, 0xff, 'x' };
        struct grpc_frames frames = GRPC_FRAMES_INIT(64U << 20);
        struct seen seen = {};

        assert_int_equal(grpc_frames_feed(&frames, head, sizeof(head), on_message, &seen), 0);
        assert_true(grpc_frames_is_partial(&frames));
        assert_true(frames.message.allocated < 4096);
        assert_int_equal(seen.messages + seen.too_long, 0);
        grpc_frames_done(&frames);
}

static void what_cannot_be_a_frame_ends_the_stream(void **state) {
        static const uint8_t flags[] = { 1, 2, 0x80, 0xff, 'H' };

        for (size_t i = 0; i < sizeof(flags); i++) {
                const uint8_t stream[] = { flags[i], 0, 0, 0, 1, 'x' };
                struct grpc_frames frames = GRPC_FRAMES_INIT(16);
                struct seen seen = {};

                assert_int_equal(grpc_frames_feed(&frames, stream, sizeof(stream), on_message,
                                                 &seen),
                                -EBADMSG);
                assert_int_equal(seen.messages, 0);
                grpc_frames_done(&frames);
        }
}

static void the_readers_error_ends_it_at_that_message(void **state) {
        static const uint8_t stream[] = { 0, 0, 0, 0, 1, 'a', 0, 0, 0, 0, 1, 'b' };
        struct grpc_frames frames = GRPC_FRAMES_INIT(16);
        struct seen seen = { .answer = -EMSGSIZE };

        assert_int_equal(grpc_frames_feed(&frames, stream, sizeof(stream), on_message, &seen),
                        -EMSGSIZE);
        assert_int_equal(seen.messages, 1);
        grpc_frames_done(&frames);
}

static void a_head_that_is_written_is_read_again(void **state) {
        static const uint32_t sizes[] = { 0, 1, 255, 256, 65535, 65536 };

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                struct grpc_frames frames = GRPC_FRAMES_INIT(1U << 20);
                uint8_t *stream = calloc(1, GRPC_HEAD_BYTES + sizes[i]);
                struct seen seen = {};

                assert_non_null(stream);
                grpc_head_write(stream, sizes[i]);
                assert_int_equal(grpc_frames_feed(&frames, stream, GRPC_HEAD_BYTES + sizes[i],
                                                 on_message, &seen),
                                0);
                assert_int_equal(seen.messages, 1);
                assert_int_equal(seen.bytes, sizes[i]);
                grpc_frames_done(&frames);
                free(stream);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_recorded_stream_is_the_same_however_it_is_cut),
                cmocka_unit_test(a_cut_stream_is_told_from_a_whole_one),
                cmocka_unit_test(a_message_past_the_limit_is_skipped_and_the_stream_goes_on),
                cmocka_unit_test(a_length_alone_takes_no_memory),
                cmocka_unit_test(what_cannot_be_a_frame_ends_the_stream),
                cmocka_unit_test(the_readers_error_ends_it_at_that_message),
                cmocka_unit_test(a_head_that_is_written_is_read_again),
        };

        return RUN_TESTS(tests);
}
