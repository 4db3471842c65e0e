/* The verdict: a row of the table for each row of FACTS 6.1, both rules, and each way a VM ends. */

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "model/exit.h"
#include "test.h"

struct row {
        const char *name;
        struct exit_facts facts;
        enum oom_rule rule;
        const char *action, *reason;
        enum exit_confidence confidence;
        enum oom_scope scope;
        unsigned int evidence;
};

#define CONTAINER   .kind = WORKLOAD_CONTAINER
#define KERNEL_MAIN .kernel_kill = true, .kernel_main_pid = true, .kernel_readable = true

/* clang-format off */
static const struct row rows[] = {
        { "1: the kernel says its own limit", { CONTAINER, .code = 137, KERNEL_MAIN, .constraint = CONSTRAINT_MEMCG, .oom_cgroup = "/docker/a", .task_cgroup = "/docker/a" }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_SELF, EVIDENCE_KERNEL },
        { "2: a limit above it", { CONTAINER, .code = 137, KERNEL_MAIN, .constraint = CONSTRAINT_MEMCG, .oom_cgroup = "/docker", .task_cgroup = "/docker/a" }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_ANCESTOR, EVIDENCE_KERNEL },
        { "2: a name that begins alike is not above", { CONTAINER, .code = 137, KERNEL_MAIN, .constraint = CONSTRAINT_MEMCG, .oom_cgroup = "/dock", .task_cgroup = "/docker/a" }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_SELF, EVIDENCE_KERNEL },
        { "3: the host ran out", { CONTAINER, .code = 137, KERNEL_MAIN, .constraint = CONSTRAINT_NONE }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_HOST, EVIDENCE_KERNEL },
        { "3: a cpuset ran out", { CONTAINER, .code = 137, KERNEL_MAIN, .constraint = CONSTRAINT_CPUSET }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_HOST, EVIDENCE_KERNEL },
        { "4: oomd", { CONTAINER, .code = 137, .oomd_kill = true, .oomd_reason = "memory-pressure" }, OOM_RULE_EVIDENCE, "OOMKilled", "memory-pressure", CONFIDENCE_CONFIRMED, OOM_SCOPE_OOMD, EVIDENCE_RUNTIME },
        { "5: the counter rose just before", { CONTAINER, .code = 137, .oom_kill_rise = 1, .oom_rise_age_us = 2000000, .cgroup_readable = true }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_UNKNOWN, EVIDENCE_CGROUP },
        { "5: it rose too long ago", { CONTAINER, .code = 137, .oom_kill_rise = 1, .oom_rise_age_us = 2000001, .cgroup_readable = true }, OOM_RULE_EVIDENCE, "died", "sigkill-unknown", CONFIDENCE_ASSUMED, OOM_SCOPE_NONE, EVIDENCE_EXIT_CODE },
        { "5: a group kill", { CONTAINER, .code = 137, .oom_group_kill_rise = 1, .cgroup_readable = true }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_UNKNOWN, EVIDENCE_CGROUP },
        { "6: the runtime says so", { CONTAINER, .code = 137, .runtime_oom = true, .runtime_tells = true }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_UNKNOWN, EVIDENCE_RUNTIME },
        { "6: but only with 137", { CONTAINER, .code = 0, .runtime_oom = true, .runtime_tells = true }, OOM_RULE_EVIDENCE, "stopped", "completed", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_EXIT_CODE },
        { "a child's kill is none of the main process", { CONTAINER, .code = 3, .kernel_kill = true, .kernel_readable = true, .oom_kill_rise = 1 }, OOM_RULE_EVIDENCE, "died", "exit-code", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_EXIT_CODE },
        { "7: an operator, by evidence", { CONTAINER, .code = 137, .kill_signal = 9, .kernel_readable = true }, OOM_RULE_EVIDENCE, "died", "killed", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "7: an operator, by the contract", { CONTAINER, .code = 137, .kill_signal = 9, .kernel_readable = true }, OOM_RULE_EXIT_137, "OOMKilled", "killed", CONFIDENCE_CONTRADICTED, OOM_SCOPE_UNKNOWN, EVIDENCE_RUNTIME | EVIDENCE_EXIT_CODE },
        { "7: a stop that timed out", { CONTAINER, .code = 137, .kill_signal = 9, .stop_timeout = true }, OOM_RULE_EVIDENCE, "died", "stop-timeout", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "7: a stop that worked", { CONTAINER, .code = 143, .kill_signal = 15 }, OOM_RULE_EXIT_137, "died", "stop-requested", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "7: an operator stopped it through us, and docker had to kill it", { CONTAINER, .asked = EXIT_ASKED_STOP, .code = 137, .kill_signal = 9, .stop_timeout = true, .kernel_readable = true }, OOM_RULE_EXIT_137, "stopped", "operator-stop", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "7: an operator destroyed it through us", { CONTAINER, .asked = EXIT_ASKED_DESTROY, .code = 137, .kernel_readable = true }, OOM_RULE_EXIT_137, "stopped", "operator-destroy", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "1: an OOM kill comes before what an operator asked", { CONTAINER, .asked = EXIT_ASKED_DESTROY, .code = 137, KERNEL_MAIN, .constraint = CONSTRAINT_MEMCG, .oom_cgroup = "/docker/a", .task_cgroup = "/docker/a" }, OOM_RULE_EXIT_137, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_SELF, EVIDENCE_KERNEL },
        { "10: a crash is one, though a stop was asked for", { CONTAINER, .asked = EXIT_ASKED_STOP, .code = 139 }, OOM_RULE_EXIT_137, "died", "signal", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_EXIT_CODE },
        { "a domain destroyed through us", { .kind = WORKLOAD_VM, .asked = EXIT_ASKED_DESTROY, .how = EXIT_DESTROYED, .code = -1 }, OOM_RULE_EXIT_137, "stopped", "operator-destroy", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "QEMU gone after a stop was asked for is still a crash", { .kind = WORKLOAD_VM, .asked = EXIT_ASKED_STOP, .how = EXIT_QEMU_FAILED, .code = -1, .kernel_readable = true }, OOM_RULE_EXIT_137, "crashed", "qemu-failed", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "7: a unit's watchdog", { .kind = WORKLOAD_UNIT, .code = -1, .signal = 6, .unit_watchdog = true }, OOM_RULE_EXIT_137, "died", "watchdog", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "7: a unit stopped by its stop signal", { .kind = WORKLOAD_UNIT, .code = -1, .signal = 15, .kill_signal = 15 }, OOM_RULE_EXIT_137, "stopped", "stop-requested", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "7: a unit that fails while it is stopped", { .kind = WORKLOAD_UNIT, .code = 4, .kill_signal = 15 }, OOM_RULE_EXIT_137, "died", "stop-requested", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "7: a unit that had to be ended by its timeout, with code 0", { .kind = WORKLOAD_UNIT, .code = 0, .unit_timeout = true, .kill_signal = 15 }, OOM_RULE_EXIT_137, "died", "timeout", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "6: a scope's OOM kill has no exit code", { .kind = WORKLOAD_UNIT, .code = -1, .runtime_oom = true, .runtime_tells = true }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_UNKNOWN, EVIDENCE_RUNTIME },
        { "1: a scope's OOM kill with its line", { .kind = WORKLOAD_UNIT, .code = -1, .runtime_oom = true, .runtime_tells = true, .kernel_kill = true, .constraint = CONSTRAINT_MEMCG, .oom_cgroup = "/a.scope", .task_cgroup = "/a.scope" }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_SELF, EVIDENCE_KERNEL | EVIDENCE_RUNTIME },
        { "8: all is silent, by evidence", { CONTAINER, .code = 137, .kernel_readable = true }, OOM_RULE_EVIDENCE, "died", "sigkill-unknown", CONFIDENCE_ASSUMED, OOM_SCOPE_NONE, EVIDENCE_EXIT_CODE },
        { "8: all is silent, by the contract", { CONTAINER, .code = 137, .kernel_readable = true }, OOM_RULE_EXIT_137, "OOMKilled", "sigkill-unknown", CONFIDENCE_CONTRADICTED, OOM_SCOPE_UNKNOWN, EVIDENCE_EXIT_CODE },
        { "9: nothing can be read", { CONTAINER, .code = 137 }, OOM_RULE_EVIDENCE, "OOMKilled", "oom", CONFIDENCE_ASSUMED, OOM_SCOPE_UNKNOWN, EVIDENCE_EXIT_CODE },
        { "10: another signal", { CONTAINER, .code = 139 }, OOM_RULE_EXIT_137, "died", "signal", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_EXIT_CODE },
        { "11: a code", { CONTAINER, .code = 3 }, OOM_RULE_EXIT_137, "died", "exit-code", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_EXIT_CODE },
        { "11: above all signals", { CONTAINER, .code = 255 }, OOM_RULE_EXIT_137, "died", "exit-code", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_EXIT_CODE },
        { "a start that failed", { CONTAINER, .how = EXIT_START_FAILED, .code = 127 }, OOM_RULE_EXIT_137, "died", "start-failed", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_EXIT_CODE },
        { "a start that failed, and the runtime says why", { CONTAINER, .how = EXIT_START_FAILED, .code = 127, .start_error = "no such file" }, OOM_RULE_EXIT_137, "died", "start-failed", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME | EVIDENCE_EXIT_CODE },
        { "a start that failed without a number", { CONTAINER, .how = EXIT_START_FAILED, .code = -1 }, OOM_RULE_EXIT_137, "died", "start-failed", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "11: no code is no evidence", { CONTAINER, .code = -1 }, OOM_RULE_EXIT_137, "died", "exit-code", CONFIDENCE_ASSUMED, OOM_SCOPE_NONE, 0 },
        { "10: a signal without a code", { .kind = WORKLOAD_UNIT, .code = -1, .signal = 11 }, OOM_RULE_EXIT_137, "died", "signal", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_EXIT_CODE },
        { "QEMU, OOM-killed on the host", { .kind = WORKLOAD_VM, .how = EXIT_QEMU_FAILED, .code = -1, KERNEL_MAIN, .constraint = CONSTRAINT_NONE }, OOM_RULE_EXIT_137, "OOMKilled", "oom", CONFIDENCE_CONFIRMED, OOM_SCOPE_HOST, EVIDENCE_KERNEL },
        { "QEMU, gone", { .kind = WORKLOAD_VM, .how = EXIT_QEMU_FAILED, .code = -1, .kernel_readable = true }, OOM_RULE_EXIT_137, "crashed", "qemu-failed", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "guest panic", { .kind = WORKLOAD_VM, .how = EXIT_GUEST_PANIC, .code = -1 }, OOM_RULE_EXIT_137, "crashed", "guest-panic", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "guest poweroff", { .kind = WORKLOAD_VM, .how = EXIT_GUEST_SHUTDOWN, .code = -1 }, OOM_RULE_EXIT_137, "stopped", "guest-shutdown", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "host shutdown", { .kind = WORKLOAD_VM, .how = EXIT_HOST_SHUTDOWN, .code = -1 }, OOM_RULE_EXIT_137, "stopped", "host-shutdown", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "destroyed", { .kind = WORKLOAD_VM, .how = EXIT_DESTROYED, .code = -1 }, OOM_RULE_EXIT_137, "died", "destroyed", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "watchdog", { .kind = WORKLOAD_VM, .how = EXIT_WATCHDOG, .code = -1 }, OOM_RULE_EXIT_137, "crashed", "watchdog", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "migrated", { .kind = WORKLOAD_VM, .how = EXIT_MIGRATED, .code = -1 }, OOM_RULE_EXIT_137, "migrated", "migrated", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "saved", { .kind = WORKLOAD_VM, .how = EXIT_SAVED, .code = -1 }, OOM_RULE_EXIT_137, "saved", "saved", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "reverted to a snapshot", { .kind = WORKLOAD_VM, .how = EXIT_SNAPSHOT, .code = -1 }, OOM_RULE_EXIT_137, "stopped", "snapshot", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "recreated", { .kind = WORKLOAD_VM, .how = EXIT_RECREATED, .code = -1 }, OOM_RULE_EXIT_137, "stopped", "recreated", CONFIDENCE_CONFIRMED, OOM_SCOPE_NONE, EVIDENCE_RUNTIME },
        { "vanished", { .kind = WORKLOAD_VM, .how = EXIT_VANISHED, .code = -1 }, OOM_RULE_EXIT_137, "vanished", "vanished", CONFIDENCE_ASSUMED, OOM_SCOPE_NONE, 0 },
};
/* clang-format on */

static void each_row_of_the_evidence_table_gives_its_verdict(void **state) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct exit_verdict verdict;
                char message[256];

                exit_classify(&rows[i].facts, rows[i].rule, &verdict);
                exit_message(&rows[i].facts, &verdict, message, sizeof(message));
                if (strcmp(verdict.action, rows[i].action) != 0 ||
                                strcmp(verdict.reason, rows[i].reason) != 0 ||
                                verdict.confidence != rows[i].confidence ||
                                verdict.scope != rows[i].scope ||
                                verdict.evidence != rows[i].evidence || !message[0] ||
                                strstr(message, "(null)"))
                        fail_msg("%s: %s %s confidence %u scope %u evidence %u: %s", rows[i].name,
                                        verdict.action, verdict.reason, verdict.confidence,
                                        verdict.scope, verdict.evidence, message);
        }
}

static void only_a_sigkill_without_proof_waits_for_evidence(void **state) {
        assert_true(exit_needs_evidence(&(struct exit_facts){ .code = 137 }));
        assert_true(exit_needs_evidence(&(struct exit_facts){ .code = -1, .signal = 9 }));
        assert_true(exit_needs_evidence(
                        &(struct exit_facts){ .code = -1, .how = EXIT_QEMU_FAILED }));
        assert_false(exit_needs_evidence(&(struct exit_facts){ .code = 137, .kernel_kill = true }));
        assert_false(exit_needs_evidence(&(struct exit_facts){ .code = 3 }));
}

static void a_message_names_the_limit_and_the_evidence(void **state) {
        const struct exit_facts facts = { CONTAINER, .code = 137, KERNEL_MAIN,
                .constraint = CONSTRAINT_MEMCG, .oom_cgroup = "/docker",
                .task_cgroup = "/docker/a" };
        struct exit_verdict verdict;
        char message[256];

        exit_classify(&facts, OOM_RULE_EXIT_137, &verdict);
        exit_message(&facts, &verdict, message, sizeof(message));
        assert_string_equal(message, "OOM-killed: a limit above it was hit: /docker (kernel)");
}

static const char *told(const struct exit_facts *facts, char *text, size_t size) {
        struct exit_verdict verdict;

        exit_classify(facts, OOM_RULE_EXIT_137, &verdict);
        memset(text, '#', size);
        exit_message(facts, &verdict, text, size);
        return text;
}

static void a_message_says_why_a_start_failed(void **state) {
        struct exit_facts facts = { CONTAINER, .how = EXIT_START_FAILED, .code = 127,
                .start_error = "exec: \"x\": not found" };
        char text[128];

        assert_string_equal(told(&facts, text, sizeof(text)),
                        "could not be started (exit code 127): exec: \"x\": not found");
        facts.code = -1;
        assert_string_equal(told(&facts, text, sizeof(text)),
                        "could not be started: exec: \"x\": not found");
        facts.start_error = NULL;
        assert_string_equal(told(&facts, text, sizeof(text)), "could not be started");
        facts.start_error = "meant for a start";
        facts.how = EXIT_PROCESS;
        facts.code = 3;
        assert_string_equal(told(&facts, text, sizeof(text)), "exit code 3");
}

/* However little room there is, it is text and has an end. */
static void what_a_runtime_says_is_cut_between_characters(void **state) {
        const struct exit_facts facts = { CONTAINER, .how = EXIT_START_FAILED, .code = -1,
                .start_error = "\xc3\xa4\xc3\xa4\xff\xc3\xa4" };
        char text[64];

        for (size_t size = 1; size < sizeof(text); size++) {
                (void) told(&facts, text, size);
                assert_in_range(strlen(text), 0, size - 1);
                assert_true(text_is_utf8(text, strlen(text)));
        }
        assert_string_equal(told(&facts, text, 29), "could not be started: \xc3\xa4\xc3\xa4");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_row_of_the_evidence_table_gives_its_verdict),
                cmocka_unit_test(only_a_sigkill_without_proof_waits_for_evidence),
                cmocka_unit_test(a_message_names_the_limit_and_the_evidence),
                cmocka_unit_test(a_message_says_why_a_start_failed),
                cmocka_unit_test(what_a_runtime_says_is_cut_between_characters),
        };

        return RUN_TESTS(tests);
}
