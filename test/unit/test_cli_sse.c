/* The client's stream parser: the same events however the bytes are cut. */

#include <string.h>

#include "cli/cli.h"
#include "test.h"

struct seen {
        char text[4096]; /* "[data][data]…" */
        size_t n, bytes;
};

static void on_event(const char *data, size_t size, void *userdata) {
        struct seen *seen = userdata;
        size_t at = strlen(seen->text);

        seen->n++;
        seen->bytes += size;
        (void) snprintf(seen->text + at, sizeof(seen->text) - at, "[%.*s]",
                        size > 100 ? 3 : (int) size, data);
}

static void feed(struct sse_parser *parser, const char *text, struct seen *seen) {
        assert_int_equal(sse_parser_feed(parser, text, strlen(text), on_event, seen), 0);
}

static const struct {
        const char *stream, *events, *id;
} rows[] = {
        { "data: a\n\n", "[a]", "" },
        { "data:a\n\n", "[a]", "" },
        { "data:  a\n\n", "[ a]", "" },
        { "data: a\r\n\r\n", "[a]", "" },
        { "data: a\r\r", "[a]", "" },
        { "data: a\r\ndata: b\r\n\r\n", "[a\nb]", "" },
        { "data: a\rdata: b\r\r\n\n", "[a\nb]", "" },
        { "id: 7\ndata: a\n\n", "[a]", "7" },
        { "id: 7\ndata: a\n\nid: 8\n\n", "[a]", "8" },
        { "data: a\ndata: b\n\n", "[a\nb]", "" },
        { "data\n\n", "[]", "" },
        { "data:\ndata:\n\n", "[\n]", "" },
        { ": a comment\n\n:\n\ndata: a\n\n", "[a]", "" },
        { "event: x\ndata: a\nretry: 5\nnonsense\n\n", "[a]", "" },
        { "dat: a\ndataa: b\ndata : c\n\n", "", "" },
        { "\n\n\r\n\r\n", "", "" },
        { "data: {\"a\":\"b:c\"}\n\n", "[{\"a\":\"b:c\"}]", "" },
        { "data: a", "", "" },
        { "data: a\n", "", "" },
        { "id: 1\ndata: a\n\nid: 2\ndata: b\n\n", "[a][b]", "2" },
        { "id: 0123456789012345678901234567890\n\n", "", "0123456789012345678901234567890" },
        { "id: 5\n\nid: 01234567890123456789012345678901\n\n", "", "5" }, /* too long for one */
        { "id: 5\n\nid\n\n", "", "" },
};

static void a_stream_has_its_events(void **state) {
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct sse_parser parser = SSE_PARSER_INIT;
                struct seen seen = {};

                feed(&parser, rows[i].stream, &seen);
                assert_string_equal(seen.text, rows[i].events);
                assert_string_equal(parser.id, rows[i].id);
                sse_parser_done(&parser);
        }
}

static void cuts_anywhere_change_nothing(void **state) {
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                size_t size = strlen(rows[i].stream);

                for (size_t a = 0; a <= size; a++) {
                        for (size_t b = a; b <= size; b++) {
                                struct sse_parser parser = SSE_PARSER_INIT;
                                const char *stream = rows[i].stream;
                                struct seen seen = {};

                                (void) sse_parser_feed(&parser, stream, a, on_event, &seen);
                                (void) sse_parser_feed(&parser, stream + a, b - a, on_event, &seen);
                                (void) sse_parser_feed(
                                                &parser, stream + b, size - b, on_event, &seen);
                                assert_string_equal(seen.text, rows[i].events);
                                assert_string_equal(parser.id, rows[i].id);
                                sse_parser_done(&parser);
                        }
                }
        }
}

#define LINE_MAX_BYTES (1U << 20)

/* "data: xxx…" with a line of @n bytes. */
static void feed_line(struct sse_parser *parser, size_t n, struct seen *seen) {
        char *line = malloc(n + 1);

        assert_non_null(line);
        memset(line, 'x', n);
        memcpy(line, "data: ", 6);
        line[n] = '\n';
        assert_int_equal(sse_parser_feed(parser, line, n + 1, on_event, seen), 0);
        free(line);
}

static void a_line_up_to_the_limit_is_taken(void **state) {
        struct sse_parser parser = SSE_PARSER_INIT;
        struct seen seen = {};

        feed_line(&parser, LINE_MAX_BYTES, &seen);
        feed(&parser, "\n", &seen);
        assert_int_equal(seen.n, 1);
        assert_int_equal(seen.bytes, LINE_MAX_BYTES - 6);
        assert_int_equal(parser.too_long, 0);
        feed_line(&parser, LINE_MAX_BYTES + 1, &seen);
        feed(&parser, "\n", &seen);
        assert_int_equal(parser.too_long, 1);
        feed(&parser, "data: after\n\n", &seen);
        assert_non_null(strstr(seen.text, "[after]"));
        sse_parser_done(&parser);
}

static void the_rest_of_a_long_line_is_no_line(void **state) {
        static char line[LINE_MAX_BYTES + 100];
        struct sse_parser parser = SSE_PARSER_INIT;
        struct seen seen = {};

        memset(line, 'x', sizeof(line) - 1);
        memcpy(line + LINE_MAX_BYTES + 1, "data: forged", strlen("data: forged"));
        feed(&parser, line, &seen);
        feed(&parser, "\n\ndata: after\n\n", &seen);
        assert_string_equal(seen.text, "[after]");
        assert_int_equal(parser.too_long, 1);
        sse_parser_done(&parser);
}

static void an_event_with_a_part_that_is_too_long_is_refused_whole(void **state) {
        struct sse_parser parser = SSE_PARSER_INIT;
        struct seen seen = {};

        feed(&parser, "data: first\n", &seen);
        feed_line(&parser, LINE_MAX_BYTES + 1, &seen);
        feed(&parser, "data: last\n\n", &seen);
        assert_string_equal(seen.text, "");

        feed_line(&parser, LINE_MAX_BYTES, &seen);
        feed(&parser, "data: 12345\n\n", &seen); /* one byte too many, in all */
        assert_string_equal(seen.text, "");
        assert_int_equal(parser.too_long, 2);
        feed_line(&parser, LINE_MAX_BYTES, &seen);
        feed(&parser, "data: 1234\n\n", &seen);
        assert_int_equal(seen.bytes, LINE_MAX_BYTES - 1);
        feed(&parser, "data: after\n\n", &seen);
        assert_non_null(strstr(seen.text, "[after]"));
        sse_parser_done(&parser);
}

static void an_id_counts_only_once_its_event_is_complete(void **state) {
        struct sse_parser parser = SSE_PARSER_INIT;
        struct seen seen = {};

        feed(&parser, "id: 4\ndata: a\n\nid: 5\ndata: {\"cut", &seen);
        assert_string_equal(parser.id, "4");
        sse_parser_begin(&parser); /* connected again, after 4 */
        feed(&parser, "id: 5\ndata: b\n\n", &seen);
        assert_string_equal(seen.text, "[a][b]");
        assert_string_equal(parser.id, "5");
        feed(&parser, "id: 6\n", &seen);
        sse_parser_begin(&parser);
        feed(&parser, "data: c\n\n", &seen);
        assert_string_equal(parser.id, "5");
        assert_string_equal(seen.text, "[a][b][c]");
        sse_parser_done(&parser);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_stream_has_its_events),
                cmocka_unit_test(cuts_anywhere_change_nothing),
                cmocka_unit_test(a_line_up_to_the_limit_is_taken),
                cmocka_unit_test(the_rest_of_a_long_line_is_no_line),
                cmocka_unit_test(an_event_with_a_part_that_is_too_long_is_refused_whole),
                cmocka_unit_test(an_id_counts_only_once_its_event_is_complete),
        };

        return RUN_TESTS(tests);
}
