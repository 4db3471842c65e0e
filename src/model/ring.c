/* A ring of samples. */

#include "model/ring.h"

int ring_init(struct ring *ring, size_t n_slots) {
        if (n_slots < 1 || n_slots > RING_SLOTS_MAX)
                return -EINVAL;
        *ring = (struct ring){ .slots = calloc(n_slots, sizeof(*ring->slots)), .size = n_slots };
        return ring->slots ? 0 : -ENOMEM;
}

void ring_done(struct ring *ring) {
        free(ring->slots);
        *ring = (struct ring){};
}

int ring_resize(struct ring *ring, size_t n_slots) {
        struct ring other;
        size_t skip;
        int r;

        if (n_slots == ring->size)
                return 0;
        r = ring_init(&other, n_slots);
        if (r < 0)
                return r;
        skip = ring->used > n_slots ? ring->used - n_slots : 0;
        for (size_t i = skip; i < ring->used; i++)
                (void) ring_append(&other, ring_at(ring, i));
        ring_done(ring);
        *ring = other;
        return 0;
}

int ring_append(struct ring *ring, const struct sample *sample) {
        const struct sample *newest = ring_newest(ring);

        assert(ring->slots);

        if (newest && sample->at_us <= newest->at_us)
                return -ESTALE;
        ring->slots[ring->next] = *sample;
        ring->next = (ring->next + 1) % ring->size;
        if (ring->used < ring->size)
                ring->used++;
        return 0;
}

size_t ring_size(const struct ring *ring) {
        return ring->used;
}

const struct sample *ring_at(const struct ring *ring, size_t i) {
        assert(i < ring->used);
        return &ring->slots[(ring->next + ring->size - ring->used + i) % ring->size];
}

const struct sample *ring_newest(const struct ring *ring) {
        return ring->used ? ring_at(ring, ring->used - 1) : NULL;
}

void ring_clear(struct ring *ring) {
        ring->used = ring->next = 0;
}
