/* The words, one table each. */

#include "model/word.h"

#include "base/text.h"

static const char *const kinds[] = { "vm", "container", "unit", "probe", "source", "app" };
static const char *const states[] = { "unknown", "created", "starting", "running", "paused",
        "stopping", "stopped", "failed" };
static const char *const severities[] = { "info", "warning", "error" };
static const char *const source_states[] = { "connecting", "up", "down" };

const char *workload_kind_to_string(enum workload_kind kind) {
        return kinds[kind];
}

int workload_kind_from_string(const char *text) {
        return text_find(kinds, WORKLOAD_KIND_MAX_, text);
}

const char *event_kind_to_string(enum event_kind kind) {
        return kinds[kind];
}

int event_kind_from_string(const char *text) {
        return text_find(kinds, EVENT_KIND_MAX_, text);
}

const char *workload_state_to_string(enum workload_state state) {
        return states[state];
}

int workload_state_from_string(const char *text) {
        return text_find(states, WORKLOAD_STATE_MAX_, text);
}

bool workload_state_is_alive(enum workload_state state) {
        return state == STATE_RUNNING || state == STATE_PAUSED || state == STATE_STARTING ||
                        state == STATE_STOPPING;
}

const char *severity_to_string(enum severity severity) {
        return severities[severity];
}

int severity_from_string(const char *text) {
        return text_find(severities, SEVERITY_MAX_, text);
}

const char *source_state_to_string(enum source_state state) {
        return source_states[state];
}

enum event_kind event_kind_of_workload(enum workload_kind kind) {
        return (enum event_kind) kind; /* the first three are the same, in the same order */
}
