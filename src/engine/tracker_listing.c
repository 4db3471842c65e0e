/* What happened while nobody looked: a workload as it is now, compared with what was known.
 * Whatever differs becomes the events that would have been seen, marked synthetic, with the times
 * the runtime gives. */

#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "engine/tracker_internal.h"

void tracker_listing_begin(struct tracker *tracker, struct tracker_source *source) {
        struct workload *workload;

        source->listing = true;
        inventory_for_each(workload,
                        tracker->inventory) if (strcmp(workload->source, source->name) == 0)
                        workload->listed = false;
}

/* Whether the life that is listed began after all that is known. */
static bool is_other_life(const struct workload *workload, const struct workload_info *info,
                uint64_t old_started_us, int old_domain_id, uint32_t old_pid) {
        uint64_t known_us = old_started_us;

        if (workload_state_is_alive(workload->last_known) && old_pid && info->pid == old_pid)
                return false; /* whatever the clock says */
        /* Where no start is told: a host that was started anew gives the same ids again. A unit's
         * main process may change. */
        if (workload_state_is_alive(workload->last_known) && old_pid && info->pid &&
                        !info->started_us && info->kind != WORKLOAD_UNIT)
                return true;

        if (tracker_is_over(workload->last_known) && workload->last_exit.time_us > known_us)
                known_us = workload->last_exit.time_us;
        if (known_us == 0 && info->started_us && !workload_state_is_alive(workload->last_known))
                return true; /* its first */
        if (known_us && info->started_us > known_us + OTHER_LIFE_US)
                return true;
        return old_domain_id > 0 && info->domain_id > 0 && old_domain_id != info->domain_id;
}

/* Since when it is how it is listed; the time of the listing only where the runtime tells none. */
static uint64_t listed_since_us(const struct fact *fact) {
        const struct workload_info *info = &fact->workload;
        uint64_t since_us = workload_state_is_alive(info->state) ? info->started_us
                        : tracker_is_over(info->state)           ? info->finished_us
                                                                 : info->created_us;

        return since_us ? since_us : fact->time_us;
}

static void made_up_start(struct tracker *tracker, struct tracker_source *source,
                struct workload *workload, const struct fact *listed, const char *action) {
        struct fact fact = *listed;

        fact.synthetic = true;
        fact.severity = strcmp(action, "paused") == 0 ? listed->severity : SEVERITY_INFO;
        fact.origin = NULL;
        fact.message = NULL;
        if (strcmp(action, "paused") != 0)
                fact.details = NULL; /* a pause has a reason: a full disk, a watchdog */
        if (strcmp(action, "started") == 0) {
                if (listed->workload.started_us)
                        fact.time_us = listed->workload.started_us;
                workload->started_us = fact.time_us;
                life_begin(tracker, workload, fact.time_us);
        }
        (void) workload_set_state(workload,
                        listed->workload.state == STATE_PAUSED ? STATE_PAUSED : STATE_RUNNING,
                        listed->workload.state_reason, fact.time_us);
        tracker_emit_action(tracker, source, workload, &fact, action);
}

/* Nobody saw when it ended; that it had before it was started again is known. */
static uint64_t vanished_us(const struct workload *workload, const struct fact *listed) {
        const struct workload_info *info = &listed->workload;

        if (!info->started_us || info->started_us > listed->time_us)
                return listed->time_us;
        return info->finished_us >= workload->since_us && info->finished_us < info->started_us
                        ? info->finished_us
                        : info->started_us;
}

static void made_up_exit(struct tracker *tracker, struct tracker_source *source,
                struct workload *workload, const struct fact *listed, enum exit_how how) {
        struct fact fact = *listed;

        fact.type = FACT_EXIT;
        fact.synthetic = true;
        fact.origin = NULL;
        fact.how = how;
        fact.code = how == EXIT_VANISHED ? -1 : listed->workload.exit_code;
        fact.runtime_oom = listed->workload.oom_killed == 1 &&
                        (fact.code == 137 || listed->workload.kind == WORKLOAD_UNIT);
        fact.workload.state = WORKLOAD_STATE_MAX_;
        if (how == EXIT_VANISHED)
                fact.time_us = vanished_us(workload, listed);
        else if (listed->workload.finished_us)
                fact.time_us = listed->workload.finished_us;
        tracker_exit(tracker, source, workload, &fact);
}

/* What was known, and what is: make up what lies between. */
static void tracker_diff(struct tracker *tracker, struct tracker_source *source,
                struct workload *workload, const struct fact *fact, uint64_t old_started_us,
                int old_domain_id, uint32_t old_pid) {
        const struct workload_info *info = &fact->workload;
        enum workload_state old = workload->last_known;
        bool other_life = is_other_life(workload, info, old_started_us, old_domain_id, old_pid);

        if (workload_state_is_alive(old) && workload_state_is_alive(info->state)) {
                if (other_life) {
                        made_up_exit(tracker, source, workload, fact, EXIT_VANISHED);
                        made_up_start(tracker, source, workload, fact, "started");
                } else if (old == STATE_PAUSED && info->state == STATE_RUNNING) {
                        made_up_start(tracker, source, workload, fact, "resumed");
                } else if (old != STATE_PAUSED && info->state == STATE_PAUSED) {
                        made_up_start(tracker, source, workload, fact, "paused");
                }
        } else if (workload_state_is_alive(info->state)) {
                made_up_start(tracker, source, workload, fact, "started");
        } else if (tracker_is_over(info->state) &&
                        (workload_state_is_alive(old) || info->how == EXIT_START_FAILED) &&
                        !tracker_is_over(old)) {
                made_up_exit(tracker, source, workload, fact, info->how);
                return; /* its state follows the verdict */
        } else if (tracker_is_over(info->state) && other_life) {
                made_up_start(tracker, source, workload, fact, "started");
                made_up_exit(tracker, source, workload, fact, info->how);
                return;
        } else if (tracker_is_over(info->state) && tracker_is_over(old)) {
                workload->state = old; /* known before the source was lost: the verdict stands */
                return;
        }
        (void) workload_set_state(workload, info->state, info->state_reason, listed_since_us(fact));
}

/* The first time we ever see this source: what is there is how it is, not news. */
static void tracker_baseline(
                struct tracker *tracker, struct workload *workload, const struct fact *fact) {
        const struct workload_info *info = &fact->workload;

        if (workload_state_is_alive(info->state))
                life_begin(tracker, workload, info->started_us ? info->started_us : fact->time_us);
        (void) workload_set_state(workload, info->state, info->state_reason, listed_since_us(fact));
}

static void tracker_quiet(
                struct tracker *tracker, struct workload *workload, const struct fact *fact) {
        const struct workload_info *info = &fact->workload;
        struct life *life = life_get(tracker, workload);

        if (!workload_state_is_alive(workload->state) || !life)
                return;
        if (info->pid || info->cgroup) {
                if (info->pid)
                        life->pid = info->pid;
                if (tracker->hooks.watch)
                        tracker->hooks.watch(workload, true, tracker->hooks.userdata);
        }
}

void tracker_workload(
                struct tracker *tracker, struct tracker_source *source, const struct fact *fact) {
        uint64_t old_started_us = 0;
        int old_domain_id = -1;
        uint32_t old_pid = 0;
        struct workload *workload;
        struct life *life;
        int r;

        if (!fact->workload.native_id)
                return;
        workload = inventory_find_native(
                        tracker->inventory, source->name, fact->workload.native_id);
        if (workload) {
                old_started_us = workload->started_us;
                old_domain_id = workload->domain_id;
                old_pid = workload->pid;
        }

        r = inventory_update(tracker->inventory, source->name, &fact->workload, &workload);
        if (r < 0)
                return; /* counted by the inventory */
        workload->listed = true;
        life = life_get(tracker, workload);
        if (!life)
                return;

        if (fact->quiet || fact->workload.state == WORKLOAD_STATE_MAX_)
                tracker_quiet(tracker, workload, fact);
        else if (r == 1 && !source->known)
                tracker_baseline(tracker, workload, fact);
        else if (!life->pending)
                tracker_diff(tracker, source, workload, fact, old_started_us, old_domain_id,
                                old_pid);

        tracker_store(tracker, source, workload);
}

void tracker_listing_end(struct tracker *tracker, struct tracker_source *source) {
        struct fact gone = FACT_INIT(FACT_REMOVED);
        struct workload *workload, *next;
        struct life *life;

        if (!source->listing)
                return;

        source->listing = false;
        source->known = true;
        gone.synthetic = true;
        gone.time_us = clock_realtime_us();
        tracker->is_walking = true;
        list_for_each_safe(workload, next, inventory_list(tracker->inventory), by_age) {
                if (workload->listed || strcmp(workload->source, source->name) != 0)
                        continue;

                life = life_get(tracker, workload);
                if (life && !life->pending && workload_state_is_alive(workload->last_known))
                        made_up_exit(tracker, source, workload, &gone, EXIT_VANISHED);
                if (life && life->pending)
                        life->pending->remove_after = true;
                else
                        tracker_remove(tracker, source, workload, &gone);
        }
        tracker->is_walking = false;
}

void tracker_kill(struct tracker *tracker, struct tracker_source *source, struct workload *workload,
                const struct fact *fact) {
        struct life *life = life_get(tracker, workload);

        if (!life || tracker_is_past(tracker, source, workload, fact))
                return; /* an earlier life was meant */
        if (life->kill_signal && life->kill_signal != SIGKILL && fact->kill_signal == SIGKILL)
                life->stop_timeout = fact->time_us < life->kill_time_us + ASKED_US;
        life->kill_signal = fact->kill_signal;
        life->kill_time_us = fact->time_us;
}
