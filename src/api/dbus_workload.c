/* /org/virtwatch1/workload/ID: a fallback vtable, so that objects need no bookkeeping of their own.
 */

#include <string.h>

#include "api/dbus_internal.h"
#include "base/json.h"
#include "model/workload.h"
#include "virtwatch/virtwatch.h"

#define WORKLOAD_PREFIX VW_OBJECT_PATH "/workload"

char *dbus_workload_path(const char *id) {
        char *path = NULL;

        return sd_bus_path_encode(WORKLOAD_PREFIX, id, &path) < 0 ? NULL : path;
}

static struct workload *find(struct dbus *dbus, const char *path) {
        _cleanup_(freep) char *id = NULL;

        if (sd_bus_path_decode(path, WORKLOAD_PREFIX, &id) <= 0)
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

#define PROPERTY(name)                                                                   \
        static int property_##name(sd_bus *bus, const char *path, const char *interface, \
                        const char *property, sd_bus_message *reply, void *userdata,     \
                        sd_bus_error *error)

PROPERTY(kind) {
        const struct workload *workload = userdata;

        return sd_bus_message_append(reply, "s", workload_kind_to_string(workload->kind));
}

PROPERTY(state) {
        const struct workload *workload = userdata;

        return sd_bus_message_append(reply, "s", workload_state_to_string(workload->state));
}

PROPERTY(last_exit) {
        const struct workload *workload = userdata;

        return sd_bus_message_append(reply, "(sisst)", workload->last_exit.action,
                        (int32_t) workload->last_exit.code, workload->last_exit.evidence,
                        workload->last_exit.reason, workload->last_exit.time_us);
}

PROPERTY(restarts) {
        const struct workload *workload = userdata;

        return sd_bus_message_append(
                        reply, "u", (uint32_t) (workload->restarts > 0 ? workload->restarts : 0));
}

static int method_describe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(json_putp) struct json_object *object = workload_to_json(userdata);
        const char *text = object ? json_text(object) : NULL;

        return text ? sd_bus_reply_method_return(message, "s", text) : -ENOMEM;
}

#define TEXT(name, field, flags) \
        SD_BUS_PROPERTY(name, "s", NULL, offsetof(struct workload, field), flags)

static const sd_bus_vtable workload_vtable[] = {
        SD_BUS_VTABLE_START(0),
        TEXT("Id", id, SD_BUS_VTABLE_PROPERTY_CONST),
        TEXT("Name", name, 0),
        TEXT("UUID", uuid, 0),
        SD_BUS_PROPERTY("Kind", "s", property_kind, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        TEXT("Runtime", runtime, 0),
        TEXT("Job", job, 0),
        SD_BUS_PROPERTY("State", "s", property_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        TEXT("StateReason", state_reason, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("LastExit", "(sisst)", property_last_exit, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Restarts", "u", property_restarts, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("StartedUSec", "t", NULL, offsetof(struct workload, started_us), 0),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json),
                        method_describe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS(
                        "Exited", SD_BUS_ARGS("s", action, "i", code, "s", evidence, "t", usec), 0),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable vm_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("DomainId", "i", NULL, offsetof(struct workload, domain_id), 0),
        TEXT("ConnectionUri", uri, 0),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable container_vtable[] = {
        SD_BUS_VTABLE_START(0),
        TEXT("Image", image, 0),
        TEXT("ContainerId", native_id, SD_BUS_VTABLE_PROPERTY_CONST),
        TEXT("CgroupPath", cgroup, 0),
        SD_BUS_PROPERTY("OomKills", "t", NULL, offsetof(struct workload, oom_kills), 0),
        SD_BUS_PROPERTY("Pid", "u", NULL, offsetof(struct workload, pid), 0),
        SD_BUS_VTABLE_END,
};

int dbus_workload_export(struct dbus *dbus) {
        int r;

        r = sd_bus_add_fallback_vtable(dbus->bus, NULL, WORKLOAD_PREFIX, VW_INTERFACE_WORKLOAD,
                        workload_vtable, find_any, dbus);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(dbus->bus, NULL, WORKLOAD_PREFIX,
                                "org.virtwatch1.VirtualMachine", vm_vtable, find_vm, dbus);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(dbus->bus, NULL, WORKLOAD_PREFIX,
                                "org.virtwatch1.Container", container_vtable, find_container, dbus);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(dbus->bus, NULL, WORKLOAD_PREFIX, enumerate, dbus);
        return r;
}
