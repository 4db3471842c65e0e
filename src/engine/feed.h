#pragma once
/* The feed: the newest durable events in memory, in order of sequence, and any number of readers,
 * each only a cursor into it. A reader that falls out of the ring is told exactly how many events
 * it missed: all events, whether its filter would have let them pass or not. Loop thread only. */

#include "base/list.h"
#include "model/event.h"

struct feed;

/* Embedded in whoever reads. */
struct feed_reader {
        struct list list;           /* private */
        struct feed *feed;          /* private */
        uint64_t next_seq;          /* the next event this reader is to get */
        struct event_filter filter; /* owned by the reader's owner; {} for all */
        bool waiting;               /* private: has nothing to read, wants on_ready */
        void (*on_ready)(struct feed_reader *reader); /* events came; called at most once per
                                                         feed_next() that gave 0 */
};

/** Keep at most @max_events events of at most about @max_bytes in all; memory grows with what is in
 * it. */
int feed_new(size_t max_events, size_t max_bytes, struct feed **ret_feed);
struct feed *feed_free(struct feed *feed);
DEFINE_FREEP(struct feed, feed_free);

/** What an event counts for: the JSON, the texts and details it was made of, and what malloc adds.
 */
size_t feed_event_bytes(const struct event *event);

/** Where the sequence stands at start: the next event published has @last_seq + 1. */
void feed_set_last_seq(struct feed *feed, uint64_t last_seq);
uint64_t feed_last_seq(const struct feed *feed);
/** The oldest event in memory; last_seq + 1 if there is none. */
uint64_t feed_first_seq(const struct feed *feed);

/** Add events in order (each seq is last + 1: asserted), then wake the waiting readers. */
void feed_publish(struct feed *feed, struct event *const *events, size_t n);

/** Let go of what every reader has read, but for the newest @keep events. Return: how many went. */
size_t feed_trim(struct feed *feed, size_t keep);

/** Start reading after @after_seq (feed_last_seq() for "from now on"). */
void feed_reader_init(struct feed_reader *reader, struct feed *feed, uint64_t after_seq,
                void (*on_ready)(struct feed_reader *reader));
/** Leaves the feed; does not free the filter. */
void feed_reader_done(struct feed_reader *reader);

/**
 * The next event for this reader, if any. O(1) but for events the filter skips (at most 1024 a
 * call).
 *
 * @ret_event:  borrowed until the loop's next turn; ref to keep
 * @ret_missed: how many events fell out of memory before this reader got to them; only with -ESTALE
 *
 * Return: 1 and an event; 0 nothing now (on_ready will be called); -ESTALE: *ret_missed events are
 * gone from memory, next_seq now is the oldest there is; -EAGAIN: only filtered events seen so far,
 * call again.
 */
int feed_next(struct feed_reader *reader, struct event **ret_event, uint64_t *ret_missed);

size_t feed_reader_count(const struct feed *feed);
