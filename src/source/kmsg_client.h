#pragma once
/* The client's end of model/kmsg_wire.h. What comes over the socket is read as a stranger's. */

#include "model/kmsg_wire.h"

/**
 * Connect to the socket at @path and ask for what is there from @from on (KMSG_WIRE_END: news
 * only). Never blocks.
 *
 * Return: the descriptor; -ENOENT: there is no such socket; -EPERM: who serves it is neither root
 * nor of our own user; other errno: nobody answers.
 */
int kmsg_client_open(const char *path, uint64_t from);

/**
 * Take the next message.
 *
 * @packet: what ret_message points into
 *
 * Return: 1 and *ret_message; 0 none is there yet; -EBADMSG: no message, skipped; -ECONNRESET: it
 * is over; other errno.
 */
int kmsg_client_read(int fd, char packet[static KMSG_WIRE_MAX], struct kmsg_message *ret_message);
