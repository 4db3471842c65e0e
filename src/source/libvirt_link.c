/* What the source and its threads share: letters from any thread to the loop, looks from any thread
 * to the calls thread. */

#include "source/libvirt_link.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "base/clock.h"

#define LOOKS_MAX        20000
#define FOLD_INTERVAL_US (10 * USEC_PER_SEC)
#define FOLD_MAX         4096

int libvirt_link_new(const char *uri, bool write, struct mailbox *mailbox,
                struct libvirt_link **ret_link) {
        struct libvirt_link *link;
        pthread_condattr_t clock;

        link = calloc(1, sizeof(*link));
        if (!link)
                return -ENOMEM;
        link->uri = strdup(uri);
        if (!link->uri || fold_new(FOLD_INTERVAL_US, FOLD_MAX, &link->fold) < 0) {
                free(link->uri);
                free(link);
                return -ENOMEM;
        }
        (void) pthread_mutex_init(&link->lock, NULL);
        (void) pthread_condattr_init(&clock);
        (void) pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&link->wake, &clock);
        (void) pthread_condattr_destroy(&clock);
        list_init(&link->looks);
        link->refs = 1;
        link->write = write;
        link->mailbox = mailbox;
        *ret_link = link;
        return 0;
}

struct libvirt_link *libvirt_link_ref(struct libvirt_link *link) {
        (void) pthread_mutex_lock(&link->lock);
        link->refs++;
        (void) pthread_mutex_unlock(&link->lock);
        return link;
}

void libvirt_link_unref(struct libvirt_link *link) {
        struct libvirt_look *look;
        unsigned int left;

        if (!link)
                return;
        (void) pthread_mutex_lock(&link->lock);
        left = --link->refs;
        (void) pthread_mutex_unlock(&link->lock);
        if (left > 0)
                return;

        while ((look = list_first(&link->looks, struct libvirt_look, list))) {
                list_remove(&look->list);
                free(look);
        }
        (void) pthread_cond_destroy(&link->wake);
        (void) pthread_mutex_destroy(&link->lock);
        fold_free(link->fold);
        spans_unref(link->spans);
        free(link->uri);
        free(link);
}

struct span *libvirt_span_begin(struct spans *spans, const char *uri,
                const struct trace_context *parent, const char *what) {
        struct span *span;

        if (!spans_on(spans))
                return NULL;
        span = span_begin(spans, parent, SPAN_CLIENT, clock_realtime_us(), clock_monotonic_us());
        span_call(span, "libvirt", NULL, what);
        span_add(span, "virtwatch.source", uri);
        return span;
}

void libvirt_span_end(struct span *span, int error, const char *why) {
        if (!span)
                return;
        if (error < 0) {
                span_fail(span, strerrorname_np(-error), why ? why : virGetLastErrorMessage());
        }
        (void) span_end(span, clock_monotonic_us());
}

void libvirt_letter_free(struct libvirt_letter *letter) {
        fact_free(letter->fact);
        free(letter->name);
        free(letter->text);
        free(letter);
}

/* Under lock. */
static void send_locked(struct libvirt_link *link, struct libvirt_letter *letter) {
        int r;

        r = link->mailbox ? mailbox_post(link->mailbox, (struct letter *) letter) : -ECANCELED;
        if (r == -EAGAIN)
                link->dropped++;
        if (r < 0)
                libvirt_letter_free(letter);
}

static void send(struct libvirt_link *link, struct libvirt_letter *letter) {
        (void) pthread_mutex_lock(&link->lock);
        send_locked(link, letter);
        (void) pthread_mutex_unlock(&link->lock);
}

static struct libvirt_letter *letter_of(struct fact *fact, bool folds) {
        struct libvirt_letter *letter = calloc(1, sizeof(*letter));

        if (!letter) {
                fact_free(fact);
                return NULL;
        }
        letter->fact = fact;
        letter->folds = folds;
        return letter;
}

static void send_fact(struct libvirt_link *link, struct fact *fact, bool folds) {
        struct libvirt_letter *letter = letter_of(fact, folds);

        if (letter)
                send(link, letter);
}

/* From here on only the copy holds details and labels: references are not atomic. */
static struct fact *take_copy(const struct fact *fact) {
        struct fact *copy = NULL;
        int r;

        r = fact_copy(fact, &copy);
        (void) json_object_put(fact->details);
        (void) json_object_put(fact->workload.labels);
        return r < 0 ? NULL : copy;
}

void libvirt_link_post(struct libvirt_link *link, const struct fact *fact) {
        struct fact *copy = take_copy(fact);

        if (copy)
                send_fact(link, copy, false);
}

uint64_t libvirt_link_lifecycle(struct libvirt_link *link) {
        uint64_t n;

        (void) pthread_mutex_lock(&link->lock);
        n = link->n_lifecycle;
        (void) pthread_mutex_unlock(&link->lock);
        return n;
}

bool libvirt_link_post_if_newest(
                struct libvirt_link *link, const struct fact *fact, uint64_t n_lifecycle) {
        struct fact *copy = take_copy(fact);
        struct libvirt_letter *letter = copy ? letter_of(copy, false) : NULL;
        bool newest;

        if (!letter)
                return true; /* no memory: asking again would not help */
        (void) pthread_mutex_lock(&link->lock);
        newest = link->n_lifecycle <= n_lifecycle;
        if (newest)
                send_locked(link, letter);
        (void) pthread_mutex_unlock(&link->lock);
        if (!newest)
                libvirt_letter_free(letter);
        return newest;
}

void libvirt_link_post_repeat(struct libvirt_link *link, const struct fact *fact, const char *key,
                unsigned int burst) {
        _cleanup_(fact_freep) struct fact *copy = take_copy(fact);
        char whole[VIR_UUID_STRING_BUFLEN + 256];

        if (!copy)
                return;
        (void) snprintf(whole, sizeof(whole), "%s %s", fact->workload.native_id, key);
        (void) pthread_mutex_lock(&link->lock);
        if (!fold_pass(link->fold, whole, burst, clock_monotonic_us(), &copy))
                link->unposted++;
        (void) pthread_mutex_unlock(&link->lock);
        if (copy)
                send_fact(link, TAKE_PTR(copy), true);
}

void libvirt_link_count(struct libvirt_link *link) {
        (void) pthread_mutex_lock(&link->lock);
        link->unposted++;
        (void) pthread_mutex_unlock(&link->lock);
}

void libvirt_link_post_lifecycle(
                struct libvirt_link *link, virDomainPtr domain, int event, int detail) {
        struct libvirt_letter *letter = calloc(1, sizeof(*letter));

        if (!letter)
                return;
        letter->event = event;
        letter->detail = detail;
        letter->time_us = clock_realtime_us();
        letter->reconnected = !domain;
        if (domain) {
                letter->name = strdup(virDomainGetName(domain));
                letter->domain_id = (int) virDomainGetID(domain);
                (void) virDomainGetUUIDString(domain, letter->uuid);
        }
        (void) pthread_mutex_lock(&link->lock);
        link->n_lifecycle += domain != NULL;
        send_locked(link, letter);
        (void) pthread_mutex_unlock(&link->lock);
}

void libvirt_link_answer(struct libvirt_link *link, uint64_t ticket, int error, const char *text) {
        struct libvirt_letter *letter = calloc(1, sizeof(*letter));

        if (!letter)
                return; /* whoever waits for it has a timeout */
        letter->ticket = ticket;
        letter->error = error;
        letter->text = strdup(text);
        send(link, letter);
}

void libvirt_link_look(struct libvirt_link *link, const char *uuid, enum libvirt_look_for what) {
        struct libvirt_look *look = calloc(1, sizeof(*look));

        if (!look)
                return;
        (void) snprintf(look->uuid, sizeof(look->uuid), "%s", uuid);
        look->what = what;
        (void) pthread_mutex_lock(&link->lock);
        if (link->n_looks < LOOKS_MAX) {
                list_append(&link->looks, &look->list);
                link->n_looks++;
                look = NULL;
                (void) pthread_cond_signal(&link->wake);
        } else {
                link->dropped++;
        }
        (void) pthread_mutex_unlock(&link->lock);
        free(look);
}
