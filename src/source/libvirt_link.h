#pragma once
/* One connection to one libvirt, seen from the threads that libvirt needs. A hung libvirtd blocks
 * an open or a call without limit, so nothing of libvirt is ever called on the loop thread: a calls
 * thread a link opens, lists and looks up; libvirt's event loop has one thread in the process and
 * runs the callbacks. Both copy facts into letters, and the loop posts them. */

#include <libvirt/libvirt.h>
#include <pthread.h>

#include "loop/mailbox.h"
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
};

/* A domain to be looked at by the calls thread. */
struct libvirt_look {
        struct list list;
        char uuid[VIR_UUID_STRING_BUFLEN];
        bool stopped; /* is it gone (transient)? else: find its process */
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
        uint64_t dropped;        /* under lock: letters and looks refused */
        char *uri;
        bool write;
};

int libvirt_link_new(const char *uri, bool write, struct mailbox *mailbox,
                struct libvirt_link **ret_link);
struct libvirt_link *libvirt_link_ref(struct libvirt_link *link);
void libvirt_link_unref(struct libvirt_link *link);
/** Any thread. Takes nothing: @fact is copied. */
void libvirt_link_post(struct libvirt_link *link, const struct fact *fact);
void libvirt_link_post_lifecycle(
                struct libvirt_link *link, virDomainPtr domain, int event, int detail);
void libvirt_link_look(struct libvirt_link *link, const char *uuid, bool stopped);
void libvirt_letter_free(struct libvirt_letter *letter);

/** libvirt_calls.c: the calls thread; holds a reference. */
void *libvirt_calls_main(void *link);

/** libvirt_events.c: start libvirt's event loop (once in the process); register every event that
 * this libvirt has. */
int libvirt_events_start(void);
#define LIBVIRT_CALLBACKS_MAX 32
int libvirt_events_register(struct libvirt_link *link, virConnectPtr connection,
                int ids[static LIBVIRT_CALLBACKS_MAX]);
