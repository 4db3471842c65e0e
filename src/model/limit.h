#pragma once
/* What a caller is limited to: apps by slug, workloads by id or by name. Never changes once it is
 * made, and is shared by reference between requests, streams and the journal's reader. NULL stands
 * for no limit wherever one is taken. */

#include <json-c/json.h>

#include "base/diag.h"
#include "base/macro.h"

#define LIMIT_ITEMS_MAX 32 /* of either sort */

struct limit {
        unsigned int refs; /* private; atomic */
        char *slugs[LIMIT_ITEMS_MAX];
        size_t n_slugs;
        char *workloads[LIMIT_ITEMS_MAX];
        size_t n_workloads;
};

/**
 * Read two arrays of texts, each of which may be NULL.
 *
 * Return: 0, and *ret_limit NULL if both are empty; -EINVAL with "slugs" or "workloads" and what is
 * allowed in @diag; -ENOMEM.
 */
int limit_parse(struct json_object *slugs, struct json_object *workloads, struct diag *diag,
                struct limit **ret_limit);
/** Both take NULL. Any thread. */
struct limit *limit_ref(struct limit *limit);
struct limit *limit_unref(struct limit *limit);
DEFINE_FREEP(struct limit, limit_unref);

bool limit_has_slug(const struct limit *limit, const char *slug);
/** By any of the three; each may be NULL or "". */
bool limit_has_workload(
                const struct limit *limit, const char *id, const char *name, const char *slug);
/** A JSON array. Caller puts; NULL: no memory. */
struct json_object *limit_slugs_to_json(const struct limit *limit);
struct json_object *limit_workloads_to_json(const struct limit *limit);
