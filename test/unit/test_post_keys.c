/* The keys that came last are known, with what they made; the oldest is forgotten. */

#include "model/post_keys.h"
#include "test.h"

static void a_key_has_the_number_that_it_made_last(void **state) {
        _cleanup_(post_keys_freep) struct post_keys *keys = NULL;

        assert_int_equal(post_keys_new(10, &keys), 0);
        assert_int_equal(post_keys_get(keys, "a"), 0);
        assert_int_equal(post_keys_put(keys, "a", 7), 0);
        assert_int_equal(post_keys_put(keys, "b", UINT64_MAX), 0);
        assert_int_equal(post_keys_get(keys, "a"), 7);
        assert_int_equal(post_keys_put(keys, "a", 9), 0);
        assert_int_equal(post_keys_get(keys, "a"), 9);
        assert_int_equal(post_keys_get(keys, "b"), UINT64_MAX);
        assert_int_equal(post_keys_get(keys, ""), 0);
}

static void the_oldest_is_forgotten_at_the_limit_and_not_before(void **state) {
        static const size_t limits[] = { 1, 2, 100 };

        for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
                _cleanup_(post_keys_freep) struct post_keys *keys = NULL;
                char key[24];

                assert_int_equal(post_keys_new(limits[i], &keys), 0);
                for (size_t n = 0; n < limits[i]; n++) {
                        (void) snprintf(key, sizeof(key), "%zu", n);
                        assert_int_equal(post_keys_put(keys, key, n + 1), 0);
                        assert_int_equal(post_keys_get(keys, "0"), 1);
                }
                assert_int_equal(post_keys_put(keys, "one more", 5), 0);
                assert_int_equal(post_keys_get(keys, "0"), 0);
                assert_int_equal(post_keys_get(keys, "one more"), 5);
                if (limits[i] > 1)
                        assert_int_equal(post_keys_get(keys, "1"), 2);
        }
}

static void one_that_is_used_again_is_the_newest(void **state) {
        _cleanup_(post_keys_freep) struct post_keys *keys = NULL;

        assert_int_equal(post_keys_new(2, &keys), 0);
        assert_int_equal(post_keys_put(keys, "a", 1), 0);
        assert_int_equal(post_keys_put(keys, "b", 2), 0);
        assert_int_equal(post_keys_put(keys, "a", 3), 0);
        assert_int_equal(post_keys_put(keys, "c", 4), 0);
        assert_int_equal(post_keys_get(keys, "a"), 3);
        assert_int_equal(post_keys_get(keys, "b"), 0);
        assert_int_equal(post_keys_get(keys, "c"), 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_key_has_the_number_that_it_made_last),
                cmocka_unit_test(the_oldest_is_forgotten_at_the_limit_and_not_before),
                cmocka_unit_test(one_that_is_used_again_is_the_newest),
        };

        return RUN_TESTS(tests);
}
