/* What operators ask to be done to a container. The engine answers a stop when the container has
 * ended, for which it gives it the time that the container was made with; nobody here waits longer
 * than the caller's own timeout, but the request goes on. */

#include <string.h>

#include "base/json.h"
#include "source/docker_link.h"

#define CONTROLS_MAX  32
#define ANSWER_MAX    65536
#define STOP_US       (3600 * USEC_PER_SEC)
#define NANO_PER_CPU  UINT64_C(1000000000)
#define PERIOD_US     UINT64_C(100000)
#define BYTES_PER_MIB (UINT64_C(1) << 20)
#define UPDATE_TRIES  4

struct docker_control {
        struct list list; /* in docker->controls */
        struct docker_source *docker;
        struct curl_call *call;
        uint64_t ticket;
        struct action action;
        char id[256];
        /* An update must speak as the container was made: which of its two ways to limit CPUs, and
         * whether with swap. The engine says when it is the other one. */
        bool quota, swap;
        unsigned int n_tries;
};

static void control_free(struct docker_control *control) {
        list_remove(&control->list);
        control->docker->n_controls--;
        curl_call_cancel(control->call);
        free(control);
}

void docker_control_drop(struct docker_source *docker) {
        struct docker_control *control;
        uint64_t ticket;

        while ((control = list_first(&docker->controls, struct docker_control, list))) {
                ticket = control->ticket;
                control_free(control);
                if (docker->running)
                        source_answer(&docker->source, ticket, -ENOTCONN,
                                        "the connection was lost; what was asked may still happen");
        }
}

static void settle(struct docker_control *control, int error, const char *text) {
        struct docker_source *docker = control->docker;
        uint64_t ticket = control->ticket;

        control_free(control);
        source_answer(&docker->source, ticket, error, text);
}

static int send_update(struct docker_control *control);

/* Whether the engine wants the same said in its other way. */
static bool turn(struct docker_control *control, const char *why) {
        bool cpu = strcasestr(why, "nano") && control->action.vcpus,
             swap = strcasestr(why, "memoryswap") && control->action.memory_mb && !control->swap;

        if (control->action.verb != ACTION_SCALE || ++control->n_tries >= UPDATE_TRIES ||
                        (!cpu && !swap))
                return false;
        if (cpu)
                control->quota = !control->quota;
        if (swap)
                control->swap = true;
        return send_update(control) >= 0;
}

static int error_of_status(long status) {
        switch (status) {
        case 304:
        case 409:
                return -ESRCH;
        case 404:
                return -ENOENT;
        case 400:
                return -EINVAL;
        case 401:
        case 403:
                return -EACCES;
        case 405:
        case 501:
                return -EOPNOTSUPP;
        default:
                return -EREMOTEIO;
        }
}

static void control_done(struct curl_call *call, int error, long status, const char *body,
                size_t size, void *userdata) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        struct docker_control *control = userdata;
        const char *message = NULL;
        char text[256];

        control->call = NULL;
        if (error < 0) {
                settle(control, error == -ETIMEDOUT ? error : -ENOTCONN, NULL);
                return;
        }
        if (status / 100 == 2) {
                settle(control, 0, NULL);
                return;
        }
        if (size > 0 && json_parse(body, size, &object) >= 0)
                message = json_get_string(object, "message");
        if (!message)
                message = json_get_string(object, "cause");
        if (message && turn(control, message))
                return;
        (void) snprintf(text, sizeof(text), "%s: %s", control->docker->flavour->runtime,
                        message                         ? message
                                        : status == 304 ? "it does not run"
                                                        : "refused");
        settle(control, error_of_status(status), text);
}

/* ---- asking ---- */

static int send_request(struct docker_control *control, const char *path, const char *body) {
        static const char *const headers[] = { "Content-Type: application/json", NULL };
        char url[384];

        (void) snprintf(url, sizeof(url), "http://localhost/%scontainers/%s/%s",
                        body ? control->docker->flavour->update_prefix : "", control->id, path);
        return docker_call(control->docker, url,
                        &(struct curl_request){
                                        .method = "POST",
                                        .headers = headers,
                                        .body = body ? body : "",
                                        .body_size = body ? strlen(body) : 0,
                                        .timeout_us = STOP_US,
                                        .body_max = ANSWER_MAX,
                                        .on_done = control_done,
                                        .userdata = control,
                        },
                        &control->call);
}

static struct json_object *docker_update(const struct docker_control *control) {
        struct json_object *update = json_object_new_object();
        uint64_t bytes = control->action.memory_mb * BYTES_PER_MIB;

        if (control->action.vcpus && control->quota) {
                (void) json_add_uint(update, "CpuPeriod", PERIOD_US);
                (void) json_add_uint(update, "CpuQuota", control->action.vcpus * PERIOD_US);
        } else if (control->action.vcpus) {
                (void) json_add_uint(update, "NanoCpus", control->action.vcpus * NANO_PER_CPU);
        }
        if (control->action.memory_mb)
                (void) json_add_uint(update, "Memory", bytes);
        if (control->action.memory_mb && control->swap) /* as much again, as for a new container */
                (void) json_add_uint(update, "MemorySwap", 2 * bytes);
        return update;
}

/* podman's own way, which takes the resources of the runtime specification. */
static struct json_object *podman_update(const struct docker_control *control) {
        struct json_object *update = json_object_new_object(), *part;
        uint64_t bytes = control->action.memory_mb * BYTES_PER_MIB;

        if (control->action.vcpus) {
                part = json_object_new_object();
                (void) json_add_uint(part, "period", PERIOD_US);
                (void) json_add_uint(part, "quota", control->action.vcpus * PERIOD_US);
                (void) json_add(update, "cpu", part);
        }
        if (control->action.memory_mb) {
                part = json_object_new_object();
                (void) json_add_uint(part, "limit", bytes);
                if (control->swap)
                        (void) json_add_uint(part, "swap", 2 * bytes);
                (void) json_add(update, "memory", part);
        }
        return update;
}

static int send_update(struct docker_control *control) {
        _cleanup_(json_putp) struct json_object *update = control->docker->flavour->update_prefix[0]
                        ? podman_update(control)
                        : docker_update(control);
        const char *text = update ? json_text(update) : NULL;

        return text ? send_request(control, "update", text) : -ENOMEM;
}

static int begin(struct docker_control *control) {
        switch (control->action.verb) {
        case ACTION_STOP:
                return send_request(control, "stop", NULL);
        case ACTION_DESTROY:
                return send_request(control, "kill?signal=KILL", NULL);
        case ACTION_SCALE:
                return send_update(control);
        default:
                return -EOPNOTSUPP;
        }
}

int docker_control(struct docker_source *docker, const struct source_control *asked) {
        const char *id = asked->workload->native_id;
        struct docker_control *control;
        int r;

        if (!docker->up)
                return -ENOTCONN;
        if (docker->n_controls >= CONTROLS_MAX)
                return -EAGAIN;
        if (strlen(id) >= sizeof(control->id) || strspn(id, "0123456789abcdefABCDEF") != strlen(id))
                return -ENOENT; /* goes into a URL */
        control = calloc(1, sizeof(*control));
        if (!control)
                return -ENOMEM;
        list_append(&docker->controls, &control->list);
        docker->n_controls++;
        control->docker = docker;
        control->ticket = asked->ticket;
        control->action = asked->action;
        (void) snprintf(control->id, sizeof(control->id), "%s", id);
        r = begin(control);
        if (r < 0)
                control_free(control);
        return r;
}
