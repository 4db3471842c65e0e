/* Actions on workloads: what joins the engine that decides with the sources that act. */

#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/manager_internal.h"
#include "engine/tracer.h"

#define MIB (UINT64_C(1) << 20)

static struct source *source_of(struct manager *manager, const struct workload *workload) {
        for (size_t i = 0; i < manager->n_sources; i++)
                if (strcmp(manager->sources[i].source->name, workload->source) == 0)
                        return manager->sources[i].source;
        return NULL;
}

static int control(const struct workload *workload, const struct action *action, uint64_t ticket,
                void *userdata) {
        struct source *source = source_of(userdata, workload);

        if (!source)
                return -ENOTCONN;
        if (!source->ops->control)
                return -EOPNOTSUPP;
        return source->ops->control(source,
                        &(struct source_control){
                                        .ticket = ticket,
                                        .workload = workload,
                                        .action = *action,
                        });
}

static unsigned int controls(
                const struct workload *workload, const char **ret_why, void *userdata) {
        const struct source *source = source_of(userdata, workload);

        *ret_why = source ? source->no_controls : NULL;
        return source && source->ops->control ? source->controls : 0;
}

/* A VM's are its own; what else runs has all that the host has. */
static void limits(
                const struct workload *workload, struct action_limits *ret_limits, void *userdata) {
        struct manager *manager = userdata;
        const struct series *series =
                        manager->sampler ? sampler_get(manager->sampler, workload->id) : NULL;
        const struct allocation *given =
                        series && series->allocation.known ? &series->allocation : NULL;
        long cpus = sysconf(_SC_NPROCESSORS_ONLN);

        *ret_limits = (struct action_limits){};
        if (workload->kind != WORKLOAD_VM || strcmp(workload->runtime, "machined") == 0) {
                ret_limits->vcpus_max = cpus > 0 ? (uint64_t) cpus : 0;
                if (manager->sampler)
                        ret_limits->memory_max_mb =
                                        sampler_host_memory_bytes(manager->sampler) / MIB;
                return;
        }
        if (given && given->vcpus_max != STATS_UNKNOWN)
                ret_limits->vcpus_max = given->vcpus_max;
        if (given && given->memory_max_bytes != STATS_UNKNOWN)
                ret_limits->memory_max_mb = given->memory_max_bytes / MIB;
}

int manager_add_actions(struct manager *manager) {
        int r;

        r = actions_new(
                        &(struct actions_config){
                                        .enabled = manager->config.actions.enabled,
                                        .timeout_us = manager->config.actions.timeout_us,
                        },
                        manager->event, manager->tracker,
                        &(struct actions_hooks){
                                        .control = control,
                                        .controls = controls,
                                        .limits = limits,
                                        .slug = manager_slug_of,
                                        .record = manager_post,
                                        .spans = tracer_spans(manager->own_traces),
                                        .userdata = manager,
                        },
                        &manager->actions);
        return r < 0 ? log_error_errno(r, "Cannot set up actions: %m") : 0;
}

void manager_source_answered(struct source *source, uint64_t ticket, int error, const char *text,
                void *userdata) {
        struct manager *manager = userdata;

        actions_answer(manager->actions, ticket, error, text);
}
