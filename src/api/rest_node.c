/* Nodes: this host. */

#include <string.h>

#include "api/http_internal.h"
#include "api/view_node.h"
#include "base/json.h"

enum MHD_Result rest_nodes(struct http_request *request, const char *name) {
        _cleanup_(json_putp) struct json_object *array = json_object_new_array();
        struct json_object *node = view_node(request->http->api, false);

        if (!array || !node) {
                (void) json_object_put(node);
                return MHD_NO;
        }
        (void) json_object_array_add(array, node);
        return rest_answer_json(request, MHD_HTTP_OK, array);
}

enum MHD_Result rest_node(struct http_request *request, const char *name) {
        _cleanup_(json_putp) struct json_object *node = NULL;

        if (strcmp(name, request->http->api->node_name) != 0)
                return http_error(request, MHD_HTTP_NOT_FOUND, "not_found",
                                "there is no node of that name");
        node = view_node(request->http->api, true);
        return rest_answer_json(request, MHD_HTTP_OK, node);
}
