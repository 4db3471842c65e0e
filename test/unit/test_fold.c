/* Repeats: what passes, what is counted, and that the numbers add up. */

#include <string.h>

#include "model/fold.h"
#include "test.h"

#define INTERVAL_US 1000

static struct fact *fact_named(const char *name) {
        struct fact fact = FACT_INIT(FACT_ACTION), *copy = NULL;

        fact.action = name;
        assert_int_equal(fact_copy(&fact, &copy), 0);
        return copy;
}

/* Return: whether it passed. */
static bool offer(struct fold *fold, const char *key, unsigned int burst, uint64_t now_us,
                const char *name) {
        struct fact *fact = fact_named(name);
        bool passed = fold_pass(fold, key, burst, now_us, &fact);

        assert_true(passed == (fact != NULL));
        fact_free(fact);
        return passed;
}

static void the_first_passes_and_the_rest_becomes_one_summary(void **state) {
        struct fold_summary summary;
        struct fold *fold;

        assert_int_equal(fold_new(INTERVAL_US, 8, &fold), 0);
        assert_true(offer(fold, "a", 1, 100, "first"));
        for (unsigned int i = 0; i < 5000; i++)
                assert_false(offer(fold, "a", 1, 101, i == 4999 ? "last" : "middle"));
        assert_true(fold_due_us(fold) == 1100);
        assert_false(fold_next(fold, 1099, NULL, &summary));
        assert_true(fold_next(fold, 1100, NULL, &summary));
        assert_int_equal(summary.count, 5000);
        assert_int_equal(summary.since_us, 100);
        assert_string_equal(summary.fact->action, "last");
        fact_free(summary.fact);
        assert_false(fold_next(fold, 1100, NULL, &summary));
        fold_free(fold);
}

static void a_storm_that_goes_on_gives_one_summary_an_interval(void **state) {
        struct fold_summary summary;
        unsigned int passed = 0, told = 0;
        uint64_t counted = 0;
        struct fold *fold;

        assert_int_equal(fold_new(INTERVAL_US, 8, &fold), 0);
        for (uint64_t now_us = 0; now_us < 10 * INTERVAL_US; now_us++) {
                passed += offer(fold, "a", 1, now_us, "x");
                while (fold_next(fold, now_us, NULL, &summary)) {
                        told++;
                        counted += summary.count;
                        fact_free(summary.fact);
                }
        }
        while (fold_next(fold, 11 * INTERVAL_US, NULL, &summary)) {
                told++;
                counted += summary.count;
                fact_free(summary.fact);
        }
        assert_int_equal(passed, 1);
        assert_int_equal(told, 10);
        assert_int_equal(passed + counted, 10 * INTERVAL_US);
        fold_free(fold);
}

static void after_a_quiet_interval_the_next_passes_again(void **state) {
        struct fold_summary summary;
        struct fold *fold;

        assert_int_equal(fold_new(INTERVAL_US, 8, &fold), 0);
        assert_true(offer(fold, "a", 1, 0, "x"));
        assert_true(offer(fold, "a", 1, 1000, "x")); /* nobody asked fold_next() meanwhile */
        assert_false(offer(fold, "a", 1, 1500, "x"));
        assert_true(fold_next(fold, 2000, NULL, &summary));
        fact_free(summary.fact);
        assert_false(fold_next(fold, 3000, NULL, &summary));
        assert_true(fold_due_us(fold) == USEC_INFINITY);
        assert_true(offer(fold, "a", 1, 3001, "x"));
        fold_free(fold);
}

static void a_burst_passes_whole(void **state) {
        struct fold_summary summary;
        struct fold *fold;

        assert_int_equal(fold_new(INTERVAL_US, 8, &fold), 0);
        for (unsigned int i = 0; i < 5; i++)
                assert_true(offer(fold, "a", 5, i, "x"));
        assert_false(offer(fold, "a", 5, 5, "x"));
        assert_true(fold_next(fold, INTERVAL_US, NULL, &summary));
        assert_int_equal(summary.count, 1);
        fact_free(summary.fact);
        fold_free(fold);
}

static void keys_do_not_touch_each_other_and_a_prefix_ends_its_own(void **state) {
        struct fold_summary summary;
        struct fold *fold;

        assert_int_equal(fold_new(INTERVAL_US, 8, &fold), 0);
        assert_true(offer(fold, "vm1 a", 1, 0, "x"));
        assert_true(offer(fold, "vm1 b", 1, 0, "x"));
        assert_true(offer(fold, "vm2 a", 1, 0, "x"));
        assert_false(offer(fold, "vm2 a", 1, 1, "other"));
        assert_false(offer(fold, "vm1 b", 1, 1, "mine"));
        assert_true(fold_next(fold, 2, "vm1 ", &summary));
        assert_string_equal(summary.fact->action, "mine");
        assert_int_equal(summary.count, 1);
        fact_free(summary.fact);
        assert_false(fold_next(fold, 2, "vm1 ", &summary));
        assert_true(offer(fold, "vm1 b", 1, 3, "x")); /* forgotten, so the next is a first */
        assert_false(offer(fold, "vm2 a", 1, 3, "x"));
        fold_free(fold); /* with a fact held */
}

static void a_full_table_holds_nothing_new_and_counts_it(void **state) {
        struct fold *fold;

        assert_int_equal(fold_new(INTERVAL_US, 2, &fold), 0);
        assert_true(offer(fold, "a", 1, 0, "x"));
        assert_true(offer(fold, "b", 1, 0, "x"));
        for (unsigned int i = 0; i < 3; i++)
                assert_true(offer(fold, "c", 1, 1, "x"));
        assert_int_equal(fold_refused(fold), 3);
        assert_false(offer(fold, "a", 1, 1, "x"));
        fold_free(fold);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_passes_and_the_rest_becomes_one_summary),
                cmocka_unit_test(a_storm_that_goes_on_gives_one_summary_an_interval),
                cmocka_unit_test(after_a_quiet_interval_the_next_passes_again),
                cmocka_unit_test(a_burst_passes_whole),
                cmocka_unit_test(keys_do_not_touch_each_other_and_a_prefix_ends_its_own),
                cmocka_unit_test(a_full_table_holds_nothing_new_and_counts_it),
        };

        return RUN_TESTS(tests);
}
