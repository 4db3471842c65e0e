#pragma once
/* What the files of the rollups share: rollups.c (opening, committing), rollups_opening.c (opening
 * on a thread) and rollups_query.c. */

#include <pthread.h>

#include "base/list.h"
#include "store/database.h"
#include "store/rollups.h"

struct mailbox;

#define ROLLUPS_DAYS_KNOWN 16

struct rollups {
        struct rollups_config config; /* its bounds are the committing thread's */
        char *path;

        /* the committing thread's */
        sqlite3 *db;
        sqlite3_stmt *select, *upsert, *count, *upsert_position, *delete_position, *count_commit;
        struct database_files files;
        int64_t commits;  /* how many the database should have; -1: not known */
        int64_t doubtful; /* the number of a commit that failed, which may be found done when the
                           * log is read again; 0: none */
        struct {
                uint32_t day;
                uint64_t rows; /* 0: not known */
        } days[ROLLUPS_DAYS_KNOWN];
        uint64_t retained_us; /* CLOCK_MONOTONIC of the last removal of old rows */

        pthread_mutex_t lock;
        unsigned int retention_days; /* under lock: what is wanted, as the next */
        size_t hosts_max;            /* under lock */
        struct rollups_stats stats;  /* under lock */
        struct list queries;         /* under lock */
        size_t n_queries;            /* under lock */
        bool stopping;               /* under lock */
        bool reopen;                 /* under lock: the reader is to open what is there now */
        pthread_cond_t wake;
        pthread_t reader;
        bool has_reader;
        pthread_mutex_t read_lock;
        sqlite3 *read_db; /* under read_lock */
        bool is_away;     /* under read_lock: nothing stays open: who repairs the disk needs that */
        struct mailbox *mailbox;
};

/** All of it but its files and its reader. Return: 0; -ENOMEM. */
int rollups_new(const struct rollups_config *config, struct rollups **ret_rollups);
/** Return: as rollups_open(). */
int rollups_open_files(struct rollups *rollups);

/** The columns of a row from @column on: requests, the classes, bytes_out, latency. Return: 0;
 * -EINVAL the histogram is unreadable, and left empty; -ENOMEM. */
int rollups_take_row(sqlite3_stmt *statement, int column, struct rollup *ret_row);

/* rollups_query.c */
int rollups_start_reader(struct rollups *rollups, sd_event *event);
void rollups_stop_reader(struct rollups *rollups);
/** Any thread: the reader opens what is there when it needs it. @away: and closes it again. */
void rollups_close_reader(struct rollups *rollups, bool away);
