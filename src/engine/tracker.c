/* Facts in, events out. This file keeps the sources' states, takes each fact to where it belongs
 * and hands events on; one life's evidence is in tracker_exit.c, what was missed while a source was
 * away in tracker_listing.c. */

#include "engine/tracker.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "engine/tracker_internal.h"
#include "loop/timer.h"

static int tracker_on_timer(sd_event_source *timer, uint64_t time_us, void *userdata);

static struct tracker_source *tracker_source_free(struct tracker_source *source) {
        if (!source)
                return NULL;

        list_remove(&source->list);
        free(source->name);
        free(source->error);
        free(source->cursor);
        free(source);
        return NULL;
}

int tracker_new(const struct tracker_config *config, sd_event *event,
                const struct tracker_hooks *hooks, struct tracker **ret_tracker) {
        _cleanup_(tracker_freep) struct tracker *tracker = NULL;
        int r;

        tracker = calloc(1, sizeof(*tracker));
        if (!tracker)
                return -ENOMEM;

        tracker->config = *config;
        tracker->hooks = *hooks;
        tracker->event = sd_event_ref(event);
        tracker->limit = (struct log_ratelimit) LOG_RATELIMIT_DEFAULT;
        list_init(&tracker->sources);
        list_init(&tracker->pending);
        list_init(&tracker->oom_checks);
        list_init(&tracker->oom_book);

        r = inventory_new(config->workloads_max, &tracker->inventory);
        if (r < 0)
                return r;

        r = origin_set_new(config->origins_max, &tracker->origins);
        if (r < 0)
                return r;

        r = timer_new(event, tracker_on_timer, tracker, &tracker->timer);
        if (r < 0)
                return r;

        (void) sd_event_source_set_description(tracker->timer, "tracker-deadlines");
        *ret_tracker = TAKE_PTR(tracker);
        return 0;
}

struct tracker *tracker_free(struct tracker *tracker) {
        struct tracker_source *source, *next;
        struct workload *workload;

        if (!tracker)
                return NULL;

        tracker_exit_done(tracker);
        if (tracker->inventory)
                inventory_for_each(workload, tracker->inventory) workload->extra =
                                life_free(tracker, workload->extra);
        list_for_each_safe(source, next, &tracker->sources, list)
                tracker_source_free(source);

        sd_event_source_disable_unref(tracker->timer);
        origin_set_free(tracker->origins);
        inventory_free(tracker->inventory);
        sd_event_unref(tracker->event);
        free(tracker);
        return NULL;
}

void tracker_configure(struct tracker *tracker, const struct tracker_config *config) {
        tracker->config.oom_rule = config->oom_rule;
        tracker->config.evidence_wait_us = config->evidence_wait_us;
}

struct inventory *tracker_inventory(struct tracker *tracker) {
        return tracker->inventory;
}

struct list *tracker_sources(struct tracker *tracker) {
        return &tracker->sources;
}

void tracker_get_stats(const struct tracker *tracker, struct tracker_stats *ret_stats) {
        *ret_stats = tracker->stats;
        ret_stats->refused = inventory_refused(tracker->inventory);
}

uint64_t tracker_now_us(struct tracker *tracker) {
        uint64_t now_us;

        if (sd_event_now(tracker->event, CLOCK_MONOTONIC, &now_us) < 0)
                return clock_monotonic_us();
        return now_us;
}

void tracker_arm(struct tracker *tracker, uint64_t deadline_us) {
        if (deadline_us == USEC_INFINITY) {
                timer_off(tracker->timer);
                return;
        }
        (void) sd_event_source_set_time(tracker->timer, deadline_us);
        (void) sd_event_source_set_enabled(tracker->timer, SD_EVENT_ONESHOT);
}

static int tracker_on_timer(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct tracker *tracker = userdata;

        tracker_arm(tracker, tracker_run_deadlines(tracker, tracker_now_us(tracker), false));
        return 0;
}

void tracker_flush(struct tracker *tracker) {
        (void) tracker_run_deadlines(tracker, tracker_now_us(tracker), true);
}

struct tracker_source *tracker_source_find(struct tracker *tracker, const char *name) {
        struct tracker_source *source;

        list_for_each(source, &tracker->sources, list)
                if (strcmp(source->name, name) == 0)
                        return source;
        return NULL;
}

int tracker_add_source(struct tracker *tracker, const char *name, bool required, bool known) {
        struct tracker_source *source;
        struct workload *workload;

        source = calloc(1, sizeof(*source));
        if (!source)
                return -ENOMEM;

        list_append(&tracker->sources, &source->list);
        source->name = strdup(name);
        source->error = strdup("");
        if (!source->name || !source->error) {
                tracker_source_free(source);
                return -ENOMEM;
        }

        source->state = SOURCE_CONNECTING;
        source->since_us = clock_realtime_us();
        source->required = required;
        source->known = known;
        inventory_for_each(workload, tracker->inventory) if (strcmp(workload->source, name) == 0)
                        source->known = true;
        return 0;
}

int tracker_restore_workload(struct tracker *tracker, const char *frozen_json) {
        _cleanup_(json_putp) struct json_object *frozen = NULL;
        struct tracker_source *source;
        struct workload *workload;
        int r;

        r = json_parse(frozen_json, strlen(frozen_json), &frozen);
        if (r < 0)
                return r;

        r = inventory_thaw(tracker->inventory, frozen, &workload);
        if (r < 0)
                return r;

        if (workload->state != STATE_UNKNOWN)
                workload->last_known = workload->state;
        workload->state = STATE_UNKNOWN;
        source = tracker_source_find(tracker, workload->source);
        if (source)
                source->known = true;
        return 0;
}

int tracker_restore_origin(struct tracker *tracker, const char *source, const char *origin) {
        int r;

        r = origin_set_add(tracker->origins, source, origin);
        return r < 0 ? r : 0;
}

void tracker_emit(struct tracker *tracker, struct tracker_source *source,
                const struct workload *workload, const struct event_fields *fields) {
        struct tracker_output output = {
                .source = source->name, .cursor = source->cursor, .workload = workload
        };
        uint64_t now_us = tracker_now_us(tracker);
        struct event_fields all = *fields;
        unsigned int held;
        int r;

        if (workload && tracker->hooks.slug)
                all.slug = tracker->hooks.slug(workload, tracker->hooks.userdata);
        r = event_new(&all, &output.event);
        if (r >= 0) {
                tracker->stats.events++;
                r = tracker->hooks.emit(&output, tracker->hooks.userdata);
        }
        if (r < 0 && log_ratelimit_pass(&tracker->limit, now_us, &held))
                log_error_errno(r, "Cannot record event '%s' of %s (%u before it not said): %m",
                                fields->action, fields->name, held);
}

void tracker_store(struct tracker *tracker, struct tracker_source *source,
                const struct workload *workload) {
        const struct tracker_output output = {
                .source = source->name, .cursor = source->cursor, .workload = workload
        };
        int r;

        r = tracker->hooks.emit(&output, tracker->hooks.userdata);
        if (r < 0)
                log_debug_errno(r, "Cannot store the state of %s: %m",
                                workload ? workload->name : source->name);
}

/* "Container started", "VM paused": for facts whose source has no better sentence. */
static void default_message(
                const struct workload *workload, const char *action, char *text, size_t size) {
        static const char *const subjects[] = {
                [WORKLOAD_VM] = "VM", [WORKLOAD_CONTAINER] = "Container", [WORKLOAD_UNIT] = "Unit"
        };

        (void) snprintf(text, size, "%s %s", subjects[workload->kind], action);
}

void tracker_emit_action(struct tracker *tracker, struct tracker_source *source,
                struct workload *workload, const struct fact *fact, const char *action) {
        char message[128];

        default_message(workload, action, message, sizeof(message));
        tracker_emit(tracker, source, workload,
                        &(struct event_fields){
                                        .time_us = fact->time_us ? fact->time_us
                                                                 : clock_realtime_us(),
                                        .kind = event_kind_of_workload(workload->kind),
                                        .severity = fact->severity,
                                        .synthetic = fact->synthetic,
                                        .name = workload->name,
                                        .action = action,
                                        .message = fact->message ? fact->message : message,
                                        .workload = workload->id,
                                        .source = source->name,
                                        .origin = fact->origin,
                                        .details = json_object_get(fact->details),
                        });
}

void tracker_remove(struct tracker *tracker, struct tracker_source *source,
                struct workload *workload, const struct fact *fact) {
        struct tracker_output output = { .source = source->name, .cursor = source->cursor };

        if (tracker->hooks.watch)
                tracker->hooks.watch(workload, false, tracker->hooks.userdata);
        if (!fact->quiet)
                tracker_emit_action(tracker, source, workload, fact,
                                fact->action ? fact->action : "removed");

        output.forget = workload->id;
        (void) tracker->hooks.emit(&output, tracker->hooks.userdata);
        workload->extra = life_free(tracker, workload->extra);
        inventory_remove(tracker->inventory, workload);
}

void tracker_expect(struct tracker *tracker, struct workload *workload, enum exit_asked asked) {
        struct life *life = life_get(tracker, workload);

        if (!life)
                return;
        life->asked = asked;
        life->asked_us = tracker_now_us(tracker);
}

bool tracker_goes_on(enum workload_state state) {
        return state == STATE_RUNNING || state == STATE_PAUSED || state == STATE_STARTING;
}

bool tracker_is_over(enum workload_state state) {
        return state == STATE_STOPPED || state == STATE_FAILED;
}

bool tracker_is_past(struct tracker *tracker, const struct tracker_source *source,
                const struct workload *workload, const struct fact *fact) {
        bool catching_up = source->state != SOURCE_UP ||
                        tracker_now_us(tracker) < source->up_us + CATCH_UP_US;

        /* An end that is dated within the present life is that life's. Its state may be younger: a
         * stop or a pause is dated when we heard of it, where nobody says when it was. */
        if (fact->type == FACT_EXIT && workload_state_is_alive(workload->last_known) &&
                        workload->started_us && fact->time_us >= workload->started_us)
                return false;
        return catching_up && !fact->synthetic && fact->time_us < workload->since_us;
}

/* A listing saw it run before this event of its start came. */
static bool start_was_listed(const struct workload *workload, const struct fact *fact) {
        return tracker_goes_on(workload->last_known) && fact->action &&
                        strcmp(fact->action, "started") == 0 &&
                        workload->started_us <= fact->time_us &&
                        fact->time_us < workload->started_us + SAME_TIME_US;
}

static void tracker_action(struct tracker *tracker, struct tracker_source *source,
                struct workload *workload, const struct fact *fact) {
        bool went_on = tracker_goes_on(workload->last_known);
        enum workload_state state = fact->workload.state;

        if (start_was_listed(workload, fact)) {
                tracker->stats.duplicates++;
                return;
        }

        if (state != WORKLOAD_STATE_MAX_ && !tracker_is_past(tracker, source, workload, fact)) {
                if (state == STATE_RUNNING && !went_on) {
                        if (!fact->workload.started_us)
                                workload->started_us = fact->time_us;
                        life_begin(tracker, workload, fact->time_us);
                }
                (void) workload_set_state(
                                workload, state, fact->workload.state_reason, fact->time_us);
        }
        if (fact->quiet)
                tracker_store(tracker, source, workload);
        else
                tracker_emit_action(tracker, source, workload, fact, fact->action);
}

static void tracker_source_state(
                struct tracker *tracker, struct tracker_source *source, const struct fact *fact) {
        bool announce = fact->source_state != source->state;
        bool up = fact->source_state == SOURCE_UP;
        struct workload *workload;
        const char *told = fact->error ? fact->error : "";
        char *error;

        if (text_sanitize(told, strlen(told), EVENT_MESSAGE_MAX, &error) >= 0) {
                free(source->error);
                source->error = error;
        }
        if (fact->source_state == SOURCE_CONNECTING || !announce) {
                if (announce && source->state != SOURCE_DOWN)
                        source->state = fact->source_state;
                return;
        }

        source->state = fact->source_state;
        source->since_us = fact->time_us;
        source->up_us = tracker_now_us(tracker);
        source->listing = false;
        if (!up) {
                inventory_for_each(workload,
                                tracker->inventory) if (strcmp(workload->source, source->name) == 0)
                                workload->state = STATE_UNKNOWN;
        }

        /* A runtime that was never there is no news; it stands in the status. */
        if (!up && !source->was_up && !source->known && !source->required)
                return;
        source->was_up = source->was_up || up;

        tracker_emit(tracker, source, NULL,
                        &(struct event_fields){
                                        .time_us = fact->time_us,
                                        .kind = EVENT_SOURCE,
                                        .severity = up ? SEVERITY_INFO : SEVERITY_WARNING,
                                        .name = source->name,
                                        .action = up ? "source_up" : "source_down",
                                        .message = up ? "Connected" : source->error,
                                        .source = source->name,
                        });
}

/* The workload a fact is about; made if it is new. NULL: it cannot be kept (counted), or there is
 * none. */
static struct workload *tracker_subject(
                struct tracker *tracker, struct tracker_source *source, const struct fact *fact) {
        struct workload *workload = NULL;
        unsigned int held;
        int r;

        if (fact->type == FACT_REMOVED || fact->type == FACT_KILL || fact->type == FACT_LISTED)
                return inventory_find_native(
                                tracker->inventory, source->name, fact->workload.native_id);

        r = inventory_update(tracker->inventory, source->name, &fact->workload, &workload);
        if (r < 0) {
                if (log_ratelimit_pass(&tracker->limit, tracker_now_us(tracker), &held)) {
                        log_warn_errno(r,
                                        "Cannot keep workload %s of %s: %m (%u before it not said)",
                                        fact->workload.name ? fact->workload.name : "?",
                                        source->name, held);
                }
                return NULL;
        }
        if (!life_get(tracker, workload))
                return NULL;
        workload->listed = true; /* newer than the listing that may be under way */
        return workload;
}

static void tracker_removed(struct tracker *tracker, struct tracker_source *source,
                struct workload *workload, const struct fact *fact) {
        struct life *life = life_get(tracker, workload);

        if (life && life->pending) {
                life->pending->remove_after = true;
                if (fact->origin && !life->pending->remove_origin)
                        life->pending->remove_origin = strdup(fact->origin);
                return;
        }
        tracker_remove(tracker, source, workload, fact);
}

/* A new life begins: the exit of the last one waits no longer, so that it is told first and judged
 * by what was known of that life. */
static void settle_last_life(
                struct tracker *tracker, struct tracker_source *source, const struct fact *fact) {
        struct workload *workload;
        struct life *life;

        if (!fact->action || strcmp(fact->action, "started") != 0)
                return;
        workload = inventory_find_native(
                        tracker->inventory, source->name, fact->workload.native_id);
        life = workload ? workload->extra : NULL;
        if (life && life->pending && life->pending->fact->time_us <= fact->time_us)
                life_settle(tracker, life);
}

static void tracker_dispatch(
                struct tracker *tracker, struct tracker_source *source, const struct fact *fact) {
        struct workload *workload;

        if (fact->type == FACT_OOM) {
                tracker_oom(tracker, source, fact);
                return;
        }
        if (fact->type == FACT_WORKLOAD) {
                tracker_workload(tracker, source, fact);
                return;
        }

        if (fact->type == FACT_ACTION)
                settle_last_life(tracker, source, fact);
        workload = fact->workload.native_id ? tracker_subject(tracker, source, fact) : NULL;
        if (!workload) {
                if (fact->cursor)
                        tracker_store(tracker, source, NULL);
                return;
        }

        switch (fact->type) {
        case FACT_ACTION:
                tracker_action(tracker, source, workload, fact);
                break;
        case FACT_EXIT:
                tracker_exit(tracker, source, workload, fact);
                break;
        case FACT_REMOVED:
                tracker_removed(tracker, source, workload, fact);
                break;
        case FACT_KILL:
                tracker_kill(tracker, source, workload, fact);
                break;
        case FACT_LISTED:
                workload->listed = true;
                break;
        default:
                break;
        }
}

void tracker_require_source(struct tracker *tracker, const char *name, bool required) {
        struct tracker_source *source = tracker_source_find(tracker, name);

        if (source)
                source->required = required;
}

const char *tracker_source_cursor(struct tracker *tracker, const char *name) {
        struct tracker_source *source = tracker_source_find(tracker, name);

        return source ? source->cursor : NULL;
}

void tracker_remove_source(struct tracker *tracker, const char *name) {
        struct tracker_source *source = tracker_source_find(tracker, name);
        struct fact gone = FACT_INIT(FACT_SOURCE);
        struct pending_exit *pending, *next;

        if (!source)
                return;
        tracker->is_walking = true;
        list_for_each_safe(pending, next, &tracker->pending, list)
                if (strcmp(pending->source, name) == 0)
                        life_settle(tracker, pending->workload->extra);
        tracker->is_walking = false;
        gone.time_us = clock_realtime_us();
        gone.source_state = SOURCE_DOWN;
        gone.error = "No longer configured";
        tracker_source_state(tracker, source, &gone);
        tracker_source_free(source);
}

void tracker_post(struct tracker *tracker, const char *source_name, const struct fact *fact) {
        struct tracker_source *source;
        struct fact timed = *fact;
        char *cursor;
        int r;

        tracker->stats.facts++;
        source = tracker_source_find(tracker, source_name);
        if (!source) {
                log_debug("Fact of unknown source %s dropped", source_name);
                return;
        }

        if (!timed.time_us)
                timed.time_us = clock_realtime_us();
        if (fact->cursor && !text_equal(source->cursor, fact->cursor)) {
                cursor = strdup(fact->cursor);
                if (cursor) {
                        free(source->cursor);
                        source->cursor = cursor;
                }
        }
        if (fact->origin) {
                r = origin_set_add(tracker->origins, source_name, fact->origin);
                if (r == 0) {
                        tracker->stats.duplicates++;
                        return;
                }
        }

        switch (fact->type) {
        case FACT_SOURCE:
                tracker_source_state(tracker, source, &timed);
                break;
        case FACT_LISTING_BEGIN:
                tracker_listing_begin(tracker, source);
                break;
        case FACT_LISTING_END:
                tracker_listing_end(tracker, source);
                break;
        case FACT_READABLE:
                if (fact->oom_source == OOM_FROM_KERNEL)
                        tracker->kernel_readable = fact->oom_readable;
                else
                        tracker->cgroup_readable = fact->oom_readable;
                break;
        default:
                tracker_dispatch(tracker, source, &timed);
        }
}
