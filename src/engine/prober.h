#pragma once
/* The prober: asks every app that has a probe whether it is up, each at its own turn within the
 * interval, thousands at a time, never one twice at once, and tells when the answer changes. It has
 * connections of its own, so that a target that hangs delays neither another nor a runtime. Loop
 * thread only. */

#include <systemd/sd-event.h>

#include "base/list.h"
#include "base/map.h"
#include "model/address.h"
#include "model/app.h"
#include "model/histogram.h"
#include "model/probe.h"

struct apps;
struct event;
struct prober;
struct prober_run;
struct workload;

#define PROBER_PROBES_MAX  10000
#define PROBER_WAITERS_MAX 64 /* for one run */

/* Others read; only the prober writes. */
struct probe {
        char slug[APP_SLUG_MAX + 1];
        struct probe_config config;
        struct probe_state state;

        struct prober *prober; /* private, as all that follows */
        sd_event_source *timer;
        uint64_t due_us;        /* CLOCK_MONOTONIC */
        uint64_t kept_us;       /* CLOCK_MONOTONIC of the last time it was stored; 0: never */
        struct list dirty;      /* those whose stored state is old */
        struct prober_run *run; /* under way; NULL: none */
        char *workload;         /* id of the one whose address was asked last; NULL: none */
        struct list waiters;    /* for the run that is under way */
};

struct prober_config {
        bool enabled;           /* false: they are kept, none is run */
        const char *user_agent; /* copied, as the next */
        const char *ca_file;    /* certificates to trust; NULL or "": the system's */
        struct address_policy policy;
        const struct apps *apps; /* whose hosts are asked where a probe has no url; borrowed */
};

struct prober_hooks {
        /**
         * Store the probe of that slug (@document NULL: forget it), and with it @event (taken;
         * NULL: none). @done: on the loop once it is durable; may be NULL.
         *
         * Return: 0; -ENOSPC; -ENOMEM.
         */
        int (*keep)(const char *slug, const char *document, struct event *event,
                        void (*done)(struct event *event, void *userdata), void *done_userdata,
                        void *userdata);
        /** The probe of that slug was set, removed, or flipped. May be NULL. */
        void (*changed)(const char *slug, void *userdata);
        /**
         * The workload of the app of that slug whose address is asked: one that runs and has
         * addresses, a VM before a container.
         *
         * @hint: the one of the last time, if it still serves; may be NULL
         *
         * Return: NULL: there is none. May be NULL itself.
         */
        const struct workload *(*workload)(const char *slug, const char *hint, void *userdata);
        void *userdata;
};

struct prober_stats {
        uint64_t succeeded, failed;
        uint64_t skipped;       /* runs that told nothing of their target: no descriptor, no
                                 * memory, or the loop was held up */
        uint64_t overlapped;    /* turns at which the last run was still under way */
        struct histogram delay; /* from a probe's turn to the start of its run */
        size_t running;         /* now */
};

int prober_new(sd_event *event, const struct prober_config *config,
                const struct prober_hooks *hooks, struct prober **ret_prober);
/** Drops what is under way, tells who waits (-ENOENT), and stores what is not stored. */
struct prober *prober_free(struct prober *prober);
DEFINE_FREEP(struct prober, prober_free);

/** Another policy, and so on; runs under way end as they began. The addresses that we listen on are
 * to be added anew. Return: 0; -ENOMEM (as it was). */
int prober_configure(struct prober *prober, const struct prober_config *config);

/** An address that we listen on, "127.0.0.1:8600", "[::]:8600"; it is never asked. Others are
 * passed over. */
void prober_add_own(struct prober *prober, const char *address);

/** Why @address is not to be connected to; NULL: it may be. */
const char *prober_refusal(const struct prober *prober, const struct sockaddr *address);

/** One sentence for -ENOENT, -EDESTADDRREQ, -EPERM, -E2BIG, and for -EAGAIN and -EINVAL of a run
 * below, the same on every face; NULL for other errors. */
const char *prober_error_words(int error);

/** Take one in as it was stored, before the loop runs. Return: 0; -EINVAL; -E2BIG; -ENOMEM. */
int prober_restore(struct prober *prober, const char *slug, const char *document);

/**
 * Set the probe of a (valid) slug. What was known stays known if it asks the same. In force at
 * once; @done is called once it is durable.
 *
 * Return: 0; -EACCES the url names an address that is refused (@diag); -E2BIG there are too many;
 * -ENOSPC; -ENOMEM.
 */
int prober_put(struct prober *prober, const char *slug, const struct probe_config *config,
                struct diag *diag, void (*done)(struct event *event, void *userdata),
                void *userdata);
/** Return: 0; -ENOENT; -ENOSPC; -ENOMEM. */
int prober_remove(struct prober *prober, const char *slug,
                void (*done)(struct event *event, void *userdata), void *userdata);

/**
 * Run it now, out of turn and also if it is not enabled, or join the run under way. Is the probe
 * told to ask for something else meanwhile, that is asked.
 *
 * @done: on the loop when it has ended, never from within. @error: 0; -ENOENT it has been removed
 *        meanwhile (@probe NULL); -EAGAIN it told nothing of its target; another of those below,
 *        as there is something else to ask
 *
 * Return: 0; -ENOENT; -EDESTADDRREQ nothing to ask: no url, the app has no
 * host, and no workload whose address is known; -EPERM probes
 * are switched off; -EBUSY too many wait; -EINVAL the url cannot be read; -ENOMEM.
 */
int prober_run(struct prober *prober, const char *slug,
                void (*done)(int error, const struct probe *probe, void *userdata), void *userdata);

/** NULL: there is none. */
const struct probe *prober_get(const struct prober *prober, const char *slug);
/** For map_for_each(): of struct probe. */
const struct map *prober_all(const struct prober *prober);
const struct prober_stats *prober_get_stats(const struct prober *prober);
