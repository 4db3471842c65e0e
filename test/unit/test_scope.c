/* Scopes: each word is one bit, and only the administrator's carries the others. */

#include "model/scope.h"
#include "test.h"

static void words_go_both_ways(void **state) {
        static const char *const words[] = { "read", "events:write", "probes:write", "apps:write",
                "actions", "admin" };

        assert_int_equal(ARRAY_SIZE(words), SCOPE_COUNT);
        for (int i = 0; i < SCOPE_COUNT; i++) {
                assert_string_equal(scope_to_string((enum scope)(1 << i)), words[i]);
                assert_int_equal(scope_from_string(words[i]), 1 << i);
        }
        assert_int_equal(scope_from_string("Read"), -EINVAL);
        assert_int_equal(scope_from_string(""), -EINVAL);
}

static void a_scope_carries_itself_alone_and_admin_carries_all(void **state) {
        for (int i = 0; i < SCOPE_COUNT; i++) {
                for (int j = 0; j < SCOPE_COUNT; j++) {
                        bool expected = i == j || (1 << i) == SCOPE_ADMIN;

                        assert_int_equal(scope_allows(1U << i, (enum scope)(1 << j)), expected);
                }
                assert_false(scope_allows(0, (enum scope)(1 << i)));
                assert_true(scope_allows(SCOPE_ALL, (enum scope)(1 << i)));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(words_go_both_ways),
                cmocka_unit_test(a_scope_carries_itself_alone_and_admin_carries_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
