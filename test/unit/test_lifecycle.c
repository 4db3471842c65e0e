/* libvirt's numbers as words, against libvirt's own header, and numbers that are of no version. */

#include <libvirt/libvirt.h>
#include <string.h>

#include "base/macro.h"
#include "model/lifecycle.h"
#include "test.h"

static void events_and_details_are_those_of_libvirts_header(void **state) {
        static const struct {
                int event, detail;
                const char *event_word, *detail_word;
        } rows[] = {
                { VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_FROM_SNAPSHOT, "defined",
                                "from-snapshot" },
                { VIR_DOMAIN_EVENT_UNDEFINED, VIR_DOMAIN_EVENT_UNDEFINED_RENAMED, "undefined",
                                "renamed" },
                { VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_WAKEUP, "started", "wakeup" },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR, "suspended",
                                "io-error" },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED,
                                "suspended", "postcopy-failed" },
                { VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY, "resumed",
                                "postcopy" },
                { VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_FAILED, "stopped", "failed" },
                { VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT, "stopped",
                                "from-snapshot" },
                { VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_HOST, "shutdown", "host" },
                { VIR_DOMAIN_EVENT_PMSUSPENDED, VIR_DOMAIN_EVENT_PMSUSPENDED_DISK, "pmsuspended",
                                "disk" },
                { VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_CRASHLOADED, "crashed",
                                "crashloaded" },
                { 9, 0, "event-9", "detail-0" },
                { -1, -1, "event--1", "detail--1" },
                { VIR_DOMAIN_EVENT_STOPPED, 8, "stopped", "detail-8" },
                { VIR_DOMAIN_EVENT_SUSPENDED, 10, "suspended", "detail-10" },
                { INT32_MAX, INT32_MIN, "event-2147483647", "detail--2147483648" },
        };
        char text[32];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_string_equal(lifecycle_event_word(rows[i].event, text), rows[i].event_word);
                assert_string_equal(lifecycle_detail_word(rows[i].event, rows[i].detail, text),
                                rows[i].detail_word);
        }
}

static void states_and_reasons_are_those_of_libvirts_header(void **state) {
        static const struct {
                int state, reason;
                enum workload_state expected;
                const char *word;
        } rows[] = {
                { VIR_DOMAIN_NOSTATE, VIR_DOMAIN_NOSTATE_UNKNOWN, STATE_UNKNOWN, "unknown" },
                { VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_CRASHED, STATE_RUNNING, "crashed" },
                { VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_WAKEUP, STATE_RUNNING, "wakeup" },
                { VIR_DOMAIN_BLOCKED, VIR_DOMAIN_BLOCKED_UNKNOWN, STATE_RUNNING, "unknown" },
                { VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR, STATE_PAUSED, "io-error" },
                { VIR_DOMAIN_PAUSED, 14 /* newer than 9.0 */, STATE_PAUSED, "api-error" },
                { VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_SHUTDOWN_USER, STATE_STOPPING, "user" },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DAEMON, STATE_STOPPED, "daemon" },
                { VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED, STATE_STOPPED, "crashed" },
                { VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED, STATE_FAILED, "panicked" },
                { VIR_DOMAIN_PMSUSPENDED, VIR_DOMAIN_PMSUSPENDED_UNKNOWN, STATE_PAUSED, "unknown" },
                { 8, 0, STATE_UNKNOWN, "reason-0" },
                { -1, 0, STATE_UNKNOWN, "reason-0" },
                { VIR_DOMAIN_SHUTOFF, 9, STATE_STOPPED, "reason-9" },
                { VIR_DOMAIN_PAUSED, 15, STATE_PAUSED, "reason-15" },
                { VIR_DOMAIN_RUNNING, -1, STATE_RUNNING, "reason--1" },
        };
        char text[32];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(lifecycle_state(rows[i].state), rows[i].expected);
                assert_string_equal(
                                lifecycle_state_reason_word(rows[i].state, rows[i].reason, text),
                                rows[i].word);
        }
}

static void each_end_of_a_domain_is_told_apart(void **state) {
        static const enum exit_how stopped[] = {
                [VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN] = EXIT_GUEST_SHUTDOWN,
                [VIR_DOMAIN_EVENT_STOPPED_DESTROYED] = EXIT_DESTROYED,
                [VIR_DOMAIN_EVENT_STOPPED_CRASHED] = EXIT_GUEST_PANIC,
                [VIR_DOMAIN_EVENT_STOPPED_MIGRATED] = EXIT_MIGRATED,
                [VIR_DOMAIN_EVENT_STOPPED_SAVED] = EXIT_SAVED,
                [VIR_DOMAIN_EVENT_STOPPED_FAILED] = EXIT_QEMU_FAILED,
                [VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT] = EXIT_SNAPSHOT,
        };
        static const enum exit_how shutoff[] = {
                [VIR_DOMAIN_SHUTOFF_UNKNOWN] = EXIT_VANISHED,
                [VIR_DOMAIN_SHUTOFF_SHUTDOWN] = EXIT_GUEST_SHUTDOWN,
                [VIR_DOMAIN_SHUTOFF_DESTROYED] = EXIT_DESTROYED,
                [VIR_DOMAIN_SHUTOFF_CRASHED] = EXIT_QEMU_FAILED,
                [VIR_DOMAIN_SHUTOFF_MIGRATED] = EXIT_MIGRATED,
                [VIR_DOMAIN_SHUTOFF_SAVED] = EXIT_SAVED,
                [VIR_DOMAIN_SHUTOFF_FAILED] = EXIT_QEMU_FAILED,
                [VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT] = EXIT_SNAPSHOT,
                [VIR_DOMAIN_SHUTOFF_DAEMON] = EXIT_VANISHED,
        };
        struct lifecycle_meaning meaning;

        for (int i = 0; i < (int) ARRAY_SIZE(stopped); i++) {
                lifecycle_meaning(VIR_DOMAIN_EVENT_STOPPED, i, &meaning);
                assert_true(meaning.is_exit && meaning.publish);
                assert_int_equal(meaning.how, stopped[i]);
        }
        for (int i = 0; i < (int) ARRAY_SIZE(shutoff); i++)
                assert_int_equal(lifecycle_how_of_shutoff(i), shutoff[i]);
        lifecycle_meaning(VIR_DOMAIN_EVENT_STOPPED, 99, &meaning);
        assert_int_equal(meaning.how, EXIT_QEMU_FAILED);
        lifecycle_meaning(VIR_DOMAIN_EVENT_STOPPED, -1, &meaning);
        assert_int_equal(meaning.how, EXIT_QEMU_FAILED);
        assert_int_equal(lifecycle_how_of_shutoff(9), EXIT_VANISHED);
        assert_int_equal(lifecycle_how_of_shutoff(-1), EXIT_VANISHED);
}

static void what_an_event_means_is_in_one_table(void **state) {
        static const struct {
                int event, detail;
                const char *action;
                enum workload_state state;
                enum severity severity;
                bool publish;
        } rows[] = {
                { VIR_DOMAIN_EVENT_DEFINED, 0, "defined", WORKLOAD_STATE_MAX_, SEVERITY_INFO,
                                true },
                { VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_MIGRATED, "started",
                                STATE_RUNNING, SEVERITY_INFO, true },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED, "paused",
                                STATE_PAUSED, SEVERITY_INFO, true },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR, "paused",
                                STATE_PAUSED, SEVERITY_ERROR, true },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG, "paused",
                                STATE_PAUSED, SEVERITY_ERROR, true },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR, "paused",
                                STATE_PAUSED, SEVERITY_ERROR, true },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY, "paused",
                                STATE_PAUSED, SEVERITY_INFO, true },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED, "paused",
                                STATE_PAUSED, SEVERITY_ERROR, true },
                { VIR_DOMAIN_EVENT_RESUMED, 0, "resumed", STATE_RUNNING, SEVERITY_INFO, true },
                { VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_GUEST, "shutdown",
                                STATE_STOPPING, SEVERITY_INFO, false },
                { VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_PANICKED, "panicked",
                                WORKLOAD_STATE_MAX_, SEVERITY_ERROR, true },
                { 9, 0, "lifecycle", WORKLOAD_STATE_MAX_, SEVERITY_INFO, true },
                { -1, 0, "lifecycle", WORKLOAD_STATE_MAX_, SEVERITY_INFO, true },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct lifecycle_meaning meaning;

                lifecycle_meaning(rows[i].event, rows[i].detail, &meaning);
                assert_string_equal(meaning.action, rows[i].action);
                assert_int_equal(meaning.state, rows[i].state);
                assert_int_equal(meaning.severity, rows[i].severity);
                assert_int_equal(meaning.publish, rows[i].publish);
                assert_false(meaning.is_exit);
        }
}

static void watchdog_and_io_error_have_words(void **state) {
        char text[32];

        assert_string_equal(lifecycle_watchdog_word(VIR_DOMAIN_EVENT_WATCHDOG_NONE, text), "none");
        assert_string_equal(lifecycle_watchdog_word(VIR_DOMAIN_EVENT_WATCHDOG_INJECTNMI, text),
                        "inject-nmi");
        assert_string_equal(lifecycle_watchdog_word(7, text), "action-7");
        assert_string_equal(lifecycle_watchdog_word(-1, text), "action--1");
        assert_string_equal(
                        lifecycle_io_error_word(VIR_DOMAIN_EVENT_IO_ERROR_PAUSE, text), "pause");
        assert_string_equal(
                        lifecycle_io_error_word(VIR_DOMAIN_EVENT_IO_ERROR_REPORT, text), "report");
        assert_string_equal(lifecycle_io_error_word(3, text), "action-3");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(events_and_details_are_those_of_libvirts_header),
                cmocka_unit_test(states_and_reasons_are_those_of_libvirts_header),
                cmocka_unit_test(each_end_of_a_domain_is_told_apart),
                cmocka_unit_test(what_an_event_means_is_in_one_table),
                cmocka_unit_test(watchdog_and_io_error_have_words),
        };

        return RUN_TESTS(tests);
}
