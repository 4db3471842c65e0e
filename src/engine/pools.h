#pragma once
/* The storage pools of all sources, as they were told last. Loop thread only. */

#include "model/pool.h"

struct pools;

/** Return: 0; -ENOMEM. */
int pools_new(struct pools **ret_pools);
struct pools *pools_free(struct pools *pools);
DEFINE_FREEP(struct pools, pools_free);

/** The pools of @source are these @n now (copied). Return: 0; -ENOMEM (none of its are known). */
int pools_set(struct pools *pools, const char *source, const struct pool *items, size_t n);
/** Those of @source; NULL: none. */
const struct pool *pools_get(const struct pools *pools, const char *source, size_t *ret_n);
