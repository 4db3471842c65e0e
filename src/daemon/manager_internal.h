#pragma once
/* What the manager's files share: manager.c (building and joining) and manager_sources.c (which
 * sources, and what their changes mean to the faces). */

#include <pthread.h>

#include "api/api.h"
#include "api/health.h"
#include "api/http.h"
#include "daemon/manager.h"
#include "daemon/manager_tls.h"
#include "engine/actions.h"
#include "engine/apps.h"
#include "engine/counters.h"
#include "engine/feed.h"
#include "engine/node.h"
#include "engine/pools.h"
#include "engine/prober.h"
#include "engine/refusals.h"
#include "engine/sampler.h"
#include "engine/tokens.h"
#include "engine/tracker.h"
#include "loop/curl_glue.h"
#include "source/host_meter.h"
#include "source/meter.h"
#include "source/source.h"
#include "store/journal.h"

struct access_log;
struct analytics;
struct post_keys;
struct rollups;
struct rollups_opening;
struct tracer;

#define MANAGER_SOURCES_MAX  32
#define MANAGER_METERS_MAX   32
#define MANAGER_FEATURES_MAX 16

struct manager_source {
        struct source *source;
        enum source_state told;   /* as last told to the faces */
        char *settings, *address; /* what it was made with */
        char *cursor;             /* where it began; NULL: at no place */
        bool is_over;             /* about to be freed */
};

struct manager_meter {
        struct meter *meter;
        char *settings;   /* what it was made with */
        char source[256]; /* whose workloads it reads; "": any */
};

/* Made, but not in force yet. */
struct manager_sources;
struct manager_meters;
struct manager_analytics;
#define MANAGER_BEAT_US (500 * USEC_PER_MSEC)

/* What was told of the daemon's health. */
#define MANAGER_STATUS_MAX 768 /* bytes, with NUL */

struct manager_health {
        uint64_t beats, watchdog_us, fed_us, retried_us, dropped;
        enum health_store store;
        bool renewed, live;
        bool is_retrying, is_opened_late; /* of the analytics */
        uint64_t moved, rollups_moved;    /* as the stores' stats have it */
        int analytics;
        char but[512]; /* what is wrong with the configuration that was not gone over to */
        char status[MANAGER_STATUS_MAX]; /* as systemd was told */
};

struct manager {
        struct config config;
        struct manager_reload reload;
        sd_event *event;
        sd_event_source *heartbeat;
        sd_event_source *name_late; /* the wait for the bus's name is over */
        uint64_t n_heartbeats;
        struct manager_health health;
        struct journal *journal;
        struct feed *feed;
        struct counters *counters;
        struct curl_glue *curl;
        struct tracer *own_traces;
        enum tracer_kind tracing; /* as it is configured now */
        struct tracker *tracker;
        struct source_env source_env;
        struct manager_source sources[MANAGER_SOURCES_MAX];
        size_t n_sources;
        bool is_running; /* they were started */
        bool is_ready;   /* as systemd was told */
        struct apps *apps;
        struct post_keys *post_keys;
        struct sampler *sampler;
        struct meter_env meter_env;
        struct manager_meter meters[MANAGER_METERS_MAX];
        size_t n_meters;
        struct pools *pools;
        struct node *node;
        struct host_meter *host_meter;
        struct prober *prober;
        struct tokens *tokens;
        struct refusals *refusals;
        struct rollups *rollups;
        struct rollups_opening *opening; /* of them; may be over */
        struct access_log *access_log;
        struct analytics *analytics;
        struct actions *actions;
        const char *features[MANAGER_FEATURES_MAX + 1];
        pthread_mutex_t own_hosts_lock;
        struct map *own_hosts; /* under lock: names that apps are bound to; NULL: not kept */
        struct api_context api;
        struct manager_tls *tls;
        sd_event_source *tls_timer;
        uint64_t n_tls_looks, n_tls_failures;
        struct http *http;
        struct dbus *dbus;
};

/** Tell systemd that we are ready. @but: what is not as it should be; NULL: nothing. */
void manager_tell_ready(struct manager *manager, const char *but);
/** One line for systemctl status. */
void manager_health_status(const struct manager *manager, char status[static MANAGER_STATUS_MAX]);

/** Make every source that the configuration names. Logs. Return: 0 or negative errno. */
int manager_add_sources(struct manager *manager);
/* Another configuration: what stage() makes is either gone over to by commit(), which does not
 * fail, or unstage() frees it. Both take it. The stages log what they cannot make. */
int manager_sources_stage(struct manager *manager, const struct config *config,
                struct manager_sources **ret_wanted);
void manager_sources_commit(struct manager *manager, struct manager_sources *wanted);
struct manager_sources *manager_sources_unstage(struct manager_sources *wanted);
DEFINE_FREEP(struct manager_sources, manager_sources_unstage);
void manager_start_sources(struct manager *manager);
void manager_free_sources(struct manager *manager);
int manager_source_stats(const char *name, struct api_source_stats *ret_stats, void *userdata);

/** Tell D-Bus if the state of that source has changed. */
void manager_sources_changed(struct manager *manager, const char *name);
/** Tell D-Bus what came, changed and went. */
void manager_workload_changed(struct manager *manager, const struct tracker_output *output);

/* manager_meters.c: what is read of workloads, and how it reaches the sampler. */
int manager_add_meters(struct manager *manager);
int manager_meters_stage(struct manager *manager, const struct config *config,
                struct manager_meters **ret_wanted);
void manager_meters_commit(struct manager *manager, struct manager_meters *wanted);
struct manager_meters *manager_meters_unstage(struct manager_meters *wanted);
DEFINE_FREEP(struct manager_meters, manager_meters_unstage);
/** Once sources run. */
int manager_start_meters(struct manager *manager);
void manager_free_meters(struct manager *manager);
/** The state or place of a workload may have changed; or (@gone) it is no more. */
void manager_meter_workload(struct manager *manager, const struct workload *workload, bool gone);

/* manager_apps.c: what people bind and post. */
int manager_load_apps(struct manager *manager);
/** See api_context.posted. */
uint64_t manager_posted(const char *origin, void *userdata);
/** Bind what the configuration names, in place of what it named before. */
void manager_configure_apps(struct manager *manager);
const char *manager_slug_of(const struct workload *workload, void *userdata);
int manager_post(struct event *event, void (*done)(struct event *event, void *userdata),
                void *done_userdata, void *userdata);
/** Store a document, and an event with it: see api_context.keep. */
int manager_keep(const char *kind, const char *id, const char *document, struct event *event,
                void (*done)(struct event *event, void *userdata), void *done_userdata,
                void *userdata);
void manager_app_changed(const char *slug, void *userdata);
/** A document of a database that was opened late. */
void manager_restored(const char *kind, const char *id, const char *document, void *userdata);

#define MANAGER_HANGS_US USEC_PER_SEC /* a transaction takes less */

/* manager_health.c: whether all of it can be relied on. */
/** Once there is a journal. */
void manager_add_health(struct manager *manager);
/** Whether the disk of the state has been at one transaction for a second: who waits for it now may
 * wait long. */
bool manager_disk_hangs(const struct manager *manager);
/** The loop turns. Return: when this is to be called again, in us. */
uint64_t manager_beat(struct manager *manager);

/* manager_node.c: the host itself. */
int manager_add_node(struct manager *manager);
/** NULL: it stays as it is. Return: 0 or negative errno, logged. */
int manager_host_meter_stage(struct manager *manager, const struct config *config,
                struct host_meter **ret_meter);
void manager_host_meter_commit(struct manager *manager, struct host_meter *meter);
void manager_read_node(struct manager *manager);
void manager_end_node_slot(struct manager *manager, uint64_t at_us, uint64_t missed);
void manager_free_node(struct manager *manager);

/* manager_probes.c: who is asked whether it is up. */
/** Once the faces listen: what they listen on is never asked. */
int manager_add_prober(struct manager *manager);
/** Return: 0; -ENOMEM (as it was). */
int manager_configure_prober(struct manager *manager, const struct config *config);
int manager_load_probe(const char *slug, const char *document, void *userdata);
void manager_free_prober(struct manager *manager);

/* manager_tokens.c: who may ask, and who was refused. */
/** Logs. Return: 0 or negative errno. */
int manager_load_tokens(struct manager *manager);
int manager_load_token(const char *id, const char *document, void *userdata);
/** Now and then, and once while @ending. */
void manager_tick_tokens(struct manager *manager, bool ending);
/** Once the journal is closed: what it has made durable is told here. */
void manager_free_tokens(struct manager *manager);

/* manager_analytics.c: access logs, their rows, and their numbers. */
/** Whether the disk has been at one commit of theirs for a second; its thread could not be joined.
 */
bool manager_analytics_hang(const struct manager *manager);
/** Does nothing where none are configured. Logs. Return: 0 or negative errno. */
int manager_add_analytics(struct manager *manager);
int manager_analytics_stage(struct manager *manager, const struct config *config,
                struct manager_analytics **ret_wanted);
/** Return: 0; negative errno, logged: the logs are not read. */
int manager_analytics_commit(struct manager *manager, struct manager_analytics *wanted);
struct manager_analytics *manager_analytics_unstage(struct manager_analytics *wanted);
DEFINE_FREEP(struct manager_analytics, manager_analytics_unstage);
int manager_start_analytics(struct manager *manager);
/** The hosts of apps may be others now. */
void manager_note_hosts(struct manager *manager);
/** If their store could not be opened. */
void manager_retry_analytics(struct manager *manager);
/** Read the logs anew where what was stored of them is not what it was. */
void manager_reread_analytics(struct manager *manager);
/** While the faces are still there: queries that wait are answered. */
void manager_free_analytics(struct manager *manager);

/** What this build and configuration offer, for the faces. */
void manager_name_features(struct manager *manager);

/* manager_tracer.c: the daemon's own traces, and lines of requests. */
/** Logs. Return: 0 or negative errno. */
int manager_add_tracer(struct manager *manager);
/** What did not change is not touched. */
void manager_configure_tracer(struct manager *manager, const struct config *config);

/* manager_actions.c: what operators ask to be done to workloads. */
/** Logs. Return: 0 or negative errno. */
int manager_add_actions(struct manager *manager);
void manager_source_answered(struct source *source, uint64_t ticket, int error, const char *text,
                void *userdata);
/* manager_reload.c */
/** Load the configuration anew and go over to it, or leave all as it is. @diag: what is wrong with
 * it. Logs. Return: 0 or negative errno. */
int manager_reload(struct manager *manager, struct diag *diag);
/** What the faces are served by, of @config. */
void manager_http_config(const struct config *config, const struct manager_tls *tls,
                struct http_config *ret_http);
