/* docker and podman: connect, subscribe, replay, list, then live. Subscribed first and listed last,
 * so that nothing falls between; what both tell is told apart by the event's own id. */

#include "source/docker.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "loop/curl_glue.h"
#include "source/lines.h"
#include "source/proc.h"

#define LINE_MAX_BYTES  (1U << 20)
#define LIST_MAX_BYTES  (64U << 20)
#define INSPECT_MAX     (4U << 20)
#define INSPECTS_MAX    8
#define OVERLAP_NS      UINT64_C(10000000000)
#define PING_US         (5 * USEC_PER_SEC)
#define CALL_TIMEOUT_US (30 * USEC_PER_SEC)
#define RELIST_US       (300 * USEC_PER_SEC)
#define CREATED_US      (2 * USEC_PER_SEC)
#define SUBSCRIBED_US   (500 * USEC_PER_MSEC)

/* {"type":["container"]} */
static const char filters[] = "filters=%7B%22type%22%3A%5B%22container%22%5D%7D";

/* A stream of lines. */
struct line_stream {
        struct docker_source *docker;
        struct curl_call *call;
        struct lines lines;
};

struct inspect {
        struct list list; /* in docker->inspects_waiting or _running */
        struct docker_source *docker;
        struct curl_call *call;
        char id[256];
        uint64_t sent;          /* docker->n_events when it was asked */
        uint64_t not_before_us; /* CLOCK_MONOTONIC */
        bool listing;           /* part of a listing */
        bool created;           /* may turn out never to have started */
};

struct docker_source {
        struct source source;
        const struct docker_flavour *flavour;
        char *socket;
        uint64_t cursor_nano; /* newest event seen; 0: none ever */
        uint64_t wait_us;
        bool running, listing, up;
        sd_event_source *retry, *ping_timer, *subscribed_timer, *look_timer;
        struct curl_call *ping, *list_call;
        struct line_stream live, replay;
        struct list inspects_waiting, inspects_running;
        size_t n_running, n_listing;
        struct map *touched; /* id to n_events of its newest event, while inspects run */
        uint64_t n_events;
        uint64_t listed_us;
        char error[256];
};

static struct docker_source *docker_of(struct source *source) {
        return CONTAINER_OF(source, struct docker_source, source);
}

static void inspects_pump(struct docker_source *docker);

/* ---- losing it ---- */

static struct inspect *inspect_free(struct inspect *inspect) {
        list_remove(&inspect->list);
        curl_call_cancel(inspect->call);
        free(inspect);
        return NULL;
}

static void stream_stop(struct line_stream *stream) {
        stream->call = curl_call_cancel(stream->call);
        lines_done(&stream->lines);
}

static void docker_drop(struct docker_source *docker) {
        struct inspect *inspect;

        docker->ping = curl_call_cancel(docker->ping);
        docker->list_call = curl_call_cancel(docker->list_call);
        stream_stop(&docker->live);
        stream_stop(&docker->replay);
        while ((inspect = list_first(&docker->inspects_waiting, struct inspect, list)))
                inspect_free(inspect);
        while ((inspect = list_first(&docker->inspects_running, struct inspect, list)))
                inspect_free(inspect);
        docker->n_running = docker->n_listing = 0;
        docker->listing = docker->up = false;
        (void) sd_event_source_set_enabled(docker->ping_timer, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(docker->subscribed_timer, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(docker->look_timer, SD_EVENT_OFF);
}

static int arm(sd_event_source *timer, uint64_t after_us) {
        int r;

        r = sd_event_source_set_time_relative(timer, after_us);
        return r < 0 ? r : sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void docker_lost(struct docker_source *docker, const char *what, int error) {
        if (!docker->running)
                return;
        (void) snprintf(docker->error, sizeof(docker->error), "%s: %s", what,
                        error < 0 ? strerrordesc_np(-error) : "ended");
        docker_drop(docker);
        docker->source.stats.reconnects++;
        source_post_state(&docker->source, SOURCE_DOWN, docker->error);
        (void) arm(docker->retry, source_backoff_next(&docker->wait_us));
}

/* ---- events ---- */

static void touch(struct docker_source *docker, const char *id) {
        docker->n_events++;
        if (docker->n_running == 0)
                return;
        (void) map_remove(docker->touched, id);
        (void) map_put(docker->touched, id, (void *) (uintptr_t) docker->n_events);
}

static void want_inspect(struct docker_source *docker, const char *id, uint64_t after_us,
                bool listing, bool created) {
        struct inspect *inspect;

        if (strlen(id) >= sizeof(inspect->id) || strspn(id, "0123456789abcdefABCDEF") != strlen(id))
                return; /* goes into a URL */
        inspect = calloc(1, sizeof(*inspect));
        if (!inspect)
                return;
        inspect->docker = docker;
        inspect->listing = listing;
        inspect->created = created;
        inspect->not_before_us = clock_monotonic_us() + after_us;
        (void) snprintf(inspect->id, sizeof(inspect->id), "%s", id);
        list_append(&docker->inspects_waiting, &inspect->list);
        docker->n_listing += listing;
}

static void docker_line(struct docker_source *docker, const char *line, size_t size) {
        struct docker_fact event;
        int r;

        docker->source.stats.raw_events++;
        r = docker_event_parse(docker->flavour, line, size, &event);
        if (r == -EINVAL)
                source_malformed(&docker->source, "Unreadable event", line, size);
        if (r <= 0)
                return;

        event.fact.origin = event.origin;
        event.fact.cursor = event.time_nano >= docker->cursor_nano ? event.cursor : NULL;
        if (event.time_nano > docker->cursor_nano)
                docker->cursor_nano = event.time_nano;
        touch(docker, event.fact.workload.native_id);
        source_post(&docker->source, &event.fact);
        if (event.created)
                want_inspect(docker, event.fact.workload.native_id, CREATED_US, false, true);
        else if (event.look)
                want_inspect(docker, event.fact.workload.native_id, 0, false, false);
        docker_fact_done(&event);
        inspects_pump(docker);
}

static void on_line(const char *line, size_t size, bool too_long, void *userdata) {
        struct docker_source *docker = userdata;

        if (too_long)
                source_malformed(&docker->source, "Line too long", line, size);
        else
                docker_line(docker, line, size);
}

static int stream_data(struct curl_call *call, const char *data, size_t size, void *userdata) {
        struct line_stream *stream = userdata;

        return lines_feed(&stream->lines, data, size, on_line, stream->docker);
}

/* ---- listing ---- */

static void listing_finish(struct docker_source *docker) {
        struct fact end = FACT_INIT(FACT_LISTING_END);

        docker->listing = false;
        docker->listed_us = clock_monotonic_us();
        source_post(&docker->source, &end);
        if (!docker->up) {
                docker->up = true;
                docker->wait_us = 0;
                source_post_state(&docker->source, SOURCE_UP, NULL);
        }
}

static void inspect_post(struct inspect *inspect, const char *body, size_t size) {
        struct docker_source *docker = inspect->docker;
        struct docker_fact seen;
        int r;

        r = docker_inspect_parse(docker->flavour, body, size, &seen);
        if (r < 0) {
                source_malformed(&docker->source, "Unreadable container", body, size);
                return;
        }
        if (seen.fact.workload.pid &&
                        proc_memory_cgroup(seen.fact.workload.pid, seen.cgroup,
                                        sizeof(seen.cgroup)) >= 0)
                seen.fact.workload.cgroup = seen.cgroup;
        if (!inspect->listing)
                seen.fact.quiet =
                                !(inspect->created && seen.fact.workload.how == EXIT_START_FAILED);
        source_post(&docker->source, &seen.fact);
        docker_fact_done(&seen);
}

static void inspect_done(struct curl_call *call, int error, long status, const char *body,
                size_t size, void *userdata) {
        struct inspect *inspect = userdata;
        struct docker_source *docker = inspect->docker;
        bool stale = (uintptr_t) map_get(docker->touched, inspect->id) > inspect->sent;

        inspect->call = NULL;
        docker->n_running--;
        if (error >= 0 && status == 200 && stale) {
                /* Something happened to it since it was asked about: the answer may be older than
                 * what is known. */
                list_remove(&inspect->list);
                list_append(&docker->inspects_waiting, &inspect->list);
        } else {
                if (error >= 0 && status == 200)
                        inspect_post(inspect, body, size);
                else
                        log_debug("Cannot inspect %s: status %ld, %s", inspect->id, status,
                                        error < 0 ? strerrordesc_np(-error)
                                                  : "no error"); /* 404: gone already */
                docker->n_listing -= inspect->listing;
                inspect_free(inspect);
        }
        inspects_pump(docker);
        if (docker->listing && docker->n_listing == 0)
                listing_finish(docker);
}

static int call(struct docker_source *docker, const char *url, struct curl_request *request,
                struct curl_call **ret_call) {
        request->url = url;
        request->unix_socket = docker->socket;
        return curl_glue_start(docker->source.env->curl, request, ret_call);
}

static bool inspect_start(struct docker_source *docker, struct inspect *inspect) {
        char url[512];

        if (docker->n_running == 0) {
                docker->touched = map_free(docker->touched);
                if (map_new(&docker->touched) < 0)
                        return false;
        }
        inspect->sent = docker->n_events;
        (void) snprintf(url, sizeof(url), "http://localhost/containers/%s/json", inspect->id);
        if (call(docker, url,
                            &(struct curl_request){
                                            .timeout_us = CALL_TIMEOUT_US,
                                            .body_max = INSPECT_MAX,
                                            .on_done = inspect_done,
                                            .userdata = inspect,
                            },
                            &inspect->call) < 0)
                return false;
        list_remove(&inspect->list);
        list_append(&docker->inspects_running, &inspect->list);
        docker->n_running++;
        return true;
}

static void inspects_pump(struct docker_source *docker) {
        uint64_t now_us = clock_monotonic_us(), next_us = USEC_INFINITY;
        struct inspect *inspect, *next;

        list_for_each_safe(inspect, next, &docker->inspects_waiting, list) {
                if (docker->n_running >= INSPECTS_MAX)
                        return;
                if (inspect->not_before_us > now_us)
                        next_us = inspect->not_before_us < next_us ? inspect->not_before_us
                                                                   : next_us;
                else if (!inspect_start(docker, inspect))
                        return;
        }
        if (next_us != USEC_INFINITY)
                (void) arm(docker->look_timer, next_us - now_us);
}

static int on_look(sd_event_source *timer, uint64_t time_us, void *userdata) {
        inspects_pump(userdata);
        return 0;
}

static void list_done(struct curl_call *call_, int error, long status, const char *body,
                size_t size, void *userdata) {
        _cleanup_(json_putp) struct json_object *list = NULL;
        struct docker_source *docker = userdata;

        docker->list_call = NULL;
        if (error < 0 || status != 200 || json_parse(body, size, &list) < 0 ||
                        !json_object_is_type(list, json_type_array)) {
                docker_lost(docker, "cannot list containers", error < 0 ? error : -EPROTO);
                return;
        }
        docker->listing = true;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                const char *id = json_get_string(json_object_array_get_idx(list, i), "Id");

                if (id)
                        want_inspect(docker, id, 0, true, false);
        }
        inspects_pump(docker);
        if (docker->n_listing == 0)
                listing_finish(docker);
}

static void docker_list(struct docker_source *docker) {
        struct fact begin = FACT_INIT(FACT_LISTING_BEGIN);
        int r;

        if (docker->list_call || docker->listing)
                return;
        /* Now, not with the answer: what an event tells meanwhile is newer than that. */
        source_post(&docker->source, &begin);
        r = call(docker, "http://localhost/containers/json?all=1",
                        &(struct curl_request){
                                        .timeout_us = CALL_TIMEOUT_US,
                                        .body_max = LIST_MAX_BYTES,
                                        .on_done = list_done,
                                        .userdata = docker,
                        },
                        &docker->list_call);
        if (r < 0)
                docker_lost(docker, "cannot list containers", r);
}

/* ---- subscribing ---- */

static void live_done(struct curl_call *call_, int error, long status, const char *body,
                size_t size, void *userdata) {
        struct line_stream *stream = userdata;

        stream->call = NULL;
        docker_lost(stream->docker, "event stream",
                        error < 0                       ? error
                                        : status != 200 ? -EPROTO
                                                        : 0);
}

static void replay_done(struct curl_call *call_, int error, long status, const char *body,
                size_t size, void *userdata) {
        struct line_stream *stream = userdata;

        stream->call = NULL;
        stream_stop(stream);
        if (error < 0)
                log_debug_errno(error, "Replay of %s incomplete, the listing closes the gap: %m",
                                stream->docker->source.name);
        docker_list(stream->docker);
}

/* The stream stands: have the past told to its end, so that the listing after it finds nothing that
 * was told already. */
static void docker_replay(struct docker_source *docker) {
        uint64_t since = docker->cursor_nano > OVERLAP_NS ? docker->cursor_nano - OVERLAP_NS : 0,
                 now_s;
        char url[512], end[64];
        int r;

        (void) sd_event_source_set_enabled(docker->subscribed_timer, SD_EVENT_OFF);
        if (docker->replay.call || docker->list_call || docker->listing || docker->up)
                return;
        if (docker->cursor_nano == 0) {
                docker_list(docker);
                return;
        }
        now_s = clock_realtime_us() / USEC_PER_SEC;
        if (strcmp(docker->flavour->replay_until, "until") == 0)
                (void) snprintf(end, sizeof(end), "until=%ju", (uintmax_t) (now_s + 1));
        else
                (void) snprintf(end, sizeof(end), "stream=false");
        (void) snprintf(url, sizeof(url), "http://localhost/events?since=%ju.%09ju&%s&%s",
                        (uintmax_t) (since / 1000000000), (uintmax_t) (since % 1000000000), end,
                        filters);
        docker->replay = (struct line_stream){ .docker = docker,
                .lines = LINES_INIT(LINE_MAX_BYTES) };
        r = call(docker, url,
                        &(struct curl_request){
                                        .timeout_us = CALL_TIMEOUT_US,
                                        .on_data = stream_data,
                                        .on_done = replay_done,
                                        .userdata = &docker->replay,
                        },
                        &docker->replay.call);
        if (r < 0)
                docker_list(docker);
}

static int live_headers(struct curl_call *call_, long status, void *userdata) {
        struct line_stream *stream = userdata;

        if (status != 200)
                return -EPROTO;
        return arm(stream->docker->subscribed_timer, 0);
}

static int on_subscribed(sd_event_source *timer, uint64_t time_us, void *userdata) {
        docker_replay(userdata);
        return 0;
}

static void docker_subscribe(struct docker_source *docker) {
        uint64_t since = docker->cursor_nano > OVERLAP_NS ? docker->cursor_nano - OVERLAP_NS : 0;
        char url[512];
        int r;

        if (since)
                (void) snprintf(url, sizeof(url), "http://localhost/events?since=%ju.%09ju&%s",
                                (uintmax_t) (since / 1000000000), (uintmax_t) (since % 1000000000),
                                filters);
        else
                (void) snprintf(url, sizeof(url), "http://localhost/events?%s", filters);
        docker->live = (struct line_stream){ .docker = docker,
                .lines = LINES_INIT(LINE_MAX_BYTES) };
        r = call(docker, url,
                        &(struct curl_request){
                                        .on_data = stream_data,
                                        .on_headers = live_headers,
                                        .on_done = live_done,
                                        .userdata = &docker->live,
                        },
                        &docker->live.call);
        if (r >= 0) /* an engine may keep its headers back until the first event */
                r = arm(docker->subscribed_timer, SUBSCRIBED_US);
        if (r < 0)
                docker_lost(docker, "cannot subscribe", r);
}

/* A stopped engine keeps its connections: only an answer shows that it lives. */
static void ping_done(struct curl_call *call_, int error, long status, const char *body,
                size_t size, void *userdata) {
        struct docker_source *docker = userdata;

        docker->ping = NULL;
        if (error < 0 || status != 200) {
                docker_lost(docker, docker->up ? "does not answer" : "cannot connect",
                                error < 0 ? error : -EPROTO);
                return;
        }
        if (!docker->live.call)
                docker_subscribe(docker);
        (void) arm(docker->ping_timer, PING_US);
}

static void docker_connect(struct docker_source *docker) {
        int r;

        r = call(docker, "http://localhost/_ping",
                        &(struct curl_request){
                                        .timeout_us = PING_US,
                                        .body_max = 4096,
                                        .on_done = ping_done,
                                        .userdata = docker,
                        },
                        &docker->ping);
        if (r < 0)
                docker_lost(docker, "cannot connect", r);
}

static int on_ping(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct docker_source *docker = userdata;

        docker_connect(docker);
        if (docker->up && clock_monotonic_us() - docker->listed_us > RELIST_US)
                docker_list(docker);
        return 0;
}

static int on_retry(sd_event_source *timer, uint64_t time_us, void *userdata) {
        docker_connect(userdata);
        return 0;
}

/* ---- life of the source ---- */

static void docker_free(struct source *source) {
        struct docker_source *docker = docker_of(source);

        if (docker->running)
                source->ops->stop(source);
        sd_event_source_disable_unref(docker->retry);
        sd_event_source_disable_unref(docker->ping_timer);
        sd_event_source_disable_unref(docker->subscribed_timer);
        sd_event_source_disable_unref(docker->look_timer);
        map_free(docker->touched);
        free(docker->socket);
        source_done(source);
        free(docker);
}

static int add_timer(sd_event *event, sd_event_source **timer, sd_event_time_handler_t handler,
                void *userdata) {
        int r;

        r = sd_event_add_time(
                        event, timer, CLOCK_MONOTONIC, USEC_INFINITY, 1000, handler, userdata);
        return r < 0 ? r : sd_event_source_set_enabled(*timer, SD_EVENT_OFF);
}

static int create(const struct source_ops *ops, const struct docker_flavour *flavour,
                const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        struct docker_source *docker;
        int r;

        docker = calloc(1, sizeof(*docker));
        if (!docker)
                return -ENOMEM;

        docker->flavour = flavour;
        list_init(&docker->inspects_waiting);
        list_init(&docker->inspects_running);
        r = source_init(&docker->source, ops, config, env);
        docker->socket = strdup(config->address);
        if (r >= 0 && !docker->socket)
                r = -ENOMEM;
        if (r >= 0 && config->cursor)
                r = text_to_u64(config->cursor, &docker->cursor_nano);
        if (r >= 0)
                r = map_new(&docker->touched);
        if (r >= 0)
                r = add_timer(env->event, &docker->retry, on_retry, docker);
        if (r >= 0)
                r = add_timer(env->event, &docker->ping_timer, on_ping, docker);
        if (r >= 0)
                r = add_timer(env->event, &docker->subscribed_timer, on_subscribed, docker);
        if (r >= 0)
                r = add_timer(env->event, &docker->look_timer, on_look, docker);
        if (r < 0) {
                docker_free(&docker->source);
                return r;
        }
        *ret_source = &docker->source;
        return 0;
}

static int docker_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        return create(&docker_source_ops, &docker_flavour, config, env, ret_source);
}

static int podman_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        return create(&podman_source_ops, &podman_flavour, config, env, ret_source);
}

static int docker_start(struct source *source) {
        struct docker_source *docker = docker_of(source);

        docker->running = true;
        docker->wait_us = 0;
        source_post_state(source, SOURCE_CONNECTING, NULL);
        docker_connect(docker);
        return 0;
}

static void docker_stop(struct source *source) {
        struct docker_source *docker = docker_of(source);

        docker->running = false;
        docker_drop(docker);
        (void) sd_event_source_set_enabled(docker->retry, SD_EVENT_OFF);
}

const struct source_ops docker_source_ops = { .name = "docker",
        .create = docker_create,
        .start = docker_start,
        .stop = docker_stop,
        .free = docker_free };

const struct source_ops podman_source_ops = { .name = "podman",
        .create = podman_create,
        .start = docker_start,
        .stop = docker_stop,
        .free = docker_free };
