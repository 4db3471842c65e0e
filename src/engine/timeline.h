#pragma once
/* The timeline of an app: what people and tools post, as events that go the same way as all others.
 * Their kinds are open; what is known of them is checked here, before anything is stored. */

#include <json-c/json.h>

#include "base/diag.h"
#include "model/event.h"

#define TIMELINE_MESSAGE_MAX  1000
#define TIMELINE_METADATA_MAX 8192 /* bytes of JSON */
#define TIMELINE_KEY_MAX      128

/**
 * Make the event of a POST body: {"kind","severity","message","metadata"}.
 *
 * @key: the Idempotency-Key; NULL: none
 *
 * Return: 0; -EINVAL with the member and what is allowed in @diag; -ENOMEM.
 */
int timeline_parse(const char *slug, const char *key, struct json_object *object, uint64_t now_us,
                struct diag *diag, struct event **ret_event);

/** The frozen shape: {"event_id","slug","kind","at","severity","message","metadata"}. Caller puts;
 * NULL: no memory. */
struct json_object *timeline_to_json(const struct event *event);
