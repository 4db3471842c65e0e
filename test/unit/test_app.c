/* Apps as they are read, written and matched; timeline rows as they are made. */

#include <string.h>

#include "base/json.h"
#include "engine/apps.h"
#include "engine/timeline.h"
#include "test.h"

static struct json_object *object_of(const char *text) {
        struct json_object *object = NULL;

        assert_int_equal(json_parse(text, strlen(text), &object), 0);
        return object;
}

static struct app *app_of(const char *slug, const char *text) {
        _cleanup_(json_putp) struct json_object *object = object_of(text);
        struct diag diag = {};
        struct app *app = NULL;

        if (app_parse(slug, object, &diag, &app) < 0)
                fail_msg("%s", diag.text);
        return app;
}

static void slugs_have_bounds(void **state) {
        static const char *const
                        good[] = { "a", "0", "my-shop", "a-",
                                "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz" },
                        *const bad[] = {
                                "", "-a", "A", "a_b", "a.b", "a/b", "\xc3\xa4",
                                "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz0"
                        };

        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                assert_true(app_slug_is_valid(good[i]));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_false(app_slug_is_valid(bad[i]));
}

static void a_binding_comes_back_as_it_was_written(void **state) {
        _cleanup_(app_freep) struct app *app = app_of("shop",
                        "{\"vm_name\":\"a\",\"vm_names\":[\"b\"],\"container\":\"c\",\"hosts\":[\"x.example\",\"[::1]:80\"],"
                        "\"labels\":{\"tier\":\"web\"}}");
        _cleanup_(json_putp) struct json_object *object = app_to_json(app);

        assert_string_equal(json_text(object),
                        "{\"slug\":\"shop\",\"vm_names\":[\"a\",\"b\"],\"containers\":[\"c\"],\"labels\":{\"tier\":\"web\"},"
                        "\"hosts\":[\"x.example\",\"[::1]:80\"]}");
        app_free(app);
        app = app_of("shop", json_text(object));
        assert_int_equal(app->vms.n, 2);
}

static void a_text_with_a_nul_binds_nothing(void **state) {
        static const char *const bad[] = { "{\"vm_name\":\"a\\u0000b\"}",
                "{\"containers\":[\"a\\u0000\"]}", "{\"hosts\":[\"a\\u0000.example\"]}",
                "{\"labels\":{\"tier\":\"web\\u0000x\"}}" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_(json_putp) struct json_object *object = object_of(bad[i]);
                struct diag diag = {};
                struct app *app = NULL;

                assert_int_equal(app_parse("shop", object, &diag, &app), -EINVAL);
                assert_null(app);
        }
}

static int parse_host(const char *host) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        struct json_object *hosts = json_object_new_array();
        _cleanup_(app_freep) struct app *app = NULL;
        struct diag diag = {};
        int r;

        assert_int_equal(json_object_array_add(hosts, json_object_new_string(host)), 0);
        assert_int_equal(json_add(object, "hosts", hosts), 0);
        r = app_parse("shop", object, &diag, &app);
        assert_int_equal(r < 0, strncmp(diag.text, "hosts:", 6) == 0);
        return r;
}

static void hosts_have_bounds(void **state) {
        static const char *const good[] = { "a", "A.b-c_d.9", "a:1", "a:65535", "10.0.0.1:80",
                "[::]", "[::1]:443", "[fe80::1]", "[::ffff:255.255.255.255]:65535",
                "[1111:1111:1111:1111:1111:1111:111.111.111.111]" },
                                 *const bad[] = { "", ":", ":80", "a:", "a:0", "a:00", "a:65536",
                                         "a:99999", "a:100000", "a:-1", "a:+1", "a: 1", "a:8a",
                                         "a:80:80", "a b", "a/b", "\xc3\xa4", "[", "[]", "[]:80",
                                         "[::1", "[::1]80", "[::1]:", "[::1]:0", "[::1]:65536",
                                         "[:::]", "[1.2.3.4]", "[dead]", "[::1%eth0]", "[[::1]]",
                                         "::1" };
        char name[300];

        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                if (parse_host(good[i]) < 0)
                        fail_msg("%s", good[i]);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (parse_host(bad[i]) != -EINVAL)
                        fail_msg("%s", bad[i]);
        memset(name, 'a', sizeof(name));
        memcpy(name + 253, ":65535", sizeof(":65535"));
        assert_int_equal(parse_host(name), 0);
        memset(name, 'a', sizeof(name));
        name[254] = '\0';
        assert_int_equal(parse_host(name), -EINVAL);
        memset(name, 'f', sizeof(name));
        name[0] = '[';
        memcpy(name + 290, "]", sizeof("]"));
        assert_int_equal(parse_host(name), -EINVAL);
}

static struct workload container(char *name, struct json_object *labels) {
        static char id[] = "0123";

        return (struct workload){
                .kind = WORKLOAD_CONTAINER, .id = id, .name = name, .labels = labels
        };
}

static void a_workload_has_the_app_that_was_bound_before_the_one_of_its_label(void **state) {
        _cleanup_(json_putp) struct json_object *labels = object_of(
                        "{\"virtwatch.slug\":\"mine\",\"com.docker.compose.project\":\"stack\",\"tier\":\"web\"}");
        _cleanup_(json_putp) struct json_object *bad = object_of(
                        "{\"virtwatch.slug\":\"../x\",\"com.docker.compose.project\":\"stack\"}");
        char web[] = "web", db[] = "db";
        struct workload one = container(web, labels), two = container(db, bad),
                        three = container(db, NULL), vm = container(web, NULL);
        _cleanup_(apps_freep) struct apps *apps = NULL;

        vm.kind = WORKLOAD_VM;
        assert_int_equal(apps_new(&apps), 0);
        assert_string_equal(apps_slug_of(apps, &one), "mine");
        assert_string_equal(apps_slug_of(apps, &two), "stack");
        assert_null(apps_slug_of(apps, &three));
        assert_int_equal(apps_put(apps, app_of("bound", "{\"labels\":{\"tier\":\"web\"}}")), 0);
        assert_string_equal(apps_slug_of(apps, &one), "bound");
        assert_int_equal(apps_put(apps, app_of("bound", "{\"containers\":[\"db\"]}")), 0);
        assert_string_equal(apps_slug_of(apps, &three), "bound");
        assert_string_equal(apps_slug_of(apps, &one), "mine");
        assert_null(apps_slug_of(apps, &vm)); /* a VM of a container's name is another */
        assert_int_equal(apps_size(apps), 1);
        assert_int_equal(apps_remove(apps, "bound"), 0);
        assert_int_equal(apps_remove(apps, "bound"), -ENOENT);
        assert_null(apps_slug_of(apps, &three));
}

static void an_empty_set_of_labels_matches_nothing(void **state) {
        _cleanup_(app_freep) struct app *app = app_of("shop", "{\"labels\":{}}");
        _cleanup_(json_putp) struct json_object *labels = object_of("{\"a\":\"b\"}");
        char web[] = "web";
        struct workload one = container(web, labels);

        assert_false(app_has(app, &one));
}

static void a_label_without_a_value_matches_nothing(void **state) {
        _cleanup_(json_putp) struct json_object *labels = object_of("{\"a\":\"b\",\"x\":null}");
        char web[] = "web";
        struct workload one = container(web, labels);
        _cleanup_(apps_freep) struct apps *apps = NULL;

        assert_int_equal(apps_new(&apps), 0);
        assert_int_equal(
                        apps_put(apps, app_of("shop", "{\"labels\":{\"a\":\"b\",\"x\":\"\"}}")), 0);
        assert_null(apps_slug_of(apps, &one));
        assert_int_equal(apps_put(apps, app_of("shop", "{\"labels\":{\"a\":\"b\"}}")), 0);
        assert_string_equal(apps_slug_of(apps, &one), "shop");
}

static void several_apps_that_name_one_take_turns(void **state) {
        _cleanup_(json_putp) struct json_object *labels =
                        object_of("{\"tier\":\"web\",\"a\":\"b\"}");
        char web[] = "web";
        struct workload one = container(web, labels), vm = container(web, NULL);
        _cleanup_(apps_freep) struct apps *apps = NULL;

        vm.kind = WORKLOAD_VM;
        assert_int_equal(apps_new(&apps), 0);
        assert_int_equal(apps_put(apps, app_of("c", "{\"containers\":[\"web\",\"web\"]}")), 0);
        assert_int_equal(apps_put(apps, app_of("b", "{\"labels\":{\"a\":\"b\",\"x\":\"y\"}}")), 0);
        assert_string_equal(apps_slug_of(apps, &one), "c"); /* b wants a label more */
        assert_int_equal(apps_put(apps, app_of("b", "{\"labels\":{\"a\":\"b\",\"tier\":\"web\"}}")),
                        0);
        assert_string_equal(apps_slug_of(apps, &one), "b");
        assert_int_equal(
                        apps_put(apps, app_of("a", "{\"container\":\"0123\",\"vm_name\":\"web\"}")),
                        0);
        assert_string_equal(apps_slug_of(apps, &one), "a");
        assert_string_equal(apps_slug_of(apps, &vm), "a");
        assert_int_equal(apps_remove(apps, apps_get(apps, "a")->slug), 0);
        assert_string_equal(apps_slug_of(apps, &one), "b");
        assert_int_equal(apps_remove(apps, "b"), 0);
        assert_string_equal(apps_slug_of(apps, &one), "c");
        assert_null(apps_slug_of(apps, &vm));
        assert_int_equal(apps_remove(apps, "c"), 0);
        assert_null(apps_slug_of(apps, &one));
}

static void note_slug(const char *slug, void *userdata) {
        char *told = userdata;

        (void) snprintf(told + strlen(told), 64 - strlen(told), "%s ", slug);
}

static void configure(struct apps *apps, struct app *a, struct app *b, char told[static 64]) {
        struct app *items[2] = { a, b };

        told[0] = '\0';
        assert_int_equal(apps_configure(apps, items, (size_t) (a != NULL) + (b != NULL), note_slug,
                                         told),
                        0);
        assert_null(items[0]);
        assert_null(items[1]);
}

static void what_is_configured_hides_what_was_bound(void **state) {
        char web[] = "web", told[64];
        struct workload one = container(web, NULL);
        _cleanup_(apps_freep) struct apps *apps = NULL;

        assert_int_equal(apps_new(&apps), 0);
        assert_int_equal(apps_put(apps, app_of("a", "{\"containers\":[\"web\"]}")), 0);
        assert_int_equal(apps_put(apps, app_of("z", "{\"containers\":[\"other\"]}")), 0);
        configure(apps, app_of("z", "{\"container\":\"web\"}"), app_of("y", "{}"), told);
        assert_string_equal(told, "z y ");
        assert_string_equal(apps_slug_of(apps, &one), "z"); /* though a comes first */
        assert_true(apps_get(apps, "z")->configured);
        assert_int_equal(apps_size(apps), 3);

        configure(apps, app_of("z", "{\"container\":\"web\"}"), app_of("y", "{}"), told);
        assert_string_equal(told, ""); /* nothing is another */

        configure(apps, app_of("z", "{\"hosts\":[\"z.example\"]}"), NULL, told);
        assert_string_equal(told, "y z ");
        assert_string_equal(apps_slug_of(apps, &one), "a");
        assert_null(apps_get(apps, "y"));

        assert_int_equal(apps_remove(apps, "y"), -ENOENT);
        configure(apps, NULL, NULL, told);
        assert_string_equal(told, "z ");
        assert_false(apps_get(apps, "z")->configured); /* what was hidden is back */
        assert_int_equal(apps_size(apps), 2);
}

static void as_many_as_there_may_be_are_found_by_hash(void **state) {
        _cleanup_(apps_freep) struct apps *apps = NULL;
        char slug[16], text[64], name[16];
        struct workload one = container(name, NULL);
        struct app *more;

        assert_int_equal(apps_new(&apps), 0);
        for (int i = 0; i < APPS_MAX; i++) {
                (void) snprintf(slug, sizeof(slug), "a%d", i);
                (void) snprintf(text, sizeof(text), "{\"containers\":[\"web-%d\",\"all\"]}", i);
                assert_int_equal(apps_put(apps, app_of(slug, text)), 0);
        }
        more = app_of("more", "{}");
        assert_int_equal(apps_put(apps, more), -ENOSPC);
        app_free(more);
        for (int round = 0; round < 200; round++) {
                for (int i = 0; i < APPS_MAX; i++) {
                        (void) snprintf(name, sizeof(name), "web-%d", i);
                        (void) snprintf(slug, sizeof(slug), "a%d", i);
                        assert_string_equal(apps_slug_of(apps, &one), slug);
                }
        }
        (void) snprintf(name, sizeof(name), "all");
        assert_string_equal(apps_slug_of(apps, &one), "a0");
}

static void a_mistyped_member_has_a_suggestion(void **state) {
        static const struct {
                const char *name, *near;
        } cases[] = { { "vm_name", "vm_name" }, { "vmname", "vm_name" }, { "host", "hosts" },
                { "lables", "labels" }, { "container_", "container" }, { "colour", NULL },
                { "", NULL } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const char *near = app_member_suggest(cases[i].name);

                if (!cases[i].near)
                        assert_null(near);
                else
                        assert_string_equal(near, cases[i].near);
        }
}

static void rows_have_the_frozen_shape(void **state) {
        static const struct {
                const char *action, *kind;
        } words[] = { { "died", "died" }, { "OOMKilled", "oom_killed" }, { "io-error", "io_error" },
                { "probe_down", "probe_down" }, { "x", "x" }, { "ABC", "abc" } };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                _cleanup_(json_putp) struct json_object *row = NULL;
                struct event *event = NULL;

                assert_int_equal(event_new(&(struct event_fields){ .time_us = 1700000000000000,
                                                           .kind = EVENT_CONTAINER,
                                                           .name = "web",
                                                           .slug = "shop",
                                                           .workload = "id",
                                                           .action = words[i].action,
                                                           .message = "m" },
                                                 &event),
                                0);
                assert_int_equal(event_set_seq(event, 0x1a2b), 0);
                row = timeline_to_json(event);
                assert_string_equal(json_get_string(row, "kind"), words[i].kind);
                assert_string_equal(json_get_string(row, "event_id"), "evt-000000001a2b");
                assert_string_equal(json_get_string(row, "slug"), "shop");
                assert_string_equal(json_get_string(row, "at"), "2023-11-14T22:13:20Z");
                assert_string_equal(json_get_string(row, "severity"), "info");
                assert_string_equal(json_get_string(row, "message"), "m");
                assert_string_equal(json_get_string(row, "metadata/id"), "id");
                event_unref(event);
        }
}

static void a_posted_event_is_its_row(void **state) {
        _cleanup_(json_putp) struct json_object *body = object_of(
                        "{\"kind\":\"deploy_failed\",\"severity\":\"error\",\"message\":\"no\",\"metadata\":{\"seq\":5}}");
        _cleanup_(json_putp) struct json_object *row = NULL;
        struct event *event = NULL;
        struct diag diag = {};

        assert_int_equal(timeline_parse("shop", "key", body, 1700000000000000, &diag, &event), 0);
        assert_string_equal(event->origin, "post/shop/key");
        assert_int_equal(event_set_seq(event, 7), 0);
        row = timeline_to_json(event);
        assert_string_equal(json_text(json_get(row, "metadata")), "{\"seq\":5}");
        assert_int_equal(json_get_int(row, "seq", 0), 7);
        event_unref(event);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(slugs_have_bounds),
                cmocka_unit_test(a_binding_comes_back_as_it_was_written),
                cmocka_unit_test(a_text_with_a_nul_binds_nothing),
                cmocka_unit_test(hosts_have_bounds),
                cmocka_unit_test(a_workload_has_the_app_that_was_bound_before_the_one_of_its_label),
                cmocka_unit_test(an_empty_set_of_labels_matches_nothing),
                cmocka_unit_test(a_label_without_a_value_matches_nothing),
                cmocka_unit_test(several_apps_that_name_one_take_turns),
                cmocka_unit_test(what_is_configured_hides_what_was_bound),
                cmocka_unit_test(as_many_as_there_may_be_are_found_by_hash),
                cmocka_unit_test(a_mistyped_member_has_a_suggestion),
                cmocka_unit_test(rows_have_the_frozen_shape),
                cmocka_unit_test(a_posted_event_is_its_row),
        };

        return RUN_TESTS(tests);
}
