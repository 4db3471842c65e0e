#pragma once
/* What the proxy's access logs tell, as metrics: by host, and how the reading of them goes. */

#include "api/api.h"
#include "api/exposition.h"

/** Writes nothing where request analytics are not configured. */
void metrics_proxy(struct exposition *exposition, const struct api_context *api);
