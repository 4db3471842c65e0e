/* Metrics text, byte by byte, in both dialects. */

#include <math.h>
#include <string.h>

#include "api/exposition.h"
#include "model/histogram.h"
#include "test.h"

static const struct metric_family counter = { "vw_things", METRIC_COUNTER, NULL, "Things" };
static const struct metric_family gauge = { "vw_size_bytes", METRIC_GAUGE, "bytes", "Size" };
static const struct metric_family info = { "vw_build", METRIC_INFO, NULL, "Build" };
static const struct metric_family histogram_family = { "vw_wait_seconds", METRIC_HISTOGRAM,
        "seconds", "Wait" };

static void write_all(struct exposition *exposition) {
        static const char *const names[] = { "name", "kind" };
        const char *const values[] = { "a\\b\"c\nd", "" };
        const struct metric_labels labels = { names, values, 2 };

        exposition_family(exposition, &counter);
        exposition_sample(exposition, &labels, UINT64_MAX);
        exposition_one(exposition, &gauge, 0);
        exposition_family(exposition, &info);
        exposition_sample(exposition, &(struct metric_labels){ names, values, 1 }, 1);
}

static void the_plain_dialect_names_families_as_their_samples(void **state) {
        struct exposition exposition = { .out = BUF_INIT(4096) };

        write_all(&exposition);
        assert_int_equal(exposition_end(&exposition), 0);
        assert_string_equal(exposition.out.data,
                        "# HELP vw_things_total Things\n"
                        "# TYPE vw_things_total counter\n"
                        "vw_things_total{name=\"a\\\\b\\\"c\\nd\",kind=\"\"} 18446744073709551615\n"
                        "# HELP vw_size_bytes Size\n"
                        "# TYPE vw_size_bytes gauge\n"
                        "vw_size_bytes 0\n"
                        "# HELP vw_build_info Build\n"
                        "# TYPE vw_build_info gauge\n"
                        "vw_build_info{name=\"a\\\\b\\\"c\\nd\"} 1\n");
        buf_done(&exposition.out);
}

static void openmetrics_names_families_bare_and_says_where_it_ends(void **state) {
        struct exposition exposition = { .out = BUF_INIT(4096), .openmetrics = true };

        write_all(&exposition);
        assert_int_equal(exposition_end(&exposition), 0);
        assert_string_equal(exposition.out.data,
                        "# HELP vw_things Things\n"
                        "# TYPE vw_things counter\n"
                        "vw_things_total{name=\"a\\\\b\\\"c\\nd\",kind=\"\"} 18446744073709551615\n"
                        "# HELP vw_size_bytes Size\n"
                        "# TYPE vw_size_bytes gauge\n"
                        "# UNIT vw_size_bytes bytes\n"
                        "vw_size_bytes 0\n"
                        "# HELP vw_build Build\n"
                        "# TYPE vw_build info\n"
                        "vw_build_info{name=\"a\\\\b\\\"c\\nd\"} 1\n"
                        "# EOF\n");
        buf_done(&exposition.out);
}

static void buckets_hold_all_that_took_no_longer_than_their_bound(void **state) {
        static const char *const names[] = { "path" };
        static const char *const values[] = { "/" };
        struct exposition exposition = { .out = BUF_INIT(4096) };
        struct histogram histogram = {};

        histogram_observe(&histogram, 500);
        histogram_observe(&histogram, 501);
        histogram_observe(&histogram, 1000000);
        histogram_observe(&histogram, 20000000);
        exposition_family(&exposition, &histogram_family);
        exposition_histogram(&exposition, &(struct metric_labels){ names, values, 1 }, &histogram);
        assert_int_equal(exposition_end(&exposition), 0);
        assert_string_equal(exposition.out.data,
                        "# HELP vw_wait_seconds Wait\n"
                        "# TYPE vw_wait_seconds histogram\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"0.0005\"} 1\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"0.001\"} 2\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"0.0025\"} 2\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"0.005\"} 2\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"0.01\"} 2\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"0.025\"} 2\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"0.05\"} 2\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"0.1\"} 2\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"0.25\"} 2\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"0.5\"} 2\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"1.0\"} 3\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"2.5\"} 3\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"5.0\"} 3\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"10.0\"} 3\n"
                        "vw_wait_seconds_bucket{path=\"/\",le=\"+Inf\"} 4\n"
                        "vw_wait_seconds_sum{path=\"/\"} 21.001001\n"
                        "vw_wait_seconds_count{path=\"/\"} 4\n");
        buf_done(&exposition.out);
}

static void a_text_that_does_not_fit_is_not_taken_for_whole(void **state) {
        for (size_t max = 0; max < 400; max += 7) {
                struct exposition exposition = { .out = BUF_INIT(max), .openmetrics = true };

                write_all(&exposition);
                if (exposition_end(&exposition) >= 0) {
                        assert_string_equal(
                                        exposition.out.data + exposition.out.size - 6, "# EOF\n");
                } else {
                        assert_true(max < 390);
                }
                buf_done(&exposition.out);
        }
}

static void numbers_are_scaled_without_losing_a_digit(void **state) {
        struct exposition exposition = { .out = BUF_INIT(4096) };
        size_t head;

        exposition_family(&exposition, &counter);
        head = exposition.out.size;
        exposition_scaled(&exposition, "a=\"b\"", NULL, NULL, 0, 9);
        exposition_scaled(&exposition, "a=\"b\"", "device", "v\"da", UINT64_MAX, 9);
        exposition_scaled(&exposition, "a=\"b\"", NULL, NULL, 1000000001, 9);
        exposition_scaled(&exposition, "a=\"b\"", NULL, NULL, 1500000, 6);
        exposition_scaled(&exposition, "a=\"b\"", NULL, NULL, UINT64_MAX, 0);
        exposition_scaled(&exposition, "a=\"b\"", NULL, NULL, 70, 0);
        assert_int_equal(exposition_end(&exposition), 0);
        assert_string_equal(exposition.out.data + head,
                        "vw_things_total{a=\"b\"} 0\n"
                        "vw_things_total{a=\"b\",device=\"v\\\"da\"} 18446744073.709551615\n"
                        "vw_things_total{a=\"b\"} 1.000000001\n"
                        "vw_things_total{a=\"b\"} 1.500000\n"
                        "vw_things_total{a=\"b\"} 18446744073709551615\n"
                        "vw_things_total{a=\"b\"} 70\n");
        buf_done(&exposition.out);
}

static void assert_number(double value) {
        struct exposition exposition = { .out = BUF_INIT(4096) };
        char wanted[64];
        size_t head;

        exposition_family(&exposition, &gauge);
        head = exposition.out.size;
        exposition_number(&exposition, "a=\"b\"", value);
        assert_int_equal(exposition_end(&exposition), 0);
        (void) snprintf(wanted, sizeof(wanted), "vw_size_bytes{a=\"b\"} %.6g\n", value);
        assert_string_equal(exposition.out.data + head, wanted);
        buf_done(&exposition.out);
}

static void numbers_have_six_digits_as_printf_has_them(void **state) {
        static const double numbers[] = { 0, 1, 2, 0.25, 0.1, 0.0999999, 0.09999996, 0.01, 1e-4,
                9.99999e-5, 1e-9, 0.123456789, 0.999999, 0.9999996, 9.999996, 99999.96, 123456,
                999998.4, 999999, 999999.6, 1e6, 12345678, 4294967296.0, 1e300, -0.5, -3,
                (double) INFINITY, 100, 1024.5, 65536 };
        struct exposition exposition = { .out = BUF_INIT(4096) };
        uint64_t random = 1;

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                assert_number(numbers[i]);
        for (unsigned int i = 0; i < 20000; i++) {
                random = random * 6364136223846793005U + 1442695040888963407U;
                assert_number((double) (random >> 33) / (1U << 31) *
                                numbers[10 + (random >> 8) % 10]);
        }
        exposition_family(&exposition, &gauge);
        exposition_number(&exposition, "a=\"b\"", (double) NAN);
        assert_null(strchr(exposition.out.data, '}'));
        buf_done(&exposition.out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_plain_dialect_names_families_as_their_samples),
                cmocka_unit_test(openmetrics_names_families_bare_and_says_where_it_ends),
                cmocka_unit_test(buckets_hold_all_that_took_no_longer_than_their_bound),
                cmocka_unit_test(numbers_are_scaled_without_losing_a_digit),
                cmocka_unit_test(numbers_have_six_digits_as_printf_has_them),
                cmocka_unit_test(a_text_that_does_not_fit_is_not_taken_for_whole),
        };

        return RUN_TESTS(tests);
}
