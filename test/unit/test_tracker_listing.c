/* The tracker and its sources: what a listing adds to what is known, what becomes of workloads
 * whose source is lost, and of those that were stored. */

#include "tracker_fixture.h"

/* A first listing with HEX running since the beginning. */
#define KNOWN LIST, LISTED(0, STATE_RUNNING, .started_us = AT(0)), LIST_END, UP
#define LOST  DOWN, LIST

static void a_first_listing_is_how_it_is_and_no_news(void **state) {
        static const struct scenario scenarios[] = {
                { "a running one", { KNOWN }, "source_up" },
                { "an ended one",
                                { LIST,
                                                LISTED(0, STATE_FAILED, .exit_code = 3,
                                                                .finished_us = AT(0)),
                                                LIST_END, UP },
                                "source_up" },
                { "none at all", { LIST, LIST_END, UP }, "source_up" },
                { "an end without a beginning", { LIST_END, LISTED(0, STATE_RUNNING), LIST_END },
                                "" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void a_second_listing_tells_what_was_missed(void **state) {
        static const struct scenario scenarios[] = {
                { "the same",
                                { KNOWN, LOST, LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LIST_END, UP },
                                "source_up source_down source_up" },
                { "a start, rounded",
                                { KNOWN, LOST, LISTED(9000, STATE_RUNNING, .started_us = AT(100)),
                                                LIST_END, UP },
                                "source_up source_down source_up" },
                { "another life",
                                { KNOWN, LOST, LISTED(9000, STATE_RUNNING, .started_us = AT(101)),
                                                LIST_END, UP },
                                "source_up source_down vanished:vanished/assumed* started* source_up" },
                { "a new one",
                                { KNOWN, LOST, LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LISTED_OF("new", 9000, STATE_RUNNING,
                                                                .started_us = AT(8000)),
                                                LIST_END, UP },
                                "source_up source_down started* source_up" },
                { "a new one, ended already",
                                { KNOWN, LOST, LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LISTED_OF("new", 9000, STATE_FAILED,
                                                                .started_us = AT(8000),
                                                                .finished_us = AT(8500),
                                                                .exit_code = 3),
                                                LIST_END, UP },
                                "source_up source_down started* died:exit-code/confirmed[exit-code]* source_up" },
                { "a new one, never started",
                                { KNOWN, LOST, LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LISTED_OF("new", 9000, STATE_CREATED), LIST_END,
                                                UP },
                                "source_up source_down source_up" },
                { "paused",
                                { KNOWN, LOST, LISTED(9000, STATE_PAUSED, .started_us = AT(0)),
                                                LIST_END, UP },
                                "source_up source_down paused* source_up" },
                { "paused and resumed",
                                { LIST, LISTED(0, STATE_PAUSED, .started_us = AT(0)), LIST_END, UP,
                                                LOST,
                                                LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LIST_END, UP },
                                "source_up source_down resumed* source_up" },
                { "ended",
                                { KNOWN, LOST,
                                                LISTED(9000, STATE_FAILED, .started_us = AT(0),
                                                                .finished_us = AT(8000),
                                                                .exit_code = 3),
                                                LIST_END, UP },
                                "source_up source_down died:exit-code/confirmed[exit-code]* source_up" },
                { "ended by the runtime's OOM flag",
                                { KNOWN, LOST,
                                                LISTED(9000, STATE_FAILED, .started_us = AT(0),
                                                                .finished_us = AT(8000),
                                                                .exit_code = 137, .oom_killed = 1),
                                                LIST_END, UP, MS(250) },
                                "source_up source_down source_up OOMKilled:oom/confirmed/unknown[runtime]*" },
                { "ended, and known to be",
                                { START(0), EXIT(1000, 3), LIST,
                                                LISTED(9000, STATE_FAILED, .started_us = AT(0),
                                                                .finished_us = AT(1000),
                                                                .exit_code = 3),
                                                LIST_END, UP },
                                "started died:exit-code/confirmed[exit-code] source_up" },
                { "started again and ended again",
                                { KNOWN, EXIT(1000, 3), LOST,
                                                LISTED(9000, STATE_FAILED, .started_us = AT(7000),
                                                                .finished_us = AT(8000),
                                                                .exit_code = 4),
                                                LIST_END, UP },
                                "source_up died:exit-code/confirmed[exit-code] source_down started* "
                                "died:exit-code/confirmed[exit-code]* source_up" },
                { "started again",
                                { KNOWN, EXIT(1000, 3), LOST,
                                                LISTED(9000, STATE_RUNNING, .started_us = AT(7000)),
                                                LIST_END, UP },
                                "source_up died:exit-code/confirmed[exit-code] source_down started* source_up" },
                { "gone while it ran", { KNOWN, LOST, LIST_END, UP },
                                "source_up source_down vanished:vanished/assumed* removed* source_up" },
                { "gone after its end", { KNOWN, EXIT(1000, 3), LOST, LIST_END, UP },
                                "source_up died:exit-code/confirmed[exit-code] source_down removed* source_up" },
                { "gone while its exit waits",
                                { KNOWN, EXIT(1000, 137), LIST, LIST_END, STEP(SEEN), MS(250) },
                                "source_up | OOMKilled:oom/assumed/unknown[exit-code] removed" },
                { "seen by an event while the list was made",
                                { KNOWN, LIST, START_OF("new", 9000),
                                                LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LIST_END },
                                "source_up started" },
                { "what another source has",
                                { KNOWN, LIST, LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                TOLD("podman", FACT_ACTION, 9000,
                                                                .action = "started",
                                                                ABOUT("p", .state = STATE_RUNNING)),
                                                LIST_END },
                                "source_up started" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void what_a_listing_and_an_event_tell_is_told_once(void **state) {
        static const struct scenario scenarios[] = {
                { "a start, the listing first",
                                { KNOWN, LIST, LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LISTED_OF("new", 9000, STATE_RUNNING,
                                                                .started_us = AT(8000)),
                                                LIST_END, START_OF("new", 8001) },
                                "source_up started*" },
                { "a start, the event first",
                                { KNOWN, LIST, START_OF("new", 8001),
                                                LISTED_OF("new", 9000, STATE_RUNNING,
                                                                .started_us = AT(8000)),
                                                LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LIST_END },
                                "source_up started" },
                { "an exit, the listing first",
                                { KNOWN, LIST,
                                                LISTED(9000, STATE_FAILED, .started_us = AT(0),
                                                                .finished_us = AT(8000),
                                                                .exit_code = 3),
                                                LIST_END, EXIT(8001, 3) },
                                "source_up died:exit-code/confirmed[exit-code]*" },
                { "an exit, the event first",
                                { KNOWN, LIST, EXIT(8001, 3),
                                                LISTED(9000, STATE_FAILED, .started_us = AT(0),
                                                                .finished_us = AT(8000),
                                                                .exit_code = 3),
                                                LIST_END },
                                "source_up died:exit-code/confirmed[exit-code]" },
                { "a start long after is another one",
                                { KNOWN, LIST, LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LISTED_OF("new", 9000, STATE_RUNNING,
                                                                .started_us = AT(8000)),
                                                LIST_END, START_OF("new", 10000) },
                                "source_up started* started" },
                { "the past, told again, changes nothing",
                                { KNOWN, LOST, LISTED(9000, STATE_RUNNING, .started_us = AT(8000)),
                                                LIST_END, UP, EXIT(7000, 3), STEP(SEEN),
                                                EXIT(9500, 4) },
                                "source_up source_down vanished:vanished/assumed* started* source_up "
                                "died:exit-code/confirmed[exit-code] | died:exit-code/confirmed[exit-code]" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void the_past_leaves_the_state_as_it_is(void **state) {
        const struct step steps[] = { KNOWN, LOST,
                LISTED(9000, STATE_RUNNING, .started_us = AT(8000)), LIST_END, UP, EXIT(7000, 3) };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_int_equal(the_workload()->state, STATE_RUNNING);
        assert_int_equal(the_workload()->since_us, AT(8000));
        assert_int_not_equal(the_workload()->last_exit.code, 3);
}

/* Its end was not seen. It lies before its next start, or the timeline would show that one first.
 */
static void an_end_that_was_missed_lies_before_the_next_start(void **state) {
        static const struct {
                struct step listed;
                uint64_t expected_us;
        } cases[] = {
                { LISTED(9000, STATE_RUNNING, .started_us = AT(8000)), AT(8000) },
                { LISTED(9000, STATE_RUNNING, .started_us = AT(8000), .finished_us = AT(7000)),
                                AT(7000) },
                /* of an earlier end; after the start; a start in the future; no start told */
                { LISTED(9000, STATE_RUNNING, .started_us = AT(8000), .finished_us = AT(-1000)),
                                AT(8000) },
                { LISTED(9000, STATE_RUNNING, .started_us = AT(8000), .finished_us = AT(8500)),
                                AT(8000) },
                { LISTED(9000, STATE_RUNNING, .started_us = AT(9500)), AT(9000) },
                { LISTED(9000, STATE_RUNNING, .domain_id = 2), AT(9000) },
        };
        const struct step begin[] = { LIST,
                LISTED(0, STATE_RUNNING, .started_us = AT(0), .domain_id = 1), LIST_END, UP, LOST };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                (void) tracker_teardown(NULL);
                (void) tracker_setup(NULL);
                for (size_t j = 0; j < ARRAY_SIZE(begin); j++)
                        take_step(&begin[j]);
                take_step(&cases[i].listed);
                print_message("%zu\n", i);
                assert_string_equal(told(),
                                "source_up source_down vanished:vanished/assumed* started*");
                assert_int_equal(the_workload()->last_exit.time_us, cases[i].expected_us);
                assert_true(the_workload()->started_us >= cases[i].expected_us);
                assert_int_equal(the_workload()->since_us, the_workload()->started_us);
        }
}

/* libvirt tells no start: it began when it was seen, not when the life before it did. */
static void a_life_whose_start_nobody_tells_begins_when_it_is_seen(void **state) {
        const struct step steps[] = { UP, START_OF(HEX, 0, .domain_id = 1), LOST,
                LISTED(9000, STATE_RUNNING, .domain_id = 2), LIST_END, UP,
                START_OF(HEX, 9001, .domain_id = 2), EXIT(9500, 3) };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_int_equal(the_workload()->started_us, AT(9000));
        assert_string_equal(told(),
                        "source_up started source_down vanished:vanished/assumed* started* source_up "
                        "died:exit-code/confirmed[exit-code]");
}

/* After a start of the host, domains have the same ids as before, in the same order. */
static void another_process_is_another_life_where_no_start_is_told(void **state) {
        static const struct scenario scenarios[] = {
                { "a VM after a start of the host",
                                { VM_START(0), STEP(RESTART), LIBVIRT(FACT_LISTING_BEGIN, 9000),
                                                LIBVIRT(FACT_WORKLOAD, 9000,
                                                                .workload.state = STATE_RUNNING,
                                                                .workload.pid = 301),
                                                LIBVIRT(FACT_LISTING_END, 9000) },
                                "started vanished:vanished/assumed* started*" },
                { "the same process",
                                { VM_START(0), STEP(RESTART), LIBVIRT(FACT_LISTING_BEGIN, 9000),
                                                LIBVIRT(FACT_WORKLOAD, 9000,
                                                                .workload.state = STATE_RUNNING),
                                                LIBVIRT(FACT_LISTING_END, 9000) },
                                "started" },
                { "its process is not known",
                                { VM_START(0), STEP(RESTART), LIBVIRT(FACT_LISTING_BEGIN, 9000),
                                                LIBVIRT(FACT_WORKLOAD, 9000,
                                                                .workload.state = STATE_RUNNING,
                                                                .workload.pid = 0),
                                                LIBVIRT(FACT_LISTING_END, 9000) },
                                "started" },
                { "a unit whose main process hands over",
                                { LIBVIRT(FACT_ACTION, 0, .action = "started",
                                                  .workload.kind = WORKLOAD_UNIT,
                                                  .workload.state = STATE_RUNNING),
                                                LIBVIRT(FACT_WORKLOAD, 9000,
                                                                .workload.kind = WORKLOAD_UNIT,
                                                                .workload.state = STATE_RUNNING,
                                                                .workload.pid = 301) },
                                "started" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

/* The runtime tells no time of it, and it was running until the source was lost, at least. */
static void a_pause_that_was_missed_is_dated_when_it_was_seen(void **state) {
        const struct step steps[] = { KNOWN, LOST, LISTED(9000, STATE_PAUSED, .started_us = AT(0)),
                LIST_END, UP };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_int_equal(the_workload()->state, STATE_PAUSED);
        assert_int_equal(the_workload()->since_us, AT(9000));
        assert_int_equal(the_workload()->started_us, AT(0));
}

static void what_is_only_listed_is_not_gone(void **state) {
        static const struct scenario scenarios[] = {
                { "one that is known",
                                { KNOWN, LOST, DOCKER(FACT_LISTED, 9000, ABOUT(HEX)), LIST_END, UP,
                                                EXIT(9500, 3) },
                                "source_up source_down source_up died:exit-code/confirmed[exit-code]" },
                { "one that is not",
                                { KNOWN, LOST, DOCKER(FACT_LISTED, 9000, ABOUT("new")), LIST_END,
                                                UP },
                                "source_up source_down vanished:vanished/assumed* removed* source_up" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
        assert_int_equal(inventory_size(tracker_inventory(test.tracker)), 0);
}

static struct tracker_source *docker(void) {
        struct tracker_source *source;

        list_for_each(source, tracker_sources(test.tracker), list)
                if (strcmp(source->name, "docker") == 0)
                        return source;
        fail_msg("no docker");
        return NULL;
}

static void a_lost_source_makes_its_workloads_unknown_and_never_stopped(void **state) {
        const struct step steps[] = { KNOWN, DOWN };

        take_step(&(const struct step) TOLD("podman", FACT_ACTION, 0, .action = "started",
                        ABOUT("p", .state = STATE_RUNNING)));
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_int_equal(the_workload()->state, STATE_UNKNOWN);
        assert_int_equal(the_workload()->last_known, STATE_RUNNING);
        assert_int_equal(
                        inventory_find(tracker_inventory(test.tracker), "p")->state, STATE_RUNNING);
        assert_int_equal(docker()->state, SOURCE_DOWN);
        assert_string_equal(docker()->error, "gone");

        take_step(&(const struct step) LIST);
        take_step(&(const struct step) LISTED(9000, STATE_RUNNING, .started_us = AT(0)));
        take_step(&(const struct step) LIST_END);
        take_step(&(const struct step) UP);
        assert_int_equal(the_workload()->state, STATE_RUNNING);
        assert_int_equal(the_workload()->since_us, AT(0));
        assert_int_equal(docker()->state, SOURCE_UP);
        assert_string_equal(docker()->error, "");
        assert_string_equal(told(), "started source_up source_down source_up");
}

static void why_a_source_is_lost_is_told_as_text(void **state) {
        take_step(&(const struct step) DOCKER(FACT_SOURCE, 0, .source_state = SOURCE_DOWN,
                        .error = "cannot reach '\xc3"));
        assert_string_equal(docker()->error, "cannot reach '\xef\xbf\xbd");
}

static void sources_are_announced_where_that_is_news(void **state) {
        static const struct scenario scenarios[] = {
                { "one that was never there", { DOWN, DOWN, STEP(SEEN), UP }, "| source_up" },
                { "one that must be there",
                                { TOLD("libvirt", FACT_SOURCE, 0, .source_state = SOURCE_DOWN) },
                                "source_down" },
                { "twice the same", { UP, UP, DOWN, DOWN, UP }, "source_up source_down source_up" },
                { "trying again",
                                { UP, DOWN,
                                                DOCKER(FACT_SOURCE, 0,
                                                                .source_state = SOURCE_CONNECTING),
                                                UP },
                                "source_up source_down source_up" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void what_was_stored_is_known_after_a_restart(void **state) {
        static const struct scenario scenarios[] = {
                { "the same",
                                { KNOWN, STEP(SEEN), STEP(RESTART), LIST,
                                                LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LIST_END, UP },
                                "source_up | source_up" },
                { "ended meanwhile",
                                { KNOWN, STEP(SEEN), STEP(RESTART), LIST,
                                                LISTED(9000, STATE_FAILED, .started_us = AT(0),
                                                                .finished_us = AT(8000),
                                                                .exit_code = 3),
                                                LIST_END, UP },
                                "source_up | died:exit-code/confirmed[exit-code]* source_up" },
                { "its exit comes as an event",
                                { KNOWN, STEP(SEEN), STEP(RESTART), EXIT(8000, 3), LIST,
                                                LISTED(9000, STATE_FAILED, .started_us = AT(0),
                                                                .finished_us = AT(8000),
                                                                .exit_code = 3),
                                                LIST_END, UP },
                                "source_up | died:exit-code/confirmed[exit-code] source_up" },
                { "gone meanwhile", { KNOWN, STEP(SEEN), STEP(RESTART), LIST, LIST_END, UP },
                                "source_up | vanished:vanished/assumed* removed* source_up" },
                { "a new one",
                                { KNOWN, STEP(SEEN), STEP(RESTART), LIST,
                                                LISTED(9000, STATE_RUNNING, .started_us = AT(0)),
                                                LISTED_OF("new", 9000, STATE_RUNNING,
                                                                .started_us = AT(8000)),
                                                LIST_END, UP },
                                "source_up | started* source_up" },
                { "removed before",
                                { KNOWN, EXIT(1000, 3), REMOVED(1001), STEP(SEEN), STEP(RESTART),
                                                LIST, LIST_END, UP },
                                "source_up died:exit-code/confirmed[exit-code] removed | source_up" },
                { "its source is not there", { KNOWN, STEP(SEEN), STEP(RESTART), DOWN },
                                "source_up | source_down" },
                { "killed while an exit waited",
                                { KNOWN, EXIT(1000, 137), STEP(SEEN), STEP(RESTART), LIST,
                                                LISTED(9000, STATE_FAILED, .started_us = AT(0),
                                                                .finished_us = AT(1000),
                                                                .exit_code = 137),
                                                LIST_END, UP, MS(250) },
                                "source_up | source_up OOMKilled:oom/assumed/unknown[exit-code]*" },
        };

        play(scenarios, ARRAY_SIZE(scenarios));
}

static void a_stored_state_is_unknown_until_its_source_speaks(void **state) {
        const struct step steps[] = { KNOWN, STEP(RESTART) };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
                take_step(&steps[i]);
        assert_int_equal(the_workload()->state, STATE_UNKNOWN);
        assert_int_equal(the_workload()->last_known, STATE_RUNNING);
        assert_int_equal(the_workload()->started_us, AT(0));
}

static void what_is_no_stored_workload_is_refused(void **state) {
        take_step(&(const struct step) START(0));
        assert_int_equal(tracker_restore_workload(test.tracker, ""), -EINVAL);
        assert_int_equal(tracker_restore_workload(test.tracker, "{}"), -EINVAL);
        assert_int_equal(tracker_restore_workload(test.tracker, "{\"a\":1,\"a\":2}"), -EEXIST);
        assert_int_equal(tracker_restore_workload(test.tracker, test.stored[0].state), -EEXIST);
        assert_int_equal(inventory_size(tracker_inventory(test.tracker)), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TRACKER_TEST(a_first_listing_is_how_it_is_and_no_news),
                TRACKER_TEST(a_second_listing_tells_what_was_missed),
                TRACKER_TEST(what_a_listing_and_an_event_tell_is_told_once),
                TRACKER_TEST(the_past_leaves_the_state_as_it_is),
                TRACKER_TEST(an_end_that_was_missed_lies_before_the_next_start),
                TRACKER_TEST(a_life_whose_start_nobody_tells_begins_when_it_is_seen),
                TRACKER_TEST(another_process_is_another_life_where_no_start_is_told),
                TRACKER_TEST(a_pause_that_was_missed_is_dated_when_it_was_seen),
                TRACKER_TEST(what_is_only_listed_is_not_gone),
                TRACKER_TEST(a_lost_source_makes_its_workloads_unknown_and_never_stopped),
                TRACKER_TEST(why_a_source_is_lost_is_told_as_text),
                TRACKER_TEST(sources_are_announced_where_that_is_news),
                TRACKER_TEST(what_was_stored_is_known_after_a_restart),
                TRACKER_TEST(a_stored_state_is_unknown_until_its_source_speaks),
                TRACKER_TEST(what_is_no_stored_workload_is_refused),
        };

        return RUN_TESTS(tests);
}
