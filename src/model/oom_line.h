#pragma once
/* The kernel's OOM lines, of kernels 4.19 to 6.18. COMM and cgroup names are the attacker's: the
 * lines are read from the right (FACTS 6.2). Pure. */

#include "model/exit.h"

#define OOM_CGROUP_MAX 4096
#define OOM_COMM_MAX   16

enum oom_line_type {
        OOM_LINE_NONE,    /* not one of ours */
        OOM_LINE_SUMMARY, /* oom-kill:constraint=…: everything is known */
        OOM_LINE_KILL, /* [Memory cgroup out|Out] of memory: Killed process PID (COMM)…: pid and
                          kind of kill */
        OOM_LINE_TASK_IN, /* "Task in PATH killed as a result of limit of PATH" (before 5.0):
                             cgroups, no pid */
        OOM_LINE_GROUP,   /* "Tasks in PATH are going to be killed due to memory.oom.group set":
                             task_cgroup; KILL lines of all of them follow */
};

struct oom_line {
        enum oom_line_type type;
        enum oom_constraint constraint;
        bool global;  /* global_oom, or "Out of memory:" */
        uint32_t pid; /* in the initial pid namespace; 0: the line has none */
        uint32_t uid;
        bool has_uid;
        char comm[OOM_COMM_MAX];          /* raw bytes, NUL-terminated */
        char oom_cgroup[OOM_CGROUP_MAX];  /* "" for global or unknown */
        char task_cgroup[OOM_CGROUP_MAX]; /* "" for unknown */
        uint64_t anon_rss_bytes;          /* KILL lines; 0: unknown */
};

/**
 * Read one message text (no priority, no timestamp; a trailing newline is allowed).
 *
 * @text: @size bytes, need not be NUL-terminated or UTF-8
 *
 * Return: 1 and a full *ret_line for a line of ours; 0 for any other text (type OOM_LINE_NONE).
 */
int oom_line_parse(const char *text, size_t size, struct oom_line *ret_line);
