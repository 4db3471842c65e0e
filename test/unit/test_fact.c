/* A copy of a fact shares nothing with the fact but its JSON. */

#include <string.h>

#include "base/json.h"
#include "model/fact.h"
#include "test.h"

/* Every text there is in a fact. */
#define TEXTS(fact)                                                                                \
        {                                                                                          \
                &(fact)->origin, &(fact)->cursor, &(fact)->action, &(fact)->message,               \
                                &(fact)->oom_cgroup, &(fact)->task_cgroup, &(fact)->oom_comm,      \
                                &(fact)->oomd_reason, &(fact)->error, &(fact)->workload.native_id, \
                                &(fact)->workload.name, &(fact)->workload.uuid,                    \
                                &(fact)->workload.runtime, &(fact)->workload.image,                \
                                &(fact)->workload.uri, &(fact)->workload.cgroup,                   \
                                &(fact)->workload.job, &(fact)->workload.state_reason              \
        }
#define TEXTS_N 18

static void a_copy_outlives_what_it_was_made_of(void **state) {
        struct fact fact = FACT_INIT(FACT_EXIT), *copy = NULL;
        const char **texts[] = TEXTS(&fact);
        char buffers[TEXTS_N][16], expected[16];

        assert_int_equal(ARRAY_SIZE(texts), TEXTS_N);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                (void) snprintf(buffers[i], sizeof(buffers[i]), "text %zu", i);
                *texts[i] = buffers[i];
        }
        fact.time_us = 17;
        fact.code = 3;
        fact.workload.pid = 99;
        fact.details = json_object_new_object();
        fact.workload.labels = json_object_new_object();
        assert_int_equal(json_add_int(fact.details, "a", 1), 0);

        assert_int_equal(fact_copy(&fact, &copy), 0);
        json_object_put(fact.details);
        json_object_put(fact.workload.labels);
        memset(buffers, '?', sizeof(buffers));

        const char **copied[] = TEXTS(copy);
        for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
                (void) snprintf(expected, sizeof(expected), "text %zu", i);
                assert_string_equal(*copied[i], expected);
        }
        assert_int_equal(copy->type, FACT_EXIT);
        assert_int_equal(copy->time_us, 17);
        assert_int_equal(copy->code, 3);
        assert_int_equal(copy->workload.pid, 99);
        assert_int_equal(json_get_int(copy->details, "a", 0), 1);
        assert_int_equal(json_object_object_length(copy->workload.labels), 0);
        assert_null(fact_free(copy));
}

static void what_is_not_said_stays_not_said(void **state) {
        struct fact fact = FACT_INIT(FACT_ACTION), *copy = NULL;

        assert_int_equal(fact_copy(&fact, &copy), 0);
        const char **copied[] = TEXTS(copy);
        for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
                assert_null(*copied[i]);
        assert_null(copy->details);
        assert_int_equal(copy->code, -1);
        assert_int_equal(copy->workload.state, WORKLOAD_STATE_MAX_);
        assert_int_equal(copy->workload.domain_id, -1);
        assert_int_equal(copy->workload.exit_code, -1);
        assert_int_equal(copy->workload.oom_killed, -1);
        assert_int_equal(copy->workload.restarts, -1);
        assert_null(fact_free(copy));
        assert_null(fact_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_copy_outlives_what_it_was_made_of),
                cmocka_unit_test(what_is_not_said_stays_not_said),
        };

        return RUN_TESTS(tests);
}
