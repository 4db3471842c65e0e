/* The list: order, and entries that are in none. */

#include "base/list.h"
#include "test.h"

struct item {
        struct list list;
        int value;
};

static void expect(struct list *head, const int *values, size_t n) {
        struct item *item;
        size_t i = 0;

        list_for_each(item, head, list) {
                assert_true(i < n);
                assert_int_equal(item->value, values[i++]);
        }
        assert_int_equal(i, n);
        assert_int_equal(list_is_empty(head), n == 0);
        item = list_first(head, struct item, list);
        if (n == 0)
                assert_null(item);
        else
                assert_int_equal(item->value, values[0]);
        for (struct list *at = head->prev; at != head; at = at->prev)
                assert_int_equal(list_entry(at, struct item, list)->value, values[--n]);
        assert_int_equal(n, 0);
}

static void entries_stay_in_order_and_leave_from_anywhere(void **state) {
        struct item items[4] = { { .value = 0 }, { .value = 1 }, { .value = 2 }, { .value = 3 } };
        struct list head;

        list_init(&head);
        expect(&head, NULL, 0);
        for (size_t i = 0; i < ARRAY_SIZE(items); i++)
                list_append(&head, &items[i].list);
        expect(&head, (const int[]){ 0, 1, 2, 3 }, 4);
        list_remove(&items[2].list);
        expect(&head, (const int[]){ 0, 1, 3 }, 3);
        list_remove(&items[0].list);
        list_remove(&items[3].list);
        expect(&head, (const int[]){ 1 }, 1);
        list_remove(&items[1].list);
        expect(&head, NULL, 0);
}

static void an_entry_may_be_put_before_all_others(void **state) {
        struct item a = { .value = 1 }, b = { .value = 2 };
        struct list head;

        list_init(&head);
        list_prepend(&head, &a.list);
        expect(&head, (const int[]){ 1 }, 1);
        list_prepend(&head, &b.list);
        expect(&head, (const int[]){ 2, 1 }, 2);
}

static void an_entry_may_be_removed_twice(void **state) {
        struct item a = { .value = 1 }, b = { .value = 2 };
        struct list head;

        list_init(&head);
        list_append(&head, &a.list);
        list_append(&head, &b.list);
        list_remove(&a.list);
        list_remove(&a.list);
        expect(&head, (const int[]){ 2 }, 1);
        list_append(&head, &a.list);
        expect(&head, (const int[]){ 2, 1 }, 2);
}

static void a_splice_moves_all_to_the_end(void **state) {
        struct item items[4] = { { .value = 0 }, { .value = 1 }, { .value = 2 }, { .value = 3 } };
        struct list to, from;

        list_init(&to);
        list_init(&from);
        list_splice(&to, &from);
        expect(&to, NULL, 0);
        list_append(&from, &items[2].list);
        list_append(&from, &items[3].list);
        list_splice(&to, &from);
        expect(&to, (const int[]){ 2, 3 }, 2);
        expect(&from, NULL, 0);
        list_append(&from, &items[0].list);
        list_splice(&to, &from);
        expect(&to, (const int[]){ 2, 3, 0 }, 3);
        list_splice(&to, &from);
        expect(&to, (const int[]){ 2, 3, 0 }, 3);
}

static void a_safe_walk_may_free_where_it_stands(void **state) {
        struct item *item, *next;
        struct list head;
        int sum = 0;

        list_init(&head);
        for (int i = 1; i <= 4; i++) {
                item = calloc(1, sizeof(*item));
                assert_non_null(item);
                item->value = i;
                list_append(&head, &item->list);
        }
        list_for_each_safe(item, next, &head, list) {
                sum = 10 * sum + item->value;
                list_remove(&item->list);
                free(item);
        }
        assert_int_equal(sum, 1234);
        assert_true(list_is_empty(&head));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(entries_stay_in_order_and_leave_from_anywhere),
                cmocka_unit_test(an_entry_may_be_put_before_all_others),
                cmocka_unit_test(an_entry_may_be_removed_twice),
                cmocka_unit_test(a_splice_moves_all_to_the_end),
                cmocka_unit_test(a_safe_walk_may_free_where_it_stands),
        };

        return RUN_TESTS(tests);
}
