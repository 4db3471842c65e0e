#pragma once
/* The host's own numbers as metrics, from memory. */

struct api_context;
struct exposition;

void metrics_node(struct exposition *exposition, const struct api_context *api);
