/* A peer on the system bus. The connection, the owner of the name, and a ping now and then, because
 * a stopped peer keeps its name. */

#include "source/bus_link.h"

#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "loop/timer.h"
#include "model/spans.h"

#define CALL_TIMEOUT_US (25 * USEC_PER_SEC)
#define PING_US         (20 * USEC_PER_SEC)
#define SYSTEM_BUS      "unix:path=/run/dbus/system_bus_socket"

static const char dbus_name[] = "org.freedesktop.DBus", dbus_path[] = "/org/freedesktop/DBus";

/* ---- losing it ---- */

static void link_forget_owner(struct bus_link *link) {
        if (!link->owner && !link->idle)
                return;
        free(link->owner);
        link->owner = NULL;
        link->idle = false;
        link->ops->on_gone(link);
}

static void link_close(struct bus_link *link) {
        timer_off(link->ping_timer);
        link_forget_owner(link);
        link->up = false;
        (void) sd_bus_detach_event(link->bus);
        link->bus = sd_bus_close_unref(link->bus);
}

void bus_link_fail(struct bus_link *link, const char *what, int error) {
        char text[256];

        if (!link->running)
                return;
        (void) snprintf(text, sizeof(text), "%s: %s%s%s", link->ops->peer, what,
                        error < 0 ? ": " : "", error < 0 ? strerrordesc_np(-error) : "");
        link_close(link);
        link->source->stats.reconnects++;
        source_post_state(link->source, SOURCE_DOWN, text);
        (void) timer_arm(link->retry, source_backoff_next(&link->wait_us));
}

/* The bus is there, the peer is not: wait for its name. */
static void link_absent(struct bus_link *link, const char *why) {
        char text[256];

        (void) snprintf(text, sizeof(text), "%s is not on the bus%s%s", link->ops->peer,
                        why ? ": " : "", why ? why : "");
        link_forget_owner(link);
        link->up = false;
        source_post_state(link->source, SOURCE_DOWN, text);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        bus_link_fail(userdata, "lost the bus", 0);
        return 0;
}

/* ---- calls ---- */

bool bus_link_is_peer(const struct bus_link *link, sd_bus_message *message) {
        const char *sender = sd_bus_message_get_sender(message);

        return link->owner && sender && strcmp(sender, link->owner) == 0;
}

bool bus_link_is_silence(sd_bus_message *message) {
        static const char *const names[] = { SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT,
                SD_BUS_ERROR_DISCONNECTED };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (sd_bus_message_is_method_error(message, names[i]))
                        return true;
        return false;
}

/* A call that is told as a span. What its answer leads to has the parent that it had. */
struct asked {
        struct spans *spans; /* a reference */
        struct span *span;   /* NULL: it is over */
        bool has_parent;
        struct trace_context parent;
        sd_bus_message_handler_t handler;
        void *userdata;
        sd_bus_destroy_t destroy; /* NULL: @userdata is the caller's */
};

/* Of a call that was dropped, it is not over. */
static void asked_free(void *userdata) {
        struct asked *asked = userdata;

        if (asked->span) {
                span_fail(asked->span, "cancelled", "given up");
                (void) span_end(asked->span, clock_monotonic_us());
        }
        if (asked->destroy)
                asked->destroy(asked->userdata);
        (void) spans_unref(asked->spans);
        free(asked);
}

static int on_asked(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const sd_bus_error *failure = sd_bus_message_get_error(message);
        struct asked *asked = userdata;
        int r;

        if (failure) {
                span_fail(asked->span, failure->name, failure->message);
        }
        asked->span = span_end(asked->span, clock_monotonic_us());
        spans_enter(asked->spans, asked->has_parent ? &asked->parent : NULL);
        r = asked->handler(message, asked->userdata, error);
        spans_leave(asked->spans);
        return r;
}

static struct asked *asked_new(struct bus_link *link, sd_bus_message *message) {
        struct spans *spans = link->source->env->spans;
        const struct trace_context *parent;
        struct asked *asked;

        if (!spans_on(spans))
                return NULL;
        asked = calloc(1, sizeof(*asked));
        if (!asked)
                return NULL; /* then it is told nowhere */
        parent = spans_current(spans);
        asked->has_parent = parent != NULL;
        if (parent)
                asked->parent = *parent;
        asked->spans = spans_ref(spans);
        asked->span = span_begin(
                        spans, parent, SPAN_CLIENT, clock_realtime_us(), clock_monotonic_us());
        span_call(asked->span, "dbus", sd_bus_message_get_interface(message),
                        sd_bus_message_get_member(message));
        span_add(asked->span, "virtwatch.source", link->source->name);
        span_add(asked->span, "virtwatch.dbus.path", sd_bus_message_get_path(message));
        return asked;
}

static int send_call(struct bus_link *link, sd_bus_slot **ret_slot, sd_bus_message *message,
                sd_bus_message_handler_t handler, void *userdata, sd_bus_destroy_t destroy) {
        struct asked *asked = asked_new(link, message);
        sd_bus_slot *slot = NULL;
        int r;

        r = sd_bus_call_async(link->bus, &slot, message, asked ? on_asked : handler,
                        asked ? asked : userdata, CALL_TIMEOUT_US);
        if (r < 0) {
                if (asked)
                        asked_free(asked); /* @userdata is the caller's still */
                return r;
        }
        if (asked) {
                asked->handler = handler;
                asked->userdata = userdata;
                asked->destroy = destroy;
        }
        (void) sd_bus_slot_set_destroy_callback(slot, asked ? asked_free : destroy);
        if (ret_slot)
                *ret_slot = slot;
        else
                (void) sd_bus_slot_set_floating(slot, true);
        return 0;
}

int bus_link_send(struct bus_link *link, sd_bus_slot **ret_slot, sd_bus_message *message,
                sd_bus_message_handler_t handler, void *userdata) {
        return send_call(link, ret_slot, message, handler, userdata, NULL);
}

int bus_link_send_owned(struct bus_link *link, sd_bus_message *message,
                sd_bus_message_handler_t handler, void *userdata, sd_bus_destroy_t destroy) {
        return send_call(link, NULL, message, handler, userdata, destroy);
}

struct method {
        const char *peer, *path, *interface, *member;
};

static int call_method(struct bus_link *link, sd_bus_slot **ret_slot, const struct method *method,
                sd_bus_message_handler_t handler, void *userdata, const char *types, va_list args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(link->bus, &message, method->peer, method->path,
                        method->interface, method->member);
        if (r >= 0)
                r = sd_bus_message_appendv(message, types, args);
        return r < 0 ? r : bus_link_send(link, ret_slot, message, handler, userdata);
}

int bus_link_call(struct bus_link *link, sd_bus_slot **ret_slot, const char *path,
                const char *interface_member, sd_bus_message_handler_t handler, void *userdata,
                const char *types, ...) {
        const char *dot = strrchr(interface_member, '.');
        _cleanup_(freep) char *interface = NULL;
        va_list args;
        int r;

        assert(dot);
        if (!link->owner)
                return -ENOTCONN;
        interface = strndup(interface_member, (size_t) (dot - interface_member));
        if (!interface)
                return -ENOMEM;
        va_start(args, types);
        r = call_method(link, ret_slot, &(struct method){ link->owner, path, interface, dot + 1 },
                        handler, userdata, types, args);
        va_end(args);
        return r;
}

/* The bus itself. */
static int ask_bus(struct bus_link *link, const char *member, sd_bus_message_handler_t handler,
                const char *types, ...) {
        va_list args;
        int r;

        va_start(args, types);
        r = call_method(link, NULL, &(struct method){ dbus_name, dbus_path, dbus_name, member },
                        handler, link, types, args);
        va_end(args);
        return r;
}

static int on_pong(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct bus_link *link = userdata;

        if (sd_bus_message_is_method_error(message, NULL) && link->owner)
                bus_link_fail(link, "does not answer", -sd_bus_message_get_errno(message));
        return 0;
}

static int on_ping(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct bus_link *link = userdata;

        if (link->owner)
                (void) bus_link_call(link, NULL, "/", "org.freedesktop.DBus.Peer.Ping", on_pong,
                                link, "");
        (void) timer_arm(timer, PING_US);
        return 0;
}

void bus_link_up(struct bus_link *link) {
        link->wait_us = 0;
        if (link->up)
                return;
        link->up = true;
        source_post_state(link->source, SOURCE_UP, NULL);
}

/* ---- finding it ---- */

static void link_owned_by(struct bus_link *link, const char *owner) {
        char *copy;
        int r;

        if (link->owner && strcmp(link->owner, owner) == 0)
                return;
        copy = strdup(owner);
        if (!copy) {
                bus_link_fail(link, "cannot begin", -ENOMEM);
                return;
        }
        if (link->owner) { /* another process: what was asked of the old one is void */
                link_forget_owner(link);
                link->up = false;
        }
        link->owner = copy;
        r = link->ops->on_peer(link);
        link->idle = false;
        if (r < 0)
                bus_link_fail(link, "cannot begin", r);
}

static int on_activated(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const sd_bus_error *failure = sd_bus_message_get_error(message);

        if (failure)
                link_absent(userdata, failure->message);
        return 0; /* else its name comes */
}

static int on_owner(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct bus_link *link = userdata;
        const char *owner;
        int r = 0;

        if (!sd_bus_message_is_method_error(message, NULL)) {
                if (sd_bus_message_read(message, "s", &owner) > 0)
                        link_owned_by(link, owner);
        } else if (!sd_bus_message_is_method_error(
                                   message, "org.freedesktop.DBus.Error.NameHasNoOwner")) {
                bus_link_fail(link, "cannot be looked for", -sd_bus_message_get_errno(message));
        } else if (link->ops->activate) {
                r = ask_bus(link, "StartServiceByName", on_activated, "su", link->ops->peer,
                                UINT32_C(0));
                if (r < 0)
                        bus_link_fail(link, "cannot be started", r);
        } else {
                link_absent(link, NULL);
        }
        return 0;
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *name, *old, *new, *sender = sd_bus_message_get_sender(message);
        struct bus_link *link = userdata;

        if (!sender || strcmp(sender, dbus_name) != 0 ||
                        sd_bus_message_read(message, "sss", &name, &old, &new) < 0 ||
                        strcmp(name, link->ops->peer) != 0)
                return 0;
        if (new[0]) {
                link_owned_by(link, new);
        } else if (link->up && link->ops->may_idle && link->ops->may_idle(link)) {
                free(link->owner);
                link->owner = NULL;
                link->idle = true;
        } else if (link->ops->activate) {
                bus_link_fail(link, "left the bus", 0);
        } else {
                link->source->stats.reconnects += link->up;
                link_absent(link, NULL);
        }
        return 0;
}

static int link_connect(struct bus_link *link) {
        const char *address = link->address ? link->address : getenv("DBUS_SYSTEM_BUS_ADDRESS");
        char rule[256];
        int r;

        r = sd_bus_new(&link->bus);
        if (r >= 0)
                r = sd_bus_set_address(link->bus, address ? address : SYSTEM_BUS);
        if (r >= 0)
                r = sd_bus_set_bus_client(link->bus, true);
        if (r >= 0)
                r = sd_bus_start(link->bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(link->bus, CALL_TIMEOUT_US);
        if (r >= 0)
                r = sd_bus_attach_event(
                                link->bus, link->source->env->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0) {
                r = sd_bus_match_signal_async(link->bus, NULL, "org.freedesktop.DBus.Local",
                                "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                "Disconnected", on_disconnected, NULL, link);
        }
        if (r < 0)
                return r;

        (void) snprintf(rule, sizeof(rule),
                        "type='signal',sender='%s',path='%s',interface='%s',member='NameOwnerChanged',arg0='%s'",
                        dbus_name, dbus_path, dbus_name, link->ops->peer);
        r = sd_bus_add_match_async(link->bus, NULL, rule, on_owner_changed, NULL, link);
        for (const struct bus_link_match *match = link->ops->matches; r >= 0 && match->rule;
                        match++)
                r = sd_bus_add_match_async(
                                link->bus, NULL, match->rule, match->handler, NULL, link);
        if (r >= 0)
                r = ask_bus(link, "GetNameOwner", on_owner, "s", link->ops->peer);
        return r < 0 ? r : timer_arm(link->ping_timer, PING_US);
}

static void link_try(struct bus_link *link) {
        int r;

        r = link_connect(link);
        if (r < 0)
                bus_link_fail(link, "cannot connect to the bus", r);
}

static int on_retry(sd_event_source *timer, uint64_t time_us, void *userdata) {
        link_try(userdata);
        return 0;
}

/* ---- life ---- */

int bus_link_init(struct bus_link *link, struct source *source, const char *address,
                const struct bus_link_ops *ops) {
        sd_event *event = source->env->event;
        int r;

        *link = (struct bus_link){ .source = source, .ops = ops };
        if (address && address[0]) {
                link->address = strdup(address);
                if (!link->address)
                        return -ENOMEM;
        }
        r = timer_new(event, on_retry, link, &link->retry);
        if (r >= 0)
                r = timer_new(event, on_ping, link, &link->ping_timer);
        return r < 0 ? r : sd_event_source_set_time_accuracy(link->ping_timer, USEC_PER_SEC);
}

void bus_link_start(struct bus_link *link) {
        link->running = true;
        link->wait_us = 0;
        source_post_state(link->source, SOURCE_CONNECTING, NULL);
        link_try(link);
}

void bus_link_stop(struct bus_link *link) {
        if (!link->running)
                return;
        link->running = false;
        timer_off(link->retry);
        link_close(link);
}

void bus_link_done(struct bus_link *link) {
        bus_link_stop(link);
        sd_event_source_disable_unref(link->retry);
        sd_event_source_disable_unref(link->ping_timer);
        free(link->address);
        *link = (struct bus_link){};
}
