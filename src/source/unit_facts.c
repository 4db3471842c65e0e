/* A unit's changes as facts. */

#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "source/unit_source.h"

static void fill_info(const struct unit *unit, struct workload_info *info) {
        const struct unit_view *view = &unit->view;

        info->kind = WORKLOAD_UNIT;
        info->native_id = unit->name;
        info->name = unit->name;
        info->runtime = "systemd";
        info->cgroup = view->cgroup && view->cgroup[0] ? view->cgroup : NULL;
        info->job = view->slice;
        info->pid = unit->life.alive ? view->main_pid : 0;
        info->started_us = unit->life.started_us;
        info->restarts = view->n_restarts;
        info->state_reason = view->sub_state;
}

static struct json_object *unit_details(const struct unit *unit) {
        struct json_object *details = json_object_new_object();

        if (!details)
                return NULL;
        if (unit->view.result[0])
                (void) json_add_string(details, "result", unit->view.result);
        if (unit->view.has_exec && unit->view.exec_code == CLD_EXITED)
                (void) json_add_int(details, "exit_status", unit->view.exec_status);
        if (unit->life.invocation[0])
                (void) json_add_string(details, "invocation", unit->life.invocation);
        return details;
}

/* @key_us and @what make the origin; NULL: none, as it is no event. */
static void post(struct unit *unit, struct fact *fact, uint64_t key_us, const char *what) {
        char origin[512];

        if (what) {
                (void) snprintf(origin, sizeof(origin), "%s/%ju/%s", unit->name, (uintmax_t) key_us,
                                what);
                fact->origin = origin;
        }
        source_post(&unit->owner->source, fact);
        fact->origin = NULL;
}

static void post_started(struct unit *unit) {
        struct fact fact = FACT_INIT(FACT_ACTION);

        fill_info(unit, &fact.workload);
        fact.action = "started";
        fact.workload.state = STATE_RUNNING;
        fact.time_us = unit->life.started_us;
        post(unit, &fact, fact.time_us, fact.action);
}

static void post_action(struct unit *unit, const char *action, enum workload_state state,
                enum severity severity, const char *message) {
        struct fact fact = FACT_INIT(FACT_ACTION);

        fill_info(unit, &fact.workload);
        fact.time_us = clock_realtime_us();
        fact.action = action;
        fact.quiet = !action;
        fact.severity = severity;
        fact.message = message;
        fact.workload.state = state;
        post(unit, &fact, fact.time_us, action);
}

void unit_post_look(struct unit *unit) {
        struct fact fact = FACT_INIT(FACT_WORKLOAD);

        fill_info(unit, &fact.workload);
        fact.quiet = true;
        unit->told_pid = fact.workload.pid;
        post(unit, &fact, 0, NULL);
}

static void post_exit(struct unit *unit, bool start_failed) {
        struct fact fact = FACT_INIT(FACT_EXIT);

        fill_info(unit, &fact.workload);
        unit_exit_fill(&unit->life, &unit->view, start_failed, &fact);
        if (start_failed && strcmp(unit->view.result, "start-limit-hit") == 0)
                fact.time_us = clock_realtime_us(); /* nothing ran: no time of an end is told */
        fact.details = unit_details(unit);
        post(unit, &fact, fact.time_us, start_failed ? "start-failed" : "exit");
        (void) json_object_put(fact.details);
}

void unit_post_vanished(struct unit *unit) {
        struct fact fact = FACT_INIT(FACT_EXIT);

        fact.workload.kind = WORKLOAD_UNIT;
        fact.workload.native_id = unit->name;
        fact.how = EXIT_VANISHED;
        post(unit, &fact, clock_realtime_us(), "vanished");
}

static void post_stop(struct unit *unit) {
        struct fact fact = FACT_INIT(FACT_KILL);

        fact.workload.native_id = unit->name;
        fact.kill_signal = unit->view.kill_signal > 0 ? unit->view.kill_signal : SIGTERM;
        post(unit, &fact, 0, NULL);
}

void unit_post_removed(struct unit *unit) {
        struct fact fact = FACT_INIT(FACT_REMOVED);

        fact.workload.native_id = unit->name;
        fact.quiet = true; /* unloaded, not deleted: no news */
        post(unit, &fact, 0, NULL);
}

bool unit_post_changes(struct unit *unit, unsigned int changes) {
        if (changes & UNIT_ENDED_UNSEEN)
                unit_post_vanished(unit);
        if (changes & UNIT_STARTED) {
                post_started(unit);
                unit_post_look(unit); /* an exit that still waited has been settled by the start */
        }
        if (changes & UNIT_FROZEN)
                post_action(unit, "paused", STATE_PAUSED, SEVERITY_INFO, NULL);
        if (changes & UNIT_THAWED)
                post_action(unit, "resumed", STATE_RUNNING, SEVERITY_INFO, NULL);
        if (changes & UNIT_STOP_ASKED)
                post_stop(unit);
        if (changes & UNIT_STOPPING)
                post_action(unit, NULL, STATE_STOPPING, SEVERITY_INFO, NULL);
        if (changes & (UNIT_ENDED | UNIT_START_FAILED))
                post_exit(unit, changes & UNIT_START_FAILED);
        if (changes & UNIT_SKIPPED)
                post_action(unit, "skipped", STATE_STOPPED, SEVERITY_INFO,
                                "Not started: its ExecCondition= says no");
        if (changes & UNIT_GAVE_UP)
                post_action(unit, "gave-up", WORKLOAD_STATE_MAX_, SEVERITY_ERROR,
                                "systemd gave up restarting it");
        return changes & UNIT_STARTED;
}

void unit_post_listed(struct unit *unit) {
        struct fact fact = FACT_INIT(FACT_WORKLOAD);

        if (!unit->life.alive) {
                unit_exit_fill(&unit->life, &unit->view,
                                unit->view.has_exec && !unit->view.exec_start_us &&
                                                unit->view.result[0] &&
                                                strcmp(unit->view.result, "success") != 0,
                                &fact);
        }
        fill_info(unit, &fact.workload);
        fact.time_us = 0;
        fact.details = unit_details(unit);
        fact.workload.state = unit_life_state(&unit->life, &unit->view);
        unit->told_pid = fact.workload.pid;
        source_post(&unit->owner->source, &fact);
        (void) json_object_put(fact.details);
}
