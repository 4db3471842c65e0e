/* One life of a workload: its begin, the exit that waits for evidence (tracker_oom.c), the verdict.
 * An exit that evidence could still change waits evidence_wait; all others go out at once. An OOM
 * kill that no exit follows was one of a child and becomes an event of its own. */

#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "engine/tracker_internal.h"

/* ---- lives ---- */

static void free_text(char **text) {
        free(*text);
        *text = NULL;
}

void life_forget_evidence(struct life *life) {
        free_text(&life->oom_cgroup);
        free_text(&life->task_cgroup);
        free_text(&life->oomd_reason);
        free_text(&life->check_origin);
        life->kernel_kill = life->kernel_main_pid = life->oomd_kill = life->runtime_oom = false;
        life->constraint = CONSTRAINT_UNKNOWN;
        life->own_limit = false;
        life->oom_kill_rise = life->oom_group_kill_rise = 0;
        life->evidence_us = 0;
        list_remove(&life->check);
}

struct life *life_get(struct tracker *tracker, struct workload *workload) {
        struct life *life = workload->extra;

        if (life)
                return life;

        life = calloc(1, sizeof(*life));
        if (!life)
                return NULL;
        life->workload = workload;
        life->pid = workload->pid;
        list_init(&life->check);
        workload->extra = life;
        return life;
}

static struct pending_exit *pending_free(struct pending_exit *pending) {
        struct life *life = pending->workload->extra;

        if (life)
                life->pending = NULL;
        list_remove(&pending->list);
        fact_free(pending->fact);
        free(pending->source);
        free(pending->remove_origin);
        free(pending);
        return NULL;
}

struct life *life_free(struct tracker *tracker, struct life *life) {
        if (!life)
                return NULL;

        if (life->pending)
                pending_free(life->pending);
        life_forget_evidence(life);
        free(life);
        return NULL;
}

static void pending_finish(struct tracker *tracker, struct pending_exit *pending);

void life_settle(struct tracker *tracker, struct life *life) {
        if (life->pending)
                pending_finish(tracker, life->pending);
}

void life_settle_soon(struct tracker *tracker, struct life *life) {
        if (!tracker->is_walking) {
                life_settle(tracker, life);
                return;
        }
        life->pending->deadline_us = tracker_now_us(tracker);
        list_remove(&life->pending->list);
        list_prepend(&tracker->pending, &life->pending->list);
        tracker_arm(tracker, life->pending->deadline_us);
}

void life_begin(struct tracker *tracker, struct workload *workload, uint64_t time_us) {
        struct life *life = life_get(tracker, workload);
        uint32_t pid = workload->pid;

        if (!life)
                return;
        if (life->pending)
                life->pending->remove_after = false; /* it is back */
        life_settle(tracker, life);
        if (pid != life->pid)
                workload->pid = pid; /* the new life's, which the end of the old one took away */

        /* A process may be killed before its runtime says, and dates, that it has started; what an
         * earlier life left behind went with its exit. */
        if (life->evidence_us + SAME_TIME_US < time_us)
                life_forget_evidence(life);
        life->kill_signal = 0;
        life->stop_timeout = false;
        life->asked = EXIT_ASKED_NOBODY;
        life->exit_was_synthetic = false;
        life->pid = workload->pid;
        if (tracker->hooks.watch)
                tracker->hooks.watch(workload, true, tracker->hooks.userdata);
        life_check_early(tracker, life);
}

/* ---- the exit ---- */

static void facts_of_exit(struct tracker *tracker, const struct workload *workload,
                const struct fact *fact, struct exit_facts *ret_facts) {
        const struct life *life = workload->extra;
        bool fresh = life->kernel_main_pid ||
                        fact->time_us < life->evidence_us + EVIDENCE_AGE_MAX_US;
        bool asked = life->asked && tracker_now_us(tracker) < life->asked_us + ASKED_US;
        /* Not every signal is meant as an end. What is stopping may take its time. */
        bool killed = fact->time_us < life->kill_time_us + ASKED_US ||
                        workload->last_known == STATE_STOPPING;

        *ret_facts = (struct exit_facts){
                .kind = workload->kind,
                .how = fact->how,
                .asked = asked ? life->asked : EXIT_ASKED_NOBODY,
                .code = fact->code,
                .signal = fact->signal,
                .core_dumped = fact->core_dumped,
                .start_error = fact->how == EXIT_START_FAILED
                                ? json_get_string(fact->details, "error")
                                : NULL,
                .kernel_kill = life->kernel_kill && fresh,
                .kernel_main_pid = life->kernel_main_pid,
                .constraint = life->constraint,
                .oom_cgroup = life->oom_cgroup,
                .task_cgroup = life->task_cgroup,
                .own_limit = life->own_limit,
                .oomd_kill = life->oomd_kill && fresh,
                .oomd_reason = life->oomd_reason,
                .oom_kill_rise = fresh ? life->oom_kill_rise : 0,
                .oom_group_kill_rise = fresh ? life->oom_group_kill_rise : 0,
                .oom_rise_age_us = !life->evidence_us ? USEC_INFINITY
                                : fact->time_us > life->evidence_us && !life->kernel_main_pid
                                ? fact->time_us - life->evidence_us
                                : 0,
                .runtime_oom = fact->runtime_oom || (life->runtime_oom && fresh),
                .kill_signal = killed ? life->kill_signal : 0,
                .stop_timeout = killed && life->stop_timeout,
                .unit_timeout = fact->unit_timeout,
                .unit_watchdog = fact->unit_watchdog,
                .kernel_readable = tracker->kernel_readable,
                .cgroup_readable = tracker->cgroup_readable && workload->cgroup[0],
                .runtime_tells = fact->runtime_tells,
        };
}

static struct json_object *details_of_exit(const struct workload *workload, const struct fact *fact,
                const struct exit_facts *facts, const struct exit_verdict *verdict) {
        struct json_object *details = NULL, *evidence = json_object_new_array();
        char name[16];
        static const struct {
                unsigned int bit;
                const char *word;
        } words[] = { { EVIDENCE_KERNEL, "kernel" }, { EVIDENCE_CGROUP, "cgroup" },
                { EVIDENCE_RUNTIME, "runtime" }, { EVIDENCE_EXIT_CODE, "exit-code" } };

        if (!fact->details || json_object_deep_copy(fact->details, &details, NULL) < 0)
                details = json_object_new_object();
        for (size_t i = 0; evidence && i < ARRAY_SIZE(words); i++) {
                if (verdict->evidence & words[i].bit)
                        (void) json_object_array_add(
                                        evidence, json_object_new_string(words[i].word));
        }

        if (facts->code >= 0)
                (void) json_add_int(details, "exit_code", facts->code);
        if (verdict->signal)
                (void) json_add_string(details, "signal", signal_name(verdict->signal, name));
        (void) json_add_string(details, "reason", verdict->reason);
        (void) json_add(details, "evidence", evidence);
        (void) json_add_string(
                        details, "confidence", exit_confidence_to_string(verdict->confidence));
        (void) json_add_string(details, "oom_scope", oom_scope_to_string(verdict->scope));
        if (verdict->scope == OOM_SCOPE_ANCESTOR)
                (void) json_add_string(details, "oom_cgroup", facts->oom_cgroup);
        if (fact->how != EXIT_START_FAILED && workload->started_us &&
                        fact->time_us > workload->started_us)
                (void) json_add_uint(details, "lifetime_ms",
                                (fact->time_us - workload->started_us) / USEC_PER_MSEC);
        (void) json_add_string(details, "runtime", workload->runtime);
        if (workload->image[0])
                (void) json_add_string(details, "image", workload->image);
        return details;
}

static void remember_exit(struct workload *workload, const struct exit_facts *facts,
                const struct exit_verdict *verdict, uint64_t time_us) {
        char evidence[40];

#define REMEMBER(field, text) \
        (void) snprintf(workload->last_exit.field, sizeof(workload->last_exit.field), "%s", text)
        REMEMBER(action, verdict->action);
        REMEMBER(reason, verdict->reason);
        REMEMBER(evidence, exit_evidence_words(verdict->evidence, evidence));
        REMEMBER(confidence, exit_confidence_to_string(verdict->confidence));
        REMEMBER(scope, oom_scope_to_string(verdict->scope));
#undef REMEMBER
        workload->last_exit.code = facts->code;
        workload->last_exit.time_us = time_us;
}

static void conclude(struct tracker *tracker, struct tracker_source *source,
                struct workload *workload, const struct fact *fact, bool past) {
        struct life *life = workload->extra;
        struct exit_verdict verdict;
        struct exit_facts facts;
        char message[EVENT_MESSAGE_MAX];

        facts_of_exit(tracker, workload, fact, &facts);
        exit_classify(&facts, tracker->config.oom_rule, &verdict);
        exit_message(&facts, &verdict, message, sizeof(message));

        if (!past) {
                remember_exit(workload, &facts, &verdict, fact->time_us);
                (void) workload_set_state(workload, verdict.state, verdict.reason, fact->time_us);
                workload->finished_us = fact->time_us;
                workload->pid = 0;
                life->exit_was_synthetic = fact->synthetic;
        }
        tracker_emit(tracker, source, workload,
                        &(struct event_fields){
                                        .time_us = fact->time_us,
                                        .kind = event_kind_of_workload(workload->kind),
                                        .severity = verdict.severity,
                                        .synthetic = fact->synthetic,
                                        .name = workload->name,
                                        .action = verdict.action,
                                        .message = message,
                                        .workload = workload->id,
                                        .source = source->name,
                                        .origin = fact->origin,
                                        .details = details_of_exit(
                                                        workload, fact, &facts, &verdict),
                        });
        if (past)
                return;
        life_forget_evidence(life);
        life->kill_signal = 0;
        life->stop_timeout = false;
        life->asked = EXIT_ASKED_NOBODY;
}

static void pending_finish(struct tracker *tracker, struct pending_exit *pending) {
        struct tracker_source *source = tracker_source_find(tracker, pending->source);
        struct workload *workload = pending->workload;
        struct fact gone = FACT_INIT(FACT_REMOVED);

        list_remove(&pending->list);
        ((struct life *) workload->extra)->pending = NULL;
        if (source) {
                conclude(tracker, source, workload, pending->fact, pending->past);
                if (pending->remove_after) {
                        gone.time_us = pending->fact->time_us;
                        gone.synthetic = pending->fact->synthetic;
                        gone.origin = pending->remove_origin;
                        tracker_remove(tracker, source, workload, &gone);
                        pending->workload = NULL;
                }
        }
        fact_free(pending->fact);
        free(pending->source);
        free(pending->remove_origin);
        free(pending);
}

/* A made-up exit and the runtime's own word for it, in either order, are one exit. The runtime may
 * date its word later than the end; a start between the two would be known. */
static bool already_told(
                const struct workload *workload, const struct life *life, const struct fact *fact) {
        uint64_t told_us = workload->last_exit.time_us;

        if (!tracker_is_over(workload->last_known))
                return false;
        if (!workload->last_exit.action[0] || (!life->exit_was_synthetic && !fact->synthetic))
                return false;
        return fact->time_us + SAME_TIME_US > told_us;
}

void tracker_exit(struct tracker *tracker, struct tracker_source *source, struct workload *workload,
                const struct fact *fact) {
        struct life *life = life_get(tracker, workload);
        bool past = tracker_is_past(tracker, source, workload, fact);
        struct pending_exit *pending;
        struct exit_facts facts;

        if (!life || life->pending || already_told(workload, life, fact))
                return;

        /* The counters are read a last time, now that they cannot rise any more. */
        if (tracker->hooks.watch && !past)
                tracker->hooks.watch(workload, false, tracker->hooks.userdata);
        tracker_claim_oom(tracker, workload);
        list_remove(&life->check);

        facts_of_exit(tracker, workload, fact, &facts);
        if (!exit_needs_evidence(&facts) || tracker->config.evidence_wait_us == 0) {
                conclude(tracker, source, workload, fact, past);
                return;
        }

        pending = calloc(1, sizeof(*pending));
        if (pending)
                pending->source = strdup(source->name);
        if (!pending || !pending->source || fact_copy(fact, &pending->fact) < 0) {
                if (pending)
                        free(pending->source);
                free(pending);
                conclude(tracker, source, workload, fact, past); /* no memory to wait with */
                return;
        }
        pending->workload = workload;
        pending->past = past;
        pending->deadline_us = tracker_now_us(tracker) + tracker->config.evidence_wait_us;
        list_append(&tracker->pending, &pending->list);
        life->pending = pending;
        tracker_arm(tracker, tracker_run_deadlines(tracker, tracker_now_us(tracker), false));
}

/* An OOM kill, and its workload lives on: a child of it died. */
static void conclude_check(struct tracker *tracker, struct life *life) {
        struct tracker_source *source = tracker_source_find(tracker, life->workload->source);
        struct fact fact = FACT_INIT(FACT_ACTION);
        char origin[128];

        list_remove(&life->check);
        fact.time_us = life->evidence_us;
        fact.severity = SEVERITY_WARNING;
        fact.message = "A process in it was OOM-killed; it goes on";
        if (life->check_origin) {
                (void) snprintf(origin, sizeof(origin), "oom/%s", life->check_origin);
                fact.origin = origin;
        }
        if (source &&
                        (!fact.origin ||
                                        origin_set_add(tracker->origins, source->name,
                                                        fact.origin) != 0))
                tracker_emit_action(tracker, source, life->workload, &fact, "oom");
        life_forget_evidence(life);
}

uint64_t tracker_run_deadlines(struct tracker *tracker, uint64_t now_us, bool all) {
        uint64_t next_us;
        struct pending_exit *pending;
        struct life *life;

        if (tracker->is_walking)
                return now_us; /* afterwards */
        while ((pending = list_first(&tracker->pending, struct pending_exit, list)) &&
                        (all || pending->deadline_us <= now_us))
                pending_finish(tracker, pending);
        while ((life = list_first(&tracker->oom_checks, struct life, check)) && !all &&
                        life->check_deadline_us <= now_us)
                conclude_check(tracker, life);

        next_us = all ? USEC_INFINITY : tracker_run_oom_book(tracker, now_us);
        if (pending && pending->deadline_us < next_us)
                next_us = pending->deadline_us;
        if (life && life->check_deadline_us < next_us)
                next_us = life->check_deadline_us;
        return next_us;
}

void tracker_exit_done(struct tracker *tracker) {
        struct pending_exit *pending;

        while ((pending = list_first(&tracker->pending, struct pending_exit, list)))
                pending_free(pending);
        tracker_oom_done(tracker);
}
