/* What the bus was told, so that it is told only what changed, and all of it. Changes are marked
 * here and sent by the pump when the bus takes them: a bus that does not read costs one mark a
 * workload, however often its state changes meanwhile. */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/dbus_values.h"
#include "api/health.h"
#include "base/log.h"
#include "base/map.h"
#include "engine/apps.h"
#include "engine/sampler.h"
#include "virtwatch/virtwatch.h"

#define FLUSH_MAX 256

struct told {
        struct list dirty;
        char *id;
        enum workload_kind kind;
        bool present;   /* it is in the inventory */
        bool announced; /* the bus knows its object */
        bool renewed;   /* it went, and another of the same id came, before the bus was told */
        struct list sampled;
        struct dbus_member member; /* of its app, as announced */
        struct dbus_values values; /* as announced */
};

struct told_source {
        struct list list;
        char *name, *error;
        enum source_state state;
};

static struct told *told_free(struct told *told) {
        list_remove(&told->dirty);
        list_remove(&told->sampled);
        free(told->id);
        free(told);
        return NULL;
}

static void told_drop(struct dbus *dbus, struct told *told) {
        dbus_app_join(dbus, &told->member, NULL);
        (void) map_remove(dbus->told, told->id);
        told_free(told);
}

static struct told *told_add(struct dbus *dbus, const char *id, enum workload_kind kind) {
        struct told *told = calloc(1, sizeof(*told));

        if (!told)
                return NULL;
        list_init(&told->dirty);
        list_init(&told->sampled);
        list_init(&told->member.list);
        told->kind = kind;
        told->id = strdup(id);
        told->member.id = told->id;
        if (!told->id || map_put(dbus->told, id, told) < 0)
                return told_free(told);
        return told;
}

static void told_mark(struct dbus *dbus, struct told *told) {
        if (list_is_empty(&told->dirty))
                list_append(&dbus->dirty, &told->dirty);
        dbus_pump_soon(dbus);
}

static void told_clear(struct dbus *dbus) {
        struct told_source *source, *next;
        struct told *told;

        if (dbus->told)
                map_for_each(told, dbus->told)
                        told_drop(dbus, told);
        list_for_each_safe(source, next, &dbus->told_sources, list) {
                list_remove(&source->list);
                free(source->name);
                free(source->error);
                free(source);
        }
        if (dbus->apps)
                dbus_apps_clear(dbus);
}

int dbus_told_init(struct dbus *dbus) {
        int r;

        list_init(&dbus->dirty);
        list_init(&dbus->sampled);
        list_init(&dbus->told_sources);
        r = map_new(&dbus->told);
        return r < 0 ? r : dbus_apps_init(dbus);
}

void dbus_told_done(struct dbus *dbus) {
        told_clear(dbus);
        dbus->told = map_free(dbus->told);
        dbus_apps_done(dbus);
}

/* ---- sources ---- */

/* Return: whether this source differs from what was told; it counts as told now. */
static bool source_differs(struct dbus *dbus, const struct tracker_source *source) {
        struct told_source *told;
        char *error;

        list_for_each(told, &dbus->told_sources, list) {
                if (strcmp(told->name, source->name) != 0)
                        continue;
                if (told->state == source->state && strcmp(told->error, source->error) == 0)
                        return false;
                error = strdup(source->error);
                if (!error)
                        return false; /* the next look tells it */
                free(told->error);
                told->error = error;
                told->state = source->state;
                return true;
        }

        told = calloc(1, sizeof(*told));
        if (!told)
                return false;
        list_append(&dbus->told_sources, &told->list);
        told->state = source->state;
        told->name = strdup(source->name);
        told->error = strdup(source->error);
        if (told->name && told->error)
                return true;
        list_remove(&told->list);
        free(told->name);
        free(told->error);
        free(told);
        return false;
}

static void signal_source(struct dbus *dbus, const struct tracker_source *source) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_signal(
                        dbus->bus, &message, VW_OBJECT_PATH, VW_INTERFACE_MANAGER, "SourceChanged");
        if (r >= 0)
                r = dbus_append_text(message, source->name);
        if (r >= 0)
                r = sd_bus_message_append(message, "s", source_state_to_string(source->state));
        if (r >= 0)
                r = dbus_append_text(message, source->error);
        if (r >= 0)
                r = sd_bus_send(dbus->bus, message, NULL);
        if (r < 0)
                log_debug_errno(r, "Cannot tell the bus of source %s: %m", source->name);
}

/* Sources, and what follows from them. Few enough to be compared each time. */
static void flush_manager(struct dbus *dbus) {
        const char *changed[9] = {}, *health = health_word(dbus->api);
        bool ready = api_not_ready(dbus->api) == 0, sources = false;
        uint32_t count = (uint32_t) inventory_size(tracker_inventory(dbus->api->tracker));
        struct tracker_source *source;
        size_t n = 0;

        list_for_each(source, tracker_sources(dbus->api->tracker), list) {
                if (!source_differs(dbus, source))
                        continue;
                signal_source(dbus, source);
                sources = true;
        }
        if (sources || dbus->config_untold)
                changed[n++] = "Sources"; /* one that is gone shows in the list alone */
        if (dbus->config_untold) {
                changed[n++] = "Features";
                changed[n++] = "SampleIntervalUSec";
                changed[n++] = "RingUSec";
        }
        if (ready != dbus->told_ready)
                changed[n++] = "Ready";
        if (strcmp(health, dbus->told_health) != 0)
                changed[n++] = "Health";
        if (count != dbus->told_count)
                changed[n++] = "WorkloadCount";
        if (dbus->running != dbus->told_running)
                changed[n++] = "RunningCount";
        dbus->config_untold = false;
        dbus->told_ready = ready;
        dbus->told_health = health;
        dbus->told_count = count;
        dbus->told_running = dbus->running;
        if (n)
                (void) sd_bus_emit_properties_changed_strv(dbus->bus, VW_OBJECT_PATH,
                                VW_INTERFACE_MANAGER, (char **) (uintptr_t) changed);
}

/* ---- workloads ---- */

static void read_shown(
                struct dbus *dbus, const struct workload *workload, struct dbus_shown *ret_shown) {
        const struct api_context *api = dbus->api;
        const struct series *series = api->sampler ? sampler_get(api->sampler, workload->id) : NULL;

        *ret_shown = (struct dbus_shown){
                .workload = workload,
                .allocation = series && series->allocation.known ? &series->allocation : NULL,
                .slug = apps_slug_of(api->apps, workload),
        };
}

/* @shown: NULL: it is gone. */
static void told_values_set(struct dbus *dbus, struct told *told, const struct dbus_shown *shown) {
        dbus->running -= told->announced && dbus_values_running(&told->values);
        told->announced = shown;
        if (shown)
                dbus_values_read(shown, &told->values);
        dbus->running += told->announced && dbus_values_running(&told->values);
        dbus_app_join(dbus, &told->member, shown ? shown->slug : NULL);
}

static void signal_id(struct dbus *dbus, const char *member, const char *id, const char *path) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_signal(
                        dbus->bus, &message, VW_OBJECT_PATH, VW_INTERFACE_MANAGER, member);
        if (r >= 0)
                r = dbus_append_text(message, id);
        if (r >= 0)
                r = sd_bus_message_append(message, "o", path);
        if (r >= 0)
                r = sd_bus_send(dbus->bus, message, NULL);
        if (r < 0)
                log_debug_errno(r, "Cannot send %s: %m", member);
}

void dbus_signal_removed(struct dbus *dbus, const char *path, const char *const *interfaces) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_signal(dbus->bus, &message, VW_OBJECT_PATH,
                        "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved");
        if (r >= 0)
                r = sd_bus_message_append(message, "o", path);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "s");
        if (r >= 0) {
                r = sd_bus_message_append(message, "sss", "org.freedesktop.DBus.Peer",
                                "org.freedesktop.DBus.Introspectable",
                                "org.freedesktop.DBus.Properties");
        }
        for (; r >= 0 && *interfaces; interfaces++)
                r = sd_bus_message_append(message, "s", *interfaces);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        if (r >= 0)
                r = sd_bus_send(dbus->bus, message, NULL);
        if (r < 0)
                log_debug_errno(r, "Cannot send InterfacesRemoved: %m");
}

static void tell_removed(struct dbus *dbus, struct told *told, const char *path) {
        const char *const interfaces[] = { VW_INTERFACE_WORKLOAD, dbus_kind_interface(told->kind),
                NULL };

        dbus_signal_removed(dbus, path, interfaces);
        signal_id(dbus, "WorkloadRemoved", told->id, path);
        told_values_set(dbus, told, NULL);
}

static void tell_added(struct dbus *dbus, struct told *told, const struct workload *workload,
                const char *path) {
        struct dbus_shown shown;
        int r;

        read_shown(dbus, workload, &shown);
        r = sd_bus_emit_object_added(dbus->bus, path);
        if (r < 0)
                log_debug_errno(r, "Cannot send InterfacesAdded: %m");
        signal_id(dbus, "WorkloadNew", told->id, path);
        told->kind = workload->kind;
        told_values_set(dbus, told, &shown);
}

static void tell_changed(struct dbus *dbus, struct told *told, const struct workload *workload,
                const char *path) {
        struct dbus_changes changes;
        struct dbus_values values;
        struct dbus_shown shown;

        read_shown(dbus, workload, &shown);
        dbus_values_read(&shown, &values);
        if (dbus_values_diff(told->kind, &told->values, &values, &changes) == 0)
                return;
        if (changes.n_workload)
                (void) sd_bus_emit_properties_changed_strv(dbus->bus, path, VW_INTERFACE_WORKLOAD,
                                (char **) (uintptr_t) changes.workload);
        if (changes.n_kind) {
                (void) sd_bus_emit_properties_changed_strv(dbus->bus, path,
                                dbus_kind_interface(told->kind),
                                (char **) (uintptr_t) changes.kind);
        }
        told_values_set(dbus, told, &shown);
}

static void told_flush(struct dbus *dbus, struct told *told) {
        _cleanup_(freep) char *path = dbus_workload_path(told->id);
        const struct workload *workload =
                        inventory_find(tracker_inventory(dbus->api->tracker), told->id);

        if (!path)
                return; /* no memory: the next change tells it */
        if (told->announced && (!workload || told->renewed))
                tell_removed(dbus, told, path);
        told->renewed = false;
        if (!workload)
                told_drop(dbus, told);
        else if (!told->announced)
                tell_added(dbus, told, workload, path);
        else
                tell_changed(dbus, told, workload, path);
}

bool dbus_told_flush(struct dbus *dbus) {
        struct told *told;

        for (unsigned int i = 0; i < FLUSH_MAX && !list_is_empty(&dbus->dirty); i++) {
                if (!dbus_may_send(dbus))
                        return true;
                told = list_first(&dbus->dirty, struct told, dirty);
                list_remove(&told->dirty);
                told_flush(dbus, told);
        }
        if (dbus_apps_flush(dbus))
                return true;
        if (dbus_may_send(dbus))
                flush_manager(dbus);
        return !list_is_empty(&dbus->dirty);
}

void dbus_told_begin(struct dbus *dbus) {
        struct tracker_source *source;
        struct workload *workload;
        struct dbus_shown shown;
        struct told *told;

        told_clear(dbus);
        dbus->running = 0;
        inventory_for_each(workload, tracker_inventory(dbus->api->tracker)) {
                told = told_add(dbus, workload->id, workload->kind);
                if (!told)
                        continue; /* no memory: it is announced when it changes */
                told->present = true;
                read_shown(dbus, workload, &shown);
                told_values_set(dbus, told, &shown);
        }
        dbus_apps_begin(dbus);
        list_for_each(source, tracker_sources(dbus->api->tracker), list)
                (void) source_differs(dbus, source);
        dbus->config_untold = false;
        dbus->told_ready = api_not_ready(dbus->api) == 0;
        dbus->told_health = health_word(dbus->api);
        dbus->told_running = dbus->running;
        dbus->told_count = (uint32_t) inventory_size(tracker_inventory(dbus->api->tracker));
}

/* ---- what the manager tells ---- */

void dbus_workload_changed(struct dbus *dbus, const struct workload *workload) {
        struct told *told;

        if (!dbus->named_us)
                return;
        told = map_get(dbus->told, workload->id);
        if (!told)
                told = told_add(dbus, workload->id, workload->kind);
        if (!told)
                return; /* no memory: the next change tells it */
        told->renewed = told->renewed || (told->announced && !told->present);
        told->present = true;
        told_mark(dbus, told);
}

void dbus_workload_removed(struct dbus *dbus, const char *id) {
        struct told *told;

        if (!dbus->named_us)
                return;
        told = map_get(dbus->told, id);
        if (!told)
                return;
        told->present = false;
        if (told->announced)
                told_mark(dbus, told);
        else
                told_drop(dbus, told); /* it came and went unseen */
}

void dbus_app_changed(struct dbus *dbus, const char *slug) {
        const struct app *binding = apps_get(dbus->api->apps, slug);
        struct workload *workload;
        struct dbus_app *app;
        struct told *told;

        if (!dbus->named_us)
                return;
        app = dbus_app_mark(dbus, slug);
        inventory_for_each(workload, tracker_inventory(dbus->api->tracker)) {
                told = map_get(dbus->told, workload->id);
                if (told &&
                                ((app && told->member.app == app) ||
                                                (binding && app_has(binding, workload))))
                        told_mark(dbus, told);
        }
}

void dbus_probe_changed(struct dbus *dbus, const char *slug) {
        if (dbus->named_us && map_get(dbus->apps, slug))
                (void) dbus_app_mark(dbus, slug);
}

void dbus_samples_ready(struct dbus *dbus, uint64_t at_us) {
        struct told *told;

        if (!dbus->named_us || list_is_empty(&dbus->subscribers))
                return;
        map_for_each(told, dbus->told) {
                const struct series *series = sampler_get(dbus->api->sampler, told->id);
                const struct sample *sample = series ? ring_newest(&series->ring) : NULL;

                if (sample && series->running && sample->at_us == at_us &&
                                list_is_empty(&told->sampled))
                        list_append(&dbus->sampled, &told->sampled);
        }
        dbus_subscribers_look(dbus);
        dbus_pump_soon(dbus);
}

const char *dbus_told_next_sample(struct dbus *dbus) {
        struct told *told = list_first(&dbus->sampled, struct told, sampled);

        if (!told)
                return NULL;
        list_remove(&told->sampled);
        return told->id;
}

void dbus_configuration_changed(struct dbus *dbus) {
        if (!dbus->named_us)
                return;
        dbus->config_untold = true; /* if the bus takes nothing now, by the pump */
        if (dbus_may_send(dbus))
                flush_manager(dbus);
}

void dbus_source_changed(struct dbus *dbus, const char *source) {
        struct workload *workload;

        if (!dbus->named_us)
                return;
        if (dbus_may_send(dbus))
                flush_manager(dbus);
        /* A source that is lost takes the state of its workloads with it. */
        inventory_for_each(workload, tracker_inventory(dbus->api->tracker)) {
                if (strcmp(workload->source, source) == 0)
                        dbus_workload_changed(dbus, workload);
        }
}

void dbus_refresh(struct dbus *dbus) {
        if (!dbus->named_us || !dbus_may_send(dbus))
                return;
        flush_manager(dbus);
        dbus_node_refresh(dbus);
}
