/* The journal where the disk fails: each write, sync, open and truncation in turn. */

#include <glob.h>

#include "journal_fixture.h"

#define OPERATIONS 400 /* far more than it takes */

/* Return: whether the failure was reached. */
static bool live_through(int nth, int in_a_row, int error) {
        struct journal *journal;
        uint64_t taken = 0;
        bool reached;
        struct fixture *f;
        void *state;

        (void) setup(&state);
        f = state;
        atomic_store(&failure, error);
        atomic_store(&repeat, in_a_row);
        atomic_store(&countdown, nth);
        (void) open_journal(f, NULL, &journal);
        assert_non_null(journal);
        for (size_t i = 0; i < EVENTS; i++) {
                taken += append(f, journal, i % 2) == 0;
                turn(f);
        }
        run_until_stored(f, journal, taken);
        reached = atomic_exchange(&countdown, 0) == 0;
        journal_close(journal);

        assert_false(f->gap);
        assert_int_equal(f->published, taken);
        assert_int_equal(number(f, "SELECT count(*) FROM events"), taken);
        for (size_t i = 0; i < f->n_acknowledged; i++)
                assert_true(is_stored(f, f->acknowledged[i]));
        (void) teardown(&state);
        return reached;
}

static void each_failure_in_turn(int in_a_row, int error) {
        int n = 1;

        while (live_through(n, in_a_row, error)) {
                n++;
                assert_true(n < OPERATIONS);
        }
        print_message("%d operations failed in turn, %d in a row: %s\n", n - 1, in_a_row,
                        strerror(error));
        assert_true(n > 20);
}

static void a_full_disk_at_any_operation_loses_nothing(void **state) {
        each_failure_in_turn(1, ENOSPC);
}

static void a_broken_disk_at_any_operation_loses_nothing(void **state) {
        each_failure_in_turn(1, EIO);
}

static void a_disk_that_cannot_be_read_now_and_then_loses_nothing(void **state) {
        atomic_store(&reads_too, true);
        each_failure_in_turn(1, EIO);
        atomic_store(&reads_too, false);
}

static void a_disk_that_stays_full_for_a_while_loses_nothing(void **state) {
        each_failure_in_turn(2, ENOSPC);
}

/* Without another event. */
static void run_until_told(struct fixture *f, uint64_t lost) {
        uint64_t end_us = clock_monotonic_us() + PATIENCE_US;

        while (f->lost < lost) {
                turn(f);
                assert_true(clock_monotonic_us() < end_us);
        }
        assert_int_equal(f->lost, lost);
}

static void what_is_lost_is_what_the_gaps_say(void **state) {
        struct fixture *f = *state;
        struct journal_stats stats;
        struct journal *journal;
        uint64_t taken = 1, refused = 0;

        assert_int_equal(open_journal(f, &(struct journal_config){ .queue_max = 16 }, &journal), 0);
        assert_int_equal(append(f, journal, false), 0);
        run_until_stored(f, journal, taken);
        for (int round = 0; round < 3; round++) {
                fail_for_good(ENOSPC);
                for (int i = 0; i < 50; i++) {
                        if (append(f, journal, false) == 0)
                                taken++;
                        else
                                refused++;
                }
                do {
                        turn(f);
                        journal_get_stats(journal, &stats);
                } while (!stats.failing);
                assert_int_equal(append(f, journal, true), -ENOSPC); /* nobody would be told */
                atomic_store(&countdown, 0);
                run_until_stored(f, journal, taken);
                run_until_told(f, refused);
        }
        journal_get_stats(journal, &stats);
        assert_int_equal(stats.dropped, refused);
        assert_int_equal(stats.untold, 0);
        assert_true(refused >= 90);
        assert_false(f->gap);
        journal_close(journal);
        assert_int_equal(number(f, "SELECT count(*) FROM events WHERE action <> 'gap'"), taken);
        assert_int_equal(number(f, "SELECT count(*) FROM events WHERE action = 'gap'"), 3);
}

static void the_queue_is_bounded_in_bytes_too(void **state) {
        struct fixture *f = *state;
        struct journal_stats stats;
        struct journal *journal;

        assert_int_equal(open_journal(f, &(struct journal_config){ .queue_bytes_max = 65536 },
                                         &journal),
                        0);
        fail_for_good(ENOSPC);
        for (int i = 0; i < 1000; i++)
                (void) append(f, journal, false);
        journal_get_stats(journal, &stats);
        assert_in_range(stats.queued_bytes, 32768, 65536 + 4096);
        assert_true(stats.dropped > 900);
        atomic_store(&countdown, 0);
        run_until_stored(f, journal, stats.queued);
        run_until_told(f, stats.dropped);
        journal_get_stats(journal, &stats);
        assert_int_equal(stats.queued_bytes, 0);
        journal_close(journal);
}

static int append_document(struct journal *journal) {
        return journal_append(journal,
                        &(struct journal_entry){ .document_kind = "probe",
                                        .document_id = "shop",
                                        .document = "{}" });
}

/* Probes and tokens have something to store again and again; while the disk takes nothing they
 * would fill the queue. */
static void documents_take_no_place_of_events_while_the_disk_fails(void **state) {
        struct fixture *f = *state;
        struct journal_stats stats;
        struct journal *journal;

        assert_int_equal(open_journal(f, &(struct journal_config){ .queue_max = 16 }, &journal), 0);
        assert_int_equal(append_document(journal), 0);
        run_until_stored(f, journal, 0);
        fail_for_good(ENOSPC);
        assert_int_equal(append(f, journal, false), 0);
        do {
                turn(f);
                journal_get_stats(journal, &stats);
        } while (!stats.failing);
        for (int i = 0; i < 1000; i++)
                assert_int_equal(append_document(journal), -ENOSPC);
        for (int i = 0; i < 10; i++)
                assert_int_equal(append(f, journal, false), 0);
        atomic_store(&countdown, 0);
        run_until_stored(f, journal, 11);
        assert_int_equal(append_document(journal), 0);
        run_until_stored(f, journal, 11);
        journal_get_stats(journal, &stats);
        assert_int_equal(stats.dropped, 0);
        assert_int_equal(f->lost, 0);
        journal_close(journal);
        assert_int_equal(number(f, "SELECT count(*) FROM documents"), 1);
}

static void what_cannot_be_opened_is_shown_and_stored_later(void **state) {
        struct fixture *f = *state;
        struct journal_stats stats;
        struct journal *journal;
        uint64_t first;

        keep_app(f);
        fail_for_good(EROFS);
        assert_int_equal(open_journal(f, &(struct journal_config){ .queue_max = 10 }, &journal),
                        -EROFS);
        assert_non_null(journal);
        first = journal_last_seq(journal) + 1;
        assert_in_range(first, UINT64_C(1) << 46, (UINT64_C(1) << 48) - 1); /* evt-<12 hex> */
        assert_int_equal(append(f, journal, true), -ENOSPC);
        for (int i = 0; i < 13; i++)
                assert_int_equal(append(f, journal, false), 0);
        while (f->published < 13) /* now, on no disk */
                turn(f);
        journal_get_stats(journal, &stats);
        assert_true(stats.memory && stats.failing);
        assert_int_equal(stats.dropped, 3);

        atomic_store(&countdown, 0);
        run_until_stored(f, journal, 13);
        while (f->lost < 3)
                turn(f);
        assert_int_equal(append(f, journal, true), 0);
        run_until_stored(f, journal, 14);
        assert_int_equal(f->n_acknowledged, 1);
        assert_int_equal(f->n_documents, 1);
        assert_false(f->gap);
        journal_close(journal);
        assert_int_equal(number(f, "SELECT count(*) FROM events"), 1 + 10 + 1 + 1);
        assert_int_equal(number(f, "SELECT value FROM meta"), first + 14);
        assert_false(is_stored(f, first + 2)); /* the oldest went */
        assert_true(is_stored(f, first + 3));
}

static void a_newer_database_stays_as_it_is_and_events_are_shown(void **state) {
        struct fixture *f = *state;
        struct journal_stats stats;
        struct journal *journal;

        keep_app(f);
        run_sql(f, "PRAGMA user_version = 99; CREATE TABLE later (a); DROP TABLE meta");
        assert_int_equal(open_journal(f, NULL, &journal), -EPROTONOSUPPORT);
        assert_non_null(journal);
        assert_int_equal(append(f, journal, true), -ENOSPC);
        assert_int_equal(append(f, journal, false), 0);
        while (f->published < 1)
                turn(f);
        do { /* tried again, with the same end */
                turn(f);
                journal_get_stats(journal, &stats);
        } while (stats.write_errors < 3);
        assert_int_equal(stats.last_error, -EPROTONOSUPPORT);
        assert_int_equal(journal_stop(journal), 1);
        journal_close(journal);
        assert_int_equal(number(f, "PRAGMA user_version"), 99);
        assert_int_equal(number(f, "SELECT count(*) FROM events"), 1);
}

/* Random bytes where the events are, in whole pages. */
static void damage(const struct fixture *f) {
        unsigned char page[4096];
        struct stat st;
        int fd;

        fd = open(f->path, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        for (off_t at = st.st_size / 2; at < st.st_size; at += (off_t) sizeof(page)) {
                for (size_t i = 0; i < sizeof(page); i++)
                        page[i] = (unsigned char) ((unsigned long) at * 31 + i * 7919 + 13);
                assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
        }
        (void) close(fd);
}

static void of_a_corrupt_database_all_but_the_events_is_kept(void **state) {
        struct fixture *f = *state;
        struct journal *journal;

        keep_app(f);
        fill_up(f, 2000);
        damage(f);
        assert_int_equal(open_journal(f, NULL, &journal), -EUCLEAN);
        assert_true(journal_last_seq(journal) > 2001);
        assert_int_equal(append(f, journal, true), 0);
        run_until_stored(f, journal, 1);
        journal_close(journal);
        assert_int_equal(number(f, "SELECT count(*) FROM documents WHERE id = 'shop'"), 1);
        assert_int_equal(number(f, "SELECT count(*) FROM events"), 1);
}

static bool is_set_aside(const struct fixture *f) {
        char pattern[96];
        glob_t found = {};
        bool any;

        (void) snprintf(pattern, sizeof(pattern), "%s/*.corrupt-*", f->folder);
        any = glob(pattern, 0, NULL, &found) == 0;
        globfree(&found);
        return any;
}

/* Return: whether the failure was reached. */
static bool read_through(int nth) {
        struct journal *journal;
        struct fixture *f;
        bool reached;
        void *state;

        (void) setup(&state);
        f = state;
        fill_up(f, 60);
        atomic_store(&failure, EIO);
        atomic_store(&repeat, nth % 3 + 1);
        atomic_store(&countdown, nth);
        (void) open_journal(f, NULL, &journal);
        assert_non_null(journal);
        assert_int_equal(append(f, journal, false), 0);
        run_until_stored(f, journal, 1);
        reached = atomic_exchange(&countdown, 0) == 0;
        journal_close(journal);
        assert_false(is_set_aside(f));
        assert_int_equal(number(f, "SELECT count(*) FROM events"), 61);
        (void) teardown(&state);
        return reached;
}

static void one_that_cannot_be_read_is_not_taken_for_a_corrupt_one(void **state) {
        int n = 1;

        atomic_store(&reads_too, true);
        for (; read_through(n); n++)
                assert_true(n < OPERATIONS);
        atomic_store(&reads_too, false);
        print_message("%d operations failed in turn\n", n - 1);
        assert_true(n > 20);
}

static void one_that_breaks_while_in_use_is_replaced_and_no_number_repeats(void **state) {
        struct fixture *f = *state;
        struct journal_stats stats;
        struct journal *journal;
        uint64_t n = 0;

        keep_app(f);
        fill_up(f, 2000);
        assert_int_equal(open_journal(f, NULL, &journal), 0);
        f->last = journal_last_seq(journal);
        turn(f);
        run_sql(f, "PRAGMA wal_checkpoint(TRUNCATE)");
        damage(f);
        do {
                assert_int_equal(append(f, journal, false), 0);
                run_until_stored(f, journal, ++n);
                journal_get_stats(journal, &stats);
        } while (!stats.renewed && n < 1000);
        assert_true(stats.renewed);
        assert_int_equal(append(f, journal, true), 0);
        run_until_stored(f, journal, n + 1);
        assert_int_equal(f->n_acknowledged, 1);
        assert_false(f->gap);
        journal_close(journal);
        assert_true(is_stored(f, f->acknowledged[0]));
        assert_int_equal(number(f, "SELECT count(*) FROM documents WHERE id = 'shop'"), 1);
}

static void a_torn_log_loses_only_what_was_torn(void **state) {
        struct fixture *f = *state;
        struct journal *journal;
        char wal[80];
        struct stat st;
        pid_t pid;

        (void) snprintf(wal, sizeof(wal), "%s-wal", f->path);
        pid = fork();
        if (pid == 0) { /* dies with a log that is not folded in */
                sd_event_unref(f->event);
                (void) sd_event_new(&f->event);
                (void) open_journal(f, NULL, &journal);
                for (uint64_t i = 0; i < 20; i++) {
                        (void) append(f, journal, false);
                        run_until_stored(f, journal, i + 1);
                }
                _exit(0);
        }
        (void) waitpid(pid, NULL, 0);
        assert_int_equal(stat(wal, &st), 0);
        assert_int_equal(truncate(wal, st.st_size - 5000), 0);
        assert_int_equal(open_journal(f, NULL, &journal), 0);
        assert_in_range(journal_last_seq(journal), 15, 19);
        assert_int_equal(append(f, journal, true), 0);
        run_until_stored(f, journal, 1);
        journal_close(journal);
        assert_true(is_stored(f, f->acknowledged[0]));
}

static void page_done(int error, struct event *const *events, size_t n, void *userdata) {
        uint64_t *result = userdata;

        assert_int_equal(error, 0);
        *result = n;
}

static void a_damaged_row_does_not_hide_the_others(void **state) {
        struct fixture *f = *state;
        uint64_t n = UINT64_MAX;
        struct journal_stats stats;
        struct journal *journal;

        fill_up(f, 10);
        run_sql(f,
                        "UPDATE events SET details = '{' WHERE seq = 3;"
                        " UPDATE events SET kind = 'none' WHERE seq = 7");
        assert_int_equal(open_journal(f, NULL, &journal), 0);
        assert_int_equal(
                        journal_read(journal, &(struct journal_query){ .limit = 8 }, page_done, &n),
                        0);
        while (n == UINT64_MAX)
                turn(f);
        assert_int_equal(n, 8);
        do
                journal_get_stats(journal, &stats);
        while (stats.unreadable == 0);
        assert_int_equal(stats.unreadable, 2);
        journal_close(journal);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_full_disk_at_any_operation_loses_nothing),
                cmocka_unit_test(a_broken_disk_at_any_operation_loses_nothing),
                cmocka_unit_test(a_disk_that_cannot_be_read_now_and_then_loses_nothing),
                cmocka_unit_test(a_disk_that_stays_full_for_a_while_loses_nothing),
                TEST(what_is_lost_is_what_the_gaps_say),
                TEST(documents_take_no_place_of_events_while_the_disk_fails),
                TEST(the_queue_is_bounded_in_bytes_too),
                TEST(what_cannot_be_opened_is_shown_and_stored_later),
                TEST(a_newer_database_stays_as_it_is_and_events_are_shown),
                TEST(of_a_corrupt_database_all_but_the_events_is_kept),
                cmocka_unit_test(one_that_cannot_be_read_is_not_taken_for_a_corrupt_one),
                TEST(one_that_breaks_while_in_use_is_replaced_and_no_number_repeats),
                TEST(a_torn_log_loses_only_what_was_torn),
                TEST(a_damaged_row_does_not_hide_the_others),
        };

        return RUN_TESTS(tests);
}
