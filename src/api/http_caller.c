/* Bearer tokens, peers of the local socket, and what either reaches. */

#include "api/http_caller.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "api/http_internal.h"
#include "base/clock.h"
#include "base/text.h"
#include "engine/apps.h"
#include "engine/tokens.h"
#include "engine/tracker.h"
#include "store/journal.h"

/* ---- who ---- */

static int peer_of(struct http_request *request, struct ucred *ret_peer, int *ret_fd) {
        const union MHD_ConnectionInfo *info;
        socklen_t size = sizeof(*ret_peer);

        if (!request->listener->spec.is_unix)
                return -ENOTSUP;
        info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, ret_peer, &size) < 0)
                return -ENOTCONN;
        *ret_fd = info->connect_fd;
        return 0;
}

static bool peer_is_trusted(struct http_request *request, const struct ucred *peer, int fd) {
        gid_t group = request->http->group, groups[1024];
        socklen_t size = sizeof(groups);

        if (peer->uid == 0 || peer->uid == geteuid())
                return true;
        if (group == (gid_t) -1)
                return false;
        if (peer->gid == group)
                return true;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return false;
        for (size_t i = 0; i < size / sizeof(groups[0]); i++)
                if (groups[i] == group)
                        return true;
        return false;
}

/* Of IPv6 the network: one host has as many addresses in it as it likes. */
static void find_address(struct http_request *request, char *text, size_t size) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
                        request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        const struct sockaddr *address = info ? info->client_addr : NULL;
        struct in6_addr network;

        (void) snprintf(text, size, "unknown");
        if (address && address->sa_family == AF_INET) {
                (void) inet_ntop(AF_INET,
                                &((const struct sockaddr_in *) (const void *) address)->sin_addr,
                                text, (socklen_t) size);
        } else if (address && address->sa_family == AF_INET6) {
                network = ((const struct sockaddr_in6 *) (const void *) address)->sin6_addr;
                if (IN6_IS_ADDR_V4MAPPED(&network)) {
                        (void) inet_ntop(AF_INET, &network.s6_addr[12], text, (socklen_t) size);
                        return;
                }
                memset(&network.s6_addr[8], 0, 8);
                (void) inet_ntop(AF_INET6, &network, text, (socklen_t) size);
        }
}

static const char *given_token(struct http_request *request) {
        const char *given = http_header(request, MHD_HTTP_HEADER_AUTHORIZATION);

        if (given && strncasecmp(given, "Bearer ", 7) == 0)
                return given + 7;
        return http_header(request, "X-Virtwatch-Token");
}

static bool is_configured_token(const struct http *http, const char *given) {
        struct token_digest digest;

        return http->token && token_digest_of(given, &digest) >= 0 &&
                        token_digest_equal(&digest, &http->token_digest);
}

static void by_token(struct http_caller *caller, const struct token *token) {
        caller->scopes = token->scopes;
        caller->limit = limit_ref(token->limit);
        (void) snprintf(caller->by, sizeof(caller->by), "token %s", token->name);
        memcpy(caller->token_id, token->id, sizeof(caller->token_id));
}

/* Whether those that are stored are known: else nobody can say that there is no such one. */
static bool has_read_tokens(const struct api_context *api) {
        struct journal_stats stats;

        journal_get_stats(api->journal, &stats);
        return !stats.memory;
}

/* What is no token of ours by its form can be guessed, so it is looked at only while its address
 * has not failed too often; one of ours cannot, so nobody can lock its owner out. */
static void look_up_token(
                struct http_request *request, struct http_caller *caller, const char *given) {
        const struct api_context *api = request->http->api;
        const struct token *token = NULL;
        int r;

        r = tokens_use(api->tokens, given, clock_realtime_us(), &token);
        if (r >= 0) {
                by_token(caller, token);
                return;
        }
        caller->refusal = r == -EKEYEXPIRED ? REFUSAL_EXPIRED
                        : r == -EINVAL      ? REFUSAL_MALFORMED
                                            : REFUSAL_UNKNOWN;
        caller->wait_us = refusals_wait_us(api->refusals, caller->address, clock_monotonic_us());
        if (caller->wait_us > 0) {
                caller->refusal = REFUSAL_RATE;
        } else if (is_configured_token(request->http, given)) {
                caller->scopes = SCOPE_ALL;
                (void) snprintf(caller->by, sizeof(caller->by), "http.token");
                (void) snprintf(caller->token_id, sizeof(caller->token_id), HTTP_CALLER_CONFIGURED);
        } else {
                caller->is_unsure = r == -ENOENT && !has_read_tokens(api);
        }
}

const struct http_caller *http_caller_get(struct http_request *request) {
        struct http_caller *caller = &request->caller;
        const char *given = given_token(request);
        struct ucred peer;
        int fd, r;

        if (caller->is_looked_up)
                return caller;
        caller->is_looked_up = true;
        caller->refusal = REFUSAL_MISSING;
        r = peer_of(request, &peer, &fd);
        if (r >= 0)
                (void) snprintf(caller->address, sizeof(caller->address), "uid %u", peer.uid);
        else
                find_address(request, caller->address, sizeof(caller->address));
        if (given) {
                look_up_token(request, caller, given);
        } else if (r >= 0 && peer_is_trusted(request, &peer, fd)) {
                caller->scopes = SCOPE_ALL;
                (void) snprintf(caller->by, sizeof(caller->by), "uid %u", peer.uid);
        }
        return caller;
}

void http_caller_done(struct http_caller *caller) {
        caller->limit = limit_unref(caller->limit);
}

/* ---- what ---- */

bool http_caller_sees(struct http_request *request, const struct workload *workload) {
        const struct limit *limit = http_caller_get(request)->limit;

        return !limit ||
                        limit_has_workload(limit, workload->id, workload->name,
                                        apps_slug_of(request->http->api->apps, workload));
}

bool http_caller_sees_slug(struct http_request *request, const char *slug) {
        return limit_has_slug(http_caller_get(request)->limit, slug);
}

enum reach {
        REACH_NONE,
        REACH_UNSEEN, /* it is as if it were not there */
        REACH_ALL,
};

static enum reach reach_of(struct http_request *request, const char *path) {
        static const char *const lists[] = { "/api/v1/events", "/api/v1/workloads", "/api/v1/pods",
                "/api/app-gateway/apps", "/api/app-gateway/probes" };
        const struct workload *workload;

        if (!request->caller.limit)
                return REACH_ALL;
        if (strstr(path, "{slug}"))
                return http_caller_sees_slug(request, request->id) ? REACH_ALL : REACH_NONE;
        if (text_starts_with(path, "/api/v1/workloads/{id}") ||
                        text_starts_with(path, "/api/v1/pods/{id}")) {
                workload = inventory_find_any(
                                tracker_inventory(request->http->api->tracker), request->id);
                return workload && http_caller_sees(request, workload) ? REACH_ALL : REACH_UNSEEN;
        }
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                if (strcmp(path, lists[i]) == 0)
                        return REACH_ALL;
        return REACH_NONE;
}

static void note(struct http_request *request, enum refusal reason, const char *path) {
        const struct http_caller *caller = http_caller_get(request);
        char what[192];

        (void) snprintf(what, sizeof(what), "%s%s%s %s", caller->by, caller->by[0] ? ", " : "",
                        request->method, path);
        refusals_add(request->http->api->refusals, caller->address, reason, what,
                        clock_monotonic_us());
}

static void deny(struct http_denial *denial, unsigned int status, const char *code,
                const char *message) {
        denial->status = status;
        denial->code = code;
        (void) snprintf(denial->message, sizeof(denial->message), "%s", message);
}

static void deny_unknown(const struct http_caller *caller, struct http_denial *denial) {
        static const char *const messages[REFUSAL_MAX_] = {
                [REFUSAL_MISSING] = "a token is needed: Authorization: Bearer TOKEN",
                [REFUSAL_MALFORMED] = "that is no token, or a mistyped one",
                [REFUSAL_UNKNOWN] = "there is no such token; it may have been revoked",
                [REFUSAL_EXPIRED] = "the token has expired",
                [REFUSAL_RATE] = "too many wrong tokens came from this address, wait",
        };

        if (caller->is_unsure) {
                deny(denial, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "the store cannot be opened, so tokens cannot be looked up now");
        } else if (caller->refusal == REFUSAL_RATE) {
                deny(denial, MHD_HTTP_TOO_MANY_REQUESTS, "too_many_tries", messages[REFUSAL_RATE]);
        } else {
                deny(denial, MHD_HTTP_UNAUTHORIZED, "unauthorized", messages[caller->refusal]);
        }
}

bool http_caller_is_denied(struct http_request *request, const char *path, enum scope scope,
                struct http_denial *ret_denial) {
        const struct http_caller *caller = http_caller_get(request);
        enum reach reach;

        if (caller->scopes == 0) {
                deny_unknown(caller, ret_denial);
                if (!caller->is_unsure)
                        note(request, caller->refusal, path);
                return true;
        }
        if (!scope_allows(caller->scopes, scope)) {
                deny(ret_denial, MHD_HTTP_FORBIDDEN, "forbidden", "");
                (void) snprintf(ret_denial->message, sizeof(ret_denial->message),
                                "that needs the scope %s, which the token has not",
                                scope_to_string(scope));
                note(request, REFUSAL_SCOPE, path);
                return true;
        }
        reach = reach_of(request, path);
        if (reach == REACH_ALL)
                return false;
        if (reach == REACH_UNSEEN) {
                deny(ret_denial, MHD_HTTP_NOT_FOUND, "not_found",
                                "there is no workload of that id or name");
                return true;
        }
        deny(ret_denial, MHD_HTTP_FORBIDDEN, "forbidden",
                        "the token is limited to other apps and workloads");
        note(request, REFUSAL_LIMIT, path);
        return true;
}

static enum MHD_Result look_at_argument(
                void *userdata, enum MHD_ValueKind kind, const char *name, const char *value) {
        static const char *const names[] = { "token", "access_token", "auth_token", "api_token" };
        bool *shown = userdata;

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                *shown |= strcasecmp(name, names[i]) == 0;
        *shown |= token_text_is_within(name) || (value && token_text_is_within(value));
        return MHD_YES;
}

bool http_caller_shows_token(struct http_request *request, const char *url) {
        bool shown = token_text_is_within(url);

        (void) MHD_get_connection_values(
                        request->connection, MHD_GET_ARGUMENT_KIND, look_at_argument, &shown);
        if (shown)
                note(request, REFUSAL_IN_URL, "with a token in the URL");
        return shown;
}
