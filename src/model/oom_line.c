/* Read from the right: a process name may hold ",pid=1,uid=0" and ",task_memcg=/x", but it is at
 * most 15 bytes long and what the kernel writes after it is fixed. */

#include "model/oom_line.h"

#include <ctype.h>
#include <string.h>

struct span {
        const char *at;
        size_t size;
};

static const char *find_first(struct span in, const char *what) {
        return memmem(in.at, in.size, what, strlen(what));
}

static const char *find_last(struct span in, const char *what) {
        size_t n = strlen(what);

        for (size_t i = in.size; i >= n; i--)
                if (memcmp(in.at + i - n, what, n) == 0)
                        return in.at + i - n;
        return NULL;
}

static struct span between(const char *begin, const char *end) {
        return (struct span){ .at = begin, .size = (size_t) (end - begin) };
}

static bool starts(struct span text, const char *prefix) {
        return text.size >= strlen(prefix) && memcmp(text.at, prefix, strlen(prefix)) == 0;
}

static bool whole_number(struct span text, uint64_t max, uint64_t *ret_value) {
        uint64_t value = 0;

        if (text.size == 0 || text.size > 19)
                return false;
        for (size_t i = 0; i < text.size; i++) {
                if (!isdigit((unsigned char) text.at[i]))
                        return false;
                value = value * 10 + (uint64_t) (text.at[i] - '0');
        }
        *ret_value = value;
        return value <= max;
}

static bool copy_cgroup(char *to, struct span from) {
        if (from.size == 0 || from.size >= OOM_CGROUP_MAX || from.at[0] != '/' ||
                        memchr(from.at, '\0', from.size))
                return false;
        memcpy(to, from.at, from.size);
        to[from.size] = '\0';
        return true;
}

static void copy_comm(struct oom_line *line, struct span comm) {
        size_t n = comm.size < OOM_COMM_MAX - 1 ? comm.size : OOM_COMM_MAX - 1;

        memcpy(line->comm, comm.at, n);
        line->comm[n] = '\0';
}

static enum oom_constraint constraint_of(struct span word) {
        static const struct {
                const char *word;
                enum oom_constraint constraint;
        } words[] = {
                { "CONSTRAINT_NONE", CONSTRAINT_NONE },
                { "CONSTRAINT_CPUSET", CONSTRAINT_CPUSET },
                { "CONSTRAINT_MEMORY_POLICY", CONSTRAINT_MEMORY_POLICY },
                { "CONSTRAINT_MEMCG", CONSTRAINT_MEMCG },
        };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                if (word.size == strlen(words[i].word) &&
                                memcmp(word.at, words[i].word, word.size) == 0)
                        return words[i].constraint;
        }
        return CONSTRAINT_UNKNOWN;
}

/* "…,task=COMM,pid=N,uid=N": cuts @text down to what stands before ",task=". */
static bool parse_tail(struct span *text, struct oom_line *line) {
        const char *uid, *pid, *task, *end = text->at + text->size;
        struct span window;
        uint64_t value;

        uid = find_last(*text, ",uid=");
        if (!uid || !whole_number(between(uid + 5, end), UINT32_MAX, &value))
                return false;
        line->uid = (uint32_t) value;
        line->has_uid = true;

        pid = find_last(between(text->at, uid), ",pid=");
        if (!pid || !whole_number(between(pid + 5, uid), UINT32_MAX, &value) || value == 0)
                return false;
        line->pid = (uint32_t) value;

        /* ",task=" is 6 bytes, COMM at most 15: the leftmost one that near is the kernel's. */
        window = between(text->at, pid);
        if (window.size > 6 + OOM_COMM_MAX - 1)
                window = between(pid - (6 + OOM_COMM_MAX - 1), pid);
        task = find_first(window, ",task=");
        if (!task)
                return false;
        copy_comm(line, between(task + 6, pid));
        *text = between(text->at, task);
        return true;
}

/* oom-kill:constraint=C,nodemask=M,cpuset=NAME,mems_allowed=L,(oom_memcg=PATH|global_oom),task_memcg=PATH,task=COMM,pid=N,uid=N
 */
static bool parse_summary(struct span text, struct oom_line *line) {
        const char *comma, *task_memcg, *oom_memcg, *end = text.at + text.size;
        size_t skip = strlen("oom-kill:constraint=");

        comma = memchr(text.at + skip, ',', text.size - skip);
        if (!comma)
                return false;
        line->constraint = constraint_of(between(text.at + skip, comma));
        text = between(comma, end);
        if (!parse_tail(&text, line))
                return false;

        end = text.at + text.size;
        task_memcg = find_first(text, ",task_memcg=");
        if (!task_memcg || !copy_cgroup(line->task_cgroup, between(task_memcg + 12, end)))
                return false;
        text = between(text.at, task_memcg);
        oom_memcg = find_first(text, ",oom_memcg=");
        if (oom_memcg)
                return copy_cgroup(line->oom_cgroup, between(oom_memcg + 11, task_memcg));
        line->global = find_last(text, ",global_oom") == task_memcg - 11;
        return line->global;
}

/* "[Memory cgroup out|Out] of memory…: Kill(ed) process PID (COMM) total-vm:…" */
static bool parse_kill(struct span text, const char *killed, struct oom_line *line) {
        const char *end = text.at + text.size, *space, *comm_end, *rss;
        struct span rest = between(killed, end);
        uint64_t value;

        space = memchr(rest.at, ' ', rest.size);
        if (!space || space + 1 >= end || space[1] != '(' ||
                        !whole_number(between(rest.at, space), UINT32_MAX, &value) || value == 0)
                return false;
        line->pid = (uint32_t) value;
        comm_end = find_last(rest, ") total-vm:");
        if (!comm_end || comm_end < space + 2)
                return false;
        copy_comm(line, between(space + 2, comm_end));

        rest = between(comm_end, end);
        rss = find_first(rest, " anon-rss:");
        if (rss) {
                const char *digits = rss + strlen(" anon-rss:"),
                           *kb = find_first(between(digits, end), "kB");

                if (kb && whole_number(between(digits, kb), UINT64_MAX / 1024, &value))
                        line->anon_rss_bytes = value * 1024;
        }
        return true;
}

static bool parse_kill_line(struct span text, struct oom_line *line) {
        static const char *const verbs[] = { ": Killed process ", "Killed process " };
        const char *killed;

        if (starts(text, "Memory cgroup out of memory"))
                line->constraint = CONSTRAINT_MEMCG;
        else if (starts(text, "Out of memory"))
                line->global = true;
        else if (!starts(text, "Killed process ")) /* 4.x: the second of two lines */
                return false;

        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                killed = find_first(text, verbs[i]);
                if (killed && (i == 0 || killed == text.at))
                        return parse_kill(text, killed + strlen(verbs[i]), line);
        }
        return false;
}

/* "Task in PATH killed as a result of limit of PATH" */
static bool parse_task_in(struct span text, struct oom_line *line) {
        static const char *const middle = " killed as a result of limit of ";
        const char *end = text.at + text.size, *at = find_last(text, middle);

        if (!at || !starts(text, "Task in ") || at < text.at + 8)
                return false;
        line->constraint = CONSTRAINT_MEMCG;
        return copy_cgroup(line->task_cgroup, between(text.at + 8, at)) &&
                        copy_cgroup(line->oom_cgroup, between(at + strlen(middle), end));
}

/* "Tasks in PATH are going to be killed due to memory.oom.group set": mm/memcontrol.c,
 * mem_cgroup_print_oom_group() */
static bool parse_group(struct span text, struct oom_line *line) {
        static const char *const tail = " are going to be killed due to memory.oom.group set";
        const char *end = text.at + text.size, *at = find_last(text, tail);

        if (!starts(text, "Tasks in ") || !at || at < text.at + 9 || at + strlen(tail) != end)
                return false;
        return copy_cgroup(line->task_cgroup, between(text.at + 9, at));
}

int oom_line_parse(const char *text, size_t size, struct oom_line *ret_line) {
        struct span span = { .at = text, .size = size };
        enum oom_line_type type = OOM_LINE_NONE;

        *ret_line = (struct oom_line){};
        while (span.size > 0 && span.at[span.size - 1] == '\n')
                span.size--;

        if (starts(span, "oom-kill:constraint=") && parse_summary(span, ret_line))
                type = OOM_LINE_SUMMARY;
        else if (parse_kill_line(span, ret_line))
                type = OOM_LINE_KILL;
        else if (parse_task_in(span, ret_line))
                type = OOM_LINE_TASK_IN;
        else if (parse_group(span, ret_line))
                type = OOM_LINE_GROUP;

        if (type == OOM_LINE_NONE)
                *ret_line = (struct oom_line){};
        ret_line->type = type;
        return type != OOM_LINE_NONE;
}
