/* The configuration that is in force, without its secrets. */

#include "api/http_internal.h"
#include "base/json.h"

enum MHD_Result rest_config(struct http_request *request, const char *id) {
        const struct api_context *api = request->http->api;
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        struct json_object *keys = api->config ? api->config(api->userdata) : NULL,
                           *loaded = json_object_new_object();

        if (!object || !keys || !loaded) {
                (void) json_object_put(keys);
                (void) json_object_put(loaded);
                return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "there is no memory to tell it");
        }
        (void) json_add_time(loaded, "at", api->loaded.at_us);
        (void) json_add_bool(loaded, "successful", api->loaded.good);
        (void) json_add_time(loaded, "last_success", api->loaded.good_us);
        (void) json_add(object, "last_reload", loaded);
        (void) json_add(object, "keys", keys);
        return rest_answer_json(request, MHD_HTTP_OK, object);
}
