/* Posted events in, timeline rows out. */

#include "engine/timeline.h"

#include <ctype.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

/* [a-z][a-z0-9_]{0,63} */
static bool is_kind(const char *text) {
        size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");

        return n > 0 && n <= EVENT_ACTION_MAX && text[n] == '\0' &&
                        islower((unsigned char) text[0]);
}

/* As it is stored: two that differ must not become one there. */
static bool is_key(const char *text) {
        const size_t n = strlen(text);

        for (size_t i = 0; i < n; i++)
                if (iscntrl((unsigned char) text[i]))
                        return false;
        return n > 0 && n <= TIMELINE_KEY_MAX && text_is_utf8(text, n);
}

struct parts {
        const char *kind, *message;
        int severity;
        struct json_object *metadata;
};

static int take(struct parts *parts, const char *name, struct json_object *value,
                struct diag *diag) {
        const char *text = json_whole_string(value);

        if (strcmp(name, "kind") == 0) {
                if (!text || !is_kind(text))
                        return diag_refuse(diag, name,
                                        "wants 1 to 64 of a-z, 0-9 and _, a letter first");
                parts->kind = text;
        } else if (strcmp(name, "severity") == 0) {
                parts->severity = text ? severity_from_string(text) : -EINVAL;
                if (parts->severity < 0)
                        return diag_refuse(diag, name, "is info, warning or error");
        } else if (strcmp(name, "message") == 0) {
                if (!text || strlen(text) > TIMELINE_MESSAGE_MAX)
                        return diag_refuse(diag, name, "wants a text of at most 1000 bytes");
                parts->message = text;
        } else if (strcmp(name, "metadata") == 0) {
                if (!json_object_is_type(value, json_type_object) ||
                                strlen(json_text(value)) > TIMELINE_METADATA_MAX)
                        return diag_refuse(diag, name, "wants an object of at most 8192 bytes");
                parts->metadata = value;
        } else {
                diag_set(diag, 0, 0,
                                "%.64s: there is no such member; there are kind, severity, message and metadata",
                                name);
                return -EINVAL;
        }
        return 0;
}

int timeline_parse(const char *slug, const char *key, struct json_object *object, uint64_t now_us,
                struct diag *diag, struct event **ret_event) {
        struct parts parts = { .message = "", .severity = SEVERITY_INFO };
        struct json_object *details;
        char origin[TIMELINE_KEY_MAX + 80]; /* "post", the slug, the key */
        int r;

        json_object_object_foreach(object, name, value) {
                r = take(&parts, name, value, diag);
                if (r < 0)
                        return r;
        }
        if (!parts.kind)
                return diag_refuse(diag, "kind", "is missing");
        if (key && !is_key(key))
                return diag_refuse(diag, "Idempotency-Key",
                                "wants 1 to 128 bytes of UTF-8 without control characters");

        details = json_object_new_object();
        if (!details)
                return -ENOMEM;
        if (parts.metadata)
                (void) json_add(details, "metadata", json_object_get(parts.metadata));
        (void) snprintf(origin, sizeof(origin), "post/%s/%s", slug, key ? key : "");
        return event_new(&(struct event_fields){ .time_us = now_us,
                                         .kind = EVENT_APP,
                                         .severity = (enum severity) parts.severity,
                                         .name = slug,
                                         .slug = slug,
                                         .action = parts.kind,
                                         .message = parts.message,
                                         .origin = key ? origin : NULL,
                                         .details = details },
                        ret_event);
}

static struct json_object *metadata_of(const struct event *event) {
        struct json_object *posted = json_get(event->details, "metadata"), *metadata = NULL;

        if (event->kind == EVENT_APP)
                return posted ? json_object_get(posted) : json_object_new_object();
        if (json_object_deep_copy(event->details, &metadata, NULL) < 0)
                return NULL;
        (void) json_add_string(metadata, "name", event->name);
        (void) json_add_string(metadata, "id", event->workload[0] ? event->workload : NULL);
        return metadata;
}

struct json_object *timeline_to_json(const struct event *event) {
        struct json_object *object = json_object_new_object();
        char time[CLOCK_RFC3339_MAX], kind[EVENT_TIMELINE_KIND_MAX + 1], id[24];

        if (!object)
                return NULL;
        (void) snprintf(id, sizeof(id), "evt-%012jx", (uintmax_t) event->seq);
        event_timeline_kind(event->action, kind);
        (void) json_add_string(object, "event_id", id);
        (void) json_add_string(object, "slug", event->slug);
        (void) json_add_string(object, "kind", kind);
        (void) json_add_string(object, "at", clock_format_rfc3339(event->time_us, time));
        (void) json_add_string(object, "severity", severity_to_string(event->severity));
        (void) json_add_string(object, "message", event->message);
        (void) json_add(object, "metadata", metadata_of(event));
        (void) json_add_uint(object, "seq", event->seq);
        return object;
}
