#pragma once
/* A hash map from text to pointer: json-c's lh_table (seeded, so that hostile names cannot pile up
 * in one bucket) behind four verbs. Keys are copied, values are borrowed. */

#include <json-c/linkhash.h>

#include "base/macro.h"

struct map;

/** Return: 0 and a map; -ENOMEM. */
int map_new(struct map **ret_map);
/** Frees the map and its keys, not the values. Takes NULL; returns NULL. */
struct map *map_free(struct map *map);
DEFINE_FREEP(struct map, map_free);

/** Put @value under @key. Return: 0; -EEXIST if the key is there (nothing changes); -ENOMEM. */
int map_put(struct map *map, const char *key, void *value);
/** Return: the value, or NULL. */
void *map_get(const struct map *map, const char *key);
/** Take the entry out. Return: its value, or NULL if there was none. */
void *map_remove(struct map *map, const char *key);
size_t map_size(const struct map *map);

/** For map_for_each(): the table, entries in the order they were put. */
struct lh_table *map_table(const struct map *map);

/* Walk all values; @value is a pointer variable. The current entry may be removed. */
#define map_for_each(value, map)                                                              \
        for (struct lh_entry *_entry = map_table(map)->head, *_next = NULL;                   \
                        _entry && (_next = _entry->next, (value) = lh_entry_v(_entry), true); \
                        _entry = _next)
