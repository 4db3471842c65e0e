#pragma once
/* The event journal: SQLite, WAL, synchronous=FULL, one writer thread with group commit, one reader
 * thread. An event is published only after the transaction that holds it, its source's cursor and
 * its workload's new state has reached the disk. Sequence numbers come from the loop thread, start
 * at 1, never repeat and never skip.
 *
 * While the disk does not take them (full, read-only, broken), events wait in a queue of bounded
 * length and size. What does not fit is dropped and counted, and once there is room again an event
 * "gap" takes the place of those that are missing and says how many they were.
 *
 * Where the database cannot be opened at all, the journal is in memory only: events are published
 * at once, without being durable, the newest are kept for the disk within the same bounds, and
 * opening is tried again and again. Their numbers then begin at the seconds since 1970 times 2^16,
 * where no stored one can be (fewer than 65,536 events a second were made, all in all), and are
 * kept when they are stored after all.
 *
 * A database that is removed or replaced under the journal, at the latest by then, is noticed
 * within 10 s and before the next event: the next one has all but the events that were in it. One
 * whose disk takes nothing for a while is closed until it does. */

#include <systemd/sd-event.h>

#include "model/event.h"

struct journal;
struct json_object;
struct spans;

#define JOURNAL_SLOW_US (5 * USEC_PER_SEC)

struct journal_config {
        const char *path;            /* the database; its folder must exist. Made with mode 0600 */
        uint64_t retention_age_us;   /* events older are removed; 0: keep */
        uint64_t retention_bytes;    /* the database is kept below, oldest first; 0: no limit */
        uint64_t commit_interval_us; /* a batch waits at most this long for company; 0: none.
                                      * Default 0: a batch is what came while the last one was being
                                      * written */
        size_t batch_max;            /* events in one transaction; default 1000 */
        size_t queue_max;            /* events waiting for the disk; default 65536 */
        size_t queue_bytes_max;      /* what they take in memory; default 64 MiB */
        uint64_t retry_us; /* how often what could not be opened is tried again; default 5 s */
        /* On the loop: a database that could not be opened before has been, and has this document.
         * May be NULL. */
        void (*restored)(const char *kind, const char *id, const char *document, void *userdata);
};

/* What goes to disk together. */
struct journal_entry {
        struct event *event;        /* taken (a reference); NULL: only cursor and state */
        const char *source;         /* whose cursor; NULL: none */
        const char *cursor;         /* copied */
        const char *workload_id;    /* NULL: none */
        const char *workload_state; /* copied JSON text of workload_freeze(); NULL with a
                                       workload_id: forget it */
        const char *document_kind; /* "app" "probe" …; NULL: none. Without an event it is not taken
                                      while the store does not write */
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
 * Open or make the database (on the calling thread, before the loop runs). Where that fails, the
 * journal is in memory only, see above, and *ret_journal is valid all the same, unless there is no
 * memory or no thread for it: then it is NULL.
 *
 * Return: 0; -EUCLEAN corrupt (it was set aside as PATH.corrupt-TIME and a new one begun, with
 * what could be read but for the events); -EPROTONOSUPPORT written by a newer version (untouched);
 * any errno of open.
 */
int journal_open(const struct journal_config *config, sd_event *event,
                journal_committed_t committed, void *userdata, struct journal **ret_journal);
/** Where transactions are told; before the loop runs. Borrowed, outlives the journal; NULL:
 * nowhere. */
void journal_set_spans(struct journal *journal, struct spans *spans);
/** Writes out what waits (at most 5 s), and ends the writer. Nothing can be appended any more.
 * Return: how many events could not be written. */
uint64_t journal_stop(struct journal *journal);
/** As journal_stop(), joins the threads, closes. */
struct journal *journal_close(struct journal *journal);
DEFINE_FREEP(struct journal, journal_close);

/**
 * Number the event, render it and queue the entry. Loop thread only.
 *
 * Return: 0; -ENOSPC queue full: the event is dropped and counted and its number not used; the same
 * where somebody waits for it to be durable, or it is a document alone, while the store does not
 * write, or has been at one transaction for JOURNAL_SLOW_US; -ENOMEM.
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
/** Call @each with (source, origin) of the newest @max events of each source that have an origin,
 * oldest first. */
int journal_load_origins(struct journal *journal, size_t max,
                int (*each)(const char *source, const char *origin, void *userdata),
                void *userdata);
/** The same of those that were posted with a key; @seq is a decimal number. */
int journal_load_posts(struct journal *journal, size_t max,
                int (*each)(const char *seq, const char *origin, void *userdata), void *userdata);

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
        uint64_t appended, committed, transactions, write_errors, reads;
        uint64_t dropped; /* events that never reach the disk; the gaps' sum, once all are told */
        uint64_t untold;  /* of them: those that no gap has told of yet */
        uint64_t unreadable;   /* rows that were, and were passed over */
        uint64_t queued;       /* now */
        uint64_t queued_bytes; /* now */
        uint64_t bytes;        /* database file and WAL, at the last commit */
        uint64_t commit_us_sum;
        bool failing;   /* the last transaction failed and is being tried again, or there is none as
                         * the database is not open */
        bool memory;    /* of these: it is not open */
        bool renewed;   /* set aside as corrupt in this life of the daemon */
        uint64_t moved; /* times it was found removed or replaced, and what is there now gone on
                           with */
        int last_error; /* negative errno of that, 0 */
        uint64_t since_us; /* CLOCK_REALTIME since it fails; 0 */
        uint64_t disk_us;  /* CLOCK_MONOTONIC since the disk has been at the present transaction; 0
                            */
        uint64_t beat_us;  /* CLOCK_MONOTONIC of the writer's last step */
};
void journal_get_stats(const struct journal *journal, struct journal_stats *ret_stats);
