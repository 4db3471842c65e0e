#pragma once
/* The closed sets of words that every face prints. The text of a value is the same on D-Bus, HTTP,
 * metrics, CLI and in the database. */

#include "base/macro.h"

enum workload_kind {
        WORKLOAD_VM,
        WORKLOAD_CONTAINER,
        WORKLOAD_UNIT,
        WORKLOAD_KIND_MAX_,
};

/* What an event is about: a workload's kind, or one of the three that are no workload. */
enum event_kind {
        EVENT_VM,
        EVENT_CONTAINER,
        EVENT_UNIT,
        EVENT_PROBE,
        EVENT_SOURCE,
        EVENT_APP,
        EVENT_KIND_MAX_,
};

enum workload_state {
        STATE_UNKNOWN, /* the source cannot be reached, or never said; never shown as stopped */
        STATE_CREATED, /* exists, never ran as far as we know */
        STATE_STARTING,
        STATE_RUNNING,
        STATE_PAUSED,
        STATE_STOPPING,
        STATE_STOPPED, /* ended by itself or on request with success */
        STATE_FAILED,  /* ended otherwise: died, crashed, OOMKilled */
        WORKLOAD_STATE_MAX_,
};

enum severity {
        SEVERITY_INFO,
        SEVERITY_WARNING,
        SEVERITY_ERROR,
        SEVERITY_MAX_,
};

enum source_state {
        SOURCE_CONNECTING, /* not connected yet, or trying again */
        SOURCE_UP,         /* connected, first listing done */
        SOURCE_DOWN,
        SOURCE_STATE_MAX_,
};

/* Words: "vm" "container" "unit"; "vm" … "app"; "unknown" "created" "starting" "running" "paused"
 * "stopping" "stopped" "failed"; "info" "warning" "error"; "connecting" "up" "down". From text:
 * -EINVAL for other words. */
const char *workload_kind_to_string(enum workload_kind kind);
int workload_kind_from_string(const char *text);
const char *event_kind_to_string(enum event_kind kind);
int event_kind_from_string(const char *text);
const char *workload_state_to_string(enum workload_state state);
int workload_state_from_string(const char *text);
/** Whether something runs in it: starting, running, paused, stopping. */
bool workload_state_is_alive(enum workload_state state);
const char *severity_to_string(enum severity severity);
int severity_from_string(const char *text);
const char *source_state_to_string(enum source_state state);
enum event_kind event_kind_of_workload(enum workload_kind kind);
