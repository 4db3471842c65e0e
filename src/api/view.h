#pragma once
/* A workload as faces show it: what the inventory, the sampler and the model know of it, in one
 * JSON object. */

#include <json-c/json.h>

#include "api/api.h"

struct workload;
struct series;
struct sample;

/** The object of GET /api/v1/workloads/{id} and of Describe(): identity, state, last exit,
 * allocation, newest values. @detail: with devices and their rates too. Caller puts; NULL: no
 * memory. */
struct json_object *view_workload(
                const struct api_context *api, const struct workload *workload, bool detail);
/** {"vcpus","memory_mb","disks":[{"target","capacity_gb"}],…}; NULL: nothing is known. */
struct json_object *view_allocation(const struct series *series);
/** [{"at","cpu_pct","mem_pct","disk_pct"}], the oldest first. @since_us: newer ones only. */
struct json_object *view_samples(const struct series *series, uint64_t since_us);
struct json_object *view_sample(const struct sample *sample);

/** A number with two decimals, more than any of this is true to; null for NaN. */
void view_add_number(struct json_object *object, const char *name, double value);
/** null for STATS_UNKNOWN. */
void view_add_count(struct json_object *object, const char *name, uint64_t value);
