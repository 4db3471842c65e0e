/* The request analytics of one app: what access logs say of its host names, day by day. */

#include <math.h>
#include <string.h>

#include "api/http_internal.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "engine/analytics.h"
#include "engine/apps.h"

#define DAYS_DEFAULT 7
#define DAYS_MAX     366

struct analytics_wait {
        struct http_wait wait; /* first */
        const struct api_context *api;
        char slug[APP_SLUG_MAX + 1];
        uint32_t days;
};

static struct json_object *row_to_json(const struct analytics_row *row) {
        struct json_object *object = json_object_new_object();

        (void) json_add_string(object, "date", row->date);
        (void) json_add_uint(object, "requests", row->requests);
        (void) json_add_uint(object, "status_2xx", row->status_2xx);
        (void) json_add_uint(object, "status_3xx", row->status_3xx);
        (void) json_add_uint(object, "status_4xx", row->status_4xx);
        (void) json_add_uint(object, "status_5xx", row->status_5xx);
        view_add_number(object, "p50_ms", row->p50_ms);
        view_add_number(object, "p95_ms", row->p95_ms);
        (void) json_add_uint(object, "bytes_out", row->bytes_out);
        (void) json_add_uint(object, "status_1xx", row->status_1xx);
        (void) json_add_uint(object, "status_none", row->status_none);
        view_add_number(object, "p99_ms", row->p99_ms);
        return object;
}

/* While history is read: what the rows do not have yet. */
static struct json_object *import_of(const struct analytics *analytics) {
        struct access_stats stats = {};
        struct json_object *object;

        if (analytics)
                analytics_get_stats(analytics, &stats);
        if (!stats.importing)
                return NULL;
        object = json_object_new_object();
        (void) json_add_uint(object, "done_bytes", stats.import_done_bytes);
        (void) json_add_uint(object, "total_bytes", stats.import_total_bytes);
        return object;
}

static struct json_object *answer_of(const struct analytics *analytics, const char *slug,
                uint32_t days, const struct analytics_row *rows, size_t n) {
        struct json_object *object = json_object_new_object(), *rollups = json_object_new_array();

        (void) json_add_string(object, "slug", slug);
        (void) json_add_uint(object, "days", days);
        (void) json_add(object, "rollups", rollups);
        for (size_t i = 0; i < n; i++)
                (void) json_object_array_add(rollups, row_to_json(&rows[i]));
        (void) json_add(object, "import", import_of(analytics));
        return object;
}

static void rows_done(int error, const struct analytics_row *rows, size_t n, void *userdata) {
        _cleanup_(freep) struct analytics_wait *wait = userdata;
        _cleanup_(json_putp) struct json_object *object = NULL;
        _cleanup_(buf_done) struct buf text = BUF_INIT(4U << 20);
        const char *json;

        if (error >= 0)
                object = answer_of(wait->api->analytics, wait->slug, wait->days, rows, n);
        json = object ? json_text(object) : NULL;
        if (!json || buf_append_str(&text, json) < 0) {
                http_error_later(&wait->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "the rollups cannot be read");
        } else {
                http_answer_later(&wait->wait, MHD_HTTP_OK, "application/json", &text);
        }
}

static enum MHD_Result answer_empty(struct http_request *request, const char *slug, uint32_t days) {
        _cleanup_(json_putp) struct json_object *object =
                        answer_of(request->http->api->analytics, slug, days, NULL, 0);

        return rest_answer_json(request, MHD_HTTP_OK, object);
}

enum MHD_Result rest_analytics(struct http_request *request, const char *slug) {
        const struct api_context *api = request->http->api;
        const struct app *app = apps_get(api->apps, slug);
        const char *days = http_query(request, "days");
        struct analytics_wait *wait;
        uint64_t n = DAYS_DEFAULT;
        int r;

        if (!app_slug_is_valid(slug))
                return http_bad_request(request, "slug: wants " APP_SLUG_FORM);
        if (days && (text_to_u64(days, &n) < 0 || n < 1 || n > DAYS_MAX))
                return http_bad_request(request, "days: is a number from 1 to 366");
        if (!app || app->hosts.n == 0 || !api->analytics)
                return answer_empty(request, slug, (uint32_t) n); /* no host, no requests */
        wait = calloc(1, sizeof(*wait));
        if (!wait)
                return MHD_NO;
        wait->api = api;
        wait->days = (uint32_t) n;
        (void) snprintf(wait->slug, sizeof(wait->slug), "%s", slug);
        r = analytics_query(api->analytics, (const char *const *) app->hosts.items, app->hosts.n,
                        wait->days, clock_realtime_us(), rows_done, wait);
        if (r < 0) {
                free(wait);
                return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "too many queries at once, try again");
        }
        return http_wait(request, &wait->wait);
}
