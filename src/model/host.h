#pragma once
/* One reading of the host itself: the counters and levels that its kernel tells in /proc, and its
 * file systems; and what two readings come to. What is not told, or is absurd, stays "not told"
 * (STATS_UNKNOWN, NaN). Pure: host_parse.c turns text into numbers, host.c compares. */

#include "model/stats.h"

#define HOST_CPUS_MAX    4096
#define HOST_DEVICES_MAX 256 /* of each kind; more are counted in refused */

enum host_mode {
        HOST_USER, /* with the guests' time in it */
        HOST_NICE, /* with the low-priority guests' time in it */
        HOST_SYSTEM,
        HOST_IDLE,
        HOST_IOWAIT,
        HOST_IRQ,
        HOST_SOFTIRQ,
        HOST_STEAL,
        HOST_SUMMED_, /* the modes before are all time there is; those behind are parts */
        HOST_GUEST = HOST_SUMMED_, /* part of user */
        HOST_GUEST_NICE,           /* part of nice */
        HOST_MODE_MAX_,
};

/** "user" "nice" … */
const char *host_mode_to_string(enum host_mode mode);

enum host_resource {
        HOST_CPU,
        HOST_MEMORY,
        HOST_IO,
        HOST_RESOURCE_MAX_,
};

/** "cpu" "memory" "io": also the names of the files in /proc/pressure. */
const char *host_resource_to_string(enum host_resource resource);

/* Pressure stall information: what share of the time some, or all, tasks waited for a resource. */
struct host_stall {
        double avg10_percent, avg60_percent, avg300_percent; /* NaN: not told */
        uint64_t total_us;
};

struct host_pressure {
        struct host_stall some, full;
};

struct host_cpu {
        unsigned int number;
        uint64_t busy_ns, idle_ns; /* idle: with waiting for I/O */
};

struct host_net {
        char name[64];
        uint64_t rx_bytes, rx_packets, rx_errors, rx_drops;
        uint64_t tx_bytes, tx_packets, tx_errors, tx_drops;
};

struct host_disk {
        char name[64];
        uint64_t reads, read_bytes, read_ns;
        uint64_t writes, written_bytes, write_ns;
        uint64_t busy_ns; /* something was under way */
};

struct host {
        uint64_t at_us, mono_us; /* CLOCK_REALTIME, CLOCK_MONOTONIC of the reading */

        uint64_t cpu_ns[HOST_MODE_MAX_]; /* of all CPUs since boot */
        struct host_cpu *cpus;           /* those online */
        size_t n_cpus;
        uint64_t boot_s; /* CLOCK_REALTIME seconds */
        uint64_t tasks_running, tasks_blocked;

        uint64_t memory_total_bytes, memory_free_bytes, memory_available_bytes;
        uint64_t buffers_bytes, cached_bytes;
        uint64_t swap_total_bytes, swap_free_bytes;

        double load1, load5, load15; /* NaN: not told */
        double uptime_s;             /* NaN: not told */
        bool has_pressure;           /* the kernel tells any */
        struct host_pressure pressure[HOST_RESOURCE_MAX_];
        uint64_t oom_kills; /* since boot */

        struct host_net *nets;
        size_t n_nets;
        struct host_disk *disks;
        size_t n_disks;
        uint64_t refused; /* devices and CPUs past the bound */
};

/** All fields "not told". Return: NULL no memory. */
struct host *host_new(void);
struct host *host_free(struct host *host);
DEFINE_FREEP(struct host, host_free);

const struct host_net *host_find_net(const struct host *host, const char *name);
const struct host_disk *host_find_disk(const struct host *host, const char *name);

/* ---- file systems: read apart from the rest, because they can hang ---- */

struct host_mount {
        char device[24];         /* "254:0" */
        char source[128];        /* "/dev/vda"; for showing */
        char point[256];         /* where it is mounted; for showing */
        char type[32];           /* "ext4" */
        char *path;              /* where it is mounted, as the kernel wants it */
        unsigned int id, parent; /* of the mount (proc_pid_mountinfo(5)) */
        bool whole;              /* its root is what is mounted, not a folder of it */
        bool read_only;
        bool stuck; /* it did not answer; its numbers are not told until it does */
        uint64_t total_bytes, free_bytes, available_bytes; /* available: to all users */
        uint64_t inodes, free_inodes;
};

struct host_mounts {
        uint64_t at_us, mono_us;
        struct host_mount *items;
        size_t n;
        uint64_t refused;
};

struct host_mounts *host_mounts_new(void);
struct host_mounts *host_mounts_free(struct host_mounts *mounts);
DEFINE_FREEP(struct host_mounts, host_mounts_free);

/** How full a file system is, as df(1) counts it: used of used and available. NaN: not known. */
double host_mount_percent(const struct host_mount *mount);
/** The same of all that answer together; NaN: none does. */
double host_mounts_percent(const struct host_mounts *mounts);

/* ---- what two readings come to ---- */

struct host_usage {
        double cpu_percent; /* 100: all CPUs were busy all the time */
        double mode_percent[HOST_MODE_MAX_];
        double memory_percent; /* not available, of the total */
        double swap_percent;   /* NaN where there is no swap */
        bool reset;            /* a counter went backwards; nothing can be said this time */
};

#define HOST_USAGE_NONE                                                     \
        {                                                                   \
                .cpu_percent = STATS_NAN,                                   \
                .mode_percent = { [0 ... HOST_MODE_MAX_ - 1] = STATS_NAN }, \
                .memory_percent = STATS_NAN, .swap_percent = STATS_NAN,     \
        }

/** @before: NULL: none, so no CPU. Never negative, never above 100. */
void host_compare(const struct host *before, const struct host *now, struct host_usage *ret_usage);

/** How busy one CPU was, in per cent; NaN: not known. */
double host_cpu_percent(const struct host *before, const struct host *now, unsigned int number);

/** Undo what the kernel takes back of idle and iowait now and then (proc(5) warns of it), so that
 * they are counters. A real new beginning stays one. */
void host_keep_rising(const struct host *before, struct host *now);

/* ---- parsers: the text of one file each; what they do not find stays as it was ---- */

/* Names by glob(7) pattern. */
struct host_patterns {
        const char *const *items;
        size_t n;
};

/** Return: 0; -ENOMEM. */
int host_parse_stat(const char *text, struct host *host);
void host_parse_meminfo(const char *text, struct host *host);
void host_parse_loadavg(const char *text, struct host *host);
void host_parse_uptime(const char *text, struct host *host);
void host_parse_vmstat(const char *text, struct host *host);
void host_parse_pressure(const char *text, enum host_resource resource, struct host *host);
/** @ignore: names that are left out. Return: 0; -ENOMEM. */
int host_parse_net_dev(const char *text, const struct host_patterns *ignore, struct host *host);
int host_parse_diskstats(const char *text, const struct host_patterns *ignore, struct host *host);

/**
 * The file systems of the given types that can be seen, each once, from /proc/self/mountinfo. One
 * that another mount lies over is left out: a look at it would meet the other.
 *
 * @types: names of file system types; patterns are allowed
 *
 * Return: 0; -ENOMEM.
 */
int host_parse_mountinfo(
                const char *text, const struct host_patterns *types, struct host_mounts *mounts);
