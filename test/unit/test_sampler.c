/* Slots: filled, empty, of the dead; readings of two origins joined into one sample. */

#include <math.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/sampler.h"
#include "span_json.h"

#define INTERVAL_US (20 * USEC_PER_MSEC)

static int64_t clock_set_us; /* by how much the wall clock was set */

/* In place of libc's, for what is linked in here. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): libc's are reserved */
int clock_gettime(clockid_t clock, struct timespec *now) {
        int64_t ns;

        if (syscall(SYS_clock_gettime, clock, now) < 0)
                return -1;
        if (clock != CLOCK_REALTIME)
                return 0;
        ns = (int64_t) now->tv_sec * 1000000000 + now->tv_nsec + clock_set_us * 1000;
        *now = (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
        return 0;
}

struct fixture {
        sd_event *event;
        struct sampler *sampler;
        struct spans *spans;
        char read_for[TRACE_HEX_MAX]; /* id of the span that the last reading was asked in; "" */
        struct workload workload;
        unsigned int reads, samples, allocations;
        struct sample last;
        bool feed, feed_kernel, has_guest;
        uint64_t cpu_ns, mono_us;
};

static void give(struct fixture *f, enum stats_origin origin) {
        struct stats *stats = stats_new(origin);

        assert_non_null(stats);
        stats->mono_us = f->mono_us;
        stats->cpu_ns = f->cpu_ns;
        if (origin == STATS_FROM_RUNTIME) {
                stats->cpus = 2;
                stats->vcpus_current = 2;
                stats->balloon.current = 1000;
                stats->balloon.rss = 500;
                if (f->has_guest) {
                        stats->balloon.available = 1000;
                        stats->balloon.usable = 800;
                        stats->balloon.updated_s = 1;
                        stats->fs_total_bytes = 100;
                        stats->fs_used_bytes = 30;
                }
        } else {
                stats->memory_bytes = 250;
        }
        sampler_take(f->sampler, f->workload.id, stats);
}

static void on_read(void *userdata) {
        struct fixture *f = userdata;

        const struct trace_context *context = spans_current(f->spans);

        f->reads++;
        f->read_for[0] = '\0';
        if (context)
                (void) trace_hex(context->span_id, SPAN_ID_BYTES, f->read_for);
        f->mono_us += USEC_PER_SEC;
        f->cpu_ns += 1000000000;
        if (f->feed)
                give(f, STATS_FROM_RUNTIME);
        if (f->feed_kernel)
                give(f, STATS_FROM_KERNEL);
}

static void on_sample(const struct series *series, const struct sample *sample, void *userdata) {
        struct fixture *f = userdata;

        assert_string_equal(series->id, f->workload.id);
        assert_true(f->samples == 0 || sample->at_us > f->last.at_us);
        f->samples++;
        f->last = *sample;
}

static void on_allocation(const struct series *series, void *userdata) {
        ((struct fixture *) userdata)->allocations++;
}

static void fixture_init_traced(struct fixture *f, size_t slots, struct spans *spans) {
        static char id[] = "one";

        *f = (struct fixture){ .feed = true, .spans = spans };
        f->workload.id = id;
        f->workload.kind = WORKLOAD_VM;
        f->workload.state = STATE_RUNNING;
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(sampler_new(&(struct sampler_config){ .interval_us = INTERVAL_US,
                                                     .slots = slots,
                                                     .workloads_max = 1 },
                                         f->event,
                                         &(struct sampler_hooks){ .spans = f->spans,
                                                         .read = on_read,
                                                         .sample = on_sample,
                                                         .allocation = on_allocation,
                                                         .userdata = f },
                                         &f->sampler),
                        0);
        sampler_update(f->sampler, &f->workload);
        assert_true(sampler_start(f->sampler) >= 0);
}

static void fixture_init(struct fixture *f, size_t slots) {
        fixture_init_traced(f, slots, NULL);
}

static void fixture_done(struct fixture *f) {
        sampler_free(f->sampler);
        sd_event_unref(f->event);
}

static void run_samples(struct fixture *f, unsigned int n) {
        uint64_t end_us = clock_monotonic_us() + 20 * USEC_PER_SEC;

        n += f->samples;
        while (f->samples < n) {
                assert_true(clock_monotonic_us() < end_us);
                assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        }
}

static void each_slot_has_what_was_read_in_it(void **state) {
        const struct series *series;
        struct fixture f;

        fixture_init(&f, 5);
        run_samples(&f, 3);
        assert_true(fabs((double) f.last.cpu_percent - 50) < 0.01);
        assert_true(fabs((double) f.last.memory_percent - 50) < 0.01);
        assert_true(isnan(f.last.disk_percent));
        assert_int_equal(f.allocations, 1);
        f.feed = false;
        run_samples(&f, 3);
        assert_true(isnan(f.last.cpu_percent) && isnan(f.last.memory_percent));
        series = sampler_get(f.sampler, "one");
        assert_int_equal(ring_size(&series->ring), 5);
        assert_int_equal(ring_newest(&series->ring)->at_us, f.last.at_us);
        assert_int_equal(f.last.at_us % INTERVAL_US, 0);
        fixture_done(&f);
}

static void other_slots_keep_the_newest_and_other_times_none(void **state) {
        const struct series *series;
        struct fixture f;
        uint64_t first_us;

        fixture_init(&f, 5);
        run_samples(&f, 6);
        series = sampler_get(f.sampler, "one");
        assert_int_equal(sampler_configure(f.sampler, INTERVAL_US, 3, 0), 0);
        assert_int_equal(ring_size(&series->ring), 3);
        assert_int_equal(ring_newest(&series->ring)->at_us, f.last.at_us);
        assert_int_equal(sampler_slots(f.sampler), 3);
        assert_int_equal(sampler_configure(f.sampler, INTERVAL_US, 0, 0), -EINVAL);
        assert_int_equal(sampler_configure(f.sampler, 0, 3, 0), -EINVAL);
        assert_int_equal(ring_size(&series->ring), 3);

        assert_int_equal(sampler_configure(f.sampler, 3 * INTERVAL_US, 4, 0), 0);
        assert_int_equal(ring_size(&series->ring), 0);
        assert_int_equal(sampler_interval_us(f.sampler), 3 * INTERVAL_US);
        run_samples(&f, 1);
        first_us = f.last.at_us;
        assert_int_equal(first_us % (3 * INTERVAL_US), 0);
        assert_false(isnan(f.last.cpu_percent)); /* its readings stayed */
        run_samples(&f, 1);
        assert_int_equal((f.last.at_us - first_us) % (3 * INTERVAL_US), 0);
        assert_true(f.last.at_us - first_us >= 3 * INTERVAL_US);
        fixture_done(&f);
}

static void the_kernel_stands_in_for_a_runtime_that_is_silent(void **state) {
        const struct series *series;
        struct fixture f;

        fixture_init(&f, 5);
        f.feed_kernel = true;
        run_samples(&f, 3);
        series = sampler_get(f.sampler, "one");
        assert_int_equal(series->usage.cpu_source, USAGE_LIBVIRT);
        f.feed = false;
        run_samples(&f, 2);
        assert_int_equal(series->usage.cpu_source, USAGE_PROC);
        assert_true(fabs((double) f.last.cpu_percent - 50) < 0.01); /* of the vCPUs it was given */
        assert_true(fabs((double) f.last.memory_percent - 25) < 0.01);
        fixture_done(&f);
}

/* Rounds of many domains have pauses. */
static void between_rounds_a_guest_is_not_judged_by_what_the_host_sees(void **state) {
        const struct series *series;
        struct fixture f;

        fixture_init(&f, 5);
        f.feed_kernel = f.has_guest = true;
        run_samples(&f, 3);
        assert_true(fabs((double) f.last.memory_percent - 20) < 0.01);
        f.feed = false;
        run_samples(&f, 2);
        series = sampler_get(f.sampler, "one");
        assert_true(fabs((double) f.last.cpu_percent - 50) < 0.01);
        assert_true(isnan(f.last.memory_percent) && isnan(f.last.disk_percent));
        assert_true(fabs(series->usage.memory_percent - 20) < 0.01);
        assert_int_equal(series->usage.memory_source, USAGE_GUEST);
        assert_true(fabs(series->usage.disk_percent - 30) < 0.01);
        assert_int_equal(series->usage.disk_source, USAGE_GUEST);

        sampler_set_hung(f.sampler, "one", 1);
        run_samples(&f, 2);
        assert_true(fabs((double) f.last.memory_percent - 25) < 0.01);
        assert_int_equal(series->usage.memory_source, USAGE_HOST_RSS);
        assert_true(isnan(series->usage.disk_percent));
        fixture_done(&f);
}

static void the_dead_get_no_slots_and_start_anew(void **state) {
        const struct series *series;
        struct sampler_stats stats;
        uint64_t samples;
        struct fixture f;

        fixture_init(&f, 5);
        run_samples(&f, 3);
        f.workload.state = STATE_STOPPED;
        sampler_update(f.sampler, &f.workload);
        series = sampler_get(f.sampler, "one");
        assert_null(series_stats(series));
        assert_true(isnan(series->usage.cpu_percent));
        assert_true(series->allocation.known);
        sampler_get_stats(f.sampler, &stats);
        samples = stats.samples;
        for (unsigned int reads = f.reads; f.reads < reads + 3;)
                assert_true(sd_event_run(f.event, USEC_PER_SEC) >= 0);
        sampler_get_stats(f.sampler, &stats);
        assert_int_equal(stats.samples, samples);

        f.workload.state = STATE_RUNNING;
        sampler_update(f.sampler, &f.workload);
        run_samples(&f, 1);
        assert_true(isnan(f.last.cpu_percent)); /* nothing to compare the first with */
        sampler_forget(f.sampler, "one");
        assert_null(sampler_get(f.sampler, "one"));
        fixture_done(&f);
}

static void the_number_of_workloads_is_bounded(void **state) {
        static char id[] = "two";
        struct sampler_stats stats;
        struct fixture f;

        fixture_init(&f, 5);
        f.workload.id = id;
        sampler_update(f.sampler, &f.workload);
        assert_null(sampler_get(f.sampler, "two"));
        sampler_get_stats(f.sampler, &stats);
        assert_int_equal(stats.refused, 1);
        sampler_take(f.sampler, "two", stats_new(STATS_FROM_RUNTIME)); /* dropped, not leaked */
        fixture_done(&f);
}

static void ticks_that_never_came_are_null_slots(void **state) {
        const struct series *series;
        struct sampler_stats stats;
        size_t nulls = 0;
        struct fixture f;

        fixture_init(&f, 50);
        run_samples(&f, 3);
        (void) usleep(10 * INTERVAL_US);
        run_samples(&f, 2);
        series = sampler_get(f.sampler, "one");
        for (size_t i = 0; i < ring_size(&series->ring); i++)
                nulls += isnan(ring_at(&series->ring, i)->memory_percent);
        sampler_get_stats(f.sampler, &stats);
        assert_true(stats.missed_ticks >= 8);
        assert_true(nulls >= 8);
        for (size_t i = 1; i < ring_size(&series->ring); i++)
                assert_true(ring_at(&series->ring, i)->at_us >
                                ring_at(&series->ring, i - 1)->at_us);
        fixture_done(&f);
}

static void assert_no_gap(const struct series *series) {
        for (size_t i = 1; i < ring_size(&series->ring); i++) {
                assert_int_equal(ring_at(&series->ring, i)->at_us -
                                                ring_at(&series->ring, i - 1)->at_us,
                                INTERVAL_US);
        }
}

static void a_clock_that_is_put_right_by_a_little_costs_no_sample(void **state) {
        static const int64_t steps_us[] = { -1000, -3000, 2000, -7000, 9000 };
        const struct series *series;
        struct sampler_stats stats;
        struct fixture f;

        fixture_init(&f, 200);
        run_samples(&f, 3);
        series = sampler_get(f.sampler, "one");
        for (size_t i = 0; i < ARRAY_SIZE(steps_us); i++) {
                clock_set_us += steps_us[i];
                run_samples(&f, 4);
        }
        assert_true(ring_size(&series->ring) >= 3 + 4 * ARRAY_SIZE(steps_us));
        assert_no_gap(series);
        sampler_get_stats(f.sampler, &stats);
        assert_int_equal(stats.clock_steps, 0);
        fixture_done(&f);
}

static void a_clock_that_is_set_forward_leaves_nulls_and_is_counted(void **state) {
        const struct series *series;
        struct sampler_stats stats;
        size_t nulls = 0;
        struct fixture f;

        fixture_init(&f, 200);
        run_samples(&f, 3);
        clock_set_us += 10 * (int64_t) INTERVAL_US;
        run_samples(&f, 3);
        series = sampler_get(f.sampler, "one");
        assert_no_gap(series);
        for (size_t i = 0; i < ring_size(&series->ring); i++)
                nulls += isnan(ring_at(&series->ring, i)->memory_percent);
        assert_true(nulls >= 10);
        assert_true(fabs((double) f.last.cpu_percent - 50) < 0.01);
        sampler_get_stats(f.sampler, &stats);
        assert_int_equal(stats.clock_steps, 1);

        clock_set_us += (int64_t) (400 * 86400 * USEC_PER_SEC);
        run_samples(&f, 1);
        assert_int_equal(ring_size(&series->ring), 200);
        assert_no_gap(series);
        fixture_done(&f);
}

static void a_clock_that_is_set_back_begins_the_ring_anew_and_is_counted(void **state) {
        const struct series *series;
        struct sampler_stats stats;
        uint64_t then_us;
        struct fixture f;

        fixture_init(&f, 2000);
        run_samples(&f, 5);
        then_us = f.last.at_us;
        clock_set_us -= 1000 * (int64_t) INTERVAL_US;
        f.last.at_us = 0;
        run_samples(&f, 2);
        series = sampler_get(f.sampler, "one");
        for (size_t i = 0; i < ring_size(&series->ring); i++)
                assert_true(ring_at(&series->ring, i)->at_us < then_us);
        assert_no_gap(series);
        assert_true(fabs((double) f.last.cpu_percent - 50) < 0.01);
        sampler_get_stats(f.sampler, &stats);
        assert_int_equal(stats.clock_steps, 1);
        fixture_done(&f);
}

static void counters_that_begin_anew_are_a_null_and_counted(void **state) {
        const struct series *series;
        struct fixture f;

        fixture_init(&f, 5);
        run_samples(&f, 2);
        f.cpu_ns = 0;
        run_samples(&f, 2);
        series = sampler_get(f.sampler, "one");
        assert_true(series->resets >= 1);
        run_samples(&f, 2);
        assert_true(fabs((double) f.last.cpu_percent - 50) < 0.01);
        fixture_done(&f);
}

static void a_round_is_one_span_and_what_is_read_for_it_is_in_it(void **state) {
        _cleanup_(spans_unrefp) struct spans *spans = span_json_make();
        _cleanup_(json_putp) struct json_object *all = NULL;
        struct json_object *round = NULL;
        struct fixture f;
        size_t n;

        fixture_init_traced(&f, 5, spans);
        run_samples(&f, 3);
        assert_null(spans_current(spans));
        all = span_json_all(spans, 100);
        n = json_object_array_length(all);
        assert_true(n >= 3);
        assert_int_equal(n, f.reads - 1); /* the first reading is before the first round */
        for (size_t i = 0; i < n; i++) {
                round = json_object_array_get_idx(all, i);
                assert_string_equal(json_get_string(round, "name"), "sampler round");
                assert_int_equal(json_get_int(round, "kind", 0), SPAN_INTERNAL);
                assert_null(json_get(round, "parentSpanId"));
                assert_string_equal(span_json_value(round, "virtwatch.samples", "intValue"), "1");
        }
        assert_string_equal(json_get_string(round, "spanId"), f.read_for);

        spans_configure(spans, NULL);
        run_samples(&f, 2);
        assert_string_equal(f.read_for, "");
        fixture_done(&f);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_slot_has_what_was_read_in_it),
                cmocka_unit_test(other_slots_keep_the_newest_and_other_times_none),
                cmocka_unit_test(the_kernel_stands_in_for_a_runtime_that_is_silent),
                cmocka_unit_test(between_rounds_a_guest_is_not_judged_by_what_the_host_sees),
                cmocka_unit_test(the_dead_get_no_slots_and_start_anew),
                cmocka_unit_test(the_number_of_workloads_is_bounded),
                cmocka_unit_test(ticks_that_never_came_are_null_slots),
                cmocka_unit_test(a_clock_that_is_put_right_by_a_little_costs_no_sample),
                cmocka_unit_test(a_clock_that_is_set_forward_leaves_nulls_and_is_counted),
                cmocka_unit_test(a_clock_that_is_set_back_begins_the_ring_anew_and_is_counted),
                cmocka_unit_test(counters_that_begin_anew_are_a_null_and_counted),
                cmocka_unit_test(a_round_is_one_span_and_what_is_read_for_it_is_in_it),
        };

        return RUN_TESTS(tests);
}
