/* Origins and tags. */

#include "api/http_cors.h"

#include <string.h>

#include "api/http_internal.h"

static const char *allowed_origin(struct http_request *request) {
        const struct http *http = request->http;
        const char *origin = http_header(request, "Origin");

        for (size_t i = 0; origin && i < http->config.n_cors_origins; i++)
                if (strcmp(http->cors_origins[i], origin) == 0)
                        return origin;
        return NULL;
}

void http_cors_add(struct http_request *request, struct MHD_Response *response) {
        const char *origin = allowed_origin(request);

        if (request->http->config.n_cors_origins == 0)
                return;
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Origin");
        if (!origin)
                return;
        (void) MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
        (void) MHD_add_response_header(response, "Access-Control-Expose-Headers", "ETag");
}

bool http_cors_is_preflight(struct http_request *request, const char *method) {
        return strcmp(method, "OPTIONS") == 0 && allowed_origin(request) &&
                        http_header(request, "Access-Control-Request-Method");
}

/* FNV-1a: a tag only has to differ where the body does; nobody gains by making two alike. */
const char *http_etag(const char *text, size_t size, char etag[static HTTP_ETAG_MAX]) {
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < size; i++)
                hash = (hash ^ (unsigned char) text[i]) * UINT64_C(0x100000001b3);
        (void) snprintf(etag, HTTP_ETAG_MAX, "W/\"%016jx\"", (uintmax_t) hash);
        return etag;
}

bool http_etag_matches(struct http_request *request, const char *etag) {
        const char *known = http_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);

        /* The weak comparison: with or without W/. */
        return known && (strcmp(known, "*") == 0 || strstr(known, etag + strlen("W/")));
}
