#pragma once
/* TLS in front of the gate (http_gate.h): a connection is taken in, shakes hands, and from then on
 * its plain bytes go through a pair of sockets to whoever @open gave the other end to, who treats
 * it like any connection. So all that is checked of a request is checked in one place, with TLS and
 * without. What is under way is bounded by one record and the sockets' buffers, each way; a side
 * that does not read stops the other. Loop thread only. */

#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "base/macro.h"

struct tls_context;
struct tls_links;

enum tls_end {
        TLS_END_OK,      /* hands were shaken */
        TLS_END_RESUMED, /* the same, by a ticket of an earlier session */
        TLS_END_PLAIN,   /* no TLS came */
        TLS_END_FAILED,  /* wrong version, certificate, garbage, or the client left */
        TLS_END_TIMEOUT,
        TLS_END_LIMIT, /* its address had too many connections, or all were in use */
        TLS_END_MAX_
};

const char *tls_end_to_string(enum tls_end end);

struct tls_links_config {
        uint64_t timeout_us;          /* from accept to the end of the handshake */
        unsigned int per_address_max; /* connections; of IPv6, by network; 0: any number */
        /** Hands are shaken; @fd, taken, speaks plainly. */
        void (*open)(int fd, const struct sockaddr *address, socklen_t address_size,
                        void *userdata);
        /** No connection is left. */
        void (*emptied)(void *userdata);
        uint64_t *counts; /* [TLS_END_MAX_], to be counted up */
        void *userdata;
};

/** Return: 0; -ENOMEM or what sd-event says. */
int tls_links_new(sd_event *event, const struct tls_links_config *config,
                struct tls_links **ret_links);
/** What was answered already is sent as far as the sockets take it. */
struct tls_links *tls_links_free(struct tls_links *links);
DEFINE_FREEP(struct tls_links, tls_links_free);

void tls_links_limit(struct tls_links *links, unsigned int per_address_max);
/** Take a non-blocking connection in. @fd is taken, also on failure; @context is referenced.
 * Return: 0; -EUSERS its address has too many; -ENOMEM or what sd-event says. */
int tls_links_add(struct tls_links *links, struct tls_context *context, int fd,
                const struct sockaddr *address, socklen_t address_size);
/** Close the one that has been shaking hands, or leaving, for longest. Return: whether there was
 * one. */
bool tls_links_evict(struct tls_links *links);
size_t tls_links_size(const struct tls_links *links);
/** Those that are not open: their plain end is not there, or not any more. */
size_t tls_links_waiting(const struct tls_links *links);
