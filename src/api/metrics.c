/* The metrics that there are, rendered from memory. Counters and histograms appear with their first
 * observation. */

#include <string.h>

#include "api/exposition.h"
#include "api/health.h"
#include "api/http_accept.h"
#include "api/http_internal.h"
#include "api/metrics_node.h"
#include "api/metrics_probe.h"
#include "api/metrics_proxy.h"
#include "api/metrics_trace.h"
#include "api/metrics_workload.h"
#include "api/view_app.h"
#include "base/clock.h"
#include "engine/counters.h"
#include "engine/feed.h"
#include "engine/tokens.h"
#include "engine/tracker.h"
#include "store/journal.h"

#define METRICS_MAX (64U << 20)

struct walk {
        struct exposition *exposition;
        const struct metric_family *family;
        struct metric_labels labels;
        bool begun;
};

static void one_series(const char *const *values, uint64_t value, void *userdata) {
        struct walk *walk = userdata;

        if (!walk->begun)
                exposition_family(walk->exposition, walk->family);
        walk->begun = true;
        walk->labels.values = values;
        exposition_sample(walk->exposition, &walk->labels, value);
}

static void event_series(struct exposition *exposition, const struct counters *counters) {
        static const struct {
                enum counters_family family;
                struct metric_family metric;
        } families[] = {
                { COUNTERS_EVENTS,
                                { "virtwatch_events", METRIC_COUNTER, NULL, "Events published" } },
                { COUNTERS_CONTAINER_EVENTS,
                                { "virtwatch_container_events", METRIC_COUNTER, NULL,
                                                "Container lifecycle events" } },
                { COUNTERS_DEPLOYMENT_OPS,
                                { "virtwatch_deployment_ops", METRIC_COUNTER, NULL,
                                                "Deploys told of and actions done" } },
                { COUNTERS_EXITS, { "virtwatch_exits", METRIC_COUNTER, NULL, "Exits by verdict" } },
                { COUNTERS_OOM_KILLS,
                                { "virtwatch_oom_kills", METRIC_COUNTER, NULL,
                                                "Exits reported as OOMKilled" } },
        };

        for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
                struct walk walk = { .exposition = exposition, .family = &families[i].metric };

                walk.labels.names = counters_label_names(families[i].family, &walk.labels.n);
                counters_for_each(counters, families[i].family, one_series, &walk);
        }
}

static void one_schedule(const char *strategy, const struct histogram *histogram, void *userdata) {
        static const struct metric_family family = { "virtwatch_schedule_duration_seconds",
                METRIC_HISTOGRAM, "seconds", "From a workload's creation to its first start" };
        static const char *const names[] = { "strategy" };
        struct walk *walk = userdata;

        if (!walk->begun)
                exposition_family(walk->exposition, &family);
        walk->begun = true;
        exposition_histogram(walk->exposition, &(struct metric_labels){ names, &strategy, 1 },
                        histogram);
}

static uint64_t source_number(const struct api_source_stats *stats, size_t i) {
        const uint64_t numbers[] = { stats->raw_events, stats->malformed, stats->reconnects,
                stats->dropped };

        return numbers[i];
}

static void source_series(struct exposition *exposition, const struct api_context *api) {
        static const struct metric_family up = { "virtwatch_source_up", METRIC_GAUGE, NULL,
                "Whether the source is connected" };
        static const struct metric_family families[] = {
                { "virtwatch_source_raw_events", METRIC_COUNTER, NULL,
                                "Events taken from the source" },
                { "virtwatch_source_malformed", METRIC_COUNTER, NULL, "Unreadable inputs skipped" },
                { "virtwatch_source_reconnects", METRIC_COUNTER, NULL, "Connections lost" },
                { "virtwatch_source_dropped", METRIC_COUNTER, NULL, "Inputs lost to a bound" },
        };
        static const char *const names[] = { "source" };
        struct api_source_stats stats;
        struct tracker_source *source;

        exposition_family(exposition, &up);
        list_for_each(source, tracker_sources(api->tracker), list) {
                const char *const value = source->name;

                exposition_sample(exposition, &(struct metric_labels){ names, &value, 1 },
                                source->state == SOURCE_UP);
        }
        for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
                exposition_family(exposition, &families[i]);
                list_for_each(source, tracker_sources(api->tracker), list) {
                        const char *const value = source->name;

                        if (api->source_stats(source->name, &stats, api->userdata) < 0)
                                continue;
                        exposition_sample(exposition, &(struct metric_labels){ names, &value, 1 },
                                        source_number(&stats, i));
                }
        }
}

static void workload_series(struct exposition *exposition, const struct api_context *api) {
        static const struct metric_family by_state = { "virtwatch_workloads", METRIC_GAUGE, NULL,
                "Workloads by kind and state" };
        static const struct metric_family pods = { "virtwatch_pods_total", METRIC_GAUGE, NULL,
                "Workloads known" };
        static const struct metric_family nodes = { "virtwatch_nodes_total", METRIC_GAUGE, NULL,
                "Nodes known" };
        static const char *const names[] = { "kind", "state" };
        uint64_t counts[WORKLOAD_KIND_MAX_][WORKLOAD_STATE_MAX_] = {};
        struct workload *workload;

        inventory_for_each(workload, tracker_inventory(api->tracker))
                        counts[workload->kind][workload->state]++;
        exposition_family(exposition, &by_state);
        for (size_t kind = 0; kind < WORKLOAD_KIND_MAX_; kind++) {
                for (size_t state = 0; state < WORKLOAD_STATE_MAX_; state++) {
                        const char *const values[] = { workload_kind_to_string(
                                                                       (enum workload_kind) kind),
                                workload_state_to_string((enum workload_state) state) };

                        exposition_sample(exposition, &(struct metric_labels){ names, values, 2 },
                                        counts[kind][state]);
                }
        }
        exposition_one(exposition, &pods, inventory_size(tracker_inventory(api->tracker)));
        exposition_one(exposition, &nodes, 1);
}

static void count_slug(const char *slug, void *userdata) {
        uint64_t *n = userdata;

        (*n)++;
}

/* An app is what was deployed. */
static void app_series(struct exposition *exposition, const struct api_context *api) {
        static const struct metric_family deployments = { "virtwatch_deployments_total",
                METRIC_GAUGE, NULL, "Apps known" };
        uint64_t n = 0;

        (void) view_for_each_slug(api, count_slug, &n);
        exposition_one(exposition, &deployments, n);
}

static void daemon_series(struct exposition *exposition, const struct api_context *api) {
        static const struct metric_family ready = { "virtwatch_ready", METRIC_GAUGE, NULL,
                "Whether every required source is connected and the store writes" };
        static const struct metric_family uptime = { "virtwatch_uptime_seconds", METRIC_GAUGE,
                "seconds", "Seconds since the daemon started" };
        static const struct metric_family build = { "virtwatch_build", METRIC_INFO, NULL,
                "Build metadata" };
        static const char *const names[] = { "version" };
        static const char *const values[] = { VIRTWATCH_VERSION };

        exposition_one(exposition, &ready, api_not_ready(api) == 0);
        exposition_one(exposition, &uptime,
                        (clock_monotonic_us() - api->started_us) / USEC_PER_SEC);
        exposition_family(exposition, &build);
        exposition_sample(exposition, &(struct metric_labels){ names, values, 1 }, 1);
}

static void config_series(struct exposition *exposition, const struct api_context *api) {
        static const struct metric_family
                        good = { "virtwatch_config_last_reload_successful", METRIC_GAUGE, NULL,
                                "Whether the configuration was good when last read" },
                        when = { "virtwatch_config_last_reload_success_timestamp_seconds",
                                METRIC_GAUGE, "seconds",
                                "When a good configuration was last read" };

        exposition_one(exposition, &good, api->loaded.good);
        exposition_one(exposition, &when, api->loaded.good_us / USEC_PER_SEC);
}

static void store_series(struct exposition *exposition, const struct api_context *api) {
        static const struct metric_family writes = { "virtwatch_store_writes", METRIC_GAUGE, NULL,
                "Whether what is stored there reaches the disk" },
                                          stalls = {
                                                  "virtwatch_loop_stalls", METRIC_COUNTER, NULL,
                                                  "Times that the loop was held up for 5 s or more"
                                          };
        static const char *const names[] = { "store" };
        static const char *const events[] = { "events" }, *const analytics[] = { "analytics" };
        struct journal_stats stats;

        journal_get_stats(api->journal, &stats);
        exposition_family(exposition, &writes);
        exposition_sample(exposition, &(struct metric_labels){ names, events, 1 },
                        health_store_of(&stats, clock_monotonic_us()) == HEALTH_STORE_OK);
        if (api->rollups || api->analytics_error)
                exposition_sample(exposition, &(struct metric_labels){ names, analytics, 1 },
                                health_analytics_error(api) == 0);
        exposition_one(exposition, &stalls, api->stall.n);
}

static void journal_series(struct exposition *exposition, const struct journal *journal) {
        struct journal_stats stats;

        journal_get_stats(journal, &stats);
        const struct {
                struct metric_family family;
                uint64_t value;
        } all[] = {
                { { "virtwatch_event_sequence", METRIC_GAUGE, NULL,
                                  "Newest durable sequence number" },
                                journal_last_seq(journal) },
                { { "virtwatch_journal_committed", METRIC_COUNTER, NULL, "Events made durable" },
                                stats.committed },
                { { "virtwatch_journal_dropped", METRIC_COUNTER, NULL,
                                  "Events that never reach the disk, as the queue was full" },
                                stats.dropped },
                { { "virtwatch_journal_write_errors", METRIC_COUNTER, NULL,
                                  "Transactions that failed" },
                                stats.write_errors },
                { { "virtwatch_journal_transactions", METRIC_COUNTER, NULL, "Transactions" },
                                stats.transactions },
                { { "virtwatch_journal_queued", METRIC_GAUGE, NULL,
                                  "Entries waiting for the disk" },
                                stats.queued },
                { { "virtwatch_journal_queued_bytes", METRIC_GAUGE, "bytes",
                                  "What they take in memory" },
                                stats.queued_bytes },
                { { "virtwatch_journal_unreadable", METRIC_COUNTER, NULL,
                                  "Stored events passed over because they are damaged" },
                                stats.unreadable },
                { { "virtwatch_journal_bytes", METRIC_GAUGE, "bytes",
                                  "Size of the journal on disk" },
                                stats.bytes },
        };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                exposition_one(exposition, &all[i].family, all[i].value);
}

static void engine_series(struct exposition *exposition, const struct http *http) {
        struct tracker_stats stats;

        tracker_get_stats(http->api->tracker, &stats);
        const struct {
                struct metric_family family;
                uint64_t value;
        } all[] = {
                { { "virtwatch_facts", METRIC_COUNTER, NULL, "Facts taken from sources" },
                                stats.facts },
                { { "virtwatch_duplicates", METRIC_COUNTER, NULL, "Replayed facts dropped" },
                                stats.duplicates },
                { { "virtwatch_unattributed_oom", METRIC_COUNTER, NULL,
                                  "OOM kills that hit no known workload" },
                                stats.unattributed_oom },
                { { "virtwatch_sse_readers", METRIC_GAUGE, NULL, "Event streams open" },
                                http->n_sse },
                { { "virtwatch_sse_missed", METRIC_COUNTER, NULL,
                                  "Events that slow readers missed" },
                                http->sse_missed },
        };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                exposition_one(exposition, &all[i].family, all[i].value);
}

static void token_series(struct exposition *exposition, const struct api_context *api) {
        static const struct metric_family tokens = { "virtwatch_tokens", METRIC_GAUGE, NULL,
                "Tokens in force" };
        static const struct metric_family failures = { "virtwatch_auth_failures", METRIC_COUNTER,
                NULL, "Requests refused, by the reason" };
        static const char *const names[] = { "reason" };
        bool begun = false;

        exposition_one(exposition, &tokens, tokens_size(api->tokens, clock_realtime_us()));
        for (size_t i = 0; i < REFUSAL_MAX_; i++) {
                const uint64_t n = refusals_count(api->refusals, (enum refusal) i);
                const char *const value = refusal_to_string((enum refusal) i);

                if (n == 0)
                        continue;
                if (!begun)
                        exposition_family(exposition, &failures);
                begun = true;
                exposition_sample(exposition, &(struct metric_labels){ names, &value, 1 }, n);
        }
}

enum MHD_Result metrics_answer(struct http_request *request, const char *id) {
        const struct api_context *api = request->http->api;
        struct exposition exposition = { .out = BUF_INIT(METRICS_MAX) };
        struct walk schedules = { .exposition = &exposition };
        char accept[HTTP_FIELD_MAX];
        enum MHD_Result result;
        size_t size;

        exposition.openmetrics = http_accepts_openmetrics(
                        http_header_list(request, MHD_HTTP_HEADER_ACCEPT, accept));
        /* a buffer that grows by doubling copies the text as often as it is long */
        exposition.error = buf_reserve(&exposition.out, request->http->metrics_size);
        daemon_series(&exposition, api);
        config_series(&exposition, api);
        store_series(&exposition, api);
        journal_series(&exposition, api->journal);
        engine_series(&exposition, request->http);
        event_series(&exposition, api->counters);
        counters_for_each_schedule(api->counters, one_schedule, &schedules);
        source_series(&exposition, api);
        workload_series(&exposition, api);
        app_series(&exposition, api);
        metrics_workloads(&exposition, api);
        metrics_node(&exposition, api);
        metrics_probe(&exposition, api);
        metrics_proxy(&exposition, api);
        token_series(&exposition, api);
        metrics_trace(&exposition, api);
        http_metrics_render(request->http->metrics, &exposition);
        http_metrics_render_tls(request->http, &exposition);

        /* half a text would be read as a whole one */
        if (exposition_end(&exposition) < 0) {
                result = http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "the metrics do not fit into memory");
        } else {
                size = exposition.out.size;
                request->http->metrics_size = size;
                result = http_answer_taken(request, MHD_HTTP_OK,
                                exposition_content_type(&exposition), buf_take(&exposition.out),
                                size);
        }
        buf_done(&exposition.out);
        return result;
}
