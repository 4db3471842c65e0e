/* org.virtwatch1.Manager. */

#include <string.h>

#include "api/dbus_internal.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "model/workload.h"
#include "store/journal.h"
#include "virtwatch/virtwatch.h"

#define PAGE_BYTES_MAX (4U << 20) /* of GetEvents */

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
        bool late = clock_monotonic_us() - DBUS_API(userdata)->heartbeat_us > 5 * USEC_PER_SEC;

        return sd_bus_message_append(reply, "s", late ? "late" : "ok");
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

/* ---- GetEvents ---- */

/* On the bus an event takes about four times its JSON at most: small members are padded. */
#define BUS_SIZE(json_size) (4 * (json_size) + 256)

static int append_event(sd_bus_message *reply, const struct event *event) {
        int r;

        r = sd_bus_message_open_container(reply, 'r', "ttsssssa{sv}");
        if (r >= 0)
                r = dbus_append_event(reply, event);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* How many of the events go into one page; the others are for the next. */
static size_t page_length(struct event *const *events, size_t n, size_t *ret_size) {
        size_t length = 0, size = 0;

        while (length < n) {
                size_t more = BUS_SIZE(events[length]->json_size);

                if (length > 0 && size + more > PAGE_BYTES_MAX)
                        break;
                size += more;
                length++;
        }
        *ret_size = size;
        return length;
}

static int reply_page(const struct dbus_call *call, struct event *const *events, size_t n) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        size_t size, length = page_length(events, n, &size);
        int r;

        r = dbus_may_reply(call->dbus, NULL, size, &error);
        if (r < 0)
                return sd_bus_reply_method_error(call->message, &error);
        r = sd_bus_message_new_method_return(call->message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ttsssssa{sv})");
        for (size_t i = 0; r >= 0 && i < length; i++)
                r = append_event(reply, events[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static void page_done(int error, struct event *const *events, size_t n, void *userdata) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = userdata;
        int r;

        if (!call->dbus)
                return; /* the bus it was asked on is gone */
        if (error < 0) {
                log_debug_errno(error, "Cannot read a page of events: %m");
                r = sd_bus_reply_method_errorf(
                                call->message, SD_BUS_ERROR_FAILED, "The journal cannot be read");
        } else {
                r = reply_page(call, events, n);
        }
        if (r < 0)
                log_debug_errno(r, "Cannot answer GetEvents: %m");
}

static int set_filter(struct event_filter *filter, const char *name, const char *value,
                sd_bus_error *error) {
        const struct {
                const char *name;
                char **field;
        } fields[] = { { "kind", &filter->kind }, { "name", &filter->name },
                { "action", &filter->action }, { "slug", &filter->slug },
                { "workload", &filter->workload }, { "severity", &filter->severity } };
        size_t i;

        for (i = 0; i < ARRAY_SIZE(fields) && strcmp(fields[i].name, name) != 0; i++)
                ;
        if (i == ARRAY_SIZE(fields)) {
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                "There is no filter '%s'; there are kind, name, action, slug, workload, severity and since",
                                name);
        }
        if (strlen(value) > EVENT_NAME_MAX ||
                        (strcmp(name, "kind") == 0 && event_kind_from_string(value) < 0) ||
                        (strcmp(name, "severity") == 0 && severity_from_string(value) < 0))
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                "The filter %s has no value '%.64s'", name, value);
        free(*fields[i].field);
        *fields[i].field = strdup(value);
        return *fields[i].field ? 0 : -ENOMEM;
}

static int read_condition(
                sd_bus_message *message, struct event_filter *filter, sd_bus_error *error) {
        const char *name, *value, *type;
        bool since;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r < 0)
                return r;
        r = sd_bus_message_peek_type(message, NULL, &type);
        if (r < 0)
                return r;
        since = strcmp(name, "since") == 0;
        if (strcmp(type, since ? "t" : "s") != 0) {
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                "The filter '%s' is of type %s, not %s", name, since ? "t" : "s",
                                type);
        }
        if (since)
                return sd_bus_message_read(message, "v", "t", &filter->since_us);
        r = sd_bus_message_read(message, "v", "s", &value);
        return r < 0 ? r : set_filter(filter, name, value, error);
}

static int read_filter(sd_bus_message *message, struct event_filter *filter, sd_bus_error *error) {
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = read_condition(message, filter, error);
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_query(sd_bus_message *message, struct journal_query *query, sd_bus_error *error) {
        uint32_t limit;
        int r;

        r = sd_bus_message_read(message, "tu", &query->after_seq, &limit);
        if (r >= 0)
                r = read_filter(message, &query->filter, error);
        if (r < 0)
                return r;
        if (limit < 1 || limit > VW_EVENTS_PAGE_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "limit is 1 to %d",
                                VW_EVENTS_PAGE_MAX);
        if (query->after_seq > INT64_MAX || query->filter.since_us > INT64_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                "No sequence number and no time is that large");
        query->limit = limit;
        return 0;
}

static int method_get_events(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = NULL;
        struct journal_query query = {};
        int r;

        r = read_query(message, &query, error);
        if (r >= 0)
                r = dbus_call_new(userdata, message, error, &call);
        if (r >= 0)
                r = journal_read(DBUS_API(userdata)->journal, &query, page_done, call);
        event_filter_done(&query.filter);
        if (r == -EAGAIN)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many reads at once, try again");
        if (r < 0)
                return r;
        call = NULL; /* page_done() has it */
        return 1;
}

/* ---- Reload ---- */

static int then_reload(
                struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error) {
        int r;

        r = dbus_check_owner(uid, error);
        if (r < 0)
                return r;
        r = dbus->api->reload(dbus->api->userdata);
        if (r < 0)
                return sd_bus_error_set(error, VW_ERROR_BAD_CONFIGURATION,
                                "The old configuration stays; the log says what is wrong with the new one");
        return sd_bus_reply_method_return(message, "");
}

static int method_reload(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_ask(userdata, message, then_reload, error);
}

const sd_bus_vtable dbus_manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", property_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("NodeName", "s", property_node_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Features", "as", property_features, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Health", "s", property_health, 0, 0),
        SD_BUS_PROPERTY("Ready", "b", property_ready, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Sources", "a(sss)", property_sources, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("WorkloadCount", "u", property_workload_count, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("RunningCount", "u", property_running_count, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("EventSequence", "t", property_event_sequence, 0, 0),
        SD_BUS_METHOD_WITH_ARGS("ListWorkloads", SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(ssssto)", workloads), method_list_workloads,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetWorkload", SD_BUS_ARGS("s", id), SD_BUS_RESULT("o", path),
                        method_get_workload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetWorkloadByPID", SD_BUS_ARGS("u", pid), SD_BUS_RESULT("o", path),
                        method_get_workload_by_pid, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListNodes", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sssuo)", nodes),
                        dbus_method_list_nodes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetEvents",
                        SD_BUS_ARGS("t", after_seq, "u", limit, "a{sv}", filter),
                        SD_BUS_RESULT("a(ttsssssa{sv})", events), method_get_events,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Subscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                        dbus_method_subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Unsubscribe", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                        dbus_method_unsubscribe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json),
                        dbus_method_describe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Dump", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", text), dbus_method_dump,
                        SD_BUS_VTABLE_UNPRIVILEGED),
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
