#pragma once
/* What the two readers of the kernel's log share: kernel_kmsg.c (/dev/kmsg, by a helper or by
 * itself) and kernel_journal.c (systemd's journal). Both are the source "kernel"; kernel_oom.c
 * chooses one and makes facts of their lines. */

#include "model/oom_line.h"
#include "source/source.h"

#define KERNEL_RECENT_PIDS 16

/* What is remembered between two lines of one kill. */
struct kernel_fold {
        struct {
                uint32_t pid;
                uint64_t time_us;
        } told[KERNEL_RECENT_PIDS]; /* whose summary line has been posted */
        size_t next_told;
        struct oom_line task_in; /* before 5.0: cgroups, the pid follows in the next line */
        struct oom_line summary; /* of the newest kill, or its only line */
        struct oom_line group;   /* whose processes are killed together, each with a line */
        uint64_t group_us;       /* of the newest line of theirs */
};

struct kernel_record {
        const char *text;
        size_t size;
        uint64_t monotonic_us; /* of the line */
        uint64_t time_us;      /* the same instant, CLOCK_REALTIME */
        const char *origin;    /* names the line for good; also where to resume behind it */
};

/** Take one line the kernel wrote; posts a FACT_OOM if it tells of a kill not told yet. */
void kernel_fold_line(struct kernel_fold *fold, struct source *source,
                const struct kernel_record *record);
/** Take one line that an earlier run has posted: what still follows of its kill is no news. */
void kernel_fold_skip(struct kernel_fold *fold, const struct kernel_record *record);
void kernel_post_readable(struct source *source, bool readable);

/**
 * Read systemd-oomd's own sentence: "Killed PATH due to memory pressure for …" or "… memory used
 * …". Source: systemd 252, oomd-manager.c.
 *
 * @ret_path: where the path begins in @text, *ret_size its bytes
 *
 * Return: "memory-pressure" or "memory-used"; NULL: another sentence.
 */
const char *kernel_oomd_reason(
                const char *text, size_t size, const char **ret_path, size_t *ret_size);

/** @config->address: what follows a colon is the path of the helper's socket; none, or "":
 * /dev/kmsg itself. */
int kernel_kmsg_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source);
/** @config->address: NULL or "journal": the system's journal; "journal:DIRECTORY": the files there.
 */
int kernel_journal_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source);
/** Does journald run here, read the kernel's log, and may we read it? */
bool kernel_journal_serves(void);
