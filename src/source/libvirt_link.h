#pragma once
/* One connection to one libvirt, seen from the threads that libvirt needs. A hung libvirtd blocks
 * an open or a call without limit, so nothing of libvirt is ever called on the loop thread: a calls
 * thread a link opens, lists and looks up; libvirt's event loop has one thread in the process and
 * runs the callbacks. Both copy facts into letters, and the loop posts them. */

#include <libvirt/libvirt.h>
#include <pthread.h>

#include "loop/mailbox.h"
#include "model/fold.h"
#include "model/spans.h"
#include "source/source.h"

/* A letter to the loop: a finished fact, or a lifecycle event, which means something only with what
 * came before it. */
struct libvirt_letter {
        struct list letter; /* first: a struct letter */
        struct fact *fact;  /* NULL: a lifecycle event */
        int event, detail, domain_id;
        char *name;
        char uuid[VIR_UUID_STRING_BUFLEN];
        uint64_t time_us;
        bool reconnected; /* a new connection begins: forget what was known of domains */
        bool folds;       /* more like it may be held: the loop is to ask for the summary */
        uint64_t ticket;  /* not 0: what came of a control; then only error and text count */
        int error;
        char *text;
};

enum libvirt_look_for {
        LIBVIRT_LOOK_ALL,      /* its process, and all the rest */
        LIBVIRT_LOOK_GONE,     /* is it gone (transient)? */
        LIBVIRT_LOOK_METADATA, /* which app it says it is of */
};

/* A domain to be looked at by the calls thread. */
struct libvirt_look {
        struct list list;
        char uuid[VIR_UUID_STRING_BUFLEN];
        enum libvirt_look_for what;
};

/* Shared by the source and the two threads; the last one frees it. */
struct libvirt_link {
        pthread_mutex_t lock;
        pthread_cond_t wake;
        unsigned int refs;       /* under lock */
        struct mailbox *mailbox; /* under lock; NULL once the source has stopped */
        bool quit, closed;       /* under lock */
        int close_reason;        /* under lock */
        struct list looks;       /* under lock; of struct libvirt_look */
        size_t n_looks;          /* under lock */
        unsigned int n_controls; /* under lock: threads of libvirt_control() */
        uint64_t dropped;        /* under lock: letters and looks refused */
        uint64_t unposted;       /* under lock: events held by the fold, or that tell nothing new */
        uint64_t n_lifecycle;    /* under lock: lifecycle events told */
        struct fold *fold;       /* under lock; keys begin with "UUID " */
        char threshold[512];     /* events thread only: the last block-threshold */
        char *uri;
        bool write;
        struct spans *spans; /* a reference; NULL: its calls are told nowhere */
};

int libvirt_link_new(const char *uri, bool write, struct mailbox *mailbox,
                struct libvirt_link **ret_link);
struct libvirt_link *libvirt_link_ref(struct libvirt_link *link);
/** @link: may be NULL. */
void libvirt_link_unref(struct libvirt_link *link);
/** Any thread. @fact is copied, but for its details and the workload's labels, which are taken. */
void libvirt_link_post(struct libvirt_link *link, const struct fact *fact);
/** How many lifecycle events have been told: ask before libvirt is asked how a domain is. */
uint64_t libvirt_link_lifecycle(struct libvirt_link *link);
/** libvirt_link_post(), unless more than @n_lifecycle of them have been told by now: what was asked
 * may be older than what they say, which the loop has been told already. Return: whether it was
 * posted; details and labels are taken in any case. */
bool libvirt_link_post_if_newest(
                struct libvirt_link *link, const struct fact *fact, uint64_t n_lifecycle);
/** libvirt_link_post() for an event that may come very often: told, or held for a summary
 * (model/fold.h). */
void libvirt_link_post_repeat(struct libvirt_link *link, const struct fact *fact, const char *key,
                unsigned int burst);
/** An event that tells nothing new was taken from the peer. */
void libvirt_link_count(struct libvirt_link *link);
void libvirt_link_post_lifecycle(
                struct libvirt_link *link, virDomainPtr domain, int event, int detail);
void libvirt_link_answer(struct libvirt_link *link, uint64_t ticket, int error, const char *text);
void libvirt_link_look(struct libvirt_link *link, const char *uuid, enum libvirt_look_for what);
void libvirt_letter_free(struct libvirt_letter *letter);

/** Any thread: a span of what the libvirt at @uri is asked, @what in a word of ours. @parent: NULL:
 * nobody asked us. Return: NULL: off, as of @spans NULL. */
struct span *libvirt_span_begin(struct spans *spans, const char *uri,
                const struct trace_context *parent, const char *what);
/** @error: negative: the call failed; @why: NULL: libvirt's last error on this thread. */
void libvirt_span_end(struct span *span, int error, const char *why);

/** libvirt_calls.c: the calls thread, of a link; holds a reference. */
void *libvirt_calls_main(void *userdata);

/** libvirt_control.c: begin what is @asked on a thread and a connection of its own. Return: 0;
 * -EAGAIN too many are under way, as those are that hang; -ENOMEM. */
int libvirt_control(struct libvirt_link *link, const struct source_control *asked);

/** libvirt_events.c: start libvirt's event loop (once in the process); register every event that
 * this libvirt has. */
int libvirt_events_start(void);
#define LIBVIRT_CALLBACKS_MAX 32
/** Typed parameters as an object of clean members, cut at a bound. NULL: no memory. */
struct json_object *libvirt_params_to_json(const virTypedParameter *params, int n);
int libvirt_events_register(struct libvirt_link *link, virConnectPtr connection,
                int ids[static LIBVIRT_CALLBACKS_MAX]);
