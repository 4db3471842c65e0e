#pragma once
/* The tracker: facts in, events out. It keeps the inventory, joins each exit with the evidence for
 * it (waiting at most evidence_wait), has it classified, makes up what was missed while a source
 * was away, drops what comes twice, and hands each event with its source's cursor and the
 * workload's new state to the journal. Loop thread only. */

#include <systemd/sd-event.h>

#include "base/list.h"
#include "model/event.h"
#include "model/fact.h"

struct tracker;

struct tracker_config {
        enum oom_rule oom_rule;
        uint64_t evidence_wait_us; /* 0..5 s; default 250 ms */
        size_t workloads_max;      /* default 20000 */
        size_t origins_max; /* remembered of each source, for de-duplication; default 16384 */
};

/* One thing to store: the event may be NULL (only state or cursor changed). */
struct tracker_output {
        struct event *event; /* taken */
        const char *source;
        const char *cursor;
        const struct workload *workload; /* NULL: none. Its state is to be stored */
        const char *forget;              /* id of a workload that is gone; NULL */
};

/* One source as people see it. */
struct tracker_source {
        struct list list; /* private */
        char *name;
        enum source_state state;
        char *error; /* "" while up */
        uint64_t since_us;
        bool required;
        bool was_up;
        bool known;   /* private: listed before, by us or by an earlier run: what differs is news */
        bool listing; /* private */
        uint64_t up_us; /* private: CLOCK_MONOTONIC when it came up */
        char *cursor;   /* private: newest cursor posted */
};

struct tracker_hooks {
        /** Store and, once durable, publish. Return: 0 or negative errno (the loss is counted
         * there). */
        int (*emit)(const struct tracker_output *output, void *userdata);
        /** A workload began or ended a life, so evidence sources can watch or leave it. May be
         * NULL. */
        void (*watch)(const struct workload *workload, bool running, void *userdata);
        /** The app of @workload; NULL: none. May be NULL. */
        const char *(*slug)(const struct workload *workload, void *userdata);
        void *userdata;
};

int tracker_new(const struct tracker_config *config, sd_event *event,
                const struct tracker_hooks *hooks, struct tracker **ret_tracker);
struct tracker *tracker_free(struct tracker *tracker);
DEFINE_FREEP(struct tracker, tracker_free);

/** Make a source known before it starts (state connecting). @known: an earlier run has listed it,
 * so that what it finds now is news. */
int tracker_add_source(struct tracker *tracker, const char *name, bool required, bool known);
/** Whether GET /ready waits for the source. */
void tracker_require_source(struct tracker *tracker, const char *name, bool required);
/** The newest cursor that the source has posted in this run; borrowed; NULL: none. */
const char *tracker_source_cursor(struct tracker *tracker, const char *name);
/** It is no longer configured: its exits are told, its workloads are unknown from now on, as when a
 * source is lost, and it is in no list any more. It must have been stopped. */
void tracker_remove_source(struct tracker *tracker, const char *name);
/** Take @fact of source @source_name in. Never fails: what cannot be used is counted and logged. */
void tracker_post(struct tracker *tracker, const char *source_name, const struct fact *fact);
/** Before the loop: a stored workload, a stored origin. */
int tracker_restore_workload(struct tracker *tracker, const char *frozen_json);
int tracker_restore_origin(struct tracker *tracker, const char *source, const char *origin);
/** An operator's request for its end goes to @workload's source now: the exit that follows within
 * the next minutes is of that request. EXIT_ASKED_NOBODY: it was refused. */
void tracker_expect(struct tracker *tracker, struct workload *workload, enum exit_asked asked);
/** Publish exits that still wait for evidence, at shutdown. */
void tracker_flush(struct tracker *tracker);

struct inventory *tracker_inventory(struct tracker *tracker);
struct list *tracker_sources(struct tracker *tracker); /* of struct tracker_source, by list */

struct tracker_stats {
        uint64_t facts, events, duplicates, unattributed_oom, refused;
};
void tracker_get_stats(const struct tracker *tracker, struct tracker_stats *ret_stats);
/** Change settings at reload. */
void tracker_configure(struct tracker *tracker, const struct tracker_config *config);
