#pragma once
/* What the D-Bus face's files share: dbus.c (connection, events), dbus_told.c (what the bus was
 * told of workloads and sources), dbus_told_app.c (and of apps), dbus_caller.c (who asks, and how
 * much), dbus_served.c (calls as spans), dbus_text.c (texts and events as messages), dbus_json.c
 * (messages as JSON), and the
 * objects: dbus_manager.c, dbus_events.c, dbus_dump.c, dbus_log.c, dbus_workload.c,
 * dbus_samples.c, dbus_node.c, dbus_app.c, dbus_probe.c. */

#include <json-c/json.h>
#include <systemd/sd-bus.h>

#include "api/dbus.h"
#include "base/list.h"
#include "engine/feed.h"
#include "engine/tracker.h"
#include "model/event.h"
#include "model/workload.h"

struct journal_query;
struct ring;

#define DBUS_GIVEN_MAX 64

/* What one caller was given in the second that began then. */
struct dbus_given {
        uint64_t caller; /* hash of its name */
        uint64_t begin_us;
        size_t bytes;
};

struct dbus {
        struct api_context *api;
        char *bus_kind, *address;
        void (*named)(void *userdata);
        void *named_userdata;
        sd_bus *bus;
        sd_event_source *retry;
        uint64_t wait_us;  /* before the next try; 0: it works */
        uint64_t named_us; /* CLOCK_MONOTONIC when the name became ours; 0: it is not */

        /* dbus.c */
        struct feed_reader reader;
        sd_event_source *pump;
        bool reading, was_named;
        uint64_t read_seq;  /* where reading stopped */
        size_t reply_bytes; /* of big replies, since the write queue was last seen empty */

        /* dbus_told.c */
        struct map *told;         /* id to struct told */
        struct list dirty;        /* of struct told: the bus is not up to date */
        struct list sampled;      /* of struct told: it has a sample to tell */
        struct list told_sources; /* of struct told_source */
        uint32_t running;         /* among those told */
        uint32_t told_running, told_count;
        bool told_ready, config_untold; /* what the configuration says is to be told anew */
        const char *told_health;        /* a constant */

        /* dbus_told_app.c */
        struct map *apps;       /* slug to struct dbus_app */
        struct list dirty_apps; /* of struct dbus_app */

        /* dbus_node.c */
        const char *told_node_status; /* a constant; NULL: never told */
        uint64_t told_node_running;

        /* dbus_caller.c */
        struct list calls; /* of struct dbus_call */
        size_t n_calls;
        struct list subscribers;
        size_t n_subscribers;
        uint64_t looked_us; /* CLOCK_MONOTONIC when the bus was asked what it holds for them */
        struct dbus_given given[DBUS_GIVEN_MAX]; /* the latest callers for much */

        /* dbus_served.c */
        struct dbus_served *served; /* the call we are at; NULL: none, or traces are off */
        sd_event_source *served_over;
};

/* ---- dbus.c ---- */

/** Whether the bus takes more signals now; if not, the pump comes again when it may. */
bool dbus_may_send(struct dbus *dbus);
/** Whether a reply of about @size bytes may be made to @call; NULL: to one that is bounded already.
 *
 * Return: 0; negative with @error: it is too large, too many wait to be read, or this caller asks
 * for too much. */
int dbus_may_reply(struct dbus *dbus, sd_bus_message *call, size_t size, sd_bus_error *error);
void dbus_pump_soon(struct dbus *dbus);

/* ---- dbus_told.c ---- */

int dbus_told_init(struct dbus *dbus);
void dbus_told_done(struct dbus *dbus);
/** The name is ours: who comes now sees what is there; only changes from now on are told. */
void dbus_told_begin(struct dbus *dbus);
/** Tell what changed, as long as the bus takes it. Return: whether something is left. */
bool dbus_told_flush(struct dbus *dbus);

/** The id of a workload whose newest sample is to be told, which counts as done; NULL: none. */
const char *dbus_told_next_sample(struct dbus *dbus);
/** Tell that the object at @path and its @interfaces (NULL-terminated, the usual ones left out) are
 * gone. By hand: sd_bus_emit_object_removed() looks at the object. */
void dbus_signal_removed(struct dbus *dbus, const char *path, const char *const *interfaces);

/* ---- dbus_told_app.c ---- */

/* A workload in the app that the bus was told it is in. */
struct dbus_member {
        struct list list;
        struct dbus_app *app; /* NULL: none */
        const char *id;       /* borrowed */
};

#define DBUS_PROBE_TOLD 15 /* properties of Probe that emit changes */

/* An app as the bus knows it. It is there while it is bound, or has workloads by their labels. */
struct dbus_app {
        struct list dirty;
        struct list members; /* of struct dbus_member */
        char *slug;
        size_t n_members;
        bool announced, moved;           /* moved: workloads came or went since the bus was told */
        uint64_t vms, containers, hosts; /* hashes, as announced */
        uint64_t probe[DBUS_PROBE_TOLD]; /* the same of its probe */
};

int dbus_apps_init(struct dbus *dbus);
void dbus_apps_done(struct dbus *dbus);
/** Forget what the bus was told. */
void dbus_apps_clear(struct dbus *dbus);
/** All there is counts as told. */
void dbus_apps_begin(struct dbus *dbus);
/** Put @member into the app of that @slug; NULL: into none. */
void dbus_app_join(struct dbus *dbus, struct dbus_member *member, const char *slug);
/** Look at that app when the bus takes it; NULL: there was no memory. */
struct dbus_app *dbus_app_mark(struct dbus *dbus, const char *slug);
/** Return: whether something is left. */
bool dbus_apps_flush(struct dbus *dbus);

/* ---- dbus_caller.c ---- */

struct dbus_subscriber {
        struct list list;
        struct dbus *dbus;
        char *name;  /* unique name on the bus */
        int64_t uid; /* -1: not known yet */
        sd_bus_slot *gone;
        sd_bus_slot *asked; /* how much the bus holds for it; dbus_samples.c */
        bool full;          /* much: it does not read */
};

/* One call that is answered later. */
struct dbus_call {
        struct list list;
        struct dbus *dbus;       /* NULL: the bus it came from is gone */
        sd_bus_message *message; /* the call */
        sd_bus_slot *slot;       /* of our own question to the bus or to polkit, if any */
        const char *action;      /* a constant: what polkit is asked; NULL: nothing */
        int64_t uid;
        bool asking;                /* polkit */
        struct dbus_served *served; /* a reference; NULL: traces are off */
        struct span *question;      /* of our own question */
        int (*then)(struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error);
};

/** Remember a call for later. Return: 0; negative with @error set: this caller waits for too many
 * already. */
int dbus_call_new(struct dbus *dbus, sd_bus_message *message, sd_bus_error *error,
                struct dbus_call **ret_call);
struct dbus_call *dbus_call_free(struct dbus_call *call);
DEFINE_FREEP(struct dbus_call, dbus_call_free);
/**
 * Ask the bus, without waiting for it, which user the caller is; @then answers the call. With an
 * @action it is called only if that user may: root, whom the daemon runs as, or whom polkit lets;
 * others get their error here. Without, it gets uid -1 if that cannot be told: an error, a timeout,
 * a caller that is gone.
 *
 * @action: a constant, "org.virtwatch1.reload"; NULL: anybody may
 *
 * Return: 1, as a method handler does that answers later; negative with @error.
 */
int dbus_call_ask(struct dbus *dbus, sd_bus_message *message, const char *action,
                int (*then)(struct dbus *dbus, sd_bus_message *message, int64_t uid,
                                sd_bus_error *error),
                sd_bus_error *error);
/**
 * Whether the arguments of @call are no larger than what any method of ours has use for. What is
 * kept for later, and what an error quotes, is bounded by that.
 *
 * Return: 0, and it can be read from its beginning; negative with @error.
 */
int dbus_call_fits(sd_bus_message *call, sd_bus_error *error);
/** Whether the caller may ask for another @size bytes this second. */
bool dbus_caller_may(struct dbus *dbus, sd_bus_message *call, size_t size);
/** The bus is gone, and all who wait. */
void dbus_callers_done(struct dbus *dbus);
int dbus_method_subscribe(sd_bus_message *message, void *userdata, sd_bus_error *error);
int dbus_method_unsubscribe(sd_bus_message *message, void *userdata, sd_bus_error *error);

/* ---- dbus_served.c ---- */

int dbus_served_init(struct dbus *dbus);
void dbus_served_done(struct dbus *dbus);
/** A message has come: if it is a call, it is what we are at from now on. */
void dbus_served_begin(struct dbus *dbus, sd_bus_message *message);
/** It was refused before its method was looked for, if @r is negative. Return: @r. */
int dbus_served_refused(struct dbus *dbus, int r, const sd_bus_error *error);
struct dbus_served *dbus_served_ref(struct dbus_served *served);
/** Takes NULL; returns NULL. The last one ends the span. */
struct dbus_served *dbus_served_unref(struct dbus_served *served);
/** We are at it again, until dbus_served_leave(); what is begun meanwhile is its child. */
void dbus_served_enter(struct dbus *dbus, struct dbus_served *served);
void dbus_served_leave(struct dbus *dbus);
/** It is answered with @error. Takes NULL. */
void dbus_served_fail(struct dbus_served *served, const sd_bus_error *error);
/** It is never answered. Takes NULL. */
void dbus_served_cancel(struct dbus_served *served);
/** Call @method, which answers the call we are at or keeps it for later. Return: as @method. */
int dbus_serve(sd_bus_message *message, void *userdata, sd_bus_error *error,
                sd_bus_message_handler_t method);
/* serve_X() for a vtable: X() with a span. */
#define DBUS_SERVE(method)                                                                        \
        static int serve_##method(sd_bus_message *message, void *userdata, sd_bus_error *error) { \
                return dbus_serve(message, userdata, error, method);                              \
        }

/** For @call something is asked on the bus; its answer has come, an error or NULL. */
void dbus_call_asks(struct dbus_call *call, const char *service, const char *method);
void dbus_call_told(struct dbus_call *call, const sd_bus_error *error);
/** Answer with an error. Return: as sd_bus_reply_method_error(). */
int dbus_call_reply_error(const struct dbus_call *call, const sd_bus_error *error);

/* ---- dbus_text.c ---- */

/** A copy in which all that may not travel is U+FFFD. Caller frees; NULL: no memory. */
char *dbus_text_clean(const char *text);
int dbus_append_text(sd_bus_message *message, const char *text);
/** Make what @error says a text that may travel: one that was cut in the middle of a character, or
 * that another program gave, may be none. */
void dbus_error_clean(sd_bus_error *error);
/** Answer with one text. */
int dbus_reply_text(sd_bus_message *message, const char *text);
/** "ttsssssa{sv}": what the Event signal and GetEvents give of one event. */
int dbus_append_event(sd_bus_message *message, const struct event *event);

/* ---- dbus_json.c ---- */

/**
 * Read an a{sv} as a JSON object. Caller puts.
 *
 * Return: 0; -EINVAL a name that comes twice or is no text, a NaN, a file descriptor; -E2BIG more
 * than @size_max bytes of JSON in any case, or too many levels; errors of sd_bus_message_read().
 */
int dbus_read_object(sd_bus_message *message, size_t size_max, struct json_object **ret_object);

/* ---- dbus_events.c ---- */

/** Answer with a page of events, "a(ttsssssa{sv})". Return: 1; negative with @error. */
int dbus_read_events(struct dbus *dbus, sd_bus_message *message, const struct journal_query *query,
                sd_bus_error *error);
int dbus_method_get_events(sd_bus_message *message, void *userdata, sd_bus_error *error);
int dbus_method_add_event(sd_bus_message *message, void *userdata, sd_bus_error *error);

/* ---- dbus_action.c ---- */

/** Stop, Destroy and Scale of a workload. */
int dbus_method_act(sd_bus_message *message, void *userdata, sd_bus_error *error);
/* ---- dbus_tokens.c ---- */

int dbus_method_create_token(sd_bus_message *message, void *userdata, sd_bus_error *error);
int dbus_method_list_tokens(sd_bus_message *message, void *userdata, sd_bus_error *error);
int dbus_method_revoke_token(sd_bus_message *message, void *userdata, sd_bus_error *error);

/* ---- dbus_samples.c ---- */

/** Answer GetSamples(). @ring: NULL: none were taken. */
int dbus_reply_samples(struct dbus *dbus, sd_bus_message *message, const struct ring *ring,
                sd_bus_error *error);
/** Now and then, while there are subscribers: see which of them do not read. */
void dbus_subscribers_look(struct dbus *dbus);
/** Tell subscribers what is marked. Return: whether something is left. */
bool dbus_samples_flush(struct dbus *dbus);

/* ---- the objects ---- */

extern const sd_bus_vtable dbus_manager_vtable[];
int dbus_method_describe(sd_bus_message *message, void *userdata, sd_bus_error *error);
int dbus_method_dump(sd_bus_message *message, void *userdata, sd_bus_error *error);
/** Add org.freedesktop.LogControl1. */
int dbus_log_export(struct dbus *dbus);
int dbus_node_export(struct dbus *dbus);
/** The object of this host. Caller frees; NULL: no memory. */
char *dbus_node_path(const struct api_context *api);
int dbus_method_list_nodes(sd_bus_message *message, void *userdata, sd_bus_error *error);
/** Tell what changed of the node. */
void dbus_node_refresh(struct dbus *dbus);
/* Where the objects of apps are. */
#define DBUS_APP_PREFIX "/org/virtwatch1/app"
extern const sd_bus_vtable dbus_probe_vtable[];
/** Which properties of its probe differ from what was announced; they count as announced now.
 * @changed has room for DBUS_PROBE_TOLD. Return: how many. */
size_t dbus_probe_differs(struct dbus *dbus, struct dbus_app *app, const char **changed);
int dbus_app_export(struct dbus *dbus);
int dbus_method_list_apps(sd_bus_message *message, void *userdata, sd_bus_error *error);
/** Caller frees; NULL: no memory. */
char *dbus_app_path(const char *slug);
/** About how many bytes all apps take in a reply, with their properties or only by name. */
size_t dbus_apps_size(struct dbus *dbus, bool whole);
int dbus_workload_export(struct dbus *dbus);
/** The object tree that calls right now: its members get the workload or app, not the face. */
struct dbus *dbus_of(sd_bus *bus);
/** Caller frees; NULL: no memory. */
char *dbus_workload_path(const char *id);
/** The way back. Caller frees; NULL: it is no such path, or no memory. */
char *dbus_workload_id(const char *path);
/** About how many bytes @workload takes in a reply, with all its interfaces or only its line in the
 * list. */
size_t dbus_workload_size(const struct workload *workload, bool whole);

#define DBUS_API(userdata) (((struct dbus *) (userdata))->api)
#define DBUS_PROPERTY(name)                                                              \
        static int property_##name(sd_bus *bus, const char *path, const char *interface, \
                        const char *property, sd_bus_message *reply, void *userdata,     \
                        sd_bus_error *error)
