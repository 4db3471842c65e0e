#pragma once
/* This host as faces show it, in one place, so that REST, D-Bus and metrics say the same. */

#include <json-c/json.h>

#include "api/api.h"

struct host;

struct node_facts {
        const char *name;
        /** What it is here for: "hypervisor" (a source of VMs is configured), else "container-host"
         * (one of containers is), else "host". */
        const char *role;
        /** "ready"; "not-ready": a required source is not connected, or the store does not write;
         * "unknown": the host's numbers could not be read for three slots, those shown are old;
         * "stopping". */
        const char *status;
        uint64_t cpus; /* online */
        /* Always numbers: the last that were known; 0: none yet. */
        double cpu_percent;
        uint64_t memory_total_bytes, memory_used_bytes; /* used: not available */
        uint64_t running;                               /* workloads that run */
        uint64_t sampled_us; /* CLOCK_REALTIME of the slot the numbers are of; 0: none yet */
};

void node_get_facts(const struct api_context *api, struct node_facts *ret_facts);

/** The newest reading; NULL: none, or it is old. */
const struct host *node_reading(const struct api_context *api);

/**
 * The object of GET /api/v1/nodes and of Describe(). Its first eight members are always of their
 * type; those behind are null where unknown. @detail: with devices, file systems and samples too.
 * Caller puts; NULL: no memory.
 */
struct json_object *view_node(const struct api_context *api, bool detail);
