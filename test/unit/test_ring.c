/* Rings at and past their edges; allocations as they change. */

#include <string.h>

#include "model/allocation.h"
#include "model/ring.h"
#include "test.h"

static struct sample sample(uint64_t at_us) {
        return (struct sample){ .at_us = at_us, .cpu_percent = (float) at_us };
}

static void a_ring_keeps_the_newest(void **state) {
        static const size_t sizes[] = { 1, 2, 30, RING_SLOTS_MAX };

        for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
                struct ring ring;
                size_t n = sizes[s];

                assert_int_equal(ring_init(&ring, n), 0);
                assert_null(ring_newest(&ring));
                for (uint64_t i = 1; i <= n + 1; i++) {
                        struct sample one = sample(i);

                        assert_int_equal(ring_append(&ring, &one), 0);
                        assert_int_equal(ring_size(&ring), i < n ? i : n);
                        assert_int_equal(ring_newest(&ring)->at_us, i);
                }
                for (size_t i = 0; i < n; i++)
                        assert_int_equal(ring_at(&ring, i)->at_us, i + 2);
                ring_done(&ring);
        }
}

static void another_size_keeps_the_newest(void **state) {
        static const struct {
                size_t from, to;
                uint64_t fill, oldest;
        } rows[] = { { 5, 3, 7, 5 }, { 3, 5, 7, 5 }, { 4, 4, 9, 6 }, { 5, 3, 2, 1 }, { 1, 9, 1, 1 },
                { 9, 1, 12, 12 } };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct ring ring;
                struct sample one;

                assert_int_equal(ring_init(&ring, rows[i].from), 0);
                for (uint64_t n = 1; n <= rows[i].fill; n++) {
                        one = sample(n);
                        assert_int_equal(ring_append(&ring, &one), 0);
                }
                assert_int_equal(ring_resize(&ring, RING_SLOTS_MAX + 1), -EINVAL);
                assert_int_equal(ring_resize(&ring, 0), -EINVAL);
                assert_int_equal(ring_resize(&ring, rows[i].to), 0);
                assert_int_equal(ring_at(&ring, 0)->at_us, rows[i].oldest);
                assert_int_equal(ring_newest(&ring)->at_us, rows[i].fill);
                one = sample(rows[i].fill + 1); /* and it goes on */
                assert_int_equal(ring_append(&ring, &one), 0);
                assert_int_equal(ring_newest(&ring)->at_us, rows[i].fill + 1);
                assert_true(ring_size(&ring) <= rows[i].to);
                ring_done(&ring);
        }
}

static void a_ring_has_bounds(void **state) {
        struct ring ring;

        assert_int_equal(ring_init(&ring, 0), -EINVAL);
        assert_int_equal(ring_init(&ring, RING_SLOTS_MAX + 1), -EINVAL);
}

static void a_ring_never_goes_back(void **state) {
        struct sample five = sample(5), four = sample(4);
        struct ring ring;

        assert_int_equal(ring_init(&ring, 3), 0);
        assert_int_equal(ring_append(&ring, &five), 0);
        assert_int_equal(ring_append(&ring, &five), -ESTALE);
        assert_int_equal(ring_append(&ring, &four), -ESTALE);
        assert_int_equal(ring_size(&ring), 1);
        ring_clear(&ring);
        assert_int_equal(ring_size(&ring), 0);
        assert_int_equal(ring_append(&ring, &four), 0);
        assert_int_equal(ring_newest(&ring)->at_us, 4);
        ring_done(&ring);
}

static struct stats *given(uint64_t cpus, uint64_t memory, const char *disk, uint64_t capacity) {
        struct stats *stats = stats_new(STATS_FROM_RUNTIME);

        assert_non_null(stats);
        stats->vcpus_current = cpus;
        stats->balloon.current = memory;
        stats->has_devices = disk;
        if (disk)
                stats_add_block(stats, disk)->capacity_bytes = capacity;
        return stats;
}

static void a_vms_allocation_follows_what_is_said(void **state) {
        static const struct {
                uint64_t cpus, memory;
                const char *disk;
                uint64_t capacity;
                int changed;
                double vcpus;
                uint64_t bytes;
                size_t n_disks;
        } steps[] = {
                { 2, 1024, "vda", 10, 1, 2, 1024, 1 }, { 2, 1024, "vda", 10, 0, 2, 1024, 1 },
                { 4, 1024, "vda", 10, 1, 4, 1024, 1 },                    /* hot-plug */
                { 4, 2048, "vda", 10, 1, 4, 2048, 1 },                    /* balloon */
                { 4, 2048, "vda", 20, 1, 4, 2048, 1 },                    /* resized */
                { 4, 2048, "vdb", 20, 1, 4, 2048, 1 },                    /* another disk */
                { STATS_UNKNOWN, STATS_UNKNOWN, NULL, 0, 0, 4, 2048, 1 }, /* nothing is said */
        };
        struct allocation allocation = {};

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                _cleanup_(stats_freep) struct stats *stats = given(
                                steps[i].cpus, steps[i].memory, steps[i].disk, steps[i].capacity);

                assert_int_equal(allocation_update(&allocation, stats, WORKLOAD_VM, 8, 1 << 20),
                                steps[i].changed);
                assert_true(allocation.known);
                assert_int_equal((int) allocation.vcpus, (int) steps[i].vcpus);
                assert_int_equal(allocation.memory_bytes, steps[i].bytes);
                assert_int_equal(allocation.n_disks, steps[i].n_disks);
        }
        assert_string_equal(allocation.disks[0].target, "vdb");
        assert_int_equal(allocation.disks[0].capacity_bytes, 20);
        allocation_done(&allocation);
}

static void a_container_without_limits_has_the_hosts(void **state) {
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_KERNEL);
        struct allocation allocation = {};

        assert_int_equal(allocation_update(&allocation, stats, WORKLOAD_CONTAINER, 8, 1000), 1);
        assert_false(allocation.cpu_limited || allocation.memory_limited);
        assert_int_equal((int) allocation.vcpus, 8);
        assert_int_equal(allocation.memory_bytes, 1000);
        stats->memory_limit_bytes = 1000; /* as much as there is: no limit */
        stats->cpus = 0.5;
        assert_int_equal(allocation_update(&allocation, stats, WORKLOAD_CONTAINER, 8, 1000), 1);
        assert_true(allocation.cpu_limited && !allocation.memory_limited);
        stats->memory_limit_bytes = 999;
        assert_int_equal(allocation_update(&allocation, stats, WORKLOAD_CONTAINER, 8, 1000), 1);
        assert_true(allocation.memory_limited);
        assert_int_equal(allocation.memory_bytes, 999);
        stats_add_block(stats, "8:0"); /* what it reads from is not what it was given */
        assert_int_equal(allocation_update(&allocation, stats, WORKLOAD_CONTAINER, 8, 1000), 0);
        allocation_done(&allocation);
}

static void readings_have_bounds(void **state) {
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_RUNTIME);
        char name[200];

        memset(name, 'x', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        for (unsigned int i = 0; i < STATS_DEVICES_MAX; i++) {
                assert_non_null(stats_add_net(stats, name));
                assert_non_null(stats_add_block(stats, name));
        }
        assert_null(stats_add_net(stats, "more"));
        assert_null(stats_add_block(stats, "more"));
        assert_int_equal(stats->devices_refused, 2);
        assert_int_equal(strlen(stats->nets[0].name), sizeof(stats->nets[0].name) - 1);
        for (unsigned int i = 0; i < STATS_VCPUS_MAX; i++)
                assert_non_null(stats_add_vcpu(stats, i));
        assert_null(stats_add_vcpu(stats, STATS_VCPUS_MAX));
        assert_int_equal(stats_find_vcpu(stats, 17)->number, 17);
        assert_null(stats_find_vcpu(stats, STATS_VCPUS_MAX));
        assert_int_equal(stats->blocks[1].read_bytes, STATS_UNKNOWN);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_ring_keeps_the_newest),
                cmocka_unit_test(another_size_keeps_the_newest),
                cmocka_unit_test(a_ring_has_bounds),
                cmocka_unit_test(a_ring_never_goes_back),
                cmocka_unit_test(a_vms_allocation_follows_what_is_said),
                cmocka_unit_test(a_container_without_limits_has_the_hosts),
                cmocka_unit_test(readings_have_bounds),
        };

        return RUN_TESTS(tests);
}
