/* Texts one behind the other, and an open table of where they begin. */

#include "api/label_set.h"

#include <string.h>

#include "base/hash.h"

#define TEXTS_MAX (64U << 20)

struct slot {
        uint64_t hash;
        size_t end; /* of its text, behind the NUL; 0: free */
        size_t at;
};

struct label_set {
        struct buf texts;
        struct slot *slots;
        size_t n_slots; /* a power of two */
        size_t n, max;
        uint64_t seed;
};

int label_set_new(size_t max, struct label_set **ret_set) {
        _cleanup_(label_set_freep) struct label_set *set = calloc(1, sizeof(*set));

        if (!set)
                return -ENOMEM;
        set->texts = (struct buf) BUF_INIT(TEXTS_MAX);
        set->max = max;
        set->seed = hash_seed();
        for (set->n_slots = 16; set->n_slots < 2 * max;)
                set->n_slots *= 2;
        set->slots = calloc(set->n_slots, sizeof(*set->slots));
        if (!set->slots)
                return -ENOMEM;
        *ret_set = TAKE_PTR(set);
        return 0;
}

struct label_set *label_set_free(struct label_set *set) {
        if (!set)
                return NULL;
        buf_done(&set->texts);
        free(set->slots);
        free(set);
        return NULL;
}

/* The slot that has the same text as @wanted, or the free one where it belongs. */
static struct slot *find(struct label_set *set, const struct slot *wanted) {
        const size_t size = wanted->end - wanted->at;
        size_t i = wanted->hash & (set->n_slots - 1);

        for (; set->slots[i].end; i = (i + 1) & (set->n_slots - 1)) {
                const struct slot *slot = &set->slots[i];

                if (slot->hash == wanted->hash && slot->end - slot->at == size &&
                                memcmp(set->texts.data + slot->at, set->texts.data + wanted->at,
                                                size) == 0)
                        break;
        }
        return &set->slots[i];
}

int label_set_add(struct label_set *set, const struct metric_labels *labels, size_t *ret_at) {
        const size_t at = set->texts.size;
        struct slot new, *slot;
        int r;

        if (set->n >= set->max)
                return -ENOSPC;
        r = exposition_render_labels(labels, &set->texts);
        if (r >= 0)
                r = buf_append(&set->texts, "", 1); /* its NUL stays */
        if (r < 0) {
                set->texts.size = at;
                return r;
        }
        new = (struct slot){ .at = at, .end = set->texts.size };
        new.hash = hash_bytes(set->texts.data + at, new.end - at, set->seed);
        slot = find(set, &new);
        if (slot->end) {
                set->texts.size = at;
                return -EEXIST;
        }
        *slot = new;
        set->n++;
        *ret_at = at;
        return 0;
}

const char *label_set_text(const struct label_set *set, size_t at) {
        assert(at < set->texts.size);
        return set->texts.data + at;
}
