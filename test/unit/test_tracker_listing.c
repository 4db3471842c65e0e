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
                TRACKER_TEST(a_lost_source_makes_its_workloads_unknown_and_never_stopped),
                TRACKER_TEST(why_a_source_is_lost_is_told_as_text),
                TRACKER_TEST(sources_are_announced_where_that_is_news),
                TRACKER_TEST(what_was_stored_is_known_after_a_restart),
                TRACKER_TEST(a_stored_state_is_unknown_until_its_source_speaks),
                TRACKER_TEST(what_is_no_stored_workload_is_refused),
        };

        return RUN_TESTS(tests);
}
