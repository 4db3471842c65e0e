/* Builds bottom-up, frees backwards. What flows: a source posts facts, the tracker makes events of
 * them, the journal makes them durable, the feed hands them to the faces. */

#include "daemon/manager.h"

#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "api/dbus.h"
#include "api/http.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/manager_internal.h"
#include "engine/tracer.h"
#include "loop/timer.h"
#include "model/post_keys.h"
#include "store/rollups.h"

#define NAME_WAIT_US    (5 * USEC_PER_SEC) /* of the 90 that systemd waits for us */
#define FEED_EVENTS_MAX 65536
#define FEED_BYTES_MAX  (64U << 20) /* in a storm: more than a second of it */
#define FEED_KEEP       1000        /* once all have read it */
#define TRIM_WORTH_IT   1000        /* events */

#define SETTLED_HEARTBEATS 10
#define ORIGINS_MAX        16384
#define WORKLOADS_MAX      20000

/* ---- hooks between the layers ---- */

static void on_fact(struct source *source, const struct fact *fact, void *userdata) {
        struct manager *manager = userdata;

        tracker_post(manager->tracker, source->name, fact);
        manager_sources_changed(manager, source->name);
}

static void manager_forget_readings(struct manager *manager, const char *id) {
        struct workload *workload = inventory_find(tracker_inventory(manager->tracker), id);

        if (workload)
                manager_meter_workload(manager, workload, true);
}

static int on_emit(const struct tracker_output *output, void *userdata) {
        _cleanup_(json_putp) struct json_object *frozen = NULL;
        struct manager *manager = userdata;
        struct journal_entry entry = {
                .event = output->event,
                .source = output->cursor ? output->source : NULL,
                .cursor = output->cursor,
                .workload_id = output->forget,
        };

        if (output->workload) {
                frozen = workload_freeze(output->workload);
                entry.workload_id = output->workload->id;
                entry.workload_state = frozen ? json_text(frozen) : NULL;
                if (!entry.workload_state)
                        entry.workload_id =
                                        NULL; /* no memory: the stored state stays the old one */
        }
        manager_workload_changed(manager, output);
        if (output->forget)
                manager_forget_readings(manager, output->forget);
        else if (output->workload)
                manager_meter_workload(manager, output->workload, false);
        return journal_append(manager->journal, &entry);
}

static void on_watch(const struct workload *workload, bool running, void *userdata) {
        struct manager *manager = userdata;

        for (size_t i = 0; i < manager->n_sources; i++) {
                struct source *source = manager->sources[i].source;

                if (running && source->ops->watch)
                        source->ops->watch(source, workload);
                else if (!running && source->ops->unwatch)
                        source->ops->unwatch(source, workload);
        }
}

static void on_committed(struct event *const *events, size_t n, void *userdata) {
        struct manager *manager = userdata;

        for (size_t i = 0; i < n; i++)
                counters_add(manager->counters, events[i]);
        feed_publish(manager->feed, events, n);
}

/* ---- loop ---- */

static int on_heartbeat(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct manager *manager = userdata;

        uint64_t again_us = manager_beat(manager);

        /* What starting up took, and what a storm took, need not stay resident. */
        if (feed_trim(manager->feed, FEED_KEEP) > TRIM_WORTH_IT ||
                        ++manager->n_heartbeats == SETTLED_HEARTBEATS)
                (void) malloc_trim(0);
        if (manager->dbus)
                dbus_refresh(manager->dbus);
        manager_tick_tokens(manager, false);
        (void) timer_arm(timer, again_us);
        return 0;
}

static int api_reload(struct diag *diag, void *userdata) {
        return manager_reload(userdata, diag);
}

static struct json_object *api_config(void *userdata) {
        return config_to_json(&((struct manager *) userdata)->config);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        struct diag diag = {};

        (void) manager_reload(userdata, &diag);
        return 0;
}

static int on_terminate(
                sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        struct manager *manager = userdata;

        log_info("Ending on %s", info->ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
        (void) sd_notify(0, "STOPPING=1");
        manager->api.stopping = true;
        return sd_event_exit(manager->event, 0);
}

static int manager_setup_loop(struct manager *manager) {
        sigset_t mask;
        int r;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGHUP);
        (void) sigaddset(&mask, SIGPIPE);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;

        r = sd_event_default(&manager->event);
        if (r < 0)
                return r;

        r = sd_event_add_signal(manager->event, NULL, SIGTERM, on_terminate, manager);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGINT, on_terminate, manager);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGHUP, on_hangup, manager);
        if (r >= 0)
                r = sd_event_add_time_relative(manager->event, &manager->heartbeat, CLOCK_MONOTONIC,
                                0, 0, on_heartbeat, manager);
        return r < 0 ? r : 0;
}

/* ---- state ---- */

static int restore_workload(const char *id, const char *state, void *userdata) {
        int r;

        r = tracker_restore_workload(userdata, state);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                log_warn_errno(r, "Cannot restore the state of workload %s, skipped: %m", id);
        return 0;
}

static int restore_origin(const char *source, const char *origin, void *userdata) {
        return tracker_restore_origin(userdata, source, origin);
}

static int manager_open_journal(struct manager *manager) {
        const struct config *config = &manager->config;
        _cleanup_(freep) char *path = NULL;
        int r;

        r = fs_make_dirs(config->state_dir, 0700);
        if (r < 0)
                (void) log_error_errno(r, "Cannot make the state folder %s: %m", config->state_dir);
        if (asprintf(&path, "%s/events.db", config->state_dir) < 0)
                return -ENOMEM;

        r = journal_open(
                        &(struct journal_config){
                                        .path = path,
                                        .retention_age_us = config->retention_age_us,
                                        .retention_bytes = config->retention_bytes,
                                        .restored = manager_restored,
                        },
                        manager->event, on_committed, manager, &manager->journal);
        if (r == -EUCLEAN) {
                log_error("The event journal %s was corrupt; it was set aside and a new one begun",
                                path);
        } else if (r == -EPROTONOSUPPORT) {
                log_error("The event journal %s was written by a newer version; events are in memory only",
                                path);
        } else if (r < 0) {
                (void) log_error_errno(r,
                                "Cannot open the event journal %s, events are in memory only: %m",
                                path);
        }
        return manager->journal ? 0 : r;
}

static int manager_restore(struct manager *manager) {
        int r;

        feed_set_last_seq(manager->feed, journal_last_seq(manager->journal));
        r = journal_load_workloads(manager->journal, restore_workload, manager->tracker);
        if (r >= 0)
                r = journal_load_origins(
                                manager->journal, ORIGINS_MAX, restore_origin, manager->tracker);
        if (r < 0)
                (void) log_error_errno(r, "Cannot read the stored state: %m");
        return r == -ENOMEM ? r : 0;
}

static int manager_build_core(struct manager *manager) {
        const struct config *config = &manager->config;
        int r;

        r = manager_open_journal(manager);
        if (r < 0)
                return r;

        r = feed_new(FEED_EVENTS_MAX, FEED_BYTES_MAX, &manager->feed);
        if (r >= 0)
                r = counters_new(&manager->counters);
        if (r >= 0)
                r = curl_glue_new(manager->event, &manager->curl);
        if (r >= 0) {
                r = tracker_new(
                                &(struct tracker_config){
                                                .oom_rule = config->oom_rule,
                                                .evidence_wait_us = config->evidence_wait_us,
                                                .workloads_max = WORKLOADS_MAX,
                                                .origins_max = ORIGINS_MAX,
                                },
                                manager->event,
                                &(struct tracker_hooks){ .emit = on_emit,
                                                .watch = on_watch,
                                                .slug = manager_slug_of,
                                                .userdata = manager },
                                &manager->tracker);
        }
        if (r < 0)
                return log_error_errno(r, "Cannot set up the engine: %m");

        r = manager_add_tracer(manager);
        if (r < 0)
                return r;
        journal_set_spans(manager->journal, tracer_spans(manager->own_traces));
        manager->source_env = (struct source_env){
                .event = manager->event,
                .curl = manager->curl,
                .spans = tracer_spans(manager->own_traces),
                .post = on_fact,
                .answer = manager_source_answered,
                .userdata = manager,
        };
        r = manager_add_actions(manager);
        if (r < 0)
                return r;
        r = manager_load_apps(manager);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the apps: %m");
        manager_add_health(manager);
        r = manager_load_tokens(manager);
        return r < 0 ? r : manager_restore(manager);
}

/* ---- ready ---- */

void manager_tell_ready(struct manager *manager, const char *but) {
        if (but != manager->health.but)
                (void) snprintf(manager->health.but, sizeof(manager->health.but), "%s",
                                but ? but : "");
        manager_health_status(manager, manager->health.status);
        (void) sd_notifyf(0, "READY=1\nSTATUS=%s", manager->health.status);
        manager->is_ready = true;
}

static void on_named(void *userdata) {
        struct manager *manager = userdata;

        if (manager->is_running)
                manager_tell_ready(manager, manager->health.but);
}

static int on_name_late(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct manager *manager = userdata;

        if (!manager->is_ready)
                manager_tell_ready(manager, NULL);
        return 0;
}

/* Who waits for the unit finds the name on the bus. A bus that is away may hold that up for a
 * while only: what is asked over HTTP is answered without it. */
static int manager_become_ready(struct manager *manager) {
        if (!manager->dbus || dbus_is_named(manager->dbus)) {
                manager_tell_ready(manager, NULL);
                return 0;
        }
        return sd_event_add_time_relative(manager->event, &manager->name_late, CLOCK_MONOTONIC,
                        NAME_WAIT_US, 0, on_name_late, manager);
}

static int manager_build_faces(struct manager *manager) {
        const struct config *config = &manager->config;
        struct manager_tls *tls = NULL;
        struct http_config http;
        const char *address = NULL;
        struct diag diag = {};
        int r;

        r = manager_tls_stage(config, true, &diag, &tls);
        if (r < 0)
                return log_error_errno(r, "Cannot set up TLS: %s", diag.text);
        manager_tls_commit(manager, tls);
        manager_http_config(config, tls, &http);
        r = http_new(&http, &manager->api, &manager->http, &address);
        if (r < 0)
                return log_error_errno(
                                r, "Cannot listen on %s: %m", address ? address : "any address");
        for (size_t i = 0; http_address(manager->http, i); i++)
                log_info("Listening on %s", http_address(manager->http, i));
        r = manager_tls_start(manager);
        if (r < 0)
                return r;

        if (strcmp(config->bus, "none") == 0 && !config->bus_address)
                return 0;
        r = dbus_new(
                        &(struct dbus_config){
                                        .bus = config->bus,
                                        .address = config->bus_address,
                                        .named = on_named,
                                        .userdata = manager,
                        },
                        &manager->api, &manager->dbus);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the D-Bus face: %m");
        return 0;
}

void manager_name_features(struct manager *manager) {
        static const char *const always[] = { "events", "sse", "dbus", "metrics", "tokens" };
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(always); i++)
                manager->features[n++] = always[i];
        if (manager->config.actions.enabled)
                manager->features[n++] = "actions";
}

int manager_new(struct config *config, const struct manager_reload *reload,
                struct manager **ret_manager) {
        _cleanup_(manager_freep) struct manager *manager = NULL;
        int r;

        manager = calloc(1, sizeof(*manager));
        if (!manager)
                return -ENOMEM;

        (void) mallopt(M_ARENA_MAX, 2); /* one for the loop, one for all threads beside it */
        (void) pthread_mutex_init(&manager->own_hosts_lock, NULL);
        manager->reload = *reload;
        manager->config = *config;
        *config = (struct config){};
        r = manager_setup_loop(manager);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the event loop: %m");

        r = manager_build_core(manager);
        if (r < 0)
                return r;

        manager_name_features(manager);
        manager->api = (struct api_context){
                .event = manager->event,
                .tracker = manager->tracker,
                .feed = manager->feed,
                .journal = manager->journal,
                .counters = manager->counters,
                .node_name = manager->config.node_name,
                .started_us = clock_monotonic_us(),
                .heartbeat_us = clock_monotonic_us(),
                .features = manager->features,
                .apps = manager->apps,
                .actions = manager->actions,
                .tokens = manager->tokens,
                .refusals = manager->refusals,
                .reload = api_reload,
                .config = api_config,
                .loaded = { .at_us = clock_realtime_us(),
                                .good_us = clock_realtime_us(),
                                .good = true },
                .post = manager_post,
                .posted = manager_posted,
                .keep = manager_keep,
                .app_changed = manager_app_changed,
                .source_stats = manager_source_stats,
                .userdata = manager,
                .tracer = manager->own_traces,
                .spans = tracer_spans(manager->own_traces),
                .request_log = manager->config.request_log,
        };
        r = manager_build_faces(manager);
        if (r < 0)
                return r;

        r = manager_add_prober(manager);
        if (r >= 0)
                r = manager_add_sources(manager);
        if (r >= 0)
                r = manager_add_meters(manager);
        if (r >= 0)
                r = manager_add_analytics(manager);
        if (r < 0 && manager->api.analytics_error >= 0)
                return r;
        manager->api.sampler = manager->sampler;
        manager->api.compat = manager->config.compat;
        manager->api.node = manager->node;
        manager->api.pools = manager->pools;

        *ret_manager = TAKE_PTR(manager);
        return 0;
}

static void manager_stop_journal(struct manager *manager) {
        uint64_t n = manager->journal ? journal_stop(manager->journal) : 0;

        if (n > 0)
                log_error("%ju events could not be stored and end with the daemon", (uintmax_t) n);
}

struct manager *manager_free(struct manager *manager) {
        if (!manager)
                return NULL;

        if (manager->actions)
                actions_stop(manager->actions); /* while the faces can still say so */
        manager_free_sources(manager);
        manager_free_meters(manager);
        manager_free_prober(manager);
        manager_free_analytics(manager);
        if (manager->tracker)
                tracker_flush(manager->tracker);
        manager_tick_tokens(manager, true);
        dbus_free(manager->dbus);
        http_free(manager->http);
        manager_tls_stop(manager);
        manager->dbus = NULL;
        manager->http = NULL;
        manager_stop_journal(manager);
        journal_close(manager->journal);        /* may still hand events to the feed */
        rollups_opening_free(manager->opening); /* a disk that hangs, after all that is stored */
        actions_free(manager->actions);
        manager_free_tokens(manager);
        tracker_free(manager->tracker);
        tracer_free(manager->own_traces);
        curl_glue_free(manager->curl);
        apps_free(manager->apps);
        post_keys_free(manager->post_keys);
        counters_free(manager->counters);
        feed_free(manager->feed);
        sd_event_source_disable_unref(manager->heartbeat);
        sd_event_source_disable_unref(manager->name_late);
        sd_event_unref(manager->event);
        config_done(&manager->config);
        (void) pthread_mutex_destroy(&manager->own_hosts_lock);
        free(manager);
        return NULL;
}

int manager_run(struct manager *manager) {
        int r;

        manager_start_sources(manager);
        r = manager_start_meters(manager);
        if (r < 0)
                return log_error_errno(r, "Cannot start the sampler: %m");
        r = manager_start_analytics(manager);
        if (r < 0)
                return log_error_errno(r, "Cannot start to read access logs: %m");
        r = manager_become_ready(manager);
        if (r < 0)
                return log_error_errno(r, "Cannot wait for the bus: %m");
        r = sd_event_loop(manager->event);
        return r < 0 ? log_error_errno(r, "The event loop failed: %m") : 0;
}
