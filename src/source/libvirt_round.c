/* Bulk statistics first; what they do not say, and what drivers without them do not, call by call.
 */

#include "source/libvirt_round.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "source/libvirt_link.h"
#include "source/libvirt_stats.h"

#define OCCUPIED_MS 2000
/* How long a domain is left out once it hung. A QEMU that answers late, again and again, would
 * otherwise cost all others a deadline each time. No multiple of the 30 s that libvirtd waits for a
 * job. */
#define LEFT_OUT_US (40 * USEC_PER_SEC)
#define NOWAIT      (1U << 29) /* VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT */
#define GROUPS_MONITOR                                                                   \
        (VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_VCPU | \
                        VIR_DOMAIN_STATS_BLOCK)
#define GROUPS_QUIET (VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_INTERFACE)

/* A domain that hung. */
struct left_out {
        char uuid[VIR_UUID_STRING_BUFLEN];
        unsigned int life; /* domain id */
        uint64_t until_us; /* CLOCK_MONOTONIC */
        uint64_t round;    /* that it was seen in last */
};

struct libvirt_round_memory {
        int balloon_s;
        struct map *balloon_set; /* uuid to domain id + 1: whose period is set */
        struct map *left_out;    /* by uuid */
        uint64_t n_rounds;
};

struct round {
        struct libvirt_worker *worker;
        struct libvirt_round_memory *memory;
        struct libvirt_readings *readings;
        bool quiet, careful;
        bool each; /* calls about one domain may be made */
};

struct libvirt_readings *libvirt_readings_free(struct libvirt_readings *readings) {
        if (!readings)
                return NULL;
        for (size_t i = 0; i < readings->n; i++)
                stats_free(readings->readings[i].stats);
        free(readings->readings);
        free(readings);
        return NULL;
}

struct libvirt_round_memory *libvirt_round_memory_free(struct libvirt_round_memory *memory) {
        struct left_out *left_out;

        if (!memory)
                return NULL;
        if (memory->left_out)
                map_for_each(left_out, memory->left_out)
                        free(left_out);
        map_free(memory->left_out);
        map_free(memory->balloon_set);
        free(memory);
        return NULL;
}

struct libvirt_round_memory *libvirt_round_memory_new(int balloon_s) {
        struct libvirt_round_memory *memory = calloc(1, sizeof(*memory));

        if (!memory || map_new(&memory->balloon_set) < 0 || map_new(&memory->left_out) < 0)
                return libvirt_round_memory_free(memory);
        memory->balloon_s = balloon_s;
        return memory;
}

/* Ask QEMU to have the guest report its memory; once in each life. */
static void set_balloon_period(
                struct libvirt_round_memory *memory, virDomainPtr domain, const char *uuid) {
        uintptr_t id = (uintptr_t) virDomainGetID(domain) + 1;

        if (!memory->balloon_s || id == 0 || (uintptr_t) map_get(memory->balloon_set, uuid) == id)
                return;
        (void) virDomainSetMemoryStatsPeriod(domain, memory->balloon_s, VIR_DOMAIN_AFFECT_LIVE);
        (void) map_remove(memory->balloon_set, uuid);
        if (map_size(memory->balloon_set) < LIBVIRT_DOMAINS_MAX)
                (void) map_put(memory->balloon_set, uuid, (void *) id);
}

static struct libvirt_reading *reading_of(struct libvirt_readings *readings, virDomainPtr domain) {
        struct libvirt_reading *reading = &readings->readings[readings->n];

        *reading = (struct libvirt_reading){};
        if (virDomainGetUUIDString(domain, reading->uuid) < 0)
                return NULL;
        readings->n++;
        return reading;
}

void libvirt_round_complete(virDomainPtr domain, struct stats *stats) {
        uint64_t before_us = clock_monotonic_us();
        virDomainInfo info;

        if (stats->cpu_ns != STATS_UNKNOWN && stats->balloon.current != STATS_UNKNOWN &&
                        stats->vcpus_current != STATS_UNKNOWN)
                return;
        if (virDomainGetInfo(domain, &info) < 0)
                return;
        if (stats->cpu_ns == STATS_UNKNOWN && virDomainGetID(domain) != (unsigned int) -1) {
                stats->cpu_ns = info.cpuTime;
                stats->mono_us = before_us + (clock_monotonic_us() - before_us) / 2;
        }
        if (stats->vcpus_current == STATS_UNKNOWN)
                stats->vcpus_current = info.nrVirtCpu;
        if (stats->balloon.current == STATS_UNKNOWN)
                stats->balloon.current = (uint64_t) info.memory * 1024;
        if (stats->balloon.maximum == STATS_UNKNOWN)
                stats->balloon.maximum = (uint64_t) info.maxMem * 1024;
        stats->cpus = (double) stats->vcpus_current;
}

static struct stats *reading_begin(
                struct round *round, virDomainPtr domain, uint64_t mono_us, char **ret_uuid) {
        struct libvirt_reading *reading = reading_of(round->readings, domain);
        struct stats *stats = reading ? stats_new(STATS_FROM_RUNTIME) : NULL;

        if (!stats) {
                round->readings->failed++;
                return NULL;
        }
        reading->stats = stats;
        stats->mono_us = mono_us;
        stats->at_us = clock_realtime_us();
        stats->life = (uint64_t) virDomainGetID(domain);
        *ret_uuid = reading->uuid;
        return stats;
}

static void take_record(struct round *round, const virDomainStatsRecord *record, uint64_t mono_us) {
        char *uuid;
        struct stats *stats = reading_begin(round, record->dom, mono_us, &uuid);

        if (!stats)
                return;
        libvirt_stats_parse(record->params, record->nparams, stats);
        if (round->quiet)
                return;
        if (round->each)
                libvirt_each_read(record->dom, false, stats);
        libvirt_round_complete(record->dom, stats);
        if (stats->memory_bytes == STATS_UNKNOWN)
                stats->memory_bytes = stats->balloon.rss; /* what the host gave its QEMU */
        set_balloon_period(round->memory, record->dom, uuid);
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

/* NULL: it has not hung in this life. */
static struct left_out *left_out_of(struct round *round, virDomainPtr domain) {
        struct map *all = round->memory->left_out;
        char uuid[VIR_UUID_STRING_BUFLEN];
        struct left_out *left_out;

        if (map_size(all) == 0 || virDomainGetUUIDString(domain, uuid) < 0)
                return NULL;
        left_out = map_get(all, uuid);
        if (!left_out)
                return NULL;
        if (left_out->life != virDomainGetID(domain)) {
                free(map_remove(all, uuid));
                return NULL;
        }
        left_out->round = round->memory->n_rounds;
        return left_out;
}

static void leave_out(struct round *round, virDomainPtr domain, const char *uuid) {
        struct left_out *left_out = calloc(1, sizeof(*left_out));

        if (!left_out)
                return;
        *left_out = (struct left_out){ .life = virDomainGetID(domain),
                .until_us = clock_monotonic_us() + LEFT_OUT_US,
                .round = round->memory->n_rounds };
        (void) snprintf(left_out->uuid, sizeof(left_out->uuid), "%s", uuid);
        if (map_put(round->memory->left_out, uuid, left_out) < 0)
                free(left_out);
}

static void forget_gone(struct libvirt_round_memory *memory) {
        struct left_out *left_out;

        map_for_each(left_out, memory->left_out) {
                if (left_out->round == memory->n_rounds)
                        continue;
                (void) map_remove(memory->left_out, left_out->uuid);
                free(left_out);
        }
}

static void read_hung(struct round *round, virDomainPtr domain, uint64_t ms) {
        struct libvirt_reading *reading = reading_of(round->readings, domain);

        if (!reading)
                return;
        reading->hung = true;
        reading->hung_ms = ms;
        if (!left_out_of(round, domain))
                leave_out(round, domain, reading->uuid);
}

/* Whether it is to be asked again. One that is not, and answers, is told as such. */
static bool is_back(struct round *round, virDomainPtr domain) {
        struct left_out *left_out = left_out_of(round, domain);

        if (!left_out)
                return true;
        if (clock_monotonic_us() < left_out->until_us) {
                (void) reading_of(round->readings, domain);
                return false;
        }
        left_out->round = 0; /* it may hang anew */
        return true;
}

/* A driver without bulk statistics (LXC). */
static void read_each(struct round *round, virDomainPtr *ready, int n) {
        for (int i = 0; i < n; i++) {
                int state = 0;
                char *uuid;
                struct stats *stats = reading_begin(round, ready[i], clock_monotonic_us(), &uuid);

                if (!stats)
                        continue;
                libvirt_each_read(ready[i], true, stats);
                libvirt_round_complete(ready[i], stats);
                if (virDomainGetState(ready[i], &state, NULL, 0) >= 0)
                        stats->paused = state == VIR_DOMAIN_PAUSED;
        }
}

static void read_ready(struct round *round, virDomainPtr *ready, int n) {
        virDomainStatsRecordPtr *records = NULL;
        struct span *span = libvirt_worker_span(round->worker, "stats");
        uint64_t before_us = clock_monotonic_us(), mono_us;
        int n_records;

        span_add_int(span, "virtwatch.domains", n);
        n_records = virDomainListGetStats(ready,
                        round->quiet ? GROUPS_QUIET : GROUPS_QUIET | GROUPS_MONITOR, &records,
                        NOWAIT);
        if (n_records < 0 && round->each && virGetLastErrorCode() == VIR_ERR_NO_SUPPORT) {
                read_each(round, ready, n);
                libvirt_span_end(span, 0, NULL);
                return;
        }
        libvirt_span_end(span, n_records < 0 ? -EIO : 0, NULL);
        mono_us = before_us + (clock_monotonic_us() - before_us) / 2;
        for (int i = 0; i < n_records; i++)
                take_record(round, records[i], mono_us);
        if (n_records < 0)
                round->readings->failed += (size_t) n;
        if (records)
                virDomainStatsRecordListFree(records);
}

static void read_domains(struct round *round, virDomainPtr *domains, int n) {
        virDomainPtr *ready = calloc((size_t) n + 1, sizeof(virDomainPtr));
        int n_ready = 0;

        round->memory->n_rounds++;
        for (int i = 0; ready && i < n; i++) {
                uint64_t ms = 0;

                switch (control_of(domains[i], round->careful, &ms)) {
                case CONTROL_HUNG:
                        read_hung(round, domains[i], ms);
                        break;
                case CONTROL_READY:
                        if (is_back(round, domains[i]))
                                ready[n_ready++] = domains[i];
                        break;
                case CONTROL_OFF: /* libvirt_guest.c's */
                        break;
                case CONTROL_OCCUPIED: /* by someone else's call; the next round will know */
                        (void) left_out_of(round, domains[i]);
                        break;
                }
        }
        forget_gone(round->memory);
        libvirt_worker_expect(round->worker, (size_t) n_ready);
        if (n_ready)
                read_ready(round, ready, n_ready);
        free(ready);
}

/* What is asked of all of them at once. */
static int list_domains(struct round *round, virConnectPtr connection, virDomainPtr **ret_domains) {
        struct span *span = libvirt_worker_span(round->worker, "list");
        int n = virConnectListAllDomains(connection, ret_domains, 0);

        span_add_int(span, "virtwatch.domains", n < 0 ? 0 : n);
        libvirt_span_end(span, n < 0 ? -EIO : 0, NULL);
        return n;
}

struct libvirt_readings *libvirt_round_read(struct libvirt_worker *worker,
                struct libvirt_round_memory *memory, virConnectPtr connection, unsigned int flags) {
        struct round round = { .worker = worker,
                .memory = memory,
                .readings = calloc(1, sizeof(struct libvirt_readings)),
                .quiet = flags & LIBVIRT_ROUND_QUIET,
                .careful = flags & LIBVIRT_ROUND_CAREFUL };
        virDomainPtr *domains = NULL;
        int n = 0;

        if (!round.readings)
                return NULL;
        if (connection) {
                round.each = libvirt_each_may_ask(connection);
                n = list_domains(&round, connection, &domains);
        }
        if (n > 0 && n <= LIBVIRT_DOMAINS_MAX) {
                round.readings->readings =
                                calloc((size_t) n + 1, sizeof(*round.readings->readings));
                if (round.readings->readings)
                        read_domains(&round, domains, n);
        }
        for (int i = 0; i < n; i++)
                (void) virDomainFree(domains[i]);
        free(domains);
        return round.readings;
}
