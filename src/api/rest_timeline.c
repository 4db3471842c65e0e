/* The timeline of one app: GET newest first, POST durable before it is answered. Append-only: there
 * is no other method. */

#include <string.h>

#include "api/http_internal.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "engine/apps.h"
#include "engine/timeline.h"
#include "store/journal.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000

struct timeline_wait {
        struct http_wait wait; /* first */
        char slug[APP_SLUG_MAX + 1];
        unsigned int limit;
        struct event *posted; /* what is to be the one that was stored before; NULL: nothing is */
};

static struct timeline_wait *wait_free(struct timeline_wait *wait) {
        if (wait)
                event_unref(wait->posted);
        free(wait);
        return NULL;
}
DEFINE_FREEP(struct timeline_wait, wait_free);

static void answer_object(struct http_wait *wait, unsigned int status, struct json_object *object) {
        _cleanup_(buf_done) struct buf text = BUF_INIT(64U << 20);
        const char *json = object ? json_text(object) : NULL;

        if (!json || buf_append_str(&text, json) < 0) {
                http_error_later(wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "there is no memory for the answer");
        } else {
                http_answer_later(wait, status, "application/json", &text);
        }
}

/* ---- GET ---- */

static void rows_done(int error, struct event *const *events, size_t n, void *userdata) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        struct json_object *rows = json_object_new_array();
        _cleanup_(wait_freep) struct timeline_wait *wait = userdata;

        if (error < 0) {
                http_error_later(&wait->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "the journal cannot be read");
                (void) json_object_put(rows);
                return;
        }
        (void) json_add_string(object, "slug", wait->slug);
        (void) json_add(object, "events", rows);
        for (size_t i = 0; i < n; i++)
                (void) json_object_array_add(rows, timeline_to_json(events[i]));
        if (n == wait->limit)
                (void) json_add_uint(object, "next_before", events[n - 1]->seq);
        answer_object(&wait->wait, MHD_HTTP_OK, object);
}

static enum MHD_Result busy(struct http_request *request) {
        return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                        "the journal takes no more now, try again");
}

/* "before": a sequence number, or an event's id. */
static int read_before(const char *text, uint64_t *ret_seq) {
        static const char digits[] = "0123456789abcdef";
        uint64_t seq = 0;

        if (strncmp(text, "evt-", 4) != 0)
                return text_to_u64(text, ret_seq);
        text += 4;
        if (strlen(text) < 12 || strlen(text) > 16 || strspn(text, digits) != strlen(text))
                return -EINVAL;
        for (; *text; text++)
                seq = seq << 4 | (uint64_t) (strchr(digits, *text) - digits);
        *ret_seq = seq;
        return 0;
}

static enum MHD_Result read_rows(struct http_request *request, struct timeline_wait *wait,
                struct event_filter *filter, uint64_t before) {
        const struct journal_query query = {
                .newest_first = true, .before_seq = before, .limit = wait->limit, .filter = *filter
        };

        if (journal_read(request->http->api->journal, &query, rows_done, wait) < 0) {
                wait_free(wait);
                return busy(request);
        }
        return http_wait(request, &wait->wait);
}

enum MHD_Result rest_timeline(struct http_request *request, const char *slug) {
        const char *limit = http_query(request, "limit"), *before = http_query(request, "before"),
                   *kind = http_query(request, "kind"), *severity = http_query(request, "severity");
        uint64_t n = LIMIT_DEFAULT, before_seq = 0;
        struct event_filter filter = {};
        struct timeline_wait *wait;

        if (!app_slug_is_valid(slug))
                return http_bad_request(request, "slug: wants " APP_SLUG_FORM);
        if (limit && (text_to_u64(limit, &n) < 0 || n < 1 || n > LIMIT_MAX))
                return http_bad_request(request, "limit: is a number from 1 to 1000");
        if (before &&
                        (read_before(before, &before_seq) < 0 || before_seq == 0 ||
                                        before_seq > INT64_MAX))
                return http_bad_request(request, "before: is a sequence number or an event_id");
        if (severity && severity_from_string(severity) < 0)
                return http_bad_request(request, "severity: is info, warning or error");

        wait = calloc(1, sizeof(*wait));
        if (!wait)
                return MHD_NO;
        (void) snprintf(wait->slug, sizeof(wait->slug), "%s", slug);
        wait->limit = (unsigned int) n;
        filter.slug = wait->slug;
        filter.severity = (char *) (uintptr_t) severity;
        filter.timeline_kind = (char *) (uintptr_t) kind;
        return read_rows(request, wait, &filter, before_seq);
}

/* ---- POST ---- */

static void post_done(struct event *event, void *userdata) {
        _cleanup_(json_putp) struct json_object *row = timeline_to_json(event);
        _cleanup_(wait_freep) struct timeline_wait *wait = userdata;

        answer_object(&wait->wait, MHD_HTTP_CREATED, row);
}

/* But for its number and its time. */
static bool says_the_same(const struct event *a, const struct event *b) {
        return strcmp(a->action, b->action) == 0 && a->severity == b->severity &&
                        strcmp(a->message, b->message) == 0 &&
                        json_object_equal(a->details, b->details);
}

/* The row that the same Idempotency-Key has made. */
static void repeated_done(int error, struct event *const *events, size_t n, void *userdata) {
        _cleanup_(json_putp) struct json_object *row = n ? timeline_to_json(events[0]) : NULL;
        _cleanup_(wait_freep) struct timeline_wait *wait = userdata;

        if (error < 0 || n == 0) {
                http_error_later(&wait->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "the journal cannot be read");
        } else if (!says_the_same(events[0], wait->posted)) {
                http_error_later(&wait->wait, MHD_HTTP_UNPROCESSABLE_CONTENT, "key_reused",
                                "Idempotency-Key: another event was posted with it");
        } else {
                answer_object(&wait->wait, MHD_HTTP_OK, row);
        }
}

static int read_repeated(const struct api_context *api, struct timeline_wait *wait, uint64_t seq) {
        const struct event *event = wait->posted;
        const struct journal_query query = { .newest_first = true,
                .before_seq = seq + 1,
                .limit = 1,
                .filter = { .slug = event->slug, .origin = event->origin } };

        return journal_read(api->journal, &query, repeated_done, wait);
}

static enum MHD_Result append(struct http_request *request, struct event *event) {
        _cleanup_(wait_freep) struct timeline_wait *wait = calloc(1, sizeof(*wait));
        const struct api_context *api = request->http->api;
        struct timeline_wait *waiting = wait;
        uint64_t seq;
        int r;

        if (!wait)
                return MHD_NO;
        r = api->post(event, post_done, wait, api->userdata);
        if (r == -EALREADY) {
                seq = api->posted(event->origin, api->userdata);
                if (seq > journal_last_seq(api->journal))
                        return http_error(request, MHD_HTTP_CONFLICT, "in_progress",
                                        "an event with this Idempotency-Key is being stored");
                wait->posted = event_ref(event);
                r = read_repeated(api, wait, seq);
        }
        if (r < 0)
                return busy(request);
        wait = NULL; /* post_done() or repeated_done() has it */
        return http_wait(request, &waiting->wait);
}

enum MHD_Result rest_timeline_post(struct http_request *request, const char *slug) {
        const char *key = http_header(request, "Idempotency-Key");
        _cleanup_(json_putp) struct json_object *object = NULL;
        struct event *event = NULL;
        enum MHD_Result result;
        struct diag diag = {};
        int r;

        if (!app_slug_is_valid(slug))
                return http_bad_request(request, "slug: wants " APP_SLUG_FORM);
        result = http_body_json(request, &object);
        if (!object)
                return result;
        r = timeline_parse(slug, key, object, clock_realtime_us(), &diag, &event);
        if (r == -EINVAL)
                return http_bad_request(request, diag.text);
        if (r < 0)
                return MHD_NO;
        result = append(request, event);
        event_unref(event);
        return result;
}
