#pragma once
/* What every origin looks like from outside: made, started, stopped, freed; it posts facts. Each
 * finds its peer again by itself (back-off 250 ms doubling to 10 s) and says so with FACT_SOURCE.
 * Nothing here judges. */

#include <systemd/sd-event.h>

#include "base/log.h"
#include "model/action.h"
#include "model/fact.h"

struct curl_glue;
struct source;
struct spans;

/* What a source gets to work with. All borrowed; outlives the source. */
struct source_env {
        sd_event *event;
        struct curl_glue *curl;
        struct spans *spans; /* where its own calls are told; NULL: nowhere */
        /* On the loop thread only. @fact is borrowed for the call. */
        void (*post)(struct source *source, const struct fact *fact, void *userdata);
        /* What came of source_control.ticket: 0 it is done; 1 it was asked, and may take its time;
         * negative errno as source_ops.control says. @text: a few words for people, or NULL. */
        void (*answer)(struct source *source, uint64_t ticket, int error, const char *text,
                        void *userdata);
        void *userdata;
};

/* One thing to be done to one workload, for an operator. All borrowed. */
struct source_control {
        uint64_t ticket; /* what the answer is known by; not 0 */
        const struct workload *workload;
        struct action action;
};

struct source_config {
        const char *name; /* "docker", "libvirt:qemu:///system"; unique; label of metrics and of GET
                             /ready */
        const char *address; /* URI, socket path, bus address; kernel: "auto" "kmsg", both with
                                ":SOCKET" or without, "journal" or "journal:DIRECTORY"; NULL: the
                                usual one */
        const char *cursor;  /* where to resume, as last posted; NULL: first start ever */
        bool required;       /* GET /ready waits for it */
        const char *const *patterns; /* units: globs of unit names; containerd: namespaces;
                                        NULL-terminated; may be NULL */
        bool write;                  /* libvirt: may open a read-write connection */
};

struct source_stats {
        uint64_t raw_events; /* taken from the peer */
        uint64_t malformed;  /* could not be read: counted, logged, skipped */
        uint64_t reconnects;
        uint64_t dropped; /* lost to a bound of ours */
};

struct source_ops {
        const char *name; /* "libvirt" "docker" "podman" "containerd" "machined" "unit" "oomd"
                             "kernel" "cgroup" */
        /** Copies @config. Does not connect. Return: 0; -ENOMEM; -EINVAL. */
        int (*create)(const struct source_config *config, const struct source_env *env,
                        struct source **ret_source);
        /** Begin: connect in the background. Return: 0 or negative errno; a peer that is away is no
         * error. */
        int (*start)(struct source *source);
        /** End: no fact is posted afterwards. Waits for nobody: a thread that is in a call, or
         * closes what it has open, ends later, and touches nothing of the source. May be started
         * again. */
        void (*stop)(struct source *source);
        /* At the end of the process, after stop(): wait for such threads, until @until_us
         * (CLOCK_MONOTONIC) at most. May be NULL: there are none. */
        void (*settle)(struct source *source, uint64_t until_us);
        void (*free)(struct source *source); /* stops first */
        /* The tracker saw @workload start or end; for evidence sources (cgroup). May be NULL. */
        void (*watch)(struct source *source, const struct workload *workload);
        void (*unwatch)(struct source *source, const struct workload *workload);
        /* What control() can do, bits of ACTION_BIT(); 0: nothing. */
        unsigned int controls;
        /**
         * Begin to do what an operator asked; env->answer() is called once, later, never from
         * within, unless the source is stopped before. NULL: it can do nothing.
         *
         * Return, and the error of the answer: 0; -ENOENT it is not there; -ESRCH it does not run;
         * -EINVAL refused as out of bounds; -EOPNOTSUPP; -EROFS switched off; -EACCES; -EAGAIN too
         * many at once; -ENOTCONN not connected; -ETIMEDOUT it hangs; -EREMOTEIO else refused.
         */
        int (*control)(struct source *source, const struct source_control *control);
        /** Numbers for /metrics: bytes, events and malformed inputs since start. */
        void (*stats)(const struct source *source, struct source_stats *ret_stats);
};

/* The head of every source's own struct. */
struct source {
        const struct source_ops *ops;
        char *name;
        bool required;
        const struct source_env *env;
        unsigned int controls;   /* of ops->controls, those that its configuration allows */
        const char *no_controls; /* why not the others, a constant; NULL: it cannot do them */
        struct source_stats stats;
        struct log_ratelimit limit; /* of source_malformed() */
};

extern const struct source_ops libvirt_source_ops;
extern const struct source_ops docker_source_ops;
extern const struct source_ops podman_source_ops;
extern const struct source_ops containerd_source_ops;
extern const struct source_ops kernel_source_ops;
extern const struct source_ops cgroup_source_ops;
extern const struct source_ops unit_source_ops;
extern const struct source_ops machined_source_ops;
extern const struct source_ops oomd_source_ops;

/* The next wait before trying again: 250 ms doubling to 10 s, spread by ±25 %. @wait_us is updated.
 */
#define SOURCE_BACKOFF_MIN_US (250 * USEC_PER_MSEC)
#define SOURCE_BACKOFF_MAX_US (10 * USEC_PER_SEC)
uint64_t source_backoff_next(uint64_t *wait_us);

/** Common to all sources: fill and free the head; post FACT_SOURCE. */
int source_init(struct source *source, const struct source_ops *ops,
                const struct source_config *config, const struct source_env *env);
void source_done(struct source *source);
void source_post(struct source *source, const struct fact *fact);
void source_post_state(struct source *source, enum source_state state, const char *error);
void source_answer(struct source *source, uint64_t ticket, int error, const char *text);
/** Count one unreadable input and log it, rate-limited; @sample is escaped and cut. */
void source_malformed(struct source *source, const char *what, const char *sample, size_t size);
