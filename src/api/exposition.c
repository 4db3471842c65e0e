/* Sources: prometheus.io/docs/instrumenting/exposition_formats (0.0.4) and the OpenMetrics 1.0
 * specification. */

#include "api/exposition.h"

#include <math.h>
#include <string.h>

#include "model/histogram.h"

static const char *const type_names[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_HISTOGRAM] = "histogram",
        [METRIC_INFO] = "info",
};

const char *exposition_content_type(const struct exposition *exposition) {
        return exposition->openmetrics
                        ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                        : "text/plain; version=0.0.4; charset=utf-8";
}

static void put(struct exposition *exposition, const char *text, size_t size) {
        if (exposition->error >= 0)
                exposition->error = buf_append(&exposition->out, text, size);
}

static void put_str(struct exposition *exposition, const char *text) {
        put(exposition, text, strlen(text));
}

/* No printf(), which scrapes of many workloads wait for. Returns where the digits begin;
 * @end is behind them. */
static char *write_u64(uint64_t value, char *end) {
        do
                *--end = (char) ('0' + value % 10);
        while (value /= 10);
        return end;
}

static void put_u64(struct exposition *exposition, uint64_t value) {
        char text[24];
        char *begin = write_u64(value, text + sizeof(text));

        put(exposition, begin, (size_t) (text + sizeof(text) - begin));
}

static const char *sample_suffix(const struct metric_family *family) {
        return family->type == METRIC_COUNTER         ? "_total"
                        : family->type == METRIC_INFO ? "_info"
                                                      : "";
}

static void put_comment(struct exposition *exposition, const char *keyword, const char *text) {
        const struct metric_family *family = exposition->family;

        put_str(exposition, keyword);
        put_str(exposition, family->name);
        if (!exposition->openmetrics)
                put_str(exposition, sample_suffix(family));
        put_str(exposition, " ");
        put_str(exposition, text);
        put_str(exposition, "\n");
}

void exposition_family(struct exposition *exposition, const struct metric_family *family) {
        exposition->family = family;
        put_comment(exposition, "# HELP ", family->help);
        put_comment(exposition, "# TYPE ",
                        family->type == METRIC_INFO && !exposition->openmetrics
                                        ? "gauge"
                                        : type_names[family->type]);
        if (exposition->openmetrics && family->unit)
                put_comment(exposition, "# UNIT ", family->unit);
}

/* What lies between the bytes to escape goes in one piece. */
static void put_escaped(struct exposition *exposition, const char *text) {
        for (;;) {
                size_t n = strcspn(text, "\\\"\n");

                put(exposition, text, n);
                text += n;
                if (!*text)
                        return;
                put_str(exposition, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\");
                text++;
        }
}

/* Name, suffix, labels, and @bound as the last label where there is one. */
static void put_series(struct exposition *exposition, const char *suffix,
                const struct metric_labels *labels, const char *bound) {
        const size_t n = labels ? labels->n : 0;

        put_str(exposition, exposition->family->name);
        put_str(exposition, suffix);
        for (size_t i = 0; i < n; i++) {
                put_str(exposition, i == 0 ? "{" : ",");
                put_str(exposition, labels->names[i]);
                put_str(exposition, "=\"");
                put_escaped(exposition, labels->values[i]);
                put_str(exposition, "\"");
        }
        if (bound) {
                put_str(exposition, n == 0 ? "{le=\"" : ",le=\"");
                put_str(exposition, bound);
                put_str(exposition, "\"");
        }
        put_str(exposition, n > 0 || bound ? "} " : " ");
}

void exposition_sample(
                struct exposition *exposition, const struct metric_labels *labels, uint64_t value) {
        put_series(exposition, sample_suffix(exposition->family), labels, NULL);
        put_u64(exposition, value);
        put_str(exposition, "\n");
}

void exposition_one(
                struct exposition *exposition, const struct metric_family *family, uint64_t value) {
        exposition_family(exposition, family);
        exposition_sample(exposition, NULL, value);
}

int exposition_render_labels(const struct metric_labels *labels, struct buf *out) {
        struct exposition text = { .out = *out };

        for (size_t i = 0; i < labels->n; i++) {
                put_str(&text, i == 0 ? "" : ",");
                put_str(&text, labels->names[i]);
                put_str(&text, "=\"");
                put_escaped(&text, labels->values[i]);
                put_str(&text, "\"");
        }
        *out = text.out;
        return text.error;
}

static void put_head(struct exposition *exposition, const char *labels, const char *name,
                const char *device) {
        put_str(exposition, exposition->family->name);
        put_str(exposition, exposition->family->type == METRIC_COUNTER ? "_total{" : "{");
        put_str(exposition, labels);
        if (name) {
                put_str(exposition, ",");
                put_str(exposition, name);
                put_str(exposition, "=\"");
                put_escaped(exposition, device);
                put_str(exposition, "\"");
        }
}

void exposition_scaled(struct exposition *exposition, const char *labels, const char *name,
                const char *device, uint64_t value, unsigned int decimals) {
        uint64_t unit = 1, rest;
        char text[48], *end = text + sizeof(text), *begin = end;

        assert(decimals <= 9);

        put_head(exposition, labels, name, device);
        for (unsigned int i = 0; i < decimals; i++)
                unit *= 10;
        *--begin = '\n';
        rest = value % unit;
        if (rest) {
                for (unsigned int i = 0; i < decimals; i++, rest /= 10)
                        *--begin = (char) ('0' + rest % 10);
                *--begin = '.';
        }
        begin = write_u64(value / unit, begin);
        *--begin = ' ';
        *--begin = '}';
        put(exposition, begin, (size_t) (end - begin));
}

void exposition_number(struct exposition *exposition, const char *labels, double value) {
        char text[40];
        int n;

        if (isnan(value))
                return;
        put_head(exposition, labels, NULL, NULL);
        n = snprintf(text, sizeof(text), "} %.6g\n", value);
        put(exposition, text, (size_t) n);
}

/* OpenMetrics wants "1.0"; 0.0.4 takes it, and a series keeps its labels in both. */
static void format_bound(double bound, char *text, size_t size) {
        int n = snprintf(text, size, "%g", bound);

        assert(n > 0 && (size_t) n + 2 < size);
        if (!strpbrk(text, ".e"))
                memcpy(text + n, ".0", 3);
}

void exposition_histogram(struct exposition *exposition, const struct metric_labels *labels,
                const struct histogram *histogram) {
        char text[32];

        for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
                bool last = i == HISTOGRAM_BUCKETS;

                if (!last)
                        format_bound(histogram_bounds[i], text, sizeof(text));
                put_series(exposition, "_bucket", labels, last ? "+Inf" : text);
                put_u64(exposition, last ? histogram->count : histogram->buckets[i]);
                put_str(exposition, "\n");
        }
        put_series(exposition, "_sum", labels, NULL);
        (void) snprintf(text, sizeof(text), "%ju.%06ju\n",
                        (uintmax_t) (histogram->sum_us / 1000000),
                        (uintmax_t) (histogram->sum_us % 1000000));
        put_str(exposition, text);
        put_series(exposition, "_count", labels, NULL);
        put_u64(exposition, histogram->count);
        put_str(exposition, "\n");
}

int exposition_end(struct exposition *exposition) {
        if (exposition->openmetrics)
                put_str(exposition, "# EOF\n");
        return exposition->error;
}
