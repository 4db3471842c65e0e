/* Workloads as JSON. Numbers that are not known are null, never left to be guessed. */

#include "api/view.h"

#include <string.h>

#include "base/json.h"
#include "engine/actions.h"
#include "engine/apps.h"
#include "engine/sampler.h"

#define MIB (1024.0 * 1024.0)
#define GIB (1024.0 * MIB)

void view_add_number(struct json_object *object, const char *name, double value) {
        char text[320];

        if (isnan(value) || isinf(value)) {
                (void) json_object_object_add(object, name, NULL);
                return;
        }
        (void) snprintf(text, sizeof(text), "%.2f", value);
        for (size_t n = strlen(text); text[n - 1] == '0' || text[n - 1] == '.'; n--) {
                bool point = text[n - 1] == '.';

                text[n - 1] = '\0';
                if (point)
                        break;
        }
        (void) json_add(object, name, json_object_new_double_s(value, text));
}

void view_add_count(struct json_object *object, const char *name, uint64_t value) {
        if (value == STATS_UNKNOWN)
                (void) json_object_object_add(object, name, NULL);
        else
                (void) json_add_uint(object, name, value);
}

static double scaled(uint64_t value, double unit) {
        return value == STATS_UNKNOWN ? STATS_NAN : (double) value / unit;
}

struct json_object *view_allocation(const struct series *series) {
        struct json_object *object, *disks = json_object_new_array(),
                                    *nets = json_object_new_array();
        const struct allocation *allocation = series ? &series->allocation : NULL;

        if (!allocation || !allocation->known) {
                (void) json_object_put(disks);
                (void) json_object_put(nets);
                return NULL;
        }
        object = json_object_new_object();
        view_add_number(object, "vcpus", allocation->vcpus);
        view_add_number(object, "memory_mb", scaled(allocation->memory_bytes, MIB));
        for (size_t i = 0; i < allocation->n_disks; i++) {
                struct json_object *disk = json_object_new_object();

                (void) json_add_string(disk, "target", allocation->disks[i].target);
                view_add_number(disk, "capacity_gb",
                                scaled(allocation->disks[i].capacity_bytes, GIB));
                (void) json_object_array_add(disks, disk);
        }
        (void) json_add(object, "disks", disks);
        view_add_count(object, "vcpus_max", allocation->vcpus_max);
        view_add_number(object, "memory_max_mb", scaled(allocation->memory_max_bytes, MIB));
        (void) json_add_bool(object, "cpu_limited", allocation->cpu_limited);
        (void) json_add_bool(object, "memory_limited", allocation->memory_limited);
        view_add_number(object, "memory_reserved_mb",
                        scaled(allocation->memory_reserved_bytes, MIB));
        view_add_count(object, "cpu_weight", allocation->cpu_weight);
        for (size_t i = 0; i < allocation->n_nets; i++)
                (void) json_object_array_add(nets, json_object_new_string(allocation->nets[i]));
        (void) json_add(object, "interfaces", nets);
        return object;
}

struct json_object *view_sample(const struct sample *sample) {
        struct json_object *object = json_object_new_object();

        (void) json_add_time(object, "at", sample->at_us);
        view_add_number(object, "cpu_pct", (double) sample->cpu_percent);
        view_add_number(object, "mem_pct", (double) sample->memory_percent);
        view_add_number(object, "disk_pct", (double) sample->disk_percent);
        return object;
}

struct json_object *view_samples(const struct series *series, uint64_t since_us) {
        struct json_object *samples = json_object_new_array();

        for (size_t i = 0; series && i < ring_size(&series->ring); i++) {
                if (ring_at(&series->ring, i)->at_us > since_us)
                        (void) json_object_array_add(
                                        samples, view_sample(ring_at(&series->ring, i)));
        }
        return samples;
}

/* ---- the newest values ---- */

static struct json_object *view_usage(const struct series *series) {
        const struct sample *newest = ring_newest(&series->ring);
        const struct usage *usage = &series->usage;
        struct json_object *object;

        if (!series->running || !newest)
                return NULL;
        object = view_sample(newest);
        view_add_number(object, "mem_pct", usage->memory_percent); /* see struct series */
        view_add_number(object, "disk_pct", usage->disk_percent);
        (void) json_add_string(object, "cpu_source", usage_source_to_string(usage->cpu_source));
        (void) json_add_string(object, "mem_source", usage_source_to_string(usage->memory_source));
        (void) json_add_string(object, "disk_source", usage_source_to_string(usage->disk_source));
        view_add_number(object, "cpu_raw_pct", usage->cpu_raw_percent);
        view_add_number(object, "disk_fullest_pct", usage->disk_fullest_percent);
        view_add_number(object, "steal_pct", usage->steal_percent);
        return object;
}

static void add_rate(struct json_object *object, const char *name, const uint64_t *before,
                uint64_t now, uint64_t elapsed_us) {
        view_add_number(object, name, before ? stats_rate(*before, now, elapsed_us) : STATS_NAN);
}

static struct json_object *view_nets(const struct stats *before, const struct stats *now) {
        struct json_object *nets = json_object_new_array();
        uint64_t elapsed_us = before ? now->mono_us - before->mono_us : 0;

        for (size_t i = 0; i < now->n_nets; i++) {
                const struct stats_net *net = &now->nets[i],
                                       *old = before ? stats_find_net(before, net->name) : NULL;
                struct json_object *object = json_object_new_object();

                (void) json_add_string(object, "name", net->name);
                view_add_count(object, "rx_bytes", net->rx_bytes);
                view_add_count(object, "tx_bytes", net->tx_bytes);
                view_add_count(object, "rx_packets", net->rx_packets);
                view_add_count(object, "tx_packets", net->tx_packets);
                view_add_count(object, "rx_errors", net->rx_errors);
                view_add_count(object, "tx_errors", net->tx_errors);
                view_add_count(object, "rx_drops", net->rx_drops);
                view_add_count(object, "tx_drops", net->tx_drops);
                add_rate(object, "rx_bytes_per_s", old ? &old->rx_bytes : NULL, net->rx_bytes,
                                elapsed_us);
                add_rate(object, "tx_bytes_per_s", old ? &old->tx_bytes : NULL, net->tx_bytes,
                                elapsed_us);
                /* NOLINTNEXTLINE(readability-suspicious-call-argument): no swap */
                (void) json_object_array_add(nets, object);
        }
        return nets;
}

static struct json_object *view_blocks(const struct stats *before, const struct stats *now) {
        struct json_object *blocks = json_object_new_array();
        uint64_t elapsed_us = before ? now->mono_us - before->mono_us : 0;

        for (size_t i = 0; i < now->n_blocks; i++) {
                const struct stats_block *block = &now->blocks[i],
                                         *old = before ? stats_find_block(before, block->name)
                                                       : NULL;
                struct json_object *object = json_object_new_object();

                (void) json_add_string(object, "target", block->name);
                (void) json_add_string(object, "path", block->path[0] ? block->path : NULL);
                view_add_count(object, "read_bytes", block->read_bytes);
                view_add_count(object, "write_bytes", block->write_bytes);
                view_add_count(object, "read_requests", block->read_requests);
                view_add_count(object, "write_requests", block->write_requests);
                view_add_count(object, "allocation_bytes", block->allocation_bytes);
                view_add_count(object, "capacity_bytes", block->capacity_bytes);
                view_add_count(object, "physical_bytes", block->physical_bytes);
                view_add_count(object, "file_bytes", block->file_bytes);
                add_rate(object, "read_bytes_per_s", old ? &old->read_bytes : NULL,
                                block->read_bytes, elapsed_us);
                add_rate(object, "write_bytes_per_s", old ? &old->write_bytes : NULL,
                                block->write_bytes, elapsed_us);
                /* NOLINTNEXTLINE(readability-suspicious-call-argument): no swap */
                (void) json_object_array_add(blocks, object);
        }
        return blocks;
}

static struct json_object *view_vcpus(const struct stats *before, const struct stats *now) {
        struct json_object *vcpus = json_object_new_array();
        uint64_t elapsed_us = before ? now->mono_us - before->mono_us : 0;

        for (size_t i = 0; i < now->n_vcpus; i++) {
                const struct stats_vcpu *vcpu = &now->vcpus[i],
                                        *old = before ? stats_find_vcpu(before, vcpu->number)
                                                      : NULL;
                struct json_object *object = json_object_new_object();

                (void) json_add_uint(object, "number", vcpu->number);
                view_add_count(object, "time_ns", vcpu->time_ns);
                view_add_number(object, "busy_pct",
                                old ? stats_rate(old->time_ns, vcpu->time_ns, elapsed_us) / 1e7
                                    : STATS_NAN);
                view_add_number(object, "steal_pct",
                                old ? stats_rate(old->delay_ns, vcpu->delay_ns, elapsed_us) / 1e7
                                    : STATS_NAN);
                /* NOLINTNEXTLINE(readability-suspicious-call-argument): no swap */
                (void) json_object_array_add(vcpus, object);
        }
        return vcpus;
}

static struct json_object *view_file_systems(const struct stats *now) {
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < now->n_fs; i++) {
                const struct stats_fs *fs = &now->fs[i];
                struct json_object *told = json_object_new_object();

                (void) json_add_string(told, "mountpoint", fs->mountpoint);
                (void) json_add_string(told, "device", fs->device);
                (void) json_add_string(told, "type", fs->type);
                view_add_count(told, "used_bytes", fs->used_bytes);
                view_add_count(told, "total_bytes", fs->total_bytes);
                (void) json_object_array_add(array, told);
        }
        return array;
}

static void add_detail(struct json_object *object, const struct series *series) {
        const struct stats *now = series_stats(series), *before = series_stats_before(series);

        (void) json_add(object, "samples", view_samples(series, 0));
        if (!now)
                return;
        (void) json_add(object, "vcpus", view_vcpus(before, now));
        (void) json_add(object, "interfaces", view_nets(before, now));
        (void) json_add(object, "disks", view_blocks(before, now));
        if (now->n_fs)
                (void) json_add(object, "file_systems", view_file_systems(now));
}

/* What may be asked for it now, and why not the rest. */
static void add_actions(const struct api_context *api, const struct workload *workload,
                struct json_object *object) {
        struct json_object *words = json_object_new_array(), *refused = json_object_new_object();
        struct diag diag = {};

        for (int i = 0; i < ACTION_VERB_MAX_; i++) {
                const char *word = action_verb_to_string((enum action_verb) i);

                if (actions_check(api->actions, workload, (enum action_verb) i, &diag) < 0)
                        (void) json_add_string(refused, word, diag.text);
                else
                        (void) json_object_array_add(words, json_object_new_string(word));
        }
        (void) json_add(object, "actions", words);
        (void) json_add(object, "actions_refused", refused);
}

struct json_object *view_workload(
                const struct api_context *api, const struct workload *workload, bool detail) {
        const struct series *series = api->sampler ? sampler_get(api->sampler, workload->id) : NULL;
        struct json_object *object = workload_to_json(workload);

        if (object && api->apps)
                (void) json_add_string(object, "slug", apps_slug_of(api->apps, workload));
        if (object && api->actions && actions_enabled(api->actions))
                add_actions(api, workload, object);
        if (!object || !series)
                return object;
        (void) json_object_object_add(object, "allocation", view_allocation(series));
        (void) json_object_object_add(object, "sample", view_usage(series));
        if (series->hung_since_us)
                (void) json_add_time(object, "monitor_hung_since", series->hung_since_us);
        if (detail)
                add_detail(object, series);
        return object;
}
