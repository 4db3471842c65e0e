#pragma once
/* Metrics as text, in either of the two dialects that Prometheus reads: its own 0.0.4 and
 * OpenMetrics 1.0. They differ in the names that stand above the samples, in units, and in the mark
 * at the end. Pure. */

#include "base/buf.h"

struct histogram;

enum metric_type {
        METRIC_COUNTER,
        METRIC_GAUGE,
        METRIC_HISTOGRAM,
        METRIC_INFO, /* a gauge of 1 whose labels are the text, where there is no such type */
};

struct metric_family {
        const char *name; /* without "_total" (counters) and "_info"; with the unit */
        enum metric_type type;
        const char *unit; /* what the name ends with: "seconds" "bytes"; NULL: none */
        const char *help;
};

struct metric_labels {
        const char *const *names;
        const char *const *values; /* UTF-8; may hold anything */
        size_t n;
};

#define EXPOSITION_HEAD_MAX 128

struct exposition {
        struct buf out;
        bool openmetrics;
        const struct metric_family *family;
        char head[EXPOSITION_HEAD_MAX]; /* private: what its samples begin with */
        size_t head_size;
        int error; /* the first that appending met; what follows is not written */
};

/** The content type of the dialect. */
const char *exposition_content_type(const struct exposition *exposition);

/** Begin a family; its samples follow. */
void exposition_family(struct exposition *exposition, const struct metric_family *family);
/** A sample of the family; @labels NULL: none. */
void exposition_sample(
                struct exposition *exposition, const struct metric_labels *labels, uint64_t value);
/** Labels as text, to be written again and again: a="b",c="d". Return: 0; -ENOSPC; -ENOMEM. */
int exposition_render_labels(const struct metric_labels *labels, struct buf *out);
/** A sample of @value / 10^@decimals with labels rendered before, and, unless @name is NULL, one
 * more label. */
void exposition_scaled(struct exposition *exposition, const char *labels, const char *name,
                const char *device, uint64_t value, unsigned int decimals);
/** The same of a number that is none of the kind, with 6 significant digits; NaN writes no sample.
 */
void exposition_number(struct exposition *exposition, const char *labels, double value);
void exposition_histogram(struct exposition *exposition, const struct metric_labels *labels,
                const struct histogram *histogram);
/** A family of one sample without labels. */
void exposition_one(
                struct exposition *exposition, const struct metric_family *family, uint64_t value);
/** Close it. Return: 0, or what appending met: the text is not whole. */
int exposition_end(struct exposition *exposition);
