#pragma once
/* Sockets that wait for connections. */

#include <sys/socket.h>

#include "base/macro.h"

#define LISTEN_BACKLOG  1024
#define LISTEN_NAME_MAX 128 /* bytes, with NUL: "unix:" and a path, or an address and a port */

struct listen_options {
        unsigned int mode;  /* of a socket file */
        bool only_loopback; /* any other TCP address is -EPERM */
        bool packets;       /* of a socket file: SOCK_SEQPACKET, not SOCK_STREAM */
};

/**
 * Listen on "HOST:PORT", "[HOST]:PORT" (numbers; port 0: any free one) or "unix:PATH". The socket
 * file of an earlier run is removed, but not one that somebody serves; the folder it is in is made
 * where it is missing. The descriptor does not block.
 *
 * @ret_name: the address as it came to be
 *
 * Return: the descriptor; -EINVAL, -ENAMETOOLONG no address; -EADDRINUSE; -EPERM; other errno.
 */
int listen_open(const char *address, const struct listen_options *options,
                char ret_name[static LISTEN_NAME_MAX]);
/** Is it written as listen_open() takes it? A path must begin with '/'. Return: 0; -EINVAL;
 * -ENAMETOOLONG: a path of more than sockaddr_un has room for. */
int listen_check(const char *address);
/** Whether two TCP addresses are one host's: of IPv6 one network, a host has as many addresses in
 * it as it likes. */
bool listen_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b);
/** Close it, and remove its file if it has one. Return: -EBADF. */
int listen_close(int fd, const char *name);
