/* Maps from joined label values to a number, one a family, each with a cap and an overflow series.
 */

#include "engine/counters.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"

#define KEY_MAX_BYTES   8192
#define CREATIONS_MAX   1000
#define RUNTIMES_MAX    32
#define SCHEDULE_MAX_US (600 * USEC_PER_SEC) /* created and left: a later start is another wish */

struct series {
        uint64_t value;
        char *labels[COUNTERS_LABELS_MAX];
};

/* A workload that was created and has not started yet. */
struct creation {
        char *workload;
        uint64_t time_us;
};

struct schedule {
        char runtime[32];
        struct histogram histogram;
};

struct counters {
        struct map *families[COUNTERS_FAMILY_MAX_];
        struct map *creations; /* of struct creation, by workload, oldest first */
        struct map *schedules; /* of struct schedule, by runtime */
};

static const char *const label_names[COUNTERS_FAMILY_MAX_][COUNTERS_LABELS_MAX] = {
        [COUNTERS_EVENTS] = { "kind", "action" },
        [COUNTERS_CONTAINER_EVENTS] = { "event" },
        [COUNTERS_DEPLOYMENT_OPS] = { "op" },
        [COUNTERS_EXITS] = { "kind", "source", "name", "reason", "oom_scope" },
        [COUNTERS_OOM_KILLS] = { "kind", "source", "name" },
};

const char *const *counters_label_names(enum counters_family family, size_t *ret_n) {
        size_t n = 0;

        while (n < COUNTERS_LABELS_MAX && label_names[family][n])
                n++;
        *ret_n = n;
        return label_names[family];
}

int counters_new(struct counters **ret_counters) {
        _cleanup_(counters_freep) struct counters *counters = NULL;
        int r;

        counters = calloc(1, sizeof(*counters));
        if (!counters)
                return -ENOMEM;
        for (size_t i = 0; i < COUNTERS_FAMILY_MAX_; i++) {
                r = map_new(&counters->families[i]);
                if (r < 0)
                        return r;
        }
        r = map_new(&counters->creations);
        if (r >= 0)
                r = map_new(&counters->schedules);
        if (r < 0)
                return r;
        *ret_counters = TAKE_PTR(counters);
        return 0;
}

static struct series *series_free(struct series *series) {
        for (size_t i = 0; i < COUNTERS_LABELS_MAX; i++)
                free(series->labels[i]);
        free(series);
        return NULL;
}

static void creation_free(struct creation *creation) {
        free(creation->workload);
        free(creation);
}

static void free_schedules(struct counters *counters) {
        struct creation *creation;
        struct schedule *schedule;

        if (counters->creations)
                map_for_each(creation, counters->creations)
                        creation_free(creation);
        if (counters->schedules)
                map_for_each(schedule, counters->schedules)
                        free(schedule);
        map_free(counters->creations);
        map_free(counters->schedules);
}

struct counters *counters_free(struct counters *counters) {
        struct series *series;

        if (!counters)
                return NULL;

        for (size_t i = 0; i < COUNTERS_FAMILY_MAX_; i++) {
                if (!counters->families[i])
                        continue;
                map_for_each(series, counters->families[i])
                        series_free(series);
                map_free(counters->families[i]);
        }
        free_schedules(counters);
        free(counters);
        return NULL;
}

static int series_new(struct map *family, const char *key, const char *const *values, size_t n) {
        struct series *series;
        int r;

        series = calloc(1, sizeof(*series));
        if (!series)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                series->labels[i] = strdup(values[i]);
                if (!series->labels[i]) {
                        series_free(series);
                        return -ENOMEM;
                }
        }
        r = map_put(family, key, series);
        if (r < 0)
                series_free(series);
        return r;
}

static void count(struct counters *counters, enum counters_family family, const char *const *values,
                size_t n) {
        static const char *const others[] = { "_other", "_other", "_other", "_other", "_other" };
        struct map *map = counters->families[family];
        _cleanup_(buf_done) struct buf key = BUF_INIT(KEY_MAX_BYTES);
        struct series *series;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++)
                r = buf_printf(&key, "%zu:%s", strlen(values[i]), values[i]);
        series = r < 0 ? NULL : map_get(map, key.data);
        if (r == -ENOSPC || (r >= 0 && !series && map_size(map) >= COUNTERS_SERIES_MAX)) {
                values = others;
                buf_reset(&key);
                r = buf_append_str(&key, "_other");
                series = r < 0 ? NULL : map_get(map, key.data);
        }
        if (r >= 0 && !series && series_new(map, key.data, values, n) >= 0)
                series = map_get(map, key.data);
        if (series)
                series->value++;
}

static const char *text_or_empty(struct json_object *details, const char *name) {
        const char *text = json_get_string(details, name);

        return text ? text : "";
}

/* The contract's three words. */
static const char *container_event(const struct event *event, bool is_exit) {
        if (strcmp(event->action, "OOMKilled") == 0)
                return "oom";
        if (is_exit)
                return "died";
        return strcmp(event->action, "started") == 0 ? "started" : NULL;
}

/* NULL: none. A deploy is told of by whoever deploys, an action by us. */
static const char *deployment_op(const struct event *event) {
        if (event->kind == EVENT_APP) {
                return strcmp(event->action, "deploy_succeeded") == 0 ||
                                                strcmp(event->action, "deploy_failed") == 0
                                ? "deploy"
                                : NULL;
        }
        return strcmp(event->action, "action_done") == 0 ? json_get_string(event->details, "verb")
                                                         : NULL;
}

/* ---- from creation to start ---- */

static void note_creation(struct counters *counters, const struct event *event) {
        struct creation *creation;

        while (map_size(counters->creations) >= CREATIONS_MAX) {
                map_for_each(creation, counters->creations) {
                        (void) map_remove(counters->creations, creation->workload);
                        creation_free(creation);
                        break;
                }
        }
        creation = calloc(1, sizeof(*creation));
        if (!creation)
                return;
        creation->time_us = event->time_us;
        creation->workload = strdup(event->workload);
        if (!creation->workload || map_put(counters->creations, creation->workload, creation) < 0)
                creation_free(creation);
}

static void observe_schedule(struct counters *counters, const char *runtime, uint64_t took_us) {
        struct schedule *schedule = map_get(counters->schedules, runtime);

        if (!schedule) {
                schedule = map_size(counters->schedules) < RUNTIMES_MAX
                                ? calloc(1, sizeof(*schedule))
                                : NULL;
                if (!schedule)
                        return;
                (void) snprintf(schedule->runtime, sizeof(schedule->runtime), "%s", runtime);
                if (map_put(counters->schedules, runtime, schedule) < 0) {
                        free(schedule);
                        return;
                }
        }
        histogram_observe(&schedule->histogram, took_us);
}

/* Runtimes are told by their source's name. Made-up events carry the time they were found at, which
 * says nothing. */
static void note_schedule(struct counters *counters, const struct event *event) {
        struct creation *creation;

        if (!event->workload[0])
                return;
        if (strcmp(event->action, "created") == 0) {
                if (!event->synthetic)
                        note_creation(counters, event);
                return;
        }
        creation = map_remove(counters->creations, event->workload);
        if (!creation)
                return;
        if (strcmp(event->action, "started") == 0 && !event->synthetic &&
                        event->time_us >= creation->time_us &&
                        event->time_us - creation->time_us <= SCHEDULE_MAX_US)
                observe_schedule(counters, event->source, event->time_us - creation->time_us);
        creation_free(creation);
}

void counters_for_each_schedule(const struct counters *counters,
                void (*each)(const char *runtime, const struct histogram *histogram,
                                void *userdata),
                void *userdata) {
        struct schedule *schedule;

        map_for_each(schedule, counters->schedules)
                each(schedule->runtime, &schedule->histogram, userdata);
}

void counters_add(struct counters *counters, const struct event *event) {
        const char *kind = event_kind_to_string(event->kind), *word;
        bool is_exit = json_get_string(event->details, "confidence");

        note_schedule(counters, event);
        count(counters, COUNTERS_EVENTS, (const char *const[]){ kind, event->action }, 2);
        word = event->kind == EVENT_CONTAINER ? container_event(event, is_exit) : NULL;
        if (word)
                count(counters, COUNTERS_CONTAINER_EVENTS, (const char *const[]){ word }, 1);
        word = deployment_op(event);
        if (word)
                count(counters, COUNTERS_DEPLOYMENT_OPS, (const char *const[]){ word }, 1);
        if (is_exit) {
                count(counters, COUNTERS_EXITS,
                                (const char *const[]){ kind, event->source, event->name,
                                                text_or_empty(event->details, "reason"),
                                                text_or_empty(event->details, "oom_scope") },
                                5);
        }
        if (strcmp(event->action, "OOMKilled") == 0)
                count(counters, COUNTERS_OOM_KILLS,
                                (const char *const[]){ kind, event->source, event->name }, 3);
}

void counters_for_each(const struct counters *counters, enum counters_family family,
                void (*each)(const char *const *label_values, uint64_t value, void *userdata),
                void *userdata) {
        struct series *series;

        map_for_each(series, counters->families[family])
                each((const char *const *) series->labels, series->value, userdata);
}
