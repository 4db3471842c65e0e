#pragma once
/* One round of readings: all domains of one libvirt, on a worker's thread (libvirt_crew.h). */

#include <libvirt/libvirt.h>

#include "model/stats.h"
#include "source/libvirt_crew.h"

#define LIBVIRT_DOMAINS_MAX 20000

struct libvirt_reading {
        char uuid[VIR_UUID_STRING_BUFLEN];
        struct stats *stats; /* NULL: only hung is told */
        bool hung;
        uint64_t hung_ms;
};

struct libvirt_readings {
        struct libvirt_reading *readings;
        size_t n, failed;
};

struct libvirt_readings *libvirt_readings_free(struct libvirt_readings *readings);

/* Flags of a round. */
enum {
        LIBVIRT_ROUND_QUIET = 1,  /* leave the monitors alone */
        LIBVIRT_ROUND_CAREFUL = 2 /* ask for every domain's control info first */
};

struct libvirt_round_memory;
/** @balloon_s: how often guests are to report, where the connection may write; 0: leave it. */
struct libvirt_round_memory *libvirt_round_memory_new(int balloon_s);
struct libvirt_round_memory *libvirt_round_memory_free(struct libvirt_round_memory *memory);
/** Return: NULL: no memory. */
struct libvirt_readings *libvirt_round_read(struct libvirt_worker *worker,
                struct libvirt_round_memory *memory, virConnectPtr connection, unsigned int flags);

/** Fill in what is "not told" in @stats of CPUs and memory with what libvirt answers at once,
 * without the monitor, of every driver and of domains that are off. */
void libvirt_round_complete(virDomainPtr domain, struct stats *stats);

/** libvirt_each.c: whether the driver of @connection answers calls about one domain by itself:
 * QEMU's needs the monitor for them, so there they are left alone. */
bool libvirt_each_may_ask(virConnectPtr connection);
/** Fill in what is "not told" in @stats call by call: memory, CPU time, and, where @devices, those
 * of the domain. Source: libvirt-domain.c. */
void libvirt_each_read(virDomainPtr domain, bool devices, struct stats *stats);
