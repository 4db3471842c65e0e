/* Rows and positions on real files: together or not at all, bounded, and there after a reopen. */

#include <string.h>

#include "base/clock.h"
#include "folder.h"
#include "store/rollups.h"
#include "store/rollups_internal.h"

struct fixture {
        struct folder *folder;
        sd_event *event;
        struct rollups *rollups;
        uint32_t today;
};

/* What a query answered. */
struct told {
        bool done;
        int error;
        struct rollup rows[16]; /* counts only */
        double p50_ms[16];
        size_t n;
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));
        void *folder;

        assert_int_equal(folder_setup(&folder), 0);
        f->folder = folder;
        f->today = (uint32_t) (clock_realtime_us() / ROLLUP_DAY_US);
        assert_true(sd_event_new(&f->event) >= 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;
        void *folder = f->folder;

        rollups_close(f->rollups);
        sd_event_unref(f->event);
        (void) folder_teardown(&folder);
        free(f);
        return 0;
}

static bool is_own(const char *host, void *userdata) {
        return strcmp(host, "own") == 0;
}

static int reopen(struct fixture *f, unsigned int retention_days, size_t hosts_max) {
        f->rollups = rollups_close(f->rollups);
        return rollups_open(
                        &(struct rollups_config){ .path = folder_path(f->folder, "analytics.db"),
                                        .retention_days = retention_days,
                                        .hosts_max = hosts_max,
                                        .is_own = is_own },
                        f->event, &f->rollups);
}

static struct rollup_set *set_of(const char *host, uint32_t day, size_t n, uint64_t duration_ns) {
        struct access_line line = { .time_us = day * ROLLUP_DAY_US,
                .status = 200,
                .bytes_out = 7,
                .has_duration = true,
                .duration_ns = duration_ns };
        struct rollup_set *set;

        (void) snprintf(line.host, sizeof(line.host), "%s", host);
        assert_int_equal(rollup_set_new(&set), 0);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(rollup_set_add(set, &line, line.time_us), 0);
        return set;
}

static int commit(
                struct fixture *f, struct rollup_set *set, const struct access_position *position) {
        int r;

        r = rollups_commit(f->rollups, set, position, position ? 1 : 0);
        rollup_set_free(set);
        return r;
}

static void on_rows(int error, const struct rollup *rows, size_t n, void *userdata) {
        struct told *told = userdata;

        told->done = true;
        told->error = error;
        told->n = n;
        assert_true(n <= 16);
        for (size_t i = 0; i < n; i++) {
                told->rows[i] = rows[i];
                told->p50_ms[i] = (double) latency_quantile_ns(&rows[i].latency, 0.5) / 1e6;
                told->rows[i].latency = (struct latency){};
        }
}

static struct told ask(
                struct fixture *f, uint32_t from_day, uint32_t days, const char *a, const char *b) {
        const char *const hosts[] = { a, b };
        struct told told = {};

        assert_int_equal(rollups_query(f->rollups,
                                         &(struct rollups_query){ .hosts = hosts,
                                                         .n_hosts = b ? 2 : 1,
                                                         .from_day = from_day,
                                                         .days = days },
                                         on_rows, &told),
                        0);
        while (!told.done)
                assert_true(sd_event_run(f->event, 5000000) > 0);
        assert_int_equal(told.error, 0);
        return told;
}

static int keep_position(const struct access_position *position, void *userdata) {
        struct access_position *kept = userdata;

        *kept = *position;
        kept->path = strcmp(position->path, "/log/a") == 0 ? "same" : "other";
        kept->head = memcmp(position->head, "he\0d", 4) == 0 ? "same" : "other";
        return 0;
}

static void rows_add_up_over_commits_and_reopens(void **state) {
        struct fixture *f = *state;
        struct told told;

        assert_int_equal(reopen(f, 0, 100), 0);
        assert_int_equal(commit(f, set_of("a", f->today, 3, 1000000), NULL), 0);
        assert_int_equal(commit(f, set_of("a", f->today, 2, 1000000), NULL), 0);
        assert_int_equal(commit(f, set_of("a", f->today - 2, 1, 1000000), NULL), 0);
        assert_int_equal(reopen(f, 0, 100), 0);
        assert_int_equal(commit(f, set_of("a", f->today, 1, 1000000), NULL), 0);
        told = ask(f, f->today - 6, 7, "a", NULL);
        assert_int_equal(told.n, 2);
        assert_int_equal(told.rows[0].day, f->today - 2);
        assert_int_equal(told.rows[1].day, f->today);
        assert_int_equal(told.rows[1].requests, 6);
        assert_int_equal(told.rows[1].classes[ROLLUP_2XX], 6);
        assert_int_equal(told.rows[1].bytes_out, 42);
}

static void hosts_are_added_up_with_percentiles_of_all(void **state) {
        struct fixture *f = *state;
        struct told told;

        assert_int_equal(reopen(f, 0, 100), 0);
        assert_int_equal(commit(f, set_of("a", f->today, 10, 1000000), NULL), 0);
        assert_int_equal(commit(f, set_of("b", f->today, 11, 200000000), NULL), 0);
        assert_int_equal(commit(f, set_of("c", f->today, 99, 1), NULL), 0);
        told = ask(f, f->today, 1, "a", "b");
        assert_int_equal(told.rows[0].requests, 21);
        assert_true(told.p50_ms[0] > 198 && told.p50_ms[0] < 202);
        told = ask(f, f->today, 1, "a", "a");
        assert_int_equal(told.rows[0].requests, 10);
        assert_int_equal(ask(f, f->today, 1, "nobody", NULL).n, 0);
        assert_int_equal(ask(f, f->today - 1, 1, "a", NULL).n, 0);
}

static void a_commit_that_fails_leaves_neither_row_nor_position(void **state) {
        struct access_position position = { .id = 1,
                .path = "/log/a",
                .head = "he\0d",
                .head_size = 4,
                .device = 5,
                .inode = UINT64_MAX,
                .offset = 10 };
        struct access_position kept = {};
        struct fixture *f = *state;
        struct rollups_stats stats;
        struct rollup_set *set;
        char host[16];

        assert_int_equal(reopen(f, 0, 100000), 0);
        assert_int_equal(commit(f, set_of("a", f->today, 3, 1), &position), 0);

        position.offset = 99;
        set = set_of("a", f->today, 1, 1);
        for (int i = 0; i < 3000; i++) {
                struct access_line line = { .time_us = f->today * ROLLUP_DAY_US, .status = 200 };

                (void) snprintf(host, sizeof(host), "h%d", i);
                memcpy(line.host, host, sizeof(host));
                assert_int_equal(rollup_set_add(set, &line, line.time_us), 0);
        }
        assert_int_equal(database_run(f->rollups->db, "PRAGMA max_page_count = 40"), 0);
        assert_int_equal(rollups_commit(f->rollups, set, &position, 1), -ENOSPC);
        rollups_get_stats(f->rollups, &stats);
        assert_int_equal(stats.write_errors, 1);
        assert_int_equal(stats.last_error, -ENOSPC);
        assert_int_equal(ask(f, f->today, 1, "a", NULL).rows[0].requests, 3);
        assert_int_equal(ask(f, f->today, 1, "h0", NULL).n, 0);
        assert_int_equal(rollups_load_positions(f->rollups, keep_position, &kept), 0);
        assert_int_equal(kept.offset, 10);

        assert_int_equal(database_run(f->rollups->db, "PRAGMA max_page_count = 100000"), 0);
        assert_int_equal(commit(f, set, &position), 0);
        assert_int_equal(ask(f, f->today, 1, "a", NULL).rows[0].requests, 4);
        assert_int_equal(reopen(f, 0, 100000), 0);
        assert_int_equal(rollups_load_positions(f->rollups, keep_position, &kept), 0);
        assert_int_equal(kept.offset, 99);
        assert_true(kept.inode == UINT64_MAX);
        assert_int_equal(kept.head_size, 4);
        assert_string_equal(kept.path, "same");
        assert_string_equal(kept.head, "same");

        position.forget = true;
        kept.offset = 0;
        assert_int_equal(rollup_set_new(&set), 0);
        assert_int_equal(commit(f, set, &position), 0);
        assert_int_equal(rollups_load_positions(f->rollups, keep_position, &kept), 0);
        assert_int_equal(kept.offset, 0);
}

static void hosts_past_the_cap_are_other_and_known_ones_are_not(void **state) {
        struct fixture *f = *state;
        struct rollups_stats stats;
        char host[16];

        assert_int_equal(reopen(f, 0, 3), 0);
        for (int round = 0; round < 2; round++) {
                for (int i = 0; i < 5; i++) {
                        (void) snprintf(host, sizeof(host), "h%d", i);
                        assert_int_equal(commit(f, set_of(host, f->today, 2, 1), NULL), 0);
                }
        }
        assert_int_equal(ask(f, f->today, 1, "h2", NULL).rows[0].requests, 4);
        assert_int_equal(ask(f, f->today, 1, "h3", NULL).n, 0);
        assert_int_equal(ask(f, f->today, 1, ROLLUP_OTHER, NULL).rows[0].requests, 8);
        rollups_get_stats(f->rollups, &stats);
        assert_int_equal(stats.overflow, 8);
        assert_int_equal(commit(f, set_of("own", f->today, 2, 1), NULL), 0); /* an app's */
        assert_int_equal(ask(f, f->today, 1, "own", NULL).rows[0].requests, 2);
        assert_int_equal(ask(f, f->today, 1, ROLLUP_OTHER, NULL).rows[0].requests, 8);
        assert_int_equal(commit(f, set_of("h3", f->today - 1, 2, 1), NULL), 0); /* by the day */
        assert_int_equal(ask(f, f->today - 1, 1, "h3", NULL).n, 1);
}

static void days_past_the_retention_go(void **state) {
        struct fixture *f = *state;
        struct rollup_set *nothing;

        assert_int_equal(reopen(f, 0, 100), 0);
        for (uint32_t back = 0; back < 4; back++)
                assert_int_equal(commit(f, set_of("a", f->today - back, 1, 1), NULL), 0);
        assert_int_equal(reopen(f, 2, 100), 0);
        assert_int_equal(rollup_set_new(&nothing), 0);
        assert_int_equal(commit(f, nothing, NULL), 0);
        assert_int_equal(ask(f, f->today - 9, 10, "a", NULL).n, 2);
}

static void a_histogram_that_is_unreadable_costs_only_itself(void **state) {
        struct fixture *f = *state;
        struct rollups_stats stats;

        assert_int_equal(reopen(f, 0, 100), 0);
        assert_int_equal(commit(f, set_of("a", f->today, 5, 1), NULL), 0);
        assert_int_equal(database_run(f->rollups->db, "UPDATE rollups SET latency = x'ff'"), 0);
        assert_int_equal(ask(f, f->today, 1, "a", NULL).rows[0].requests, 5);
        assert_int_equal(commit(f, set_of("a", f->today, 1, 9000000), NULL), 0);
        assert_int_equal(ask(f, f->today, 1, "a", NULL).rows[0].requests, 6);
        assert_true(ask(f, f->today, 1, "a", NULL).p50_ms[0] > 8.9);
        rollups_get_stats(f->rollups, &stats);
        assert_int_equal(stats.unreadable, 1);
}

static void a_corrupt_database_is_set_aside_and_a_newer_one_left_alone(void **state) {
        struct fixture *f = *state;

        folder_write(f->folder, "analytics.db",
                        "this is not a database, but long enough to be one");
        assert_int_equal(reopen(f, 0, 100), -EUCLEAN);
        assert_non_null(f->rollups);
        assert_int_equal(commit(f, set_of("a", f->today, 5, 1), NULL), 0);
        assert_int_equal(database_run(f->rollups->db, "PRAGMA user_version = 99"), 0);
        assert_int_equal(reopen(f, 0, 100), -EPROTONOSUPPORT);
        assert_null(f->rollups);
}

static void one_that_breaks_while_in_use_is_replaced(void **state) {
        const char *path;
        struct fixture *f = *state;
        char name[32];
        FILE *file;
        long size;
        struct access_position kept = {};
        struct rollups_stats stats;
        int r = 0;

        assert_int_equal(reopen(f, 0, 10000), 0);
        for (int i = 0; i < 200; i++) {
                (void) snprintf(name, sizeof(name), "host%d", i);
                assert_int_equal(commit(f, set_of(name, f->today, 5, 1), NULL), 0);
        }
        assert_int_equal(database_run(f->rollups->db, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
        assert_int_equal(database_run(f->rollups->db, "PRAGMA shrink_memory"), 0); /* its cache */
        path = folder_path(f->folder, "analytics.db");
        file = fopen(path, "r+e");
        assert_non_null(file);
        (void) fseek(file, 0, SEEK_END);
        size = ftell(file);
        (void) fseek(file, 4096, SEEK_SET);
        for (long i = 4096; i < size; i++)
                (void) fputc((int) (i * 7919 % 251), file);
        (void) fclose(file);

        for (int i = 0; r >= 0 && i < 200; i++) {
                (void) snprintf(name, sizeof(name), "host%d", i);
                r = commit(f, set_of(name, f->today, 5, 1), NULL);
        }
        assert_int_equal(r, -EUCLEAN);
        /* What it had is not there: the logs have to be read on from where the new one says. */
        assert_int_equal(commit(f, set_of("a", f->today, 5, 1), NULL), -ESTALE);
        assert_int_equal(rollups_load_positions(f->rollups, keep_position, &kept), 0);
        rollups_get_stats(f->rollups, &stats);
        assert_int_equal(stats.last_error, 0);
        assert_int_equal(commit(f, set_of("a", f->today, 5, 1), NULL), 0);
        assert_true(database_check(f->rollups->db) >= 0);
}

static void too_much_asked_for_is_refused(void **state) {
        const char *const hosts[] = { "a" };
        struct rollups_query query = { .hosts = hosts, .n_hosts = 1 };
        struct fixture *f = *state;

        assert_int_equal(reopen(f, 0, 100), 0);
        assert_int_equal(rollups_query(f->rollups, &query, on_rows, NULL), -E2BIG);
        query.days = ROLLUPS_QUERY_DAYS_MAX + 1;
        assert_int_equal(rollups_query(f->rollups, &query, on_rows, NULL), -E2BIG);
        query.days = 1;
        query.n_hosts = ROLLUPS_QUERY_HOSTS_MAX + 1;
        assert_int_equal(rollups_query(f->rollups, &query, on_rows, NULL), -E2BIG);
}

/* ---- opened on a thread ---- */

struct opened {
        struct fixture *fixture;
        unsigned int n;
        int error;
};

static void on_opened(int error, struct rollups *rollups, void *userdata) {
        struct opened *opened = userdata;

        opened->n++;
        opened->error = error;
        opened->fixture->rollups = rollups;
}

static struct rollups_opening *open_on_thread(struct fixture *f, struct opened *opened) {
        const struct rollups_config config = { .path = folder_path(f->folder, "analytics.db"),
                .hosts_max = 100 };
        struct rollups_opening *opening;

        *opened = (struct opened){ .fixture = f };
        f->rollups = rollups_close(f->rollups);
        assert_int_equal(rollups_opening_new(&config, f->event, on_opened, opened, &opening), 0);
        assert_int_equal(opened->n, 0); /* never from within */
        assert_false(rollups_opening_is_over(opening));
        while (opened->n == 0)
                assert_true(sd_event_run(f->event, 5000000) > 0);
        assert_true(rollups_opening_is_over(opening));
        assert_int_equal(opened->n, 1);
        return opening;
}

static void one_that_is_opened_on_a_thread_has_its_rows_and_positions(void **state) {
        struct access_position position = {
                .id = 1, .path = "/log/a", .head = "he\0d", .head_size = 4, .offset = 10, .lines = 3
        };
        struct access_position kept = {};
        struct rollups_opening *opening;
        struct fixture *f = *state;
        struct opened opened;

        assert_int_equal(reopen(f, 0, 100), 0);
        assert_int_equal(commit(f, set_of("a", f->today, 3, 1), &position), 0);
        opening = open_on_thread(f, &opened);
        assert_int_equal(opened.error, 0);
        assert_int_equal(rollups_opening_positions(opening, keep_position, &kept), 0);
        assert_int_equal(kept.offset, 10);
        assert_int_equal(kept.lines, 3);
        assert_string_equal(kept.path, "same");
        assert_string_equal(kept.head, "same");
        kept = (struct access_position){};
        assert_int_equal(rollups_opening_positions(opening, keep_position, &kept), 0);
        assert_int_equal(kept.id, 0); /* once */
        assert_null(rollups_opening_free(opening));
        assert_int_equal(commit(f, set_of("a", f->today, 2, 1), &position), 0);
        assert_int_equal(ask(f, f->today, 1, "a", NULL).rows[0].requests, 5);
}

static void what_a_thread_finds_wrong_is_told(void **state) {
        struct fixture *f = *state;
        struct opened opened;

        folder_write(f->folder, "analytics.db",
                        "this is not a database, but long enough to be one");
        rollups_opening_free(open_on_thread(f, &opened));
        assert_int_equal(opened.error, -EUCLEAN);
        assert_non_null(f->rollups);
        assert_int_equal(commit(f, set_of("a", f->today, 5, 1), NULL), 0);
        assert_int_equal(database_run(f->rollups->db, "PRAGMA user_version = 99"), 0);
        rollups_opening_free(open_on_thread(f, &opened));
        assert_int_equal(opened.error, -EPROTONOSUPPORT);
        assert_null(f->rollups);
}

static void an_opening_that_nobody_waits_for_leaves_nothing(void **state) {
        const struct rollups_config config = {
                .path = folder_path(((struct fixture *) *state)->folder, "analytics.db"),
                .hosts_max = 100
        };
        struct opened opened = { .fixture = *state };
        struct rollups_opening *opening;
        struct fixture *f = *state;

        assert_int_equal(rollups_opening_new(&config, f->event, on_opened, &opened, &opening), 0);
        assert_null(rollups_opening_free(opening));
        assert_int_equal(opened.n, 0);
        assert_int_equal(reopen(f, 0, 100), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(rows_add_up_over_commits_and_reopens),
                TEST(one_that_is_opened_on_a_thread_has_its_rows_and_positions),
                TEST(what_a_thread_finds_wrong_is_told),
                TEST(an_opening_that_nobody_waits_for_leaves_nothing),
                TEST(hosts_are_added_up_with_percentiles_of_all),
                TEST(a_commit_that_fails_leaves_neither_row_nor_position),
                TEST(hosts_past_the_cap_are_other_and_known_ones_are_not),
                TEST(days_past_the_retention_go),
                TEST(a_histogram_that_is_unreadable_costs_only_itself),
                TEST(a_corrupt_database_is_set_aside_and_a_newer_one_left_alone),
                TEST(one_that_breaks_while_in_use_is_replaced),
                TEST(too_much_asked_for_is_refused),
        };

        return RUN_TESTS(tests);
}
