#pragma once
/* How long things took, so that any percentile can be told afterwards: a histogram of 64 equal
 * buckets to each power of two, whose sum with another is the histogram of both. Pure.
 *
 * The bound: a percentile that is told differs from the one of the values themselves (nearest rank)
 * by at most one part in 128, below 64 ns not at all. What took longer than LATENCY_MAX_NS counts
 * as having taken that. */

#include "base/macro.h"

struct buf;

#define LATENCY_STEPS_LOG2 6
#define LATENCY_STEPS      (1U << LATENCY_STEPS_LOG2)
#define LATENCY_MAX_LOG2   53
#define LATENCY_MAX_NS     ((UINT64_C(1) << LATENCY_MAX_LOG2) - 1) /* 104 days */
#define LATENCY_BUCKETS    (LATENCY_STEPS * (LATENCY_MAX_LOG2 - LATENCY_STEPS_LOG2 + 1))
#define LATENCY_ERROR      (1.0 / 128)

/* All zero is empty. Only as many buckets are kept as lie between the least and the greatest. */
struct latency {
        uint64_t count;
        uint32_t first, n; /* private: of the buckets kept; multiples of LATENCY_STEPS */
        uint64_t *buckets; /* private */
};

void latency_done(struct latency *latency);

/** Return: 0; -ENOMEM, and nothing is counted. */
int latency_add(struct latency *latency, uint64_t took_ns);
/** Add all of @from. Return: 0; -ENOMEM, and nothing is added. */
int latency_merge(struct latency *latency, const struct latency *from);

/** The value that the part @q (0..1) of all do not exceed, in nanoseconds; 0 when empty. */
uint64_t latency_quantile_ns(const struct latency *latency, double q);

/** Append it as bytes, three or so for each bucket that is not empty. Return: 0; -ENOSPC; -ENOMEM.
 */
int latency_encode(const struct latency *latency, struct buf *out);
/** Read what latency_encode() wrote. Return: 0; -EINVAL it did not write that; -ENOMEM. */
int latency_decode(const void *data, size_t size, struct latency *ret_latency);

/** What it takes in memory, in bytes, beside the struct. */
size_t latency_size(const struct latency *latency);
