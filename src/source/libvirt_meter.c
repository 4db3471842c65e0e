/* Reads all domains of one libvirt in bulk, on a worker thread with a connection of its own.
 *
 * A QEMU that hangs blocks any call that needs its monitor, without limit, NOWAIT or not, and with
 * it all domains behind it in a bulk call. So a round that passes its deadline is given up: its
 * worker stays in the call until libvirtd lets it go, and a new one with a fresh connection takes
 * over. As long as a call is stuck or a domain hung, each round first asks for every domain's
 * control info, which libvirtd answers without the monitor, and leaves out those that are occupied,
 * as the hung one is by the stuck call. At most STUCK_MAX calls may be stuck; then the monitor is
 * left alone, and only what needs none is read. */

#include <libvirt/virterror.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "loop/mailbox.h"
#include "source/libvirt_link.h"
#include "source/libvirt_stats.h"
#include "source/meter.h"

#define DEADLINE_US        (3 * USEC_PER_SEC)
#define DEADLINE_DOMAIN_US (20 * USEC_PER_MSEC)
#define STUCK_MAX          2
#define OCCUPIED_MS        2000
#define DOMAINS_MAX        20000
#define PACE               4  /* a round takes at most a fourth of the time */
#define OFF_ROUNDS         30 /* domains that are off are read each so many rounds */
#define RETRY_US           (5 * USEC_PER_SEC)
#define NOWAIT             (1U << 29) /* VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT */
#define GROUPS_MONITOR                                                                   \
        (VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_VCPU | \
                        VIR_DOMAIN_STATS_BLOCK)
#define GROUPS_QUIET (VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_INTERFACE)

struct domain_reading {
        char uuid[VIR_UUID_STRING_BUFLEN];
        struct stats *stats; /* NULL: only hung is told */
        bool hung;
        uint64_t hung_ms;
};

struct round {
        struct letter letter;
        struct worker *worker;
        struct domain_reading *readings;
        size_t n, failed;
        uint64_t took_us;
        bool over; /* the worker's last letter */
};

/* Shared by the meter and its thread; the last one frees it. */
struct worker {
        pthread_mutex_t lock;
        pthread_cond_t wake;
        unsigned int refs;       /* under lock */
        struct mailbox *mailbox; /* under lock; NULL: given up, or the meter is gone */
        bool wanted, quit;       /* under lock */
        bool quiet;              /* under lock: leave the monitors alone */
        bool careful;            /* under lock: ask for every domain's control info first */
        char *uri;
        bool write;
        int balloon_s;
        virConnectPtr connection; /* the thread's own */
        uint64_t retry_us;
        uint64_t n_rounds;
        struct map *balloon_set; /* uuid to domain id + 1: whose period is set */
};

struct hung {
        char uuid[VIR_UUID_STRING_BUFLEN];
        uint64_t seen_us; /* CLOCK_MONOTONIC */
};

struct libvirt_meter {
        struct meter meter;
        char *source, *uri;
        bool write;
        int balloon_s;
        uint64_t interval_us;
        struct worker *worker; /* the one that is asked */
        bool asked;
        uint64_t asked_us, not_before_us;
        size_t n_domains;
        struct map *hung; /* by uuid */
        struct mailbox *mailbox;
        struct worker *stuck[STUCK_MAX];
        struct meter_stats stats;
};

static struct libvirt_meter *libvirt_of(struct meter *meter) {
        return CONTAINER_OF(meter, struct libvirt_meter, meter);
}

/* ---- workers ---- */

static void worker_unref(struct worker *worker) {
        bool last;

        (void) pthread_mutex_lock(&worker->lock);
        last = --worker->refs == 0;
        (void) pthread_mutex_unlock(&worker->lock);
        if (!last)
                return;
        map_free(worker->balloon_set);
        (void) pthread_cond_destroy(&worker->wake);
        (void) pthread_mutex_destroy(&worker->lock);
        free(worker->uri);
        free(worker);
}

static struct round *round_free(struct round *round) {
        if (!round)
                return NULL;
        for (size_t i = 0; i < round->n; i++)
                stats_free(round->readings[i].stats);
        free(round->readings);
        free(round);
        return NULL;
}

static void round_post(struct worker *worker, struct round *round) {
        int r = -ESHUTDOWN;

        list_init(&round->letter.list);
        round->worker = worker;
        (void) pthread_mutex_lock(&worker->lock);
        if (worker->mailbox)
                r = mailbox_post(worker->mailbox, &round->letter);
        (void) pthread_mutex_unlock(&worker->lock);
        if (r < 0)
                round_free(round);
}

static bool worker_connect(struct worker *worker) {
        uint64_t now_us = clock_monotonic_us();

        if (worker->connection && virConnectIsAlive(worker->connection) == 1)
                return true;
        if (worker->connection)
                (void) virConnectClose(TAKE_PTR(worker->connection));
        if (now_us < worker->retry_us)
                return false;
        worker->connection = worker->write ? virConnectOpen(worker->uri)
                                           : virConnectOpenReadOnly(worker->uri);
        if (worker->connection)
                (void) virConnectSetKeepAlive(worker->connection, 5, 5);
        else
                worker->retry_us = now_us + RETRY_US;
        return worker->connection;
}

/* Ask QEMU to have the guest report its memory; once in each life. */
static void set_balloon_period(struct worker *worker, virDomainPtr domain, const char *uuid) {
        uintptr_t id = (uintptr_t) virDomainGetID(domain) + 1;

        if (!worker->write || !worker->balloon_s || id == 0 ||
                        (uintptr_t) map_get(worker->balloon_set, uuid) == id)
                return;
        (void) virDomainSetMemoryStatsPeriod(domain, worker->balloon_s, VIR_DOMAIN_AFFECT_LIVE);
        (void) map_remove(worker->balloon_set, uuid);
        if (map_size(worker->balloon_set) < DOMAINS_MAX)
                (void) map_put(worker->balloon_set, uuid, (void *) id);
}

static struct domain_reading *reading_of(struct round *round, virDomainPtr domain) {
        struct domain_reading *reading = &round->readings[round->n];

        *reading = (struct domain_reading){};
        if (virDomainGetUUIDString(domain, reading->uuid) < 0)
                return NULL;
        round->n++;
        return reading;
}

/* Drivers without bulk statistics, and domains that are off. */
static void complete(virDomainPtr domain, struct stats *stats) {
        virDomainInfo info;

        if (stats->cpu_ns != STATS_UNKNOWN && stats->balloon.current != STATS_UNKNOWN &&
                        stats->vcpus_current != STATS_UNKNOWN)
                return;
        if (virDomainGetInfo(domain, &info) < 0)
                return;
        if (stats->cpu_ns == STATS_UNKNOWN && virDomainGetID(domain) != (unsigned int) -1)
                stats->cpu_ns = info.cpuTime;
        if (stats->vcpus_current == STATS_UNKNOWN)
                stats->vcpus_current = info.nrVirtCpu;
        if (stats->balloon.current == STATS_UNKNOWN)
                stats->balloon.current = (uint64_t) info.memory * 1024;
        if (stats->balloon.maximum == STATS_UNKNOWN)
                stats->balloon.maximum = (uint64_t) info.maxMem * 1024;
        stats->cpus = (double) stats->vcpus_current;
}

static void take_record(struct worker *worker, struct round *round,
                const virDomainStatsRecord *record, uint64_t mono_us, bool quiet) {
        struct domain_reading *reading = reading_of(round, record->dom);
        struct stats *stats = reading ? stats_new(STATS_FROM_RUNTIME) : NULL;

        if (!stats) {
                round->failed++;
                return;
        }
        reading->stats = stats;
        libvirt_stats_parse(record->params, record->nparams, stats);
        stats->mono_us = mono_us;
        stats->at_us = clock_realtime_us();
        stats->life = (uint64_t) virDomainGetID(record->dom);
        if (quiet)
                return;
        complete(record->dom, stats);
        set_balloon_period(worker, record->dom, reading->uuid);
}

enum control {
        CONTROL_READY,
        CONTROL_OCCUPIED,
        CONTROL_HUNG,
        CONTROL_OFF
};

/* How its monitor is, without asking the monitor. */
static enum control control_of(virDomainPtr domain, bool careful, uint64_t *ret_ms) {
        virDomainControlInfo info = {};

        if (virDomainGetID(domain) == (unsigned int) -1)
                return CONTROL_OFF;
        if (!careful)
                return CONTROL_READY;
        if (virDomainGetControlInfo(domain, &info, 0) < 0)
                return CONTROL_READY; /* a driver that has no monitor */
        *ret_ms = info.stateTime;
        if (info.state == VIR_DOMAIN_CONTROL_ERROR)
                return CONTROL_HUNG;
        if (info.state != VIR_DOMAIN_CONTROL_OCCUPIED)
                return CONTROL_READY;
        return info.stateTime >= OCCUPIED_MS ? CONTROL_HUNG : CONTROL_OCCUPIED;
}

static void read_hung(struct round *round, virDomainPtr domain, uint64_t ms) {
        struct domain_reading *reading = reading_of(round, domain);

        if (!reading)
                return;
        reading->hung = true;
        reading->hung_ms = ms;
}

/* What a domain that is off was given. Its images are not touched: they may lie on storage that
 * hangs. */
static void read_off(struct round *round, virDomainPtr domain) {
        struct domain_reading *reading = reading_of(round, domain);

        if (!reading)
                return;
        reading->stats = stats_new(STATS_FROM_RUNTIME);
        if (reading->stats)
                complete(domain, reading->stats);
}

static void read_ready(struct worker *worker, struct round *round, virDomainPtr *ready, int n,
                bool quiet) {
        virDomainStatsRecordPtr *records = NULL;
        uint64_t before_us = clock_monotonic_us(), mono_us;
        int n_records;

        n_records = virDomainListGetStats(ready,
                        quiet ? GROUPS_QUIET : GROUPS_QUIET | GROUPS_MONITOR, &records, NOWAIT);
        mono_us = before_us + (clock_monotonic_us() - before_us) / 2;
        for (int i = 0; i < n_records; i++)
                take_record(worker, round, records[i], mono_us, quiet);
        if (n_records < 0)
                round->failed += (size_t) n;
        if (records)
                virDomainStatsRecordListFree(records);
}

static void read_domains(struct worker *worker, struct round *round, virDomainPtr *domains, int n,
                bool quiet, bool careful) {
        virDomainPtr *ready = calloc((size_t) n + 1, sizeof(virDomainPtr));
        bool with_off = worker->n_rounds++ % OFF_ROUNDS == 0;
        int n_ready = 0;

        for (int i = 0; ready && i < n; i++) {
                uint64_t ms = 0;

                switch (control_of(domains[i], careful, &ms)) {
                case CONTROL_HUNG:
                        read_hung(round, domains[i], ms);
                        break;
                case CONTROL_READY:
                        ready[n_ready++] = domains[i];
                        break;
                case CONTROL_OFF:
                        if (with_off)
                                read_off(round, domains[i]);
                        break;
                case CONTROL_OCCUPIED:
                        break; /* by someone else's call; the next round will know */
                }
        }
        if (n_ready)
                read_ready(worker, round, ready, n_ready, quiet);
        free(ready);
}

static void worker_round(struct worker *worker, bool quiet, bool careful) {
        struct round *round = calloc(1, sizeof(*round));
        uint64_t begin_us = clock_monotonic_us();
        virDomainPtr *domains = NULL;
        int n = 0;

        if (!round)
                return;
        if (worker_connect(worker))
                n = virConnectListAllDomains(worker->connection, &domains, 0);
        if (n > 0 && n <= DOMAINS_MAX) {
                round->readings = calloc((size_t) n + 1, sizeof(*round->readings));
                if (round->readings)
                        read_domains(worker, round, domains, n, quiet, careful);
        }
        for (int i = 0; i < n; i++)
                (void) virDomainFree(domains[i]);
        free(domains);
        round->took_us = clock_monotonic_us() - begin_us;
        round_post(worker, round);
}

static void *worker_main(void *userdata) {
        struct worker *worker = userdata;
        struct round *last;
        bool quit, quiet, careful;

        for (;;) {
                (void) pthread_mutex_lock(&worker->lock);
                while (!worker->quit && !worker->wanted)
                        (void) pthread_cond_wait(&worker->wake, &worker->lock);
                quit = worker->quit;
                quiet = worker->quiet;
                careful = worker->careful;
                worker->wanted = false;
                (void) pthread_mutex_unlock(&worker->lock);
                if (quit)
                        break;
                worker_round(worker, quiet, careful);
        }
        if (worker->connection)
                (void) virConnectClose(worker->connection);
        last = calloc(1, sizeof(*last));
        if (last) {
                last->over = true;
                round_post(worker, last);
        }
        worker_unref(worker);
        return NULL;
}

static struct worker *worker_new(struct libvirt_meter *meter) {
        struct worker *worker = calloc(1, sizeof(*worker));
        pthread_attr_t attributes;
        pthread_t thread;
        int r;

        if (!worker)
                return NULL;
        (void) pthread_mutex_init(&worker->lock, NULL);
        (void) pthread_cond_init(&worker->wake, NULL);
        worker->refs = 2;
        worker->mailbox = meter->mailbox;
        worker->write = meter->write;
        worker->balloon_s = meter->balloon_s;
        worker->uri = strdup(meter->uri);
        if (!worker->uri || map_new(&worker->balloon_set) < 0)
                r = ENOMEM;
        else
                r = pthread_attr_init(&attributes);
        if (r == 0) {
                (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
                r = pthread_create(&thread, &attributes, worker_main, worker);
                (void) pthread_attr_destroy(&attributes);
        }
        if (r != 0) {
                worker->refs = 1;
                worker_unref(worker);
                return NULL;
        }
        return worker;
}

/* The meter's end of it: it ends when its call lets it. */
static void worker_dismiss(struct worker *worker, bool silent) {
        (void) pthread_mutex_lock(&worker->lock);
        worker->quit = true;
        if (silent)
                worker->mailbox = NULL;
        (void) pthread_cond_signal(&worker->wake);
        (void) pthread_mutex_unlock(&worker->lock);
}

/* ---- the loop ---- */

static void set_hung(struct libvirt_meter *meter, const struct domain_reading *reading) {
        struct hung *hung = map_get(meter->hung, reading->uuid);
        const struct meter_env *env = meter->meter.env;

        if (reading->hung && !hung) {
                hung = calloc(1, sizeof(*hung));
                if (!hung)
                        return;
                (void) snprintf(hung->uuid, sizeof(hung->uuid), "%s", reading->uuid);
                if (map_put(meter->hung, reading->uuid, hung) < 0) {
                        free(hung);
                        return;
                }
                env->hung(meter->source, reading->uuid, true,
                                clock_realtime_us() - reading->hung_ms * USEC_PER_MSEC,
                                env->userdata);
        } else if (!reading->hung && hung) {
                (void) map_remove(meter->hung, reading->uuid);
                free(hung);
                env->hung(meter->source, reading->uuid, false, 0, env->userdata);
        }
}

static void worker_over(struct libvirt_meter *meter, struct worker *worker) {
        for (size_t i = 0; i < STUCK_MAX; i++) {
                if (meter->stuck[i] == worker) {
                        meter->stuck[i] = NULL;
                        meter->stats.stuck--;
                        worker_unref(worker);
                }
        }
}

static void deliver(struct letter *letter, void *userdata) {
        struct round *round = CONTAINER_OF(letter, struct round, letter);
        struct libvirt_meter *meter = userdata;
        uint64_t pause_us = round->took_us * PACE;

        if (round->over) {
                worker_over(meter, round->worker);
                round_free(round);
                return;
        }
        if (round->worker == meter->worker) {
                meter->asked = false;
                meter->not_before_us =
                                pause_us > meter->interval_us ? clock_monotonic_us() + pause_us : 0;
                meter->n_domains = round->n;
                meter->stats.last_us = round->took_us;
        }
        meter->stats.reads++;
        meter->stats.failed += round->failed;
        for (size_t i = 0; i < round->n; i++) {
                struct domain_reading *reading = &round->readings[i];

                /* What a call says that came back after its time is old. */
                if (round->worker != meter->worker)
                        continue;
                set_hung(meter, reading);
                if (reading->stats)
                        meter->meter.env->post(meter->source, reading->uuid,
                                        TAKE_PTR(reading->stats), meter->meter.env->userdata);
        }
        meter->stats.hung = map_size(meter->hung);
        round_free(round);
}

/* The round has passed its deadline: give its worker up, if there is room for one more. */
static void give_up(struct libvirt_meter *meter) {
        for (size_t i = 0; i < STUCK_MAX; i++) {
                if (meter->stuck[i])
                        continue;
                log_warn("libvirt %s has not answered for %ju ms, on a new connection now",
                                meter->uri,
                                (uintmax_t) ((clock_monotonic_us() - meter->asked_us) /
                                                USEC_PER_MSEC));
                meter->stuck[i] = TAKE_PTR(meter->worker);
                meter->stats.stuck++;
                worker_dismiss(meter->stuck[i], false);
                meter->asked = false;
                return;
        }
}

static void libvirt_meter_read(struct meter *base) {
        struct libvirt_meter *meter = libvirt_of(base);
        uint64_t now_us = clock_monotonic_us(),
                 deadline_us = DEADLINE_US + meter->n_domains * DEADLINE_DOMAIN_US;
        bool is_new;

        if (meter->asked && now_us > meter->asked_us + deadline_us)
                give_up(meter);
        if (meter->asked || now_us < meter->not_before_us) {
                meter->stats.skipped++;
                return;
        }
        is_new = !meter->worker;
        if (is_new)
                meter->worker = worker_new(meter);
        if (!meter->worker)
                return;
        meter->asked = true;
        meter->asked_us = now_us;
        (void) pthread_mutex_lock(&meter->worker->lock);
        meter->worker->wanted = true;
        meter->worker->quiet = meter->stats.stuck >= STUCK_MAX;
        meter->worker->careful = is_new || meter->stats.stuck || meter->stats.hung;
        (void) pthread_cond_signal(&meter->worker->wake);
        (void) pthread_mutex_unlock(&meter->worker->lock);
}

static void libvirt_meter_unwatch(struct meter *base, const struct workload *workload) {
        struct libvirt_meter *meter = libvirt_of(base);

        if (strcmp(workload->source, meter->source) == 0)
                free(map_remove(meter->hung, workload->native_id)); /* it ended, not recovered */
}

static void libvirt_meter_get_stats(struct meter *base, struct meter_stats *ret_stats) {
        *ret_stats = libvirt_of(base)->stats;
}

static void libvirt_meter_free(struct meter *base) {
        struct libvirt_meter *meter = libvirt_of(base);
        struct hung *hung;

        for (size_t i = 0; i <= STUCK_MAX; i++) {
                struct worker *worker = i < STUCK_MAX ? meter->stuck[i] : meter->worker;

                if (!worker)
                        continue;
                worker_dismiss(worker, true);
                worker_unref(worker);
                if (i < STUCK_MAX)
                        meter->stuck[i] = NULL;
        }
        meter->worker = NULL;
        mailbox_free(meter->mailbox);
        if (meter->hung)
                map_for_each(hung, meter->hung)
                        free(hung);
        map_free(meter->hung);
        free(meter->source);
        free(meter->uri);
        free(meter);
}

static int libvirt_meter_create(const struct meter_config *config, const struct meter_env *env,
                struct meter **ret_meter) {
        struct libvirt_meter *meter;
        int r;

        if (!config->source || !config->address)
                return -EINVAL;
        meter = calloc(1, sizeof(*meter));
        if (!meter)
                return -ENOMEM;

        meter->meter = (struct meter){ .ops = &libvirt_meter_ops, .env = env };
        meter->write = config->write;
        meter->interval_us = config->interval_us;
        meter->balloon_s = (int) (config->balloon_us / USEC_PER_SEC);
        meter->source = strdup(config->source);
        meter->uri = strdup(config->address);
        r = meter->source && meter->uri ? map_new(&meter->hung) : -ENOMEM;
        if (r >= 0)
                r = mailbox_new(env->event, 64, deliver, meter, &meter->mailbox);
        if (r >= 0)
                r = libvirt_events_start();
        if (r < 0) {
                libvirt_meter_free(&meter->meter);
                return r;
        }
        *ret_meter = &meter->meter;
        return 0;
}

const struct meter_ops libvirt_meter_ops = {
        .name = "libvirt",
        .create = libvirt_meter_create,
        .free = libvirt_meter_free,
        .unwatch = libvirt_meter_unwatch,
        .read = libvirt_meter_read,
        .get_stats = libvirt_meter_get_stats,
};
