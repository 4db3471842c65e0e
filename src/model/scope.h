#pragma once
/* What a caller may do. A token carries some of these; who is trusted by the local socket has all.
 * SCOPE_ADMIN carries the others. */

#include "base/macro.h"

enum scope {
        SCOPE_READ = 1 << 0,
        SCOPE_EVENTS_WRITE = 1 << 1, /* post to timelines */
        SCOPE_PROBES_WRITE = 1 << 2, /* set, remove and run probes */
        SCOPE_APPS_WRITE = 1 << 3,   /* bind and unbind apps */
        SCOPE_ACTIONS = 1 << 4,      /* stop, destroy and scale workloads */
        SCOPE_ADMIN = 1 << 5,        /* tokens, configuration */
        SCOPE_ALL = (1 << 6) - 1,
};

#define SCOPE_COUNT 6

/** Of one bit. Words: "read" "events:write" "probes:write" "apps:write" "actions" "admin". */
const char *scope_to_string(enum scope scope);
/** Return: the bit; -EINVAL for other words. */
int scope_from_string(const char *text);
/** Whether a set of bits allows what needs @scope. */
bool scope_allows(unsigned int scopes, enum scope scope);
