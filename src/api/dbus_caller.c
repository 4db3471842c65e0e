/* Who asks. A call that writes, or that holds something for its caller, is answered after the bus
 * has said which user the caller is, and polkit, for others than root, that it may. They are asked
 * without waiting: sd_bus_query_sender_creds() would hold up the loop for as long as the bus is
 * busy. polkit is told the caller's name on the bus, never a process id, which can come to be
 * another's; whatever is no clear yes is a no. What one caller can hold is bounded. */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/dbus_values.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/refusals.h"
#include "virtwatch/virtwatch.h"

/* RELIABILITY A9. */
#define CALLS_MAX              256
#define CALLS_OF_ONE_MAX       32
#define SUBSCRIBERS_MAX        256 /* a bus allows 512 matches */
#define SUBSCRIPTIONS_OF_A_UID 64
#define POLKIT                 "org.freedesktop.PolicyKit1"
#define POLKIT_INTERACTIVE     1U /* CheckAuthorizationFlags: AllowUserInteraction */
#define POLKIT_US              (20 * USEC_PER_SEC)
#define POLKIT_INTERACTIVE_US  (120 * USEC_PER_SEC) /* somebody types a password */
#define ARGUMENTS_MAX          (64U << 10)          /* bytes; of metadata 8 KiB are taken */
/* Of large answers, to one caller; no single one is larger. */
#define BYTES_A_SECOND (24U << 20)

/* ---- calls ---- */

struct dbus_call *dbus_call_free(struct dbus_call *call) {
        if (!call)
                return NULL;
        if (call->question)
                dbus_call_told(call, &(sd_bus_error){ .name = "cancelled", .message = "given up" });
        dbus_served_unref(call->served);
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
        call->served = dbus_served_ref(dbus->served);
        call->message = sd_bus_message_ref(message);
        *ret_call = call;
        return 0;
}

/* Takes the call. */
static void finish(struct dbus_call *call, int r, sd_bus_error *error) {
        if (!sd_bus_error_is_set(error) && r < 0)
                (void) sd_bus_error_set_errno(error, r);
        if (sd_bus_error_is_set(error))
                r = dbus_call_reply_error(call, error);
        if (r < 0)
                log_debug_errno(r, "Cannot answer %s: %m",
                                sd_bus_message_get_member(call->message));
        dbus_call_free(call);
}

static int go_on(struct dbus_call *call, sd_bus_error *error) {
        struct dbus *dbus = call->dbus;
        int r;

        if (!call->served)
                return call->then(dbus, call->message, call->uid, error);
        dbus_served_enter(dbus, call->served);
        r = call->then(dbus, call->message, call->uid, error);
        dbus_served_leave(dbus);
        return r;
}

static int refuse(struct dbus_call *call, sd_bus_error *error, const char *why) {
        char caller[32], what[160];

        (void) snprintf(caller, sizeof(caller), "uid %jd", (intmax_t) call->uid);
        (void) snprintf(what, sizeof(what), "%s, %s", sd_bus_message_get_member(call->message),
                        call->action);
        refusals_add(call->dbus->api->refusals, caller, REFUSAL_POLKIT, what, clock_monotonic_us());
        return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, why);
}

/* ---- polkit ---- */

static int polkit_failed(struct dbus_call *call, const sd_bus_error *told, sd_bus_error *error) {
        static const char *const away[] = { SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NAME_HAS_NO_OWNER, SD_BUS_ERROR_ACCESS_DENIED };

        for (size_t i = 0; i < ARRAY_SIZE(away); i++) {
                if (sd_bus_error_has_name(told, away[i]))
                        return refuse(call, error,
                                        "Only root may do that: polkit is not there to ask");
        }
        if (text_starts_with(told->name, "org.freedesktop.DBus.Error.Spawn."))
                return refuse(call, error, "Only root may do that: polkit cannot be started");
        if (sd_bus_error_has_name(told, SD_BUS_ERROR_NO_REPLY) ||
                        sd_bus_error_has_name(told, SD_BUS_ERROR_TIMEOUT))
                return refuse(call, error, "Only root may do that: polkit has not answered");
        return refuse(call, error, "Only root may do that: polkit cannot tell who asks");
}

static int polkit_said(struct dbus_call *call, sd_bus_message *reply, sd_bus_error *error) {
        int allowed = 0, challenge = 0;
        int r;

        r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(reply, "bb", &allowed, &challenge);
        if (r < 0)
                return refuse(call, error, "Only root may do that: polkit's answer is none");
        if (allowed)
                return go_on(call, error);
        if (challenge) {
                (void) refuse(call, error, "");
                sd_bus_error_free(error);
                return sd_bus_error_setf(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                "polkit wants to ask for a password before it allows %s",
                                call->action);
        }
        return refuse(call, error, "polkit does not allow it");
}

static int on_polkit(sd_bus_message *reply, void *userdata, sd_bus_error *unused) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        struct dbus_call *call = userdata;
        const sd_bus_error *told = sd_bus_message_get_error(reply);

        dbus_call_told(call, told);
        finish(call, told ? polkit_failed(call, told, &error) : polkit_said(call, reply, &error),
                        &error);
        return 0;
}

/* Somebody may take minutes to type a password: the places of others are not used up by that, nor
 * all there are. */
static bool may_ask_polkit(const struct dbus_call *call) {
        size_t n_own = 0, n_all = 0;
        struct dbus_call *other;

        list_for_each(other, &call->dbus->calls, list) {
                n_all += other->asking;
                n_own += other->asking && other->uid == call->uid;
        }
        return n_own < CALLS_OF_ONE_MAX && n_all < CALLS_MAX / 2;
}

static int ask_polkit(struct dbus_call *call, sd_bus_error *error) {
        bool interactive = sd_bus_message_get_allow_interactive_authorization(call->message) > 0;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *question = NULL;
        int r;

        if (!may_ask_polkit(call))
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls of this user wait for polkit, try again");
        call->asking = true;
        r = sd_bus_message_new_method_call(call->dbus->bus, &question, POLKIT,
                        "/org/freedesktop/PolicyKit1/Authority", POLKIT ".Authority",
                        "CheckAuthorization");
        if (r >= 0) {
                r = sd_bus_message_append(question, "(sa{sv})sa{ss}us", "system-bus-name", 1,
                                "name", "s", sd_bus_message_get_sender(call->message), call->action,
                                0, interactive ? POLKIT_INTERACTIVE : 0U, "");
        }
        if (r < 0)
                return r;
        call->slot = sd_bus_slot_unref(call->slot);
        dbus_call_asks(call, POLKIT ".Authority", "CheckAuthorization");
        return sd_bus_call_async(call->dbus->bus, &call->slot, question, on_polkit, call,
                        interactive ? POLKIT_INTERACTIVE_US : POLKIT_US);
}

/* ---- the caller's user ---- */

static int on_user(sd_bus_message *reply, void *userdata, sd_bus_error *unused) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        struct dbus_call *call = userdata;
        uint32_t told;
        int r;

        dbus_call_told(call, sd_bus_message_get_error(reply));
        if (!sd_bus_message_is_method_error(reply, NULL) &&
                        sd_bus_message_read(reply, "u", &told) > 0)
                call->uid = told;
        if (!call->action || call->uid == 0 || call->uid == geteuid()) {
                r = go_on(call, &error);
        } else if (call->uid < 0) {
                r = refuse(call, &error, "Only root may do that: the bus cannot tell who asks");
        } else {
                r = ask_polkit(call, &error);
                if (r >= 0)
                        return 0; /* on_polkit() has it */
        }
        finish(call, r, &error);
        return 0;
}

int dbus_call_ask(struct dbus *dbus, sd_bus_message *message, const char *action,
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
        call->action = action;
        call->uid = -1;
        dbus_call_asks(call, "org.freedesktop.DBus", "GetConnectionUnixUser");
        r = sd_bus_call_method_async(dbus->bus, &call->slot, "org.freedesktop.DBus",
                        "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser",
                        on_user, call, "s", sd_bus_message_get_sender(message));
        if (r < 0)
                return r;
        call = NULL; /* on_user() has it */
        return 1;
}

/* ---- how much ---- */

/* The next value, or the way into or out of what holds more. Return: its bytes; 0 nothing is left;
 * negative errno. */
static int take_argument(sd_bus_message *call, unsigned int *depth) {
        const char *contents;
        union {
                uint64_t number;
                const char *text;
        } value;
        char type;
        int r;

        r = sd_bus_message_peek_type(call, &type, &contents);
        if (r == 0 && *depth > 0) {
                (*depth)--;
                r = sd_bus_message_exit_container(call);
                return r < 0 ? r : 1;
        }
        if (r <= 0)
                return r;
        if (contents) {
                (*depth)++;
                r = sd_bus_message_enter_container(call, type, contents);
                return r < 0 ? r : 8;
        }
        r = sd_bus_message_read_basic(call, type, &value);
        if (r < 0 || !strchr("sog", type))
                return r < 0 ? r : type == 'y' ? 1 : 8;
        return (int) strnlen(value.text, ARGUMENTS_MAX + 1) + 8;
}

/* sd-bus does not say how large a message is; what is larger is not read to its end. */
int dbus_call_fits(sd_bus_message *call, sd_bus_error *error) {
        unsigned int depth = 0;
        size_t size = 0;
        int r;

        do {
                r = take_argument(call, &depth);
                size += r > 0 ? (size_t) r : 0;
        } while (r > 0 && size <= ARGUMENTS_MAX);
        if (size > ARGUMENTS_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "A call has at most %u bytes of arguments", ARGUMENTS_MAX);
        return r < 0 ? r : sd_bus_message_rewind(call, true);
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
        r = dbus_call_ask(dbus, message, NULL, then_subscribe, error);
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
                dbus_served_cancel(call->served);
                if (call->slot) {
                        dbus_call_free(call);
                        continue;
                }
                list_remove(&call->list); /* whoever reads for it frees it */
                call->dbus = NULL;
                dbus->n_calls--;
        }
}
