#pragma once
/* What virtwatch-kmsg and its clients say to each other: one sentence a packet, over a
 * SOCK_SEQPACKET socket. Pure.
 *
 * A client says one thing, once: where to begin.
 *
 *     virtwatch-kmsg 1 from SEQUENCE  with this record of the present boot, the last it had
 *     virtwatch-kmsg 1 from end       with what is written from now on
 *
 * It is told, in the order of the log:
 *
 *     PRIO,SEQUENCE,USEC,FLAGS;TEXT  an OOM line of the kernel's own, as in /dev/kmsg, less its
 *                                    dictionary
 *     lost N                         so many records were overwritten before they were read for it
 *     next SEQUENCE                  what lies before this record has been told: once it has caught
 *                                    up, then now and again
 *     failed TEXT                    why it is told nothing; the last word
 *
 * Nothing waits for a client but the kernel's own buffer, so one that does not read loses what is
 * overwritten there meanwhile, is told how much that was, and costs nobody else anything. One that
 * comes again with the last SEQUENCE it had misses nothing and is told nothing twice but that one.
 * Numbers are decimal, without sign. Who may connect is settled by the socket's mode. */

#include "model/kmsg.h"

#define KMSG_WIRE_MAX     8192 /* bytes of a packet, as of a record */
#define KMSG_WIRE_ASK_MAX 64
#define KMSG_WIRE_END     UINT64_MAX /* no record has this number */

enum kmsg_wire_type {
        KMSG_WIRE_RECORD,
        KMSG_WIRE_LOST,
        KMSG_WIRE_NEXT,
        KMSG_WIRE_FAILED,
};

struct kmsg_message {
        enum kmsg_wire_type type;
        struct kmsg_record record; /* RECORD; its text lies in the packet */
        uint64_t number;           /* LOST, NEXT */
        const char *text;          /* FAILED; in the packet, not NUL-terminated, any bytes */
        size_t text_size;
};

/** Write a client's word. @from: a sequence number, or KMSG_WIRE_END. Return: its bytes. */
size_t kmsg_wire_ask(char text[static KMSG_WIRE_ASK_MAX], uint64_t from);
/** Read it. Return: 0; -EINVAL. */
int kmsg_wire_read_ask(const char *packet, size_t size, uint64_t *ret_from);
/** Read what a client is told. A record that the kernel did not write itself is refused. Return: 0;
 * -EINVAL. */
int kmsg_wire_read(const char *packet, size_t size, struct kmsg_message *ret_message);
