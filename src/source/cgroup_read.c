/* Control group files as numbers. The files are small and made by the kernel; all of them may be
 * gone from one read to the next. */

#include "source/cgroup_read.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/text.h"

#define FILE_MAX (256 * 1024)
/* v1 says "no limit" with a number near 2^63, cut to the page size. */
#define NO_LIMIT (UINT64_C(1) << 60)

enum cgroup_layout cgroup_layout_of(const char *root) {
        char path[512];

        (void) snprintf(path, sizeof(path), "%s/memory/memory.oom_control", root);
        if (access(path, R_OK) >= 0)
                return CGROUP_V1;
        (void) snprintf(path, sizeof(path), "%s/cgroup.controllers", root);
        return access(path, R_OK) >= 0 ? CGROUP_V2 : CGROUP_NONE;
}

/* ---- files ---- */

struct group {
        const char *root, *path;
};

static int read_file(const struct group *group, const char *controller, const char *name,
                char **ret_text) {
        char path[4352];
        int n;

        n = snprintf(path, sizeof(path), "%s%s%s/%s", group->root, controller, group->path, name);
        if (n < 0 || (size_t) n >= sizeof(path))
                return -ENAMETOOLONG;
        return fs_read_text(AT_FDCWD, path, FILE_MAX, ret_text, NULL);
}

static uint64_t read_number(const struct group *group, const char *controller, const char *name) {
        _cleanup_(freep) char *text = NULL;
        uint64_t value;

        if (read_file(group, controller, name, &text) < 0)
                return STATS_UNKNOWN;
        text[strcspn(text, "\n ")] = '\0';
        return text_to_u64(text, &value) < 0 ? STATS_UNKNOWN : value; /* "max": no limit */
}

/* Walk "KEY VALUE" lines; *at moves on. */
static bool next_pair(const char **at, char *key, size_t key_size, uint64_t *ret_value) {
        const char *line, *end, *digits;
        size_t n;

        while (**at) {
                line = *at;
                end = strchrnul(line, '\n');
                *at = *end ? end + 1 : end;
                n = strcspn(line, " \n");
                digits = line + n + 1;
                if (n == 0 || n >= key_size || line[n] != ' ' ||
                                text_take_u64(&digits, ret_value) < 0)
                        continue;
                memcpy(key, line, n);
                key[n] = '\0';
                return true;
        }
        return false;
}

struct key {
        const char *name;
        uint64_t *value;
        uint64_t factor;
};

static void take_keys(const char *text, const struct key *keys, size_t n_keys) {
        char name[64];
        uint64_t value;

        while (next_pair(&text, name, sizeof(name), &value)) {
                for (size_t i = 0; i < n_keys; i++) {
                        if (strcmp(keys[i].name, name) == 0 &&
                                        __builtin_mul_overflow(
                                                        value, keys[i].factor, keys[i].value))
                                *keys[i].value = STATS_UNKNOWN;
                }
        }
}

void cgroup_parse_cpu_stat(const char *text, struct stats *stats) {
        const struct key keys[] = {
                { "usage_usec", &stats->cpu_ns, NSEC_PER_USEC },
                { "user_usec", &stats->user_ns, NSEC_PER_USEC },
                { "system_usec", &stats->system_ns, NSEC_PER_USEC },
                { "nr_periods", &stats->periods, 1 },
                { "nr_throttled", &stats->throttled_periods, 1 },
                { "throttled_usec", &stats->throttled_ns, NSEC_PER_USEC },
                { "throttled_time", &stats->throttled_ns, 1 }, /* v1 */
        };

        take_keys(text, keys, ARRAY_SIZE(keys));
}

void cgroup_parse_memory_stat(enum cgroup_layout layout, const char *text, struct stats *stats) {
        const struct key v1[] = {
                { "total_inactive_file", &stats->memory_cache_bytes, 1 },
                { "total_rss", &stats->memory_anon_bytes, 1 },
        };
        const struct key v2[] = {
                { "inactive_file", &stats->memory_cache_bytes, 1 },
                { "anon", &stats->memory_anon_bytes, 1 },
        };

        if (layout == CGROUP_V1)
                take_keys(text, v1, ARRAY_SIZE(v1));
        else
                take_keys(text, v2, ARRAY_SIZE(v2));
}

/* v2: "some avg10=0.00 avg60=0.00 avg300=0.00 total=4\nfull …" (accounting/psi.rst), microseconds.
 */
void cgroup_parse_pressure(const char *text, struct stats_pressure *pressure) {
        for (const char *line = text; *line; line = strchrnul(line, '\n'), line += *line == '\n') {
                uint64_t *place = text_starts_with(line, "some ") ? &pressure->some_us
                                : text_starts_with(line, "full ") ? &pressure->full_us
                                                                  : NULL;
                const char *total = place ? strstr(line, " total=") : NULL;

                if (!total || total > strchrnul(line, '\n'))
                        continue;
                total += strlen(" total=");
                if (text_take_u64(&total, place) < 0)
                        *place = STATS_UNKNOWN;
        }
}

static struct stats_block *block_of(struct stats *stats, const char *device) {
        for (size_t i = 0; i < stats->n_blocks; i++)
                if (strcmp(stats->blocks[i].name, device) == 0)
                        return &stats->blocks[i];
        return stats_add_block(stats, device);
}

/* v2: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" */
void cgroup_parse_io_stat(const char *text, struct stats *stats) {
        char device[32];
        unsigned long long read_bytes, write_bytes, reads, writes;

        for (const char *line = text; *line; line = strchrnul(line, '\n'), line += *line == '\n') {
                struct stats_block *block;

                /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers fit */
                if (sscanf(line, "%31[0-9:] rbytes=%llu wbytes=%llu rios=%llu wios=%llu", device,
                                    &read_bytes, &write_bytes, &reads, &writes) != 5)
                        continue;
                block = block_of(stats, device);
                if (!block)
                        continue;
                block->read_bytes = read_bytes;
                block->write_bytes = write_bytes;
                block->read_requests = reads;
                block->write_requests = writes;
        }
}

/* v1: "8:0 Read 4096", per operation; the last line is "Total N". */
void cgroup_parse_blkio(const char *text, bool bytes, struct stats *stats) {
        char device[32], operation[16];
        unsigned long long value;

        for (const char *line = text; *line; line = strchrnul(line, '\n'), line += *line == '\n') {
                struct stats_block *block;
                bool is_read;

                /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers fit */
                if (sscanf(line, "%31[0-9:] %15[A-Za-z] %llu", device, operation, &value) != 3)
                        continue;
                is_read = strcmp(operation, "Read") == 0;
                if (!is_read && strcmp(operation, "Write") != 0)
                        continue;
                block = block_of(stats, device);
                if (block && bytes)
                        *(is_read ? &block->read_bytes : &block->write_bytes) = value;
                else if (block)
                        *(is_read ? &block->read_requests : &block->write_requests) = value;
        }
}

/* ---- groups ---- */

static uint64_t limit_of(uint64_t value) {
        return value < NO_LIMIT ? value : STATS_UNKNOWN;
}

static void set_quota(uint64_t quota, uint64_t period, struct stats *stats) {
        if (quota != STATS_UNKNOWN && period != STATS_UNKNOWN && quota && period)
                stats->cpus = (double) quota / (double) period;
}

/* 2..262144 shares as a weight of 1..10000, as the OCI runtimes convert them: their default of 1024
 * is 39. */
static uint64_t weight_of_shares(uint64_t shares) {
        if (shares == STATS_UNKNOWN || shares < 2 || shares > 262144)
                return STATS_UNKNOWN;
        return 1 + (shares - 2) * 9999 / 262142;
}

static void read_v1(const struct group *group, struct stats *stats) {
        _cleanup_(freep) char *cpu = NULL, *memory = NULL, *bytes = NULL, *requests = NULL;
        const struct key user[] = {
                { "user", &stats->user_ns, UINT64_C(10000000) },
                { "system", &stats->system_ns, UINT64_C(10000000) },
        };
        _cleanup_(freep) char *ticks = NULL, *oom = NULL;
        const struct key kills[] = { { "oom_kill", &stats->oom_kills, 1 } };

        stats->cpu_ns = read_number(group, "/cpuacct", "cpuacct.usage");
        if (read_file(group, "/cpuacct", "cpuacct.stat", &ticks) >= 0)
                take_keys(ticks, user, ARRAY_SIZE(user)); /* USER_HZ is 100 on every port */
        if (read_file(group, "/cpu", "cpu.stat", &cpu) >= 0)
                cgroup_parse_cpu_stat(cpu, stats);
        set_quota(read_number(group, "/cpu", "cpu.cfs_quota_us"),
                        read_number(group, "/cpu", "cpu.cfs_period_us"), stats);
        stats->memory_bytes = read_number(group, "/memory", "memory.usage_in_bytes");
        stats->memory_limit_bytes =
                        limit_of(read_number(group, "/memory", "memory.limit_in_bytes"));
        stats->memory_reserved_bytes =
                        limit_of(read_number(group, "/memory", "memory.soft_limit_in_bytes"));
        stats->cpu_weight = weight_of_shares(read_number(group, "/cpu", "cpu.shares"));
        if (read_file(group, "/memory", "memory.stat", &memory) >= 0)
                cgroup_parse_memory_stat(CGROUP_V1, memory, stats);
        if (read_file(group, "/memory", "memory.oom_control", &oom) >= 0)
                take_keys(oom, kills, ARRAY_SIZE(kills));
        stats->pids = read_number(group, "/pids", "pids.current");
        if (read_file(group, "/blkio", "blkio.throttle.io_service_bytes", &bytes) >= 0)
                cgroup_parse_blkio(bytes, true, stats);
        if (read_file(group, "/blkio", "blkio.throttle.io_serviced", &requests) >= 0)
                cgroup_parse_blkio(requests, false, stats);
}

static void read_pressure(const struct group *group, struct stats *stats) {
        const struct {
                const char *name;
                struct stats_pressure *pressure;
        } files[] = {
                { "cpu.pressure", &stats->cpu_pressure },
                { "memory.pressure", &stats->memory_pressure },
                { "io.pressure", &stats->io_pressure },
        };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_(freep) char *text = NULL;

                if (read_file(group, "", files[i].name, &text) >= 0)
                        cgroup_parse_pressure(text, files[i].pressure);
        }
}

static void read_v2(const struct group *group, struct stats *stats) {
        _cleanup_(freep) char *cpu = NULL, *max = NULL, *memory = NULL, *events = NULL, *io = NULL;
        const struct key keys[] = {
                { "high", &stats->memory_events_high, 1 },
                { "max", &stats->memory_events_max, 1 },
                { "oom_kill", &stats->oom_kills, 1 },
        };
        unsigned long long quota, period;

        if (read_file(group, "", "cpu.stat", &cpu) >= 0)
                cgroup_parse_cpu_stat(cpu, stats);
        if (read_file(group, "", "cpu.max", &max) >= 0 &&
                        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers fit */
                        sscanf(max, "%llu %llu", &quota, &period) == 2)
                set_quota(quota, period, stats);
        stats->memory_bytes = read_number(group, "", "memory.current");
        stats->memory_limit_bytes = limit_of(read_number(group, "", "memory.max"));
        stats->memory_reserved_bytes = limit_of(read_number(group, "", "memory.low"));
        if (stats->memory_reserved_bytes == 0)
                stats->memory_reserved_bytes = STATS_UNKNOWN; /* nothing is kept */
        stats->cpu_weight = read_number(group, "", "cpu.weight");
        if (read_file(group, "", "memory.stat", &memory) >= 0)
                cgroup_parse_memory_stat(CGROUP_V2, memory, stats);
        if (read_file(group, "", "memory.events", &events) >= 0)
                take_keys(events, keys, ARRAY_SIZE(keys));
        stats->pids = read_number(group, "", "pids.current");
        if (read_file(group, "", "io.stat", &io) >= 0)
                cgroup_parse_io_stat(io, stats);
        read_pressure(group, stats);
}

int cgroup_read(enum cgroup_layout layout, const char *root, const char *path,
                struct stats *stats) {
        const struct group group = { .root = root, .path = path };
        uint64_t before_us, after_us;

        if (path[0] != '/' || strstr(path, "/../") || text_equal(path, "/.."))
                return -EINVAL;

        before_us = clock_monotonic_us();
        if (layout == CGROUP_V1)
                read_v1(&group, stats);
        else if (layout == CGROUP_V2)
                read_v2(&group, stats);
        after_us = clock_monotonic_us();
        stats->mono_us = before_us + (after_us - before_us) / 2;
        stats->at_us = clock_realtime_us();
        return stats->cpu_ns == STATS_UNKNOWN && stats->memory_bytes == STATS_UNKNOWN ? -ENOENT : 0;
}
