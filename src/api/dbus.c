/* The connection to the bus, and the events. They go out from a cursor of our own in the feed, no
 * faster than the bus takes them: what falls out of the feed meanwhile is told with its exact
 * number. A bus that goes away is tried again with back-off. */

#include "api/dbus.h"

#include <string.h>

#include "api/dbus_internal.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "loop/timer.h"
#include "model/spans.h"
#include "model/workload.h"
#include "virtwatch/virtwatch.h"

#define RETRY_MIN_US    (250 * USEC_PER_MSEC)
#define RETRY_MAX_US    (10 * USEC_PER_SEC)
#define WRITE_QUEUE_MAX 1024
#define PUMP_WAIT_US    (20 * USEC_PER_MSEC)
#define EVENTS_A_TURN   256
#define FLUSH_US        (200 * USEC_PER_MSEC)

/* A bus may be set to refuse messages of more than 32 MiB, and to throw their sender off. */
#define REPLY_BYTES_MAX   (24U << 20)
#define REPLIES_BYTES_MAX (32U << 20)

#define NAME_IS_OURS 1 /* DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER */

static bool is_connected(const struct dbus *dbus) {
        return dbus->bus && sd_bus_is_ready(dbus->bus) > 0;
}

bool dbus_is_named(const struct dbus *dbus) {
        return dbus->named_us != 0;
}

/* ---- how much may wait for the bus ---- */

void dbus_pump_soon(struct dbus *dbus) {
        (void) timer_arm(dbus->pump, 0);
}

static uint64_t queue_length(struct dbus *dbus) {
        uint64_t queued = 0;

        if (sd_bus_get_n_queued_write(dbus->bus, &queued) >= 0 && queued == 0)
                dbus->reply_bytes = 0;
        return queued;
}

bool dbus_may_send(struct dbus *dbus) {
        if (!is_connected(dbus))
                return false;
        if (queue_length(dbus) <= WRITE_QUEUE_MAX)
                return true;
        (void) timer_arm(dbus->pump, PUMP_WAIT_US);
        return false;
}

int dbus_may_reply(struct dbus *dbus, sd_bus_message *call, size_t size, sd_bus_error *error) {
        (void) queue_length(dbus);
        if (size > REPLY_BYTES_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "The answer is too large for the bus");
        if (dbus->reply_bytes > REPLIES_BYTES_MAX - size)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many answers wait to be read, try again");
        if (call && !dbus_caller_may(dbus, call, size))
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "This client asks for too much at once, try again in a second");
        dbus->reply_bytes += size;
        return 0;
}

static bool introspects(sd_bus_message *message, const char *path) {
        return sd_bus_message_is_method_call(
                               message, "org.freedesktop.DBus.Introspectable", "Introspect") &&
                        strcmp(sd_bus_message_get_path(message), path) == 0;
}

/* These are composed by sd-bus itself, from all there is. */
static int on_call(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct dbus *dbus = userdata;
        struct workload *workload;
        size_t size = 0;
        bool objects;
        int r;

        if (spans_on(dbus->api->spans))
                dbus_served_begin(dbus, message);
        if (sd_bus_message_is_method_call(message, NULL, NULL) > 0) {
                r = dbus_call_fits(message, error);
                if (r < 0)
                        return dbus_served_refused(dbus, r, error);
        }
        objects = sd_bus_message_is_method_call(
                        message, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects");
        if (objects || introspects(message, VW_OBJECT_PATH "/workload"))
                inventory_for_each(workload, tracker_inventory(dbus->api->tracker)) size +=
                                dbus_workload_size(workload, objects);
        if (objects || introspects(message, VW_OBJECT_PATH "/app"))
                size += dbus_apps_size(dbus, objects);
        return size ? dbus_served_refused(dbus, dbus_may_reply(dbus, message, size, error), error)
                    : 0;
}

/* ---- events ---- */

static int signal_exit(struct dbus *dbus, const struct event *event) {
        struct json_object *evidence = json_get(event->details, "evidence");
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        _cleanup_(freep) char *path = dbus_workload_path(event->workload);
        struct buf words = BUF_INIT(256);
        int r = path ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < json_object_array_length(evidence); i++)
                r = buf_printf(&words, "%s%s", i ? "," : "",
                                json_object_get_string(json_object_array_get_idx(evidence, i)));
        if (r >= 0)
                r = sd_bus_message_new_signal(
                                dbus->bus, &message, path, VW_INTERFACE_WORKLOAD, "Exited");
        if (r >= 0)
                r = dbus_append_text(message, event->action);
        if (r >= 0)
                r = sd_bus_message_append(message, "i",
                                (int32_t) json_get_int(event->details, "exit_code", -1));
        if (r >= 0)
                r = dbus_append_text(message, words.data ? words.data : "");
        if (r >= 0)
                r = sd_bus_message_append(message, "t", event->time_us);
        if (r >= 0)
                r = sd_bus_send(dbus->bus, message, NULL);
        buf_done(&words);
        return r;
}

static bool is_exit(const struct event *event) {
        return event->workload[0] && json_get_string(event->details, "confidence") &&
                        json_object_is_type(json_get(event->details, "evidence"), json_type_array);
}

static int signal_event(struct dbus *dbus, const struct event *event) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_signal(
                        dbus->bus, &message, VW_OBJECT_PATH, VW_INTERFACE_MANAGER, "Event");
        if (r >= 0)
                r = dbus_append_event(message, event);
        if (r >= 0)
                r = sd_bus_send(dbus->bus, message, NULL);
        if (r >= 0 && is_exit(event))
                r = signal_exit(dbus, event);
        return r;
}

/* Return: whether there may be more. */
static bool pump_events(struct dbus *dbus) {
        struct event *event;
        uint64_t missed;
        int r = 1;

        for (unsigned int i = 0; i < EVENTS_A_TURN && r != 0; i++) {
                if (!dbus_may_send(dbus))
                        return false; /* the pump comes again by itself */
                r = feed_next(&dbus->reader, &event, &missed);
                if (r == 1 && signal_event(dbus, event) < 0)
                        log_debug("Cannot send event %ju to the bus", (uintmax_t) event->seq);
                else if (r == -ESTALE)
                        (void) sd_bus_emit_signal(dbus->bus, VW_OBJECT_PATH, VW_INTERFACE_MANAGER,
                                        "EventsMissed", "t", missed);
        }
        return r != 0;
}

static int on_pump(sd_event_source *source, uint64_t time_us, void *userdata) {
        struct dbus *dbus = userdata;
        bool more;

        if (!dbus->reading || !is_connected(dbus))
                return 0;
        /* First how things are, then what happened: who gets an event can look. */
        more = dbus_told_flush(dbus);
        if (!more)
                more = pump_events(dbus);
        if (!more)
                more = dbus_samples_flush(dbus);
        if (more && dbus_may_send(dbus))
                dbus_pump_soon(dbus);
        return 0;
}

static void on_ready(struct feed_reader *reader) {
        dbus_pump_soon(CONTAINER_OF(reader, struct dbus, reader));
}

/* After a bus that was away the events go on where they were cut off. Meanwhile the feed need not
 * keep them for us. */
static void start_reading(struct dbus *dbus) {
        if (!dbus->reading) {
                feed_reader_init(&dbus->reader, dbus->api->feed,
                                dbus->was_named ? dbus->read_seq : feed_last_seq(dbus->api->feed),
                                on_ready);
        }
        dbus->reading = dbus->was_named = true;
        dbus_pump_soon(dbus);
}

static void stop_reading(struct dbus *dbus) {
        if (!dbus->reading)
                return;
        dbus->read_seq = dbus->reader.next_seq - 1;
        dbus->reading = false;
        feed_reader_done(&dbus->reader);
}

/* ---- the connection ---- */

static void dbus_drop(struct dbus *dbus) {
        stop_reading(dbus);
        if (!dbus->bus)
                return;
        dbus->named_us = 0;
        dbus->reply_bytes = 0;
        dbus_callers_done(dbus);
        (void) sd_bus_detach_event(dbus->bus);
        dbus->bus = sd_bus_close_unref(dbus->bus);
}

/* Not from within the bus's own callbacks: the timer drops it. */
static void retry_later(struct dbus *dbus, const char *what, int error) {
        uint64_t now_us = clock_monotonic_us();

        if (dbus->named_us && now_us > dbus->named_us + RETRY_MAX_US)
                dbus->wait_us = 0; /* it worked for a while */
        if (dbus->wait_us == 0)
                log_warn_errno(error, "%s, trying again: %m", what);
        dbus->wait_us = dbus->wait_us == 0                 ? RETRY_MIN_US
                        : dbus->wait_us * 2 < RETRY_MAX_US ? dbus->wait_us * 2
                                                           : RETRY_MAX_US;
        dbus->named_us = 0;
        (void) timer_arm(dbus->retry, dbus->wait_us);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        retry_later(userdata, "The bus has gone", -ECONNRESET);
        return 0;
}

static int on_name(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct dbus *dbus = userdata;
        uint32_t told = 0;

        if (sd_bus_message_is_method_error(message, NULL)) {
                retry_later(dbus, "Cannot own the name " VW_BUS_NAME,
                                -sd_bus_message_get_errno(message));
                return 0;
        }
        if (sd_bus_message_read(message, "u", &told) < 0 || told != NAME_IS_OURS) {
                retry_later(dbus, "The name " VW_BUS_NAME " has another owner", -EEXIST);
                return 0;
        }
        log_info("On the bus as " VW_BUS_NAME);
        dbus->named_us = clock_monotonic_us();
        dbus_told_begin(dbus);
        start_reading(dbus);
        if (dbus->named)
                dbus->named(dbus->named_userdata);
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

static int export_objects(struct dbus *dbus) {
        int r;

        r = sd_bus_add_filter(dbus->bus, NULL, on_call, dbus);
        if (r >= 0)
                r = sd_bus_add_object_vtable(dbus->bus, NULL, VW_OBJECT_PATH, VW_INTERFACE_MANAGER,
                                dbus_manager_vtable, dbus);
        if (r >= 0)
                r = dbus_log_export(dbus);
        if (r >= 0)
                r = dbus_workload_export(dbus);
        if (r >= 0)
                r = dbus_node_export(dbus);
        if (r >= 0)
                r = dbus_app_export(dbus);
        return r < 0 ? r : sd_bus_add_object_manager(dbus->bus, NULL, VW_OBJECT_PATH);
}

static void dbus_connect(struct dbus *dbus) {
        int r;

        r = open_bus(dbus);
        if (r >= 0)
                r = sd_bus_attach_event(dbus->bus, dbus->api->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = export_objects(dbus);
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

/* What is under way may still get out; a bus that does not read is not waited for. */
static void flush_for(struct dbus *dbus, uint64_t span_us) {
        uint64_t end_us = clock_monotonic_us() + span_us, now_us;

        while (is_connected(dbus) && queue_length(dbus) > 0) {
                now_us = clock_monotonic_us();
                if (now_us >= end_us || sd_bus_wait(dbus->bus, end_us - now_us) < 0 ||
                                sd_bus_process(dbus->bus, NULL) < 0)
                        return;
        }
}

int dbus_new(const struct dbus_config *config, struct api_context *api, struct dbus **ret_dbus) {
        _cleanup_(dbus_freep) struct dbus *dbus = NULL;
        int r;

        dbus = calloc(1, sizeof(*dbus));
        if (!dbus)
                return -ENOMEM;
        dbus->api = api;
        dbus->named = config->named;
        dbus->named_userdata = config->userdata;
        dbus->bus_kind = strdup(config->bus ? config->bus : "system");
        dbus->address = config->address ? strdup(config->address) : NULL;
        if (!dbus->bus_kind || (config->address && !dbus->address))
                return -ENOMEM;
        list_init(&dbus->calls);
        list_init(&dbus->subscribers);
        r = dbus_told_init(dbus);
        if (r >= 0)
                r = timer_new(api->event, on_retry, dbus, &dbus->retry);
        if (r >= 0)
                r = timer_new(api->event, on_pump, dbus, &dbus->pump);
        if (r >= 0)
                r = dbus_served_init(dbus);
        if (r < 0)
                return r;
        dbus_connect(dbus);
        *ret_dbus = TAKE_PTR(dbus);
        return 0;
}

struct dbus *dbus_free(struct dbus *dbus) {
        if (!dbus)
                return NULL;
        stop_reading(dbus);
        flush_for(dbus, FLUSH_US);
        dbus_drop(dbus);
        dbus_told_done(dbus);
        dbus_served_done(dbus);
        sd_event_source_disable_unref(dbus->retry);
        sd_event_source_disable_unref(dbus->pump);
        free(dbus->bus_kind);
        free(dbus->address);
        free(dbus);
        return NULL;
}
