/* The buffer: its text stays a text, and its limit is a limit. */

#include <string.h>

#include "base/buf.h"
#include "test.h"

static void what_is_appended_is_there_and_ends_with_a_nul(void **state) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(100);

        assert_null(buf.data);
        assert_int_equal(buf_append(&buf, "ab\0c", 4), 0);
        assert_int_equal(buf_append_str(&buf, "de"), 0);
        assert_int_equal(buf_printf(&buf, "-%d-%s", 7, "f"), 0);
        assert_int_equal(buf.size, 10);
        assert_memory_equal(buf.data, "ab\0cde-7-f", 11);
}

static void nothing_appended_gives_an_empty_text(void **state) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(0);
        _cleanup_(freep) char *text = NULL;

        assert_int_equal(buf_append(&buf, NULL, 0), 0);
        assert_int_equal(buf.size, 0);
        text = buf_take(&buf);
        assert_string_equal(text, "");
        assert_null(buf.data);
}

static void the_limit_is_reached_and_not_passed(void **state) {
        static const size_t limits[] = { 1, 255, 256, 257, 511, 4096 };

        for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
                _cleanup_(buf_done) struct buf buf = BUF_INIT(limits[i]);

                for (size_t n = 0; n < limits[i]; n++)
                        assert_int_equal(buf_append(&buf, "x", 1), 0);
                assert_int_equal(buf_append(&buf, "y", 1), -ENOSPC);
                assert_int_equal(buf_append_str(&buf, "y"), -ENOSPC);
                assert_int_equal(buf_printf(&buf, "%c", 'y'), -ENOSPC);
                assert_int_equal(buf_append_str(&buf, ""), 0);
                assert_int_equal(buf.size, limits[i]);
                assert_int_equal(strspn(buf.data, "x"), limits[i]);
                assert_int_equal(buf.data[limits[i]], '\0');
        }
}

static void what_does_not_fit_changes_nothing(void **state) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(4);

        assert_int_equal(buf_append_str(&buf, "abc"), 0);
        assert_int_equal(buf_append_str(&buf, "de"), -ENOSPC);
        assert_int_equal(buf_append(&buf, "d", SIZE_MAX), -ENOSPC);
        assert_string_equal(buf.data, "abc");
        assert_int_equal(buf_append_str(&buf, "d"), 0);
        assert_string_equal(buf.data, "abcd");
}

static void consuming_leaves_the_rest(void **state) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(10);

        buf_consume(&buf, 0);
        assert_int_equal(buf_append_str(&buf, "0123456789"), 0);
        buf_consume(&buf, 4);
        assert_string_equal(buf.data, "456789");
        assert_int_equal(buf_append_str(&buf, "abcd"), 0);
        assert_int_equal(buf_append_str(&buf, "e"), -ENOSPC);
        buf_consume(&buf, 10);
        assert_string_equal(buf.data, "");
        assert_int_equal(buf.size, 0);
}

static void a_reset_buffer_keeps_its_limit(void **state) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(3);
        _cleanup_(freep) char *text = NULL;

        buf_reset(&buf);
        assert_int_equal(buf_append_str(&buf, "abc"), 0);
        buf_reset(&buf);
        assert_string_equal(buf.data, "");
        assert_int_equal(buf_append_str(&buf, "def"), 0);
        text = buf_take(&buf);
        assert_string_equal(text, "def");
        assert_int_equal(buf_append_str(&buf, "four"), -ENOSPC);
        buf_done(&buf);
        assert_int_equal(buf.max, 3);
        assert_int_equal(buf_append_str(&buf, "ghi"), 0);
}

static void what_is_written_in_place_is_content(void **state) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(10);

        assert_int_equal(buf_reserve(&buf, 11), -ENOSPC);
        assert_int_equal(buf_reserve(&buf, 10), 0);
        memcpy(buf.data, "abc", 3);
        buf_wrote(&buf, 3);
        assert_string_equal(buf.data, "abc");
        assert_int_equal(buf_reserve(&buf, 8), -ENOSPC);
        assert_int_equal(buf_reserve(&buf, 7), 0);
        buf_wrote(&buf, 0);
        assert_string_equal(buf.data, "abc");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_appended_is_there_and_ends_with_a_nul),
                cmocka_unit_test(nothing_appended_gives_an_empty_text),
                cmocka_unit_test(the_limit_is_reached_and_not_passed),
                cmocka_unit_test(what_does_not_fit_changes_nothing),
                cmocka_unit_test(consuming_leaves_the_rest),
                cmocka_unit_test(a_reset_buffer_keeps_its_limit),
                cmocka_unit_test(what_is_written_in_place_is_content),
        };

        return RUN_TESTS(tests);
}
