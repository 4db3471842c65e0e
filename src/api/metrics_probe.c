/* One series a probe and family, of its last run; a probe that never ran, or is not enabled, has
 * none. */

#include "api/metrics_probe.h"

#include "api/api.h"
#include "api/exposition.h"
#include "engine/prober.h"

#define LABELS_MAX 128

/* Slugs need no escaping. */
static const char *label_of(const struct probe *probe, char text[static LABELS_MAX]) {
        (void) snprintf(text, LABELS_MAX, "slug=\"%s\"", probe->slug);
        return text;
}

static bool is_told(const struct probe *probe) {
        return probe->config.enabled && probe->state.has_run;
}

static uint64_t success_of(const struct probe_result *last) {
        return last->success;
}

static uint64_t duration_of(const struct probe_result *last) {
        return last->duration_us;
}

static uint64_t status_of(const struct probe_result *last) {
        return last->http_status;
}

static uint64_t expiry_of(const struct probe_result *last) {
        return last->cert_expiry_s;
}

static const struct {
        struct metric_family family;
        uint64_t (*value)(const struct probe_result *last);
        unsigned int decimals;
        bool sparse; /* 0 is no value */
} families[] = {
        { { "probe_success", METRIC_GAUGE, NULL, "Whether the last run succeeded" }, success_of, 0,
                        false },
        { { "probe_duration_seconds", METRIC_GAUGE, "seconds", "How long the last run took" },
                        duration_of, 6, false },
        { { "probe_http_status_code", METRIC_GAUGE, NULL,
                          "Status of the last run's answer, 0 without one" },
                        status_of, 0, false },
        { { "probe_ssl_earliest_cert_expiry", METRIC_GAUGE, NULL,
                          "When the first certificate of the chain ends, seconds since 1970" },
                        expiry_of, 0, true },
};

static void last_series(struct exposition *exposition, const struct map *all) {
        const struct probe *probe;
        char label[LABELS_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
                bool begun = false;

                map_for_each(probe, all) {
                        uint64_t value = families[i].value(&probe->state.last);

                        if (!is_told(probe) || (families[i].sparse && value == 0))
                                continue;
                        if (!begun)
                                exposition_family(exposition, &families[i].family);
                        begun = true;
                        exposition_scaled(exposition, label_of(probe, label), NULL, NULL, value,
                                        families[i].decimals);
                }
        }
}

/* By the thresholds, where the others are of one run. */
static void up_series(struct exposition *exposition, const struct map *all) {
        static const struct metric_family family = { "virtwatch_probe_up", METRIC_GAUGE, NULL,
                "Whether it is up by its thresholds; none as long as that is not known" };
        const struct probe *probe;
        char label[LABELS_MAX];
        bool begun = false;

        map_for_each(probe, all) {
                if (!is_told(probe) || probe->state.status == PROBE_UNKNOWN)
                        continue;
                if (!begun)
                        exposition_family(exposition, &family);
                begun = true;
                exposition_scaled(exposition, label_of(probe, label), NULL, NULL,
                                probe->state.status == PROBE_UP, 0);
        }
}

static void phase_series(struct exposition *exposition, const struct map *all) {
        static const struct metric_family family = { "probe_http_duration_seconds", METRIC_GAUGE,
                "seconds", "How long the phases of the last run took" };
        const struct probe *probe;
        char label[LABELS_MAX];
        bool begun = false;

        map_for_each(probe, all) {
                if (!is_told(probe))
                        continue;
                if (!begun)
                        exposition_family(exposition, &family);
                begun = true;
                for (size_t i = 0; i < PROBE_PHASE_MAX_; i++) {
                        exposition_scaled(exposition, label_of(probe, label), "phase",
                                        probe_phase_to_string((enum probe_phase) i),
                                        probe->state.last.phase_us[i], 6);
                }
        }
}

static void prober_series(struct exposition *exposition, const struct prober *prober) {
        static const struct metric_family runs = { "virtwatch_probe_runs", METRIC_COUNTER, NULL,
                "Runs by what they came to; skipped: they told nothing of their target" };
        static const struct metric_family overlapped = { "virtwatch_probe_overlapped",
                METRIC_COUNTER, NULL, "Turns at which the last run was still under way" };
        static const struct metric_family running = { "virtwatch_probes_running", METRIC_GAUGE,
                NULL, "Runs under way" };
        static const struct metric_family probes = { "virtwatch_probes", METRIC_GAUGE, NULL,
                "Probes there are" };
        static const struct metric_family delay = { "virtwatch_probe_schedule_delay_seconds",
                METRIC_HISTOGRAM, "seconds", "From a probe's turn to its run" };
        const struct prober_stats *stats = prober_get_stats(prober);

        exposition_one(exposition, &probes, map_size(prober_all(prober)));
        exposition_one(exposition, &running, stats->running);
        exposition_one(exposition, &overlapped, stats->overlapped);
        exposition_family(exposition, &runs);
        exposition_scaled(exposition, "result=\"success\"", NULL, NULL, stats->succeeded, 0);
        exposition_scaled(exposition, "result=\"failure\"", NULL, NULL, stats->failed, 0);
        exposition_scaled(exposition, "result=\"skipped\"", NULL, NULL, stats->skipped, 0);
        if (stats->delay.count == 0)
                return;
        exposition_family(exposition, &delay);
        exposition_histogram(exposition, NULL, &stats->delay);
}

void metrics_probe(struct exposition *exposition, const struct api_context *api) {
        if (!api->prober)
                return;
        last_series(exposition, prober_all(api->prober));
        phase_series(exposition, prober_all(api->prober));
        up_series(exposition, prober_all(api->prober));
        prober_series(exposition, api->prober);
}
