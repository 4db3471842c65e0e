/* Families stand together, so the hosts are walked once for each. */

#include "api/metrics_proxy.h"

#include <limits.h>
#include <math.h>

#include "base/clock.h"
#include "engine/analytics.h"
#include "store/rollups.h"

#define LABELS_MAX 1024

struct proxy_walk {
        struct exposition *exposition;
        const struct metric_family *family;
        bool begun;
};

static void begin(struct proxy_walk *walk) {
        if (!walk->begun)
                exposition_family(walk->exposition, walk->family);
        walk->begun = true;
}

static void put(struct proxy_walk *walk, const char *host, const char *label, const char *text,
                uint64_t value) {
        const char *const names[] = { "domain", label }, *const values[] = { host, text };

        if (value == 0)
                return;
        begin(walk);
        exposition_sample(walk->exposition, &(struct metric_labels){ names, values, 2 }, value);
}

static void put_number(
                struct proxy_walk *walk, const char *host, const char *percentile, double value) {
        static const char *const names[] = { "domain", "percentile" };
        const char *const values[] = { host, percentile };
        _cleanup_(buf_done) struct buf labels = BUF_INIT(LABELS_MAX);
        int r;

        if (isnan(value))
                return;
        r = exposition_render_labels(
                        &(struct metric_labels){ names, values, percentile ? 2 : 1 }, &labels);
        if (r < 0) {
                walk->exposition->error = r;
                return;
        }
        begin(walk);
        exposition_number(walk->exposition, labels.data, value);
}

static void requests(const struct analytics_series *series, void *userdata) {
        char status[16];

        for (size_t i = 0; i < series->total->n_statuses; i++) {
                unsigned int code = series->total->statuses[i].status;

                (void) snprintf(status, sizeof(status), "%u", code);
                put(userdata, series->host, "status", code == UINT_MAX ? ROLLUP_OTHER : status,
                                series->total->statuses[i].requests);
        }
}

static void durations(const struct analytics_series *series, void *userdata) {
        static const char *const names[] = { "domain" };
        struct proxy_walk *walk = userdata;

        begin(walk);
        exposition_histogram(walk->exposition, &(struct metric_labels){ names, &series->host, 1 },
                        &series->total->duration);
}

static void errors(const struct analytics_series *series, void *userdata) {
        for (size_t i = 0; i < ROLLUP_ERROR_MAX_; i++) {
                put(userdata, series->host, "error_type",
                                rollup_error_to_string((enum rollup_error) i),
                                series->total->errors[i]);
        }
}

static void rates(const struct analytics_series *series, void *userdata) {
        put_number(userdata, series->host, NULL, series->requests_per_second);
}

static void percentiles(const struct analytics_series *series, void *userdata) {
        static const struct {
                const char *text;
                double quantile;
        } all[] = { { "50", 0.5 }, { "95", 0.95 }, { "99", 0.99 } };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                put_number(userdata, series->host, all[i].text,
                                series->latency->count == 0
                                                ? (double) NAN
                                                : (double) latency_quantile_ns(series->latency,
                                                                  all[i].quantile) /
                                                                1e9);
        }
}

static void host_series(struct exposition *exposition, struct analytics *analytics) {
        static const struct {
                struct metric_family family;
                void (*each)(const struct analytics_series *series, void *userdata);
        } families[] = {
                { { "virtwatch_proxy_requests", METRIC_COUNTER, NULL,
                                  "Requests by host and status, of the access logs" },
                                requests },
                { { "virtwatch_proxy_request_duration_seconds", METRIC_HISTOGRAM, "seconds",
                                  "How long requests took, by host" },
                                durations },
                { { "virtwatch_proxy_errors", METRIC_COUNTER, NULL,
                                  "Answers that failed, by host" },
                                errors },
                { { "virtwatch_proxy_requests_per_second", METRIC_GAUGE, NULL,
                                  "Requests a second over the last minute, by host" },
                                rates },
                { { "virtwatch_proxy_request_percentile_seconds", METRIC_GAUGE, "seconds",
                                  "How long requests of the last minute or two took" },
                                percentiles },
        };

        for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
                struct proxy_walk walk = { .exposition = exposition,
                        .family = &families[i].family };

                analytics_each(analytics, clock_monotonic_us(), families[i].each, &walk);
        }
}

static void line_series(struct exposition *exposition, const struct access_stats *stats) {
        static const struct metric_family lines = { "virtwatch_access_lines", METRIC_COUNTER, NULL,
                "Lines of access logs by what came of them; all but ok are skipped" };
        static const char *const names[] = { "verdict" };

        exposition_family(exposition, &lines);
        for (size_t i = 0; i < ACCESS_VERDICT_MAX_; i++) {
                const char *const word = access_verdict_to_string((enum access_verdict) i);

                exposition_sample(exposition, &(struct metric_labels){ names, &word, 1 },
                                stats->lines[i]);
        }
}

static void intake_series(struct exposition *exposition, const struct access_stats *stats,
                const struct rollups_stats *store) {
        const struct {
                struct metric_family family;
                uint64_t value;
        } all[] = {
                { { "virtwatch_access_lines_without_duration", METRIC_COUNTER, NULL,
                                  "Lines counted without their duration, whose unit is not told" },
                                stats->without_duration },
                { { "virtwatch_access_read_bytes", METRIC_COUNTER, "bytes",
                                  "Bytes of access logs read from files" },
                                stats->bytes },
                { { "virtwatch_access_backlog_bytes", METRIC_GAUGE, "bytes",
                                  "Bytes of access logs not read yet" },
                                stats->backlog_bytes },
                { { "virtwatch_access_import_done_bytes", METRIC_GAUGE, "bytes",
                                  "Of the import that goes on or was the last, what is done" },
                                stats->import_done_bytes },
                { { "virtwatch_access_import_whole_bytes", METRIC_GAUGE, "bytes",
                                  "The whole of that import" },
                                stats->import_total_bytes },
                { { "virtwatch_access_files", METRIC_GAUGE, NULL, "Access log files there are" },
                                stats->files },
                { { "virtwatch_access_files_unreadable", METRIC_COUNTER, NULL,
                                  "Files that could not be read, or not to their end" },
                                stats->unreadable_files },
                { { "virtwatch_access_files_truncated", METRIC_COUNTER, NULL,
                                  "Files that began anew" },
                                stats->truncations },
                { { "virtwatch_access_connections", METRIC_GAUGE, NULL,
                                  "Connections that send access log lines" },
                                stats->connections },
                { { "virtwatch_access_connections_refused", METRIC_COUNTER, NULL,
                                  "Connections past the limit" },
                                stats->connections_refused },
                { { "virtwatch_analytics_transactions", METRIC_COUNTER, NULL,
                                  "Transactions of request analytics" },
                                store->transactions },
                { { "virtwatch_analytics_write_errors", METRIC_COUNTER, NULL,
                                  "Transactions of request analytics that failed" },
                                store->write_errors },
                { { "virtwatch_analytics_overflow", METRIC_COUNTER, NULL,
                                  "Requests counted under _other because the day had too many hosts" },
                                store->overflow },
        };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                exposition_one(exposition, &all[i].family, all[i].value);
}

void metrics_proxy(struct exposition *exposition, const struct api_context *api) {
        struct rollups_stats store;
        struct access_stats stats;

        if (!api->analytics)
                return;
        analytics_get_stats(api->analytics, &stats);
        rollups_get_stats(api->rollups, &store);
        host_series(exposition, api->analytics);
        line_series(exposition, &stats);
        intake_series(exposition, &stats, &store);
}
