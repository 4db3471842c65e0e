#pragma once
/* What the containerd source's files share: containerd.c (the connection and what each event
 * means), containerd_known.c (what is remembered of each container, and asking for its name),
 * containerd_listing.c (what there is now) and containerd_control.c (what operators ask). Nobody
 * else includes this. */

#include "base/list.h"
#include "base/map.h"
#include "source/containerd.h"
#include "source/grpc_call.h"
#include "source/source.h"

#define CONTAINERD_CALL_TIMEOUT_US (30 * USEC_PER_SEC)
#define CONTAINERD_KNOWN_MAX       65536

struct containerd_source;

/* A container, between its events. */
struct known {
        struct containerd_source *containerd;
        char *native_id; /* "ns/id" */
        size_t ns_size;

        uint32_t pid;        /* of its task; 0: it has none */
        uint64_t started_us; /* when that was told to start; 0: not known */
        bool started, ended; /* that task */
        bool fresh;          /* created before our eyes, and never started */
        bool gone;           /* deleted; kept while a call or a listing may still speak of it */
        uint64_t touched;    /* containerd->n_events at its newest event */
        uint64_t seen;       /* number of the last listing that named it */

        struct list look; /* in containerd->looks while it waits to be asked for */
        struct grpc_call *look_call;
        bool look_again; /* what is asked now is about one of the same name that is gone */
        bool named;      /* its name has been told */

        /* Its events, held back until its name is known; of struct held_event. */
        struct list held;
        size_t n_held;
        bool holding, releasing;
};

struct containerd_listing {
        bool running;
        uint64_t number; /* of listings begun */
        uint64_t since;  /* containerd->n_events when it was begun */
        struct grpc_call *call;
        char **namespaces;
        size_t n_namespaces, next;
        struct map *tasks; /* of the namespace that is listed, by id */
        struct list answers;
        sd_event_source *settled; /* goes off once no event of what is listed can still be on its
                                     way */
};

struct containerd_source {
        struct source source;
        char *socket;
        char *bundles;   /* the folder of NAMESPACE/CONTAINER/init.pid; its likely place until an
                            event names it */
        char **patterns; /* of namespaces, NULL-terminated; NULL: all but docker's */
        uint64_t wait_us;
        bool running, up;
        sd_event_source *retry, *ping_timer, *subscribed_timer, *look_timer;
        struct grpc_call *ping, *live;
        struct map *known; /* by native id */
        struct list looks;
        size_t n_looking;
        struct list controls; /* containerd_control.c: of struct containerd_control */
        size_t n_controls;
        uint64_t n_events;
        struct containerd_listing listing;
        uint64_t list_at_us; /* CLOCK_MONOTONIC: when it is due again */
        char error[256];
};

/* containerd.c */
/** The connection is of no use any more: drop all of it, say so, try again later. @why: as
 * grpc_request.on_end. Not from within on_message. */
void containerd_lost(
                struct containerd_source *containerd, const char *what, int error, const char *why);
/** One call to the namespace @ns (NULL: to none); socket and headers of @request are filled in. */
int containerd_call(struct containerd_source *containerd, struct grpc_request *request,
                const char *ns, struct grpc_call **ret_call);
/** The listing is complete. */
void containerd_listed(struct containerd_source *containerd);
/** Make of @event what it means for @known. */
void containerd_tell(struct known *known, const struct containerd_event *event);

/* containerd_known.c */
/** Find or make. Return: 1 made; 0 was there; -ENOSPC; -ENOMEM. */
int known_get(struct containerd_source *containerd, const char *native_id,
                struct known **ret_known);
/** It is gone: forgotten as soon as nothing can speak of it any more. */
void known_forget(struct known *known);
/** Ask for its name, image and labels, soon. */
void known_look(struct known *known);
/** The same, and hold its events back until there is an answer. */
void known_hold(struct known *known);
/** Hold @event back, if that is the state of things. Takes its content then. Return: whether. */
bool known_held(struct known *known, struct containerd_event *event);
/** Let go what is held back, in order. */
void known_release(struct known *known);
/** Drop every call, let go what is held back. */
void known_stop(struct containerd_source *containerd);
/** Ask for those that wait. */
void known_pump(struct containerd_source *containerd);
/** A listing has ended: forget what it did not name. */
void known_sweep(struct containerd_source *containerd);
void known_free_all(struct containerd_source *containerd);
void containerd_info_of_record(
                const struct containerd_record *record, struct workload_info *ret_info);

/* containerd_listing.c */
int containerd_listing_init(struct containerd_source *containerd);
void containerd_listing_done(struct containerd_source *containerd);
/** Begin to list, unless a listing is under way. */
void containerd_list(struct containerd_source *containerd);
void containerd_listing_stop(struct containerd_source *containerd);

/* containerd_control.c: what operators ask */
int containerd_control(struct containerd_source *containerd, const struct source_control *asked);
/** The connection is gone: answer all that is under way, unless the source is stopping. */
void containerd_control_drop(struct containerd_source *containerd);
