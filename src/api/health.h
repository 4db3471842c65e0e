#pragma once
/* Whether this daemon can be relied on, in one place, so that REST, D-Bus, metrics and the log say
 * the same. */

#include <json-c/json.h>

#include "api/api.h"
#include "store/journal.h"

#define HEALTH_LATE_US (5 * USEC_PER_SEC)

enum health_store {
        HEALTH_STORE_OK,
        HEALTH_STORE_SLOW,    /* the disk has been at one transaction for JOURNAL_SLOW_US */
        HEALTH_STORE_FAILING, /* the last transaction failed; events wait */
        HEALTH_STORE_MEMORY,  /* the database cannot be opened; events are shown, not durable */
        HEALTH_STORE_MAX_,
};

const char *health_store_to_string(enum health_store store);
enum health_store health_store_of(const struct journal_stats *stats, uint64_t now_us);

/**
 * How long the loop was held up, while that is news: until HEALTH_LATE_US after it went on. So who
 * asked meanwhile, and was answered when it went on, is told.
 *
 * Return: microseconds; 0: it turns.
 */
uint64_t health_held_up_us(const struct api_context *api, uint64_t now_us);

/** "ok"; "late" the loop was held up; "store-slow", "store-failing", "store-memory" as above;
 * "analytics-failing": those are not stored. */
const char *health_word(const struct api_context *api);

/** Negative errno of the request analytics' store, -EINPROGRESS: its disk does not answer; 0. */
int health_analytics_error(const struct api_context *api);

#define HEALTH_WORDS_MAX 128
/** What a store's error is for people; "" for none. @text: may be used for it. */
const char *health_error_words(int error, char text[static HEALTH_WORDS_MAX]);

/** {"state","error","since","waiting","lost"} of the event store. Caller puts. */
struct json_object *health_store_to_json(const struct api_context *api);
