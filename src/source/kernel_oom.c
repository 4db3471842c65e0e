/* The kernel's OOM lines, whoever reads them. Each kill is told once, at its summary line; the
 * "Killed process" line that follows adds nothing then, and stands for the kill where the rate
 * limit swallowed the summary. */

#include "source/kernel_oom.h"

#include <string.h>

#include "base/text.h"

#define FOLD_US (5 * USEC_PER_SEC)
/* The lines of a group that is killed together follow each other in one loop of the kernel's. */
#define GROUP_US (100 * USEC_PER_MSEC)

void kernel_post_readable(struct source *source, bool readable) {
        struct fact fact = FACT_INIT(FACT_READABLE);

        fact.oom_source = OOM_FROM_KERNEL;
        fact.oom_readable = readable;
        source_post(source, &fact);
}

static bool was_told(const struct kernel_fold *fold, uint32_t pid, uint64_t time_us) {
        for (size_t i = 0; i < KERNEL_RECENT_PIDS; i++)
                if (fold->told[i].pid == pid && time_us - fold->told[i].time_us < FOLD_US)
                        return true;
        return false;
}

static void remember(struct kernel_fold *fold, uint32_t pid, uint64_t time_us) {
        fold->told[fold->next_told].pid = pid;
        fold->told[fold->next_told].time_us = time_us;
        fold->next_told = (fold->next_told + 1) % KERNEL_RECENT_PIDS;
}

/* What is known of the kill that the next lines may be about. */
static void note_summary(struct kernel_fold *fold, const struct oom_line *line) {
        fold->summary = *line;
        fold->group.type = OOM_LINE_NONE;
}

/* All of a group are killed after the one that the summary line is of, for the same limit. */
static void note_group(
                struct kernel_fold *fold, const struct oom_line *line, uint64_t monotonic_us) {
        fold->group = fold->summary;
        memcpy(fold->group.task_cgroup, line->task_cgroup, sizeof(line->task_cgroup));
        fold->group.type = OOM_LINE_GROUP;
        fold->group_us = monotonic_us;
}

/* Is the line one of the group that is being killed? */
static bool is_of_group(
                struct kernel_fold *fold, const struct oom_line *line, uint64_t monotonic_us) {
        if (fold->group.type != OOM_LINE_GROUP || line->global != fold->group.global ||
                        monotonic_us - fold->group_us > GROUP_US)
                return false;
        fold->group_us = monotonic_us;
        return true;
}

void kernel_fold_skip(struct kernel_fold *fold, const struct kernel_record *record) {
        struct oom_line line;

        if (!oom_line_parse(record->text, record->size, &line))
                return;
        if (line.type == OOM_LINE_SUMMARY) {
                remember(fold, line.pid, record->monotonic_us);
                note_summary(fold, &line);
        } else if (line.type == OOM_LINE_GROUP) {
                note_group(fold, &line, record->monotonic_us);
        } else if (line.type == OOM_LINE_KILL) {
                (void) is_of_group(fold, &line, record->monotonic_us);
        }
}

static void post_kill(struct kernel_fold *fold, struct source *source,
                const struct kernel_record *record, const struct oom_line *line) {
        _cleanup_(freep) char *comm = NULL;
        struct fact fact = FACT_INIT(FACT_OOM);

        (void) text_sanitize(line->comm, strlen(line->comm), OOM_COMM_MAX * 3, &comm);
        fact.time_us = record->time_us;
        fact.origin = record->origin;
        fact.cursor = record->origin;
        fact.oom_source = OOM_FROM_KERNEL;
        fact.constraint = line->constraint;
        fact.oom_global = line->global;
        fact.oom_pid = line->pid;
        fact.oom_comm = comm;
        fact.oom_cgroup = line->oom_cgroup[0] ? line->oom_cgroup : NULL;
        fact.task_cgroup = line->task_cgroup[0] ? line->task_cgroup : NULL;
        remember(fold, line->pid, record->monotonic_us);
        source_post(source, &fact);
}

static void take_cgroups(struct oom_line *line, const struct oom_line *from) {
        memcpy(line->oom_cgroup, from->oom_cgroup, sizeof(line->oom_cgroup));
        memcpy(line->task_cgroup, from->task_cgroup, sizeof(line->task_cgroup));
        line->constraint = from->constraint;
}

static void take_kill(struct kernel_fold *fold, struct source *source,
                const struct kernel_record *record, struct oom_line *line) {
        bool of_group = is_of_group(fold, line, record->monotonic_us);

        if (was_told(fold, line->pid, record->monotonic_us))
                return;
        if (fold->task_in.type == OOM_LINE_TASK_IN)
                take_cgroups(line, &fold->task_in);
        else if (of_group)
                take_cgroups(line, &fold->group);
        else
                note_summary(fold, line); /* there is none: the kernel writes but so many */
        fold->task_in.type = OOM_LINE_NONE;
        post_kill(fold, source, record, line);
}

void kernel_fold_line(struct kernel_fold *fold, struct source *source,
                const struct kernel_record *record) {
        struct oom_line line;

        if (!oom_line_parse(record->text, record->size, &line))
                return;

        source->stats.raw_events++;
        switch (line.type) {
        case OOM_LINE_SUMMARY:
                note_summary(fold, &line);
                post_kill(fold, source, record, &line);
                break;
        case OOM_LINE_TASK_IN:
                fold->task_in = line;
                break;
        case OOM_LINE_GROUP:
                note_group(fold, &line, record->monotonic_us);
                break;
        default:
                take_kill(fold, source, record, &line);
        }
}

const char *kernel_oomd_reason(
                const char *text, size_t size, const char **ret_path, size_t *ret_size) {
        static const struct {
                const char *begin, *end, *reason;
        } sentences[] = {
                { "Killed /", " due to memory pressure", "memory-pressure" },
                { "Killed /", " due to memory used", "memory-used" },
                { "Marked /", " for killing due to memory pressure", "memory-pressure" },
                { "Marked /", " for killing due to memory used", "memory-used" },
        };
        const char *end;
        size_t n;

        for (size_t i = 0; i < ARRAY_SIZE(sentences); i++) {
                n = strlen(sentences[i].begin);
                if (size < n || memcmp(text, sentences[i].begin, n) != 0)
                        continue;
                end = memmem(text + n, size - n, sentences[i].end, strlen(sentences[i].end));
                if (!end)
                        continue;
                *ret_path = text + n - 1;
                *ret_size = (size_t) (end - *ret_path);
                return sentences[i].reason;
        }
        return NULL;
}

static int kernel_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        const char *from = config->address ? config->address : "auto";

        if (text_starts_with(from, "kmsg"))
                return kernel_kmsg_create(config, env, ret_source);
        if (text_starts_with(from, "auto") && !kernel_journal_serves())
                return kernel_kmsg_create(config, env, ret_source);
        return kernel_journal_create(config, env, ret_source);
}

/* Only makes one: what it makes has the ops of its reader. */
const struct source_ops kernel_source_ops = { .name = "kernel", .create = kernel_create };
