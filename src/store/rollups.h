#pragma once
/* The rows of request analytics, one for each day (UTC) and host, and the positions of the logs
 * they were counted from: a database of its own, because both are committed by the thread that
 * reads the logs, and a database has one writer. A row and the position behind its lines go to disk
 * in one transaction: whatever is killed, no line is lost and none counted twice.
 * synchronous=NORMAL serves: after a power cut the last commits may be gone, but rows and positions
 * together. A disk that fails has the database closed until the next commit, so that the disk can
 * be repaired; one that was removed or replaced is left for what is there then. */

#include <systemd/sd-event.h>

#include "model/rollup.h"

struct rollups;

#define ROLLUPS_QUERY_HOSTS_MAX 256
#define ROLLUPS_QUERY_DAYS_MAX  3660

struct rollups_config {
        const char *path;            /* its folder must exist */
        unsigned int retention_days; /* rows of days before are removed; 0: keep */
        size_t hosts_max;            /* rows of one day; further hosts are ROLLUP_OTHER */
        /* Whether a host has its row whatever the maximum; on the committing thread. NULL: none. */
        bool (*is_own)(const char *host, void *userdata);
        void *userdata;
};

/**
 * Open or make the database (on the calling thread, before the loop runs).
 *
 * Return: 0; -EUCLEAN corrupt (set aside as PATH.corrupt-TIME and a new one begun: *ret_rollups is
 * valid); -EPROTONOSUPPORT written by a newer version; any errno of open.
 */
int rollups_open(
                const struct rollups_config *config, sd_event *event, struct rollups **ret_rollups);

/* The same while the loop runs, on a thread that a disk may hold up as long as it likes. */
struct rollups_opening;

/** On the loop, never from within: @error as rollups_open() returns, also for positions that cannot
 * be read; @rollups is taken, NULL: there are none. The opening is over, and may be asked for the
 * positions; it may not be freed here. */
typedef void (*rollups_opened_t)(int error, struct rollups *rollups, void *userdata);

/** Return: 0; -ENOMEM; what a thread cannot be made for. */
int rollups_opening_new(const struct rollups_config *config, sd_event *event, rollups_opened_t done,
                void *userdata, struct rollups_opening **ret_opening);
/** Waits for the disk, if it is not over; @done is not called any more. */
struct rollups_opening *rollups_opening_free(struct rollups_opening *opening);
DEFINE_FREEP(struct rollups_opening, rollups_opening_free);
bool rollups_opening_is_over(const struct rollups_opening *opening);
/** What was read of them, once: see rollups_load_positions(). */
int rollups_opening_positions(struct rollups_opening *opening,
                int (*each)(const struct access_position *position, void *userdata),
                void *userdata);

/** Other bounds, kept from the next commit on. Loop thread. */
void rollups_configure(struct rollups *rollups, unsigned int retention_days, size_t hosts_max);
/** Nobody may be committing any more. Queries that wait are answered with -ECANCELED. */
struct rollups *rollups_close(struct rollups *rollups);
DEFINE_FREEP(struct rollups, rollups_close);

/** Call @each for every position stored; before the first commit of who has them. It stops at a
 * negative return. Return: 0; that; what kept them from being read. */
int rollups_load_positions(struct rollups *rollups,
                int (*each)(const struct access_position *position, void *userdata),
                void *userdata);

/**
 * Add a set to the rows and store the positions, in one transaction. From one thread at a time; it
 * blocks as long as the disk does.
 *
 * @set: may be empty
 *
 * Return: 0; -ESTALE what is stored is not what was: a disk that lost what it had taken, another
 * database. The positions have to be loaded anew, and read on from; other negative errno. Nothing
 * of it is stored then, but for where it is given again and found to be.
 */
int rollups_commit(struct rollups *rollups, const struct rollup_set *set,
                const struct access_position *positions, size_t n_positions);

struct rollups_query {
        const char *const *hosts; /* as rows have them; copied */
        size_t n_hosts;           /* at most ROLLUPS_QUERY_HOSTS_MAX */
        uint32_t from_day, days;  /* days: 1..ROLLUPS_QUERY_DAYS_MAX */
};

/**
 * The rows of these hosts, added up day by day; read on a thread of its own. @done is called on the
 * loop, never from within: rows are borrowed, ascending by day, without days that have none.
 *
 * Return: 0; -EAGAIN too many queries waiting (64); -E2BIG too many hosts or days; -ENOMEM.
 */
int rollups_query(struct rollups *rollups, const struct rollups_query *query,
                void (*done)(int error, const struct rollup *rows, size_t n, void *userdata),
                void *userdata);

struct rollups_stats {
        uint64_t transactions, write_errors, rows_removed;
        uint64_t overflow;   /* lines counted under ROLLUP_OTHER because the day was full */
        uint64_t unreadable; /* histograms that were; begun anew */
        uint64_t moved;      /* times it was found removed or replaced, and another one begun */
        int last_error;      /* negative errno of the last commit; 0 */
        uint64_t disk_us;    /* CLOCK_MONOTONIC since the disk has been at the present commit; 0 */
};
void rollups_get_stats(struct rollups *rollups, struct rollups_stats *ret_stats);
