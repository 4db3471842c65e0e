/* The idea is that of HDR histograms and DDSketch: buckets whose width grows with what they count,
 * here linear within each power of two, so that a bucket is found with a shift. */

#include "model/latency.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"

#define VERSION 1

void latency_done(struct latency *latency) {
        free(latency->buckets);
        *latency = (struct latency){};
}

static uint32_t bucket_of(uint64_t ns) {
        uint32_t shift;

        if (ns > LATENCY_MAX_NS)
                ns = LATENCY_MAX_NS;
        if (ns < LATENCY_STEPS)
                return (uint32_t) ns;
        shift = 63 - (uint32_t) __builtin_clzll(ns) - LATENCY_STEPS_LOG2;
        return (shift << LATENCY_STEPS_LOG2) + (uint32_t) (ns >> shift);
}

/* The middle of the bucket. */
static uint64_t value_of(uint32_t bucket) {
        uint32_t shift;

        if (bucket < LATENCY_STEPS)
                return bucket;
        shift = (bucket >> LATENCY_STEPS_LOG2) - 1;
        return ((uint64_t) (bucket - (shift << LATENCY_STEPS_LOG2)) << shift) +
                        ((UINT64_C(1) << shift) - 1) / 2;
}

/* Keep the buckets from @first up to @end, and those kept already. */
static int reserve(struct latency *latency, uint32_t first, uint32_t end) {
        uint64_t *buckets;

        first -= first % LATENCY_STEPS;
        end += (LATENCY_STEPS - end % LATENCY_STEPS) % LATENCY_STEPS;
        if (latency->n > 0) {
                if (first >= latency->first && end <= latency->first + latency->n)
                        return 0;
                if (first > latency->first)
                        first = latency->first;
                if (end < latency->first + latency->n)
                        end = latency->first + latency->n;
        }
        buckets = calloc(end - first, sizeof(buckets[0]));
        if (!buckets)
                return -ENOMEM;
        if (latency->n > 0)
                memcpy(buckets + (latency->first - first), latency->buckets,
                                latency->n * sizeof(buckets[0]));
        free(latency->buckets);
        latency->buckets = buckets;
        latency->first = first;
        latency->n = end - first;
        return 0;
}

static int add_to_bucket(struct latency *latency, uint32_t bucket, uint64_t count) {
        int r;

        r = reserve(latency, bucket, bucket + 1);
        if (r < 0)
                return r;
        latency->buckets[bucket - latency->first] += count;
        latency->count += count;
        return 0;
}

int latency_add(struct latency *latency, uint64_t took_ns) {
        return add_to_bucket(latency, bucket_of(took_ns), 1);
}

int latency_merge(struct latency *latency, const struct latency *from) {
        int r;

        if (from->count == 0)
                return 0;
        r = reserve(latency, from->first, from->first + from->n);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < from->n; i++)
                latency->buckets[from->first - latency->first + i] += from->buckets[i];
        latency->count += from->count;
        return 0;
}

uint64_t latency_quantile_ns(const struct latency *latency, double q) {
        double wanted = q > 0 ? ceil(q * (double) latency->count) : 1;
        uint64_t rank = latency->count, seen = 0;

        if (latency->count == 0)
                return 0;
        if (wanted < (double) latency->count)
                rank = wanted < 1 ? 1 : (uint64_t) wanted;
        for (uint32_t i = 0; i < latency->n; i++) {
                seen += latency->buckets[i];
                if (seen >= rank)
                        return value_of(latency->first + i);
        }
        return value_of(latency->first + latency->n - 1);
}

/* ---- as bytes ---- */

static int put_varint(struct buf *out, uint64_t value) {
        char bytes[10];
        size_t n = 0;

        for (; value >= 0x80; value >>= 7)
                bytes[n++] = (char) (0x80 | (value & 0x7f));
        bytes[n++] = (char) value;
        return buf_append(out, bytes, n);
}

static int take_varint(const unsigned char **at, const unsigned char *end, uint64_t *ret_value) {
        uint64_t value = 0;

        for (unsigned int shift = 0; shift < 64 && *at < end; shift += 7) {
                unsigned char byte = *(*at)++;

                if (shift == 63 && byte > 1)
                        return -EINVAL;
                value |= (uint64_t) (byte & 0x7f) << shift;
                if (byte < 0x80) {
                        *ret_value = value;
                        return 0;
                }
        }
        return -EINVAL;
}

/* A version, then for each bucket that is not empty how many empty ones come before it, and its
 * count. */
int latency_encode(const struct latency *latency, struct buf *out) {
        const char version = VERSION;
        uint32_t next = 0;
        int r;

        r = buf_append(out, &version, 1);
        for (uint32_t i = 0; r >= 0 && i < latency->n; i++) {
                if (latency->buckets[i] == 0)
                        continue;
                r = put_varint(out, latency->first + i - next);
                if (r >= 0)
                        r = put_varint(out, latency->buckets[i]);
                next = latency->first + i + 1;
        }
        return r;
}

int latency_decode(const void *data, size_t size, struct latency *ret_latency) {
        const unsigned char *at = data, *end = at + size;
        struct latency latency = {};
        uint64_t next = 0, gap, count;
        int r = 0;

        if (size == 0 || *at++ != VERSION)
                return -EINVAL;
        while (r >= 0 && at < end) {
                if (take_varint(&at, end, &gap) < 0 || take_varint(&at, end, &count) < 0 ||
                                gap >= LATENCY_BUCKETS - next || count == 0 ||
                                count > UINT64_MAX - latency.count) {
                        r = -EINVAL;
                        break;
                }
                r = add_to_bucket(&latency, (uint32_t) (next + gap), count);
                next += gap + 1;
        }
        if (r < 0) {
                latency_done(&latency);
                return r;
        }
        *ret_latency = latency;
        return 0;
}

size_t latency_size(const struct latency *latency) {
        return latency->n * sizeof(latency->buckets[0]);
}
