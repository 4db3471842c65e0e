#pragma once
/* One control group's numbers, straight from the kernel: v1 controllers or the v2 tree. */

#include "model/stats.h"

enum cgroup_layout {
        CGROUP_NONE,
        CGROUP_V1, /* a hierarchy a controller below the root */
        CGROUP_V2, /* one tree */
};

/** What is mounted at @root (usually /sys/fs/cgroup) and has a memory controller. */
enum cgroup_layout cgroup_layout_of(const char *root);

/**
 * Read CPU, memory, I/O and process numbers of the group @path ("/docker/ID") below @root into
 * @stats. What its controllers do not tell stays "not told".
 *
 * Sources: Documentation/admin-guide/cgroup-v1/{cpuacct,memory,blkio-controller}.rst,
 * cgroup-v2.rst.
 *
 * Return: 0; -ENOENT the group is gone; -EINVAL @path leads outside; -ENOMEM.
 */
int cgroup_read(enum cgroup_layout layout, const char *root, const char *path, struct stats *stats);

/** For tests: the values of one file, by its text. */
void cgroup_parse_cpu_stat(const char *text, struct stats *stats);
void cgroup_parse_memory_stat(enum cgroup_layout layout, const char *text, struct stats *stats);
void cgroup_parse_pressure(const char *text, struct stats_pressure *pressure);
void cgroup_parse_io_stat(const char *text, struct stats *stats);
void cgroup_parse_blkio(const char *text, bool bytes, struct stats *stats);
