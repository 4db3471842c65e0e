/* What operators ask to be done to a container's task: a signal to it. containerd knows no limits
 * that outlive a task, so there is nothing to scale. */

#include <signal.h>
#include <string.h>

#include "source/containerd.pb-c.h"
#include "source/containerd_link.h"

#define CONTROLS_MAX     32
#define ANSWER_MAX_BYTES 4096

struct containerd_control {
        struct list list; /* in containerd->controls */
        struct containerd_source *containerd;
        struct grpc_call *call;
        uint64_t ticket;
        int outcome;
};

static void control_free(struct containerd_control *control) {
        list_remove(&control->list);
        control->containerd->n_controls--;
        grpc_call_cancel(control->call);
        free(control);
}

void containerd_control_drop(struct containerd_source *containerd) {
        struct containerd_control *control;
        uint64_t ticket;

        while ((control = list_first(&containerd->controls, struct containerd_control, list))) {
                ticket = control->ticket;
                control_free(control);
                if (containerd->running)
                        source_answer(&containerd->source, ticket, -ENOTCONN,
                                        "the connection was lost; what was asked may still happen");
        }
}

static int on_message(const void *message, size_t size, bool too_long, void *userdata) {
        return 0; /* it has nothing in it */
}

/* gRPC's own status is not passed on; its words are. */
static int error_of(int error, const char *why) {
        if (error != -EREMOTEIO)
                return error == -ETIMEDOUT ? error : -ENOTCONN;
        return strstr(why, "not found") ? -ESRCH : -EREMOTEIO;
}

static void on_end(int error, const char *why, void *userdata) {
        struct containerd_control *control = userdata;
        struct containerd_source *containerd = control->containerd;
        uint64_t ticket = control->ticket;
        int outcome = error < 0 ? error_of(error, why) : control->outcome;
        char text[256];

        (void) snprintf(text, sizeof(text), "%s", why);
        control->call = NULL;
        control_free(control);
        source_answer(&containerd->source, ticket, outcome, error < 0 ? text : NULL);
}

static int send_kill(struct containerd_control *control, const struct source_control *asked) {
        const char *id = asked->workload->native_id;
        size_t ns_size = strcspn(id, "/");
        Containerd__KillRequest request;
        char ns[CONTAINERD_NAME_MAX + 1];

        if (!id[ns_size] || ns_size >= sizeof(ns))
                return -ENOENT;
        memcpy(ns, id, ns_size);
        ns[ns_size] = '\0';
        containerd__kill_request__init(&request);
        /* protobuf-c knows no const. */
        request.container_id = (char *) (uintptr_t) (id + ns_size + 1);
        request.all = asked->action.verb == ACTION_DESTROY;
        request.signal = request.all ? SIGKILL : SIGTERM;
        return containerd_call(control->containerd,
                        &(struct grpc_request){
                                        .method = "containerd.services.tasks.v1.Tasks/Kill",
                                        .unary = true,
                                        .message = &request.base,
                                        .timeout_us = CONTAINERD_CALL_TIMEOUT_US,
                                        .message_max = ANSWER_MAX_BYTES,
                                        .on_message = on_message,
                                        .on_end = on_end,
                                        .userdata = control,
                        },
                        ns, &control->call);
}

int containerd_control(struct containerd_source *containerd, const struct source_control *asked) {
        struct containerd_control *control;
        int r;

        if (!containerd->up)
                return -ENOTCONN;
        if (containerd->n_controls >= CONTROLS_MAX)
                return -EAGAIN;
        control = calloc(1, sizeof(*control));
        if (!control)
                return -ENOMEM;
        list_append(&containerd->controls, &control->list);
        containerd->n_controls++;
        control->containerd = containerd;
        control->ticket = asked->ticket;
        control->outcome = asked->action.verb == ACTION_STOP;
        r = send_kill(control, asked);
        if (r < 0)
                control_free(control);
        return r;
}
