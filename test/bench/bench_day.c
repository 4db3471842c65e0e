/* A day in fast time: the tracker, the sampler, the journal and the feed as the daemon joins them,
 * on a clock that goes on by a tenth of a second with each turn of the loop. Steady containers are
 * read each second, others come, die and go all day, and some of the steady ones restart. What is
 * allocated and what is resident is printed for every third hour, and must not grow. See README.md.
 */

#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <string.h>
#include <sys/syscall.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "engine/counters.h"
#include "engine/feed.h"
#include "engine/sampler.h"
#include "engine/tracker.h"
#include "model/spans.h"
#include "store/journal.h"

#define TURN_US       (100 * USEC_PER_MSEC)
#define HOUR_US       (3600 * USEC_PER_SEC)
#define HEARTBEAT_US  (500 * USEC_PER_MSEC)
#define QUEUE_WORTH   2000 /* entries: the day waits for the disk */
#define STEADY_MAX    10000
#define GROWTH_MAX    (1U << 20) /* bytes from the third hour to the last */
#define JOURNAL_BYTES (32U << 20)

struct day {
        unsigned int n_steady, hours;
        sd_event *event;
        struct tracker *tracker;
        struct sampler *sampler;
        struct journal *journal;
        struct feed *feed;
        struct counters *counters;
        struct spans *spans;
        bool traced; /* spans are made, and thrown away as fast as a collector takes them */
        uint64_t begin_us, next_second_us, next_hour_us;
        uint64_t n_seconds, early_bytes, last_bytes;
};

/* ---- the clock ---- */

static uint64_t passed_us;

/* Stands before libc's for all of the process, sd-event among it. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): libc's are reserved */
__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *now) {
        uint64_t passed = __atomic_load_n(&passed_us, __ATOMIC_RELAXED);
        uint64_t ns;

        if (syscall(SYS_clock_gettime, clock, now) < 0)
                return -1;
        if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME)
                return 0;
        ns = (uint64_t) now->tv_nsec + passed % USEC_PER_SEC * 1000;
        now->tv_sec += (time_t) (passed / USEC_PER_SEC + ns / 1000000000);
        now->tv_nsec = (long) (ns % 1000000000);
        return 0;
}

static _Noreturn void die(const char *what) {
        perror(what);
        _exit(1);
}

static void must(int r, const char *what) {
        if (r < 0) {
                errno = -r;
                die(what);
        }
}

/* ---- as the manager joins them ---- */

static int on_emit(const struct tracker_output *output, void *userdata) {
        _cleanup_(json_putp) struct json_object *frozen = NULL;
        struct day *day = userdata;
        struct journal_entry entry = { .event = output->event,
                .source = output->cursor ? output->source : NULL,
                .cursor = output->cursor,
                .workload_id = output->forget };

        if (output->workload) {
                frozen = workload_freeze(output->workload);
                entry.workload_id = output->workload->id;
                entry.workload_state = json_text(frozen);
                sampler_update(day->sampler, output->workload);
        }
        if (output->forget)
                sampler_forget(day->sampler, output->forget);
        return journal_append(day->journal, &entry);
}

static void on_committed(struct event *const *events, size_t n, void *userdata) {
        struct day *day = userdata;

        for (size_t i = 0; i < n; i++)
                counters_add(day->counters, events[i]);
        feed_publish(day->feed, events, n);
}

static int on_heartbeat(sd_event_source *source, uint64_t time_us, void *userdata) {
        struct day *day = userdata;
        struct buf sent = BUF_INIT(4U << 20);

        if (day->traced)
                (void) spans_take(day->spans, 512, &sent);
        buf_done(&sent);
        if (feed_trim(day->feed, 1000) > 1000)
                (void) malloc_trim(0);
        (void) sd_event_source_set_time_relative(source, HEARTBEAT_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* A container's control group and its devices, a second later than last time. */
static void on_read(void *userdata) {
        struct day *day = userdata;
        struct workload *workload;

        inventory_for_each(workload, tracker_inventory(day->tracker)) {
                struct stats *stats;
                struct stats_block *block;
                struct stats_net *net;

                if (workload->state != STATE_RUNNING)
                        continue;
                stats = stats_new(STATS_FROM_KERNEL);
                if (!stats)
                        die("memory");
                stats->at_us = clock_realtime_us();
                stats->mono_us = clock_monotonic_us();
                stats->life = workload->started_us;
                stats->cpu_ns = (stats->at_us - workload->started_us) * 300;
                stats->cpus = 2;
                stats->memory_bytes = 64U << 20;
                stats->memory_limit_bytes = 256U << 20;
                stats->has_devices = true;
                net = stats_add_net(stats, "eth0");
                block = stats_add_block(stats, "8:0");
                if (!net || !block)
                        die("memory");
                net->rx_bytes = block->read_bytes = stats->cpu_ns / 1000;
                sampler_take(day->sampler, workload->id, stats);
        }
}

/* ---- what happens all day ---- */

static void tell(struct day *day, const struct fact *what, uint64_t number, const char *word) {
        char id[65], name[32], origin[64], cursor[32];
        struct fact fact = *what;

        (void) snprintf(id, sizeof(id), "%064" PRIx64, number);
        (void) snprintf(name, sizeof(name), "job-%" PRIu64, number);
        (void) snprintf(origin, sizeof(origin), "%" PRIu64 "/%" PRIu64 "/%s", clock_realtime_us(),
                        number, word);
        (void) snprintf(cursor, sizeof(cursor), "%" PRIu64, clock_realtime_us());
        fact.time_us = clock_realtime_us();
        fact.origin = origin;
        fact.cursor = cursor;
        fact.workload.kind = WORKLOAD_CONTAINER;
        fact.workload.native_id = id;
        fact.workload.name = name;
        fact.workload.runtime = "docker";
        fact.workload.image = "registry/app:1";
        tracker_post(day->tracker, "docker", &fact);
}

static void tell_started(struct day *day, uint64_t number) {
        struct fact fact = FACT_INIT(FACT_ACTION);

        fact.action = "started";
        fact.workload.state = STATE_RUNNING;
        fact.workload.started_us = clock_realtime_us();
        fact.workload.pid = (uint32_t) (1000 + number % 1000000);
        tell(day, &fact, number, "start");
}

static void tell_created(struct day *day, uint64_t number) {
        struct fact fact = FACT_INIT(FACT_ACTION);

        fact.action = "created";
        fact.workload.state = STATE_CREATED;
        tell(day, &fact, number, "create");
}

static void tell_died(struct day *day, uint64_t number) {
        struct fact fact = FACT_INIT(FACT_EXIT);

        fact.how = EXIT_PROCESS;
        fact.code = (int) (number % 4);
        tell(day, &fact, number, "die");
}

static void tell_removed(struct day *day, uint64_t number) {
        struct fact fact = FACT_INIT(FACT_REMOVED);

        tell(day, &fact, number, "destroy");
}

/* Each second one job comes; it lives for 20 s and is removed 10 s later. Each minute one of the
 * steady ones is restarted. */
static void one_second(struct day *day) {
        const uint64_t i = STEADY_MAX + day->n_seconds++;

        tell_created(day, i);
        tell_started(day, i);
        if (i >= STEADY_MAX + 20)
                tell_died(day, i - 20);
        if (i >= STEADY_MAX + 30)
                tell_removed(day, i - 30);
        if (i % 60 == 0) {
                tell_died(day, i / 60 % day->n_steady);
                tell_started(day, i / 60 % day->n_steady);
        }
}

static uint64_t resident_kib(void) {
        unsigned long pages = 0;
        FILE *file = fopen("/proc/self/statm", "re");

        if (!file || fscanf(file, "%*u %lu", &pages) != 1) /* NOLINT(cert-err34-c): the kernel's */
                die("statm");
        (void) fclose(file);
        return pages * (uint64_t) sysconf(_SC_PAGESIZE) / 1024;
}

static void one_hour(struct day *day, uint64_t hour) {
        struct tracker_stats tracker;
        struct sampler_stats sampler;
        struct journal_stats journal;

        (void) malloc_trim(0);
        day->last_bytes = mallinfo2().uordblks + mallinfo2().hblkhd;
        if (hour <= 3)
                day->early_bytes = day->last_bytes;
        if (hour % 3)
                return;
        tracker_get_stats(day->tracker, &tracker);
        sampler_get_stats(day->sampler, &sampler);
        journal_get_stats(day->journal, &journal);
        (void) printf("hour %2" PRIu64 ": %zu workloads, %" PRIu64 " events, %" PRIu64
                      " slots; allocated %.2f MiB, resident %.1f MiB, journal %.0f MiB\n",
                        hour, inventory_size(tracker_inventory(day->tracker)), tracker.events,
                        sampler.samples, (double) day->last_bytes / (1 << 20),
                        (double) resident_kib() / 1024, (double) journal.bytes / (1 << 20));
        (void) fflush(stdout);
}

static int on_turn(sd_event_source *source, void *userdata) {
        struct day *day = userdata;
        struct journal_stats stats;

        journal_get_stats(day->journal, &stats);
        if (stats.queued > QUEUE_WORTH)
                return 0;
        __atomic_fetch_add(&passed_us, TURN_US, __ATOMIC_RELAXED);
        while (clock_monotonic_us() >= day->next_second_us) {
                day->next_second_us += USEC_PER_SEC;
                one_second(day);
        }
        if (clock_monotonic_us() >= day->next_hour_us) {
                day->next_hour_us += HOUR_US;
                one_hour(day, (day->next_hour_us - day->begin_us) / HOUR_US - 1);
        }
        if (clock_monotonic_us() >= day->begin_us + day->hours * HOUR_US)
                return sd_event_exit(day->event, 0);
        return 0;
}

static void set_up(struct day *day, const char *folder) {
        const struct tracker_config tracker = { .evidence_wait_us = 250 * USEC_PER_MSEC,
                .workloads_max = 20000,
                .origins_max = 16384 };
        const struct tracker_hooks hooks = { .emit = on_emit, .userdata = day };
        const struct sampler_config sampler = {
                .interval_us = USEC_PER_SEC, .slots = 30, .workloads_max = 20000
        };
        struct sampler_hooks readings = { .read = on_read, .userdata = day };
        struct fact up = FACT_INIT(FACT_SOURCE);
        sd_event_source *turn;
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/events.db", folder);
        must(sd_event_new(&day->event), "loop");
        must(spans_new(&day->spans), "spans");
        if (day->traced)
                spans_configure(day->spans, &(struct trace_sampling) TRACE_SAMPLING_DEFAULT);
        readings.spans = day->spans;
        must(counters_new(&day->counters), "counters");
        must(feed_new(65536, 64U << 20, &day->feed), "feed"); /* as the daemon has it */
        must(journal_open(&(struct journal_config){ .path = path,
                                          .retention_bytes = JOURNAL_BYTES },
                             day->event, on_committed, day, &day->journal),
                        "journal");
        journal_set_spans(day->journal, day->spans);
        must(tracker_new(&tracker, day->event, &hooks, &day->tracker), "tracker");
        must(sampler_new(&sampler, day->event, &readings, &day->sampler), "sampler");
        must(tracker_add_source(day->tracker, "docker", true, false), "source");
        up.source_state = SOURCE_UP;
        tracker_post(day->tracker, "docker", &up);
        for (unsigned int i = 0; i < day->n_steady; i++) {
                tell_created(day, i);
                tell_started(day, i);
        }
        must(sampler_start(day->sampler), "sampler");
        must(sd_event_add_time_relative(
                             day->event, NULL, CLOCK_MONOTONIC, HEARTBEAT_US, 0, on_heartbeat, day),
                        "heartbeat");
        must(sd_event_add_defer(day->event, &turn, on_turn, day), "turn");
        must(sd_event_source_set_enabled(turn, SD_EVENT_ON), "turn");
        /* after all that is due at the moment the turn before has reached */
        must(sd_event_source_set_priority(turn, SD_EVENT_PRIORITY_IDLE), "turn");
        day->begin_us = clock_monotonic_us();
        day->next_second_us = day->begin_us + USEC_PER_SEC;
        day->next_hour_us = day->begin_us + HOUR_US;
}

static unsigned int number(const char *text, uint64_t max) {
        uint64_t value;

        if (text_to_u64(text, &value) < 0 || value < 1 || value > max) {
                (void) fprintf(stderr, "%s: is a number from 1 to %" PRIu64 "\n", text, max);
                _exit(2);
        }
        return (unsigned int) value;
}

int main(int argc, char **argv) {
        struct day day = { .n_steady = 100, .hours = 24 };
        const char *folder = NULL;
        int option;

        while ((option = getopt(argc, argv, "d:n:h:t")) >= 0) {
                if (option == 'd')
                        folder = optarg;
                else if (option == 'n')
                        day.n_steady = number(optarg, STEADY_MAX);
                else if (option == 'h')
                        day.hours = number(optarg, 1000);
                else if (option == 't')
                        day.traced = true;
                else
                        return 2;
        }
        if (!folder) {
                (void) fprintf(stderr, "-d FOLDER, -n steady workloads, -h hours, -t traces\n");
                return 2;
        }
        (void) mallopt(M_ARENA_MAX, 2); /* as the daemon */
        set_up(&day, folder);
        must(sd_event_loop(day.event), "loop");
        (void) printf("from the third hour on %+" PRId64 " KiB allocated\n",
                        ((int64_t) day.last_bytes - (int64_t) day.early_bytes) / 1024);
        tracker_flush(day.tracker);
        journal_close(day.journal);
        sampler_free(day.sampler);
        tracker_free(day.tracker);
        feed_free(day.feed);
        counters_free(day.counters);
        sd_event_unref(day.event);
        spans_unref(day.spans);
        return day.last_bytes > day.early_bytes + GROWTH_MAX;
}
