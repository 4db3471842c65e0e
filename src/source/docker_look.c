/* Looking at containers as they are now: one because an event asks for it, or all of them in a
 * listing. An answer overtaken by an event is asked for again; one of a listing is held for a while
 * first, because the event of what it shows may still be on its way through the stream. */

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "loop/timer.h"
#include "source/docker_link.h"
#include "source/proc.h"

#define LIST_MAX_BYTES (64U << 20)
#define LOOK_MAX_BYTES (4U << 20)
#define LOOKS_MAX      16384 /* those of a listing come on top, which is bounded itself */
#define RUNNING_MAX    8
#define HELD_MAX_BYTES (1U << 20)
#define HOLD_US        (250 * USEC_PER_MSEC)
/* A container that has an event each time it is looked at is followed by its events. */
#define TRIES_MAX 8

struct look {
        struct list list; /* in docker->looks_waiting, _running or _held */
        struct docker_source *docker;
        struct curl_call *call;
        char id[256];
        char *answer; /* held */
        size_t size;
        uint64_t sent;          /* docker->n_events when it was asked */
        uint64_t asked_us;      /* CLOCK_REALTIME of that */
        uint64_t not_before_us; /* CLOCK_MONOTONIC: when it may be asked or, held, believed */
        unsigned int n_tries;
        bool listing; /* part of a listing */
        bool created; /* may turn out never to have started */
        bool gone;    /* the engine says that there is no such container */
};

static struct look *look_free(struct look *look) {
        list_remove(&look->list);
        look->docker->n_looks--;
        curl_call_cancel(look->call);
        free(look->answer);
        free(look);
        return NULL;
}

static void looks_free(struct list *looks) {
        struct look *look;

        while ((look = list_first(looks, struct look, list)))
                look_free(look);
}

void docker_look_drop(struct docker_source *docker) {
        docker->list_call = curl_call_cancel(docker->list_call);
        looks_free(&docker->looks_waiting);
        looks_free(&docker->looks_running);
        looks_free(&docker->looks_held);
        docker->n_running = docker->n_held = docker->held_size = docker->n_listing = 0;
        docker->listing = false;
        timer_off(docker->look_timer);
}

void docker_touch(struct docker_source *docker, const char *id) {
        docker->n_events++;
        if (docker->n_running + docker->n_held == 0)
                return;
        (void) map_remove(docker->touched, id);
        (void) map_put(docker->touched, id, (void *) (uintptr_t) docker->n_events);
}

static bool look_is_stale(const struct look *look) {
        return (uintptr_t) map_get(look->docker->touched, look->id) > look->sent;
}

static void look_new(struct docker_source *docker, const char *id, uint64_t after_us, bool listing,
                bool created) {
        struct look *look;

        if (strlen(id) >= sizeof(look->id) || strspn(id, "0123456789abcdefABCDEF") != strlen(id))
                return; /* goes into a URL */
        if (!listing && docker->n_looks >= LOOKS_MAX) {
                docker->source.stats.dropped++;
                return;
        }
        look = calloc(1, sizeof(*look));
        if (!look)
                return;
        docker->n_looks++;
        look->docker = docker;
        look->listing = listing;
        look->created = created;
        look->not_before_us = clock_monotonic_us() + after_us;
        (void) snprintf(look->id, sizeof(look->id), "%s", id);
        list_append(&docker->looks_waiting, &look->list);
        docker->n_listing += listing;
}

void docker_look(struct docker_source *docker, const char *id, uint64_t after_us, bool created) {
        look_new(docker, id, after_us, false, created);
}

/* ---- answers ---- */

/* It was in the list. An engine may be unable to say more: one hangs over a container that hangs.
 */
static void post_listed(struct look *look) {
        struct fact fact = FACT_INIT(FACT_LISTED);

        fact.workload.native_id = look->id;
        source_post(&look->docker->source, &fact);
}

/* Return: whether it could be read. */
static bool look_post(struct look *look, const char *body, size_t size) {
        struct docker_source *docker = look->docker;
        struct docker_fact seen;
        int r;

        r = docker_inspect_parse(docker->flavour, body, size, &seen);
        if (r < 0) {
                source_malformed(&docker->source, "Unreadable container", body, size);
                return false;
        }
        seen.fact.time_us = look->asked_us;
        docker_is_forged(docker, look->id, seen.forged);
        if (seen.fact.workload.pid &&
                        proc_memory_cgroup(seen.fact.workload.pid, seen.cgroup,
                                        sizeof(seen.cgroup)) >= 0)
                seen.fact.workload.cgroup = seen.cgroup;
        if (!look->listing || look_is_stale(look))
                seen.fact.quiet = true; /* its events say how it is */
        if (look->created)
                docker_start_seen(docker, look->id, &seen);
        source_post(&docker->source, &seen.fact);
        docker_fact_done(&seen);
        return true;
}

/* @body: NULL: there is no answer. */
static void look_settle(struct look *look, const char *body, size_t size) {
        struct docker_source *docker = look->docker;

        if (!(body && look_post(look, body, size)) && look->listing && !look->gone)
                post_listed(look);
        docker->n_listing -= look->listing;
        look_free(look);
        if (docker->listing && docker->n_listing == 0) {
                docker->listing = false;
                docker->listed_us = clock_monotonic_us();
                docker_listed(docker);
        }
}

static void look_again(struct look *look) {
        list_remove(&look->list);
        list_append(&look->docker->looks_waiting, &look->list);
}

static bool look_hold(struct look *look, const char *body, size_t size) {
        struct docker_source *docker = look->docker;

        look->answer = malloc(size ? size : 1);
        if (!look->answer)
                return false;
        memcpy(look->answer, body, size);
        look->size = size;
        look->not_before_us = clock_monotonic_us() + HOLD_US;
        list_remove(&look->list);
        list_append(&docker->looks_held, &look->list);
        docker->n_held++;
        docker->held_size += size;
        return true;
}

static void look_done(struct curl_call *call, int error, long status, const char *body, size_t size,
                void *userdata) {
        struct look *look = userdata;
        struct docker_source *docker = look->docker;
        bool ok = error >= 0 && status == 200;

        look->call = NULL;
        look->gone = error >= 0 && status == 404;
        docker->n_running--;
        if (!ok) {
                log_debug("Cannot inspect %s: status %ld, %s", look->id, status,
                                error < 0 ? strerrordesc_np(-error)
                                          : "no error"); /* 404: gone already */
        }
        if (ok && look_is_stale(look) && look->n_tries < TRIES_MAX)
                look_again(look);
        else if (!ok || !look->listing || !look_hold(look, body, size))
                look_settle(look, ok ? body : NULL, size);
        docker_look_pump(docker);
}

static void held_done(struct look *look) {
        struct docker_source *docker = look->docker;
        char *body = TAKE_PTR(look->answer);

        docker->n_held--;
        docker->held_size -= look->size;
        if (look_is_stale(look) && look->n_tries < TRIES_MAX)
                look_again(look);
        else
                look_settle(look, body, look->size);
        free(body);
}

/* ---- asking ---- */

static bool look_start(struct look *look) {
        struct docker_source *docker = look->docker;
        char url[512];

        if (docker->n_running + docker->n_held == 0) {
                docker->touched = map_free(docker->touched);
                if (map_new(&docker->touched) < 0)
                        return false;
        }
        look->sent = docker->n_events;
        look->asked_us = clock_realtime_us();
        (void) snprintf(url, sizeof(url), "http://localhost/containers/%s/json", look->id);
        if (docker_call(docker, url,
                            &(struct curl_request){
                                            .timeout_us = DOCKER_CALL_TIMEOUT_US,
                                            .body_max = LOOK_MAX_BYTES,
                                            .on_done = look_done,
                                            .userdata = look,
                            },
                            &look->call) < 0)
                return false;
        look->n_tries++;
        list_remove(&look->list);
        list_append(&docker->looks_running, &look->list);
        docker->n_running++;
        return true;
}

void docker_look_pump(struct docker_source *docker) {
        uint64_t now_us = clock_monotonic_us(), next_us = USEC_INFINITY;
        struct look *look, *next;

        while ((look = list_first(&docker->looks_held, struct look, list)) &&
                        look->not_before_us <= now_us)
                held_done(look);
        if (look)
                next_us = look->not_before_us;

        list_for_each_safe(look, next, &docker->looks_waiting, list) {
                if (docker->n_running >= RUNNING_MAX || docker->held_size >= HELD_MAX_BYTES)
                        break;
                if (look->not_before_us > now_us)
                        next_us = look->not_before_us < next_us ? look->not_before_us : next_us;
                else if (!look_start(look))
                        break;
        }
        if (next_us != USEC_INFINITY)
                (void) timer_arm(docker->look_timer, next_us - now_us);
}

static int on_look(sd_event_source *timer, uint64_t time_us, void *userdata) {
        docker_look_pump(userdata);
        return 0;
}

static void list_done(struct curl_call *call, int error, long status, const char *body, size_t size,
                void *userdata) {
        _cleanup_(json_putp) struct json_object *list = NULL;
        struct docker_source *docker = userdata;

        docker->list_call = NULL;
        if (error < 0 || status != 200 || json_parse(body, size, &list) < 0 ||
                        !json_object_is_type(list, json_type_array)) {
                docker_lost(docker, "cannot list containers", error < 0 ? error : -EPROTO);
                return;
        }
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                const char *id = json_get_string(json_object_array_get_idx(list, i), "Id");

                if (id)
                        look_new(docker, id, 0, true, false);
        }
        if (docker->n_listing == 0) {
                docker->listed_us = clock_monotonic_us();
                docker_listed(docker);
                return;
        }
        docker->listing = true;
        docker_look_pump(docker);
}

void docker_list(struct docker_source *docker) {
        struct fact begin = FACT_INIT(FACT_LISTING_BEGIN);
        int r;

        if (docker->list_call || docker->listing)
                return;
        /* Now, not with the answer: what an event tells meanwhile is newer than that. */
        source_post(&docker->source, &begin);
        r = docker_call(docker, "http://localhost/containers/json?all=1",
                        &(struct curl_request){
                                        .timeout_us = DOCKER_CALL_TIMEOUT_US,
                                        .body_max = LIST_MAX_BYTES,
                                        .on_done = list_done,
                                        .userdata = docker,
                        },
                        &docker->list_call);
        if (r < 0)
                docker_lost(docker, "cannot list containers", r);
}

/* ---- life ---- */

int docker_look_init(struct docker_source *docker) {
        int r;

        list_init(&docker->looks_waiting);
        list_init(&docker->looks_running);
        list_init(&docker->looks_held);
        r = map_new(&docker->touched);
        if (r >= 0)
                r = map_new(&docker->unstarted);
        if (r >= 0)
                r = map_new(&docker->forgers);
        if (r < 0)
                return r;
        return timer_new(docker->source.env->event, on_look, docker, &docker->look_timer);
}

void docker_look_done(struct docker_source *docker) {
        docker->look_timer = sd_event_source_disable_unref(docker->look_timer);
        docker->touched = map_free(docker->touched);
        docker->unstarted = map_free(docker->unstarted);
        docker->forgers = map_free(docker->forgers);
}
