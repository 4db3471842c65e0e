/* org.virtwatch1.Probe beside org.virtwatch1.App: what is asked of an app, and what came of it. One
 * table has every property, for the vtable's getter and for what is to be told. */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/dbus_values.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/prober.h"
#include "virtwatch/virtwatch.h"

#define CONFIG_BYTES_MAX 8192

enum shape {
        SHAPE_TEXT,    /* char[]: s */
        SHAPE_NUMBER,  /* unsigned int: u */
        SHAPE_FLAG,    /* bool: b */
        SHAPE_SECONDS, /* unsigned int: t, in µs */
        SHAPE_EXPIRY,  /* uint64_t of seconds: t, in µs */
        SHAPE_TIME,    /* uint64_t: t */
        SHAPE_TARGET,  /* enum probe_target: s */
        SHAPE_STATUS,  /* enum probe_status: s */
        SHAPE_THERE,   /* whether there is a probe: b */
};

#define OF(field) offsetof(struct probe, field)

/* Those that are told come first: what differs with every run is there to be read. */
static const struct property {
        const char *name;
        enum shape shape;
        size_t offset;
} properties[] = {
        { "Configured", SHAPE_THERE, 0 },
        { "Enabled", SHAPE_FLAG, OF(config.enabled) },
        { "Path", SHAPE_TEXT, OF(config.path) },
        { "Url", SHAPE_TEXT, OF(config.url) },
        { "Target", SHAPE_TARGET, OF(config.target) },
        { "Port", SHAPE_NUMBER, OF(config.port) },
        { "IntervalUSec", SHAPE_SECONDS, OF(config.interval_s) },
        { "TimeoutUSec", SHAPE_SECONDS, OF(config.timeout_s) },
        { "ExpectedStatus", SHAPE_NUMBER, OF(config.expected_status) },
        { "Failures", SHAPE_NUMBER, OF(config.failures) },
        { "Successes", SHAPE_NUMBER, OF(config.successes) },
        { "FollowRedirects", SHAPE_FLAG, OF(config.follow_redirects) },
        { "Insecure", SHAPE_FLAG, OF(config.insecure) },
        { "Status", SHAPE_STATUS, OF(state.status) },
        { "SinceUSec", SHAPE_TIME, OF(state.since_us) },
        { "LastRunUSec", SHAPE_TIME, OF(state.last.at_us) },
        { "LastSuccess", SHAPE_FLAG, OF(state.last.success) },
        { "LastHttpStatus", SHAPE_NUMBER, OF(state.last.http_status) },
        { "LastError", SHAPE_TEXT, OF(state.last.error) },
        { "LastDurationUSec", SHAPE_TIME, OF(state.last.duration_us) },
        { "LastAddress", SHAPE_TEXT, OF(state.last.address) },
        { "ConsecutiveFailures", SHAPE_NUMBER, OF(state.consecutive_failures) },
        { "CertificateExpiryUSec", SHAPE_EXPIRY, OF(state.last.cert_expiry_s) },
};

_Static_assert(ARRAY_SIZE(properties) >= DBUS_PROBE_TOLD, "what is told is in the table");

static const struct probe *probe_of(const struct dbus *dbus, const char *slug) {
        return dbus->api->prober ? prober_get(dbus->api->prober, slug) : NULL;
}

/* ---- values ---- */

static const char *text_of(const struct property *property, const struct probe *probe) {
        const void *field = (const char *) probe + property->offset;

        switch (property->shape) {
        case SHAPE_TEXT:
                return field;
        case SHAPE_TARGET:
                return probe_target_to_string(*(const enum probe_target *) field);
        case SHAPE_STATUS:
                return probe_status_to_string(*(const enum probe_status *) field);
        default:
                return NULL;
        }
}

static uint64_t number_of(const struct property *property, const struct probe *probe) {
        const void *field = (const char *) probe + property->offset;

        switch (property->shape) {
        case SHAPE_NUMBER:
                return *(const unsigned int *) field;
        case SHAPE_SECONDS:
                return *(const unsigned int *) field * USEC_PER_SEC;
        case SHAPE_EXPIRY:
                return *(const uint64_t *) field * USEC_PER_SEC;
        case SHAPE_FLAG:
                return *(const bool *) field;
        case SHAPE_THERE:
                return probe->slug[0] != '\0';
        default:
                return *(const uint64_t *) field;
        }
}

/* A slug without a probe has one that asks nothing: all is empty, and Configured is false. */
static const struct probe *shown_of(const struct dbus *dbus, const char *slug) {
        static const struct probe none = {};
        const struct probe *probe = probe_of(dbus, slug);

        return probe ? probe : &none;
}

DBUS_PROPERTY(value) {
        const struct dbus_app *app = userdata;
        const struct probe *probe = shown_of(dbus_of(bus), app->slug);
        const struct property *found = properties;
        const char *text;
        uint64_t number;

        while (strcmp(found->name, property) != 0)
                found++;
        text = text_of(found, probe);
        if (text)
                return dbus_append_text(reply, text);
        number = number_of(found, probe);
        if (found->shape == SHAPE_FLAG || found->shape == SHAPE_THERE)
                return sd_bus_message_append(reply, "b", (int) number);
        if (found->shape == SHAPE_NUMBER)
                return sd_bus_message_append(reply, "u", (uint32_t) number);
        return sd_bus_message_append(reply, "t", number);
}

size_t dbus_probe_differs(struct dbus *dbus, struct dbus_app *app, const char **changed) {
        const struct probe *probe = shown_of(dbus, app->slug);
        size_t n = 0;

        for (size_t i = 0; i < DBUS_PROBE_TOLD; i++) {
                const char *text = text_of(&properties[i], probe);
                uint64_t value = text ? dbus_hash_text(text) : number_of(&properties[i], probe);

                if (value != app->probe[i])
                        changed[n++] = properties[i].name;
                app->probe[i] = value;
        }
        return n;
}

/* ---- methods, once the bus has said who calls ---- */

static int slug_of(sd_bus_message *message, char **ret_slug) {
        int r;

        r = sd_bus_path_decode(sd_bus_message_get_path(message), DBUS_APP_PREFIX, ret_slug);
        return r == 0 ? -ENOENT : r;
}

static int refuse(int error, const char *reason, sd_bus_error *ret_error) {
        switch (error) {
        case -ENOENT:
                return sd_bus_error_set(
                                ret_error, VW_ERROR_NO_SUCH_PROBE, prober_error_words(error));
        case -EINVAL:
        case -EACCES:
                return sd_bus_error_set(ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                reason ? reason : prober_error_words(-EINVAL));
        case -EAGAIN:
                return sd_bus_error_set(ret_error, SD_BUS_ERROR_FAILED, prober_error_words(error));
        case -EDESTADDRREQ:
                return sd_bus_error_set(ret_error, VW_ERROR_NO_TARGET, prober_error_words(error));
        case -EPERM:
                return sd_bus_error_set(
                                ret_error, SD_BUS_ERROR_NOT_SUPPORTED, prober_error_words(error));
        case -E2BIG:
                return sd_bus_error_set(
                                ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED, prober_error_words(error));
        case -ENOSPC:
        case -EBUSY:
                return sd_bus_error_set(ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "No more can be taken in now, try again");
        default:
                return error;
        }
}

static void answer(const struct dbus_call *call, int error) {
        _cleanup_(sd_bus_error_free) sd_bus_error reason = SD_BUS_ERROR_NULL;
        int r;

        if (!call->dbus)
                return; /* the bus it came from is gone; what was asked for is done */
        if (error < 0) {
                (void) refuse(error, NULL, &reason);
                if (!sd_bus_error_is_set(&reason))
                        (void) sd_bus_error_set_errno(&reason, error);
                r = dbus_call_reply_error(call, &reason);
        } else {
                r = sd_bus_reply_method_return(call->message, "");
        }
        if (r < 0)
                log_debug_errno(r, "Cannot answer %s: %m",
                                sd_bus_message_get_member(call->message));
}

static void on_kept(struct event *event, void *userdata) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = userdata;

        answer(call, 0);
}

static void on_run(int error, const struct probe *probe, void *userdata) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = userdata;

        answer(call, error);
}

static int configure(struct dbus *dbus, sd_bus_message *message, const char *slug,
                struct dbus_call *call, struct diag *diag) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        struct probe_config config;
        int r;

        r = dbus_read_object(message, CONFIG_BYTES_MAX, &object);
        if (r == -EINVAL || r == -E2BIG) {
                diag_set(diag, 0, 0, "The probe wants names that come once, and at most %d bytes",
                                CONFIG_BYTES_MAX);
                return -EINVAL;
        }
        if (r >= 0)
                r = probe_config_parse(object, diag, &config);
        if (r < 0)
                return r;
        return prober_put(dbus->api->prober, slug, &config, diag, on_kept, call);
}

static int then_change(
                struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error) {
        const char *member = sd_bus_message_get_member(message);
        _cleanup_(dbus_call_freep) struct dbus_call *call = NULL;
        _cleanup_(freep) char *slug = NULL;
        struct diag diag = {};
        int r;

        r = slug_of(message, &slug);
        if (r >= 0 && !dbus->api->prober)
                r = -EPERM; /* it ends */
        if (r >= 0)
                r = dbus_call_new(dbus, message, error, &call);
        if (r < 0)
                return r;
        if (strcmp(member, "Configure") == 0)
                r = configure(dbus, message, slug, call, &diag);
        else if (strcmp(member, "RunNow") == 0)
                r = prober_run(dbus->api->prober, slug, on_run, call);
        else
                r = prober_remove(dbus->api->prober, slug, on_kept, call);
        if (r < 0)
                return refuse(r, diag.text[0] ? diag.text : NULL, error);
        call = NULL; /* on_kept() or on_run() has it */
        return 1;
}

static int method_change(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_ask(dbus_of(sd_bus_message_get_bus(message)), message,
                        "org.virtwatch1.manage-probes", then_change, error);
}

/* ---- the interface ---- */

#define TOLD(name, type) \
        SD_BUS_PROPERTY(name, type, property_value, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)
#define READ(name, type) SD_BUS_PROPERTY(name, type, property_value, 0, 0)

/* A call of each is a span. */
DBUS_SERVE(method_change)

const sd_bus_vtable dbus_probe_vtable[] = {
        SD_BUS_VTABLE_START(0),
        TOLD("Configured", "b"),
        TOLD("Enabled", "b"),
        TOLD("Path", "s"),
        TOLD("Url", "s"),
        TOLD("Target", "s"),
        TOLD("Port", "u"),
        TOLD("IntervalUSec", "t"),
        TOLD("TimeoutUSec", "t"),
        TOLD("ExpectedStatus", "u"),
        TOLD("Failures", "u"),
        TOLD("Successes", "u"),
        TOLD("FollowRedirects", "b"),
        TOLD("Insecure", "b"),
        TOLD("Status", "s"),
        TOLD("SinceUSec", "t"),
        READ("LastRunUSec", "t"),
        READ("LastSuccess", "b"),
        READ("LastHttpStatus", "u"),
        READ("LastError", "s"),
        READ("LastDurationUSec", "t"),
        READ("LastAddress", "s"),
        READ("ConsecutiveFailures", "u"),
        READ("CertificateExpiryUSec", "t"),
        SD_BUS_METHOD_WITH_ARGS("Configure", SD_BUS_ARGS("a{sv}", config), SD_BUS_NO_RESULT,
                        serve_method_change, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("RunNow", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, serve_method_change,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Remove", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, serve_method_change,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
