/* /org/virtwatch1/workload/ID: a fallback vtable, so that objects need no bookkeeping of their own.
 */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/dbus_values.h"
#include "api/view.h"
#include "base/json.h"
#include "engine/apps.h"
#include "engine/sampler.h"
#include "virtwatch/virtwatch.h"

#define WORKLOAD_PREFIX VW_OBJECT_PATH "/workload"

char *dbus_workload_path(const char *id) {
        char *path = NULL;

        return sd_bus_path_encode(WORKLOAD_PREFIX, id, &path) < 0 ? NULL : path;
}

char *dbus_workload_id(const char *path) {
        char *id = NULL;

        return sd_bus_path_decode(path, WORKLOAD_PREFIX, &id) <= 0 ? NULL : id;
}

size_t dbus_workload_size(const struct workload *workload, bool whole) {
        const char *const texts[] = { workload->uuid, workload->runtime, workload->job,
                workload->state_reason, workload->image, workload->uri, workload->cgroup };
        size_t size = 128 + 4 * strlen(workload->id) + strlen(workload->name);

        if (!whole)
                return size;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                size += strlen(texts[i]);
        size += workload->n_addresses * (WORKLOAD_ADDRESS_SIZE + 8);
        return size + 2048; /* names of interfaces and properties, and the numbers */
}

static struct workload *find(struct dbus *dbus, const char *path) {
        _cleanup_(freep) char *id = dbus_workload_id(path);

        if (!id)
                return NULL;
        return inventory_find(tracker_inventory(dbus->api->tracker), id);
}

static int find_any(sd_bus *bus, const char *path, const char *interface, void *userdata,
                void **ret_found, sd_bus_error *error) {
        *ret_found = find(userdata, path);
        return *ret_found ? 1 : 0;
}

static int find_vm(sd_bus *bus, const char *path, const char *interface, void *userdata,
                void **ret_found, sd_bus_error *error) {
        struct workload *workload = find(userdata, path);

        *ret_found = workload;
        return workload && workload->kind == WORKLOAD_VM;
}

static int find_container(sd_bus *bus, const char *path, const char *interface, void *userdata,
                void **ret_found, sd_bus_error *error) {
        struct workload *workload = find(userdata, path);

        *ret_found = workload;
        return workload && workload->kind == WORKLOAD_CONTAINER;
}

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                sd_bus_error *error) {
        struct inventory *inventory = tracker_inventory(((struct dbus *) userdata)->api->tracker);
        struct workload *workload;
        char **nodes;
        size_t n = 0;

        nodes = calloc(inventory_size(inventory) + 1, sizeof(*nodes));
        if (!nodes)
                return -ENOMEM;
        inventory_for_each(workload, inventory) {
                nodes[n] = dbus_workload_path(workload->id);
                if (nodes[n])
                        n++;
        }
        *ret_nodes = nodes;
        return 1;
}

struct dbus *dbus_of(sd_bus *bus) {
        return sd_bus_slot_get_userdata(sd_bus_get_current_slot(bus));
}

/* @userdata is the address of a field that is a text. */
DBUS_PROPERTY(text) {
        return dbus_append_text(reply, *(char *const *) userdata);
}

DBUS_PROPERTY(kind) {
        const struct workload *workload = userdata;

        return sd_bus_message_append(reply, "s", workload_kind_to_string(workload->kind));
}

DBUS_PROPERTY(state) {
        const struct workload *workload = userdata;

        return sd_bus_message_append(reply, "s", workload_state_to_string(workload->state));
}

DBUS_PROPERTY(last_exit) {
        const struct workload *workload = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'r', "sisst");
        if (r >= 0)
                r = dbus_append_text(reply, workload->last_exit.action);
        if (r >= 0)
                r = sd_bus_message_append(reply, "i", (int32_t) workload->last_exit.code);
        if (r >= 0)
                r = dbus_append_text(reply, workload->last_exit.evidence);
        if (r >= 0)
                r = dbus_append_text(reply, workload->last_exit.reason);
        if (r >= 0)
                r = sd_bus_message_append(reply, "t", workload->last_exit.time_us);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DBUS_PROPERTY(last_lifecycle) {
        const struct workload *workload = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'r', "ss");
        if (r >= 0)
                r = dbus_append_text(reply, workload->lifecycle_event);
        if (r >= 0)
                r = dbus_append_text(reply, workload->lifecycle_detail);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DBUS_PROPERTY(restarts) {
        const struct workload *workload = userdata;

        return sd_bus_message_append(
                        reply, "u", (uint32_t) (workload->restarts > 0 ? workload->restarts : 0));
}

DBUS_PROPERTY(addresses) {
        const struct workload *workload = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; r >= 0 && i < workload->n_addresses; i++)
                r = sd_bus_message_append(reply, "s", workload->addresses[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* ---- what it was given, and what it uses ---- */

static const struct series *series_of(sd_bus *bus, const struct workload *workload) {
        const struct sampler *sampler = dbus_of(bus)->api->sampler;

        return sampler ? sampler_get(sampler, workload->id) : NULL;
}

static const struct allocation *allocation_of(sd_bus *bus, const struct workload *workload) {
        const struct series *series = series_of(bus, workload);

        return series && series->allocation.known ? &series->allocation : NULL;
}

DBUS_PROPERTY(app) {
        const char *slug = apps_slug_of(dbus_of(bus)->api->apps, userdata);
        _cleanup_(freep) char *app = slug ? dbus_app_path(slug) : NULL;

        return slug && !app ? -ENOMEM : sd_bus_message_append(reply, "o", slug ? app : "/");
}

DBUS_PROPERTY(node) {
        _cleanup_(freep) char *node = dbus_node_path(dbus_of(bus)->api);

        return node ? sd_bus_message_append(reply, "o", node) : -ENOMEM;
}

DBUS_PROPERTY(cpu_percent) {
        const struct series *series = series_of(bus, userdata);

        return sd_bus_message_append(reply, "d", series ? series->usage.cpu_percent : STATS_NAN);
}

DBUS_PROPERTY(memory_percent) {
        const struct series *series = series_of(bus, userdata);

        return sd_bus_message_append(reply, "d", series ? series->usage.memory_percent : STATS_NAN);
}

DBUS_PROPERTY(disk_percent) {
        const struct series *series = series_of(bus, userdata);

        return sd_bus_message_append(reply, "d", series ? series->usage.disk_percent : STATS_NAN);
}

DBUS_PROPERTY(vcpus) {
        return sd_bus_message_append(reply, "u", dbus_vcpus(allocation_of(bus, userdata)));
}

DBUS_PROPERTY(memory) {
        const struct allocation *allocation = allocation_of(bus, userdata);

        return sd_bus_message_append(reply, "t",
                        allocation ? dbus_known_bytes(allocation->memory_bytes) : UINT64_C(0));
}

static int append_disk(sd_bus_message *reply, const struct allocation_disk *disk) {
        int r;

        r = sd_bus_message_open_container(reply, 'r', "st");
        if (r >= 0)
                r = dbus_append_text(reply, disk->target);
        if (r >= 0)
                r = sd_bus_message_append(reply, "t", dbus_known_bytes(disk->capacity_bytes));
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DBUS_PROPERTY(disks) {
        const struct allocation *allocation = allocation_of(bus, userdata);
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(st)");
        for (size_t i = 0; r >= 0 && allocation && i < allocation->n_disks; i++)
                r = append_disk(reply, &allocation->disks[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* ---- methods ---- */

static int method_get_samples(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        sd_bus *bus = sd_bus_message_get_bus(message);
        const struct series *series = series_of(bus, userdata);

        return dbus_reply_samples(dbus_of(bus), message, series ? &series->ring : NULL, error);
}

static int method_describe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct dbus *dbus = dbus_of(sd_bus_message_get_bus(message));
        _cleanup_(json_putp) struct json_object *object = view_workload(dbus->api, userdata, true);
        const char *text = object ? json_text(object) : NULL;
        int r;

        if (!text)
                return -ENOMEM;
        r = dbus_may_reply(dbus, message, strlen(text), error);
        return r < 0 ? r : dbus_reply_text(message, text);
}

#define CONST   SD_BUS_VTABLE_PROPERTY_CONST
#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define TEXT(name, field, flags) \
        SD_BUS_PROPERTY(name, "s", property_text, offsetof(struct workload, field), flags)
#define NUMBER(name, signature, field) \
        SD_BUS_PROPERTY(name, signature, NULL, offsetof(struct workload, field), CHANGES)

/* A call of each is a span. */
DBUS_SERVE(method_get_samples)
DBUS_SERVE(method_describe)
DBUS_SERVE(dbus_method_act)

static const sd_bus_vtable workload_vtable[] = {
        SD_BUS_VTABLE_START(0),
        TEXT("Id", id, CONST),
        TEXT("Name", name, CHANGES),
        TEXT("UUID", uuid, CHANGES),
        SD_BUS_PROPERTY("Kind", "s", property_kind, 0, CONST),
        TEXT("Runtime", runtime, CHANGES),
        TEXT("Job", job, CHANGES),
        SD_BUS_PROPERTY("State", "s", property_state, 0, CHANGES),
        TEXT("StateReason", state_reason, CHANGES),
        SD_BUS_PROPERTY("LastExit", "(sisst)", property_last_exit, 0, CHANGES),
        SD_BUS_PROPERTY("Restarts", "u", property_restarts, 0, CHANGES),
        NUMBER("StartedUSec", "t", started_us),
        SD_BUS_PROPERTY("Node", "o", property_node, 0, CONST),
        SD_BUS_PROPERTY("App", "o", property_app, 0, CHANGES),
        SD_BUS_PROPERTY("Addresses", "as", property_addresses, 0, CHANGES),
        SD_BUS_PROPERTY("CpuPercent", "d", property_cpu_percent, 0, 0),
        SD_BUS_PROPERTY("MemoryPercent", "d", property_memory_percent, 0, 0),
        SD_BUS_PROPERTY("DiskPercent", "d", property_disk_percent, 0, 0),
        SD_BUS_PROPERTY("VCpus", "u", property_vcpus, 0, CHANGES),
        SD_BUS_PROPERTY("MemoryBytes", "t", property_memory, 0, CHANGES),
        SD_BUS_PROPERTY("Disks", "a(st)", property_disks, 0, CHANGES),
        SD_BUS_METHOD_WITH_ARGS("GetSamples", SD_BUS_ARGS("t", since),
                        SD_BUS_RESULT("a(tddd)", samples), serve_method_get_samples,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json),
                        serve_method_describe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Stop", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", message),
                        serve_dbus_method_act, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Destroy", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", message),
                        serve_dbus_method_act, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Scale", SD_BUS_ARGS("u", vcpus, "t", memory_bytes),
                        SD_BUS_RESULT("s", message), serve_dbus_method_act,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS(
                        "Exited", SD_BUS_ARGS("s", action, "i", code, "s", evidence, "t", usec), 0),
        SD_BUS_SIGNAL_WITH_ARGS("Sample",
                        SD_BUS_ARGS("t", usec, "d", cpu_percent, "d", memory_percent, "d",
                                        disk_percent),
                        0),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable vm_vtable[] = {
        SD_BUS_VTABLE_START(0),
        NUMBER("DomainId", "i", domain_id),
        TEXT("ConnectionUri", uri, CONST),
        SD_BUS_PROPERTY("LastLifecycle", "(ss)", property_last_lifecycle, 0, CHANGES),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable container_vtable[] = {
        SD_BUS_VTABLE_START(0),
        TEXT("Image", image, CHANGES),
        TEXT("ContainerId", native_id, CONST),
        TEXT("CgroupPath", cgroup, CHANGES),
        NUMBER("OomKills", "t", oom_kills),
        NUMBER("Pid", "u", pid),
        SD_BUS_VTABLE_END,
};

int dbus_workload_export(struct dbus *dbus) {
        int r;

        r = sd_bus_add_fallback_vtable(dbus->bus, NULL, WORKLOAD_PREFIX, VW_INTERFACE_WORKLOAD,
                        workload_vtable, find_any, dbus);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(dbus->bus, NULL, WORKLOAD_PREFIX,
                                VW_INTERFACE_VIRTUAL_MACHINE, vm_vtable, find_vm, dbus);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(dbus->bus, NULL, WORKLOAD_PREFIX,
                                VW_INTERFACE_CONTAINER, container_vtable, find_container, dbus);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(dbus->bus, NULL, WORKLOAD_PREFIX, enumerate, dbus);
        return r;
}
