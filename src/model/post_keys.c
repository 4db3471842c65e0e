/* A map for the look-up and a list for the order in which they are forgotten. */

#include "model/post_keys.h"

#include <string.h>

#include "base/list.h"
#include "base/map.h"

struct post_keys {
        struct map *map;  /* of struct entry */
        struct list list; /* the same, the oldest first */
        size_t max;
};

struct entry {
        struct list list;
        uint64_t seq;
        char key[];
};

int post_keys_new(size_t max, struct post_keys **ret_keys) {
        struct post_keys *keys;
        int r;

        assert(max > 0);

        keys = calloc(1, sizeof(*keys));
        if (!keys)
                return -ENOMEM;
        r = map_new(&keys->map);
        if (r < 0) {
                free(keys);
                return r;
        }
        list_init(&keys->list);
        keys->max = max;
        *ret_keys = keys;
        return 0;
}

static void forget(struct post_keys *keys, struct entry *entry) {
        (void) map_remove(keys->map, entry->key);
        list_remove(&entry->list);
        free(entry);
}

struct post_keys *post_keys_free(struct post_keys *keys) {
        struct entry *entry;

        if (!keys)
                return NULL;
        while ((entry = list_first(&keys->list, struct entry, list)))
                forget(keys, entry);
        map_free(keys->map);
        free(keys);
        return NULL;
}

int post_keys_put(struct post_keys *keys, const char *key, uint64_t seq) {
        struct entry *entry = map_get(keys->map, key);
        const size_t size = strlen(key) + 1;
        int r;

        if (entry) {
                entry->seq = seq;
                list_remove(&entry->list);
                list_append(&keys->list, &entry->list);
                return 0;
        }
        entry = calloc(1, sizeof(*entry) + size);
        if (!entry)
                return -ENOMEM;
        entry->seq = seq;
        memcpy(entry->key, key, size);
        r = map_put(keys->map, key, entry);
        if (r < 0) {
                free(entry);
                return r;
        }
        list_append(&keys->list, &entry->list);
        if (map_size(keys->map) > keys->max) {
                entry = list_first(&keys->list, struct entry, list);
                assert(entry); /* at least the new one */
                forget(keys, entry);
        }
        return 0;
}

uint64_t post_keys_get(const struct post_keys *keys, const char *key) {
        const struct entry *entry = map_get(keys->map, key);

        return entry ? entry->seq : 0;
}
