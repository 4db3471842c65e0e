#pragma once
/* What every origin looks like from outside: made, started, stopped, freed; it posts facts. Each
 * finds its peer again by itself (back-off 250 ms doubling to 10 s) and says so with FACT_SOURCE.
 * Nothing here judges. */

#include <systemd/sd-event.h>

#include "base/log.h"
#include "model/fact.h"

struct curl_glue;
struct source;

/* What a source gets to work with. All borrowed; outlives the source. */
struct source_env {
        sd_event *event;
        struct curl_glue *curl;
        /* On the loop thread only. @fact is borrowed for the call. */
        void (*post)(struct source *source, const struct fact *fact, void *userdata);
        void *userdata;
};

struct source_config {
        const char *name; /* "docker", "libvirt:qemu:///system"; unique; label of metrics and of GET
                             /ready */
        const char *address; /* URI, socket path, bus address; kernel: "auto" "kmsg" "journal" or
                                "journal:DIRECTORY"; NULL: the usual one */
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
        /** End: no fact is posted afterwards. May be started again. */
        void (*stop)(struct source *source);
        void (*free)(struct source *source); /* stops first */
        /* The tracker saw @workload start or end; for evidence sources (cgroup). May be NULL. */
        void (*watch)(struct source *source, const struct workload *workload);
        void (*unwatch)(struct source *source, const struct workload *workload);
        /** Numbers for /metrics: bytes, events and malformed inputs since start. */
        void (*stats)(const struct source *source, struct source_stats *ret_stats);
};

/* The head of every source's own struct. */
struct source {
        const struct source_ops *ops;
        char *name;
        bool required;
        const struct source_env *env;
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
/** Count one unreadable input and log it, rate-limited; @sample is escaped and cut. */
void source_malformed(struct source *source, const char *what, const char *sample, size_t size);
