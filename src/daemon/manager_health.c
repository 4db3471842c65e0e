/* Whether the daemon can be relied on: the loop's beat, the writer's, the store. What changes is
 * logged once, and systemd is told; its watchdog is fed as long as the loop turns and the writer's
 * thread lives. What a runtime does, or a disk, never stops it: no restart helps there, and what
 * waits in memory would be lost. */

#include <string.h>
#include <systemd/sd-daemon.h>

#include "api/dbus.h"
#include "api/health.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/manager_internal.h"
#include "store/rollups.h"

#define WORKER_LATE_US (20 * USEC_PER_SEC)
#define RETRY_US       (10 * USEC_PER_SEC)

static void note_stall(struct manager *manager, uint64_t now_us) {
        uint64_t before_us = manager->api.heartbeat_us;

        __atomic_store_n(&manager->api.heartbeat_us, now_us, __ATOMIC_RELAXED); /* http_watch.h */
        if (!manager->health.beats++ || now_us < before_us + HEALTH_LATE_US)
                return; /* what starting up takes is none */
        manager->api.stall.for_us = now_us - before_us;
        manager->api.stall.ended_us = now_us;
        manager->api.stall.n++;
        log_warn("The loop was held up for %ju ms",
                        (uintmax_t) (manager->api.stall.for_us / USEC_PER_MSEC));
}

static void log_store(struct manager *manager, enum health_store store,
                const struct journal_stats *stats) {
        char text[HEALTH_WORDS_MAX];

        switch (store) {
        case HEALTH_STORE_OK:
                log_info("The event store writes again; %ju events were lost since the start",
                                (uintmax_t) stats->dropped);
                break;
        case HEALTH_STORE_SLOW:
                log_warn("The disk of the event store has not answered for 5 s; events wait in memory");
                break;
        case HEALTH_STORE_FAILING:
                log_error("The event store cannot write, events wait in memory: %s",
                                health_error_words(stats->last_error, text));
                break;
        default:
                log_error("The event store cannot be opened, events are in memory only: %s",
                                health_error_words(stats->last_error, text));
        }
}

static void note_analytics(struct manager *manager) {
        struct manager_health *health = &manager->health;
        int error = health_analytics_error(&manager->api);
        struct rollups_stats stats = {};
        char text[HEALTH_WORDS_MAX];

        if (manager->rollups)
                rollups_get_stats(manager->rollups, &stats);
        if (stats.moved > health->rollups_moved)
                log_error("The request analytics were removed or replaced; lines are counted in what is there now");
        if (error < 0 && health->analytics >= 0 && manager->rollups) {
                (void) log_error_errno(error, "The request analytics cannot be stored: %s",
                                health_error_words(error, text));
        } else if (error >= 0 && health->analytics < 0) {
                log_info("The request analytics are stored again");
        }
        health->rollups_moved = stats.moved;
        health->analytics = error;
}

static void note_store(struct manager *manager, uint64_t now_us) {
        struct manager_health *health = &manager->health;
        struct journal_stats stats;
        enum health_store store;

        journal_get_stats(manager->journal, &stats);
        store = health_store_of(&stats, now_us);
        if (store != health->store)
                log_store(manager, store, &stats);
        if (stats.renewed && !health->renewed)
                log_error("The event journal was corrupt; it was set aside and a new one begun");
        if (stats.moved > health->moved)
                log_error("The event journal was removed or replaced; events go to what is there now, with all but the events before");
        if (stats.dropped > 0 && health->dropped == 0)
                log_error("Events are being lost: memory for those that wait is full");
        health->store = store;
        health->renewed = stats.renewed;
        health->moved = stats.moved;
        health->dropped = store == HEALTH_STORE_OK ? 0 : stats.untold;
}

static bool workers_live(struct manager *manager, uint64_t now_us) {
        struct journal_stats stats;

        journal_get_stats(manager->journal, &stats);
        return stats.disk_us > 0 || now_us < stats.beat_us + WORKER_LATE_US;
}

void manager_health_status(const struct manager *manager, char status[static MANAGER_STATUS_MAX]) {
        const struct manager_health *health = &manager->health;
        const bool away = manager->dbus && !dbus_is_named(manager->dbus);
        const struct tracker_source *source;
        size_t n = 0, up = 0;

        list_for_each(source, tracker_sources(manager->tracker), list) {
                n++;
                up += source->state == SOURCE_UP;
        }
        (void) snprintf(status, MANAGER_STATUS_MAX, "Watching %zu of %zu sources; store %s%s%s%s%s",
                        up, n, health_store_to_string(health->store),
                        api_not_ready(&manager->api) ? "; not ready" : "",
                        away ? "; the bus is away" : "", health->but[0] ? "; " : "", health->but);
}

bool manager_disk_hangs(const struct manager *manager) {
        struct journal_stats stats;

        journal_get_stats(manager->journal, &stats);
        return manager_analytics_hang(manager) ||
                        (stats.disk_us && clock_monotonic_us() > stats.disk_us + MANAGER_HANGS_US);
}

static void tell_systemd(struct manager *manager, uint64_t now_us) {
        struct manager_health *health = &manager->health;
        char status[MANAGER_STATUS_MAX];
        bool live = workers_live(manager, now_us);

        manager_health_status(manager, status);
        if (strcmp(status, health->status) != 0)
                (void) sd_notifyf(0, "STATUS=%s", status);
        memcpy(health->status, status, sizeof(status));

        if (!live && health->live)
                log_error("The thread that writes events is gone or stuck");
        health->live = live;
        if (live && health->watchdog_us && now_us >= health->fed_us + health->watchdog_us / 4) {
                (void) sd_notify(0, "WATCHDOG=1");
                health->fed_us = now_us;
        }
}

uint64_t manager_beat(struct manager *manager) {
        uint64_t now_us = clock_monotonic_us(), watchdog_us = manager->health.watchdog_us;

        note_stall(manager, now_us);
        note_store(manager, now_us);
        note_analytics(manager);
        tell_systemd(manager, now_us);
        manager_reread_analytics(manager);
        if (now_us > manager->health.retried_us + RETRY_US) {
                manager->health.retried_us = now_us;
                manager_retry_analytics(manager);
        }
        return watchdog_us && watchdog_us / 4 < MANAGER_BEAT_US ? watchdog_us / 4 : MANAGER_BEAT_US;
}

void manager_add_health(struct manager *manager) {
        struct journal_stats stats;

        journal_get_stats(manager->journal, &stats);
        manager->health = (struct manager_health){ .live = true,
                .renewed = stats.renewed, /* said where it was opened, as the next */
                .store = stats.memory ? HEALTH_STORE_MEMORY : HEALTH_STORE_OK };
        if (sd_watchdog_enabled(0, &manager->health.watchdog_us) <= 0)
                manager->health.watchdog_us = 0;
}
