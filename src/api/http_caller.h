#pragma once
/* Who sent a request, and what that allows: a token that was made for it (engine/tokens.h), the
 * token of the configuration, or a peer of the local socket that is root, this daemon's user or a
 * member of its group. A token that is given is what counts, on the local socket too.
 *
 * A limited token reaches what is about one app ("{slug}" in the path) or one workload, if that is
 * within its limits, and the lists that leave out what is not: workloads, events (stream and page),
 * samples, apps, probes. All other paths it cannot reach; a new path is out of reach until it is
 * named here. */

#include "engine/refusals.h"
#include "model/scope.h"
#include "model/token.h"

struct http_request;
struct workload;

/* In the place of an id, which is hexadecimal. */
#define HTTP_CALLER_CONFIGURED "http.token"

/* Found out once a request. */
struct http_caller {
        bool is_looked_up;
        unsigned int scopes;                /* bits of enum scope; 0: unknown to us */
        struct limit *limit;                /* a reference; NULL: none */
        char token_id[TOKEN_ID_LENGTH + 1]; /* or HTTP_CALLER_CONFIGURED; "": by no token */
        char by[TOKEN_NAME_MAX + 8];        /* "token ci" "http.token" "uid 0" */
        char address[64];                   /* of an IPv6 one the first half; or "uid 0" */
        enum refusal refusal;               /* why scopes are 0 */
        uint64_t wait_us;                   /* with REFUSAL_RATE */
        bool is_unsure; /* with REFUSAL_UNKNOWN: the tokens could not be read yet */
};

/** Never NULL. */
const struct http_caller *http_caller_get(struct http_request *request);
void http_caller_done(struct http_caller *caller);

struct http_denial {
        unsigned int status; /* HTTP */
        const char *code;
        char message[96];
};

/** Whether the caller may not do what needs @scope on the route of that template; fills @denial. */
bool http_caller_is_denied(struct http_request *request, const char *path, enum scope scope,
                struct http_denial *ret_denial);
/** Whether the target holds a token, or an argument with such a name. */
bool http_caller_shows_token(struct http_request *request, const char *url);

/** Whether what the caller is limited to includes that. */
bool http_caller_sees(struct http_request *request, const struct workload *workload);
bool http_caller_sees_slug(struct http_request *request, const char *slug);
