/* Apps as JSON. */

#include "api/view_app.h"

#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "engine/apps.h"
#include "engine/tracker.h"

/* Takes @workloads. @app NULL: it is known by its workloads' labels alone. */
static struct json_object *describe(
                const struct app *app, const char *slug, struct json_object *workloads) {
        struct app unbound = {};
        struct json_object *object;

        (void) snprintf(unbound.slug, sizeof(unbound.slug), "%s", slug);
        object = app_to_json(app ? app : &unbound);
        (void) json_add_string(
                        object, "origin", app ? app->configured ? "config" : "api" : "label");
        (void) json_add(object, "workloads", workloads);
        return object;
}

struct json_object *view_app(const struct api_context *api, const char *slug) {
        const struct app *app = apps_get(api->apps, slug);
        struct json_object *workloads = json_object_new_array();
        const struct workload *workload;

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
        return describe(app, slug, workloads);
}

/* ---- all of them, in one walk ---- */

struct listing {
        struct map *members; /* by slug: arrays of workloads' ids */
        struct json_object *array;
        bool (*sees)(const char *slug, void *userdata);
        void *userdata;
};

static int add_member(struct listing *listing, const char *slug, const char *id) {
        struct json_object *ids = map_get(listing->members, slug);
        int r;

        if (!ids) {
                ids = json_object_new_array();
                r = ids ? map_put(listing->members, slug, ids) : -ENOMEM;
                if (r < 0) {
                        (void) json_object_put(ids);
                        return r;
                }
        }
        return json_object_array_add(ids, json_object_new_string(id)) < 0 ? -ENOMEM : 0;
}

static void list_bound(const struct app *app, void *userdata) {
        const struct listing *listing = userdata;
        struct json_object *ids = map_remove(listing->members, app->slug);

        if (listing->sees(app->slug, listing->userdata)) {
                (void) json_object_array_add(listing->array,
                                describe(app, app->slug, ids ? ids : json_object_new_array()));
        } else {
                (void) json_object_put(ids);
        }
}

/* Those that only labels name come last. */
static void list_labelled(struct listing *listing) {
        const struct lh_entry *entry, *next;

        for (entry = map_table(listing->members)->head; entry; entry = next) {
                const char *slug = lh_entry_k(entry);
                struct json_object *ids = lh_entry_v(entry);

                next = entry->next;
                if (listing->sees(slug, listing->userdata))
                        (void) json_object_array_add(listing->array, describe(NULL, slug, ids));
                else
                        (void) json_object_put(ids);
        }
}

struct json_object *view_apps(const struct api_context *api,
                bool (*sees)(const char *slug, void *userdata), void *userdata) {
        struct listing listing = { .sees = sees, .userdata = userdata };
        _cleanup_(map_freep) struct map *members = NULL;
        const struct workload *workload;
        int r;

        r = map_new(&members);
        if (r < 0)
                return NULL;
        listing.members = members;
        listing.array = json_object_new_array();
        inventory_for_each(workload, tracker_inventory(api->tracker)) {
                const char *slug = apps_slug_of(api->apps, workload);

                if (r >= 0 && slug)
                        r = add_member(&listing, slug, workload->id);
        }
        apps_for_each(api->apps, list_bound, &listing);
        list_labelled(&listing);
        if (r >= 0)
                return listing.array;
        (void) json_object_put(listing.array);
        return NULL;
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
