/* The words: each value has its own, and only those are read. */

#include "model/word.h"
#include "test.h"

static void words_go_both_ways(void **state) {
        static const char *const kinds[] = { "vm", "container", "unit", "probe", "source", "app" };
        static const char *const states[] = { "unknown", "created", "starting", "running", "paused",
                "stopping", "stopped", "failed" };
        static const char *const severities[] = { "info", "warning", "error" };
        static const char *const source_states[] = { "connecting", "up", "down" };

        assert_int_equal(ARRAY_SIZE(kinds), EVENT_KIND_MAX_);
        assert_int_equal(ARRAY_SIZE(states), WORKLOAD_STATE_MAX_);
        assert_int_equal(ARRAY_SIZE(severities), SEVERITY_MAX_);
        assert_int_equal(ARRAY_SIZE(source_states), SOURCE_STATE_MAX_);
        for (int i = 0; i < EVENT_KIND_MAX_; i++) {
                assert_string_equal(event_kind_to_string((enum event_kind) i), kinds[i]);
                assert_int_equal(event_kind_from_string(kinds[i]), i);
        }
        for (int i = 0; i < WORKLOAD_KIND_MAX_; i++) {
                assert_string_equal(workload_kind_to_string((enum workload_kind) i), kinds[i]);
                assert_int_equal(workload_kind_from_string(kinds[i]), i);
                assert_string_equal(event_kind_to_string(
                                                    event_kind_of_workload((enum workload_kind) i)),
                                kinds[i]);
        }
        for (int i = 0; i < WORKLOAD_STATE_MAX_; i++) {
                assert_string_equal(workload_state_to_string((enum workload_state) i), states[i]);
                assert_int_equal(workload_state_from_string(states[i]), i);
        }
        for (int i = 0; i < SEVERITY_MAX_; i++) {
                assert_string_equal(severity_to_string((enum severity) i), severities[i]);
                assert_int_equal(severity_from_string(severities[i]), i);
        }
        for (int i = 0; i < SOURCE_STATE_MAX_; i++)
                assert_string_equal(
                                source_state_to_string((enum source_state) i), source_states[i]);
}

static void other_words_are_refused(void **state) {
        assert_int_equal(workload_kind_from_string("probe"), -EINVAL); /* no workload */
        assert_int_equal(workload_kind_from_string(""), -EINVAL);
        assert_int_equal(event_kind_from_string("VM"), -EINVAL);
        assert_int_equal(event_kind_from_string("app "), -EINVAL);
        assert_int_equal(workload_state_from_string("dead"), -EINVAL);
        assert_int_equal(severity_from_string("critical"), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(words_go_both_ways),
                cmocka_unit_test(other_words_are_refused),
        };

        return RUN_TESTS(tests);
}
