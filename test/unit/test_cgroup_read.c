/* Control group and /proc files: as kernels write them, cut, absurd, and gone. */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "source/cgroup_read.h"
#include "source/proc.h"
#include "test.h"

struct tree {
        char root[64];
};

static void tree_new(struct tree *tree) {
        (void) snprintf(tree->root, sizeof(tree->root), "/tmp/vw-cgroup-XXXXXX");
        assert_non_null(mkdtemp(tree->root));
}

static void tree_free(struct tree *tree) {
        char command[128];

        (void) snprintf(command, sizeof(command), "rm -rf %s", tree->root);
        assert_int_equal(system(command), 0);
}

static void put(const struct tree *tree, const char *name, const char *text) {
        char path[512];
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/%s", tree->root, name);
        *strrchr(path, '/') = '\0';
        assert_int_equal(fs_make_dirs(path, 0755), 0);
        path[strlen(path)] = '/';
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void a_v2_group_is_read(void **state) {
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_KERNEL);
        struct tree tree;

        tree_new(&tree);
        put(&tree, "cgroup.controllers", "cpu io memory pids\n");
        put(&tree, "a.slice/x/cpu.stat",
                        "usage_usec 5000001\nuser_usec 3000000\nsystem_usec 2000001\n"
                        "nr_periods 7\nnr_throttled 3\nthrottled_usec 90\n");
        put(&tree, "a.slice/x/cpu.max", "50000 100000\n");
        put(&tree, "a.slice/x/memory.current", "4096\n");
        put(&tree, "a.slice/x/memory.max", "max\n");
        put(&tree, "a.slice/x/memory.low", "2048\n");
        put(&tree, "a.slice/x/cpu.weight", "250\n");
        put(&tree, "a.slice/x/memory.stat", "anon 1000\nfile 3000\ninactive_file 2000\n");
        put(&tree, "a.slice/x/memory.events",
                        "low 0\nhigh 5\nmax 6\noom 1\noom_kill 2\noom_group_kill 0\n");
        put(&tree, "a.slice/x/pids.current", "12\n");
        put(&tree, "a.slice/x/io.stat",
                        "8:0 rbytes=10 wbytes=20 rios=3 wios=4 dbytes=0 dios=0\n8:16 \n"
                        "253:0 rbytes=1 wbytes=2 rios=1 wios=2 dbytes=0 dios=0\n");
        put(&tree, "a.slice/x/memory.pressure",
                        "some avg10=1.00 avg60=2.00 avg300=3.00 total=4000001\n"
                        "full avg10=0.00 avg60=0.00 avg300=0.00 total=17\n");
        put(&tree, "a.slice/x/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n");
        put(&tree, "a.slice/x/io.pressure", "some total=x\nfull avg10=0.00\nsome\nnone total=3");
        assert_int_equal(cgroup_layout_of(tree.root), CGROUP_V2);
        assert_int_equal(cgroup_read(CGROUP_V2, tree.root, "/a.slice/x", stats), 0);
        assert_int_equal(stats->cpu_ns, 5000001000);
        assert_int_equal(stats->user_ns, 3000000000);
        assert_int_equal(stats->throttled_ns, 90000);
        assert_int_equal(stats->throttled_periods, 3);
        assert_true(stats->cpus > 0.49 && stats->cpus < 0.51);
        assert_int_equal(stats->memory_bytes, 4096);
        assert_int_equal(stats->memory_limit_bytes, STATS_UNKNOWN);
        assert_int_equal(stats->memory_cache_bytes, 2000);
        assert_int_equal(stats->memory_reserved_bytes, 2048);
        assert_int_equal(stats->cpu_weight, 250);
        assert_int_equal(stats->memory_anon_bytes, 1000);
        assert_int_equal(stats->memory_events_high, 5);
        assert_int_equal(stats->memory_events_max, 6);
        assert_int_equal(stats->oom_kills, 2);
        assert_int_equal(stats->pids, 12);
        assert_int_equal(stats->memory_pressure.some_us, 4000001);
        assert_int_equal(stats->memory_pressure.full_us, 17);
        assert_int_equal(stats->cpu_pressure.some_us, 5);
        assert_int_equal(stats->cpu_pressure.full_us, STATS_UNKNOWN);
        assert_int_equal(stats->io_pressure.some_us, STATS_UNKNOWN);
        assert_int_equal(stats->io_pressure.full_us, STATS_UNKNOWN);
        assert_int_equal(stats->n_blocks, 2);
        assert_int_equal(stats_find_block(stats, "8:0")->write_bytes, 20);
        assert_int_equal(stats_find_block(stats, "253:0")->read_requests, 1);
        tree_free(&tree);
}

static void a_v1_group_is_read(void **state) {
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_KERNEL);
        struct tree tree;

        tree_new(&tree);
        put(&tree, "memory/memory.oom_control", "oom_kill_disable 0\n");
        put(&tree, "cpuacct/d/x/cpuacct.usage", "123456789\n");
        put(&tree, "cpuacct/d/x/cpuacct.stat", "user 7\nsystem 5\n");
        put(&tree, "cpu/d/x/cpu.stat", "nr_periods 1\nnr_throttled 0\nthrottled_time 17\n");
        put(&tree, "cpu/d/x/cpu.cfs_quota_us", "-1\n");
        put(&tree, "cpu/d/x/cpu.cfs_period_us", "100000\n");
        put(&tree, "cpu/d/x/cpu.shares", "1024\n");
        put(&tree, "memory/d/x/memory.soft_limit_in_bytes", "4096\n");
        put(&tree, "memory/d/x/memory.usage_in_bytes", "8192\n");
        put(&tree, "memory/d/x/memory.limit_in_bytes", "9223372036854771712\n");
        put(&tree, "memory/d/x/memory.stat",
                        "inactive_file 1\ntotal_inactive_file 4096\ntotal_rss 100\n");
        put(&tree, "memory/d/x/memory.oom_control",
                        "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
        put(&tree, "pids/d/x/pids.current", "3\n");
        put(&tree, "blkio/d/x/blkio.throttle.io_service_bytes",
                        "8:0 Read 100\n8:0 Write 200\n8:0 Sync 300\nTotal 300\n");
        put(&tree, "blkio/d/x/blkio.throttle.io_serviced", "8:0 Read 1\n8:0 Write 2\nTotal 3\n");
        assert_int_equal(cgroup_layout_of(tree.root), CGROUP_V1);
        assert_int_equal(cgroup_read(CGROUP_V1, tree.root, "/d/x", stats), 0);
        assert_int_equal(stats->cpu_ns, 123456789);
        assert_int_equal(stats->user_ns, 70000000);
        assert_int_equal(stats->throttled_ns, 17);
        assert_true(stats->cpus <= 0); /* no quota */
        assert_int_equal(stats->memory_bytes, 8192);
        assert_int_equal(stats->memory_limit_bytes, STATS_UNKNOWN);
        assert_int_equal(stats->memory_cache_bytes, 4096);
        assert_int_equal(stats->memory_reserved_bytes, 4096);
        assert_int_equal(stats->cpu_weight, 39);
        assert_int_equal(stats->oom_kills, 4);
        assert_int_equal(stats_find_block(stats, "8:0")->read_bytes, 100);
        assert_int_equal(stats_find_block(stats, "8:0")->write_requests, 2);
        tree_free(&tree);
}

static void what_is_gone_or_outside_is_said(void **state) {
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_KERNEL);
        struct tree tree;

        tree_new(&tree);
        assert_int_equal(cgroup_layout_of(tree.root), CGROUP_NONE);
        assert_int_equal(cgroup_read(CGROUP_V2, tree.root, "/gone", stats), -ENOENT);
        assert_int_equal(cgroup_read(CGROUP_V1, tree.root, "/gone", stats), -ENOENT);
        assert_int_equal(cgroup_read(CGROUP_V2, tree.root, "/a/../../etc", stats), -EINVAL);
        assert_int_equal(cgroup_read(CGROUP_V2, tree.root, "/..", stats), -EINVAL);
        assert_int_equal(cgroup_read(CGROUP_V2, tree.root, "relative", stats), -EINVAL);
        assert_int_equal(cgroup_read(CGROUP_V2, tree.root, "", stats), -EINVAL);
        tree_free(&tree);
}

static void absurd_values_are_not_told(void **state) {
        static const char *const texts[] = { "", "\n", "usage_usec", "usage_usec \n",
                "usage_usec x\n", "usage_usec -1\n", "usage_usec 18446744073709551616\n",
                "usage_usec 18446744073709551615\n", /* overflows as nanoseconds */
                "  usage_usec 1\n", "usage_usecs 1\n" };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_KERNEL);

                cgroup_parse_cpu_stat(texts[i], stats);
                assert_int_equal(stats->cpu_ns, STATS_UNKNOWN);
        }
}

static void network_devices_are_read_without_loopback(void **state) {
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_KERNEL);

        proc_parse_net_dev(
                        "Inter-|   Receive                                                |  Transmit\n"
                        " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets\n"
                        "    lo:    1000      10    0    0    0     0          0         0     1000      10    0    0    0     0       0          0\n"
                        "  eth0:     111       2    3    4    0     0          0         0      555       6    7    8    0     0       0          0\n"
                        " broken: 1 2\n",
                        stats);
        assert_int_equal(stats->n_nets, 1);
        assert_string_equal(stats->nets[0].name, "eth0");
        assert_int_equal(stats->nets[0].rx_bytes, 111);
        assert_int_equal(stats->nets[0].rx_drops, 4);
        assert_int_equal(stats->nets[0].tx_bytes, 555);
        assert_int_equal(stats->nets[0].tx_drops, 8);
}

/* Inside, one may call an interface what one likes; no reader should be lost by it. */
static void names_of_network_devices_are_text_and_told_apart(void **state) {
        static const char counters[] = "1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_KERNEL);
        char text[512];

        (void) snprintf(text, sizeof(text), "\xff: %s \xfe: %s a\"b\\c: %s\xc3\xa9th: %s", counters,
                        counters, counters, counters);
        proc_parse_net_dev(text, stats);
        assert_int_equal(stats->n_nets, 3);
        assert_string_equal(stats->nets[0].name, "\xef\xbf\xbd");
        assert_string_equal(stats->nets[1].name, "a\"b\\c");
        assert_string_equal(stats->nets[2].name, "\xc3\xa9th");
        assert_int_equal(stats->devices_refused, 1);
}

static void this_process_is_read(void **state) {
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_KERNEL);

        assert_int_equal(proc_read_process((uint32_t) getpid(), stats), 0);
        assert_true(stats->memory_bytes > 100000);
        assert_true(stats->life > 0);
        assert_true(stats->cpu_ns != STATS_UNKNOWN);
        assert_int_equal(proc_read_process(0x7ffffff0, stats), -ESRCH);
        assert_int_equal(proc_read_net(0x7ffffff0, stats), -ESRCH);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_v2_group_is_read),
                cmocka_unit_test(a_v1_group_is_read),
                cmocka_unit_test(what_is_gone_or_outside_is_said),
                cmocka_unit_test(absurd_values_are_not_told),
                cmocka_unit_test(network_devices_are_read_without_loopback),
                cmocka_unit_test(names_of_network_devices_are_text_and_told_apart),
                cmocka_unit_test(this_process_is_read),
        };

        return RUN_TESTS(tests);
}
