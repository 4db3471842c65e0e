/* The caller is asked for each request anew: a token by its header, a peer by its socket. */

#include "api/http_caller.h"

#include <string.h>
#include <sys/socket.h>

#include "api/http_internal.h"

/* Takes as long for a wrong first byte as for a wrong last one. */
static bool token_equals(const char *token, const char *given) {
        size_t n = strlen(token), m = strlen(given);
        unsigned int differ = n != m;

        for (size_t i = 0; i < n; i++)
                differ |= (unsigned char) token[i] ^ (unsigned char) (m ? given[i % m] : 0);
        return differ == 0;
}

static bool peer_is_trusted(struct http_request *request) {
        const union MHD_ConnectionInfo *info;
        socklen_t size = sizeof(struct ucred);
        gid_t group = request->http->group, groups[1024];
        struct ucred peer;

        if (!request->listener->is_unix)
                return false;
        info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return false;
        if (peer.uid == 0 || peer.uid == geteuid())
                return true;
        if (group == (gid_t) -1)
                return false;
        if (peer.gid == group)
                return true;
        size = sizeof(groups);
        if (getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return false;
        for (size_t i = 0; i < size / sizeof(groups[0]); i++)
                if (groups[i] == group)
                        return true;
        return false;
}

unsigned int http_caller_scopes(struct http_request *request) {
        const char *given = http_header(request, MHD_HTTP_HEADER_AUTHORIZATION);

        if (request->http->token && given && strncasecmp(given, "Bearer ", 7) == 0 &&
                        token_equals(request->http->token, given + 7))
                return SCOPE_ALL;
        given = http_header(request, "X-Virtwatch-Token");
        if (request->http->token && given && token_equals(request->http->token, given))
                return SCOPE_ALL;
        return peer_is_trusted(request) ? SCOPE_ALL : 0;
}
