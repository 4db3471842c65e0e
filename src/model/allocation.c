/* Allocations, read off readings. */

#include "model/allocation.h"

#include <string.h>

static bool known(uint64_t value) {
        return value != STATS_UNKNOWN;
}

void allocation_done(struct allocation *allocation) {
        free(allocation->disks);
        free(allocation->nets);
        *allocation = (struct allocation){};
}

static bool same_devices(const struct allocation *allocation, const struct stats *stats) {
        if (allocation->n_disks != stats->n_blocks || allocation->n_nets != stats->n_nets)
                return false;
        for (size_t i = 0; i < stats->n_blocks; i++) {
                if (strcmp(allocation->disks[i].target, stats->blocks[i].name) != 0 ||
                                allocation->disks[i].capacity_bytes !=
                                                stats->blocks[i].capacity_bytes)
                        return false;
        }
        for (size_t i = 0; i < stats->n_nets; i++)
                if (strcmp(allocation->nets[i], stats->nets[i].name) != 0)
                        return false;
        return true;
}

static int take_devices(struct allocation *allocation, const struct stats *stats) {
        struct allocation_disk *disks = calloc(stats->n_blocks + 1, sizeof(*disks));
        char(*nets)[64] = calloc(stats->n_nets + 1, sizeof(*nets));

        if (!disks || !nets) {
                free(disks);
                free(nets);
                return -ENOMEM;
        }
        for (size_t i = 0; i < stats->n_blocks; i++) {
                memcpy(disks[i].target, stats->blocks[i].name, sizeof(disks[i].target));
                disks[i].capacity_bytes = stats->blocks[i].capacity_bytes;
        }
        for (size_t i = 0; i < stats->n_nets; i++)
                memcpy(nets[i], stats->nets[i].name, sizeof(nets[i]));
        free(allocation->disks);
        free(allocation->nets);
        allocation->disks = disks;
        allocation->n_disks = stats->n_blocks;
        allocation->nets = nets;
        allocation->n_nets = stats->n_nets;
        return 0;
}

static void take_vm(struct allocation *to, const struct stats *stats) {
        if (known(stats->vcpus_current))
                to->vcpus = (double) stats->vcpus_current;
        if (known(stats->vcpus_maximum))
                to->vcpus_max = stats->vcpus_maximum;
        if (known(stats->balloon.current))
                to->memory_bytes = stats->balloon.current;
        if (known(stats->balloon.maximum))
                to->memory_max_bytes = stats->balloon.maximum;
        to->cpu_limited = to->memory_limited = true;
}

static void take_group(struct allocation *to, const struct stats *stats, double host_cpus,
                uint64_t host_bytes) {
        to->vcpus = stats->cpus > 0 ? stats->cpus : host_cpus;
        to->cpu_limited = to->vcpus < host_cpus;
        to->memory_limited = known(stats->memory_limit_bytes) &&
                        (!host_bytes || stats->memory_limit_bytes < host_bytes);
        to->memory_bytes = to->memory_limited ? stats->memory_limit_bytes : host_bytes;
        to->memory_max_bytes = to->memory_bytes;
        to->memory_reserved_bytes = stats->memory_reserved_bytes;
        to->cpu_weight = stats->cpu_weight;
}

static bool same_number(double a, double b) {
        return a - b < 1e-6 && b - a < 1e-6;
}

int allocation_update(struct allocation *allocation, const struct stats *stats,
                enum workload_kind kind, double host_cpus, uint64_t host_memory_bytes) {
        struct allocation next = *allocation;
        bool changed;
        int r;

        if (!next.known) {
                next.vcpus_max = next.memory_max_bytes = STATS_UNKNOWN;
                next.memory_reserved_bytes = next.cpu_weight = STATS_UNKNOWN;
        }
        if (kind == WORKLOAD_VM)
                take_vm(&next, stats);
        else
                take_group(&next, stats, host_cpus, host_memory_bytes);

        changed = !allocation->known || !same_number(next.vcpus, allocation->vcpus) ||
                        next.vcpus_max != allocation->vcpus_max ||
                        next.memory_bytes != allocation->memory_bytes ||
                        next.memory_max_bytes != allocation->memory_max_bytes ||
                        next.cpu_limited != allocation->cpu_limited ||
                        next.memory_limited != allocation->memory_limited ||
                        next.memory_reserved_bytes != allocation->memory_reserved_bytes ||
                        next.cpu_weight != allocation->cpu_weight;
        /* Which devices a container uses is no allocation of its. */
        if (kind == WORKLOAD_VM && stats->has_devices && !same_devices(allocation, stats)) {
                r = take_devices(&next, stats);
                if (r < 0)
                        return r;
                changed = true;
        }
        next.known = true;
        *allocation = next;
        return changed;
}
