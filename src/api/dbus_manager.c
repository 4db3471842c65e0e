/* org.virtwatch1.Manager and org.freedesktop.LogControl1. */

#include <string.h>

#include "api/dbus_internal.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "model/workload.h"
#include "store/journal.h"
#include "virtwatch/virtwatch.h"

/* ---- properties ---- */

#define PROPERTY(name)                                                                   \
        static int property_##name(sd_bus *bus, const char *path, const char *interface, \
                        const char *property, sd_bus_message *reply, void *userdata,     \
                        sd_bus_error *error)
#define API(userdata) (((struct dbus *) (userdata))->api)

PROPERTY(version) {
        return sd_bus_message_append(reply, "s", VIRTWATCH_VERSION);
}

PROPERTY(node_name) {
        return sd_bus_message_append(reply, "s", API(userdata)->node_name);
}

PROPERTY(features) {
        return sd_bus_message_append_strv(reply, (char **) (uintptr_t) API(userdata)->features);
}

PROPERTY(health) {
        bool late = clock_monotonic_us() - API(userdata)->heartbeat_us > 5 * USEC_PER_SEC;

        return sd_bus_message_append(reply, "s", late ? "late" : "ok");
}

PROPERTY(ready) {
        return sd_bus_message_append(reply, "b", api_not_ready(API(userdata)) == 0);
}

PROPERTY(sources) {
        struct tracker_source *source;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sss)");
        list_for_each(source, tracker_sources(API(userdata)->tracker), list) {
                if (r >= 0)
                        r = sd_bus_message_append(reply, "(sss)", source->name,
                                        source_state_to_string(source->state), source->error);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

PROPERTY(workload_count) {
        return sd_bus_message_append(reply, "u",
                        (uint32_t) inventory_size(tracker_inventory(API(userdata)->tracker)));
}

PROPERTY(running_count) {
        struct workload *workload;
        uint32_t n = 0;

        inventory_for_each(workload, tracker_inventory(API(userdata)->tracker)) n +=
                        workload->state == STATE_RUNNING;
        return sd_bus_message_append(reply, "u", n);
}

PROPERTY(event_sequence) {
        return sd_bus_message_append(reply, "t", journal_last_seq(API(userdata)->journal));
}

/* ---- methods ---- */

static int reply_and_free(sd_bus_message *message, sd_bus_message *reply, int r) {
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        (void) sd_bus_message_unref(reply);
        return r < 0 ? r : 1;
}

static int append_workload(sd_bus_message *reply, const struct workload *workload) {
        _cleanup_(freep) char *path = dbus_workload_path(workload->id);

        if (!path)
                return -ENOMEM;
        return sd_bus_message_append(reply, "(ssssto)", workload->id, workload->name,
                        workload_kind_to_string(workload->kind),
                        workload_state_to_string(workload->state), workload->since_us, path);
}

static int method_list_workloads(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        sd_bus_message *reply = NULL;
        struct workload *workload;
        int r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ssssto)");
        inventory_for_each(workload, tracker_inventory(API(userdata)->tracker)) {
                if (r >= 0)
                        r = append_workload(reply, workload);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return reply_and_free(message, reply, r);
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
                        inventory_find_any(tracker_inventory(API(userdata)->tracker), id), id,
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
                        inventory_find_pid(tracker_inventory(API(userdata)->tracker), pid), text,
                        error);
}

static int append_event(sd_bus_message *reply, const struct event *event) {
        int r;

        r = sd_bus_message_open_container(reply, 'r', "ttsssssa{sv}");
        if (r >= 0) {
                r = sd_bus_message_append(reply, "ttsssss", event->seq, event->time_us,
                                event_kind_to_string(event->kind), event->name, event->action,
                                severity_to_string(event->severity), event->message);
        }
        if (r >= 0)
                r = dbus_append_details(reply, event->details);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static void page_done(int error, struct event *const *events, size_t n, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = userdata, *reply = NULL;
        int r;

        if (error < 0) {
                (void) sd_bus_reply_method_errno(call, error, NULL);
                return;
        }
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ttsssssa{sv})");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = append_event(reply, events[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        if (r < 0)
                log_debug_errno(r, "Cannot answer GetEvents: %m");
}

static int read_filter(sd_bus_message *message, struct event_filter *filter, sd_bus_error *error) {
        const struct {
                const char *name;
                char **field;
        } fields[] = { { "kind", &filter->kind }, { "name", &filter->name },
                { "action", &filter->action }, { "slug", &filter->slug },
                { "workload", &filter->workload }, { "severity", &filter->severity } };
        const char *name, *value;
        size_t i;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = sd_bus_message_read(message, "s", &name);
                if (r >= 0)
                        r = sd_bus_message_read(message, "v", "s", &value);
                if (r < 0)
                        return r;
                for (i = 0; i < ARRAY_SIZE(fields) && strcmp(fields[i].name, name) != 0; i++)
                        ;
                if (i == ARRAY_SIZE(fields))
                        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "There is no filter '%s'", name);
                free(*fields[i].field);
                *fields[i].field = strdup(value);
                if (!*fields[i].field)
                        return -ENOMEM;
                r = sd_bus_message_exit_container(message);
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int method_get_events(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct journal_query query = {};
        uint32_t limit;
        int r;

        r = sd_bus_message_read(message, "tu", &query.after_seq, &limit);
        if (r >= 0)
                r = read_filter(message, &query.filter, error);
        if (r >= 0 && (limit < 1 || limit > VW_EVENTS_PAGE_MAX))
                r = sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "limit is 1 to %d",
                                VW_EVENTS_PAGE_MAX);
        if (r >= 0) {
                query.limit = limit;
                r = journal_read(API(userdata)->journal, &query, page_done,
                                sd_bus_message_ref(message));
                if (r < 0)
                        (void) sd_bus_message_unref(message);
        }
        event_filter_done(&query.filter);
        return r < 0 ? r : 1;
}

/* Until polkit is asked: root, and whom the daemon runs as. */
static int check_owner(sd_bus_message *message, sd_bus_error *error) {
        _cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
        uid_t uid;

        if (sd_bus_query_sender_creds(message, SD_BUS_CREDS_EUID, &creds) < 0 ||
                        sd_bus_creds_get_euid(creds, &uid) < 0 || (uid != 0 && uid != geteuid()))
                return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "Only root may do that");
        return 0;
}

static int method_reload(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        int r;

        r = check_owner(message, error);
        if (r >= 0)
                r = API(userdata)->reload(API(userdata)->userdata);
        return r < 0 ? r : sd_bus_reply_method_return(message, "");
}

static int method_describe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        struct json_object *workloads = json_object_new_array();
        struct workload *workload;
        const char *text;

        (void) json_add_string(object, "version", VIRTWATCH_VERSION);
        (void) json_add_string(object, "node", API(userdata)->node_name);
        (void) json_add_uint(object, "last_seq", journal_last_seq(API(userdata)->journal));
        inventory_for_each(workload, tracker_inventory(API(userdata)->tracker))(void)
                        json_object_array_add(workloads, workload_to_json(workload));
        (void) json_add(object, "workloads", workloads);
        text = json_text(object);
        return text ? sd_bus_reply_method_return(message, "s", text) : -ENOMEM;
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
        SD_BUS_PROPERTY("WorkloadCount", "u", property_workload_count, 0, 0),
        SD_BUS_PROPERTY("RunningCount", "u", property_running_count, 0, 0),
        SD_BUS_PROPERTY("EventSequence", "t", property_event_sequence, 0, 0),
        SD_BUS_METHOD_WITH_ARGS("ListWorkloads", SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(ssssto)", workloads), method_list_workloads,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetWorkload", SD_BUS_ARGS("s", id), SD_BUS_RESULT("o", path),
                        method_get_workload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetWorkloadByPID", SD_BUS_ARGS("u", pid), SD_BUS_RESULT("o", path),
                        method_get_workload_by_pid, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetEvents",
                        SD_BUS_ARGS("t", after_seq, "u", limit, "a{sv}", filter),
                        SD_BUS_RESULT("a(ttsssssa{sv})", events), method_get_events,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json),
                        method_describe, SD_BUS_VTABLE_UNPRIVILEGED),
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

/* ---- LogControl1: the words are syslog's ---- */

static const char *const syslog_words[] = { "err", "warning", "info", "debug", "debug" };

PROPERTY(log_level) {
        return sd_bus_message_append(reply, "s", syslog_words[log_get_level()]);
}

static int set_log_level(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *value, void *userdata, sd_bus_error *error) {
        const char *text;
        int r;

        r = check_owner(value, error);
        if (r >= 0)
                r = sd_bus_message_read(value, "s", &text);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ARRAY_SIZE(syslog_words); i++) {
                if (strcmp(syslog_words[i], text) == 0) {
                        log_set_level((enum log_level) i);
                        return 0;
                }
        }
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                        "LogLevel is err, warning, info or debug, not '%s'", text);
}

PROPERTY(log_target) {
        return sd_bus_message_append(
                        reply, "s", log_get_target() == LOG_TARGET_JOURNAL ? "journal" : "console");
}

PROPERTY(syslog_identifier) {
        return sd_bus_message_append(reply, "s", program_invocation_short_name);
}

const sd_bus_vtable dbus_log_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", property_log_level, set_log_level, 0,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("LogTarget", "s", property_log_target, 0, 0),
        SD_BUS_PROPERTY("SyslogIdentifier", "s", property_syslog_identifier, 0,
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};
