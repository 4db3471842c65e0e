/* The node's slots: what came since the last one, or null. */

#include "engine/node.h"
#include "test.h"

#define T0 UINT64_C(1800000000000000)
#define S  UINT64_C(1000000)

static struct host *reading(uint64_t user_s, uint64_t idle_s) {
        struct host *host = host_new();

        assert_non_null(host);
        host->cpu_ns[HOST_USER] = user_s * 1000000000;
        host->cpu_ns[HOST_IDLE] = idle_s * 1000000000;
        host->memory_total_bytes = 100;
        host->memory_available_bytes = 60;
        return host;
}

static struct host_mounts *half_full(void) {
        struct host_mounts *mounts = host_mounts_new();

        assert_non_null(mounts);
        assert_int_equal(host_parse_mountinfo("1 0 8:1 / / rw - xfs x rw\n",
                                         &(struct host_patterns){
                                                         (const char *const[]){ "xfs" }, 1 },
                                         mounts),
                        0);
        mounts->items[0].total_bytes = 10;
        mounts->items[0].free_bytes = mounts->items[0].available_bytes = 5;
        return mounts;
}

static struct node *node_of(size_t slots) {
        struct node *node;

        assert_int_equal(node_new(S, slots, &node), 0);
        return node;
}

static const struct sample *newest(const struct node *node) {
        assert_non_null(ring_newest(&node->ring));
        return ring_newest(&node->ring);
}

#define ASSERT_IS(value, wanted) \
        assert_true((double) (value) > (wanted) -0.01 && (double) (value) < (wanted) + 0.01)

static void a_slot_says_what_came_since_the_last_one(void **state) {
        struct node *node = node_of(5);

        assert_false(node_is_read(node));
        node_take(node, reading(10, 100));
        node_take_mounts(node, half_full());
        node_slot(node, T0, 0);
        assert_true(isnan(newest(node)->cpu_percent)); /* nothing to be compared with */
        ASSERT_IS(newest(node)->memory_percent, 40);
        ASSERT_IS(newest(node)->disk_percent, 50);
        assert_true(node_is_read(node));

        node_take(node, reading(13, 101));
        node_slot(node, T0 + S, 0);
        ASSERT_IS(newest(node)->cpu_percent, 75);
        ASSERT_IS(newest(node)->memory_percent, 40);
        assert_true(isnan(newest(node)->disk_percent)); /* not repeated */
        assert_non_null(node_mounts(node));
        node_free(node);
}

static void a_slot_without_a_reading_is_null(void **state) {
        struct node *node = node_of(5);

        node_take(node, reading(10, 100));
        node_slot(node, T0, 0);
        node_take(node, reading(11, 101));
        node_slot(node, T0 + S, 0);
        node_slot(node, T0 + 2 * S, 0);
        assert_true(isnan(newest(node)->cpu_percent));
        assert_true(isnan(newest(node)->memory_percent));
        assert_true(isnan(node->usage.cpu_percent));
        ASSERT_IS(node->cpu_percent, 50); /* the last that was known, of the slot that said it */
        assert_int_equal(node->sampled_us, T0 + S);
        assert_int_equal(node->null_samples, 1);
        node_take(node, reading(14, 102));
        node_slot(node, T0 + 3 * S, 0);
        ASSERT_IS(newest(node)->cpu_percent, 75); /* over both slots */
        node_free(node);
}

static void old_numbers_are_called_old(void **state) {
        struct node *node = node_of(5);

        node_take(node, reading(10, 100));
        node_take_mounts(node, half_full());
        node_slot(node, T0, 0);
        for (unsigned int i = 1; i <= 3; i++) {
                assert_true(node_is_read(node));
                assert_non_null(node_mounts(node));
                node_slot(node, T0 + i * S, 0);
        }
        assert_false(node_is_read(node));
        assert_null(node_mounts(node));
        node_take(node, reading(11, 100));
        node_slot(node, T0 + 4 * S, 0);
        assert_true(node_is_read(node));
        assert_null(node_mounts(node));
        node_free(node);
}

static void two_readings_in_a_slot_are_compared_with_the_slot_before(void **state) {
        struct node *node = node_of(5);

        node_take(node, reading(10, 100));
        node_slot(node, T0, 0);
        node_take(node, reading(10, 101));
        node_take(node, reading(11, 101));
        node_slot(node, T0 + S, 0);
        ASSERT_IS(newest(node)->cpu_percent, 50);
        node_free(node);
}

static void slots_that_never_came_are_null(void **state) {
        struct node *node = node_of(5);

        node_take(node, reading(10, 100));
        node_slot(node, T0, 0);
        node_take(node, reading(20, 100));
        node_slot(node, T0 + 4 * S, 3);
        assert_int_equal(ring_size(&node->ring), 5);
        for (size_t i = 1; i < 4; i++) {
                assert_int_equal(ring_at(&node->ring, i)->at_us, T0 + i * S);
                assert_true(isnan(ring_at(&node->ring, i)->memory_percent));
        }
        ASSERT_IS(newest(node)->cpu_percent, 100);
        node_slot(node, T0 + 2000000 * S, 1999995); /* it slept for weeks */
        assert_int_equal(ring_size(&node->ring), 5);
        node_free(node);
}

static void a_clock_that_was_set_back_begins_anew(void **state) {
        struct node *node = node_of(5);

        node_slot(node, T0 + 100 * S, 0);
        node_take(node, reading(10, 100));
        node_slot(node, T0, 0);
        assert_int_equal(ring_size(&node->ring), 1);
        assert_int_equal(newest(node)->at_us, T0);
        node_free(node);
}

static void counters_that_fall_are_a_null_and_counted(void **state) {
        struct node *node = node_of(5);

        node_take(node, reading(100, 100));
        node_slot(node, T0, 0);
        node_take(node, reading(1, 101));
        node_slot(node, T0 + S, 0);
        assert_true(isnan(newest(node)->cpu_percent));
        assert_int_equal(node->resets, 1);
        node_take(node, reading(2, 102));
        node_slot(node, T0 + 2 * S, 0);
        ASSERT_IS(newest(node)->cpu_percent, 50);
        node_free(node);
}

static void other_slots_keep_the_newest_and_other_times_none(void **state) {
        struct node *node = node_of(5);

        for (uint64_t i = 0; i < 5; i++)
                node_slot(node, T0 + i * S, 0);
        assert_int_equal(node_configure(node, S, 2), 0);
        assert_int_equal(ring_size(&node->ring), 2);
        assert_int_equal(newest(node)->at_us, T0 + 4 * S);
        assert_int_equal(node_configure(node, S, 0), -EINVAL);
        assert_int_equal(ring_size(&node->ring), 2);
        assert_int_equal(node_configure(node, 2 * S, 7), 0);
        assert_null(ring_newest(&node->ring));
        node_slot(node, T0 + 6 * S, 0);
        assert_int_equal(newest(node)->at_us, T0 + 6 * S);
        node_free(node);
}

static void the_ring_has_bounds(void **state) {
        struct node *node = NULL;

        assert_int_equal(node_new(S, 0, &node), -EINVAL);
        assert_int_equal(node_new(S, RING_SLOTS_MAX + 1, &node), -EINVAL);
        assert_null(node);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_slot_says_what_came_since_the_last_one),
                cmocka_unit_test(a_slot_without_a_reading_is_null),
                cmocka_unit_test(old_numbers_are_called_old),
                cmocka_unit_test(two_readings_in_a_slot_are_compared_with_the_slot_before),
                cmocka_unit_test(slots_that_never_came_are_null),
                cmocka_unit_test(a_clock_that_was_set_back_begins_anew),
                cmocka_unit_test(counters_that_fall_are_a_null_and_counted),
                cmocka_unit_test(other_slots_keep_the_newest_and_other_times_none),
                cmocka_unit_test(the_ring_has_bounds),
        };

        return RUN_TESTS(tests);
}
