#pragma once
/* The gate: where a new connection waits until its request's head is complete. It peeks, so the
 * bytes stay in the socket for libmicrohttpd; a connection passes only with a head that
 * http_head_check() finds clean, others get their refusal here. Slow heads and idle connections
 * therefore cost a few hundred bytes each and nothing of the server behind, and make room, the
 * oldest first, when the server is full. */

#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "api/http_head.h"

struct http_gate;

struct http_gate_config {
        uint64_t body_max;
        uint64_t timeout_us; /* from accept to a complete head */
        /** The head is complete and clean; @fd is taken. */
        void (*pass)(int fd, const struct sockaddr *address, socklen_t address_size,
                        void *userdata);
        /** A request was refused (to be counted). */
        void (*refused)(enum http_method method, unsigned int status, void *userdata);
        void (*emptied)(void *userdata); /* nobody waits at it any more */
        void *userdata;
};

/** Return: 0; -ENOMEM or what sd-event says. */
int http_gate_new(sd_event *event, const struct http_gate_config *config,
                struct http_gate **ret_gate);
struct http_gate *http_gate_free(struct http_gate *gate);
DEFINE_FREEP(struct http_gate, http_gate_free);

/** Take a non-blocking connection in. @fd is taken, also on failure. Return: 0; -ENOMEM or what
 * sd-event says. */
int http_gate_add(struct http_gate *gate, int fd, const struct sockaddr *address,
                socklen_t address_size);

/** Close the connection that has waited longest. Return: whether there was one. */
bool http_gate_evict(struct http_gate *gate);

size_t http_gate_size(const struct http_gate *gate);
/** Those of one host. */
size_t http_gate_size_of(const struct http_gate *gate, const struct sockaddr_storage *address);

/** Answer on a fresh connection without reading it: for when nothing can be taken in. */
void http_gate_turn_away(int fd, unsigned int status, const char *code, const char *message);
