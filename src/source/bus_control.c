/* systemd's and machined's methods, asked for an operator. */

#include "source/bus_control.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>

#define BYTES_PER_MIB (UINT64_C(1) << 20)

struct control {
        struct source *source;
        uint64_t ticket;
        int outcome;
        bool gone_is_done;
        /* What is called once this one is answered; NULL: nothing. */
        const struct bus_control_call *kill;
        struct bus_link *link;
        char *unit;
};

static void control_free(void *userdata) {
        struct control *control = userdata;

        free(control->unit);
        free(control);
}

static int error_of(const sd_bus_error *error) {
        static const struct {
                const char *name;
                int error;
        } names[] = {
                { "org.freedesktop.systemd1.NoSuchUnit", -ENOENT },
                { "org.freedesktop.machine1.NoSuchMachine", -ENOENT },
                { "org.freedesktop.systemd1.UnitNotLoaded", -ESRCH },
                { "org.freedesktop.systemd1.NoSuchProcess", -ESRCH },
                { "org.freedesktop.systemd1.UnitInactive", -ESRCH },
                { SD_BUS_ERROR_ACCESS_DENIED, -EACCES },
                { SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, -EACCES },
                { SD_BUS_ERROR_INVALID_ARGS, -EINVAL },
                { SD_BUS_ERROR_NOT_SUPPORTED, -EOPNOTSUPP },
                { SD_BUS_ERROR_UNKNOWN_METHOD, -EOPNOTSUPP },
                { SD_BUS_ERROR_NO_REPLY, -ETIMEDOUT },
                { SD_BUS_ERROR_TIMEOUT, -ETIMEDOUT },
                { SD_BUS_ERROR_DISCONNECTED, -ENOTCONN },
                { SD_BUS_ERROR_SERVICE_UNKNOWN, -ENOTCONN },
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (sd_bus_error_has_name(error, names[i].name))
                        return names[i].error;
        return -EREMOTEIO;
}

static int on_reply(sd_bus_message *message, void *userdata, sd_bus_error *unused) {
        const sd_bus_error *error = sd_bus_message_get_error(message);
        const struct control *control = userdata;
        int r;

        if (!error && control->kill) {
                r = bus_control(control->link, control->ticket, control->outcome, control->kill,
                                "ssi", control->unit, "all", (int32_t) SIGKILL);
                if (r < 0)
                        source_answer(control->source, control->ticket, r, NULL);
                return 0;
        }
        if (error && !(control->gone_is_done && error_of(error) == -ESRCH))
                source_answer(control->source, control->ticket, error_of(error), error->message);
        else
                source_answer(control->source, control->ticket, control->outcome, NULL);
        return 0;
}

static int send_control(
                struct bus_link *link, const struct control *what, sd_bus_message *message) {
        struct control *control;
        int r;

        control = malloc(sizeof(*control));
        if (!control)
                return -ENOMEM;
        *control = *what;
        r = bus_link_send_owned(link, message, on_reply, control, control_free);
        if (r < 0)
                free(control);
        return r;
}

static int new_call(struct bus_link *link, const struct bus_control_call *call,
                sd_bus_message **ret_message) {
        if (!link->bus || !link->owner)
                return -ENOTCONN;
        return sd_bus_message_new_method_call(link->bus, ret_message, call->peer, call->path,
                        call->interface, call->member);
}

int bus_control(struct bus_link *link, uint64_t ticket, int outcome,
                const struct bus_control_call *call, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        va_list arguments;
        int r;

        r = new_call(link, call, &message);
        if (r < 0)
                return r;
        va_start(arguments, types);
        r = sd_bus_message_appendv(message, types, arguments);
        va_end(arguments);
        if (r < 0)
                return r;
        return send_control(link,
                        &(struct control){ .source = link->source,
                                        .ticket = ticket,
                                        .outcome = outcome,
                                        .gone_is_done = call->gone_is_done },
                        message);
}

int bus_control_stop_and_kill(struct bus_link *link, uint64_t ticket,
                const struct bus_control_call *stop, const struct bus_control_call *kill,
                const char *unit) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        struct control control = { .source = link->source,
                .ticket = ticket,
                .gone_is_done = stop->gone_is_done,
                .kill = kill,
                .link = link };
        int r;

        r = new_call(link, stop, &message);
        if (r >= 0)
                r = sd_bus_message_append(message, "ss", unit, "replace");
        if (r < 0)
                return r;
        control.unit = strdup(unit);
        if (!control.unit)
                return -ENOMEM;
        r = send_control(link, &control, message);
        if (r < 0)
                free(control.unit);
        return r;
}

static int append_limits(sd_bus_message *message, const struct action *action) {
        int r;

        r = sd_bus_message_open_container(message, 'a', "(sv)");
        if (r >= 0 && action->vcpus)
                r = sd_bus_message_append(message, "(sv)", "CPUQuotaPerSecUSec", "t",
                                action->vcpus * (uint64_t) USEC_PER_SEC);
        if (r >= 0 && action->memory_mb)
                r = sd_bus_message_append(message, "(sv)", "MemoryMax", "t",
                                action->memory_mb * BYTES_PER_MIB);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int bus_control_scale(struct bus_link *link, const struct source_control *control, const char *unit,
                bool runtime) {
        static const struct bus_control_call call = { BUS_SYSTEMD1, "/org/freedesktop/systemd1",
                "org.freedesktop.systemd1.Manager", "SetUnitProperties", false };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        if (!unit[0])
                return -EOPNOTSUPP; /* it has no unit whose limits could be set */
        r = new_call(link, &call, &message);
        if (r >= 0)
                r = sd_bus_message_append(message, "sb", unit, (int) runtime);
        if (r >= 0)
                r = append_limits(message, &control->action);
        if (r < 0)
                return r;
        return send_control(link,
                        &(struct control){ .source = link->source, .ticket = control->ticket },
                        message);
}
