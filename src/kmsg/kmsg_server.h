#pragma once
/* The kernel's log for those who may not read it: its OOM lines, to clients of a socket, in the
 * words of model/kmsg_wire.h.
 *
 * Each client has the log opened for itself, at its own place. What it has not read yet waits in
 * the kernel and nowhere here, but for one record. At most KMSG_SERVER_CLIENTS_MAX at once; the
 * next is told so and let go, and so is one that says anything but where to begin, once. */

#include <systemd/sd-event.h>

#include "base/macro.h"

#define KMSG_SERVER_CLIENTS_MAX 16
#define KMSG_SERVER_NEXT_EVERY  256 /* records read between two words of where a client is */

struct kmsg_server;

/* All borrowed; outlives the server. */
struct kmsg_server_config {
        sd_event *event;
        int fd; /* listens for SOCK_SEQPACKET, does not block */
        /* The log from its oldest record; read() gives one of them, or -EAGAIN. Return: the
         * descriptor; negative errno, which the client is told. */
        int (*open_log)(void *userdata);
        void *userdata;
};

/** Serve from now on. Return: 0; -ENOMEM; errno of sd-event. */
int kmsg_server_new(const struct kmsg_server_config *config, struct kmsg_server **ret_server);
struct kmsg_server *kmsg_server_free(struct kmsg_server *server);
DEFINE_FREEP(struct kmsg_server, kmsg_server_free);
