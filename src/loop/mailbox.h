#pragma once
/* Letters from a foreign thread to the loop: a bounded queue behind a lock and an eventfd. Used by
 * the threads libvirt needs and by the journal's writer. */

#include <systemd/sd-event.h>

#include "base/list.h"

struct mailbox;

struct letter {
        struct list list; /* private */
};

/**
 * @max:     letters waiting at most
 * @deliver: on the loop thread, one letter at a time, in the order they were posted; takes the
 * letter
 */
int mailbox_new(sd_event *event, size_t max, void (*deliver)(struct letter *letter, void *userdata),
                void *userdata, struct mailbox **ret_mailbox);
/** Delivers what waits, then frees. No thread may post any more. */
struct mailbox *mailbox_free(struct mailbox *mailbox);
DEFINE_FREEP(struct mailbox, mailbox_free);

/** Any thread. Return: 0; -EAGAIN full (counted; the letter stays the caller's). */
int mailbox_post(struct mailbox *mailbox, struct letter *letter);
uint64_t mailbox_refused(const struct mailbox *mailbox);
