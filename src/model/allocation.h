#pragma once
/* What a workload was given: CPUs, memory, disks, network interfaces. It follows hot-plug, resizing
 * and changed limits, because each reading brings it anew. Pure. */

#include "model/exit.h"
#include "model/stats.h"

struct allocation_disk {
        char target[64];
        uint64_t capacity_bytes; /* STATS_UNKNOWN: not known */
};

struct allocation {
        bool known;
        double vcpus;       /* VMs: current vCPUs; containers: quota/period, or the host's CPUs */
        uint64_t vcpus_max; /* STATS_UNKNOWN: not known */
        bool cpu_limited;   /* false: the host's CPUs are the limit */
        uint64_t memory_bytes; /* VMs: the balloon's size; containers: the limit, or the host's */
        uint64_t memory_max_bytes; /* VMs: what the balloon may grow to */
        bool memory_limited;
        uint64_t memory_reserved_bytes; /* STATS_UNKNOWN: nothing is kept for it */
        uint64_t cpu_weight;            /* STATS_UNKNOWN: not known */
        struct allocation_disk *disks;
        size_t n_disks;
        char (*nets)[64];
        size_t n_nets;
};

void allocation_done(struct allocation *allocation);

/**
 * Take over what @stats says was given; what it does not say stays.
 *
 * @host_cpus, @host_memory_bytes: what an unlimited container has
 *
 * Return: 1 something changed; 0 nothing did; -ENOMEM (the old one stays).
 */
int allocation_update(struct allocation *allocation, const struct stats *stats,
                enum workload_kind kind, double host_cpus, uint64_t host_memory_bytes);
