/* Request analytics where the disk fails: each operation in turn. Whenever the daemon were killed,
 * the rows on the disk have the lines up to the position that is stored with them, and in the end
 * all lines, each once. */

#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "disk_faults.h"
#include "folder.h"
#include "source/access_log.h"
#include "store/database.h"
#include "store/rollups.h"

#define BATCHES        4
#define OPERATIONS     600 /* far more than it takes */
#define TRIES_MAX      40
#define CHUNKS         3
#define LINES          40 /* of a chunk */
#define CHILDREN       16
#define CHILD_US       (60 * USEC_PER_SEC)
#define LINES_OF_COUNT "SELECT ifnull(sum(requests), 0) FROM rollups"
#define LINES_OF_PLACE "SELECT ifnull(sum(lines), 0) FROM positions"

static const char *program;

struct fixture {
        struct folder *folder;
        char path[64], log[64];
        sd_event *event;
        struct rollups *rollups;
        uint32_t today;
};

static void begin(struct fixture *f) {
        void *folder;

        *f = (struct fixture){ .today = (uint32_t) (clock_realtime_us() / ROLLUP_DAY_US) };
        assert_int_equal(folder_setup(&folder), 0);
        f->folder = folder;
        (void) snprintf(f->path, sizeof(f->path), "%s", folder_path(f->folder, "vwf.db"));
        (void) snprintf(f->log, sizeof(f->log), "%s", folder_path(f->folder, "access.log"));
        assert_true(sd_event_new(&f->event) >= 0);
}

static void end(struct fixture *f) {
        void *folder = f->folder;

        f->rollups = rollups_close(f->rollups);
        sd_event_unref(f->event);
        (void) folder_teardown(&folder);
}

static void copy_file(const char *from, const char *to) {
        char data[65536];
        ssize_t size;
        int in = open(from, O_RDONLY | O_CLOEXEC), out;

        if (in < 0)
                return;
        out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(out >= 0);
        while ((size = read(in, data, sizeof(data))) > 0)
                assert_int_equal(write(out, data, (size_t) size), size);
        assert_int_equal(close(out), 0);
        (void) close(in);
}

/* Again and again, as the manager does. */
static void open_rollups(struct fixture *f) {
        unsigned int tries = 0;

        while (rollups_open(&(struct rollups_config){ .path = f->path, .hosts_max = 100 }, f->event,
                               &f->rollups) < 0)
                assert_true(++tries < TRIES_MAX);
}

static int64_t number(const char *path, const char *sql) {
        sqlite3 *db = NULL;
        int64_t n = -1;

        assert_int_equal(database_open(path, SQLITE_OPEN_READWRITE, "NORMAL", &db), 0);
        assert_int_equal(database_check(db), 0);
        assert_int_equal(database_number(db, sql, &n), 0);
        database_close(&db);
        return n;
}

/* What would be found after a kill now; the failure that waits goes on waiting. */
static uint64_t lines_on_disk(struct fixture *f) {
        int waits = atomic_exchange(&countdown, 0);
        const char *copy = folder_path(f->folder, "copy.db"),
                   *log = folder_path(f->folder, "copy.db-wal"),
                   *from = folder_path(f->folder, "vwf.db-wal");
        int64_t n = 0;

        copy_file(f->path, copy);
        copy_file(from, log);
        if (access(copy, F_OK) >= 0 &&
                        number(copy, "SELECT count(*) FROM sqlite_schema WHERE name = 'rollups'")) {
                n = number(copy, LINES_OF_COUNT);
                assert_int_equal(number(copy, LINES_OF_PLACE), n);
        }
        (void) unlink(copy);
        (void) unlink(log);
        atomic_store(&countdown, waits);
        return (uint64_t) n;
}

static struct rollup_set *set_of(const struct fixture *f, size_t n) {
        struct access_line line = { .time_us = f->today * ROLLUP_DAY_US,
                .status = 200,
                .host = "a",
                .has_duration = true,
                .duration_ns = 1000000 };
        struct rollup_set *set;

        assert_int_equal(rollup_set_new(&set), 0);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(rollup_set_add(set, &line, line.time_us), 0);
        return set;
}

struct told {
        bool done;
        int error;
        uint64_t requests;
};

static void on_rows(int error, const struct rollup *rows, size_t n, void *userdata) {
        struct told *told = userdata;

        *told = (struct told){
                .done = true, .error = error, .requests = error >= 0 && n > 0 ? rows[0].requests : 0
        };
}

static struct told ask(const struct fixture *f) {
        const char *const hosts[] = { "a" };
        struct told told = {};

        assert_int_equal(rollups_query(f->rollups,
                                         &(struct rollups_query){ .hosts = hosts,
                                                         .n_hosts = 1,
                                                         .from_day = f->today,
                                                         .days = 1 },
                                         on_rows, &told),
                        0);
        while (!told.done)
                assert_true(sd_event_run(f->event, 1000000) >= 0);
        return told;
}

static void commit_until_it_holds(struct fixture *f, const struct rollup_set *set,
                const struct access_position *position, uint64_t before) {
        unsigned int tries = 0;
        uint64_t lines;
        int r;

        while ((r = rollups_commit(f->rollups, set, position, 1)) < 0) {
                lines = lines_on_disk(f);
                /* what failed may be on the disk all the same, but whole */
                assert_true(lines == before || lines == position->lines);
                assert_true(++tries < TRIES_MAX);
        }
        assert_int_equal(lines_on_disk(f), position->lines);
}

/* Return: whether the failure was reached. */
static bool live_through(int nth, int in_a_row, int error) {
        struct access_position position = {
                .id = 1, .path = "/log/a", .head = "h", .head_size = 1
        };
        struct rollup_set *set;
        struct told told;
        struct fixture f;
        bool reached;

        begin(&f);
        atomic_store(&failure, error);
        atomic_store(&repeat, in_a_row);
        atomic_store(&countdown, nth);
        open_rollups(&f);
        for (size_t i = 1; i <= BATCHES; i++) {
                uint64_t before = position.lines;

                set = set_of(&f, i);
                position.lines += i;
                position.offset = 100 * position.lines;
                commit_until_it_holds(&f, set, &position, before);
                rollup_set_free(set);
                told = ask(&f);
                assert_true(told.error < 0 || told.requests == position.lines);
        }
        told = ask(&f);
        reached = atomic_exchange(&countdown, 0) == 0;
        told = reached ? ask(&f) : told;
        assert_int_equal(told.error, 0);
        assert_int_equal(told.requests, position.lines);
        f.rollups = rollups_close(f.rollups);
        assert_int_equal(number(f.path, LINES_OF_COUNT), position.lines);
        assert_int_equal(number(f.path, LINES_OF_PLACE), position.lines);
        end(&f);
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

static void a_full_disk_at_any_operation_neither_loses_nor_doubles(void **state) {
        each_failure_in_turn(1, ENOSPC);
}

static void a_broken_disk_at_any_operation_neither_loses_nor_doubles(void **state) {
        each_failure_in_turn(4, EIO);
}

static void a_disk_that_goes_read_only_at_any_operation_neither_loses_nor_doubles(void **state) {
        each_failure_in_turn(3, EROFS);
}

static void a_disk_that_cannot_be_read_now_and_then_neither_loses_nor_doubles(void **state) {
        atomic_store(&reads_too, true);
        each_failure_in_turn(1, EIO);
        atomic_store(&reads_too, false);
}

/* ---- with the reader of the logs ---- */

static int on_commit(const struct rollup_set *set, const struct access_position *positions,
                size_t n, void *userdata) {
        struct fixture *f = userdata;

        return rollups_commit(f->rollups, set, positions, n);
}

static int on_position(const struct access_position *position, void *userdata) {
        return access_log_restore(userdata, position);
}

static struct access_log *start_log(struct fixture *f) {
        const char *const paths[] = { f->log };
        struct access_log *log = NULL;
        unsigned int tries = 0;

        assert_int_equal(access_log_new(&(struct access_log_config){ .paths = paths,
                                                        .n_paths = 1,
                                                        .history = true },
                                         &(struct access_log_hooks){
                                                         .commit = on_commit, .userdata = f },
                                         &log, NULL),
                        0);
        while (rollups_load_positions(f->rollups, on_position, log) < 0)
                assert_true(++tries < TRIES_MAX);
        assert_int_equal(access_log_start(log), 0);
        return log;
}

static void write_lines(const struct fixture *f) {
        FILE *file = fopen(f->log, "ae");

        assert_non_null(file);
        for (size_t i = 0; i < LINES; i++)
                (void) fprintf(file,
                                "{\"ts\":%ju.5,\"request\":{\"host\":\"a\",\"method\":\"GET\",\"uri\":\"/\"},\"duration\":0.001,"
                                "\"size\":7,\"status\":200}\n",
                                (uintmax_t) (clock_realtime_us() / USEC_PER_SEC));
        assert_int_equal(fclose(file), 0);
}

/* The reader goes in the midst of it, as at a reload, and another one comes. */
static bool read_through(int nth, int error) {
        struct access_stats stats = {};
        struct access_log *log;
        struct fixture f;
        bool reached;

        begin(&f);
        atomic_store(&failure, error);
        atomic_store(&repeat, 2);
        atomic_store(&countdown, nth);
        open_rollups(&f);
        for (size_t i = 0; i < CHUNKS; i++) {
                log = start_log(&f);
                write_lines(&f);
                do {
                        (void) usleep(20000);
                        access_log_get_stats(log, &stats);
                } while (stats.backlog_bytes > 0 || ask(&f).requests < LINES * i + LINES / 2);
                access_log_free(log);
        }
        reached = atomic_exchange(&countdown, 0) == 0;
        log = start_log(&f);
        while (ask(&f).requests < (uint64_t) CHUNKS * LINES)
                (void) usleep(20000);
        access_log_free(log);
        f.rollups = rollups_close(f.rollups);
        assert_int_equal(number(f.path, LINES_OF_COUNT), CHUNKS * LINES);
        assert_int_equal(number(f.path, LINES_OF_PLACE), CHUNKS * LINES);
        end(&f);
        return reached;
}

static pid_t read_beside(int nth, int error) {
        char operation[12], code[12];
        pid_t pid;

        (void) snprintf(operation, sizeof(operation), "%d", nth);
        (void) snprintf(code, sizeof(code), "%d", error);
        pid = fork();
        if (pid == 0) {
                /* A program anew: what TSan's own thread held at the fork, nobody would let go. */
                (void) execl(program, "reader", operation, code, NULL);
                _exit(1);
        }
        assert_true(pid > 0);
        return pid;
}

/* Each takes a second or more of waiting: many at once. */
static void no_line_of_a_log_is_lost_or_counted_twice(void **state) {
        pid_t children[CHILDREN];
        bool more = true;
        int n = 1, status;

        while (more) {
                for (int i = 0; i < CHILDREN; i++)
                        children[i] = read_beside(n++, i % 2 ? EIO : ENOSPC);
                for (int i = 0; i < CHILDREN; i++) {
                        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
                        assert_true(WIFEXITED(status));
                        assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7);
                        more = more && WEXITSTATUS(status) == 0;
                }
                assert_true(n < OPERATIONS);
        }
        print_message("%d operations failed in turn under the reader\n", n - CHILDREN);
        assert_true(n > 2 * CHILDREN);
}

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_line_of_a_log_is_lost_or_counted_twice),
                cmocka_unit_test(a_full_disk_at_any_operation_neither_loses_nor_doubles),
                cmocka_unit_test(a_broken_disk_at_any_operation_neither_loses_nor_doubles),
                cmocka_unit_test(
                                a_disk_that_goes_read_only_at_any_operation_neither_loses_nor_doubles),
                cmocka_unit_test(a_disk_that_cannot_be_read_now_and_then_neither_loses_nor_doubles),
        };

        program = argv[0]; /* under valgrind /proc/self/exe is valgrind */
        if (argc == 3) {
                (void) alarm(CHILD_US / USEC_PER_SEC);
                return read_through(atoi(argv[1]), atoi(argv[2])) ? 0 : 7;
        }
        return RUN_TESTS(tests);
}
