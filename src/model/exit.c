/* The verdict. Rows are those of FACTS 6.1, in their order: evidence of an OOM kill first, then who
 * else killed it, then the bare number. The contract's rule (137 is OOMKilled) overrides the
 * action, never the reason, and the confidence says so. */

#include "model/exit.h"

#include <signal.h>
#include <string.h>

#include "base/macro.h"
#include "base/text.h"

#define OOM_EXIT_CODE   137
#define RISE_AGE_MAX_US (2 * USEC_PER_SEC)

static bool is_sigkill(const struct exit_facts *facts) {
        return facts->code == OOM_EXIT_CODE || facts->signal == SIGKILL;
}

/* Is @above the same as @path, or above it? */
static bool cgroup_is_above(const char *above, const char *path) {
        size_t n = strlen(above);

        return strcmp(above, "/") == 0 || (strncmp(above, path, n) == 0 && path[n] == '/');
}

static enum oom_scope kernel_scope(const struct exit_facts *facts) {
        switch (facts->constraint) {
        case CONSTRAINT_NONE:
        case CONSTRAINT_CPUSET:
        case CONSTRAINT_MEMORY_POLICY:
                return OOM_SCOPE_HOST;
        case CONSTRAINT_MEMCG:
                if (facts->own_limit)
                        return OOM_SCOPE_SELF;
                if (!facts->oom_cgroup || !facts->task_cgroup)
                        return OOM_SCOPE_UNKNOWN;
                return cgroup_is_above(facts->oom_cgroup, facts->task_cgroup) ? OOM_SCOPE_ANCESTOR
                                                                              : OOM_SCOPE_SELF;
        default:
                return OOM_SCOPE_UNKNOWN;
        }
}

static bool counters_rose(const struct exit_facts *facts) {
        if (facts->oom_group_kill_rise > 0)
                return true;
        return facts->oom_kill_rise > 0 && facts->oom_rise_age_us <= RISE_AGE_MAX_US;
}

static void set(struct exit_verdict *verdict, const char *action, const char *reason,
                enum exit_confidence confidence, enum severity severity) {
        verdict->action = action;
        verdict->reason = reason;
        verdict->confidence = confidence;
        verdict->severity = severity;
        verdict->state = strcmp(action, "stopped") == 0 || strcmp(action, "saved") == 0 ||
                                        strcmp(action, "migrated") == 0
                        ? STATE_STOPPED
                        : STATE_FAILED;
}

static void set_oom(struct exit_verdict *verdict, const char *reason, enum oom_scope scope) {
        set(verdict, "OOMKilled", reason, CONFIDENCE_CONFIRMED, SEVERITY_ERROR);
        verdict->scope = scope;
        verdict->signal = SIGKILL;
}

/* Rows 1 to 6: proof of an OOM kill. A kill of a child is none, unless the main process went by
 * signal 9 with it, or systemd says that it ended the unit (a scope has no main process). */
static bool classify_oom(const struct exit_facts *facts, struct exit_verdict *verdict) {
        bool killed = is_sigkill(facts) || facts->how == EXIT_QEMU_FAILED ||
                        (facts->kind == WORKLOAD_UNIT && facts->runtime_oom);
        bool kernel = facts->kernel_kill && (facts->kernel_main_pid || killed);
        bool cgroup = killed && counters_rose(facts);
        bool runtime = facts->runtime_oom && killed;

        verdict->evidence |= kernel ? EVIDENCE_KERNEL : 0U;
        verdict->evidence |= cgroup ? EVIDENCE_CGROUP : 0U;
        verdict->evidence |= runtime || facts->oomd_kill ? EVIDENCE_RUNTIME : 0U;

        if (kernel)
                set_oom(verdict, "oom", kernel_scope(facts));
        else if (facts->oomd_kill) {
                set_oom(verdict,
                                facts->oomd_reason &&
                                                                strcmp(facts->oomd_reason,
                                                                                "memory-pressure") ==
                                                                                0
                                                ? "memory-pressure"
                                                : "memory-used",
                                OOM_SCOPE_OOMD);
        } else if (cgroup || runtime) {
                set_oom(verdict, "oom", OOM_SCOPE_UNKNOWN);
        } else {
                return false;
        }
        return true;
}

/* Ends that libvirt tells apart by itself. */
static bool classify_vm(const struct exit_facts *facts, struct exit_verdict *verdict) {
        static const struct {
                enum exit_how how;
                const char *action, *reason;
                enum severity severity;
        } rows[] = {
                { EXIT_GUEST_SHUTDOWN, "stopped", "guest-shutdown", SEVERITY_INFO },
                { EXIT_HOST_SHUTDOWN, "stopped", "host-shutdown", SEVERITY_INFO },
                { EXIT_DESTROYED, "died", "destroyed", SEVERITY_WARNING },
                { EXIT_QEMU_FAILED, "crashed", "qemu-failed", SEVERITY_ERROR },
                { EXIT_GUEST_PANIC, "crashed", "guest-panic", SEVERITY_ERROR },
                { EXIT_WATCHDOG, "crashed", "watchdog", SEVERITY_ERROR },
                { EXIT_MIGRATED, "migrated", "migrated", SEVERITY_INFO },
                { EXIT_SAVED, "saved", "saved", SEVERITY_INFO },
                { EXIT_SNAPSHOT, "stopped", "snapshot", SEVERITY_INFO },
                { EXIT_RECREATED, "stopped", "recreated", SEVERITY_INFO },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                if (rows[i].how != facts->how)
                        continue;
                set(verdict, rows[i].action, rows[i].reason, CONFIDENCE_CONFIRMED,
                                rows[i].severity);
                verdict->evidence |= EVIDENCE_RUNTIME;
                return true;
        }
        if (facts->how != EXIT_VANISHED)
                return false;
        set(verdict, "vanished", "vanished", CONFIDENCE_ASSUMED, SEVERITY_WARNING);
        return true;
}

/* A crash is one, whoever asked for an end. */
static bool is_crash(const struct exit_facts *facts) {
        static const int signals[] = { SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGTRAP };

        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                if (facts->signal == signals[i] || facts->code == 128 + signals[i])
                        return true;
        return facts->core_dumped;
}

/* Row 7, where we asked ourselves, for an operator: that it ended is what was wanted, with whatever
 * number. */
static bool classify_operator(const struct exit_facts *facts, struct exit_verdict *verdict) {
        bool can_be_asked = facts->how == EXIT_PROCESS || facts->how == EXIT_GUEST_SHUTDOWN ||
                        facts->how == EXIT_HOST_SHUTDOWN || facts->how == EXIT_DESTROYED;

        if (facts->asked == EXIT_ASKED_NOBODY || !can_be_asked || is_crash(facts))
                return false;
        set(verdict, "stopped",
                        facts->asked == EXIT_ASKED_STOP ? "operator-stop" : "operator-destroy",
                        CONFIDENCE_CONFIRMED, SEVERITY_INFO);
        verdict->evidence |= EVIDENCE_RUNTIME;
        return true;
}

/* A unit that ends by the very signal it is stopped with has ended as it should: systemd says
 * "success" to that. */
static bool is_clean_stop(const struct exit_facts *facts) {
        if (facts->unit_watchdog || facts->unit_timeout)
                return false;
        if (facts->kind == WORKLOAD_UNIT && facts->signal && facts->signal == facts->kill_signal)
                return !is_sigkill(facts);
        return facts->code == 0;
}

/* Row 7: somebody asked for it. */
static bool classify_asked(const struct exit_facts *facts, struct exit_verdict *verdict) {
        const char *reason = NULL;

        if (facts->unit_watchdog)
                reason = "watchdog";
        else if (facts->unit_timeout)
                reason = "timeout";
        else if (facts->stop_timeout && is_sigkill(facts))
                reason = "stop-timeout";
        else if (facts->kill_signal == SIGKILL && is_sigkill(facts))
                reason = "killed";
        else if (facts->kill_signal > 0 && !is_sigkill(facts))
                reason = "stop-requested";
        else
                return false;

        set(verdict, is_clean_stop(facts) ? "stopped" : "died", reason, CONFIDENCE_CONFIRMED,
                        facts->unit_watchdog || facts->unit_timeout ? SEVERITY_ERROR
                                        : is_sigkill(facts)         ? SEVERITY_WARNING
                                                                    : SEVERITY_INFO);
        verdict->evidence |= EVIDENCE_RUNTIME;
        return true;
}

/* Rows 8 to 11: nothing but the number. */
static void classify_number(const struct exit_facts *facts, struct exit_verdict *verdict) {
        bool silent = facts->kernel_readable || facts->cgroup_readable || facts->runtime_tells;

        if (facts->code >= 0 || facts->signal)
                verdict->evidence |= EVIDENCE_EXIT_CODE;
        if (facts->how == EXIT_START_FAILED) {
                if (facts->start_error || !verdict->evidence)
                        verdict->evidence |= EVIDENCE_RUNTIME;
                set(verdict, "died", "start-failed", CONFIDENCE_CONFIRMED, SEVERITY_ERROR);
        } else if (is_sigkill(facts) && (silent || facts->kind == WORKLOAD_UNIT)) {
                set(verdict, "died", "sigkill-unknown", CONFIDENCE_ASSUMED, SEVERITY_ERROR);
        } else if (is_sigkill(facts)) {
                set(verdict, "OOMKilled", "oom", CONFIDENCE_ASSUMED, SEVERITY_ERROR);
                verdict->scope = OOM_SCOPE_UNKNOWN;
        } else if (facts->signal || (facts->code > 128 && facts->code <= 128 + SIGRTMAX)) {
                set(verdict, "died", "signal", CONFIDENCE_CONFIRMED, SEVERITY_ERROR);
        } else if (facts->code > 0) {
                set(verdict, "died", "exit-code", CONFIDENCE_CONFIRMED, SEVERITY_ERROR);
        } else if (facts->code == 0) {
                set(verdict, "stopped", "completed", CONFIDENCE_CONFIRMED, SEVERITY_INFO);
        } else {
                set(verdict, "died", "exit-code", CONFIDENCE_ASSUMED, SEVERITY_WARNING);
        }
}

void exit_classify(const struct exit_facts *facts, enum oom_rule rule,
                struct exit_verdict *ret_verdict) {
        struct exit_verdict verdict = { .signal = facts->signal };

        if (!verdict.signal && facts->code > 128 && facts->code <= 128 + SIGRTMAX)
                verdict.signal = facts->code - 128;

        if (classify_oom(facts, &verdict) || classify_operator(facts, &verdict) ||
                        classify_vm(facts, &verdict)) {
                *ret_verdict = verdict;
                return;
        }
        if (!classify_asked(facts, &verdict))
                classify_number(facts, &verdict);

        if (rule == OOM_RULE_EXIT_137 && facts->code == OOM_EXIT_CODE &&
                        strcmp(verdict.action, "died") == 0) {
                verdict.action = "OOMKilled";
                verdict.confidence = CONFIDENCE_CONTRADICTED;
                verdict.scope = OOM_SCOPE_UNKNOWN;
                verdict.evidence |= EVIDENCE_EXIT_CODE;
                verdict.severity = SEVERITY_ERROR;
        }
        *ret_verdict = verdict;
}

bool exit_needs_evidence(const struct exit_facts *facts) {
        if (facts->kernel_kill || facts->oomd_kill)
                return false;
        return is_sigkill(facts) || facts->how == EXIT_QEMU_FAILED;
}

static const char *oom_sentence(enum oom_scope scope) {
        switch (scope) {
        case OOM_SCOPE_SELF:
                return "OOM-killed: hit its own memory limit";
        case OOM_SCOPE_ANCESTOR:
                return "OOM-killed: a limit above it was hit";
        case OOM_SCOPE_HOST:
                return "OOM-killed: the host ran out of memory";
        case OOM_SCOPE_OOMD:
                return "killed by systemd-oomd";
        default:
                return "OOM-killed: whose limit was hit is not known";
        }
}

static const char *plain_sentence(const char *reason) {
        static const struct {
                const char *reason, *sentence;
        } sentences[] = {
                { "completed", "ended by itself with exit code 0" },
                { "stop-timeout", "killed after it did not stop in time" },
                { "killed", "killed through the runtime with SIGKILL" },
                { "stop-requested", "stopped on request" },
                { "operator-stop", "stopped, as an operator asked" },
                { "operator-destroy", "destroyed, as an operator asked" },
                { "timeout", "killed by systemd: timeout" },
                { "destroyed", "destroyed on request" },
                { "watchdog", "ended by its watchdog" },
                { "sigkill-unknown", "killed with SIGKILL, by whom is not known" },
                { "start-failed", "could not be started" },
                { "guest-shutdown", "shut down by the guest" },
                { "host-shutdown", "shut down by the host" },
                { "qemu-failed", "QEMU ended unexpectedly" },
                { "guest-panic", "the guest's kernel panicked" },
                { "migrated", "migrated to another host" },
                { "saved", "saved to disk" },
                { "snapshot", "stopped by a revert to a snapshot" },
                { "recreated", "reset: its process is started anew" },
                { "vanished", "gone; how it ended was not seen" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(sentences); i++)
                if (strcmp(sentences[i].reason, reason) == 0)
                        return sentences[i].sentence;
        return NULL;
}

/* "could not be started (exit code 127): exec: "x": executable file not found in $PATH" */
static void add_start_error(const struct exit_facts *facts, char *text, size_t size) {
        size_t n = strlen(text);

        if (!facts->start_error || n + 2 >= size)
                return;
        memcpy(text + n, ": ", 3);
        text_fit(text + n + 2, size - n - 2, facts->start_error);
}

void exit_message(const struct exit_facts *facts, const struct exit_verdict *verdict,
                char *ret_text, size_t size) {
        const char *sentence = plain_sentence(verdict->reason);
        char evidence[40], name[16];

        if (verdict->confidence == CONFIDENCE_CONTRADICTED) {
                (void) snprintf(ret_text, size,
                                "%s; reported as OOMKilled because its exit code is 137", sentence);
        } else if (strcmp(verdict->action, "OOMKilled") == 0 &&
                        verdict->confidence == CONFIDENCE_ASSUMED) {
                (void) snprintf(ret_text, size,
                                "exit code 137, taken as an OOM kill: no evidence could be read");
        } else if (strcmp(verdict->action, "OOMKilled") == 0) {
                (void) snprintf(ret_text, size, "%s%s%s (%s)", oom_sentence(verdict->scope),
                                verdict->scope == OOM_SCOPE_ANCESTOR ? ": " : "",
                                verdict->scope == OOM_SCOPE_ANCESTOR ? facts->oom_cgroup : "",
                                exit_evidence_words(verdict->evidence, evidence));
        } else if (strcmp(verdict->reason, "signal") == 0) {
                (void) snprintf(ret_text, size, "killed by %s%s",
                                signal_name(verdict->signal, name),
                                facts->core_dumped ? ", core dumped" : "");
        } else if (!sentence && facts->code >= 0) {
                (void) snprintf(ret_text, size, "exit code %d", facts->code);
        } else if (facts->code > 0) {
                (void) snprintf(ret_text, size, "%s (exit code %d)", sentence, facts->code);
        } else {
                (void) snprintf(ret_text, size, "%s",
                                sentence ? sentence : "ended; its exit code is not known");
        }
        if (strcmp(verdict->reason, "start-failed") == 0)
                add_start_error(facts, ret_text, size);
}

const char *exit_confidence_to_string(enum exit_confidence confidence) {
        static const char *const words[] = { "assumed", "confirmed", "contradicted" };

        return words[confidence];
}

const char *oom_scope_to_string(enum oom_scope scope) {
        static const char *const words[] = { "", "self", "ancestor", "host", "oomd", "unknown" };

        return words[scope];
}

const char *oom_rule_to_string(enum oom_rule rule) {
        return rule == OOM_RULE_EVIDENCE ? "evidence" : "exit-137";
}

int oom_rule_from_string(const char *text) {
        if (strcmp(text, "exit-137") == 0)
                return OOM_RULE_EXIT_137;
        return strcmp(text, "evidence") == 0 ? OOM_RULE_EVIDENCE : -EINVAL;
}

const char *exit_evidence_words(unsigned int evidence, char text[static 40]) {
        static const char *const words[] = { "kernel", "cgroup", "runtime", "exit-code" };
        size_t n = 0;

        text[0] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (evidence & (1U << i))
                        n += (size_t) snprintf(text + n, 40 - n, "%s%s", n ? "," : "", words[i]);
        return text;
}

const char *signal_name(int signal, char text[static 16]) {
        const char *name = sigabbrev_np(signal);

        if (name)
                (void) snprintf(text, 16, "SIG%s", name);
        else
                (void) snprintf(text, 16, "signal %hhu", (unsigned char) signal);
        return text;
}
