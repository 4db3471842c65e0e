#pragma once
/* Counters of events that outlive the workloads they are about: for /metrics. Fed from the feed, so
 * they count exactly what readers saw. Labels are capped: what passes the cap goes to "_other".
 * Loop thread only. */

#include "model/event.h"
#include "model/histogram.h"

struct counters;

#define COUNTERS_SERIES_MAX 10000

int counters_new(struct counters **ret_counters);
struct counters *counters_free(struct counters *counters);
DEFINE_FREEP(struct counters, counters_free);

/** Count one published event. Never fails (what cannot be counted by name is counted under
 * "_other"). */
void counters_add(struct counters *counters, const struct event *event);

/* One series; text borrowed. family: see the enum. */
enum counters_family {
        COUNTERS_EVENTS,           /* labels: kind, action */
        COUNTERS_CONTAINER_EVENTS, /* labels: event = started | died | oom (the contract's three) */
        COUNTERS_DEPLOYMENT_OPS,   /* labels: op = deploy, once it succeeded or failed | the verb of
                                      an action that was done, or asked and not answered */
        COUNTERS_EXITS,            /* labels: kind, source, name, reason, oom_scope */
        COUNTERS_OOM_KILLS,        /* labels: kind, source, name */
        COUNTERS_FAMILY_MAX_,
};
#define COUNTERS_LABELS_MAX 5

const char *const *counters_label_names(enum counters_family family, size_t *ret_n);
/** Call @each for every series of the family. */
void counters_for_each(const struct counters *counters, enum counters_family family,
                void (*each)(const char *const *label_values, uint64_t value, void *userdata),
                void *userdata);

/** Call @each for the time from creation to the first start, of each runtime that has shown one. */
void counters_for_each_schedule(const struct counters *counters,
                void (*each)(const char *runtime, const struct histogram *histogram,
                                void *userdata),
                void *userdata);
