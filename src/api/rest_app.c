/* Apps and what their workloads use: /api/app-gateway/. */

#include <string.h>

#include "api/http_internal.h"
#include "api/view.h"
#include "api/view_app.h"
#include "base/json.h"
#include "engine/apps.h"
#include "engine/sampler.h"
#include "engine/tracker.h"

struct app_wait {
        struct http_wait wait; /* first */
        struct app *app;       /* to be bound; NULL: to be unbound */
        const struct api_context *api;
        char slug[APP_SLUG_MAX + 1];
        bool made;
};

static enum MHD_Result not_found(struct http_request *request, const char *message) {
        return http_error(request, MHD_HTTP_NOT_FOUND, "not_found", message);
}

static enum MHD_Result no_such_app(struct http_request *request) {
        return not_found(request, "there is no app of that slug");
}

/* ---- GET ---- */

static bool sees(const char *slug, void *userdata) {
        return http_caller_sees_slug(userdata, slug);
}

enum MHD_Result rest_apps(struct http_request *request, const char *id) {
        _cleanup_(json_putp) struct json_object *array =
                        view_apps(request->http->api, sees, request);

        return array ? rest_answer_json(request, MHD_HTTP_OK, array) : MHD_NO;
}

enum MHD_Result rest_app(struct http_request *request, const char *slug) {
        _cleanup_(json_putp) struct json_object *object = view_app(request->http->api, slug);

        return object ? rest_answer_json(request, MHD_HTTP_OK, object) : no_such_app(request);
}

/* ---- PUT, DELETE: in force once durable ---- */

static void kept(struct event *event, void *userdata) {
        _cleanup_(freep) struct app_wait *wait = userdata;
        _cleanup_(json_putp) struct json_object *object = NULL;
        _cleanup_(buf_done) struct buf text = BUF_INIT(1U << 20);
        unsigned int status;
        const char *json;
        int r;

        r = wait->app ? apps_put(wait->api->apps, wait->app)
                      : apps_remove(wait->api->apps, wait->slug);
        if (r < 0 && wait->app)
                app_free(wait->app);
        if (r >= 0 && wait->api->app_changed)
                wait->api->app_changed(wait->slug, wait->api->userdata);
        if (wait->app && r < 0) {
                http_error_later(&wait->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "it is stored, and in force after a restart; there is no memory now");
                return;
        }
        object = wait->app ? view_app(wait->api, wait->slug) : NULL;
        json = object ? json_text(object) : "";
        if (!json || buf_append_str(&text, json) < 0) {
                http_error_later(&wait->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "it is bound; there is no memory for the answer");
                return;
        }
        status = !wait->app ? MHD_HTTP_NO_CONTENT : wait->made ? MHD_HTTP_CREATED : MHD_HTTP_OK;
        http_answer_later(&wait->wait, status, "application/json", &text);
}

static enum MHD_Result keep(struct http_request *request, const char *slug, struct app *app) {
        _cleanup_(json_putp) struct json_object *object = app ? app_to_json(app) : NULL;
        const struct api_context *api = request->http->api;
        const char *document = object ? json_text(object) : NULL;
        struct app_wait *wait = calloc(1, sizeof(*wait));
        int r = -ENOMEM;

        if (wait && (document || !app)) { /* without a document, it would be forgotten */
                wait->app = app;
                wait->api = api;
                wait->made = !apps_get(api->apps, slug);
                (void) snprintf(wait->slug, sizeof(wait->slug), "%s", slug);
                r = api->keep("app", slug, document, NULL, kept, wait, api->userdata);
        }
        if (r < 0) {
                app_free(app);
                free(wait);
                return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "the store takes no more now, try again");
        }
        return http_wait(request, &wait->wait);
}

/* What the configuration binds is changed there. */
static bool is_configured(const struct api_context *api, const char *slug) {
        const struct app *app = apps_get(api->apps, slug);

        return app && app->configured;
}

static enum MHD_Result read_only(struct http_request *request) {
        return http_error(request, MHD_HTTP_CONFLICT, "configured",
                        "this app is bound by the configuration (apps:); change it there and reload");
}

enum MHD_Result rest_app_put(struct http_request *request, const char *slug) {
        const struct api_context *api = request->http->api;
        _cleanup_(json_putp) struct json_object *object = NULL;
        struct app *app = NULL;
        enum MHD_Result result;
        struct diag diag = {};
        int r;

        if (is_configured(api, slug))
                return read_only(request);
        result = http_body_json(request, &object);
        if (!object)
                return result;
        r = app_parse(slug, object, &diag, &app);
        if (r == -EINVAL)
                return http_bad_request(request, diag.text);
        if (r < 0)
                return MHD_NO;
        if (!apps_get(api->apps, slug) && apps_size(api->apps) >= APPS_MAX) {
                app_free(app);
                return http_error(request, MHD_HTTP_INSUFFICIENT_STORAGE, "too_many_apps",
                                "there are 5000 apps already");
        }
        return keep(request, slug, app);
}

enum MHD_Result rest_app_delete(struct http_request *request, const char *slug) {
        if (!apps_get(request->http->api->apps, slug))
                return no_such_app(request);
        if (is_configured(request->http->api, slug))
                return read_only(request);
        return keep(request, slug, NULL);
}

/* ---- what it uses ---- */

/* By id or name; a VM, where something else has the same name. NULL: none, or several. */
static const struct workload *find_named(const struct api_context *api, const char *name) {
        const struct workload *found = inventory_find_any(tracker_inventory(api->tracker), name);
        const struct workload *workload;

        if (found)
                return found;
        inventory_for_each(workload, tracker_inventory(api->tracker)) {
                if (workload->kind != WORKLOAD_VM || strcmp(workload->name, name) != 0)
                        continue;
                if (found)
                        return NULL;
                found = workload;
        }
        return found;
}

/* The one named, or the first VM of the app, or its first workload. */
static const struct workload *pick(
                const struct api_context *api, const char *slug, const char *name) {
        const struct workload *workload, *first = NULL;

        if (name && name[0])
                return find_named(api, name);
        inventory_for_each(workload, tracker_inventory(api->tracker)) {
                const char *own = apps_slug_of(api->apps, workload);

                if (!own || strcmp(own, slug) != 0)
                        continue;
                if (workload->kind == WORKLOAD_VM)
                        return workload;
                first = first ? first : workload;
        }
        return first;
}

enum MHD_Result rest_app_metrics(struct http_request *request, const char *slug) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        const struct api_context *api = request->http->api;
        const char *name = http_query(request, "vm_name");
        const struct workload *workload = pick(api, slug, name);
        const struct series *series;

        if (workload && !http_caller_sees(request, workload))
                workload = NULL;
        if (!workload && name && name[0])
                return not_found(request, "there is no workload of the id or name in vm_name");
        if (!workload)
                return not_found(request,
                                "no workload is bound to that slug; bind one, or give ?vm_name=");
        series = api->sampler ? sampler_get(api->sampler, workload->id) : NULL;
        (void) json_object_object_add(object, "allocation", view_allocation(series));
        (void) json_add(object, "samples", view_samples(series, 0));
        return rest_answer_json(request, MHD_HTTP_OK, object);
}
