/* A call to us as a span, from when it comes to when it is answered, which may be after the bus,
 * polkit, a source and the disk have been asked. Methods are named where their handler is found;
 * what sd-bus answers by itself, properties and introspection, is known by a table, and its answer
 * is not known. A caller may make up names, and these get into no span's name. */

#include "api/dbus_internal.h"
#include "base/clock.h"
#include "base/text.h"
#include "model/spans.h"
#include "virtwatch/virtwatch.h"

struct dbus_served {
        unsigned int refs;
        bool named;
        struct span *span;
        struct spans *spans; /* borrowed: the face goes before they do */
};

struct dbus_served *dbus_served_ref(struct dbus_served *served) {
        if (served)
                served->refs++;
        return served;
}

static void end_span(struct dbus_served *served) {
        if (!served->named) {
                span_name(served->span, "dbus");
                span_add(served->span, "rpc.system", "dbus");
                span_add(served->span, "rpc.method", "_OTHER");
                span_add(served->span, "error.type", "_OTHER");
        }
        served->span = span_end(served->span, clock_monotonic_us());
}

struct dbus_served *dbus_served_unref(struct dbus_served *served) {
        if (!served || --served->refs > 0)
                return NULL;
        end_span(served);
        free(served);
        return NULL;
}

/* ---- its outcome ---- */

/* What is no fault of the caller's. */
static bool is_our_fault(const char *name) {
        static const char *const names[] = { SD_BUS_ERROR_FAILED, SD_BUS_ERROR_NO_MEMORY,
                SD_BUS_ERROR_IO_ERROR, SD_BUS_ERROR_TIMEOUT, SD_BUS_ERROR_NO_REPLY,
                VW_ERROR_SOURCE_DOWN, VW_ERROR_WORKLOAD_HUNG, VW_ERROR_ACTION_FAILED };

        return text_find(names, ARRAY_SIZE(names), name) >= 0 ||
                        text_starts_with(name, "System.Error.");
}

void dbus_served_fail(struct dbus_served *served, const sd_bus_error *error) {
        if (!served || !error->name)
                return;
        if (is_our_fault(error->name))
                span_fail(served->span, error->name, error->message);
        else
                span_add(served->span, "error.type", error->name);
        /* A refusal is told once. */
        served->span = span_end(served->span, clock_monotonic_us());
}

void dbus_served_cancel(struct dbus_served *served) {
        if (!served)
                return;
        span_fail(served->span, "cancelled", "the bus went before it was answered");
        served->span = span_end(served->span, clock_monotonic_us());
}

/* As sd-bus makes an error of what a handler returns. */
static void fail_by(struct dbus_served *served, int r, const sd_bus_error *error) {
        _cleanup_(sd_bus_error_free) sd_bus_error made = SD_BUS_ERROR_NULL;

        if (!sd_bus_error_is_set(error)) {
                (void) sd_bus_error_set_errno(&made, r);
                error = &made;
        }
        dbus_served_fail(served, error);
}

/* ---- what the loop is at ---- */

void dbus_served_leave(struct dbus *dbus) {
        dbus->served = dbus_served_unref(dbus->served);
        spans_leave(dbus->api->spans);
}

void dbus_served_enter(struct dbus *dbus, struct dbus_served *served) {
        dbus_served_leave(dbus);
        dbus->served = dbus_served_ref(served);
        if (served)
                spans_enter(dbus->api->spans, span_context(served->span));
}

int dbus_serve(sd_bus_message *message, void *userdata, sd_bus_error *error,
                sd_bus_message_handler_t method) {
        struct dbus *dbus = dbus_of(sd_bus_message_get_bus(message));
        struct dbus_served *served;
        int r;

        if (!dbus->served) {
                r = method(message, userdata, error);
                dbus_error_clean(error);
                return r;
        }
        served = dbus_served_ref(dbus->served);
        served->named = true;
        span_call(served->span, "dbus", sd_bus_message_get_interface(message),
                        sd_bus_message_get_member(message));
        spans_enter(dbus->api->spans, span_context(served->span));
        r = method(message, userdata, error);
        dbus_error_clean(error);
        if (r < 0 || sd_bus_error_is_set(error))
                fail_by(served, r, error);
        dbus_served_leave(dbus);
        dbus_served_unref(served);
        return r;
}

/* ---- calls ---- */

static bool is_standard(sd_bus_message *message) {
        static const struct {
                const char *interface, *member;
        } methods[] = {
                { "org.freedesktop.DBus.Properties", "Get" },
                { "org.freedesktop.DBus.Properties", "GetAll" },
                { "org.freedesktop.DBus.Properties", "Set" },
                { "org.freedesktop.DBus.ObjectManager", "GetManagedObjects" },
                { "org.freedesktop.DBus.Introspectable", "Introspect" },
                { "org.freedesktop.DBus.Peer", "Ping" },
                { "org.freedesktop.DBus.Peer", "GetMachineId" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
                if (sd_bus_message_is_method_call(
                                    message, methods[i].interface, methods[i].member) > 0)
                        return true;
        }
        return false;
}

void dbus_served_begin(struct dbus *dbus, sd_bus_message *message) {
        struct dbus_served *served;

        dbus_served_leave(dbus);
        if (sd_bus_message_is_method_call(message, NULL, NULL) <= 0)
                return;
        served = calloc(1, sizeof(*served));
        if (!served)
                return;
        served->refs = 1;
        served->spans = dbus->api->spans;
        served->span = span_begin(served->spans, NULL, SPAN_SERVER, clock_realtime_us(),
                        clock_monotonic_us());
        span_add(served->span, "virtwatch.dbus.sender", sd_bus_message_get_sender(message));
        span_add(served->span, "virtwatch.dbus.path", sd_bus_message_get_path(message));
        if (is_standard(message)) {
                served->named = true;
                span_call(served->span, "dbus", sd_bus_message_get_interface(message),
                                sd_bus_message_get_member(message));
        }
        dbus->served = served;
        /* What sd-bus answers by itself is over when it comes back to the loop. */
        (void) sd_event_source_set_enabled(dbus->served_over, SD_EVENT_ONESHOT);
}

int dbus_served_refused(struct dbus *dbus, int r, const sd_bus_error *error) {
        if (dbus->served && r < 0)
                fail_by(dbus->served, r, error);
        return r;
}

static int on_over(sd_event_source *source, void *userdata) {
        dbus_served_leave(userdata);
        return 0;
}

int dbus_served_init(struct dbus *dbus) {
        int r;

        r = sd_event_add_defer(dbus->api->event, &dbus->served_over, on_over, dbus);
        if (r >= 0)
                r = sd_event_source_set_priority(dbus->served_over, SD_EVENT_PRIORITY_IMPORTANT);
        return r < 0 ? r : sd_event_source_set_enabled(dbus->served_over, SD_EVENT_OFF);
}

void dbus_served_done(struct dbus *dbus) {
        dbus->served = dbus_served_unref(dbus->served);
        sd_event_source_disable_unref(dbus->served_over);
}

/* ---- calls that are answered later ---- */

void dbus_call_asks(struct dbus_call *call, const char *service, const char *method) {
        if (!call->served)
                return;
        call->question = span_begin(call->served->spans, span_context(call->served->span),
                        SPAN_CLIENT, clock_realtime_us(), clock_monotonic_us());
        span_call(call->question, "dbus", service, method);
}

void dbus_call_told(struct dbus_call *call, const sd_bus_error *error) {
        if (error) {
                span_fail(call->question, error->name, error->message);
        }
        call->question = span_end(call->question, clock_monotonic_us());
}

int dbus_call_reply_error(const struct dbus_call *call, const sd_bus_error *error) {
        _cleanup_(sd_bus_error_free) sd_bus_error clean = SD_BUS_ERROR_NULL;

        (void) sd_bus_error_copy(&clean, error);
        dbus_error_clean(&clean);
        dbus_served_fail(call->served, &clean);
        return sd_bus_reply_method_error(call->message, &clean);
}
