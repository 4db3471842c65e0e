/* Bindings, and what is found without them. Each name, label and host that an app claims is a key
 * of one map; the apps that claim it hang below, the one that has it first. */

#include "engine/apps.h"

#include <string.h>

#include "base/json.h"
#include "base/list.h"
#include "base/map.h"

struct apps {
        struct map *bound;      /* slug to struct app */
        struct map *configured; /* the same */
        struct map *claims;     /* key to struct bucket */
};

struct bucket {
        struct list claims; /* of struct claim, in order of precedence */
};

struct claim {
        struct list list;
        const struct app *app;
};

/* A kind's letter, a name, for labels '=' and a value. */
#define KEY_MAX (2 * APP_NAME_MAX + 4)

/* ---- the index ---- */

static bool precedes(const struct app *a, const struct app *b) {
        if (a->configured != b->configured)
                return a->configured;
        return strcmp(a->slug, b->slug) < 0;
}

/* The parts are bounded by app_parse(); what a workload has may be longer, and is then in no
 * claim. */
static bool make_key(char key[static KEY_MAX], char kind, const char *name, const char *value) {
        int n = snprintf(
                        key, KEY_MAX, "%c%s%s%s", kind, name, value ? "=" : "", value ? value : "");

        return n > 0 && n < KEY_MAX;
}

static int claim(struct apps *apps, const struct app *app, const char *key) {
        struct bucket *bucket = map_get(apps->claims, key);
        struct claim *claim, *other;
        struct list *before;
        int r;

        claim = calloc(1, sizeof(*claim));
        if (!claim)
                return -ENOMEM;
        claim->app = app;
        if (!bucket) {
                bucket = calloc(1, sizeof(*bucket));
                r = bucket ? map_put(apps->claims, key, bucket) : -ENOMEM;
                if (r < 0) {
                        free(bucket);
                        free(claim);
                        return r;
                }
                list_init(&bucket->claims);
        }
        before = &bucket->claims;
        list_for_each(other, &bucket->claims, list) {
                if (precedes(app, other->app)) {
                        before = &other->list;
                        break;
                }
        }
        list_append(before, &claim->list);
        return 0;
}

static int unclaim(struct apps *apps, const struct app *app, const char *key) {
        struct bucket *bucket = map_get(apps->claims, key);
        struct claim *claim, *next;

        if (!bucket)
                return 0;
        list_for_each_safe(claim, next, &bucket->claims, list) {
                if (claim->app == app) {
                        list_remove(&claim->list);
                        free(claim);
                }
        }
        if (list_is_empty(&bucket->claims)) {
                (void) map_remove(apps->claims, key);
                free(bucket);
        }
        return 0;
}

/* Call @each for every key of @app. Of labels the first pair is enough to be found by. */
static int each_key(struct apps *apps, const struct app *app,
                int (*each)(struct apps *apps, const struct app *app, const char *key)) {
        const struct {
                char kind;
                const struct app_list *names;
        } kinds[] = { { 'v', &app->vms }, { 'c', &app->containers } };
        char key[KEY_MAX];
        int r = 0;

        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                for (size_t i = 0; r >= 0 && i < kinds[k].names->n; i++)
                        if (make_key(key, kinds[k].kind, kinds[k].names->items[i], NULL))
                                r = each(apps, app, key);
        }
        if (r >= 0 && app->label_names.n > 0 &&
                        make_key(key, 'l', app->label_names.items[0], app->label_values.items[0]))
                r = each(apps, app, key);
        return r;
}

static const struct app *shown(const struct apps *apps, const char *slug) {
        const struct app *app = map_get(apps->configured, slug);

        return app ? app : map_get(apps->bound, slug);
}

/* One that is hidden claims nothing. */
static int index_app(struct apps *apps, const struct app *app) {
        int r;

        if (!app)
                return 0;
        r = each_key(apps, app, claim);
        if (r < 0)
                (void) each_key(apps, app, unclaim);
        return r;
}

static void unindex_app(struct apps *apps, const struct app *app) {
        if (app)
                (void) each_key(apps, app, unclaim);
}

/* ---- life ---- */

int apps_new(struct apps **ret_apps) {
        _cleanup_(apps_freep) struct apps *apps = calloc(1, sizeof(*apps));
        int r;

        if (!apps)
                return -ENOMEM;
        r = map_new(&apps->bound);
        if (r >= 0)
                r = map_new(&apps->configured);
        if (r >= 0)
                r = map_new(&apps->claims);
        if (r < 0)
                return r;
        *ret_apps = TAKE_PTR(apps);
        return 0;
}

struct apps *apps_free(struct apps *apps) {
        struct bucket *bucket;
        struct app *app;

        if (!apps)
                return NULL;
        if (apps->claims) {
                map_for_each(bucket, apps->claims) {
                        struct claim *claim, *next;

                        list_for_each_safe(claim, next, &bucket->claims, list)
                                free(claim);
                        free(bucket);
                }
        }
        if (apps->bound)
                map_for_each(app, apps->bound)
                        app_free(app);
        if (apps->configured)
                map_for_each(app, apps->configured)
                        app_free(app);
        map_free(apps->bound);
        map_free(apps->configured);
        map_free(apps->claims);
        free(apps);
        return NULL;
}

/* ---- binding ---- */

/* Put @app (NULL: nothing) where @map has its slug; the claims follow what is shown. */
static int replace(struct apps *apps, struct map *map, const char *slug, struct app *app) {
        const struct app *before = shown(apps, slug);
        struct app *old = map_remove(map, slug);
        int r;

        unindex_app(apps, before);
        r = app ? map_put(map, slug, app) : 0;
        if (r >= 0)
                r = index_app(apps, shown(apps, slug));
        if (r >= 0 || !app) {
                app_free(old);
                return r;
        }
        (void) map_remove(map, slug);
        if (old && map_put(map, slug, old) < 0)
                app_free(old);
        (void) index_app(apps, shown(apps, slug));
        return r;
}

int apps_put(struct apps *apps, struct app *app) {
        struct map *map = app->configured ? apps->configured : apps->bound;

        if (!map_get(map, app->slug) && map_size(map) >= APPS_MAX)
                return -ENOSPC;
        return replace(apps, map, app->slug, app);
}

int apps_remove(struct apps *apps, const char *slug) {
        char copy[APP_SLUG_MAX + 1];

        if (!map_get(apps->bound, slug))
                return -ENOENT;
        (void) snprintf(copy, sizeof(copy), "%s", slug); /* it may be the app's own */
        (void) replace(apps, apps->bound, copy, NULL);
        return 0;
}

static bool is_same(const struct app *a, const struct app *b) {
        _cleanup_(json_putp) struct json_object *one = app_to_json(a), *other = app_to_json(b);

        return one && other && strcmp(json_text(one), json_text(other)) == 0;
}

/* What is not in @wanted, a map of slugs, goes. */
static void drop_others(struct apps *apps, const struct map *wanted, struct map *changed) {
        struct app *app;

        map_for_each(app, apps->configured) {
                char slug[APP_SLUG_MAX + 1];

                if (map_get(wanted, app->slug))
                        continue;
                (void) snprintf(slug, sizeof(slug), "%s", app->slug);
                (void) map_put(changed, slug, app);
                (void) replace(apps, apps->configured, slug, NULL);
        }
}

static int configure_one(struct apps *apps, struct app *app, struct map *changed) {
        const struct app *old = map_get(apps->configured, app->slug);
        int r;

        app->configured = true;
        if (old && is_same(old, app)) {
                app_free(app);
                return 0;
        }
        (void) map_put(changed, app->slug, app);
        r = apps_put(apps, app);
        if (r < 0)
                app_free(app);
        return r;
}

int apps_configure(struct apps *apps, struct app **items, size_t n,
                void (*changed)(const char *slug, void *userdata), void *userdata) {
        _cleanup_(map_freep) struct map *wanted = NULL, *differ = NULL;
        int r, result = 0;

        r = map_new(&wanted);
        if (r >= 0)
                r = map_new(&differ);
        for (size_t i = 0; r >= 0 && i < n; i++) {
                r = map_put(wanted, items[i]->slug, items[i]);
                if (r == -EEXIST)
                        r = 0;
        }
        if (r >= 0)
                drop_others(apps, wanted, differ);
        for (size_t i = 0; i < n; i++) {
                struct app *app = TAKE_PTR(items[i]);

                if (r < 0)
                        app_free(app);
                else
                        result = configure_one(apps, app, differ) < 0 ? -ENOMEM : result;
        }
        if (r < 0)
                return r;
        if (changed)
                for (struct lh_entry *entry = map_table(differ)->head; entry; entry = entry->next)
                        changed(lh_entry_k(entry), userdata);
        return result;
}

const struct app *apps_get(const struct apps *apps, const char *slug) {
        return shown(apps, slug);
}

/* ---- all of them ---- */

size_t apps_size(const struct apps *apps) {
        size_t n = map_size(apps->configured);
        const struct app *app;

        map_for_each(app, apps->bound)
                n += !map_get(apps->configured, app->slug);
        return n;
}

static int by_slug(const void *a, const void *b) {
        return strcmp((*(const struct app *const *) a)->slug,
                        (*(const struct app *const *) b)->slug);
}

void apps_for_each(const struct apps *apps, void (*each)(const struct app *app, void *userdata),
                void *userdata) {
        const size_t max = map_size(apps->bound) + map_size(apps->configured);
        const struct app **all = calloc(max + 1, sizeof(struct app *));
        const struct app *app;
        size_t n = 0;

        if (!all)
                return;
        map_for_each(app, apps->configured)
                all[n++] = app;
        map_for_each(app, apps->bound)
                if (!map_get(apps->configured, app->slug))
                        all[n++] = app;
        qsort(all, n, sizeof(struct app *), by_slug);
        for (size_t i = 0; i < n; i++)
                each(all[i], userdata);
        free(all);
}

/* ---- looking up ---- */

/* The first to claim it; of labels the first that has them all. */
static const struct app *find(
                const struct apps *apps, const char *key, const struct workload *labelled) {
        struct bucket *bucket = map_get(apps->claims, key);
        const struct claim *claim;

        if (bucket) {
                list_for_each(claim, &bucket->claims, list)
                        if (!labelled || app_has(claim->app, labelled))
                                return claim->app;
        }
        return NULL;
}

static const struct app *better(const struct app *a, const struct app *b) {
        if (!a || !b)
                return a ? a : b;
        return precedes(b, a) ? b : a;
}

static const struct app *find_name(const struct apps *apps, char kind, const char *name) {
        char key[KEY_MAX];

        return make_key(key, kind, name, NULL) ? find(apps, key, NULL) : NULL;
}

static const struct app *find_labels(const struct apps *apps, const struct workload *workload) {
        const struct app *app = NULL;
        char key[KEY_MAX];

        if (!workload->labels)
                return NULL;
        json_object_object_foreach(workload->labels, name, label) {
                const char *value = json_object_get_string(label);

                if (value && make_key(key, 'l', name, value))
                        app = better(app, find(apps, key, workload));
        }
        return app;
}

static const struct app *find_binding(const struct apps *apps, const struct workload *workload) {
        const char kind = workload->kind == WORKLOAD_VM ? 'v' : 'c';
        const struct app *app;

        if (map_size(apps->claims) == 0 ||
                        (workload->kind != WORKLOAD_VM && workload->kind != WORKLOAD_CONTAINER))
                return NULL;
        app = better(find_name(apps, kind, workload->name), find_name(apps, kind, workload->id));
        return kind == 'c' ? better(app, find_labels(apps, workload)) : app;
}

const char *apps_slug_of(const struct apps *apps, const struct workload *workload) {
        static const char *const labels[] = { "virtwatch.slug", "com.docker.compose.project" };
        const struct app *app = find_binding(apps, workload);
        struct json_object *label;

        if (app)
                return app->slug;
        for (size_t i = 0; workload->labels && i < ARRAY_SIZE(labels); i++) {
                const char *slug;

                if (!json_object_object_get_ex(workload->labels, labels[i], &label))
                        continue;
                slug = json_object_get_string(label);
                if (slug && app_slug_is_valid(slug))
                        return slug;
        }
        return NULL;
}
