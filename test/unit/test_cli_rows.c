/* Workloads as rows, and their order. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/rows.h"
#include "test.h"

static const char *const five =
                "[{\"id\":\"1\",\"name\":\"web10\",\"state\":\"running\",\"sample\":"
                "{\"cpu_pct\":5,\"mem_pct\":70.5,\"disk_pct\":null}},"
                "{\"id\":\"2\",\"name\":\"web2\",\"state\":\"stopped\",\"sample\":null},"
                "{\"id\":\"3\",\"name\":\"db\",\"state\":\"failed\",\"sample\":"
                "{\"cpu_pct\":99.9,\"mem_pct\":1,\"disk_pct\":3}},"
                "{\"id\":\"5\",\"name\":\"cache\",\"state\":\"running\",\"sample\":"
                "{\"cpu_pct\":5.0,\"mem_pct\":80,\"disk_pct\":30}},"
                "{\"id\":\"4\",\"name\":\"cache\",\"state\":\"paused\",\"sample\":"
                "{\"cpu_pct\":0,\"mem_pct\":90,\"disk_pct\":0}}]";

static struct json_object *object_of(const char *text) {
        struct json_object *object = NULL;

        assert_int_equal(json_parse(text, strlen(text), &object), 0);
        return object;
}

static void expect_order(const char *json, enum rows_key key, const char *ids) {
        struct json_object *list = object_of(json), *sorted = NULL;
        char found[64] = "";

        assert_int_equal(rows_sorted(list, key, &sorted), 0);
        json_object_put(list);
        for (size_t i = 0; i < json_object_array_length(sorted); i++)
                (void) strncat(found, json_get_string(json_object_array_get_idx(sorted, i), "id"),
                                sizeof(found) - strlen(found) - 1);
        json_object_put(sorted);
        assert_string_equal(found, ids);
}

static void numbers_are_sorted_the_largest_first_and_the_unknown_last(void **state) {
        expect_order(five, ROWS_BY_CPU, "35142");
        expect_order(five, ROWS_BY_MEMORY, "45132");
        expect_order(five, ROWS_BY_DISK, "53421");
}

static void names_are_sorted_as_people_count(void **state) {
        expect_order(five, ROWS_BY_NAME, "45321");
}

static void states_are_sorted_by_what_asks_for_attention(void **state) {
        expect_order(five, ROWS_BY_STATE, "34512");
        expect_order("[{\"id\":\"1\",\"state\":\"new\"},{\"id\":\"2\",\"state\":\"stopped\"}]",
                        ROWS_BY_STATE, "21");
}

static void every_key_has_a_word_and_back(void **state) {
        for (int key = 0; key < ROWS_KEY_MAX_; key++)
                assert_int_equal(
                                rows_key_from_string(rows_key_to_string((enum rows_key) key)), key);
        assert_int_equal(rows_key_from_string("memory"), -EINVAL);
        assert_int_equal(rows_key_from_string(""), -EINVAL);
}

static void what_is_not_there_or_of_another_type_is_empty(void **state) {
        struct json_object *list = object_of(
                        "[7,null,[],{\"id\":1,\"name\":null,\"sample\":[],\"allocation\":"
                        "{\"vcpus\":\"2\",\"memory_mb\":true}},{\"sample\":{\"cpu_pct\":1e999}}]");
        struct row *rows;
        size_t n;

        assert_int_equal(rows_read(list, &rows, &n), 0);
        assert_int_equal(n, 2);
        assert_string_equal(rows[0].id, "");
        assert_string_equal(rows[0].name, "");
        assert_true(isnan(rows[0].percent[ROWS_CPU]));
        assert_true(isnan(rows[0].vcpus));
        assert_true(isnan(rows[0].memory_mb));
        for (int key = 0; key < ROWS_KEY_MAX_; key++)
                rows_sort(rows, n, (enum rows_key) key);
        rows_free(rows, n);
        json_object_put(list);

        list = object_of("{}");
        assert_int_equal(rows_read(list, &rows, &n), -EINVAL);
        assert_int_equal(rows_read(NULL, &rows, &n), -EINVAL);
        json_object_put(list);
}

static void a_percentage_is_short(void **state) {
        char text[ROWS_PERCENT_MAX];

        assert_string_equal(rows_percent(12.34, text), "12.3");
        assert_string_equal(rows_percent(100, text), "100.0");
        assert_string_equal(rows_percent((double) NAN, text), "-");
        assert_string_equal(rows_percent(1e300, text), "1e+300");
        assert_string_equal(rows_percent((double) -INFINITY, text), "-inf");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(numbers_are_sorted_the_largest_first_and_the_unknown_last),
                cmocka_unit_test(names_are_sorted_as_people_count),
                cmocka_unit_test(states_are_sorted_by_what_asks_for_attention),
                cmocka_unit_test(every_key_has_a_word_and_back),
                cmocka_unit_test(what_is_not_there_or_of_another_type_is_empty),
                cmocka_unit_test(a_percentage_is_short),
        };

        return RUN_TESTS(tests);
}
