/* org.virtwatch1.Manager. */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/health.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/text.h"
#include "engine/sampler.h"
#include "model/workload.h"
#include "store/journal.h"
#include "virtwatch/virtwatch.h"

/* ---- properties ---- */

DBUS_PROPERTY(version) {
        return sd_bus_message_append(reply, "s", VIRTWATCH_VERSION);
}

DBUS_PROPERTY(node_name) {
        return dbus_append_text(reply, DBUS_API(userdata)->node_name);
}

DBUS_PROPERTY(features) {
        return sd_bus_message_append_strv(
                        reply, (char **) (uintptr_t) DBUS_API(userdata)->features);
}

DBUS_PROPERTY(health) {
        return sd_bus_message_append(reply, "s", health_word(DBUS_API(userdata)));
}

DBUS_PROPERTY(ready) {
        return sd_bus_message_append(reply, "b", api_not_ready(DBUS_API(userdata)) == 0);
}

static int append_source(sd_bus_message *reply, const struct tracker_source *source) {
        int r;

        r = sd_bus_message_open_container(reply, 'r', "sss");
        if (r >= 0)
                r = dbus_append_text(reply, source->name);
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", source_state_to_string(source->state));
        if (r >= 0)
                r = dbus_append_text(reply, source->error);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DBUS_PROPERTY(sources) {
        struct tracker_source *source;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sss)");
        list_for_each(source, tracker_sources(DBUS_API(userdata)->tracker), list) {
                if (r >= 0)
                        r = append_source(reply, source);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DBUS_PROPERTY(workload_count) {
        return sd_bus_message_append(reply, "u",
                        (uint32_t) inventory_size(tracker_inventory(DBUS_API(userdata)->tracker)));
}

DBUS_PROPERTY(running_count) {
        struct workload *workload;
        uint32_t n = 0;

        inventory_for_each(workload, tracker_inventory(DBUS_API(userdata)->tracker)) n +=
                        workload->state == STATE_RUNNING;
        return sd_bus_message_append(reply, "u", n);
}

DBUS_PROPERTY(event_sequence) {
        return sd_bus_message_append(reply, "t", journal_last_seq(DBUS_API(userdata)->journal));
}

DBUS_PROPERTY(sample_interval) {
        const struct sampler *sampler = DBUS_API(userdata)->sampler;

        return sd_bus_message_append(
                        reply, "t", sampler ? sampler_interval_us(sampler) : UINT64_C(0));
}

DBUS_PROPERTY(ring) {
        const struct sampler *sampler = DBUS_API(userdata)->sampler;

        return sd_bus_message_append(reply, "t",
                        sampler ? sampler_interval_us(sampler) * sampler_slots(sampler)
                                : UINT64_C(0));
}

/* ---- methods ---- */

static int append_workload(sd_bus_message *reply, const struct workload *workload) {
        _cleanup_(freep) char *path = dbus_workload_path(workload->id);
        int r;

        if (!path)
                return -ENOMEM;
        r = sd_bus_message_open_container(reply, 'r', "ssssto");
        if (r >= 0)
                r = dbus_append_text(reply, workload->id);
        if (r >= 0)
                r = dbus_append_text(reply, workload->name);
        if (r >= 0) {
                r = sd_bus_message_append(reply, "ssto", workload_kind_to_string(workload->kind),
                                workload_state_to_string(workload->state), workload->since_us,
                                path);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_list_workloads(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        struct inventory *inventory = tracker_inventory(DBUS_API(userdata)->tracker);
        struct workload *workload;
        size_t size = 0;
        int r;

        inventory_for_each(workload, inventory) size += dbus_workload_size(workload, false);
        r = dbus_may_reply(userdata, message, size, error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ssssto)");
        inventory_for_each(workload, inventory) {
                if (r >= 0)
                        r = append_workload(reply, workload);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int reply_path(sd_bus_message *message, const struct workload *workload, const char *what,
                sd_bus_error *error) {
        _cleanup_(freep) char *path = NULL;

        if (!workload)
                return sd_bus_error_setf(
                                error, VW_ERROR_NO_SUCH_WORKLOAD, "There is no workload %s", what);
        path = dbus_workload_path(workload->id);
        return path ? sd_bus_reply_method_return(message, "o", path) : -ENOMEM;
}

static int method_get_workload(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *id;
        int r;

        r = sd_bus_message_read(message, "s", &id);
        if (r < 0)
                return r;
        return reply_path(message,
                        inventory_find_any(tracker_inventory(DBUS_API(userdata)->tracker), id), id,
                        error);
}

static int method_get_workload_by_pid(
                sd_bus_message *message, void *userdata, sd_bus_error *error) {
        char text[32];
        uint32_t pid;
        int r;

        r = sd_bus_message_read(message, "u", &pid);
        if (r < 0)
                return r;
        (void) snprintf(text, sizeof(text), "of pid %u", pid);
        return reply_path(message,
                        inventory_find_pid(tracker_inventory(DBUS_API(userdata)->tracker), pid),
                        text, error);
}

/* ---- Reload ---- */

static int then_reload(
                struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error) {
        struct diag diag = {};
        int r;

        r = dbus->api->reload(&diag, dbus->api->userdata);
        if (r < 0) {
                return sd_bus_error_setf(error, VW_ERROR_BAD_CONFIGURATION,
                                "The old configuration stays: %s",
                                text_is_utf8(diag.text, strlen(diag.text))
                                                ? diag.text
                                                : "the log says what is wrong with the new one");
        }
        return sd_bus_reply_method_return(message, "");
}

static int method_reload(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_ask(userdata, message, "org.virtwatch1.reload", then_reload, error);
}

/* A call of each is a span. */
DBUS_SERVE(method_list_workloads)
DBUS_SERVE(method_get_workload)
DBUS_SERVE(method_get_workload_by_pid)
DBUS_SERVE(dbus_method_list_nodes)
DBUS_SERVE(dbus_method_list_apps)
DBUS_SERVE(dbus_method_get_events)
DBUS_SERVE(dbus_method_add_event)
DBUS_SERVE(dbus_method_create_token)
DBUS_SERVE(dbus_method_list_tokens)
DBUS_SERVE(dbus_method_revoke_token)
DBUS_SERVE(dbus_method_subscribe)
DBUS_SERVE(dbus_method_unsubscribe)
DBUS_SERVE(method_reload)
DBUS_SERVE(dbus_method_describe)
DBUS_SERVE(dbus_method_dump)

const sd_bus_vtable dbus_manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", property_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("NodeName", "s", property_node_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Features", "as", property_features, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Health", "s", property_health, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Ready", "b", property_ready, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Sources", "a(sss)", property_sources, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("WorkloadCount", "u", property_workload_count, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("RunningCount", "u", property_running_count, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("EventSequence", "t", property_event_sequence, 0, 0),
        SD_BUS_PROPERTY("SampleIntervalUSec", "t", property_sample_interval, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("RingUSec", "t", property_ring, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_METHOD_WITH_ARGS("ListWorkloads", SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(ssssto)", workloads), serve_method_list_workloads,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetWorkload", SD_BUS_ARGS("s", id), SD_BUS_RESULT("o", path),
                        serve_method_get_workload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetWorkloadByPID", SD_BUS_ARGS("u", pid), SD_BUS_RESULT("o", path),
                        serve_method_get_workload_by_pid, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListNodes", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sssuo)", nodes),
                        serve_dbus_method_list_nodes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListApps", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ssso)", apps),
                        serve_dbus_method_list_apps, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetEvents",
                        SD_BUS_ARGS("t", after_seq, "u", limit, "a{sv}", filter),
                        SD_BUS_RESULT("a(ttsssssa{sv})", events), serve_dbus_method_get_events,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("AddEvent",
                        SD_BUS_ARGS("s", slug, "s", kind, "s", severity, "s", message, "a{sv}",
                                        metadata),
                        SD_BUS_RESULT("t", seq), serve_dbus_method_add_event,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CreateToken", SD_BUS_ARGS("s", name, "as", scopes, "t", expires),
                        SD_BUS_RESULT("(ss)", token), serve_dbus_method_create_token,
                        SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS("ListTokens", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sasttt)", tokens),
                        serve_dbus_method_list_tokens, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RevokeToken", SD_BUS_ARGS("s", token), SD_BUS_NO_RESULT,
                        serve_dbus_method_revoke_token, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                        serve_dbus_method_subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Unsubscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                        serve_dbus_method_unsubscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, serve_method_reload,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json),
                        serve_dbus_method_describe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Dump", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", text),
                        serve_dbus_method_dump, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("Event",
                        SD_BUS_ARGS("t", seq, "t", usec, "s", kind, "s", name, "s", action, "s",
                                        severity, "s", message, "a{sv}", details),
                        0),
        SD_BUS_SIGNAL_WITH_ARGS("EventsMissed", SD_BUS_ARGS("t", count), 0),
        SD_BUS_SIGNAL_WITH_ARGS("WorkloadNew", SD_BUS_ARGS("s", id, "o", path), 0),
        SD_BUS_SIGNAL_WITH_ARGS("WorkloadRemoved", SD_BUS_ARGS("s", id, "o", path), 0),
        SD_BUS_SIGNAL_WITH_ARGS(
                        "SourceChanged", SD_BUS_ARGS("s", source, "s", state, "s", error), 0),
        SD_BUS_VTABLE_END,
};
