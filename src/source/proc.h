#pragma once
/* What sources read of /proc: only files that a hung process cannot block (FACTS 6.2). */

#include "model/stats.h"

/**
 * The memory cgroup of @pid: the v1 memory controller's path, or the v2 one, that of the domain
 * where its threads are in a group of their own.
 *
 * Return: 0; -ESRCH no such process; -ENODATA in no memory cgroup; -ENOMEM.
 */
int proc_memory_cgroup(uint32_t pid, char *ret_path, size_t size);

/**
 * CPU time and resident memory of @pid, from /proc/PID/stat (proc(5); its clock ticks are 10 ms).
 *
 * Return: 0; -ESRCH no such process; -EBADMSG; -ENOMEM.
 */
int proc_read_process(uint32_t pid, struct stats *stats);

/** The network devices that @pid sees, without loopback. Return: 0; -ESRCH; -ENOMEM. */
int proc_read_net(uint32_t pid, struct stats *stats);
void proc_parse_net_dev(const char *text, struct stats *stats);

/**
 * When @pid began, CLOCK_REALTIME, as far as the clocks' present offset tells; field 22 of
 * /proc/PID/stat, whole clock ticks.
 *
 * Return: 0; -ESRCH no such process; -EBADMSG; -ENOMEM.
 */
int proc_start_us(uint32_t pid, uint64_t *ret_time_us);
