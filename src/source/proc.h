#pragma once
/* What sources read of /proc: only files that a hung process cannot block (FACTS 6.2). */

#include "base/macro.h"

/**
 * The memory cgroup of @pid: the v1 memory controller's path, or the v2 one.
 *
 * Return: 0; -ESRCH no such process; -ENODATA in no memory cgroup; -ENOMEM.
 */
int proc_memory_cgroup(uint32_t pid, char *ret_path, size_t size);
