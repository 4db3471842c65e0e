/* One life of a workload: the evidence gathered for it, the exit that waits for more of it, the
 * verdict. An exit that evidence could still change waits evidence_wait; all others go out at once.
 * An OOM kill that no exit follows was one of a child and becomes an event of its own. */

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

static void life_forget_evidence(struct life *life) {
        free_text(&life->oom_cgroup);
        free_text(&life->task_cgroup);
        free_text(&life->oomd_reason);
        free_text(&life->check_origin);
        life->kernel_kill = life->kernel_main_pid = life->oomd_kill = life->runtime_oom = false;
        life->constraint = CONSTRAINT_UNKNOWN;
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
}

/* ---- the kernel's lines ---- */

static struct kernel_kill *kernel_kill_free(struct tracker *tracker, struct kernel_kill *kill) {
        list_remove(&kill->list);
        tracker->n_oom_book--;
        free(kill->oom_cgroup);
        free(kill->task_cgroup);
        free(kill->comm);
        free(kill->source);
        free(kill->cursor);
        free(kill->origin);
        free(kill);
        return NULL;
}

/* The line is settled: its source need not read it again. */
static void kernel_kill_settle(struct tracker *tracker, struct kernel_kill *kill) {
        const struct tracker_output output = { .source = kill->source, .cursor = kill->cursor };

        if (!kill->attributed)
                tracker->stats.unattributed_oom++;
        if (kill->cursor)
                (void) tracker->hooks.emit(&output, tracker->hooks.userdata);
        kernel_kill_free(tracker, kill);
}

static int copy_text(char **to, const char *from) {
        if (!from)
                return 0;
        *to = strdup(from);
        return *to ? 0 : -ENOMEM;
}

static struct kernel_kill *kernel_kill_new(
                struct tracker *tracker, struct tracker_source *source, const struct fact *fact) {
        struct kernel_kill *kill = list_first(&tracker->oom_book, struct kernel_kill, list);

        if (kill && tracker->n_oom_book >= OOM_BOOK_MAX)
                kernel_kill_settle(tracker, kill);

        kill = calloc(1, sizeof(*kill));
        if (!kill)
                return NULL;
        list_append(&tracker->oom_book, &kill->list);
        tracker->n_oom_book++;
        kill->time_us = fact->time_us;
        kill->deadline_us = tracker_now_us(tracker) + OOM_BOOK_WAIT_US;
        kill->pid = fact->oom_pid;
        kill->constraint = fact->constraint;
        kill->global = fact->oom_global;
        if (copy_text(&kill->oom_cgroup, fact->oom_cgroup) < 0 ||
                        copy_text(&kill->task_cgroup, fact->task_cgroup) < 0 ||
                        copy_text(&kill->comm, fact->oom_comm) < 0 ||
                        copy_text(&kill->source, source->name) < 0 ||
                        copy_text(&kill->cursor, fact->cursor) < 0 ||
                        copy_text(&kill->origin, fact->origin) < 0)
                return kernel_kill_free(tracker, kill);
        return kill;
}

static struct workload *kernel_kill_victim(
                struct tracker *tracker, const struct kernel_kill *kill, bool *ret_main) {
        struct workload *workload = NULL;

        if (kill->task_cgroup)
                workload = inventory_find_cgroup(tracker->inventory, kill->task_cgroup);
        if (!workload && kill->pid)
                workload = inventory_find_last_pid(tracker->inventory, kill->pid);
        if (workload) {
                struct life *life = life_get(tracker, workload);

                *ret_main = life && kill->pid &&
                                (life->pid == kill->pid || workload->pid == kill->pid);
        }
        return workload;
}

/* ---- evidence ---- */

/* Proof that came after the verdict: the timeline is append-only, so it is added, not mended. */
static void amend(struct tracker *tracker, struct tracker_source *source, struct workload *workload,
                uint64_t time_us, const char *origin) {
        struct fact fact = FACT_INIT(FACT_ACTION);

        if (strcmp(workload->last_exit.reason, "sigkill-unknown") != 0 &&
                        strcmp(workload->last_exit.reason, "qemu-failed") != 0)
                return;
        if (workload->last_exit.time_us + SAME_TIME_US < time_us ||
                        time_us + 2 * SAME_TIME_US < workload->last_exit.time_us)
                return;

        fact.time_us = time_us;
        fact.severity = SEVERITY_ERROR;
        fact.origin = origin;
        fact.message = "Its last exit was an OOM kill, as evidence that came late shows";
        (void) snprintf(workload->last_exit.action, sizeof(workload->last_exit.action),
                        "OOMKilled");
        (void) snprintf(workload->last_exit.reason, sizeof(workload->last_exit.reason), "oom");
        (void) snprintf(workload->last_exit.confidence, sizeof(workload->last_exit.confidence),
                        "confirmed");
        tracker_emit_action(tracker, source, workload, &fact, "amended");
}

/* Evidence is on record; either an exit waits for it, or one may follow, or it was a child that
 * died. */
static void life_evidence(struct tracker *tracker, struct workload *workload, uint64_t time_us,
                const char *origin) {
        struct life *life = life_get(tracker, workload);
        bool goes_on = tracker_goes_on(workload->last_known);

        if (!life)
                return;
        if (time_us > life->evidence_us)
                life->evidence_us = time_us;
        if (life->pending) {
                if (life->kernel_kill || life->oomd_kill)
                        pending_finish(tracker, life->pending);
                return;
        }
        if (life->kernel_main_pid)
                list_remove(&life->check); /* no child: the exit comes, however late it is told */
        if (!goes_on || life->kernel_main_pid || life->check.next != &life->check)
                return;
        if (origin)
                (void) copy_text(&life->check_origin, origin);
        life->check_deadline_us = tracker_now_us(tracker) + OOM_CHECK_WAIT_US;
        list_append(&tracker->oom_checks, &life->check);
        tracker_arm(tracker, tracker_run_deadlines(tracker, tracker_now_us(tracker), false));
}

static void kernel_evidence(struct tracker *tracker, struct kernel_kill *kill,
                struct workload *workload, bool main_pid) {
        struct life *life = life_get(tracker, workload);
        struct tracker_source *source = tracker_source_find(tracker, workload->source);

        kill->attributed = true;
        if (!life || !source ||
                        (workload->started_us &&
                                        kill->time_us + SAME_TIME_US < workload->started_us))
                return; /* of an earlier life */
        if (workload->last_exit.action[0] && kill->time_us <= workload->last_exit.time_us &&
                        strcmp(workload->last_exit.action, "OOMKilled") == 0 &&
                        strcmp(workload->last_exit.confidence, "confirmed") == 0 &&
                        workload->last_exit.time_us >= workload->started_us)
                return; /* that exit has been told */

        life->kernel_kill = true;
        life->kernel_main_pid = life->kernel_main_pid || main_pid;
        life->constraint = kill->constraint;
        free(life->oom_cgroup);
        free(life->task_cgroup);
        life->oom_cgroup = kill->oom_cgroup ? strdup(kill->oom_cgroup) : NULL;
        life->task_cgroup = kill->task_cgroup ? strdup(kill->task_cgroup) : NULL;
        if (life->blind_kills > 0 && kill->time_us <= life->blind_us)
                life->blind_kills--;
        else
                workload->oom_kills++;
        if ((workload->last_known == STATE_FAILED || workload->last_known == STATE_STOPPED) &&
                        !life->pending) {
                amend(tracker, source, workload, kill->time_us, kill->origin);
                if (main_pid)
                        life_forget_evidence(life); /* not for the life that may follow */
        }
        life_evidence(tracker, workload, kill->time_us, kill->origin);
}

/* Lines that nobody claimed yet: may this workload, newly seen or just ended, be the victim? */
static void claim_kernel_kills(struct tracker *tracker, struct workload *workload) {
        struct kernel_kill *kill;
        bool main_pid = false;

        list_for_each(kill, &tracker->oom_book, list)
                if (!kill->attributed && kernel_kill_victim(tracker, kill, &main_pid) == workload)
                        kernel_evidence(tracker, kill, workload, main_pid);
}

void tracker_oom(struct tracker *tracker, struct tracker_source *source, const struct fact *fact) {
        struct workload *workload = NULL;
        struct kernel_kill *kill;
        bool main_pid = false;
        struct life *life;

        if (fact->oom_source == OOM_FROM_KERNEL) {
                kill = kernel_kill_new(tracker, source, fact);
                if (!kill)
                        return;
                workload = kernel_kill_victim(tracker, kill, &main_pid);
                if (workload)
                        kernel_evidence(tracker, kill, workload, main_pid);
                tracker_arm(tracker,
                                tracker_run_deadlines(tracker, tracker_now_us(tracker), false));
                return;
        }

        if (fact->workload.native_id) { /* evidence of the cgroup source names the public id of
                                         another source's workload */
                workload = fact->oom_source == OOM_FROM_CGROUP
                                ? inventory_find(tracker->inventory, fact->workload.native_id)
                                : inventory_find_native(tracker->inventory, source->name,
                                                  fact->workload.native_id);
        } else if (fact->oom_cgroup) {
                workload = inventory_find_cgroup(tracker->inventory, fact->oom_cgroup);
        }
        life = workload ? life_get(tracker, workload) : NULL;
        if (!life)
                return;

        if (fact->oom_source == OOM_FROM_RUNTIME)
                life->runtime_oom = true;
        if (fact->oom_source == OOM_FROM_CGROUP && !tracker->kernel_readable) {
                workload->oom_kills += fact->oom_kill_rise; /* else the kernel's lines are */
                life->blind_kills += fact->oom_kill_rise;
                life->blind_us = fact->time_us;
        }
        life->oom_kill_rise += fact->oom_kill_rise;
        life->oom_group_kill_rise += fact->oom_group_kill_rise;
        if (fact->oom_source == OOM_FROM_OOMD) {
                life->oomd_kill = true;
                if (fact->oomd_reason) { /* the signal and the journal both tell; one says why */
                        free(life->oomd_reason);
                        life->oomd_reason = strdup(fact->oomd_reason);
                }
        }
        life_evidence(tracker, workload, fact->time_us, fact->origin);
}

/* ---- the exit ---- */

static void facts_of_exit(struct tracker *tracker, const struct workload *workload,
                const struct fact *fact, struct exit_facts *ret_facts) {
        const struct life *life = workload->extra;
        bool fresh = life->kernel_main_pid ||
                        fact->time_us < life->evidence_us + EVIDENCE_AGE_MAX_US;
        bool asked = life->asked && tracker_now_us(tracker) < life->asked_us + ASKED_US;

        *ret_facts = (struct exit_facts){
                .kind = workload->kind,
                .how = fact->how,
                .asked = asked ? life->asked : EXIT_ASKED_NOBODY,
                .code = fact->code,
                .signal = fact->signal,
                .core_dumped = fact->core_dumped,
                .kernel_kill = life->kernel_kill && fresh,
                .kernel_main_pid = life->kernel_main_pid,
                .constraint = life->constraint,
                .oom_cgroup = life->oom_cgroup,
                .task_cgroup = life->task_cgroup,
                .oomd_kill = life->oomd_kill,
                .oomd_reason = life->oomd_reason,
                .oom_kill_rise = fresh ? life->oom_kill_rise : 0,
                .oom_group_kill_rise = fresh ? life->oom_group_kill_rise : 0,
                .oom_rise_age_us = !life->evidence_us ? USEC_INFINITY
                                : fact->time_us > life->evidence_us && !life->kernel_main_pid
                                ? fact->time_us - life->evidence_us
                                : 0,
                .runtime_oom = fact->runtime_oom || (life->runtime_oom && fresh),
                .kill_signal = life->kill_signal,
                .stop_timeout = life->stop_timeout,
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
        if (workload->started_us && fact->time_us > workload->started_us)
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

        if (workload->last_known != STATE_STOPPED && workload->last_known != STATE_FAILED)
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
        claim_kernel_kills(tracker, workload);
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
        uint64_t next_us = USEC_INFINITY;
        struct pending_exit *pending;
        struct kernel_kill *kill;
        struct life *life;

        while ((pending = list_first(&tracker->pending, struct pending_exit, list)) &&
                        (all || pending->deadline_us <= now_us))
                pending_finish(tracker, pending);
        while ((life = list_first(&tracker->oom_checks, struct life, check)) && !all &&
                        life->check_deadline_us <= now_us)
                conclude_check(tracker, life);
        while ((kill = list_first(&tracker->oom_book, struct kernel_kill, list)) && !all &&
                        kill->deadline_us <= now_us)
                kernel_kill_settle(tracker, kill);

        if (pending && pending->deadline_us < next_us)
                next_us = pending->deadline_us;
        if (life && life->check_deadline_us < next_us)
                next_us = life->check_deadline_us;
        if (kill && kill->deadline_us < next_us)
                next_us = kill->deadline_us;
        return next_us;
}

void tracker_exit_done(struct tracker *tracker) {
        struct pending_exit *pending;
        struct kernel_kill *kill;

        while ((pending = list_first(&tracker->pending, struct pending_exit, list)))
                pending_free(pending);
        while ((kill = list_first(&tracker->oom_book, struct kernel_kill, list)))
                kernel_kill_free(tracker, kill);
}
