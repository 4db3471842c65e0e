/* Times as people and runtimes write them. */

#include <string.h>

#include "base/clock.h"
#include "test.h"

static void a_time_is_written_with_as_many_digits_as_it_needs(void **state) {
        static const struct {
                uint64_t time_us;
                const char *text;
        } rows[] = {
                { 0, "1970-01-01T00:00:00Z" },
                { 1, "1970-01-01T00:00:00.000001Z" },
                { 999999, "1970-01-01T00:00:00.999999Z" },
                { 1000000, "1970-01-01T00:00:01Z" },
                { UINT64_C(951827696500000), "2000-02-29T12:34:56.500000Z" },
                { UINT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z" },
        };
        char text[CLOCK_RFC3339_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                uint64_t time_us;

                assert_string_equal(clock_format_rfc3339(rows[i].time_us, text), rows[i].text);
                assert_int_equal(clock_parse_rfc3339(text, &time_us), 0);
                assert_int_equal(time_us, rows[i].time_us);
        }
        assert_true(strlen(clock_format_rfc3339(UINT64_MAX, text)) < CLOCK_RFC3339_MAX);
}

static void times_are_read_with_any_offset_and_fraction(void **state) {
        static const struct {
                const char *text;
                uint64_t time_us;
        } rows[] = {
                { "2026-06-07T12:00:01z", UINT64_C(1780833601000000) },
                { "2026-06-07T12:00:01.5Z", UINT64_C(1780833601500000) },
                { "2026-06-07T12:00:01.123456789Z", UINT64_C(1780833601123456) },
                { "2026-06-07T14:00:01+02:00", UINT64_C(1780833601000000) },
                { "2026-06-07T06:30:01-05:30", UINT64_C(1780833601000000) },
                { "2026-06-08T11:59:01.25+23:59", UINT64_C(1780833601250000) },
                { "2028-02-29T00:00:00Z", UINT64_C(1835395200000000) },
                { "2016-12-31T23:59:60Z", UINT64_C(1483228800000000) }, /* a leap second */
                { "1970-01-01T00:00:00Z", 0 },
                { "1969-12-31T23:00:00-01:00", 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                uint64_t time_us = 42;

                assert_int_equal(clock_parse_rfc3339(rows[i].text, &time_us), 0);
                assert_int_equal(time_us, rows[i].time_us);
        }
}

static void what_is_no_time_is_refused(void **state) {
        static const struct {
                const char *text;
                int result;
        } rows[] = {
                { "", -EINVAL },
                { "now", -EINVAL },
                { " 2026-06-07T12:00:01Z", -EINVAL },
                { "2026-06-07", -EINVAL },
                { "2026-06-07 12:00:01Z", -EINVAL },
                { "2026-06-07T12:00:01", -EINVAL },
                { "2026-06-07T12:00:01Zx", -EINVAL },
                { "2026-06-07T12:00:01+2:00", -EINVAL },
                { "2026-06-07T12:00:01+02-00", -EINVAL },
                { "2026-06-07T12:00:01+24:00", -EINVAL },
                { "2026-06-07T12:00:01+23:60", -EINVAL },
                { "2026-06-07T12:00:01+0a:00", -EINVAL },
                { "2026-06-07T12:00:01.Z", -EINVAL },
                { "2026-6-7T12:00:01Z", -EINVAL },
                { "2026-06- 7T12: 0:01Z", -EINVAL },
                { "226-06-07T12:00:01Z", -EINVAL },
                { "2026-02-29T12:00:01Z", -EINVAL },
                { "2026-04-31T12:00:01Z", -EINVAL },
                { "2026-13-07T12:00:01Z", -EINVAL },
                { "2026-06-32T12:00:01Z", -EINVAL },
                { "2026-06-07T24:00:01Z", -EINVAL },
                { "2026-06-07T12:60:01Z", -EINVAL },
                { "0001-01-01T00:00:00Z", -ERANGE }, /* docker's "never" */
                { "1969-12-31T23:59:59Z", -ERANGE },
                { "1970-01-01T00:00:00+00:01", -ERANGE },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                uint64_t time_us = 42;

                if (clock_parse_rfc3339(rows[i].text, &time_us) != rows[i].result)
                        fail_msg("%s", rows[i].text);
                assert_int_equal(time_us, 42);
        }
}

static void spans_are_written_in_the_largest_unit_that_says_them_whole(void **state) {
        static const char *const texts[] = { "0", "7us", "250ms", "1s", "90s", "5m", "2h", "30d" };
        char text[CLOCK_SPAN_MAX];
        uint64_t span_us;

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                assert_int_equal(clock_parse_span(texts[i], &span_us), 0);
                assert_string_equal(clock_format_span(span_us, text), texts[i]);
        }
}

static void spans_are_read_in_every_unit_to_their_end(void **state) {
        static const struct {
                const char *text;
                int result;
                uint64_t span_us;
        } rows[] = {
                { "0", 0, 0 },
                { "5", 0, 5000000 },
                { "7us", 0, 7 },
                { "250ms", 0, 250000 },
                { "1s", 0, 1000000 },
                { "5m", 0, 300000000 },
                { "2h", 0, UINT64_C(7200000000) },
                { "7d", 0, UINT64_C(604800000000) },
                { "18446744073709551615us", 0, UINT64_MAX },
                { "18446744073709551616us", -ERANGE, 0 },
                { "18446744073709551ms", 0, UINT64_C(18446744073709551000) },
                { "18446744073709552ms", -ERANGE, 0 },
                { "18446744073709s", 0, UINT64_C(18446744073709000000) },
                { "18446744073710", -ERANGE, 0 },
                { "213503982d", 0, UINT64_C(18446744044800000000) },
                { "213503983d", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { "s", -EINVAL, 0 },
                { "-1s", -EINVAL, 0 },
                { "1.5s", -EINVAL, 0 },
                { "1 s", -EINVAL, 0 },
                { "1S", -EINVAL, 0 },
                { "1w", -EINVAL, 0 },
                { "1h30m", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                uint64_t span_us = 42;

                if (clock_parse_span(rows[i].text, &span_us) != rows[i].result)
                        fail_msg("%s", rows[i].text);
                assert_int_equal(span_us, rows[i].result < 0 ? 42 : rows[i].span_us);
        }
}

static void a_monotonic_instant_has_its_realtime(void **state) {
        uint64_t before_us = clock_realtime_us();
        uint64_t then_us = clock_realtime_of_monotonic_us(clock_monotonic_us());

        assert_true(then_us + 1000 >= before_us);
        assert_true(then_us <= clock_realtime_us() + 1000);
        assert_true(clock_realtime_us() > UINT64_C(1700000000000000));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_time_is_written_with_as_many_digits_as_it_needs),
                cmocka_unit_test(times_are_read_with_any_offset_and_fraction),
                cmocka_unit_test(what_is_no_time_is_refused),
                cmocka_unit_test(spans_are_written_in_the_largest_unit_that_says_them_whole),
                cmocka_unit_test(spans_are_read_in_every_unit_to_their_end),
                cmocka_unit_test(a_monotonic_instant_has_its_realtime),
        };

        return RUN_TESTS(tests);
}
