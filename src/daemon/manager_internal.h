#pragma once
/* What the manager's files share: manager.c (building and joining) and manager_sources.c (which
 * sources, and what their changes mean to the faces). */

#include "api/api.h"
#include "api/http.h"
#include "daemon/manager.h"
#include "engine/apps.h"
#include "engine/counters.h"
#include "engine/feed.h"
#include "engine/node.h"
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
struct rollups;

#define MANAGER_SOURCES_MAX 32
#define MANAGER_METERS_MAX  32

struct manager {
        struct config config;
        struct manager_reload reload;
        sd_event *event;
        sd_event_source *heartbeat;
        uint64_t n_heartbeats;
        struct journal *journal;
        struct feed *feed;
        struct counters *counters;
        struct curl_glue *curl;
        struct tracker *tracker;
        struct source_env source_env;
        struct source *sources[MANAGER_SOURCES_MAX];
        enum source_state source_states[MANAGER_SOURCES_MAX]; /* as last told to the faces */
        size_t n_sources;
        struct apps *apps;
        struct sampler *sampler;
        struct meter_env meter_env;
        struct meter *meters[MANAGER_METERS_MAX];
        size_t n_meters;
        struct node *node;
        struct host_meter *host_meter;
        struct prober *prober;
        struct tokens *tokens;
        struct refusals *refusals;
        struct rollups *rollups;
        struct access_log *access_log;
        struct analytics *analytics;
        struct api_context api;
        struct http *http;
        struct dbus *dbus;
};

/** Make every source that the configuration names. Logs. Return: 0 or negative errno. */
int manager_add_sources(struct manager *manager);
void manager_start_sources(struct manager *manager);
void manager_free_sources(struct manager *manager);
int manager_source_stats(const char *name, struct api_source_stats *ret_stats, void *userdata);

/** Tell D-Bus if the state of that source has changed. */
void manager_sources_changed(struct manager *manager, const char *name);
/** Tell D-Bus what came, changed and went. */
void manager_workload_changed(struct manager *manager, const struct tracker_output *output);

/* manager_meters.c: what is read of workloads, and how it reaches the sampler. */
int manager_add_meters(struct manager *manager);
/** Once sources run. */
int manager_start_meters(struct manager *manager);
void manager_free_meters(struct manager *manager);
/** The state or place of a workload may have changed; or (@gone) it is no more. */
void manager_meter_workload(struct manager *manager, const struct workload *workload, bool gone);

/* manager_apps.c: what people bind and post. */
int manager_load_apps(struct manager *manager);
const char *manager_slug_of(const struct workload *workload, void *userdata);
int manager_post(struct event *event, void (*done)(struct event *event, void *userdata),
                void *done_userdata, void *userdata);
int manager_keep(const char *kind, const char *id, const char *document,
                void (*done)(struct event *event, void *userdata), void *done_userdata,
                void *userdata);
void manager_app_changed(const char *slug, void *userdata);

/* manager_node.c: the host itself. */
int manager_add_node(struct manager *manager);
void manager_read_node(struct manager *manager);
void manager_end_node_slot(struct manager *manager, uint64_t at_us, uint64_t missed);
void manager_free_node(struct manager *manager);

/* manager_probes.c: who is asked whether it is up. */
/** Once the faces listen: what they listen on is never asked. */
int manager_add_prober(struct manager *manager);
void manager_free_prober(struct manager *manager);

/* manager_tokens.c: who may ask, and who was refused. */
/** Logs. Return: 0 or negative errno. */
int manager_load_tokens(struct manager *manager);
/** Now and then, and once while @ending. */
void manager_tick_tokens(struct manager *manager, bool ending);
/** Once the journal is closed: what it has made durable is told here. */
void manager_free_tokens(struct manager *manager);

/* manager_analytics.c: access logs, their rows, and their numbers. */
/** Does nothing where none are configured. Logs. Return: 0 or negative errno. */
int manager_add_analytics(struct manager *manager);
int manager_start_analytics(struct manager *manager);
/** While the faces are still there: queries that wait are answered. */
void manager_free_analytics(struct manager *manager);
