#pragma once
/* What a workload uses, in per cent of what it was given: two readings in, three numbers out, each
 * with the word for where it comes from (FACTS 6.6). Pure. */

#include "model/exit.h"
#include "model/stats.h"

enum usage_source {
        USAGE_UNKNOWN,    /* "" */
        USAGE_CGROUP,     /* "cgroup": counters of its control group */
        USAGE_PROC,       /* "process": counters of its process */
        USAGE_LIBVIRT,    /* "libvirt": cpu.time */
        USAGE_GUEST,      /* "guest": what the guest itself says (usable memory, file systems) */
        USAGE_BALLOON,    /* "balloon": available minus unused: counts the page cache as used */
        USAGE_HOST_RSS,   /* "host-rss": resident set of QEMU; does not fall when the guest frees */
        USAGE_PHYSICAL,   /* "physical": bytes the image takes on the host */
        USAGE_BLOCKS,     /* "blocks": bytes a raw image takes on the host, by stat(2) */
        USAGE_ALLOCATION, /* "allocation": how full the volume under a qcow2 is */
        USAGE_SOURCE_MAX_,
};

const char *usage_source_to_string(enum usage_source source);

struct usage {
        /* Per cent; NaN: unknown. cpu_percent is shown from 0 to 100, the raw value beside it may
         * pass 100 (emulator and I/O threads). */
        double cpu_percent, cpu_raw_percent, memory_percent, disk_percent;
        double disk_fullest_percent; /* of the guest's fullest file system */
        double steal_percent; /* of its vCPUs' time: runnable, and the host did not run them */
        enum usage_source cpu_source, memory_source, disk_source;
        bool reset; /* a counter went backwards or began anew: nothing can be said this time */
};

#define USAGE_NONE                                                            \
        {                                                                     \
                .cpu_percent = STATS_NAN, .cpu_raw_percent = STATS_NAN,       \
                .memory_percent = STATS_NAN, .disk_percent = STATS_NAN,       \
                .disk_fullest_percent = STATS_NAN, .steal_percent = STATS_NAN \
        }

/**
 * Compare two readings of one origin.
 *
 * @before:            NULL: none, so no CPU
 * @now:               the newer one
 * @balloon_period_us: how often the guest reports; older than three of them is not believed. 0: the
 *                     guest's numbers are believed at any age
 * @host_memory_bytes: what 100 % is where a container has no limit
 */
void usage_compute(const struct stats *before, const struct stats *now, enum workload_kind kind,
                uint64_t balloon_period_us, uint64_t host_memory_bytes, struct usage *ret_usage);
