#pragma once
/* A meter reads numbers, as a source reads events: what workloads use, as their kernel, guest and
 * runtime count it. It reads when it is asked to, off the loop thread, and posts readings on the
 * loop thread. It judges nothing. */

#include <systemd/sd-event.h>

#include "model/pool.h"
#include "model/stats.h"
#include "model/workload.h"

struct meter;
struct spans;

/* What a meter gets to work with. Borrowed; outlives the meter. All called on the loop thread. */
struct meter_env {
        sd_event *event;
        struct spans *spans; /* where rounds and calls are told; NULL: nowhere */
        /** A reading of the workload @native_id of @source, or, where @source is NULL, of the
         * workload with the public id @native_id. Takes @stats. */
        void (*post)(const char *source, const char *native_id, struct stats *stats,
                        void *userdata);
        /** The monitor of a VM no longer answers (since @since_us, CLOCK_REALTIME), or does again.
         */
        void (*hung)(const char *source, const char *native_id, bool hung, uint64_t since_us,
                        void *userdata);
        /** The addresses of a VM are these @n now. */
        void (*addresses)(const char *source, const char *native_id, const char *const *addresses,
                        size_t n, void *userdata);
        /** The storage pools of @source are these @n now. May be NULL. */
        void (*pools)(const char *source, const struct pool *pools, size_t n, void *userdata);
        void *userdata;
};

struct meter_config {
        const char *source;   /* the source whose workloads it reads; NULL: any */
        const char *address;  /* libvirt: the URI */
        bool write;           /* libvirt: may set the balloon's period and ask agents */
        uint64_t interval_us; /* how often it will be asked */
        uint64_t balloon_us;  /* libvirt: period to set; 0: leave it */
        uint64_t guest_us;    /* libvirt: how often guests and images are asked */
        const char *root;     /* cgroup: where the hierarchies are; NULL: /sys/fs/cgroup */
};

struct meter_stats {
        uint64_t reads;   /* rounds done */
        uint64_t skipped; /* rounds not begun, because the one before had not ended */
        uint64_t failed;  /* workloads that could not be read */
        uint64_t last_us; /* how long the last round took */
        uint64_t stuck;   /* calls that have not come back, now */
        uint64_t hung;    /* workloads left out, now */
};

struct meter_ops {
        const char *name; /* "cgroup" "libvirt" */
        /** Copies @config. Return: 0; -ENOMEM; -EINVAL; any errno of pthread_create(). */
        int (*create)(const struct meter_config *config, const struct meter_env *env,
                        struct meter **ret_meter);
        /** Ends its threads, but for calls that are stuck in the peer: those free what is theirs
         * when they come back. */
        void (*free)(struct meter *meter);
        /** A workload lives, ended, or has changed its place. May be NULL. */
        void (*watch)(struct meter *meter, const struct workload *workload);
        void (*unwatch)(struct meter *meter, const struct workload *workload);
        /** Read everything once. Returns at once. */
        void (*read)(struct meter *meter);
        void (*get_stats)(struct meter *meter, struct meter_stats *ret_stats);
};

/* The head of every meter's own struct. */
struct meter {
        const struct meter_ops *ops;
        const struct meter_env *env;
};

extern const struct meter_ops cgroup_meter_ops;
extern const struct meter_ops libvirt_meter_ops;
