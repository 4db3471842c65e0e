#pragma once
/* Who was refused, and how often: what limits tries by address, counts for metrics, and makes
 * events of it, few of them however many tries there are. Bounded; loop thread only. */

#include "model/event.h"

struct refusals;

enum refusal {
        REFUSAL_MISSING,   /* no token was given: counted, no more */
        REFUSAL_MALFORMED, /* by its form it is none */
        REFUSAL_UNKNOWN,   /* never made, or revoked */
        REFUSAL_EXPIRED,
        REFUSAL_RATE, /* too many tries before it: it was not looked at */
        REFUSAL_IN_URL,
        REFUSAL_SCOPE, /* a good one that does not allow it */
        REFUSAL_LIMIT, /* a good one, for other apps or workloads */
        REFUSAL_POLKIT,
        REFUSAL_MAX_,
};

/** "missing" "malformed" "unknown" "expired" "rate" "in_url" "scope" "limit" "polkit". */
const char *refusal_to_string(enum refusal reason);

#define REFUSALS_CALLERS_MAX 1024
#define REFUSALS_BURST       20                  /* tries that may fail at once */
#define REFUSALS_REFILL_US   (3 * USEC_PER_SEC)  /* until one more may */
#define REFUSALS_TELL_US     (60 * USEC_PER_SEC) /* between two events of one caller */
#define REFUSALS_EVENTS_MAX  30                  /* in that time, of all callers */

/** @tell: an event was made; borrowed. @times are CLOCK_MONOTONIC but for the events' own. */
int refusals_new(void (*tell)(struct event *event, void *userdata), void *userdata,
                struct refusals **ret_refusals);
struct refusals *refusals_free(struct refusals *refusals);
DEFINE_FREEP(struct refusals, refusals_free);

/** How long the caller of that @name must wait before another try is looked at; 0: not at all. */
uint64_t refusals_wait_us(const struct refusals *refusals, const char *name, uint64_t now_us);
/**
 * A caller was refused. Failed tries (malformed, unknown, expired, rate) count for its limit, but
 * for those that the limit itself refused.
 *
 * @name: the caller's: an address, or "uid 1000"
 * @what: a few words for the event: who, if that is known, and what was asked
 */
void refusals_add(struct refusals *refusals, const char *name, enum refusal reason,
                const char *what, uint64_t now_us);
/** Now and then: tell what was held back. */
void refusals_tick(struct refusals *refusals, uint64_t now_us);

uint64_t refusals_count(const struct refusals *refusals, enum refusal reason);
size_t refusals_callers(const struct refusals *refusals);
