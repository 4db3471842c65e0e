/* Every domain event that libvirt has, with each number it can bring and one that it cannot: which
 * fact becomes of it. The numbers here are the header's, so that the table is held against it. */

#include <libvirt/libvirt.h>
#include <string.h>

#include "base/json.h"
#include "model/domain_event.h"
#include "test.h"

struct expectation {
        struct domain_event event;
        const char *action;
        enum severity severity;
        bool quiet;
        const char *details; /* as text */
        const char *message; /* NULL: none */
};

#define E(id_, ...) \
        { .id = VIR_DOMAIN_EVENT_ID_##id_, __VA_ARGS__ }
#define TEXTS(...)        .texts = { __VA_ARGS__ }
#define NUMBERS(...)      .numbers = { __VA_ARGS__ }
#define LINK(state)       VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_##state
#define BECAUSE(why)      VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_##why
#define WATCHDOG(word)    VIR_DOMAIN_EVENT_WATCHDOG_##word
#define IO(word)          VIR_DOMAIN_EVENT_IO_ERROR_##word
#define JOB(type, status) NUMBERS(VIR_DOMAIN_BLOCK_JOB_TYPE_##type, VIR_DOMAIN_BLOCK_JOB_##status)
#define FAILURE(recipient, action, flags)                              \
        NUMBERS(VIR_DOMAIN_EVENT_MEMORY_FAILURE_RECIPIENT_##recipient, \
                        VIR_DOMAIN_EVENT_MEMORY_FAILURE_ACTION_##action, flags)

/* clang-format off */
static const struct expectation expectations[] = {
        { E(REBOOT), "rebooted", SEVERITY_INFO, false, "{}", NULL },
        { E(RTC_CHANGE, NUMBERS(-3600)), "rtc-changed", SEVERITY_INFO, false, "{\"offset_s\":-3600}", "The guest set its clock" },

        { E(WATCHDOG, NUMBERS(WATCHDOG(NONE))), "watchdog", SEVERITY_WARNING, false, "{\"watchdog_action\":\"none\"}", "Watchdog fired (action: none)" },
        { E(WATCHDOG, NUMBERS(WATCHDOG(PAUSE))), "watchdog", SEVERITY_ERROR, false, "{\"watchdog_action\":\"pause\"}", "Watchdog fired (action: pause)" },
        { E(WATCHDOG, NUMBERS(WATCHDOG(RESET))), "watchdog", SEVERITY_ERROR, false, "{\"watchdog_action\":\"reset\"}", "Watchdog fired (action: reset)" },
        { E(WATCHDOG, NUMBERS(WATCHDOG(POWEROFF))), "watchdog", SEVERITY_ERROR, false, "{\"watchdog_action\":\"poweroff\"}", "Watchdog fired (action: poweroff)" },
        { E(WATCHDOG, NUMBERS(WATCHDOG(SHUTDOWN))), "watchdog", SEVERITY_ERROR, false, "{\"watchdog_action\":\"shutdown\"}", "Watchdog fired (action: shutdown)" },
        { E(WATCHDOG, NUMBERS(WATCHDOG(DEBUG))), "watchdog", SEVERITY_WARNING, false, "{\"watchdog_action\":\"debug\"}", "Watchdog fired (action: debug)" },
        { E(WATCHDOG, NUMBERS(WATCHDOG(INJECTNMI))), "watchdog", SEVERITY_ERROR, false, "{\"watchdog_action\":\"inject-nmi\"}", "Watchdog fired (action: inject-nmi)" },
        { E(WATCHDOG, NUMBERS(7)), "watchdog", SEVERITY_ERROR, false, "{\"watchdog_action\":\"action-7\"}", "Watchdog fired (action: action-7)" },

        { E(IO_ERROR, TEXTS("/d", "vda"), NUMBERS(IO(NONE))), "io-error", SEVERITY_ERROR, false, "{\"path\":\"/d\",\"disk\":\"vda\",\"io_error_action\":\"none\",\"io_error\":\"error\"}", "I/O error on vda: error (action: none)" },
        { E(IO_ERROR_REASON, TEXTS("/d", "vda", "enospc"), NUMBERS(IO(PAUSE))), "io-error", SEVERITY_ERROR, false, "{\"path\":\"/d\",\"disk\":\"vda\",\"io_error\":\"enospc\",\"io_error_action\":\"pause\"}", "I/O error on vda: enospc (action: pause)" },
        { E(IO_ERROR_REASON, TEXTS("/d", "vda", ""), NUMBERS(IO(REPORT))), "io-error", SEVERITY_ERROR, false, "{\"path\":\"/d\",\"disk\":\"vda\",\"io_error_action\":\"report\",\"io_error\":\"error\"}", "I/O error on vda: error (action: report)" },
        { E(IO_ERROR_REASON, TEXTS(NULL, NULL, "eio"), NUMBERS(3)), "io-error", SEVERITY_ERROR, false, "{\"io_error\":\"eio\",\"io_error_action\":\"action-3\"}", "I/O error on ?: eio (action: action-3)" },

        { E(GRAPHICS, TEXTS("10.0.0.9", "40000", "10.0.0.1", "5900", "vnc", ""), NUMBERS(VIR_DOMAIN_EVENT_GRAPHICS_CONNECT, VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_IPV4)), "graphics-connected", SEVERITY_INFO, false, "{\"remote\":\"10.0.0.9\",\"remote_port\":\"40000\",\"local\":\"10.0.0.1\",\"local_port\":\"5900\",\"auth\":\"vnc\",\"phase\":\"connect\",\"family\":\"ipv4\"}", "Graphics client 10.0.0.9: connect" },
        { E(GRAPHICS, TEXTS("::1", NULL, NULL, NULL, NULL, "saslUsername=ann"), NUMBERS(VIR_DOMAIN_EVENT_GRAPHICS_INITIALIZE, VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_IPV6)), "graphics-initialized", SEVERITY_INFO, false, "{\"remote\":\"::1\",\"identity\":\"saslUsername=ann\",\"phase\":\"initialize\",\"family\":\"ipv6\"}", "Graphics client ::1: initialize" },
        { E(GRAPHICS, NUMBERS(VIR_DOMAIN_EVENT_GRAPHICS_DISCONNECT, VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_UNIX)), "graphics-disconnected", SEVERITY_INFO, false, "{\"phase\":\"disconnect\",\"family\":\"unix\"}", "Graphics client ?: disconnect" },
        { E(GRAPHICS, NUMBERS(3, 3)), "graphics-changed", SEVERITY_INFO, false, "{\"phase\":\"phase-3\",\"family\":\"family-3\"}", "Graphics client ?: phase-3" },

        { E(CONTROL_ERROR), "control-error", SEVERITY_ERROR, false, "{}", "libvirt has lost control of the VM" },

        { E(BLOCK_JOB, TEXTS("/d"), JOB(UNKNOWN, COMPLETED)), "block-job", SEVERITY_INFO, false, "{\"path\":\"/d\",\"job_type\":\"unknown\",\"status\":\"completed\"}", "Block job unknown on /d: completed" },
        { E(BLOCK_JOB_2, TEXTS("vda"), JOB(PULL, COMPLETED)), "block-job", SEVERITY_INFO, false, "{\"disk\":\"vda\",\"job_type\":\"pull\",\"status\":\"completed\"}", "Block job pull on vda: completed" },
        { E(BLOCK_JOB_2, TEXTS("vda"), JOB(COPY, FAILED)), "block-job", SEVERITY_ERROR, false, "{\"disk\":\"vda\",\"job_type\":\"copy\",\"status\":\"failed\"}", "Block job copy on vda: failed" },
        { E(BLOCK_JOB_2, TEXTS("vda"), JOB(COMMIT, CANCELED)), "block-job", SEVERITY_INFO, false, "{\"disk\":\"vda\",\"job_type\":\"commit\",\"status\":\"canceled\"}", "Block job commit on vda: canceled" },
        { E(BLOCK_JOB_2, TEXTS("vda"), JOB(ACTIVE_COMMIT, READY)), "block-job", SEVERITY_INFO, false, "{\"disk\":\"vda\",\"job_type\":\"active-commit\",\"status\":\"ready\"}", "Block job active-commit on vda: ready" },
        { E(BLOCK_JOB_2, TEXTS("vda"), NUMBERS(VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP, 4)), "block-job", SEVERITY_INFO, false, "{\"disk\":\"vda\",\"job_type\":\"backup\",\"status\":\"status-4\"}", "Block job backup on vda: status-4" },
        { E(BLOCK_JOB_2, TEXTS("vda"), NUMBERS(6, 0)), "block-job", SEVERITY_INFO, false, "{\"disk\":\"vda\",\"job_type\":\"type-6\",\"status\":\"completed\"}", "Block job type-6 on vda: completed" },

        { E(DISK_CHANGE, TEXTS("/cd", NULL, "ide0-1-0"), NUMBERS(VIR_DOMAIN_EVENT_DISK_CHANGE_MISSING_ON_START)), "disk-changed", SEVERITY_WARNING, false, "{\"old_path\":\"/cd\",\"disk\":\"ide0-1-0\",\"change\":\"missing-on-start\"}", "Disk ide0-1-0: missing-on-start" },
        { E(DISK_CHANGE, TEXTS("/d", "/e", "vdb"), NUMBERS(VIR_DOMAIN_EVENT_DISK_DROP_MISSING_ON_START)), "disk-changed", SEVERITY_WARNING, false, "{\"old_path\":\"/d\",\"new_path\":\"/e\",\"disk\":\"vdb\",\"change\":\"dropped-missing-on-start\"}", "Disk vdb: dropped-missing-on-start" },
        { E(DISK_CHANGE, TEXTS("/d", NULL, "vdb"), NUMBERS(2)), "disk-changed", SEVERITY_WARNING, false, "{\"old_path\":\"/d\",\"disk\":\"vdb\",\"change\":\"change-2\"}", "Disk vdb: change-2" },

        { E(TRAY_CHANGE, TEXTS("ide0-1-0"), NUMBERS(VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN)), "tray-opened", SEVERITY_INFO, false, "{\"device\":\"ide0-1-0\",\"tray\":\"open\"}", "Tray of ide0-1-0: open" },
        { E(TRAY_CHANGE, TEXTS("ide0-1-0"), NUMBERS(VIR_DOMAIN_EVENT_TRAY_CHANGE_CLOSE)), "tray-closed", SEVERITY_INFO, false, "{\"device\":\"ide0-1-0\",\"tray\":\"close\"}", "Tray of ide0-1-0: close" },
        { E(TRAY_CHANGE, TEXTS("ide0-1-0"), NUMBERS(2)), "tray-changed", SEVERITY_INFO, false, "{\"device\":\"ide0-1-0\",\"tray\":\"tray-2\"}", "Tray of ide0-1-0: tray-2" },

        { E(PMWAKEUP, NUMBERS(0)), "woken", SEVERITY_INFO, true, "{\"reason\":\"unknown\"}", NULL },
        { E(PMWAKEUP, NUMBERS(1)), "woken", SEVERITY_INFO, false, "{\"reason\":\"reason-1\"}", NULL },
        { E(PMSUSPEND, NUMBERS(0)), "suspended", SEVERITY_INFO, true, "{\"reason\":\"unknown\"}", NULL },
        { E(PMSUSPEND, NUMBERS(9)), "suspended", SEVERITY_INFO, false, "{\"reason\":\"reason-9\"}", NULL },
        { E(PMSUSPEND_DISK, NUMBERS(0)), "suspended", SEVERITY_INFO, true, "{\"reason\":\"unknown\"}", NULL },
        { E(PMSUSPEND_DISK, NUMBERS(-1)), "suspended", SEVERITY_INFO, false, "{\"reason\":\"reason--1\"}", NULL },

        { E(BALLOON_CHANGE, NUMBERS(1048576)), "balloon-changed", SEVERITY_INFO, false, "{\"memory_bytes\":1073741824}", "Balloon: the guest has 1073741824 bytes" },
        { E(DEVICE_REMOVED, TEXTS("net0")), "device-removed", SEVERITY_INFO, false, "{\"device\":\"net0\"}", "Device net0 removed" },
        { E(DEVICE_ADDED, TEXTS("net0")), "device-added", SEVERITY_INFO, false, "{\"device\":\"net0\"}", "Device net0 added" },
        { E(DEVICE_REMOVAL_FAILED, TEXTS("dimm0")), "device-removal-failed", SEVERITY_WARNING, false, "{\"device\":\"dimm0\"}", "The guest did not let go of device dimm0" },

        { E(AGENT_LIFECYCLE, NUMBERS(LINK(CONNECTED), BECAUSE(CHANNEL))), "agent-connected", SEVERITY_INFO, false, "{\"state\":\"connected\",\"reason\":\"channel\"}", "Guest agent connected" },
        { E(AGENT_LIFECYCLE, NUMBERS(LINK(CONNECTED), BECAUSE(DOMAIN_STARTED))), "agent-connected", SEVERITY_INFO, false, "{\"state\":\"connected\",\"reason\":\"domain-started\"}", "Guest agent connected" },
        { E(AGENT_LIFECYCLE, NUMBERS(LINK(DISCONNECTED), BECAUSE(CHANNEL))), "agent-disconnected", SEVERITY_INFO, false, "{\"state\":\"disconnected\",\"reason\":\"channel\"}", "Guest agent disconnected" },
        { E(AGENT_LIFECYCLE, NUMBERS(LINK(DISCONNECTED), BECAUSE(UNKNOWN))), "agent-disconnected", SEVERITY_INFO, false, "{\"state\":\"disconnected\",\"reason\":\"unknown\"}", "Guest agent disconnected" },
        { E(AGENT_LIFECYCLE, NUMBERS(LINK(DISCONNECTED), BECAUSE(DOMAIN_STARTED))), "agent-disconnected", SEVERITY_INFO, true, "{\"state\":\"disconnected\",\"reason\":\"domain-started\"}", "Guest agent disconnected" },
        { E(AGENT_LIFECYCLE, NUMBERS(3, 3)), "agent-changed", SEVERITY_INFO, false, "{\"state\":\"state-3\",\"reason\":\"reason-3\"}", "Guest agent state-3" },
        { E(AGENT_LIFECYCLE, NUMBERS(0, 0)), "agent-changed", SEVERITY_INFO, false, "{\"state\":\"state-0\",\"reason\":\"unknown\"}", "Guest agent state-0" },

        { E(MIGRATION_ITERATION, NUMBERS(2)), "migration-iteration", SEVERITY_INFO, false, "{\"iteration\":2}", "Memory is copied, pass 2" },

        { E(METADATA_CHANGE, NUMBERS(VIR_DOMAIN_METADATA_DESCRIPTION)), "metadata-changed", SEVERITY_INFO, false, "{\"metadata\":\"description\"}", "Metadata changed: description" },
        { E(METADATA_CHANGE, NUMBERS(VIR_DOMAIN_METADATA_TITLE)), "metadata-changed", SEVERITY_INFO, false, "{\"metadata\":\"title\"}", "Metadata changed: title" },
        { E(METADATA_CHANGE, TEXTS("urn:x"), NUMBERS(VIR_DOMAIN_METADATA_ELEMENT)), "metadata-changed", SEVERITY_INFO, false, "{\"namespace\":\"urn:x\",\"metadata\":\"element\"}", "Metadata changed: element" },
        { E(METADATA_CHANGE, NUMBERS(3)), "metadata-changed", SEVERITY_INFO, false, "{\"metadata\":\"type-3\"}", "Metadata changed: type-3" },

        { E(BLOCK_THRESHOLD, TEXTS("vda", "/d"), NUMBERS(1000, 24)), "block-threshold", SEVERITY_WARNING, false, "{\"disk\":\"vda\",\"path\":\"/d\",\"threshold_bytes\":1000,\"excess_bytes\":24}", "Disk vda was written beyond 1000 bytes" },

        { E(MEMORY_FAILURE, FAILURE(HYPERVISOR, IGNORE, 0)), "memory-failure", SEVERITY_ERROR, false, "{\"recipient\":\"hypervisor\",\"failure_action\":\"ignore\",\"action_required\":false,\"recursive\":false}", "Hardware memory error in memory of the hypervisor (action: ignore)" },
        { E(MEMORY_FAILURE, FAILURE(GUEST, INJECT, VIR_DOMAIN_MEMORY_FAILURE_ACTION_REQUIRED)), "memory-failure", SEVERITY_ERROR, false, "{\"recipient\":\"guest\",\"failure_action\":\"inject\",\"action_required\":true,\"recursive\":false}", "Hardware memory error in memory of the guest (action: inject)" },
        { E(MEMORY_FAILURE, FAILURE(GUEST, FATAL, VIR_DOMAIN_MEMORY_FAILURE_RECURSIVE)), "memory-failure", SEVERITY_ERROR, false, "{\"recipient\":\"guest\",\"failure_action\":\"fatal\",\"action_required\":false,\"recursive\":true}", "Hardware memory error in memory of the guest (action: fatal)" },
        { E(MEMORY_FAILURE, FAILURE(GUEST, RESET, 3)), "memory-failure", SEVERITY_ERROR, false, "{\"recipient\":\"guest\",\"failure_action\":\"reset\",\"action_required\":true,\"recursive\":true}", "Hardware memory error in memory of the guest (action: reset)" },
        { E(MEMORY_FAILURE, NUMBERS(2, 4, 5)), "memory-failure", SEVERITY_ERROR, false, "{\"recipient\":\"recipient-2\",\"failure_action\":\"action-4\",\"action_required\":true,\"recursive\":false,\"flags\":5}", "Hardware memory error in memory of the recipient-2 (action: action-4)" },

        { E(MEMORY_DEVICE_SIZE_CHANGE, TEXTS("virtiomem0"), NUMBERS(2048)), "memory-device-resized", SEVERITY_INFO, false, "{\"device\":\"virtiomem0\",\"memory_bytes\":2097152}", "Memory device virtiomem0 has 2097152 bytes" },

        /* Of newer libvirts. */
        { { .id = DOMAIN_EVENT_NIC_MAC_CHANGE, TEXTS("net0", "52:54:00:00:00:01", "52:54:00:00:00:02") }, "mac-changed", SEVERITY_INFO, false, "{\"device\":\"net0\",\"old_mac\":\"52:54:00:00:00:01\",\"new_mac\":\"52:54:00:00:00:02\"}", "The guest set the address of net0 to 52:54:00:00:00:02" },
        { { .id = DOMAIN_EVENT_VCPU_REMOVED, NUMBERS(3) }, "vcpu-removed", SEVERITY_INFO, false, "{\"vcpu\":3}", "CPU 3 removed" },
        { { .id = DOMAIN_EVENT_CHANNEL_LIFECYCLE, TEXTS("com.example.0"), NUMBERS(1, 2) }, "channel-connected", SEVERITY_INFO, false, "{\"channel\":\"com.example.0\",\"state\":\"connected\",\"reason\":\"channel\"}", "Channel com.example.0 connected" },
        { { .id = DOMAIN_EVENT_CHANNEL_LIFECYCLE, TEXTS("com.example.0"), NUMBERS(2, 2) }, "channel-disconnected", SEVERITY_INFO, false, "{\"channel\":\"com.example.0\",\"state\":\"disconnected\",\"reason\":\"channel\"}", "Channel com.example.0 disconnected" },
        { { .id = DOMAIN_EVENT_CHANNEL_LIFECYCLE, TEXTS("org.qemu.guest_agent.0"), NUMBERS(1, 2) }, "channel-connected", SEVERITY_INFO, true, "{\"channel\":\"org.qemu.guest_agent.0\",\"state\":\"connected\",\"reason\":\"channel\"}", "Channel org.qemu.guest_agent.0 connected" },
        { { .id = DOMAIN_EVENT_MAX_, NUMBERS(1, 2, 3) }, "domain-event", SEVERITY_INFO, false, "{\"first\":1,\"second\":2,\"third\":3,\"event\":30}", NULL },
        { { .id = -1 }, "domain-event", SEVERITY_INFO, false, "{\"first\":0,\"second\":0,\"third\":0,\"event\":-1}", NULL },
};
/* clang-format on */

static void each_event_with_each_of_its_numbers_has_its_fact(void **state) {
        for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
                const struct expectation *expected = &expectations[i];
                struct domain_event_meaning meaning;

                assert_int_equal(domain_event_meaning(&expected->event, &meaning), 0);
                assert_string_equal(json_text(meaning.details), expected->details);
                assert_string_equal(meaning.action, expected->action);
                assert_string_equal(meaning.message, expected->message ? expected->message : "");
                if (meaning.severity != expected->severity || meaning.quiet != expected->quiet)
                        fail_msg("%s: severity %u, quiet %d", expected->details, meaning.severity,
                                        meaning.quiet);
                domain_event_meaning_done(&meaning);
        }
}

static void the_header_has_no_event_that_the_table_lacks(void **state) {
        bool seen[DOMAIN_EVENT_MAX_] = { [VIR_DOMAIN_EVENT_ID_LIFECYCLE] = true,
                [VIR_DOMAIN_EVENT_ID_TUNABLE] = true,
                [VIR_DOMAIN_EVENT_ID_JOB_COMPLETED] = true };

        assert_int_equal(VIR_DOMAIN_EVENT_ID_REBOOT, DOMAIN_EVENT_REBOOT);
        assert_int_equal(VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE,
                        DOMAIN_EVENT_MEMORY_DEVICE_SIZE_CHANGE);
        for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++)
                if (expectations[i].event.id >= 0 && expectations[i].event.id < DOMAIN_EVENT_MAX_)
                        seen[expectations[i].event.id] = true;
        for (int id = 0; id < DOMAIN_EVENT_MAX_; id++)
                if (!seen[id])
                        fail_msg("event %d is not tested", id);
        for (int id = 1; id < DOMAIN_EVENT_MAX_; id++) {
                const struct domain_event event = { .id = id };
                struct domain_event_meaning meaning;

                assert_int_equal(domain_event_meaning(&event, &meaning), 0);
                assert_string_not_equal(meaning.action, "domain-event");
                domain_event_meaning_done(&meaning);
        }
}

static struct json_object *job(const char *text) {
        struct json_object *object;

        assert_int_equal(json_parse(text, strlen(text), &object), 0);
        return object;
}

static void a_job_tells_what_it_was_and_whether_it_worked(void **state) {
        static const char *const words[] = { "unknown", "start", "save", "restore", "migration-in",
                "migration-out", "snapshot", "snapshot-revert", "dump", "backup",
                "snapshot-delete" };
        struct domain_event event = { .id = VIR_DOMAIN_EVENT_ID_JOB_COMPLETED };
        struct domain_event_meaning meaning;
        char text[64], short_text[32];

        assert_int_equal(VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_DELETE + 1,
                        sizeof(words) / sizeof(words[0]));
        for (int i = 0; i <= VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_DELETE; i++) {
                (void) snprintf(text, sizeof(text), "{\"operation\":%d}", i);
                event.params = job(text);
                assert_int_equal(domain_event_meaning(&event, &meaning), 0);
                assert_string_equal(json_get_string(meaning.details, "operation"), words[i]);
                assert_int_equal(meaning.severity, SEVERITY_INFO);
                domain_event_meaning_done(&meaning);
        }
        assert_string_equal(domain_event_operation_word(42, short_text), "operation-42");

        event.params = job("{\"operation\":5,\"success\":false,\"errmsg\":\"no route\"}");
        assert_int_equal(domain_event_meaning(&event, &meaning), 0);
        assert_int_equal(meaning.severity, SEVERITY_ERROR);
        assert_string_equal(meaning.action, "job-completed");
        assert_string_equal(meaning.message, "Job migration-out failed");
        assert_string_equal(json_get_string(meaning.details, "job/errmsg"), "no route");
        domain_event_meaning_done(&meaning);

        event.params = NULL;
        assert_int_equal(domain_event_meaning(&event, &meaning), 0);
        assert_string_equal(json_get_string(meaning.details, "operation"), "unknown");
        domain_event_meaning_done(&meaning);
}

static void a_tunable_brings_its_parameters(void **state) {
        const struct domain_event event = { .id = VIR_DOMAIN_EVENT_ID_TUNABLE,
                .params = job("{\"blkdeviotune.disk\":\"vda\"}") };
        struct domain_event_meaning meaning;

        assert_int_equal(domain_event_meaning(&event, &meaning), 0);
        assert_string_equal(meaning.action, "tunable-changed");
        assert_string_equal(json_text(meaning.details),
                        "{\"tunables\":{\"blkdeviotune.disk\":\"vda\"}}");
        domain_event_meaning_done(&meaning);
}

static void key_of(const struct domain_event *event, char key[static 256]) {
        struct domain_event_meaning meaning;

        assert_int_equal(domain_event_meaning(event, &meaning), 0);
        (void) snprintf(key, 256, "%s", meaning.key);
        domain_event_meaning_done(&meaning);
}

static void only_repeats_of_the_same_have_the_same_key(void **state) {
        static const struct {
                struct domain_event a, b;
                bool same;
        } pairs[] = {
                { E(IO_ERROR_REASON, TEXTS("/d", "vda", "enospc"), NUMBERS(1)),
                                E(IO_ERROR_REASON, TEXTS("/d", "vda", "enospc"), NUMBERS(1)),
                                true },
                { E(IO_ERROR_REASON, TEXTS("/d", "vda", "enospc"), NUMBERS(1)),
                                E(IO_ERROR_REASON, TEXTS("/d", "vdb", "enospc"), NUMBERS(1)),
                                false },
                { E(IO_ERROR_REASON, TEXTS("/d", "vda", "enospc"), NUMBERS(1)),
                                E(IO_ERROR_REASON, TEXTS("/d", "vda", "eio"), NUMBERS(1)), false },
                { E(IO_ERROR_REASON, TEXTS("/d", "vda", "eio"), NUMBERS(1)),
                                E(IO_ERROR_REASON, TEXTS("/d", "vda", "eio"), NUMBERS(2)), false },
                { E(BALLOON_CHANGE, NUMBERS(1)), E(BALLOON_CHANGE, NUMBERS(2)), true },
                { E(RTC_CHANGE, NUMBERS(1)), E(RTC_CHANGE, NUMBERS(2)), true },
                { E(GRAPHICS, TEXTS("10.0.0.9", "1"), NUMBERS(0, 0)),
                                E(GRAPHICS, TEXTS("10.0.0.9", "2"), NUMBERS(0, 0)), true },
                { E(GRAPHICS, TEXTS("10.0.0.9", "1"), NUMBERS(0, 0)),
                                E(GRAPHICS, TEXTS("10.0.0.8", "1"), NUMBERS(0, 0)), false },
                { E(WATCHDOG, NUMBERS(1)), E(WATCHDOG, NUMBERS(3)), false },
                { E(AGENT_LIFECYCLE, NUMBERS(1, 2)), E(AGENT_LIFECYCLE, NUMBERS(2, 2)), false },
        };
        char a[256], b[256];

        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                key_of(&pairs[i].a, a);
                key_of(&pairs[i].b, b);
                if ((strcmp(a, b) == 0) != pairs[i].same)
                        fail_msg("pair %zu: '%s' '%s'", i, a, b);
        }
}

static void hostile_texts_are_cleaned_and_cut(void **state) {
        struct domain_event event = { .id = VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON };
        struct domain_event_meaning meaning;
        char path[5000], alias[3000];

        memset(path, '\1', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        memset(alias, 0xff, sizeof(alias) - 1);
        alias[sizeof(alias) - 1] = '\0';
        event.texts[0] = path;
        event.texts[1] = alias;
        event.texts[2] = "</script>\"\n";
        assert_int_equal(domain_event_meaning(&event, &meaning), 0);
        assert_true(strlen(json_text(meaning.details)) < 16384);
        assert_int_equal(json_validate(json_text(meaning.details),
                                         strlen(json_text(meaning.details)), JSON_DEPTH_MAX, NULL),
                        0);
        assert_true(strlen(meaning.message) < sizeof(meaning.message));
        assert_true(strlen(meaning.key) < sizeof(meaning.key));
        domain_event_meaning_done(&meaning);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_event_with_each_of_its_numbers_has_its_fact),
                cmocka_unit_test(the_header_has_no_event_that_the_table_lacks),
                cmocka_unit_test(a_job_tells_what_it_was_and_whether_it_worked),
                cmocka_unit_test(a_tunable_brings_its_parameters),
                cmocka_unit_test(only_repeats_of_the_same_have_the_same_key),
                cmocka_unit_test(hostile_texts_are_cleaned_and_cut),
        };

        return RUN_TESTS(tests);
}
