/* A map for the look-up and a ring of its keys for the order in which they are forgotten. */

#include "model/origin_set.h"

#include <string.h>

#include "base/map.h"

struct origin_set {
        struct map *map;
        size_t max;
        size_t next; /* the ring's slot to be reused */
        char *keys[];
};

int origin_set_new(size_t max, struct origin_set **ret_set) {
        _cleanup_(origin_set_freep) struct origin_set *set = NULL;
        int r;

        assert(max > 0);

        set = calloc(1, sizeof(*set) + max * sizeof(set->keys[0]));
        if (!set)
                return -ENOMEM;

        set->max = max;
        r = map_new(&set->map);
        if (r < 0)
                return r;

        *ret_set = TAKE_PTR(set);
        return 0;
}

struct origin_set *origin_set_free(struct origin_set *set) {
        if (!set)
                return NULL;

        for (size_t i = 0; i < set->max; i++)
                free(set->keys[i]);
        map_free(set->map);
        free(set);
        return NULL;
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
        _cleanup_(freep) char *key = NULL;
        int r;

        key = origin_key(source, origin);
        if (!key)
                return -ENOMEM;

        r = map_put(set->map, key, set);
        if (r == -EEXIST)
                return 0;
        if (r < 0)
                return r;

        if (set->keys[set->next]) {
                (void) map_remove(set->map, set->keys[set->next]);
                free(set->keys[set->next]);
        }
        set->keys[set->next] = TAKE_PTR(key);
        set->next = (set->next + 1) % set->max;
        return 1;
}

bool origin_set_has(const struct origin_set *set, const char *source, const char *origin) {
        _cleanup_(freep) char *key = NULL;

        key = origin_key(source, origin);
        return key && map_get(set->map, key);
}
