/* The tracker, and which life of a workload is meant: by a kill that is told again, a line that
 * comes late, a number of a process that is another's by now, an end while the state is younger. */

#include <signal.h>

#include "tracker_fixture.h"

/* Of docker, that HEX runs again since 8000, after an outage in which its end was not seen. */
#define BACK                                                                               \
        LIST, LISTED(0, STATE_RUNNING, .started_us = AT(0)), LIST_END, UP, DOWN, LIST,     \
                        LISTED(9000, STATE_RUNNING, .started_us = AT(8000)), LIST_END, UP, \
                        STEP(SEEN)
#define BEFORE "source_up source_down vanished:vanished/assumed* started* source_up |"

static void a_signal_says_only_of_an_end_soon_after_it_why(void **state) {
        static const struct scenario scenarios[] = {
                { "of a life that is past, told again", { BACK, KILL(7000, 15), EXIT(20000, 1) },
                                BEFORE " died:exit-code/confirmed[exit-code]" },
                { "of this one, told again", { BACK, KILL(8500, 15), EXIT(9500, 0) },
                                BEFORE " stopped:stop-requested/confirmed[runtime]" },
                { "a wish to read its configuration again, long ago",
                                { START(0), KILL(1000, SIGHUP), EXIT(301000, 1) },
                                "started died:exit-code/confirmed[exit-code]" },
                { "just young enough", { START(0), KILL(1000, SIGHUP), EXIT(300999, 1) },
                                "started died:stop-requested/confirmed[runtime]" },
                { "and a kill much later",
                                { STEP(EVIDENCE), START(0), KILL(1000, SIGHUP), KILL(400000, 9),
                                                EXIT(400100, 137), MS(250) },
                                "started died:killed/confirmed[runtime]" },
                { "what is stopping takes its time",
                                { START(0), KILL(1000, 15),
                                                ACTION(1000, NULL, .quiet = true,
                                                                .workload.state = STATE_STOPPING),
                                                EXIT(900000, 143) },
                                "started died:stop-requested/confirmed[runtime]" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void a_kernel_line_is_of_the_life_that_it_ended(void **state) {
        static const struct scenario scenarios[] = {
                { "of the last one, which came back faster than the line",
                                { STEP(EVIDENCE), READABLE(OOM_FROM_KERNEL), START(0),
                                                EXIT(1000, 137), START_OF(HEX, 1100, .pid = 200),
                                                KERNEL(999, 100), STEP(SEEN), MS(20000),
                                                EXIT(30000, 0) },
                                "started died:sigkill-unknown/assumed[exit-code] started amended | "
                                "stopped:completed/confirmed[exit-code]" },
                { "of the last one, whose end has another cause",
                                { START(0), EXIT(1000, 3), START_OF(HEX, 1100, .pid = 200),
                                                KERNEL(999, 101), MS(20000), EXIT(30000, 0) },
                                "started died:exit-code/confirmed[exit-code] started "
                                "stopped:completed/confirmed[exit-code]" },
                { "of this one, before its start was dated",
                                { START(0), EXIT(1000, 3), START_OF(HEX, 1100, .pid = 200),
                                                KERNEL(1050, 200), EXIT(1200, 137) },
                                "started died:exit-code/confirmed[exit-code] started "
                                "OOMKilled:oom/confirmed/self[kernel]" },
                { "of this one, though the clock was set back since it began",
                                { UP, MS(6000), START(9000000), KERNEL(1000, 100),
                                                EXIT(1001, 137) },
                                "source_up started OOMKilled:oom/confirmed/self[kernel]" },
                { "nor of one whose process is another by now",
                                { UP, MS(6000), START(9000000), KERNEL(1000, 7), MS(3000) },
                                "source_up started" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

/* One of its processes may be killed before its start is told: by the kernel, of a workload that is
 * known to be there, or that nobody has told of yet. */
static void a_childs_kill_before_the_start_is_told_after_it(void **state) {
        static const struct scenario scenarios[] = {
                { "created before",
                                { READABLE(OOM_FROM_KERNEL),
                                                ACTION(0, "created",
                                                                .workload.state = STATE_CREATED),
                                                KERNEL(990, 101), MS(3000), STEP(SEEN), START(1000),
                                                MS(1999), STEP(SEEN), MS(1), STEP(SEEN), MS(9000) },
                                "created | started | oom |" },
                { "not known before",
                                { KERNEL(990, 101), START(1000), MS(2000), STEP(SEEN), MS(9000) },
                                "started oom |" },
                { "it ends with it",
                                { ACTION(0, "created", .workload.state = STATE_CREATED),
                                                KERNEL(990, 101), START(1000), EXIT(1100, 137),
                                                MS(9000) },
                                "created started OOMKilled:oom/confirmed/self[kernel]" },
                { "its main process",
                                { ACTION(0, "created", .workload.state = STATE_CREATED,
                                                  .workload.pid = 100),
                                                KERNEL(990, 100), START(1000), MS(9000), STEP(SEEN),
                                                EXIT(9100, 137) },
                                "created started | OOMKilled:oom/confirmed/self[kernel]" },
                { "of the life before",
                                { START(0), EXIT(1000, 3), KERNEL(999, 101), START(1100),
                                                MS(9000) },
                                "started died:exit-code/confirmed[exit-code] started" },
                { "long before the start",
                                { ACTION(0, "created", .workload.state = STATE_CREATED),
                                                KERNEL(990, 101), START(9000), MS(9000) },
                                "created started" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void a_kill_of_the_last_life_is_counted_once(void **state) {
        const struct step steps[] = { STEP(EVIDENCE), READABLE(OOM_FROM_KERNEL), START(0),
                EXIT(1000, 137), START_OF(HEX, 1100, .pid = 200), KERNEL(999, 100),
                KERNEL(999, 100) };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_int_equal(the_workload()->oom_kills, 1);
        assert_string_equal(the_workload()->last_exit.action, "OOMKilled");
        assert_string_equal(the_workload()->last_exit.evidence, "kernel");
        assert_string_equal(the_workload()->last_exit.scope, "unknown");
        assert_int_equal(the_workload()->state, STATE_RUNNING);
}

/* A week later the number is a shell's, which is killed. */
static void the_number_of_a_process_that_has_ended_is_nobodys(void **state) {
        const struct step steps[] = { UP, START(0), EXIT(1000, 3),
                KERNEL(604800000, 100, .task_cgroup = "/user.slice", .oom_cgroup = NULL,
                                .oom_global = true),
                MS(60000) };
        struct tracker_stats stats;

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_int_equal(the_workload()->oom_kills, 0);
        tracker_get_stats(test.tracker, &stats);
        assert_int_equal(stats.unattributed_oom, 1);
}

/* Its signal and PID 1's word in the journal; the unit ended between them, and was restarted. */
static void a_kill_by_oomd_that_is_told_twice_ends_one_life(void **state) {
        static const struct scenario scenarios[] = {
                { "the second after the exit",
                                { START(0),
                                                OOMD(990, .oom_cgroup = "/docker/" HEX,
                                                                .oomd_reason = "memory-pressure"),
                                                EXIT(1000, 137),
                                                OOMD(1010, .oom_cgroup = "/docker/" HEX),
                                                START(1100), MS(1000), EXIT(2000, 0) },
                                "started OOMKilled:memory-pressure/confirmed/oomd[runtime] started "
                                "stopped:completed/confirmed[exit-code]" },
                { "the first after another exit, and the next life lasts",
                                { START(0), EXIT(1000, 3), OOMD(1010, .oom_cgroup = "/docker/" HEX),
                                                START(1100), MS(9000), EXIT(9000, 0) },
                                "started died:exit-code/confirmed[exit-code] started "
                                "stopped:completed/confirmed[exit-code]" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

/* Whatever the state is called, and since when: an end dated within the life is its end, another is
 * news of the past. The source has just come back, and tells the past again. */
static void an_end_within_the_present_life_ends_it_in_every_state(void **state) {
        static const struct {
                const char *name;
                struct step since;
                enum workload_state state;
        } states[] = {
                { "running", START(0), STATE_RUNNING },
                { "paused", ACTION(5000, "paused", .workload.state = STATE_PAUSED), STATE_PAUSED },
                { "resumed", ACTION(5000, "resumed", .workload.state = STATE_RUNNING),
                                STATE_RUNNING },
                { "starting", ACTION(5000, "x", .workload.state = STATE_STARTING), STATE_STARTING },
                { "stopping", ACTION(5000, "x", .workload.state = STATE_STOPPING), STATE_STOPPING },
        };
        const struct step up = UP, start = START(1000), before = EXIT(999, 3), end = EXIT(1500, 3);

        for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
                (void) tracker_teardown(NULL);
                (void) tracker_setup(NULL);
                print_message("%s\n", states[i].name);
                take_step(&up);
                take_step(&start);
                if (i > 0)
                        take_step(&states[i].since);
                assert_int_equal(the_workload()->state, states[i].state);

                take_step(&before);
                assert_int_equal(the_workload()->state, states[i].state);
                assert_string_equal(the_workload()->last_exit.action, "");
                take_step(&end);
                assert_int_equal(the_workload()->state, STATE_FAILED);
                assert_int_equal(the_workload()->last_exit.time_us, AT(1500));
        }
}

/* Once it has ended, the time of that is what counts. */
static void an_end_that_is_older_than_the_last_one_changes_nothing(void **state) {
        const struct step steps[] = { UP, START(1000), EXIT(5000, 3), EXIT(4000, 4) };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_int_equal(the_workload()->last_exit.code, 3);
        assert_int_equal(the_workload()->last_exit.time_us, AT(5000));
}

/* ---- evidence that comes while others are dealt with ---- */

static struct step line;

static void watch_and_look(const struct workload *workload, bool running, void *userdata) {
        struct step once = line;

        line.what = NOTHING_MORE;
        if (!running && strcmp(workload->id, "first") == 0)
                take_step(&once);
}

static int set_up_looking(void **state) {
        static const struct tracker_hooks hooks = { .emit = emit, .watch = watch_and_look };

        (void) tracker_setup(state);
        test.tracker = tracker_free(test.tracker);
        assert_int_equal(tracker_new(&test.config, NULL, &hooks, &test.tracker), 0);
        assert_int_equal(tracker_add_source(test.tracker, "docker", false, false), 0);
        assert_int_equal(tracker_add_source(test.tracker, "kernel", false, false), 0);
        line.what = NOTHING_MORE;
        return 0;
}

/* The first is found gone, so the kernel's log is looked at: it has the line of the second, whose
 * exit waits for it, and which is removed with that. */
static void a_line_found_while_others_are_gone_harms_none(void **state) {
        const struct step steps[] = { UP, START_OF("first", 0), START(1), START_OF("third", 2),
                LIST, LISTED_OF("third", 900, STATE_RUNNING), EXIT(1000, 137), REMOVED(1001),
                LIST_END };

        line = (struct step) STEP(NOTHING_MORE);
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                if (i == ARRAY_SIZE(steps) - 1) {
                        the_workload()->listed = false;
                        line = (struct step) KERNEL(999, 100);
                }
                take_step(&steps[i]);
        }
        wait_us(0);
        assert_string_equal(told(),
                        "source_up started started started vanished:vanished/assumed* removed* "
                        "OOMKilled:oom/confirmed/self[kernel] removed");
        assert_int_equal(inventory_size(tracker_inventory(test.tracker)), 1);
}

static void a_line_found_while_a_source_is_removed_harms_none(void **state) {
        const struct step steps[] = { UP, START_OF("first", 0), START(1),
                EXIT_OF("first", 1000, 137), DOCKER(FACT_REMOVED, 1001, ABOUT("first")),
                EXIT(1000, 137), REMOVED(1001) };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        line = (struct step) KERNEL(999, 100);
        tracker_remove_source(test.tracker, "docker");
        wait_us(0);
        assert_string_equal(told(),
                        "source_up started started OOMKilled:oom/assumed/unknown[exit-code] removed "
                        "OOMKilled:oom/confirmed/self[kernel] removed source_down");
        assert_int_equal(inventory_size(tracker_inventory(test.tracker)), 0);
}

/* A line that nobody had claimed is over at the very moment at which the exit claims it. */
static void a_line_may_be_over_when_it_is_claimed(void **state) {
        const struct step before[] = { UP, START(0),
                KERNEL(990, 101, .task_cgroup = "/x/y", .oom_cgroup = "/x", .cursor = "k1"),
                KERNEL(991, 102, .task_cgroup = "/x/y", .oom_cgroup = "/x", .cursor = "k2"),
                DOCKER(FACT_WORKLOAD, 995, .quiet = true, ABOUT(HEX, .cgroup = "/x/y")) };
        const struct step exit = EXIT(1000, 137);

        for (size_t i = 0; i < ARRAY_SIZE(before); i++)
                take_step(&before[i]);
        fake.now_us += 11 * USEC_PER_SEC; /* the timer is late */
        take_step(&exit);
        assert_string_equal(told(), "source_up started OOMKilled:oom/confirmed/ancestor[kernel]");
        assert_int_equal(the_workload()->oom_kills, 2);
        wait_us(0);
        assert_string_equal(test.cursors, "kernel=k2");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TRACKER_TEST(a_signal_says_only_of_an_end_soon_after_it_why),
                TRACKER_TEST(a_kernel_line_is_of_the_life_that_it_ended),
                TRACKER_TEST(a_childs_kill_before_the_start_is_told_after_it),
                TRACKER_TEST(a_kill_of_the_last_life_is_counted_once),
                TRACKER_TEST(the_number_of_a_process_that_has_ended_is_nobodys),
                TRACKER_TEST(a_kill_by_oomd_that_is_told_twice_ends_one_life),
                TRACKER_TEST(an_end_within_the_present_life_ends_it_in_every_state),
                TRACKER_TEST(an_end_that_is_older_than_the_last_one_changes_nothing),
                TRACKER_TEST(a_line_may_be_over_when_it_is_claimed),
                cmocka_unit_test_setup_teardown(a_line_found_while_others_are_gone_harms_none,
                                set_up_looking, tracker_teardown),
                cmocka_unit_test_setup_teardown(a_line_found_while_a_source_is_removed_harms_none,
                                set_up_looking, tracker_teardown),
        };

        return RUN_TESTS(tests);
}
