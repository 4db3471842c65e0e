#pragma once
/* What workloads use, as metrics: the same numbers under our own names and, if wanted, under the
 * names that dashboards for other exporters query (FACTS 6.5). */

#include "api/api.h"
#include "api/exposition.h"
#include "model/stats.h"

struct workload;
struct series;

/** At most this many workloads have series of their own; how many have none is a series too. */
#define METRICS_SUBJECTS_MAX 5000

/* One workload of a scrape. */
struct metrics_subject {
        const struct workload *workload;
        const struct series *series;
        const struct stats *now;            /* NULL: no reading */
        const char *labels;                 /* rendered: kind, name, source */
        const char *compat_labels;          /* rendered as the other exporters do; NULL: none */
        size_t labels_at, compat_labels_at; /* private: where they lie among those of all */
};

#define METRICS_COMPAT_LABELS_MAX 3

enum metrics_place {
        METRICS_OF_WORKLOAD, /* struct stats */
        METRICS_OF_VCPU,     /* struct stats_vcpu, label vcpu */
        METRICS_OF_NET,      /* struct stats_net */
        METRICS_OF_BLOCK,    /* struct stats_block */
};

/* A number of a reading as a family of metrics. */
struct metrics_row {
        struct metric_family family;
        enum metrics_place place;
        size_t offset;
        unsigned int decimals; /* 9: nanoseconds as seconds */
        unsigned int dialects; /* enum api_compat; of compat rows */
};

/** Every family of @all that has a sample. @device: the name of the label of devices. @compat:
 * with compat_labels, rows of the dialects @compat only; 0: own. */
void metrics_rows(struct exposition *exposition, const struct metrics_row *all, size_t n_rows,
                const struct metrics_subject *subjects, size_t n, const char *device,
                unsigned int compat);

void metrics_workloads(struct exposition *exposition, const struct api_context *api);

/* metrics_compat.c */
/** What the other exporters call a workload; @values are written, and the names returned. Return:
 * their number; 0: they have none such. */
size_t metrics_compat_labels(const struct workload *workload,
                const char *values[static METRICS_COMPAT_LABELS_MAX],
                const char *const **ret_names);
void metrics_compat(struct exposition *exposition, const struct api_context *api,
                const struct metrics_subject *subjects, size_t n);
