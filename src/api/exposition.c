/* Sources: prometheus.io/docs/instrumenting/exposition_formats (0.0.4) and the OpenMetrics 1.0
 * specification. */

#include "api/exposition.h"

#include <math.h>
#include <string.h>

#include "model/histogram.h"

#define NUMBER_MAX 40 /* bytes of a number's text */

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
        int n = snprintf(exposition->head, sizeof(exposition->head), "%s%s{", family->name,
                        sample_suffix(family));

        assert(n > 0 && (size_t) n < sizeof(exposition->head)); /* names are ours */
        exposition->family = family;
        exposition->head_size = (size_t) n;
        put_comment(exposition, "# HELP ", family->help);
        put_comment(exposition, "# TYPE ",
                        family->type == METRIC_INFO && !exposition->openmetrics
                                        ? "gauge"
                                        : type_names[family->type]);
        if (exposition->openmetrics && family->unit)
                put_comment(exposition, "# UNIT ", family->unit);
}

/* Nearly every text has nothing to escape, which is known sooner by looking for each of the three
 * than at each byte. */
static bool needs_escape(const char *text, size_t size) {
        return memchr(text, '"', size) || memchr(text, '\\', size) || memchr(text, '\n', size);
}

/* At most so many bytes are a label. */
static size_t label_size(const char *name, const char *value) {
        size_t size = strlen(value);

        return strlen(name) + strlen("=\"\"") + (needs_escape(value, size) ? 2 * size : size);
}

/* There is room for label_size(). Returns the end of what was written. */
static char *write_label(char *end, const char *name, const char *value) {
        const size_t size = strlen(value);

        end = stpcpy(end, name);
        *end++ = '=';
        *end++ = '"';
        if (needs_escape(value, size)) {
                for (; *value; value++) {
                        if (*value == '"' || *value == '\\' || *value == '\n')
                                *end++ = '\\';
                        *end++ = *value == '\n' ? 'n' : *value;
                }
        } else {
                end = mempcpy(end, value, size);
        }
        *end++ = '"';
        return end;
}

/* Room for @size bytes more. NULL: the text has failed. */
static char *begin_writing(struct exposition *exposition, size_t size) {
        if (exposition->error >= 0)
                exposition->error = buf_reserve(&exposition->out, size);
        return exposition->error >= 0 ? exposition->out.data + exposition->out.size : NULL;
}

static void end_writing(struct buf *out, const char *end) {
        buf_wrote(out, (size_t) (end - out->data) - out->size);
}

/* Name, suffix, labels, and @bound as the last label where there is one. */
static void put_series(struct exposition *exposition, const char *suffix,
                const struct metric_labels *labels, const char *bound) {
        const char *name = exposition->family->name;
        const size_t n = labels ? labels->n : 0;
        size_t size = strlen(name) + strlen(suffix) + strlen("{} ");
        char *end;

        for (size_t i = 0; i < n; i++)
                size += label_size(labels->names[i], labels->values[i]) + 1;
        if (bound)
                size += label_size("le", bound) + 1;
        end = begin_writing(exposition, size);
        if (!end)
                return;

        end = stpcpy(stpcpy(end, name), suffix);
        for (size_t i = 0; i < n; i++) {
                *end++ = i == 0 ? '{' : ',';
                end = write_label(end, labels->names[i], labels->values[i]);
        }
        if (bound) {
                *end++ = n == 0 ? '{' : ',';
                end = write_label(end, "le", bound);
        }
        if (n > 0 || bound)
                *end++ = '}';
        *end++ = ' ';
        end_writing(&exposition->out, end);
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
        size_t size = 0;
        char *end;
        int r;

        for (size_t i = 0; i < labels->n; i++)
                size += label_size(labels->names[i], labels->values[i]) + (i > 0);
        r = buf_reserve(out, size);
        if (r < 0)
                return r;
        end = out->data + out->size;
        for (size_t i = 0; i < labels->n; i++) {
                if (i > 0)
                        *end++ = ',';
                end = write_label(end, labels->names[i], labels->values[i]);
        }
        end_writing(out, end);
        return 0;
}

/* Begin a sample of labels rendered before, with room for @more bytes behind them. NULL: the text
 * has failed. */
static char *begin_sample(struct exposition *exposition, const char *labels, const char *name,
                const char *device, size_t more) {
        const size_t labels_size = strlen(labels);
        char *end;

        assert(exposition->head_size > 0); /* a family was begun */

        end = begin_writing(exposition,
                        exposition->head_size + labels_size +
                                        (name ? label_size(name, device) + 1 : 0) + more);
        if (!end)
                return NULL;
        end = mempcpy(end, exposition->head, exposition->head_size);
        end = mempcpy(end, labels, labels_size);
        if (name) {
                *end++ = ',';
                end = write_label(end, name, device);
        }
        return end;
}

void exposition_scaled(struct exposition *exposition, const char *labels, const char *name,
                const char *device, uint64_t value, unsigned int decimals) {
        uint64_t unit = 1, rest;
        char text[NUMBER_MAX], *end = text + sizeof(text), *begin = end, *at;

        assert(decimals <= 9);

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
        at = begin_sample(exposition, labels, name, device, (size_t) (end - begin));
        if (at)
                end_writing(&exposition->out, mempcpy(at, begin, (size_t) (end - begin)));
}

/* What "%.6g" writes where it needs no exponent, without printf(). Return: the text's size; 0: it
 * is not such a number. */
static size_t write_short(double value, char text[static NUMBER_MAX]) {
        static const double scales[] = { 1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1 };
        char *end = text + NUMBER_MAX, *begin = end;
        size_t decimals = ARRAY_SIZE(scales) - 1;
        uint64_t digits;

        if (!(value >= 1e-4 && value < 999999) && fpclassify(value) != FP_ZERO)
                return 0;
        for (; decimals > 0; decimals--)
                if (value * scales[ARRAY_SIZE(scales) - 1 - decimals] < 999999.5)
                        break;
        digits = (uint64_t) llrint(value * scales[ARRAY_SIZE(scales) - 1 - decimals]);
        for (; decimals > 0 && digits % 10 == 0; decimals--)
                digits /= 10;
        if (decimals > 0) {
                for (; decimals > 0; decimals--, digits /= 10)
                        *--begin = (char) ('0' + digits % 10);
                *--begin = '.';
        }
        begin = write_u64(digits, begin);
        memmove(text, begin, (size_t) (end - begin));
        return (size_t) (end - begin);
}

void exposition_number(struct exposition *exposition, const char *labels, double value) {
        char text[NUMBER_MAX], *end;
        size_t n;

        if (isnan(value))
                return;
        n = write_short(value, text);
        if (n == 0)
                n = (size_t) snprintf(text, sizeof(text), "%.6g", value);
        end = begin_sample(exposition, labels, NULL, NULL, n + 3);
        if (!end)
                return;
        *end++ = '}';
        *end++ = ' ';
        end = mempcpy(end, text, n);
        *end++ = '\n';
        end_writing(&exposition->out, end);
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
