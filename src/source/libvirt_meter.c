/* Reads all domains of one libvirt in bulk, with a crew of its own (libvirt_crew.h), and joins what
 * guests and images say, which is read more seldom (libvirt_guest.h).
 *
 * A QEMU that hangs blocks any call that needs its monitor, without limit, NOWAIT or not, and with
 * it all domains behind it in a bulk call. So a round that passes its deadline is given up. As long
 * as a call is stuck or a domain hung, each round first asks for every domain's control info, which
 * libvirtd answers without the monitor, and leaves out those that are occupied, as the hung one is
 * by the stuck call, and for a while after that (libvirt_round.c). When as many calls are stuck as
 * may be, the monitor is left alone, and only what needs none is read. */

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "source/libvirt_guest.h"
#include "source/libvirt_round.h"
#include "source/meter.h"

#define DEADLINE_US        (3 * USEC_PER_SEC)
#define DEADLINE_DOMAIN_US (20 * USEC_PER_MSEC)

struct hung {
        char uuid[VIR_UUID_STRING_BUFLEN];
};

struct libvirt_meter {
        struct meter meter;
        char *source, *uri;
        int balloon_s;
        struct libvirt_crew *crew;
        struct libvirt_guest *guest;
        unsigned int stuck; /* of both crews */
        struct map *hung;   /* by uuid */
        struct map *ended;  /* by uuid: since the round that is under way began */
        struct meter_stats stats;
};

static struct libvirt_meter *libvirt_of(struct meter *meter) {
        return CONTAINER_OF(meter, struct libvirt_meter, meter);
}

/* ---- the crew ---- */

static void *crew_memory_new(void *userdata) {
        const struct libvirt_meter *meter = userdata;

        return libvirt_round_memory_new(meter->balloon_s);
}

static void crew_memory_free(void *memory) {
        libvirt_round_memory_free(memory);
}

static void *crew_round(struct libvirt_worker *worker, void *memory, virConnectPtr connection,
                unsigned int flags) {
        return libvirt_round_read(worker, memory, connection, flags);
}

static void crew_result_free(void *result) {
        libvirt_readings_free(result);
}

static void crew_given_up(const char *uuid, uint64_t waited_us, void *userdata) {
        const struct libvirt_meter *meter = userdata;

        log_warn("libvirt %s has not answered for %ju ms, on a new connection now", meter->uri,
                        (uintmax_t) (waited_us / USEC_PER_MSEC));
}

static bool note(struct map *map, const char *uuid) {
        struct hung *hung = calloc(1, sizeof(*hung));

        if (!hung)
                return false;
        (void) snprintf(hung->uuid, sizeof(hung->uuid), "%s", uuid);
        if (map_put(map, uuid, hung) < 0) {
                free(hung);
                return false;
        }
        return true;
}

static void set_hung(struct libvirt_meter *meter, const struct libvirt_reading *reading) {
        struct hung *hung = map_get(meter->hung, reading->uuid);
        const struct meter_env *env = meter->meter.env;

        if (reading->hung && !hung) {
                if (map_get(meter->ended, reading->uuid) || !note(meter->hung, reading->uuid))
                        return;
                env->hung(meter->source, reading->uuid, true,
                                clock_realtime_us() - reading->hung_ms * USEC_PER_MSEC,
                                env->userdata);
        } else if (!reading->hung && hung) {
                (void) map_remove(meter->hung, reading->uuid);
                free(hung);
                env->hung(meter->source, reading->uuid, false, 0, env->userdata);
        }
}

static void crew_done(void *result, uint64_t took_us, bool late, void *userdata) {
        struct libvirt_readings *readings = result;
        struct libvirt_meter *meter = userdata;

        meter->stats.reads++;
        /* What a call says that came back after its time is old. */
        if (late || !readings) {
                libvirt_readings_free(readings);
                return;
        }
        meter->stats.last_us = took_us;
        meter->stats.failed += readings->failed;
        for (size_t i = 0; i < readings->n; i++) {
                struct libvirt_reading *reading = &readings->readings[i];

                set_hung(meter, reading);
                if (!reading->stats)
                        continue;
                libvirt_guest_complete(meter->guest, reading->uuid, reading->stats);
                meter->meter.env->post(meter->source, reading->uuid, TAKE_PTR(reading->stats),
                                meter->meter.env->userdata);
        }
        meter->stats.hung = map_size(meter->hung);
        libvirt_readings_free(readings);
}

static const struct libvirt_crew_ops crew_ops = {
        .memory_new = crew_memory_new,
        .memory_free = crew_memory_free,
        .round = crew_round,
        .done = crew_done,
        .result_free = crew_result_free,
        .given_up = crew_given_up,
};

/* ---- the loop ---- */

static void forget_all(struct map *map) {
        struct hung *hung;

        if (map) {
                map_for_each(hung, map) {
                        (void) map_remove(map, hung->uuid);
                        free(hung);
                }
        }
}

static void libvirt_meter_read(struct meter *base) {
        struct libvirt_meter *meter = libvirt_of(base);
        unsigned int flags = 0;

        libvirt_guest_read(meter->guest);
        if (!libvirt_crew_ready(meter->crew, DEADLINE_US, DEADLINE_DOMAIN_US)) {
                meter->stats.skipped++;
                return;
        }
        if (meter->stuck >= LIBVIRT_STUCK_MAX)
                flags |= LIBVIRT_ROUND_QUIET;
        if (meter->stuck || meter->stats.hung || libvirt_crew_is_new(meter->crew))
                flags |= LIBVIRT_ROUND_CAREFUL;
        forget_all(meter->ended);
        (void) libvirt_crew_ask(meter->crew, flags);
}

/* Called whenever something changed in a workload that does not run: its configuration, too. */
static void libvirt_meter_unwatch(struct meter *base, const struct workload *workload) {
        struct libvirt_meter *meter = libvirt_of(base);

        if (strcmp(workload->source, meter->source) != 0)
                return;
        free(map_remove(meter->hung, workload->native_id)); /* it ended, not recovered */
        if (map_size(meter->ended) < LIBVIRT_DOMAINS_MAX)
                (void) note(meter->ended, workload->native_id);
        libvirt_guest_changed(meter->guest, workload->native_id);
}

static void libvirt_meter_get_stats(struct meter *base, struct meter_stats *ret_stats) {
        const struct libvirt_meter *meter = libvirt_of(base);

        *ret_stats = meter->stats;
        ret_stats->stuck = meter->stuck;
}

static void libvirt_meter_free(struct meter *base) {
        struct libvirt_meter *meter = libvirt_of(base);

        libvirt_crew_free(meter->crew);
        libvirt_guest_free(meter->guest);
        forget_all(meter->hung);
        forget_all(meter->ended);
        map_free(meter->hung);
        map_free(meter->ended);
        free(meter->source);
        free(meter->uri);
        free(meter);
}

static int crews_new(struct libvirt_meter *meter, const struct meter_config *config) {
        struct libvirt_crew_config crew = {
                .uri = meter->uri,
                .write = config->write,
                .interval_us = config->interval_us,
                .spans = meter->meter.env->spans,
                .stuck = &meter->stuck,
                .stuck_max = LIBVIRT_STUCK_MAX,
        };
        int r;

        r = libvirt_guest_new(
                        &crew, meter->source, config->guest_us, meter->meter.env, &meter->guest);
        if (r < 0)
                return r;
        return libvirt_crew_new(&crew, &crew_ops, meter->meter.env->event, meter, &meter->crew);
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
        meter->balloon_s = config->write ? (int) (config->balloon_us / USEC_PER_SEC) : 0;
        meter->source = strdup(config->source);
        meter->uri = strdup(config->address);
        r = meter->source && meter->uri ? map_new(&meter->hung) : -ENOMEM;
        if (r >= 0)
                r = map_new(&meter->ended);
        if (r >= 0)
                r = crews_new(meter, config);
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
