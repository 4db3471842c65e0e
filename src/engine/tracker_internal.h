#pragma once
/* What the tracker's files share: tracker.c (facts in, events out), tracker_exit.c (one life,
 * its verdict), tracker_oom.c (evidence) and tracker_listing.c (what was missed). Nobody else
 * includes this. */

#include "base/log.h"
#include "engine/tracker.h"
#include "model/origin_set.h"

/* Evidence counts for an exit if it is at most this old (FACTS 6.1 row 5). */
#define EVIDENCE_AGE_MAX_US (2 * USEC_PER_SEC)
/* An OOM kill after which its workload lives on for this long was one of a child. */
#define OOM_CHECK_WAIT_US (2 * USEC_PER_SEC)
/* A kernel line waits this long for a workload that claims it, again and again while a source is
 * not up; then its cursor may move on. */
#define OOM_BOOK_WAIT_US     (10 * USEC_PER_SEC)
#define OOM_BOOK_WAIT_MAX_US (60 * USEC_PER_SEC)
#define OOM_BOOK_MAX         256
/* Two start or end times this close are the same start or end: runtimes round, and say it in
 * several places. */
#define SAME_TIME_US (2 * USEC_PER_SEC)
/* A life that began this much after the last thing known is another one. Runtimes date a start
 * before they tell it, so only their rounding counts. */
#define OTHER_LIFE_US (100 * USEC_PER_MSEC)
/* An end that comes this long after somebody asked for it, an operator or by a signal of the
 * runtime's, is due to that. */
#define ASKED_US (300 * USEC_PER_SEC)
/* After a source is up, its stream may for this long tell what its listing has shown already. */
#define CATCH_UP_US (5 * USEC_PER_SEC)

struct kernel_kill {
        struct list list;
        uint64_t time_us;     /* CLOCK_REALTIME of the line */
        uint64_t deadline_us; /* CLOCK_MONOTONIC */
        uint64_t give_up_us;  /* the last deadline; CLOCK_MONOTONIC */
        uint32_t pid;
        enum oom_constraint constraint;
        bool global;
        bool attributed;
        char *oom_cgroup, *task_cgroup, *comm; /* NULL: not in the line */
        char *source, *cursor, *origin;
};

/* One life of a workload: what is known beside what the inventory shows. Hangs on workload->extra.
 */
struct life {
        struct list check; /* in tracker->oom_checks while an OOM kill waits for the exit it may
                              have caused */
        struct workload *workload;
        uint64_t check_deadline_us;
        char *check_origin; /* of the evidence that armed the check */

        uint32_t pid; /* last known main process; kept when it ends */
        int kill_signal;
        bool stop_timeout;
        uint64_t kill_time_us; /* CLOCK_REALTIME */
        enum exit_asked asked;
        uint64_t asked_us; /* CLOCK_MONOTONIC */

        bool kernel_kill, kernel_main_pid;
        enum oom_constraint constraint;
        char *oom_cgroup, *task_cgroup;
        bool own_limit;
        bool oomd_kill;
        char *oomd_reason;
        bool runtime_oom;
        uint64_t oom_kill_rise, oom_group_kill_rise;
        uint64_t blind_kills, blind_us; /* counted while the kernel's log was not read, which may
                                           tell of them yet; time of the newest */
        uint64_t evidence_us;           /* CLOCK_REALTIME of the newest piece; 0: none */

        bool exit_was_synthetic;
        struct pending_exit *pending;
};

struct pending_exit {
        struct list list;
        struct workload *workload;
        struct fact *fact;
        char *source;
        uint64_t deadline_us; /* CLOCK_MONOTONIC */
        bool past;            /* see tracker_is_past() */
        bool remove_after;    /* the workload is gone too */
        char *remove_origin;
};

struct tracker {
        struct tracker_config config;
        struct tracker_hooks hooks;
        sd_event *event;
        sd_event_source *timer;
        struct inventory *inventory;
        struct origin_set *origins;
        struct list sources;    /* of struct tracker_source */
        struct list pending;    /* of struct pending_exit, by deadline */
        struct list oom_checks; /* of struct life, by deadline */
        struct list oom_book;   /* of struct kernel_kill, by deadline */
        size_t n_oom_book;
        bool kernel_readable, cgroup_readable;
        bool is_walking; /* over workloads, exits or lines: none but the one it is at may go.
                            Evidence may come meanwhile, since the end of a life has sources look
                            for it */
        struct tracker_stats stats;
        struct log_ratelimit limit;
};

/* tracker.c */
struct tracker_source *tracker_source_find(struct tracker *tracker, const char *name);
uint64_t tracker_now_us(struct tracker *tracker);
void tracker_arm(struct tracker *tracker, uint64_t deadline_us);
/** Whether a life in @state is not on its way out: of one that is stopping, the exit comes by
 * itself, and the next that runs is another life. */
bool tracker_goes_on(enum workload_state state);
/** Whether a life in @state has ended. */
bool tracker_is_over(enum workload_state state);
/**
 * Whether @fact is older than what is known of @workload: a source that comes back tells the past
 * again, some of which was never seen. It is news, but changes nothing.
 */
bool tracker_is_past(struct tracker *tracker, const struct tracker_source *source,
                const struct workload *workload, const struct fact *fact);
/** Publish one event about @workload (NULL: about the source) and store its state. @details is
 * taken. */
void tracker_emit(struct tracker *tracker, struct tracker_source *source,
                const struct workload *workload, const struct event_fields *fields);
/** Store the state of @workload, without an event. */
void tracker_store(struct tracker *tracker, struct tracker_source *source,
                const struct workload *workload);
/** The workload is gone: publish "removed" (or @action), forget it. */
void tracker_remove(struct tracker *tracker, struct tracker_source *source,
                struct workload *workload, const struct fact *fact);
/** Publish what @fact says happened to @workload; its state is set already. */
void tracker_emit_action(struct tracker *tracker, struct tracker_source *source,
                struct workload *workload, const struct fact *fact, const char *action);

/* tracker_exit.c */
struct life *life_get(struct tracker *tracker, struct workload *workload);
struct life *life_free(struct tracker *tracker, struct life *life);
/** Publish the exit that waits, if any; the workload may be gone afterwards. */
void life_settle(struct tracker *tracker, struct life *life);
/** A new life begins at @time_us: older evidence is forgotten, evidence sources are told. */
void life_begin(struct tracker *tracker, struct workload *workload, uint64_t time_us);
void tracker_exit(struct tracker *tracker, struct tracker_source *source, struct workload *workload,
                const struct fact *fact);
void tracker_kill(struct tracker *tracker, struct tracker_source *source, struct workload *workload,
                const struct fact *fact);
/** Publish the exit that waits as soon as nobody walks over the others. */
void life_settle_soon(struct tracker *tracker, struct life *life);
/** Deal with every deadline that is over. Return: the next one (CLOCK_MONOTONIC), USEC_INFINITY for
 * none. */
uint64_t tracker_run_deadlines(struct tracker *tracker, uint64_t now_us, bool all);
void tracker_exit_done(struct tracker *tracker);
void life_forget_evidence(struct life *life);

/* tracker_oom.c */
void tracker_oom(struct tracker *tracker, struct tracker_source *source, const struct fact *fact);
/** Lines that nobody claimed yet: is @workload, newly seen or just ended, their victim? */
void tracker_claim_oom(struct tracker *tracker, struct workload *workload);
/** A life begins: a process of it may have been killed already, before its start was told. */
void life_check_early(struct tracker *tracker, struct life *life);
/** Settle the lines that nobody claimed in time. Return: the next deadline (CLOCK_MONOTONIC),
 * USEC_INFINITY for none. */
uint64_t tracker_run_oom_book(struct tracker *tracker, uint64_t now_us);
void tracker_oom_done(struct tracker *tracker);

/* tracker_listing.c */
void tracker_listing_begin(struct tracker *tracker, struct tracker_source *source);
void tracker_workload(
                struct tracker *tracker, struct tracker_source *source, const struct fact *fact);
void tracker_listing_end(struct tracker *tracker, struct tracker_source *source);
