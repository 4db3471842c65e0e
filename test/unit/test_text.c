/* Text from outside: UTF-8 by the table of RFC 3629, numbers to their last digit. */

#include <string.h>

#include "base/text.h"
#include "test.h"

#define BAD "\xef\xbf\xbd" /* U+FFFD */

static void utf8_is_what_rfc_3629_says(void **state) {
        static const struct {
                const char *text;
                bool good;
        } rows[] = {
                { "", true },
                { "a\x7f", true },
                { "\x80", false },
                { "\xc1\xbf", false }, /* overlong */
                { "\xc2\x80", true },
                { "\xdf\xbf", true },
                { "\xc2", false },
                { "\xc2\x7f", false },
                { "\xc2\xc0", false },
                { "\xe0\x9f\xbf", false }, /* overlong */
                { "\xe0\xa0\x80", true },
                { "\xe1\x80", false },
                { "\xec\xbf\xbf", true },
                { "\xed\x9f\xbf", true },
                { "\xed\xa0\x80", false }, /* a surrogate */
                { "\xee\x80\x80", true },
                { "\xef\xbf\xbf", true },
                { "\xf0\x8f\xbf\xbf", false }, /* overlong */
                { "\xf0\x90\x80\x80", true },
                { "\xf3\xbf\xbf\xbf", true },
                { "\xf4\x8f\xbf\xbf", true },
                { "\xf4\x90\x80\x80", false }, /* past U+10FFFF */
                { "\xf5\x80\x80\x80", false },
                { "\xf0\x90\x80", false },
                { "\xf0\x90\x80\x7f", false },
                { "\xfe", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (text_is_utf8(rows[i].text, strlen(rows[i].text)) != rows[i].good)
                        fail_msg("row %zu", i);
        assert_true(text_is_utf8("a\0b", 3));
        assert_false(text_is_utf8("a\0\xff", 3));
}

static void sanitizing_replaces_bad_bytes_and_ends_at_a_nul(void **state) {
        static const struct {
                const char *text;
                size_t size;
                const char *clean;
        } rows[] = {
                { "", 0, "" },
                { "plain \xc3\xa9", 8, "plain \xc3\xa9" },
                { "a\xff"
                  "b",
                                3, "a" BAD "b" },
                { "\xe2\x82", 2, BAD BAD },
                { "\xed\xa0\x80", 3, BAD BAD BAD },
                { "ab\0cd", 5, "ab" },
                { "abcdef", 3, "abc" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(freep) char *clean = NULL;

                assert_int_equal(text_sanitize(rows[i].text, rows[i].size, 100, &clean), 0);
                assert_string_equal(clean, rows[i].clean);
        }
}

static void a_cut_is_never_inside_a_character(void **state) {
        static const struct {
                const char *text;
                size_t max;
                const char *clean;
        } rows[] = {
                { "abc", 3, "abc" },
                { "abcd", 3, "abc" },
                { "a", 0, "" },
                { "ab\xc3\xa9", 4, "ab\xc3\xa9" },
                { "ab\xc3\xa9", 3, "ab" },
                { "\xf0\x9f\x98\x80", 3, "" },
                { "\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80" },
                { "a\xff", 3, "a" }, /* the replacement has three bytes */
                { "a\xff", 4, "a" BAD },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(freep) char *clean = NULL;

                assert_int_equal(text_sanitize(rows[i].text, strlen(rows[i].text), rows[i].max,
                                                 &clean),
                                0);
                assert_string_equal(clean, rows[i].clean);
        }
}

static void a_terminal_is_told_nothing(void **state) {
        static const struct {
                const char *text, *shown;
        } rows[] = {
                { "", "" },
                { "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
                                "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
                { "a\nb\tc\rd", "a\\nb\\tc\\x0dd" },
                { "\033[31mred\033[0m", "\\x1b[31mred\\x1b[0m" },
                { "\x01\x1f \x7e\x7f", "\\x01\\x1f ~\\x7f" },
                { "\x9b\x31mred", "\\x9b1mred" }, /* a CSI for a terminal of 8 bits */
                { "a\xff\xc2", "a\\xff\\xc2" },
                { "\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\\x80\\x9b\\x9f\xc2\xa0" },
                { "\u202egpj.exe\u202c \u2066\u2069\u200e\u200f\u061c",
                                "\\u202egpj.exe\\u202c \\u2066\\u2069\\u200e\\u200f\\u061c" },
                { "\u2029\u202f\u2065\u206a", "\u2029\u202f\u2065\u206a" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(freep) char *shown = text_escape_terminal(rows[i].text);

                assert_string_equal(shown, rows[i].shown);
        }
}

static void unsigned_numbers_are_read_to_the_last_one(void **state) {
        static const struct {
                const char *text;
                int result;
                uint64_t value;
        } rows[] = {
                { "0", 0, 0 },
                { "007", 0, 7 },
                { "18446744073709551615", 0, UINT64_MAX },
                { "18446744073709551616", -ERANGE, 0 },
                { "99999999999999999999999", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { "+1", -EINVAL, 0 },
                { " 1", -EINVAL, 0 },
                { "1 ", -EINVAL, 0 },
                { "0x1", -EINVAL, 0 },
                { "1.0", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                uint64_t value = 42;

                assert_int_equal(text_to_u64(rows[i].text, &value), rows[i].result);
                assert_int_equal(value, rows[i].result < 0 ? 42 : rows[i].value);
        }
}

static void signed_numbers_are_read_to_both_ends(void **state) {
        static const struct {
                const char *text;
                int result;
                int64_t value;
        } rows[] = {
                { "0", 0, 0 },
                { "-0", 0, 0 },
                { "-1", 0, -1 },
                { "9223372036854775807", 0, INT64_MAX },
                { "9223372036854775808", -ERANGE, 0 },
                { "-9223372036854775808", 0, INT64_MIN },
                { "-9223372036854775809", -ERANGE, 0 },
                { "-", -EINVAL, 0 },
                { "", -EINVAL, 0 },
                { "--1", -EINVAL, 0 },
                { "+1", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                int64_t value = 42;

                assert_int_equal(text_to_i64(rows[i].text, &value), rows[i].result);
                assert_true(value == (rows[i].result < 0 ? 42 : rows[i].value));
        }
}

static void texts_are_compared_also_where_there_is_none(void **state) {
        assert_true(text_equal(NULL, NULL));
        assert_false(text_equal(NULL, ""));
        assert_false(text_equal("", NULL));
        assert_true(text_equal("a", "a"));
        assert_false(text_equal("a", "ab"));
        assert_true(text_starts_with("abc", "ab"));
        assert_true(text_starts_with("abc", ""));
        assert_false(text_starts_with("ab", "abc"));
}

static void bytes_go_to_hexadecimal_digits_and_back(void **state) {
        static const uint8_t bytes[] = { 0x00, 0x9a, 0xbf, 0xff };
        uint8_t back[sizeof(bytes)] = {};
        char text[2 * sizeof(bytes) + 1];

        assert_string_equal(text_hex(bytes, sizeof(bytes), text), "009abfff");
        assert_int_equal(text_unhex("009abfff, and more", sizeof(back), back), 0);
        assert_memory_equal(back, bytes, sizeof(bytes));
        assert_string_equal(text_hex(bytes, 0, text), "");
        assert_int_equal(text_unhex("", 0, back), 0);
}

static void what_is_no_lower_case_hexadecimal_digit_is_refused(void **state) {
        static const char *const bad[] = { "", "0", "00", "009", "00g0", "009A", "0x12", " 012",
                "00-1" };
        uint8_t bytes[2];

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(text_unhex(bad[i], sizeof(bytes), bytes), -EINVAL);
}

static void a_word_is_found_by_its_whole_text(void **state) {
        static const char *const words[] = { "vm", "container", "vmx" };

        assert_int_equal(text_find(words, 3, "vm"), 0);
        assert_int_equal(text_find(words, 3, "vmx"), 2);
        assert_int_equal(text_find(words, 2, "vmx"), -EINVAL);
        assert_int_equal(text_find(words, 3, ""), -EINVAL);
        assert_int_equal(text_find(words, 3, "VM"), -EINVAL);
}

static void only_letters_of_ascii_are_lowered(void **state) {
        char text[8];

        text_lower("A@Z[\xc3\x84"
                   "az",
                        6, text);
        assert_string_equal(text, "a@z[\xc3\x84");
        text_lower("A", 0, text);
        assert_string_equal(text, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(utf8_is_what_rfc_3629_says),
                cmocka_unit_test(sanitizing_replaces_bad_bytes_and_ends_at_a_nul),
                cmocka_unit_test(a_cut_is_never_inside_a_character),
                cmocka_unit_test(a_terminal_is_told_nothing),
                cmocka_unit_test(unsigned_numbers_are_read_to_the_last_one),
                cmocka_unit_test(signed_numbers_are_read_to_both_ends),
                cmocka_unit_test(texts_are_compared_also_where_there_is_none),
                cmocka_unit_test(a_word_is_found_by_its_whole_text),
                cmocka_unit_test(only_letters_of_ascii_are_lowered),
                cmocka_unit_test(bytes_go_to_hexadecimal_digits_and_back),
                cmocka_unit_test(what_is_no_lower_case_hexadecimal_digit_is_refused),
        };

        return RUN_TESTS(tests);
}
