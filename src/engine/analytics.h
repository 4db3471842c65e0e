#pragma once
/* Request analytics: what was counted of access logs, by host. Rows of days are asked of the store;
 * what has happened since the start is kept here, for metrics: only what was committed, and only
 * what was younger than ROLLUP_LIVE_US then, so that an import of history is no traffic. */

#include "model/access_stats.h"
#include "model/rollup.h"

struct analytics;

#define ANALYTICS_SERIES_MAX                                                 \
        1000 /* hosts with series of their own; all further are ROLLUP_OTHER \
              */
#define ANALYTICS_WINDOW_US (60 * USEC_PER_SEC)

/* One day of one host, or of several added up. */
struct analytics_row {
        char date[16]; /* "2026-06-26", UTC */
        uint64_t requests, status_none, status_1xx, status_2xx, status_3xx, status_4xx, status_5xx;
        uint64_t bytes_out;
        double p50_ms, p95_ms, p99_ms; /* at most one part in 128 off; NaN: no duration is known */
};

typedef void (*analytics_rows_t)(
                int error, const struct analytics_row *rows, size_t n, void *userdata);

struct analytics_hooks {
        /** Ask the store: see rollups_query(). @done is called on the loop, never from within. */
        int (*query)(const char *const *hosts, size_t n_hosts, uint32_t from_day, uint32_t days,
                        void (*done)(int error, const struct rollup *rows, size_t n,
                                        void *userdata),
                        void *done_userdata, void *userdata);
        /** Whether a host has a series of its own however many there are; on the committing thread,
         * under a lock: it must not call back. NULL: none. */
        bool (*is_own)(const char *host, void *userdata);
        /** How the reading goes. */
        void (*stats)(struct access_stats *ret_stats, void *userdata);
        void *userdata;
};

int analytics_new(const struct analytics_hooks *hooks, struct analytics **ret_analytics);
/** No query may be waiting any more. */
struct analytics *analytics_free(struct analytics *analytics);
DEFINE_FREEP(struct analytics, analytics_free);

/** Count a set that has been committed. Any thread. @now_us: CLOCK_MONOTONIC. */
void analytics_add(struct analytics *analytics, const struct rollup_set *set, uint64_t now_us);

/**
 * The rows of these hosts, added up day by day, for the last @days days up to today: ascending,
 * days without requests left out. @done is called on the loop, never from within; rows are
 * borrowed.
 *
 * @hosts:  names, in whatever case, with or without a port (rows have none); copied
 * @now_us: CLOCK_REALTIME
 *
 * Return: 0; -E2BIG too many hosts or days; -EAGAIN too many queries at a time; -ENOMEM.
 */
int analytics_query(struct analytics *analytics, const char *const *hosts, size_t n_hosts,
                uint32_t days, uint64_t now_us, analytics_rows_t done, void *userdata);

/* What a host has had since the start. */
struct analytics_series {
        const char *host;
        const struct rollup_live *total; /* its latency is not kept */
        double requests_per_second;      /* over the last minute */
        const struct latency *latency;   /* of the last minute or two; may be empty */
};

/** Call @each for every host, under a lock: it must not call back. @now_us: CLOCK_MONOTONIC. */
void analytics_each(struct analytics *analytics, uint64_t now_us,
                void (*each)(const struct analytics_series *series, void *userdata),
                void *userdata);
void analytics_get_stats(const struct analytics *analytics, struct access_stats *ret_stats);
