#pragma once
/* A Prometheus histogram of durations: fixed buckets from half a millisecond to ten seconds, all
 * zero is empty. */

#include "base/macro.h"

#define HISTOGRAM_BUCKETS 14

/** Upper bounds in seconds, ascending; the one above them all (+Inf) is the count. */
extern const double histogram_bounds[HISTOGRAM_BUCKETS];

struct histogram {
        uint64_t count, sum_us;
        uint64_t buckets[HISTOGRAM_BUCKETS]; /* cumulative: observations up to the bound */
};

void histogram_observe(struct histogram *histogram, uint64_t took_us);
