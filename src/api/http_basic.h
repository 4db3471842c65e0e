#pragma once
/* Basic authentication (RFC 7617), where a listener's web configuration has users. */

#include <microhttpd.h>

#include "base/macro.h"

struct http_request;

enum http_basic {
        HTTP_BASIC_OPEN = 0, /* not asked yet; or no need to */
        HTTP_BASIC_GOOD,
        HTTP_BASIC_BAD,
};

/**
 * Whether the request may go on.
 *
 * @ret_result: what to hand back to libmicrohttpd if it may not: it was answered, or sleeps until
 * the password was looked at and is handled anew then
 */
bool http_basic_passes(struct http_request *request, enum MHD_Result *ret_result);
