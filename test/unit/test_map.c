/* The map: keys of its own, values of others, order of arrival. */

#include <string.h>

#include "base/map.h"
#include "test.h"

static void a_key_is_put_once_and_found_until_removed(void **state) {
        _cleanup_(map_freep) struct map *map = NULL;
        char key[] = "key";
        int one, two;

        assert_int_equal(map_new(&map), 0);
        assert_null(map_get(map, "key"));
        assert_null(map_remove(map, "key"));
        assert_int_equal(map_put(map, key, &one), 0);
        key[0] = '?'; /* the map has a copy */
        assert_ptr_equal(map_get(map, "key"), &one);
        assert_int_equal(map_put(map, "key", &two), -EEXIST);
        assert_ptr_equal(map_get(map, "key"), &one);
        assert_int_equal(map_size(map), 1);
        assert_ptr_equal(map_remove(map, "key"), &one);
        assert_null(map_get(map, "key"));
        assert_int_equal(map_size(map), 0);
        assert_int_equal(map_put(map, "key", &two), 0);
        assert_ptr_equal(map_get(map, "key"), &two);
}

static void thousands_of_keys_are_told_apart(void **state) {
        _cleanup_(map_freep) struct map *map = NULL;
        static int values[5000];
        char key[16];

        assert_int_equal(map_new(&map), 0);
        for (int i = 0; i < 5000; i++) {
                (void) snprintf(key, sizeof(key), "%d", i);
                assert_int_equal(map_put(map, key, &values[i]), 0);
        }
        assert_int_equal(map_size(map), 5000);
        for (int i = 0; i < 5000; i += 2) {
                (void) snprintf(key, sizeof(key), "%d", i);
                assert_ptr_equal(map_remove(map, key), &values[i]);
        }
        for (int i = 0; i < 5000; i++) {
                (void) snprintf(key, sizeof(key), "%d", i);
                assert_ptr_equal(map_get(map, key), i % 2 ? &values[i] : NULL);
        }
        assert_int_equal(map_size(map), 2500);
}

/* Or a search for what is not there would go through every slot. */
static void a_table_whose_entries_come_and_go_keeps_empty_slots(void **state) {
        static const int sizes[] = { 1, 10, 21, 22, 1000, 1300, 1400 };
        char key[16];

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                _cleanup_(map_freep) struct map *map = NULL;
                int empty = 0, n = sizes[i];

                assert_int_equal(map_new(&map), 0);
                for (int j = 0; j < 100000; j++) {
                        (void) snprintf(key, sizeof(key), "%d", j - n);
                        if (j >= n)
                                assert_ptr_equal(map_remove(map, key), map);
                        (void) snprintf(key, sizeof(key), "%d", j);
                        assert_int_equal(map_put(map, key, map), 0);
                }
                for (int j = 0; j < map_table(map)->size; j++)
                        empty += map_table(map)->table[j].k == LH_EMPTY;
                assert_int_equal(map_size(map), n);
                assert_true(empty >= map_table(map)->size / 4);
                assert_true(map_table(map)->size <= 32 || map_table(map)->size <= 4 * n);
                for (int j = 100000 - n; j < 100000; j++) {
                        (void) snprintf(key, sizeof(key), "%d", j);
                        assert_ptr_equal(map_get(map, key), map);
                }
        }
}

static void a_walk_goes_in_order_and_may_remove_where_it_stands(void **state) {
        static char keys[][2] = { "c", "a", "d", "b" };
        _cleanup_(map_freep) struct map *map = NULL;
        char *value, seen[5] = "";
        size_t n = 0;

        assert_int_equal(map_new(&map), 0);
        map_for_each(value, map)
                fail_msg("nothing is in it");
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                assert_int_equal(map_put(map, keys[i], keys[i]), 0);
        map_for_each(value, map) {
                seen[n++] = value[0];
                if (value[0] != 'd')
                        (void) map_remove(map, value);
        }
        assert_string_equal(seen, "cadb");
        assert_int_equal(map_size(map), 1);
        assert_string_equal(map_get(map, "d"), "d");
}

static void freeing_nothing_is_harmless(void **state) {
        assert_null(map_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_key_is_put_once_and_found_until_removed),
                cmocka_unit_test(thousands_of_keys_are_told_apart),
                cmocka_unit_test(a_table_whose_entries_come_and_go_keeps_empty_slots),
                cmocka_unit_test(a_walk_goes_in_order_and_may_remove_where_it_stands),
                cmocka_unit_test(freeing_nothing_is_harmless),
        };

        return RUN_TESTS(tests);
}
