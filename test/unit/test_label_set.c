/* Labels of a scrape: each text once, wherever it stands. */

#include <string.h>

#include "api/label_set.h"
#include "test.h"

static int add(struct label_set *set, const char *kind, const char *name, size_t *ret_at) {
        static const char *const names[] = { "kind", "name" };
        const char *const values[] = { kind, name };

        return label_set_add(set, &(struct metric_labels){ names, values, 2 }, ret_at);
}

static void each_text_is_there_once(void **state) {
        _cleanup_(label_set_freep) struct label_set *set = NULL;
        size_t a = 0, b = 0, c = 0;

        assert_int_equal(label_set_new(3, &set), 0);
        assert_int_equal(add(set, "vm", "a\"b", &a), 0);
        assert_int_equal(add(set, "vm", "a\"b", &b), -EEXIST);
        assert_int_equal(add(set, "vm", "a", &b), 0);
        assert_int_equal(add(set, "", "", &c), 0);
        assert_int_equal(add(set, "vm", "more than it takes", &c), -ENOSPC);
        assert_string_equal(label_set_text(set, a), "kind=\"vm\",name=\"a\\\"b\"");
        assert_string_equal(label_set_text(set, b), "kind=\"vm\",name=\"a\"");
        assert_string_equal(label_set_text(set, c), "kind=\"\",name=\"\"");
}

static void thousands_are_found_again(void **state) {
        _cleanup_(label_set_freep) struct label_set *set = NULL;
        size_t at[5000], again;
        char name[32], wanted[64];

        assert_int_equal(label_set_new(ARRAY_SIZE(at), &set), 0);
        for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
                (void) snprintf(name, sizeof(name), "guest-%zu", i);
                assert_int_equal(add(set, "vm", name, &at[i]), 0);
                if (i + 1 < ARRAY_SIZE(at))
                        assert_int_equal(add(set, "vm", name, &again), -EEXIST);
        }
        for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
                (void) snprintf(wanted, sizeof(wanted), "kind=\"vm\",name=\"guest-%zu\"", i);
                assert_string_equal(label_set_text(set, at[i]), wanted);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_text_is_there_once),
                cmocka_unit_test(thousands_are_found_again),
        };

        return RUN_TESTS(tests);
}
