/* Bindings, and what is found without them. */

#include "engine/apps.h"

#include <string.h>

#include "base/json.h"
#include "base/map.h"

struct apps {
        struct map *by_slug;
};

int apps_new(struct apps **ret_apps) {
        struct apps *apps = calloc(1, sizeof(*apps));
        int r;

        if (!apps)
                return -ENOMEM;
        r = map_new(&apps->by_slug);
        if (r < 0) {
                free(apps);
                return r;
        }
        *ret_apps = apps;
        return 0;
}

struct apps *apps_free(struct apps *apps) {
        struct app *app;

        if (!apps)
                return NULL;
        map_for_each(app, apps->by_slug)
                app_free(app);
        map_free(apps->by_slug);
        free(apps);
        return NULL;
}

int apps_put(struct apps *apps, struct app *app) {
        struct app *old = map_get(apps->by_slug, app->slug);
        int r;

        if (!old && map_size(apps->by_slug) >= APPS_MAX)
                return -ENOSPC;
        (void) map_remove(apps->by_slug, app->slug);
        r = map_put(apps->by_slug, app->slug, app);
        if (r >= 0)
                app_free(old);
        else if (old)
                (void) map_put(apps->by_slug, old->slug, old);
        return r;
}

int apps_remove(struct apps *apps, const char *slug) {
        struct app *app = map_remove(apps->by_slug, slug);

        if (!app)
                return -ENOENT;
        app_free(app);
        return 0;
}

const struct app *apps_get(const struct apps *apps, const char *slug) {
        return map_get(apps->by_slug, slug);
}

size_t apps_size(const struct apps *apps) {
        return map_size(apps->by_slug);
}

static int by_slug(const void *a, const void *b) {
        return strcmp((*(const struct app *const *) a)->slug,
                        (*(const struct app *const *) b)->slug);
}

void apps_for_each(const struct apps *apps, void (*each)(const struct app *app, void *userdata),
                void *userdata) {
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): a list of pointers */
        const struct app **all = calloc(map_size(apps->by_slug) + 1, sizeof(*all));
        const struct app *app;
        size_t n = 0;

        if (!all)
                return;
        map_for_each(app, apps->by_slug)
                all[n++] = app;
        qsort(all, n, sizeof(struct app *), by_slug);
        for (size_t i = 0; i < n; i++)
                each(all[i], userdata);
        free(all);
}

const char *apps_slug_of(const struct apps *apps, const struct workload *workload) {
        static const char *const labels[] = { "virtwatch.slug", "com.docker.compose.project" };
        const struct app *app;
        struct json_object *label;

        map_for_each(app, apps->by_slug)
                if (app_has(app, workload))
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

const char *apps_slug_of_host(const struct apps *apps, const char *host) {
        const struct app *app;

        map_for_each(app, apps->by_slug)
                if (app_has_host(app, host))
                        return app->slug;
        return NULL;
}
