/* The words of scopes, and which carries which. */

#include "model/scope.h"

#include "base/text.h"

static const char *const words[SCOPE_COUNT] = { "read", "events:write", "probes:write",
        "apps:write", "actions", "admin" };

const char *scope_to_string(enum scope scope) {
        for (size_t i = 0; i < SCOPE_COUNT; i++)
                if ((unsigned int) scope == 1U << i)
                        return words[i];
        return "";
}

int scope_from_string(const char *text) {
        int i = text_find(words, SCOPE_COUNT, text);

        return i < 0 ? i : 1 << i;
}

bool scope_allows(unsigned int scopes, enum scope scope) {
        return (scopes & (unsigned int) scope) || (scopes & SCOPE_ADMIN);
}
