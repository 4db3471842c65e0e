/* Reading the host: from a folder of made-up files, from the real /proc, and past a file system
 * that never answers (a FUSE mount of our own whose server reads nothing, in a mount namespace of
 * our own). */

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/macro.h"
#include "folder.h"
#include "source/host_meter.h"

static const char *const types[] = { "fuse.hang", "tmpfs" };

struct seen {
        struct host *host;
        struct host_mounts *mounts;
        unsigned int hosts;
};

static void on_host(struct host *host, void *userdata) {
        struct seen *seen = userdata;

        host_free(seen->host);
        seen->host = host;
        seen->hosts++;
}

static void on_mounts(struct host_mounts *mounts, void *userdata) {
        struct seen *seen = userdata;

        host_mounts_free(seen->mounts);
        seen->mounts = mounts;
}

static bool go(const struct host_mount *mount, void *userdata) {
        return true;
}

/* ---- the reader ---- */

static void a_host_is_what_its_files_say(void **state) {
        struct folder *folder = *state;
        struct host_reader *reader;
        struct host_mounts *mounts;
        struct host *host;

        assert_int_equal(mkdir(folder_path(folder, "net"), 0700), 0);
        assert_int_equal(mkdir(folder_path(folder, "pressure"), 0700), 0);
        assert_int_equal(mkdir(folder_path(folder, "self"), 0700), 0);
        folder_write(folder, "stat", "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
        folder_write(folder, "meminfo", "MemTotal: 8 kB\nMemAvailable: 4 kB\n");
        folder_write(folder, "loadavg", "1.50 2.50 3.50 1/2 3\n");
        folder_write(folder, "uptime", "7.25 1.00\n");
        folder_write(folder, "vmstat", "oom_kill 4\n");
        folder_write(folder, "pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n");
        folder_write(folder, "net/dev", "e0: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n");
        folder_write(folder, "diskstats", "8 0 sda 1 0 2 3 4 0 5 6 0 7 8\n");
        folder_write(folder, "self/mountinfo", "1 0 8:1 / / rw - tmpfs x rw\n");
        assert_int_equal(host_reader_new(&(struct host_reader_config){ .root = folder->path,
                                                         .types = { types, 2 } },
                                         &reader),
                        0);

        assert_int_equal(host_reader_read(reader, &host), 0);
        assert_int_equal(host->cpu_ns[HOST_STEAL], 80000000);
        assert_int_equal(host->memory_available_bytes, 4096);
        assert_true(host->load5 > 2.4 && host->load5 < 2.6);
        assert_true(host->uptime_s > 7.2 && host->uptime_s < 7.3);
        assert_int_equal(host->oom_kills, 4);
        assert_int_equal(host->pressure[HOST_MEMORY].some.total_us, 9);
        assert_int_equal(host->n_nets, 1);
        assert_int_equal(host->disks[0].written_bytes, 5 * 512);
        host_free(host);

        assert_int_equal(host_reader_read_mounts(reader, go, NULL, &mounts), 0);
        assert_int_equal(mounts->n, 1);
        assert_true(mounts->items[0].total_bytes > 0); /* of the real / */
        host_mounts_free(mounts);
        host_reader_free(reader);
}

static void a_file_that_is_not_there_costs_only_what_it_tells(void **state) {
        struct folder *folder = *state;
        struct host_reader *reader;
        struct host_mounts *mounts;
        struct host *host;

        folder_write(folder, "meminfo", "MemTotal: 8 kB\n");
        assert_int_equal(host_reader_new(&(struct host_reader_config){ .root = folder->path },
                                         &reader),
                        0);
        assert_int_equal(host_reader_read(reader, &host), 0);
        assert_int_equal(host->memory_total_bytes, 8192);
        assert_int_equal(host->cpu_ns[HOST_IDLE], STATS_UNKNOWN);
        assert_false(host->has_pressure);
        host_free(host);
        assert_int_equal(host_reader_read_mounts(reader, go, NULL, &mounts), -ENODATA);

        assert_int_equal(unlink(folder_path(folder, "meminfo")), 0);
        assert_int_equal(host_reader_read(reader, &host), -ENODATA);
        host_reader_free(reader);
}

static void this_host_is_read(void **state) {
        struct host_reader *reader;
        struct host_usage usage;
        struct host *host;

        assert_int_equal(host_reader_new(&(struct host_reader_config){}, &reader), 0);
        assert_int_equal(host_reader_read(reader, &host), 0);
        assert_int_equal(host->n_cpus, sysconf(_SC_NPROCESSORS_ONLN));
        assert_int_equal(host->memory_total_bytes,
                        (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE));
        assert_true(host->boot_s < clock_realtime_us() / USEC_PER_SEC);
        assert_false(isnan(host->load1) || isnan(host->uptime_s));
        host_compare(NULL, host, &usage);
        assert_true(usage.memory_percent > 0 && usage.memory_percent < 100);
        host_free(host);
        host_reader_free(reader);
}

/* ---- the meter ---- */

struct bench {
        struct folder *folder;
        sd_event *event;
        struct host_meter *meter;
        struct seen seen;
};

static struct bench bench_new(struct folder *folder) {
        struct bench bench = { .folder = folder };

        assert_true(sd_event_new(&bench.event) >= 0);
        return bench;
}

static void bench_start(struct bench *bench, uint64_t stuck_us) {
        const struct host_meter_config config = { .reader = { .types = { types, 2 } },
                .stuck_us = stuck_us };

        assert_int_equal(host_meter_new(&config, bench->event,
                                         &(struct host_meter_hooks){ .host = on_host,
                                                         .mounts = on_mounts,
                                                         .userdata = &bench->seen },
                                         &bench->meter),
                        0);
}

static void bench_done(struct bench *bench) {
        host_meter_free(bench->meter);
        sd_event_unref(bench->event);
        host_free(bench->seen.host);
        host_mounts_free(bench->seen.mounts);
}

/* Ask every 20 ms until @is holds, at most 10 s. */
static void ask_until(struct bench *bench, bool (*is)(struct bench *bench)) {
        uint64_t end_us = clock_monotonic_us() + 10 * USEC_PER_SEC;

        while (!is(bench)) {
                assert_true(clock_monotonic_us() < end_us);
                host_meter_read(bench->meter);
                assert_true(sd_event_run(bench->event, 20000) >= 0);
        }
}

static const struct host_mount *mount_at(const struct bench *bench, const char *name) {
        const char *path = folder_path(bench->folder, name);

        for (size_t i = 0; bench->seen.mounts && i < bench->seen.mounts->n; i++)
                if (strcmp(bench->seen.mounts->items[i].path, path) == 0)
                        return &bench->seen.mounts->items[i];
        return NULL;
}

static bool all_is_read(struct bench *bench) {
        return bench->seen.host && bench->seen.mounts;
}

static void a_meter_reads_when_it_is_asked_to(void **state) {
        struct bench bench = bench_new(*state);
        struct host_meter_stats stats;

        bench_start(&bench, 0);
        assert_true(sd_event_run(bench.event, 50000) >= 0);
        assert_null(bench.seen.host);
        ask_until(&bench, all_is_read);
        host_meter_get_stats(bench.meter, &stats);
        assert_true(stats.reads >= 1);
        assert_int_equal(stats.failed, 0);
        assert_int_equal(stats.stuck, 0);
        bench_done(&bench);
}

static bool hang_is_told(struct bench *bench) {
        const struct host_mount *hang = mount_at(bench, "hang"), *good = mount_at(bench, "good");

        return hang && hang->stuck && good && good->total_bytes != STATS_UNKNOWN;
}

static bool hang_is_over(struct bench *bench) {
        const struct host_mount *hang = mount_at(bench, "hang");
        struct host_meter_stats stats;

        host_meter_get_stats(bench->meter, &stats);
        return stats.stuck == 0 && hang && !hang->stuck;
}

/* Return: the server's descriptor, from which nothing is ever read; -1: not root, or a kernel
 * without FUSE. */
static int mount_hanging(struct folder *folder) {
        char options[80];
        int fd;

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return -1;
        fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return -1;
        (void) snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
        assert_int_equal(mkdir(folder_path(folder, "hang"), 0700), 0);
        assert_int_equal(mkdir(folder_path(folder, "good"), 0700), 0);
        assert_int_equal(mount("hang", folder_path(folder, "hang"), "fuse.hang",
                                         MS_NOSUID | MS_NODEV, options),
                        0);
        assert_int_equal(mount("good", folder_path(folder, "good"), "tmpfs", 0, "size=1m"), 0);
        return fd;
}

static void a_file_system_that_hangs_costs_only_itself(void **state) {
        struct bench bench = bench_new(*state);
        const struct host_mount *good;
        struct host_meter_stats stats;
        unsigned int hosts;
        int fd = mount_hanging(*state);

        if (fd < 0) {
                sd_event_unref(bench.event);
                skip();
        }
        bench_start(&bench, 1 * USEC_PER_SEC);
        ask_until(&bench, hang_is_told);
        host_meter_get_stats(bench.meter, &stats);
        assert_int_equal(stats.stuck, 1);
        assert_int_equal(stats.given_up, 1);
        good = mount_at(&bench, "good");
        assert_int_equal(good->total_bytes, 1 << 20);
        assert_false(good->stuck);

        /* the rest goes on, and no second thread is lost to it */
        hosts = bench.seen.hosts;
        for (unsigned int i = 0; i < 75; i++) {
                host_meter_read(bench.meter);
                assert_true(sd_event_run(bench.event, 20000) >= 0);
        }
        assert_true(bench.seen.hosts > hosts);
        host_meter_get_stats(bench.meter, &stats);
        assert_int_equal(stats.given_up, 1);

        (void) close(fd); /* its server ends: what waits gets an error */
        ask_until(&bench, hang_is_over);
        assert_int_equal(mount_at(&bench, "hang")->total_bytes, STATS_UNKNOWN);
        bench_done(&bench);
        assert_int_equal(umount(folder_path(*state, "hang")), 0);
        assert_int_equal(umount(folder_path(*state, "good")), 0);
}

static void a_meter_ends_while_a_file_system_hangs(void **state) {
        struct bench bench = bench_new(*state);
        uint64_t begin_us;
        int fd = mount_hanging(*state);

        if (fd < 0) {
                sd_event_unref(bench.event);
                skip();
        }
        bench_start(&bench, 1 * USEC_PER_SEC);
        ask_until(&bench, hang_is_told);
        begin_us = clock_monotonic_us();
        bench_done(&bench);
        assert_true(clock_monotonic_us() - begin_us < 5 * USEC_PER_SEC);
        (void) close(fd); /* the thread left behind comes back to nothing of ours */
        (void) usleep(200000);
        assert_int_equal(umount(folder_path(*state, "hang")), 0);
        assert_int_equal(umount(folder_path(*state, "good")), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FOLDER_TEST(a_host_is_what_its_files_say),
                FOLDER_TEST(a_file_that_is_not_there_costs_only_what_it_tells),
                cmocka_unit_test(this_host_is_read),
                FOLDER_TEST(a_meter_reads_when_it_is_asked_to),
                FOLDER_TEST(a_file_system_that_hangs_costs_only_itself),
                FOLDER_TEST(a_meter_ends_while_a_file_system_hangs),
        };

        return RUN_TESTS(tests);
}
