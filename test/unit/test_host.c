/* The host's files as numbers, and two readings as percentages. */

#include <string.h>

#include "base/text.h"
#include "model/host.h"
#include "test.h"

#define HUGE_NUMBER "18446744073709551615"

static struct host *stat_of(const char *text) {
        struct host *host = host_new();

        assert_non_null(host);
        assert_int_equal(host_parse_stat(text, host), 0);
        return host;
}

static struct host_usage compared(const char *before, const char *now) {
        struct host *a = before ? stat_of(before) : NULL, *b = stat_of(now);
        struct host_usage usage;

        host_compare(a, b, &usage);
        host_free(a);
        host_free(b);
        return usage;
}

static void assert_near(double value, double wanted) {
        assert_false(isnan(value));
        assert_true(value > wanted - 0.001 && value < wanted + 0.001);
}

/* ---- /proc/stat ---- */

static void cpu_time_is_read_by_mode_and_by_cpu(void **state) {
        struct host *host =
                        stat_of("cpu  100 20 30 400 50 6 7 8 9 10\n"
                                "cpu0 60 10 15 200 25 3 4 4 5 5\n"
                                "cpu3 40 10 15 200 25 3 3 4 4 5\n"
                                "intr 1 2 3\nctxt 5\nbtime 1795233967\nprocesses 9\n"
                                "procs_running 3\nprocs_blocked 1\n");
        const uint64_t wanted[] = { 100, 20, 30, 400, 50, 6, 7, 8, 9, 10 };

        for (size_t i = 0; i < HOST_MODE_MAX_; i++)
                assert_int_equal(host->cpu_ns[i], wanted[i] * 10000000);
        assert_int_equal(host->n_cpus, 2);
        assert_int_equal(host->cpus[1].number, 3);
        assert_int_equal(host->cpus[1].busy_ns, UINT64_C(75) * 10000000);
        assert_int_equal(host->cpus[1].idle_ns, UINT64_C(225) * 10000000);
        assert_int_equal(host->boot_s, 1795233967);
        assert_int_equal(host->tasks_running, 3);
        assert_int_equal(host->tasks_blocked, 1);
        host_free(host);
}

static void modes_an_old_kernel_does_not_have_are_not_told(void **state) {
        struct host *host = stat_of("cpu  1 2 3 4\ncpu0 1 2 3 4\n");

        assert_int_equal(host->cpu_ns[HOST_IDLE], 40000000);
        for (enum host_mode mode = HOST_IOWAIT; mode < HOST_MODE_MAX_; mode++)
                assert_int_equal(host->cpu_ns[mode], STATS_UNKNOWN);
        assert_int_equal(host->cpus[0].busy_ns, 60000000);
        host_free(host);
}

static void absurd_counters_are_not_told(void **state) {
        struct host *host = stat_of("cpu  " HUGE_NUMBER
                                    " -1 x 99999999999999999999999 5\n"
                                    "cpu0 " HUGE_NUMBER
                                    " 1 1 1\ncpu99999 1 1 1 1\ncpux 1 1 1 1\n"
                                    "cpu-1 1 1 1 1\nbtime many\n");

        for (enum host_mode mode = HOST_USER; mode <= HOST_IDLE; mode++)
                assert_int_equal(host->cpu_ns[mode], STATS_UNKNOWN);
        assert_int_equal(host->cpu_ns[HOST_IOWAIT], 50000000);
        assert_int_equal(host->n_cpus, 1);
        assert_int_equal(host->cpus[0].busy_ns, STATS_UNKNOWN);
        assert_int_equal(host->boot_s, STATS_UNKNOWN);
        host_free(host);
}

static void cpus_have_a_bound(void **state) {
        static char text[HOST_CPUS_MAX * 40];
        struct host *host;
        size_t used = 0;

        for (unsigned int i = 0; i < HOST_CPUS_MAX; i++)
                used += (size_t) snprintf(
                                text + used, sizeof(text) - used, "cpu%u 1 1 1 1\n", i % 100);
        (void) snprintf(text + used, sizeof(text) - used, "cpu1 1 1 1 1\ncpu2 1 1 1 1\n");
        host = stat_of(text);
        assert_int_equal(host->n_cpus, HOST_CPUS_MAX);
        assert_int_equal(host->refused, 2);
        host_free(host);
}

/* ---- comparison ---- */

static void use_is_what_was_not_idle(void **state) {
        struct host_usage usage = compared("cpu 100 0 100 1000 100 0 0 0 0 0\n",
                        "cpu 120 10 110 1050 105 1 2 2 15 0\n");

        /* 20 10 10 50 5 1 2 2 are 100 ticks, of which 55 idle; the guest's 15 are among user's */
        assert_near(usage.cpu_percent, 45);
        assert_near(usage.mode_percent[HOST_USER], 20);
        assert_near(usage.mode_percent[HOST_IOWAIT], 5);
        assert_near(usage.mode_percent[HOST_STEAL], 2);
        assert_near(usage.mode_percent[HOST_GUEST], 15);
        assert_false(usage.reset);
}

static void the_first_reading_has_nothing_to_be_compared_with(void **state) {
        struct host_usage usage = compared(NULL, "cpu 1 1 1 1 1 1 1 1 1 1\n");

        assert_true(isnan(usage.cpu_percent));
        assert_true(isnan(usage.mode_percent[HOST_USER]));
        assert_false(usage.reset);
}

static void no_time_between_is_no_percentage(void **state) {
        static const char text[] = "cpu 1 1 1 1 1 1 1 1 1 1\n";

        assert_true(isnan(compared(text, text).cpu_percent));
}

static void counters_that_fall_are_a_reset_and_never_negative(void **state) {
        struct host_usage usage = compared(
                        "cpu 500 0 0 1000 0 0 0 0 0 0\n", "cpu 100 0 0 2000 0 0 0 0 0 0\n");

        assert_true(isnan(usage.cpu_percent));
        assert_true(usage.reset);
        usage = compared("cpu 500 0 0 100000 0 0 0 0 0 0\n", "cpu 600 0 0 5 0 0 0 0 0 0\n");
        assert_true(isnan(usage.cpu_percent));
        assert_true(usage.reset);
}

static void idle_and_iowait_may_fall_a_little(void **state) {
        struct host_usage usage = compared(
                        "cpu 100 0 0 1000 50 0 0 0 0 0\n", "cpu 150 0 0 1050 45 0 0 0 0 0\n");
        struct host *before = stat_of("cpu 100 0 0 1000 50 0 0 0 0 0\n"),
                    *now = stat_of("cpu 90 0 0 1050 45 0 0 0 0 0\n");

        assert_near(usage.cpu_percent, 50);
        assert_near(usage.mode_percent[HOST_IOWAIT], 0);
        host_keep_rising(before, now);
        assert_int_equal(now->cpu_ns[HOST_IOWAIT], UINT64_C(50) * 10000000);
        assert_int_equal(now->cpu_ns[HOST_IDLE], UINT64_C(1050) * 10000000);
        assert_int_equal(now->cpu_ns[HOST_USER], UINT64_C(90) * 10000000); /* that is a reset */
        host_free(before);
        host_free(now);
}

static void one_cpu_is_compared_with_itself(void **state) {
        struct host *before = stat_of("cpu0 0 0 0 0\ncpu2 100 0 0 100\n"),
                    *now = stat_of("cpu1 50 0 0 50\ncpu2 175 0 0 125\n");

        assert_near(host_cpu_percent(before, now, 2), 75);
        assert_true(isnan(host_cpu_percent(before, now, 1))); /* was plugged in between */
        assert_true(isnan(host_cpu_percent(before, now, 0))); /* is gone */
        assert_true(isnan(host_cpu_percent(now, before, 2)));
        assert_true(isnan(host_cpu_percent(NULL, now, 2)));
        host_free(before);
        host_free(now);
}

/* ---- memory ---- */

static struct host_usage memory_of(const char *text) {
        struct host *host = host_new();
        struct host_usage usage;

        assert_non_null(host);
        host_parse_meminfo(text, host);
        host_compare(NULL, host, &usage);
        host_free(host);
        return usage;
}

static void memory_in_use_is_what_is_not_available(void **state) {
        struct host *host = host_new();

        host_parse_meminfo(
                        "MemTotal:       1000 kB\nMemFree:         100 kB\n"
                        "MemAvailable:    750 kB\nBuffers:  1 kB\nCached:  2 kB\n"
                        "SwapCached:  77 kB\nSwapTotal:  400 kB\nSwapFree:  100 kB\n",
                        host);
        assert_int_equal(host->memory_total_bytes, 1000 * 1024);
        assert_int_equal(host->memory_available_bytes, 750 * 1024);
        assert_int_equal(host->cached_bytes, 2 * 1024);
        assert_int_equal(host->swap_free_bytes, 100 * 1024);
        host_free(host);
        assert_near(memory_of("MemTotal: 1000 kB\nMemAvailable: 750 kB\n").memory_percent, 25);
        assert_near(memory_of("SwapTotal: 400 kB\nSwapFree: 100 kB\n").swap_percent, 75);
}

static void memory_that_cannot_be_is_not_known(void **state) {
        assert_true(isnan(memory_of("MemTotal: 1000 kB\n").memory_percent));
        assert_true(isnan(memory_of("MemTotal: 10 kB\nMemAvailable: 11 kB\n").memory_percent));
        assert_true(isnan(memory_of("MemTotal: 0 kB\nMemAvailable: 0 kB\n").memory_percent));
        assert_true(isnan(memory_of("MemTotal: " HUGE_NUMBER " kB\nMemAvailable: 1 kB\n")
                                          .memory_percent));
        assert_true(isnan(memory_of("SwapTotal: 0 kB\nSwapFree: 0 kB\n").swap_percent));
        assert_true(isnan(memory_of("").memory_percent));
}

/* ---- load, uptime, pressure, vmstat ---- */

static void load_and_uptime_are_decimals(void **state) {
        struct host *host = host_new();

        host_parse_loadavg("0.52 12.05 1 1/234 5678\n", host);
        host_parse_uptime("15015.03 26.9\n", host);
        assert_near(host->load1, 0.52);
        assert_near(host->load5, 12.05);
        assert_near(host->load15, 1);
        assert_near(host->uptime_s, 15015.03);
        host_parse_loadavg("nan -1 1e5", host);
        assert_true(isnan(host->load1) && isnan(host->load5));
        assert_near(host->load15, 1);
        host_parse_uptime("", host);
        assert_true(isnan(host->uptime_s));
        host_free(host);
}

static void pressure_is_read_by_scope(void **state) {
        struct host *host = host_new();

        host_parse_pressure(
                        "some avg10=1.50 avg60=0.25 avg300=0.00 total=878573213\n"
                        "full avg10=0.10 avg60=0.00 avg300=0.00 total=12 later=9\n",
                        HOST_IO, host);
        assert_true(host->has_pressure);
        assert_near(host->pressure[HOST_IO].some.avg10_percent, 1.5);
        assert_near(host->pressure[HOST_IO].some.avg60_percent, 0.25);
        assert_int_equal(host->pressure[HOST_IO].some.total_us, 878573213);
        assert_near(host->pressure[HOST_IO].full.avg10_percent, 0.1);
        assert_int_equal(host->pressure[HOST_IO].full.total_us, 12);
        assert_int_equal(host->pressure[HOST_CPU].some.total_us, STATS_UNKNOWN);
        host_free(host);
}

static void pressure_that_is_not_told_is_not_made_up(void **state) {
        struct host *host = host_new();

        host_parse_pressure("", HOST_CPU, host);
        host_parse_pressure("some\nfull avg10 =\nsome avg10= total=-5\n", HOST_CPU, host);
        assert_false(host->has_pressure);
        assert_true(isnan(host->pressure[HOST_CPU].some.avg10_percent));
        assert_int_equal(host->pressure[HOST_CPU].some.total_us, STATS_UNKNOWN);
        host_free(host);
}

static void oom_kills_are_those_of_the_whole_host(void **state) {
        struct host *host = host_new();

        host_parse_vmstat("nr_free_pages 12\noom_kill 81\nnuma_hit 3\n", host);
        assert_int_equal(host->oom_kills, 81);
        host_free(host);
}

/* ---- devices ---- */

static const struct host_patterns none = {};

static void network_devices_are_read_without_those_ignored(void **state) {
        static const char *const items[] = { "lo", "veth*" };
        const struct host_patterns ignore = { items, ARRAY_SIZE(items) };
        struct host *host = host_new();

        assert_int_equal(
                        host_parse_net_dev(
                                        "Inter-|   Receive    |  Transmit\n"
                                        " face |bytes    packets errs\n"
                                        "    lo: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n"
                                        "  eth0:198519240 4053 1 2 0 0 0 0 178855 2155 3 4 0 0 0 0\n"
                                        "veth12: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n"
                                        "short: 1 2 3\n",
                                        &ignore, host),
                        0);
        assert_int_equal(host->n_nets, 1);
        assert_string_equal(host->nets[0].name, "eth0");
        assert_int_equal(host->nets[0].rx_bytes, 198519240);
        assert_int_equal(host->nets[0].rx_errors, 1);
        assert_int_equal(host->nets[0].tx_bytes, 178855);
        assert_int_equal(host->nets[0].tx_drops, 4);
        assert_non_null(host_find_net(host, "eth0"));
        assert_null(host_find_net(host, "lo"));
        host_free(host);
}

static void names_from_outside_are_harmless_and_unlike(void **state) {
        struct host *host = host_new();

        assert_int_equal(host_parse_net_dev("a\x1b[2J: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n"
                                            "a\xff: 2 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n"
                                            "a\xfe: 3 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n",
                                         &none, host),
                        0);
        assert_int_equal(host->n_nets, 2); /* the third would be the second's series again */
        assert_string_equal(host->nets[0].name, "a?[2J");
        assert_string_equal(host->nets[1].name, "a?");
        assert_int_equal(host->nets[1].rx_bytes, 2);
        host_free(host);
}

static void devices_have_a_bound(void **state) {
        static char text[(HOST_DEVICES_MAX + 3) * 64];
        struct host *host = host_new();
        size_t used = 0;

        for (unsigned int i = 0; i < HOST_DEVICES_MAX + 3; i++)
                used += (size_t) snprintf(text + used, sizeof(text) - used,
                                "e%u: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n", i);
        assert_int_equal(host_parse_net_dev(text, &none, host), 0);
        assert_int_equal(host->n_nets, HOST_DEVICES_MAX);
        assert_int_equal(host->refused, 3);
        host_free(host);
}

static void disks_are_bytes_and_seconds(void **state) {
        static const char *const items[] = { "loop*", "vd*[0-9]" };
        const struct host_patterns ignore = { items, ARRAY_SIZE(items) };
        struct host *host = host_new();

        assert_int_equal(
                        host_parse_diskstats(
                                        "   7       0 loop0 1 0 1 1 1 0 1 1 0 1 1\n"
                                        " 254       0 vda 249230 26979 20707498 290170 1262511 265399 25652288 204294 0 119988 544641 164309 83\n"
                                        " 254       1 vda1 1 0 1 1 1 0 1 1 0 1 1\n"
                                        " 254       2 vdb 1 2\nnot a line\n",
                                        &ignore, host),
                        0);
        assert_int_equal(host->n_disks, 1);
        assert_string_equal(host->disks[0].name, "vda");
        assert_int_equal(host->disks[0].reads, 249230);
        assert_int_equal(host->disks[0].read_bytes, UINT64_C(20707498) * 512);
        assert_int_equal(host->disks[0].read_ns, UINT64_C(290170) * 1000000);
        assert_int_equal(host->disks[0].written_bytes, UINT64_C(25652288) * 512);
        assert_int_equal(host->disks[0].busy_ns, UINT64_C(119988) * 1000000);
        host_free(host);
}

/* ---- mounts ---- */

static struct host_mounts *mounts_of(const char *text) {
        static const char *const items[] = { "ext[234]", "xfs" };
        const struct host_patterns types = { items, ARRAY_SIZE(items) };
        struct host_mounts *mounts = host_mounts_new();

        assert_non_null(mounts);
        assert_int_equal(host_parse_mountinfo(text, &types, mounts), 0);
        return mounts;
}

static void only_file_systems_of_the_given_types_are_taken(void **state) {
        struct host_mounts *mounts = mounts_of(
                        "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
                        "27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw\n"
                        "30 27 0:40 / /mnt/dead rw - nfs4 server:/x rw\n"
                        "31 27 8:1 / /srv ro,nodev - xfs /dev/sda1 rw\n"
                        "rubbish\n1 2\n33 27 8:2 / relative rw - ext4 /dev/sda2 rw\n"
                        "34 27 8:3 / /x rw ext4 /dev/sda3 rw\n");

        assert_int_equal(mounts->n, 2);
        assert_string_equal(mounts->items[0].device, "254:0");
        assert_string_equal(mounts->items[0].source, "/dev/vda");
        assert_string_equal(mounts->items[0].point, "/");
        assert_string_equal(mounts->items[0].type, "ext4");
        assert_false(mounts->items[0].read_only);
        assert_string_equal(mounts->items[1].path, "/srv");
        assert_true(mounts->items[1].read_only);
        host_mounts_free(mounts);
}

static void a_file_system_is_taken_once_at_its_root(void **state) {
        struct host_mounts *mounts =
                        mounts_of("27 1 254:0 / / rw - ext4 /dev/vda rw\n"
                                  "28 27 254:0 /a/b /bind rw - ext4 /dev/vda rw\n"
                                  "29 27 8:1 /sub /first rw - xfs /dev/sda1 rw\n"
                                  "30 27 8:1 / /whole rw - xfs /dev/sda1 rw\n");

        assert_int_equal(mounts->n, 2);
        assert_string_equal(mounts->items[0].point, "/");
        assert_string_equal(mounts->items[1].point, "/whole");
        host_mounts_free(mounts);
}

static void what_another_mount_lies_over_is_left_out(void **state) {
        struct host_mounts *mounts =
                        mounts_of("22 29 0:21 / /sys rw - sysfs sysfs rw\n"
                                  "25 29 8:5 / /usr rw - ext4 /dev/sda5 rw\n"
                                  "29 1 254:0 / / rw - ext4 /dev/vda rw\n"
                                  "30 29 8:1 / /mnt rw - xfs /dev/sda1 rw\n"
                                  "31 30 0:40 / /mnt rw - nfs4 server:/x rw\n" /* on top of it */
                                  "32 29 8:2 / /srv/deep rw - xfs /dev/sdb1 rw\n"
                                  "33 29 0:41 / /srv rw - nfs4 server:/y rw\n" /* over the way */
                                  "34 29 8:3 / /srvice rw - xfs /dev/sdc1 rw\n");

        assert_int_equal(mounts->n, 3);
        assert_string_equal(mounts->items[0].point, "/usr");
        assert_string_equal(mounts->items[1].point, "/");
        assert_string_equal(mounts->items[2].point, "/srvice");
        host_mounts_free(mounts);
}

static void a_mount_point_may_have_any_bytes(void **state) {
        struct host_mounts *mounts =
                        mounts_of("30 29 8:1 / /a\\040b\\011c\\134d\\012 rw - xfs /dev/x\\040y rw\n"
                                  "31 29 8:2 / /\\377\\0 rw - xfs /dev/sdb rw\n");

        assert_int_equal(mounts->n, 2);
        assert_string_equal(mounts->items[0].path, "/a b\tc\\d\n");
        assert_string_equal(mounts->items[0].point, "/a b?c\\d?");
        assert_string_equal(mounts->items[0].source, "/dev/x y");
        assert_string_equal(mounts->items[1].path, "/\377\\0");
        assert_string_equal(mounts->items[1].point, "/?\\0");
        host_mounts_free(mounts);
}

static void mount_points_that_look_the_same_are_one(void **state) {
        struct host_mounts *mounts =
                        mounts_of("30 29 8:1 / /\\376 rw - xfs /dev/x rw\n"
                                  "31 29 8:2 / /\\377 rw - xfs /dev/y rw\n");

        assert_int_equal(mounts->n, 1);
        assert_int_equal(mounts->refused, 1);
        host_mounts_free(mounts);
}

static void fullness_is_what_df_says(void **state) {
        struct host_mounts *mounts =
                        mounts_of("30 29 8:1 / /a rw - xfs /dev/x rw\n"
                                  "31 29 8:2 / /b rw - xfs /dev/y rw\n");
        struct host_mount *a = &mounts->items[0], *b = &mounts->items[1];

        assert_true(isnan(host_mount_percent(a)));
        assert_true(isnan(host_mounts_percent(mounts)));
        a->total_bytes = 1000;
        a->free_bytes = 400;
        a->available_bytes = 200; /* 200 are kept for root */
        assert_near(host_mount_percent(a), 75);
        assert_near(host_mounts_percent(mounts), 75); /* the other does not answer */
        b->total_bytes = b->available_bytes = b->free_bytes = 800;
        assert_near(host_mounts_percent(mounts), 37.5);
        b->free_bytes = 801; /* cannot be */
        assert_true(isnan(host_mount_percent(b)));
        b->total_bytes = b->free_bytes = b->available_bytes = 0;
        assert_true(isnan(host_mount_percent(b)));
        host_mounts_free(mounts);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(cpu_time_is_read_by_mode_and_by_cpu),
                cmocka_unit_test(modes_an_old_kernel_does_not_have_are_not_told),
                cmocka_unit_test(absurd_counters_are_not_told),
                cmocka_unit_test(cpus_have_a_bound),
                cmocka_unit_test(use_is_what_was_not_idle),
                cmocka_unit_test(the_first_reading_has_nothing_to_be_compared_with),
                cmocka_unit_test(no_time_between_is_no_percentage),
                cmocka_unit_test(counters_that_fall_are_a_reset_and_never_negative),
                cmocka_unit_test(idle_and_iowait_may_fall_a_little),
                cmocka_unit_test(one_cpu_is_compared_with_itself),
                cmocka_unit_test(memory_in_use_is_what_is_not_available),
                cmocka_unit_test(memory_that_cannot_be_is_not_known),
                cmocka_unit_test(load_and_uptime_are_decimals),
                cmocka_unit_test(pressure_is_read_by_scope),
                cmocka_unit_test(pressure_that_is_not_told_is_not_made_up),
                cmocka_unit_test(oom_kills_are_those_of_the_whole_host),
                cmocka_unit_test(network_devices_are_read_without_those_ignored),
                cmocka_unit_test(names_from_outside_are_harmless_and_unlike),
                cmocka_unit_test(devices_have_a_bound),
                cmocka_unit_test(disks_are_bytes_and_seconds),
                cmocka_unit_test(only_file_systems_of_the_given_types_are_taken),
                cmocka_unit_test(a_file_system_is_taken_once_at_its_root),
                cmocka_unit_test(what_another_mount_lies_over_is_left_out),
                cmocka_unit_test(a_mount_point_may_have_any_bytes),
                cmocka_unit_test(mount_points_that_look_the_same_are_one),
                cmocka_unit_test(fullness_is_what_df_says),
        };

        return RUN_TESTS(tests);
}
