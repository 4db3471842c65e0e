/* /org/virtwatch1/node/NAME: this host. What is not known is NaN here, where JSON has null. */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/view_node.h"
#include "base/json.h"
#include "engine/node.h"
#include "virtwatch/virtwatch.h"

#define NODE_PREFIX VW_OBJECT_PATH "/node"

static const struct api_context *api_of(void *userdata) {
        return ((struct dbus *) userdata)->api;
}

char *dbus_node_path(const struct api_context *api) {
        char *path = NULL;

        return sd_bus_path_encode(NODE_PREFIX, api->node_name, &path) < 0 ? NULL : path;
}

static int find_node(sd_bus *bus, const char *path, const char *interface, void *userdata,
                void **ret_found, sd_bus_error *error) {
        _cleanup_(freep) char *name = NULL;

        if (sd_bus_path_decode(path, NODE_PREFIX, &name) <= 0 ||
                        strcmp(name, api_of(userdata)->node_name) != 0)
                return 0;
        *ret_found = userdata;
        return 1;
}

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                sd_bus_error *error) {
        char **nodes = calloc(2, sizeof(*nodes));

        if (!nodes)
                return -ENOMEM;
        nodes[0] = dbus_node_path(api_of(userdata));
        *ret_nodes = nodes;
        return 1;
}

/* ---- properties ---- */

#define NODE_PROPERTY(name, signature, value)                                        \
        static int node_##name(sd_bus *bus, const char *path, const char *interface, \
                        const char *property, sd_bus_message *reply, void *userdata, \
                        sd_bus_error *error) {                                       \
                struct node_facts facts;                                             \
                                                                                     \
                node_get_facts(api_of(userdata), &facts);                            \
                return sd_bus_message_append(reply, signature, value);               \
        }                                                                            \
        _Static_assert(1, "takes a semicolon")

NODE_PROPERTY(role, "s", facts.role);
NODE_PROPERTY(status, "s", facts.status);
NODE_PROPERTY(cpu_cores, "d", (double) facts.cpus);
NODE_PROPERTY(memory_total, "t", facts.memory_total_bytes);
NODE_PROPERTY(memory_used, "t", facts.memory_used_bytes);
NODE_PROPERTY(workload_count, "u", (uint32_t) facts.running);

static int node_name(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return dbus_append_text(reply, api_of(userdata)->node_name);
}

static int node_cpu_percent(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const struct node *node = api_of(userdata)->node;

        return sd_bus_message_append(reply, "d", node ? node->usage.cpu_percent : STATS_NAN);
}

static int append_stall(sd_bus_message *reply, enum host_resource resource, const char *scope,
                const struct host_stall *stall) {
        const struct {
                const char *span;
                double percent;
        } all[] = { { "avg10", stall->avg10_percent }, { "avg60", stall->avg60_percent },
                { "avg300", stall->avg300_percent } };
        char key[48];
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(all); i++) {
                if (isnan(all[i].percent))
                        continue;
                (void) snprintf(key, sizeof(key), "%s.%s.%s", host_resource_to_string(resource),
                                scope, all[i].span);
                r = sd_bus_message_append(reply, "{sd}", key, all[i].percent);
        }
        return r;
}

static int node_pressure(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const struct host *host = node_reading(api_of(userdata));
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sd}");
        for (enum host_resource i = 0; r >= 0 && host && i < HOST_RESOURCE_MAX_; i++) {
                r = append_stall(reply, i, "some", &host->pressure[i].some);
                if (r >= 0)
                        r = append_stall(reply, i, "full", &host->pressure[i].full);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* ---- methods ---- */

static int method_get_samples(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const struct node *node = api_of(userdata)->node;

        return dbus_reply_samples(userdata, message, node ? &node->ring : NULL, error);
}

static int method_describe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(json_putp) struct json_object *object = view_node(api_of(userdata), true);
        const char *text = object ? json_text(object) : NULL;
        int r;

        if (!text)
                return -ENOMEM;
        r = dbus_may_reply(userdata, message, strlen(text), error);
        return r < 0 ? r : dbus_reply_text(message, text);
}

int dbus_method_list_nodes(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) char *path = dbus_node_path(api_of(userdata));
        struct node_facts facts;
        int r;

        if (!path)
                return -ENOMEM;
        node_get_facts(api_of(userdata), &facts);
        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sssuo)");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'r', "sssuo");
        if (r >= 0)
                r = dbus_append_text(reply, facts.name);
        if (r >= 0)
                r = sd_bus_message_append(reply, "ssuo", facts.role, facts.status,
                                (uint32_t) facts.running, path);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* ---- object ---- */

/* A call of each is a span. */
DBUS_SERVE(method_get_samples)
DBUS_SERVE(method_describe)

static const sd_bus_vtable node_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", node_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Role", "s", node_role, 0, 0),
        SD_BUS_PROPERTY("Status", "s", node_status, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("CpuCores", "d", node_cpu_cores, 0, 0),
        SD_BUS_PROPERTY("CpuPercent", "d", node_cpu_percent, 0, 0),
        SD_BUS_PROPERTY("MemoryTotal", "t", node_memory_total, 0, 0),
        SD_BUS_PROPERTY("MemoryUsed", "t", node_memory_used, 0, 0),
        SD_BUS_PROPERTY("WorkloadCount", "u", node_workload_count, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Pressure", "a{sd}", node_pressure, 0, 0),
        SD_BUS_METHOD_WITH_ARGS("GetSamples", SD_BUS_ARGS("t", since),
                        SD_BUS_RESULT("a(tddd)", samples), serve_method_get_samples,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json),
                        serve_method_describe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int dbus_node_export(struct dbus *dbus) {
        int r;

        r = sd_bus_add_fallback_vtable(dbus->bus, NULL, NODE_PREFIX, VW_INTERFACE_NODE, node_vtable,
                        find_node, dbus);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(dbus->bus, NULL, NODE_PREFIX, enumerate, dbus);
        return r;
}

void dbus_node_refresh(struct dbus *dbus) {
        bool first = !dbus->told_node_status;
        _cleanup_(freep) char *path = NULL;
        const char *changed[3] = {};
        struct node_facts facts;
        size_t n = 0;

        node_get_facts(dbus->api, &facts);
        if (!first && strcmp(dbus->told_node_status, facts.status) != 0)
                changed[n++] = "Status";
        if (!first && dbus->told_node_running != facts.running)
                changed[n++] = "WorkloadCount";
        dbus->told_node_status = facts.status;
        dbus->told_node_running = facts.running;
        path = n ? dbus_node_path(dbus->api) : NULL;
        if (path)
                (void) sd_bus_emit_properties_changed_strv(
                                dbus->bus, path, VW_INTERFACE_NODE, (char **) (void *) changed);
}
