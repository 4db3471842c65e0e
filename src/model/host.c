/* Readings of the host and their comparison. The kernel's own sums are the clock of the CPU
 * percentages, so that a step of the clock does not touch them. */

#include "model/host.h"

#include <string.h>

/* What idle and iowait may lose without the counters having begun anew. */
#define TAKEN_BACK_NS (UINT64_C(3) * 1000000000)

const char *host_mode_to_string(enum host_mode mode) {
        static const char *const words[HOST_MODE_MAX_] = {
                [HOST_USER] = "user",
                [HOST_NICE] = "nice",
                [HOST_SYSTEM] = "system",
                [HOST_IDLE] = "idle",
                [HOST_IOWAIT] = "iowait",
                [HOST_IRQ] = "irq",
                [HOST_SOFTIRQ] = "softirq",
                [HOST_STEAL] = "steal",
                [HOST_GUEST] = "guest",
                [HOST_GUEST_NICE] = "guest_nice",
        };

        return words[mode];
}

const char *host_resource_to_string(enum host_resource resource) {
        static const char *const words[HOST_RESOURCE_MAX_] = {
                [HOST_CPU] = "cpu",
                [HOST_MEMORY] = "memory",
                [HOST_IO] = "io",
        };

        return words[resource];
}

/* ---- life ---- */

struct host *host_new(void) {
        static const struct host_stall no_stall = { STATS_NAN, STATS_NAN, STATS_NAN,
                STATS_UNKNOWN };
        struct host *host = calloc(1, sizeof(*host));

        if (!host)
                return NULL;
        for (size_t i = 0; i < HOST_MODE_MAX_; i++)
                host->cpu_ns[i] = STATS_UNKNOWN;
        for (size_t i = 0; i < HOST_RESOURCE_MAX_; i++)
                host->pressure[i] = (struct host_pressure){ no_stall, no_stall };
        host->boot_s = host->tasks_running = host->tasks_blocked = STATS_UNKNOWN;
        host->memory_total_bytes = host->memory_free_bytes = STATS_UNKNOWN;
        host->memory_available_bytes = STATS_UNKNOWN;
        host->buffers_bytes = host->cached_bytes = STATS_UNKNOWN;
        host->swap_total_bytes = host->swap_free_bytes = STATS_UNKNOWN;
        host->load1 = host->load5 = host->load15 = host->uptime_s = STATS_NAN;
        host->oom_kills = STATS_UNKNOWN;
        return host;
}

struct host *host_free(struct host *host) {
        if (!host)
                return NULL;
        free(host->cpus);
        free(host->nets);
        free(host->disks);
        free(host);
        return NULL;
}

struct host_mounts *host_mounts_new(void) {
        return calloc(1, sizeof(struct host_mounts));
}

struct host_mounts *host_mounts_free(struct host_mounts *mounts) {
        if (!mounts)
                return NULL;
        for (size_t i = 0; i < mounts->n; i++)
                free(mounts->items[i].path);
        free(mounts->items);
        free(mounts);
        return NULL;
}

const struct host_net *host_find_net(const struct host *host, const char *name) {
        for (size_t i = 0; i < host->n_nets; i++)
                if (strcmp(host->nets[i].name, name) == 0)
                        return &host->nets[i];
        return NULL;
}

const struct host_disk *host_find_disk(const struct host *host, const char *name) {
        for (size_t i = 0; i < host->n_disks; i++)
                if (strcmp(host->disks[i].name, name) == 0)
                        return &host->disks[i];
        return NULL;
}

static const struct host_cpu *find_cpu(const struct host *host, unsigned int number) {
        for (size_t i = 0; i < host->n_cpus; i++)
                if (host->cpus[i].number == number)
                        return &host->cpus[i];
        return NULL;
}

/* ---- comparison ---- */

static bool known(uint64_t value) {
        return value != STATS_UNKNOWN;
}

static double share(double part, double whole) {
        if (!(whole > 0) || !(part >= 0))
                return STATS_NAN;
        return part > whole ? 100 : 100 * part / whole;
}

static bool may_fall(enum host_mode mode) {
        return mode == HOST_IDLE || mode == HOST_IOWAIT;
}

/* What a mode grew by; -1: it began anew. */
static double grown(const struct host *before, const struct host *now, enum host_mode mode) {
        uint64_t old = before->cpu_ns[mode], new = now->cpu_ns[mode];

        if (!known(old) || !known(new))
                return 0; /* an old kernel that has no such mode */
        if (new >= old)
                return (double) (new - old);
        return may_fall(mode) && old - new < TAKEN_BACK_NS ? 0 : -1;
}

static void compare_cpu(
                const struct host *before, const struct host *now, struct host_usage *usage) {
        double modes[HOST_MODE_MAX_], whole = 0;

        if (!before || !known(now->cpu_ns[HOST_IDLE]) || !known(before->cpu_ns[HOST_IDLE]))
                return;
        for (enum host_mode mode = 0; mode < HOST_MODE_MAX_; mode++) {
                modes[mode] = grown(before, now, mode);
                if (modes[mode] < 0) {
                        usage->reset = true;
                        return;
                }
                if (mode < HOST_SUMMED_)
                        whole += modes[mode];
        }
        for (size_t i = 0; i < HOST_MODE_MAX_; i++)
                if (known(now->cpu_ns[i]))
                        usage->mode_percent[i] = share(modes[i], whole);
        usage->cpu_percent = share(whole - modes[HOST_IDLE] - modes[HOST_IOWAIT], whole);
}

void host_compare(const struct host *before, const struct host *now, struct host_usage *ret_usage) {
        struct host_usage usage = HOST_USAGE_NONE;

        compare_cpu(before, now, &usage);
        if (known(now->memory_total_bytes) &&
                        now->memory_available_bytes <= now->memory_total_bytes) {
                usage.memory_percent = share(
                                (double) (now->memory_total_bytes - now->memory_available_bytes),
                                (double) now->memory_total_bytes);
        }
        if (known(now->swap_total_bytes) && now->swap_free_bytes <= now->swap_total_bytes)
                usage.swap_percent = share((double) (now->swap_total_bytes - now->swap_free_bytes),
                                (double) now->swap_total_bytes);
        *ret_usage = usage;
}

double host_cpu_percent(const struct host *before, const struct host *now, unsigned int number) {
        const struct host_cpu *old = before ? find_cpu(before, number) : NULL,
                              *new = find_cpu(now, number);
        double busy, idle;

        if (!old || !new || !known(new->busy_ns) || !known(old->busy_ns) ||
                        new->busy_ns < old->busy_ns)
                return STATS_NAN;
        if (new->idle_ns < old->idle_ns && old->idle_ns - new->idle_ns >= TAKEN_BACK_NS)
                return STATS_NAN;
        busy = (double) (new->busy_ns - old->busy_ns);
        idle = new->idle_ns > old->idle_ns ? (double) (new->idle_ns - old->idle_ns) : 0;
        return share(busy, busy + idle);
}

void host_keep_rising(const struct host *before, struct host *now) {
        for (enum host_mode mode = 0; before && mode < HOST_MODE_MAX_; mode++) {
                uint64_t old = before->cpu_ns[mode];

                if (may_fall(mode) && known(old) && now->cpu_ns[mode] < old &&
                                old - now->cpu_ns[mode] < TAKEN_BACK_NS)
                        now->cpu_ns[mode] = old;
        }
}

/* ---- file systems ---- */

static bool mount_is_known(const struct host_mount *mount) {
        return known(mount->total_bytes) && known(mount->available_bytes) &&
                        mount->free_bytes <= mount->total_bytes;
}

double host_mount_percent(const struct host_mount *mount) {
        double used;

        if (!mount_is_known(mount))
                return STATS_NAN;
        used = (double) (mount->total_bytes - mount->free_bytes);
        return share(used, used + (double) mount->available_bytes);
}

double host_mounts_percent(const struct host_mounts *mounts) {
        double used = 0, available = 0;

        for (size_t i = 0; i < mounts->n; i++) {
                const struct host_mount *mount = &mounts->items[i];

                if (!mount_is_known(mount))
                        continue;
                used += (double) (mount->total_bytes - mount->free_bytes);
                available += (double) mount->available_bytes;
        }
        return share(used, used + available);
}
