/* Which sources there are, by the configuration, and how their changes reach the D-Bus face.
 * Another configuration is gone over to in two steps: what may fail makes the sources that are new,
 * then those that are no longer wanted end and the new ones start. The others are not touched. */

#include <string.h>

#include "api/dbus.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/manager_internal.h"

#define SIGNATURE_MAX (1U << 16)
#define SETTLE_US     USEC_PER_SEC

/* One source as the configuration wants it. */
struct choice {
        const struct source_ops *ops;
        char name[256];
        const char *address; /* NULL: the usual one */
        bool required, write;
        const struct config_list *patterns;
};

struct manager_sources {
        struct choice choices[MANAGER_SOURCES_MAX];
        size_t n;
        char *kernel_address;
        struct manager_source made[MANAGER_SOURCES_MAX]; /* source NULL: a present one goes on */
};

/* ---- what is wanted ---- */

static int add(struct manager_sources *wanted, const struct choice *choice) {
        if (wanted->n >= MANAGER_SOURCES_MAX) {
                log_error("More than %d sources", MANAGER_SOURCES_MAX);
                return -E2BIG;
        }
        wanted->choices[wanted->n] = *choice;
        if (!choice->name[0])
                (void) snprintf(wanted->choices[wanted->n].name, sizeof(choice->name), "%s",
                                choice->ops->name);
        wanted->n++;
        return 0;
}

static int add_runtime(struct manager_sources *wanted, const struct source_ops *ops,
                const struct config_runtime *runtime, const struct config_list *patterns) {
        const struct choice choice = { .ops = ops,
                .address = runtime->socket,
                .required = runtime->required,
                .patterns = patterns };

        return runtime->enabled ? add(wanted, &choice) : 0;
}

static int add_peer(struct manager_sources *wanted, const struct source_ops *ops,
                const struct config_peer *peer, const struct config_list *patterns) {
        const struct choice choice = { .ops = ops,
                .address = peer->address,
                .required = peer->required,
                .patterns = patterns };

        return peer->enabled && (!patterns || patterns->n > 0) ? add(wanted, &choice) : 0;
}

static bool has(const struct manager_sources *wanted, const char *name) {
        for (size_t i = 0; i < wanted->n; i++)
                if (strcmp(wanted->choices[i].name, name) == 0)
                        return true;
        return false;
}

static int add_libvirt(struct manager_sources *wanted, const struct config *config) {
        int r = 0;

        for (size_t i = 0; r >= 0 && config->libvirt.enabled && i < config->libvirt.uris.n; i++) {
                struct choice choice = {
                        .ops = &libvirt_source_ops,
                        .address = config->libvirt.uris.items[i],
                        .required = config->libvirt.required,
                        .write = config->libvirt.write,
                };

                (void) snprintf(choice.name, sizeof(choice.name), "libvirt:%s", choice.address);
                if (!has(wanted, choice.name)) /* what is listed twice is one */
                        r = add(wanted, &choice);
        }
        return r;
}

static int add_kernel(struct manager_sources *wanted, const struct config *config) {
        const char *from = config->kernel.from, *where = config->kernel.socket;

        if (!config->kernel.enabled)
                return 0;
        if (config->kernel.journal_dir[0] && strcmp(from, "kmsg") != 0) {
                from = "journal";
                where = config->kernel.journal_dir;
        } else if (strcmp(from, "journal") == 0) {
                where = "";
        }
        if (asprintf(&wanted->kernel_address, "%s%s%s", from, where[0] ? ":" : "", where) < 0) {
                wanted->kernel_address = NULL;
                return -ENOMEM;
        }
        return add(wanted,
                        &(struct choice){ .ops = &kernel_source_ops,
                                        .address = wanted->kernel_address });
}

static int choose(struct manager_sources *wanted, const struct config *config) {
        int r;

        /* Evidence first, so that it is there when the first exit comes. */
        r = add_kernel(wanted, config);
        if (r >= 0)
                r = add(wanted, &(struct choice){ .ops = &cgroup_source_ops });
        if (r >= 0)
                r = add_peer(wanted, &oomd_source_ops, &config->oomd, NULL);
        if (r >= 0)
                r = add_libvirt(wanted, config);
        if (r >= 0)
                r = add_runtime(wanted, &docker_source_ops, &config->docker, NULL);
        if (r >= 0)
                r = add_runtime(wanted, &podman_source_ops, &config->podman, NULL);
        if (r >= 0)
                r = add_runtime(wanted, &containerd_source_ops, &config->containerd,
                                &config->containerd_namespaces);
        if (r >= 0)
                r = add_peer(wanted, &machined_source_ops, &config->machined, NULL);
        if (r >= 0)
                r = add_peer(wanted, &unit_source_ops, &config->units, &config->unit_patterns);
        return r;
}

/* ---- making them ---- */

static void forget_one(struct manager_source *one) {
        if (one->source)
                one->source->ops->free(one->source);
        free(one->settings);
        free(one->address);
        free(one->cursor);
        *one = (struct manager_source){};
}

static struct manager_source *find(struct manager *manager, const char *name) {
        for (size_t i = 0; i < manager->n_sources; i++)
                if (strcmp(manager->sources[i].source->name, name) == 0)
                        return &manager->sources[i];
        return NULL;
}

/* All that a source is told when it is made, as a text. */
static int settings_of(const struct choice *choice, char **ret_settings) {
        _cleanup_(buf_done) struct buf text = BUF_INIT(SIGNATURE_MAX);
        int r;

        r = buf_printf(&text, "%s\n%d", choice->address ? choice->address : "", choice->write);
        for (size_t i = 0; r >= 0 && choice->patterns && i < choice->patterns->n; i++)
                r = buf_printf(&text, "\n%s", choice->patterns->items[i]);
        if (r < 0)
                return r;
        *ret_settings = buf_take(&text);
        return 0;
}

/* Whoever it is read through, there is one log of this host's kernel; a reader knows the places of
 * its own kind. */
static bool is_same_peer(const struct manager_source *before, const struct choice *choice) {
        return text_equal(before->address, choice->address) || choice->ops == &kernel_source_ops;
}

/* Where the source is to go on: at the start as it is stored, later as its predecessor has posted,
 * as long as it asks the same peer. */
static int cursor_of(struct manager *manager, const struct choice *choice, char **ret_cursor) {
        const struct manager_source *before = find(manager, choice->name);
        const char *cursor;
        int r;

        if (!manager->is_running) {
                r = journal_load_cursor(manager->journal, choice->name, ret_cursor);
                if (r < 0) /* it begins with what there is now */
                        (void) log_error_errno(
                                        r, "Cannot read where %s was left: %m", choice->name);
                return r == -ENOMEM ? r : 0;
        }
        if (!before || !is_same_peer(before, choice))
                return 0;
        cursor = tracker_source_cursor(manager->tracker, choice->name);
        cursor = cursor ? cursor : before->cursor;
        *ret_cursor = cursor ? strdup(cursor) : NULL;
        return cursor && !*ret_cursor ? -ENOMEM : 0;
}

static int make(struct manager *manager, const struct choice *choice, struct manager_source *one) {
        const char *patterns[CONFIG_PATTERNS_MAX + 1] = {};
        int r;

        for (size_t i = 0; choice->patterns && i < choice->patterns->n; i++)
                patterns[i] = choice->patterns->items[i];
        one->address = choice->address ? strdup(choice->address) : NULL;
        if (choice->address && !one->address)
                return -ENOMEM;
        r = cursor_of(manager, choice, &one->cursor);
        if (r < 0)
                return r;
        return choice->ops->create(
                        &(struct source_config){
                                        .name = choice->name,
                                        .address = choice->address,
                                        .cursor = one->cursor,
                                        .required = choice->required,
                                        .write = choice->write,
                                        .patterns = patterns[0] ? patterns : NULL,
                        },
                        &manager->source_env, &one->source);
}

/* Make the choice unless a source runs that is made just so. */
static int make_if_new(struct manager *manager, struct manager_sources *wanted, size_t i) {
        const struct manager_source *before = find(manager, wanted->choices[i].name);
        struct manager_source *one = &wanted->made[i];
        int r;

        r = settings_of(&wanted->choices[i], &one->settings);
        if (r >= 0 && before && strcmp(before->settings, one->settings) == 0) {
                forget_one(one);
                return 0;
        }
        if (r >= 0)
                r = make(manager, &wanted->choices[i], one);
        if (r < 0)
                return log_error_errno(r, "Cannot set up source %s: %m", wanted->choices[i].name);
        return 0;
}

struct manager_sources *manager_sources_unstage(struct manager_sources *wanted) {
        if (!wanted)
                return NULL;
        for (size_t i = 0; i < MANAGER_SOURCES_MAX; i++)
                forget_one(&wanted->made[i]);
        free(wanted->kernel_address);
        free(wanted);
        return NULL;
}

int manager_sources_stage(struct manager *manager, const struct config *config,
                struct manager_sources **ret_wanted) {
        _cleanup_(manager_sources_unstagep) struct manager_sources *wanted = NULL;
        int r;

        wanted = calloc(1, sizeof(*wanted));
        if (!wanted)
                return -ENOMEM;
        r = choose(wanted, config);
        for (size_t i = 0; r >= 0 && i < wanted->n; i++)
                r = make_if_new(manager, wanted, i);
        if (r < 0)
                return r;
        *ret_wanted = TAKE_PTR(wanted);
        return 0;
}

/* ---- going over to them ---- */

static bool is_wanted(const struct manager_sources *wanted, const char *name, bool *ret_anew) {
        for (size_t i = 0; i < wanted->n; i++) {
                if (strcmp(wanted->choices[i].name, name) != 0)
                        continue;
                *ret_anew = wanted->made[i].source != NULL;
                return true;
        }
        return false;
}

/* Its workloads are unknown from now on. Those that are configured anew list theirs again. */
static void end(struct manager *manager, struct manager_source *one, bool is_wanted) {
        _cleanup_(freep) char *name = strdup(one->source->name);
        struct fact fact = FACT_INIT(FACT_SOURCE);
        struct fact blind = FACT_INIT(FACT_READABLE);

        one->source->ops->stop(one->source);
        if (!name)
                return;
        actions_source_ended(manager->actions, name);
        fact.source_state = SOURCE_DOWN;
        fact.error = is_wanted ? "Configured anew" : "No longer configured";
        tracker_post(manager->tracker, name, &fact);
        manager_sources_changed(manager, name);
        if (is_wanted)
                return;
        if (strcmp(name, kernel_source_ops.name) == 0) {
                blind.oom_source = OOM_FROM_KERNEL;
                blind.oom_readable = false;
                tracker_post(manager->tracker, name, &blind);
        }
        tracker_remove_source(manager->tracker, name);
        log_info("Source %s is no longer configured", name);
}

/* Take the next source over: the one made, or the present one. Return: whether it is new. */
static bool take(struct manager *manager, struct manager_sources *wanted, size_t i,
                struct manager_source *ret_one) {
        const struct choice *choice = &wanted->choices[i];
        struct manager_source *before = find(manager, choice->name);

        if (!wanted->made[i].source) {
                *ret_one = *before;
                ret_one->source->required = choice->required;
                tracker_require_source(manager->tracker, choice->name, choice->required);
                return false;
        }
        *ret_one = wanted->made[i];
        wanted->made[i] = (struct manager_source){};
        if (before) {
                ret_one->told = before->told;
                before->is_over = true;
                tracker_require_source(manager->tracker, choice->name, choice->required);
        } else if (tracker_add_source(manager->tracker, choice->name, choice->required,
                                   ret_one->cursor != NULL) < 0) {
                log_error("No memory to follow source %s", choice->name);
        }
        return true;
}

static void start(struct manager *manager, struct source *source) {
        struct workload *workload;
        int r;

        r = source->ops->start(source);
        if (r < 0)
                (void) log_error_errno(r, "Cannot start source %s: %m", source->name);
        if (!source->ops->watch || !manager->is_running)
                return;
        inventory_for_each(workload, tracker_inventory(manager->tracker)) {
                if (workload->state == STATE_RUNNING || workload->state == STATE_PAUSED)
                        source->ops->watch(source, workload);
        }
}

void manager_sources_commit(struct manager *manager, struct manager_sources *wanted) {
        struct manager_source sources[MANAGER_SOURCES_MAX] = {};
        bool is_new[MANAGER_SOURCES_MAX] = {};

        for (size_t i = 0; i < manager->n_sources; i++) {
                bool anew = false,
                     stays = is_wanted(wanted, manager->sources[i].source->name, &anew);

                if (!stays || anew)
                        end(manager, &manager->sources[i], stays);
                if (!stays)
                        manager->sources[i].is_over = true;
        }
        for (size_t i = 0; i < wanted->n; i++)
                is_new[i] = take(manager, wanted, i, &sources[i]);
        for (size_t i = 0; i < manager->n_sources; i++)
                if (manager->sources[i].is_over)
                        forget_one(&manager->sources[i]);
        memcpy(manager->sources, sources, sizeof(sources));
        manager->n_sources = wanted->n;
        for (size_t i = 0; manager->is_running && i < manager->n_sources; i++) {
                if (!is_new[i])
                        continue;
                log_info("Source %s is configured anew", manager->sources[i].source->name);
                start(manager, manager->sources[i].source);
        }
        manager_sources_unstage(wanted);
}

int manager_add_sources(struct manager *manager) {
        struct manager_sources *wanted;
        int r;

        r = manager_sources_stage(manager, &manager->config, &wanted);
        if (r < 0)
                return r;
        manager_sources_commit(manager, wanted);
        return 0;
}

void manager_start_sources(struct manager *manager) {
        for (size_t i = 0; i < manager->n_sources; i++)
                start(manager, manager->sources[i].source);
        manager->is_running = true;
}

void manager_free_sources(struct manager *manager) {
        uint64_t until_us = clock_monotonic_us() + SETTLE_US;

        for (size_t i = 0; i < manager->n_sources; i++)
                manager->sources[i].source->ops->stop(manager->sources[i].source);
        for (size_t i = 0; i < manager->n_sources; i++) {
                struct source *source = manager->sources[i].source;

                if (source->ops->settle)
                        source->ops->settle(source, until_us);
        }
        for (size_t i = manager->n_sources; i > 0; i--)
                forget_one(&manager->sources[i - 1]);
        manager->n_sources = 0;
}

/* ---- what is told of them ---- */

int manager_source_stats(const char *name, struct api_source_stats *ret_stats, void *userdata) {
        const struct manager_source *one = find(userdata, name);
        struct source_stats stats = {};

        if (!one)
                return -ENOENT;
        if (one->source->ops->stats)
                one->source->ops->stats(one->source, &stats);
        else
                stats = one->source->stats;
        *ret_stats = (struct api_source_stats){
                .raw_events = stats.raw_events,
                .malformed = stats.malformed,
                .reconnects = stats.reconnects,
                .dropped = stats.dropped,
        };
        return 0;
}

void manager_sources_changed(struct manager *manager, const char *name) {
        struct manager_source *one = find(manager, name);
        struct tracker_source *source;

        list_for_each(source, tracker_sources(manager->tracker), list) {
                if (!one || strcmp(source->name, name) != 0 || one->told == source->state)
                        continue;
                one->told = source->state;
                log_with(source->state == SOURCE_DOWN ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
                                FIELDS({ "VIRTWATCH_SOURCE", source->name }), "Source %s is %s%s%s",
                                source->name, source_state_to_string(source->state),
                                source->error[0] ? ": " : "", source->error);
                if (manager->dbus)
                        dbus_source_changed(manager->dbus, source->name);
        }
}

void manager_workload_changed(struct manager *manager, const struct tracker_output *output) {
        if (!manager->dbus)
                return;
        if (output->forget)
                dbus_workload_removed(manager->dbus, output->forget);
        else if (output->workload)
                dbus_workload_changed(manager->dbus, output->workload);
}
