/* Apps as JSON. */

#include "api/view_app.h"

#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "engine/apps.h"
#include "engine/tracker.h"

struct json_object *view_app(const struct api_context *api, const char *slug) {
        const struct app *app = apps_get(api->apps, slug);
        struct json_object *object, *workloads = json_object_new_array();
        const struct workload *workload;
        struct app unbound = {}; /* known by its workloads' labels alone */

        inventory_for_each(workload, tracker_inventory(api->tracker)) {
                const char *own = apps_slug_of(api->apps, workload);

                if (own && strcmp(own, slug) == 0)
                        (void) json_object_array_add(
                                        workloads, json_object_new_string(workload->id));
        }
        if (!app && json_object_array_length(workloads) == 0) {
                (void) json_object_put(workloads);
                return NULL;
        }
        (void) snprintf(unbound.slug, sizeof(unbound.slug), "%s", slug);
        object = app_to_json(app ? app : &unbound);
        (void) json_add_string(
                        object, "origin", app ? app->configured ? "config" : "api" : "label");
        (void) json_add(object, "workloads", workloads);
        return object;
}

struct slugs {
        struct map *seen;
        void (*each)(const char *slug, void *userdata);
        void *userdata;
        int error;
};

static void tell(struct slugs *slugs, const char *slug) {
        int r = map_put(slugs->seen, slug, slugs);

        if (r >= 0)
                slugs->each(slug, slugs->userdata);
        else if (r != -EEXIST)
                slugs->error = r;
}

static void tell_bound(const struct app *app, void *userdata) {
        tell(userdata, app->slug);
}

int view_for_each_slug(const struct api_context *api,
                void (*each)(const char *slug, void *userdata), void *userdata) {
        struct slugs slugs = { .each = each, .userdata = userdata };
        _cleanup_(map_freep) struct map *seen = NULL;
        const struct workload *workload;
        int r;

        r = map_new(&seen);
        if (r < 0)
                return r;
        slugs.seen = seen;
        apps_for_each(api->apps, tell_bound, &slugs);
        inventory_for_each(workload, tracker_inventory(api->tracker)) {
                const char *slug = apps_slug_of(api->apps, workload);

                if (slug)
                        tell(&slugs, slug);
        }
        return slugs.error;
}
