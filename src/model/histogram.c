/* The buckets that client libraries have by default, with two below for answers from memory. */

#include "model/histogram.h"

const double histogram_bounds[HISTOGRAM_BUCKETS] = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
        0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 };

void histogram_observe(struct histogram *histogram, uint64_t took_us) {
        histogram->count++;
        histogram->sum_us += took_us;
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
                histogram->buckets[i] += (double) took_us / 1e6 <= histogram_bounds[i];
}
