#pragma once
/* Calls into a libvirt that may never come back. A crew has one worker, a thread with a connection
 * of its own, that makes a round of calls when it is asked to. A round that passes its deadline is
 * given up: its worker stays in the call until libvirtd lets it go, and a new one with a fresh
 * connection takes over, as long as not too many are stuck. On the loop thread, but for what says
 * otherwise. */

#include <libvirt/libvirt.h>
#include <systemd/sd-event.h>

#include "base/macro.h"

/* Of all crews of one libvirt together: libvirtd has 20 threads for calls, and others need them. */
#define LIBVIRT_STUCK_MAX 2

struct libvirt_crew;
struct span;
struct spans;
struct libvirt_worker;

struct libvirt_crew_ops {
        /** What a worker remembers from round to round; made before its thread is. NULL: no memory.
         */
        void *(*memory_new)(void *userdata);
        void (*memory_free)(void *memory); /* any thread */
        /** On the worker's thread. @connection: NULL: there is none. Return: the result; NULL:
         * nothing to tell. */
        void *(*round)(struct libvirt_worker *worker, void *memory, virConnectPtr connection,
                        unsigned int flags);
        /** What a round found; @result is taken, may be NULL. @late: its worker had been given up.
         */
        void (*done)(void *result, uint64_t took_us, bool late, void *userdata);
        void (*result_free)(void *result); /* any thread */
        /** A worker was given up, stuck at the domain @uuid ("": not said). */
        void (*given_up)(const char *uuid, uint64_t waited_us, void *userdata);
};

struct libvirt_crew_config {
        const char *uri;
        bool write;
        uint64_t interval_us; /* rounds that take longer than this need a pause */
        struct spans *spans;  /* where calls are told; NULL: nowhere */
        unsigned int *stuck;  /* calls of this libvirt that are stuck: shared, outlives the crew */
        unsigned int stuck_max; /* of them, by this crew: 1..LIBVIRT_STUCK_MAX */
};

/** Copies @config. @ops and @userdata outlive the crew. Return: 0; -ENOMEM; as
 * libvirt_events_start(). */
int libvirt_crew_new(const struct libvirt_crew_config *config, const struct libvirt_crew_ops *ops,
                sd_event *event, void *userdata, struct libvirt_crew **ret_crew);
/** Ends its worker, but for calls that are stuck: those free what is theirs when they come back. */
struct libvirt_crew *libvirt_crew_free(struct libvirt_crew *crew);

/** Whether a round may begin now. One that has taken longer than @deadline_us, and @each_us for
 * each domain that it is about, is given up first. */
bool libvirt_crew_ready(struct libvirt_crew *crew, uint64_t deadline_us, uint64_t each_us);
/** Whether the next round is the first of its worker. */
bool libvirt_crew_is_new(const struct libvirt_crew *crew);
/** Begin a round, for what the loop is at (spans_current()). Only when ready. Return: 0; -ENOMEM;
 * any errno of pthread_create(). */
int libvirt_crew_ask(struct libvirt_crew *crew, unsigned int flags);

/** On the worker's thread: this round is about so many domains. */
void libvirt_worker_expect(struct libvirt_worker *worker, size_t n_domains);
/** On the worker's thread: the calls that follow are about the domain @uuid; "": about none. */
void libvirt_worker_at(struct libvirt_worker *worker, const char *uuid);
/** On the worker's thread: as libvirt_span_begin(), a child of what the round was begun for. */
struct span *libvirt_worker_span(struct libvirt_worker *worker, const char *what);
