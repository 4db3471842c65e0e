#pragma once
/* What the client would like: the Accept and Accept-Encoding fields (RFC 9110 section 12.5). Pure;
 * what cannot be read is as if it were not there. */

#include "base/macro.h"

/** Whether Accept's text asks for OpenMetrics 1.0 at least as much as for text/plain. NULL: no such
 * field. */
bool http_accepts_openmetrics(const char *accept);

/** Whether Accept-Encoding's text allows gzip, and not less than no encoding at all. NULL: no such
 * field. */
bool http_accepts_gzip(const char *accept_encoding);
