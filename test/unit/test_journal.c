/* The journal on real files: numbers, kills, bounds, faults. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/journal.h"
#include "test.h"

struct fixture {
        char folder[32], path[64];
        sd_event *event;
        uint64_t last; /* newest committed, checked to be without a gap */
        bool gap;
        int report; /* pipe: each committed number; -1: none */
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        strncpy(f->folder, "/tmp/vwjXXXXXX", sizeof(f->folder));
        assert_non_null(mkdtemp(f->folder));
        (void) snprintf(f->path, sizeof(f->path), "%s/events.db", f->folder);
        f->report = -1;
        assert_true(sd_event_new(&f->event) >= 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;
        char command[64];
        pid_t pid;

        sd_event_unref(f->event);
        (void) snprintf(command, sizeof(command), "%s", f->folder);
        pid = fork();
        if (pid == 0) {
                (void) execlp("rm", "rm", "-rf", command, (char *) NULL);
                _exit(127);
        }
        (void) waitpid(pid, NULL, 0);
        free(f);
        return 0;
}

static void committed(struct event *const *events, size_t n, void *userdata) {
        struct fixture *f = userdata;

        for (size_t i = 0; i < n; i++) {
                f->gap = f->gap || (f->last && events[i]->seq != f->last + 1);
                f->last = events[i]->seq;
                if (f->report >= 0)
                        (void) !write(f->report, &f->last, sizeof(f->last));
        }
}

static struct journal *reopen(struct fixture *f, const struct journal_config *more) {
        struct journal_config config = more ? *more : (struct journal_config){};
        struct journal *journal;

        config.path = f->path;
        assert_int_equal(journal_open(&config, f->event, committed, f, &journal), 0);
        return journal;
}

static int append(struct journal *journal, const char *name, const char *cursor) {
        struct journal_entry entry = { .source = "test", .cursor = cursor };

        assert_int_equal(event_new(&(struct event_fields){ .time_us = 1,
                                                   .name = name,
                                                   .action = "started",
                                                   .source = "test",
                                                   .origin = name },
                                         &entry.event),
                        0);
        return journal_append(journal, &entry);
}

static void run_until(struct fixture *f, uint64_t seq) {
        while (f->last < seq)
                assert_true(sd_event_run(f->event, 5000000) > 0);
}

static void numbers_go_on_after_a_reopen_without_repeat_or_gap(void **state) {
        struct fixture *f = *state;
        struct journal *journal = reopen(f, NULL);
        char *cursor = NULL;

        for (int i = 0; i < 2500; i++)
                assert_int_equal(append(journal, "a", i == 2499 ? "here" : NULL), 0);
        run_until(f, 2500);
        journal_close(journal);

        journal = reopen(f, NULL);
        assert_int_equal(journal_last_seq(journal), 2500);
        assert_int_equal(journal_load_cursor(journal, "test", &cursor), 0);
        assert_string_equal(cursor, "here");
        free(cursor);
        assert_int_equal(append(journal, "b", NULL), 0);
        run_until(f, 2501);
        assert_false(f->gap);
        journal_close(journal);
}

static _Noreturn void storm(struct fixture *f, int report) {
        struct journal *journal = reopen(f, NULL);

        f->last = 0;
        f->report = report;
        for (;;) {
                for (int i = 0; i < 20; i++)
                        (void) append(journal, "storm", NULL);
                (void) sd_event_run(f->event, 0);
        }
}

static void a_kill_at_any_moment_loses_no_acknowledged_event(void **state) {
        struct fixture *f = *state;
        uint64_t acknowledged = 0, seq;

        /* On a busy machine nothing may be acknowledged by then: later rounds last longer. */
        for (unsigned int round = 0; round < 20 || (acknowledged == 0 && round < 60); round++) {
                unsigned int longer_us = round < 20 ? 0 : (round - 19) * 50000;
                struct journal *journal;
                int pipes[2];
                pid_t pid;

                assert_int_equal(pipe(pipes), 0);
                pid = fork();
                if (pid == 0) {
                        sd_event_unref(f->event);
                        (void) sd_event_new(&f->event);
                        storm(f, pipes[1]);
                }
                (void) close(pipes[1]);
                (void) usleep(5000 + round * 7919 % 60000 + longer_us);
                (void) kill(pid, SIGKILL);
                while (read(pipes[0], &seq, sizeof(seq)) == sizeof(seq))
                        acknowledged = seq;
                (void) waitpid(pid, NULL, 0);
                (void) close(pipes[0]);

                journal = reopen(f, NULL);
                assert_true(journal_last_seq(journal) >= acknowledged);
                journal_close(journal);
        }
        assert_true(acknowledged > 0);
}

static void page_done(int error, struct event *const *events, size_t n, void *userdata) {
        uint64_t *result = userdata;

        assert_int_equal(error, 0);
        result[0] = n;
        result[1] = n ? events[0]->seq : 0;
        result[2] = 1;
}

static void read_page(struct fixture *f, struct journal *journal, const struct journal_query *query,
                uint64_t *result) {
        result[2] = 0;
        assert_int_equal(journal_read(journal, query, page_done, result), 0);
        while (!result[2])
                assert_true(sd_event_run(f->event, 5000000) > 0);
}

static void pages_and_filters_give_what_was_asked(void **state) {
        struct fixture *f = *state;
        struct journal *journal = reopen(f, NULL);
        char name[] = "odd";
        uint64_t result[3];

        for (int i = 1; i <= 100; i++)
                assert_int_equal(append(journal, i % 2 ? "odd" : "even", NULL), 0);
        run_until(f, 100);
        read_page(f, journal, &(struct journal_query){ .after_seq = 90, .limit = 100 }, result);
        assert_int_equal(result[0], 10);
        assert_int_equal(result[1], 91);
        read_page(f, journal,
                        &(struct journal_query){ .newest_first = true,
                                        .limit = 5,
                                        .filter = { .name = name } },
                        result);
        assert_int_equal(result[0], 5);
        assert_int_equal(result[1], 99);
        journal_close(journal);
}

/* @source "": a post; @origin 0: without. */
static void append_of(struct journal *journal, const char *source, int origin) {
        struct journal_entry entry = {};
        char text[16];

        (void) snprintf(text, sizeof(text), "%d", origin);
        assert_int_equal(event_new(&(struct event_fields){ .time_us = 1,
                                                   .name = "one",
                                                   .action = "started",
                                                   .source = source,
                                                   .origin = origin ? text : NULL },
                                         &entry.event),
                        0);
        assert_int_equal(journal_append(journal, &entry), 0);
}

static int note_pair(const char *a, const char *b, void *userdata) {
        char *told = userdata;
        size_t n = strlen(told);

        (void) snprintf(told + n, 128 - n, "%s=%s ", a, b);
        return 0;
}

static void the_origins_of_a_source_lose_their_place_to_no_other(void **state) {
        struct fixture *f = *state;
        struct journal *journal = reopen(f, NULL);
        char told[128] = "";

        append_of(journal, "docker", 1);
        append_of(journal, "podman", 2);
        for (int i = 3; i < 7; i++)
                append_of(journal, "docker", i);
        for (int i = 7; i < 20; i++)
                append_of(journal, "", i);
        append_of(journal, "docker", 0);
        append_of(journal, "", 0);
        run_until(f, 21);
        journal_close(journal);

        journal = reopen(f, NULL);
        assert_int_equal(journal_load_origins(journal, 2, note_pair, told), 0);
        assert_string_equal(told, "docker=5 docker=6 podman=2 ");
        told[0] = '\0';
        assert_int_equal(journal_load_posts(journal, 3, note_pair, told), 0);
        assert_string_equal(told, "17=17 18=18 19=19 ");
        journal_close(journal);
}

static void a_full_queue_refuses_counts_and_skips_no_number(void **state) {
        struct fixture *f = *state;
        const struct rlimit tiny = { 1 << 20, RLIM_INFINITY },
                            none = { RLIM_INFINITY, RLIM_INFINITY };
        struct journal *journal = reopen(f, &(struct journal_config){ .queue_max = 10 });
        struct journal_stats stats;
        unsigned int taken = 0;
        char name[2000];

        memset(name, 'x', 400);
        name[400] = '\0';
        (void) signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0); /* a disk of 1 MiB */
        do {
                if (append(journal, name, NULL) == 0)
                        taken++;
                (void) sd_event_run(f->event, 1000);
                journal_get_stats(journal, &stats);
        } while (!stats.failing || stats.queued < 10);
        assert_int_equal(append(journal, name, NULL), -ENOSPC);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0); /* space returns */
        do {
                assert_true(sd_event_run(f->event, 1000) >= 0);
                journal_get_stats(journal, &stats);
        } while (stats.queued > 0 || stats.untold > 0 || f->last < stats.appended);
        assert_int_equal(stats.committed, stats.appended);
        assert_true(stats.appended > taken); /* and what tells of the gap */
        assert_true(stats.dropped >= 1);
        assert_false(f->gap);
        journal_close(journal);
}

static void a_corrupt_database_is_set_aside_and_numbers_do_not_go_back(void **state) {
        struct fixture *f = *state;
        struct journal *journal = reopen(f, NULL);
        FILE *file;

        assert_int_equal(append(journal, "a", NULL), 0);
        run_until(f, 1);
        journal_close(journal);
        file = fopen(f->path, "r+e");
        assert_non_null(file);
        for (int i = 0; i < 8192; i++)
                (void) fputc('!', file);
        (void) fclose(file);

        assert_int_equal(journal_open(&(struct journal_config){ .path = f->path }, f->event,
                                         committed, f, &journal),
                        -EUCLEAN);
        assert_true(journal_last_seq(journal) > 1);
        assert_true(journal_last_seq(journal) < UINT64_C(1) << 48); /* evt-<12 hex> */
        journal_close(journal);
}

static void retention_by_size_drops_the_oldest_only(void **state) {
        struct fixture *f = *state;
        struct journal *journal = reopen(f, NULL);
        uint64_t result[3];
        char name[401];

        memset(name, 'x', 400);
        name[400] = '\0';
        for (int i = 0; i < 5000; i++)
                assert_int_equal(append(journal, name, NULL), 0);
        run_until(f, 5000);
        journal_close(journal);

        journal = reopen(f, &(struct journal_config){ .retention_bytes = 1 << 20 });
        while (journal_first_seq(journal) <= 1)
                assert_true(sd_event_run(f->event, 1000) >= 0);
        read_page(f, journal, &(struct journal_query){ .newest_first = true, .limit = 1 }, result);
        assert_int_equal(result[1], 5000);
        assert_int_equal(journal_last_seq(journal), 5000);
        journal_close(journal);
}

static void note_done(struct event *event, void *userdata) {
        *(bool *) userdata = true;
}

/* The bound is made much lower, and an event comes. */
static void retention_does_not_hold_up_what_comes(void **state) {
        struct fixture *f = *state;
        struct journal *journal = reopen(f, NULL);
        const uint64_t n = 60000;
        bool is_done = false;
        struct journal_entry entry = { .done = note_done, .userdata = &is_done };
        uint64_t first;
        char name[401];

        memset(name, 'x', 400);
        name[400] = '\0';
        for (uint64_t i = 1; i <= n; i++) {
                assert_int_equal(append(journal, name, NULL), 0);
                if (i % 5000 == 0)
                        run_until(f, i);
        }
        journal_close(journal);

        journal = reopen(f, &(struct journal_config){ .retention_bytes = 1 << 20 });
        assert_int_equal(event_new(&(struct event_fields){ .action = "started" }, &entry.event), 0);
        assert_int_equal(journal_append(journal, &entry), 0);
        while (!is_done)
                assert_true(sd_event_run(f->event, 5000000) > 0);
        first = journal_first_seq(journal);
        assert_true(first < n / 2);
        while (journal_first_seq(journal) < n - 2000)
                assert_true(sd_event_run(f->event, 1000) >= 0);
        journal_close(journal);
}

static void retention_by_age_drops_the_old_whatever_their_number(void **state) {
        static const unsigned int days_ago[] = { 0, 40, 29, 31, 0, 3650, 30 };
        struct fixture *f = *state;
        struct journal *journal = reopen(f, NULL);
        const uint64_t day_us = 86400 * USEC_PER_SEC, now_us = clock_realtime_us();
        uint64_t result[3], n = 0;

        for (size_t i = 0; i < 300; i++) { /* more of them than go at a time */
                for (size_t j = 0; j < ARRAY_SIZE(days_ago); j++) {
                        struct journal_entry entry = {};

                        assert_int_equal(
                                        event_new(&(struct event_fields){ .time_us = now_us -
                                                                                  days_ago[j] * day_us,
                                                                  .action = "started" },
                                                        &entry.event),
                                        0);
                        assert_int_equal(journal_append(journal, &entry), 0);
                        n++;
                }
        }
        run_until(f, n);
        journal_close(journal);

        journal = reopen(f, &(struct journal_config){ .retention_age_us = 30 * day_us });
        do {
                assert_true(sd_event_run(f->event, 1000) >= 0);
                read_page(f, journal, &(struct journal_query){ .limit = 1000 }, result);
        } while (result[0] > 900);
        assert_int_equal(result[0], 900);
        assert_int_equal(result[1], 1);
        read_page(f, journal, &(struct journal_query){ .newest_first = true, .limit = 1 }, result);
        assert_int_equal(result[1], n - 2);
        journal_close(journal);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(numbers_go_on_after_a_reopen_without_repeat_or_gap,
                                setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_kill_at_any_moment_loses_no_acknowledged_event, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                pages_and_filters_give_what_was_asked, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                the_origins_of_a_source_lose_their_place_to_no_other, setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                a_full_queue_refuses_counts_and_skips_no_number, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                a_corrupt_database_is_set_aside_and_numbers_do_not_go_back, setup,
                                teardown),
                cmocka_unit_test_setup_teardown(
                                retention_by_size_drops_the_oldest_only, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                retention_does_not_hold_up_what_comes, setup, teardown),
                cmocka_unit_test_setup_teardown(
                                retention_by_age_drops_the_old_whatever_their_number, setup,
                                teardown),
        };

        return RUN_TESTS(tests);
}
