/* The host as a node: its meter reads at every tick, and its slots end with those of the
 * workloads. */

#include "base/log.h"
#include "daemon/config_keys.h"
#include "daemon/manager_internal.h"

static void on_host(struct host *host, void *userdata) {
        node_take(((struct manager *) userdata)->node, host);
}

static void on_mounts(struct host_mounts *mounts, void *userdata) {
        node_take_mounts(((struct manager *) userdata)->node, mounts);
}

static struct host_patterns patterns_of(const struct config_list *list) {
        return (struct host_patterns){ (const char *const *) list->items, list->n };
}

static int make_host_meter(struct manager *manager, const struct config *config,
                struct host_meter **ret_meter) {
        const struct host_meter_config meter = {
                .reader = { .types = patterns_of(&config->file_systems),
                                .ignore_nets = patterns_of(&config->ignore_interfaces),
                                .ignore_disks = patterns_of(&config->ignore_disks) },
        };

        return host_meter_new(&meter, manager->event,
                        &(struct host_meter_hooks){
                                        .host = on_host, .mounts = on_mounts, .userdata = manager },
                        ret_meter);
}

int manager_host_meter_stage(struct manager *manager, const struct config *config,
                struct host_meter **ret_meter) {
        static const char *const keys[] = { "node.file_systems", "node.ignore_", NULL };
        int r;

        *ret_meter = NULL;
        if (!config_differs(&manager->config, config, keys))
                return 0;
        r = make_host_meter(manager, config, ret_meter);
        return r < 0 ? log_error_errno(r, "Cannot set up the host's meter: %m") : 0;
}

void manager_host_meter_commit(struct manager *manager, struct host_meter *meter) {
        if (!meter)
                return;
        host_meter_free(manager->host_meter);
        manager->host_meter = meter;
}

int manager_add_node(struct manager *manager) {
        const struct config *config = &manager->config;
        int r;

        r = node_new(config->sample_interval_us,
                        (size_t) (config->sample_ring_us / config->sample_interval_us),
                        &manager->node);
        if (r >= 0)
                r = make_host_meter(manager, config, &manager->host_meter);
        return r < 0 ? log_error_errno(r, "Cannot set up the host's meter: %m") : 0;
}

void manager_read_node(struct manager *manager) {
        host_meter_read(manager->host_meter);
}

void manager_end_node_slot(struct manager *manager, uint64_t at_us, uint64_t missed) {
        node_slot(manager->node, at_us, missed);
}

void manager_free_node(struct manager *manager) {
        manager->host_meter = host_meter_free(manager->host_meter);
        manager->api.node = NULL;
        manager->node = node_free(manager->node);
}
