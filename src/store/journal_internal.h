#pragma once
/* What the journal's files share: journal.c (the writer thread), journal_queue.c (the loop's side:
 * queue, numbers, gaps), journal_schema.c (opening, migrations, start-up reads), journal_late.c
 * (opening what could not be opened), journal_read.c (pages, on a thread of its own). */

#include <pthread.h>
#include <sqlite3.h>
#include <time.h>

#include "base/list.h"
#include "store/database.h"
#include "store/journal.h"

struct letter;
struct mailbox;

/* One row's worth of work; texts are copies, so that the writer touches nothing that the loop does.
 */
struct journal_item {
        struct list list;
        struct event *event;
        char *details;
        char *source, *cursor;
        char *workload_id, *workload_state;
        char *document_kind, *document_id, *document;
        void (*done)(struct event *event, void *userdata);
        void *userdata;
        size_t bytes; /* what it counts for in the queue */
        bool shown;   /* the event was published when it was appended */
};

struct journal_page;

struct journal {
        struct journal_config config;
        char *path;
        journal_committed_t committed;
        void *userdata;
        struct spans *spans; /* NULL: transactions are told nowhere */

        pthread_mutex_t lock;
        pthread_cond_t wake, wake_reader, wake_retry;
        struct list queue;                          /* under lock: items for the writer */
        struct list pages;                          /* under lock: pages for the reader */
        size_t n_pages;                             /* under lock */
        bool stopping;                              /* under lock */
        uint64_t retention_age_us, retention_bytes; /* under lock: what holds now */
        struct journal_stats stats;                 /* under lock */
        uint64_t first_seq;                         /* under lock */
        bool dropping; /* under lock: was full, and has not much room yet */
        bool reopen;   /* under lock: the reader is to open what is there now */
        pthread_t writer, reader;
        bool has_writer, has_reader;
        bool is_open;        /* the writer's: there is a database */
        uint64_t behind_seq; /* the writer's: it was given up, and the next one goes on behind this,
                              * the newest number that was given to the disk; 0 */
        uint64_t disk_seq;   /* the writer's: the newest that is on it */
        bool removing;   /* the writer's: retention has more to remove than it did in its turn */
        bool is_suspect; /* the writer's: a write found it corrupt, and none succeeded since */
        bool is_corrupt; /* the writer's: known to be, and not set aside yet */
        bool is_renewed; /* the writer's: it was set aside, and what is opened next is new */
        bool is_moved;   /* the writer's: what is opened next may be any */
        struct list salvage; /* the writer's: what the next one is to have, see journal_salvage.c */
        struct database_files files; /* the writer's: what it has open */

        sqlite3 *db; /* the writer's */
        pthread_mutex_t read_lock;
        sqlite3 *read_db; /* under read_lock */
        bool is_away;     /* under read_lock: nothing stays open: who repairs the disk needs that */
        sqlite3_stmt *insert_event, *upsert_cursor, *upsert_workload, *delete_workload,
                        *upsert_document, *delete_document;
        struct mailbox *mailbox;
        uint64_t next_seq;      /* loop */
        uint64_t last_seq;      /* loop: newest published */
        bool closing;           /* loop */
        sd_event_source *begin; /* starts the threads once the loop runs */
        uint64_t base_seq;      /* what was published in memory begins behind it; 0: nothing was */
};

static inline int journal_error(int sqlite_error) {
        return database_error(sqlite_error);
}

/* journal_schema.c */
struct journal_numbers {
        uint64_t last_seq, first_seq;
};
/** Open, check, migrate, prepare. A corrupt one is set aside, and the new one goes on behind
 * @last_seq, 0: where no number of the old one can be. Return: 0; -EUCLEAN that was done; what kept
 * it from being opened, and nothing is open. */
int journal_schema_open(
                struct journal *journal, uint64_t last_seq, struct journal_numbers *ret_numbers);
void journal_schema_close(struct journal *journal);
/** The same where its place may be another's by now. */
void journal_schema_abandon(struct journal *journal);
uint64_t journal_far_seq(void);

/* journal_salvage.c */
/** Keep in @rows what can be read of all but the events. */
void journal_salvage_read(sqlite3 *from, struct list *rows);
/** Give it to another. Return: 0; what kept it from being written. */
int journal_salvage_write(sqlite3 *to, const struct list *rows);
void journal_salvage_free(struct list *rows);

/* journal_queue.c */
struct journal_item *journal_item_free(struct journal_item *item);
void journal_free_items(struct list *items);
/** On the loop, where a letter has come. */
void journal_on_letter(struct letter *letter, void *userdata);

/* journal_late.c: on the writer's thread. */
/** Wait until there is a database. Return: whether there is; false: the journal ends. */
bool journal_open_late(struct journal *journal);
/** A write found it corrupt: it is checked, and if that finds nothing and the next write does, the
 * next opening makes another one. @last_seq: newest number that was given to
 * the disk; so with the next two. */
void journal_renew(struct journal *journal, uint64_t last_seq);
/** The disk takes nothing: close all, and open it again once it does. */
void journal_leave(struct journal *journal, uint64_t last_seq);
/** Whether its files were removed or replaced. If so, it is closed and what is there now is opened
 * next. */
bool journal_left_behind(struct journal *journal, uint64_t last_seq);
/** That this thread lives; @on_disk: from now on it is in the hands of the disk. */
void journal_beat(struct journal *journal, bool on_disk);
/** Wait for another try. Return: false if the journal ends. */
bool journal_wait(struct journal *journal, uint64_t wait_us);
void journal_deadline(uint64_t wait_us, struct timespec *ret_deadline);

/* journal_read.c */
/** Any thread: the reader opens what is there when it needs it. @away: and closes it again. */
void journal_close_reader(struct journal *journal, bool away);
void *journal_reader_main(void *userdata);
struct journal_page *journal_page_free(struct journal_page *page);
void journal_page_deliver(struct journal_page *page, int error);

/* What travels from the two threads to the loop. */
struct journal_letter {
        struct list letter;        /* first: a struct letter */
        struct journal_page *page; /* a page that was read; NULL: one of the next */
        struct event *shown;       /* an event to publish, which is not durable */
        bool restored;             /* items: the documents of a database that was opened late */
        struct list items;         /* of struct journal_item: a batch that is durable */
        size_t n_events;           /* of them */
        int error;
};
