/* Apps as JSON. */

#include "api/view_app.h"

#include <string.h>

#include "base/json.h"
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
