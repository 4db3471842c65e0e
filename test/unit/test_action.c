/* Requests to act on a workload: what a body may say, which numbers are allowed, and in which state
 * what can be asked. */

#include <string.h>

#include "base/json.h"
#include "model/action.h"
#include "test.h"

static int parse(enum action_verb verb, const char *text, struct action *ret_action,
                char confirm[static 64], struct diag *diag) {
        _cleanup_(json_putp) struct json_object *body = NULL;
        const char *name = NULL;
        int r;

        assert_int_equal(json_parse(text, strlen(text), &body), 0);
        r = action_parse(verb, body, diag, ret_action, &name);
        if (r >= 0)
                (void) snprintf(confirm, 64, "%s", name);
        return r;
}

static void a_body_says_the_name_and_what_is_wanted(void **state) {
        struct action action;
        struct diag diag = {};
        char confirm[64];

        assert_int_equal(parse(ACTION_STOP, "{\"confirm\":\"web\"}", &action, confirm, &diag), 0);
        assert_int_equal(action.verb, ACTION_STOP);
        assert_string_equal(confirm, "web");
        assert_int_equal(parse(ACTION_SCALE, "{\"confirm\":\"web\",\"vcpus\":4,\"memory_mb\":512}",
                                         &action, confirm, &diag),
                        0);
        assert_int_equal(action.vcpus, 4);
        assert_int_equal(action.memory_mb, 512);
        assert_int_equal(parse(ACTION_SCALE, "{\"memory_mb\":16,\"confirm\":\"\"}", &action,
                                         confirm, &diag),
                        0);
        assert_int_equal(action.vcpus, 0);
        assert_int_equal(action.memory_mb, 16);
        assert_string_equal(confirm, "");
}

static void a_bad_body_is_refused_by_the_name_of_its_member(void **state) {
        static const struct {
                enum action_verb verb;
                const char *text, *member;
        } rows[] = {
                { ACTION_STOP, "{}", "confirm" },
                { ACTION_STOP, "{\"confirm\":null}", "confirm" },
                { ACTION_STOP, "{\"confirm\":1}", "confirm" },
                { ACTION_STOP, "{\"confirm\":\"web\\u0000x\"}", "confirm" },
                { ACTION_STOP, "{\"confirm\":\"web\",\"vcpus\":1}", "vcpus" },
                { ACTION_DESTROY, "{\"confirm\":\"web\",\"now\":true}", "now" },
                { ACTION_SCALE, "{\"vcpus\":1}", "confirm" },
                { ACTION_SCALE, "{\"confirm\":\"web\"}", "vcpus" },
                { ACTION_SCALE, "{\"confirm\":\"web\",\"vcpus\":0}", "vcpus" },
                { ACTION_SCALE, "{\"confirm\":\"web\",\"vcpus\":-1}", "vcpus" },
                { ACTION_SCALE, "{\"confirm\":\"web\",\"vcpus\":4097}", "vcpus" },
                { ACTION_SCALE, "{\"confirm\":\"web\",\"vcpus\":1.0}", "vcpus" },
                { ACTION_SCALE, "{\"confirm\":\"web\",\"vcpus\":\"1\"}", "vcpus" },
                { ACTION_SCALE, "{\"confirm\":\"web\",\"vcpus\":18446744073709551617}", "vcpus" },
                { ACTION_SCALE, "{\"confirm\":\"web\",\"memory_mb\":15}", "memory_mb" },
                { ACTION_SCALE, "{\"confirm\":\"web\",\"memory_mb\":4294967297}", "memory_mb" },
                { ACTION_SCALE, "{\"confirm\":\"web\",\"memory_mb\":null}", "memory_mb" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct action action;
                struct diag diag = {};
                char confirm[64];

                assert_int_equal(parse(rows[i].verb, rows[i].text, &action, confirm, &diag),
                                -EINVAL);
                assert_int_equal(strncmp(diag.text, rows[i].member, strlen(rows[i].member)), 0);
                assert_int_equal(diag.text[strlen(rows[i].member)], ':');
        }
}

static int check(uint32_t vcpus, uint64_t memory_mb, uint64_t vcpus_max, uint64_t memory_max_mb) {
        struct diag diag = {};
        int r;

        r = action_check(&(struct action){ .verb = ACTION_SCALE,
                                         .vcpus = vcpus,
                                         .memory_mb = memory_mb },
                        &(struct action_limits){ vcpus_max, memory_max_mb }, &diag);
        assert_true((r < 0) == (diag.text[0] != '\0'));
        return r;
}

static void numbers_are_allowed_up_to_the_edge_and_not_past_it(void **state) {
        assert_int_equal(check(1, 0, 1, 0), 0);
        assert_int_equal(check(2, 0, 1, 0), -EINVAL);
        assert_int_equal(check(8, 0, 8, 0), 0);
        assert_int_equal(check(9, 0, 8, 0), -EINVAL);
        assert_int_equal(check(4096, 0, 0, 0), 0); /* not known: the source will say */
        assert_int_equal(check(4097, 0, 0, 0), -EINVAL);
        assert_int_equal(check(0, 15, 0, 64), -EINVAL);
        assert_int_equal(check(0, 16, 0, 64), 0);
        assert_int_equal(check(0, 64, 0, 64), 0);
        assert_int_equal(check(0, 65, 0, 64), -EINVAL);
        assert_int_equal(check(0, ACTION_MEMORY_MAX_MB, 0, 0), 0);
        assert_int_equal(check(0, ACTION_MEMORY_MAX_MB + 1, 0, 0), -EINVAL);
        assert_int_equal(check(1, 65, 1, 64), -EINVAL);
        assert_int_equal(check(0, 0, 1, 64), -EINVAL);
}

static void what_can_be_asked_goes_by_the_state(void **state) {
        static const char *const vm[WORKLOAD_STATE_MAX_] = { [STATE_UNKNOWN] = "",
                [STATE_CREATED] = "s",
                [STATE_STARTING] = "tds",
                [STATE_RUNNING] = "tds",
                [STATE_PAUSED] = "ds",
                [STATE_STOPPING] = "d",
                [STATE_STOPPED] = "s",
                [STATE_FAILED] = "ds" };
        static const char letters[] = "tds";

        for (int i = 0; i < WORKLOAD_STATE_MAX_; i++) {
                struct workload workload = { .kind = WORKLOAD_VM,
                        .state = (enum workload_state) i };

                for (int verb = 0; verb < ACTION_VERB_MAX_; verb++) {
                        const char *why = NULL;
                        bool may = action_fits((enum action_verb) verb, &workload, &why);

                        assert_int_equal(may, strchr(vm[i], letters[verb]) != NULL);
                        assert_non_null(why);
                }
        }
        assert_false(action_fits(ACTION_DESTROY,
                        &(struct workload){ .kind = WORKLOAD_CONTAINER, .state = STATE_FAILED },
                        &(const char *){ NULL }));
}

static void it_is_said_in_words(void **state) {
        char text[80];

        assert_string_equal(action_words(&(struct action){ .verb = ACTION_STOP }, text), "stop");
        assert_string_equal(action_words(&(struct action){ ACTION_SCALE, 1, 0 }, text),
                        "scale to 1 vCPU");
        assert_string_equal(action_words(&(struct action){ ACTION_SCALE, 0, 64 }, text),
                        "scale to 64 MiB");
        assert_string_equal(action_words(&(struct action){ ACTION_SCALE, UINT32_MAX, UINT64_MAX },
                                            text),
                        "scale to 4294967295 vCPUs and 18446744073709551615 MiB");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_body_says_the_name_and_what_is_wanted),
                cmocka_unit_test(a_bad_body_is_refused_by_the_name_of_its_member),
                cmocka_unit_test(numbers_are_allowed_up_to_the_edge_and_not_past_it),
                cmocka_unit_test(what_can_be_asked_goes_by_the_state),
                cmocka_unit_test(it_is_said_in_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
