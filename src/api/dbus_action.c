/* Workload.Stop(), Destroy(), Scale(): answered once the workload's source has. The object's path
 * says which workload is meant. */

#include "api/dbus_internal.h"
#include "base/log.h"
#include "engine/actions.h"
#include "virtwatch/virtwatch.h"

#define MIB (UINT64_C(1) << 20)

static const char *name_of(int error) {
        static const struct {
                int error;
                const char *name;
        } names[] = {
                { -EPERM, VW_ERROR_ACTIONS_DISABLED },
                { -ENOENT, VW_ERROR_NO_SUCH_WORKLOAD },
                { -EINVAL, SD_BUS_ERROR_INVALID_ARGS },
                { -EBUSY, VW_ERROR_ACTION_IN_PROGRESS },
                { -EAGAIN, SD_BUS_ERROR_LIMITS_EXCEEDED },
                { -ENOMEM, SD_BUS_ERROR_NO_MEMORY },
                { -EOPNOTSUPP, VW_ERROR_NOT_SUPPORTED },
                { -EROFS, VW_ERROR_NOT_SUPPORTED },
                { -ESRCH, VW_ERROR_INVALID_STATE },
                { -ENOTCONN, VW_ERROR_SOURCE_DOWN },
                { -ETIMEDOUT, VW_ERROR_WORKLOAD_HUNG },
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (names[i].error == error)
                        return names[i].name;
        return VW_ERROR_ACTION_FAILED;
}

static void action_done(const struct actions_outcome *outcome, void *userdata) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = userdata;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        if (!call->dbus)
                return; /* the bus it came from is gone; what was done is not */
        if (outcome->error < 0) {
                (void) sd_bus_error_set(&error, name_of(outcome->error), outcome->text);
                r = dbus_call_reply_error(call, &error);
        } else {
                r = dbus_reply_text(call->message, outcome->text);
        }
        if (r < 0)
                log_debug_errno(r, "Cannot answer %s: %m",
                                sd_bus_message_get_member(call->message));
}

static int read_action(sd_bus_message *message, struct action *ret_action, sd_bus_error *error) {
        struct action action = { .verb = ACTION_SCALE };
        uint64_t bytes;
        int r;

        if (sd_bus_message_is_method_call(message, NULL, "Stop")) {
                action.verb = ACTION_STOP;
        } else if (sd_bus_message_is_method_call(message, NULL, "Destroy")) {
                action.verb = ACTION_DESTROY;
        } else {
                r = sd_bus_message_read(message, "ut", &action.vcpus, &bytes);
                if (r < 0)
                        return r;
                if (bytes % MIB || action.vcpus > ACTION_VCPUS_MAX) {
                        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "Wants at most %d vcpus, and memory_bytes in whole MiB; 0: as it is",
                                        ACTION_VCPUS_MAX);
                }
                action.memory_mb = bytes / MIB;
        }
        *ret_action = action;
        return 0;
}

static int then_act(struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error) {
        _cleanup_(freep) char *id = dbus_workload_id(sd_bus_message_get_path(message));
        _cleanup_(dbus_call_freep) struct dbus_call *call = NULL;
        struct actions_request asked = { .id = id };
        char asked_by[ACTIONS_ASKED_BY_MAX];
        struct diag diag = {};
        int r;

        if (!id)
                return -ENOMEM;
        if (!dbus->api->actions)
                return sd_bus_error_set(error, name_of(-EPERM), "There are no actions here");
        r = read_action(message, &asked.action, error);
        if (r >= 0)
                r = dbus_call_new(dbus, message, error, &call);
        if (r < 0)
                return r;
        (void) snprintf(asked_by, sizeof(asked_by), "uid %jd", (intmax_t) uid);
        asked.asked_by = asked_by;
        r = actions_begin(dbus->api->actions, &asked, action_done, call, &diag);
        if (r < 0)
                return sd_bus_error_set(error, name_of(r), diag.text);
        call = NULL; /* action_done() has it */
        return 1;
}

int dbus_method_act(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_ask(dbus_of(sd_bus_message_get_bus(message)), message,
                        "org.virtwatch1.act-on-workloads", then_act, error);
}
