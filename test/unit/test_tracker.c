/* The tracker, driven with facts alone: what becomes of an exit with evidence before it, after it
 * and never, of facts that come twice, and of an OOM kill that nobody dies of. */

#include "tracker_fixture.h"

static void exits_that_evidence_cannot_change_go_out_at_once(void **state) {
        static const struct scenario scenarios[] = {
                { "an exit code", { START(0), EXIT(1000, 3) },
                                "started died:exit-code/confirmed[exit-code]" },
                { "success", { START(0), EXIT(1000, 0) },
                                "started stopped:completed/confirmed[exit-code]" },
                { "a signal", { START(0), EXIT(1000, 139) },
                                "started died:signal/confirmed[exit-code]" },
                { "stopped on request", { START(0), KILL(900, 15), EXIT(1000, 143) },
                                "started died:stop-requested/confirmed[runtime]" },
                { "stopped on request, in good order", { START(0), KILL(900, 15), EXIT(1000, 0) },
                                "started stopped:stop-requested/confirmed[runtime]" },
                { "a kill of an earlier life",
                                { START(0), KILL(900, 15), EXIT(1000, 0), START(2000),
                                                EXIT(3000, 143) },
                                "started stopped:stop-requested/confirmed[runtime] started "
                                "died:signal/confirmed[exit-code]" },
                { "a kill between two lives",
                                { START(0), EXIT(1000, 3), KILL(1500, 15), START(2000),
                                                EXIT(3000, 143) },
                                "started died:exit-code/confirmed[exit-code] started died:signal/confirmed[exit-code]" },
                { "never started", { EXIT_OF(HEX, 0, 127, .how = EXIT_START_FAILED) },
                                "died:start-failed/confirmed[exit-code]" },
                { "a domain destroyed", { VM_START(0), VM_EXIT(1000, EXIT_DESTROYED) },
                                "started died:destroyed/confirmed[runtime]" },
                { "a domain shut down", { VM_START(0), VM_EXIT(1000, EXIT_GUEST_SHUTDOWN) },
                                "started stopped:guest-shutdown/confirmed[runtime]" },
                { "a domain migrated", { VM_START(0), VM_EXIT(1000, EXIT_MIGRATED) },
                                "started migrated:migrated/confirmed[runtime]" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void an_exit_waits_as_long_as_evidence_could_come_and_no_longer(void **state) {
        static const struct scenario scenarios[] = {
                { "nothing could be read",
                                { START(0), EXIT(1000, 137), MS(249), STEP(SEEN), MS(1) },
                                "started | OOMKilled:oom/assumed/unknown[exit-code]" },
                { "the kernel is silent",
                                { READABLE(OOM_FROM_KERNEL), START(0), EXIT(1000, 137), MS(249),
                                                STEP(SEEN), MS(1) },
                                "started | OOMKilled:sigkill-unknown/contradicted/unknown[exit-code]" },
                { "the kernel is silent, rule of evidence",
                                { STEP(EVIDENCE), READABLE(OOM_FROM_KERNEL), START(0),
                                                EXIT(1000, 137), MS(250) },
                                "started died:sigkill-unknown/assumed[exit-code]" },
                { "the counters are silent, but whose",
                                { STEP(EVIDENCE), READABLE(OOM_FROM_CGROUP), START(0),
                                                EXIT(1000, 137), MS(250) },
                                "started OOMKilled:oom/assumed/unknown[exit-code]" },
                { "a kill through the runtime",
                                { START(0), KILL(900, 9), EXIT(1000, 137), MS(250) },
                                "started OOMKilled:killed/contradicted/unknown[runtime,exit-code]" },
                { "a kill through the runtime, rule of evidence",
                                { STEP(EVIDENCE), START(0), KILL(900, 9), EXIT(1000, 137),
                                                MS(250) },
                                "started died:killed/confirmed[runtime]" },
                { "it did not stop in time",
                                { STEP(EVIDENCE), START(0), KILL(900, 15), KILL(910, 9),
                                                EXIT(1000, 137), MS(250) },
                                "started died:stop-timeout/confirmed[runtime]" },
                { "QEMU is gone",
                                { VM_START(0), VM_EXIT(1000, EXIT_QEMU_FAILED), MS(249), STEP(SEEN),
                                                MS(1) },
                                "started | crashed:qemu-failed/confirmed[runtime]" },
                { "the daemon ends",
                                { START(0), EXIT(1000, 137), STEP(SEEN), STEP(FLUSH), MS(1000) },
                                "started | OOMKilled:oom/assumed/unknown[exit-code]" },
                { "a second exit of the same life",
                                { START(0), EXIT(1000, 137), EXIT(1001, 137), MS(1000) },
                                "started OOMKilled:oom/assumed/unknown[exit-code]" },
                { "the next life begins meanwhile",
                                { START(0), EXIT(1000, 137), START(1010), STEP(SEEN), MS(1000) },
                                "started OOMKilled:oom/assumed/unknown[exit-code] started |" },
                { "removed and made anew meanwhile",
                                { START(0), EXIT(1000, 137), REMOVED(1001), START(1010), STEP(SEEN),
                                                MS(1000) },
                                "started OOMKilled:oom/assumed/unknown[exit-code] removed started |" },
                { "an older start, told late",
                                { START(0), EXIT(1000, 137), START(10), STEP(SEEN), MS(1000) },
                                "started | OOMKilled:oom/assumed/unknown[exit-code]" },
                { "two exits end their wait each",
                                { START(0), START_OF("other", 0), EXIT(1000, 137), MS(100),
                                                EXIT_OF("other", 1100, 137), MS(150), STEP(SEEN),
                                                MS(99), STEP(SEEN), MS(1) },
                                "started started OOMKilled:oom/assumed/unknown[exit-code] | | "
                                "OOMKilled:oom/assumed/unknown[exit-code]" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void evidence_before_and_after_an_exit_counts(void **state) {
        static const struct scenario scenarios[] = {
                { "the kernel's line first", { START(0), KERNEL(999, 100), EXIT(1000, 137) },
                                "started OOMKilled:oom/confirmed/self[kernel]" },
                { "the kernel's line after it",
                                { START(0), EXIT(1000, 137), STEP(SEEN), MS(100), KERNEL(999, 100),
                                                STEP(SEEN), MS(1000) },
                                "started | OOMKilled:oom/confirmed/self[kernel] |" },
                { "a limit above it",
                                { START(0), KERNEL(999, 100, .oom_cgroup = "/docker"),
                                                EXIT(1000, 137) },
                                "started OOMKilled:oom/confirmed/ancestor[kernel]" },
                { "the host",
                                { START(0),
                                                KERNEL(999, 100, .constraint = CONSTRAINT_NONE,
                                                                .oom_global = true),
                                                EXIT(1000, 137) },
                                "started OOMKilled:oom/confirmed/host[kernel]" },
                { "the process by its number only",
                                { START(0),
                                                KERNEL(999, 100, .task_cgroup = NULL,
                                                                .oom_cgroup = NULL),
                                                EXIT(1000, 137) },
                                "started OOMKilled:oom/confirmed/unknown[kernel]" },
                { "the process by its number, after it",
                                { START(0), EXIT(1000, 137),
                                                KERNEL(999, 100, .task_cgroup = NULL,
                                                                .oom_cgroup = NULL) },
                                "started OOMKilled:oom/confirmed/unknown[kernel]" },
                { "a line before the workload is known",
                                { KERNEL(999, 100), START(990), EXIT(1000, 137) },
                                "started OOMKilled:oom/confirmed/self[kernel]" },
                { "another one's line",
                                { READABLE(OOM_FROM_KERNEL), START(0),
                                                KERNEL(999, 7, .task_cgroup = "/other"),
                                                EXIT(1000, 137), MS(250) },
                                "started OOMKilled:sigkill-unknown/contradicted/unknown[exit-code]" },
                { "the runtime's word first",
                                { START(0), RUNTIME_OOM(990), EXIT(1000, 137), STEP(SEEN),
                                                MS(250) },
                                "started | OOMKilled:oom/confirmed/unknown[runtime]" },
                { "the runtime's word after it",
                                { START(0), EXIT(1000, 137), RUNTIME_OOM(1001), STEP(SEEN),
                                                MS(250) },
                                "started | OOMKilled:oom/confirmed/unknown[runtime]" },
                { "the runtime's word twice",
                                { START(0), RUNTIME_OOM(990), RUNTIME_OOM(991), EXIT(1000, 137),
                                                MS(250) },
                                "started OOMKilled:oom/confirmed/unknown[runtime]" },
                { "a counter",
                                { START(0), CGROUP_OOM(990, .oom_kill_rise = 1), EXIT(1000, 137),
                                                MS(250) },
                                "started OOMKilled:oom/confirmed/unknown[cgroup]" },
                { "a counter read at the end",
                                { START(0), EXIT(1000, 137),
                                                CGROUP_OOM(1001, .oom_group_kill_rise = 1),
                                                MS(250) },
                                "started OOMKilled:oom/confirmed/unknown[cgroup]" },
                { "all of them",
                                { START(0), CGROUP_OOM(990, .oom_kill_rise = 1), RUNTIME_OOM(991),
                                                KERNEL(992, 100), EXIT(1000, 137) },
                                "started OOMKilled:oom/confirmed/self[kernel,cgroup,runtime]" },
                { "oomd",
                                { START(0),
                                                OOMD(990, .oom_cgroup = "/docker/" HEX,
                                                                .oomd_reason = "memory-pressure"),
                                                EXIT(1000, 137) },
                                "started OOMKilled:memory-pressure/confirmed/oomd[runtime]" },
                { "a word just young enough",
                                { START(0), RUNTIME_OOM(1001), EXIT(3000, 137), MS(250) },
                                "started OOMKilled:oom/confirmed/unknown[runtime]" },
                { "a word just too old",
                                { READABLE(OOM_FROM_KERNEL), START(0), RUNTIME_OOM(1000),
                                                EXIT(3000, 137), MS(250) },
                                "started OOMKilled:sigkill-unknown/contradicted/unknown[exit-code]" },
                { "evidence of an earlier life",
                                { READABLE(OOM_FROM_KERNEL), START(0), KERNEL(999, 100),
                                                EXIT(1000, 137), START(9000), EXIT(9500, 137),
                                                MS(250) },
                                "started OOMKilled:oom/confirmed/self[kernel] started "
                                "OOMKilled:sigkill-unknown/contradicted/unknown[exit-code]" },
                { "a line about one that is dead",
                                { READABLE(OOM_FROM_KERNEL), START(0), EXIT(1000, 3),
                                                KERNEL(1500, 100), START(9000), EXIT(9500, 137),
                                                MS(250) },
                                "started died:exit-code/confirmed[exit-code] started OOMKilled:sigkill-unknown/contradicted/unknown[exit-code]" },
                { "a line about one that is dead, and was back before it",
                                { READABLE(OOM_FROM_KERNEL), START(0), EXIT(1000, 3),
                                                KERNEL(999, 100), START(1500), EXIT(9500, 137),
                                                MS(250) },
                                "started died:exit-code/confirmed[exit-code] started OOMKilled:sigkill-unknown/contradicted/unknown[exit-code]" },
                { "evidence, but it ended by itself", { START(0), RUNTIME_OOM(990), EXIT(1000, 3) },
                                "started died:exit-code/confirmed[exit-code]" },
                { "QEMU by its cgroup",
                                { VM_START(0), VM_EXIT(1000, EXIT_QEMU_FAILED), STEP(SEEN),
                                                KERNEL(999, 300,
                                                                .oom_cgroup = "/machine.slice/machine-qemu\\x2d3\\x2dweb.scope",
                                                                .task_cgroup = "/machine.slice/machine-qemu\\x2d3\\x2dweb.scope/emulator") },
                                "started | OOMKilled:oom/confirmed/self[kernel]" },
                { "QEMU by its cgroup, a limit above it",
                                { VM_START(0), VM_EXIT(1000, EXIT_QEMU_FAILED),
                                                KERNEL(999, 300, .oom_cgroup = "/machine.slice",
                                                                .task_cgroup = "/machine.slice/machine-qemu\\x2d3\\x2dweb.scope/emulator") },
                                "started OOMKilled:oom/confirmed/ancestor[kernel]" },
                { "a group of a container's own",
                                { START(0),
                                                KERNEL(999, 101,
                                                                .task_cgroup = "/docker/" HEX
                                                                               "/init.scope"),
                                                EXIT(1000, 137) },
                                "started OOMKilled:oom/confirmed/self[kernel]" },
                { "a limit within it",
                                { START(0),
                                                KERNEL(999, 101, .oom_cgroup = "/docker/" HEX "/a",
                                                                .task_cgroup = "/docker/" HEX
                                                                               "/a/b"),
                                                EXIT(1000, 137) },
                                "started OOMKilled:oom/confirmed/self[kernel]" },
                { "all of a group, of whom one line says which",
                                { START(0), KERNEL(990, 101),
                                                KERNEL(991, 100, .task_cgroup = NULL,
                                                                .oom_cgroup = NULL),
                                                EXIT(1000, 137) },
                                "started OOMKilled:oom/confirmed/self[kernel]" },
                { "QEMU by its process",
                                { VM_START(0), KERNEL(999, 300, .task_cgroup = NULL),
                                                VM_EXIT(1000, EXIT_QEMU_FAILED) },
                                "started OOMKilled:oom/confirmed/unknown[kernel]" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void an_oom_kill_that_its_workload_survives_was_a_childs(void **state) {
        static const struct scenario scenarios[] = {
                { "after two seconds",
                                { START(0), KERNEL(1000, 101), MS(1999), STEP(SEEN), MS(1),
                                                STEP(SEEN), MS(9000) },
                                "started | oom |" },
                { "two kills are told once",
                                { START(0), KERNEL(1000, 101), MS(500), KERNEL(1500, 102), MS(1499),
                                                STEP(SEEN), MS(1), STEP(SEEN), MS(9000) },
                                "started | oom |" },
                { "two kills far apart are two",
                                { START(0), KERNEL(1000, 101), MS(2000), KERNEL(3000, 102),
                                                MS(2000) },
                                "started oom oom" },
                { "the runtime's word will do", { START(0), RUNTIME_OOM(1000), MS(2000) },
                                "started oom" },
                { "it died of it after all",
                                { START(0), KERNEL(1000, 101), MS(1999), EXIT(1900, 137),
                                                STEP(SEEN), MS(5000) },
                                "started OOMKilled:oom/confirmed/self[kernel] |" },
                { "its main process does not, however late its end is told",
                                { READABLE(OOM_FROM_KERNEL), START(0), KERNEL(1000, 100), MS(9000),
                                                STEP(SEEN), EXIT(9000, 137) },
                                "started | OOMKilled:oom/confirmed/self[kernel]" },
                { "whose counter is told first",
                                { READABLE(OOM_FROM_KERNEL), START(0),
                                                CGROUP_OOM(999, .oom_kill_rise = 1),
                                                KERNEL(1000, 100), MS(9000), STEP(SEEN),
                                                EXIT(9000, 137) },
                                "started | OOMKilled:oom/confirmed/self[kernel,cgroup]" },
                { "it ended for another reason",
                                { START(0), KERNEL(1000, 101), MS(100), EXIT(1100, 1), STEP(SEEN),
                                                MS(5000) },
                                "started died:exit-code/confirmed[exit-code] |" },
                { "it is removed meanwhile",
                                { START(0), KERNEL(1000, 101), EXIT(1100, 1), REMOVED(1200),
                                                MS(20000) },
                                "started died:exit-code/confirmed[exit-code] removed" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void evidence_after_the_verdict_is_added_to_the_timeline(void **state) {
        static const struct scenario scenarios[] = {
                { "rule of evidence",
                                { STEP(EVIDENCE), READABLE(OOM_FROM_KERNEL), START(0),
                                                EXIT(1000, 137), MS(250), STEP(SEEN),
                                                KERNEL(999, 100), STEP(SEEN), KERNEL(999, 100),
                                                MS(20000) },
                                "started died:sigkill-unknown/assumed[exit-code] | amended |" },
                { "the contract's rule",
                                { READABLE(OOM_FROM_KERNEL), START(0), EXIT(1000, 137), MS(250),
                                                KERNEL(999, 100), STEP(SEEN), KERNEL(999, 100),
                                                MS(20000) },
                                "started OOMKilled:sigkill-unknown/contradicted/unknown[exit-code] amended |" },
                { "QEMU",
                                { VM_START(0), VM_EXIT(1000, EXIT_QEMU_FAILED), MS(250),
                                                KERNEL(999, 300, .task_cgroup = NULL) },
                                "started crashed:qemu-failed/confirmed[runtime] amended" },
                { "just young enough",
                                { VM_START(0), VM_EXIT(1000, EXIT_QEMU_FAILED), MS(250),
                                                KERNEL(3000, 300, .task_cgroup = NULL) },
                                "started crashed:qemu-failed/confirmed[runtime] amended" },
                { "too young",
                                { VM_START(0), VM_EXIT(1000, EXIT_QEMU_FAILED), MS(250),
                                                KERNEL(3001, 300, .task_cgroup = NULL) },
                                "started crashed:qemu-failed/confirmed[runtime]" },
                { "an exit that has another cause",
                                { START(0), EXIT(1000, 3), KERNEL(999, 100), MS(20000) },
                                "started died:exit-code/confirmed[exit-code]" },
                { "an exit that is known to be one",
                                { START(0), KERNEL(998, 100), EXIT(1000, 137), KERNEL(999, 100),
                                                MS(20000) },
                                "started OOMKilled:oom/confirmed/self[kernel]" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void an_amended_exit_is_remembered_as_one(void **state) {
        const struct step steps[] = { STEP(EVIDENCE), READABLE(OOM_FROM_KERNEL), START(0),
                EXIT(1000, 137), MS(250), KERNEL(999, 100) };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_string_equal(the_workload()->last_exit.action, "OOMKilled");
        assert_string_equal(the_workload()->last_exit.reason, "oom");
        assert_string_equal(the_workload()->last_exit.confidence, "confirmed");
        assert_int_equal(the_workload()->oom_kills, 1);
        assert_int_equal(the_workload()->state, STATE_FAILED);
}

static void what_comes_twice_is_told_once(void **state) {
        static const struct scenario scenarios[] = {
                { "an action",
                                { START_OF(HEX, 0), ACTION(1, "paused", .origin = "1"),
                                                ACTION(1, "paused", .origin = "1") },
                                "started paused" },
                { "an exit",
                                { START(0), EXIT_OF(HEX, 1000, 3, .origin = "1"), START(2000),
                                                EXIT_OF(HEX, 1000, 3, .origin = "1") },
                                "started died:exit-code/confirmed[exit-code] started" },
                { "evidence",
                                { START(0), KERNEL(1000, 101, .origin = "k"), MS(2000),
                                                KERNEL(1000, 101, .origin = "k"), MS(20000) },
                                "started oom" },
                { "no origin is no name", { START(0), ACTION(1, "paused"), ACTION(1, "paused") },
                                "started paused paused" },
                { "the same name from another source",
                                { ACTION(1, "a", .origin = "1"),
                                                TOLD("podman", FACT_ACTION, 1, .action = "b",
                                                                .origin = "1", ABOUT("x")) },
                                "a b" },
        };
        struct tracker_stats stats;

        play(scenarios, ARRAY_SIZE(scenarios));
        (void) tracker_teardown(NULL);
        (void) tracker_setup(NULL);
        assert_int_equal(tracker_restore_origin(test.tracker, "docker", "1"), 0);
        assert_int_equal(tracker_restore_origin(test.tracker, "docker", "1"), 0);
        take_step(&(const struct step) ACTION(1, "a", .origin = "1"));
        assert_string_equal(told(), "");
        tracker_get_stats(test.tracker, &stats);
        assert_int_equal(stats.duplicates, 1);
        assert_int_equal(stats.facts, 1);
        assert_int_equal(stats.events, 0);
}

static void a_removal_waits_for_the_exit_that_waits(void **state) {
        static const struct scenario scenarios[] = {
                { "in order", { START(0), EXIT(1000, 137), REMOVED(1001), STEP(SEEN), MS(250) },
                                "started | OOMKilled:oom/assumed/unknown[exit-code] removed" },
                { "evidence comes meanwhile",
                                { START(0), EXIT(1000, 137), REMOVED(1001), KERNEL(999, 100) },
                                "started OOMKilled:oom/confirmed/self[kernel] removed" },
                { "at the end of the daemon",
                                { START(0), EXIT(1000, 137), REMOVED(1001), STEP(FLUSH) },
                                "started OOMKilled:oom/assumed/unknown[exit-code] removed" },
                { "removed twice",
                                { START(0), EXIT(1000, 137), REMOVED(1001), REMOVED(1002), MS(250),
                                                REMOVED(1003) },
                                "started OOMKilled:oom/assumed/unknown[exit-code] removed" },
                { "with no exit that waits", { START(0), EXIT(1000, 3), REMOVED(1001) },
                                "started died:exit-code/confirmed[exit-code] removed" },
                { "never heard of", { REMOVED(0), KILL(0, 9) }, "" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
        assert_int_equal(inventory_size(tracker_inventory(test.tracker)), 0);
}

static void evidence_after_a_removal_finds_nobody(void **state) {
        const struct step steps[] = { START(0), EXIT(1000, 3), REMOVED(1001),
                KERNEL(999, 100, .task_cgroup = NULL), KERNEL(999, 100), RUNTIME_OOM(999),
                CGROUP_OOM(999, .oom_kill_rise = 1), OOMD(999, .oom_cgroup = "/docker/" HEX),
                MS(60000) };
        struct tracker_stats stats;

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_string_equal(told(), "started died:exit-code/confirmed[exit-code] removed");
        tracker_get_stats(test.tracker, &stats);
        assert_int_equal(stats.unattributed_oom, 2);
}

/* Systemd dates an exit itself; that it stops is dated when we hear of it, which may be later. */
static void the_end_of_what_is_stopping_is_not_past(void **state) {
        const struct step steps[] = { UP, START(0),
                ACTION(1000, NULL, .quiet = true, .workload.state = STATE_STOPPING), EXIT(999, 3) };
        struct workload *workload;

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        workload = inventory_find_native(tracker_inventory(test.tracker), "docker", HEX);
        assert_non_null(workload);
        assert_int_equal(workload->state, STATE_FAILED);
}

static void every_source_is_up(void) {
        static const char *const sources[] = { "docker", "podman", "libvirt", "kernel", "cgroup",
                "oomd" };

        for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
                take_step(&(const struct step) TOLD(
                                sources[i], FACT_SOURCE, 0, .source_state = SOURCE_UP));
}

static void a_kernel_line_keeps_its_cursor_until_it_is_settled(void **state) {
        const struct step line = KERNEL(0, 7, .task_cgroup = "/nobody", .cursor = "k1");
        struct tracker_stats stats;

        every_source_is_up();
        take_step(&line);
        wait_us(9999 * USEC_PER_MSEC);
        assert_string_equal(test.cursors, "");
        tracker_get_stats(test.tracker, &stats);
        assert_int_equal(stats.unattributed_oom, 0);
        wait_us(1 * USEC_PER_MSEC);
        assert_string_equal(test.cursors, "kernel=k1");
        tracker_get_stats(test.tracker, &stats);
        assert_int_equal(stats.unattributed_oom, 1);
        assert_false(fake.armed); /* nothing left to wait for */
}

/* Whose victim is told by a source that is not up yet. */
static void a_kernel_line_waits_for_the_sources(void **state) {
        const struct step down = DOWN, up = UP, started = START(0), ended = EXIT(500, 137);
        const struct step line = KERNEL(500, 100, .cursor = "k1");
        const struct step nobody = KERNEL(500, 7, .task_cgroup = "/nobody", .cursor = "k2");
        struct tracker_stats stats;

        every_source_is_up();
        take_step(&down);
        take_step(&line);
        take_step(&nobody);
        wait_us(59 * USEC_PER_SEC);
        assert_string_equal(test.cursors, "");
        take_step(&up);
        test.told.size = 0;
        take_step(&started);
        take_step(&ended);
        assert_string_equal(told(), "started OOMKilled:oom/confirmed/self[kernel]");
        wait_us(1 * USEC_PER_SEC);
        assert_string_equal(test.cursors, "kernel=k2");
        tracker_get_stats(test.tracker, &stats);
        assert_int_equal(stats.unattributed_oom, 1);

        take_step(&down); /* one that does not come back is not waited for without end */
        take_step(&nobody);
        test.cursors[0] = '\0';
        wait_us(60 * USEC_PER_SEC - 1);
        assert_string_equal(test.cursors, "");
        wait_us(1);
        assert_string_equal(test.cursors, "kernel=k2");
}

static void the_book_of_kernel_lines_settles_the_oldest_when_full(void **state) {
        struct tracker_stats stats;
        char cursor[16];

        for (int i = 0; i < 256; i++) {
                (void) snprintf(cursor, sizeof(cursor), "k%d", i);
                take_step(&(const struct step) KERNEL(
                                0, 7, .task_cgroup = "/nobody", .cursor = cursor));
        }
        tracker_get_stats(test.tracker, &stats);
        assert_int_equal(stats.unattributed_oom, 0);
        take_step(&(const struct step) KERNEL(0, 7, .task_cgroup = "/nobody", .cursor = "k256"));
        tracker_get_stats(test.tracker, &stats);
        assert_int_equal(stats.unattributed_oom, 1);
        assert_string_equal(test.cursors, "kernel=k0");
}

static void cursors_go_with_what_they_stand_for(void **state) {
        take_step(&(const struct step) START_OF(HEX, 0));
        assert_string_equal(test.cursors, "");
        take_step(&(const struct step) ACTION(1, "paused", .cursor = "d1"));
        assert_string_equal(test.cursors, "docker=d1");
        take_step(&(const struct step) ACTION(1, "x", .quiet = true, .cursor = "d2"));
        assert_string_equal(test.cursors, "docker=d2");
        take_step(&(const struct step) DOCKER(FACT_REMOVED, 1, .cursor = "d3", ABOUT("unknown")));
        assert_string_equal(test.cursors, "docker=d3");
        assert_string_equal(told(), "started paused");
}

static void an_inventory_that_is_full_refuses_and_the_rest_goes_on(void **state) {
        struct tracker_stats stats;
        char id[8];

        for (int i = 0; i < 9; i++) {
                (void) snprintf(id, sizeof(id), "c%d", i);
                take_step(&(const struct step) START_OF(id, 0));
        }
        tracker_get_stats(test.tracker, &stats);
        assert_int_equal(stats.refused, 1);
        assert_int_equal(stats.events, 8);
        take_step(&(const struct step) EXIT_OF("c0", 1000, 3));
        tracker_get_stats(test.tracker, &stats);
        assert_int_equal(stats.events, 9);
}

static void facts_that_name_nobody_are_harmless(void **state) {
        static const struct scenario scenarios[] = {
                { "no id",
                                { DOCKER(FACT_ACTION, 0, .action = "x"), DOCKER(FACT_EXIT, 0),
                                                DOCKER(FACT_REMOVED, 0), DOCKER(FACT_KILL, 0),
                                                DOCKER(FACT_WORKLOAD, 0),
                                                DOCKER(FACT_OOM, 0, .oom_source = OOM_FROM_RUNTIME),
                                                OOMD(0, .oomd_reason = "x") },
                                "" },
                { "an empty id", { START_OF("", 0), EXIT_OF("", 0, 1) }, "" },
                { "no such source", { TOLD("nobody", FACT_ACTION, 0, .action = "x", ABOUT("a")) },
                                "" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void a_wait_of_nothing_is_none(void **state) {
        test.config.evidence_wait_us = 0;
        tracker_configure(test.tracker, &test.config);
        take_step(&(const struct step) START(0));
        take_step(&(const struct step) EXIT(1000, 137));
        assert_string_equal(told(), "started OOMKilled:oom/assumed/unknown[exit-code]");
        assert_false(fake.armed);
}

static void a_source_that_is_no_longer_configured_leaves_its_workloads_unknown(void **state) {
        const struct fact up = { .type = FACT_SOURCE, .time_us = AT(0), .source_state = SOURCE_UP };
        struct tracker_source *source;

        tracker_post(test.tracker, "docker", &up);
        take_step(&(const struct step) START(0));
        take_step(&(const struct step) EXIT(1000, 137)); /* waits for evidence */
        take_step(&(const struct step) START_OF("other", 1500));
        tracker_remove_source(test.tracker, "docker");
        assert_string_equal(told(),
                        "source_up started started OOMKilled:oom/assumed/unknown[exit-code] source_down");
        list_for_each(source, tracker_sources(test.tracker), list)
                assert_string_not_equal(source->name, "docker");
        assert_int_equal(inventory_size(tracker_inventory(test.tracker)), 2);
        assert_int_equal(inventory_find_native(tracker_inventory(test.tracker), "docker", "other")
                                         ->state,
                        STATE_UNKNOWN);
        take_step(&(const struct step) EXIT_OF("other", 2000, 3)); /* nobody's */
        tracker_remove_source(test.tracker, "docker");

        /* It comes back to what was known. */
        assert_int_equal(tracker_add_source(test.tracker, "docker", true, false), 0);
        assert_null(tracker_source_cursor(test.tracker, "docker"));
        list_for_each(source, tracker_sources(test.tracker), list)
                if (strcmp(source->name, "docker") == 0)
                        assert_true(source->known && source->required);
        tracker_require_source(test.tracker, "docker", false);
        list_for_each(source, tracker_sources(test.tracker), list)
                assert_false(strcmp(source->name, "docker") == 0 && source->required);
}

/* As when the log's reader was away for a while. */
static void a_kill_that_was_counted_is_not_counted_again_from_a_late_line(void **state) {
        const struct step steps[] = { START(0), CGROUP_OOM(990, .oom_kill_rise = 1),
                KERNEL(989, 101), KERNEL(1500, 102) };
        const uint64_t expected[] = { 0, 1, 1, 2 };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                take_step(&steps[i]);
                assert_int_equal(the_workload()->oom_kills, expected[i]);
        }
}

static void a_store_that_refuses_stops_nothing(void **state) {
        test.refuse = -ENOSPC;
        log_set_level(LOG_LEVEL_ERROR);
        take_step(&(const struct step) START(0));
        take_step(&(const struct step) EXIT(1000, 3));
        take_step(&(const struct step) REMOVED(1001));
        assert_int_equal(inventory_size(tracker_inventory(test.tracker)), 0);
}

static void a_life_is_watched_from_its_start_to_its_exit(void **state) {
        const struct step steps[] = { START(0), EXIT(1000, 3), START(2000), EXIT(3000, 137),
                MS(250), REMOVED(4000) };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_string_equal(test.watched.data, "+-+--"); /* removal leaves it, too */
}

static void a_quick_restart_is_running_with_what_its_start_said(void **state) {
        const struct step steps[] = { START(0), EXIT(1000, 137), START_OF(HEX, 1010, .pid = 200),
                MS(1000) };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_int_equal(the_workload()->state, STATE_RUNNING);
        assert_int_equal(the_workload()->pid, 200);
        assert_int_equal(the_workload()->started_us, AT(1010));
        assert_string_equal(test.watched.data, "+-+");
}

static void an_exit_tells_how_long_it_ran_and_what_it_was(void **state) {
        take_step(&(const struct step) START_OF(HEX, 0, .image = "busybox"));
        take_step(&(const struct step) EXIT(1500, 3));
        assert_int_equal(the_workload()->state, STATE_FAILED);
        assert_int_equal(the_workload()->pid, 0);
        assert_int_equal(the_workload()->started_us, AT(0));
        assert_int_equal(the_workload()->finished_us, AT(1500));
        assert_int_equal(the_workload()->last_exit.code, 3);
        assert_int_equal(the_workload()->last_exit.time_us, AT(1500));
        assert_string_equal(the_workload()->last_exit.evidence, "exit-code");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TRACKER_TEST(exits_that_evidence_cannot_change_go_out_at_once),
                TRACKER_TEST(an_exit_waits_as_long_as_evidence_could_come_and_no_longer),
                TRACKER_TEST(evidence_before_and_after_an_exit_counts),
                TRACKER_TEST(an_oom_kill_that_its_workload_survives_was_a_childs),
                TRACKER_TEST(evidence_after_the_verdict_is_added_to_the_timeline),
                TRACKER_TEST(an_amended_exit_is_remembered_as_one),
                TRACKER_TEST(what_comes_twice_is_told_once),
                TRACKER_TEST(a_removal_waits_for_the_exit_that_waits),
                TRACKER_TEST(evidence_after_a_removal_finds_nobody),
                TRACKER_TEST(a_kernel_line_keeps_its_cursor_until_it_is_settled),
                TRACKER_TEST(the_end_of_what_is_stopping_is_not_past),
                TRACKER_TEST(a_kernel_line_waits_for_the_sources),
                TRACKER_TEST(the_book_of_kernel_lines_settles_the_oldest_when_full),
                TRACKER_TEST(cursors_go_with_what_they_stand_for),
                TRACKER_TEST(an_inventory_that_is_full_refuses_and_the_rest_goes_on),
                TRACKER_TEST(facts_that_name_nobody_are_harmless),
                TRACKER_TEST(a_wait_of_nothing_is_none),
                TRACKER_TEST(a_source_that_is_no_longer_configured_leaves_its_workloads_unknown),
                TRACKER_TEST(a_kill_that_was_counted_is_not_counted_again_from_a_late_line),
                TRACKER_TEST(a_store_that_refuses_stops_nothing),
                TRACKER_TEST(a_life_is_watched_from_its_start_to_its_exit),
                TRACKER_TEST(a_quick_restart_is_running_with_what_its_start_said),
                TRACKER_TEST(an_exit_tells_how_long_it_ran_and_what_it_was),
        };

        return RUN_TESTS(tests);
}
