/* systemd's properties, read as lives. */

#include "source/unit_life.h"

#include <signal.h>
#include <string.h>

#include "base/text.h"
#include "source/bus_dict.h"

#define EXIT_EXEC 203 /* systemd.exec(5): the program could not be executed */

/* ---- properties ---- */

enum field_kind {
        FIELD_TEXT, /* into an array of .size bytes */
        FIELD_COPY, /* allocated */
        FIELD_I32,
        FIELD_U32,
        FIELD_U64,
};

/* clang-format off */
#define TEXT(name, type, field) \
        { name, type, FIELD_TEXT, offsetof(struct unit_view, field), sizeof(((struct unit_view *) 0)->field) }
#define OTHER(name, type, kind, field) { name, type, kind, offsetof(struct unit_view, field), 0 }

static const struct property {
        const char *name, *type;
        enum field_kind kind;
        size_t offset, size;
} properties[] = {
        TEXT("LoadState", "s", load_state),
        TEXT("ActiveState", "s", active_state),
        TEXT("SubState", "s", sub_state),
        TEXT("FreezerState", "s", freezer),
        TEXT("Result", "s", result),
        TEXT("InvocationID", "ay", invocation),
        OTHER("ControlGroup", "s", FIELD_COPY, cgroup),
        OTHER("Slice", "s", FIELD_COPY, slice),
        OTHER("MainPID", "u", FIELD_U32, main_pid),
        OTHER("NRestarts", "u", FIELD_U32, n_restarts),
        OTHER("ExecMainCode", "i", FIELD_I32, exec_code),
        OTHER("ExecMainStatus", "i", FIELD_I32, exec_status),
        OTHER("KillSignal", "i", FIELD_I32, kill_signal),
        OTHER("ExecMainStartTimestamp", "t", FIELD_U64, exec_start_us),
        OTHER("ExecMainExitTimestamp", "t", FIELD_U64, exec_exit_us),
        OTHER("ActiveEnterTimestamp", "t", FIELD_U64, active_enter_us),
        OTHER("InactiveExitTimestamp", "t", FIELD_U64, inactive_exit_us),
        OTHER("InactiveEnterTimestamp", "t", FIELD_U64, inactive_enter_us),
};
/* clang-format on */

static const struct property *property_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
                if (strcmp(properties[i].name, name) == 0)
                        return &properties[i];
        return NULL;
}

const char *unit_property_type(const char *name) {
        const struct property *property = property_find(name);

        return property ? property->type : NULL;
}

void unit_view_done(struct unit_view *view) {
        free(view->cgroup);
        free(view->slice);
        *view = (struct unit_view){};
}

int unit_view_take(struct unit_view *view, const char *name, const struct unit_value *value) {
        const struct property *property = property_find(name);
        void *field;
        char *copy;

        if (!property)
                return 0;
        field = (char *) view + property->offset;
        switch (property->kind) {
        case FIELD_TEXT:
                (void) snprintf(field, property->size, "%s", value->text);
                break;
        case FIELD_COPY:
                copy = strdup(value->text);
                if (!copy)
                        return -ENOMEM;
                free(*(char **) field);
                *(char **) field = copy;
                break;
        case FIELD_I32:
                *(int32_t *) field = (int32_t) value->number;
                break;
        case FIELD_U32:
                *(uint32_t *) field = (uint32_t) value->number;
                break;
        case FIELD_U64:
                *(uint64_t *) field = (uint64_t) value->number;
                break;
        }
        if (property->offset == offsetof(struct unit_view, exec_code))
                view->has_exec = true;
        return 0;
}

/* An array of bytes as hex digits: an invocation. */
static int read_hex(sd_bus_message *message, char text[static 33]) {
        const void *array;
        size_t n;
        int r;

        r = sd_bus_message_read_array(message, 'y', &array, &n);
        if (r < 0)
                return r;
        (void) text_hex(array, n < 16 ? n : 16, text);
        return 0;
}

static int read_value(sd_bus_message *message, const char *type, char hex[static 33],
                struct unit_value *ret_value) {
        union {
                const char *text;
                uint32_t u32;
                int32_t i32;
                uint64_t u64;
        } basic;
        int r;

        *ret_value = (struct unit_value){ .text = hex };
        if (strcmp(type, "ay") == 0)
                return read_hex(message, hex);
        r = sd_bus_message_read_basic(message, type[0], &basic);
        if (r < 0)
                return r;
        if (type[0] == 's')
                ret_value->text = basic.text;
        else if (type[0] == 't')
                ret_value->number = (int64_t) basic.u64;
        else
                ret_value->number = type[0] == 'i' ? basic.i32 : (int64_t) basic.u32;
        return 0;
}

static int take_property(
                sd_bus_message *message, const char *name, const char *type, void *userdata) {
        const char *wanted = unit_property_type(name);
        struct unit_view *view = userdata;
        struct unit_value value;
        char hex[33];
        int r;

        if (!wanted || strcmp(wanted, type) != 0)
                return 0;
        r = sd_bus_message_enter_container(message, 'v', type);
        if (r >= 0)
                r = read_value(message, type, hex, &value);
        if (r >= 0)
                r = unit_view_take(view, name, &value);
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        return r < 0 ? r : 1;
}

int unit_view_read(struct unit_view *view, sd_bus_message *message) {
        return bus_dict_read(message, take_property, view);
}

/* ---- lives ---- */

static bool is(const char *text, const char *word) {
        return strcmp(text, word) == 0;
}

static bool will_restart(const struct unit_view *view) {
        return strncmp(view->sub_state, "auto-restart", strlen("auto-restart")) == 0;
}

static bool is_down(const struct unit_view *view) {
        return is(view->active_state, "inactive") || is(view->active_state, "failed") ||
                        will_restart(view);
}

static bool is_up(const struct unit_view *view) {
        if (is_down(view))
                return false;
        return view->main_pid || !is(view->active_state, "activating");
}

static bool has_failed(const struct unit_view *view) {
        return view->result[0] && !is(view->result, "success");
}

static void life_begin(struct unit_life *life, const struct unit_view *view) {
        life->alive = true;
        life->asked = life->stopping = life->frozen = life->restarting = life->limit_told = false;
        life->started_us = view->inactive_exit_us ? view->inactive_exit_us : view->exec_start_us;
        life->exec_start_us = view->exec_start_us;
        memcpy(life->invocation, view->invocation, sizeof(life->invocation));
}

void unit_life_adopt(struct unit_life *life, const struct unit_view *view) {
        life_begin(life, view);
        life->alive = is_up(view);
        life->frozen = is(view->freezer, "frozen");
        life->stopping = is(view->active_state, "deactivating");
        life->restarting = will_restart(view);
        life->limit_told = is(view->result, "start-limit-hit");
        life->inactive_exit_us = view->inactive_exit_us;
}

void unit_life_adopt_down(struct unit_life *life, const struct unit_view *view, uint64_t now_us) {
        unit_life_adopt(life, view);
        life->alive = life->stopping = false;
        life->exec_start_us = life->inactive_exit_us = now_us;
}

/* It is down, was not told to be up, and is another invocation than the last one told: was there a
 * life between two signals? A state that lags behind shows no end of this invocation. */
static unsigned int step_missed(struct unit_life *life, const struct unit_view *view) {
        bool ran = view->exec_start_us > life->exec_start_us &&
                        view->exec_exit_us >= view->exec_start_us;
        bool was_active = !view->has_exec && view->inactive_exit_us > life->inactive_exit_us &&
                        view->inactive_enter_us >= view->inactive_exit_us;

        if (view->main_pid || !view->invocation[0] || is(view->invocation, life->invocation))
                return 0;
        if (!ran && !was_active && !has_failed(view))
                return 0;

        life_begin(life, view);
        life->alive = false;
        if (ran || was_active)
                return UNIT_STARTED | UNIT_ENDED;
        return is(view->result, "exec-condition") ? UNIT_SKIPPED : UNIT_START_FAILED;
}

static unsigned int step_down(struct unit_life *life, const struct unit_view *view) {
        unsigned int changes = 0;

        if (life->alive && !view->main_pid) {
                life->alive = false;
                changes = UNIT_ENDED;
        } else if (!life->alive) {
                changes = step_missed(life, view);
        }
        if (!life->alive && !changes && !life->limit_told && is(view->result, "start-limit-hit")) {
                life->limit_told = true;
                life->restarting = false;
                return UNIT_START_FAILED;
        }
        if (life->restarting && is(view->active_state, "failed")) {
                life->restarting = false;
                changes |= UNIT_GAVE_UP;
        }
        if (will_restart(view))
                life->restarting = true;
        return changes;
}

static unsigned int step_up(struct unit_life *life, const struct unit_view *view) {
        bool frozen = is(view->freezer, "frozen"),
             stopping = is(view->active_state, "deactivating");
        /* A service whose main process is gone already is not stopped, it is swept up after. */
        bool has_main = view->has_exec && view->exec_start_us >= life->exec_start_us &&
                        view->exec_start_us;
        unsigned int changes = 0;

        if (!life->alive) {
                life_begin(life, view);
                changes |= UNIT_STARTED;
        }
        if (frozen != life->frozen) {
                life->frozen = frozen;
                changes |= frozen ? UNIT_FROZEN : UNIT_THAWED;
        }
        if (stopping && !life->stopping) {
                life->stopping = true;
                changes |= UNIT_STOPPING;
                if (!has_failed(view) && (view->main_pid || !has_main)) {
                        life->asked = true;
                        changes |= UNIT_STOP_ASKED;
                }
        }
        return changes;
}

unsigned int unit_life_step(struct unit_life *life, const struct unit_view *view) {
        unsigned int changes = 0;

        if (!view->active_state[0])
                return 0;
        if (life->alive && view->invocation[0] && life->invocation[0] &&
                        !is(view->invocation, life->invocation)) {
                life->alive = false;
                changes |= UNIT_ENDED_UNSEEN;
        }
        if (is_down(view))
                changes |= step_down(life, view);
        else if (is_up(view))
                changes |= step_up(life, view);
        if (life->alive && !life->invocation[0])
                memcpy(life->invocation, view->invocation, sizeof(life->invocation));
        if (view->inactive_exit_us > life->inactive_exit_us)
                life->inactive_exit_us = view->inactive_exit_us;
        return changes;
}

enum workload_state unit_life_state(const struct unit_life *life, const struct unit_view *view) {
        if (life->alive) {
                return life->frozen              ? STATE_PAUSED
                                : life->stopping ? STATE_STOPPING
                                                 : STATE_RUNNING;
        }
        if (is(view->active_state, "failed") || (will_restart(view) && has_failed(view)))
                return STATE_FAILED;
        return view->inactive_enter_us || view->exec_exit_us ? STATE_STOPPED : STATE_CREATED;
}

static void fill_main_process(
                const struct unit_life *life, const struct unit_view *view, struct fact *fact) {
        fact->time_us = view->exec_exit_us;
        if (view->exec_code == CLD_EXITED) {
                fact->code = view->exec_status & 0xff;
                if (view->exec_status == EXIT_EXEC)
                        fact->how = EXIT_START_FAILED;
                /* SuccessExitStatus=: a number that this unit calls success */
                if (!has_failed(view))
                        fact->code = 0;
        } else if (view->exec_code == CLD_KILLED || view->exec_code == CLD_DUMPED) {
                fact->signal = view->exec_status;
                fact->core_dumped = view->exec_code == CLD_DUMPED;
        }
}

void unit_exit_fill(const struct unit_life *life, const struct unit_view *view, bool start_failed,
                struct fact *fact) {
        bool ran = !start_failed && view->has_exec && view->exec_exit_us &&
                        view->exec_exit_us >= view->exec_start_us && view->exec_code;

        fact->how = start_failed ? EXIT_START_FAILED : EXIT_PROCESS;
        fact->code = -1;
        fact->signal = 0;
        fact->core_dumped = false;
        fact->time_us = view->inactive_enter_us;
        if (ran)
                fill_main_process(life, view, fact);
        else if (!has_failed(view))
                fact->code = 0; /* systemd's word; there is no main process to ask */
        fact->runtime_oom = is(view->result, "oom-kill");
        fact->unit_timeout = is(view->result, "timeout");
        fact->unit_watchdog = is(view->result, "watchdog");
        fact->runtime_tells = true;
        fact->workload.exit_code = fact->code;
        fact->workload.how = fact->how;
        fact->workload.oom_killed = fact->runtime_oom;
        fact->workload.finished_us = fact->time_us;
}
