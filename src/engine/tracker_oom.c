/* Evidence of OOM kills: of the kernel's log, of oomd, of runtimes, of cgroups. A line of the
 * kernel whose victim is not known waits in a book for a workload that claims it. */

#include <string.h>

#include "engine/tracker_internal.h"

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
        kill->give_up_us = tracker_now_us(tracker) + OOM_BOOK_WAIT_MAX_US;
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

/* Of one that has ended, the number of its process may be another's by now. */
static struct workload *find_process(
                const struct tracker *tracker, const struct kernel_kill *kill) {
        struct workload *workload =
                        kill->pid ? inventory_find_last_pid(tracker->inventory, kill->pid) : NULL;

        if (workload && tracker_is_over(workload->last_known) && workload->last_exit.action[0] &&
                        workload->last_exit.time_us + SAME_TIME_US < kill->time_us)
                return NULL;
        return workload;
}

static struct workload *kernel_kill_victim(
                struct tracker *tracker, const struct kernel_kill *kill, bool *ret_main) {
        struct workload *workload = NULL;

        if (kill->task_cgroup)
                workload = inventory_find_cgroup(tracker->inventory, kill->task_cgroup);
        if (!workload)
                workload = find_process(tracker, kill);
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
        char evidence[40];

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
        (void) snprintf(workload->last_exit.evidence, sizeof(workload->last_exit.evidence), "%s",
                        exit_evidence_words(EVIDENCE_KERNEL, evidence));
        (void) snprintf(workload->last_exit.scope, sizeof(workload->last_exit.scope), "%s",
                        oom_scope_to_string(OOM_SCOPE_UNKNOWN));
        tracker_emit_action(tracker, source, workload, &fact, "amended");
}

static void arm_check(struct tracker *tracker, struct life *life) {
        if (life->check.next != &life->check)
                return;
        life->check_deadline_us = tracker_now_us(tracker) + OOM_CHECK_WAIT_US;
        list_append(&tracker->oom_checks, &life->check);
        tracker_arm(tracker, tracker_run_deadlines(tracker, tracker_now_us(tracker), false));
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
                        life_settle_soon(tracker, life);
                return;
        }
        if (!life->check_origin)
                (void) copy_text(&life->check_origin, origin);
        if (life->kernel_main_pid)
                list_remove(&life->check); /* no child: the exit comes, however late it is told */
        else if (goes_on)
                arm_check(tracker, life);
}

/* Its last exit has been told as an OOM kill, for sure. */
static bool is_told(const struct workload *workload) {
        return strcmp(workload->last_exit.action, "OOMKilled") == 0 &&
                        strcmp(workload->last_exit.confidence, "confirmed") == 0;
}

static void count_kill(struct workload *workload, struct life *life, uint64_t time_us) {
        if (life->blind_kills > 0 && time_us <= life->blind_us)
                life->blind_kills--;
        else
                workload->oom_kills++;
}

/* Was that in a life before the one it has now; in the last one, of those? A process may be killed
 * before its runtime says, and dates, that it has started, but not before the last one had ended.
 * One that has that very number now is meant, whatever the clock says. */
static bool is_of_earlier_life(
                const struct workload *workload, const struct kernel_kill *kill, bool *ret_last) {
        bool alive = workload_state_is_alive(workload->last_known),
             is_its = alive && kill->pid && workload->pid == kill->pid;

        *ret_last = alive && !is_its && workload->last_exit.action[0] &&
                        kill->time_us <= workload->last_exit.time_us &&
                        workload->last_exit.time_us <= workload->started_us;
        return *ret_last ||
                        (!is_its && workload->started_us &&
                                        kill->time_us + SAME_TIME_US < workload->started_us);
}

/* Whose limit was hit. A line that does not say, of one of a group that is killed together, leaves
 * it as the line before it did. */
static void take_limit(struct tracker *tracker, const struct workload *workload,
                const struct kernel_kill *kill) {
        struct life *life = workload->extra;

        free(life->oom_cgroup);
        free(life->task_cgroup);
        life->constraint = kill->constraint;
        life->oom_cgroup = kill->oom_cgroup ? strdup(kill->oom_cgroup) : NULL;
        life->task_cgroup = kill->task_cgroup ? strdup(kill->task_cgroup) : NULL;
        life->own_limit = kill->oom_cgroup &&
                        inventory_find_cgroup(tracker->inventory, kill->oom_cgroup) == workload;
}

static void kernel_evidence(struct tracker *tracker, struct kernel_kill *kill,
                struct workload *workload, bool main_pid) {
        struct life *life = life_get(tracker, workload);
        struct tracker_source *source = tracker_source_find(tracker, workload->source);
        bool last;

        kill->attributed = true;
        if (!life || !source)
                return;
        if (is_of_earlier_life(workload, kill, &last)) {
                if (last && !is_told(workload)) {
                        count_kill(workload, life, kill->time_us);
                        amend(tracker, source, workload, kill->time_us, kill->origin);
                }
                return;
        }
        if (kill->time_us <= workload->last_exit.time_us && is_told(workload) &&
                        workload->last_exit.time_us >= workload->started_us)
                return; /* that exit has been told */

        if (!life->kernel_kill || kill->task_cgroup)
                take_limit(tracker, workload, kill);
        life->kernel_kill = true;
        life->kernel_main_pid = life->kernel_main_pid || main_pid;
        count_kill(workload, life, kill->time_us);
        if (tracker_is_over(workload->last_known) && !life->pending) {
                amend(tracker, source, workload, kill->time_us, kill->origin);
                if (main_pid)
                        life_forget_evidence(life); /* not for the life that may follow */
        }
        life_evidence(tracker, workload, kill->time_us, kill->origin);
}

void tracker_claim_oom(struct tracker *tracker, struct workload *workload) {
        bool main_pid = false, was_walking = tracker->is_walking;
        struct kernel_kill *kill;

        tracker->is_walking = true; /* what is over stays until the walk is */
        list_for_each(kill, &tracker->oom_book, list)
                if (!kill->attributed && kernel_kill_victim(tracker, kill, &main_pid) == workload)
                        kernel_evidence(tracker, kill, workload, main_pid);
        tracker->is_walking = was_walking;
}

void life_check_early(struct tracker *tracker, struct life *life) {
        const struct workload *workload = life->workload;

        if (!tracker_is_over(workload->last_known))
                tracker_claim_oom(tracker, life->workload);
        if (life->kernel_kill && !life->kernel_main_pid &&
                        life->evidence_us > workload->last_exit.time_us)
                arm_check(tracker, life);
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

        if (fact->oom_source == OOM_FROM_CGROUP && !tracker->kernel_readable) {
                workload->oom_kills += fact->oom_kill_rise; /* else the kernel's lines are */
                life->blind_kills += fact->oom_kill_rise;
                life->blind_us = fact->time_us;
        }
        /* Two tell of one kill, and the exit was told between them. It must not be taken for
         * evidence of the next life's. */
        if (tracker_is_over(workload->last_known) && !life->pending && is_told(workload) &&
                        fact->time_us <= workload->last_exit.time_us + SAME_TIME_US)
                return;
        if (fact->oom_source == OOM_FROM_RUNTIME)
                life->runtime_oom = true;
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

/* ---- the book ---- */

/* The source of the victim may be what is not up yet, or down just now. */
static bool may_be_claimed(const struct tracker *tracker, const struct kernel_kill *kill) {
        const struct tracker_source *source;

        if (kill->attributed)
                return false;
        list_for_each(source, &tracker->sources, list)
                if (source->state != SOURCE_UP)
                        return true;
        return false;
}

uint64_t tracker_run_oom_book(struct tracker *tracker, uint64_t now_us) {
        struct kernel_kill *kill;

        while ((kill = list_first(&tracker->oom_book, struct kernel_kill, list)) &&
                        kill->deadline_us <= now_us) {
                if (now_us < kill->give_up_us && may_be_claimed(tracker, kill)) {
                        kill->deadline_us = now_us + OOM_BOOK_WAIT_US;
                        list_remove(&kill->list); /* by deadline */
                        list_append(&tracker->oom_book, &kill->list);
                } else {
                        kernel_kill_settle(tracker, kill);
                }
        }
        return kill ? kill->deadline_us : USEC_INFINITY;
}

void tracker_oom_done(struct tracker *tracker) {
        struct kernel_kill *kill;

        while ((kill = list_first(&tracker->oom_book, struct kernel_kill, list)))
                kernel_kill_free(tracker, kill);
}
