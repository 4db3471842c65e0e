/* A worker is a thread and what it works with, held by two references: the thread's and the
 * loop's. Whoever goes last frees it, so a thread that is stuck in the kernel can be left behind.
 */

#include "source/host_meter.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "loop/mailbox.h"

#define STUCK_US    (5 * USEC_PER_SEC)
#define JOIN_US     (200 * USEC_PER_MSEC)
#define LETTERS_MAX 16

struct round {
        struct letter letter;
        struct host *host;          /* of /proc */
        struct host_mounts *mounts; /* of the file systems */
        bool failed;
        uint64_t took_us;
};

typedef char device_name[sizeof(((struct host_mount *) NULL)->device)];

struct worker {
        pthread_mutex_t lock;
        pthread_cond_t wake;      /* for the thread */
        pthread_cond_t gone;      /* for who waits until it has ended; CLOCK_MONOTONIC */
        unsigned int refs;        /* under lock */
        bool quit, wanted, ended; /* under lock */
        uint64_t busy_since_us;   /* under lock; 0: it is not */
        device_name device;       /* under lock: the file system it is at, or was left at */
        char point[256];          /* under lock: where that is mounted */
        device_name left_out[HOST_METER_STUCK_MAX]; /* never changes once the thread runs */
        size_t n_left_out;
        struct mailbox *mailbox; /* under lock; NULL: the loop no longer wants its rounds */
        struct host_reader *reader;
        struct round *(*work)(struct worker *worker);
        pthread_t thread;
};

struct host_meter {
        struct host_meter_hooks hooks;
        struct host_reader *reader; /* the workers' are made like it */
        uint64_t stuck_us;
        struct mailbox *mailbox;
        struct worker *proc, *mounts; /* NULL: none, too many are stuck */
        struct worker *stuck[HOST_METER_STUCK_MAX];
        size_t n_stuck;
        struct host_meter_stats stats;
};

static void lock(struct worker *worker) {
        (void) pthread_mutex_lock(&worker->lock);
}

static void unlock(struct worker *worker) {
        (void) pthread_mutex_unlock(&worker->lock);
}

static struct round *round_free(struct round *round) {
        if (!round)
                return NULL;
        host_free(round->host);
        host_mounts_free(round->mounts);
        free(round);
        return NULL;
}

static void worker_unref(struct worker *worker) {
        bool last;

        if (!worker)
                return;
        lock(worker);
        last = --worker->refs == 0;
        unlock(worker);
        if (!last)
                return;
        host_reader_free(worker->reader);
        (void) pthread_cond_destroy(&worker->wake);
        (void) pthread_cond_destroy(&worker->gone);
        (void) pthread_mutex_destroy(&worker->lock);
        free(worker);
}

/* ---- the threads ---- */

static struct round *work_proc(struct worker *worker) {
        struct round *round = calloc(1, sizeof(*round));

        if (round)
                round->failed = host_reader_read(worker->reader, &round->host) < 0;
        return round;
}

/* Say where the thread goes before it goes there. One that was left behind goes nowhere else. */
static bool on_mount(const struct host_mount *mount, void *userdata) {
        struct worker *worker = userdata;
        bool go;

        for (size_t i = 0; i < worker->n_left_out; i++)
                if (strcmp(worker->left_out[i], mount->device) == 0)
                        return false;
        lock(worker);
        go = !worker->quit;
        if (go) {
                memcpy(worker->device, mount->device, sizeof(worker->device));
                memcpy(worker->point, mount->point, sizeof(worker->point));
                worker->busy_since_us = clock_monotonic_us();
        }
        unlock(worker);
        return go;
}

static struct round *work_mounts(struct worker *worker) {
        struct round *round = calloc(1, sizeof(*round));

        if (round)
                round->failed = host_reader_read_mounts(worker->reader, on_mount, worker,
                                                &round->mounts) < 0;
        return round;
}

static void *worker_main(void *userdata) {
        struct worker *worker = userdata;
        struct round *round;
        uint64_t begin_us;

        lock(worker);
        for (;;) {
                while (!worker->quit && !worker->wanted)
                        (void) pthread_cond_wait(&worker->wake, &worker->lock);
                if (worker->quit)
                        break;
                worker->wanted = false;
                begin_us = worker->busy_since_us = clock_monotonic_us();
                unlock(worker);

                round = worker->work(worker);
                if (round) {
                        round->took_us = clock_monotonic_us() - begin_us;
                        list_init(&round->letter.list);
                }

                lock(worker);
                worker->busy_since_us = 0;
                if (round &&
                                (!worker->mailbox ||
                                                mailbox_post(worker->mailbox, &round->letter) < 0))
                        round_free(round);
        }
        worker->ended = true;
        (void) pthread_cond_signal(&worker->gone);
        unlock(worker);
        worker_unref(worker);
        return NULL;
}

static int worker_new(struct host_meter *meter, struct round *(*work)(struct worker *worker),
                struct worker **ret_worker) {
        struct worker *worker = calloc(1, sizeof(*worker));
        pthread_condattr_t monotonic;
        int r;

        if (!worker)
                return -ENOMEM;
        (void) pthread_mutex_init(&worker->lock, NULL);
        (void) pthread_cond_init(&worker->wake, NULL);
        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&worker->gone, &monotonic);
        (void) pthread_condattr_destroy(&monotonic);
        worker->refs = 2;
        worker->work = work;
        worker->mailbox = meter->mailbox;
        for (size_t i = 0; i < meter->n_stuck; i++) {
                lock(meter->stuck[i]);
                memcpy(worker->left_out[i], meter->stuck[i]->device, sizeof(worker->left_out[i]));
                unlock(meter->stuck[i]);
        }
        worker->n_left_out = meter->n_stuck;
        r = host_reader_copy(meter->reader, &worker->reader);
        if (r >= 0)
                r = -pthread_create(&worker->thread, NULL, worker_main, worker);
        if (r < 0) {
                worker->refs = 1;
                worker_unref(worker);
                return r;
        }
        *ret_worker = worker;
        return 0;
}

/* From now on its rounds go nowhere, and it ends when it can. */
static void worker_leave(struct worker *worker) {
        lock(worker);
        worker->quit = true;
        worker->mailbox = NULL;
        (void) pthread_cond_signal(&worker->wake);
        unlock(worker);
}

/* Without waiting for it. */
static void worker_drop(struct worker *worker) {
        worker_leave(worker);
        (void) pthread_detach(worker->thread);
        worker_unref(worker);
}

/* Waits for it a moment, so that a daemon that ends has no thread of it any more. */
static void worker_free(struct worker *worker) {
        struct timespec until;
        bool ended;

        if (!worker)
                return;
        worker_leave(worker);
        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long) (JOIN_US * NSEC_PER_USEC);
        if (until.tv_nsec >= 1000000000) {
                until.tv_nsec -= 1000000000;
                until.tv_sec++;
        }
        lock(worker);
        while (!worker->ended &&
                        pthread_cond_timedwait(&worker->gone, &worker->lock, &until) != ETIMEDOUT)
                ;
        ended = worker->ended;
        unlock(worker);
        if (ended)
                (void) pthread_join(worker->thread, NULL);
        else
                (void) pthread_detach(worker->thread);
        worker_unref(worker);
}

/* ---- the loop ---- */

static void deliver(struct letter *letter, void *userdata) {
        struct round *round = CONTAINER_OF(letter, struct round, letter);
        struct host_meter *meter = userdata;

        if (round->failed) {
                meter->stats.failed++;
        } else if (round->host) {
                meter->stats.reads++;
                meter->stats.last_us = round->took_us;
                meter->hooks.host(TAKE_PTR(round->host), meter->hooks.userdata);
        } else if (round->mounts) {
                meter->hooks.mounts(TAKE_PTR(round->mounts), meter->hooks.userdata);
        }
        round_free(round);
}

static void want(struct host_meter *meter, struct worker *worker) {
        lock(worker);
        if (worker->busy_since_us || worker->wanted)
                meter->stats.skipped++;
        worker->wanted = true;
        (void) pthread_cond_signal(&worker->wake);
        unlock(worker);
}

/* @ret_point: the file system it is at. */
static bool is_stuck(struct worker *worker, uint64_t stuck_us, char *ret_point, size_t size) {
        uint64_t now_us = clock_monotonic_us();
        bool stuck;

        lock(worker);
        stuck = worker->busy_since_us && now_us > worker->busy_since_us + stuck_us;
        (void) snprintf(ret_point, size, "%s", worker->point);
        unlock(worker);
        return stuck;
}

/* Those that have come back let their file systems be read again: by a worker that does not leave
 * them out. Return: whether there was one. */
static bool collect_returned(struct host_meter *meter) {
        size_t n = 0;

        for (size_t i = 0; i < meter->n_stuck; i++) {
                struct worker *worker = meter->stuck[i];
                bool ended;

                lock(worker);
                ended = worker->ended;
                unlock(worker);
                if (ended)
                        worker_unref(worker);
                else
                        meter->stuck[n++] = worker;
        }
        if (n == meter->n_stuck)
                return false;
        meter->n_stuck = n;
        return true;
}

static void leave_stuck(struct host_meter *meter) {
        struct worker *worker = TAKE_PTR(meter->mounts);

        worker_leave(worker);
        (void) pthread_detach(worker->thread);
        meter->stuck[meter->n_stuck++] = worker;
        meter->stats.given_up++;
}

static void tend_mounts(struct host_meter *meter) {
        bool returned = collect_returned(meter);
        char point[256];

        if (meter->mounts && is_stuck(meter->mounts, meter->stuck_us, point, sizeof(point))) {
                if (meter->n_stuck == HOST_METER_STUCK_MAX)
                        return; /* it stays where it is: nothing more is told till one returns */
                leave_stuck(meter);
                log_warn("The file system at %s does not answer; it is left out until it does",
                                point);
        } else if (meter->mounts && returned) {
                log_info("A file system that was left out has answered and is read again");
                worker_drop(TAKE_PTR(meter->mounts));
        }
        if (!meter->mounts)
                (void) worker_new(meter, work_mounts, &meter->mounts);
}

void host_meter_read(struct host_meter *meter) {
        want(meter, meter->proc);
        tend_mounts(meter);
        if (meter->mounts)
                want(meter, meter->mounts);
}

void host_meter_get_stats(const struct host_meter *meter, struct host_meter_stats *ret_stats) {
        *ret_stats = meter->stats;
        ret_stats->stuck = meter->n_stuck;
}

/* ---- life ---- */

int host_meter_new(const struct host_meter_config *config, sd_event *event,
                const struct host_meter_hooks *hooks, struct host_meter **ret_meter) {
        _cleanup_(host_meter_freep) struct host_meter *meter = calloc(1, sizeof(*meter));
        int r;

        if (!meter)
                return -ENOMEM;
        meter->hooks = *hooks;
        meter->stuck_us = config->stuck_us ? config->stuck_us : STUCK_US;
        r = host_reader_new(&config->reader, &meter->reader);
        if (r >= 0)
                r = mailbox_new(event, LETTERS_MAX, deliver, meter, &meter->mailbox);
        if (r >= 0)
                r = worker_new(meter, work_proc, &meter->proc);
        if (r >= 0)
                r = worker_new(meter, work_mounts, &meter->mounts);
        if (r < 0)
                return r;
        *ret_meter = TAKE_PTR(meter);
        return 0;
}

struct host_meter *host_meter_free(struct host_meter *meter) {
        if (!meter)
                return NULL;
        worker_free(meter->proc);
        worker_free(meter->mounts);
        for (size_t i = 0; i < meter->n_stuck; i++)
                worker_unref(meter->stuck[i]);
        mailbox_free(meter->mailbox);
        host_reader_free(meter->reader);
        free(meter);
        return NULL;
}
