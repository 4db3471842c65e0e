#pragma once
/* What the journal's files share: journal.c (queue, writer thread, numbers), journal_schema.c
 * (opening, migrations, start-up reads), journal_read.c (pages, on a thread of its own). */

#include <pthread.h>
#include <sqlite3.h>

#include "base/list.h"
#include "store/database.h"
#include "store/journal.h"

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
};

struct journal_page;

struct journal {
        struct journal_config config;
        char *path;
        journal_committed_t committed;
        void *userdata;

        pthread_mutex_t lock;
        pthread_cond_t wake, wake_reader;
        struct list queue;                          /* under lock: items for the writer */
        struct list pages;                          /* under lock: pages for the reader */
        size_t n_pages;                             /* under lock */
        bool stopping;                              /* under lock */
        uint64_t retention_age_us, retention_bytes; /* under lock: what holds now */
        struct journal_stats stats;                 /* under lock */
        uint64_t first_seq;                         /* under lock */
        pthread_t writer, reader;
        bool has_writer, has_reader;

        sqlite3 *db;      /* the writer's */
        sqlite3 *read_db; /* the reader's */
        sqlite3_stmt *insert_event, *upsert_cursor, *upsert_workload, *delete_workload,
                        *upsert_document, *delete_document;
        struct mailbox *mailbox;
        uint64_t next_seq; /* loop */
        uint64_t last_seq; /* loop: newest durable */
};

static inline int journal_error(int sqlite_error) {
        return database_error(sqlite_error);
}

/* journal_schema.c */
int journal_schema_open(struct journal *journal);
int journal_prepare(struct journal *journal);
void journal_schema_close(struct journal *journal);

/* journal_read.c */
void *journal_reader_main(void *userdata);
struct journal_page *journal_page_free(struct journal_page *page);
void journal_page_deliver(struct journal_page *page, int error);

/* What travels from the two threads to the loop. */
struct journal_letter {
        struct list letter;        /* first: a struct letter */
        struct journal_page *page; /* a page that was read, or NULL: a batch that is durable */
        struct list items;         /* of struct journal_item: the batch */
        size_t n_events;           /* of them */
        int error;
};
