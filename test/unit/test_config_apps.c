/* Apps of the configuration: what is taken, and where what is wrong is. */

#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "daemon/config.h"
#include "folder.h"
#include "model/app.h"
#include "test.h"

struct fixture {
        struct folder *folder;
        struct config config;
        struct diag diag;
};

static int setup(void **state) {
        static char *none[] = { NULL };
        struct fixture *f = calloc(1, sizeof(*f));

        environ = none; /* what the tests run in is no part of them */
        assert_non_null(f);
        assert_int_equal(folder_setup((void **) &f->folder), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        config_done(&f->config);
        (void) folder_teardown((void **) &f->folder);
        free(f);
        return 0;
}

static int load(struct fixture *f, const char *yaml) {
        folder_write(f->folder, "main.yaml", yaml);
        config_done(&f->config);
        f->diag = (struct diag){};
        assert_int_equal(config_init(&f->config), 0);
        return config_load(&f->config, folder_path(f->folder, "main.yaml"), &f->diag);
}

static void is_app(struct fixture *f, size_t i, const char *expected) {
        _cleanup_(json_putp) struct json_object *object = NULL;

        assert_true(i < f->config.apps.n);
        assert_true(f->config.apps.items[i]->configured);
        object = app_to_json(f->config.apps.items[i]);
        assert_string_equal(json_text(object), expected);
}

static void a_mapping_binds_its_slugs(void **state) {
        struct fixture *f = *state;

        assert_int_equal(load(f,
                                         "apps:\n"
                                         "  shop:\n"
                                         "    vm_name: web-1\n"
                                         "    hosts: [shop.example, \"[::1]:80\"]\n"
                                         "  blog:\n"
                                         "    containers: [blog-1, 7]\n"
                                         "    labels: {tier: web, empty: \"\"}\n"
                                         "  idle:\n"),
                        0);
        assert_int_equal(f->config.apps.n, 3);
        is_app(f, 0,
                        "{\"slug\":\"shop\",\"vm_names\":[\"web-1\"],\"containers\":[],\"labels\":{},"
                        "\"hosts\":[\"shop.example\",\"[::1]:80\"]}");
        is_app(f, 1,
                        "{\"slug\":\"blog\",\"vm_names\":[],\"containers\":[\"blog-1\",\"7\"],"
                        "\"labels\":{\"tier\":\"web\",\"empty\":\"\"},\"hosts\":[]}");
        is_app(f, 2, "{\"slug\":\"idle\",\"vm_names\":[],\"containers\":[],\"labels\":{},\"hosts\":[]}");
}

static void a_list_binds_the_slug_of_each_item(void **state) {
        struct fixture *f = *state;

        assert_int_equal(load(f,
                                         "apps:\n"
                                         "  - slug: &name shop\n"
                                         "    vm_name: *name\n"
                                         "  - {vm_names: [b], slug: blog}\n"),
                        0);
        assert_int_equal(f->config.apps.n, 2);
        is_app(f, 0, "{\"slug\":\"shop\",\"vm_names\":[\"shop\"],\"containers\":[],\"labels\":{},\"hosts\":[]}");
        is_app(f, 1, "{\"slug\":\"blog\",\"vm_names\":[\"b\"],\"containers\":[],\"labels\":{},\"hosts\":[]}");
}

static void none_are_none(void **state) {
        static const char *const texts[] = { "apps:\n", "apps: {}\n", "apps: []\n", "node:\n" };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                assert_int_equal(load(f, texts[i]), 0);
                assert_int_equal(f->config.apps.n, 0);
        }
}

static void a_later_file_binds_a_slug_anew(void **state) {
        struct fixture *f = *state;

        (void) mkdir(folder_path(f->folder, "conf.d"), 0700);
        folder_write(f->folder, "conf.d/10.yaml",
                        "apps: {shop: {hosts: [b]}, blog: {vm_name: c}}\n");
        assert_int_equal(load(f, "apps:\n  shop: {vm_name: a}\n"), 0);
        assert_int_equal(f->config.apps.n, 2);
        is_app(f, 0, "{\"slug\":\"shop\",\"vm_names\":[],\"containers\":[],\"labels\":{},\"hosts\":[\"b\"]}");
        assert_string_equal(f->config.apps.items[1]->slug, "blog");
}

static void a_complaint_has_the_place_of_what_is_wrong(void **state) {
        static const struct {
                const char *yaml;
                unsigned int line, column;
                const char *says;
        } cases[] = {
                { "apps: 5\n", 1, 7, "apps is a section" },
                { "apps:\n  Shop: {}\n", 2, 3, "a slug has 1 to 63 of a-z" },
                { "apps:\n  -shop: {}\n", 2, 3, "a slug has" },
                { "apps:\n  shop: web-1\n", 2, 9, "apps.shop is a section" },
                { "apps:\n  shop: [a]\n", 2, 9, "apps.shop is a section" },
                { "apps:\n  shop: {}\n  shop: {}\n", 3, 3, "apps.shop is given twice" },
                { "apps:\n  shop: {}\napps:\n  blog: {}\n", 3, 1, "apps is given twice" },
                { "apps:\n  shop:\n    vm_nam: a\n", 3, 5,
                                "apps.shop.vm_nam: there is no such member; did you mean 'vm_name'?" },
                { "apps:\n  shop:\n    host: [a]\n", 3, 5, "did you mean 'hosts'?" },
                { "apps:\n  shop:\n    colour: red\n", 3, 5,
                                "there are vm_name, vm_names, container" },
                { "apps:\n  shop:\n    hosts: [a.example, 'b c']\n", 3, 24,
                                "apps.shop.hosts: wants host names" },
                { "apps:\n  shop:\n    hosts: [a, [b]]\n", 3, 16,
                                "apps.shop.hosts is a list of texts" },
                { "apps:\n  shop:\n    hosts: a.example\n", 3, 12,
                                "apps.shop.hosts: wants a list of names" },
                { "apps:\n  shop:\n    vm_name:\n", 3, 13, "apps.shop.vm_name: wants names" },
                { "apps:\n  shop:\n    vm_name: \"a\\tb\"\n", 3, 14, "without control characters" },
                { "apps:\n  shop:\n    vm_name: \"a\\0b\"\n", 3, 14, "has a NUL in it" },
                { "apps:\n  shop:\n    vm_names: [\"a\\0b\"]\n", 3, 16, "without NUL" },
                { "apps:\n  shop:\n    vm_name: {a: b}\n", 3, 15,
                                "apps.shop.vm_name: wants names" },
                { "apps:\n  shop:\n    vm_name: a\n    vm_name: b\n", 4, 5,
                                "apps.shop.vm_name is given twice" },
                { "apps:\n  shop:\n    labels: {tier: [a]}\n", 3, 20, "has texts without NUL" },
                { "apps:\n  shop:\n    labels: {tier: a, tier: b}\n", 3, 23,
                                "apps.shop.labels.tier is given twice" },
                { "apps:\n  shop:\n    labels: {\"\": b}\n", 3, 14, "wants names and values" },
                { "apps:\n  shop:\n    labels: [a]\n", 3, 14,
                                "wants an object of names and values" },
                { "apps:\n  shop:\n    [a]: b\n", 3, 5, "a key must be a text" },
                { "apps:\n  shop:\n    slug: blog\n", 3, 5, "slug: is another" },
                { "apps:\n  - vm_name: a\n", 2, 5, "has no slug" },
                { "apps:\n  - a\n", 2, 5, "a list of mappings with a slug" },
                { "apps:\n  - slug: a\n    slug: b\n", 3, 5, "slug is given twice" },
                { "apps:\n  - slug: a\n  - slug: a\n", 3, 11, "apps.a is given twice" },
                { "apps: &a [*a]\n", 1, 7, "a list of mappings" },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(load(f, cases[i].yaml), -EINVAL);
                if (!strstr(f->diag.text, cases[i].says))
                        fail_msg("%s\nsays %s", cases[i].yaml, f->diag.text);
                if (f->diag.line != cases[i].line || f->diag.column != cases[i].column)
                        fail_msg("%s\nis at %u:%u", cases[i].yaml, f->diag.line, f->diag.column);
                assert_non_null(strstr(f->diag.path, "main.yaml"));
        }
}

/* "apps: {shop: {hosts: [h0,h1,…]}}" with @n of them. */
static int load_hosts(struct fixture *f, int n) {
        char text[2048], *to = stpncpy(text, "apps: {shop: {hosts: [", sizeof(text));

        for (int i = 0; i < n; i++)
                to += snprintf(to, (size_t) (text + sizeof(text) - to), "h%d,", i);
        (void) snprintf(to, (size_t) (text + sizeof(text) - to), "]}}\n");
        return load(f, text);
}

static void there_are_bounds(void **state) {
        struct fixture *f = *state;
        char *text = NULL;
        size_t size = 0;
        FILE *file;

        assert_int_equal(load_hosts(f, APP_ITEMS_MAX), 0);
        assert_int_equal(load_hosts(f, APP_ITEMS_MAX + 1), -EINVAL);
        assert_non_null(strstr(f->diag.text, "apps.shop.hosts has more than 64 items"));
        assert_int_equal(f->diag.column, 22);

        for (int n = 5000; n <= 5001; n++) {
                file = open_memstream(&text, &size);
                assert_non_null(file);
                (void) fprintf(file, "apps:\n");
                for (int i = 0; i < n; i++)
                        (void) fprintf(file, "  a%d: {vm_name: v%d}\n", i, i);
                assert_int_equal(fclose(file), 0);
                assert_int_equal(load(f, text), n == 5000 ? 0 : -EINVAL);
                free(text);
                text = NULL;
        }
        assert_int_equal(f->diag.line, 5002);
        assert_non_null(strstr(f->diag.text, "apps has more than 5000 apps"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_mapping_binds_its_slugs),
                TEST(a_list_binds_the_slug_of_each_item),
                TEST(none_are_none),
                TEST(a_later_file_binds_a_slug_anew),
                TEST(a_complaint_has_the_place_of_what_is_wrong),
                TEST(there_are_bounds),
        };

        return RUN_TESTS(tests);
}
