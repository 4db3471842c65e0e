/* POST /api/v1/workloads/{id}/stop, /destroy, /scale: answered once the workload's source has. */

#include <string.h>
#include <sys/socket.h>

#include "api/http_internal.h"
#include "base/json.h"
#include "engine/actions.h"
#include "engine/tracker.h"

struct action_wait {
        struct http_wait wait; /* first */
};

static unsigned int status_of(int error) {
        static const struct {
                int error;
                unsigned int status;
        } statuses[] = {
                { 0, MHD_HTTP_OK },
                { 1, MHD_HTTP_ACCEPTED },
                { -EPERM, MHD_HTTP_FORBIDDEN },
                { -ENOENT, MHD_HTTP_NOT_FOUND },
                { -EINVAL, MHD_HTTP_BAD_REQUEST },
                { -EKEYREJECTED, MHD_HTTP_CONFLICT },
                { -EBUSY, MHD_HTTP_CONFLICT },
                { -ESRCH, MHD_HTTP_CONFLICT },
                { -EOPNOTSUPP, MHD_HTTP_CONFLICT },
                { -EROFS, MHD_HTTP_CONFLICT },
                { -EAGAIN, MHD_HTTP_SERVICE_UNAVAILABLE },
                { -ENOMEM, MHD_HTTP_SERVICE_UNAVAILABLE },
                { -ECANCELED, MHD_HTTP_SERVICE_UNAVAILABLE },
                { -ENOTCONN, MHD_HTTP_SERVICE_UNAVAILABLE },
                { -ETIMEDOUT, MHD_HTTP_GATEWAY_TIMEOUT },
        };

        for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
                if (statuses[i].error == error)
                        return statuses[i].status;
        return MHD_HTTP_BAD_GATEWAY;
}

static struct json_object *error_object(int error, const char *message) {
        struct json_object *object = json_object_new_object(), *inner = json_object_new_object();

        (void) json_add_string(inner, "code", actions_error_word(error));
        (void) json_add_string(inner, "message", message);
        (void) json_add(object, "error", inner);
        return object;
}

static struct json_object *outcome_object(const struct actions_outcome *outcome) {
        struct json_object *object = json_object_new_object();

        (void) json_add_string(object, "id", outcome->id);
        (void) json_add_string(object, "name", outcome->name);
        (void) json_add_string(object, "action", action_verb_to_string(outcome->action.verb));
        if (outcome->action.vcpus)
                (void) json_add_uint(object, "vcpus", outcome->action.vcpus);
        if (outcome->action.memory_mb)
                (void) json_add_uint(object, "memory_mb", outcome->action.memory_mb);
        (void) json_add_string(object, "outcome", outcome->error ? "asked" : "done");
        (void) json_add_string(object, "message", outcome->text);
        return object;
}

static void action_done(const struct actions_outcome *outcome, void *userdata) {
        _cleanup_(freep) struct action_wait *wait = userdata;
        _cleanup_(json_putp) struct json_object *object = outcome->error < 0
                        ? error_object(outcome->error, outcome->text)
                        : outcome_object(outcome);
        _cleanup_(buf_done) struct buf text = BUF_INIT(65536);
        const char *json = object ? json_text(object) : NULL;

        if (!json || buf_append_str(&text, json) < 0) {
                http_error_later(&wait->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "it has been answered; there is no memory to say what");
                return;
        }
        http_answer_later(&wait->wait, status_of(outcome->error), "application/json", &text);
}

static enum MHD_Result refuse(struct http_request *request, int error, const char *message) {
        return http_error(request, status_of(error), actions_error_word(error),
                        message[0] ? message : strerrordesc_np(-error));
}

static enum MHD_Result begin(struct http_request *request, struct actions_request *asked) {
        struct action_wait *wait = calloc(1, sizeof(*wait));
        struct diag diag = {};
        int r;

        if (!wait)
                return MHD_NO;
        asked->asked_by = http_caller_get(request)->by;
        r = actions_begin(request->http->api->actions, asked, action_done, wait, &diag);
        if (r < 0) {
                free(wait);
                return refuse(request, r, diag.text);
        }
        return http_wait(request, &wait->wait);
}

static enum MHD_Result act(struct http_request *request, const char *id, enum action_verb verb) {
        const struct api_context *api = request->http->api;
        const struct workload *workload = inventory_find_any(tracker_inventory(api->tracker), id);
        _cleanup_(json_putp) struct json_object *body = NULL;
        struct actions_request asked = {};
        enum MHD_Result result;
        struct diag diag = {};
        int r;

        if (!api->actions || !actions_enabled(api->actions))
                return refuse(request, -EPERM,
                                "actions are switched off on this daemon: actions.enabled");
        if (!workload)
                return refuse(request, -ENOENT, "there is no such workload");
        result = http_body_json(request, &body);
        if (!body)
                return result;
        r = action_parse(verb, body, &diag, &asked.action, &asked.confirm);
        if (r < 0)
                return refuse(request, r, diag.text);
        asked.id = workload->id;
        return begin(request, &asked);
}

enum MHD_Result rest_workload_stop(struct http_request *request, const char *id) {
        return act(request, id, ACTION_STOP);
}

enum MHD_Result rest_workload_destroy(struct http_request *request, const char *id) {
        return act(request, id, ACTION_DESTROY);
}

enum MHD_Result rest_workload_scale(struct http_request *request, const char *id) {
        return act(request, id, ACTION_SCALE);
}
