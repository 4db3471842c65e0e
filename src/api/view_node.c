/* The node as JSON. */

#include "api/view_node.h"

#include <string.h>

#include "api/view.h"
#include "base/json.h"
#include "base/text.h"
#include "engine/node.h"
#include "engine/tracker.h"

/* ---- facts ---- */

static const char *role_of(const struct api_context *api) {
        static const char *const runtimes[] = { "docker", "podman", "containerd" };
        const char *role = "host";
        struct tracker_source *source;

        list_for_each(source, tracker_sources(api->tracker), list) {
                if (text_starts_with(source->name, "libvirt"))
                        return "hypervisor";
                for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++)
                        if (text_starts_with(source->name, runtimes[i]))
                                role = "container-host";
        }
        return role;
}

static const char *status_of(const struct api_context *api) {
        if (api->stopping)
                return "stopping";
        if (api_not_ready(api) > 0)
                return "not-ready";
        return node_reading(api) ? "ready" : "unknown";
}

const struct host *node_reading(const struct api_context *api) {
        return api->node && node_is_read(api->node) ? api->node->newest : NULL;
}

void node_get_facts(const struct api_context *api, struct node_facts *ret_facts) {
        const struct host *host = api->node ? api->node->newest : NULL;
        struct node_facts facts = { .name = api->node_name };
        struct workload *workload;

        facts.role = role_of(api);
        facts.status = status_of(api);
        if (api->node) {
                facts.cpu_percent = api->node->cpu_percent;
                facts.sampled_us = api->node->sampled_us;
        }
        if (host) {
                facts.cpus = host->n_cpus;
                if (host->memory_total_bytes != STATS_UNKNOWN)
                        facts.memory_total_bytes = host->memory_total_bytes;
                if (host->memory_available_bytes <= facts.memory_total_bytes)
                        facts.memory_used_bytes =
                                        facts.memory_total_bytes - host->memory_available_bytes;
        }
        inventory_for_each(workload, tracker_inventory(api->tracker)) facts.running +=
                        workload->state == STATE_RUNNING;
        *ret_facts = facts;
}

/* ---- parts ---- */

static struct json_object *view_load(const struct host *host) {
        struct json_object *load = json_object_new_object();

        view_add_number(load, "1m", host->load1);
        view_add_number(load, "5m", host->load5);
        view_add_number(load, "15m", host->load15);
        return load;
}

static struct json_object *view_cpu(const struct node *node) {
        struct json_object *cpu = json_object_new_object(), *cpus = json_object_new_array();
        char name[24];

        for (enum host_mode mode = 0; mode < HOST_MODE_MAX_; mode++) {
                (void) snprintf(name, sizeof(name), "%s_pct", host_mode_to_string(mode));
                view_add_number(cpu, name, node->usage.mode_percent[mode]);
        }
        for (size_t i = 0; i < node->newest->n_cpus; i++) {
                struct json_object *one = json_object_new_object();
                unsigned int number = node->newest->cpus[i].number;

                (void) json_add_uint(one, "number", number);
                view_add_number(one, "busy_pct",
                                host_cpu_percent(node->before, node->newest, number));
                (void) json_object_array_add(cpus, one);
        }
        (void) json_add(cpu, "cpus", cpus);
        return cpu;
}

static struct json_object *view_memory(const struct node *node) {
        struct json_object *memory = json_object_new_object();
        const struct host *host = node->newest;

        view_add_count(memory, "total_bytes", host->memory_total_bytes);
        view_add_count(memory, "available_bytes", host->memory_available_bytes);
        view_add_count(memory, "free_bytes", host->memory_free_bytes);
        view_add_count(memory, "buffers_bytes", host->buffers_bytes);
        view_add_count(memory, "cached_bytes", host->cached_bytes);
        view_add_count(memory, "swap_total_bytes", host->swap_total_bytes);
        view_add_count(memory, "swap_free_bytes", host->swap_free_bytes);
        view_add_number(memory, "swap_pct", node->usage.swap_percent);
        view_add_count(memory, "oom_kills", host->oom_kills);
        return memory;
}

static struct json_object *view_stall(const struct host_stall *stall) {
        struct json_object *object = json_object_new_object();

        view_add_number(object, "avg10_pct", stall->avg10_percent);
        view_add_number(object, "avg60_pct", stall->avg60_percent);
        view_add_number(object, "avg300_pct", stall->avg300_percent);
        view_add_count(object, "total_us", stall->total_us);
        return object;
}

/* NULL: this kernel does not tell. */
static struct json_object *view_pressure(const struct host *host) {
        struct json_object *pressure;

        if (!host->has_pressure)
                return NULL;
        pressure = json_object_new_object();
        for (enum host_resource i = 0; i < HOST_RESOURCE_MAX_; i++) {
                struct json_object *one = json_object_new_object();

                (void) json_add(one, "some", view_stall(&host->pressure[i].some));
                (void) json_add(one, "full", view_stall(&host->pressure[i].full));
                (void) json_add(pressure, host_resource_to_string(i), one);
        }
        return pressure;
}

static uint64_t elapsed_us(const struct node *node) {
        return node->before ? node->newest->mono_us - node->before->mono_us : 0;
}

static struct json_object *view_nets(const struct node *node) {
        struct json_object *nets = json_object_new_array();

        for (size_t i = 0; i < node->newest->n_nets; i++) {
                const struct host_net *net = &node->newest->nets[i],
                                      *old = node->before ? host_find_net(node->before, net->name)
                                                          : NULL;
                struct json_object *one = json_object_new_object();

                (void) json_add_string(one, "name", net->name);
                view_add_count(one, "rx_bytes", net->rx_bytes);
                view_add_count(one, "tx_bytes", net->tx_bytes);
                view_add_count(one, "rx_packets", net->rx_packets);
                view_add_count(one, "tx_packets", net->tx_packets);
                view_add_count(one, "rx_errors", net->rx_errors);
                view_add_count(one, "tx_errors", net->tx_errors);
                view_add_count(one, "rx_drops", net->rx_drops);
                view_add_count(one, "tx_drops", net->tx_drops);
                view_add_number(one, "rx_bytes_per_s",
                                old ? stats_rate(old->rx_bytes, net->rx_bytes, elapsed_us(node))
                                    : STATS_NAN);
                view_add_number(one, "tx_bytes_per_s",
                                old ? stats_rate(old->tx_bytes, net->tx_bytes, elapsed_us(node))
                                    : STATS_NAN);
                (void) json_object_array_add(nets, one);
        }
        return nets;
}

static struct json_object *view_disks(const struct node *node) {
        struct json_object *disks = json_object_new_array();

        for (size_t i = 0; i < node->newest->n_disks; i++) {
                const struct host_disk *disk = &node->newest->disks[i],
                                       *old = node->before
                                ? host_find_disk(node->before, disk->name)
                                : NULL;
                struct json_object *one = json_object_new_object();
                double busy = old ? stats_rate(old->busy_ns, disk->busy_ns, elapsed_us(node)) / 1e7
                                  : STATS_NAN;

                (void) json_add_string(one, "name", disk->name);
                view_add_count(one, "reads", disk->reads);
                view_add_count(one, "writes", disk->writes);
                view_add_count(one, "read_bytes", disk->read_bytes);
                view_add_count(one, "written_bytes", disk->written_bytes);
                view_add_number(one, "read_bytes_per_s",
                                old ? stats_rate(old->read_bytes, disk->read_bytes,
                                                      elapsed_us(node))
                                    : STATS_NAN);
                view_add_number(one, "written_bytes_per_s",
                                old ? stats_rate(old->written_bytes, disk->written_bytes,
                                                      elapsed_us(node))
                                    : STATS_NAN);
                view_add_number(one, "busy_pct", busy > 100 ? 100 : busy);
                (void) json_object_array_add(disks, one);
        }
        return disks;
}

static struct json_object *view_mounts(const struct node *node) {
        const struct host_mounts *all = node_mounts(node);
        struct json_object *mounts;

        if (!all)
                return NULL;
        mounts = json_object_new_array();
        for (size_t i = 0; i < all->n; i++) {
                const struct host_mount *mount = &all->items[i];
                struct json_object *one = json_object_new_object();

                (void) json_add_string(one, "mountpoint", mount->point);
                (void) json_add_string(one, "source", mount->source);
                (void) json_add_string(one, "type", mount->type);
                (void) json_add_bool(one, "read_only", mount->read_only);
                (void) json_add_bool(one, "stuck", mount->stuck);
                view_add_count(one, "total_bytes", mount->total_bytes);
                view_add_count(one, "free_bytes", mount->free_bytes);
                view_add_count(one, "available_bytes", mount->available_bytes);
                view_add_count(one, "inodes", mount->inodes);
                view_add_count(one, "free_inodes", mount->free_inodes);
                view_add_number(one, "used_pct", host_mount_percent(mount));
                (void) json_object_array_add(mounts, one);
        }
        return mounts;
}

/* ---- the whole ---- */

static void add_frozen(struct json_object *object, const struct node_facts *facts) {
        (void) json_add_string(object, "name", facts->name);
        (void) json_add_string(object, "role", facts->role);
        (void) json_add_string(object, "status", facts->status);
        (void) json_add_uint(object, "cpu_cores", facts->cpus);
        view_add_number(object, "cpu_usage_percent", facts->cpu_percent);
        (void) json_add_uint(object, "memory_total_bytes", facts->memory_total_bytes);
        (void) json_add_uint(object, "memory_used_bytes", facts->memory_used_bytes);
        (void) json_add_uint(object, "pod_count", facts->running);
}

static void add_detail(struct json_object *object, const struct node *node) {
        const struct host *host = node->newest;
        struct json_object *samples = json_object_new_array(), *tasks = json_object_new_object();

        (void) json_add(object, "cpu", view_cpu(node));
        (void) json_add(object, "memory", view_memory(node));
        (void) json_object_object_add(object, "pressure", view_pressure(host));
        view_add_count(tasks, "running", host->tasks_running);
        view_add_count(tasks, "blocked", host->tasks_blocked);
        (void) json_add(object, "tasks", tasks);
        (void) json_add(object, "interfaces", view_nets(node));
        (void) json_add(object, "disks", view_disks(node));
        (void) json_object_object_add(object, "filesystems", view_mounts(node));
        for (size_t i = 0; i < ring_size(&node->ring); i++)
                (void) json_object_array_add(samples, view_sample(ring_at(&node->ring, i)));
        (void) json_add(object, "samples", samples);
}

struct json_object *view_node(const struct api_context *api, bool detail) {
        struct json_object *object = json_object_new_object();
        const struct host *host = node_reading(api);
        const struct sample *newest = api->node ? ring_newest(&api->node->ring) : NULL;
        struct node_facts facts;

        if (!object)
                return NULL;
        node_get_facts(api, &facts);
        add_frozen(object, &facts);
        (void) json_add_time(object, "sampled_at", facts.sampled_us);
        (void) json_add_time(object, "booted_at",
                        host && host->boot_s < UINT32_MAX ? host->boot_s * USEC_PER_SEC : 0);
        view_add_number(object, "uptime_secs", host ? host->uptime_s : STATS_NAN);
        (void) json_object_object_add(object, "load", host ? view_load(host) : NULL);
        (void) json_object_object_add(object, "sample", newest ? view_sample(newest) : NULL);
        if (detail && host)
                add_detail(object, api->node);
        return object;
}
