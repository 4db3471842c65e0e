#pragma once
/* The event journal: SQLite, WAL, synchronous=FULL, one writer thread with group commit, one reader
 * thread. An event is published only after the transaction that holds it, its source's cursor and
 * its workload's new state has reached the disk. Sequence numbers come from the loop thread, start
 * at 1, never repeat and never skip. */

#include <systemd/sd-event.h>

#include "model/event.h"

struct journal;
struct json_object;

struct journal_config {
        const char *path;            /* the database; its folder must exist. Made with mode 0600 */
        uint64_t retention_age_us;   /* events older are removed; 0: keep */
        uint64_t retention_bytes;    /* the database is kept below, oldest first; 0: no limit */
        uint64_t commit_interval_us; /* a batch waits at most this long for company; 0: none.
                                      * Default 0: a batch is what came while the last one was being
                                      * written */
        size_t batch_max;            /* events in one transaction; default 1000 */
        size_t queue_max;            /* events waiting for the disk; default 65536 */
};

/* What goes to disk together. */
struct journal_entry {
        struct event *event;        /* taken (a reference); NULL: only cursor and state */
        const char *source;         /* whose cursor; NULL: none */
        const char *cursor;         /* copied */
        const char *workload_id;    /* NULL: none */
        const char *workload_state; /* copied JSON text of workload_freeze(); NULL with a
                                       workload_id: forget it */
        const char *document_kind;  /* "app" "probe" …; NULL: none */
        const char *document_id;
        const char *document; /* copied JSON text; NULL with a document_kind: delete it */
        /* On the loop, once all of it is durable, after the event was published; never if the
         * journal closes before. NULL: nobody waits. */
        void (*done)(struct event *event, void *userdata);
        void *userdata;
};

/** Called on the loop thread, in order of sequence, when events are durable. References are
 * borrowed. */
typedef void (*journal_committed_t)(struct event *const *events, size_t n, void *userdata);

/**
 * Open or make the database (on the calling thread, before the loop runs).
 *
 * Return: 0; -EUCLEAN corrupt (it was set aside as PATH.corrupt-TIME and a new one begun:
 * *ret_journal is valid); -EPROTONOSUPPORT written by a newer version (untouched; nothing
 * returned); any errno of open.
 */
int journal_open(const struct journal_config *config, sd_event *event,
                journal_committed_t committed, void *userdata, struct journal **ret_journal);
/** Writes out what waits (at most 5 s), joins the threads, closes. */
struct journal *journal_close(struct journal *journal);
DEFINE_FREEP(struct journal, journal_close);

/**
 * Number the event, render it and queue the entry. Loop thread only.
 *
 * Return: 0; -ENOSPC queue full: the event is dropped and counted and its number not used; -ENOMEM.
 */
int journal_append(struct journal *journal, const struct journal_entry *entry);

/** The newest durable sequence number, and the oldest still stored (0: none). */
uint64_t journal_last_seq(const struct journal *journal);
uint64_t journal_first_seq(const struct journal *journal);

/* What start-up needs, synchronous, before the loop runs. */
/** Call @each for every stored workload's JSON text; it stops at a negative return. */
int journal_load_workloads(struct journal *journal,
                int (*each)(const char *id, const char *state, void *userdata), void *userdata);
/** Call @each for every document of @kind. */
int journal_load_documents(struct journal *journal, const char *kind,
                int (*each)(const char *id, const char *document, void *userdata), void *userdata);
/** The cursor of @source; *ret_cursor NULL: none. Caller frees. */
int journal_load_cursor(struct journal *journal, const char *source, char **ret_cursor);
/** Call @each with (source, origin) of the newest @max events that have an origin, oldest first. */
int journal_load_origins(struct journal *journal, size_t max,
                int (*each)(const char *source, const char *origin, void *userdata),
                void *userdata);

/** Other bounds, kept from the writer's next look at them on. Loop thread. */
void journal_configure(
                struct journal *journal, uint64_t retention_age_us, uint64_t retention_bytes);

struct journal_query {
        uint64_t after_seq;         /* events with a greater one, ascending */
        bool newest_first;          /* else: before before_seq, descending */
        uint64_t before_seq;        /* 0: from the newest */
        unsigned int limit;         /* 1..VW_EVENTS_PAGE_MAX; the caller has checked */
        struct event_filter filter; /* borrowed for the call to journal_read(), copied */
};

/**
 * Read a page on the reader thread. @done is called on the loop, never from within; events are
 * borrowed (ref to keep).
 *
 * Return: 0; -EAGAIN too many reads waiting (64); -ENOMEM. @done's error: 0 or negative errno.
 */
int journal_read(struct journal *journal, const struct journal_query *query,
                void (*done)(int error, struct event *const *events, size_t n, void *userdata),
                void *userdata);

struct journal_stats {
        uint64_t appended, committed, dropped, transactions, write_errors, reads;
        uint64_t queued; /* now */
        uint64_t bytes;  /* database file and WAL, at the last commit */
        uint64_t commit_us_sum;
        bool failing;   /* the last transaction failed and is being tried again */
        int last_error; /* negative errno of that, 0 */
};
void journal_get_stats(const struct journal *journal, struct journal_stats *ret_stats);
