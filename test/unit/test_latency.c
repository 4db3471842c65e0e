/* The bound that is stated holds for whatever values; merging is adding; bytes come back as they
 * were. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/latency.h"
#include "test.h"

#define VALUES_MAX 20000

static const double quantiles[] = { 0, 0.001, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1 };

static uint64_t random_state = 42;

static uint64_t random_u64(void) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state;
}

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

static uint64_t exact(const uint64_t *sorted, size_t n, double q) {
        size_t rank = (size_t) ceil(q * (double) n);

        return sorted[rank > 0 ? rank - 1 : 0];
}

/* Every quantile against the sorted values. */
static void check(uint64_t *values, size_t n) {
        struct latency latency = {};

        for (size_t i = 0; i < n; i++)
                assert_int_equal(latency_add(&latency, values[i]), 0);
        assert_int_equal(latency.count, n);
        qsort(values, n, sizeof(values[0]), compare);
        for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
                double want = (double) exact(values, n, quantiles[i]);
                double told = (double) latency_quantile_ns(&latency, quantiles[i]);

                if (fabs(told - want) > want * LATENCY_ERROR ||
                                (want < 64 && fabs(told - want) > 0.5))
                        fail_msg("quantile %g of %zu: %.0f told, %.0f exact", quantiles[i], n, told,
                                        want);
        }
        latency_done(&latency);
}

static void the_bound_holds_for_random_values(void **state) {
        uint64_t *values = calloc(VALUES_MAX, sizeof(values[0]));

        for (unsigned int bits = 1; bits <= LATENCY_MAX_LOG2; bits++) {
                for (size_t i = 0; i < VALUES_MAX; i++)
                        values[i] = random_u64() >> (64 - bits);
                check(values, VALUES_MAX);
        }
        for (size_t n = 1; n < 300; n++) {
                for (size_t i = 0; i < n; i++)
                        values[i] = random_u64() >> (64 - LATENCY_MAX_LOG2 + random_u64() % 50);
                check(values, n);
        }
        free(values);
}

static void the_bound_holds_at_every_edge(void **state) {
        uint64_t value;

        for (unsigned int bit = 0; bit < LATENCY_MAX_LOG2; bit++) {
                for (uint64_t step = 0; step <= LATENCY_STEPS; step++) {
                        for (int64_t beside = -2; beside <= 2; beside++) {
                                value = (UINT64_C(1) << bit) +
                                                ((step << bit) >> LATENCY_STEPS_LOG2);
                                value += (uint64_t) beside;
                                if (value <= LATENCY_MAX_NS)
                                        check(&value, 1);
                        }
                }
        }
}

static void the_bound_holds_where_two_heaps_lie_far_apart(void **state) {
        uint64_t values[200];

        for (size_t low = 0; low <= 200; low++) {
                for (size_t i = 0; i < 200; i++)
                        values[i] = i < low ? 1000 + random_u64() % 3 : UINT64_C(3600000000000);
                check(values, 200);
        }
}

static void what_took_too_long_to_tell_counts_as_the_longest(void **state) {
        struct latency latency = {};

        assert_int_equal(latency_add(&latency, UINT64_MAX), 0);
        assert_true(latency_quantile_ns(&latency, 0.5) > LATENCY_MAX_NS / 128 * 127);
        assert_true(latency_quantile_ns(&latency, 0.5) <= LATENCY_MAX_NS);
        latency_done(&latency);
}

static void nothing_added_is_nothing_told(void **state) {
        struct latency latency = {};

        assert_int_equal(latency_quantile_ns(&latency, 0.5), 0);
        assert_int_equal(latency_size(&latency), 0);
        latency_done(&latency);
}

static void encode(const struct latency *latency, struct buf *out) {
        buf_reset(out);
        assert_int_equal(latency_encode(latency, out), 0);
}

static void merging_is_adding(void **state) {
        struct buf together_bytes = BUF_INIT(1 << 20), merged_bytes = BUF_INIT(1 << 20);

        for (unsigned int round = 0; round < 50; round++) {
                struct latency together = {}, merged = {}, parts[4] = {};

                for (size_t i = 0; i < 1000; i++) {
                        uint64_t value = random_u64() >> (11 + random_u64() % 50);

                        assert_int_equal(latency_add(&together, value), 0);
                        assert_int_equal(latency_add(&parts[random_u64() % 3], value), 0);
                }
                for (size_t i = 0; i < 4; i++) { /* the last is empty */
                        assert_int_equal(latency_merge(&merged, &parts[i]), 0);
                        latency_done(&parts[i]);
                }
                encode(&together, &together_bytes);
                encode(&merged, &merged_bytes);
                assert_int_equal(merged.count, 1000);
                assert_int_equal(merged_bytes.size, together_bytes.size);
                assert_memory_equal(merged_bytes.data, together_bytes.data, merged_bytes.size);
                latency_done(&together);
                latency_done(&merged);
        }
        buf_done(&together_bytes);
        buf_done(&merged_bytes);
}

static void bytes_come_back_as_they_were(void **state) {
        struct buf bytes = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);

        for (size_t n = 0; n < 3000; n += 100) {
                struct latency latency = {}, back = {};

                for (size_t i = 0; i < n; i++)
                        assert_int_equal(latency_add(&latency, random_u64() >> (random_u64() % 64)),
                                        0);
                encode(&latency, &bytes);
                assert_int_equal(latency_decode(bytes.data, bytes.size, &back), 0);
                assert_int_equal(back.count, n);
                encode(&back, &again);
                assert_int_equal(bytes.size, again.size);
                assert_memory_equal(bytes.data, again.data, bytes.size);
                latency_done(&latency);
                latency_done(&back);
        }
        buf_done(&bytes);
        buf_done(&again);
}

static void a_million_usual_answers_take_few_bytes(void **state) {
        struct buf bytes = BUF_INIT(1 << 20);
        struct latency latency = {};

        for (size_t i = 0; i < 1000000; i++) /* 100 us to 800 ms */
                assert_int_equal(latency_add(&latency, UINT64_C(100000) << (random_u64() % 13)), 0);
        encode(&latency, &bytes);
        assert_true(bytes.size < 5000);
        assert_true(latency_size(&latency) <= 14 * LATENCY_STEPS * 8);
        latency_done(&latency);
        buf_done(&bytes);
}

static void bytes_that_were_not_written_so_are_refused(void **state) {
        static const struct {
                const char *bytes;
                size_t size;
        } rows[] = {
                { "", 0 }, { "\x02", 1 }, { "\x01\x05", 2 }, /* a bucket without a count */
                { "\x01\x05\x00", 3 },                       /* an empty one */
                { "\x01\x85", 2 },                           /* cut within a number */
                { "\x01\xff\xff\x03\x01", 5 },               /* a bucket that there is not */
                { "\x01\x80\x18\x01", 4 },                   /* the one past the last */
                { "\x01\xff\x17\x01\x00\x01", 6 },           /* one after the last */
                { "\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x01", 14 }, /* too many */
                { "\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 12 },         /* 65 bits */
        };
        struct latency latency = {};

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (latency_decode(rows[i].bytes, rows[i].size, &latency) != -EINVAL)
                        fail_msg("row %zu taken", i);
        assert_int_equal(latency_decode("\x01\xff\x17\x01", 4, &latency), 0);
        assert_int_equal(latency.count, 1);
        latency_done(&latency);
}

static void a_histogram_full_to_the_brim_has_percentiles(void **state) {
        struct latency latency = {};

        assert_int_equal(latency_decode("\x01\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12,
                                         &latency),
                        0);
        assert_true(latency.count == UINT64_MAX);
        for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
                assert_int_equal(latency_quantile_ns(&latency, quantiles[i]), 5);
        latency_done(&latency);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_bound_holds_for_random_values),
                cmocka_unit_test(the_bound_holds_at_every_edge),
                cmocka_unit_test(the_bound_holds_where_two_heaps_lie_far_apart),
                cmocka_unit_test(what_took_too_long_to_tell_counts_as_the_longest),
                cmocka_unit_test(nothing_added_is_nothing_told),
                cmocka_unit_test(merging_is_adding),
                cmocka_unit_test(bytes_come_back_as_they_were),
                cmocka_unit_test(a_million_usual_answers_take_few_bytes),
                cmocka_unit_test(bytes_that_were_not_written_so_are_refused),
                cmocka_unit_test(a_histogram_full_to_the_brim_has_percentiles),
        };

        return RUN_TESTS(tests);
}
