/* The table of probes. Each has a timer of its own, set to the probe's next turn; turns that were
 * missed are not made up for. What a run changes is stored at once if the status flipped, together
 * with the event that tells it; else within a minute, a few probes each second. */

#include "engine/prober.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "engine/prober_internal.h"
#include "loop/timer.h"
#include "model/event.h"

#define KEEP_US        (60 * USEC_PER_SEC)
#define KEEPER_US      USEC_PER_SEC
#define KEEPER_MAX     256 /* probes a turn: a few ms */
#define FIRST_US       (10 * USEC_PER_SEC)
#define CA_FILE_SYSTEM "/etc/ssl/certs/ca-certificates.crt"

struct waiter {
        struct list list;
        void (*done)(int error, const struct probe *probe, void *userdata);
        void *userdata;
};

/* ---- addresses of our own ---- */

void prober_add_own(struct prober *prober, const char *address) {
        union own_address own = {};
        char host[INET6_ADDRSTRLEN + 2];
        const char *colon = strrchr(address, ':');
        size_t n = colon ? (size_t) (colon - address) : 0;
        uint64_t port;

        if (n == 0 || n >= sizeof(host) || prober->n_own >= OWN_MAX ||
                        text_to_u64(colon + 1, &port) < 0)
                return;
        memcpy(host, address, n);
        host[n] = '\0';
        if (inet_pton(AF_INET, host, &own.four.sin_addr) == 1) {
                own.four.sin_family = AF_INET;
                own.four.sin_port = htons((uint16_t) port);
        } else if (host[0] == '[') {
                host[n - 1] = '\0';
                if (inet_pton(AF_INET6, host + 1, &own.six.sin6_addr) != 1)
                        return;
                own.six.sin6_family = AF_INET6;
                own.six.sin6_port = htons((uint16_t) port);
        } else {
                return;
        }
        prober->own[prober->n_own++] = own;
}

/* An IPv4 address also as the IPv6 one that stands for it. */
static void widen(const union own_address *address, struct in6_addr *ret_six) {
        if (address->any.sa_family == AF_INET6) {
                *ret_six = address->six.sin6_addr;
                return;
        }
        *ret_six = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
        memcpy(ret_six->s6_addr + 12, &address->four.sin_addr, 4);
}

static bool is_any(const struct in6_addr *six) {
        return IN6_IS_ADDR_UNSPECIFIED(six) ||
                        (IN6_IS_ADDR_V4MAPPED(six) &&
                                        memcmp(six->s6_addr + 12, "\0\0\0\0", 4) == 0);
}

/* One can be bound to only if the host has it. */
static bool is_of_this_host(const union own_address *address) {
        const bool is_six = address->any.sa_family == AF_INET6;
        union own_address local = *address;
        _cleanup_(fd_closep) int fd = -EBADF;

        fd = socket(address->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        local.four.sin_port = 0;
        return fd >= 0 &&
                        bind(fd, &local.any, is_six ? sizeof(local.six) : sizeof(local.four)) == 0;
}

static bool is_own(const struct prober *prober, const union own_address *address) {
        struct in6_addr wanted, own;

        widen(address, &wanted);
        for (size_t i = 0; i < prober->n_own; i++) {
                /* the port is at one place in both */
                if (prober->own[i].four.sin_port != address->four.sin_port)
                        continue;
                widen(&prober->own[i], &own);
                if (IN6_ARE_ADDR_EQUAL(&own, &wanted) || (is_any(&own) && is_of_this_host(address)))
                        return true;
        }
        return false;
}

const char *prober_refusal(const struct prober *prober, const struct sockaddr *address) {
        union own_address any = {};
        const char *refusal = address_refusal(&prober->config.policy, address);

        if (refusal)
                return refusal;
        memcpy(&any, address, address->sa_family == AF_INET6 ? sizeof(any.six) : sizeof(any.four));
        return is_own(prober, &any) ? "it is this daemon itself" : NULL;
}

/* ---- storing ---- */

static int keep(struct probe *probe, const struct probe_config *config,
                const struct probe_state *state, struct event *event,
                void (*done)(struct event *event, void *userdata), void *userdata) {
        _cleanup_(json_putp) struct json_object *object = probe_to_json(config, state);
        const char *document = object ? json_text(object) : NULL;
        struct prober *prober = probe->prober;
        int r;

        if (!document) {
                event_unref(event);
                return -ENOMEM;
        }
        r = prober->hooks.keep(
                        probe->slug, document, event, done, userdata, prober->hooks.userdata);
        if (r < 0)
                return r;
        probe->kept_us = clock_monotonic_us();
        list_remove(&probe->dirty);
        return 0;
}

static int on_keeper(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct prober *prober = userdata;
        uint64_t now_us = clock_monotonic_us();
        struct probe *probe, *tmp;
        size_t n = 0;

        list_for_each_safe(probe, tmp, &prober->dirty, dirty) {
                if (probe->kept_us && now_us - probe->kept_us < KEEP_US)
                        continue;
                if (++n > KEEPER_MAX ||
                                keep(probe, &probe->config, &probe->state, NULL, NULL, NULL) < 0)
                        break; /* the rest in a second */
        }
        if (!list_is_empty(&prober->dirty))
                (void) timer_arm(prober->keeper, KEEPER_US);
        return 0;
}

static void mark_dirty(struct probe *probe) {
        struct prober *prober = probe->prober;

        if (list_is_empty(&prober->dirty))
                (void) timer_arm(prober->keeper, KEEPER_US);
        if (list_is_empty(&probe->dirty))
                list_append(&prober->dirty, &probe->dirty);
}

/* ---- runs ---- */

static void tell_waiters(struct probe *probe, int error) {
        struct list waiters;
        struct waiter *waiter;

        list_init(&waiters);
        list_splice(&waiters, &probe->waiters);
        while ((waiter = list_first(&waiters, struct waiter, list))) {
                list_remove(&waiter->list);
                waiter->done(error, error == -ENOENT ? NULL : probe, waiter->userdata);
                free(waiter);
        }
}

static int make_event(const struct probe *probe, const struct probe_state *state,
                struct event **ret_event) {
        const struct probe_result *last = &state->last;
        const bool up = state->status == PROBE_UP;
        struct json_object *details = json_object_new_object();
        char message[PROBE_ERROR_MAX + 160];

        if (!details)
                return -ENOMEM;
        if (up) {
                (void) snprintf(message, sizeof(message), "%s is up: status %u after %ju ms",
                                probe->slug, last->http_status,
                                (uintmax_t) (last->duration_us / USEC_PER_MSEC));
        } else {
                (void) snprintf(message, sizeof(message), "%s is down, %u failures in a row: %s",
                                probe->slug, state->consecutive_failures, last->error);
        }
        (void) json_add_string(details, "path", probe->config.path);
        if (probe->config.url[0])
                (void) json_add_string(details, "url", probe->config.url);
        if (last->address[0])
                (void) json_add_string(details, "address", last->address);
        if (last->http_status)
                (void) json_add_uint(details, "http_status", last->http_status);
        if (last->error[0])
                (void) json_add_string(details, "error", last->error);
        (void) json_add_uint(details, "duration_ms", last->duration_us / USEC_PER_MSEC);
        (void) json_add_uint(details, "consecutive_failures", state->consecutive_failures);
        (void) json_add_string(details, "before", probe_status_to_string(probe->state.status));
        return event_new(&(struct event_fields){ .time_us = last->at_us,
                                         .kind = EVENT_PROBE,
                                         .severity = up ? SEVERITY_INFO : SEVERITY_WARNING,
                                         .name = probe->slug,
                                         .slug = probe->slug,
                                         .action = up ? "probe_up" : "probe_down",
                                         .message = message,
                                         .details = details },
                        ret_event);
}

static void tell_changed(struct prober *prober, const char *slug) {
        if (prober->hooks.changed)
                prober->hooks.changed(slug, prober->hooks.userdata);
}

/* A flip that cannot be stored is none: the counts stay, so that the next run flips again. */
static void take_result(struct probe *probe, const struct probe_result *result) {
        struct probe_state state = probe->state;
        struct event *event = NULL;
        bool flipped;
        int r = 0;

        if (probe_take(&state, &probe->config, result)) {
                r = make_event(probe, &state, &event);
                if (r >= 0)
                        r = keep(probe, &probe->config, &state, event, NULL, NULL);
                if (r < 0) {
                        state.status = probe->state.status;
                        state.since_us = probe->state.since_us;
                        mark_dirty(probe);
                }
        } else {
                mark_dirty(probe);
        }
        flipped = state.status != probe->state.status;
        probe->state = state;
        if (flipped)
                tell_changed(probe->prober, probe->slug);
        if (result->success)
                probe->prober->stats.succeeded++;
        else
                probe->prober->stats.failed++;
}

void prober_run_ended(struct probe *probe, const struct probe_result *result) {
        probe->prober->stats.running--;
        if (result)
                take_result(probe, result);
        else
                probe->prober->stats.skipped++;
        tell_waiters(probe, result ? 0 : -EAGAIN);
}

static int start(struct probe *probe) {
        int r;

        r = prober_run_start(probe);
        if (r >= 0)
                probe->prober->stats.running++;
        return r;
}

static void arm(struct probe *probe) {
        uint64_t interval_us = probe->config.interval_s * USEC_PER_SEC;

        if (!probe->config.enabled || !probe->prober->config.enabled) {
                timer_off(probe->timer);
                return;
        }
        if (!probe->state.has_run && interval_us > FIRST_US)
                interval_us = FIRST_US; /* nobody wants to wait a day for the first answer */
        probe->due_us = probe_next_us(probe->slug, interval_us, clock_monotonic_us());
        (void) sd_event_source_set_time(probe->timer, probe->due_us);
        (void) sd_event_source_set_enabled(probe->timer, SD_EVENT_ONESHOT);
}

const char *prober_error_words(int error) {
        switch (error) {
        case -ENOENT:
                return "there is no probe of that slug";
        case -EDESTADDRREQ:
                return "there is nothing to ask: give the probe a url, or the app a host, or a running VM or container of a known address";
        case -EPERM:
                return "probes are switched off: probes.enabled";
        case -E2BIG:
                return "there are 10000 probes already";
        case -EAGAIN:
                return "the run told nothing of its target, for want of memory or descriptors, or as it was held up; try again";
        case -EINVAL:
                return "url: it cannot be read";
        default:
                return NULL;
        }
}

/* A run that could not be begun is one that failed. */
static void take_unasked(struct probe *probe, int error) {
        struct probe_result result = { .at_us = clock_realtime_us() };
        const char *reason =
                        "there is nothing to ask: the probe has no url, and the app no host and no running VM or container of a known address";

        if (error == -EINVAL)
                reason = "the url cannot be read";
        else if (probe->config.target == PROBE_TARGET_VM)
                reason = "there is nothing to ask: the app has no running VM or container of a known address";
        else if (probe->config.target == PROBE_TARGET_ROUTE)
                reason = "there is nothing to ask: the app has no host";
        (void) snprintf(result.error, sizeof(result.error), "%s", reason);
        take_result(probe, &result);
}

static int on_turn(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct probe *probe = userdata;
        struct prober *prober = probe->prober;
        int r = 0;

        histogram_observe(&prober->stats.delay, clock_monotonic_us() - probe->due_us);
        if (probe->run) {
                prober->stats.overlapped++;
        } else {
                r = start(probe);
                if (r == -EDESTADDRREQ || r == -EINVAL)
                        take_unasked(probe, r);
                else if (r < 0)
                        prober->stats.skipped++;
        }
        arm(probe);
        return 0;
}

int prober_run(struct prober *prober, const char *slug,
                void (*done)(int error, const struct probe *probe, void *userdata),
                void *userdata) {
        struct probe *probe = map_get(prober->by_slug, slug);
        struct waiter *waiter, *other;
        size_t n = 0;
        int r = 0;

        if (!probe)
                return -ENOENT;
        if (!prober->config.enabled)
                return -EPERM;
        list_for_each(other, &probe->waiters, list)
                n++;
        if (n >= PROBER_WAITERS_MAX)
                return -EBUSY;
        waiter = calloc(1, sizeof(*waiter));
        if (!waiter)
                return -ENOMEM;
        if (!probe->run)
                r = start(probe);
        if (r < 0) {
                free(waiter);
                return r;
        }
        waiter->done = done;
        waiter->userdata = userdata;
        list_append(&probe->waiters, &waiter->list);
        return 0;
}

static void stop_run(struct probe *probe) {
        if (!probe->run)
                return;
        probe->run = prober_run_cancel(probe->run);
        probe->prober->stats.running--;
}

/* ---- the table ---- */

static struct probe *probe_free(struct probe *probe) {
        if (!probe)
                return NULL;
        stop_run(probe);
        tell_waiters(probe, -ENOENT);
        list_remove(&probe->dirty);
        free(probe->workload);
        sd_event_source_disable_unref(probe->timer);
        free(probe);
        return NULL;
}
DEFINE_FREEP(struct probe, probe_free);

static int probe_new(struct prober *prober, const char *slug, struct probe **ret_probe) {
        _cleanup_(probe_freep) struct probe *probe = NULL;
        int r;

        if (map_size(prober->by_slug) >= PROBER_PROBES_MAX)
                return -E2BIG;
        probe = calloc(1, sizeof(*probe));
        if (!probe)
                return -ENOMEM;
        probe->prober = prober;
        list_init(&probe->dirty);
        list_init(&probe->waiters);
        (void) snprintf(probe->slug, sizeof(probe->slug), "%s", slug);
        r = timer_new(prober->event, on_turn, probe, &probe->timer);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(probe->timer, "probe");
        r = map_put(prober->by_slug, probe->slug, probe);
        if (r < 0)
                return r;
        *ret_probe = TAKE_PTR(probe);
        return 0;
}

static void drop(struct probe *probe) {
        (void) map_remove(probe->prober->by_slug, probe->slug);
        probe_free(probe);
}

int prober_restore(struct prober *prober, const char *slug, const char *document) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        struct probe_config config = {};
        struct probe_state state = {};
        struct probe *probe;
        int r;

        if (!app_slug_is_valid(slug))
                return -EINVAL;
        r = json_parse(document, strlen(document), &object);
        if (r >= 0)
                r = probe_from_json(object, &config, &state);
        if (r < 0)
                return r == -ENOMEM ? r : -EINVAL;
        r = probe_new(prober, slug, &probe);
        if (r < 0)
                return r;
        probe->config = config;
        probe->state = state;
        arm(probe);
        return 0;
}

static int check_url(
                const struct prober *prober, const struct probe_config *config, struct diag *diag) {
        const char *refusal = config->url[0] ? prober_run_url_refusal(prober, config->url) : NULL;

        if (!refusal)
                return 0;
        diag_set(diag, 0, 0, "url: its address is not to be asked: %s", refusal);
        return -EACCES;
}

int prober_put(struct prober *prober, const char *slug, const struct probe_config *config,
                struct diag *diag, void (*done)(struct event *event, void *userdata),
                void *userdata) {
        struct probe *probe = map_get(prober->by_slug, slug);
        const bool is_new = !probe;
        struct probe_state state = {};
        int r;

        r = check_url(prober, config, diag);
        if (r >= 0 && is_new)
                r = probe_new(prober, slug, &probe);
        if (r < 0)
                return r;
        if (!is_new && probe_config_same_target(config, &probe->config))
                state = probe->state;
        r = keep(probe, config, &state, NULL, done, userdata);
        if (r < 0) {
                if (is_new)
                        drop(probe);
                return r;
        }
        if (!probe_config_same_target(config, &probe->config))
                stop_run(probe); /* it asks for what is no longer asked */
        probe->config = *config;
        probe->state = state;
        arm(probe);
        tell_changed(prober, probe->slug);
        if (!probe->run && !list_is_empty(&probe->waiters)) {
                r = start(probe);
                if (r < 0)
                        tell_waiters(probe, r);
        }
        return 0;
}

int prober_remove(struct prober *prober, const char *slug,
                void (*done)(struct event *event, void *userdata), void *userdata) {
        struct probe *probe = map_get(prober->by_slug, slug);
        int r;

        if (!probe)
                return -ENOENT;
        r = prober->hooks.keep(slug, NULL, NULL, done, userdata, prober->hooks.userdata);
        if (r < 0)
                return r;
        drop(probe);
        tell_changed(prober, slug);
        return 0;
}

const struct probe *prober_get(const struct prober *prober, const char *slug) {
        return map_get(prober->by_slug, slug);
}

const struct map *prober_all(const struct prober *prober) {
        return prober->by_slug;
}

const struct prober_stats *prober_get_stats(const struct prober *prober) {
        return &prober->stats;
}

/* ---- life ---- */

int prober_new(sd_event *event, const struct prober_config *config,
                const struct prober_hooks *hooks, struct prober **ret_prober) {
        _cleanup_(prober_freep) struct prober *prober = calloc(1, sizeof(*prober));
        const bool has_file = config->ca_file && config->ca_file[0];
        int r;

        if (!prober)
                return -ENOMEM;
        list_init(&prober->dirty);
        prober->event = sd_event_ref(event);
        prober->config = *config;
        prober->hooks = *hooks;
        prober->looks_at_tls = prober_tls_can_look();
        prober->user_agent = strdup(config->user_agent);
        prober->ca_file = strdup(has_file ? config->ca_file : CA_FILE_SYSTEM);
        if (!prober->user_agent || !prober->ca_file)
                return -ENOMEM;
        r = map_new(&prober->by_slug);
        if (r >= 0)
                r = curl_glue_new(event, &prober->curl);
        if (r >= 0)
                r = timer_new(event, on_keeper, prober, &prober->keeper);
        if (r < 0)
                return r;
        *ret_prober = TAKE_PTR(prober);
        return 0;
}

int prober_configure(struct prober *prober, const struct prober_config *config) {
        const bool has_file = config->ca_file && config->ca_file[0],
                   enabled = config->enabled != prober->config.enabled;
        _cleanup_(freep) char *user_agent = strdup(config->user_agent),
                              *ca_file = strdup(has_file ? config->ca_file : CA_FILE_SYSTEM);
        struct probe *probe;

        if (!user_agent || !ca_file)
                return -ENOMEM;
        free(prober->user_agent);
        free(prober->ca_file);
        prober->user_agent = TAKE_PTR(user_agent);
        prober->ca_file = TAKE_PTR(ca_file);
        prober->config = *config;
        prober->n_own = 0;
        if (enabled)
                map_for_each(probe, prober->by_slug)
                        arm(probe);
        return 0;
}

struct prober *prober_free(struct prober *prober) {
        struct probe *probe, *tmp;

        if (!prober)
                return NULL;
        list_for_each_safe(probe, tmp, &prober->dirty, dirty)
                (void) keep(probe, &probe->config, &probe->state, NULL, NULL, NULL);
        if (prober->by_slug)
                map_for_each(probe, prober->by_slug)
                        probe_free(probe);
        map_free(prober->by_slug);
        curl_glue_free(prober->curl);
        sd_event_source_disable_unref(prober->keeper);
        sd_event_unref(prober->event);
        free(prober->user_agent);
        free(prober->ca_file);
        free(prober);
        return NULL;
}
