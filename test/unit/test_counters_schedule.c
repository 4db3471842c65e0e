/* The time from a workload's creation to its first start. */

#include <string.h>

#include "base/clock.h"
#include "engine/counters.h"
#include "test.h"

#define T0 (UINT64_C(1700000000) * USEC_PER_SEC)

static void add(struct counters *counters, const char *source, const char *workload,
                const char *action, uint64_t time_us, bool synthetic) {
        _cleanup_(event_unrefp) struct event *event = NULL;

        assert_int_equal(event_new(&(struct event_fields){ .time_us = time_us,
                                                   .kind = EVENT_CONTAINER,
                                                   .name = "n",
                                                   .action = action,
                                                   .workload = workload,
                                                   .source = source,
                                                   .synthetic = synthetic },
                                         &event),
                        0);
        counters_add(counters, event);
}

struct sums {
        uint64_t docker, docker_us, podman;
};

static void sum(const char *runtime, const struct histogram *histogram, void *userdata) {
        struct sums *sums = userdata;

        if (strcmp(runtime, "docker") == 0) {
                sums->docker = histogram->count;
                sums->docker_us = histogram->sum_us;
        } else {
                assert_string_equal(runtime, "podman");
                sums->podman = histogram->count;
        }
}

static void only_the_first_start_counts_and_by_runtime(void **state) {
        struct counters *counters;
        struct sums sums = {};

        assert_int_equal(counters_new(&counters), 0);
        counters_for_each_schedule(counters, sum, &sums);
        assert_int_equal(sums.docker + sums.podman, 0);

        add(counters, "docker", "a", "created", T0, false);
        add(counters, "podman", "b", "created", T0, false);
        add(counters, "docker", "a", "started", T0 + 300000, false);
        add(counters, "podman", "b", "started", T0 + 1, false);
        add(counters, "docker", "a", "died", T0 + 400000, false);
        add(counters, "docker", "a", "started", T0 + 900000, false);
        counters_for_each_schedule(counters, sum, &sums);
        assert_int_equal(sums.docker, 1);
        assert_int_equal(sums.docker_us, 300000);
        assert_int_equal(sums.podman, 1);
        counters_free(counters);
}

static void what_says_nothing_of_the_runtimes_haste_is_left_out(void **state) {
        struct counters *counters;
        struct sums sums = {};

        assert_int_equal(counters_new(&counters), 0);
        add(counters, "docker", "never-created", "started", T0, false);
        add(counters, "docker", "found", "created", T0, true);
        add(counters, "docker", "found", "started", T0 + 1, false);
        add(counters, "docker", "missed", "created", T0, false);
        add(counters, "docker", "missed", "started", T0 + 5, true);
        add(counters, "docker", "failed", "created", T0, false);
        add(counters, "docker", "failed", "died", T0 + 1, false);
        add(counters, "docker", "failed", "started", T0 + 2, false);
        add(counters, "docker", "left", "created", T0, false);
        add(counters, "docker", "left", "started", T0 + 601 * USEC_PER_SEC, false);
        add(counters, "docker", "back", "created", T0, false);
        add(counters, "docker", "back", "started", T0 - 1, false);
        counters_for_each_schedule(counters, sum, &sums);
        assert_int_equal(sums.docker, 0);
        counters_free(counters);
}

static void creations_that_never_start_do_not_pile_up(void **state) {
        struct counters *counters;
        struct sums sums = {};
        char id[16];

        assert_int_equal(counters_new(&counters), 0);
        for (unsigned int i = 0; i < 5000; i++) {
                (void) snprintf(id, sizeof(id), "w%u", i);
                add(counters, "docker", id, "created", T0, false);
        }
        add(counters, "docker", "w0", "started", T0 + 1, false);
        add(counters, "docker", "w4000", "started", T0 + 1, false);
        add(counters, "docker", "w4999", "started", T0 + 1, false);
        counters_for_each_schedule(counters, sum, &sums);
        assert_int_equal(sums.docker, 2); /* the oldest have gone */
        counters_free(counters);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_the_first_start_counts_and_by_runtime),
                cmocka_unit_test(what_says_nothing_of_the_runtimes_haste_is_left_out),
                cmocka_unit_test(creations_that_never_start_do_not_pile_up),
        };

        return RUN_TESTS(tests);
}
