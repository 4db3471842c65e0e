/* libvirt's numbers: include/libvirt/libvirt-domain.h of libvirt 12, whose numbers are those of
 * every version before. */

#include "model/lifecycle.h"

#include <stdio.h>
#include <string.h>

#include "base/macro.h"

enum {
        DEFINED,
        UNDEFINED,
        STARTED,
        SUSPENDED,
        RESUMED,
        STOPPED,
        SHUTDOWN,
        PMSUSPENDED,
        CRASHED
};

/* The details that change what an event means. */
enum {
        STARTED_WAKEUP = 4,
        SUSPENDED_IOERROR = 2,
        SUSPENDED_WATCHDOG = 3,
        SUSPENDED_API_ERROR = 6,
        SUSPENDED_POSTCOPY_FAILED = 8,
        CRASHED_PANICKED = 0,
        CRASHED_CRASHLOADED = 1,
};

static const char *const events[] = { "defined", "undefined", "started", "suspended", "resumed",
        "stopped", "shutdown", "pmsuspended", "crashed" };

#define DETAILS_MAX 10
static const char *const details[][DETAILS_MAX] = {
        [DEFINED] = { "added", "updated", "renamed", "from-snapshot" },
        [UNDEFINED] = { "removed", "renamed" },
        [STARTED] = { "booted", "migrated", "restored", "from-snapshot", "wakeup", "recreated" },
        [SUSPENDED] = { "paused", "migrated", "io-error", "watchdog", "restored", "from-snapshot",
                        "api-error", "postcopy", "postcopy-failed", "guest-shutdown" },
        [RESUMED] = { "unpaused", "migrated", "from-snapshot", "postcopy", "postcopy-failed" },
        [STOPPED] = { "shutdown", "destroyed", "crashed", "migrated", "saved", "failed",
                        "from-snapshot", "recreated" },
        [SHUTDOWN] = { "finished", "guest", "host" },
        [PMSUSPENDED] = { "memory", "disk" },
        [CRASHED] = { "panicked", "crashloaded" },
};

#define REASONS_MAX 15
static const char *const reasons[][REASONS_MAX] = {
        { "unknown" },
        { "unknown", "booted", "migrated", "restored", "from-snapshot", "unpaused",
                        "migration-canceled", "save-canceled", "wakeup", "crashed", "postcopy",
                        "postcopy-failed" },
        { "unknown" },
        { "unknown", "user", "migration", "save", "dump", "io-error", "watchdog", "from-snapshot",
                        "shutting-down", "snapshot", "crashed", "starting-up", "postcopy",
                        "postcopy-failed", "api-error" },
        { "unknown", "user" },
        { "unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed",
                        "from-snapshot", "daemon" },
        { "unknown", "panicked" },
        { "unknown" },
};

const char *lifecycle_event_word(int event, char text[static 32]) {
        if (event >= 0 && (size_t) event < ARRAY_SIZE(events))
                return events[event];
        (void) snprintf(text, 32, "event-%d", event);
        return text;
}

const char *lifecycle_detail_word(int event, int detail, char text[static 32]) {
        if (event >= 0 && (size_t) event < ARRAY_SIZE(details) && detail >= 0 &&
                        detail < DETAILS_MAX && details[event][detail])
                return details[event][detail];
        (void) snprintf(text, 32, "detail-%d", detail);
        return text;
}

enum workload_state lifecycle_state(int vir_state) {
        static const enum workload_state states[] = { STATE_UNKNOWN, STATE_RUNNING, STATE_RUNNING,
                STATE_PAUSED, STATE_STOPPING, STATE_STOPPED, STATE_FAILED, STATE_PAUSED };

        if (vir_state >= 0 && (size_t) vir_state < ARRAY_SIZE(states))
                return states[vir_state];
        return STATE_UNKNOWN;
}

const char *lifecycle_state_reason_word(int vir_state, int reason, char text[static 32]) {
        if (vir_state >= 0 && (size_t) vir_state < ARRAY_SIZE(reasons) && reason >= 0 &&
                        reason < REASONS_MAX && reasons[vir_state][reason])
                return reasons[vir_state][reason];
        (void) snprintf(text, 32, "reason-%d", reason);
        return text;
}

static enum exit_how how_of_stopped(int detail) {
        static const enum exit_how hows[] = { EXIT_GUEST_SHUTDOWN, EXIT_DESTROYED, EXIT_GUEST_PANIC,
                EXIT_MIGRATED, EXIT_SAVED, EXIT_QEMU_FAILED, EXIT_SNAPSHOT, EXIT_RECREATED };

        return detail >= 0 && (size_t) detail < ARRAY_SIZE(hows) ? hows[detail] : EXIT_QEMU_FAILED;
}

static bool is_trouble(int suspended_detail) {
        return suspended_detail == SUSPENDED_IOERROR || suspended_detail == SUSPENDED_WATCHDOG ||
                        suspended_detail == SUSPENDED_API_ERROR ||
                        suspended_detail == SUSPENDED_POSTCOPY_FAILED;
}

void lifecycle_meaning(int event, int detail, struct lifecycle_meaning *ret_meaning) {
        /* clang-format off */
        static const struct lifecycle_meaning meanings[] = {
                [DEFINED]     = { .action = "defined", .state = WORKLOAD_STATE_MAX_, .publish = true },
                [UNDEFINED]   = { .action = "undefined", .state = WORKLOAD_STATE_MAX_, .publish = true },
                [STARTED]     = { .action = "started", .state = STATE_RUNNING, .publish = true },
                [SUSPENDED]   = { .action = "paused", .state = STATE_PAUSED, .publish = true },
                [RESUMED]     = { .action = "resumed", .state = STATE_RUNNING, .publish = true },
                [STOPPED]     = { .is_exit = true, .action = "stopped", .state = STATE_STOPPED, .publish = true },
                [SHUTDOWN]    = { .action = "shutdown", .state = STATE_STOPPING, .publish = false },
                [PMSUSPENDED] = { .action = "suspended", .state = STATE_PAUSED, .publish = true },
                [CRASHED]     = { .action = "lifecycle", .state = WORKLOAD_STATE_MAX_, .severity = SEVERITY_ERROR, .publish = true },
        };
        /* clang-format on */

        if (event < 0 || (size_t) event >= ARRAY_SIZE(meanings)) {
                *ret_meaning = (struct lifecycle_meaning){
                        .action = "lifecycle", .state = WORKLOAD_STATE_MAX_, .publish = true
                };
                return;
        }
        *ret_meaning = meanings[event];
        if (event == STOPPED)
                ret_meaning->how = how_of_stopped(detail);
        if (event == STARTED && detail == STARTED_WAKEUP)
                ret_meaning->action = "resumed"; /* it slept, it did not end */
        if (event == CRASHED && detail == CRASHED_PANICKED) {
                ret_meaning->action = "panicked";
                ret_meaning->state = STATE_FAILED; /* a STOPPED or a RESUMED may follow */
        }
        if (event == CRASHED && detail == CRASHED_CRASHLOADED)
                ret_meaning->action = "crashloaded"; /* the guest's kdump kernel runs */
        if (event == SUSPENDED && is_trouble(detail))
                ret_meaning->severity = SEVERITY_ERROR;
}

enum exit_how lifecycle_how(int vir_state, int reason) {
        enum {
                VIR_STATE_CRASHED = 6
        };
        static const enum exit_how hows[] = { EXIT_VANISHED, EXIT_GUEST_SHUTDOWN, EXIT_DESTROYED,
                EXIT_QEMU_FAILED, EXIT_MIGRATED, EXIT_SAVED, EXIT_QEMU_FAILED, EXIT_SNAPSHOT,
                EXIT_VANISHED };

        if (vir_state == VIR_STATE_CRASHED)
                return EXIT_GUEST_PANIC;
        return reason >= 0 && (size_t) reason < ARRAY_SIZE(hows) ? hows[reason] : EXIT_VANISHED;
}
