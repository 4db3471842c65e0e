/* A ring of references, indexed by sequence number. Readers that wait stand in a list of their own.
 */

#include "engine/feed.h"

struct feed {
        struct event **ring; /* slot seq % max_events */
        size_t max_events, max_bytes;
        size_t bytes;
        uint64_t first_seq; /* oldest in memory */
        uint64_t last_seq;  /* newest published */
        struct list readers;
        size_t n_readers;
};

#define FILTERED_MAX 1024

int feed_new(size_t max_events, size_t max_bytes, struct feed **ret_feed) {
        struct feed *feed;

        feed = calloc(1, sizeof(*feed));
        if (!feed)
                return -ENOMEM;

        /* NOLINTNEXTLINE(bugprone-sizeof-expression): a ring of pointers */
        feed->ring = calloc(max_events, sizeof(feed->ring[0]));
        if (!feed->ring) {
                free(feed);
                return -ENOMEM;
        }
        feed->max_events = max_events;
        feed->max_bytes = max_bytes;
        feed->first_seq = 1;
        list_init(&feed->readers);
        *ret_feed = feed;
        return 0;
}

size_t feed_event_bytes(const struct event *event) {
        return 2 * event->json_size + 1024;
}

static void drop_oldest(struct feed *feed) {
        struct event **slot = &feed->ring[feed->first_seq % feed->max_events];

        feed->bytes -= feed_event_bytes(*slot);
        *slot = event_unref(*slot);
        feed->first_seq++;
}

struct feed *feed_free(struct feed *feed) {
        if (!feed)
                return NULL;

        while (feed->first_seq <= feed->last_seq)
                drop_oldest(feed);
        free(feed->ring);
        free(feed);
        return NULL;
}

void feed_set_last_seq(struct feed *feed, uint64_t last_seq) {
        assert(feed->first_seq == feed->last_seq + 1); /* nothing published yet */
        feed->last_seq = last_seq;
        feed->first_seq = last_seq + 1;
}

uint64_t feed_last_seq(const struct feed *feed) {
        return feed->last_seq;
}

uint64_t feed_first_seq(const struct feed *feed) {
        return feed->first_seq;
}

size_t feed_reader_count(const struct feed *feed) {
        return feed->n_readers;
}

static void wake_readers(struct feed *feed) {
        struct list waking;
        struct feed_reader *reader;

        /* A reader may leave, or another one may leave it, while it is woken: so one at a time from
         * a list of their own. */
        list_init(&waking);
        list_splice(&waking, &feed->readers);
        while ((reader = list_first(&waking, struct feed_reader, list))) {
                list_remove(&reader->list);
                list_append(&feed->readers, &reader->list);
                if (reader->waiting) {
                        reader->waiting = false;
                        reader->on_ready(reader);
                }
        }
}

void feed_publish(struct feed *feed, struct event *const *events, size_t n) {
        for (size_t i = 0; i < n; i++) {
                assert(events[i]->seq == feed->last_seq + 1);

                while (feed->first_seq <= feed->last_seq &&
                                (feed->last_seq + 1 - feed->first_seq >= feed->max_events ||
                                                feed->bytes + feed_event_bytes(events[i]) >
                                                                feed->max_bytes))
                        drop_oldest(feed);
                feed->last_seq++;
                feed->ring[feed->last_seq % feed->max_events] = event_ref(events[i]);
                feed->bytes += feed_event_bytes(events[i]);
        }
        if (n > 0)
                wake_readers(feed);
}

size_t feed_trim(struct feed *feed, size_t keep) {
        const struct feed_reader *reader;
        uint64_t until = feed->last_seq + 1;
        size_t n = 0;

        list_for_each(reader, &feed->readers, list)
                if (reader->next_seq < until)
                        until = reader->next_seq;
        for (; feed->first_seq < until && feed->first_seq + keep <= feed->last_seq; n++)
                drop_oldest(feed);
        return n;
}

void feed_reader_init(struct feed_reader *reader, struct feed *feed, uint64_t after_seq,
                void (*on_ready)(struct feed_reader *reader)) {
        reader->feed = feed;
        reader->next_seq = after_seq + 1;
        reader->on_ready = on_ready;
        reader->waiting = false;
        list_append(&feed->readers, &reader->list);
        feed->n_readers++;
}

void feed_reader_done(struct feed_reader *reader) {
        if (!reader->feed)
                return;
        list_remove(&reader->list);
        reader->feed->n_readers--;
        reader->feed = NULL;
}

int feed_next(struct feed_reader *reader, struct event **ret_event, uint64_t *ret_missed) {
        struct feed *feed = reader->feed;
        struct event *event;

        if (reader->next_seq < feed->first_seq) {
                *ret_missed = feed->first_seq - reader->next_seq;
                reader->next_seq = feed->first_seq;
                return -ESTALE;
        }
        for (unsigned int i = 0; i < FILTERED_MAX; i++) {
                if (reader->next_seq > feed->last_seq) {
                        reader->waiting = true;
                        return 0;
                }
                event = feed->ring[reader->next_seq % feed->max_events];
                reader->next_seq++;
                if (event_filter_match(&reader->filter, event)) {
                        *ret_event = event;
                        return 1;
                }
        }
        return -EAGAIN;
}
