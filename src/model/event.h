#pragma once
/* One event: what every face prints and the journal stores. Built once, then shared by reference;
 * has a sequence number, given when it is handed to the journal, and is shown only once it is
 * durable. */

#include <json-c/json.h>

#include "model/word.h"

struct limit;

#define EVENT_NAME_MAX    512 /* bytes; longer text is cut at a character */
#define EVENT_MESSAGE_MAX 1024
#define EVENT_ACTION_MAX  64
#define EVENT_DETAILS_MAX 16384 /* bytes of JSON text */

struct event {
        unsigned int refs; /* private; atomic */
        uint64_t seq;      /* from 1, no gaps; 0 until event_set_seq() */
        uint64_t time_us;  /* CLOCK_REALTIME when it happened */
        enum event_kind kind;
        enum severity severity;
        bool synthetic; /* found by comparing lists, not told by the source */
        char *name;     /* none of the texts is ever NULL; valid UTF-8 */
        char *action;   /* "started" "died" "OOMKilled" … */
        char *message;
        char *workload; /* id, or "" */
        char *slug;     /* app, or "" */
        char *source;   /* "docker" "libvirt:qemu:///system" …, or "" for our own */
        char *origin; /* stable id of the raw event within its source, for de-duplication; or "" */
        struct json_object
                        *details; /* owned, an object, never NULL: exit_code, reason, evidence, … */
        char *json; /* the SSE/REST object on one line, no newline; made by event_set_seq() */
        size_t json_size;
};

/* What event_new() copies; every string may be NULL for "". Invalid UTF-8 becomes U+FFFD. */
struct event_fields {
        uint64_t time_us;
        enum event_kind kind;
        enum severity severity;
        bool synthetic;
        const char *name;
        const char *action;
        const char *message;
        const char *workload;
        const char *slug;
        const char *source;
        const char *origin;
        struct json_object *details; /* taken, also on failure; NULL: empty */
};

/** Return: 0; -ENOMEM; -E2BIG when details pass EVENT_DETAILS_MAX. */
int event_new(const struct event_fields *fields, struct event **ret_event);
struct event *event_ref(struct event *event);
/** Takes NULL; returns NULL. Any thread; details is touched only by event_new, event_set_seq and
 * the last unref. */
struct event *event_unref(struct event *event);
DEFINE_FREEP(struct event, event_unref);

/**
 * Number it and render its JSON (the frozen SSE shape with fields added):
 * {"timestamp","kind","name","action","message","seq","severity","id","source","slug"?,"synthetic"?,…details}
 * details' members follow inline and never replace one of the above; id is the workload's. Only
 * while nobody else holds a reference. Return: 0; -ENOMEM.
 */
int event_set_seq(struct event *event, uint64_t seq);

/* What the timeline of an app calls @action: "OOMKilled" is "oom_killed" there, "io-error"
 * "io_error"; those that are posted are called as they are. */
#define EVENT_TIMELINE_KIND_MAX (2 * EVENT_ACTION_MAX)
void event_timeline_kind(const char *action, char kind[static EVENT_TIMELINE_KIND_MAX + 1]);

/* What a reader wants; NULL or 0 means all. */
struct event_filter {
        char *kind;
        char *name;
        char *action;
        char *slug;
        char *workload;
        char *severity;
        char *origin;
        char *timeline_kind; /* what event_timeline_kind() makes of the action */
        uint64_t since_us;
        struct limit *limit; /* a reference: only what is within it */
};

bool event_filter_match(const struct event_filter *filter, const struct event *event);
void event_filter_done(struct event_filter *filter);
