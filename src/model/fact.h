#pragma once
/* A fact: what a source saw, before anybody judged it. Sources post facts to the tracker on the
 * loop thread; a source with threads of its own makes a fact_copy() there and posts it from the
 * loop. */

#include "model/workload.h"

enum fact_type {
        FACT_SOURCE, /* source_state, error: the connection came or went. UP is posted after the
                        first listing */
        FACT_LISTING_BEGIN, /* the FACT_WORKLOADs until FACT_LISTING_END are all that exist */
        FACT_LISTING_END,   /* what was not named is gone */
        FACT_WORKLOAD, /* workload as it is now; what differs from the inventory becomes synthetic
                          events */
        FACT_LISTED,  /* workload exists, but how it is could not be found out: one that is known is
                         not gone */
        FACT_ACTION,  /* action happened to workload; workload.state is the state afterwards */
        FACT_EXIT,    /* a life of workload ended: how, code, signal … */
        FACT_REMOVED, /* workload no longer exists (rm, undefine) */
        FACT_KILL, /* the runtime was asked to send kill_signal to workload (docker kill, stop) */
        FACT_OOM,  /* evidence of an OOM kill, by oom_source */
        FACT_READABLE, /* oom_source can or cannot be read (oom_readable): what its silence means */
};

enum oom_source {
        OOM_FROM_KERNEL,  /* oom_*, time_us: a kernel line; workload.native_id NULL */
        OOM_FROM_CGROUP,  /* workload, oom_kill_rise, oom_group_kill_rise */
        OOM_FROM_RUNTIME, /* workload: docker's oom event, containerd's /tasks/oom */
        OOM_FROM_OOMD,    /* oom_cgroup, oomd_reason */
};

struct fact {
        enum fact_type type;
        uint64_t time_us;   /* CLOCK_REALTIME when it happened, by the source's word; 0: now */
        const char *origin; /* stable id of the raw event ("TIMENANO/ID/ACTION"); NULL: none. A raw
                             * event that comes again (replay) has the same one, and is dropped by
                             * it */
        const char *cursor; /* where the source may resume once this fact is dealt with; NULL: as
                               before */
        bool synthetic;

        struct workload_info workload;

        /* FACT_ACTION */
        const char *action; /* "started" "paused" "resumed" "created" "renamed" "rebooted"
                             * "watchdog" "io-error" "unhealthy" "healthy" "agent-connected" … */
        enum severity severity;
        const char *message; /* one sentence; NULL: made from kind and action */
        struct json_object
                        *details; /* borrowed; further members of the event. Also for FACT_EXIT */
        bool quiet;               /* update the inventory, publish nothing */

        /* FACT_EXIT */
        enum exit_how how;
        int code; /* -1: none */
        int signal;
        bool core_dumped;
        bool runtime_oom;
        bool runtime_tells; /* this runtime's OOM flag can be believed */
        bool unit_timeout, unit_watchdog;

        /* FACT_KILL */
        int kill_signal;

        /* FACT_OOM, FACT_READABLE */
        enum oom_source oom_source;
        bool oom_readable;
        enum oom_constraint constraint;
        bool oom_global;
        uint32_t oom_pid;
        const char *oom_cgroup, *task_cgroup, *oom_comm, *oomd_reason;
        uint64_t oom_kill_rise, oom_group_kill_rise;

        /* FACT_SOURCE */
        enum source_state source_state;
        const char *error; /* why down; NULL */
};

#define FACT_INIT(fact_type_) \
        { .type = (fact_type_), .workload = WORKLOAD_INFO_INIT, .code = -1 }

/** A deep copy; json objects are referenced, so only one thread at a time may hold them. Return: 0;
 * -ENOMEM. */
int fact_copy(const struct fact *fact, struct fact **ret_fact);
struct fact *fact_free(struct fact *fact);
DEFINE_FREEP(struct fact, fact_free);
