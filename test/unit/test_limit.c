/* What a limited caller gets to see. */

#include <string.h>

#include "model/event.h"
#include "model/limit.h"
#include "test.h"

static struct limit *make(const char *slugs, const char *workloads) {
        struct json_object *a = json_tokener_parse(slugs), *b = json_tokener_parse(workloads);
        struct limit *limit = NULL;
        struct diag diag = {};

        assert_int_equal(limit_parse(a, b, &diag, &limit), 0);
        assert_int_equal(json_object_put(a) + json_object_put(b), 2);
        return limit;
}

static void no_limit_is_all(void **state) {
        assert_null(make("[]", "[]"));
        assert_true(limit_has_slug(NULL, "x"));
        assert_true(limit_has_slug(NULL, NULL));
        assert_true(limit_has_workload(NULL, NULL, NULL, NULL));
        assert_null(limit_ref(NULL));
        assert_null(limit_unref(NULL));
}

static void a_workload_is_within_by_its_id_its_name_or_its_app(void **state) {
        _cleanup_(limit_unrefp) struct limit *limit = make("[\"shop\"]", "[\"web-1\",\"c-77\"]");

        assert_true(limit_has_workload(limit, "c-77", "x", NULL));
        assert_true(limit_has_workload(limit, "c-1", "web-1", ""));
        assert_true(limit_has_workload(limit, "c-1", "x", "shop"));
        assert_false(limit_has_workload(limit, "c-1", "x", "other"));
        assert_false(limit_has_workload(limit, "", "", ""));
        assert_false(limit_has_workload(limit, NULL, NULL, NULL));
        assert_false(limit_has_slug(limit, "web-1"));
        assert_false(limit_has_slug(limit, NULL));
}

static bool matches(struct limit *limit, enum event_kind kind, const char *name,
                const char *workload, const char *slug) {
        struct event_filter filter = { .limit = limit };
        struct event *event;
        bool match;

        assert_int_equal(event_new(&(struct event_fields){ .kind = kind,
                                                   .name = name,
                                                   .workload = workload,
                                                   .slug = slug,
                                                   .action = "x" },
                                         &event),
                        0);
        match = event_filter_match(&filter, event);
        event_unref(event);
        return match;
}

static void an_event_is_within_with_its_workload_or_its_app(void **state) {
        _cleanup_(limit_unrefp) struct limit *limit = make("[\"shop\"]", "[\"api\",\"v-1\"]");

        assert_true(matches(limit, EVENT_VM, "x", "v-1", NULL));
        assert_true(matches(limit, EVENT_CONTAINER, "api", "c-1", NULL));
        assert_true(matches(limit, EVENT_APP, "shop", NULL, "shop"));
        assert_true(matches(limit, EVENT_PROBE, "shop", NULL, "shop"));
        assert_false(matches(limit, EVENT_VM, "x", "v-2", NULL));
        assert_false(matches(limit, EVENT_APP, "other", NULL, "other"));
        /* "api" is a workload's name there, and nobody else's */
        assert_false(matches(limit, EVENT_SOURCE, "api", NULL, NULL));
        assert_false(matches(limit, EVENT_PROBE, "api", NULL, "api"));
        assert_true(matches(NULL, EVENT_SOURCE, "api", NULL, NULL));
}

static void too_many_are_refused(void **state) {
        struct json_object *many = json_object_new_array();
        struct limit *limit = NULL;
        struct diag diag = {};

        for (int i = 0; i < LIMIT_ITEMS_MAX; i++)
                (void) json_object_array_add(many, json_object_new_string("a"));
        assert_int_equal(limit_parse(many, NULL, &diag, &limit), 0);
        limit = limit_unref(limit);
        (void) json_object_array_add(many, json_object_new_string("a"));
        assert_int_equal(limit_parse(many, NULL, &diag, &limit), -EINVAL);
        assert_true(strncmp(diag.text, "slugs: ", 7) == 0);
        assert_int_equal(limit_parse(NULL, many, &diag, &limit), -EINVAL);
        assert_true(strncmp(diag.text, "workloads: ", 11) == 0);
        assert_null(limit);
        (void) json_object_put(many);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_limit_is_all),
                cmocka_unit_test(a_workload_is_within_by_its_id_its_name_or_its_app),
                cmocka_unit_test(an_event_is_within_with_its_workload_or_its_app),
                cmocka_unit_test(too_many_are_refused),
        };

        return RUN_TESTS(tests);
}
