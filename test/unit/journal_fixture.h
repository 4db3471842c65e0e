#pragma once
/* A journal on a disk that may fail. */

#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/json.h"
#include "disk_faults.h"
#include "store/database.h"
#include "store/journal.h"

#define EVENTS      5
#define RUN_US      20000
#define PATIENCE_US (20 * USEC_PER_SEC)

struct fixture {
        char folder[32], path[64];
        sd_event *event;
        uint64_t published, last, lost, acknowledged[EVENTS];
        size_t n_acknowledged, n_documents;
        bool gap;
};

static inline int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        strncpy(f->folder, "/tmp/vwfXXXXXX", sizeof(f->folder));
        assert_non_null(mkdtemp(f->folder));
        (void) snprintf(f->path, sizeof(f->path), "%s/events.db", f->folder);
        assert_true(sd_event_new(&f->event) >= 0);
        atomic_store(&countdown, 0);
        *state = f;
        return 0;
}

static inline void command(const char *name, const char *option, const char *path) {
        pid_t pid = fork();

        if (pid == 0) {
                (void) execlp(name, name, option, path, (char *) NULL);
                _exit(127);
        }
        (void) waitpid(pid, NULL, 0);
}

static inline int teardown(void **state) {
        struct fixture *f = *state;

        atomic_store(&countdown, 0);
        sd_event_unref(f->event);
        command("rm", "-rf", f->folder);
        free(f);
        return 0;
}

static inline void committed(struct event *const *events, size_t n, void *userdata) {
        struct fixture *f = userdata;

        for (size_t i = 0; i < n; i++) {
                f->gap = f->gap || (f->last && events[i]->seq != f->last + 1);
                f->last = events[i]->seq;
                if (strcmp(events[i]->action, "gap") == 0)
                        f->lost += (uint64_t) json_get_int(events[i]->details, "lost", 0);
                else
                        f->published++;
        }
}

static inline void restored(
                const char *kind, const char *id, const char *document, void *userdata) {
        struct fixture *f = userdata;

        assert_string_equal(kind, "app");
        assert_string_equal(id, "shop");
        assert_string_equal(document, "{}");
        f->n_documents++;
}

static inline int open_journal(
                struct fixture *f, const struct journal_config *more, struct journal **ret) {
        struct journal_config config = more ? *more : (struct journal_config){};

        config.path = f->path;
        config.restored = restored;
        config.retry_us = 20000;
        *ret = NULL;
        return journal_open(&config, f->event, committed, f, ret);
}

static inline void done(struct event *event, void *userdata) {
        struct fixture *f = userdata;

        f->acknowledged[f->n_acknowledged++] = event->seq;
}

static inline int append(struct fixture *f, struct journal *journal, bool waits) {
        struct journal_entry entry = { .done = waits ? done : NULL, .userdata = f };

        assert_int_equal(event_new(&(struct event_fields){ .time_us = 1,
                                                   .name = "one",
                                                   .action = "started" },
                                         &entry.event),
                        0);
        return journal_append(journal, &entry);
}

static inline void turn(struct fixture *f) {
        assert_true(sd_event_run(f->event, RUN_US) >= 0);
}

/* Until nothing waits for the disk any more. */
static inline void run_until_stored(
                struct fixture *f, struct journal *journal, uint64_t published) {
        uint64_t end_us = clock_monotonic_us() + PATIENCE_US;
        struct journal_stats stats;

        do {
                turn(f);
                journal_get_stats(journal, &stats);
                assert_true(clock_monotonic_us() < end_us);
        } while (stats.failing || stats.queued > 0 || f->published < published);
}

static inline int64_t number(const struct fixture *f, const char *sql) {
        sqlite3 *db = NULL;
        int64_t n = -1;

        assert_int_equal(database_open(f->path, SQLITE_OPEN_READWRITE, "FULL", &db), 0);
        assert_int_equal(database_check(db), 0);
        (void) database_number(db, sql, &n);
        database_close(&db);
        return n;
}

static inline void run_sql(const struct fixture *f, const char *sql) {
        sqlite3 *db = NULL;

        assert_int_equal(database_open(f->path, SQLITE_OPEN_READWRITE, "FULL", &db), 0);
        assert_int_equal(database_run(db, sql), 0);
        database_close(&db);
}

static inline bool is_stored(const struct fixture *f, uint64_t seq) {
        char sql[80];

        (void) snprintf(sql, sizeof(sql), "SELECT count(*) FROM events WHERE seq = %ju",
                        (uintmax_t) seq);
        return number(f, sql) == 1;
}

static inline void keep_app(struct fixture *f) {
        const struct journal_entry entry = {
                .document_kind = "app", .document_id = "shop", .document = "{}"
        };
        struct journal *journal;

        assert_int_equal(open_journal(f, NULL, &journal), 0);
        assert_int_equal(append(f, journal, false), 0);
        assert_int_equal(journal_append(journal, &entry), 0);
        run_until_stored(f, journal, 1);
        journal_close(journal);
        f->published = f->last = 0;
}

static inline void fill_up(struct fixture *f, uint64_t n) {
        struct journal *journal;

        assert_int_equal(open_journal(f, NULL, &journal), 0);
        for (uint64_t i = 0; i < n; i++)
                assert_int_equal(append(f, journal, false), 0);
        run_until_stored(f, journal, n);
        journal_close(journal);
        f->published = f->last = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
