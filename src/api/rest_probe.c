/* Probes: /api/app-gateway/probes. What is set is in force at once, and answered once it is
 * durable. */

#include <string.h>

#include "api/http_internal.h"
#include "base/json.h"
#include "engine/prober.h"

struct probe_wait {
        struct http_wait wait; /* first */
        struct prober *prober;
        char slug[APP_SLUG_MAX + 1];
        bool made;
};

static enum MHD_Result no_such_probe(struct http_request *request) {
        return http_error(request, MHD_HTTP_NOT_FOUND, "not_found", prober_error_words(-ENOENT));
}

static enum MHD_Result busy(struct http_request *request) {
        return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                        "no more can be taken in now, try again");
}

static struct probe_wait *wait_new(struct http_request *request, const char *slug) {
        struct probe_wait *wait = calloc(1, sizeof(*wait));

        if (!wait)
                return NULL;
        wait->prober = request->http->api->prober;
        (void) snprintf(wait->slug, sizeof(wait->slug), "%s", slug);
        return wait;
}

static void answer_probe(struct http_wait *wait, unsigned int status, const struct probe *probe) {
        _cleanup_(json_putp) struct json_object *object =
                        probe_to_json(&probe->config, &probe->state);
        _cleanup_(buf_done) struct buf text = BUF_INIT(1U << 20);
        const char *json = object ? json_text(object) : NULL;

        if (!json || buf_append_str(&text, json) < 0) {
                http_error_later(wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "it is done; there is no memory for the answer");
                return;
        }
        http_answer_later(wait, status, "application/json", &text);
}

static void gone_meanwhile(struct http_wait *wait) {
        http_error_later(wait, MHD_HTTP_NOT_FOUND, "not_found", "it has been removed meanwhile");
}

/* ---- GET ---- */

static int by_slug(const void *a, const void *b) {
        return strcmp((*(const struct probe *const *) a)->slug,
                        (*(const struct probe *const *) b)->slug);
}

enum MHD_Result rest_probes(struct http_request *request, const char *id) {
        const struct map *all = prober_all(request->http->api->prober);
        _cleanup_(freep) const struct probe **sorted =
                        calloc(map_size(all) + 1, sizeof(struct probe *));
        _cleanup_(json_putp) struct json_object *array = json_object_new_array();
        const struct probe *probe;
        size_t n = 0;

        if (!sorted || !array)
                return MHD_NO;
        map_for_each(probe, all)
                if (http_caller_sees_slug(request, probe->slug))
                        sorted[n++] = probe;
        qsort(sorted, n, sizeof(struct probe *), by_slug);
        for (size_t i = 0; i < n; i++) {
                struct json_object *row = probe_to_json(&sorted[i]->config, &sorted[i]->state);

                (void) json_add_string(row, "slug", sorted[i]->slug);
                (void) json_object_array_add(array, row);
        }
        return rest_answer_json(request, MHD_HTTP_OK, array);
}

enum MHD_Result rest_probe(struct http_request *request, const char *slug) {
        const struct probe *probe = prober_get(request->http->api->prober, slug);
        _cleanup_(json_putp) struct json_object *object = NULL;

        if (!probe)
                return no_such_probe(request);
        object = probe_to_json(&probe->config, &probe->state);
        return rest_answer_json(request, MHD_HTTP_OK, object);
}

/* ---- PUT, DELETE ---- */

static void put_done(struct event *event, void *userdata) {
        _cleanup_(freep) struct probe_wait *wait = userdata;
        const struct probe *probe;

        if (!wait->wait.request)
                return; /* the daemon may be ending, too */
        probe = prober_get(wait->prober, wait->slug);
        if (probe)
                answer_probe(&wait->wait, wait->made ? MHD_HTTP_CREATED : MHD_HTTP_OK, probe);
        else
                gone_meanwhile(&wait->wait);
}

static void delete_done(struct event *event, void *userdata) {
        _cleanup_(freep) struct probe_wait *wait = userdata;
        _cleanup_(buf_done) struct buf text = BUF_INIT(1);

        if (buf_append_str(&text, "") < 0) {
                http_error_later(&wait->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "it is removed; there is no memory for the answer");
                return;
        }
        http_answer_later(&wait->wait, MHD_HTTP_NO_CONTENT, "application/json", &text);
}

static enum MHD_Result refuse(struct http_request *request, int error, const char *message) {
        switch (error) {
        case -EINVAL:
        case -EACCES:
                return http_bad_request(request, message);
        case -ENOENT:
                return no_such_probe(request);
        case -E2BIG:
                return http_error(request, MHD_HTTP_INSUFFICIENT_STORAGE, "too_many_probes",
                                prober_error_words(error));
        case -EDESTADDRREQ:
                return http_error(request, MHD_HTTP_NOT_FOUND, "no_target",
                                prober_error_words(error));
        case -EPERM:
                return http_error(request, MHD_HTTP_CONFLICT, "switched_off",
                                prober_error_words(error));
        default:
                return busy(request);
        }
}

enum MHD_Result rest_probe_put(struct http_request *request, const char *slug) {
        const struct api_context *api = request->http->api;
        _cleanup_(json_putp) struct json_object *object = NULL;
        struct probe_config config;
        struct probe_wait *wait;
        enum MHD_Result result;
        struct diag diag = {};
        int r;

        if (!app_slug_is_valid(slug))
                return http_bad_request(request, "slug: wants " APP_SLUG_FORM);
        result = http_body_json(request, &object);
        if (!object)
                return result;
        r = probe_config_parse(object, &diag, &config);
        if (r < 0)
                return refuse(request, r, diag.text);
        wait = wait_new(request, slug);
        if (!wait)
                return MHD_NO;
        wait->made = !prober_get(api->prober, slug);
        r = prober_put(api->prober, slug, &config, &diag, put_done, wait);
        if (r < 0) {
                free(wait);
                return refuse(request, r, diag.text);
        }
        return http_wait(request, &wait->wait);
}

enum MHD_Result rest_probe_delete(struct http_request *request, const char *slug) {
        struct probe_wait *wait = wait_new(request, slug);
        int r;

        if (!wait)
                return MHD_NO;
        r = prober_remove(wait->prober, slug, delete_done, wait);
        if (r < 0) {
                free(wait);
                return refuse(request, r, NULL);
        }
        return http_wait(request, &wait->wait);
}

/* ---- POST …/run ---- */

static void run_done(int error, const struct probe *probe, void *userdata) {
        _cleanup_(freep) struct probe_wait *wait = userdata;
        const char *words = prober_error_words(error);

        if (error >= 0)
                answer_probe(&wait->wait, MHD_HTTP_OK, probe);
        else if (error == -ENOENT)
                gone_meanwhile(&wait->wait);
        else if (error == -EDESTADDRREQ)
                http_error_later(&wait->wait, MHD_HTTP_NOT_FOUND, "no_target", words);
        else
                http_error_later(&wait->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                words ? words : strerrordesc_np(-error));
}

enum MHD_Result rest_probe_run(struct http_request *request, const char *slug) {
        struct probe_wait *wait = wait_new(request, slug);
        int r;

        if (!wait)
                return MHD_NO;
        r = prober_run(wait->prober, slug, run_done, wait);
        if (r < 0) {
                free(wait);
                return refuse(request, r, prober_error_words(r));
        }
        return http_wait(request, &wait->wait);
}
