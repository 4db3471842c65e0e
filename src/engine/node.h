#pragma once
/* This host as a node: its newest readings, what they come to, and its last samples, by the same
 * slots and rules as the workloads' (sampler.h): a slot without a reading is null. Faces read the
 * fields and change nothing. Loop thread only. */

#include "model/host.h"
#include "model/ring.h"

struct node {
        struct host_usage usage; /* of the newest slot */
        double disk_percent;     /* of the newest slot: all file systems together */
        struct ring ring;
        /* The newest reading and the one it is compared with; NULL: none. */
        struct host *newest, *before;
        struct host_mounts *mounts; /* the newest, of any age; NULL: none. See node_mounts() */

        double cpu_percent;  /* the last that was known; 0: none yet */
        uint64_t sampled_us; /* CLOCK_REALTIME of the last slot that was filled; 0: none */
        unsigned int n_missed, n_missed_mounts; /* slots without a reading, up to now */
        uint64_t samples, null_samples, resets;

        uint64_t interval_us;
        bool fresh, fresh_mounts; /* private: came since the last slot */
};

/** @slots: 1..RING_SLOTS_MAX. Return: 0; -EINVAL; -ENOMEM. */
int node_new(uint64_t interval_us, size_t slots, struct node **ret_node);
struct node *node_free(struct node *node);
DEFINE_FREEP(struct node, node_free);

/** Other slots: the newest samples stay, but for another interval none do, as they would stand for
 * other times. Return: 0; -EINVAL; -ENOMEM (as it was). */
int node_configure(struct node *node, uint64_t interval_us, size_t slots);

/** A reading; taken. */
void node_take(struct node *node, struct host *host);
void node_take_mounts(struct node *node, struct host_mounts *mounts);

/**
 * A slot ends.
 *
 * @at_us:  CLOCK_REALTIME of the slot
 * @missed: slots before it that never came, because the machine slept or the loop was held up
 */
void node_slot(struct node *node, uint64_t at_us, uint64_t missed);

/** Whether its numbers are of now: one of the last three slots was filled. */
bool node_is_read(const struct node *node);
/** The file systems, if one of the last three slots had them; else NULL. */
const struct host_mounts *node_mounts(const struct node *node);
