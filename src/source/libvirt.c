/* The libvirt source on the loop thread: takes letters, gives lifecycle events their meaning in the
 * light of what came before them, posts facts. */

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"
#include "base/text.h"
#include "model/lifecycle.h"
#include "source/libvirt_link.h"

#define LETTERS_MAX    65536
#define SETTLE_STEP_US 10000

/* What is remembered of a domain between two events. */
struct domain {
        bool alive;
        bool held; /* paused, asleep, panicked: a RESUMED is news */
        bool panicked;
        bool transient;
        enum exit_how hint;          /* what an event before STOPPED said; EXIT_PROCESS: nothing */
        char disk[64], io_error[64]; /* of the newest io-error */
        char uuid[VIR_UUID_STRING_BUFLEN];
};

struct libvirt_source {
        struct source source;
        char *uri;
        bool write;
        struct mailbox *mailbox;
        struct libvirt_link *link;
        struct libvirt_link *stopped; /* the one before, whose threads may not have ended; NULL */
        struct map *domains;          /* by uuid */
        sd_event_source *timer;       /* of the link's fold */
};

static struct libvirt_source *libvirt_of(struct source *source) {
        return CONTAINER_OF(source, struct libvirt_source, source);
}

/* ---- letters: the loop thread ---- */

static struct domain *domain_get(struct libvirt_source *libvirt, const char *uuid) {
        struct domain *domain = map_get(libvirt->domains, uuid);

        if (domain)
                return domain;
        domain = calloc(1, sizeof(*domain));
        if (!domain)
                return NULL;
        domain->hint = EXIT_PROCESS;
        (void) snprintf(domain->uuid, sizeof(domain->uuid), "%s", uuid);
        if (map_put(libvirt->domains, uuid, domain) < 0) {
                free(domain);
                return NULL;
        }
        return domain;
}

static void domains_forget(struct libvirt_source *libvirt) {
        struct domain *domain;

        map_for_each(domain, libvirt->domains) {
                (void) map_remove(libvirt->domains, domain->uuid);
                free(domain);
        }
}

static void domain_forget(struct libvirt_source *libvirt, const char *uuid) {
        free(map_remove(libvirt->domains, uuid));
}

/* ---- repeats ---- */

/* The newest of those that were held stands for all of them. */
static void post_summary(struct libvirt_source *libvirt, const struct fold_summary *summary,
                uint64_t now_us) {
        uint64_t span_us = now_us - summary->since_us;
        struct fact *fact = summary->fact;
        char message[320];

        (void) snprintf(message, sizeof(message), "%s; %llu more in %llu s",
                        fact->message ? fact->message : fact->action,
                        (unsigned long long) summary->count,
                        (unsigned long long) ((span_us + USEC_PER_SEC - 1) / USEC_PER_SEC));
        free((char *) (uintptr_t) fact->message);
        fact->message = strdup(message);
        if (fact->details) {
                (void) json_add_uint(fact->details, "count", summary->count);
                (void) json_add_uint(fact->details, "interval_ms", span_us / USEC_PER_MSEC);
        }
        source_post(&libvirt->source, fact);
}

/* Post what is due; with @uuid, all of that domain, so that it comes before what ends its life;
 * with
 * "", all there is. */
static void post_summaries(struct libvirt_source *libvirt, const char *uuid) {
        uint64_t now_us = clock_monotonic_us(), due_us;
        struct fold_summary summary;
        char prefix[VIR_UUID_STRING_BUFLEN + 1];
        bool found;

        if (uuid)
                (void) snprintf(prefix, sizeof(prefix), "%s%s", uuid, uuid[0] ? " " : "");
        do {
                (void) pthread_mutex_lock(&libvirt->link->lock);
                found = fold_next(libvirt->link->fold, now_us, uuid ? prefix : NULL, &summary);
                due_us = fold_due_us(libvirt->link->fold);
                (void) pthread_mutex_unlock(&libvirt->link->lock);
                if (found) {
                        post_summary(libvirt, &summary, now_us);
                        fact_free(summary.fact);
                }
        } while (found);

        (void) sd_event_source_set_time(libvirt->timer, due_us);
        (void) sd_event_source_set_enabled(
                        libvirt->timer, due_us == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct libvirt_source *libvirt = userdata;

        if (libvirt->link)
                post_summaries(libvirt, NULL);
        return 0;
}

/* ---- lifecycle ---- */

/* STOPPED means what the events before it said, where they said more than its own detail. */
static enum exit_how how_of(const struct libvirt_source *libvirt, const struct domain *domain,
                enum exit_how told) {
        if (told == EXIT_GUEST_SHUTDOWN && domain->hint == EXIT_HOST_SHUTDOWN)
                return EXIT_HOST_SHUTDOWN;
        if (told == EXIT_QEMU_FAILED && domain->hint == EXIT_WATCHDOG)
                return EXIT_WATCHDOG;
        /* QEMU's driver tells a panic before; without one, it was dumped and ended on request. */
        if (told == EXIT_GUEST_PANIC && !domain->panicked && text_starts_with(libvirt->uri, "qemu"))
                return EXIT_DESTROYED;
        return told;
}

struct lifecycle_words {
        char event[32], detail[32];
};

static void fill_lifecycle(const struct libvirt_source *libvirt, const struct domain *domain,
                const struct libvirt_letter *letter, struct lifecycle_words *words,
                struct fact *fact) {
        static const char *const drivers[] = { "qemu", "test", "lxc" };

        fact->time_us = letter->time_us;
        fact->workload.kind = WORKLOAD_VM;
        fact->workload.native_id = letter->uuid;
        fact->workload.uuid = letter->uuid;
        fact->workload.name = letter->name;
        fact->workload.uri = libvirt->uri;
        fact->workload.lifecycle_event = lifecycle_event_word(letter->event, words->event);
        fact->workload.lifecycle_detail =
                        lifecycle_detail_word(letter->event, letter->detail, words->detail);
        fact->workload.domain_id = letter->domain_id;
        fact->workload.transient = domain->transient;
        for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
                if (text_starts_with(libvirt->uri, drivers[i]))
                        fact->workload.runtime = drivers[i];
}

static void post_exit(struct libvirt_source *libvirt, const struct libvirt_letter *letter,
                struct domain *domain, enum exit_how told) {
        struct fact fact = FACT_INIT(FACT_EXIT);
        struct lifecycle_words words;

        fill_lifecycle(libvirt, domain, letter, &words, &fact);
        fact.how = how_of(libvirt, domain, told);
        fact.runtime_tells = false; /* libvirt's STOPPED/FAILED is the same for an OOM kill and any
                                       other */
        fact.details = json_object_new_object();
        if (fact.details)
                (void) json_add_string(
                                fact.details, "libvirt_detail", fact.workload.lifecycle_detail);
        domain->alive = domain->held = domain->panicked = false;
        domain->hint = EXIT_PROCESS;
        domain->io_error[0] = '\0';
        source_post(&libvirt->source, &fact);
        (void) json_object_put(fact.details);
        libvirt_link_look(libvirt->link, letter->uuid, LIBVIRT_LOOK_GONE);
}

/* What the event changes in what is known of the domain. Return: whether readers are to know. */
static bool note_lifecycle(struct domain *domain, const struct libvirt_letter *letter) {
        bool was_held = domain->held;

        switch (letter->event) {
        case VIR_DOMAIN_EVENT_STARTED:
                if (letter->detail == VIR_DOMAIN_EVENT_STARTED_WAKEUP) {
                        domain->held = false;
                        return true;
                }
                domain->alive = true;
                domain->panicked = false;
                domain->hint = EXIT_PROCESS;
                /* One that migrates in runs only when a RESUMED says so. */
                domain->held = letter->detail == VIR_DOMAIN_EVENT_STARTED_MIGRATED;
                return true;
        case VIR_DOMAIN_EVENT_SUSPENDED:
        case VIR_DOMAIN_EVENT_PMSUSPENDED:
                domain->held = true;
                return true;
        case VIR_DOMAIN_EVENT_RESUMED:
                /* QEMU says Resumed before Started, and after a Restored: no news either time. */
                domain->held = domain->panicked = false;
                return was_held;
        case VIR_DOMAIN_EVENT_SHUTDOWN:
                domain->hint = letter->detail == VIR_DOMAIN_EVENT_SHUTDOWN_HOST
                                ? EXIT_HOST_SHUTDOWN
                                : EXIT_GUEST_SHUTDOWN;
                return true;
        case VIR_DOMAIN_EVENT_CRASHED:
                if (letter->detail == VIR_DOMAIN_EVENT_CRASHED_PANICKED)
                        domain->held = domain->panicked = true;
                return true;
        default:
                return true;
        }
}

/* "VM paused (io-error)", "VM paused: enospc on ide0-0-0"; "" for what goes without saying. */
static void lifecycle_sentence(
                const struct domain *domain, const struct fact *fact, char *text, size_t size) {
        static const char *const plain[] = { "booted", "paused", "unpaused", "added", "removed",
                "panicked", "crashloaded" };
        const char *reason = fact->workload.state_reason;

        text[0] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
                if (strcmp(plain[i], reason) == 0)
                        return;
        if (json_get(fact->details, "io_error")) {
                (void) snprintf(text, size, "VM paused: %s on %s",
                                strcmp(domain->io_error, "enospc") == 0 ? "no space left"
                                                                        : domain->io_error,
                                domain->disk);
        } else {
                (void) snprintf(text, size, "VM %s (%s)", fact->action, reason);
        }
}

static struct json_object *lifecycle_details(const struct domain *domain,
                const struct libvirt_letter *letter, const char *reason, const char *action) {
        struct json_object *details = json_object_new_object();
        char text[32];

        if (!details)
                return NULL;
        (void) json_add_string(details, "reason", reason);
        if (strcmp(action, "lifecycle") == 0)
                (void) json_add_string(details, "libvirt_event",
                                lifecycle_event_word(letter->event, text));
        if (letter->event == VIR_DOMAIN_EVENT_SUSPENDED &&
                        letter->detail == VIR_DOMAIN_EVENT_SUSPENDED_IOERROR &&
                        domain->io_error[0]) {
                (void) json_add_string(details, "disk", domain->disk);
                (void) json_add_string(details, "io_error", domain->io_error);
        }
        return details;
}

static void post_action(struct libvirt_source *libvirt, const struct libvirt_letter *letter,
                const struct domain *domain, const struct lifecycle_meaning *meaning, bool news) {
        struct fact fact = FACT_INIT(FACT_ACTION);
        struct lifecycle_words words;
        char sentence[192];

        fill_lifecycle(libvirt, domain, letter, &words, &fact);
        fact.action = meaning->action;
        fact.severity = meaning->severity;
        fact.quiet = !meaning->publish || !news;
        fact.workload.state = meaning->state;
        if (letter->event == VIR_DOMAIN_EVENT_DEFINED &&
                        letter->detail == VIR_DOMAIN_EVENT_DEFINED_ADDED && !domain->alive)
                fact.workload.state = STATE_CREATED;
        fact.workload.state_reason = fact.workload.lifecycle_detail;
        fact.details = lifecycle_details(domain, letter, fact.workload.state_reason, fact.action);
        lifecycle_sentence(domain, &fact, sentence, sizeof(sentence));
        fact.message = sentence[0] ? sentence : NULL;
        if (strcmp(fact.action, "started") == 0)
                fact.workload.started_us = letter->time_us;
        if (letter->event == VIR_DOMAIN_EVENT_UNDEFINED &&
                        letter->detail != VIR_DOMAIN_EVENT_UNDEFINED_RENAMED && !domain->alive)
                fact.type = FACT_REMOVED;
        source_post(&libvirt->source, &fact);
        (void) json_object_put(fact.details);
        if (strcmp(fact.action, "started") == 0)
                libvirt_link_look(libvirt->link, letter->uuid, LIBVIRT_LOOK_ALL);
        else if (letter->event == VIR_DOMAIN_EVENT_DEFINED)
                libvirt_link_look(libvirt->link, letter->uuid, LIBVIRT_LOOK_METADATA);
        if (fact.type == FACT_REMOVED)
                domain_forget(libvirt, letter->uuid);
}

static void post_lifecycle(struct libvirt_source *libvirt, const struct libvirt_letter *letter) {
        struct domain *domain = domain_get(libvirt, letter->uuid);
        struct lifecycle_meaning meaning;
        bool news;

        if (!domain)
                return;
        lifecycle_meaning(letter->event, letter->detail, &meaning);
        if (meaning.is_exit || letter->event == VIR_DOMAIN_EVENT_RESUMED)
                post_summaries(libvirt, letter->uuid);
        if (meaning.is_exit) {
                post_exit(libvirt, letter, domain, meaning.how);
                return;
        }
        if (letter->event == VIR_DOMAIN_EVENT_RESUMED && !domain->alive)
                return; /* the Started that follows says it */
        news = note_lifecycle(domain, letter);
        post_action(libvirt, letter, domain, &meaning, news);
}

/* ---- facts ---- */

static void note_text(const struct fact *fact, const char *name, char *text, size_t size) {
        const char *value = json_get_string(fact->details, name);

        (void) snprintf(text, size, "%s", value ? value : "");
}

/* Take from a finished fact what later events need, and add what they told before. */
static void note_fact(struct libvirt_source *libvirt, struct fact *fact) {
        struct domain *domain;

        if (!fact->workload.native_id)
                return;
        domain = domain_get(libvirt, fact->workload.native_id);
        if (!domain)
                return;
        if (fact->type == FACT_WORKLOAD)
                domain->transient = fact->workload.transient;
        if (fact->type == FACT_WORKLOAD && !fact->quiet) {
                domain->alive = fact->workload.domain_id > 0;
                domain->panicked = domain->alive && fact->workload.state == STATE_FAILED;
                domain->held = domain->panicked || fact->workload.state == STATE_PAUSED;
        }
        if (fact->type != FACT_ACTION)
                return;

        fact->workload.transient = domain->transient;
        if (strcmp(fact->action, "watchdog") == 0 &&
                        text_equal(json_get_string(fact->details, "watchdog_action"), "poweroff"))
                domain->hint = EXIT_WATCHDOG;
        if (strcmp(fact->action, "io-error") == 0) {
                note_text(fact, "disk", domain->disk, sizeof(domain->disk));
                note_text(fact, "io_error", domain->io_error, sizeof(domain->io_error));
        }
}

static void on_fact(struct libvirt_source *libvirt, struct fact *fact, bool folds) {
        if (fact->type == FACT_SOURCE && fact->source_state == SOURCE_DOWN)
                libvirt->source.stats.reconnects++;
        note_fact(libvirt, fact);
        source_post(&libvirt->source, fact);
        if (fact->type == FACT_REMOVED)
                domain_forget(libvirt, fact->workload.native_id);
        if (folds)
                post_summaries(libvirt, NULL);
}

static void on_letter(struct letter *posted, void *userdata) {
        struct libvirt_letter *letter = (struct libvirt_letter *) posted;
        struct libvirt_source *libvirt = userdata;

        if (!libvirt->link) {
                libvirt_letter_free(letter);
                return;
        }
        libvirt->source.stats.raw_events += letter->ticket == 0;
        if (letter->ticket)
                source_answer(&libvirt->source, letter->ticket, letter->error, letter->text);
        else if (letter->fact)
                on_fact(libvirt, letter->fact, letter->folds);
        else if (letter->reconnected)
                domains_forget(libvirt);
        else
                post_lifecycle(libvirt, letter);
        libvirt_letter_free(letter);
}

/* ---- what operators ask ---- */

static int libvirt_on_control(struct source *source, const struct source_control *control) {
        struct libvirt_source *libvirt = libvirt_of(source);

        if (!libvirt->write)
                return -EROFS;
        return libvirt->link ? libvirt_control(libvirt->link, control) : -ENOTCONN;
}

/* ---- life of the source ---- */

static int libvirt_start(struct source *source) {
        struct libvirt_source *libvirt = libvirt_of(source);
        pthread_attr_t attributes;
        pthread_t thread;
        int r;

        source_post_state(source, SOURCE_CONNECTING, NULL);
        r = libvirt_events_start();
        if (r >= 0)
                r = libvirt_link_new(
                                libvirt->uri, libvirt->write, libvirt->mailbox, &libvirt->link);
        if (r < 0)
                return r;
        libvirt->link->spans = spans_ref(source->env->spans);

        /* Detached: at the end it may hang in a libvirt that hangs; it holds its own reference and
         * cannot post any more. */
        (void) pthread_attr_init(&attributes);
        (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        r = -pthread_create(
                        &thread, &attributes, libvirt_calls_main, libvirt_link_ref(libvirt->link));
        (void) pthread_attr_destroy(&attributes);
        if (r < 0)
                libvirt_link_unref(libvirt->link);
        return r;
}

/* Its threads go on with a reference of their own: one that is in a call ends when that comes back,
 * which a libvirt that hangs may never let it. */
static void libvirt_stop(struct source *source) {
        struct libvirt_source *libvirt = libvirt_of(source);

        if (!libvirt->link)
                return;
        post_summaries(libvirt, "");
        (void) sd_event_source_set_enabled(libvirt->timer, SD_EVENT_OFF);
        (void) pthread_mutex_lock(&libvirt->link->lock);
        libvirt->link->mailbox = NULL;
        libvirt->link->quit = true;
        libvirt->source.stats.dropped += libvirt->link->dropped;
        libvirt->source.stats.raw_events += libvirt->link->unposted;
        (void) pthread_cond_signal(&libvirt->link->wake);
        (void) pthread_mutex_unlock(&libvirt->link->lock);
        libvirt_link_unref(libvirt->stopped);
        libvirt->stopped = TAKE_PTR(libvirt->link);
        domains_forget(libvirt);
}

/* A connection that answers is closed in order. */
static void libvirt_settle(struct source *source, uint64_t until_us) {
        struct libvirt_link *link = libvirt_of(source)->stopped;
        bool alone = !link;

        while (!alone && clock_monotonic_us() < until_us) {
                (void) pthread_mutex_lock(&link->lock);
                alone = link->refs == 1;
                (void) pthread_mutex_unlock(&link->lock);
                if (!alone)
                        (void) usleep(SETTLE_STEP_US);
        }
}

static void libvirt_free(struct source *source) {
        struct libvirt_source *libvirt = libvirt_of(source);

        if (libvirt->domains)
                libvirt_stop(source);
        libvirt_link_unref(libvirt->stopped);
        mailbox_free(libvirt->mailbox);
        sd_event_source_disable_unref(libvirt->timer);
        map_free(libvirt->domains);
        free(libvirt->uri);
        source_done(source);
        free(libvirt);
}

static int libvirt_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        struct libvirt_source *libvirt;
        int r;

        libvirt = calloc(1, sizeof(*libvirt));
        if (!libvirt)
                return -ENOMEM;

        libvirt->write = config->write;
        libvirt->uri = strdup(config->address);
        r = source_init(&libvirt->source, &libvirt_source_ops, config, env);
        if (!config->write) {
                libvirt->source.controls = 0;
                libvirt->source.no_controls = "sources.libvirt.write is not set";
        }
        if (r >= 0 && !libvirt->uri)
                r = -ENOMEM;
        if (r >= 0)
                r = map_new(&libvirt->domains);
        if (r >= 0)
                r = mailbox_new(env->event, LETTERS_MAX, on_letter, libvirt, &libvirt->mailbox);
        if (r >= 0)
                r = sd_event_add_time(env->event, &libvirt->timer, CLOCK_MONOTONIC, USEC_INFINITY,
                                USEC_PER_MSEC, on_timer, libvirt);
        if (r >= 0)
                r = sd_event_source_set_enabled(libvirt->timer, SD_EVENT_OFF);
        if (r < 0) {
                libvirt_free(&libvirt->source);
                return r;
        }
        (void) sd_event_source_set_description(libvirt->timer, "libvirt-repeats");
        *ret_source = &libvirt->source;
        return 0;
}

static void libvirt_stats(const struct source *source, struct source_stats *ret_stats) {
        const struct libvirt_source *libvirt = libvirt_of((struct source *) (uintptr_t) source);

        *ret_stats = source->stats;
        if (!libvirt->link)
                return;
        (void) pthread_mutex_lock(&libvirt->link->lock);
        ret_stats->dropped += libvirt->link->dropped;
        ret_stats->raw_events += libvirt->link->unposted;
        (void) pthread_mutex_unlock(&libvirt->link->lock);
}

const struct source_ops libvirt_source_ops = { .name = "libvirt",
        .create = libvirt_create,
        .start = libvirt_start,
        .stop = libvirt_stop,
        .settle = libvirt_settle,
        .free = libvirt_free,
        .stats = libvirt_stats,
        .controls = ACTION_BIT(ACTION_STOP) | ACTION_BIT(ACTION_DESTROY) | ACTION_BIT(ACTION_SCALE),
        .control = libvirt_on_control };
