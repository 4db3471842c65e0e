/* Limits are short lists, looked through. */

#include "model/limit.h"

#include <string.h>

#include "base/json.h"
#include "model/app.h"

static bool is_workload(const char *text) {
        return text[0] && strlen(text) <= APP_NAME_MAX;
}

static int take(struct json_object *array, bool (*valid)(const char *text), char **items,
                size_t *n) {
        size_t size = json_length(array);

        if (array && (!json_object_is_type(array, json_type_array) || size > LIMIT_ITEMS_MAX))
                return -EINVAL;
        for (size_t i = 0; i < size; i++) {
                const char *text = json_whole_string(json_object_array_get_idx(array, i));

                if (!text || !valid(text))
                        return -EINVAL;
                items[i] = strdup(text);
                if (!items[i])
                        return -ENOMEM;
                *n = i + 1;
        }
        return 0;
}

int limit_parse(struct json_object *slugs, struct json_object *workloads, struct diag *diag,
                struct limit **ret_limit) {
        _cleanup_(limit_unrefp) struct limit *limit = calloc(1, sizeof(*limit));
        int r;

        if (!limit)
                return -ENOMEM;
        limit->refs = 1;
        r = take(slugs, app_slug_is_valid, limit->slugs, &limit->n_slugs);
        if (r == -EINVAL)
                return diag_refuse(diag, "slugs", "wants an array of at most 32 slugs");
        if (r >= 0)
                r = take(workloads, is_workload, limit->workloads, &limit->n_workloads);
        if (r == -EINVAL)
                return diag_refuse(diag, "workloads",
                                "wants an array of at most 32 ids or names of workloads");
        if (r < 0)
                return r;
        *ret_limit = limit->n_slugs + limit->n_workloads > 0 ? TAKE_PTR(limit) : NULL;
        return 0;
}

struct limit *limit_ref(struct limit *limit) {
        if (limit)
                (void) __atomic_add_fetch(&limit->refs, 1, __ATOMIC_RELAXED);
        return limit;
}

struct limit *limit_unref(struct limit *limit) {
        if (!limit || __atomic_sub_fetch(&limit->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;
        for (size_t i = 0; i < limit->n_slugs; i++)
                free(limit->slugs[i]);
        for (size_t i = 0; i < limit->n_workloads; i++)
                free(limit->workloads[i]);
        free(limit);
        return NULL;
}

static bool is_among(char *const *items, size_t n, const char *text) {
        for (size_t i = 0; text && text[0] && i < n; i++)
                if (strcmp(items[i], text) == 0)
                        return true;
        return false;
}

bool limit_has_slug(const struct limit *limit, const char *slug) {
        return !limit || is_among(limit->slugs, limit->n_slugs, slug);
}

bool limit_has_workload(
                const struct limit *limit, const char *id, const char *name, const char *slug) {
        return limit_has_slug(limit, slug) || is_among(limit->workloads, limit->n_workloads, id) ||
                        is_among(limit->workloads, limit->n_workloads, name);
}

static struct json_object *to_json(char *const *items, size_t n) {
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < n; i++)
                (void) json_object_array_add(array, json_object_new_string(items[i]));
        return array;
}

struct json_object *limit_slugs_to_json(const struct limit *limit) {
        return to_json(limit ? limit->slugs : NULL, limit ? limit->n_slugs : 0);
}

struct json_object *limit_workloads_to_json(const struct limit *limit) {
        return to_json(limit ? limit->workloads : NULL, limit ? limit->n_workloads : 0);
}
