#pragma once
/* The worker pool: slow work off the loop. A job carries copies in and results out; run() sees only its job, done()
 * runs on the loop thread. One eventfd brings results back. */

#include "base/list.h"

#include <systemd/sd-event.h>

struct pool;

struct job {
        struct list list;                         /* private */
        void (*run)(struct job *job);             /* on a worker */
        void (*done)(struct job *job, int error); /* on the loop; owns the job again. error: 0; -ECANCELED at pool_free() */
        const char *name;                         /* static text, for the log */
};

/** @threads workers (1..16), at most @queue_max waiting jobs. Return: 0; -ENOMEM; errno of pthread_create. */
int pool_new(sd_event *event, unsigned int threads, size_t queue_max, struct pool **ret_pool);
/** Joins the workers (waits for the jobs that run), then calls done(-ECANCELED) for those that never ran. */
struct pool *pool_free(struct pool *pool);
DEFINE_FREEP(struct pool, pool_free);

/** Hand @job over. Return: 0; -EAGAIN queue full (job stays the caller's). Loop thread only. */
int pool_submit(struct pool *pool, struct job *job);
