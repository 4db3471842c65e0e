/* The libvirt source on the loop thread: takes letters, gives lifecycle events their meaning in the
 * light of what came before them, posts facts. */

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "model/lifecycle.h"
#include "source/libvirt_link.h"

#define LETTERS_MAX  65536
#define STOP_WAIT_MS 1000

/* What is remembered of a domain between two events. */
struct domain {
        bool alive;
        enum exit_how hint; /* what an event before STOPPED said; EXIT_PROCESS: nothing */
        char uuid[VIR_UUID_STRING_BUFLEN];
};

struct libvirt_source {
        struct source source;
        char *uri;
        bool write;
        struct mailbox *mailbox;
        struct libvirt_link *link;
        struct map *domains; /* by uuid */
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

/* STOPPED means what the events before it said, where they said more than its own detail. */
static enum exit_how how_of(const struct domain *domain, enum exit_how told) {
        if (told == EXIT_GUEST_SHUTDOWN && domain->hint == EXIT_HOST_SHUTDOWN)
                return EXIT_HOST_SHUTDOWN;
        if (told == EXIT_QEMU_FAILED && domain->hint == EXIT_WATCHDOG)
                return EXIT_WATCHDOG;
        return told;
}

static void fill_lifecycle(const struct libvirt_source *libvirt,
                const struct libvirt_letter *letter, struct fact *fact) {
        fact->time_us = letter->time_us;
        fact->workload.kind = WORKLOAD_VM;
        fact->workload.native_id = letter->uuid;
        fact->workload.uuid = letter->uuid;
        fact->workload.name = letter->name;
        fact->workload.uri = libvirt->uri;
        fact->workload.domain_id = letter->domain_id;
        fact->workload.runtime = text_starts_with(libvirt->uri, "test") ? "test"
                        : text_starts_with(libvirt->uri, "lxc")         ? "lxc"
                                                                        : "qemu";
}

static void post_exit(struct libvirt_source *libvirt, const struct libvirt_letter *letter,
                struct domain *domain, enum exit_how told) {
        struct fact fact = FACT_INIT(FACT_EXIT);

        fill_lifecycle(libvirt, letter, &fact);
        fact.how = how_of(domain, told);
        fact.runtime_tells = false; /* libvirt's STOPPED/FAILED is the same for an OOM kill and any
                                       other */
        domain->alive = false;
        domain->hint = EXIT_PROCESS;
        source_post(&libvirt->source, &fact);
        libvirt_link_look(libvirt->link, letter->uuid, true);
}

static void post_lifecycle(struct libvirt_source *libvirt, const struct libvirt_letter *letter) {
        struct domain *domain = domain_get(libvirt, letter->uuid);
        struct fact fact = FACT_INIT(FACT_ACTION);
        struct lifecycle_meaning meaning;
        char text[32];

        if (!domain)
                return;
        lifecycle_meaning(letter->event, letter->detail, &meaning);
        if (meaning.is_exit) {
                post_exit(libvirt, letter, domain, meaning.how);
                return;
        }
        if (letter->event == VIR_DOMAIN_EVENT_SHUTDOWN)
                domain->hint = letter->detail == VIR_DOMAIN_EVENT_SHUTDOWN_HOST
                                ? EXIT_HOST_SHUTDOWN
                                : EXIT_GUEST_SHUTDOWN;
        if (letter->event == VIR_DOMAIN_EVENT_RESUMED && !domain->alive)
                return; /* QEMU's order at a start: Resumed, then Started */

        fill_lifecycle(libvirt, letter, &fact);
        if (letter->event == VIR_DOMAIN_EVENT_STARTED) {
                domain->alive = true;
                domain->hint = EXIT_PROCESS;
                fact.workload.started_us = letter->time_us;
                libvirt_link_look(libvirt->link, letter->uuid, false);
        }
        if (letter->event == VIR_DOMAIN_EVENT_UNDEFINED &&
                        letter->detail != VIR_DOMAIN_EVENT_UNDEFINED_RENAMED && !domain->alive)
                fact.type = FACT_REMOVED;
        fact.action = meaning.action;
        fact.severity = meaning.severity;
        fact.quiet = !meaning.publish;
        fact.workload.state = meaning.state;
        fact.workload.state_reason = lifecycle_detail_word(letter->event, letter->detail, text);
        fact.details = json_object_new_object();
        if (fact.details)
                (void) json_object_object_add(fact.details, "reason",
                                json_object_new_string(fact.workload.state_reason));
        source_post(&libvirt->source, &fact);
        (void) json_object_put(fact.details);
}

static void note_fact(struct libvirt_source *libvirt, const struct fact *fact) {
        struct domain *domain;

        if (!fact->workload.native_id)
                return;
        domain = domain_get(libvirt, fact->workload.native_id);
        if (domain && fact->type == FACT_WORKLOAD)
                domain->alive = fact->workload.domain_id > 0;
        if (domain && fact->type == FACT_ACTION && strcmp(fact->action, "watchdog") == 0)
                domain->hint = EXIT_WATCHDOG;
}

static void on_letter(struct letter *posted, void *userdata) {
        struct libvirt_letter *letter = (struct libvirt_letter *) posted;
        struct libvirt_source *libvirt = userdata;

        if (!libvirt->link) {
                libvirt_letter_free(letter);
                return;
        }
        libvirt->source.stats.raw_events++;
        if (letter->fact) {
                note_fact(libvirt, letter->fact);
                if (letter->fact->type == FACT_SOURCE && letter->fact->source_state == SOURCE_DOWN)
                        libvirt->source.stats.reconnects++;
                source_post(&libvirt->source, letter->fact);
        } else if (letter->reconnected) {
                domains_forget(libvirt);
        } else {
                post_lifecycle(libvirt, letter);
        }
        libvirt_letter_free(letter);
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

/* A connection that answers is closed in order; one that hangs keeps its thread and its reference.
 */
static void wait_for_threads(struct libvirt_link *link) {
        bool alone = false;

        for (unsigned int i = 0; !alone && i < STOP_WAIT_MS / 10; i++) {
                (void) pthread_mutex_lock(&link->lock);
                alone = link->refs == 1;
                (void) pthread_mutex_unlock(&link->lock);
                if (!alone)
                        (void) usleep(10000);
        }
}

static void libvirt_stop(struct source *source) {
        struct libvirt_source *libvirt = libvirt_of(source);

        if (!libvirt->link)
                return;
        (void) pthread_mutex_lock(&libvirt->link->lock);
        libvirt->link->mailbox = NULL;
        libvirt->link->quit = true;
        libvirt->source.stats.dropped += libvirt->link->dropped;
        (void) pthread_cond_signal(&libvirt->link->wake);
        (void) pthread_mutex_unlock(&libvirt->link->lock);
        wait_for_threads(libvirt->link);
        libvirt_link_unref(libvirt->link);
        libvirt->link = NULL;
        domains_forget(libvirt);
}

static void libvirt_free(struct source *source) {
        struct libvirt_source *libvirt = libvirt_of(source);

        if (libvirt->domains)
                libvirt_stop(source);
        mailbox_free(libvirt->mailbox);
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
        if (r >= 0 && !libvirt->uri)
                r = -ENOMEM;
        if (r >= 0)
                r = map_new(&libvirt->domains);
        if (r >= 0)
                r = mailbox_new(env->event, LETTERS_MAX, on_letter, libvirt, &libvirt->mailbox);
        if (r < 0) {
                libvirt_free(&libvirt->source);
                return r;
        }
        *ret_source = &libvirt->source;
        return 0;
}

const struct source_ops libvirt_source_ops = { .name = "libvirt",
        .create = libvirt_create,
        .start = libvirt_start,
        .stop = libvirt_stop,
        .free = libvirt_free };
