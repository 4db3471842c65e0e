#pragma once
/* What systemd's properties say of one unit, and what a change of them means. Pure but for the
 * reading of a D-Bus dictionary.
 *
 * PID 1 sends the properties of the unit's type first and those of Unit after them, both as they
 * are at that moment; the state may still be the old one then ("inactive" with a main process).
 * Several changes may come as one. So a life is known by its invocation, not by its words. */

#include <systemd/sd-bus.h>

#include "model/fact.h"

struct unit_view {
        char load_state[16], active_state[16], sub_state[24], result[24], freezer[16];
        char invocation[33];
        uint32_t main_pid, n_restarts;
        int32_t exec_code, exec_status; /* CLD_EXITED and code; CLD_KILLED, CLD_DUMPED and signal */
        int32_t kill_signal;
        uint64_t exec_start_us, exec_exit_us, active_enter_us, inactive_exit_us, inactive_enter_us;
        bool has_exec;        /* a service; other types have no main process */
        char *cgroup, *slice; /* NULL: not told */
};

void unit_view_done(struct unit_view *view);

/* A property's value; text for 's' and for 'ay' as hex. */
struct unit_value {
        const char *text;
        int64_t number;
};

/** The D-Bus type of a property that matters ("s", "u", "i", "t", "ay"); NULL for all others. */
const char *unit_property_type(const char *name);
/** Take one property over. Return: 0; -ENOMEM. */
int unit_view_take(struct unit_view *view, const char *name, const struct unit_value *value);
/** Read an a{sv}; properties that do not matter, or are not of their type, are skipped. Return: 0;
 * negative errno: no such dictionary, or -ENOMEM. */
int unit_view_read(struct unit_view *view, sd_bus_message *message);

/* What has been told of the unit. */
struct unit_life {
        bool alive, asked, stopping, frozen;
        bool restarting; /* systemd said that it will start it again */
        bool limit_told;
        char invocation[33]; /* of the newest life that was told */
        uint64_t started_us, exec_start_us, inactive_exit_us;
};

enum unit_change {
        UNIT_ENDED_UNSEEN =
                        1 << 0, /* another life has begun; how the last one ended was not told */
        UNIT_STARTED = 1 << 1,
        UNIT_FROZEN = 1 << 2,
        UNIT_THAWED = 1 << 3,
        UNIT_STOP_ASKED = 1 << 4, /* systemd stops it, on request */
        UNIT_STOPPING = 1 << 5,
        UNIT_ENDED = 1 << 6,
        UNIT_START_FAILED = 1 << 7, /* ended before its main process ran */
        UNIT_SKIPPED = 1 << 8,      /* its ExecCondition= said no */
        UNIT_GAVE_UP = 1 << 9,      /* was to be restarted, and is not any more */
};

/** Take the unit as it is: what is, is no news. */
void unit_life_adopt(struct unit_life *life, const struct unit_view *view);
/** The same for a unit that does not run, of which only the state is known: what began before
 * @now_us (CLOCK_REALTIME) is no news. */
void unit_life_adopt_down(struct unit_life *life, const struct unit_view *view, uint64_t now_us);
/** What has changed since the last step, as bits; they happened in the order of the bits. */
unsigned int unit_life_step(struct unit_life *life, const struct unit_view *view);

enum workload_state unit_life_state(const struct unit_life *life, const struct unit_view *view);
/** How the last life ended: how, code, signal, Result's flags, time_us. @start_failed: it never
 * ran. */
void unit_exit_fill(const struct unit_life *life, const struct unit_view *view, bool start_failed,
                struct fact *fact);
