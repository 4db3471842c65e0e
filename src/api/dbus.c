/* The connection to the bus, and the signals. Events go out from a cursor of our own in the feed,
 * no faster than the bus takes them: what falls out of the feed meanwhile is told with its exact
 * number. */

#include "api/dbus.h"

#include <string.h>

#include "api/dbus_internal.h"
#include "base/json.h"
#include "base/log.h"
#include "model/workload.h"
#include "virtwatch/virtwatch.h"

#define RETRY_MIN_US    (250 * USEC_PER_MSEC)
#define RETRY_MAX_US    (10 * USEC_PER_SEC)
#define WRITE_QUEUE_MAX 1024
#define PUMP_WAIT_US    (20 * USEC_PER_MSEC)
#define EVENTS_A_TURN   256

static void dbus_connect(struct dbus *dbus);

bool dbus_is_connected(const struct dbus *dbus) {
        return dbus->bus && sd_bus_is_ready(dbus->bus) > 0;
}

static int append_detail(sd_bus_message *message, const char *name, struct json_object *value) {
        switch (json_object_get_type(value)) {
        case json_type_string:
                return sd_bus_message_append(
                                message, "{sv}", name, "s", json_object_get_string(value));
        case json_type_int:
                return sd_bus_message_append(
                                message, "{sv}", name, "x", json_object_get_int64(value));
        case json_type_boolean:
                return sd_bus_message_append(
                                message, "{sv}", name, "b", json_object_get_boolean(value));
        default:
                return sd_bus_message_append(message, "{sv}", name, "s", json_text(value));
        }
}

int dbus_append_details(sd_bus_message *message, struct json_object *details) {
        int r;

        r = sd_bus_message_open_container(message, 'a', "{sv}");
        json_object_object_foreach(details, name, value) {
                if (r >= 0)
                        r = append_detail(message, name, value);
        }
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static void signal_exit(struct dbus *dbus, const struct event *event) {
        _cleanup_(freep) char *path = dbus_workload_path(event->workload);
        struct json_object *evidence = json_get(event->details, "evidence");
        const char *text = evidence ? json_text(evidence) : "";

        if (path && json_get_string(event->details, "confidence")) {
                (void) sd_bus_emit_signal(dbus->bus, path, VW_INTERFACE_WORKLOAD, "Exited", "sist",
                                event->action,
                                (int32_t) json_get_int(event->details, "exit_code", -1), text,
                                event->time_us);
        }
}

static int signal_event(struct dbus *dbus, const struct event *event) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_signal(
                        dbus->bus, &message, VW_OBJECT_PATH, VW_INTERFACE_MANAGER, "Event");
        if (r >= 0) {
                r = sd_bus_message_append(message, "ttsssss", event->seq, event->time_us,
                                event_kind_to_string(event->kind), event->name, event->action,
                                severity_to_string(event->severity), event->message);
        }
        if (r >= 0)
                r = dbus_append_details(message, event->details);
        if (r >= 0)
                r = sd_bus_send(dbus->bus, message, NULL);
        if (r >= 0 && event->workload[0])
                signal_exit(dbus, event);
        return r;
}

static void pump_again(struct dbus *dbus, uint64_t wait_us) {
        (void) sd_event_source_set_time_relative(dbus->pump, wait_us);
        (void) sd_event_source_set_enabled(dbus->pump, SD_EVENT_ONESHOT);
}

static int on_pump(sd_event_source *source, uint64_t time_us, void *userdata) {
        struct dbus *dbus = userdata;
        struct event *event;
        uint64_t queued = 0, missed;
        int r = 1;

        if (!dbus_is_connected(dbus) || !dbus->reading)
                return 0;
        for (unsigned int i = 0; i < EVENTS_A_TURN && r != 0; i++) {
                if (sd_bus_get_n_queued_write(dbus->bus, &queued) >= 0 &&
                                queued > WRITE_QUEUE_MAX) {
                        pump_again(dbus, PUMP_WAIT_US);
                        return 0;
                }
                r = feed_next(&dbus->reader, &event, &missed);
                if (r == 1)
                        (void) signal_event(dbus, event);
                else if (r == -ESTALE)
                        (void) sd_bus_emit_signal(dbus->bus, VW_OBJECT_PATH, VW_INTERFACE_MANAGER,
                                        "EventsMissed", "t", missed);
        }
        if (r != 0)
                pump_again(dbus, 0);
        return 0;
}

static void on_ready(struct feed_reader *reader) {
        pump_again(CONTAINER_OF(reader, struct dbus, reader), 0);
}

static void start_reading(struct dbus *dbus) {
        uint64_t after = dbus->reading ? dbus->reader.next_seq - 1 : feed_last_seq(dbus->api->feed);

        if (!dbus->reading)
                feed_reader_init(&dbus->reader, dbus->api->feed, after, on_ready);
        dbus->reading = true;
        pump_again(dbus, 0);
}

static void dbus_drop(struct dbus *dbus) {
        if (!dbus->bus)
                return;
        (void) sd_bus_detach_event(dbus->bus);
        dbus->bus = sd_bus_close_unref(dbus->bus);
}

static void retry_later(struct dbus *dbus, const char *what, int error) {
        bool first = dbus->wait_us == 0;

        if (first)
                log_warn_errno(error, "%s, trying again: %m", what);
        dbus->wait_us = first                              ? RETRY_MIN_US
                        : dbus->wait_us * 2 < RETRY_MAX_US ? dbus->wait_us * 2
                                                           : RETRY_MAX_US;
        dbus_drop(dbus);
        (void) sd_event_source_set_time_relative(dbus->retry, dbus->wait_us);
        (void) sd_event_source_set_enabled(dbus->retry, SD_EVENT_ONESHOT);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct dbus *dbus = userdata;

        /* Not from within its own callback: the retry drops it. */
        (void) sd_event_source_set_time_relative(dbus->retry, RETRY_MIN_US);
        (void) sd_event_source_set_enabled(dbus->retry, SD_EVENT_ONESHOT);
        log_warn("The bus has gone, trying again");
        return 0;
}

static int on_name(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct dbus *dbus = userdata;

        if (sd_bus_message_is_method_error(message, NULL)) {
                (void) log_error_errno(-sd_bus_message_get_errno(message),
                                "Cannot own the name " VW_BUS_NAME ": %m");
                return 0;
        }
        dbus->wait_us = 0;
        start_reading(dbus);
        return 0;
}

static int open_bus(struct dbus *dbus) {
        int r;

        if (!dbus->address)
                return strcmp(dbus->bus_kind, "user") == 0 ? sd_bus_open_user(&dbus->bus)
                                                           : sd_bus_open_system(&dbus->bus);
        r = sd_bus_new(&dbus->bus);
        if (r >= 0)
                r = sd_bus_set_address(dbus->bus, dbus->address);
        if (r >= 0)
                r = sd_bus_set_bus_client(dbus->bus, true);
        if (r >= 0)
                r = sd_bus_set_trusted(dbus->bus, false);
        if (r >= 0)
                r = sd_bus_start(dbus->bus);
        return r;
}

static void dbus_connect(struct dbus *dbus) {
        int r;

        r = open_bus(dbus);
        if (r >= 0)
                r = sd_bus_attach_event(dbus->bus, dbus->api->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_add_object_vtable(dbus->bus, NULL, VW_OBJECT_PATH, VW_INTERFACE_MANAGER,
                                dbus_manager_vtable, dbus);
        if (r >= 0)
                r = sd_bus_add_object_vtable(dbus->bus, NULL, "/org/freedesktop/LogControl1",
                                "org.freedesktop.LogControl1", dbus_log_vtable, dbus);
        if (r >= 0)
                r = dbus_workload_export(dbus);
        if (r >= 0)
                r = sd_bus_add_object_manager(dbus->bus, NULL, VW_OBJECT_PATH);
        if (r >= 0) {
                r = sd_bus_match_signal_async(dbus->bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL,
                                dbus);
        }
        if (r >= 0)
                r = sd_bus_request_name_async(dbus->bus, NULL, VW_BUS_NAME, 0, on_name, dbus);
        if (r < 0)
                retry_later(dbus, "Cannot reach the bus", r);
}

static int on_retry(sd_event_source *source, uint64_t time_us, void *userdata) {
        struct dbus *dbus = userdata;

        dbus_drop(dbus);
        dbus_connect(dbus);
        return 0;
}

static int add_timer(struct dbus *dbus, sd_event_source **timer, sd_event_time_handler_t handler) {
        int r;

        r = sd_event_add_time(dbus->api->event, timer, CLOCK_MONOTONIC, USEC_INFINITY, 1000,
                        handler, dbus);
        return r < 0 ? r : sd_event_source_set_enabled(*timer, SD_EVENT_OFF);
}

int dbus_new(const struct dbus_config *config, struct api_context *api, struct dbus **ret_dbus) {
        _cleanup_(dbus_freep) struct dbus *dbus = NULL;
        int r;

        dbus = calloc(1, sizeof(*dbus));
        if (!dbus)
                return -ENOMEM;
        dbus->api = api;
        dbus->bus_kind = strdup(config->bus ? config->bus : "system");
        dbus->address = config->address ? strdup(config->address) : NULL;
        if (!dbus->bus_kind || (config->address && !dbus->address))
                return -ENOMEM;
        r = add_timer(dbus, &dbus->retry, on_retry);
        if (r >= 0)
                r = add_timer(dbus, &dbus->pump, on_pump);
        if (r < 0)
                return r;
        dbus_connect(dbus);
        *ret_dbus = TAKE_PTR(dbus);
        return 0;
}

struct dbus *dbus_free(struct dbus *dbus) {
        if (!dbus)
                return NULL;
        if (dbus->reading)
                feed_reader_done(&dbus->reader);
        if (dbus->bus)
                (void) sd_bus_flush(dbus->bus);
        dbus_drop(dbus);
        sd_event_source_disable_unref(dbus->retry);
        sd_event_source_disable_unref(dbus->pump);
        free(dbus->bus_kind);
        free(dbus->address);
        free(dbus);
        return NULL;
}

/* ---- changes that are no events ---- */

void dbus_workload_added(struct dbus *dbus, const struct workload *workload) {
        _cleanup_(freep) char *path = dbus_workload_path(workload->id);

        if (!path || !dbus_is_connected(dbus))
                return;
        (void) sd_bus_emit_object_added(dbus->bus, path);
        (void) sd_bus_emit_signal(dbus->bus, VW_OBJECT_PATH, VW_INTERFACE_MANAGER, "WorkloadNew",
                        "so", workload->id, path);
}

void dbus_workload_removed(struct dbus *dbus, const char *id) {
        _cleanup_(freep) char *path = dbus_workload_path(id);

        if (!path || !dbus_is_connected(dbus))
                return;
        (void) sd_bus_emit_object_removed(dbus->bus, path);
        (void) sd_bus_emit_signal(dbus->bus, VW_OBJECT_PATH, VW_INTERFACE_MANAGER,
                        "WorkloadRemoved", "so", id, path);
}

void dbus_workload_changed(struct dbus *dbus, const struct workload *workload) {
        _cleanup_(freep) char *path = dbus_workload_path(workload->id);

        if (path && dbus_is_connected(dbus))
                (void) sd_bus_emit_properties_changed(dbus->bus, path, VW_INTERFACE_WORKLOAD,
                                "State", "StateReason", "LastExit", "Restarts", NULL);
}

void dbus_source_changed(
                struct dbus *dbus, const char *source, const char *state, const char *error) {
        if (!dbus_is_connected(dbus))
                return;
        (void) sd_bus_emit_signal(dbus->bus, VW_OBJECT_PATH, VW_INTERFACE_MANAGER, "SourceChanged",
                        "sss", source, state, error);
        (void) sd_bus_emit_properties_changed(
                        dbus->bus, VW_OBJECT_PATH, VW_INTERFACE_MANAGER, "Sources", "Ready", NULL);
}
