/* Access logs to rows: the reader's thread commits to the store, and what was committed is counted.
 */

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "daemon/config_keys.h"
#include "daemon/manager_internal.h"
#include "engine/analytics.h"
#include "source/access_log.h"
#include "store/rollups.h"

/* On the reader's thread. */
static int on_batch(const struct rollup_set *set, const struct access_position *positions,
                size_t n_positions, void *userdata) {
        struct manager *manager = userdata;
        int r;

        r = rollups_commit(manager->rollups, set, positions, n_positions);
        if (r >= 0)
                analytics_add(manager->analytics, set, clock_monotonic_us());
        return r;
}

/* ---- the hosts of apps, which are counted whatever else is asked for ---- */

/* On the reader's thread. */
static bool on_is_own(const char *host, void *userdata) {
        struct manager *manager = userdata;
        bool is_own;

        (void) pthread_mutex_lock(&manager->own_hosts_lock);
        is_own = manager->own_hosts && map_get(manager->own_hosts, host);
        (void) pthread_mutex_unlock(&manager->own_hosts_lock);
        return is_own;
}

static void note_hosts(const struct app *app, void *userdata) {
        char name[ACCESS_HOST_MAX + 1];

        for (size_t i = 0; i < app->hosts.n; i++) {
                access_host(app->hosts.items[i], strlen(app->hosts.items[i]), name);
                if (name[0]) /* no memory: it is one of many */
                        (void) map_put(userdata, name, userdata);
        }
}

void manager_note_hosts(struct manager *manager) {
        struct map *hosts = NULL, *old;

        if (!manager->analytics || map_new(&hosts) < 0)
                return;
        apps_for_each(manager->apps, note_hosts, hosts);
        (void) pthread_mutex_lock(&manager->own_hosts_lock);
        old = manager->own_hosts;
        manager->own_hosts = hosts;
        (void) pthread_mutex_unlock(&manager->own_hosts_lock);
        map_free(old);
}

/* ---- the store ---- */

static int on_position(const struct access_position *position, void *userdata) {
        return access_log_restore(userdata, position);
}

static int on_query(const char *const *hosts, size_t n_hosts, uint32_t from_day, uint32_t days,
                void (*done)(int error, const struct rollup *rows, size_t n, void *userdata),
                void *done_userdata, void *userdata) {
        struct manager *manager = userdata;
        const struct rollups_query query = {
                .hosts = hosts, .n_hosts = n_hosts, .from_day = from_day, .days = days
        };

        return rollups_query(manager->rollups, &query, done, done_userdata);
}

static void on_stats(struct access_stats *ret_stats, void *userdata) {
        struct manager *manager = userdata;

        access_log_get_stats(manager->access_log, ret_stats);
}

/* What is made for another configuration, and not in force yet. */
struct manager_analytics {
        bool is_kept; /* the present access log stays, if there is one */
        struct access_log *access_log;
        struct rollups *rollups; /* NULL: the present one is used */
        struct analytics *analytics;
        bool is_late; /* there is no store yet: nothing of it is made before there is */
        unsigned int retention_days;
        size_t hosts_max;
};

/* @path: caller frees. */
static int rollups_config_of(struct manager *manager, const struct config *config, char **path,
                struct rollups_config *ret_rollups) {
        if (asprintf(path, "%s/analytics.db", manager->config.state_dir) < 0) {
                *path = NULL;
                return -ENOMEM;
        }
        *ret_rollups = (struct rollups_config){ .path = *path,
                .retention_days = config->analytics.retention_days,
                .hosts_max = config->analytics.hosts_max,
                .is_own = on_is_own,
                .userdata = manager };
        return 0;
}

static bool is_wanted(const struct config *config) {
        return config->analytics.enabled &&
                        config->analytics.files.n + config->analytics.listen.n > 0;
}

/* What became of opening it. Return: 0; negative errno. */
static int note_opened(struct manager *manager, int r) {
        const char *folder = manager->config.state_dir;
        char text[HEALTH_WORDS_MAX];

        if (r == -EUCLEAN) {
                log_error("The request analytics %s/analytics.db were corrupt; they were set aside and new ones begun",
                                folder);
                r = 0;
        }
        if (r < 0 && r != manager->api.analytics_error) { /* each time it is tried again, else */
                (void) log_error_errno(r, "Cannot open the request analytics %s/analytics.db: %s",
                                folder, health_error_words(r, text));
        }
        manager->api.analytics_error = r < 0 ? r : 0;
        return r;
}

/* Before the loop runs. */
static int open_rollups(struct manager *manager, const struct config *config,
                struct rollups **ret_rollups) {
        _cleanup_(freep) char *path = NULL;
        struct rollups_config rollups;
        int r;

        r = rollups_config_of(manager, config, &path, &rollups);
        return r < 0 ? r
                     : note_opened(manager, rollups_open(&rollups, manager->event, ret_rollups));
}

static int add_again(struct manager *manager);

static void on_opened(int error, struct rollups *rollups, void *userdata) {
        struct manager *manager = userdata;
        int r;

        if (manager->rollups || !is_wanted(&manager->config)) {
                rollups_close(rollups);
                return;
        }
        r = note_opened(manager, error);
        if (r < 0)
                return;
        manager->rollups = rollups;
        manager->health.is_opened_late = true;
        r = add_again(manager);
        manager->health.is_opened_late = false;
        if (r < 0)
                manager->api.analytics_error = r; /* and it is tried again */
        else
                log_info("The request analytics could be opened; access logs are read now");
}

/* A disk may hang: not on the loop. */
static int open_late(struct manager *manager) {
        _cleanup_(freep) char *path = NULL;
        struct rollups_config rollups;
        int r;

        if (manager->opening && !rollups_opening_is_over(manager->opening))
                return 0;
        manager->opening = rollups_opening_free(manager->opening);
        r = rollups_config_of(manager, &manager->config, &path, &rollups);
        if (r >= 0)
                r = rollups_opening_new(
                                &rollups, manager->event, on_opened, manager, &manager->opening);
        return r < 0 ? note_opened(manager, r) : 0;
}

static int open_logs(
                struct manager *manager, const struct config *config, struct access_log **ret_log) {
        const struct access_log_config logs = {
                .paths = (const char *const *) config->analytics.files.items,
                .n_paths = config->analytics.files.n,
                .listen = (const char *const *) config->analytics.listen.items,
                .n_listen = config->analytics.listen.n,
                .history = config->analytics.history,
                .retention_days = config->analytics.retention_days,
                .duration = config->analytics.duration,
                .before = manager->access_log,
        };
        const struct access_log_hooks hooks = { .commit = on_batch, .userdata = manager };
        const char *address = "";
        int r;

        r = access_log_new(&logs, &hooks, ret_log, &address);
        if (r == -EPERM) {
                return log_error_errno(r,
                                "Access logs are taken from loopback addresses and sockets only, not from %s",
                                address);
        }
        return r < 0 ? log_error_errno(r, "Cannot take access logs from %s: %m", address) : 0;
}

bool manager_analytics_hang(const struct manager *manager) {
        struct rollups_stats stats = {};

        if (manager->rollups)
                rollups_get_stats(manager->rollups, &stats);
        return stats.disk_us && clock_monotonic_us() > stats.disk_us + MANAGER_HANGS_US;
}

struct manager_analytics *manager_analytics_unstage(struct manager_analytics *wanted) {
        if (!wanted)
                return NULL;
        access_log_free(wanted->access_log);
        rollups_close(wanted->rollups);
        analytics_free(wanted->analytics);
        free(wanted);
        return NULL;
}

/* All that is wanted beside what there is. Logs. */
static int make(struct manager *manager, const struct config *config,
                struct manager_analytics *wanted) {
        const struct analytics_hooks hooks = {
                .query = on_query, .is_own = on_is_own, .stats = on_stats, .userdata = manager
        };
        int r = 0;

        wanted->is_late = manager->is_running && !manager->rollups;
        if (!manager->rollups && !wanted->is_late)
                r = open_rollups(manager, config, &wanted->rollups);
        if (r >= 0)
                r = open_logs(manager, config, &wanted->access_log);
        if (r < 0)
                return r;
        if (wanted->is_late) { /* it can be had; nobody would read yet what comes there */
                wanted->access_log = access_log_free(wanted->access_log);
                return 0;
        }
        r = manager->analytics ? 0 : analytics_new(&hooks, &wanted->analytics);
        return r < 0 ? log_error_errno(r, "Cannot set up request analytics: %m") : 0;
}

int manager_analytics_stage(struct manager *manager, const struct config *config,
                struct manager_analytics **ret_wanted) {
        static const char *const keys[] = { "analytics.enabled", "analytics.files",
                "analytics.listen", "analytics.history", "analytics.retention_days",
                "analytics.duration", NULL };
        _cleanup_(manager_analytics_unstagep) struct manager_analytics *wanted = NULL;
        int r = 0;

        wanted = calloc(1, sizeof(*wanted));
        if (!wanted)
                return -ENOMEM;
        wanted->retention_days = config->analytics.retention_days;
        wanted->hosts_max = config->analytics.hosts_max;
        wanted->is_kept = manager->is_running && !manager->health.is_retrying &&
                        !config_differs(&manager->config, config, keys);
        if (!wanted->is_kept && manager_analytics_hang(manager)) {
                return log_error_errno(-EAGAIN,
                                "The disk of the request analytics does not answer; how they are made cannot change before it does");
        }
        if (!wanted->is_kept && is_wanted(config))
                r = make(manager, config, wanted);
        if (r < 0)
                return r;
        *ret_wanted = TAKE_PTR(wanted);
        return 0;
}

/* The log before has stored all it read by now. Of a store that was opened late they were read with
 * it. */
static int begin(struct manager *manager) {
        int r;

        for (size_t i = 0; access_log_address(manager->access_log, i); i++)
                log_info("Taking access logs on %s", access_log_address(manager->access_log, i));
        if (manager->health.is_opened_late) {
                r = rollups_opening_positions(manager->opening, on_position, manager->access_log);
        } else {
                r = rollups_load_positions(manager->rollups, on_position, manager->access_log);
        }
        if (r < 0 && r != manager->api.analytics_error) /* each time it is tried again, else */
                (void) log_error_errno(r, "Cannot read where access logs were left: %m");
        manager->api.analytics_error = r < 0 ? r : 0;
        return r;
}

int manager_analytics_commit(struct manager *manager, struct manager_analytics *wanted) {
        int r = 0;

        if (wanted->is_kept) {
                if (manager->rollups)
                        rollups_configure(manager->rollups, wanted->retention_days,
                                        wanted->hosts_max);
        } else if (wanted->is_late) {
                r = open_late(manager);
        } else if (!wanted->access_log) {
                manager_free_analytics(manager);
                manager->api.analytics_error = 0;
        } else {
                if (manager->access_log)
                        access_log_bequeath(manager->access_log);
                access_log_free(manager->access_log);
                manager->access_log = TAKE_PTR(wanted->access_log);
                if (wanted->rollups)
                        manager->rollups = TAKE_PTR(wanted->rollups);
                if (wanted->analytics)
                        manager->analytics = TAKE_PTR(wanted->analytics);
                rollups_configure(manager->rollups, wanted->retention_days, wanted->hosts_max);
                manager->api.analytics = manager->analytics;
                manager->api.rollups = manager->rollups;
                manager_note_hosts(manager);
                r = begin(manager);
                if (r >= 0 && manager->is_running)
                        r = manager_start_analytics(manager);
        }
        manager_analytics_unstage(wanted);
        return r;
}

int manager_add_analytics(struct manager *manager) {
        struct manager_analytics *wanted = NULL;
        int r;

        r = manager_analytics_stage(manager, &manager->config, &wanted);
        return r < 0 ? r : manager_analytics_commit(manager, wanted);
}

static int add_again(struct manager *manager) {
        int r;

        manager->health.is_retrying = true;
        r = manager_add_analytics(manager);
        manager->health.is_retrying = false;
        return r;
}

void manager_retry_analytics(struct manager *manager) {
        if (!is_wanted(&manager->config))
                return;
        if (manager->opening && !rollups_opening_is_over(manager->opening)) {
                (void) note_opened(manager, -EINPROGRESS);
        } else if (manager->api.analytics_error < 0 && !manager->rollups) {
                (void) open_late(manager);
        } else if (manager->api.analytics_error < 0 && add_again(manager) >= 0) {
                log_info("The request analytics could be opened; access logs are read now");
        }
}

void manager_reread_analytics(struct manager *manager) {
        struct rollups_stats stats = {};

        if (manager->rollups)
                rollups_get_stats(manager->rollups, &stats);
        if (stats.last_error != -ESTALE || manager->api.analytics_error < 0 ||
                        manager_analytics_hang(manager))
                return;
        log_warn("The request analytics are not what they were; access logs are read on from where they say");
        (void) add_again(manager);
}

int manager_start_analytics(struct manager *manager) {
        return manager->access_log ? access_log_start(manager->access_log) : 0;
}

void manager_free_analytics(struct manager *manager) {
        manager->access_log = access_log_free(manager->access_log);
        manager->rollups = rollups_close(manager->rollups);
        manager->api.analytics = NULL;
        manager->api.rollups = NULL;
        manager->analytics = analytics_free(manager->analytics);
        manager->own_hosts = map_free(manager->own_hosts);
}
