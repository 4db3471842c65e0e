/* A crew's deadline: for the round, and for each domain that it is about. */

#include <stdatomic.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "source/libvirt_crew.h"
#include "test.h"

#define URI     "test:///default"
#define MINIMUM (200 * USEC_PER_MSEC)
#define EACH    (100 * USEC_PER_MSEC)

struct bench {
        sd_event *event;
        struct libvirt_crew *crew;
        unsigned int stuck;
        size_t n_domains; /* what its rounds are about */
        atomic_bool begun, may_end;
        unsigned int n_done, n_late, n_given_up;
};

static void *memory_new(void *userdata) {
        struct bench **memory = malloc(sizeof(*memory)); /* NOLINT(bugprone-sizeof-expression) */

        assert_non_null(memory);
        *memory = userdata;
        return memory;
}

static void *do_round(struct libvirt_worker *worker, void *memory, virConnectPtr connection,
                unsigned int flags) {
        struct bench *bench = *(struct bench **) memory;

        libvirt_worker_expect(worker, bench->n_domains);
        atomic_store(&bench->begun, true);
        while (!atomic_load(&bench->may_end))
                (void) usleep(1000);
        return NULL;
}

static void done(void *result, uint64_t took_us, bool late, void *userdata) {
        struct bench *bench = userdata;

        assert_null(result);
        assert_true(took_us >= MINIMUM);
        bench->n_done++;
        bench->n_late += late;
}

static void given_up(const char *uuid, uint64_t waited_us, void *userdata) {
        struct bench *bench = userdata;

        assert_string_equal(uuid, "");
        bench->n_given_up++;
}

static void set_up(struct bench *bench, size_t n_domains) {
        static const struct libvirt_crew_ops ops = {
                .memory_new = memory_new,
                .memory_free = free,
                .round = do_round,
                .done = done,
                .result_free = free,
                .given_up = given_up,
        };
        const struct libvirt_crew_config config = { .uri = URI,
                .interval_us = USEC_PER_SEC,
                .stuck = &bench->stuck,
                .stuck_max = LIBVIRT_STUCK_MAX };

        *bench = (struct bench){ .n_domains = n_domains };
        assert_true(sd_event_new(&bench->event) >= 0);
        assert_int_equal(libvirt_crew_new(&config, &ops, bench->event, bench, &bench->crew), 0);
}

/* One round that ends after the deadline of one without domains; what went before it (a connection
 * is opened) takes its time. */
static void run_round(struct bench *bench, uint64_t each_us) {
        assert_true(libvirt_crew_ready(bench->crew, MINIMUM, each_us));
        assert_int_equal(libvirt_crew_ask(bench->crew, 0), 0);
        while (!atomic_load(&bench->begun))
                (void) usleep(1000);
        (void) usleep(2 * MINIMUM);
        (void) libvirt_crew_ready(bench->crew, MINIMUM, each_us);
        atomic_store(&bench->may_end, true);
        while (bench->n_done == 0)
                assert_true(sd_event_run(bench->event, 20000) >= 0);
}

static void tear_down(struct bench *bench) {
        libvirt_crew_free(bench->crew);
        sd_event_unref(bench->event);
}

static void a_round_of_many_domains_may_take_longer_from_the_first_one_on(void **state) {
        struct bench bench;

        set_up(&bench, 1000);
        run_round(&bench, EACH);
        assert_int_equal(bench.n_given_up, 0);
        assert_int_equal(bench.n_late, 0);
        tear_down(&bench);
}

static void a_round_past_its_deadline_is_given_up_and_comes_late(void **state) {
        struct bench bench;

        set_up(&bench, 1);
        run_round(&bench, EACH);
        assert_int_equal(bench.n_given_up, 1);
        assert_int_equal(bench.n_late, 1);
        while (bench.stuck > 0) /* until its worker has left */
                assert_true(sd_event_run(bench.event, 20000) >= 0);
        tear_down(&bench);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_round_of_many_domains_may_take_longer_from_the_first_one_on),
                cmocka_unit_test(a_round_past_its_deadline_is_given_up_and_comes_late),
        };

        return RUN_TESTS(tests);
}
