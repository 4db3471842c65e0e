/* Workers and their rounds. What is shared between a worker and the loop is under the worker's
 * lock; the last of both frees it. */

#include "source/libvirt_crew.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "loop/mailbox.h"
#include "source/libvirt_link.h"

#define PACE     4 /* a round takes at most a fourth of the time */
#define RETRY_US (5 * USEC_PER_SEC)

struct round {
        struct letter letter;
        struct libvirt_worker *worker;
        void (*result_free)(void *result);
        void *result;
        uint64_t took_us;
        bool over; /* the worker's last letter */
};

struct libvirt_worker {
        pthread_mutex_t lock;
        pthread_cond_t wake;
        unsigned int refs;               /* under lock */
        struct mailbox *mailbox;         /* under lock; NULL: the crew is gone */
        bool wanted, quit;               /* under lock */
        unsigned int flags;              /* under lock: of the round that is wanted */
        struct trace_context asked_by;   /* under lock: whose the round is; span id 0: nobody's */
        char at[VIR_UUID_STRING_BUFLEN]; /* under lock */
        size_t n_domains;                /* under lock: that the round is about, once known */
        const struct libvirt_crew_ops *ops;
        struct spans *spans;         /* a reference */
        void *memory;                /* the thread's own, as is what follows */
        struct trace_context parent; /* asked_by of this round */
        char *uri;
        bool write;
        virConnectPtr connection;
        uint64_t retry_us;
};

struct libvirt_crew {
        const struct libvirt_crew_ops *ops;
        struct spans *spans;
        void *userdata;
        char *uri;
        bool write;
        uint64_t interval_us;
        struct mailbox *mailbox;
        struct libvirt_worker *worker; /* the one that is asked; NULL: none yet */
        struct libvirt_worker *stuck[LIBVIRT_STUCK_MAX];
        unsigned int stuck_max, *n_stuck;
        bool asked;
        uint64_t asked_us, not_before_us; /* CLOCK_MONOTONIC */
};

/* ---- the worker ---- */

static void worker_unref(struct libvirt_worker *worker) {
        bool last;

        (void) pthread_mutex_lock(&worker->lock);
        last = --worker->refs == 0;
        (void) pthread_mutex_unlock(&worker->lock);
        if (!last)
                return;
        if (worker->memory)
                worker->ops->memory_free(worker->memory);
        (void) pthread_cond_destroy(&worker->wake);
        (void) pthread_mutex_destroy(&worker->lock);
        (void) spans_unref(worker->spans);
        free(worker->uri);
        free(worker);
}

static void round_free(struct round *round) {
        if (round->result)
                round->result_free(round->result);
        free(round);
}

static void round_post(struct libvirt_worker *worker, struct round *round) {
        int r = -ESHUTDOWN;

        list_init(&round->letter.list);
        round->worker = worker;
        round->result_free = worker->ops->result_free;
        (void) pthread_mutex_lock(&worker->lock);
        if (worker->mailbox)
                r = mailbox_post(worker->mailbox, &round->letter);
        (void) pthread_mutex_unlock(&worker->lock);
        if (r < 0)
                round_free(round);
}

static void worker_connect(struct libvirt_worker *worker) {
        uint64_t now_us = clock_monotonic_us();
        struct span *span;

        if (worker->connection && virConnectIsAlive(worker->connection) == 1)
                return;
        if (worker->connection)
                (void) virConnectClose(TAKE_PTR(worker->connection));
        if (now_us < worker->retry_us)
                return;
        span = libvirt_worker_span(worker, "open");
        worker->connection = worker->write ? virConnectOpen(worker->uri)
                                           : virConnectOpenReadOnly(worker->uri);
        libvirt_span_end(span, worker->connection ? 0 : -ENOTCONN, NULL);
        if (worker->connection)
                (void) virConnectSetKeepAlive(worker->connection, 5, 5);
        else
                worker->retry_us = now_us + RETRY_US;
}

static void worker_round(struct libvirt_worker *worker, unsigned int flags) {
        struct round *round = calloc(1, sizeof(*round));
        uint64_t begin_us = clock_monotonic_us();

        if (!round)
                return; /* the round will be given up */
        worker_connect(worker);
        round->result = worker->ops->round(worker, worker->memory, worker->connection, flags);
        libvirt_worker_at(worker, "");
        round->took_us = clock_monotonic_us() - begin_us;
        round_post(worker, round);
}

static void *worker_main(void *userdata) {
        struct libvirt_worker *worker = userdata;
        struct round *last;
        unsigned int flags;
        bool quit;

        for (;;) {
                (void) pthread_mutex_lock(&worker->lock);
                while (!worker->quit && !worker->wanted)
                        (void) pthread_cond_wait(&worker->wake, &worker->lock);
                quit = worker->quit;
                flags = worker->flags;
                if (spans_on(worker->spans))
                        worker->parent = worker->asked_by;
                worker->wanted = false;
                (void) pthread_mutex_unlock(&worker->lock);
                if (quit)
                        break;
                worker_round(worker, flags);
        }
        if (worker->connection)
                (void) virConnectClose(worker->connection);
        last = calloc(1, sizeof(*last));
        if (last) {
                last->over = true;
                round_post(worker, last);
        }
        worker_unref(worker);
        return NULL;
}

void libvirt_worker_expect(struct libvirt_worker *worker, size_t n_domains) {
        (void) pthread_mutex_lock(&worker->lock);
        worker->n_domains = n_domains;
        (void) pthread_mutex_unlock(&worker->lock);
}

void libvirt_worker_at(struct libvirt_worker *worker, const char *uuid) {
        (void) pthread_mutex_lock(&worker->lock);
        (void) snprintf(worker->at, sizeof(worker->at), "%s", uuid);
        (void) pthread_mutex_unlock(&worker->lock);
}

static bool is_asked_for(const struct trace_context *context) {
        static const uint8_t nobody[SPAN_ID_BYTES];

        return memcmp(context->span_id, nobody, sizeof(nobody)) != 0;
}

struct span *libvirt_worker_span(struct libvirt_worker *worker, const char *what) {
        return libvirt_span_begin(worker->spans, worker->uri,
                        is_asked_for(&worker->parent) ? &worker->parent : NULL, what);
}

/* ---- the crew ---- */

static int worker_new(struct libvirt_crew *crew, struct libvirt_worker **ret_worker) {
        struct libvirt_worker *worker = calloc(1, sizeof(*worker));
        pthread_attr_t attributes;
        pthread_t thread;
        int r;

        if (!worker)
                return -ENOMEM;
        (void) pthread_mutex_init(&worker->lock, NULL);
        (void) pthread_cond_init(&worker->wake, NULL);
        worker->refs = 2;
        worker->mailbox = crew->mailbox;
        worker->write = crew->write;
        worker->ops = crew->ops;
        worker->spans = spans_ref(crew->spans);
        worker->uri = strdup(crew->uri);
        worker->memory = crew->ops->memory_new(crew->userdata);
        r = worker->uri && worker->memory ? -pthread_attr_init(&attributes) : -ENOMEM;
        if (r == 0) {
                (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
                r = -pthread_create(&thread, &attributes, worker_main, worker);
                (void) pthread_attr_destroy(&attributes);
        }
        if (r < 0) {
                worker->refs = 1;
                worker_unref(worker);
                return r;
        }
        *ret_worker = worker;
        return 0;
}

/* The crew's end of it: it ends when its call lets it. */
static void worker_dismiss(struct libvirt_worker *worker, bool silent) {
        (void) pthread_mutex_lock(&worker->lock);
        worker->quit = true;
        if (silent)
                worker->mailbox = NULL;
        (void) pthread_cond_signal(&worker->wake);
        (void) pthread_mutex_unlock(&worker->lock);
}

static void worker_over(struct libvirt_crew *crew, const struct libvirt_worker *worker) {
        for (size_t i = 0; i < LIBVIRT_STUCK_MAX; i++) {
                if (crew->stuck[i] != worker)
                        continue;
                worker_unref(TAKE_PTR(crew->stuck[i]));
                (*crew->n_stuck)--;
                return;
        }
}

static void deliver(struct letter *letter, void *userdata) {
        struct round *round = CONTAINER_OF(letter, struct round, letter);
        struct libvirt_crew *crew = userdata;
        bool late = round->worker != crew->worker;
        uint64_t pause_us = round->took_us * PACE;

        if (round->over) {
                worker_over(crew, round->worker);
                round_free(round);
                return;
        }
        if (!late) {
                crew->asked = false;
                crew->not_before_us =
                                pause_us > crew->interval_us ? clock_monotonic_us() + pause_us : 0;
        }
        crew->ops->done(TAKE_PTR(round->result), round->took_us, late, crew->userdata);
        round_free(round);
}

/* The round has passed its deadline: give its worker up, if there is room for one more. */
static void give_up(struct libvirt_crew *crew, uint64_t now_us) {
        char uuid[VIR_UUID_STRING_BUFLEN];

        if (*crew->n_stuck >= LIBVIRT_STUCK_MAX)
                return;
        for (size_t i = 0; i < crew->stuck_max; i++) {
                if (crew->stuck[i])
                        continue;
                crew->stuck[i] = TAKE_PTR(crew->worker);
                (*crew->n_stuck)++;
                (void) pthread_mutex_lock(&crew->stuck[i]->lock);
                (void) snprintf(uuid, sizeof(uuid), "%s", crew->stuck[i]->at);
                (void) pthread_mutex_unlock(&crew->stuck[i]->lock);
                worker_dismiss(crew->stuck[i], false);
                crew->asked = false;
                crew->ops->given_up(uuid, now_us - crew->asked_us, crew->userdata);
                return;
        }
}

bool libvirt_crew_ready(struct libvirt_crew *crew, uint64_t deadline_us, uint64_t each_us) {
        uint64_t now_us = clock_monotonic_us();

        if (crew->asked) {
                (void) pthread_mutex_lock(&crew->worker->lock);
                deadline_us += crew->worker->n_domains * each_us;
                (void) pthread_mutex_unlock(&crew->worker->lock);
                if (now_us > crew->asked_us + deadline_us)
                        give_up(crew, now_us);
        }
        return !crew->asked && now_us >= crew->not_before_us;
}

bool libvirt_crew_is_new(const struct libvirt_crew *crew) {
        return !crew->worker;
}

int libvirt_crew_ask(struct libvirt_crew *crew, unsigned int flags) {
        const struct trace_context *context = spans_current(crew->spans);
        int r;

        if (!crew->worker) {
                r = worker_new(crew, &crew->worker);
                if (r < 0)
                        return r;
        }
        crew->asked = true;
        crew->asked_us = clock_monotonic_us();
        (void) pthread_mutex_lock(&crew->worker->lock);
        crew->worker->wanted = true;
        crew->worker->flags = flags;
        crew->worker->n_domains = 0;
        if (context)
                crew->worker->asked_by = *context;
        else
                memset(crew->worker->asked_by.span_id, 0, SPAN_ID_BYTES);
        (void) pthread_cond_signal(&crew->worker->wake);
        (void) pthread_mutex_unlock(&crew->worker->lock);
        return 0;
}

struct libvirt_crew *libvirt_crew_free(struct libvirt_crew *crew) {
        if (!crew)
                return NULL;
        for (size_t i = 0; i <= LIBVIRT_STUCK_MAX; i++) {
                struct libvirt_worker *worker =
                                i < LIBVIRT_STUCK_MAX ? crew->stuck[i] : crew->worker;

                if (!worker)
                        continue;
                worker_dismiss(worker, true);
                worker_unref(worker);
                if (i < LIBVIRT_STUCK_MAX)
                        crew->stuck[i] = NULL;
        }
        crew->worker = NULL; /* what is still in the mailbox is late */
        mailbox_free(crew->mailbox);
        free(crew->uri);
        free(crew);
        return NULL;
}

int libvirt_crew_new(const struct libvirt_crew_config *config, const struct libvirt_crew_ops *ops,
                sd_event *event, void *userdata, struct libvirt_crew **ret_crew) {
        struct libvirt_crew *crew = calloc(1, sizeof(*crew));
        int r;

        if (!crew)
                return -ENOMEM;
        crew->ops = ops;
        crew->userdata = userdata;
        crew->spans = config->spans;
        crew->write = config->write;
        crew->interval_us = config->interval_us;
        crew->n_stuck = config->stuck;
        crew->stuck_max = config->stuck_max;
        crew->uri = strdup(config->uri);
        r = crew->uri ? mailbox_new(event, 64, deliver, crew, &crew->mailbox) : -ENOMEM;
        if (r >= 0)
                r = libvirt_events_start();
        if (r < 0) {
                libvirt_crew_free(crew);
                return r;
        }
        *ret_crew = crew;
        return 0;
}
