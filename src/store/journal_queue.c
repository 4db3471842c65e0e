/* The loop's side: entries are numbered and queued, batches that are durable are published. What
 * does not fit is dropped and counted; where there is room again, a gap tells of it first. */

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "loop/mailbox.h"
#include "store/journal_internal.h"

#define ITEM_BYTES 1024 /* what it has besides texts */

struct journal_item *journal_item_free(struct journal_item *item) {
        if (!item)
                return NULL;
        event_unref(item->event);
        free(item->details);
        free(item->source);
        free(item->cursor);
        free(item->workload_id);
        free(item->workload_state);
        free(item->document_kind);
        free(item->document_id);
        free(item->document);
        free(item);
        return NULL;
}
DEFINE_FREEP(struct journal_item, journal_item_free);

void journal_free_items(struct list *items) {
        struct journal_item *item;

        while ((item = list_first(items, struct journal_item, list))) {
                list_remove(&item->list);
                journal_item_free(item);
        }
}

/* ---- entries ---- */

static int copy(char **to, const char *from, size_t *bytes) {
        if (!from)
                return 0;
        *to = strdup(from);
        *bytes += strlen(from);
        return *to ? 0 : -ENOMEM;
}

static int item_new(const struct journal_entry *entry, struct journal_item **ret_item) {
        struct journal_item *item;
        size_t *bytes;

        item = calloc(1, sizeof(*item));
        if (!item) {
                event_unref(entry->event);
                return -ENOMEM;
        }
        list_init(&item->list);
        item->event = entry->event;
        item->done = entry->done;
        item->userdata = entry->userdata;
        item->bytes = ITEM_BYTES;
        bytes = &item->bytes;
        if (entry->event && !json_text(entry->event->details)) {
                journal_item_free(item);
                return -ENOMEM; /* a row without them would not be taken, now or ever */
        }
        if (copy(&item->source, entry->source, bytes) < 0 ||
                        copy(&item->cursor, entry->source ? entry->cursor : NULL, bytes) < 0 ||
                        copy(&item->workload_id, entry->workload_id, bytes) < 0 ||
                        copy(&item->workload_state, entry->workload_state, bytes) < 0 ||
                        copy(&item->document_kind, entry->document_kind, bytes) < 0 ||
                        copy(&item->document_id, entry->document_id, bytes) < 0 ||
                        copy(&item->document, entry->document, bytes) < 0 ||
                        (entry->event &&
                                        copy(&item->details, json_text(entry->event->details),
                                                        bytes) < 0)) {
                journal_item_free(item);
                return -ENOMEM;
        }
        *ret_item = item;
        return 0;
}

/* In memory only: to the readers now, through the mailbox as all else, as nobody reckons with being
 * told from within. */
static int show(struct journal *journal, struct journal_item *item) {
        struct journal_letter *letter = calloc(1, sizeof(*letter));

        if (!letter)
                return -ENOMEM;
        list_init(&letter->items);
        letter->shown = event_ref(item->event);
        item->shown = true;
        (void) mailbox_post(journal->mailbox, (struct letter *) letter);
        return 0;
}

static bool is_over(const struct journal *journal, size_t eighths) {
        const struct journal_stats *stats = &journal->stats;

        return stats->queued * 8 >= journal->config.queue_max * eighths ||
                        stats->queued_bytes * 8 >= journal->config.queue_bytes_max * eighths;
}

static void count_drop(struct journal *journal, const struct journal_item *item) {
        journal->stats.dropped += item->event ? 1 : 0;
        journal->stats.untold += item->event ? 1 : 0;
}

/* In memory the newest are worth most: the readers have had all of them. */
static void drop_oldest(struct journal *journal) {
        struct journal_item *item = list_first(&journal->queue, struct journal_item, list);

        if (!item)
                return;
        count_drop(journal, item);
        journal->stats.queued--;
        journal->stats.queued_bytes -= item->bytes;
        list_remove(&item->list);
        journal_item_free(item);
}

/* Under lock: whether the disk fails, or does not say. Whoever waited for it would do so for as
 * long as it likes, and take up a connection. */
static bool is_away(const struct journal *journal) {
        const struct journal_stats *stats = &journal->stats;

        return stats->failing ||
                        (stats->disk_us && clock_monotonic_us() > stats->disk_us + JOURNAL_SLOW_US);
}

/* Under lock: whether the item is not taken. One that was full takes none until it has some room,
 * or there would be a gap for every other event. */
static bool is_refused(struct journal *journal, const struct journal_item *item) {
        if (item->done && is_away(journal))
                return true;
        /* Whoever has it has it still, and comes again; events would go for it. */
        if (item->document_kind && !item->event && journal->stats.failing)
                return true;
        if (journal->stats.memory) {
                while (is_over(journal, 8) && !list_is_empty(&journal->queue))
                        drop_oldest(journal);
                return false;
        }
        journal->dropping = is_over(journal, journal->dropping ? 7 : 8);
        if (journal->dropping)
                count_drop(journal, item);
        return journal->dropping;
}

static int queue_item(struct journal *journal, struct journal_item **item) {
        int r = 0;

        (void) pthread_mutex_lock(&journal->lock);
        if (is_refused(journal, *item))
                r = -ENOSPC;
        else if (journal->stats.memory && (*item)->event)
                r = show(journal, *item);
        if (r >= 0) {
                journal->stats.appended += (*item)->event ? 1 : 0;
                journal->next_seq += (*item)->event ? 1 : 0;
                journal->stats.queued++;
                journal->stats.queued_bytes += (*item)->bytes;
                list_append(&journal->queue, &(*item)->list);
                *item = NULL;
                (void) pthread_cond_signal(&journal->wake);
        }
        (void) pthread_mutex_unlock(&journal->lock);
        return r;
}

static int append(struct journal *journal, const struct journal_entry *entry) {
        _cleanup_(journal_item_freep) struct journal_item *item = NULL;
        int r;

        r = item_new(entry, &item);
        if (r < 0)
                return r;
        if (item->event) {
                r = event_set_seq(item->event, journal->next_seq);
                if (r < 0)
                        return r;
                item->bytes += 2 * item->event->json_size;
        }
        return queue_item(journal, &item);
}

/* ---- gaps ---- */

static struct event *make_gap(uint64_t lost) {
        struct json_object *details = json_object_new_object();
        struct event *event = NULL;
        char message[96];

        (void) snprintf(message, sizeof(message),
                        "%ju %s could not be stored: the disk took none, and memory was full",
                        (uintmax_t) lost, lost == 1 ? "event" : "events");
        (void) json_add_uint(details, "lost", lost);
        (void) event_new(&(struct event_fields){ .time_us = clock_realtime_us(),
                                         .kind = EVENT_SOURCE,
                                         .severity = SEVERITY_ERROR,
                                         .name = "journal",
                                         .action = "gap",
                                         .message = message,
                                         .details = details },
                        &event);
        return event;
}

/* Before the first event that there is room for again. */
static void tell_gap(struct journal *journal) {
        struct journal_entry entry = {};
        bool is_due;
        uint64_t lost;

        (void) pthread_mutex_lock(&journal->lock);
        lost = journal->stats.untold;
        is_due = lost > 0 && !journal->stats.memory && !is_over(journal, 7);
        (void) pthread_mutex_unlock(&journal->lock);
        if (!is_due)
                return;
        entry.event = make_gap(lost);
        if (!entry.event || append(journal, &entry) < 0)
                return; /* with the next one */
        (void) pthread_mutex_lock(&journal->lock);
        journal->stats.untold -= lost;
        (void) pthread_mutex_unlock(&journal->lock);
}

int journal_append(struct journal *journal, const struct journal_entry *entry) {
        tell_gap(journal);
        return append(journal, entry);
}

/* ---- letters ---- */

static void publish(struct journal *journal, struct list *items, size_t n_events) {
        struct event **events = calloc(n_events + 1, sizeof(struct event *)), *one;
        struct journal_item *item;
        size_t n = 0;

        list_for_each(item, items, list) {
                if (!item->event || item->shown)
                        continue;
                journal->last_seq = item->event->seq;
                if (events) {
                        events[n++] = item->event;
                } else {
                        one = item->event; /* no memory for a list of them: one by one */
                        journal->committed(&one, 1, journal->userdata);
                }
        }
        if (n > 0)
                journal->committed(events, n, journal->userdata);
        free(events);
}

static void deliver(struct journal *journal, struct journal_letter *news) {
        const struct journal_config *config = &journal->config;
        struct journal_item *item;

        if (news->shown) {
                journal->last_seq = news->shown->seq;
                journal->committed(&news->shown, 1, journal->userdata);
                event_unref(news->shown);
                return;
        }
        if (news->restored) {
                list_for_each(item, &news->items, list)
                        if (config->restored && !journal->closing)
                                config->restored(item->document_kind, item->document_id,
                                                item->document, journal->userdata);
                return;
        }
        publish(journal, &news->items, news->n_events);
        list_for_each(item, &news->items, list)
                if (item->done)
                        item->done(item->event, item->userdata);
}

void journal_on_letter(struct letter *letter, void *userdata) {
        struct journal_letter *news = (struct journal_letter *) letter;
        struct journal *journal = userdata;

        if (news->page) {
                journal_page_deliver(news->page, news->error);
        } else {
                deliver(journal, news);
                journal_free_items(&news->items);
                if (!journal->closing)
                        tell_gap(journal);
        }
        free(news);
}
