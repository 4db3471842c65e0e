/* The journal whose files are removed, replaced or moved while it has them open, and one whose disk
 * takes nothing for so long that it is left alone. */

#include <dirent.h>

#include "journal_fixture.h"

static void begin(struct fixture *f, struct journal **ret_journal) {
        keep_app(f);
        assert_int_equal(open_journal(f, NULL, ret_journal), 0);
        f->last = journal_last_seq(*ret_journal);
        for (uint64_t i = 1; i <= 3; i++) {
                assert_int_equal(append(f, *ret_journal, false), 0);
                run_until_stored(f, *ret_journal, i);
        }
}

static void remove_one(const struct fixture *f, const char *suffix) {
        char path[96];

        (void) snprintf(path, sizeof(path), "%s%s", f->path, suffix);
        assert_int_equal(unlink(path), 0);
}

static void page_done(int error, struct event *const *events, size_t n, void *userdata) {
        int64_t *result = userdata;

        *result = error < 0 ? error : (int64_t) n;
}

/* Return: how many events can be read; negative errno. */
static int64_t readable(struct fixture *f, struct journal *journal) {
        int64_t n = INT64_MIN;

        assert_int_equal(journal_read(journal, &(struct journal_query){ .limit = 100 }, page_done,
                                         &n),
                        0);
        while (n == INT64_MIN)
                turn(f);
        return n;
}

/* One more is acknowledged, and all is as it should be with @n events on the disk. */
static void goes_on(struct fixture *f, struct journal *journal, uint64_t n) {
        struct journal_stats stats;
        uint64_t published = f->published;

        assert_int_equal(append(f, journal, true), 0);
        run_until_stored(f, journal, published + 1);
        assert_int_equal(f->n_acknowledged, 1);
        assert_false(f->gap);
        assert_int_equal(readable(f, journal), n);
        journal_get_stats(journal, &stats);
        assert_int_equal(stats.moved, 1);
        assert_false(stats.renewed);
        assert_int_equal(stats.dropped, 0);
        assert_int_equal(f->n_documents, 0); /* the daemon has them */
        assert_int_equal(journal_stop(journal), 0);
        journal_close(journal);
        assert_true(is_stored(f, f->acknowledged[0]));
        assert_int_equal(number(f, "SELECT count(*) FROM events"), n);
        assert_int_equal(number(f, "SELECT count(*) FROM documents WHERE id = 'shop'"), 1);
        assert_int_equal(number(f, "SELECT value FROM meta"), f->last);
}

static void one_that_is_removed_is_made_again(void **state) {
        struct fixture *f = *state;
        struct journal *journal;

        begin(f, &journal);
        assert_int_equal(readable(f, journal), 4);
        remove_one(f, "");
        remove_one(f, "-wal");
        remove_one(f, "-shm");
        goes_on(f, journal, 1);
}

static void one_without_its_log_and_index_is_made_again(void **state) {
        struct fixture *f = *state;
        struct journal *journal;

        begin(f, &journal);
        assert_int_equal(readable(f, journal), 4);
        remove_one(f, "");
        goes_on(f, journal, 1);
}

static void a_log_that_is_removed_takes_nothing_with_it(void **state) {
        struct fixture *f = *state;
        struct journal *journal;

        begin(f, &journal);
        assert_int_equal(readable(f, journal), 4);
        remove_one(f, "-wal");
        goes_on(f, journal, 5);
}

static void one_that_is_moved_away_has_all_it_had(void **state) {
        struct fixture *f = *state;
        struct fixture moved = {};
        struct journal *journal;

        begin(f, &journal);
        (void) snprintf(moved.path, sizeof(moved.path), "%s/moved.db", f->folder);
        assert_int_equal(rename(f->path, moved.path), 0);
        goes_on(f, journal, 1);
        assert_int_equal(number(&moved, "SELECT count(*) FROM events"), 4);
}

static void a_copy_of_before_is_gone_on_with(void **state) {
        struct fixture *f = *state;
        char copy[80], sql[120];
        struct journal *journal;

        keep_app(f);
        (void) snprintf(copy, sizeof(copy), "%s/copy.db", f->folder);
        (void) snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", copy);
        run_sql(f, sql);
        begin(f, &journal); /* two more, of which the copy does not know */
        assert_int_equal(rename(copy, f->path), 0);
        goes_on(f, journal, 2);
}

static void a_folder_that_is_removed_is_made_again(void **state) {
        struct fixture *f = *state;
        struct journal *journal;

        begin(f, &journal);
        command("rm", "-rf", f->folder);
        goes_on(f, journal, 1);
}

/* It has what cannot be made: nothing is acknowledged, all is kept. */
static void where_none_can_be_made_it_says_so(void **state) {
        struct fixture *f = *state;
        struct journal_stats stats;
        struct journal *journal;

        begin(f, &journal);
        command("rm", "-rf", f->folder);
        command("touch", "--", f->folder);
        assert_int_equal(append(f, journal, false), 0);
        do {
                turn(f);
                journal_get_stats(journal, &stats);
        } while (!stats.failing || stats.write_errors < 3);
        assert_int_equal(stats.last_error, -ENOTDIR);
        assert_int_equal(append(f, journal, true), -ENOSPC);
        command("rm", "--", f->folder);
        run_until_stored(f, journal, 4);
        goes_on(f, journal, 2);
}

static size_t open_files(const struct fixture *f) {
        DIR *folder = opendir("/proc/self/fd");
        struct dirent *entry;
        char target[128];
        size_t n = 0;

        assert_non_null(folder);
        while ((entry = readdir(folder))) {
                ssize_t size = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);

                target[size > 0 ? size : 0] = '\0';
                n += strstr(target, f->folder) != NULL;
        }
        (void) closedir(folder);
        return n;
}

static void left_alone(struct fixture *f, int error) {
        uint64_t end_us = clock_monotonic_us() + PATIENCE_US;
        struct journal_stats stats;
        struct journal *journal;

        begin(f, &journal);
        assert_int_equal(readable(f, journal), 4);
        assert_true(open_files(f) >= 2);
        fail_for_good(error);
        assert_int_equal(append(f, journal, false), 0);
        do {
                turn(f);
                assert_true(clock_monotonic_us() < end_us);
        } while (open_files(f) > 0);
        journal_get_stats(journal, &stats);
        assert_true(stats.failing && !stats.memory);
        assert_int_equal(stats.last_error, -error);
        assert_int_equal(stats.queued, 1);
        assert_int_equal(append(f, journal, true), -ENOSPC);

        atomic_store(&countdown, 0);
        run_until_stored(f, journal, 4);
        assert_int_equal(append(f, journal, true), 0);
        run_until_stored(f, journal, 5);
        assert_int_equal(readable(f, journal), 6);
        journal_get_stats(journal, &stats);
        assert_false(stats.failing || stats.renewed || stats.moved);
        journal_close(journal);
        assert_false(f->gap);
        assert_int_equal(number(f, "SELECT count(*) FROM events"), 6);
        assert_int_equal(number(f, "SELECT count(*) FROM documents WHERE id = 'shop'"), 1);
}

static void a_disk_that_went_read_only_is_left_alone_until_it_can_be_written(void **state) {
        left_alone(*state, EROFS);
}

static void a_broken_disk_is_left_alone_until_it_can_be_written(void **state) {
        left_alone(*state, EIO);
}

/* As when the disk is replaced by an empty one, with the name of the old. */
static void an_empty_disk_that_comes_back_has_what_people_said(void **state) {
        struct fixture *f = *state;
        struct journal *journal;

        begin(f, &journal);
        fail_for_good(EROFS);
        assert_int_equal(append(f, journal, false), 0);
        do
                turn(f);
        while (open_files(f) > 0);
        command("rm", "-rf", f->folder);
        atomic_store(&countdown, 0);
        run_until_stored(f, journal, 4);
        journal_close(journal);
        assert_false(f->gap);
        assert_int_equal(number(f, "SELECT count(*) FROM events"), 1);
        assert_int_equal(number(f, "SELECT count(*) FROM documents WHERE id = 'shop'"), 1);
        assert_int_equal(number(f, "SELECT value FROM meta"), f->last);
}

static void count_page(int error, struct event *const *events, size_t n, void *userdata) {
        size_t *waiting = userdata;

        (*waiting)--;
}

/* Pages are read all the while. */
static void a_storm_of_removals_loses_no_number(void **state) {
        static const char *const suffixes[] = { "", "-wal", "-shm" };
        struct fixture *f = *state;
        struct journal *journal;
        size_t waiting = 0;
        char path[96];

        begin(f, &journal);
        for (uint64_t i = 0; i < 60; i++) {
                for (int j = 0; j < 4; j++)
                        waiting += journal_read(journal, &(struct journal_query){ .limit = 100 },
                                                   count_page, &waiting) == 0;
                if (i % 2) {
                        (void) snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i / 2 % 3]);
                        (void) unlink(path);
                }
                assert_int_equal(append(f, journal, false), 0);
                run_until_stored(f, journal, 4 + i);
        }
        while (waiting > 0)
                turn(f);
        assert_false(f->gap);
        journal_close(journal);
        assert_true(is_stored(f, f->last));
        assert_int_equal(number(f, "SELECT count(*) FROM documents WHERE id = 'shop'"), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(one_that_is_removed_is_made_again),
                TEST(one_without_its_log_and_index_is_made_again),
                TEST(a_log_that_is_removed_takes_nothing_with_it),
                TEST(one_that_is_moved_away_has_all_it_had),
                TEST(a_copy_of_before_is_gone_on_with),
                TEST(a_folder_that_is_removed_is_made_again),
                TEST(where_none_can_be_made_it_says_so),
                TEST(a_disk_that_went_read_only_is_left_alone_until_it_can_be_written),
                TEST(a_broken_disk_is_left_alone_until_it_can_be_written),
                TEST(an_empty_disk_that_comes_back_has_what_people_said),
                TEST(a_storm_of_removals_loses_no_number),
        };

        return RUN_TESTS(tests);
}
