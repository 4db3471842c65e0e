/* Storage pools by source: what is told replaces what was. */

#include "engine/pools.h"
#include "test.h"

static void a_source_has_what_it_told_last_and_no_other_s(void **state) {
        const struct pool first[] = { { .name = "a", .capacity_bytes = 1 }, { .name = "b" } };
        const struct pool second[] = { { .name = "c", .state = 2 } };
        _cleanup_(pools_freep) struct pools *pools = NULL;
        const struct pool *found;
        size_t n = 7;

        assert_int_equal(pools_new(&pools), 0);
        assert_null(pools_get(pools, "one", &n));
        assert_int_equal(n, 0);
        assert_int_equal(pools_set(pools, "one", first, 2), 0);
        assert_int_equal(pools_set(pools, "two", second, 1), 0);
        found = pools_get(pools, "one", &n);
        assert_int_equal(n, 2);
        assert_string_equal(found[0].name, "a");
        assert_int_equal(found[0].capacity_bytes, 1);

        assert_int_equal(pools_set(pools, "one", second, 1), 0);
        found = pools_get(pools, "one", &n);
        assert_int_equal(n, 1);
        assert_string_equal(found[0].name, "c");
        assert_int_equal(pools_set(pools, "one", NULL, 0), 0);
        assert_null(pools_get(pools, "one", &n));
        assert_non_null(pools_get(pools, "two", &n));
        assert_int_equal(n, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_source_has_what_it_told_last_and_no_other_s),
        };

        return RUN_TESTS(tests);
}
