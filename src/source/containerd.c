/* containerd: connect, subscribe, list, then live. containerd keeps no events, so whatever happens
 * while nobody listens shows in the next listing only. A call that costs it nothing tells whether
 * it still answers. */

#include "source/containerd.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "loop/timer.h"
#include "source/containerd.pb-c.h"
#include "source/containerd_link.h"
#include "source/proc.h"

#define SOCKET_DEFAULT  "/run/containerd/containerd.sock"
#define EVENT_MAX_BYTES (1U << 20)
#define PING_MAX_BYTES  4096
#define PING_US         (5 * USEC_PER_SEC)
#define RELIST_US       (300 * USEC_PER_SEC)
/* containerd says nothing when a subscription stands: not even headers before its first event. So
 * the listing waits a moment, and another one soon after looks for what fell between. */
#define SUBSCRIBED_US   (200 * USEC_PER_MSEC)
#define RELIST_FIRST_US (3 * USEC_PER_SEC)
#define QUICK_US        USEC_PER_SEC

static struct containerd_source *containerd_of(struct source *source) {
        return CONTAINER_OF(source, struct containerd_source, source);
}

/* ---- losing it ---- */

static void containerd_drop(struct containerd_source *containerd) {
        containerd->ping = grpc_call_cancel(containerd->ping);
        containerd->live = grpc_call_cancel(containerd->live);
        containerd_listing_stop(containerd);
        known_stop(containerd);
        containerd_control_drop(containerd);
        containerd->up = false;
        timer_off(containerd->ping_timer);
        timer_off(containerd->subscribed_timer);
}

void containerd_lost(struct containerd_source *containerd, const char *what, int error,
                const char *why) {
        if (!containerd->running)
                return;
        (void) snprintf(containerd->error, sizeof(containerd->error), "%s: %s", what,
                        why[0]                  ? why
                                        : error ? strerrordesc_np(-error)
                                                : "ended");
        containerd_drop(containerd);
        containerd->source.stats.reconnects++;
        source_post_state(&containerd->source, SOURCE_DOWN, containerd->error);
        (void) timer_arm(containerd->retry, source_backoff_next(&containerd->wait_us));
}

int containerd_call(struct containerd_source *containerd, struct grpc_request *request,
                const char *ns, struct grpc_call **ret_call) {
        char header[CONTAINERD_NAME_MAX + 32];
        const char *const headers[] = { header, NULL };

        if (ns) {
                (void) snprintf(header, sizeof(header), "containerd-namespace: %s", ns);
                request->headers = headers;
        }
        request->socket = containerd->socket;
        return grpc_call_start(containerd->source.env->curl, request, ret_call);
}

/* ---- events ---- */

static void post_exit(
                struct known *known, const struct containerd_event *event, struct fact *fact) {
        /* Its process waited to be started, and ended waiting. */
        bool started = known->started || known->pid == 0 || known->pid != event->pid;

        /* A start is dated when it is told, an exit when it happened: one that was quick seems to
         * end before it began. */
        if (known->started && fact->time_us < known->started_us &&
                        known->started_us < fact->time_us + QUICK_US)
                fact->time_us = known->started_us;
        known->ended = true;
        known->fresh = false;
        fact->type = FACT_EXIT;
        fact->how = started ? EXIT_PROCESS : EXIT_START_FAILED;
        fact->code = event->exit_status <= 255 ? (int) event->exit_status : -1;
        fact->runtime_tells = true;
        source_post(&known->containerd->source, fact);
}

static void task_event(struct known *known, const struct containerd_event *event,
                const struct fact *common) {
        struct source *source = &known->containerd->source;
        struct fact fact = *common;
        char cgroup[512];

        if (event->topic == CONTAINERD_TASK_CREATED || event->topic == CONTAINERD_TASK_STARTED) {
                known->pid = event->pid;
                known->started = event->topic == CONTAINERD_TASK_STARTED;
                known->ended = false;
                known->fresh = known->fresh && !known->started;
                known->started_us = known->started ? event->time_us : 0;
                fact.workload.pid = event->pid;
                if (proc_memory_cgroup(event->pid, cgroup, sizeof(cgroup)) >= 0)
                        fact.workload.cgroup = cgroup;
        }
        switch (event->topic) {
        case CONTAINERD_TASK_CREATED: /* now its cgroup can be found, and watched from the start */
                fact.type = FACT_WORKLOAD;
                fact.quiet = true;
                source_post(source, &fact);
                break;
        case CONTAINERD_TASK_STARTED:
                fact.action = "started";
                fact.workload.state = STATE_RUNNING;
                source_post(source, &fact);
                break;
        case CONTAINERD_TASK_EXITED:
                if (!known->ended || known->pid != event->pid)
                        post_exit(known, event, &fact);
                break;
        case CONTAINERD_TASK_DELETED: /* tells the exit too, if nobody else did */
                if (known->started && !known->ended && known->pid == event->pid)
                        post_exit(known, event, &fact);
                known->pid = 0;
                known->started = known->ended = false;
                break;
        default:
                break;
        }
}

static void container_event(struct known *known, const struct containerd_event *event,
                const struct fact *common) {
        struct source *source = &known->containerd->source;
        struct fact fact = *common;

        switch (event->topic) {
        case CONTAINERD_CREATED:
                known->gone = false; /* of the same name, before it */
                known->started = known->ended = false;
                known->fresh = true;
                known->pid = 0;
                known->started_us = 0;
                fact.action = "created";
                fact.workload.state = STATE_CREATED;
                fact.workload.image = event->image;
                break;
        case CONTAINERD_UPDATED:
                fact.action = "updated";
                fact.workload.image = event->image;
                fact.workload.labels = event->labels;
                known_look(known); /* its name is in its labels */
                break;
        case CONTAINERD_DELETED:
                fact.type = FACT_REMOVED;
                known_forget(known);
                break;
        case CONTAINERD_TASK_PAUSED:
                fact.action = "paused";
                fact.workload.state = STATE_PAUSED;
                break;
        case CONTAINERD_TASK_RESUMED:
                fact.action = "resumed";
                fact.workload.state = STATE_RUNNING;
                break;
        case CONTAINERD_TASK_OOM:
                fact.type = FACT_OOM;
                fact.oom_source = OOM_FROM_RUNTIME;
                break;
        default:
                task_event(known, event, common);
                return;
        }
        source_post(source, &fact);
}

void containerd_tell(struct known *known, const struct containerd_event *event) {
        struct fact fact = FACT_INIT(FACT_ACTION);

        fact.time_us = event->time_us;
        fact.origin = event->origin;
        fact.workload.kind = WORKLOAD_CONTAINER;
        fact.workload.runtime = "containerd";
        fact.workload.native_id = event->native_id;
        if (!known->named)
                fact.workload.name = event->id;
        container_event(known, event, &fact);
}

static void containerd_event(struct containerd_source *containerd, struct containerd_event *event) {
        struct known *known;
        int r;

        if (event->bundles) {
                free(containerd->bundles);
                containerd->bundles = TAKE_PTR(event->bundles);
        }
        r = known_get(containerd, event->native_id, &known);
        if (r < 0) {
                containerd->source.stats.dropped++;
                return;
        }
        if (event->topic != CONTAINERD_TASK_OOM) /* which changes nothing that a listing shows */
                known->touched = ++containerd->n_events;
        if (event->topic == CONTAINERD_CREATED)
                known->gone = known->named = false;
        if (event->topic == CONTAINERD_CREATED || (r == 1 && event->topic != CONTAINERD_DELETED))
                known_hold(known);
        if (!known_held(known, event))
                containerd_tell(known, event);
}

static int live_message(const void *message, size_t size, bool too_long, void *userdata) {
        struct containerd_source *containerd = userdata;
        struct containerd_event event;
        int r;

        containerd->source.stats.raw_events++;
        if (too_long) {
                source_malformed(&containerd->source, "Event too long", message, size);
                return 0;
        }
        r = containerd_event_parse(message, size, &event);
        if (r == -EINVAL)
                source_malformed(&containerd->source, "Unreadable event", message, size);
        if (r <= 0)
                return r == -ENOMEM ? r : 0;

        if (!event.exec &&
                        containerd_namespace_is_wanted(
                                        (const char *const *) containerd->patterns, event.ns))
                containerd_event(containerd, &event);
        containerd_event_done(&event);
        return 0;
}

/* ---- subscribing ---- */

static void live_end(int error, const char *why, void *userdata) {
        struct containerd_source *containerd = userdata;

        containerd->live = NULL;
        containerd_lost(containerd, "event stream", error, why);
}

static int on_subscribed(sd_event_source *timer, uint64_t time_us, void *userdata) {
        containerd_list(userdata);
        return 0;
}

static void containerd_subscribe(struct containerd_source *containerd) {
        char containers[] = "topic~=\"^/containers/\"", tasks[] = "topic~=\"^/tasks/\"";
        char *filters[] = { containers, tasks };
        Containerd__SubscribeRequest request = CONTAINERD__SUBSCRIBE_REQUEST__INIT;
        int r;

        request.filters = filters;
        request.n_filters = ARRAY_SIZE(filters);
        r = containerd_call(containerd,
                        &(struct grpc_request){
                                        .method = "containerd.services.events.v1.Events/Subscribe",
                                        .message = &request.base,
                                        .message_max = EVENT_MAX_BYTES,
                                        .on_message = live_message,
                                        .on_end = live_end,
                                        .userdata = containerd,
                        },
                        NULL, &containerd->live);
        if (r >= 0)
                r = timer_arm(containerd->subscribed_timer, SUBSCRIBED_US);
        if (r < 0)
                containerd_lost(containerd, "cannot subscribe", r, "");
}

void containerd_listed(struct containerd_source *containerd) {
        containerd->list_at_us =
                        clock_monotonic_us() + (containerd->up ? RELIST_US : RELIST_FIRST_US);
        if (containerd->up)
                return;
        containerd->up = true;
        containerd->wait_us = 0;
        source_post_state(&containerd->source, SOURCE_UP, NULL);
}

/* ---- does it answer? ---- */

static int ping_message(const void *message, size_t size, bool too_long, void *userdata) {
        return 0; /* that it answers is all that is asked */
}

static void ping_end(int error, const char *why, void *userdata) {
        struct containerd_source *containerd = userdata;

        containerd->ping = NULL;
        if (error < 0) {
                containerd_lost(containerd, containerd->live ? "does not answer" : "cannot connect",
                                error, why);
                return;
        }
        (void) timer_arm(containerd->ping_timer, PING_US);
        if (!containerd->live)
                containerd_subscribe(containerd);
        else if (containerd->up && clock_monotonic_us() >= containerd->list_at_us)
                containerd_list(containerd);
}

static void containerd_ping(struct containerd_source *containerd) {
        int r;

        r = containerd_call(containerd,
                        &(struct grpc_request){
                                        .method = "containerd.services.version.v1.Version/Version",
                                        .unary = true,
                                        .timeout_us = PING_US,
                                        .message_max = PING_MAX_BYTES,
                                        .on_message = ping_message,
                                        .on_end = ping_end,
                                        .userdata = containerd,
                        },
                        NULL, &containerd->ping);
        if (r < 0)
                containerd_lost(containerd, "cannot connect", r, "");
}

static int on_ping(sd_event_source *timer, uint64_t time_us, void *userdata) {
        containerd_ping(userdata);
        return 0;
}

static int on_look(sd_event_source *timer, uint64_t time_us, void *userdata) {
        known_pump(userdata);
        return 0;
}

/* ---- life of the source ---- */

static void containerd_free(struct source *source) {
        struct containerd_source *containerd = containerd_of(source);

        if (containerd->running)
                source->ops->stop(source);
        sd_event_source_disable_unref(containerd->retry);
        sd_event_source_disable_unref(containerd->ping_timer);
        sd_event_source_disable_unref(containerd->subscribed_timer);
        sd_event_source_disable_unref(containerd->look_timer);
        known_free_all(containerd);
        for (size_t i = 0; containerd->patterns && containerd->patterns[i]; i++)
                free(containerd->patterns[i]);
        free(containerd->patterns);
        containerd_listing_done(containerd);
        free(containerd->bundles);
        free(containerd->socket);
        source_done(source);
        free(containerd);
}

static int copy_patterns(const char *const *patterns, char ***ret_patterns) {
        size_t n = 0;

        if (!patterns)
                return 0;
        while (patterns[n])
                n++;
        *ret_patterns = calloc(n + 1, sizeof(char *));
        for (size_t i = 0; *ret_patterns && i < n; i++) {
                (*ret_patterns)[i] = strdup(patterns[i]);
                if (!(*ret_patterns)[i])
                        return -ENOMEM;
        }
        return *ret_patterns ? 0 : -ENOMEM;
}

/* containerd's state folder is where its socket is, unless its configuration says otherwise. */
static int likely_bundles(const char *socket, char **ret_path) {
        const char *slash = strrchr(socket, '/');

        if (asprintf(ret_path, "%.*s/io.containerd.runtime.v2.task",
                            slash ? (int) (slash - socket) : 0, socket) < 0) {
                *ret_path = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int containerd_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        struct containerd_source *containerd;
        int r;

        containerd = calloc(1, sizeof(*containerd));
        if (!containerd)
                return -ENOMEM;

        list_init(&containerd->looks);
        list_init(&containerd->controls);
        r = source_init(&containerd->source, &containerd_source_ops, config, env);
        containerd->socket = strdup(config->address ? config->address : SOCKET_DEFAULT);
        if (r >= 0 && !containerd->socket)
                r = -ENOMEM;
        if (r >= 0)
                r = copy_patterns(config->patterns, &containerd->patterns);
        if (r >= 0)
                r = likely_bundles(containerd->socket, &containerd->bundles);
        if (r >= 0)
                r = containerd_listing_init(containerd);
        if (r >= 0)
                r = map_new(&containerd->known);
        if (r >= 0)
                r = timer_new(env->event, on_ping, containerd, &containerd->retry);
        if (r >= 0)
                r = timer_new(env->event, on_ping, containerd, &containerd->ping_timer);
        if (r >= 0)
                r = timer_new(env->event, on_subscribed, containerd, &containerd->subscribed_timer);
        if (r >= 0)
                r = timer_new(env->event, on_look, containerd, &containerd->look_timer);
        if (r < 0) {
                containerd_free(&containerd->source);
                return r;
        }
        *ret_source = &containerd->source;
        return 0;
}

static int containerd_start(struct source *source) {
        struct containerd_source *containerd = containerd_of(source);

        containerd->running = true;
        containerd->wait_us = 0;
        source_post_state(source, SOURCE_CONNECTING, NULL);
        containerd_ping(containerd);
        return 0;
}

static void containerd_stop(struct source *source) {
        struct containerd_source *containerd = containerd_of(source);

        containerd->running = false;
        containerd_drop(containerd);
        timer_off(containerd->retry);
}

static int containerd_on_control(struct source *source, const struct source_control *control) {
        return containerd_control(containerd_of(source), control);
}

const struct source_ops containerd_source_ops = {
        .name = "containerd",
        .create = containerd_create,
        .start = containerd_start,
        .stop = containerd_stop,
        .free = containerd_free,
        .controls = ACTION_BIT(ACTION_STOP) | ACTION_BIT(ACTION_DESTROY),
        .control = containerd_on_control,
};
