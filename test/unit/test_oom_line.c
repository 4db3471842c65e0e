/* The kernel's lines: recorded ones, old ones, and names that try to spoof. */

#include <stdio.h>
#include <string.h>

#include "model/oom_line.h"
#include "test.h"

static void parse(const char *text, struct oom_line *line) {
        assert_int_equal(oom_line_parse(text, strlen(text), line), 1);
}

static void recorded_lines_are_read(void **state) {
        static const char *const files[] = { FIXTURES_DIR "/dmesg-oom-lines-cgroup1.txt",
                FIXTURES_DIR "/oom-kill-lines-docker-cgroup2.txt" };
        size_t n = 0;

        for (size_t i = 0; i < 2; i++) {
                FILE *file = fopen(files[i], "re");
                char text[8192];

                assert_non_null(file);
                while (fgets(text, sizeof(text), file)) {
                        char *begin = strstr(text, "oom-kill:constraint=");
                        struct oom_line line;

                        if (!begin)
                                continue;
                        parse(begin, &line);
                        assert_int_equal(line.type, OOM_LINE_SUMMARY);
                        assert_true(line.pid > 0 && line.has_uid);
                        assert_int_equal(line.task_cgroup[0], '/');
                        n++;
                }
                (void) fclose(file);
        }
        assert_true(n > 5);
}

static void a_global_kill_has_no_limit(void **state) {
        struct oom_line line;

        parse("oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
              "task_memcg=/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator,task=qemu-system-x86,pid=4242,uid=64055",
                        &line);
        assert_true(line.global);
        assert_int_equal(line.constraint, CONSTRAINT_NONE);
        assert_int_equal(line.pid, 4242);
        assert_string_equal(line.comm, "qemu-system-x86");
        assert_string_equal(line.oom_cgroup, "");
}

static void a_process_name_cannot_forge_pid_or_cgroup(void **state) {
        struct oom_line line;

        parse("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/vw,"
              "task_memcg=/vw,task=a,pid=1,uid=9,pid=18214,uid=0",
                        &line);
        assert_int_equal(line.pid, 18214);
        assert_int_equal(line.uid, 0);
        assert_string_equal(line.comm, "a,pid=1,uid=9");
        assert_string_equal(line.task_cgroup, "/vw");
        parse("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/vw,"
              "task_memcg=/vw,task=,task_memcg=/x,pid=7,uid=1",
                        &line);
        assert_string_equal(line.task_cgroup, "/vw");
        assert_string_equal(line.comm, ",task_memcg=/x");
        parse("Memory cgroup out of memory: Killed process 29454 (d,pid=7,uid=0) total-vm:68512kB, anon-rss:16256kB, file-rss:0kB",
                        &line);
        assert_int_equal(line.pid, 29454);
        assert_int_equal(line.anon_rss_bytes, 16256 * 1024);
        parse("Out of memory: Killed process 5 (x) total-vm:1kB) total-vm:2kB, anon-rss:3kB",
                        &line);
        assert_int_equal(line.pid, 5);
        assert_true(line.global);
}

static void lines_before_5_0_are_read(void **state) {
        struct oom_line line;

        parse("Task in /docker/abc killed as a result of limit of /docker", &line);
        assert_int_equal(line.type, OOM_LINE_TASK_IN);
        assert_string_equal(line.task_cgroup, "/docker/abc");
        assert_string_equal(line.oom_cgroup, "/docker");
        parse("Killed process 77 (dd) total-vm:100kB, anon-rss:50kB, file-rss:0kB, shmem-rss:0kB\n",
                        &line);
        assert_int_equal(line.pid, 77);
}

static void a_group_that_is_killed_together_is_named(void **state) {
        struct oom_line line;

        parse("Tasks in /kubepods/pod1/c are going to be killed due to memory.oom.group set\n",
                        &line);
        assert_int_equal(line.type, OOM_LINE_GROUP);
        assert_string_equal(line.task_cgroup, "/kubepods/pod1/c");
        assert_string_equal(line.oom_cgroup, "");
        assert_int_equal(line.pid, 0);
        /* a group may have any name */
        parse("Tasks in /a are going to be killed due to memory.oom.group set/b are going to be killed due to memory.oom.group set",
                        &line);
        assert_string_equal(line.task_cgroup,
                        "/a are going to be killed due to memory.oom.group set/b");
}

static void other_text_is_not_ours(void **state) {
        static const char *const texts[] = { "",
                "oom-kill:constraint=", "oom-kill:constraint=CONSTRAINT_MEMCG,pid=1,uid=0",
                "oom-kill:constraint=CONSTRAINT_NONE,global_oom,task_memcg=x,task=a,pid=1,uid=0",
                "oom-kill:constraint=CONSTRAINT_NONE,global_oom,task_memcg=/x,task=a,pid=0,uid=0",
                "oom-kill:constraint=CONSTRAINT_NONE,global_oom,task_memcg=/x,task=a,pid=99999999999,uid=0",
                "Killed process (x)", "Killed process 7", "Out of memory: Killed process 7 (x",
                "oom_reaper: reaped process 7 (dd)",
                "Tasks in a are going to be killed due to memory.oom.group set",
                "Tasks in /a are going to be killed due to memory.oom.group set!",
                "Tasks in /a are going to be killed" };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                struct oom_line line;

                if (oom_line_parse(texts[i], strlen(texts[i]), &line) != 0)
                        fail_msg("taken for an OOM line: %s", texts[i]);
                assert_int_equal(line.type, OOM_LINE_NONE);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(recorded_lines_are_read),
                cmocka_unit_test(a_global_kill_has_no_limit),
                cmocka_unit_test(a_process_name_cannot_forge_pid_or_cgroup),
                cmocka_unit_test(lines_before_5_0_are_read),
                cmocka_unit_test(a_group_that_is_killed_together_is_named),
                cmocka_unit_test(other_text_is_not_ours),
        };

        return RUN_TESTS(tests);
}
