/* docker and podman: connect, subscribe, replay, list, then live. Subscribed first and listed last,
 * so that nothing falls between; what both tell is told apart by the event's own id. */

#include "source/docker.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "loop/timer.h"
#include "source/docker_link.h"

#define LINE_MAX_BYTES (1U << 20)
#define OVERLAP_NS     UINT64_C(10000000000)
#define PING_US        (5 * USEC_PER_SEC)
#define RELIST_US      (300 * USEC_PER_SEC)
#define CREATED_US     (2 * USEC_PER_SEC)
#define SUBSCRIBED_US  (500 * USEC_PER_MSEC)
#define FORGERS_MAX    4096 /* containers; those beyond are believed */
#define UNSTARTED_MAX  4096 /* containers; a failed start of those beyond is not told */
#define STARTED_BEFORE (UINT64_C(1) << 63) /* with what docker->unstarted has */

static struct docker_source *docker_of(struct source *source) {
        return CONTAINER_OF(source, struct docker_source, source);
}

/* ---- losing it ---- */

static void stream_stop(struct line_stream *stream) {
        stream->call = curl_call_cancel(stream->call);
        lines_done(&stream->lines);
}

static void docker_drop(struct docker_source *docker) {
        docker->ping = curl_call_cancel(docker->ping);
        stream_stop(&docker->live);
        stream_stop(&docker->replay);
        docker_look_drop(docker);
        docker_control_drop(docker);
        while (docker->unstarted && map_table(docker->unstarted)->head)
                (void) map_remove(
                                docker->unstarted, lh_entry_k(map_table(docker->unstarted)->head));
        docker->up = false;
        timer_off(docker->ping_timer);
        timer_off(docker->subscribed_timer);
}

void docker_lost(struct docker_source *docker, const char *what, int error) {
        if (!docker->running)
                return;
        (void) snprintf(docker->error, sizeof(docker->error), "%s: %s", what,
                        error < 0 ? strerrordesc_np(-error) : "ended");
        docker_drop(docker);
        docker->source.stats.reconnects++;
        source_post_state(&docker->source, SOURCE_DOWN, docker->error);
        (void) timer_arm(docker->retry, source_backoff_next(&docker->wait_us));
}

/* ---- events ---- */

/* ---- containers that cannot be started: no event says so ---- */

static void start_failed(struct docker_source *docker, const struct workload_info *info,
                uint64_t time_nano, struct json_object *details) {
        struct fact fact = FACT_INIT(FACT_EXIT);
        char origin[512]; /* the same whoever finds it, and in a replay */

        (void) snprintf(origin, sizeof(origin), "%ju/%s/disconnect", (uintmax_t) time_nano,
                        info->native_id);
        fact.origin = origin;
        fact.time_us = time_nano / NSEC_PER_USEC;
        fact.how = EXIT_START_FAILED;
        fact.code = info->exit_code;
        fact.details = details;
        fact.workload.kind = info->kind;
        fact.workload.native_id = info->native_id;
        fact.workload.runtime = info->runtime;
        fact.workload.name = info->name;
        fact.workload.image = info->image;
        source_post(&docker->source, &fact);
}

/* One that had been started before looks as its last life left it, but for an error. */
static void docker_restart_seen(
                struct docker_source *docker, uint64_t time_nano, struct docker_fact *seen) {
        const enum workload_state state = seen->fact.workload.state;

        if (time_nano > 1 && seen->details && (state == STATE_STOPPED || state == STATE_FAILED))
                start_failed(docker, &seen->fact.workload, time_nano, seen->details);
}

void docker_start_seen(struct docker_source *docker, const char *id, struct docker_fact *seen) {
        const bool failed = seen->fact.workload.how == EXIT_START_FAILED;
        uint64_t time_nano = (uintptr_t) map_get(docker->unstarted, id);

        if (time_nano & STARTED_BEFORE) {
                (void) map_remove(docker->unstarted, id);
                docker_restart_seen(docker, time_nano & ~STARTED_BEFORE, seen);
                return;
        }
        if (!failed && seen->fact.workload.state != STATE_CREATED)
                return; /* it runs, or is on its way out: events tell */
        time_nano = (uintptr_t) map_remove(docker->unstarted, id);
        if (failed && time_nano > 1)
                start_failed(docker, &seen->fact.workload, time_nano, seen->details);
        else if (failed)
                seen->fact.quiet = time_nano == 0;
        else if (time_nano > 0)
                (void) map_put(docker->unstarted, id, (void *) 1);
}

/* A container that is not new was given a network: it is about to be started, or runs already and
 * got one more, and then what comes of it says so. */
static void docker_taken_in(struct docker_source *docker, const struct docker_fact *event) {
        const char *id = event->fact.workload.native_id;

        if (!map_get(docker->unstarted, id) && map_size(docker->unstarted) < UNSTARTED_MAX)
                (void) map_put(docker->unstarted, id, (void *) (STARTED_BEFORE | 1));
}

/* Its network was taken from a container. Did it never start, look why not; that may come too late
 * for one that is removed at once. */
static void docker_let_go(struct docker_source *docker, const struct docker_fact *event) {
        const char *id = event->fact.workload.native_id;
        const uintptr_t was = (uintptr_t) map_remove(docker->unstarted, id);

        if (!was)
                return;
        (void) map_put(docker->unstarted, id,
                        (void *) (uintptr_t) (event->time_nano | (was & STARTED_BEFORE)));
        docker_touch(docker, id);
        docker_look(docker, id, 0, true);
}

/* Follow the life of a container up to its start. One that ends before it was told why it could not
 * be started is told to have failed, without its exit code. */
static void docker_unstarted(struct docker_source *docker, const struct docker_fact *event) {
        const struct workload_info *info = &event->fact.workload;
        uint64_t time_nano;

        if (event->created) {
                if (map_size(docker->unstarted) < UNSTARTED_MAX)
                        (void) map_put(docker->unstarted, info->native_id, (void *) 1);
                return;
        }
        if (info->state != STATE_RUNNING && event->fact.type != FACT_REMOVED &&
                        event->fact.type != FACT_EXIT)
                return;
        time_nano = (uintptr_t) map_remove(docker->unstarted, info->native_id);
        if (time_nano > 1 && !(time_nano & STARTED_BEFORE) && event->fact.type == FACT_REMOVED)
                start_failed(docker, info, time_nano, NULL);
}

/* ---- containers whose labels pass for what the engine says ---- */

static unsigned int forged_of(const struct docker_source *docker, const char *id) {
        return (unsigned int) (uintptr_t) map_get(docker->forgers, id);
}

void docker_is_forged(struct docker_source *docker, const char *id, unsigned int forged) {
        const unsigned int known = forged_of(docker, id);

        if ((known | forged) == known || map_size(docker->forgers) >= FORGERS_MAX)
                return;
        (void) map_remove(docker->forgers, id);
        (void) map_put(docker->forgers, id, (void *) (uintptr_t) (known | forged));
}

/* An image may have such labels, too, and would choose how its end is told. */
static void docker_believe(struct docker_source *docker, struct docker_fact *event) {
        const char *id = event->fact.workload.native_id;

        docker_is_forged(docker, id, event->forged);
        if (event->fact.type == FACT_EXIT && forged_of(docker, id) & DOCKER_FORGES_CODE)
                event->fact.code = -1;
        if (event->fact.type == FACT_KILL && forged_of(docker, id) & DOCKER_FORGES_SIGNAL)
                event->fact.kill_signal = 0;
        if (event->fact.type == FACT_REMOVED)
                (void) map_remove(docker->forgers, id);
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

        if (event.let_go || event.taken_in) {
                if (event.let_go)
                        docker_let_go(docker, &event);
                else
                        docker_taken_in(docker, &event);
                docker_fact_done(&event);
                docker_look_pump(docker);
                return;
        }
        docker_unstarted(docker, &event);
        docker_believe(docker, &event);
        event.fact.origin = event.origin;
        if (event.time_nano >= docker->cursor_nano) {
                event.fact.cursor = event.cursor;
                docker->cursor_nano = event.time_nano;
                docker->cursor[0] = '\0';
        }
        docker_touch(docker, event.fact.workload.native_id);
        source_post(&docker->source, &event.fact);
        if (event.created)
                docker_look(docker, event.fact.workload.native_id, CREATED_US, true);
        else if (event.look)
                docker_look(docker, event.fact.workload.native_id, 0, false);
        docker_fact_done(&event);
        docker_look_pump(docker);
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

/* ---- subscribing ---- */

int docker_call(struct docker_source *docker, const char *url, struct curl_request *request,
                struct curl_call **ret_call) {
        request->url = url;
        request->unix_socket = docker->socket;
        return curl_glue_start(docker->source.env->curl, request, ret_call);
}

void docker_listed(struct docker_source *docker) {
        struct fact end = FACT_INIT(FACT_LISTING_END);

        end.cursor = docker->cursor[0] ? docker->cursor : NULL;
        source_post(&docker->source, &end);
        if (!docker->up) {
                docker->up = true;
                docker->wait_us = 0;
                source_post_state(&docker->source, SOURCE_UP, NULL);
        }
}

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

        timer_off(docker->subscribed_timer);
        if (docker->replay.call || docker->list_call || docker->listing || docker->up)
                return;
        now_s = clock_realtime_us() / USEC_PER_SEC;
        if (strcmp(docker->flavour->replay_until, "until") == 0)
                (void) snprintf(end, sizeof(end), "until=%ju", (uintmax_t) (now_s + 1));
        else
                (void) snprintf(end, sizeof(end), "stream=false");
        (void) snprintf(url, sizeof(url), "http://localhost/events?since=%ju.%09ju&%s&filters=%s",
                        (uintmax_t) (since / 1000000000), (uintmax_t) (since % 1000000000), end,
                        docker->flavour->filters);
        docker->replay = (struct line_stream){ .docker = docker,
                .lines = LINES_INIT(LINE_MAX_BYTES) };
        r = docker_call(docker, url,
                        &(struct curl_request){
                                        .timeout_us = DOCKER_CALL_TIMEOUT_US,
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
        return timer_arm(stream->docker->subscribed_timer, 0);
}

static int on_subscribed(sd_event_source *timer, uint64_t time_us, void *userdata) {
        docker_replay(userdata);
        return 0;
}

static void docker_subscribe(struct docker_source *docker) {
        uint64_t since, now_nano = clock_realtime_us() * NSEC_PER_USEC;
        char url[512];
        int r;

        if (docker->cursor_nano == 0 || docker->cursor_nano > now_nano + 2 * OVERLAP_NS) {
                /* Now is where a later run has to begin, though no event may come; or the clock was
                 * ahead when the last one came. */
                docker->cursor_nano = now_nano + OVERLAP_NS;
                (void) snprintf(docker->cursor, sizeof(docker->cursor), "%ju",
                                (uintmax_t) docker->cursor_nano);
        }
        since = docker->cursor_nano > OVERLAP_NS ? docker->cursor_nano - OVERLAP_NS : 0;
        (void) snprintf(url, sizeof(url), "http://localhost/events?since=%ju.%09ju&filters=%s",
                        (uintmax_t) (since / 1000000000), (uintmax_t) (since % 1000000000),
                        docker->flavour->filters);
        docker->live = (struct line_stream){ .docker = docker,
                .lines = LINES_INIT(LINE_MAX_BYTES) };
        r = docker_call(docker, url,
                        &(struct curl_request){
                                        .on_data = stream_data,
                                        .on_headers = live_headers,
                                        .on_done = live_done,
                                        .userdata = &docker->live,
                        },
                        &docker->live.call);
        if (r >= 0) /* an engine may keep its headers back until the first event */
                r = timer_arm(docker->subscribed_timer, SUBSCRIBED_US);
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
        (void) timer_arm(docker->ping_timer, PING_US);
}

static void docker_connect(struct docker_source *docker) {
        int r;

        r = docker_call(docker, "http://localhost/_ping",
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
        docker_look_done(docker);
        free(docker->socket);
        source_done(source);
        free(docker);
}

static int create(const struct source_ops *ops, const struct docker_flavour *flavour,
                const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        struct docker_source *docker;
        int r;

        docker = calloc(1, sizeof(*docker));
        if (!docker)
                return -ENOMEM;

        list_init(&docker->controls);
        docker->flavour = flavour;
        r = source_init(&docker->source, ops, config, env);
        docker->socket = strdup(config->address);
        if (r >= 0 && !docker->socket)
                r = -ENOMEM;
        if (r >= 0 && config->cursor)
                r = text_to_u64(config->cursor, &docker->cursor_nano);
        if (r >= 0)
                r = docker_look_init(docker);
        if (r >= 0)
                r = timer_new(env->event, on_retry, docker, &docker->retry);
        if (r >= 0)
                r = timer_new(env->event, on_ping, docker, &docker->ping_timer);
        if (r >= 0)
                r = timer_new(env->event, on_subscribed, docker, &docker->subscribed_timer);
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
        timer_off(docker->retry);
}

static int docker_on_control(struct source *source, const struct source_control *control) {
        return docker_control(docker_of(source), control);
}

#define CONTROLS (ACTION_BIT(ACTION_STOP) | ACTION_BIT(ACTION_DESTROY) | ACTION_BIT(ACTION_SCALE))

const struct source_ops docker_source_ops = { .name = "docker",
        .create = docker_create,
        .start = docker_start,
        .stop = docker_stop,
        .free = docker_free,
        .controls = CONTROLS,
        .control = docker_on_control };

const struct source_ops podman_source_ops = { .name = "podman",
        .create = podman_create,
        .start = docker_start,
        .stop = docker_stop,
        .free = docker_free,
        .controls = CONTROLS,
        .control = docker_on_control };
