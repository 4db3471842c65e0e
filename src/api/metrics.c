/* Prometheus text 0.0.4, rendered from memory. Counters and histograms appear with their first
 * observation. */

#include <string.h>

#include "api/http_internal.h"
#include "base/clock.h"
#include "base/map.h"
#include "engine/counters.h"
#include "engine/feed.h"
#include "engine/tracker.h"
#include "store/journal.h"

#define METRICS_MAX (64U << 20)
#define SERIES_MAX  1000

static const double bounds[] = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
        2.5, 5, 10 };
#define N_BOUNDS ARRAY_SIZE(bounds)

struct http_series {
        char method[16], path[64];
        unsigned int status;
        uint64_t count, sum_us, buckets[N_BOUNDS];
};

struct http_metrics {
        struct map *series; /* by "method path status" */
};

int http_metrics_new(struct http_metrics **ret_metrics) {
        struct http_metrics *metrics = calloc(1, sizeof(*metrics));
        int r;

        if (!metrics)
                return -ENOMEM;
        r = map_new(&metrics->series);
        if (r < 0) {
                free(metrics);
                return r;
        }
        *ret_metrics = metrics;
        return 0;
}

struct http_metrics *http_metrics_free(struct http_metrics *metrics) {
        struct http_series *series;

        if (!metrics)
                return NULL;
        map_for_each(series, metrics->series)
                free(series);
        map_free(metrics->series);
        free(metrics);
        return NULL;
}

void http_metrics_count(struct http_metrics *metrics, const char *method, const char *path,
                unsigned int status, uint64_t took_us) {
        struct http_series *series;
        char key[128];

        (void) snprintf(key, sizeof(key), "%s %s %u", method, path, status);
        series = map_get(metrics->series, key);
        if (!series) {
                series = map_size(metrics->series) < SERIES_MAX ? calloc(1, sizeof(*series)) : NULL;
                if (!series)
                        return;
                (void) snprintf(series->method, sizeof(series->method), "%s", method);
                (void) snprintf(series->path, sizeof(series->path), "%s", path);
                series->status = status;
                if (map_put(metrics->series, key, series) < 0) {
                        free(series);
                        return;
                }
        }
        series->count++;
        series->sum_us += took_us;
        for (size_t i = 0; i < N_BOUNDS; i++)
                series->buckets[i] += (double) took_us / 1e6 <= bounds[i];
}

/* ---- text ---- */

static void head(struct buf *out, const char *name, const char *type, const char *help) {
        (void) buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label(struct buf *out, bool first, const char *name, const char *value) {
        (void) buf_printf(out, "%s%s=\"", first ? "{" : ",", name);
        for (; *value; value++) {
                if (*value == '\\' || *value == '"')
                        (void) buf_printf(out, "\\%c", *value);
                else if (*value == '\n')
                        (void) buf_append_str(out, "\\n");
                else
                        (void) buf_append(out, value, 1);
        }
        (void) buf_append_str(out, "\"");
}

static void plain(struct buf *out, const char *name, const char *type, const char *help,
                uint64_t value) {
        head(out, name, type, help);
        (void) buf_printf(out, "%s %ju\n", name, (uintmax_t) value);
}

struct family {
        struct buf *out;
        const char *name, *help;
        const char *const *labels;
        size_t n_labels;
        bool begun;
};

static void one_series(const char *const *values, uint64_t value, void *userdata) {
        struct family *family = userdata;

        if (!family->begun)
                head(family->out, family->name, "counter", family->help);
        family->begun = true;
        (void) buf_append_str(family->out, family->name);
        for (size_t i = 0; i < family->n_labels; i++)
                label(family->out, i == 0, family->labels[i], values[i]);
        (void) buf_printf(family->out, "} %ju\n", (uintmax_t) value);
}

static void event_series(struct buf *out, const struct counters *counters) {
        static const struct {
                enum counters_family family;
                const char *name, *help;
        } families[] = {
                { COUNTERS_EVENTS, "virtwatch_events_total", "Events published" },
                { COUNTERS_CONTAINER_EVENTS, "virtwatch_container_events_total",
                                "Container lifecycle events" },
                { COUNTERS_EXITS, "virtwatch_exits_total", "Exits by verdict" },
                { COUNTERS_OOM_KILLS, "virtwatch_oom_kills_total", "Exits reported as OOMKilled" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
                struct family family = {
                        .out = out, .name = families[i].name, .help = families[i].help
                };

                family.labels = counters_label_names(families[i].family, &family.n_labels);
                counters_for_each(counters, families[i].family, one_series, &family);
        }
}

static void source_series(struct buf *out, const struct api_context *api) {
        static const char *const names[] = { "virtwatch_source_raw_events_total",
                "virtwatch_source_malformed_total", "virtwatch_source_reconnects_total",
                "virtwatch_source_dropped_total" };
        static const char *const helps[] = { "Events taken from the source",
                "Unreadable inputs skipped", "Connections lost", "Inputs lost to a bound" };
        struct api_source_stats stats;
        struct tracker_source *source;

        head(out, "virtwatch_source_up", "gauge", "Whether the source is connected");
        list_for_each(source, tracker_sources(api->tracker), list) {
                (void) buf_append_str(out, "virtwatch_source_up");
                label(out, true, "source", source->name);
                (void) buf_printf(out, "} %d\n", source->state == SOURCE_UP);
        }
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                head(out, names[i], "counter", helps[i]);
                list_for_each(source, tracker_sources(api->tracker), list) {
                        if (api->source_stats(source->name, &stats, api->userdata) < 0)
                                continue;
                        (void) buf_append_str(out, names[i]);
                        label(out, true, "source", source->name);
                        (void) buf_printf(out, "} %ju\n",
                                        (uintmax_t) (i == 0                      ? stats.raw_events
                                                                        : i == 1 ? stats.malformed
                                                                        : i == 2 ? stats.reconnects
                                                                                 : stats.dropped));
                }
        }
}

static void workload_series(struct buf *out, const struct api_context *api) {
        uint64_t counts[WORKLOAD_KIND_MAX_][WORKLOAD_STATE_MAX_] = {};
        struct workload *workload;

        inventory_for_each(workload, tracker_inventory(api->tracker))
                        counts[workload->kind][workload->state]++;
        head(out, "virtwatch_workloads", "gauge", "Workloads by kind and state");
        for (size_t kind = 0; kind < WORKLOAD_KIND_MAX_; kind++)
                for (size_t state = 0; state < WORKLOAD_STATE_MAX_; state++)
                        (void) buf_printf(out,
                                        "virtwatch_workloads{kind=\"%s\",state=\"%s\"} %ju\n",
                                        workload_kind_to_string((enum workload_kind) kind),
                                        workload_state_to_string((enum workload_state) state),
                                        (uintmax_t) counts[kind][state]);
        plain(out, "virtwatch_pods_total", "gauge", "Workloads known",
                        inventory_size(tracker_inventory(api->tracker)));
        plain(out, "virtwatch_nodes_total", "gauge", "Nodes known", 1);
}

static void http_series(struct buf *out, const struct http_metrics *metrics) {
        struct http_series *series;

        if (map_size(metrics->series) == 0)
                return;
        head(out, "virtwatch_http_requests_total", "counter", "HTTP requests served");
        map_for_each(series, metrics->series)
                (void) buf_printf(out,
                                "virtwatch_http_requests_total{method=\"%s\",path=\"%s\",status=\"%u\"} %ju\n",
                                series->method, series->path, series->status,
                                (uintmax_t) series->count);
        head(out, "virtwatch_http_request_duration_seconds", "histogram", "HTTP request duration");
        map_for_each(series, metrics->series) {
                if (series->status != MHD_HTTP_OK)
                        continue;
                for (size_t i = 0; i < N_BOUNDS; i++)
                        (void) buf_printf(out,
                                        "virtwatch_http_request_duration_seconds_bucket{method=\"%s\",path=\"%s\",le=\"%g\"} %ju\n",
                                        series->method, series->path, bounds[i],
                                        (uintmax_t) series->buckets[i]);
                (void) buf_printf(out,
                                "virtwatch_http_request_duration_seconds_bucket{method=\"%s\",path=\"%s\",le=\"+Inf\"} %ju\n",
                                series->method, series->path, (uintmax_t) series->count);
                (void) buf_printf(out,
                                "virtwatch_http_request_duration_seconds_sum{method=\"%s\",path=\"%s\"} %.6f\n",
                                series->method, series->path, (double) series->sum_us / 1e6);
                (void) buf_printf(out,
                                "virtwatch_http_request_duration_seconds_count{method=\"%s\",path=\"%s\"} %ju\n",
                                series->method, series->path, (uintmax_t) series->count);
        }
}

static void own_series(struct buf *out, struct http *http) {
        const struct api_context *api = http->api;
        struct tracker_stats tracker;
        struct journal_stats journal;

        tracker_get_stats(api->tracker, &tracker);
        journal_get_stats(api->journal, &journal);
        plain(out, "virtwatch_ready", "gauge",
                        "Whether every required source is connected and the store writes",
                        api_not_ready(api) == 0);
        plain(out, "virtwatch_uptime_seconds", "gauge", "Seconds since the daemon started",
                        (clock_monotonic_us() - api->started_us) / USEC_PER_SEC);
        head(out, "virtwatch_build_info", "gauge", "Build metadata");
        (void) buf_printf(out, "virtwatch_build_info{version=\"%s\"} 1\n", VIRTWATCH_VERSION);
        plain(out, "virtwatch_event_sequence", "gauge", "Newest durable sequence number",
                        journal_last_seq(api->journal));
        plain(out, "virtwatch_journal_committed_total", "counter", "Events made durable",
                        journal.committed);
        plain(out, "virtwatch_journal_dropped_total", "counter", "Events refused by the full queue",
                        journal.dropped);
        plain(out, "virtwatch_journal_write_errors_total", "counter", "Transactions that failed",
                        journal.write_errors);
        plain(out, "virtwatch_journal_transactions_total", "counter", "Transactions",
                        journal.transactions);
        plain(out, "virtwatch_journal_queued", "gauge", "Entries waiting for the disk",
                        journal.queued);
        plain(out, "virtwatch_journal_bytes", "gauge", "Size of the journal on disk",
                        journal.bytes);
        plain(out, "virtwatch_facts_total", "counter", "Facts taken from sources", tracker.facts);
        plain(out, "virtwatch_duplicates_total", "counter", "Replayed facts dropped",
                        tracker.duplicates);
        plain(out, "virtwatch_unattributed_oom_total", "counter",
                        "OOM kills that hit no known workload", tracker.unattributed_oom);
        plain(out, "virtwatch_sse_readers", "gauge", "Event streams open", http->n_sse);
        plain(out, "virtwatch_sse_missed_total", "counter", "Events that slow readers missed",
                        http->sse_missed);
}

enum MHD_Result metrics_answer(struct http_request *request, const char *id) {
        _cleanup_(buf_done) struct buf out = BUF_INIT(METRICS_MAX);

        own_series(&out, request->http);
        event_series(&out, request->http->api->counters);
        source_series(&out, request->http->api);
        workload_series(&out, request->http->api);
        http_series(&out, request->http->metrics);
        return http_answer(request, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
                        out.data, out.size);
}
