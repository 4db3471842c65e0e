/* Each lifecycle event with each of its details, and one of each that does not exist. Numbers are
 * libvirt's, by name where 9.0 has the name. */

#include <libvirt/libvirt.h>
#include <string.h>

#include "model/lifecycle.h"
#include "test.h"

#define UNCHANGED WORKLOAD_STATE_MAX_

struct expectation {
        int event, detail;
        const char *event_word, *detail_word, *action;
        enum workload_state state;
        enum severity severity;
        int how; /* of an exit; -1: none */
};

#define EV(event) VIR_DOMAIN_EVENT_##event

/* clang-format off */
static const struct expectation expectations[] = {
        { EV(DEFINED), EV(DEFINED_ADDED), "defined", "added", "defined", UNCHANGED, SEVERITY_INFO, -1 },
        { EV(DEFINED), EV(DEFINED_UPDATED), "defined", "updated", "defined", UNCHANGED, SEVERITY_INFO, -1 },
        { EV(DEFINED), EV(DEFINED_RENAMED), "defined", "renamed", "defined", UNCHANGED, SEVERITY_INFO, -1 },
        { EV(DEFINED), EV(DEFINED_FROM_SNAPSHOT), "defined", "from-snapshot", "defined", UNCHANGED, SEVERITY_INFO, -1 },
        { EV(DEFINED), 4, "defined", "detail-4", "defined", UNCHANGED, SEVERITY_INFO, -1 },
        { EV(UNDEFINED), EV(UNDEFINED_REMOVED), "undefined", "removed", "undefined", UNCHANGED, SEVERITY_INFO, -1 },
        { EV(UNDEFINED), EV(UNDEFINED_RENAMED), "undefined", "renamed", "undefined", UNCHANGED, SEVERITY_INFO, -1 },
        { EV(UNDEFINED), 2, "undefined", "detail-2", "undefined", UNCHANGED, SEVERITY_INFO, -1 },
        { EV(STARTED), EV(STARTED_BOOTED), "started", "booted", "started", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(STARTED), EV(STARTED_MIGRATED), "started", "migrated", "started", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(STARTED), EV(STARTED_RESTORED), "started", "restored", "started", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(STARTED), EV(STARTED_FROM_SNAPSHOT), "started", "from-snapshot", "started", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(STARTED), EV(STARTED_WAKEUP), "started", "wakeup", "resumed", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(STARTED), 5, "started", "recreated", "started", STATE_RUNNING, SEVERITY_INFO, -1 }, /* libvirt 11.6 */
        { EV(STARTED), 6, "started", "detail-6", "started", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(SUSPENDED), EV(SUSPENDED_PAUSED), "suspended", "paused", "paused", STATE_PAUSED, SEVERITY_INFO, -1 },
        { EV(SUSPENDED), EV(SUSPENDED_MIGRATED), "suspended", "migrated", "paused", STATE_PAUSED, SEVERITY_INFO, -1 },
        { EV(SUSPENDED), EV(SUSPENDED_IOERROR), "suspended", "io-error", "paused", STATE_PAUSED, SEVERITY_ERROR, -1 },
        { EV(SUSPENDED), EV(SUSPENDED_WATCHDOG), "suspended", "watchdog", "paused", STATE_PAUSED, SEVERITY_ERROR, -1 },
        { EV(SUSPENDED), EV(SUSPENDED_RESTORED), "suspended", "restored", "paused", STATE_PAUSED, SEVERITY_INFO, -1 },
        { EV(SUSPENDED), EV(SUSPENDED_FROM_SNAPSHOT), "suspended", "from-snapshot", "paused", STATE_PAUSED, SEVERITY_INFO, -1 },
        { EV(SUSPENDED), EV(SUSPENDED_API_ERROR), "suspended", "api-error", "paused", STATE_PAUSED, SEVERITY_ERROR, -1 },
        { EV(SUSPENDED), EV(SUSPENDED_POSTCOPY), "suspended", "postcopy", "paused", STATE_PAUSED, SEVERITY_INFO, -1 },
        { EV(SUSPENDED), EV(SUSPENDED_POSTCOPY_FAILED), "suspended", "postcopy-failed", "paused", STATE_PAUSED, SEVERITY_ERROR, -1 },
        { EV(SUSPENDED), 9, "suspended", "guest-shutdown", "paused", STATE_PAUSED, SEVERITY_INFO, -1 }, /* libvirt 11.10 */
        { EV(SUSPENDED), 10, "suspended", "detail-10", "paused", STATE_PAUSED, SEVERITY_INFO, -1 },
        { EV(RESUMED), EV(RESUMED_UNPAUSED), "resumed", "unpaused", "resumed", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(RESUMED), EV(RESUMED_MIGRATED), "resumed", "migrated", "resumed", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(RESUMED), EV(RESUMED_FROM_SNAPSHOT), "resumed", "from-snapshot", "resumed", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(RESUMED), EV(RESUMED_POSTCOPY), "resumed", "postcopy", "resumed", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(RESUMED), EV(RESUMED_POSTCOPY_FAILED), "resumed", "postcopy-failed", "resumed", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(RESUMED), 5, "resumed", "detail-5", "resumed", STATE_RUNNING, SEVERITY_INFO, -1 },
        { EV(STOPPED), EV(STOPPED_SHUTDOWN), "stopped", "shutdown", "stopped", STATE_STOPPED, SEVERITY_INFO, EXIT_GUEST_SHUTDOWN },
        { EV(STOPPED), EV(STOPPED_DESTROYED), "stopped", "destroyed", "stopped", STATE_STOPPED, SEVERITY_INFO, EXIT_DESTROYED },
        { EV(STOPPED), EV(STOPPED_CRASHED), "stopped", "crashed", "stopped", STATE_STOPPED, SEVERITY_INFO, EXIT_GUEST_PANIC },
        { EV(STOPPED), EV(STOPPED_MIGRATED), "stopped", "migrated", "stopped", STATE_STOPPED, SEVERITY_INFO, EXIT_MIGRATED },
        { EV(STOPPED), EV(STOPPED_SAVED), "stopped", "saved", "stopped", STATE_STOPPED, SEVERITY_INFO, EXIT_SAVED },
        { EV(STOPPED), EV(STOPPED_FAILED), "stopped", "failed", "stopped", STATE_STOPPED, SEVERITY_INFO, EXIT_QEMU_FAILED },
        { EV(STOPPED), EV(STOPPED_FROM_SNAPSHOT), "stopped", "from-snapshot", "stopped", STATE_STOPPED, SEVERITY_INFO, EXIT_SNAPSHOT },
        { EV(STOPPED), 7, "stopped", "recreated", "stopped", STATE_STOPPED, SEVERITY_INFO, EXIT_RECREATED }, /* libvirt 11.6 */
        { EV(STOPPED), 8, "stopped", "detail-8", "stopped", STATE_STOPPED, SEVERITY_INFO, EXIT_QEMU_FAILED },
        { EV(STOPPED), -1, "stopped", "detail--1", "stopped", STATE_STOPPED, SEVERITY_INFO, EXIT_QEMU_FAILED },
        { EV(SHUTDOWN), EV(SHUTDOWN_FINISHED), "shutdown", "finished", "shutdown", STATE_STOPPING, SEVERITY_INFO, -1 },
        { EV(SHUTDOWN), EV(SHUTDOWN_GUEST), "shutdown", "guest", "shutdown", STATE_STOPPING, SEVERITY_INFO, -1 },
        { EV(SHUTDOWN), EV(SHUTDOWN_HOST), "shutdown", "host", "shutdown", STATE_STOPPING, SEVERITY_INFO, -1 },
        { EV(SHUTDOWN), 3, "shutdown", "detail-3", "shutdown", STATE_STOPPING, SEVERITY_INFO, -1 },
        { EV(PMSUSPENDED), EV(PMSUSPENDED_MEMORY), "pmsuspended", "memory", "suspended", STATE_PAUSED, SEVERITY_INFO, -1 },
        { EV(PMSUSPENDED), EV(PMSUSPENDED_DISK), "pmsuspended", "disk", "suspended", STATE_PAUSED, SEVERITY_INFO, -1 },
        { EV(PMSUSPENDED), 2, "pmsuspended", "detail-2", "suspended", STATE_PAUSED, SEVERITY_INFO, -1 },
        { EV(CRASHED), EV(CRASHED_PANICKED), "crashed", "panicked", "panicked", STATE_FAILED, SEVERITY_ERROR, -1 },
        { EV(CRASHED), EV(CRASHED_CRASHLOADED), "crashed", "crashloaded", "crashloaded", UNCHANGED, SEVERITY_ERROR, -1 },
        { EV(CRASHED), 2, "crashed", "detail-2", "lifecycle", UNCHANGED, SEVERITY_ERROR, -1 },
        { 9, 3, "event-9", "detail-3", "lifecycle", UNCHANGED, SEVERITY_INFO, -1 },
        { -1, 0, "event--1", "detail-0", "lifecycle", UNCHANGED, SEVERITY_INFO, -1 },
};
/* clang-format on */

static void each_event_and_detail_has_its_words_and_its_meaning(void **state) {
        for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
                const struct expectation *row = &expectations[i];
                struct lifecycle_meaning meaning;
                char text[32];

                assert_string_equal(lifecycle_event_word(row->event, text), row->event_word);
                assert_string_equal(lifecycle_detail_word(row->event, row->detail, text),
                                row->detail_word);
                lifecycle_meaning(row->event, row->detail, &meaning);
                assert_string_equal(meaning.action, row->action);
                assert_int_equal(meaning.state, row->state);
                assert_int_equal(meaning.severity, row->severity);
                assert_int_equal(meaning.is_exit, row->how >= 0);
                if (row->how >= 0)
                        assert_int_equal(meaning.how, row->how);
                assert_int_equal(meaning.publish, row->event != EV(SHUTDOWN));
        }
}

static void each_state_and_reason_has_its_words(void **state) {
        static const struct {
                int state, reason;
                enum workload_state ours;
                const char *word;
        } rows[] = {
                { VIR_DOMAIN_NOSTATE, 0, STATE_UNKNOWN, "unknown" },
                { VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, STATE_RUNNING, "booted" },
                { VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED, STATE_RUNNING,
                                "postcopy-failed" },
                { VIR_DOMAIN_RUNNING, 12, STATE_RUNNING, "reason-12" },
                { VIR_DOMAIN_BLOCKED, 0, STATE_RUNNING, "unknown" },
                { VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, STATE_PAUSED, "user" },
                { VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR, STATE_PAUSED, "io-error" },
                { VIR_DOMAIN_PAUSED, 14, STATE_PAUSED, "api-error" }, /* libvirt 9.2 */
                { VIR_DOMAIN_PAUSED, 99, STATE_PAUSED, "reason-99" },
                { VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_SHUTDOWN_USER, STATE_STOPPING, "user" },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DAEMON, STATE_STOPPED, "daemon" },
                { VIR_DOMAIN_SHUTOFF, 9, STATE_STOPPED, "reason-9" },
                { VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED, STATE_FAILED, "panicked" },
                { VIR_DOMAIN_PMSUSPENDED, 0, STATE_PAUSED, "unknown" },
                { 8, 0, STATE_UNKNOWN, "reason-0" },
                { -1, 1, STATE_UNKNOWN, "reason-1" },
        };
        char text[32];

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                assert_int_equal(lifecycle_state(rows[i].state), rows[i].ours);
                assert_string_equal(
                                lifecycle_state_reason_word(rows[i].state, rows[i].reason, text),
                                rows[i].word);
        }
}

static void a_domain_found_ended_says_how(void **state) {
        static const struct {
                int state, reason;
                enum exit_how how;
        } rows[] = {
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_UNKNOWN, EXIT_VANISHED },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SHUTDOWN, EXIT_GUEST_SHUTDOWN },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DESTROYED, EXIT_DESTROYED },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED, EXIT_QEMU_FAILED },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_MIGRATED, EXIT_MIGRATED },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SAVED, EXIT_SAVED },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_FAILED, EXIT_QEMU_FAILED },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT, EXIT_SNAPSHOT },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DAEMON, EXIT_VANISHED },
                { VIR_DOMAIN_SHUTOFF, 9, EXIT_VANISHED },
                { VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED, EXIT_GUEST_PANIC },
                { VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_UNKNOWN, EXIT_GUEST_PANIC },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                assert_int_equal(lifecycle_how(rows[i].state, rows[i].reason), rows[i].how);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_event_and_detail_has_its_words_and_its_meaning),
                cmocka_unit_test(each_state_and_reason_has_its_words),
                cmocka_unit_test(a_domain_found_ended_says_how),
        };

        return RUN_TESTS(tests);
}
