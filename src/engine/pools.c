/* A list for each source. */

#include "engine/pools.h"

#include <string.h>

#include "base/map.h"

struct pool_list {
        struct pool *items;
        size_t n;
};

struct pools {
        struct map *lists; /* by source */
};

static void list_free(struct pool_list *list) {
        if (!list)
                return;
        free(list->items);
        free(list);
}

int pools_new(struct pools **ret_pools) {
        _cleanup_(pools_freep) struct pools *pools = calloc(1, sizeof(*pools));
        int r;

        if (!pools)
                return -ENOMEM;
        r = map_new(&pools->lists);
        if (r < 0)
                return r;
        *ret_pools = TAKE_PTR(pools);
        return 0;
}

struct pools *pools_free(struct pools *pools) {
        struct pool_list *list;

        if (!pools)
                return NULL;
        if (pools->lists)
                map_for_each(list, pools->lists)
                        list_free(list);
        map_free(pools->lists);
        free(pools);
        return NULL;
}

int pools_set(struct pools *pools, const char *source, const struct pool *items, size_t n) {
        struct pool_list *list;

        list_free(map_remove(pools->lists, source));
        if (n == 0)
                return 0;
        list = calloc(1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        list->items = calloc(n, sizeof(*list->items));
        if (!list->items || map_put(pools->lists, source, list) < 0) {
                list_free(list);
                return -ENOMEM;
        }
        memcpy(list->items, items, n * sizeof(*items));
        list->n = n;
        return 0;
}

const struct pool *pools_get(const struct pools *pools, const char *source, size_t *ret_n) {
        const struct pool_list *list = map_get(pools->lists, source);

        *ret_n = list ? list->n : 0;
        return list ? list->items : NULL;
}
