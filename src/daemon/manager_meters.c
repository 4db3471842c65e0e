/* Meters and the sampler: who reads what, and whose reading it is. */

#include <string.h>

#include "api/dbus.h"
#include "api/http.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/manager_internal.h"
#include "engine/tracer.h"

#define WORKLOADS_MAX 20000

static struct workload *workload_of(
                struct manager *manager, const char *source, const char *native_id) {
        struct inventory *inventory = tracker_inventory(manager->tracker);

        return source ? inventory_find_native(inventory, source, native_id)
                      : inventory_find(inventory, native_id);
}

static void on_reading(
                const char *source, const char *native_id, struct stats *stats, void *userdata) {
        struct manager *manager = userdata;
        struct workload *workload = workload_of(manager, source, native_id);

        if (workload)
                sampler_take(manager->sampler, workload->id, stats);
        else
                stats_free(stats); /* made since the last listing, or gone */
}

/* A monitor that hangs or recovers is news as any other, and goes the same way. */
static void on_hung(const char *source, const char *native_id, bool hung, uint64_t since_us,
                void *userdata) {
        _cleanup_(json_putp) struct json_object *details = json_object_new_object();
        struct manager *manager = userdata;
        struct workload *workload = workload_of(manager, source, native_id);
        struct fact fact = FACT_INIT(FACT_ACTION);
        char time[CLOCK_RFC3339_MAX];

        if (!workload)
                return;
        sampler_set_hung(manager->sampler, workload->id, hung ? since_us : 0);
        fact.time_us = clock_realtime_us();
        fact.action = hung ? "monitor_hung" : "monitor_recovered";
        fact.severity = hung ? SEVERITY_WARNING : SEVERITY_INFO;
        fact.message = hung ? "Its QEMU does not answer; its samples have gaps until it does"
                            : "Its QEMU answers again";
        fact.workload.kind = workload->kind;
        fact.workload.native_id = workload->native_id;
        if (hung && details) {
                (void) json_add_string(details, "hung_since", clock_format_rfc3339(since_us, time));
                fact.details = details;
        }
        tracker_post(manager->tracker, workload->source, &fact);
}

/* Stored and told as any change of a workload. */
static void on_addresses(const char *source, const char *native_id, const char *const *addresses,
                size_t n, void *userdata) {
        struct manager *manager = userdata;
        struct workload *workload = workload_of(manager, source, native_id);
        struct fact fact = FACT_INIT(FACT_WORKLOAD);

        if (!workload || !workload_state_is_alive(workload->state) ||
                        workload_set_addresses(workload, addresses, n) <= 0)
                return;
        fact.quiet = true;
        fact.workload.kind = workload->kind;
        fact.workload.native_id = workload->native_id;
        tracker_post(manager->tracker, workload->source, &fact);
}

static void on_pools(const char *source, const struct pool *pools, size_t n, void *userdata) {
        (void) pools_set(((struct manager *) userdata)->pools, source, pools, n);
}

static void on_round(uint64_t at_us, uint64_t missed, void *userdata) {
        struct manager *manager = userdata;

        manager_end_node_slot(manager, at_us, missed);
        if (manager->http)
                sse_samples_ready(manager->http, at_us);
        if (manager->dbus)
                dbus_samples_ready(manager->dbus, at_us);
}

static void on_allocation(const struct series *series, void *userdata) {
        struct manager *manager = userdata;
        struct workload *workload = inventory_find(tracker_inventory(manager->tracker), series->id);

        if (manager->dbus && workload)
                dbus_workload_changed(manager->dbus, workload);
}

static void on_read(void *userdata) {
        struct manager *manager = userdata;

        for (size_t i = 0; i < manager->n_meters; i++)
                manager->meters[i].meter->ops->read(manager->meters[i].meter);
        manager_read_node(manager);
}

void manager_meter_workload(struct manager *manager, const struct workload *workload, bool gone) {
        bool watch = !gone && workload_state_is_alive(workload->state);

        if (!manager->sampler)
                return;
        if (gone)
                sampler_forget(manager->sampler, workload->id);
        else
                sampler_update(manager->sampler, workload);
        for (size_t i = 0; i < manager->n_meters; i++) {
                struct meter *meter = manager->meters[i].meter;

                if (watch && meter->ops->watch)
                        meter->ops->watch(meter, workload);
                else if (!watch && meter->ops->unwatch)
                        meter->ops->unwatch(meter, workload);
        }
}

/* ---- which there are ---- */

struct manager_meters {
        struct manager_meter items[MANAGER_METERS_MAX];
        bool is_kept[MANAGER_METERS_MAX]; /* a present one, by its place among them */
        size_t n;
        bool is_taken[MANAGER_METERS_MAX]; /* of the present ones: goes on */
};

static void forget_one(struct manager_meter *one) {
        if (one->meter)
                one->meter->ops->free(one->meter);
        free(one->settings);
        *one = (struct manager_meter){};
}

/* A present meter that is made just so. */
static struct manager_meter *keep_one(
                struct manager *manager, struct manager_meters *wanted, const char *settings) {
        for (size_t i = 0; i < manager->n_meters; i++) {
                if (wanted->is_taken[i] || strcmp(manager->meters[i].settings, settings) != 0)
                        continue;
                wanted->is_taken[i] = true;
                return &manager->meters[i];
        }
        return NULL;
}

static int want(struct manager *manager, struct manager_meters *wanted, const struct meter_ops *ops,
                const struct meter_config *config) {
        _cleanup_(freep) char *settings = NULL;
        struct manager_meter *one = &wanted->items[wanted->n], *present;
        int r;

        if (wanted->n >= MANAGER_METERS_MAX)
                return log_error_errno(-E2BIG, "More than %d meters", MANAGER_METERS_MAX);
        if (asprintf(&settings, "%s\n%s\n%d\n%ju\n%ju\n%ju", ops->name,
                            config->address ? config->address : "", config->write,
                            (uintmax_t) config->interval_us, (uintmax_t) config->balloon_us,
                            (uintmax_t) config->guest_us) < 0) {
                settings = NULL;
                return -ENOMEM;
        }
        present = keep_one(manager, wanted, settings);
        if (present) {
                *one = *present;
                wanted->is_kept[wanted->n++] = true;
                return 0;
        }
        r = ops->create(config, &manager->meter_env, &one->meter);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the %s meter: %m", ops->name);
        one->settings = TAKE_PTR(settings);
        (void) snprintf(one->source, sizeof(one->source), "%s",
                        config->source ? config->source : "");
        wanted->n++;
        return 0;
}

struct manager_meters *manager_meters_unstage(struct manager_meters *wanted) {
        if (!wanted)
                return NULL;
        for (size_t i = 0; i < wanted->n; i++)
                if (!wanted->is_kept[i])
                        forget_one(&wanted->items[i]);
        free(wanted);
        return NULL;
}

int manager_meters_stage(struct manager *manager, const struct config *config,
                struct manager_meters **ret_wanted) {
        _cleanup_(manager_meters_unstagep) struct manager_meters *wanted = NULL;
        struct meter_config meter = { .interval_us = config->sample_interval_us,
                .balloon_us = config->balloon_us,
                .guest_us = config->guest_us,
                .write = config->libvirt.write };
        char source[sizeof(((struct manager_meter *) NULL)->source)];
        int r;

        wanted = calloc(1, sizeof(*wanted));
        if (!wanted)
                return -ENOMEM;
        r = want(manager, wanted, &cgroup_meter_ops, &meter);
        for (size_t i = 0; r >= 0 && config->libvirt.enabled && i < config->libvirt.uris.n; i++) {
                meter.address = config->libvirt.uris.items[i];
                (void) snprintf(source, sizeof(source), "libvirt:%s", meter.address);
                meter.source = source;
                r = want(manager, wanted, &libvirt_meter_ops, &meter);
        }
        if (r < 0)
                return r;
        *ret_wanted = TAKE_PTR(wanted);
        return 0;
}

/* A new meter has to be told who lives; whether a monitor hangs it finds out anew. */
static void introduce(struct manager *manager, const struct manager_meter *one) {
        struct meter *meter = one->meter;
        struct workload *workload;

        inventory_for_each(workload, tracker_inventory(manager->tracker)) {
                if (meter->ops->watch && workload_state_is_alive(workload->state))
                        meter->ops->watch(meter, workload);
                if (strcmp(workload->source, one->source) == 0)
                        sampler_set_hung(manager->sampler, workload->id, 0);
        }
}

void manager_meters_commit(struct manager *manager, struct manager_meters *wanted) {
        for (size_t i = 0; i < manager->n_meters; i++)
                if (!wanted->is_taken[i])
                        forget_one(&manager->meters[i]);
        memcpy(manager->meters, wanted->items, sizeof(wanted->items));
        manager->n_meters = wanted->n;
        for (size_t i = 0; manager->is_running && i < wanted->n; i++)
                if (!wanted->is_kept[i])
                        introduce(manager, &manager->meters[i]);
        free(wanted);
}

int manager_add_meters(struct manager *manager) {
        const struct config *config = &manager->config;
        struct manager_meters *wanted = NULL;
        int r;

        r = sampler_new(
                        &(struct sampler_config){
                                        .interval_us = config->sample_interval_us,
                                        .slots = (size_t) (config->sample_ring_us /
                                                        config->sample_interval_us),
                                        .balloon_us = config->balloon_us,
                                        .workloads_max = WORKLOADS_MAX,
                        },
                        manager->event,
                        &(struct sampler_hooks){ .spans = tracer_spans(manager->own_traces),
                                        .read = on_read,
                                        .round = on_round,
                                        .allocation = on_allocation,
                                        .userdata = manager },
                        &manager->sampler);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the sampler: %m");

        manager->meter_env = (struct meter_env){
                .event = manager->event,
                .spans = tracer_spans(manager->own_traces),
                .post = on_reading,
                .hung = on_hung,
                .addresses = on_addresses,
                .pools = on_pools,
                .userdata = manager,
        };
        r = pools_new(&manager->pools);
        if (r >= 0)
                r = manager_add_node(manager);
        if (r >= 0)
                r = manager_meters_stage(manager, config, &wanted);
        if (r >= 0)
                manager_meters_commit(manager, wanted);
        return r;
}

int manager_start_meters(struct manager *manager) {
        return sampler_start(manager->sampler);
}

void manager_free_meters(struct manager *manager) {
        manager_free_node(manager);
        for (size_t i = manager->n_meters; i > 0; i--)
                forget_one(&manager->meters[i - 1]);
        manager->n_meters = 0;
        manager->api.pools = NULL;
        manager->pools = pools_free(manager->pools);
        manager->api.sampler = NULL; /* the faces go later, and may still be asked */
        manager->sampler = sampler_free(manager->sampler);
}
