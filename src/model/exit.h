#pragma once
/* The verdict on one exit: pure, the same for VMs, containers and units (DESIGN decision 1; rows of
 * FACTS 6.1). An exit is what a source reports plus the evidence gathered beside it. */

#include "model/word.h"

/* How the exit was reported. A container or a unit gives EXIT_PROCESS or EXIT_START_FAILED; a VM
 * what libvirt's lifecycle event and detail say. */
enum exit_how {
        EXIT_PROCESS,        /* a process ended: code and signal are meaningful */
        EXIT_START_FAILED,   /* never ran: missing command, … (code 127, 126, 125 or -1) */
        EXIT_GUEST_SHUTDOWN, /* SHUTDOWN/GUEST then STOPPED/SHUTDOWN */
        EXIT_HOST_SHUTDOWN,  /* SHUTDOWN/HOST then STOPPED/SHUTDOWN: SIGTERM to QEMU */
        EXIT_DESTROYED,      /* STOPPED/DESTROYED: an operator's destroy */
        EXIT_QEMU_FAILED,    /* STOPPED/FAILED: QEMU is gone; OOM, kill -9, abort and segfault look
                                alike */
        EXIT_GUEST_PANIC,    /* STOPPED/CRASHED after CRASHED/PANICKED */
        EXIT_WATCHDOG,       /* watchdog action poweroff, then STOPPED/FAILED */
        EXIT_MIGRATED,       /* not a death: goes on elsewhere */
        EXIT_SAVED,          /* not a death: its state is on disk */
        EXIT_SNAPSHOT,       /* STOPPED/FROM_SNAPSHOT */
        EXIT_RECREATED,      /* STOPPED/RECREATED: a reset for which QEMU is started anew */
        EXIT_VANISHED,       /* found gone at a listing; nobody saw it end */
};

enum exit_confidence {
        CONFIDENCE_ASSUMED,      /* no evidence could be asked, or nothing decided */
        CONFIDENCE_CONFIRMED,    /* evidence says so */
        CONFIDENCE_CONTRADICTED, /* the contract's rule says OOMKilled, the evidence something else
                                  */
};

enum oom_scope {
        OOM_SCOPE_NONE,     /* no OOM: printed as "" */
        OOM_SCOPE_SELF,     /* its own limit */
        OOM_SCOPE_ANCESTOR, /* a limit above it; oom_cgroup names it */
        OOM_SCOPE_HOST,     /* the host ran out (CONSTRAINT_NONE, CPUSET, MEMORY_POLICY) */
        OOM_SCOPE_OOMD,     /* systemd-oomd */
        OOM_SCOPE_UNKNOWN,  /* an OOM kill for sure, the limit not known */
};

/* Bits of evidence, strongest first; exit_evidence_words() lists them in this order. */
enum exit_evidence {
        EVIDENCE_KERNEL = 1 << 0,    /* "kernel": the kernel's oom-kill line */
        EVIDENCE_CGROUP = 1 << 1,    /* "cgroup": an oom_kill counter rose */
        EVIDENCE_RUNTIME = 1 << 2,   /* "runtime": the runtime, libvirt, systemd or oomd said it */
        EVIDENCE_EXIT_CODE = 1 << 3, /* "exit-code": the number alone */
};

enum oom_rule {
        OOM_RULE_EXIT_137, /* default: 137 is OOMKilled, whatever else is known */
        OOM_RULE_EVIDENCE, /* contradicting evidence makes it died */
};

enum oom_constraint {
        CONSTRAINT_UNKNOWN,
        CONSTRAINT_NONE,
        CONSTRAINT_CPUSET,
        CONSTRAINT_MEMORY_POLICY,
        CONSTRAINT_MEMCG,
};

/* Whether an operator had asked for the end through us, shortly before. */
enum exit_asked {
        EXIT_ASKED_NOBODY,
        EXIT_ASKED_STOP,
        EXIT_ASKED_DESTROY,
};

struct exit_facts {
        enum workload_kind kind;
        enum exit_how how;
        enum exit_asked asked;
        int code;   /* 0..255; -1: none known */
        int signal; /* 1..64 if the process ended by it; 0: not, or not known (137 stands for 9) */
        bool core_dumped;
        const char *start_error; /* EXIT_START_FAILED: why, in the runtime's words, which hold what
                                    its caller wrote; NULL: not told */

        /* kernel line: set only if it is about this workload's process or cgroup */
        bool kernel_kill;
        bool kernel_main_pid; /* the victim was the main process itself */
        enum oom_constraint constraint;
        const char *oom_cgroup;  /* whose limit was hit; NULL for a global kill */
        const char *task_cgroup; /* the victim's; NULL: not known */
        bool own_limit; /* oom_cgroup is the workload's, or lies in it: the victim may lie deeper */

        bool oomd_kill;
        const char *oomd_reason; /* "memory-used" or "memory-pressure"; NULL */

        /* counters of the workload's cgroup since its start, as rises */
        uint64_t oom_kill_rise;
        uint64_t oom_group_kill_rise;
        uint64_t oom_rise_age_us; /* before the exit; USEC_INFINITY: not known */

        bool runtime_oom; /* docker oom event or State.OOMKilled, Result=oom-kill, … */

        int kill_signal;   /* the last signal the runtime was asked to send before the exit; 0: none
                            */
        bool stop_timeout; /* a stop signal, then 9 */
        bool unit_timeout; /* Result=timeout */
        bool unit_watchdog; /* Result=watchdog */

        /* which evidence could have been seen; all false: row 9 */
        bool kernel_readable;
        bool cgroup_readable;
        bool runtime_tells; /* this runtime's OOM flag can be believed */
};

/* action and reason are constant strings. */
struct exit_verdict {
        const char *action; /* "OOMKilled" "died" "stopped" "crashed" "migrated" "saved" "vanished"
                             */
        const char *reason; /* "oom" "memory-used" "memory-pressure" "stop-timeout" "killed"
                             * "stop-requested" "destroyed" "watchdog" "timeout" "sigkill-unknown"
                             * "signal" "exit-code" "completed" "start-failed" "guest-shutdown"
                             * "host-shutdown" "qemu-failed" "guest-panic" "migrated" "saved"
                             * "snapshot" "recreated" "vanished" "operator-stop"
                             * "operator-destroy" */
        enum exit_confidence confidence;
        enum oom_scope scope;
        unsigned int evidence; /* bits of enum exit_evidence */
        int signal;            /* 0 or the signal that ended it (9 for 137) */
        enum severity severity;
        enum workload_state state; /* STATE_STOPPED or STATE_FAILED */
};

/** Judge. Every input gives a verdict. Source of the order: FACTS 6.1 rows 1 to 11. */
void exit_classify(const struct exit_facts *facts, enum oom_rule rule,
                struct exit_verdict *ret_verdict);

/**
 * Could evidence that is still on its way change the verdict? True for 137, signal 9 and
 * EXIT_QEMU_FAILED as long as neither kernel nor oomd evidence is there; such an exit waits
 * events.evidence_wait, others do not wait.
 */
bool exit_needs_evidence(const struct exit_facts *facts);

/** One sentence for people, without a full stop: "OOM-killed: hit its own memory limit (kernel,
 * cgroup)". Never fails; cut at @size. */
void exit_message(const struct exit_facts *facts, const struct exit_verdict *verdict,
                char *ret_text, size_t size);

/* Words as in the comments above, lower case with '-'. From text: -EINVAL. */
const char *exit_confidence_to_string(enum exit_confidence confidence);
const char *oom_scope_to_string(enum oom_scope scope);
const char *oom_rule_to_string(enum oom_rule rule); /* "exit-137" "evidence" */
int oom_rule_from_string(const char *text);
/** "kernel,cgroup": the bits, strongest first; "" for none. Return: @text. */
const char *exit_evidence_words(unsigned int evidence, char text[static 40]);
/** "SIGKILL" for 9; "signal 99" where there is no name. Return: @text. */
const char *signal_name(int signal, char text[static 16]);
