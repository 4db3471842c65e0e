/* Series by host, their windows, and rows of days. */

#include <math.h>
#include <string.h>

#include "engine/analytics.h"
#include "test.h"

#define DAY       UINT64_C(20778) /* 2026-11-21 */
#define NOW_US    (DAY * ROLLUP_DAY_US + 3600 * USEC_PER_SEC)
#define MINUTE_US (60 * USEC_PER_SEC)

struct fixture {
        struct analytics *analytics;
        /* what was asked of the store */
        char hosts[4][64];
        size_t n_hosts;
        uint32_t from_day, days;
        int refuse, error;
        const struct rollup *rollups;
        size_t n_rollups;
        /* what was answered */
        struct analytics_row rows[4];
        size_t n_rows;
        int answer;
};

static int on_query(const char *const *hosts, size_t n_hosts, uint32_t from_day, uint32_t days,
                void (*done)(int error, const struct rollup *rows, size_t n, void *userdata),
                void *done_userdata, void *userdata) {
        struct fixture *f = userdata;

        if (f->refuse < 0)
                return f->refuse;
        f->n_hosts = n_hosts;
        for (size_t i = 0; i < n_hosts; i++)
                (void) snprintf(f->hosts[i], sizeof(f->hosts[i]), "%s", hosts[i]);
        f->from_day = from_day;
        f->days = days;
        done(f->error, f->rollups, f->n_rollups, done_userdata);
        return 0;
}

static void on_rows(int error, const struct analytics_row *rows, size_t n, void *userdata) {
        struct fixture *f = userdata;

        f->answer = error;
        f->n_rows = n;
        for (size_t i = 0; i < n; i++)
                f->rows[i] = rows[i];
}

static bool is_own(const char *host, void *userdata) {
        return strcmp(host, "own") == 0;
}

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_int_equal(analytics_new(&(struct analytics_hooks){ .query = on_query,
                                                       .is_own = is_own,
                                                       .userdata = f },
                                         &f->analytics),
                        0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        analytics_free(f->analytics);
        free(f);
        return 0;
}

static void add(struct fixture *f, const char *host, unsigned int status, unsigned int n,
                uint64_t duration_ns, uint64_t at_us) {
        struct access_line line = { .time_us = NOW_US,
                .status = status,
                .has_duration = true,
                .duration_ns = duration_ns };
        struct rollup_set *set;

        (void) snprintf(line.host, sizeof(line.host), "%s", host);
        assert_int_equal(rollup_set_new(&set), 0);
        while (n-- > 0)
                assert_int_equal(rollup_set_add(set, &line, NOW_US), 0);
        analytics_add(f->analytics, set, at_us);
        rollup_set_free(set);
}

/* What one host has, copied out. */
struct seen {
        const char *host;
        size_t n;
        uint64_t requests, recent;
        double rate, p50_ms;
};

static void look(const struct analytics_series *series, void *userdata) {
        struct seen *seen = userdata;

        seen->n++;
        if (strcmp(series->host, seen->host) != 0)
                return;
        seen->requests = series->total->requests;
        seen->rate = series->requests_per_second;
        seen->recent = series->latency->count;
        seen->p50_ms = (double) latency_quantile_ns(series->latency, 0.5) / 1e6;
}

static struct seen see(struct fixture *f, const char *host, uint64_t at_us) {
        struct seen seen = { .host = host };

        analytics_each(f->analytics, at_us, look, &seen);
        return seen;
}

static void assert_near(double a, double b) {
        if (fabs(a - b) > b / 100 + 1e-9)
                fail_msg("%g is not about %g", a, b);
}

static void rates_are_of_the_last_minute_and_totals_stay(void **state) {
        struct fixture *f = *state;
        uint64_t at_us = 100 * MINUTE_US;

        add(f, "a", 200, 60, 1000000, at_us);
        add(f, "a", 502, 60, 1000000, at_us + 30 * USEC_PER_SEC);
        assert_near(see(f, "a", at_us + 31 * USEC_PER_SEC).rate, 2);
        assert_near(see(f, "a", at_us + 65 * USEC_PER_SEC).rate, 1);
        assert_near(see(f, "a", at_us + 10 * MINUTE_US).rate, 0);
        assert_int_equal(see(f, "a", at_us + 10 * MINUTE_US).requests, 120);
        add(f, "a", 200, 60, 1000000, at_us + 20 * MINUTE_US);
        assert_near(see(f, "a", at_us + 20 * MINUTE_US).rate, 1);
}

static void a_steady_rate_is_told_whenever_it_is_looked_at(void **state) {
        struct fixture *f = *state;
        uint64_t at_us = 100 * MINUTE_US;
        double rate;

        for (unsigned int i = 0; i < 1200; i++) { /* as batches come: four a second */
                add(f, "a", 200, 5, 1000000, at_us);
                rate = see(f, "a", at_us).rate;
                if (i > 240 && (rate < 19.6 || rate > 20.1))
                        fail_msg("%g after %u batches", rate, i);
                at_us += 250 * USEC_PER_MSEC;
        }
}

static void percentiles_are_of_this_minute_and_the_one_before(void **state) {
        struct fixture *f = *state;
        uint64_t at_us = 100 * MINUTE_US;

        add(f, "a", 200, 10, 1000000, at_us);
        add(f, "a", 200, 11, 50000000, at_us + MINUTE_US);
        assert_int_equal(see(f, "a", at_us + MINUTE_US).recent, 21);
        assert_near(see(f, "a", at_us + MINUTE_US).p50_ms, 50);
        assert_int_equal(see(f, "a", at_us + 2 * MINUTE_US).recent, 11);
        assert_int_equal(see(f, "a", at_us + 3 * MINUTE_US).recent, 0);
        add(f, "a", 200, 1, 1000000, at_us + 9 * MINUTE_US);
        assert_int_equal(see(f, "a", at_us + 9 * MINUTE_US).recent, 1);
}

static void hosts_past_the_cap_share_one_series(void **state) {
        struct fixture *f = *state;
        char host[16];

        for (unsigned int i = 0; i < ANALYTICS_SERIES_MAX + 5; i++) {
                (void) snprintf(host, sizeof(host), "h%u", i);
                add(f, host, 200, 1, 1, MINUTE_US);
        }
        add(f, "h0", 200, 1, 1, MINUTE_US);
        assert_int_equal(see(f, ROLLUP_OTHER, MINUTE_US).requests, 5);
        assert_int_equal(see(f, "h0", MINUTE_US).requests, 2);
        assert_int_equal(see(f, "h0", MINUTE_US).n, ANALYTICS_SERIES_MAX + 1);
        add(f, "own", 200, 3, 1, MINUTE_US); /* an app's */
        assert_int_equal(see(f, "own", MINUTE_US).requests, 3);
        assert_int_equal(see(f, ROLLUP_OTHER, MINUTE_US).requests, 5);
}

static void rows_are_of_the_days_up_to_today(void **state) {
        const char *const hosts[] = { "A.test:8080", "b.TEST", "a.test", "[::1]:80", "b.test:1" };
        struct rollup days[2] = {
                { .day = DAY - 6, .requests = 7, .classes = { 1, 0, 2, 1, 1, 2 }, .bytes_out = 99 },
                { .day = DAY, .requests = 1 }
        };
        struct fixture *f = *state;

        assert_int_equal(latency_add(&days[0].latency, 20000000), 0);
        f->rollups = days;
        f->n_rollups = 2;
        assert_int_equal(analytics_query(f->analytics, hosts, 5, 7, NOW_US, on_rows, f), 0);
        assert_int_equal(f->from_day, DAY - 6);
        assert_int_equal(f->days, 7);
        assert_string_equal(f->hosts[0], "a.test");
        assert_string_equal(f->hosts[1], "b.test");
        assert_string_equal(f->hosts[2], "::1");
        assert_int_equal(f->n_hosts, 3); /* each once, whatever its ports */
        assert_int_equal(f->answer, 0);
        assert_int_equal(f->n_rows, 2);
        assert_string_equal(f->rows[0].date, "2026-11-15");
        assert_string_equal(f->rows[1].date, "2026-11-21");
        assert_int_equal(f->rows[0].requests, 7);
        assert_int_equal(f->rows[0].status_none, 1);
        assert_int_equal(f->rows[0].status_2xx, 2);
        assert_int_equal(f->rows[0].status_5xx, 2);
        assert_int_equal(f->rows[0].bytes_out, 99);
        assert_near(f->rows[0].p95_ms, 20);
        assert_true(isnan(f->rows[1].p50_ms));
        latency_done(&days[0].latency);
}

static void what_the_store_refuses_is_passed_on(void **state) {
        const char *const hosts[] = { "a" };
        struct fixture *f = *state;

        assert_int_equal(analytics_query(f->analytics, hosts, 1, 0, NOW_US, on_rows, f), -E2BIG);
        f->refuse = -EAGAIN;
        assert_int_equal(analytics_query(f->analytics, hosts, 1, 7, NOW_US, on_rows, f), -EAGAIN);
        f->refuse = 0;
        f->error = -EIO;
        assert_int_equal(analytics_query(f->analytics, hosts, 1, 7, NOW_US, on_rows, f), 0);
        assert_int_equal(f->answer, -EIO);
        assert_int_equal(f->n_rows, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(rates_are_of_the_last_minute_and_totals_stay),
                TEST(a_steady_rate_is_told_whenever_it_is_looked_at),
                TEST(percentiles_are_of_this_minute_and_the_one_before),
                TEST(hosts_past_the_cap_share_one_series),
                TEST(rows_are_of_the_days_up_to_today),
                TEST(what_the_store_refuses_is_passed_on),
        };

        return RUN_TESTS(tests);
}
