/* A socket of virtwatch-kmsg, from the side of who asks. */

#include "source/kmsg_client.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Of a socket that systemd holds it is PID 1 that is the peer. */
static int check_peer(int fd) {
        struct ucred peer;
        socklen_t size = sizeof(peer);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return -errno;
        return peer.uid == 0 || peer.uid == geteuid() ? 0 : -EPERM;
}

int kmsg_client_open(const char *path, uint64_t from) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(fd_closep) int fd = -EBADF;
        char text[KMSG_WIRE_ASK_MAX];
        size_t n;
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        r = check_peer(fd);
        if (r < 0)
                return r;
        n = kmsg_wire_ask(text, from);
        if (send(fd, text, n, MSG_NOSIGNAL) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int kmsg_client_read(int fd, char packet[static KMSG_WIRE_MAX], struct kmsg_message *ret_message) {
        ssize_t n;

        n = recv(fd, packet, KMSG_WIRE_MAX, MSG_TRUNC);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;
        if (n > KMSG_WIRE_MAX || kmsg_wire_read(packet, (size_t) n, ret_message) < 0)
                return -EBADMSG;
        return 1;
}
