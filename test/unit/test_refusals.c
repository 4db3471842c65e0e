/* Refusals: how many tries may fail, and how few events they make. */

#include <string.h>

#include "base/json.h"
#include "engine/refusals.h"
#include "test.h"

#define NOW_US (UINT64_C(1000) * USEC_PER_SEC)

struct fixture {
        struct refusals *refusals;
        unsigned int n_events;
        uint64_t told; /* refusals, as the events count them */
        char message[512], reason[32];
};

static void tell(struct event *event, void *userdata) {
        struct fixture *f = userdata;
        const char *reason = json_get_string(event->details, "reason");

        assert_string_equal(event->action, "access_refused");
        f->n_events++;
        f->told += (uint64_t) json_get_int(event->details, "count", 0);
        (void) snprintf(f->message, sizeof(f->message), "%s", event->message);
        (void) snprintf(f->reason, sizeof(f->reason), "%s", reason ? reason : "");
}

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_int_equal(refusals_new(tell, f, &f->refusals), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        refusals_free(f->refusals);
        free(f);
        return 0;
}

static void a_burst_may_fail_then_one_try_every_three_seconds(void **state) {
        struct fixture *f = *state;

        for (int i = 0; i < REFUSALS_BURST; i++) {
                assert_int_equal(refusals_wait_us(f->refusals, "a", NOW_US), 0);
                refusals_add(f->refusals, "a", REFUSAL_UNKNOWN, "", NOW_US);
        }
        assert_int_equal(refusals_wait_us(f->refusals, "a", NOW_US), REFUSALS_REFILL_US);
        assert_int_equal(refusals_wait_us(f->refusals, "b", NOW_US), 0);
        assert_int_equal(refusals_wait_us(f->refusals, "a", NOW_US + REFUSALS_REFILL_US - 1), 1);
        assert_int_equal(refusals_wait_us(f->refusals, "a", NOW_US + REFUSALS_REFILL_US), 0);
        refusals_add(f->refusals, "a", REFUSAL_UNKNOWN, "", NOW_US + REFUSALS_REFILL_US);
        assert_int_equal(refusals_wait_us(f->refusals, "a", NOW_US + REFUSALS_REFILL_US),
                        REFUSALS_REFILL_US);
}

static void waiting_tries_and_good_tokens_do_not_make_it_worse(void **state) {
        static const enum refusal others[] = { REFUSAL_RATE, REFUSAL_MISSING, REFUSAL_SCOPE,
                REFUSAL_LIMIT, REFUSAL_IN_URL, REFUSAL_POLKIT };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                for (int j = 0; j < 100; j++)
                        refusals_add(f->refusals, "a", others[i], "", NOW_US);
        assert_int_equal(refusals_wait_us(f->refusals, "a", NOW_US), 0);
}

static void a_storm_of_one_address_is_one_event_a_minute(void **state) {
        struct fixture *f = *state;

        for (uint64_t i = 0; i < 10000; i++)
                refusals_add(f->refusals, "10.0.0.1", REFUSAL_MALFORMED, "GET /x", NOW_US + i);
        assert_int_equal(f->n_events, 1);
        assert_string_equal(f->message, "10.0.0.1 refused, malformed: GET /x");
        refusals_tick(f->refusals, NOW_US + REFUSALS_TELL_US - 1);
        assert_int_equal(f->n_events, 1);
        refusals_tick(f->refusals, NOW_US + REFUSALS_TELL_US);
        assert_int_equal(f->n_events, 2);
        assert_int_equal(f->told, 10000);
        refusals_tick(f->refusals, NOW_US + 10 * REFUSALS_TELL_US);
        assert_int_equal(f->n_events, 2);
        assert_int_equal(refusals_count(f->refusals, REFUSAL_MALFORMED), 10000);
}

static void a_storm_of_many_addresses_is_bounded_in_memory_and_events(void **state) {
        const uint64_t last_us = NOW_US + 300 * USEC_PER_SEC;
        struct fixture *f = *state;
        char address[32];
        uint64_t n = 0;

        for (uint64_t now_us = NOW_US; now_us < last_us; now_us += USEC_PER_SEC / 100, n++) {
                (void) snprintf(address, sizeof(address), "10.%ju.%ju.%ju",
                                (uintmax_t) (n >> 16 & 255), (uintmax_t) (n >> 8 & 255),
                                (uintmax_t) (n & 255));
                refusals_add(f->refusals, address, REFUSAL_UNKNOWN, "", now_us);
                refusals_tick(f->refusals, now_us);
                assert_true(refusals_callers(f->refusals) <= REFUSALS_CALLERS_MAX);
        }
        assert_true(f->n_events <= 6 * (REFUSALS_EVENTS_MAX + 1));
        refusals_tick(f->refusals, last_us + REFUSALS_TELL_US);
        refusals_tick(f->refusals, last_us + 3 * REFUSALS_TELL_US);
        assert_int_equal(f->told, n); /* none is lost */
}

static void a_missing_token_is_counted_and_no_more(void **state) {
        struct fixture *f = *state;

        refusals_add(f->refusals, "a", REFUSAL_MISSING, "", NOW_US);
        assert_int_equal(f->n_events, 0);
        assert_int_equal(refusals_callers(f->refusals), 0);
        assert_int_equal(refusals_count(f->refusals, REFUSAL_MISSING), 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_burst_may_fail_then_one_try_every_three_seconds),
                TEST(waiting_tries_and_good_tokens_do_not_make_it_worse),
                TEST(a_storm_of_one_address_is_one_event_a_minute),
                TEST(a_storm_of_many_addresses_is_bounded_in_memory_and_events),
                TEST(a_missing_token_is_counted_and_no_more),
        };

        return RUN_TESTS(tests);
}
