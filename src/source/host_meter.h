#pragma once
/* Reads the host on threads of its own: one for /proc, which the kernel always answers, and one for
 * the file systems, which may never answer. A file system that keeps its thread waiting for longer
 * than HOST_METER_STUCK_US is told as stuck; its thread is left to it, and a new one reads the
 * others, so that it costs its own numbers and those of the moment before. When it answers it is
 * read again. At most HOST_METER_STUCK_MAX are left so; with more, file systems are not told until
 * one comes back. */

#include <systemd/sd-event.h>

#include "source/host_read.h"

#define HOST_METER_STUCK_MAX 4

struct host_meter;

struct host_meter_config {
        struct host_reader_config reader;
        uint64_t stuck_us; /* 0: five seconds */
};

/* Called on the loop thread; both take what they get. */
struct host_meter_hooks {
        void (*host)(struct host *host, void *userdata);
        void (*mounts)(struct host_mounts *mounts, void *userdata);
        void *userdata;
};

struct host_meter_stats {
        uint64_t reads, failed; /* rounds of /proc */
        uint64_t skipped;       /* rounds not begun, because the one before had not ended */
        uint64_t last_us;       /* how long the last round of /proc took */
        uint64_t stuck;         /* file systems that have not answered, now */
        uint64_t given_up;      /* threads left to such file systems, ever */
};

/** Copies @config and @hooks. Return: 0; -ENOMEM; any errno of pthread_create(). */
int host_meter_new(const struct host_meter_config *config, sd_event *event,
                const struct host_meter_hooks *hooks, struct host_meter **ret_meter);
/** Threads that are stuck free what is theirs when they come back. */
struct host_meter *host_meter_free(struct host_meter *meter);
DEFINE_FREEP(struct host_meter, host_meter_free);

/** Read everything once. Returns at once. */
void host_meter_read(struct host_meter *meter);
void host_meter_get_stats(const struct host_meter *meter, struct host_meter_stats *ret_stats);
