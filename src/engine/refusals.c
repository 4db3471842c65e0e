/* A caller has a bucket of tries that may fail, and one event a minute: its first refusal is told
 * at once, those that follow are counted and told together. In a storm from many addresses the
 * number of all events a minute is limited too, and what is beyond goes into one event for all. */

#include "engine/refusals.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/list.h"
#include "base/map.h"

#define CALLER_MAX 64
#define WHAT_MAX   200

struct caller {
        struct list list;  /* the one longest quiet first */
        uint64_t spent_us; /* when the bucket will be full again */
        uint64_t told_us;
        uint64_t held; /* refusals since, untold */
        enum refusal reason;
        char name[CALLER_MAX];
        char what[WHAT_MAX];
};

struct refusals {
        void (*tell)(struct event *event, void *userdata);
        void *userdata;
        struct map *by_name;
        struct list callers;
        uint64_t counts[REFUSAL_MAX_];
        uint64_t window_us, n_window; /* of events */
        uint64_t others;              /* held back, of callers without a place or an event */
        uint64_t others_told_us;
};

const char *refusal_to_string(enum refusal reason) {
        static const char *const words[REFUSAL_MAX_] = { "missing", "malformed", "unknown",
                "expired", "rate", "in_url", "scope", "limit", "polkit" };

        return words[reason];
}

int refusals_new(void (*tell)(struct event *event, void *userdata), void *userdata,
                struct refusals **ret_refusals) {
        struct refusals *refusals = calloc(1, sizeof(*refusals));
        int r;

        if (!refusals)
                return -ENOMEM;
        refusals->tell = tell;
        refusals->userdata = userdata;
        list_init(&refusals->callers);
        r = map_new(&refusals->by_name);
        if (r < 0) {
                free(refusals);
                return r;
        }
        *ret_refusals = refusals;
        return 0;
}

static void caller_forget(struct refusals *refusals, struct caller *caller) {
        refusals->others += caller->held;
        (void) map_remove(refusals->by_name, caller->name);
        list_remove(&caller->list);
        free(caller);
}

struct refusals *refusals_free(struct refusals *refusals) {
        struct caller *caller;

        if (!refusals)
                return NULL;
        while ((caller = list_first(&refusals->callers, struct caller, list)))
                caller_forget(refusals, caller);
        map_free(refusals->by_name);
        free(refusals);
        return NULL;
}

static struct caller *caller_get(struct refusals *refusals, const char *name) {
        struct caller *caller = map_get(refusals->by_name, name);

        if (!caller && map_size(refusals->by_name) >= REFUSALS_CALLERS_MAX) {
                caller = list_first(&refusals->callers, struct caller, list);
                assert(caller);
                caller_forget(refusals, caller);
                caller = NULL;
        }
        if (!caller) {
                caller = calloc(1, sizeof(*caller));
                if (!caller)
                        return NULL;
                list_init(&caller->list);
                (void) snprintf(caller->name, sizeof(caller->name), "%s", name);
                if (map_put(refusals->by_name, caller->name, caller) < 0) {
                        free(caller);
                        return NULL;
                }
        }
        list_remove(&caller->list);
        list_append(&refusals->callers, &caller->list);
        return caller;
}

/* ---- the limit ---- */

uint64_t refusals_wait_us(const struct refusals *refusals, const char *name, uint64_t now_us) {
        const uint64_t room_us = (REFUSALS_BURST - 1) * REFUSALS_REFILL_US;
        const struct caller *caller = map_get(refusals->by_name, name);

        if (!caller || caller->spent_us <= now_us + room_us)
                return 0;
        return caller->spent_us - now_us - room_us;
}

static bool is_failed_try(enum refusal reason) {
        return reason == REFUSAL_MALFORMED || reason == REFUSAL_UNKNOWN ||
                        reason == REFUSAL_EXPIRED;
}

/* ---- telling ---- */

static void tell(struct refusals *refusals, const char *name, enum refusal reason, const char *what,
                uint64_t count, bool others) {
        struct json_object *details = json_object_new_object();
        struct event *event;
        char message[128 + WHAT_MAX];

        (void) json_add_string(details, "address", name);
        if (!others)
                (void) json_add_string(details, "reason", refusal_to_string(reason));
        (void) json_add_string(details, "what", what);
        (void) json_add_uint(details, "count", count);
        if (others) {
                (void) snprintf(message, sizeof(message), "%ju refusals of many addresses",
                                (uintmax_t) count);
        } else if (count == 1) {
                (void) snprintf(message, sizeof(message), "%s refused, %s: %s", name,
                                refusal_to_string(reason), what);
        } else {
                (void) snprintf(message, sizeof(message), "%s refused %ju times, %s: %s", name,
                                (uintmax_t) count, refusal_to_string(reason), what);
        }
        if (event_new(&(struct event_fields){ .time_us = clock_realtime_us(),
                                      .kind = EVENT_SOURCE,
                                      .severity = SEVERITY_WARNING,
                                      .name = "api",
                                      .action = "access_refused",
                                      .message = message,
                                      .details = details },
                            &event) < 0)
                return;
        refusals->tell(event, refusals->userdata);
        event_unref(event);
}

static bool may_tell(struct refusals *refusals, uint64_t now_us) {
        if (refusals->window_us + REFUSALS_TELL_US <= now_us) {
                refusals->window_us = now_us;
                refusals->n_window = 0;
        }
        return refusals->n_window++ < REFUSALS_EVENTS_MAX;
}

static void caller_tell(struct refusals *refusals, struct caller *caller, uint64_t now_us) {
        if (caller->told_us && caller->told_us + REFUSALS_TELL_US > now_us)
                return;
        if (may_tell(refusals, now_us))
                tell(refusals, caller->name, caller->reason, caller->what, caller->held, false);
        else
                refusals->others += caller->held;
        caller->told_us = now_us;
        caller->held = 0;
}

void refusals_add(struct refusals *refusals, const char *name, enum refusal reason,
                const char *what, uint64_t now_us) {
        struct caller *caller;

        refusals->counts[reason]++;
        if (reason == REFUSAL_MISSING)
                return;
        caller = caller_get(refusals, name);
        if (!caller) {
                refusals->others++;
                return;
        }
        if (is_failed_try(reason)) {
                if (caller->spent_us < now_us)
                        caller->spent_us = now_us;
                caller->spent_us += REFUSALS_REFILL_US;
        }
        caller->held++;
        caller->reason = reason;
        (void) snprintf(caller->what, sizeof(caller->what), "%s", what);
        caller_tell(refusals, caller, now_us);
}

void refusals_tick(struct refusals *refusals, uint64_t now_us) {
        struct caller *caller;
        uint64_t n;

        list_for_each(caller, &refusals->callers, list)
                if (caller->held)
                        caller_tell(refusals, caller, now_us);
        if (refusals->others && refusals->others_told_us + REFUSALS_TELL_US <= now_us) {
                n = refusals->others;
                refusals->others = 0;
                refusals->others_told_us = now_us;
                tell(refusals, NULL, REFUSAL_UNKNOWN, NULL, n, true);
        }
}

uint64_t refusals_count(const struct refusals *refusals, enum refusal reason) {
        return refusals->counts[reason];
}

size_t refusals_callers(const struct refusals *refusals) {
        return map_size(refusals->by_name);
}
