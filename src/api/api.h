#pragma once
/* What the faces get to see. They translate and decide nothing; all is borrowed from the manager
 * and read on the loop thread. */

#include <systemd/sd-event.h>

#include "base/macro.h"

struct actions;
struct analytics;
struct apps;
struct counters;
struct diag;
struct event;
struct feed;
struct journal;
struct json_object;
struct node;
struct pools;
struct prober;
struct refusals;
struct rollups;
struct sampler;
struct spans;
struct tokens;
struct tracer;
struct tracker;

struct api_source_stats {
        uint64_t raw_events, malformed, reconnects, dropped;
};

/* Whose names of metrics are served beside our own (FACTS 6.5). */
enum api_compat {
        API_COMPAT_OFF = 0,
        API_COMPAT_INOVEX = 1,
        API_COMPAT_TINKOFF = 2,
        API_COMPAT_BOTH = 3,
};

/* Whether each request is a line of the log, and at which level. What monitors ask again and again,
 * and get, is debug at most. */
enum api_request_log {
        API_REQUEST_LOG_OFF,
        API_REQUEST_LOG_DEBUG,
        API_REQUEST_LOG_INFO,
};

struct api_context {
        sd_event *event;
        struct tracker *tracker; /* inventory, sources */
        struct feed *feed;
        struct journal *journal;
        struct counters *counters;
        struct sampler *sampler;
        struct analytics *analytics; /* NULL: not configured, as there are no logs to count */
        struct rollups *rollups;     /* NULL with it */
        enum api_compat compat;
        struct tracer *tracer; /* NULL: there is none */
        struct spans *spans;   /* its; NULL with it */
        enum api_request_log request_log;
        struct apps *apps;
        struct actions *actions;   /* what may be asked to be done to workloads; NULL: nothing */
        struct node *node;         /* this host; NULL: it is not read */
        const struct pools *pools; /* storage pools of libvirts */
        struct prober *prober;
        struct tokens *tokens;
        struct refusals *refusals;
        const char *node_name;
        uint64_t started_us;   /* CLOCK_MONOTONIC */
        uint64_t heartbeat_us; /* CLOCK_MONOTONIC of the loop's last beat; /health is late after 5 s
                                */
        struct {
                uint64_t for_us, ended_us; /* CLOCK_MONOTONIC; 0: none yet */
                uint64_t n;
        } stall;             /* the last time that the loop was held up, and how often it was */
        int analytics_error; /* why request analytics, although configured, are not there; 0 */
        const char *ca; /* PEM; what certificates of our making are to be trusted by; NULL: none */
        bool stopping;
        const char *const *features; /* NULL-terminated: what this build and config offer */
        /** Build a new configuration and go over to it. Return: 0; negative errno, with all as it
         * was and @diag->text what is wrong with the new one. */
        int (*reload)(struct diag *diag, void *userdata);
        /** The configuration as people may see it; caller puts; NULL: no memory. May be NULL. */
        struct json_object *(*config)(void *userdata);
        struct {
                uint64_t at_us, good_us; /* CLOCK_REALTIME of the last one, and of the last that
                                            was good; reading it at the start is the first */
                bool good;               /* the last one was */
        } loaded;                        /* the configuration */
        /**
         * Take in an event that somebody posted (borrowed). @done: on the loop, once it is
         * durable and published.
         *
         * Return: 0; -EALREADY one of that origin is there already, see posted(); -ENOSPC; -ENOMEM.
         */
        int (*post)(struct event *event, void (*done)(struct event *event, void *userdata),
                        void *done_userdata, void *userdata);
        /** The number of the event of that origin that was posted before, and is stored or about to
         * be; 0: there is none. */
        uint64_t (*posted)(const char *origin, void *userdata);
        /**
         * Keep a document (NULL: forget it) together with an event (taken, also on failure; may be
         * NULL), see journal_entry.
         *
         * Return: 0; -ENOSPC; -ENOMEM.
         */
        int (*keep)(const char *kind, const char *id, const char *document, struct event *event,
                        void (*done)(struct event *event, void *userdata), void *done_userdata,
                        void *userdata);
        /** That app was bound, bound anew or unbound. May be NULL. */
        void (*app_changed)(const char *slug, void *userdata);
        /** Numbers of the source of that name; -ENOENT. */
        int (*source_stats)(const char *name, struct api_source_stats *ret_stats, void *userdata);
        void *userdata;
};

/** 0 when every required source is up and the store writes; else how many are not. */
unsigned int api_not_ready(const struct api_context *api);
