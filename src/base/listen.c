/* Sockets of our own making, TCP and AF_UNIX. */

#include "base/listen.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/text.h"

union address {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage storage;
};

/* Remove the socket file of an earlier run, but not one that somebody serves. */
static int remove_stale(const union address *address, int type) {
        _cleanup_(fd_closep) int fd = -EBADF;
        struct stat st;

        if (lstat(address->un.sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EADDRINUSE;
        fd = socket(AF_UNIX, type, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, &address->any, sizeof(address->un)) >= 0 || errno == EAGAIN)
                return -EADDRINUSE;
        return unlink(address->un.sun_path) < 0 ? -errno : 0;
}

/* A daemon that systemd does not start finds no folder below /run, which is empty after a boot. One
 * is made; where more are missing, the path is more likely mistyped. */
static int bind_unix(int fd, const union address *address) {
        char folder[sizeof(address->un.sun_path)];
        char *slash;

        if (bind(fd, &address->any, sizeof(address->un)) >= 0)
                return 0;
        memcpy(folder, address->un.sun_path, sizeof(folder));
        slash = strrchr(folder, '/');
        if (errno != ENOENT || !slash || slash == folder)
                return -errno;
        *slash = '\0';
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return -errno;
        return bind(fd, &address->any, sizeof(address->un)) < 0 ? -errno : 0;
}

static int listen_unix(const char *path, const struct listen_options *options,
                char ret_name[static LISTEN_NAME_MAX]) {
        const int type = (options->packets ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC |
                        SOCK_NONBLOCK;
        union address address = { .un = { .sun_family = AF_UNIX } };
        _cleanup_(fd_closep) int fd = -EBADF;
        int r;

        if (strlen(path) >= sizeof(address.un.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.un.sun_path, path, strlen(path) + 1);
        r = remove_stale(&address, type);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, type, 0);
        if (fd < 0)
                return -errno;
        r = bind_unix(fd, &address);
        if (r < 0)
                return r;
        if (chmod(path, options->mode) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
                return -errno;
        (void) snprintf(ret_name, LISTEN_NAME_MAX, "unix:%s", path);
        return TAKE_FD(fd);
}

static int split_address(const char *text, char *host, size_t host_size, const char **ret_port) {
        const char *colon = strrchr(text, ':');
        uint64_t port;
        size_t n;

        if (!colon || colon == text)
                return -EINVAL;
        n = (size_t) (colon - text);
        if (text[0] == '[' && colon[-1] == ']') {
                text++;
                n -= 2;
        }
        if (n >= host_size)
                return -EINVAL;
        memcpy(host, text, n);
        host[n] = '\0';
        /* getaddrinfo(3) takes a port of any size, and cuts it to 16 bits */
        if (text_to_u64(colon + 1, &port) < 0 || port > UINT16_MAX)
                return -EINVAL;
        *ret_port = colon + 1;
        return 0;
}

int listen_check(const char *address) {
        struct in6_addr any;
        const char *port;
        char host[64];

        if (text_starts_with(address, "unix:")) {
                address += strlen("unix:");
                return address[0] != '/' ? -EINVAL
                                : strlen(address) >= sizeof(((struct sockaddr_un *) NULL)->sun_path)
                                ? -ENAMETOOLONG
                                : 0;
        }
        if (split_address(address, host, sizeof(host), &port) < 0)
                return -EINVAL;
        host[strcspn(host, "%")] = '\0'; /* "fe80::1%eth0": the link may come later */
        return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1
                        ? 0
                        : -EINVAL;
}

static bool is_loopback(const struct sockaddr *address) {
        union address any = {};

        if (address->sa_family == AF_INET) {
                memcpy(&any.in, address, sizeof(any.in));
                return ntohl(any.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        }
        if (address->sa_family == AF_INET6) {
                memcpy(&any.in6, address, sizeof(any.in6));
                return IN6_IS_ADDR_LOOPBACK(&any.in6.sin6_addr);
        }
        return false;
}

static int bind_tcp(const struct addrinfo *address, int fd, union address *ret_bound) {
        socklen_t size = sizeof(*ret_bound);
        const int on = 1;

        (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
                        getsockname(fd, &ret_bound->any, &size) < 0)
                return -errno;
        return 0;
}

static int listen_tcp(const char *text, const struct listen_options *options,
                char ret_name[static LISTEN_NAME_MAX]) {
        const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                .ai_socktype = SOCK_STREAM };
        char host[64], name[64], service[16];
        _cleanup_(fd_closep) int fd = -EBADF;
        union address bound = {};
        struct addrinfo *address;
        const char *port;
        int r;

        r = split_address(text, host, sizeof(host), &port);
        if (r < 0 || getaddrinfo(host, port, &hints, &address) != 0)
                return -EINVAL;
        if (options->only_loopback && !is_loopback(address->ai_addr)) {
                r = -EPERM;
        } else {
                fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                r = fd < 0 ? -errno : bind_tcp(address, fd, &bound);
        }
        freeaddrinfo(address);
        if (r < 0)
                return r;
        if (getnameinfo(&bound.any, sizeof(bound), name, sizeof(name), service, sizeof(service),
                            NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                return -EINVAL;
        (void) snprintf(ret_name, LISTEN_NAME_MAX, strchr(name, ':') ? "[%s]:%s" : "%s:%s", name,
                        service);
        return TAKE_FD(fd);
}

int listen_open(const char *address, const struct listen_options *options,
                char ret_name[static LISTEN_NAME_MAX]) {
        return text_starts_with(address, "unix:")
                        ? listen_unix(address + strlen("unix:"), options, ret_name)
                        : listen_tcp(address, options, ret_name);
}

bool listen_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b) {
        struct sockaddr_in in_a, in_b;
        struct sockaddr_in6 in6_a, in6_b;

        if (a->ss_family != b->ss_family)
                return false;
        if (a->ss_family == AF_INET) {
                memcpy(&in_a, a, sizeof(in_a));
                memcpy(&in_b, b, sizeof(in_b));
                return in_a.sin_addr.s_addr == in_b.sin_addr.s_addr;
        }
        memcpy(&in6_a, a, sizeof(in6_a));
        memcpy(&in6_b, b, sizeof(in6_b));
        return memcmp(&in6_a.sin6_addr, &in6_b.sin6_addr,
                               IN6_IS_ADDR_V4MAPPED(&in6_a.sin6_addr) ? 16 : 8) == 0;
}

int listen_close(int fd, const char *name) {
        if (fd >= 0 && text_starts_with(name, "unix:"))
                (void) unlink(name + strlen("unix:"));
        return fd_close(fd);
}
