/* Another configuration while the daemon runs. First all that may fail is made beside what is
 * there: listeners, sources, meters, readers. Only when all of it is made is it gone over to; else
 * all is as it was. What did not change is not touched. */

#include <string.h>
#include <systemd/sd-daemon.h>

#include "api/dbus.h"
#include "base/clock.h"
#include "base/listen.h"
#include "base/log.h"
#include "daemon/config_keys.h"
#include "daemon/manager_internal.h"

struct change {
        struct config config;
        struct manager_tls *tls;
        struct manager_sources *sources;
        struct manager_meters *meters;
        struct host_meter *host_meter;
        struct manager_analytics *analytics;
};

void manager_http_config(const struct config *config, const struct manager_tls *tls,
                struct http_config *ret_http) {
        *ret_http = (struct http_config){
                .token = config->token,
                .connections_max = config->connections_max,
                .sse_readers_max = config->sse_readers_max,
                .body_max = 1U << 20,
                .answers_max = 256U << 20,
                .header_timeout_us = 10 * USEC_PER_SEC,
                .sse_heartbeat_us = 15 * USEC_PER_SEC,
                .connections_per_address = config->connections_per_address,
        };
        manager_tls_give(tls, ret_http);
        for (size_t i = 0; i < config->listen.n && i < HTTP_LISTENERS_MAX; i++)
                ret_http->addresses[ret_http->n_addresses++] = config->listen.items[i];
        for (size_t i = 0; i < config->cors_origins.n && i < HTTP_ORIGINS_MAX; i++)
                ret_http->cors_origins[ret_http->n_cors_origins++] = config->cors_origins.items[i];
}

/* ---- may it be gone over to? ---- */

/* The first fault, placed, and how many more there are. */
static void tell_faults(const struct config_faults *faults, struct diag *diag) {
        char text[CONFIG_FAULT_TEXT_MAX];
        size_t more = faults->n + faults->more - 1;

        for (size_t i = 0; i < faults->n; i++)
                (void) log_error_errno(faults->items[i].error, "%s",
                                config_fault_text(&faults->items[i], text));
        (void) config_fault_text(&faults->items[0], text);
        if (more > 0)
                diag_set(diag, 0, 0, "%.400s (and %zu more)", text, more);
        else
                diag_set(diag, 0, 0, "%.500s", text);
}

/* What holds until a restart. A host that is renamed is no reason to refuse what people wrote. */
static int check_restart(struct manager *manager, struct config *config, struct diag *diag) {
        const struct config_key *name = config_key_find("node.name");
        char *name_now = NULL;

        if (config_key_origin(config, name)->layer == CONFIG_DEFAULT &&
                        config_key_origin(&manager->config, name)->layer == CONFIG_DEFAULT)
                name_now = strdup(manager->config.node_name);
        if (name_now) {
                free(config->node_name);
                config->node_name = name_now;
        }
        for (size_t i = 0; i < config_key_count(); i++) {
                const struct config_key *key = config_key_at(i);
                const struct config_origin *origin = config_key_origin(config, key);

                if (!(key->flags & CONFIG_KEY_RESTART) ||
                                config_key_equal(key, config, &manager->config))
                        continue;
                if (origin->line > 0) {
                        diag_set(diag, 0, 0,
                                        "%s:%u:%u: %s cannot change while the daemon runs; restart it",
                                        origin->path, origin->line, origin->column, key->name);
                } else {
                        diag_set(diag, 0, 0, "%s cannot change while the daemon runs; restart it",
                                        key->name);
                }
                return log_error_errno(-EBUSY, "%s", diag->text);
        }
        return 0;
}

static int load(struct manager *manager, struct config *config, struct diag *diag) {
        _cleanup_(config_faults_done) struct config_faults faults = {};
        int r;

        r = manager->reload.load(config, &faults, manager->reload.userdata);
        if (r < 0 && faults.n > 0)
                tell_faults(&faults, diag);
        return r < 0 ? r : check_restart(manager, config, diag);
}

/* ---- making ---- */

static void change_done(struct change *change) {
        manager_analytics_unstage(change->analytics);
        host_meter_free(change->host_meter);
        manager_meters_unstage(change->meters);
        manager_sources_unstage(change->sources);
        manager_tls_free(change->tls);
        config_done(&change->config);
}

static int told_address(const char *address, int r, struct diag *diag) {
        if (r >= 0 || !address)
                return r;
        diag_set(diag, 0, 0, "http.listen: cannot listen on %s: %s", address, strerrordesc_np(-r));
        return log_error_errno(r, "Cannot listen on %s: %m", address);
}

static int stage_http(struct manager *manager, struct change *change, struct diag *diag) {
        const struct config *config = &change->config;
        const char *address = NULL;
        struct http_config http;
        int r;

        r = manager_tls_stage(config, !manager_disk_hangs(manager), diag, &change->tls);
        if (r < 0)
                return log_error_errno(r, "TLS: %s", diag->text);
        manager_http_config(config, change->tls, &http);
        r = http_stage(manager->http, &http, &address);
        return told_address(address, r, diag);
}

static int configure_slots(struct manager *manager, const struct config *config) {
        const size_t slots = (size_t) (config->sample_ring_us / config->sample_interval_us);
        int r;

        r = sampler_configure(
                        manager->sampler, config->sample_interval_us, slots, config->balloon_us);
        return r < 0 ? r : node_configure(manager->node, config->sample_interval_us, slots);
}

static int stage(struct manager *manager, struct change *change, struct diag *diag) {
        const struct config *config = &change->config;
        const char *address = NULL;
        const char *what;
        int r;

        what = "http";
        r = stage_http(manager, change, diag);
        if (r >= 0) {
                what = "sources";
                r = manager_sources_stage(manager, config, &change->sources);
        }
        if (r >= 0) {
                what = "sampler";
                r = manager_meters_stage(manager, config, &change->meters);
        }
        if (r >= 0) {
                what = "node";
                r = manager_host_meter_stage(manager, config, &change->host_meter);
        }
        if (r >= 0) {
                what = "analytics";
                r = manager_analytics_stage(manager, config, &change->analytics);
        }
        if (r >= 0) {
                what = "http";
                r = http_stage_ports(manager->http, &address);
                r = told_address(address, r, diag);
        }
        /* These two are as they were if they fail, and fail for want of memory alone. */
        if (r >= 0) {
                what = "probes";
                r = manager_configure_prober(manager, config);
        }
        if (r >= 0) {
                what = "sampler";
                r = configure_slots(manager, config);
        }
        if (r < 0 && !diag->text[0])
                diag_set(diag, 0, 0, "%s: %s; the log says more", what, strerrordesc_np(-r));
        return r;
}

/* ---- going over ---- */

static void commit_http(struct manager *manager) {
        char before[HTTP_LISTENERS_MAX][LISTEN_NAME_MAX] = {};
        const char *address;

        for (size_t i = 0; (address = http_address(manager->http, i)); i++)
                (void) snprintf(before[i], sizeof(before[i]), "%s", address);
        http_commit(manager->http);
        for (size_t i = 0; (address = http_address(manager->http, i)); i++) {
                bool is_new = true;

                for (size_t j = 0; j < HTTP_LISTENERS_MAX; j++)
                        is_new = is_new && strcmp(before[j], address) != 0;
                if (is_new)
                        log_info("Listening on %s", address);
        }
}

static void commit(struct manager *manager, struct change *change) {
        struct config *config = &change->config;
        char *name;

        commit_http(manager);
        manager_tls_commit(manager, TAKE_PTR(change->tls));
        (void) manager_configure_prober(manager, config); /* what we listen on now */
        tracker_configure(manager->tracker,
                        &(struct tracker_config){ .oom_rule = config->oom_rule,
                                        .evidence_wait_us = config->evidence_wait_us });
        journal_configure(manager->journal, config->retention_age_us, config->retention_bytes);
        manager_sources_commit(manager, TAKE_PTR(change->sources));
        manager_meters_commit(manager, TAKE_PTR(change->meters));
        manager_host_meter_commit(manager, TAKE_PTR(change->host_meter));
        (void) manager_analytics_commit(manager, TAKE_PTR(change->analytics));
        manager->api.compat = config->compat;
        manager_configure_tracer(manager, config);
        log_set_level(config->log_level);
        log_set_target(config->log_target);

        /* The faces borrow the very text, which is the same. */
        name = config->node_name;
        config->node_name = manager->config.node_name;
        manager->config.node_name = name;
        config_done(&manager->config);
        manager->config = *config;
        *config = (struct config){};
        actions_configure(manager->actions,
                        &(struct actions_config){ .enabled = manager->config.actions.enabled,
                                        .timeout_us = manager->config.actions.timeout_us });
        manager_name_features(manager);
        manager_configure_apps(manager);
        if (manager->dbus)
                dbus_configuration_changed(manager->dbus);
}

static int reload(struct manager *manager, struct diag *diag) {
        _cleanup_(change_done) struct change change = {};
        int r;

        r = load(manager, &change.config, diag);
        if (r < 0)
                return r;
        r = stage(manager, &change, diag);
        if (r < 0) {
                http_unstage(manager->http);
                (void) manager_configure_prober(manager, &manager->config);
                return r;
        }
        commit(manager, &change);
        return 0;
}

int manager_reload(struct manager *manager, struct diag *diag) {
        char but[sizeof(diag->text) + 64];
        int r;

        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%ju", (uintmax_t) clock_monotonic_us());
        r = reload(manager, diag);
        if (r < 0 && !diag->text[0])
                diag_set(diag, 0, 0, "%s", strerrordesc_np(-r));
        manager->api.loaded.at_us = clock_realtime_us();
        manager->api.loaded.good = r >= 0;
        if (r >= 0) {
                manager->api.loaded.good_us = manager->api.loaded.at_us;
                log_info("Configuration reloaded");
                manager_tell_ready(manager, NULL);
        } else {
                (void) log_error_errno(r, "Configuration not reloaded, the old one stays");
                (void) snprintf(but, sizeof(but), "the new configuration is not good: %s",
                                diag->text);
                manager_tell_ready(manager, but);
        }
        return r < 0 ? r : 0;
}
