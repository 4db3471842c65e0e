/* Which sources there are, by the configuration, and how their changes reach the D-Bus face. */

#include <string.h>

#include "api/dbus.h"
#include "base/log.h"
#include "daemon/manager_internal.h"

struct source_choice {
        const struct source_ops *ops;
        char name[256];
        const char *address;
        bool enabled, required, write;
        const struct config_list *patterns;
};

static int add_source(struct manager *manager, const struct source_choice *choice) {
        const char *patterns[CONFIG_PATTERNS_MAX + 1] = {};
        _cleanup_(freep) char *cursor = NULL;
        struct source *source = NULL;
        int r;

        if (!choice->enabled)
                return 0;
        if (manager->n_sources >= MANAGER_SOURCES_MAX) {
                log_error("More than %d sources", MANAGER_SOURCES_MAX);
                return -E2BIG;
        }

        for (size_t i = 0; choice->patterns && i < choice->patterns->n; i++)
                patterns[i] = choice->patterns->items[i];
        r = journal_load_cursor(manager->journal, choice->name, &cursor);
        if (r >= 0)
                r = tracker_add_source(manager->tracker, choice->name, choice->required, cursor);
        if (r >= 0) {
                r = choice->ops->create(
                                &(struct source_config){
                                                .name = choice->name,
                                                .address = choice->address,
                                                .cursor = cursor,
                                                .required = choice->required,
                                                .write = choice->write,
                                                .patterns = patterns[0] ? patterns : NULL,
                                },
                                &manager->source_env, &source);
        }
        if (r < 0)
                return log_error_errno(r, "Cannot set up source %s: %m", choice->name);

        manager->sources[manager->n_sources++] = source;
        return 0;
}

static int add_runtime(struct manager *manager, const struct source_ops *ops,
                const struct config_runtime *runtime, const struct config_list *patterns) {
        struct source_choice choice = {
                .ops = ops,
                .address = runtime->socket,
                .enabled = runtime->enabled,
                .required = runtime->required,
                .patterns = patterns,
        };

        (void) snprintf(choice.name, sizeof(choice.name), "%s", ops->name);
        return add_source(manager, &choice);
}

static int add_libvirt(struct manager *manager) {
        const struct config *config = &manager->config;
        int r;

        for (size_t i = 0; i < config->libvirt.uris.n; i++) {
                struct source_choice choice = {
                        .ops = &libvirt_source_ops,
                        .address = config->libvirt.uris.items[i],
                        .enabled = config->libvirt.enabled,
                        .required = config->libvirt.required,
                        .write = config->libvirt.write,
                };

                (void) snprintf(choice.name, sizeof(choice.name), "libvirt:%s", choice.address);
                r = add_source(manager, &choice);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_kernel(struct manager *manager) {
        const struct config *config = &manager->config;
        bool files = config->kernel.journal_dir[0] && strcmp(config->kernel.from, "kmsg") != 0;
        char address[4096];

        (void) snprintf(address, sizeof(address), files ? "journal:%s" : "%s",
                        files ? config->kernel.journal_dir : config->kernel.from);
        return add_source(manager,
                        &(struct source_choice){
                                        .ops = &kernel_source_ops,
                                        .name = "kernel",
                                        .address = address,
                                        .enabled = config->kernel.enabled,
                        });
}

static int add_peer(struct manager *manager, const struct source_ops *ops,
                const struct config_peer *peer, const struct config_list *patterns) {
        struct source_choice choice = {
                .ops = ops,
                .address = peer->address,
                .enabled = peer->enabled && (!patterns || patterns->n > 0),
                .required = peer->required,
                .patterns = patterns,
        };

        (void) snprintf(choice.name, sizeof(choice.name), "%s", ops->name);
        return add_source(manager, &choice);
}

int manager_add_sources(struct manager *manager) {
        const struct config *config = &manager->config;
        const struct source_choice cgroup = {
                .ops = &cgroup_source_ops, .name = "cgroup", .enabled = true
        };
        int r;

        /* Evidence first, so that it is there when the first exit comes. */
        r = add_kernel(manager);
        if (r >= 0)
                r = add_source(manager, &cgroup);
        if (r >= 0)
                r = add_peer(manager, &oomd_source_ops, &config->oomd, NULL);
        if (r >= 0)
                r = add_libvirt(manager);
        if (r >= 0)
                r = add_runtime(manager, &docker_source_ops, &config->docker, NULL);
        if (r >= 0)
                r = add_runtime(manager, &podman_source_ops, &config->podman, NULL);
        if (r >= 0)
                r = add_runtime(manager, &containerd_source_ops, &config->containerd,
                                &config->containerd_namespaces);
        if (r >= 0)
                r = add_peer(manager, &machined_source_ops, &config->machined, NULL);
        if (r >= 0)
                r = add_peer(manager, &unit_source_ops, &config->units, &config->unit_patterns);
        return r;
}

void manager_start_sources(struct manager *manager) {
        int r;

        for (size_t i = 0; i < manager->n_sources; i++) {
                r = manager->sources[i]->ops->start(manager->sources[i]);
                if (r < 0)
                        (void) log_error_errno(
                                        r, "Cannot start source %s: %m", manager->sources[i]->name);
        }
}

void manager_free_sources(struct manager *manager) {
        for (size_t i = 0; i < manager->n_sources; i++)
                manager->sources[i]->ops->stop(manager->sources[i]);
        for (size_t i = manager->n_sources; i > 0; i--)
                manager->sources[i - 1]->ops->free(manager->sources[i - 1]);
        manager->n_sources = 0;
}

int manager_source_stats(const char *name, struct api_source_stats *ret_stats, void *userdata) {
        struct manager *manager = userdata;
        struct source_stats stats = {};

        for (size_t i = 0; i < manager->n_sources; i++) {
                struct source *source = manager->sources[i];

                if (strcmp(source->name, name) != 0)
                        continue;
                if (source->ops->stats)
                        source->ops->stats(source, &stats);
                else
                        stats = source->stats;
                *ret_stats = (struct api_source_stats){
                        .raw_events = stats.raw_events,
                        .malformed = stats.malformed,
                        .reconnects = stats.reconnects,
                        .dropped = stats.dropped,
                };
                return 0;
        }
        return -ENOENT;
}

void manager_sources_changed(struct manager *manager, const char *name) {
        struct tracker_source *source;
        size_t i = 0;

        list_for_each(source, tracker_sources(manager->tracker), list) {
                if (strcmp(source->name, name) == 0 && i < MANAGER_SOURCES_MAX &&
                                manager->source_states[i] != source->state) {
                        manager->source_states[i] = source->state;
                        log_with(source->state == SOURCE_DOWN ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
                                        FIELDS({ "VIRTWATCH_SOURCE", source->name }),
                                        "Source %s is %s%s%s", source->name,
                                        source_state_to_string(source->state),
                                        source->error[0] ? ": " : "", source->error);
                        if (manager->dbus)
                                dbus_source_changed(manager->dbus, source->name);
                }
                i++;
        }
}

void manager_workload_changed(struct manager *manager, const struct tracker_output *output) {
        if (!manager->dbus)
                return;
        if (output->forget)
                dbus_workload_removed(manager->dbus, output->forget);
        else if (output->workload)
                dbus_workload_changed(manager->dbus, output->workload);
}
