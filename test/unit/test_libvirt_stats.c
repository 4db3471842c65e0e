/* Bulk statistics as libvirt words them, and as it never should. */

#include <string.h>

#include "base/text.h"
#include "source/libvirt_stats.h"
#include "test.h"

static virTypedParameter number(const char *name, unsigned long long value) {
        virTypedParameter param = { .type = VIR_TYPED_PARAM_ULLONG, .value.ul = value };

        (void) snprintf(param.field, sizeof(param.field), "%s", name);
        return param;
}

static virTypedParameter integer(const char *name, int value) {
        virTypedParameter param = { .type = VIR_TYPED_PARAM_INT, .value.i = value };

        (void) snprintf(param.field, sizeof(param.field), "%s", name);
        return param;
}

static virTypedParameter string(const char *name, const char *value) {
        virTypedParameter param = { .type = VIR_TYPED_PARAM_STRING,
                .value.s = (char *) (uintptr_t) value };

        (void) snprintf(param.field, sizeof(param.field), "%s", name);
        return param;
}

static struct stats *parse(const virTypedParameter *params, size_t n) {
        struct stats *stats = stats_new(STATS_FROM_RUNTIME);

        assert_non_null(stats);
        libvirt_stats_parse(params, (int) n, stats);
        return stats;
}

static void a_domain_is_read_whole(void **state) {
        const virTypedParameter params[] = { integer("state.state", VIR_DOMAIN_PAUSED),
                number("cpu.time", 7), number("balloon.current", 2), number("balloon.maximum", 4),
                number("balloon.last-update", 99), number("vcpu.current", 2),
                number("vcpu.maximum", 4), integer("vcpu.0.state", 1), number("vcpu.0.time", 11),
                number("vcpu.0.delay", 12), number("vcpu.3.time", 13), number("net.count", 1),
                string("net.0.name", "vnet7"), number("net.0.rx.bytes", 21),
                number("net.0.tx.drop", 22), number("block.count", 2),
                string("block.0.name", "vda"), string("block.0.path", "/a.qcow2"),
                number("block.0.rd.bytes", 31), number("block.0.capacity", 32),
                string("block.1.name", "sda"), number("block.1.fl.times", 33) };
        _cleanup_(stats_freep) struct stats *stats = parse(params, ARRAY_SIZE(params));

        assert_true(stats->paused && stats->has_devices);
        assert_int_equal(stats->cpu_ns, 7);
        assert_int_equal(stats->balloon.current, 2048);
        assert_int_equal(stats->balloon.maximum, 4096);
        assert_int_equal(stats->balloon.updated_s, 99);
        assert_int_equal(stats->balloon.usable, STATS_UNKNOWN);
        assert_int_equal((int) stats->cpus, 2);
        assert_int_equal(stats->n_vcpus, 2); /* 1 and 2 are offline */
        assert_int_equal(stats_find_vcpu(stats, 0)->delay_ns, 12);
        assert_int_equal(stats_find_vcpu(stats, 3)->time_ns, 13);
        assert_int_equal(stats_find_net(stats, "vnet7")->rx_bytes, 21);
        assert_int_equal(stats_find_net(stats, "vnet7")->tx_drops, 22);
        assert_string_equal(stats_find_block(stats, "vda")->path, "/a.qcow2");
        assert_int_equal(stats_find_block(stats, "vda")->capacity_bytes, 32);
        assert_int_equal(stats_find_block(stats, "sda")->flush_ns, 33);
}

static void what_makes_no_sense_is_passed_over(void **state) {
        const virTypedParameter params[] = { integer("cpu.time", -5), string("vcpu.current", "two"),
                number("balloon.current", UINT64_MAX / 2), number("balloon.unheard-of", 1),
                number("net.0.rx.bytes", 1), /* before its name */
                string("net.99999999999999999999.name", "x"), string("net.128.name", "past"),
                string("block.127.name", "last"), number("block.127.capacity", 1),
                number("block.x.capacity", 1), number("block.5", 1), number("vcpu..time", 1),
                number("vcpu.4294967296.time", 1), number("", 1), number("net.1.name", 5) };
        _cleanup_(stats_freep) struct stats *stats = parse(params, ARRAY_SIZE(params));

        assert_int_equal(stats->cpu_ns, STATS_UNKNOWN);
        assert_int_equal(stats->vcpus_current, STATS_UNKNOWN);
        assert_int_equal(stats->balloon.current, STATS_UNKNOWN); /* overflows as bytes */
        assert_int_equal(stats->n_nets, 0);
        assert_int_equal(stats->n_blocks, 1);
        assert_int_equal(stats->n_vcpus, 0);
        assert_int_equal(stats->devices_refused, 1);
        assert_int_equal(stats->blocks[0].capacity_bytes, 1);
        assert_false(stats->has_devices);
}

static void file_systems_of_a_guest_are_read(void **state) {
        const virTypedParameter params[] = { number("fs.count", 4), string("fs.0.name", "vda1"),
                string("fs.0.mountpoint", "/"), string("fs.0.fstype", "ext4"),
                number("fs.0.total-bytes", 1000), number("fs.0.used-bytes", 250),
                number("fs.0.disk.count", 1), string("fs.0.disk.0.alias", "vda"),
                string("fs.1.name", "vda1"), string("fs.1.mountpoint", "/var/lib/docker"),
                string("fs.1.fstype", "ext4"), number("fs.1.total-bytes", 1000),
                number("fs.1.used-bytes", 250), string("fs.2.name", "vdb"),
                string("fs.2.mountpoint", "/old"), string("fs.2.fstype", "xfs"),
                string("fs.3.mountpoint", "/srv"), string("fs.3.fstype", "xfs"),
                number("fs.3.total-bytes", 1000), number("fs.3.used-bytes", 950),
                string("fs.x.name", "?"), string("hostname", "guest") };
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_RUNTIME);

        assert_non_null(stats);
        libvirt_stats_parse_guest(params, (int) ARRAY_SIZE(params), stats);
        assert_int_equal(stats->n_fs, 3); /* one has no numbers */
        assert_string_equal(stats->fs[0].mountpoint, "/");
        assert_string_equal(stats->fs[0].device, "vda1");
        assert_string_equal(stats->fs[2].type, "xfs");
        assert_int_equal(stats->fs_total_bytes, 2000);
        assert_int_equal(stats->fs_used_bytes, 1200);
        assert_true(stats->fs_fullest_percent > 94.9 && stats->fs_fullest_percent < 95.1);
}

/* The guest chooses its names, and where they are cut. */
static void a_guests_names_are_text_whatever_it_says(void **state) {
        char longest[256] = "";
        const virTypedParameter params[] = { string("fs.0.mountpoint", longest),
                string("fs.0.name", "\xff\xfe"),
                string("fs.0.fstype", "abcdefghijklmn\xe2\x82\xac"), number("fs.0.total-bytes", 2),
                number("fs.0.used-bytes", 1) };
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_RUNTIME);

        assert_non_null(stats);
        memset(longest, 'x', 126);
        memcpy(longest + 126, "\xe2\x82\xac", 4); /* over the last byte that there is room for */
        libvirt_stats_parse_guest(params, (int) ARRAY_SIZE(params), stats);
        assert_int_equal(stats->n_fs, 1);
        assert_int_equal(strlen(stats->fs[0].mountpoint), 126);
        assert_true(text_is_utf8(stats->fs[0].mountpoint, 126));
        assert_string_equal(stats->fs[0].device, "\xef\xbf\xbd\xef\xbf\xbd");
        assert_string_equal(stats->fs[0].type, "abcdefghijklmn");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_domain_is_read_whole),
                cmocka_unit_test(file_systems_of_a_guest_are_read),
                cmocka_unit_test(a_guests_names_are_text_whatever_it_says),
                cmocka_unit_test(what_makes_no_sense_is_passed_over),
        };

        return RUN_TESTS(tests);
}
