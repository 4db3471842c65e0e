#pragma once
/* Between libvirt_guest.c, which is on the loop, and libvirt_guest_round.c, which is on a worker's
 * thread. */

#include <libvirt/libvirt.h>

#include "model/pool.h"
#include "model/stats.h"
#include "model/workload.h"
#include "source/libvirt_crew.h"

/* What one visit to a domain found. */
struct guest_note {
        char uuid[VIR_UUID_STRING_BUFLEN];
        uint64_t life;       /* domain id */
        struct stats *guest; /* file systems, and blocks with file_bytes; NULL: nothing new */
        struct stats *given; /* to be posted as a reading; NULL: nothing */
        bool addresses_known;
        char (*addresses)[WORKLOAD_ADDRESS_SIZE];
        size_t n_addresses;
};

struct guest_notes {
        struct guest_note *notes;
        size_t n;
        bool more;          /* the round had to end before all were visited */
        struct pool *pools; /* NULL: nothing new */
        size_t n_pools;
};

/* Where a worker is while it reads storage pools, in place of a domain. */
#define GUEST_AT_POOLS "storage pools"

struct guest_notes *guest_notes_free(struct guest_notes *notes);

/* Flag of a round: configurations of domains that are off have changed. */
enum {
        GUEST_ROUND_CHANGED = 1
};

struct guest_memory;

struct guest_memory_config {
        uint64_t period_us;
        bool write;
        bool local;       /* the images are on this host */
        const char *skip; /* where a worker is stuck: a domain, GUEST_AT_POOLS; "": nowhere */
};

struct guest_memory *guest_memory_new(const struct guest_memory_config *config);
struct guest_memory *guest_memory_free(struct guest_memory *memory);
/** Return: NULL: no memory, or no connection. */
struct guest_notes *guest_round(struct libvirt_worker *worker, struct guest_memory *memory,
                virConnectPtr connection, unsigned int flags);

/**
 * The addresses in what @interfaces say that others may reach: those of its own network cards by
 * their @macs, or of all interfaces if none is one of those; no loopback, link-local, multicast or
 * reserved ones.
 *
 * Return: how many were written to @ret_addresses.
 */
size_t guest_pick_addresses(virDomainInterfacePtr *interfaces, size_t n, const char (*macs)[18],
                size_t n_macs,
                char ret_addresses[static WORKLOAD_ADDRESSES_MAX][WORKLOAD_ADDRESS_SIZE]);
