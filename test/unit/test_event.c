/* Events: clean, bounded, and the JSON of the contract. */

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "model/event.h"
#include "test.h"

static struct event *event_of(const struct event_fields *fields) {
        struct event *event = NULL;

        assert_int_equal(event_new(fields, &event), 0);
        assert_non_null(event);
        return event;
}

static void texts_not_given_are_empty(void **state) {
        _cleanup_(event_unrefp) struct event *event = event_of(&(struct event_fields){});

        assert_string_equal(event->name, "");
        assert_string_equal(event->action, "");
        assert_string_equal(event->message, "");
        assert_string_equal(event->workload, "");
        assert_string_equal(event->slug, "");
        assert_string_equal(event->source, "");
        assert_string_equal(event->origin, "");
        assert_int_equal(json_object_object_length(event->details), 0);
        assert_int_equal(event->seq, 0);
        assert_null(event->json);
}

/* "xxx…" of @n bytes, NUL-terminated. */
static char *letters(char *text, size_t n) {
        memset(text, 'x', n);
        text[n] = '\0';
        return text;
}

static void texts_are_cut_at_their_limits(void **state) {
        static const struct {
                size_t offset, max;
        } limits[] = {
                { offsetof(struct event_fields, name), EVENT_NAME_MAX },
                { offsetof(struct event_fields, action), EVENT_ACTION_MAX },
                { offsetof(struct event_fields, message), EVENT_MESSAGE_MAX },
                { offsetof(struct event_fields, workload), EVENT_NAME_MAX },
                { offsetof(struct event_fields, slug), EVENT_ACTION_MAX },
                { offsetof(struct event_fields, source), EVENT_NAME_MAX },
                { offsetof(struct event_fields, origin), EVENT_NAME_MAX },
        };
        char text[2048];

        for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
                for (size_t more = 0; more < 2; more++) {
                        struct event_fields fields = {};
                        _cleanup_(event_unrefp) struct event *event = NULL;
                        const char *made[7];

                        *(const char **) (void *) ((char *) &fields + limits[i].offset) =
                                        letters(text, limits[i].max + more);
                        event = event_of(&fields);
                        made[0] = event->name;
                        made[1] = event->action;
                        made[2] = event->message;
                        made[3] = event->workload;
                        made[4] = event->slug;
                        made[5] = event->source;
                        made[6] = event->origin;
                        assert_int_equal(strlen(made[i]), limits[i].max);
                }
        }
}

static void details_up_to_their_limit_are_taken(void **state) {
        char *text = calloc(1, EVENT_DETAILS_MAX + 16);

        assert_non_null(text);
        for (size_t more = 0; more < 2; more++) {
                struct json_object *details = json_object_new_object();
                struct event *event = NULL;
                int r;

                /* {"a":"…"} is eight bytes more than what is in it */
                letters(text, EVENT_DETAILS_MAX - 8 + more);
                assert_int_equal(json_add_string(details, "a", text), 0);
                r = event_new(&(struct event_fields){ .details = details }, &event);
                assert_int_equal(r, more ? -E2BIG : 0);
                event_unref(event);
        }
        free(text);
}

static struct json_object *rendered(struct event *event, uint64_t seq) {
        struct json_object *object = NULL;

        assert_int_equal(event_set_seq(event, seq), 0);
        assert_int_equal(event->seq, seq);
        assert_int_equal(strlen(event->json), event->json_size);
        assert_null(strchr(event->json, '\n'));
        assert_int_equal(json_parse(event->json, event->json_size, &object), 0);
        return object;
}

static void the_json_is_that_of_the_contract(void **state) {
        _cleanup_(event_unrefp) struct event *event = event_of(&(struct event_fields){
                        .time_us = 1780833601500000,
                        .kind = EVENT_CONTAINER,
                        .severity = SEVERITY_ERROR,
                        .name = "web",
                        .action = "died",
                        .message = "exit code 3",
                        .workload = "abc",
                        .source = "docker",
                        .origin = "1/abc/die",
        });

        json_object_put(rendered(event, 7));
        assert_string_equal(event->json,
                        "{\"timestamp\":\"2026-06-07T12:00:01.500000Z\",\"kind\":\"container\","
                        "\"name\":\"web\",\"action\":\"died\",\"message\":\"exit code 3\",\"seq\":7,"
                        "\"severity\":\"error\",\"id\":\"abc\",\"source\":\"docker\"}");
        json_object_put(rendered(event, 8));
        assert_non_null(strstr(event->json, "\"seq\":8,"));
}

static void slug_and_synthetic_appear_where_they_say_something(void **state) {
        _cleanup_(event_unrefp) struct event *event =
                        event_of(&(struct event_fields){ .slug = "shop", .synthetic = true });

        json_object_put(rendered(event, 1));
        assert_non_null(strstr(event->json, "\"slug\":\"shop\",\"synthetic\":true}"));
}

static void details_follow_and_never_replace_the_contract(void **state) {
        struct json_object *details = json_object_new_object(), *object;
        _cleanup_(event_unrefp) struct event *event = NULL;

        assert_int_equal(json_add_string(details, "seq", "forged"), 0);
        assert_int_equal(json_add_string(details, "kind", "forged"), 0);
        assert_int_equal(json_add_string(details, "id", "forged"), 0);
        assert_int_equal(json_add_int(details, "exit_code", 3), 0);
        assert_int_equal(json_object_object_add(details, "nothing", NULL), 0);
        event = event_of(&(struct event_fields){ .name = "a", .details = details });
        object = rendered(event, 5);
        assert_null(strstr(event->json, "forged"));
        assert_int_equal(json_get_int(object, "seq", 0), 5);
        assert_string_equal(json_get_string(object, "kind"), "vm");
        assert_int_equal(json_get_int(object, "exit_code", 0), 3);
        assert_true(json_object_object_get_ex(object, "nothing", NULL));
        json_object_put(object);
}

static void hostile_names_stay_inside_their_member(void **state) {
        static const char name[] = "\"},{\"x\":\n</script>\xff\\";
        _cleanup_(event_unrefp) struct event *event =
                        event_of(&(struct event_fields){ .name = name });
        struct json_object *object = rendered(event, 1);

        assert_string_equal(
                        json_get_string(object, "name"), "\"},{\"x\":\n</script>\xef\xbf\xbd\\");
        assert_int_equal(json_object_object_length(object), 9);
        json_object_put(object);
}

static void the_last_reference_frees(void **state) {
        struct event *event = event_of(&(struct event_fields){ .name = "a" });

        assert_ptr_equal(event_ref(event), event);
        assert_null(event_unref(event));
        assert_string_equal(event->name, "a");
        assert_null(event_unref(event));
        assert_null(event_unref(NULL));
}

static void a_filter_wants_all_its_conditions(void **state) {
        static char words[][8] = { "vm", "web", "died", "shop", "id-1", "error", "other" };
        _cleanup_(event_unrefp) struct event *event = event_of(&(struct event_fields){
                        .time_us = 100,
                        .kind = EVENT_VM,
                        .name = "web",
                        .action = "died",
                        .slug = "shop",
                        .workload = "id-1",
                        .severity = SEVERITY_ERROR,
        });
        struct event_filter filter = {};
        char **fields[] = { &filter.kind, &filter.name, &filter.action, &filter.slug,
                &filter.workload, &filter.severity };

        assert_true(event_filter_match(&filter, event));
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                filter = (struct event_filter){};
                *fields[i] = words[i];
                assert_true(event_filter_match(&filter, event));
                *fields[i] = words[6];
                assert_false(event_filter_match(&filter, event));
        }
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                *fields[i] = words[i];
        filter.since_us = 100;
        assert_true(event_filter_match(&filter, event));
        filter.since_us = 101;
        assert_false(event_filter_match(&filter, event));
}

static void a_done_filter_wants_nothing(void **state) {
        struct event_filter filter = { .kind = strdup("vm"), .slug = strdup("a"), .since_us = 3 };

        event_filter_done(&filter);
        assert_null(filter.kind);
        assert_null(filter.slug);
        assert_int_equal(filter.since_us, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(texts_not_given_are_empty),
                cmocka_unit_test(texts_are_cut_at_their_limits),
                cmocka_unit_test(details_up_to_their_limit_are_taken),
                cmocka_unit_test(the_json_is_that_of_the_contract),
                cmocka_unit_test(slug_and_synthetic_appear_where_they_say_something),
                cmocka_unit_test(details_follow_and_never_replace_the_contract),
                cmocka_unit_test(hostile_names_stay_inside_their_member),
                cmocka_unit_test(the_last_reference_frees),
                cmocka_unit_test(a_filter_wants_all_its_conditions),
                cmocka_unit_test(a_done_filter_wants_nothing),
        };

        return RUN_TESTS(tests);
}
