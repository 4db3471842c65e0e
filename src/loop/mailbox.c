/* A list under a lock, an eventfd, and the list taken off whole on the loop. */

#include "loop/mailbox.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include "base/macro.h"

struct mailbox {
        pthread_mutex_t lock;
        struct list letters; /* under lock */
        size_t n;            /* under lock */
        uint64_t refused;    /* under lock */
        size_t max;
        int fd;
        sd_event_source *source;
        void (*deliver)(struct letter *letter, void *userdata);
        void *userdata;
};

static void mailbox_empty(struct mailbox *mailbox) {
        struct list letters;
        struct letter *letter;

        list_init(&letters);
        (void) pthread_mutex_lock(&mailbox->lock);
        list_splice(&letters, &mailbox->letters);
        mailbox->n = 0;
        (void) pthread_mutex_unlock(&mailbox->lock);

        while ((letter = list_first(&letters, struct letter, list))) {
                list_remove(&letter->list);
                mailbox->deliver(letter, mailbox->userdata);
        }
}

static int on_posted(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        uint64_t count;

        (void) !read(fd, &count, sizeof(count));
        mailbox_empty(userdata);
        return 0;
}

int mailbox_new(sd_event *event, size_t max, void (*deliver)(struct letter *letter, void *userdata),
                void *userdata, struct mailbox **ret_mailbox) {
        struct mailbox *mailbox;
        int r;

        mailbox = calloc(1, sizeof(*mailbox));
        if (!mailbox)
                return -ENOMEM;

        (void) pthread_mutex_init(&mailbox->lock, NULL);
        list_init(&mailbox->letters);
        mailbox->max = max;
        mailbox->deliver = deliver;
        mailbox->userdata = userdata;
        mailbox->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = mailbox->fd < 0 ? -errno
                            : sd_event_add_io(event, &mailbox->source, mailbox->fd, EPOLLIN,
                                              on_posted, mailbox);
        if (r < 0) {
                mailbox_free(mailbox);
                return r;
        }
        (void) sd_event_source_set_description(mailbox->source, "mailbox");
        *ret_mailbox = mailbox;
        return 0;
}

struct mailbox *mailbox_free(struct mailbox *mailbox) {
        if (!mailbox)
                return NULL;

        mailbox_empty(mailbox);
        sd_event_source_disable_unref(mailbox->source);
        (void) fd_close(mailbox->fd);
        (void) pthread_mutex_destroy(&mailbox->lock);
        free(mailbox);
        return NULL;
}

int mailbox_post(struct mailbox *mailbox, struct letter *letter) {
        const uint64_t one = 1;
        int r = 0;

        (void) pthread_mutex_lock(&mailbox->lock);
        if (mailbox->n >= mailbox->max) {
                mailbox->refused++;
                r = -EAGAIN;
        } else {
                list_append(&mailbox->letters, &letter->list);
                mailbox->n++;
        }
        (void) pthread_mutex_unlock(&mailbox->lock);
        if (r >= 0)
                (void) !write(mailbox->fd, &one, sizeof(one));
        return r;
}

uint64_t mailbox_refused(const struct mailbox *mailbox) {
        pthread_mutex_t *lock = (pthread_mutex_t *) (uintptr_t) &mailbox->lock;
        uint64_t refused;

        (void) pthread_mutex_lock(lock);
        refused = mailbox->refused;
        (void) pthread_mutex_unlock(lock);
        return refused;
}
