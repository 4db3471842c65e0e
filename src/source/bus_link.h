#pragma once
/* One peer on the system bus as a source sees it: connect, find the name's owner, begin, lose it,
 * come again. Nothing waits: every call is asynchronous. What claims to come from the peer counts
 * only if the owner of its name sent it, since anybody may send a signal straight to our
 * connection. */

#include <systemd/sd-bus.h>

#include "source/source.h"

struct bus_link;

struct bus_link_match {
        const char *rule;                 /* of AddMatch; with sender='PEER' */
        sd_bus_message_handler_t handler; /* gets the link; asks bus_link_is_peer() first */
};

struct bus_link_ops {
        const char *peer;                     /* its well-known name */
        bool activate;                        /* ask the bus to start it where it does not run */
        const struct bus_link_match *matches; /* ends with a NULL rule; set on each connection */
        /* The peer is there, for the first time or as another process: list. Return: 0; negative
         * errno: the connection is given up and tried again. */
        int (*on_peer)(struct bus_link *link);
        /* Peer or connection is gone; slots of calls under way are to be put. */
        void (*on_gone)(struct bus_link *link);
        /* The peer left by itself: is that all right, as it has nothing to do? NULL: never. */
        bool (*may_idle)(struct bus_link *link);
};

/* Inside a source. All private. */
struct bus_link {
        struct source *source;
        const struct bus_link_ops *ops;
        char *address; /* NULL: the system bus */
        char *owner;   /* unique name of the peer; NULL: it is not there */
        sd_bus *bus;
        sd_event_source *retry, *ping_timer;
        uint64_t wait_us;
        bool running, up, idle;
};

int bus_link_init(struct bus_link *link, struct source *source, const char *address,
                const struct bus_link_ops *ops);
void bus_link_done(struct bus_link *link);
/** Connect in the background. */
void bus_link_start(struct bus_link *link);
void bus_link_stop(struct bus_link *link);

/** The first listing is done: say so. */
void bus_link_up(struct bus_link *link);
/** Give the connection up, say why, try again later. @error: 0 or negative errno. */
void bus_link_fail(struct bus_link *link, const char *what, int error);
/** Did the peer itself send @message? */
bool bus_link_is_peer(const struct bus_link *link, sd_bus_message *message);
/** Is @message, what came of a call, no answer of the peer's at all? It says nothing of what was
 * asked about then. */
bool bus_link_is_silence(sd_bus_message *message);
/** Begin a call to the peer. @ret_slot: NULL: the call lives as long as the connection. @types and
 * what follows as sd_bus_message_append(). Return: 0 or negative errno. */
int bus_link_call(struct bus_link *link, sd_bus_slot **ret_slot, const char *path,
                const char *interface_member, sd_bus_message_handler_t handler, void *userdata,
                const char *types, ...);
/** The same with a message made by the caller. */
int bus_link_send(struct bus_link *link, sd_bus_slot **ret_slot, sd_bus_message *message,
                sd_bus_message_handler_t handler, void *userdata);
/** The same as a call that lives as long as the connection. On success it has @userdata, and hands
 * it to @destroy when it is over. */
int bus_link_send_owned(struct bus_link *link, sd_bus_message *message,
                sd_bus_message_handler_t handler, void *userdata, sd_bus_destroy_t destroy);
