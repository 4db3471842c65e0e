#pragma once
/* What access log lines add up to: one row for each day (UTC) and host. A set of them is filled by
 * whoever reads the lines, written to the store in one transaction with the positions of what was
 * read, and then counted for /metrics. Pure. */

#include "model/access_line.h"
#include "model/histogram.h"
#include "model/latency.h"

#define ROLLUP_OTHER       "_other" /* the host of all that have no row of their own */
#define ROLLUP_LIVE_US     (10 * 60 * USEC_PER_SEC) /* older lines are history: no live traffic */
#define ROLLUP_STATUS_ROOM 16                       /* status codes told apart for one host */
#define ROLLUP_DAY_US      (86400 * USEC_PER_SEC)

/* How an answer ended, by the first digit of its status. */
enum rollup_class {
        ROLLUP_NONE, /* status 0: nothing was written */
        ROLLUP_1XX,
        ROLLUP_2XX,
        ROLLUP_3XX,
        ROLLUP_4XX,
        ROLLUP_5XX,
        ROLLUP_CLASS_MAX_,
};

/* What went wrong, as far as a status tells. */
enum rollup_error {
        ROLLUP_ABORTED, /* status 0 */
        ROLLUP_BAD_GATEWAY,
        ROLLUP_UNAVAILABLE,
        ROLLUP_TIMEOUT,
        ROLLUP_SERVER_ERROR, /* any other 5xx */
        ROLLUP_ERROR_MAX_,
};

struct rollup {
        struct rollup *next; /* private: another day of the host */
        uint32_t day;        /* since 1970-01-01, UTC */
        uint64_t requests;
        uint64_t classes[ROLLUP_CLASS_MAX_];
        uint64_t bytes_out; /* at most INT64_MAX, which is "that or more" */
        struct latency latency;
};

/* The part of them that has just happened, in the shape of metrics. */
struct rollup_live {
        struct {
                unsigned int status; /* 0: no status */
                uint64_t requests;
        } statuses[ROLLUP_STATUS_ROOM]; /* the last one also stands for what finds no room, as
                                           status UINT_MAX */
        size_t n_statuses;
        uint64_t requests;
        uint64_t errors[ROLLUP_ERROR_MAX_];
        struct histogram duration;
        struct latency latency;
};

struct rollup_host {
        char name[ACCESS_HOST_MAX + 1];
        struct rollup *days; /* at least one */
        bool has_live;
        struct rollup_live live;
};

struct rollup_set;

int rollup_set_new(struct rollup_set **ret_set);
struct rollup_set *rollup_set_free(struct rollup_set *set);
DEFINE_FREEP(struct rollup_set, rollup_set_free);

/** Count a line. @now_us: CLOCK_REALTIME. Return: 0; -ENOMEM, and nothing was counted. */
int rollup_set_add(struct rollup_set *set, const struct access_line *line, uint64_t now_us);
uint64_t rollup_set_lines(const struct rollup_set *set);
/** About what it takes in memory, in bytes. */
size_t rollup_set_size(const struct rollup_set *set);
/** Rows, which is days of hosts. */
size_t rollup_set_rows(const struct rollup_set *set);
/** Call @each for every host; it stops at a negative return and gives that back. */
int rollup_set_each(const struct rollup_set *set,
                int (*each)(const struct rollup_host *host, void *userdata), void *userdata);

void rollup_done(struct rollup *rollup);
/** Add all of @from, whichever day it is of. Return: 0; -ENOMEM. */
int rollup_merge(struct rollup *rollup, const struct rollup *from);
/** Return: 0; -ENOMEM. */
int rollup_live_merge(struct rollup_live *live, const struct rollup_live *from);

/** The word of an error: "aborted" "bad_gateway" "unavailable" "timeout" "server_error". */
const char *rollup_error_to_string(enum rollup_error error);

/* What has been read of where, to go on from there. */
#define ACCESS_HEAD_MAX 256 /* bytes */

struct access_position {
        int64_t id;       /* of the reader; 1 and up */
        const char *path; /* where it was last seen */
        uint64_t device, inode;
        const void *head; /* the first bytes, by which it is known again under another name, as a
                             copy or compressed */
        size_t head_size;
        uint64_t offset; /* past the last line that was taken, in bytes of what is written there */
        bool skipping;   /* within a line that is too long */
        bool complete;   /* nothing will be added any more, and all of it was read */
        uint64_t lines;  /* taken, whatever they were */
        bool forget;     /* it is gone for good */
};
