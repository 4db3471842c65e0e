/* Reads control groups and processes on a thread of its own. Nothing here waits for a peer: the
 * kernel answers from memory. Of a VM only the process is read; libvirt's meter has the rest. */

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "loop/mailbox.h"
#include "model/spans.h"
#include "source/cgroup_read.h"
#include "source/meter.h"
#include "source/proc.h"

#define TARGETS_MAX 20000

/* What to read; never changes once made, so that the thread may hold it while the loop goes on. */
struct target {
        unsigned int refs; /* under lock */
        char *id, *cgroup; /* cgroup "": read the process alone */
        uint32_t pid;
        enum workload_kind kind;
        bool paused;
};

struct reading {
        char *id;
        struct stats *stats;
};

/* One round's readings. */
struct round {
        struct letter letter;
        struct reading *readings;
        size_t n, failed;
        uint64_t took_us;
};

struct cgroup_meter {
        struct meter meter;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        bool quit, wanted, busy;     /* under lock */
        bool traced;                 /* under lock: the round that is wanted is somebody's */
        struct trace_context parent; /* under lock: whose */
        struct map *targets;         /* by workload id; changed on the loop thread, under lock */
        struct mailbox *mailbox;
        pthread_t thread;
        bool has_thread;
        enum cgroup_layout layout;
        char *root;
        double host_cpus;
        struct meter_stats stats; /* loop thread */
};

static struct cgroup_meter *cgroup_of(struct meter *meter) {
        return CONTAINER_OF(meter, struct cgroup_meter, meter);
}

static void target_unref(struct target *target) {
        if (--target->refs > 0)
                return;
        free(target->id);
        free(target->cgroup);
        free(target);
}

static struct round *round_free(struct round *round) {
        if (!round)
                return NULL;
        for (size_t i = 0; i < round->n; i++) {
                free(round->readings[i].id);
                stats_free(round->readings[i].stats);
        }
        free(round->readings);
        free(round);
        return NULL;
}

/* ---- the thread ---- */

static struct stats *read_target(const struct cgroup_meter *meter, const struct target *target) {
        _cleanup_(stats_freep) struct stats *stats = stats_new(STATS_FROM_KERNEL);
        uint64_t before_us = clock_monotonic_us();
        int r;

        if (!stats)
                return NULL;
        if (target->kind == WORKLOAD_VM || !target->cgroup[0]) {
                if (!target->pid)
                        return NULL;
                r = proc_read_process(target->pid, stats);
                stats->mono_us = before_us + (clock_monotonic_us() - before_us) / 2;
                stats->at_us = clock_realtime_us();
        } else {
                r = cgroup_read(meter->layout, meter->root, target->cgroup, stats);
                stats->life = target->pid;
                if (r >= 0 && target->pid && target->kind == WORKLOAD_CONTAINER)
                        (void) proc_read_net(target->pid, stats);
        }
        if (r < 0)
                return NULL;
        if (stats->cpus <= 0 && target->kind != WORKLOAD_VM)
                stats->cpus = meter->host_cpus;
        stats->paused = target->paused;
        return TAKE_PTR(stats);
}

/* All targets of now, each with a reference. */
static struct target **take_targets(struct cgroup_meter *meter, size_t *ret_n) {
        struct target **targets, *target;
        size_t n = 0;

        /* NOLINTNEXTLINE(bugprone-sizeof-expression): a list of pointers */
        targets = calloc(map_size(meter->targets) + 1, sizeof(*targets));
        if (!targets)
                return NULL;
        map_for_each(target, meter->targets) {
                target->refs++;
                targets[n++] = target;
        }
        *ret_n = n;
        return targets;
}

static void read_all(struct cgroup_meter *meter, struct target **targets, size_t n) {
        struct round *round = calloc(1, sizeof(*round));
        uint64_t begin_us = clock_monotonic_us();

        if (round)
                round->readings = calloc(n + 1, sizeof(*round->readings));
        for (size_t i = 0; round && round->readings && i < n; i++) {
                struct reading reading = { .stats = read_target(meter, targets[i]) };

                if (reading.stats)
                        reading.id = strdup(targets[i]->id);
                if (reading.id) {
                        round->readings[round->n++] = reading;
                } else {
                        stats_free(reading.stats);
                        round->failed++;
                }
        }
        if (!round)
                return;
        round->took_us = clock_monotonic_us() - begin_us;
        list_init(&round->letter.list);
        if (mailbox_post(meter->mailbox, &round->letter) < 0)
                round_free(round);
}

/* Under lock. */
static struct span *round_span(struct cgroup_meter *meter, size_t n) {
        struct span *span;

        if (!spans_on(meter->meter.env->spans))
                return NULL;
        span = span_begin(meter->meter.env->spans, meter->traced ? &meter->parent : NULL,
                        SPAN_INTERNAL, clock_realtime_us(), clock_monotonic_us());
        span_name(span, "cgroup read");
        span_add_int(span, "virtwatch.workloads", (int64_t) n);
        return span;
}

static void *meter_main(void *userdata) {
        struct cgroup_meter *meter = userdata;
        struct target **targets;
        struct span *span;
        size_t n = 0;

        (void) pthread_mutex_lock(&meter->lock);
        for (;;) {
                while (!meter->quit && !meter->wanted)
                        (void) pthread_cond_wait(&meter->wake, &meter->lock);
                if (meter->quit)
                        break;
                meter->wanted = false;
                meter->busy = true;
                targets = take_targets(meter, &n);
                span = round_span(meter, n);
                (void) pthread_mutex_unlock(&meter->lock);

                if (targets)
                        read_all(meter, targets, n);
                if (span)
                        (void) span_end(span, clock_monotonic_us());

                (void) pthread_mutex_lock(&meter->lock);
                for (size_t i = 0; targets && i < n; i++)
                        target_unref(targets[i]);
                free(targets);
                meter->busy = false;
        }
        (void) pthread_mutex_unlock(&meter->lock);
        return NULL;
}

/* ---- the loop ---- */

static void deliver(struct letter *letter, void *userdata) {
        struct round *round = CONTAINER_OF(letter, struct round, letter);
        struct cgroup_meter *meter = userdata;

        meter->stats.reads++;
        meter->stats.failed += round->failed;
        meter->stats.last_us = round->took_us;
        for (size_t i = 0; i < round->n; i++)
                meter->meter.env->post(NULL, round->readings[i].id,
                                TAKE_PTR(round->readings[i].stats), meter->meter.env->userdata);
        round_free(round);
}

static void cgroup_meter_unwatch(struct meter *base, const struct workload *workload) {
        struct cgroup_meter *meter = cgroup_of(base);
        struct target *target;

        (void) pthread_mutex_lock(&meter->lock);
        target = map_remove(meter->targets, workload->id);
        if (target)
                target_unref(target);
        (void) pthread_mutex_unlock(&meter->lock);
}

static bool same_target(const struct target *target, const struct workload *workload) {
        return target->pid == workload->pid && strcmp(target->cgroup, workload->cgroup) == 0 &&
                        target->paused == (workload->state == STATE_PAUSED);
}

static void cgroup_meter_watch(struct meter *base, const struct workload *workload) {
        struct cgroup_meter *meter = cgroup_of(base);
        struct target *target = map_get(meter->targets, workload->id);

        if (target && same_target(target, workload))
                return;
        cgroup_meter_unwatch(base, workload);
        if (strcmp(workload->runtime, "lxc") == 0)
                return; /* libvirt reads its control group, and its first process is not all of it
                         */
        if ((!workload->cgroup[0] && !workload->pid) || map_size(meter->targets) >= TARGETS_MAX)
                return;

        target = calloc(1, sizeof(*target));
        if (!target)
                return;
        target->refs = 1;
        target->id = strdup(workload->id);
        target->cgroup = strdup(workload->cgroup);
        target->pid = workload->pid;
        target->kind = workload->kind;
        target->paused = workload->state == STATE_PAUSED;
        (void) pthread_mutex_lock(&meter->lock);
        if (!target->id || !target->cgroup || map_put(meter->targets, workload->id, target) < 0)
                target_unref(target);
        (void) pthread_mutex_unlock(&meter->lock);
}

static void cgroup_meter_read(struct meter *base) {
        struct cgroup_meter *meter = cgroup_of(base);
        const struct trace_context *context = spans_current(base->env->spans);

        (void) pthread_mutex_lock(&meter->lock);
        if (meter->busy || meter->wanted)
                meter->stats.skipped++;
        meter->wanted = true;
        meter->traced = context != NULL;
        if (context)
                meter->parent = *context;
        (void) pthread_cond_signal(&meter->wake);
        (void) pthread_mutex_unlock(&meter->lock);
}

static void cgroup_meter_get_stats(struct meter *base, struct meter_stats *ret_stats) {
        *ret_stats = cgroup_of(base)->stats;
}

static void cgroup_meter_free(struct meter *base) {
        struct cgroup_meter *meter = cgroup_of(base);
        struct target *target;

        if (meter->has_thread) {
                (void) pthread_mutex_lock(&meter->lock);
                meter->quit = true;
                (void) pthread_cond_signal(&meter->wake);
                (void) pthread_mutex_unlock(&meter->lock);
                (void) pthread_join(meter->thread, NULL);
        }
        mailbox_free(meter->mailbox);
        if (meter->targets)
                map_for_each(target, meter->targets)
                        target_unref(target);
        map_free(meter->targets);
        (void) pthread_cond_destroy(&meter->wake);
        (void) pthread_mutex_destroy(&meter->lock);
        free(meter->root);
        free(meter);
}

static int cgroup_meter_create(const struct meter_config *config, const struct meter_env *env,
                struct meter **ret_meter) {
        struct cgroup_meter *meter;
        int r;

        meter = calloc(1, sizeof(*meter));
        if (!meter)
                return -ENOMEM;

        meter->meter = (struct meter){ .ops = &cgroup_meter_ops, .env = env };
        (void) pthread_mutex_init(&meter->lock, NULL);
        (void) pthread_cond_init(&meter->wake, NULL);
        meter->root = strdup(config->root ? config->root : "/sys/fs/cgroup");
        meter->host_cpus = (double) sysconf(_SC_NPROCESSORS_ONLN);
        r = meter->root ? map_new(&meter->targets) : -ENOMEM;
        if (r >= 0)
                r = mailbox_new(env->event, 16, deliver, meter, &meter->mailbox);
        if (r >= 0) {
                meter->layout = cgroup_layout_of(meter->root);
                r = -pthread_create(&meter->thread, NULL, meter_main, meter);
                meter->has_thread = r == 0;
        }
        if (r < 0) {
                cgroup_meter_free(&meter->meter);
                return r;
        }
        *ret_meter = &meter->meter;
        return 0;
}

const struct meter_ops cgroup_meter_ops = {
        .name = "cgroup",
        .create = cgroup_meter_create,
        .free = cgroup_meter_free,
        .watch = cgroup_meter_watch,
        .unwatch = cgroup_meter_unwatch,
        .read = cgroup_meter_read,
        .get_stats = cgroup_meter_get_stats,
};
