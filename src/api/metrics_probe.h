#pragma once
/* What probes found, under the names of blackbox exporters, and how the prober does. */

struct api_context;
struct exposition;

void metrics_probe(struct exposition *exposition, const struct api_context *api);
