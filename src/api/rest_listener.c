/* What the daemon listens on, and whom clients must trust for it. */

#include "api/http_internal.h"
#include "api/tls_context.h"
#include "base/clock.h"
#include "base/json.h"

enum MHD_Result rest_ca(struct http_request *request, const char *id) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        const char *pem = request->http->api->ca;

        if (!pem)
                return http_error(request, MHD_HTTP_NOT_FOUND, "not_found",
                                "the certificate is not of this daemon's making");
        (void) json_add_string(object, "pem", pem);
        return rest_answer_json(request, MHD_HTTP_OK, object);
}

static struct json_object *services_of(const struct http_listener *listener) {
        static const unsigned int bits[] = { LISTENER_API, LISTENER_METRICS, LISTENER_HEALTH };
        struct json_object *list = json_object_new_array();
        char name[LISTENER_SERVES_MAX];

        for (size_t i = 0; list && i < ARRAY_SIZE(bits); i++) {
                if (listener->spec.serves & bits[i]) {
                        (void) json_object_array_add(list,
                                        json_object_new_string(
                                                        listener_serves_to_string(bits[i], name)));
                }
        }
        return list;
}

enum MHD_Result rest_listeners(struct http_request *request, const char *id) {
        _cleanup_(json_putp) struct json_object *list = json_object_new_array();
        const struct http *http = request->http;
        char time[CLOCK_RFC3339_MAX];

        for (size_t i = 0; i < http->n_listeners; i++) {
                const struct http_listener *listener = http->listeners[i];
                const bool is_web = http_listener_has_web(listener);
                const struct tls_context *tls = is_web && http->config.web_tls
                                ? http->config.web_tls
                                : http->config.tls;
                struct json_object *one = json_object_new_object();

                (void) json_add_string(one, "address", listener->address);
                (void) json_add(one, "serves", services_of(listener));
                (void) json_add_bool(one, "tls", http_listener_has_tls(listener));
                if (http_listener_has_tls(listener)) {
                        (void) json_add_string(one, "certificate_expires",
                                        clock_format_rfc3339((uint64_t) tls_context_expires(tls) *
                                                                        USEC_PER_SEC,
                                                        time));
                }
                (void) json_object_array_add(list, one);
        }
        return rest_answer_json(request, MHD_HTTP_OK, list);
}
