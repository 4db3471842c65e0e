/* systemd's units whose names match the configured globs. Subscribed first and listed then; each
 * unit's properties are asked once and kept up to date by its PropertiesChanged signals.
 *
 * A daemon-reload removes and announces every unit, so a removed unit is gone only if it has not
 * come back after a moment. PID 1 keeps nothing to replay: after a gap the listing tells. */

#include <fnmatch.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "loop/timer.h"
#include "source/bus_control.h"
#include "source/unit_source.h"

#define UNITS_MAX    4096
#define CALLS_MAX    16
#define SETTLE_US    USEC_PER_SEC
#define RELIST_US    (300 * USEC_PER_SEC)
#define MANAGER      "org.freedesktop.systemd1.Manager"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"

static struct unit_source *unit_source_of(struct source *source) {
        return CONTAINER_OF(source, struct unit_source, source);
}

static struct unit_source *unit_source_of_link(struct bus_link *link) {
        return CONTAINER_OF(link, struct unit_source, link);
}

static void units_ask(struct unit_source *units);
static void units_list(struct unit_source *units);

/* ---- units ---- */

static void unit_drop_call(struct unit *unit) {
        list_remove(&unit->asking);
        if (unit->call)
                unit->owner->n_calls--;
        unit->call = sd_bus_slot_unref(unit->call);
        unit->owner->n_listing -= unit->in_listing;
        unit->in_listing = false;
}

static void unit_free(struct unit *unit) {
        unit_drop_call(unit);
        (void) map_remove(unit->owner->units, unit->path);
        unit_view_done(&unit->view);
        free(unit->name);
        free(unit->path);
        free(unit);
}

/* NULL: no memory, or too many. */
static struct unit *unit_get(struct unit_source *units, const char *name, const char *path) {
        struct unit *unit = map_get(units->units, path);

        if (unit)
                return unit;
        if (map_size(units->units) >= UNITS_MAX) {
                units->source.stats.dropped++;
                return NULL;
        }
        unit = calloc(1, sizeof(*unit));
        if (!unit)
                return NULL;
        list_init(&unit->asking);
        unit->owner = units;
        unit->view.kill_signal = SIGTERM;
        unit->name = strdup(name);
        unit->path = strdup(path);
        if (!unit->name || !unit->path || map_put(units->units, path, unit) < 0) {
                free(unit->name);
                free(unit->path);
                free(unit);
                return NULL;
        }
        return unit;
}

static bool unit_matches(const struct unit_source *units, const char *name) {
        for (char **pattern = units->patterns; *pattern; pattern++)
                if (fnmatch(*pattern, name, FNM_NOESCAPE) == 0)
                        return true;
        return false;
}

static void unit_ask(struct unit *unit) {
        if (list_is_empty(&unit->asking))
                list_append(&unit->owner->asking, &unit->asking);
}

static void unit_step(struct unit *unit) {
        if (unit_post_changes(unit, unit_life_step(&unit->life, &unit->view)))
                unit_ask(unit);
        if (unit->life.alive && unit->view.main_pid && unit->told_pid != unit->view.main_pid)
                unit_post_look(unit); /* it handed over to another process */
}

/* ---- asking for properties ---- */

static void listing_check(struct unit_source *units) {
        struct fact end = FACT_INIT(FACT_LISTING_END);
        struct unit *unit;

        if (!units->listing || units->list_call || units->n_listing > 0)
                return;
        units->listing = false;
        map_for_each(unit, units->units) {
                if (unit->listed)
                        continue;
                if (!unit->life.alive)
                        unit_post_removed(unit);
                unit_free(unit);
        }
        source_post(&units->source, &end);
        bus_link_up(&units->link);
        (void) timer_arm(units->relist_timer, RELIST_US);
}

static void unit_answered(struct unit *unit) {
        if (unit->in_listing && !unit->seen) {
                unit_life_adopt(&unit->life, &unit->view);
        } else if (unit->life.alive && !unit->view.invocation[0]) {
                unit->life.alive = false; /* dropped and loaded again: how it ended is lost */
                unit_post_vanished(unit);
        } else {
                unit_step(unit);
        }
        if (unit->in_listing)
                unit_post_listed(unit);
        else if (unit->life.alive)
                unit_post_look(unit);
        unit->seen = true;
}

static int on_properties(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct unit *unit = userdata;
        struct unit_source *units = unit->owner;
        int r;

        unit->call = sd_bus_slot_unref(unit->call);
        units->n_calls--;
        if (bus_link_is_silence(message)) {
                bus_link_fail(&units->link, "does not answer", -sd_bus_message_get_errno(message));
                return 0;
        }
        if (sd_bus_message_is_method_error(message, NULL)) {
                log_debug("Cannot read unit %s: %s", unit->name,
                                sd_bus_message_get_error(message)->message);
                unit->listed = false; /* unloaded meanwhile */
        } else {
                r = unit_view_read(&unit->view, message);
                if (r < 0) {
                        source_malformed(&units->source, "Unreadable properties of a unit",
                                        unit->name, strlen(unit->name));
                } else {
                        unit_answered(unit);
                }
        }
        units->n_listing -= unit->in_listing;
        unit->in_listing = false;
        units_ask(units);
        listing_check(units);
        return 0;
}

static void units_ask(struct unit_source *units) {
        struct unit *unit;
        int r;

        while (units->n_calls < CALLS_MAX &&
                        (unit = list_first(&units->asking, struct unit, asking))) {
                list_remove(&unit->asking);
                if (unit->call)
                        continue; /* the answer under way is as good */
                r = bus_link_call(&units->link, &unit->call, unit->path,
                                "org.freedesktop.DBus.Properties.GetAll", on_properties, unit, "s",
                                "");
                if (r < 0) {
                        bus_link_fail(&units->link, "cannot be asked", r);
                        return;
                }
                units->n_calls++;
        }
}

/* ---- listing ---- */

/* A unit that does not run may be dropped any time, and would be loaded again for the asking: what
 * the listing says is enough. */
static void listed_down(struct unit *unit, const char *active, const char *sub) {
        (void) snprintf(unit->view.active_state, sizeof(unit->view.active_state), "%s", active);
        (void) snprintf(unit->view.sub_state, sizeof(unit->view.sub_state), "%s", sub);
        if (!unit->seen)
                unit_life_adopt_down(&unit->life, &unit->view, clock_realtime_us());
        unit->seen = true;
        unit_post_listed(unit);
}

static void listed_one(
                struct unit_source *units, struct unit *unit, const char *active, const char *sub) {
        unit->listed = true;
        unit->gone_by_us = 0;
        if (strcmp(active, "inactive") == 0 && !(unit->seen && unit->life.alive)) {
                listed_down(unit, active, sub);
                return;
        }
        if (!unit->in_listing) {
                unit->in_listing = true;
                units->n_listing++;
        }
        unit_ask(unit);
}

static int read_listed(struct unit_source *units, sd_bus_message *message) {
        const char *name, *active, *sub, *path;
        struct unit *unit;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "(ssssssouso)");
        while (r >= 0) {
                r = sd_bus_message_read(message, "(ssssssouso)", &name, NULL, NULL, &active, &sub,
                                NULL, &path, NULL, NULL, NULL);
                if (r <= 0)
                        break;
                unit = unit_get(units, name, path);
                if (unit)
                        listed_one(units, unit, active, sub);
        }
        return r;
}

static int on_listed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct unit_source *units = userdata;
        int r;

        units->list_call = sd_bus_slot_unref(units->list_call);
        r = sd_bus_message_is_method_error(message, NULL) ? -sd_bus_message_get_errno(message)
                                                          : read_listed(units, message);
        if (r < 0) {
                bus_link_fail(&units->link, "cannot list units", r);
                return 0;
        }
        units_ask(units);
        listing_check(units);
        return 0;
}

static int list_call(struct unit_source *units) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_method_call(units->link.bus, &message, units->link.owner,
                        SYSTEMD_PATH, MANAGER, "ListUnitsByPatterns");
        if (r >= 0)
                r = sd_bus_message_append_strv(message, NULL);
        if (r >= 0)
                r = sd_bus_message_append_strv(message, units->patterns);
        if (r >= 0)
                r = bus_link_send(&units->link, &units->list_call, message, on_listed, units);
        return r;
}

static void units_list(struct unit_source *units) {
        struct fact begin = FACT_INIT(FACT_LISTING_BEGIN);
        struct unit *unit;
        int r;

        if (units->listing || !units->link.owner)
                return;
        units->listing = true;
        map_for_each(unit, units->units)
                unit->listed = false;
        source_post(&units->source, &begin);
        r = list_call(units);
        if (r < 0)
                bus_link_fail(&units->link, "cannot list units", r);
}

static int on_relist(sd_event_source *timer, uint64_t time_us, void *userdata) {
        units_list(userdata);
        return 0;
}

/* ---- signals ---- */

static int on_unit_new(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct unit_source *units = unit_source_of_link(userdata);
        const char *name, *path;
        struct unit *unit;

        if (!bus_link_is_peer(&units->link, message) ||
                        sd_bus_message_read(message, "so", &name, &path) < 0 ||
                        !unit_matches(units, name))
                return 0;
        units->source.stats.raw_events++;
        /* Nothing is asked: to ask for a unit that PID 1 has just dropped would load it again. Its
         * first change tells of itself. */
        unit = unit_get(units, name, path);
        if (unit) {
                unit->gone_by_us = 0;
                unit->listed = true;
        }
        return 0;
}

static int on_unit_removed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct unit_source *units = unit_source_of_link(userdata);
        const char *name, *path;
        struct unit *unit;

        if (!bus_link_is_peer(&units->link, message) ||
                        sd_bus_message_read(message, "so", &name, &path) < 0)
                return 0;
        unit = map_get(units->units, path);
        if (!unit)
                return 0;
        units->source.stats.raw_events++;
        unit->gone_by_us = clock_monotonic_us() + SETTLE_US;
        (void) timer_arm(units->settle_timer, SETTLE_US);
        return 0;
}

static int on_settle(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct unit_source *units = userdata;
        uint64_t now_us = clock_monotonic_us();
        bool more = false;
        struct unit *unit;

        if (units->reloading) /* the listing after it tells */
                return 0;
        map_for_each(unit, units->units) {
                if (!unit->gone_by_us)
                        continue;
                if (unit->gone_by_us > now_us) {
                        more = true;
                        continue;
                }
                if (unit->life.alive)
                        unit_post_vanished(unit);
                unit_post_removed(unit);
                unit_free(unit);
        }
        if (more)
                (void) timer_arm(timer, SETTLE_US / 2);
        listing_check(units);
        return 0;
}

static int on_reloading(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct unit_source *units = unit_source_of_link(userdata);
        int begins;

        if (!bus_link_is_peer(&units->link, message) ||
                        sd_bus_message_read(message, "b", &begins) < 0)
                return 0;
        units->reloading = begins;
        if (!begins)
                units_list(units);
        return 0;
}

static int on_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct unit_source *units = unit_source_of_link(userdata);
        const char *path = sd_bus_message_get_path(message), *interface;
        struct unit *unit = path ? map_get(units->units, path) : NULL;

        if (!unit || !bus_link_is_peer(&units->link, message))
                return 0;
        units->source.stats.raw_events++;
        if (sd_bus_message_read(message, "s", &interface) < 0 ||
                        unit_view_read(&unit->view, message) < 0) {
                source_malformed(&units->source, "Unreadable signal of a unit", unit->name,
                                strlen(unit->name));
                return 0;
        }
        /* The state comes last. Until a first look at the unit all of it could be old news. */
        if (strcmp(interface, "org.freedesktop.systemd1.Unit") == 0 &&
                        (unit->seen || !unit->in_listing)) {
                unit->seen = true;
                unit_step(unit);
                units_ask(units);
        }
        return 0;
}

/* ---- the link ---- */

static int on_subscribed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct unit_source *units = userdata;

        if (sd_bus_message_is_method_error(message, NULL) &&
                        !sd_bus_message_is_method_error(
                                        message, "org.freedesktop.systemd1.AlreadySubscribed"))
                bus_link_fail(&units->link, "cannot subscribe", -sd_bus_message_get_errno(message));
        return 0;
}

static int units_on_peer(struct bus_link *link) {
        struct unit_source *units = unit_source_of_link(link);
        int r;

        units->reloading = false;
        r = bus_link_call(link, NULL, SYSTEMD_PATH, MANAGER ".Subscribe", on_subscribed, units, "");
        if (r < 0)
                return r;
        units_list(units);
        return 0;
}

/* Names are kept: what the next listing finds unloaded is forgotten without a word. */
static void units_on_gone(struct bus_link *link) {
        struct unit_source *units = unit_source_of_link(link);
        struct unit *unit;

        units->list_call = sd_bus_slot_unref(units->list_call);
        units->listing = false;
        timer_off(units->relist_timer);
        timer_off(units->settle_timer);
        map_for_each(unit, units->units) {
                unit_drop_call(unit);
                unit->seen = false;
                unit->gone_by_us = 0;
        }
}

#define FROM_SYSTEMD "type='signal',sender='org.freedesktop.systemd1',"
static const struct bus_link_match unit_matches_[] = {
        { FROM_SYSTEMD "interface='" MANAGER "',member='UnitNew'", on_unit_new },
        { FROM_SYSTEMD "interface='" MANAGER "',member='UnitRemoved'", on_unit_removed },
        { FROM_SYSTEMD "interface='" MANAGER "',member='Reloading'", on_reloading },
        { FROM_SYSTEMD "interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',path_namespace='/org/freedesktop/systemd1/unit'",
                        on_changed },
        {},
};

static const struct bus_link_ops unit_link_ops = {
        .peer = "org.freedesktop.systemd1",
        .matches = unit_matches_,
        .on_peer = units_on_peer,
        .on_gone = units_on_gone,
};

/* ---- life of the source ---- */

static int unit_start(struct source *source) {
        bus_link_start(&unit_source_of(source)->link);
        return 0;
}

static void unit_stop(struct source *source) {
        bus_link_stop(&unit_source_of(source)->link);
}

static void unit_source_free(struct source *source) {
        struct unit_source *units = unit_source_of(source);
        struct unit *unit;

        if (units->link.ops)
                bus_link_done(&units->link);
        if (units->units)
                map_for_each(unit, units->units)
                        unit_free(unit);
        map_free(units->units);
        sd_event_source_disable_unref(units->settle_timer);
        sd_event_source_disable_unref(units->relist_timer);
        for (char **pattern = units->patterns; pattern && *pattern; pattern++)
                free(*pattern);
        free(units->patterns);
        source_done(source);
        free(units);
}

static int copy_patterns(struct unit_source *units, const char *const *patterns) {
        size_t n = 0;

        while (patterns && patterns[n])
                n++;
        units->patterns = calloc(n + 1, sizeof(char *));
        if (!units->patterns)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                units->patterns[i] = strdup(patterns[i]);
                if (!units->patterns[i])
                        return -ENOMEM;
        }
        return n ? 0 : -EINVAL;
}

static int unit_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        struct unit_source *units;
        int r;

        units = calloc(1, sizeof(*units));
        if (!units)
                return -ENOMEM;

        list_init(&units->asking);
        r = source_init(&units->source, &unit_source_ops, config, env);
        if (r >= 0)
                r = map_new(&units->units);
        if (r >= 0)
                r = copy_patterns(units, config->patterns);
        if (r >= 0)
                r = timer_new(env->event, on_settle, units, &units->settle_timer);
        if (r >= 0)
                r = timer_new(env->event, on_relist, units, &units->relist_timer);
        if (r >= 0)
                r = bus_link_init(&units->link, &units->source, config->address, &unit_link_ops);
        if (r < 0) {
                unit_source_free(&units->source);
                return r;
        }
        *ret_source = &units->source;
        return 0;
}

static int unit_control(struct source *source, const struct source_control *control) {
        struct unit_source *units = unit_source_of(source);
        const char *name = control->workload->native_id;
        static const struct bus_control_call stop = { BUS_SYSTEMD1, SYSTEMD_PATH, MANAGER,
                "StopUnit", .gone_is_done = false };
        static const struct bus_control_call kill = { BUS_SYSTEMD1, SYSTEMD_PATH, MANAGER,
                "KillUnit", .gone_is_done = true };

        if (control->action.verb == ACTION_SCALE)
                return bus_control_scale(&units->link, control, name, false);
        if (control->action.verb == ACTION_STOP)
                return bus_control(&units->link, control->ticket, 1, &stop, "ss", name, "replace");
        return bus_control_stop_and_kill(&units->link, control->ticket, &stop, &kill, name);
}

const struct source_ops unit_source_ops = { .name = "unit",
        .create = unit_create,
        .start = unit_start,
        .stop = unit_stop,
        .free = unit_source_free,
        .controls = ACTION_BIT(ACTION_STOP) | ACTION_BIT(ACTION_DESTROY) | ACTION_BIT(ACTION_SCALE),
        .control = unit_control };
