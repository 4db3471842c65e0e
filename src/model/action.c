/* Requests to act on a workload, as they are written and as they are said. */

#include "model/action.h"

#include <string.h>

#include "base/json.h"

static const char *const verbs[ACTION_VERB_MAX_] = { "stop", "destroy", "scale" };

const char *action_verb_to_string(enum action_verb verb) {
        return verbs[verb];
}

static int take_number(struct json_object *value, const char *member, uint64_t min, uint64_t max,
                struct diag *diag, uint64_t *ret_number) {
        int64_t number = json_object_is_type(value, json_type_int) ? json_object_get_int64(value)
                                                                   : -1;

        if (number < (int64_t) min || number > (int64_t) max) {
                diag_set(diag, 0, 0, "%s: wants a whole number from %ju to %ju", member,
                                (uintmax_t) min, (uintmax_t) max);
                return -EINVAL;
        }
        *ret_number = (uint64_t) number;
        return 0;
}

static int take_member(struct action *action, const char *name, struct json_object *value,
                struct diag *diag, const char **confirm) {
        uint64_t vcpus;
        int r;

        if (strcmp(name, "confirm") == 0) {
                *confirm = json_whole_string(value); /* one with a NUL would compare as its part */
                return *confirm ? 0
                                : diag_refuse(diag, name, "wants the workload's name as a text");
        }
        if (action->verb == ACTION_SCALE && strcmp(name, "vcpus") == 0) {
                r = take_number(value, name, 1, ACTION_VCPUS_MAX, diag, &vcpus);
                if (r >= 0)
                        action->vcpus = (uint32_t) vcpus;
                return r;
        }
        if (action->verb == ACTION_SCALE && strcmp(name, "memory_mb") == 0) {
                return take_number(value, name, ACTION_MEMORY_MIN_MB, ACTION_MEMORY_MAX_MB, diag,
                                &action->memory_mb);
        }
        diag_set(diag, 0, 0, "%.64s: there is no such member; there is confirm%s", name,
                        action->verb == ACTION_SCALE ? ", vcpus, memory_mb" : "");
        return -EINVAL;
}

int action_parse(enum action_verb verb, struct json_object *body, struct diag *diag,
                struct action *ret_action, const char **ret_confirm) {
        struct action action = { .verb = verb };
        const char *confirm = NULL;
        int r;

        json_object_object_foreach(body, name, value) {
                r = take_member(&action, name, value, diag, &confirm);
                if (r < 0)
                        return r;
        }
        if (!confirm)
                return diag_refuse(diag, "confirm",
                                "give the workload's name, to be sure it is meant");
        if (verb == ACTION_SCALE && !action.vcpus && !action.memory_mb)
                return diag_refuse(diag, "vcpus", "give vcpus, memory_mb or both");
        *ret_action = action;
        *ret_confirm = confirm;
        return 0;
}

static int check_number(const char *member, uint64_t number, uint64_t min, uint64_t max,
                struct diag *diag) {
        if (number >= min && number <= max)
                return 0;
        diag_set(diag, 0, 0, "%s: this workload may have %ju to %ju, not %ju", member,
                        (uintmax_t) min, (uintmax_t) max, (uintmax_t) number);
        return -EINVAL;
}

int action_check(const struct action *action, const struct action_limits *limits,
                struct diag *diag) {
        int r = 0;

        if (action->verb != ACTION_SCALE)
                return 0;
        if (!action->vcpus && !action->memory_mb)
                return diag_refuse(diag, "vcpus", "give vcpus, memory_mb or both");
        if (action->vcpus)
                r = check_number("vcpus", action->vcpus, 1,
                                limits->vcpus_max ? limits->vcpus_max : ACTION_VCPUS_MAX, diag);
        if (r >= 0 && action->memory_mb) {
                r = check_number("memory_mb", action->memory_mb, ACTION_MEMORY_MIN_MB,
                                limits->memory_max_mb ? limits->memory_max_mb
                                                      : ACTION_MEMORY_MAX_MB,
                                diag);
        }
        return r;
}

bool action_fits(enum action_verb verb, const struct workload *workload, const char **ret_why) {
        *ret_why = workload_state_to_string(workload->state);
        switch (workload->state) {
        case STATE_RUNNING:
        case STATE_STARTING:
                return true;
        case STATE_PAUSED: /* nobody in it listens */
                return verb != ACTION_STOP;
        case STATE_STOPPING:
                return verb == ACTION_DESTROY;
        case STATE_FAILED: /* of a guest that panicked its QEMU may be left */
                return verb == ACTION_SCALE ||
                                (verb == ACTION_DESTROY && workload->kind == WORKLOAD_VM);
        case STATE_CREATED:
        case STATE_STOPPED:
                return verb == ACTION_SCALE;
        default:
                *ret_why = "not reachable: its source is down";
                return false;
        }
}

const char *action_words(const struct action *action, char text[static 80]) {
        char vcpus[32] = "", memory[32] = "";

        if (action->vcpus)
                (void) snprintf(vcpus, sizeof(vcpus), " to %u vCPU%s", action->vcpus,
                                action->vcpus == 1 ? "" : "s");
        if (action->memory_mb)
                (void) snprintf(memory, sizeof(memory), " %s %ju MiB", action->vcpus ? "and" : "to",
                                (uintmax_t) action->memory_mb);
        (void) snprintf(text, 80, "%s%s%s", action_verb_to_string(action->verb), vcpus, memory);
        return text;
}
