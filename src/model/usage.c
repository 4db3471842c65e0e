/* The formulas of FACTS 6.6. Whatever is not known, not fresh or not possible is NaN, never a guess
 * without its word. */

#include "model/usage.h"

#include <string.h>

#define CPUS_MAX 8192 /* that a Linux host can have (x86, NR_CPUS) */

const char *usage_source_to_string(enum usage_source source) {
        static const char *const words[USAGE_SOURCE_MAX_] = {
                [USAGE_UNKNOWN] = "",
                [USAGE_CGROUP] = "cgroup",
                [USAGE_PROC] = "process",
                [USAGE_LIBVIRT] = "libvirt",
                [USAGE_GUEST] = "guest",
                [USAGE_BALLOON] = "balloon",
                [USAGE_HOST_RSS] = "host-rss",
                [USAGE_PHYSICAL] = "physical",
                [USAGE_BLOCKS] = "blocks",
                [USAGE_ALLOCATION] = "allocation",
        };

        return words[source];
}

static double clamp(double percent) {
        return isnan(percent) ? STATS_NAN : percent > 100 ? 100 : percent;
}

static bool known(uint64_t value) {
        return value != STATS_UNKNOWN;
}

static double percent(uint64_t part, uint64_t whole) {
        return whole ? 100.0 * (double) part / (double) whole : STATS_NAN;
}

/* A CPU that is hot-plugged between two readings counts for the window only once it is in both. */
static double window_cpus(const struct stats *before, const struct stats *now) {
        if (before->cpus > 0 && before->cpus < now->cpus)
                return before->cpus;
        return now->cpus;
}

static void usage_cpu(const struct stats *before, const struct stats *now, struct usage *usage) {
        uint64_t elapsed_us;
        double cpus, rate, delay = 0;
        bool delay_known = false;

        if (!before || !known(now->cpu_ns))
                return;
        if (before->life != now->life || now->mono_us <= before->mono_us ||
                        (known(before->cpu_ns) && now->cpu_ns < before->cpu_ns)) {
                usage->reset = true;
                return;
        }
        elapsed_us = now->mono_us - before->mono_us;
        cpus = window_cpus(before, now);
        if (cpus <= 0)
                return;

        rate = stats_rate(before->cpu_ns, now->cpu_ns, elapsed_us);
        if (rate > CPUS_MAX * 1e9) {
                usage->reset = true; /* no machine does so much: one of the two is no counter */
                return;
        }
        usage->cpu_raw_percent = rate / 1e7 / cpus;
        usage->cpu_percent = clamp(usage->cpu_raw_percent);
        for (size_t i = 0; i < now->n_vcpus; i++) {
                const struct stats_vcpu *old = stats_find_vcpu(before, now->vcpus[i].number);

                rate = old ? stats_rate(old->delay_ns, now->vcpus[i].delay_ns, elapsed_us)
                           : STATS_NAN;
                if (isnan(rate))
                        continue;
                delay += rate;
                delay_known = true;
        }
        if (delay_known)
                usage->steal_percent = clamp(delay / 1e7 / cpus);
}

/* Guest numbers are believed while the guest goes on reporting. A report from the time after now
 * is one from before the clock was set back. */
static bool balloon_is_fresh(const struct stats *now, uint64_t period_us) {
        const uint64_t now_s = now->at_us / USEC_PER_SEC, told_s = now->balloon.updated_s;
        const uint64_t age_s = now_s > told_s ? now_s - told_s : told_s - now_s;

        if (!told_s)
                return false;
        return period_us == 0 || now->paused || age_s <= 3 * period_us / USEC_PER_SEC + 1;
}

static void usage_vm_memory(const struct stats *now, uint64_t period_us, struct usage *usage) {
        const struct stats_balloon *balloon = &now->balloon;
        uint64_t size = known(balloon->current) ? balloon->current : balloon->maximum, rss;

        if (known(balloon->available) && balloon->available && balloon_is_fresh(now, period_us)) {
                if (known(balloon->usable) && balloon->usable <= balloon->available) {
                        usage->memory_percent = percent(
                                        balloon->available - balloon->usable, balloon->available);
                        usage->memory_source = USAGE_GUEST;
                        return;
                }
                if (known(balloon->unused) && balloon->unused <= balloon->available) {
                        usage->memory_percent = percent(
                                        balloon->available - balloon->unused, balloon->available);
                        usage->memory_source = USAGE_BALLOON;
                        return;
                }
        }
        rss = known(balloon->rss) ? balloon->rss : now->memory_bytes;
        if (known(rss) && rss && known(size) && size) {
                usage->memory_percent = clamp(percent(rss, size));
                usage->memory_source = USAGE_HOST_RSS;
        }
}

static void usage_group_memory(const struct stats *now, uint64_t host_bytes, struct usage *usage) {
        uint64_t limit = known(now->memory_limit_bytes) ? now->memory_limit_bytes : host_bytes;
        uint64_t used = now->memory_bytes;

        if (host_bytes && limit > host_bytes)
                limit = host_bytes;
        if (!known(used) || limit == 0)
                return;
        if (known(now->memory_cache_bytes))
                used = used > now->memory_cache_bytes ? used - now->memory_cache_bytes : 0;
        usage->memory_percent = clamp(percent(used, limit));
        usage->memory_source = USAGE_CGROUP;
}

/* Told, and so that as many as there may be can be summed up. */
static bool is_size(uint64_t bytes) {
        return bytes <= INT64_MAX / STATS_DEVICES_MAX;
}

/* What one disk adds to the sums. Return: the word for it; USAGE_UNKNOWN: it says nothing. */
static enum usage_source block_use(
                const struct stats_block *block, uint64_t *used, uint64_t *capacity) {
        if (!is_size(block->capacity_bytes) || !block->capacity_bytes ||
                        !is_size(block->physical_bytes))
                return USAGE_UNKNOWN;
        if (strncmp(block->path, "/dev/", 5) == 0) {
                if (!is_size(block->allocation_bytes) || !block->physical_bytes ||
                                block->allocation_bytes == 0)
                        return USAGE_UNKNOWN;
                *used += block->allocation_bytes;
                *capacity += block->physical_bytes;
                return USAGE_ALLOCATION;
        }
        *capacity += block->capacity_bytes;
        if (block->physical_bytes != block->capacity_bytes) {
                *used += block->physical_bytes;
                return USAGE_PHYSICAL;
        }
        /* Where QEMU says that a raw image takes nothing, libvirt 9 tells its length instead
         * (measured): all of it and nothing of it look the same, unless the file is looked at. */
        if (is_size(block->file_bytes)) {
                *used += block->file_bytes;
                return USAGE_BLOCKS;
        }
        *capacity -= block->capacity_bytes;
        return USAGE_UNKNOWN;
}

/* Of all disks together; the word is that of most weight among them. */
static void usage_disk(const struct stats *now, struct usage *usage) {
        static const enum usage_source by_weight[] = { USAGE_PHYSICAL, USAGE_BLOCKS,
                USAGE_ALLOCATION };
        bool seen[USAGE_SOURCE_MAX_] = {};
        uint64_t used = 0, capacity = 0;
        enum usage_source source = USAGE_UNKNOWN;

        if (known(now->fs_total_bytes) && now->fs_total_bytes && known(now->fs_used_bytes)) {
                usage->disk_percent = clamp(percent(now->fs_used_bytes, now->fs_total_bytes));
                usage->disk_fullest_percent = now->fs_fullest_percent;
                usage->disk_source = USAGE_GUEST;
                return;
        }
        for (size_t i = 0; i < now->n_blocks; i++)
                seen[block_use(&now->blocks[i], &used, &capacity)] = true;
        for (size_t i = ARRAY_SIZE(by_weight); i > 0; i--)
                source = seen[by_weight[i - 1]] ? by_weight[i - 1] : source;
        if (capacity) {
                usage->disk_percent = clamp(percent(used, capacity));
                usage->disk_source = source;
        }
}

void usage_compute(const struct stats *before, const struct stats *now, enum workload_kind kind,
                uint64_t balloon_period_us, uint64_t host_memory_bytes, struct usage *ret_usage) {
        struct usage usage = USAGE_NONE;

        usage_cpu(before, now, &usage);
        if (!isnan(usage.cpu_percent)) {
                usage.cpu_source = now->origin == STATS_FROM_RUNTIME ? USAGE_LIBVIRT
                                : kind == WORKLOAD_VM                ? USAGE_PROC
                                                                     : USAGE_CGROUP;
        }
        if (kind == WORKLOAD_VM && !known(now->memory_limit_bytes))
                usage_vm_memory(now, balloon_period_us, &usage);
        else /* a domain of libvirt's LXC driver is a control group too */
                usage_group_memory(now, host_memory_bytes, &usage);
        usage_disk(now, &usage);
        *ret_usage = usage;
}
