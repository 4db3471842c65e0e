#pragma once
/* Pages of other origins, as far as the configuration lets them in (Fetch standard, 3.2 "CORS
 * protocol"), and answers that a client may have already (RFC 9110, 13.1.2). No cookies are ever
 * used, so no origin gets more than it has a token for. */

#include <microhttpd.h>

#include "base/macro.h"

struct http_request;

/** Headers for the origin of the request, if it is one that is let in. */
void http_cors_add(struct http_request *request, struct MHD_Response *response);

/** Whether @request asks what it may ask (a preflight) from an origin that is let in. */
bool http_cors_is_preflight(struct http_request *request, const char *method);

#define HTTP_ETAG_MAX 24

/** The weak tag of a body: W/"…", since it may be compressed on its way. */
const char *http_etag(const char *text, size_t size, char etag[static HTTP_ETAG_MAX]);
/** Whether the client has that one: If-None-Match. */
bool http_etag_matches(struct http_request *request, const char *etag);
