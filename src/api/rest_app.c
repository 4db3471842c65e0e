/* The paths of one app: /api/app-gateway/. */

#include <string.h>

#include "api/http_internal.h"
#include "api/view.h"
#include "base/json.h"
#include "engine/sampler.h"
#include "engine/tracker.h"

enum MHD_Result rest_app_metrics(struct http_request *request, const char *slug) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        const struct api_context *api = request->http->api;
        const char *name = http_query(request, "vm_name");
        struct json_object *allocation;
        const struct workload *workload;
        const struct series *series;

        if (!name || !name[0])
                return http_error(request, MHD_HTTP_NOT_FOUND, "not_found",
                                "no app of that slug is bound to a workload; give ?vm_name=");
        workload = inventory_find_any(tracker_inventory(api->tracker), name);
        if (!workload)
                return http_error(request, MHD_HTTP_NOT_FOUND, "not_found",
                                "there is no workload of the id or name in vm_name");
        series = api->sampler ? sampler_get(api->sampler, workload->id) : NULL;
        allocation = view_allocation(series);
        (void) json_object_object_add(object, "allocation", allocation);
        (void) json_add(object, "samples", view_samples(series, 0));
        return rest_answer_json(request, MHD_HTTP_OK, object);
}
