/* json-c's hash table with copied keys. Its default string hash is seeded at random on first use.
 */

#include "base/map.h"

#include <string.h>

struct map {
        struct lh_table *table;
        int removed; /* since the table was laid out, at most */
};

#define MAP_FIRST 32

static void entry_free(struct lh_entry *entry) {
        free(lh_entry_k(entry));
}

int map_new(struct map **ret_map) {
        struct map *map;

        map = calloc(1, sizeof(*map));
        if (!map)
                return -ENOMEM;

        map->table = lh_kchar_table_new(MAP_FIRST, entry_free);
        if (!map->table) {
                free(map);
                return -ENOMEM;
        }
        *ret_map = map;
        return 0;
}

struct map *map_free(struct map *map) {
        if (!map)
                return NULL;

        lh_table_free(map->table);
        free(map);
        return NULL;
}

/* A slot whose entry was removed lets a search go on. Where all are used or were, a search for what
 * is not there goes through every one: so they are laid out anew in time, and with room for as many
 * removals again. */
static void lay_out(struct map *map) {
        struct lh_table *table = map->table;
        int size = table->count > table->size / 2 ? 2 * table->size : table->size;

        if ((double) (table->count + map->removed) >= table->size * LH_LOAD_FACTOR &&
                        map->removed > 0 && lh_table_resize(table, size) >= 0)
                map->removed = 0;
}

int map_put(struct map *map, const char *key, void *value) {
        char *copy;

        if (lh_table_lookup_entry(map->table, key))
                return -EEXIST;

        copy = strdup(key);
        if (!copy)
                return -ENOMEM;
        lay_out(map);
        if (lh_table_insert(map->table, copy, value) < 0) {
                free(copy);
                return -ENOMEM;
        }
        return 0;
}

void *map_get(const struct map *map, const char *key) {
        struct lh_entry *entry = lh_table_lookup_entry(map->table, key);

        return entry ? lh_entry_v(entry) : NULL;
}

void *map_remove(struct map *map, const char *key) {
        struct lh_entry *entry = lh_table_lookup_entry(map->table, key);
        void *value;

        if (!entry)
                return NULL;
        value = lh_entry_v(entry);
        (void) lh_table_delete_entry(map->table, entry);
        map->removed++;
        return value;
}

size_t map_size(const struct map *map) {
        return (size_t) lh_table_length(map->table);
}

struct lh_table *map_table(const struct map *map) {
        return map->table;
}
