/* The counters: what is counted under which labels, and what does not fit. */

#include <string.h>

#include "base/json.h"
#include "engine/counters.h"
#include "test.h"

struct search {
        const char *labels;
        size_t n_labels, n_series;
        uint64_t value, sum;
};

static void look(const char *const *values, uint64_t value, void *userdata) {
        struct search *search = userdata;
        char labels[4096] = "";
        size_t n = 0;

        for (size_t i = 0; i < search->n_labels; i++)
                n += (size_t) snprintf(
                                labels + n, sizeof(labels) - n, "%s%s", i ? "|" : "", values[i]);
        search->n_series++;
        search->sum += value;
        if (strcmp(labels, search->labels) == 0)
                search->value = value;
}

static struct search find(
                const struct counters *counters, enum counters_family family, const char *labels) {
        struct search search = { .labels = labels };

        (void) counters_label_names(family, &search.n_labels);
        counters_for_each(counters, family, look, &search);
        return search;
}

static void count(struct counters *counters, enum event_kind kind, const char *name,
                const char *action, const char *reason) {
        struct json_object *details = json_object_new_object();
        struct event *event = NULL;

        if (reason) {
                assert_int_equal(json_add_string(details, "reason", reason), 0);
                assert_int_equal(json_add_string(details, "confidence", "confirmed"), 0);
                assert_int_equal(json_add_string(details, "oom_scope",
                                                 strcmp(reason, "oom") == 0 ? "self" : ""),
                                0);
        }
        assert_int_equal(event_new(&(struct event_fields){ .kind = kind,
                                                   .name = name,
                                                   .action = action,
                                                   .source = "docker",
                                                   .details = details },
                                         &event),
                        0);
        counters_add(counters, event);
        event_unref(event);
}

static void deploys_and_actions_are_operations(void **state) {
        _cleanup_(counters_freep) struct counters *counters = NULL;
        struct json_object *details = json_object_new_object();
        struct event *event = NULL;

        assert_int_equal(counters_new(&counters), 0);
        count(counters, EVENT_APP, "shop", "deploy_started", NULL);
        count(counters, EVENT_APP, "shop", "deploy_succeeded", NULL);
        count(counters, EVENT_APP, "shop", "deploy_failed", NULL);
        count(counters, EVENT_APP, "shop", "action_done", NULL);
        count(counters, EVENT_VM, "vm", "deploy_succeeded", NULL);
        count(counters, EVENT_VM, "vm", "action_done", NULL);
        count(counters, EVENT_VM, "vm", "action_failed", NULL);
        assert_int_equal(json_add_string(details, "verb", "scale"), 0);
        assert_int_equal(event_new(&(struct event_fields){ .kind = EVENT_VM,
                                                   .name = "vm",
                                                   .action = "action_done",
                                                   .details = details },
                                         &event),
                        0);
        counters_add(counters, event);
        event_unref(event);

        assert_int_equal(find(counters, COUNTERS_DEPLOYMENT_OPS, "deploy").value, 2);
        assert_int_equal(find(counters, COUNTERS_DEPLOYMENT_OPS, "scale").value, 1);
        assert_int_equal(find(counters, COUNTERS_DEPLOYMENT_OPS, "").n_series, 2);
}

static void events_are_counted_under_their_labels(void **state) {
        _cleanup_(counters_freep) struct counters *counters = NULL;

        assert_int_equal(counters_new(&counters), 0);
        count(counters, EVENT_CONTAINER, "web", "started", NULL);
        count(counters, EVENT_CONTAINER, "web", "OOMKilled", "oom");
        count(counters, EVENT_CONTAINER, "web", "started", NULL);
        count(counters, EVENT_CONTAINER, "web", "OOMKilled", "oom");
        count(counters, EVENT_CONTAINER, "db", "stopped", "completed");
        count(counters, EVENT_CONTAINER, "db", "paused", NULL);
        count(counters, EVENT_VM, "vm", "crashed", "qemu-failed");

        assert_int_equal(find(counters, COUNTERS_EVENTS, "container|started").value, 2);
        assert_int_equal(find(counters, COUNTERS_EVENTS, "container|OOMKilled").value, 2);
        assert_int_equal(find(counters, COUNTERS_EVENTS, "vm|crashed").value, 1);
        assert_int_equal(find(counters, COUNTERS_EVENTS, "").n_series, 5);

        assert_int_equal(find(counters, COUNTERS_CONTAINER_EVENTS, "started").value, 2);
        assert_int_equal(find(counters, COUNTERS_CONTAINER_EVENTS, "oom").value, 2);
        assert_int_equal(find(counters, COUNTERS_CONTAINER_EVENTS, "died").value, 1);
        assert_int_equal(find(counters, COUNTERS_CONTAINER_EVENTS, "").n_series, 3);

        assert_int_equal(find(counters, COUNTERS_EXITS, "container|docker|web|oom|self").value, 2);
        assert_int_equal(find(counters, COUNTERS_EXITS, "container|docker|db|completed|").value, 1);
        assert_int_equal(find(counters, COUNTERS_EXITS, "vm|docker|vm|qemu-failed|").value, 1);
        assert_int_equal(find(counters, COUNTERS_EXITS, "").n_series, 3);

        assert_int_equal(find(counters, COUNTERS_OOM_KILLS, "container|docker|web").value, 2);
        assert_int_equal(find(counters, COUNTERS_OOM_KILLS, "").n_series, 1);
}

static void labels_have_names(void **state) {
        static const size_t expected[] = { 2, 1, 1, 5, 3 };

        for (size_t i = 0; i < COUNTERS_FAMILY_MAX_; i++) {
                const char *const *names;
                size_t n;

                names = counters_label_names((enum counters_family) i, &n);
                assert_int_equal(n, expected[i]);
                assert_true(strlen(names[n - 1]) > 0);
        }
}

static void series_over_the_cap_are_counted_together(void **state) {
        _cleanup_(counters_freep) struct counters *counters = NULL;
        struct search search;
        char action[16];

        assert_int_equal(counters_new(&counters), 0);
        for (unsigned int i = 0; i < COUNTERS_SERIES_MAX; i++) {
                (void) snprintf(action, sizeof(action), "a%u", i);
                count(counters, EVENT_VM, "vm", action, NULL);
        }
        search = find(counters, COUNTERS_EVENTS, "_other|_other");
        assert_int_equal(search.n_series, COUNTERS_SERIES_MAX);
        assert_int_equal(search.value, 0);

        count(counters, EVENT_VM, "vm", "one more", NULL);
        count(counters, EVENT_VM, "vm", "and another", NULL);
        count(counters, EVENT_VM, "vm", "a9999", NULL);
        search = find(counters, COUNTERS_EVENTS, "_other|_other");
        assert_int_equal(search.n_series, COUNTERS_SERIES_MAX + 1);
        assert_int_equal(search.value, 2);
        assert_int_equal(search.sum, COUNTERS_SERIES_MAX + 3);
        assert_int_equal(find(counters, COUNTERS_EVENTS, "vm|a9999").value, 2);
}

static void labels_that_are_too_long_are_counted_together(void **state) {
        _cleanup_(counters_freep) struct counters *counters = NULL;
        char reason[9000];

        memset(reason, 'x', sizeof(reason));
        reason[sizeof(reason) - 1] = '\0';
        assert_int_equal(counters_new(&counters), 0);
        count(counters, EVENT_VM, "vm", "died", reason);
        count(counters, EVENT_VM, "vm", "died", reason);
        assert_int_equal(find(counters, COUNTERS_EXITS, "_other|_other|_other|_other|_other").value,
                        2);
}

static void a_newline_in_a_name_does_not_join_two_series(void **state) {
        _cleanup_(counters_freep) struct counters *counters = NULL;

        assert_int_equal(counters_new(&counters), 0);
        count(counters, EVENT_VM, "a\nb", "died", "c");
        count(counters, EVENT_VM, "a", "died", "b\nc");
        assert_int_equal(find(counters, COUNTERS_EXITS, "vm|docker|a\nb|c|").value, 1);
        assert_int_equal(find(counters, COUNTERS_EXITS, "vm|docker|a|b\nc|").value, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(deploys_and_actions_are_operations),
                cmocka_unit_test(events_are_counted_under_their_labels),
                cmocka_unit_test(labels_have_names),
                cmocka_unit_test(series_over_the_cap_are_counted_together),
                cmocka_unit_test(labels_that_are_too_long_are_counted_together),
                cmocka_unit_test(a_newline_in_a_name_does_not_join_two_series),
        };

        return RUN_TESTS(tests);
}
