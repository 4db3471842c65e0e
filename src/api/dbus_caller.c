/* Who asks. A call that writes, or that holds something for its caller, is answered after the bus
 * has said which user the caller is. It is asked without waiting: sd_bus_query_sender_creds() would
 * hold up the loop for as long as the bus is busy. What one caller can hold is bounded. */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/dbus_values.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "virtwatch/virtwatch.h"

/* RELIABILITY A9. */
#define CALLS_MAX              256
#define CALLS_OF_ONE_MAX       32
#define SUBSCRIBERS_MAX        256 /* a bus allows 512 matches */
#define SUBSCRIPTIONS_OF_A_UID 64
/* Of large answers, to one caller; no single one is larger. */
#define BYTES_A_SECOND (24U << 20)

/* ---- calls ---- */

struct dbus_call *dbus_call_free(struct dbus_call *call) {
        if (!call)
                return NULL;
        if (call->dbus)
                call->dbus->n_calls--;
        list_remove(&call->list);
        (void) sd_bus_slot_unref(call->slot);
        (void) sd_bus_message_unref(call->message);
        free(call);
        return NULL;
}

int dbus_call_new(struct dbus *dbus, sd_bus_message *message, sd_bus_error *error,
                struct dbus_call **ret_call) {
        const char *sender = sd_bus_message_get_sender(message);
        struct dbus_call *call;
        size_t n = 0;

        list_for_each(call, &dbus->calls, list)
                n += text_equal(sd_bus_message_get_sender(call->message), sender);
        if (n >= CALLS_OF_ONE_MAX || dbus->n_calls >= CALLS_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls that wait for their answer, try again");

        call = calloc(1, sizeof(*call));
        if (!call)
                return -ENOMEM;
        list_append(&dbus->calls, &call->list);
        dbus->n_calls++;
        call->dbus = dbus;
        call->message = sd_bus_message_ref(message);
        *ret_call = call;
        return 0;
}

static int on_user(sd_bus_message *reply, void *userdata, sd_bus_error *unused) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(dbus_call_freep) struct dbus_call *call = userdata;
        int64_t uid = -1;
        uint32_t told;
        int r;

        if (!sd_bus_message_is_method_error(reply, NULL) &&
                        sd_bus_message_read(reply, "u", &told) > 0)
                uid = told;
        r = call->then(call->dbus, call->message, uid, &error);
        if (sd_bus_error_is_set(&error))
                r = sd_bus_reply_method_error(call->message, &error);
        else if (r < 0)
                r = sd_bus_reply_method_errno(call->message, r, NULL);
        if (r < 0)
                log_debug_errno(r, "Cannot answer %s: %m",
                                sd_bus_message_get_member(call->message));
        return 0;
}

int dbus_call_ask(struct dbus *dbus, sd_bus_message *message,
                int (*then)(struct dbus *dbus, sd_bus_message *message, int64_t uid,
                                sd_bus_error *error),
                sd_bus_error *error) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = NULL;
        int r;

        r = dbus_call_new(dbus, message, error, &call);
        if (r < 0)
                return r;
        assert(call);
        call->then = then;
        r = sd_bus_call_method_async(dbus->bus, &call->slot, "org.freedesktop.DBus",
                        "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser",
                        on_user, call, "s", sd_bus_message_get_sender(message));
        if (r < 0)
                return r;
        call = NULL; /* on_user() has it */
        return 1;
}

int dbus_check_owner(int64_t uid, sd_bus_error *error) {
        if (uid == 0 || (uid > 0 && (uid_t) uid == geteuid()))
                return 0;
        return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "Only root may do that");
}

bool dbus_caller_may(struct dbus *dbus, sd_bus_message *call, size_t size) {
        struct dbus_given *given = &dbus->given[0];
        uint64_t now_us = clock_monotonic_us(), caller;

        caller = dbus_hash_text(sd_bus_message_get_sender(call));
        for (size_t i = 0; i < ARRAY_SIZE(dbus->given) && given->caller != caller; i++)
                if (dbus->given[i].caller == caller || dbus->given[i].begin_us < given->begin_us)
                        given = &dbus->given[i];
        if (given->caller != caller || given->begin_us + USEC_PER_SEC < now_us)
                *given = (struct dbus_given){ .caller = caller, .begin_us = now_us };
        if (given->bytes > BYTES_A_SECOND - size)
                return false;
        given->bytes += size;
        return true;
}

/* ---- subscribers ---- */

static struct dbus_subscriber *subscriber_free(struct dbus_subscriber *subscriber) {
        list_remove(&subscriber->list);
        subscriber->dbus->n_subscribers--;
        (void) sd_bus_slot_unref(subscriber->gone);
        (void) sd_bus_slot_unref(subscriber->asked);
        free(subscriber->name);
        free(subscriber);
        return NULL;
}

static struct dbus_subscriber *subscriber_find(struct dbus *dbus, sd_bus_message *message) {
        const char *sender = sd_bus_message_get_sender(message);
        struct dbus_subscriber *subscriber;

        list_for_each(subscriber, &dbus->subscribers, list)
                if (text_equal(subscriber->name, sender))
                        return subscriber;
        return NULL;
}

static int on_gone(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *name, *from, *to;

        if (sd_bus_message_read(message, "sss", &name, &from, &to) > 0 && to[0] == '\0')
                subscriber_free(userdata);
        return 0;
}

/* With no handler of ours sd-bus would give up the whole connection when the bus refuses a match.
 */
static int on_watched(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        if (sd_bus_message_is_method_error(reply, NULL))
                subscriber_free(userdata);
        return 0;
}

/* Watched before the bus is asked for its user: should it leave in between, either says so. */
static int subscriber_new(struct dbus *dbus, sd_bus_message *message,
                struct dbus_subscriber **ret_subscriber) {
        struct dbus_subscriber *subscriber = calloc(1, sizeof(*subscriber));
        char match[384];
        int r = -ENOMEM;

        if (!subscriber)
                return -ENOMEM;
        list_append(&dbus->subscribers, &subscriber->list);
        dbus->n_subscribers++;
        subscriber->dbus = dbus;
        subscriber->uid = -1;
        subscriber->name = strdup(sd_bus_message_get_sender(message));
        if (subscriber->name) {
                (void) snprintf(match, sizeof(match),
                                "type='signal',sender='org.freedesktop.DBus',"
                                "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                                "member='NameOwnerChanged',arg0='%s'",
                                subscriber->name);
                r = sd_bus_add_match_async(dbus->bus, &subscriber->gone, match, on_gone, on_watched,
                                subscriber);
        }
        if (r < 0) {
                subscriber_free(subscriber);
                return r;
        }
        *ret_subscriber = subscriber;
        return 0;
}

static int then_subscribe(
                struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error) {
        struct dbus_subscriber *subscriber = subscriber_find(dbus, message), *other;
        size_t n = 0;

        if (!subscriber) /* it unsubscribed without waiting, or the bus would not have it watched */
                return sd_bus_error_set(error, VW_ERROR_NOT_SUBSCRIBED, "The subscription is gone");
        list_for_each(other, &dbus->subscribers, list)
                n += other->uid >= 0 && other->uid == uid;
        if (uid < 0 || n >= SUBSCRIPTIONS_OF_A_UID) {
                subscriber_free(subscriber);
                return uid < 0 ? sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED,
                                                 "Cannot tell who subscribes")
                               : sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                                 "This user has %d subscriptions already",
                                                 SUBSCRIPTIONS_OF_A_UID);
        }
        subscriber->uid = uid;
        return sd_bus_reply_method_return(message, "");
}

int dbus_method_subscribe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct dbus_subscriber *subscriber;
        struct dbus *dbus = userdata;
        int r;

        if (subscriber_find(dbus, message))
                return sd_bus_error_set(
                                error, VW_ERROR_ALREADY_SUBSCRIBED, "This client is subscribed");
        if (dbus->n_subscribers >= SUBSCRIBERS_MAX)
                return sd_bus_error_set(
                                error, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many subscribers");
        r = subscriber_new(dbus, message, &subscriber);
        if (r < 0)
                return r;
        r = dbus_call_ask(dbus, message, then_subscribe, error);
        if (r < 0)
                subscriber_free(subscriber);
        return r;
}

int dbus_method_unsubscribe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct dbus_subscriber *subscriber = subscriber_find(userdata, message);

        if (!subscriber)
                return sd_bus_error_set(
                                error, VW_ERROR_NOT_SUBSCRIBED, "This client is not subscribed");
        subscriber_free(subscriber);
        return sd_bus_reply_method_return(message, "");
}

void dbus_callers_done(struct dbus *dbus) {
        struct dbus_subscriber *subscriber;
        struct dbus_call *call;

        while ((subscriber = list_first(&dbus->subscribers, struct dbus_subscriber, list)))
                subscriber_free(subscriber);
        while ((call = list_first(&dbus->calls, struct dbus_call, list))) {
                if (call->slot) {
                        dbus_call_free(call);
                        continue;
                }
                list_remove(&call->list); /* whoever reads for it frees it */
                call->dbus = NULL;
                dbus->n_calls--;
        }
}
