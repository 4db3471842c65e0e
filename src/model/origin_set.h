#pragma once
/* The newest raw events by their stable ids, so that one that is replayed after a reconnect or a
 * restart is known again. Bounded: of each source the oldest is forgotten, so that one that has
 * much to tell takes nothing of one that has not. There are as many sources as are configured.
 * Pure. */

#include "base/macro.h"

struct origin_set;

/** Remembers @max origins of each source (at least 1). Return: 0; -ENOMEM. */
int origin_set_new(size_t max, struct origin_set **ret_set);
struct origin_set *origin_set_free(struct origin_set *set);
DEFINE_FREEP(struct origin_set, origin_set_free);

/** Remember. Return: 1 new; 0 known already; -ENOMEM. */
int origin_set_add(struct origin_set *set, const char *source, const char *origin);
