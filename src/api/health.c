/* The loop's beat, and the stores. */

#include "api/health.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "engine/tracker.h"
#include "store/rollups.h"

const char *health_store_to_string(enum health_store store) {
        static const char *const words[HEALTH_STORE_MAX_] = { [HEALTH_STORE_OK] = "ok",
                [HEALTH_STORE_SLOW] = "slow",
                [HEALTH_STORE_FAILING] = "failing",
                [HEALTH_STORE_MEMORY] = "memory" };

        return words[store];
}

enum health_store health_store_of(const struct journal_stats *stats, uint64_t now_us) {
        if (stats->memory)
                return HEALTH_STORE_MEMORY;
        if (stats->failing)
                return HEALTH_STORE_FAILING;
        return stats->disk_us && now_us > stats->disk_us + JOURNAL_SLOW_US ? HEALTH_STORE_SLOW
                                                                           : HEALTH_STORE_OK;
}

uint64_t health_held_up_us(const struct api_context *api, uint64_t now_us) {
        if (now_us > api->heartbeat_us + HEALTH_LATE_US)
                return now_us - api->heartbeat_us;
        return api->stall.for_us && now_us < api->stall.ended_us + HEALTH_LATE_US
                        ? api->stall.for_us
                        : 0;
}

int health_analytics_error(const struct api_context *api) {
        struct rollups_stats stats;

        if (!api->rollups || api->analytics_error < 0)
                return api->analytics_error;
        rollups_get_stats(api->rollups, &stats);
        if (stats.last_error >= 0 && stats.disk_us &&
                        clock_monotonic_us() > stats.disk_us + JOURNAL_SLOW_US)
                return -EINPROGRESS;
        return stats.last_error;
}

const char *health_error_words(int error, char text[static HEALTH_WORDS_MAX]) {
        if (error == -EINPROGRESS)
                return "the disk does not answer";
        if (error == -EPROTONOSUPPORT)
                return "the database was written by a newer version";
        return error < 0 ? strerror_r(-error, text, HEALTH_WORDS_MAX) : "";
}

static enum health_store store_now(const struct api_context *api) {
        struct journal_stats stats;

        journal_get_stats(api->journal, &stats);
        return health_store_of(&stats, clock_monotonic_us());
}

const char *health_word(const struct api_context *api) {
        static const char *const words[HEALTH_STORE_MAX_] = { [HEALTH_STORE_SLOW] = "store-slow",
                [HEALTH_STORE_FAILING] = "store-failing",
                [HEALTH_STORE_MEMORY] = "store-memory" };
        enum health_store store = store_now(api);

        if (health_held_up_us(api, clock_monotonic_us()) > 0)
                return "late";
        if (store != HEALTH_STORE_OK)
                return words[store];
        return health_analytics_error(api) < 0 ? "analytics-failing" : "ok";
}

unsigned int api_not_ready(const struct api_context *api) {
        struct tracker_source *source;
        unsigned int n = 0;

        list_for_each(source, tracker_sources(api->tracker), list)
                n += source->required && source->state != SOURCE_UP; /* up: and listed */
        return n + (store_now(api) != HEALTH_STORE_OK) + (health_analytics_error(api) < 0);
}

struct json_object *health_store_to_json(const struct api_context *api) {
        struct json_object *object = json_object_new_object();
        char time[CLOCK_RFC3339_MAX], error[HEALTH_WORDS_MAX];
        struct journal_stats stats;

        journal_get_stats(api->journal, &stats);
        (void) json_add_string(object, "state",
                        health_store_to_string(health_store_of(&stats, clock_monotonic_us())));
        (void) json_add_string(object, "error", health_error_words(stats.last_error, error));
        (void) json_add_string(object, "since",
                        stats.since_us ? clock_format_rfc3339(stats.since_us, time) : NULL);
        (void) json_add_uint(object, "waiting", stats.queued);
        (void) json_add_uint(object, "lost", stats.dropped);
        return object;
}
