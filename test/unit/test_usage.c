/* The formulas of what is used, row by row: what goes in, what must come out, and its word. */

#include <math.h>
#include <string.h>

#include "model/usage.h"
#include "test.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)
#define SEC UINT64_C(1000000000) /* nanoseconds */

static struct stats *reading(uint64_t mono_us, uint64_t cpu_ns, double cpus) {
        struct stats *stats = stats_new(STATS_FROM_RUNTIME);

        assert_non_null(stats);
        stats->mono_us = mono_us;
        stats->at_us = UINT64_C(1700000000) * USEC_PER_SEC;
        stats->cpu_ns = cpu_ns;
        stats->cpus = cpus;
        return stats;
}

static void assert_near(double value, double expected) {
        if (isnan(expected))
                assert_true(isnan(value));
        else
                assert_true(fabs(value - expected) < 1e-6);
}

static void cpu_is_time_used_of_time_given(void **state) {
        static const struct {
                uint64_t before_us, now_us, before_ns, now_ns;
                double before_cpus, cpus, shown, raw;
                bool reset;
        } rows[] = {
                { 0, 1000000, 0, SEC, 2, 2, 50, 50, false },
                { 0, 1000000, 0, 2 * SEC, 2, 2, 100, 100, false },
                { 0, 1000000, 5 * SEC, 5 * SEC, 1, 1, 0, 0, false },
                { 0, 2000000, 0, SEC, 0.5, 0.5, 100, 100, false },
                { 0, 1000000, 0, SEC + SEC / 4, 1, 1, 100, 125, false },  /* I/O threads too */
                { 0, 1000000, 0, SEC, 1, 2, 100, 100, false },            /* hot-plugged since */
                { 0, 1000000, 0, SEC, 2, 1, 100, 100, false },            /* unplugged */
                { 0, 1000000, SEC, 0, 1, 1, STATS_NAN, STATS_NAN, true }, /* backwards */
                { 1000000, 1000000, 0, SEC, 1, 1, STATS_NAN, STATS_NAN,
                                true }, /* no time has passed */
                { 2000000, 1000000, 0, SEC, 1, 1, STATS_NAN, STATS_NAN, true },
                { 0, 1000000, 0, SEC, 0, 0, STATS_NAN, STATS_NAN,
                                false }, /* of what is not known */
                { 0, 1000000, 0, UINT64_MAX / 2, 1, 1, STATS_NAN, STATS_NAN, true }, /* absurd */
                { 0, 1000000, STATS_UNKNOWN, SEC, 1, 1, STATS_NAN, STATS_NAN, false },
                { 0, 1000000, 0, STATS_UNKNOWN, 1, 1, STATS_NAN, STATS_NAN, false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(stats_freep) struct stats *before =
                                reading(rows[i].before_us, rows[i].before_ns, rows[i].before_cpus);
                _cleanup_(stats_freep) struct stats *now =
                                reading(rows[i].now_us, rows[i].now_ns, rows[i].cpus);
                struct usage usage;

                usage_compute(before, now, WORKLOAD_VM, 0, 0, &usage);
                assert_near(usage.cpu_percent, rows[i].shown);
                assert_near(usage.cpu_raw_percent, rows[i].raw);
                assert_int_equal(usage.reset, rows[i].reset);
                assert_int_equal(usage.cpu_source,
                                isnan(rows[i].shown) ? USAGE_UNKNOWN : USAGE_LIBVIRT);
        }
}

static void another_life_or_no_reading_before_says_nothing(void **state) {
        _cleanup_(stats_freep) struct stats *before = reading(0, 0, 1),
                                            *now = reading(1000000, SEC, 1);
        struct usage usage;

        usage_compute(NULL, now, WORKLOAD_VM, 0, 0, &usage);
        assert_true(isnan(usage.cpu_percent));
        assert_false(usage.reset);
        now->life = 7;
        usage_compute(before, now, WORKLOAD_VM, 0, 0, &usage);
        assert_true(isnan(usage.cpu_percent));
        assert_true(usage.reset);
}

static void steal_is_the_delay_of_its_cpus(void **state) {
        _cleanup_(stats_freep) struct stats *before = reading(0, 0, 2),
                                            *now = reading(1000000, SEC, 2);
        struct usage usage;

        stats_add_vcpu(before, 0)->delay_ns = 0;
        stats_add_vcpu(before, 1)->delay_ns = SEC;
        stats_add_vcpu(now, 0)->delay_ns = SEC / 2;
        stats_add_vcpu(now, 1)->delay_ns = SEC;
        stats_add_vcpu(now, 2)->delay_ns = 5 * SEC; /* new: nothing to compare with */
        usage_compute(before, now, WORKLOAD_VM, 0, 0, &usage);
        assert_near(usage.steal_percent, 25);
}

static void memory_of_a_guest_is_what_it_says_while_it_says_it(void **state) {
        static const struct {
                uint64_t available, usable, unused, rss, current;
                uint64_t age_s; /* of the guest's report */
                double percent;
                enum usage_source source;
        } rows[] = {
                { GIB, GIB / 4, GIB / 8, GIB, GIB, 0, 75, USAGE_GUEST },
                { GIB, GIB / 4, GIB / 8, GIB, GIB, 16, 75, USAGE_GUEST },
                { GIB, GIB / 4, GIB / 8, GIB / 2, GIB, 17, 50, USAGE_HOST_RSS }, /* too old */
                { GIB, GIB / 4, GIB / 8, GIB, GIB, (uint64_t) -16, 75, USAGE_GUEST },
                { GIB, GIB / 4, GIB / 8, GIB / 2, GIB, (uint64_t) -17, 50,
                                USAGE_HOST_RSS }, /* the clock was set back */
                { GIB, STATS_UNKNOWN, GIB / 2, GIB, GIB, 0, 50, USAGE_BALLOON },
                { GIB, 2 * GIB, GIB / 2, GIB, GIB, 0, 50, USAGE_BALLOON },      /* absurd usable */
                { GIB, 2 * GIB, 2 * GIB, GIB / 4, GIB, 0, 25, USAGE_HOST_RSS }, /* all absurd */
                { 0, 0, 0, GIB / 2, GIB, 0, 50, USAGE_HOST_RSS },
                { STATS_UNKNOWN, STATS_UNKNOWN, STATS_UNKNOWN, 2 * GIB, GIB, 0, 100,
                                USAGE_HOST_RSS },
                { STATS_UNKNOWN, STATS_UNKNOWN, STATS_UNKNOWN, 0, GIB, 0, STATS_NAN,
                                USAGE_UNKNOWN },
                { STATS_UNKNOWN, STATS_UNKNOWN, STATS_UNKNOWN, GIB, 0, 0, STATS_NAN,
                                USAGE_UNKNOWN },
                { STATS_UNKNOWN, STATS_UNKNOWN, STATS_UNKNOWN, GIB, STATS_UNKNOWN, 0, STATS_NAN,
                                USAGE_UNKNOWN },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(stats_freep) struct stats *now = reading(0, 0, 1);
                struct usage usage;

                now->balloon.available = rows[i].available;
                now->balloon.usable = rows[i].usable;
                now->balloon.unused = rows[i].unused;
                now->balloon.rss = rows[i].rss;
                now->balloon.current = rows[i].current;
                now->balloon.updated_s = now->at_us / USEC_PER_SEC - rows[i].age_s;
                usage_compute(NULL, now, WORKLOAD_VM, 5 * USEC_PER_SEC, 0, &usage);
                assert_near(usage.memory_percent, rows[i].percent);
                assert_int_equal(usage.memory_source, rows[i].source);
        }
}

static void a_guest_that_never_reported_is_not_believed(void **state) {
        _cleanup_(stats_freep) struct stats *now = reading(0, 0, 1);
        struct usage usage;

        now->balloon.available = GIB;
        now->balloon.usable = GIB;
        usage_compute(NULL, now, WORKLOAD_VM, 0, 0, &usage);
        assert_true(isnan(usage.memory_percent));
}

static void memory_of_a_group_is_its_working_set(void **state) {
        static const struct {
                uint64_t used, cache, limit, host;
                double percent;
        } rows[] = {
                { 64 * MIB, 32 * MIB, 128 * MIB, GIB, 25 },
                { 64 * MIB, STATS_UNKNOWN, 128 * MIB, GIB, 50 },
                { 64 * MIB, 65 * MIB, 128 * MIB, GIB, 0 }, /* read at two moments */
                { 256 * MIB, 0, STATS_UNKNOWN, GIB, 25 },  /* no limit: the host's */
                { 256 * MIB, 0, 4 * GIB, GIB, 25 },        /* a limit above what there is */
                { 256 * MIB, 0, 128 * MIB, GIB, 100 },
                { STATS_UNKNOWN, 0, 128 * MIB, GIB, STATS_NAN },
                { 64 * MIB, 0, STATS_UNKNOWN, 0, STATS_NAN },
                { 64 * MIB, 0, 0, GIB, STATS_NAN },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(stats_freep) struct stats *now = reading(0, 0, 1);
                struct usage usage;

                now->origin = STATS_FROM_KERNEL;
                now->memory_bytes = rows[i].used;
                now->memory_cache_bytes = rows[i].cache;
                now->memory_limit_bytes = rows[i].limit;
                usage_compute(NULL, now, WORKLOAD_CONTAINER, 0, rows[i].host, &usage);
                assert_near(usage.memory_percent, rows[i].percent);
                assert_int_equal(usage.memory_source,
                                isnan(rows[i].percent) ? USAGE_UNKNOWN : USAGE_CGROUP);
        }
}

static void add_disk(struct stats *stats, const char *path, uint64_t allocation, uint64_t capacity,
                uint64_t physical) {
        struct stats_block *block = stats_add_block(stats, "vda");

        assert_non_null(block);
        (void) snprintf(block->path, sizeof(block->path), "%s", path);
        block->allocation_bytes = allocation;
        block->capacity_bytes = capacity;
        block->physical_bytes = physical;
}

static void disk_is_what_the_images_take(void **state) {
        static const struct {
                const char *path;
                uint64_t allocation, capacity, physical;
                double percent;
                enum usage_source source;
        } rows[] = {
                { "/a.qcow2", 0, 4 * GIB, GIB, 25, USAGE_PHYSICAL },
                { "/a.qcow2", 0, GIB, GIB + MIB, 100, USAGE_PHYSICAL }, /* snapshots inside */
                { "/a.raw", 0, GIB, GIB, STATS_NAN, USAGE_UNKNOWN },    /* nobody can tell */
                { "/dev/vg/a", GIB, 8 * GIB, 4 * GIB, 25, USAGE_ALLOCATION },
                { "/dev/vg/a", 0, 4 * GIB, 4 * GIB, STATS_NAN, USAGE_UNKNOWN },
                { "/a.qcow2", 0, 0, GIB, STATS_NAN, USAGE_UNKNOWN },
                { "/a.qcow2", 0, STATS_UNKNOWN, GIB, STATS_NAN, USAGE_UNKNOWN },
                { "/a.qcow2", 0, GIB, STATS_UNKNOWN, STATS_NAN, USAGE_UNKNOWN },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(stats_freep) struct stats *now = reading(0, 0, 1);
                struct usage usage;

                add_disk(now, rows[i].path, rows[i].allocation, rows[i].capacity, rows[i].physical);
                usage_compute(NULL, now, WORKLOAD_VM, 0, 0, &usage);
                assert_near(usage.disk_percent, rows[i].percent);
                assert_int_equal(usage.disk_source, rows[i].source);
        }
}

static void disks_are_summed_and_the_guests_word_wins(void **state) {
        _cleanup_(stats_freep) struct stats *now = reading(0, 0, 1);
        struct usage usage;

        add_disk(now, "/a.qcow2", 0, 3 * GIB, GIB);
        add_disk(now, "/b.qcow2", 0, GIB, 0);
        usage_compute(NULL, now, WORKLOAD_VM, 0, 0, &usage);
        assert_near(usage.disk_percent, 25);
        now->fs_total_bytes = 10 * GIB;
        now->fs_used_bytes = GIB;
        usage_compute(NULL, now, WORKLOAD_VM, 0, 0, &usage);
        assert_near(usage.disk_percent, 10);
        assert_int_equal(usage.disk_source, USAGE_GUEST);
}

static void a_raw_image_is_what_its_file_takes(void **state) {
        _cleanup_(stats_freep) struct stats *now = reading(0, 0, 1);
        struct usage usage;

        add_disk(now, "/a.raw", 0, 3 * GIB, 3 * GIB);
        now->blocks[0].file_bytes = GIB;
        usage_compute(NULL, now, WORKLOAD_VM, 0, 0, &usage);
        assert_near(usage.disk_percent, 100.0 / 3);
        assert_int_equal(usage.disk_source, USAGE_BLOCKS);
        add_disk(now, "/b.raw", 0, GIB, GIB); /* nobody can tell: it is left out of both sums */
        add_disk(now, "/c.qcow2", 0, GIB, GIB / 2);
        usage_compute(NULL, now, WORKLOAD_VM, 0, 0, &usage);
        assert_near(usage.disk_percent, 37.5);
        assert_int_equal(usage.disk_source, USAGE_PHYSICAL);
        assert_true(isnan(usage.disk_fullest_percent));
}

static void add_fs(struct stats *stats, const char *mountpoint, const char *device,
                const char *type, uint64_t used, uint64_t total) {
        struct stats_fs *fs = stats_add_fs(stats, mountpoint);

        if (!fs)
                return;
        (void) snprintf(fs->device, sizeof(fs->device), "%s", device);
        (void) snprintf(fs->type, sizeof(fs->type), "%s", type);
        fs->used_bytes = used;
        fs->total_bytes = total;
}

static void file_systems_are_summed_each_device_once(void **state) {
        _cleanup_(stats_freep) struct stats *now = reading(0, 0, 1);
        struct usage usage;

        stats_sum_fs(now);
        assert_int_equal(now->fs_total_bytes, STATS_UNKNOWN);
        add_fs(now, "/media/cdrom", "sr0", "iso9660", GIB, GIB);
        add_fs(now, "/run", "", "tmpfs", GIB, GIB);
        add_fs(now, "/boot/efi", "vda1", "vfat", STATS_UNKNOWN, STATS_UNKNOWN);
        add_fs(now, "/odd", "vdz", "ext4", 2 * GIB, GIB);
        add_fs(now, "/vast", "vdy", "ext4", 1, UINT64_MAX - 1);
        stats_sum_fs(now);
        assert_int_equal(now->fs_total_bytes, STATS_UNKNOWN);

        add_fs(now, "/", "vda2", "ext4", GIB, 3 * GIB);
        add_fs(now, "/var/lib/docker", "vda2", "ext4", GIB, 3 * GIB); /* mounted twice */
        add_fs(now, "/srv", "vdb", "xfs", GIB / 2, GIB);
        stats_sum_fs(now);
        assert_int_equal(now->fs_used_bytes, GIB + GIB / 2);
        assert_int_equal(now->fs_total_bytes, 4 * GIB);
        usage_compute(NULL, now, WORKLOAD_VM, 0, 0, &usage);
        assert_near(usage.disk_percent, 37.5);
        assert_near(usage.disk_fullest_percent, 50);

        for (size_t i = now->n_fs; i < STATS_FS_MAX + 3; i++)
                add_fs(now, "/more", "", "ext4", 0, 1);
        assert_int_equal(now->n_fs, STATS_FS_MAX);
        assert_int_equal(now->devices_refused, 3);
}

static void a_domain_that_is_a_control_group_is_measured_as_one(void **state) {
        _cleanup_(stats_freep) struct stats *now = reading(0, 0, 1);
        struct usage usage;

        now->memory_bytes = GIB;
        now->memory_limit_bytes = 4 * GIB;
        usage_compute(NULL, now, WORKLOAD_VM, 0, 0, &usage);
        assert_near(usage.memory_percent, 25);
        assert_int_equal(usage.memory_source, USAGE_CGROUP);
}

static void rates_are_never_negative(void **state) {
        assert_near(stats_rate(0, 100, 2000000), 50);
        assert_near(stats_rate(5, 5, 1), 0);
        assert_true(isnan(stats_rate(6, 5, 1000000)));
        assert_true(isnan(stats_rate(0, 5, 0)));
        assert_true(isnan(stats_rate(STATS_UNKNOWN, 5, 1)));
        assert_true(isnan(stats_rate(5, STATS_UNKNOWN, 1)));
}

static void every_source_has_a_word(void **state) {
        for (int i = USAGE_UNKNOWN + 1; i < USAGE_SOURCE_MAX_; i++)
                assert_true(usage_source_to_string((enum usage_source) i)[0]);
        assert_string_equal(usage_source_to_string(USAGE_UNKNOWN), "");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(cpu_is_time_used_of_time_given),
                cmocka_unit_test(another_life_or_no_reading_before_says_nothing),
                cmocka_unit_test(steal_is_the_delay_of_its_cpus),
                cmocka_unit_test(memory_of_a_guest_is_what_it_says_while_it_says_it),
                cmocka_unit_test(a_guest_that_never_reported_is_not_believed),
                cmocka_unit_test(memory_of_a_group_is_its_working_set),
                cmocka_unit_test(disk_is_what_the_images_take),
                cmocka_unit_test(disks_are_summed_and_the_guests_word_wins),
                cmocka_unit_test(a_raw_image_is_what_its_file_takes),
                cmocka_unit_test(file_systems_are_summed_each_device_once),
                cmocka_unit_test(a_domain_that_is_a_control_group_is_measured_as_one),
                cmocka_unit_test(rates_are_never_negative),
                cmocka_unit_test(every_source_has_a_word),
        };

        return RUN_TESTS(tests);
}
