/* A map for the look-up, and for each source a ring of its keys for the order in which they are
 * forgotten. */

#include "model/origin_set.h"

#include <string.h>

#include "base/map.h"

struct ring {
        size_t next; /* the slot to be reused */
        char *keys[];
};

struct origin_set {
        struct map *map;   /* by key; no values of their own */
        struct map *rings; /* by source; of struct ring */
        size_t max;
};

int origin_set_new(size_t max, struct origin_set **ret_set) {
        _cleanup_(origin_set_freep) struct origin_set *set = NULL;
        int r;

        assert(max > 0);

        set = calloc(1, sizeof(*set));
        if (!set)
                return -ENOMEM;

        set->max = max;
        r = map_new(&set->map);
        if (r >= 0)
                r = map_new(&set->rings);
        if (r < 0)
                return r;

        *ret_set = TAKE_PTR(set);
        return 0;
}

struct origin_set *origin_set_free(struct origin_set *set) {
        struct ring *ring;

        if (!set)
                return NULL;

        if (set->rings) {
                map_for_each(ring, set->rings) {
                        for (size_t i = 0; i < set->max; i++)
                                free(ring->keys[i]);
                        free(ring);
                }
        }
        map_free(set->rings);
        map_free(set->map);
        free(set);
        return NULL;
}

/* What is not used of a ring takes no memory. */
static struct ring *ring_of(struct origin_set *set, const char *source) {
        struct ring *ring = map_get(set->rings, source);

        if (ring)
                return ring;
        ring = calloc(1, sizeof(*ring) + set->max * sizeof(ring->keys[0]));
        if (ring && map_put(set->rings, source, ring) < 0) {
                free(ring);
                return NULL;
        }
        return ring;
}

/* No source name has a newline in it (config refuses that), so the pair cannot be read in two ways.
 */
static char *origin_key(const char *source, const char *origin) {
        char *key = NULL;

        if (asprintf(&key, "%s\n%s", source, origin) < 0)
                return NULL;
        return key;
}

int origin_set_add(struct origin_set *set, const char *source, const char *origin) {
        struct ring *ring = ring_of(set, source);
        _cleanup_(freep) char *key = NULL;
        int r;

        key = origin_key(source, origin);
        if (!key || !ring)
                return -ENOMEM;

        r = map_put(set->map, key, set);
        if (r == -EEXIST)
                return 0;
        if (r < 0)
                return r;

        if (ring->keys[ring->next]) {
                (void) map_remove(set->map, ring->keys[ring->next]);
                free(ring->keys[ring->next]);
        }
        ring->keys[ring->next] = TAKE_PTR(key);
        ring->next = (ring->next + 1) % set->max;
        return 1;
}
