#pragma once
/* One reading of what a workload uses: the counters and levels of its kernel, its guest and its
 * runtime at one moment, as they were told. Judging them is usage.h's work. Pure. */

#include <math.h>

#include "base/macro.h"

#define STATS_UNKNOWN UINT64_MAX /* not told */

#define STATS_NAN ((double) NAN) /* of percentages and rates: not known */

#define STATS_VCPUS_MAX   512
#define STATS_DEVICES_MAX 128 /* of each kind; more are counted in devices_refused */
#define STATS_FS_MAX      32

struct stats_vcpu {
        unsigned int number;
        uint64_t state; /* libvirt's virVcpuState */
        uint64_t time_ns, wait_ns, delay_ns;
};

struct stats_net {
        char name[64];
        uint64_t rx_bytes, rx_packets, rx_errors, rx_drops;
        uint64_t tx_bytes, tx_packets, tx_errors, tx_drops;
};

struct stats_block {
        char name[64];  /* target: "vda"; containers: "8:0" */
        char path[256]; /* "" not told */
        uint64_t read_requests, read_bytes, read_ns;
        uint64_t write_requests, write_bytes, write_ns;
        uint64_t flush_requests, flush_ns;
        uint64_t allocation_bytes, capacity_bytes, physical_bytes;
        uint64_t file_bytes; /* of an image that is a file here: what the file system gave it */
};

/* How long some, or all, tasks of a control group waited for a resource (PSI). */
struct stats_pressure {
        uint64_t some_us, full_us;
};

/* A file system of the guest, as its agent tells it. */
struct stats_fs {
        char mountpoint[128], device[64], type[16];
        uint64_t used_bytes, total_bytes;
};

/* The guest's own memory numbers (virtio balloon), bytes. */
struct stats_balloon {
        uint64_t current, maximum; /* the size, not the use */
        uint64_t swap_in, swap_out;
        uint64_t unused, available, usable, rss, disk_caches;
        uint64_t major_faults, minor_faults;
        uint64_t updated_s; /* CLOCK_REALTIME seconds of the guest's report; 0: never */
};

enum stats_origin {
        STATS_FROM_KERNEL,  /* cgroup and /proc files */
        STATS_FROM_RUNTIME, /* libvirt's calls */
        STATS_ORIGIN_MAX_,
};

struct stats {
        enum stats_origin origin;
        uint64_t at_us;   /* CLOCK_REALTIME */
        uint64_t mono_us; /* CLOCK_MONOTONIC, the middle of the call */
        uint64_t life;    /* differs where the counters began anew: domain id, start time */
        bool paused;
        bool has_devices; /* blocks and nets are all there are */
        bool given_only;  /* says what was given, nothing of what is used */

        uint64_t cpu_ns, user_ns, system_ns;
        double cpus; /* what 100 % is: vCPUs, quota/period, or the host's CPUs; 0: not told */
        uint64_t vcpus_current, vcpus_maximum;
        uint64_t throttled_ns, throttled_periods, periods;

        uint64_t memory_bytes;          /* cgroup: usage; VM process: resident set */
        uint64_t memory_cache_bytes;    /* inactive_file */
        uint64_t memory_anon_bytes;     /* cgroup: anonymous memory */
        uint64_t memory_limit_bytes;    /* STATS_UNKNOWN: none */
        uint64_t memory_reserved_bytes; /* kept for it when memory is short: memory.low, or v1's
                                           soft limit */
        uint64_t cpu_weight;            /* its share among its siblings: v2's scale, 1..10000 */
        uint64_t memory_events_high, memory_events_max, oom_kills;
        uint64_t pids;
        struct stats_pressure cpu_pressure, memory_pressure, io_pressure;

        struct stats_balloon balloon;
        uint64_t fs_used_bytes, fs_total_bytes; /* the guest's own file systems, summed */
        double fs_fullest_percent;              /* of the fullest of them; NaN: not told */

        struct stats_vcpu *vcpus;
        size_t n_vcpus;
        struct stats_net *nets;
        size_t n_nets;
        struct stats_block *blocks;
        size_t n_blocks;
        struct stats_fs *fs;
        size_t n_fs;
        uint64_t devices_refused;
};

/** All fields "not told". Return: NULL no memory. */
struct stats *stats_new(enum stats_origin origin);
struct stats *stats_free(struct stats *stats);
DEFINE_FREEP(struct stats, stats_free);

/** One more element, all "not told"; a name becomes UTF-8 that fits, see text_fit(). Return: NULL
 * at the bound (counted) or no memory. */
struct stats_vcpu *stats_add_vcpu(struct stats *stats, unsigned int number);
struct stats_net *stats_add_net(struct stats *stats, const char *name);
struct stats_block *stats_add_block(struct stats *stats, const char *name);
struct stats_fs *stats_add_fs(struct stats *stats, const char *mountpoint);

/**
 * Sum @stats->fs up to fs_used_bytes, fs_total_bytes and fs_fullest_percent: each device once, and
 * none that is no disk of its own or cannot be written (iso9660, squashfs, tmpfs, overlay, …).
 * Those with absurd numbers are passed over. FACTS 6.6.
 */
void stats_sum_fs(struct stats *stats);

const struct stats_net *stats_find_net(const struct stats *stats, const char *name);
const struct stats_block *stats_find_block(const struct stats *stats, const char *name);
const struct stats_vcpu *stats_find_vcpu(const struct stats *stats, unsigned int number);

/** A rate per second between two readings of a counter; NaN where one is not told, the counter went
 * backwards or no time passed. */
double stats_rate(uint64_t before, uint64_t now, uint64_t elapsed_us);
