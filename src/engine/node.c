/* Readings come in, slots go out. What a slot says was read since the slot before it, or it says
 * nothing. */

#include "engine/node.h"

#define MISSED_MAX 3 /* slots in a row, before the numbers are called old */

int node_new(uint64_t interval_us, size_t slots, struct node **ret_node) {
        _cleanup_(node_freep) struct node *node = calloc(1, sizeof(*node));
        int r;

        if (!node)
                return -ENOMEM;
        node->usage = (struct host_usage) HOST_USAGE_NONE;
        node->disk_percent = STATS_NAN;
        node->interval_us = interval_us;
        r = ring_init(&node->ring, slots);
        if (r < 0)
                return r;
        *ret_node = TAKE_PTR(node);
        return 0;
}

struct node *node_free(struct node *node) {
        if (!node)
                return NULL;
        host_free(node->newest);
        host_free(node->before);
        host_mounts_free(node->mounts);
        ring_done(&node->ring);
        free(node);
        return NULL;
}

int node_configure(struct node *node, uint64_t interval_us, size_t slots) {
        int r;

        r = ring_resize(&node->ring, slots);
        if (r < 0)
                return r;
        if (interval_us != node->interval_us)
                ring_clear(&node->ring);
        node->interval_us = interval_us;
        return 0;
}

void node_take(struct node *node, struct host *host) {
        host_keep_rising(node->newest, host);
        if (node->fresh) { /* two in one slot: it is compared with the slot before */
                host_free(node->newest);
        } else {
                host_free(node->before);
                node->before = node->newest;
        }
        node->newest = host;
        node->fresh = true;
}

void node_take_mounts(struct node *node, struct host_mounts *mounts) {
        host_mounts_free(node->mounts);
        node->mounts = mounts;
        node->fresh_mounts = true;
}

static void append(struct node *node, const struct sample *sample) {
        if (ring_append(&node->ring, sample) == -ESTALE) {
                ring_clear(&node->ring); /* the clock was set back */
                (void) ring_append(&node->ring, sample);
        }
}

static void skip_slots(struct node *node, uint64_t n, uint64_t at_us) {
        node->null_samples += n;
        if (n > node->ring.size)
                n = node->ring.size;
        for (uint64_t i = n; i > 0; i--) {
                append(node,
                                &(struct sample){ .at_us = at_us - i * node->interval_us,
                                                .cpu_percent = (float) NAN,
                                                .memory_percent = (float) NAN,
                                                .disk_percent = (float) NAN });
        }
}

static void count_missed(unsigned int *n_missed, bool fresh) {
        if (fresh)
                *n_missed = 0;
        else if (*n_missed < MISSED_MAX)
                (*n_missed)++;
}

void node_slot(struct node *node, uint64_t at_us, uint64_t missed) {
        if (missed)
                skip_slots(node, missed, at_us);
        node->usage = (struct host_usage) HOST_USAGE_NONE;
        node->disk_percent = STATS_NAN;
        if (node->fresh)
                host_compare(node->before, node->newest, &node->usage);
        if (node->fresh_mounts)
                node->disk_percent = host_mounts_percent(node->mounts);

        node->samples++;
        if (node->usage.reset)
                node->resets++;
        if (!isnan(node->usage.cpu_percent))
                node->cpu_percent = node->usage.cpu_percent;
        if (node->fresh)
                node->sampled_us = at_us;
        else
                node->null_samples++;
        count_missed(&node->n_missed, node->fresh);
        count_missed(&node->n_missed_mounts, node->fresh_mounts);
        append(node,
                        &(struct sample){ .at_us = at_us,
                                        .cpu_percent = (float) node->usage.cpu_percent,
                                        .memory_percent = (float) node->usage.memory_percent,
                                        .disk_percent = (float) node->disk_percent });
        node->fresh = node->fresh_mounts = false;
}

bool node_is_read(const struct node *node) {
        return node->sampled_us && node->n_missed < MISSED_MAX;
}

const struct host_mounts *node_mounts(const struct node *node) {
        return node->n_missed_mounts < MISSED_MAX ? node->mounts : NULL;
}
