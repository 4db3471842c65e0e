/* What the bus was told, so that it is told only what changed, and all of it. Changes are marked
 * here and sent by the pump when the bus takes them: a bus that does not read costs one mark a
 * workload, however often its state changes meanwhile. */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/dbus_values.h"
#include "base/log.h"
#include "base/map.h"
#include "virtwatch/virtwatch.h"

#define FLUSH_MAX 256

struct told {
        struct list dirty;
        char *id;
        enum workload_kind kind;
        bool present;   /* it is in the inventory */
        bool announced; /* the bus knows its object */
        bool renewed;   /* it went, and another of the same id came, before the bus was told */
        struct dbus_values values; /* as announced */
};

struct told_source {
        struct list list;
        char *name, *error;
        enum source_state state;
};

static struct told *told_free(struct told *told) {
        list_remove(&told->dirty);
        free(told->id);
        free(told);
        return NULL;
}

static void told_drop(struct dbus *dbus, struct told *told) {
        (void) map_remove(dbus->told, told->id);
        told_free(told);
}

static struct told *told_add(struct dbus *dbus, const char *id, enum workload_kind kind) {
        struct told *told = calloc(1, sizeof(*told));

        if (!told)
                return NULL;
        list_init(&told->dirty);
        told->kind = kind;
        told->id = strdup(id);
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
}

int dbus_told_init(struct dbus *dbus) {
        list_init(&dbus->dirty);
        list_init(&dbus->told_sources);
        return map_new(&dbus->told);
}

void dbus_told_done(struct dbus *dbus) {
        told_clear(dbus);
        dbus->told = map_free(dbus->told);
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
        const char *changed[5] = {};
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
        if (sources)
                changed[n++] = "Sources";
        if (ready != dbus->told_ready)
                changed[n++] = "Ready";
        if (count != dbus->told_count)
                changed[n++] = "WorkloadCount";
        if (dbus->running != dbus->told_running)
                changed[n++] = "RunningCount";
        dbus->told_ready = ready;
        dbus->told_count = count;
        dbus->told_running = dbus->running;
        if (n)
                (void) sd_bus_emit_properties_changed_strv(dbus->bus, VW_OBJECT_PATH,
                                VW_INTERFACE_MANAGER, (char **) (uintptr_t) changed);
}

/* ---- workloads ---- */

static void told_values_set(
                struct dbus *dbus, struct told *told, const struct dbus_values *values) {
        dbus->running -= told->announced && dbus_values_running(&told->values);
        told->announced = values;
        if (values)
                told->values = *values;
        dbus->running += told->announced && dbus_values_running(&told->values);
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

/* By hand: sd_bus_emit_object_removed() looks at the object, which is gone. */
static void tell_removed(struct dbus *dbus, struct told *told, const char *path) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        const char *kind = dbus_kind_interface(told->kind);
        int r;

        r = sd_bus_message_new_signal(dbus->bus, &message, VW_OBJECT_PATH,
                        "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved");
        if (r >= 0)
                r = sd_bus_message_append(message, "o", path);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "s");
        if (r >= 0) {
                r = sd_bus_message_append(message, "ssss", "org.freedesktop.DBus.Peer",
                                "org.freedesktop.DBus.Introspectable",
                                "org.freedesktop.DBus.Properties", VW_INTERFACE_WORKLOAD);
        }
        if (r >= 0 && kind)
                r = sd_bus_message_append(message, "s", kind);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        if (r >= 0)
                r = sd_bus_send(dbus->bus, message, NULL);
        if (r < 0)
                log_debug_errno(r, "Cannot send InterfacesRemoved: %m");
        signal_id(dbus, "WorkloadRemoved", told->id, path);
        told_values_set(dbus, told, NULL);
}

static void tell_added(struct dbus *dbus, struct told *told, const struct workload *workload,
                const char *path) {
        struct dbus_values values;
        int r;

        r = sd_bus_emit_object_added(dbus->bus, path);
        if (r < 0)
                log_debug_errno(r, "Cannot send InterfacesAdded: %m");
        signal_id(dbus, "WorkloadNew", told->id, path);
        dbus_values_read(workload, &values);
        told->kind = workload->kind;
        told_values_set(dbus, told, &values);
}

static void tell_changed(struct dbus *dbus, struct told *told, const struct workload *workload,
                const char *path) {
        struct dbus_changes changes;
        struct dbus_values values;

        dbus_values_read(workload, &values);
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
        told_values_set(dbus, told, &values);
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
        if (dbus_may_send(dbus))
                flush_manager(dbus);
        return !list_is_empty(&dbus->dirty);
}

void dbus_told_begin(struct dbus *dbus) {
        struct tracker_source *source;
        struct dbus_values values;
        struct workload *workload;
        struct told *told;

        told_clear(dbus);
        dbus->running = 0;
        inventory_for_each(workload, tracker_inventory(dbus->api->tracker)) {
                told = told_add(dbus, workload->id, workload->kind);
                if (!told)
                        continue; /* no memory: it is announced when it changes */
                told->present = true;
                dbus_values_read(workload, &values);
                told_values_set(dbus, told, &values);
        }
        list_for_each(source, tracker_sources(dbus->api->tracker), list)
                (void) source_differs(dbus, source);
        dbus->told_ready = api_not_ready(dbus->api) == 0;
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
