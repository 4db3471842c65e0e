/* Events: copied in once, clean; rendered once, when numbered. */

#include "model/event.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "model/limit.h"

static int copy_clean(char **to, const char *from, size_t max) {
        if (!from)
                from = "";
        return text_sanitize(from, strlen(from), max, to);
}

int event_new(const struct event_fields *fields, struct event **ret_event) {
        _cleanup_(event_unrefp) struct event *event = NULL;
        const char *details;
        int r;

        event = calloc(1, sizeof(*event));
        if (!event) {
                (void) json_object_put(fields->details);
                return -ENOMEM;
        }

        event->refs = 1;
        event->time_us = fields->time_us;
        event->kind = fields->kind;
        event->severity = fields->severity;
        event->synthetic = fields->synthetic;
        event->details = fields->details ? fields->details : json_object_new_object();
        if (!event->details)
                return -ENOMEM;
        details = json_text(event->details);
        if (!details)
                return -ENOMEM;
        if (strlen(details) > EVENT_DETAILS_MAX)
                return -E2BIG;

        r = copy_clean(&event->name, fields->name, EVENT_NAME_MAX);
        if (r >= 0)
                r = copy_clean(&event->action, fields->action, EVENT_ACTION_MAX);
        if (r >= 0)
                r = copy_clean(&event->message, fields->message, EVENT_MESSAGE_MAX);
        if (r >= 0)
                r = copy_clean(&event->workload, fields->workload, EVENT_NAME_MAX);
        if (r >= 0)
                r = copy_clean(&event->slug, fields->slug, EVENT_ACTION_MAX);
        if (r >= 0)
                r = copy_clean(&event->source, fields->source, EVENT_NAME_MAX);
        if (r >= 0)
                r = copy_clean(&event->origin, fields->origin, EVENT_NAME_MAX);
        if (r < 0)
                return r;

        *ret_event = TAKE_PTR(event);
        return 0;
}

struct event *event_ref(struct event *event) {
        (void) __atomic_fetch_add(&event->refs, 1, __ATOMIC_RELAXED);
        return event;
}

struct event *event_unref(struct event *event) {
        if (!event || __atomic_sub_fetch(&event->refs, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;

        free(event->name);
        free(event->action);
        free(event->message);
        free(event->workload);
        free(event->slug);
        free(event->source);
        free(event->origin);
        (void) json_object_put(event->details);
        free(event->json);
        free(event);
        return NULL;
}

static int add_details(struct json_object *object, struct json_object *details) {
        json_object_object_foreach(details, name, value) {
                if (json_object_object_get_ex(object, name, NULL))
                        continue; /* never instead of a member of the contract */
                if (json_object_object_add(object, name, json_object_get(value)) < 0) {
                        (void) json_object_put(value);
                        return -ENOMEM;
                }
        }
        return 0;
}

static int render(const struct event *event, struct json_object *object) {
        char time[CLOCK_RFC3339_MAX];
        int r;

        r = json_add_string(object, "timestamp", clock_format_rfc3339(event->time_us, time));
        if (r >= 0)
                r = json_add_string(object, "kind", event_kind_to_string(event->kind));
        if (r >= 0)
                r = json_add_string(object, "name", event->name);
        if (r >= 0)
                r = json_add_string(object, "action", event->action);
        if (r >= 0)
                r = json_add_string(object, "message", event->message);
        if (r >= 0)
                r = json_add_uint(object, "seq", event->seq);
        if (r >= 0)
                r = json_add_string(object, "severity", severity_to_string(event->severity));
        if (r >= 0)
                r = json_add_string(object, "id", event->workload);
        if (r >= 0)
                r = json_add_string(object, "source", event->source);
        if (r >= 0 && event->slug[0])
                r = json_add_string(object, "slug", event->slug);
        if (r >= 0 && event->synthetic)
                r = json_add_bool(object, "synthetic", true);
        return r < 0 ? r : add_details(object, event->details);
}

int event_set_seq(struct event *event, uint64_t seq) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        const char *text;
        char *copy;
        int r;

        if (!object)
                return -ENOMEM;
        event->seq = seq;
        r = render(event, object);
        if (r < 0)
                return r;

        text = json_text(object);
        copy = text ? strdup(text) : NULL;
        if (!copy)
                return -ENOMEM;
        free(event->json);
        event->json = copy;
        event->json_size = strlen(copy);
        return 0;
}

static bool is_upper(char c) {
        return c >= 'A' && c <= 'Z';
}

void event_timeline_kind(const char *action, char kind[static EVENT_TIMELINE_KIND_MAX + 1]) {
        size_t n = 0;

        for (const char *c = action; *c && n + 1 < EVENT_TIMELINE_KIND_MAX; c++) {
                if (c > action && is_upper(c[0]) && c[1] >= 'a')
                        kind[n++] = '_';
                kind[n++] = *c == '-' ? '_' : is_upper(*c) ? (char) (*c | 0x20) : *c;
        }
        kind[n] = '\0';
}

static bool matches(const char *wanted, const char *has) {
        return !wanted || strcmp(wanted, has) == 0;
}

static bool is_called(const char *wanted, const char *action) {
        char kind[EVENT_TIMELINE_KIND_MAX + 1];

        if (!wanted)
                return true;
        event_timeline_kind(action, kind);
        return strcmp(wanted, kind) == 0;
}

/* Names are those of workloads only where the event is about one. */
static bool is_within(const struct limit *limit, const struct event *event) {
        return limit_has_workload(limit, event->workload,
                        event->kind < EVENT_PROBE ? event->name : NULL, event->slug);
}

bool event_filter_match(const struct event_filter *filter, const struct event *event) {
        return event->time_us >= filter->since_us &&
                        matches(filter->kind, event_kind_to_string(event->kind)) &&
                        matches(filter->name, event->name) &&
                        matches(filter->action, event->action) &&
                        matches(filter->slug, event->slug) &&
                        matches(filter->workload, event->workload) &&
                        matches(filter->severity, severity_to_string(event->severity)) &&
                        matches(filter->origin, event->origin) &&
                        is_called(filter->timeline_kind, event->action) &&
                        (!filter->limit || is_within(filter->limit, event));
}

void event_filter_done(struct event_filter *filter) {
        free(filter->kind);
        free(filter->name);
        free(filter->action);
        free(filter->slug);
        free(filter->workload);
        free(filter->severity);
        free(filter->origin);
        free(filter->timeline_kind);
        limit_unref(filter->limit);
        *filter = (struct event_filter){};
}
