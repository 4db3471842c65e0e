/* Series by host, behind a lock, because the thread that commits adds to them; and rows of days,
 * made of what the store answers. */

#include "engine/analytics.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"

#define SLOTS   60 /* of the window: the one that is going on is short of as much at most */
#define SLOT_US (ANALYTICS_WINDOW_US / SLOTS)

struct host_series {
        char name[ACCESS_HOST_MAX + 1];
        struct rollup_live total;
        /* Requests by slot of time: the slot that is going on, and those before it. */
        uint64_t slots[SLOTS];
        uint64_t slot;
        /* Latency of the minute that is going on, and of the one before. */
        struct latency now, before;
        uint64_t minute;
};

struct analytics {
        struct analytics_hooks hooks;
        pthread_mutex_t lock;
        struct map *hosts; /* under lock: of struct host_series */
};

int analytics_new(const struct analytics_hooks *hooks, struct analytics **ret_analytics) {
        struct analytics *analytics;
        int r;

        analytics = calloc(1, sizeof(*analytics));
        if (!analytics)
                return -ENOMEM;
        r = map_new(&analytics->hosts);
        if (r < 0) {
                free(analytics);
                return r;
        }
        analytics->hooks = *hooks;
        (void) pthread_mutex_init(&analytics->lock, NULL);
        *ret_analytics = analytics;
        return 0;
}

struct analytics *analytics_free(struct analytics *analytics) {
        struct host_series *series;

        if (!analytics)
                return NULL;
        map_for_each(series, analytics->hosts) {
                latency_done(&series->now);
                latency_done(&series->before);
                free(series);
        }
        map_free(analytics->hosts);
        (void) pthread_mutex_destroy(&analytics->lock);
        free(analytics);
        return NULL;
}

/* ---- series ---- */

/* Bring the window to @now_us. */
static void advance(struct host_series *series, uint64_t now_us) {
        uint64_t slot = now_us / SLOT_US, minute = now_us / ANALYTICS_WINDOW_US;

        if (slot - series->slot >= SLOTS)
                memset(series->slots, 0, sizeof(series->slots));
        else
                while (series->slot < slot)
                        series->slots[++series->slot % SLOTS] = 0;
        series->slot = slot;
        if (minute == series->minute)
                return;
        latency_done(&series->before);
        if (minute == series->minute + 1)
                series->before = series->now;
        else
                latency_done(&series->now);
        series->now = (struct latency){};
        series->minute = minute;
}

static bool is_own(const struct analytics *analytics, const char *name) {
        return analytics->hooks.is_own && analytics->hooks.is_own(name, analytics->hooks.userdata);
}

static struct host_series *get_series(struct analytics *analytics, const char *name) {
        struct host_series *series = map_get(analytics->hosts, name);

        if (!series && map_size(analytics->hosts) >= ANALYTICS_SERIES_MAX &&
                        !is_own(analytics, name)) {
                name = ROLLUP_OTHER;
                series = map_get(analytics->hosts, name);
        }
        if (series)
                return series;
        series = calloc(1, sizeof(*series));
        if (!series)
                return NULL;
        (void) snprintf(series->name, sizeof(series->name), "%s", name);
        if (map_put(analytics->hosts, series->name, series) < 0) {
                free(series);
                return NULL;
        }
        return series;
}

struct adding {
        struct analytics *analytics;
        uint64_t now_us;
};

static int add_host(const struct rollup_host *host, void *userdata) {
        struct rollup_live live = host->live;
        struct adding *adding = userdata;
        struct host_series *series;

        if (!host->has_live)
                return 0;
        series = get_series(adding->analytics, host->name);
        if (!series)
                return 0; /* no memory: metrics miss some, the rows do not */
        advance(series, adding->now_us);
        series->slots[series->slot % SLOTS] += live.requests;
        (void) latency_merge(&series->now, &live.latency);
        live.latency = (struct latency){}; /* borrowed; the total has none */
        (void) rollup_live_merge(&series->total, &live);
        return 0;
}

void analytics_add(struct analytics *analytics, const struct rollup_set *set, uint64_t now_us) {
        struct adding adding = { .analytics = analytics, .now_us = now_us };

        (void) pthread_mutex_lock(&analytics->lock);
        (void) rollup_set_each(set, add_host, &adding);
        (void) pthread_mutex_unlock(&analytics->lock);
}

void analytics_each(struct analytics *analytics, uint64_t now_us,
                void (*each)(const struct analytics_series *series, void *userdata),
                void *userdata) {
        struct host_series *host;

        (void) pthread_mutex_lock(&analytics->lock);
        map_for_each(host, analytics->hosts) {
                struct latency latency = {};
                uint64_t requests = 0;

                advance(host, now_us);
                for (size_t i = 0; i < SLOTS; i++)
                        requests += host->slots[i];
                if (latency_merge(&latency, &host->before) >= 0)
                        (void) latency_merge(&latency, &host->now);
                each(
                                &(struct analytics_series){
                                                .host = host->name,
                                                .total = &host->total,
                                                .requests_per_second = (double) requests *
                                                                USEC_PER_SEC / ANALYTICS_WINDOW_US,
                                                .latency = &latency,
                                },
                                userdata);
                latency_done(&latency);
        }
        (void) pthread_mutex_unlock(&analytics->lock);
}

void analytics_get_stats(const struct analytics *analytics, struct access_stats *ret_stats) {
        analytics->hooks.stats(ret_stats, analytics->hooks.userdata);
}

/* ---- rows ---- */

struct question {
        analytics_rows_t done;
        void *userdata;
};

static double ms(const struct latency *latency, double quantile) {
        if (latency->count == 0)
                return (double) NAN;
        return (double) latency_quantile_ns(latency, quantile) / 1e6;
}

static void make_row(const struct rollup *rollup, struct analytics_row *row) {
        char time[CLOCK_RFC3339_MAX];

        *row = (struct analytics_row){
                .requests = rollup->requests,
                .status_none = rollup->classes[ROLLUP_NONE],
                .status_1xx = rollup->classes[ROLLUP_1XX],
                .status_2xx = rollup->classes[ROLLUP_2XX],
                .status_3xx = rollup->classes[ROLLUP_3XX],
                .status_4xx = rollup->classes[ROLLUP_4XX],
                .status_5xx = rollup->classes[ROLLUP_5XX],
                .bytes_out = rollup->bytes_out,
                .p50_ms = ms(&rollup->latency, 0.5),
                .p95_ms = ms(&rollup->latency, 0.95),
                .p99_ms = ms(&rollup->latency, 0.99),
        };
        (void) clock_format_rfc3339(rollup->day * ROLLUP_DAY_US, time);
        time[strcspn(time, "T")] = '\0';
        (void) snprintf(row->date, sizeof(row->date), "%.15s", time);
}

static void on_answer(int error, const struct rollup *rollups, size_t n, void *userdata) {
        _cleanup_(freep) struct analytics_row *rows = NULL;
        _cleanup_(freep) struct question *question = userdata;

        if (error >= 0) {
                rows = calloc(n + 1, sizeof(rows[0]));
                if (!rows)
                        error = -ENOMEM;
        }
        for (size_t i = 0; rows && i < n; i++)
                make_row(&rollups[i], &rows[i]);
        question->done(error, rows, rows ? n : 0, question->userdata);
}

static void free_names(char **names) {
        for (size_t i = 0; names && names[i]; i++)
                free(names[i]);
        free(names);
}

static bool is_among(char *const *names, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(names[i], name) == 0)
                        return true;
        return false;
}

/* As rows have them, each once: two ports of a host are one row. */
static int host_names(const char *const *hosts, size_t n_hosts, char ***ret_names, size_t *ret_n) {
        char **names = calloc(n_hosts + 1, sizeof(names[0])), name[ACCESS_HOST_MAX + 1];
        size_t n = 0;

        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < n_hosts; i++) {
                access_host(hosts[i], strlen(hosts[i]), name);
                if (!name[0] || is_among(names, n, name))
                        continue;
                names[n] = strdup(name);
                if (!names[n++]) {
                        free_names(names);
                        return -ENOMEM;
                }
        }
        *ret_names = names;
        *ret_n = n;
        return 0;
}

int analytics_query(struct analytics *analytics, const char *const *hosts, size_t n_hosts,
                uint32_t days, uint64_t now_us, analytics_rows_t done, void *userdata) {
        _cleanup_(freep) struct question *question = NULL;
        uint32_t today = (uint32_t) (now_us / ROLLUP_DAY_US);
        char **names = NULL;
        int r;

        if (days < 1 || days > today)
                return -E2BIG;
        question = calloc(1, sizeof(*question));
        if (!question)
                return -ENOMEM;
        question->done = done;
        question->userdata = userdata;
        r = host_names(hosts, n_hosts, &names, &n_hosts);
        if (r < 0)
                return r;
        r = analytics->hooks.query((const char *const *) names, n_hosts, today - days + 1, days,
                        on_answer, question, analytics->hooks.userdata);
        free_names(names);
        if (r < 0)
                return r;
        question = NULL; /* on_answer() has it */
        return 0;
}
