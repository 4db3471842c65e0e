#pragma once
/* What docker's and podman's files share: docker.c (connection, streams, listing), docker_event.c
 * (one event line, pure) and docker_inspect.c (one inspect answer, pure). One API, two dialects:
 * struct docker_flavour. */

#include "source/source.h"

struct docker_flavour {
        const char *runtime; /* "docker" "podman" */
        bool runtime_tells;  /* State.OOMKilled and the oom event can be believed (podman 4: never
                                true) */
        const char *replay_until; /* what ends a replay: docker takes until=, podman stream=false */
        const char *filters;      /* of its events: what is asked for, percent-encoded */
        const char *update_prefix; /* where an update goes: podman 4 has it in its own API only */
        const char *exit_code;     /* the attribute of an event that has it */
        bool labels_win; /* over an event's own attributes, where they have the same name; and kill
                            has a signal */
};

extern const struct docker_flavour docker_flavour, podman_flavour;

enum {
        DOCKER_FORGES_CODE = 1 << 0,
        DOCKER_FORGES_SIGNAL = 1 << 1,
};

/* A fact and the memory its texts live in. */
struct docker_fact {
        struct fact fact;
        struct json_object *object; /* the parsed text; put with docker_fact_done() */
        struct json_object *labels;
        struct json_object *details;
        struct json_object *addresses;
        char origin[512];
        char cursor[32];
        char cgroup[256];
        uint64_t time_nano;
        bool look;     /* the container should be inspected: started, or its health changed */
        bool created;  /* it exists and has not started: look again later */
        bool taken_in; /* it was given a network, perhaps to be started; no fact to be posted */
        unsigned int forged; /* what of its events may be its labels' word; DOCKER_FORGES_ bits */
        bool let_go; /* its network was taken from it: if it has not started, it could not be; the
                        fact tells that, and is to be posted only then */
};

void docker_fact_done(struct docker_fact *fact);

/**
 * Read one line of GET /events.
 *
 * Return: 1 and *ret_fact; 0 an event that means nothing to us; -EINVAL not JSON, or not an event;
 * -ENOMEM.
 */
int docker_event_parse(const struct docker_flavour *flavour, const char *line, size_t size,
                struct docker_fact *ret_fact);

/** Read one answer of GET /containers/ID/json as FACT_WORKLOAD. Return: 0; -EINVAL; -ENOMEM. */
int docker_inspect_parse(const struct docker_flavour *flavour, const char *text, size_t size,
                struct docker_fact *ret_fact);
