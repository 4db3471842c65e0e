#pragma once
/* An app as faces show it. */

#include <json-c/json.h>

#include "api/api.h"

/** The object of GET /api/app-gateway/apps/{slug} and of Describe(): the binding and the workloads
 * that it has now; or, without a binding, what labels say. Caller puts; NULL: neither. */
struct json_object *view_app(const struct api_context *api, const char *slug);

/** An array of them: those bound in order of slug, then those that labels alone say; of both those
 * that @sees. Caller puts; NULL: no memory. */
struct json_object *view_apps(const struct api_context *api,
                bool (*sees)(const char *slug, void *userdata), void *userdata);

/** Call @each for every app once: those bound in order of slug, then those that labels alone say.
 * Return: 0; -ENOMEM, some were not told. */
int view_for_each_slug(const struct api_context *api,
                void (*each)(const char *slug, void *userdata), void *userdata);
