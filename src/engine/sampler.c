/* Ticks, readings and slots. A slot takes what was read between two ticks; if nothing was, it says
 * so with nulls. */

#include "engine/sampler.h"

#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "model/spans.h"

#define HELD_US (60 * USEC_PER_SEC) /* longer than the pause of 1,000 domains' rounds */

struct sampler {
        struct sampler_config config;
        struct sampler_hooks hooks;
        sd_event *event;
        sd_event_source *timer;
        struct map *series; /* by workload id */
        uint64_t next_us;   /* CLOCK_MONOTONIC of the next tick */
        uint64_t slot_us;   /* CLOCK_REALTIME of the last slot; 0: none yet */
        double host_cpus;
        uint64_t host_memory_bytes;
        struct sampler_stats stats;
};

/* ---- series ---- */

static void series_drop_readings(struct series *series) {
        for (size_t i = 0; i < STATS_ORIGIN_MAX_; i++) {
                series->newest[i] = stats_free(series->newest[i]);
                series->before[i] = stats_free(series->before[i]);
                series->fresh[i] = false;
        }
        series->memory = series->disk = (struct series_held){};
}

static struct series *series_free(struct series *series) {
        series_drop_readings(series);
        allocation_done(&series->allocation);
        ring_done(&series->ring);
        free(series->id);
        free(series);
        return NULL;
}

static struct series *series_new(struct sampler *sampler, const struct workload *workload) {
        struct series *series;

        if (map_size(sampler->series) >= sampler->config.workloads_max) {
                sampler->stats.refused++;
                return NULL;
        }
        series = calloc(1, sizeof(*series));
        if (!series)
                return NULL;
        series->kind = workload->kind;
        series->usage = (struct usage) USAGE_NONE;
        series->id = strdup(workload->id);
        if (!series->id || ring_init(&series->ring, sampler->config.slots) < 0 ||
                        map_put(sampler->series, workload->id, series) < 0)
                return series_free(series);
        return series;
}

const struct stats *series_stats(const struct series *series) {
        return series->newest[STATS_FROM_RUNTIME] ? series->newest[STATS_FROM_RUNTIME]
                                                  : series->newest[STATS_FROM_KERNEL];
}

const struct stats *series_stats_before(const struct series *series) {
        const struct stats *newest = series_stats(series),
                           *before = newest ? series->before[newest->origin] : NULL;

        return before && before->life == newest->life ? before : NULL;
}

void sampler_update(struct sampler *sampler, const struct workload *workload) {
        struct series *series = map_get(sampler->series, workload->id);
        bool running = workload_state_is_alive(workload->state);

        if (!series)
                series = series_new(sampler, workload);
        if (!series)
                return;
        series->paused = workload->state == STATE_PAUSED;
        if (series->running && !running) {
                series_drop_readings(series);
                series->usage = (struct usage) USAGE_NONE;
                series->hung_since_us = 0;
        }
        series->running = running;
}

void sampler_forget(struct sampler *sampler, const char *id) {
        struct series *series = map_remove(sampler->series, id);

        if (series)
                series_free(series);
}

/* What the kernel does not know of a VM's process: what 100 % is. */
static void complete_process(const struct series *series, struct stats *stats) {
        if (stats->origin != STATS_FROM_KERNEL || series->kind != WORKLOAD_VM ||
                        !series->allocation.known)
                return;
        stats->cpus = series->allocation.vcpus;
        if (stats->balloon.current == STATS_UNKNOWN)
                stats->balloon.current = series->allocation.memory_bytes;
}

void sampler_take(struct sampler *sampler, const char *id, struct stats *stats) {
        struct series *series = map_get(sampler->series, id);
        enum stats_origin origin = stats->origin;
        bool gives = origin == STATS_FROM_RUNTIME || (series && series->kind != WORKLOAD_VM);

        if (!series) {
                stats_free(stats);
                return;
        }
        complete_process(series, stats);
        if (gives &&
                        allocation_update(&series->allocation, stats, series->kind,
                                        sampler->host_cpus, sampler->host_memory_bytes) == 1 &&
                        sampler->hooks.allocation)
                sampler->hooks.allocation(series, sampler->hooks.userdata);
        if (!series->running || stats->given_only) {
                stats_free(stats);
                return;
        }
        stats_free(series->before[origin]);
        series->before[origin] = series->newest[origin];
        series->newest[origin] = stats;
        series->fresh[origin] = true;
}

void sampler_set_hung(struct sampler *sampler, const char *id, uint64_t since_us) {
        struct series *series = map_get(sampler->series, id);

        if (!series)
                return;
        series->hung_since_us = since_us;
        if (since_us) /* it says nothing new for who knows how long */
                series->memory = series->disk = (struct series_held){};
}

/* ---- slots ---- */

static void usage_of(const struct sampler *sampler, const struct series *series,
                enum stats_origin origin, struct usage *ret_usage) {
        *ret_usage = (struct usage) USAGE_NONE;
        if (series->fresh[origin])
                usage_compute(series->before[origin], series->newest[origin], series->kind,
                                sampler->config.balloon_us, sampler->host_memory_bytes, ret_usage);
}

/* The runtime's word where it has one, the kernel's where it does not. */
static void usage_join(struct usage *usage, const struct usage *kernel) {
        if (isnan(usage->cpu_percent)) {
                usage->cpu_percent = kernel->cpu_percent;
                usage->cpu_raw_percent = kernel->cpu_raw_percent;
                usage->cpu_source = kernel->cpu_source;
        }
        if (isnan(usage->memory_percent)) {
                usage->memory_percent = kernel->memory_percent;
                usage->memory_source = kernel->memory_source;
        }
        usage->reset = usage->reset || kernel->reset;
}

/* A bulk round is made as often as what it costs allows. What a guest said of its memory and disks
 * is believed from one to the next: another source in between would make its use jump from slot to
 * slot. */
static bool is_held(const struct sampler *sampler, const struct series_held *held) {
        return held->source != USAGE_UNKNOWN &&
                        held->slots * sampler->config.interval_us <= HELD_US;
}

static void hold(struct series_held *held, double percent, enum usage_source source) {
        if (!isnan(percent))
                *held = (struct series_held){ .percent = percent, .source = source };
        else if (held->slots < UINT32_MAX)
                held->slots++;
}

static bool is_of_guest(const struct series_held *held) {
        return held->source == USAGE_GUEST || held->source == USAGE_BALLOON;
}

/* What is shown as its use now, which is not always of this slot. */
static void show_held(const struct sampler *sampler, struct series *series) {
        struct usage *usage = &series->usage;

        if (isnan(usage->memory_percent) && is_held(sampler, &series->memory)) {
                usage->memory_percent = series->memory.percent;
                usage->memory_source = series->memory.source;
        }
        if (isnan(usage->disk_percent) && is_held(sampler, &series->disk)) {
                usage->disk_percent = series->disk.percent;
                usage->disk_source = series->disk.source;
        }
}

static void append(struct series *series, const struct sample *sample) {
        if (ring_append(&series->ring, sample) == -ESTALE) {
                ring_clear(&series->ring); /* the clock was set back */
                (void) ring_append(&series->ring, sample);
        }
}

static void close_slot(struct sampler *sampler, struct series *series, uint64_t at_us) {
        struct usage kernel;
        struct sample sample;

        usage_of(sampler, series, STATS_FROM_RUNTIME, &series->usage);
        hold(&series->memory, series->usage.memory_percent, series->usage.memory_source);
        hold(&series->disk, series->usage.disk_percent, series->usage.disk_source);
        usage_of(sampler, series, STATS_FROM_KERNEL, &kernel);
        if (is_of_guest(&series->memory) && is_held(sampler, &series->memory))
                kernel.memory_percent = STATS_NAN;
        usage_join(&series->usage, &kernel);
        memset(series->fresh, 0, sizeof(series->fresh));
        if (series->usage.reset) {
                series->resets++;
                sampler->stats.resets++;
        }

        sample = (struct sample){
                .at_us = at_us,
                .cpu_percent = (float) series->usage.cpu_percent,
                .memory_percent = (float) series->usage.memory_percent,
                .disk_percent = (float) series->usage.disk_percent,
        };
        append(series, &sample);
        show_held(sampler, series);
        sampler->stats.samples++;
        if (isnan(sample.cpu_percent) && isnan(sample.memory_percent))
                sampler->stats.null_samples++;
        if (sampler->hooks.sample)
                sampler->hooks.sample(series, &sample, sampler->hooks.userdata);
}

/* Ticks that never came, because the loop was held up or the machine slept, are slots too. */
static void skip_slots(struct sampler *sampler, uint64_t n, uint64_t at_us) {
        struct series *series;

        if (n > sampler->config.slots)
                n = sampler->config.slots;
        map_for_each(series, sampler->series)
                for (uint64_t i = n; series->running && i > 0; i--) {
                        append(series,
                                        &(struct sample){ .at_us = at_us -
                                                                        i * sampler->config.interval_us,
                                                        .cpu_percent = (float) NAN,
                                                        .memory_percent = (float) NAN,
                                                        .disk_percent = (float) NAN });
                }
}

/* One for each round, however many workloads there are. What the meters do for it is its child, and
 * ends after it. */
static struct span *round_begin(struct sampler *sampler, uint64_t now_us) {
        struct span *span;

        if (!spans_on(sampler->hooks.spans))
                return NULL;
        span = span_begin(sampler->hooks.spans, NULL, SPAN_INTERNAL, clock_realtime_us(), now_us);
        span_name(span, "sampler round");
        return span;
}

static void round_end(struct span *span, const struct sampler_stats *before,
                const struct sampler_stats *after) {
        span_add_int(span, "virtwatch.samples", (int64_t) (after->samples - before->samples));
        span_add_int(span, "virtwatch.null_samples",
                        (int64_t) (after->null_samples - before->null_samples));
        span_add_int(span, "virtwatch.missed_ticks",
                        (int64_t) (after->missed_ticks - before->missed_ticks));
        (void) span_end(span, clock_monotonic_us());
}

/* Both clocks at one moment, even where this thread is held up between them. */
static uint64_t read_clocks(uint64_t *ret_real_us) {
        uint64_t before_us, after_us;

        for (unsigned int tries = 0;; tries++) {
                before_us = clock_monotonic_us();
                *ret_real_us = clock_realtime_us();
                after_us = clock_monotonic_us();
                if (after_us - before_us < USEC_PER_MSEC || tries == 10)
                        return before_us + (after_us - before_us) / 2;
        }
}

/* Which slot ends with the tick that was due last, and when the next one does. The wall clock says
 * so, but by when the tick was due, not by when it came, and to the nearest slot: a clock that is
 * put right by a little moves no sample, and the tick after is on the whole interval again. */
static uint64_t next_slot(struct sampler *sampler, uint64_t *ret_missed) {
        const uint64_t interval_us = sampler->config.interval_us;
        uint64_t real_us, now_us = read_clocks(&real_us);
        uint64_t late_us = now_us > sampler->next_us ? now_us - sampler->next_us : 0;
        uint64_t missed = late_us / interval_us, due_us, at_us;

        due_us = real_us - late_us % interval_us;
        at_us = (due_us + interval_us / 2) / interval_us * interval_us;
        sampler->next_us += (missed + 1) * interval_us + at_us - due_us;
        *ret_missed = missed;
        return at_us;
}

/* The clock was set, or stood still while the machine slept. Return: how many slots that leaves
 * out; none if it was set back, which ends what the rings hold. */
static uint64_t slots_stepped_over(struct sampler *sampler, uint64_t missed, uint64_t at_us) {
        const uint64_t interval_us = sampler->config.interval_us;
        uint64_t expected_us = sampler->slot_us + (missed + 1) * interval_us, n;

        if (sampler->slot_us == 0 || at_us == expected_us)
                return 0;
        sampler->stats.clock_steps++;
        if (at_us < expected_us)
                return 0;
        n = (at_us - expected_us) / interval_us;
        return n < sampler->config.slots ? n : sampler->config.slots;
}

static int on_tick(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct sampler *sampler = userdata;
        struct span *span = round_begin(sampler, clock_monotonic_us());
        uint64_t missed, left_out, at_us;
        const struct sampler_stats before = sampler->stats;
        struct series *series;

        at_us = next_slot(sampler, &missed);
        left_out = missed + slots_stepped_over(sampler, missed, at_us);
        sampler->stats.missed_ticks += missed;
        sampler->slot_us = at_us;
        if (left_out)
                skip_slots(sampler, left_out, at_us);
        map_for_each(series, sampler->series)
                if (series->running)
                        close_slot(sampler, series, at_us);
        sampler->stats.ticks++;
        if (sampler->hooks.round)
                sampler->hooks.round(at_us, left_out, sampler->hooks.userdata);
        if (span)
                spans_enter(sampler->hooks.spans, span_context(span));
        sampler->hooks.read(sampler->hooks.userdata);
        if (span) {
                spans_leave(sampler->hooks.spans);
                round_end(span, &before, &sampler->stats);
        }

        (void) sd_event_source_set_time(timer, sampler->next_us);
        (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
        return 0;
}

/* ---- life ---- */

int sampler_new(const struct sampler_config *config, sd_event *event,
                const struct sampler_hooks *hooks, struct sampler **ret_sampler) {
        _cleanup_(sampler_freep) struct sampler *sampler = NULL;
        int r;

        if (config->interval_us == 0 || config->slots < 1 || config->slots > RING_SLOTS_MAX)
                return -EINVAL;
        sampler = calloc(1, sizeof(*sampler));
        if (!sampler)
                return -ENOMEM;

        sampler->config = *config;
        sampler->hooks = *hooks;
        sampler->event = sd_event_ref(event);
        sampler->host_cpus = (double) sysconf(_SC_NPROCESSORS_ONLN);
        sampler->host_memory_bytes =
                        (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE);
        r = map_new(&sampler->series);
        if (r < 0)
                return r;

        *ret_sampler = TAKE_PTR(sampler);
        return 0;
}

/* The first tick comes on a whole interval of the wall clock, so that slots of all hosts line up.
 */
static uint64_t next_tick_us(uint64_t interval_us) {
        return clock_monotonic_us() + interval_us - clock_realtime_us() % interval_us;
}

int sampler_start(struct sampler *sampler) {
        int r;

        sampler->next_us = next_tick_us(sampler->config.interval_us);
        sampler->hooks.read(sampler->hooks.userdata);
        r = sd_event_add_time(sampler->event, &sampler->timer, CLOCK_MONOTONIC, sampler->next_us,
                        USEC_PER_MSEC, on_tick, sampler);
        return r < 0 ? r : sd_event_source_set_description(sampler->timer, "sampler");
}

/* Rings of the new size for all series, in the order of the map; or none at all. */
static int new_rings(const struct sampler *sampler, size_t slots, struct ring **ret_rings) {
        const size_t n = map_size(sampler->series);
        struct ring *rings = calloc(n + 1, sizeof(rings[0]));
        int r = rings ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < n; i++)
                r = ring_init(&rings[i], slots);
        for (size_t i = 0; r < 0 && rings && i < n; i++)
                ring_done(&rings[i]);
        if (r < 0) {
                free(rings);
                return r;
        }
        *ret_rings = rings;
        return 0;
}

static void move_samples(struct series *series, struct ring *ring, bool keep) {
        const size_t used = ring_size(&series->ring);
        size_t i = used > ring->size ? used - ring->size : 0;

        for (; keep && i < used; i++)
                (void) ring_append(ring, ring_at(&series->ring, i));
        ring_done(&series->ring);
        series->ring = *ring;
}

int sampler_configure(
                struct sampler *sampler, uint64_t interval_us, size_t slots, uint64_t balloon_us) {
        const bool same = interval_us == sampler->config.interval_us;
        struct ring *rings;
        struct series *series;
        size_t i = 0;
        int r;

        if (interval_us == 0 || slots < 1 || slots > RING_SLOTS_MAX)
                return -EINVAL;
        sampler->config.balloon_us = balloon_us;
        if (same && slots == sampler->config.slots)
                return 0;
        r = new_rings(sampler, slots, &rings);
        if (r < 0)
                return r;
        map_for_each(series, sampler->series)
                move_samples(series, &rings[i++], same);
        free(rings);
        sampler->config.interval_us = interval_us;
        sampler->config.slots = slots;
        if (same || !sampler->timer)
                return 0;
        sampler->slot_us = 0;
        sampler->next_us = next_tick_us(interval_us);
        r = sd_event_source_set_time(sampler->timer, sampler->next_us);
        return r < 0 ? r : 0;
}

struct sampler *sampler_free(struct sampler *sampler) {
        struct series *series;

        if (!sampler)
                return NULL;
        sd_event_source_disable_unref(sampler->timer);
        if (sampler->series)
                map_for_each(series, sampler->series)
                        series_free(series);
        map_free(sampler->series);
        sd_event_unref(sampler->event);
        free(sampler);
        return NULL;
}

const struct series *sampler_get(const struct sampler *sampler, const char *id) {
        return map_get(sampler->series, id);
}

uint64_t sampler_interval_us(const struct sampler *sampler) {
        return sampler->config.interval_us;
}

size_t sampler_slots(const struct sampler *sampler) {
        return sampler->config.slots;
}

uint64_t sampler_host_memory_bytes(const struct sampler *sampler) {
        return sampler->host_memory_bytes;
}

void sampler_get_stats(const struct sampler *sampler, struct sampler_stats *ret_stats) {
        *ret_stats = sampler->stats;
}
