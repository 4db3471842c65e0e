/* The JSON answers. */

#include <string.h>

#include "api/health.h"
#include "api/http_internal.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "engine/feed.h"
#include "engine/tracker.h"
#include "store/journal.h"
#include "virtwatch/virtwatch.h"

enum MHD_Result rest_answer_json(
                struct http_request *request, unsigned int status, struct json_object *object) {
        const char *text = object ? json_text(object) : NULL;

        if (!text)
                return MHD_NO;
        return http_answer(request, status, "application/json", text, strlen(text));
}

enum MHD_Result rest_health(struct http_request *request, const char *id) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        const struct api_context *api = request->http->api;
        uint64_t now_us = clock_monotonic_us(), held_up_us = health_held_up_us(api, now_us);

        (void) json_add_string(object, "status", held_up_us ? "late" : "ok");
        (void) json_add_uint(object, "uptime_secs", (now_us - api->started_us) / USEC_PER_SEC);
        (void) json_add_string(object, "version", VIRTWATCH_VERSION);
        if (held_up_us)
                (void) json_add_uint(object, "held_up_secs", held_up_us / USEC_PER_SEC);
        return rest_answer_json(
                        request, held_up_us ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, object);
}

enum MHD_Result rest_ready(struct http_request *request, const char *id) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        struct json_object *sources = json_object_new_object(), *one;
        const struct api_context *api = request->http->api;
        unsigned int not_ready = api_not_ready(api);
        struct tracker_source *source;
        int error = health_analytics_error(api);
        char words[HEALTH_WORDS_MAX];

        (void) json_add_bool(object, "ready", not_ready == 0);
        (void) json_add(object, "sources", sources);
        (void) json_add(object, "store", health_store_to_json(api));
        if (error < 0)
                (void) json_add_string(object, "analytics", health_error_words(error, words));
        list_for_each(source, tracker_sources(api->tracker), list) {
                one = json_object_new_object();
                (void) json_add_string(one, "state", source_state_to_string(source->state));
                (void) json_add_string(one, "error", source->error);
                (void) json_add_time(one, "since", source->since_us);
                (void) json_add_bool(one, "required", source->required);
                (void) json_add(sources, source->name, one);
        }
        return rest_answer_json(
                        request, not_ready ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, object);
}

enum MHD_Result rest_version(struct http_request *request, const char *id) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        struct json_object *features = json_object_new_array();
        const char *const *feature = request->http->api->features;

        (void) json_add_string(object, "version", VIRTWATCH_VERSION);
        (void) json_add_string(object, "node", request->http->api->node_name);
        for (; feature && *feature; feature++)
                (void) json_object_array_add(features, json_object_new_string(*feature));
        (void) json_add(object, "features", features);
        return rest_answer_json(request, MHD_HTTP_OK, object);
}

static bool wanted(const char *filter, const char *value) {
        return !filter || strcmp(filter, value) == 0;
}

enum MHD_Result rest_workloads(struct http_request *request, const char *id) {
        const char *kind = http_query(request, "kind"), *state = http_query(request, "state");
        _cleanup_(json_putp) struct json_object *array = json_object_new_array();
        const char *source = http_query(request, "source"), *name = http_query(request, "name");
        struct workload *workload;

        if (kind && workload_kind_from_string(kind) < 0)
                return http_bad_request(request, "kind is vm, container or unit");
        if (state && workload_state_from_string(state) < 0)
                return http_bad_request(request,
                                "state is unknown, created, starting, running, paused, stopping, stopped or failed");
        inventory_for_each(workload, tracker_inventory(request->http->api->tracker)) if (
                        wanted(kind, workload_kind_to_string(workload->kind)) &&
                        wanted(state, workload_state_to_string(workload->state)) &&
                        wanted(source, workload->source) && wanted(name, workload->name) &&
                        http_caller_sees(request, workload))(void) json_object_array_add(array,
                        view_workload(request->http->api, workload, false));
        return rest_answer_json(request, MHD_HTTP_OK, array);
}

enum MHD_Result rest_workload(struct http_request *request, const char *id) {
        struct workload *workload =
                        inventory_find_any(tracker_inventory(request->http->api->tracker), id);
        _cleanup_(json_putp) struct json_object *object = NULL;

        if (!workload)
                return http_error(request, MHD_HTTP_NOT_FOUND, "not_found",
                                "there is no workload of that id or name");
        object = view_workload(request->http->api, workload, true);
        return rest_answer_json(request, MHD_HTTP_OK, object);
}

/* ---- a page of events ---- */

struct page_wait {
        struct http_wait wait; /* first */
        bool newest;
        uint64_t after; /* what the client had before */
        uint64_t last;  /* the newest event there was when the page was asked for */
};

/* What the value of a query's @field, which was refused, may be. */
static const char *allowed(const char *field) {
        static_assert(VW_EVENTS_PAGE_MAX == 1000 && EVENT_NAME_MAX == 512, "as said below");
        static const struct {
                const char *field, *allowed;
        } rules[] = {
                { "kind", "is vm, container, unit, probe, source or app" },
                { "severity", "is info, warning or error" },
                { "since", "is a time such as 2026-06-07T12:00:00Z, or a span such as 10m or 2h" },
                { "limit", "is a number from 1 to 1000" },
                { "after", "is a sequence number" },
                { "before", "is a sequence number" },
                { "Last-Event-ID", "is a sequence number" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
                if (strcmp(rules[i].field, field) == 0)
                        return rules[i].allowed;
        return "is at most 512 bytes";
}

enum MHD_Result rest_query_refused(struct http_request *request, const char *field) {
        char message[160];

        (void) snprintf(message, sizeof(message), "%s: %s", field, allowed(field));
        return http_bad_request(request, message);
}

static int since(const char *text, uint64_t *ret_since_us) {
        uint64_t span_us;

        if (clock_parse_rfc3339(text, ret_since_us) >= 0)
                return 0;
        if (clock_parse_span(text, &span_us) < 0 || span_us > clock_realtime_us())
                return -EINVAL;
        *ret_since_us = clock_realtime_us() - span_us;
        return 0;
}

int rest_filter(struct http_request *request, struct event_filter *ret_filter,
                const char **ret_field) {
        struct event_filter filter = {};
        const struct {
                const char *name;
                char **field;
        } fields[] = { { "kind", &filter.kind }, { "name", &filter.name },
                { "action", &filter.action }, { "slug", &filter.slug },
                { "workload", &filter.workload }, { "severity", &filter.severity } };
        const char *text;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(fields); i++) {
                text = http_query(request, fields[i].name);
                if (!text)
                        continue;
                *ret_field = fields[i].name;
                *fields[i].field = strdup(text);
                r = *fields[i].field ? 0 : -ENOMEM;
                if (strlen(text) > EVENT_NAME_MAX)
                        r = -EINVAL;
        }
        if (r >= 0 && filter.kind && event_kind_from_string(filter.kind) < 0) {
                *ret_field = "kind";
                r = -EINVAL;
        }
        if (r >= 0 && filter.severity && severity_from_string(filter.severity) < 0) {
                *ret_field = "severity";
                r = -EINVAL;
        }
        text = http_query(request, "since");
        if (r >= 0 && text) {
                *ret_field = "since";
                r = since(text, &filter.since_us);
        }
        if (r < 0) {
                event_filter_done(&filter);
                return r;
        }
        filter.limit = limit_ref(http_caller_get(request)->limit);
        *ret_filter = filter;
        return 0;
}

/* An empty page leads on from where it began, not back to the first event. Who goes on behind
 * last_seq, as a stream, gets what is in no page, and nothing twice: events are published while a
 * page is read, and may be in it or not. */
static int render_page(struct buf *buf, struct event *const *events, size_t n,
                const struct page_wait *wait) {
        uint64_t newest = n > 0 ? events[wait->newest ? 0 : n - 1]->seq : 0;
        uint64_t last_seq = newest > wait->last ? newest : wait->last;
        uint64_t next = wait->newest ? last_seq : wait->after;
        int r;

        r = buf_append_str(buf, "{\"events\":[");
        for (size_t i = 0; r >= 0 && i < n; i++) {
                const struct event *event =
                                events[wait->newest ? n - 1 - i : i]; /* always the oldest first */

                next = event->seq;
                r = buf_printf(buf, "%s%s", i ? "," : "", event->json);
        }
        if (r >= 0)
                r = buf_printf(buf, "],\"next_after\":%ju,\"last_seq\":%ju}", (uintmax_t) next,
                                (uintmax_t) last_seq);
        return r;
}

static void page_done(int error, struct event *const *events, size_t n, void *userdata) {
        _cleanup_(freep) struct page_wait *page = userdata;
        const struct http_request *request = page->wait.request;
        _cleanup_(buf_done) struct buf text = BUF_INIT(64U << 20);

        if (request && error >= 0) {
                uint64_t published = feed_last_seq(request->http->api->feed);

                /* What is durable, but not published yet, comes with the next page or the stream.
                 */
                while (n > 0 && events[page->newest ? 0 : n - 1]->seq > published) {
                        events += page->newest;
                        n--;
                }
                error = render_page(&text, events, n, page);
        }
        if (error < 0) {
                http_error_later(&page->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "the journal cannot be read");
        } else {
                http_answer_later(&page->wait, MHD_HTTP_OK, "application/json", &text);
        }
}

static bool wants_stream(struct http_request *request) {
        const char *accept = http_header(request, MHD_HTTP_HEADER_ACCEPT);

        return accept && strstr(accept, "text/event-stream");
}

static int read_query(
                struct http_request *request, struct journal_query *query, const char **ret_field) {
        const char *limit = http_query(request, "limit"), *after = http_query(request, "after"),
                   *before = http_query(request, "before");
        const char *newest = http_query(request, "newest");
        uint64_t value = VW_EVENTS_PAGE_DEFAULT;

        *ret_field = "limit";
        if (limit && (text_to_u64(limit, &value) < 0 || value < 1 || value > VW_EVENTS_PAGE_MAX))
                return -EINVAL;
        query->limit = (unsigned int) value;
        *ret_field = "after";
        if (after && (text_to_u64(after, &query->after_seq) < 0 || query->after_seq > INT64_MAX))
                return -EINVAL;
        *ret_field = "before";
        if (before &&
                        (text_to_u64(before, &query->before_seq) < 0 ||
                                        query->before_seq > INT64_MAX))
                return -EINVAL;
        query->newest_first = before || (newest && strcmp(newest, "0") != 0);
        return rest_filter(request, &query->filter, ret_field);
}

enum MHD_Result rest_events(struct http_request *request, const char *id) {
        const char *stream = http_query(request, "stream");
        struct journal_query query = {};
        struct page_wait *wait;
        const char *field;
        int r;

        if (stream && strcmp(stream, "samples") != 0 && strcmp(stream, "events") != 0)
                return http_bad_request(request, "stream is events or samples");
        if (stream && strcmp(stream, "samples") == 0)
                return sse_samples_open(request);
        if (wants_stream(request))
                return sse_open(request);
        if (read_query(request, &query, &field) < 0)
                return rest_query_refused(request, field);
        wait = calloc(1, sizeof(*wait));
        r = wait ? 0 : -ENOMEM;
        if (r >= 0) {
                wait->newest = query.newest_first;
                wait->after = query.after_seq;
                wait->last = feed_last_seq(request->http->api->feed);
                /* What is durable, but not published yet, is not to take the place of what is. */
                if (query.newest_first && query.before_seq == 0 && wait->last > 0)
                        query.before_seq = wait->last + 1;
                r = journal_read(request->http->api->journal, &query, page_done, wait);
        }
        event_filter_done(&query.filter);
        if (r < 0) {
                free(wait);
                return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "busy",
                                "too many reads at once, try again");
        }
        return http_wait(request, &wait->wait);
}
