#pragma once
/* The last samples of one workload: one slot per interval, the oldest leaves. A slot nobody filled
 * is a null that says so; no value is ever repeated. Pure: the time is an argument. */

#include "base/macro.h"

#define RING_SLOTS_MAX 3600

struct sample {
        uint64_t at_us;                                  /* CLOCK_REALTIME of the slot */
        float cpu_percent, memory_percent, disk_percent; /* NaN: null */
};

struct ring {
        struct sample *slots; /* private */
        size_t size, used, next;
};

/** @n_slots: 1..RING_SLOTS_MAX. Return: 0; -EINVAL; -ENOMEM. */
int ring_init(struct ring *ring, size_t n_slots);
void ring_done(struct ring *ring);

/** Another number of slots; the newest samples stay. Return: 0; -EINVAL; -ENOMEM (as it was). */
int ring_resize(struct ring *ring, size_t n_slots);

/** Append the sample of a slot. Return: 0; -ESTALE @sample is not newer than the newest. */
int ring_append(struct ring *ring, const struct sample *sample);
size_t ring_size(const struct ring *ring);
/** @i: 0 the oldest. */
const struct sample *ring_at(const struct ring *ring, size_t i);
const struct sample *ring_newest(const struct ring *ring); /* NULL: empty */
/** Forget all: the counters began anew, or the clock was set back. */
void ring_clear(struct ring *ring);
