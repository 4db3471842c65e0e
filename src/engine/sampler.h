#pragma once
/* The sampler: a clock that asks for readings, and for each workload that lives the readings, what
 * they come to, the last samples and the allocation. Faces read it; it never waits for anything.
 * Loop thread only. */

#include <systemd/sd-event.h>

#include "model/allocation.h"
#include "model/ring.h"
#include "model/usage.h"
#include "model/workload.h"

struct sampler;
struct spans;

struct sampler_config {
        uint64_t interval_us; /* 100 ms..1 h; default 1 s */
        size_t slots;         /* of the ring: 1..RING_SLOTS_MAX; default 30 */
        uint64_t balloon_us;  /* how often guests report; see usage_compute() */
        size_t workloads_max;
};

/* What the runtime said last; source USAGE_UNKNOWN: nothing in this life. */
struct series_held {
        double percent;
        enum usage_source source;
        uint32_t slots; /* ended since */
};

/* One workload, as faces see it. */
struct series {
        char *id;
        enum workload_kind kind;
        bool running, paused;
        /* Of the newest slot, but for memory and disk: where the runtime was not asked for this
         * slot, what it said last. */
        struct usage usage;
        struct series_held memory, disk; /* private */
        struct ring ring;
        struct allocation allocation;
        /* Newest reading and the one before it, by origin; NULL: none in this life. */
        struct stats *newest[STATS_ORIGIN_MAX_], *before[STATS_ORIGIN_MAX_];
        bool fresh[STATS_ORIGIN_MAX_]; /* private: came since the last slot */
        uint64_t hung_since_us;        /* CLOCK_REALTIME; 0: its monitor answers */
        uint64_t resets;               /* counters that went backwards or began anew */
};

struct sampler_hooks {
        struct spans *spans;          /* where rounds are told; NULL: nowhere */
        void (*read)(void *userdata); /* ask every meter for its readings; the loop is at the round
                                       */
        /** A slot of a running workload is complete. May be NULL. */
        void (*sample)(const struct series *series, const struct sample *sample, void *userdata);
        /** All slots of the tick at @at_us are complete; @missed slots before it were left out.
         * May be NULL. */
        void (*round)(uint64_t at_us, uint64_t missed, void *userdata);
        /** It was given more or less. May be NULL. */
        void (*allocation)(const struct series *series, void *userdata);
        void *userdata;
};

int sampler_new(const struct sampler_config *config, sd_event *event,
                const struct sampler_hooks *hooks, struct sampler **ret_sampler);
struct sampler *sampler_free(struct sampler *sampler);
DEFINE_FREEP(struct sampler, sampler_free);
/** Begin to tick. */
int sampler_start(struct sampler *sampler);

/**
 * Other slots, from the next tick on: the newest samples stay, but for another interval none do, as
 * they would stand for other times.
 *
 * @slots: of the ring
 *
 * Return: 0; -EINVAL; -ENOMEM (as it was).
 */
int sampler_configure(
                struct sampler *sampler, uint64_t interval_us, size_t slots, uint64_t balloon_us);

/** @workload lives, was paused or resumed, ended (its samples stay to be read), is gone. */
void sampler_update(struct sampler *sampler, const struct workload *workload);
void sampler_forget(struct sampler *sampler, const char *id);

/** A reading of workload @id; takes @stats. Dropped if nobody knows the workload. */
void sampler_take(struct sampler *sampler, const char *id, struct stats *stats);
void sampler_set_hung(struct sampler *sampler, const char *id, uint64_t since_us);

/** NULL: not known. */
const struct series *sampler_get(const struct sampler *sampler, const char *id);
uint64_t sampler_interval_us(const struct sampler *sampler);
size_t sampler_slots(const struct sampler *sampler);
uint64_t sampler_host_memory_bytes(const struct sampler *sampler);

/** The reading to show: the runtime's if there is one, else the kernel's; NULL: none. */
const struct stats *series_stats(const struct series *series);
/** The reading before it, of the same origin and life; NULL: none. */
const struct stats *series_stats_before(const struct series *series);

struct sampler_stats {
        uint64_t ticks, missed_ticks, samples, null_samples, resets, refused;
        uint64_t clock_steps; /* the wall clock was set, or the machine slept, by a slot or more */
};
void sampler_get_stats(const struct sampler *sampler, struct sampler_stats *ret_stats);
