#pragma once
/* What the files of the docker source share: docker.c (connection, streams), docker_look.c
 * (listing, inspecting) and docker_control.c (what operators ask). Nobody else includes this. */

#include "base/list.h"
#include "base/map.h"
#include "loop/curl_glue.h"
#include "source/docker.h"
#include "source/lines.h"

#define DOCKER_CALL_TIMEOUT_US (30 * USEC_PER_SEC)

/* A stream of lines. */
struct line_stream {
        struct docker_source *docker;
        struct curl_call *call;
        struct lines lines;
};

struct docker_source {
        struct source source;
        const struct docker_flavour *flavour;
        char *socket;
        uint64_t cursor_nano; /* newest event seen; 0: none ever */
        char cursor[32];      /* where to begin, if no event ever comes; "": an event came */
        uint64_t wait_us;
        bool running, up;
        sd_event_source *retry, *ping_timer, *subscribed_timer;
        struct curl_call *ping;
        struct line_stream live, replay;
        struct map *unstarted; /* id of a container that was created, or is to be started again, and
                                  has not started: when its network was taken from it,
                                  CLOCK_REALTIME ns; 1: it was not */
        struct map *forgers;   /* id of a container to DOCKER_FORGES_ bits */
        uint64_t n_events;     /* of the streams, since the start */
        char error[256];

        /* docker_look.c */
        sd_event_source *look_timer;
        struct curl_call *list_call;
        struct list looks_waiting, looks_running, looks_held; /* of struct look */
        size_t n_looks, n_running, n_held, held_size, n_listing;
        struct map *touched; /* id to n_events of its newest event, while looks are under way */
        uint64_t listed_us;  /* CLOCK_MONOTONIC */
        bool listing;

        /* docker_control.c */
        struct list controls; /* of struct docker_control */
        size_t n_controls;
};

/* docker.c */
void docker_lost(struct docker_source *docker, const char *what, int error);
/** A listing is complete: what was missed is told. */
void docker_listed(struct docker_source *docker);
int docker_call(struct docker_source *docker, const char *url, struct curl_request *request,
                struct curl_call **ret_call);

/** A container that had not started was looked at: if it could not be, that is told, now or by
 * @seen. */
void docker_start_seen(struct docker_source *docker, const char *id, struct docker_fact *seen);

/** That container has labels that pass for attributes of its events; DOCKER_FORGES_ bits. */
void docker_is_forged(struct docker_source *docker, const char *id, unsigned int forged);

/* docker_look.c */
int docker_look_init(struct docker_source *docker);
void docker_look_done(struct docker_source *docker);
/** Forget every look under way. */
void docker_look_drop(struct docker_source *docker);
/** List all containers and look at each, unless that is under way. */
void docker_list(struct docker_source *docker);
/** An event about container @id has come: what an answer under way says may be older. */
void docker_touch(struct docker_source *docker, const char *id);
/** Look at container @id in @after_us; @created: it may turn out never to have started. */
void docker_look(struct docker_source *docker, const char *id, uint64_t after_us, bool created);
void docker_look_pump(struct docker_source *docker);

/* docker_control.c */
int docker_control(struct docker_source *docker, const struct source_control *asked);
/** The connection is gone: answer all that is under way, unless the source is stopping. */
void docker_control_drop(struct docker_source *docker);
