/* What became of the daemon's own spans. */

#include "api/metrics_trace.h"

#include "api/api.h"
#include "api/exposition.h"
#include "engine/tracer.h"

void metrics_trace(struct exposition *exposition, const struct api_context *api) {
        static const struct metric_family spans = { "virtwatch_trace_spans", METRIC_COUNTER, NULL,
                "Spans of the daemon's own traces, by what became of them" };
        static const struct metric_family waiting = { "virtwatch_trace_spans_waiting", METRIC_GAUGE,
                NULL, "Spans that wait to be sent" };
        static const char *const names[] = { "result" };
        struct tracer_stats stats;

        if (!api->tracer)
                return;
        tracer_get_stats(api->tracer, &stats);
        const struct {
                const char *result;
                uint64_t value;
        } all[] = {
                { "exported", stats.exported },
                { "rejected", stats.rejected },
                { "failed", stats.failed },
                { "dropped", stats.dropped },
        };

        exposition_family(exposition, &spans);
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                exposition_sample(exposition, &(struct metric_labels){ names, &all[i].result, 1 },
                                all[i].value);
        exposition_one(exposition, &waiting, stats.waiting);
}
