/* The newest raw events are known again, the oldest is forgotten. */

#include "model/origin_set.h"
#include "test.h"

static void an_origin_is_new_once_for_each_source(void **state) {
        _cleanup_(origin_set_freep) struct origin_set *set = NULL;

        assert_int_equal(origin_set_new(10, &set), 0);
        assert_int_equal(origin_set_add(set, "docker", "1"), 1);
        assert_int_equal(origin_set_add(set, "docker", "1"), 0);
        assert_int_equal(origin_set_add(set, "podman", "1"), 1);
        assert_int_equal(origin_set_add(set, "docker", ""), 1);
        assert_int_equal(origin_set_add(set, "docke", "r1"), 1);
}

static void the_oldest_is_forgotten_at_the_limit_and_not_before(void **state) {
        static const size_t limits[] = { 1, 2, 100 };

        for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
                _cleanup_(origin_set_freep) struct origin_set *set = NULL;
                char origin[24];

                assert_int_equal(origin_set_new(limits[i], &set), 0);
                for (size_t n = 0; n < limits[i]; n++) {
                        (void) snprintf(origin, sizeof(origin), "%zu", n);
                        assert_int_equal(origin_set_add(set, "a", origin), 1);
                        assert_int_equal(origin_set_add(set, "a", "0"), 0);
                }
                assert_int_equal(origin_set_add(set, "a", "one more"), 1);
                assert_int_equal(origin_set_add(set, "a", "one more"), 0);
                if (limits[i] > 1)
                        assert_int_equal(origin_set_add(set, "a", "1"), 0);
                assert_int_equal(origin_set_add(set, "a", "0"), 1); /* it was forgotten */
        }
}

static void one_known_already_pushes_nothing_out(void **state) {
        _cleanup_(origin_set_freep) struct origin_set *set = NULL;

        assert_int_equal(origin_set_new(2, &set), 0);
        assert_int_equal(origin_set_add(set, "a", "1"), 1);
        assert_int_equal(origin_set_add(set, "a", "2"), 1);
        for (int i = 0; i < 10; i++)
                assert_int_equal(origin_set_add(set, "a", "2"), 0);
        assert_int_equal(origin_set_add(set, "a", "1"), 0);
}

static void a_busy_source_pushes_out_only_its_own(void **state) {
        _cleanup_(origin_set_freep) struct origin_set *set = NULL;
        char origin[24];

        assert_int_equal(origin_set_new(3, &set), 0);
        assert_int_equal(origin_set_add(set, "quiet", "1"), 1);
        for (int i = 0; i < 1000; i++) {
                (void) snprintf(origin, sizeof(origin), "%d", i);
                assert_int_equal(origin_set_add(set, "busy", origin), 1);
        }
        assert_int_equal(origin_set_add(set, "quiet", "1"), 0);
        assert_int_equal(origin_set_add(set, "busy", "997"), 0);
        assert_int_equal(origin_set_add(set, "busy", "996"), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_origin_is_new_once_for_each_source),
                cmocka_unit_test(the_oldest_is_forgotten_at_the_limit_and_not_before),
                cmocka_unit_test(one_known_already_pushes_nothing_out),
                cmocka_unit_test(a_busy_source_pushes_out_only_its_own),
        };

        return RUN_TESTS(tests);
}
