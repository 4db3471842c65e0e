/* What "virtwatch probe set" makes of its arguments. */

#include <string.h>

#include "cli/cli.h"
#include "test.h"

static void check(const char *before, int argc, const char *const *argv, const char *after) {
        _cleanup_(json_putp) struct json_object *config = NULL, *body = NULL;
        const char *bad = NULL;
        int r;

        if (before)
                assert_int_equal(json_parse(before, strlen(before), &config), 0);
        r = probe_overlay(config, argc, (char **) (uintptr_t) argv, &body, &bad);
        if (!after) {
                assert_int_equal(r, -EINVAL);
                assert_string_equal(bad, argv[argc - 1]);
                return;
        }
        assert_int_equal(r, 0);
        assert_string_equal(json_text(body), after);
        if (before)
                assert_string_equal(json_text(config), before); /* untouched */
}

static void values_are_numbers_flags_or_texts(void **state) {
        check(NULL, 5,
                        (const char *const[]){ "interval_s=30", "enabled=false", "path=/a=b",
                                        "url=", "timeout_s=1e308" },
                        "{\"interval_s\":30,\"enabled\":false,\"path\":\"/a=b\",\"url\":\"\",\"timeout_s\":1e308}");
        check(NULL, 3, (const char *const[]){ "a=null", "b=[1]", "c=\"x\"" },
                        "{\"a\":\"null\",\"b\":\"[1]\",\"c\":\"\\\"x\\\"\"}");
}

static void what_is_not_named_stays(void **state) {
        check("{\"path\":\"/a\",\"interval_s\":60}", 1, (const char *const[]){ "interval_s=5" },
                        "{\"path\":\"/a\",\"interval_s\":5}");
        check("{\"path\":\"/a\",\"interval_s\":60}", 0, NULL,
                        "{\"path\":\"/a\",\"interval_s\":60}");
}

static void a_url_brings_its_own_path(void **state) {
        check("{\"path\":\"/a\"}", 1, (const char *const[]){ "url=http://x/b" },
                        "{\"url\":\"http://x/b\"}");
        check("{\"path\":\"/a\"}", 2, (const char *const[]){ "url=http://x", "path=/c" },
                        "{\"path\":\"/c\",\"url\":\"http://x\"}");
}

static void what_is_no_pair_is_named(void **state) {
        check(NULL, 2, (const char *const[]){ "a=1", "b" }, NULL);
        check(NULL, 1, (const char *const[]){ "=1" }, NULL);
        check(NULL, 1, (const char *const[]){ "" }, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_are_numbers_flags_or_texts),
                cmocka_unit_test(what_is_not_named_stays),
                cmocka_unit_test(a_url_brings_its_own_path),
                cmocka_unit_test(what_is_no_pair_is_named),
        };

        return RUN_TESTS(tests);
}
