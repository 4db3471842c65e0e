/* The journal as the kernel's log: real journal files, made by systemd-journal-remote of recorded
 * and of hand-written exports. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/macro.h"
#include "source/kernel_oom.h"
#include "test.h"

#define FROM_THE_BEGINNING "t=1"

struct seen {
        char kills[4096]; /* "PID CGROUP, …" */
        char oomd[256];
        char cursor[512], origin[512]; /* newest; of the newest kill */
        uint64_t time_us;
        unsigned int n_kills;
        bool readable, up;
};

struct folder {
        char path[64];
        sd_event *event;
        struct source_env env;
        struct seen seen;
};

static void on_post(struct source *source, const struct fact *fact, void *userdata) {
        struct seen *seen = userdata;
        size_t n = strlen(seen->kills);

        if (fact->cursor)
                (void) snprintf(seen->cursor, sizeof(seen->cursor), "%s", fact->cursor);
        if (fact->type == FACT_READABLE)
                seen->readable = fact->oom_readable;
        if (fact->type == FACT_SOURCE)
                seen->up = fact->source_state == SOURCE_UP;
        if (fact->type != FACT_OOM)
                return;
        if (fact->oom_source == OOM_FROM_OOMD) {
                (void) snprintf(seen->oomd, sizeof(seen->oomd), "%s %s", fact->oom_cgroup,
                                fact->oomd_reason ? fact->oomd_reason : "-");
                return;
        }
        seen->n_kills++;
        seen->time_us = fact->time_us;
        (void) snprintf(seen->origin, sizeof(seen->origin), "%s", fact->origin);
        (void) snprintf(seen->kills + n, sizeof(seen->kills) - n, "%u %.40s, ", fact->oom_pid,
                        fact->task_cgroup ? fact->task_cgroup : "-");
}

/* Appends to the file where it is there already. */
static void import(const struct folder *folder, const char *file, const char *export) {
        char path[128];
        int status = -1;
        pid_t pid;

        (void) snprintf(path, sizeof(path), "%s/%s.journal", folder->path, file);
        pid = fork();
        if (pid == 0) {
                if (!freopen("/dev/null", "we", stderr))
                        _exit(126);
                (void) execl("/lib/systemd/systemd-journal-remote", "systemd-journal-remote", "-o",
                                path, export, NULL);
                _exit(127);
        }
        assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void import_text(const struct folder *folder, const char *file, const char *text) {
        char path[128];
        FILE *export;

        (void) snprintf(path, sizeof(path), "%s/x.export", folder->path);
        export = fopen(path, "we");
        assert_non_null(export);
        assert_true(fputs(text, export) >= 0);
        assert_int_equal(fclose(export), 0);
        import(folder, file, path);
        (void) unlink(path);
}

static int folder_setup(void **state) {
        struct folder *folder = calloc(1, sizeof(*folder));

        assert_non_null(folder);
        (void) snprintf(folder->path, sizeof(folder->path), "/tmp/vw-journal-XXXXXX");
        assert_non_null(mkdtemp(folder->path));
        assert_true(sd_event_new(&folder->event) >= 0);
        folder->env = (struct source_env){
                .event = folder->event, .post = on_post, .userdata = &folder->seen
        };
        *state = folder;
        return 0;
}

static int folder_teardown(void **state) {
        struct folder *folder = *state;
        struct dirent *entry;
        DIR *dir;

        sd_event_unref(folder->event);
        dir = opendir(folder->path);
        assert_non_null(dir);
        while ((entry = readdir(dir))) /* closed files of a rotation too */
                (void) unlinkat(dirfd(dir), entry->d_name, 0);
        (void) closedir(dir);
        assert_int_equal(rmdir(folder->path), 0);
        free(folder);
        return 0;
}

static struct source *reader(struct folder *folder, const char *cursor) {
        struct source *source;
        char address[128];

        (void) snprintf(address, sizeof(address), "journal:%s", folder->path);
        assert_int_equal(kernel_source_ops.create(
                                         &(struct source_config){
                                                         .name = "kernel",
                                                         .address = address,
                                                         .cursor = cursor,
                                         },
                                         &folder->env, &source),
                        0);
        assert_string_equal(source->ops->name, "kernel");
        assert_int_equal(source->ops->start(source), 0);
        return source;
}

static void turn(struct folder *folder, unsigned int n_kills) {
        for (unsigned int i = 0; i < 200 && folder->seen.n_kills < n_kills; i++)
                assert_true(sd_event_run(folder->event, 50000) >= 0);
}

static void oomd_turn(struct folder *folder) {
        for (unsigned int i = 0; i < 100 && !folder->seen.oomd[0]; i++)
                assert_true(sd_event_run(folder->event, 20000) >= 0);
}

/* One record; @extra: further fields, each with its newline. */
static void record(char *text, size_t size, uint64_t time_us, const char *extra) {
        (void) snprintf(text, size,
                        "__REALTIME_TIMESTAMP=%ju\n__MONOTONIC_TIMESTAMP=%ju\n"
                        "_BOOT_ID=a66a1e7fc0be4810b2fd850a83415123\n%s\n",
                        (uintmax_t) time_us, (uintmax_t) (time_us / 1000), extra);
}

#define KILL_LINE(pid)                                                                                                                       \
        "MESSAGE=oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=x,pid=" #pid \
        ",uid=0\n"
#define KERNEL "_TRANSPORT=kernel\nSYSLOG_FACILITY=0\n"

static void recorded_kills_are_read_each_once(void **state) {
        struct folder *folder = *state;
        struct source *source;

        import(folder, "a", FIXTURES_DIR "/journal-kernel-oom-cgroup2.export");
        import(folder, "b", FIXTURES_DIR "/journal-kernel-oom-cgroup1.export");
        source = reader(folder, FROM_THE_BEGINNING);
        turn(folder, 6);
        assert_true(folder->seen.readable && folder->seen.up);
        assert_int_equal(folder->seen.n_kills, 6);
        assert_non_null(strstr(folder->seen.kills, "335 /system.slice/t-oom.service, "));
        assert_non_null(strstr(folder->seen.kills, "339 /system.slice/t-oomchild.service, "));
        assert_non_null(strstr(folder->seen.kills, "496 /machine.slice/libpod-a9635aaa"));
        assert_non_null(strstr(folder->seen.kills, "29304 /docker/ac32dbbd"));
        /* This one's name spells other fields. */
        assert_non_null(strstr(folder->seen.kills, "29454 /vw"));
        source->ops->free(source);
}

static void reading_goes_on_behind_the_cursor(void **state) {
        struct folder *folder = *state;
        char text[1024], cursor[512];
        struct source *source;

        import(folder, "a", FIXTURES_DIR "/journal-kernel-oom-cgroup2.export");
        source = reader(folder, FROM_THE_BEGINNING);
        turn(folder, 3);
        assert_string_equal(folder->seen.cursor, folder->seen.origin);
        (void) snprintf(cursor, sizeof(cursor), "%s", folder->seen.cursor);
        source->ops->free(source);

        folder->seen = (struct seen){};
        record(text, sizeof(text), 1795260000000000, KERNEL KILL_LINE(77));
        import_text(folder, "a", text);
        source = reader(folder, cursor);
        turn(folder, 1);
        assert_int_equal(sd_event_run(folder->event, 100000), 0);
        assert_string_equal(folder->seen.kills, "77 /a/b, ");
        assert_string_not_equal(folder->seen.cursor, cursor);
        source->ops->free(source);
}

static void lines_are_followed_as_they_come(void **state) {
        struct folder *folder = *state;
        struct source *source;
        char text[1024];

        record(text, sizeof(text), 1795260000000000, KERNEL "MESSAGE=nothing\n");
        import_text(folder, "a", text);
        source = reader(folder, FROM_THE_BEGINNING);
        assert_int_equal(folder->seen.n_kills, 0);
        record(text, sizeof(text), 1795260001000000, KERNEL KILL_LINE(78));
        import_text(folder, "a", text);
        turn(folder, 1);
        record(text, sizeof(text), 1795260002000000, KERNEL KILL_LINE(79));
        import_text(folder, "b", text); /* as after a rotation */
        turn(folder, 2);
        assert_string_equal(folder->seen.kills, "78 /a/b, 79 /a/b, ");
        source->ops->free(source);
}

static void an_end_has_the_journal_looked_at_without_a_word_of_it(void **state) {
        struct folder *folder = *state;
        struct workload workload = {};
        struct source *source;
        char text[1024];

        record(text, sizeof(text), 1795260000000000, KERNEL "MESSAGE=nothing\n");
        import_text(folder, "a", text);
        source = reader(folder, FROM_THE_BEGINNING);
        record(text, sizeof(text), 1795260001000000, KERNEL KILL_LINE(80));
        import_text(folder, "a", text);
        source->ops->unwatch(source, &workload); /* the loop has not run */
        assert_string_equal(folder->seen.kills, "80 /a/b, ");
        source->ops->free(source);
}

static void the_first_reader_begins_now_and_remembers_it(void **state) {
        static const char *const cursors[] = { NULL, "0fd7b2ad-64a7-4b8e-9b0e-6c0a5ba8a3b9/4711" };
        struct folder *folder = *state;
        struct source *source;

        import(folder, "a", FIXTURES_DIR "/journal-kernel-oom-cgroup2.export");
        for (size_t i = 0; i < ARRAY_SIZE(cursors); i++) { /* the second is /dev/kmsg's */
                folder->seen = (struct seen){};
                source = reader(folder, cursors[i]);
                assert_int_equal(sd_event_run(folder->event, 50000), 0);
                assert_int_equal(folder->seen.n_kills, 0);
                assert_true(folder->seen.up);
                assert_int_equal(strncmp(folder->seen.cursor, "t=", 2), 0);
                source->ops->free(source);
        }
}

static void the_kernels_time_is_taken_not_journalds(void **state) {
        struct folder *folder = *state;
        struct source *source;
        char text[1024];

        record(text, sizeof(text), 1795260000000000,
                        KERNEL "_SOURCE_MONOTONIC_TIMESTAMP=1795259940000\n" KILL_LINE(81));
        import_text(folder, "a", text);
        source = reader(folder, FROM_THE_BEGINNING);
        turn(folder, 1);
        assert_int_equal(folder->seen.time_us, 1795260000000000 - 60000);
        source->ops->free(source);
}

static void what_others_write_is_not_the_kernels(void **state) {
        static const char *const forged[] = {
                "_TRANSPORT=journal\nSYSLOG_FACILITY=0\n_UID=1000\n" KILL_LINE(82),
                "_TRANSPORT=kernel\nSYSLOG_FACILITY=1\n" KILL_LINE(83), /* written to /dev/kmsg */
                "MESSAGE_ID=d989611b15e44c9dbf31e3c81256e4ed\n_PID=77\nUNIT=a.service\nMESSAGE=x\n",
                "MESSAGE_ID=d989611b15e44c9dbf31e3c81256e4ed\n_PID=1\nUNIT=a/b.service\nMESSAGE=x\n",
        };
        struct folder *folder = *state;
        struct source *source;
        char text[1024];

        for (size_t i = 0; i < ARRAY_SIZE(forged); i++) {
                record(text, sizeof(text), 1795260000000000 + i, forged[i]);
                import_text(folder, "a", text);
        }
        record(text, sizeof(text), 1795260001000000,
                        "MESSAGE_ID=d989611b15e44c9dbf31e3c81256e4ed\n_PID=1\nUNIT=b.service\nMESSAGE=x\n");
        import_text(folder, "a", text);
        record(text, sizeof(text), 1795260002000000, KERNEL KILL_LINE(84));
        import_text(folder, "a", text);
        source = reader(folder, FROM_THE_BEGINNING);
        turn(folder, 1);
        oomd_turn(folder);
        assert_string_equal(folder->seen.kills, "84 /a/b, ");
        assert_string_equal(folder->seen.oomd, "/b.service -");
        source->ops->free(source);
}

static const char oomd_sentence[] =
                "_SYSTEMD_UNIT=systemd-oomd.service\nMESSAGE=Killed /system.slice/a.service/sub due to memory pressure for /system.slice being 19.30% > 1.00% for > 1s with reclaim activity\n";

static void word_of_pid1(const struct folder *folder, const char *unit, uint64_t time_us) {
        char text[1024], fields[256];

        (void) snprintf(fields, sizeof(fields),
                        "MESSAGE_ID=d989611b15e44c9dbf31e3c81256e4ed\n_PID=1\nUNIT=%s\nMESSAGE=x\n",
                        unit);
        record(text, sizeof(text), time_us, fields);
        import_text(folder, "a", text);
}

static void why_oomd_killed_is_in_its_own_words(void **state) {
        struct folder *folder = *state;
        struct source *source;
        char text[1024];

        record(text, sizeof(text), 1795260000000000, oomd_sentence);
        import_text(folder, "a", text);
        source = reader(folder, FROM_THE_BEGINNING);
        word_of_pid1(folder, "a.service", 1795260001000000);
        source->ops->unwatch(source, &(struct workload){});
        assert_string_equal(folder->seen.oomd, "/a.service memory-pressure");

        /* Of another unit it has not spoken: told without a reason, but not at once. */
        folder->seen.oomd[0] = '\0';
        word_of_pid1(folder, "b.service", 1795260002000000);
        source->ops->unwatch(source, &(struct workload){});
        assert_string_equal(folder->seen.oomd, "");
        oomd_turn(folder);
        assert_string_equal(folder->seen.oomd, "/b.service -");
        source->ops->free(source);
}

static void oomds_words_may_come_behind_pid1s(void **state) {
        struct folder *folder = *state;
        struct source *source;
        char text[1024];

        word_of_pid1(folder, "a.service", 1795260000000000);
        record(text, sizeof(text), 1795260001000000, oomd_sentence);
        import_text(folder, "a", text);
        source = reader(folder, FROM_THE_BEGINNING);
        oomd_turn(folder);
        assert_string_equal(folder->seen.oomd, "/a.service memory-pressure");
        source->ops->free(source);
}

static void oomds_sentences_are_told_from_others(void **state) {
        static const struct {
                const char *text, *reason, *path;
        } rows[] = {
                { "Killed /a due to memory used (1) / total (2) and swap used (3) / total (4) being more than 90.00%",
                                "memory-used", "/a" },
                { "Killed /a/b due to memory pressure for /a being 9% > 5%", "memory-pressure",
                                "/a/b" },
                { "Killed / due to memory pressure", "memory-pressure", "/" },
                { "Marked /a for killing due to memory pressure for /a being 9% > 5%",
                                "memory-pressure", "/a" },
                { "Killed a due to memory pressure", NULL, NULL },
                { "Killed /a due to boredom", NULL, NULL },
                { "Killed ", NULL, NULL },
                { "", NULL, NULL },
        };
        const char *reason, *path;
        size_t size;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                reason = kernel_oomd_reason(rows[i].text, strlen(rows[i].text), &path, &size);
                if (!reason != !rows[i].reason)
                        fail_msg("%s", rows[i].text);
                if (!reason)
                        continue;
                assert_string_equal(reason, rows[i].reason);
                assert_int_equal(size, strlen(rows[i].path));
                assert_memory_equal(path, rows[i].path, size);
        }
}

static void a_folder_that_is_not_there_is_waited_for(void **state) {
        struct folder *folder = *state;
        char path[64], text[1024];
        struct source *source;

        (void) snprintf(path, sizeof(path), "%s", folder->path);
        assert_int_equal(rmdir(path), 0);
        source = reader(folder, FROM_THE_BEGINNING);
        assert_false(folder->seen.up || folder->seen.readable);
        assert_int_equal(mkdir(path, 0700), 0);
        record(text, sizeof(text), 1795260000000000, KERNEL KILL_LINE(85));
        import_text(folder, "a", text);
        turn(folder, 1);
        assert_true(folder->seen.up && folder->seen.readable);
        assert_string_equal(folder->seen.kills, "85 /a/b, ");
        source->ops->free(source);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(recorded_kills_are_read_each_once),
                TEST(reading_goes_on_behind_the_cursor),
                TEST(lines_are_followed_as_they_come),
                TEST(an_end_has_the_journal_looked_at_without_a_word_of_it),
                TEST(the_first_reader_begins_now_and_remembers_it),
                TEST(the_kernels_time_is_taken_not_journalds),
                TEST(what_others_write_is_not_the_kernels),
                TEST(why_oomd_killed_is_in_its_own_words),
                TEST(oomds_words_may_come_behind_pid1s),
                cmocka_unit_test(oomds_sentences_are_told_from_others),
                TEST(a_folder_that_is_not_there_is_waited_for),
        };

        return RUN_TESTS(tests);
}
