#pragma once
/* What became of the daemon's own spans. */

struct api_context;
struct exposition;

void metrics_trace(struct exposition *exposition, const struct api_context *api);
