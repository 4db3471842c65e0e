/* The queue, the writer thread, and the numbers. A batch is whatever came while the batch before it
 * was being written; one transaction, one fsync. A batch that cannot be written is kept and tried
 * again. */

#include "store/journal.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "loop/mailbox.h"
#include "model/spans.h"
#include "store/journal_internal.h"

#define BATCH_MAX_DEFAULT  1000
#define QUEUE_MAX_DEFAULT  65536
#define QUEUE_BYTES_MAX    (64U << 20)
#define RETRY_MIN_US       (100 * USEC_PER_MSEC)
#define RETRY_MAX_US       (5 * USEC_PER_SEC)
#define CLOSE_WAIT_US      (5 * USEC_PER_SEC)
#define RETENTION_STEP     100 /* rows; small, so that no more goes than must */
#define RETENTION_EVERY_US (10 * USEC_PER_SEC)
#define RETENTION_TURN_US  (20 * USEC_PER_MSEC) /* then what waits to be stored has its turn */

/* ---- the writer thread ---- */

static void bind_text(sqlite3_stmt *statement, int i, const char *text) {
        (void) sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC);
}

static int write_event(struct journal *journal, const struct event *event, const char *details) {
        sqlite3_stmt *insert = journal->insert_event;

        (void) sqlite3_bind_int64(insert, 1, (int64_t) event->seq);
        (void) sqlite3_bind_int64(insert, 2, (int64_t) event->time_us);
        bind_text(insert, 3, event_kind_to_string(event->kind));
        bind_text(insert, 4, severity_to_string(event->severity));
        (void) sqlite3_bind_int(insert, 5, event->synthetic);
        bind_text(insert, 6, event->name);
        bind_text(insert, 7, event->action);
        bind_text(insert, 8, event->message);
        bind_text(insert, 9, event->workload);
        bind_text(insert, 10, event->slug);
        bind_text(insert, 11, event->source);
        bind_text(insert, 12, event->origin);
        bind_text(insert, 13, details);
        return database_step(insert);
}

static int write_document(struct journal *journal, const struct journal_item *item) {
        sqlite3_stmt *statement =
                        item->document ? journal->upsert_document : journal->delete_document;

        if (!item->document_kind)
                return 0;
        bind_text(statement, 1, item->document_kind);
        bind_text(statement, 2, item->document_id);
        if (item->document)
                bind_text(statement, 3, item->document);
        return database_step(statement);
}

static int write_item(struct journal *journal, const struct journal_item *item) {
        int r = 0;

        if (item->event)
                r = write_event(journal, item->event, item->details);
        if (r >= 0 && item->cursor) {
                bind_text(journal->upsert_cursor, 1, item->source);
                bind_text(journal->upsert_cursor, 2, item->cursor);
                r = database_step(journal->upsert_cursor);
        }
        if (r >= 0 && item->workload_id && item->workload_state) {
                bind_text(journal->upsert_workload, 1, item->workload_id);
                bind_text(journal->upsert_workload, 2, item->workload_state);
                r = database_step(journal->upsert_workload);
        } else if (r >= 0 && item->workload_id) {
                bind_text(journal->delete_workload, 1, item->workload_id);
                r = database_step(journal->delete_workload);
        }
        return r < 0 ? r : write_document(journal, item);
}

static int exec_format(sqlite3 *db, const char *format, uint64_t value) {
        char *sql = sqlite3_mprintf(format, (sqlite3_int64) value);
        int r;

        if (!sql)
                return -ENOMEM;
        r = journal_error(sqlite3_exec(db, sql, NULL, NULL, NULL));
        sqlite3_free(sql);
        return r;
}

static int write_batch(struct journal *journal, struct list *batch, size_t *ret_events,
                uint64_t *ret_first_seq) {
        struct journal_item *item;
        uint64_t last_seq = 0, first_seq = 0;
        size_t n = 0;
        int r;

        database_settle(journal->db);
        r = journal_error(sqlite3_exec(journal->db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
        if (r < 0)
                return database_cause(journal->db, r);
        list_for_each(item, batch, list) {
                r = write_item(journal, item);
                if (r < 0)
                        break;
                if (item->event) {
                        first_seq = first_seq ? first_seq : item->event->seq;
                        last_seq = item->event->seq;
                        n++;
                }
        }
        if (r >= 0 && last_seq)
                r = exec_format(journal->db, "UPDATE meta SET value = %lld WHERE name = 'last_seq'",
                                last_seq);
        if (r >= 0)
                r = journal_error(sqlite3_exec(journal->db, "COMMIT", NULL, NULL, NULL));
        if (r < 0) {
                r = database_cause(journal->db, r);
                (void) sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
                return r;
        }
        *ret_events = n;
        *ret_first_seq = first_seq;
        return 0;
}

static uint64_t file_bytes(const struct journal *journal) {
        _cleanup_(freep) char *wal = NULL;
        uint64_t bytes = 0;
        struct stat st;

        if (stat(journal->path, &st) >= 0)
                bytes += (uint64_t) st.st_size;
        if (asprintf(&wal, "%s-wal", journal->path) >= 0 && stat(wal, &st) >= 0)
                bytes += (uint64_t) st.st_size;
        return bytes;
}

/* Pages that hold data: what deleting rows gives back, while the file keeps its size. */
static uint64_t used_bytes(sqlite3 *db) {
        sqlite3_stmt *statement;
        uint64_t bytes = 0;

        if (sqlite3_prepare_v2(db,
                            "SELECT (c.page_count - f.freelist_count) * s.page_size FROM pragma_page_count c,"
                            " pragma_freelist_count f, pragma_page_size s",
                            -1, &statement, NULL) != SQLITE_OK)
                return 0;
        if (sqlite3_step(statement) == SQLITE_ROW)
                bytes = (uint64_t) sqlite3_column_int64(statement, 0);
        (void) sqlite3_finalize(statement);
        return bytes;
}

static int delete_oldest(struct journal *journal, uint64_t before_us) {
        if (before_us) {
                return exec_format(journal->db,
                                "DELETE FROM events WHERE seq IN (SELECT seq FROM events INDEXED BY"
                                " events_by_time WHERE time_us < %lld ORDER BY time_us LIMIT 100)",
                                before_us);
        }
        return exec_format(journal->db,
                        "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT %lld)",
                        RETENTION_STEP);
}

void journal_configure(
                struct journal *journal, uint64_t retention_age_us, uint64_t retention_bytes) {
        (void) pthread_mutex_lock(&journal->lock);
        journal->retention_age_us = retention_age_us;
        journal->retention_bytes = retention_bytes;
        (void) pthread_mutex_unlock(&journal->lock);
}

/* One step at least. Return: whether there may be more to remove. */
static bool remove_old(struct journal *journal, uint64_t age_us, uint64_t bytes) {
        const uint64_t end_us = clock_monotonic_us() + RETENTION_TURN_US;

        while (age_us) {
                if (delete_oldest(journal, clock_realtime_us() - age_us) < 0 ||
                                sqlite3_changes(journal->db) < RETENTION_STEP)
                        break;
                if (clock_monotonic_us() >= end_us)
                        return true;
        }
        while (bytes && used_bytes(journal->db) > bytes) {
                if (delete_oldest(journal, 0) < 0 || sqlite3_changes(journal->db) == 0)
                        break;
                if (clock_monotonic_us() >= end_us)
                        return true;
        }
        return false;
}

static void keep_retention(struct journal *journal) {
        uint64_t age_us, bytes;
        int64_t first;

        (void) pthread_mutex_lock(&journal->lock);
        age_us = journal->retention_age_us;
        bytes = journal->retention_bytes;
        (void) pthread_mutex_unlock(&journal->lock);
        journal->removing = remove_old(journal, age_us, bytes);
        if (database_number(journal->db, "SELECT ifnull(min(seq), 0) FROM events", &first) < 0)
                return; /* no reason to say that there are none */
        (void) pthread_mutex_lock(&journal->lock);
        journal->first_seq = (uint64_t) first;
        (void) pthread_mutex_unlock(&journal->lock);
}

/* Hand a durable batch to the loop. No memory to say so: wait for some, since an event must not
 * stay hidden. */
static void announce(struct journal *journal, struct list *batch, size_t n_events) {
        struct journal_letter *letter;

        while (!(letter = calloc(1, sizeof(*letter))))
                (void) usleep(10000);
        list_init(&letter->items);
        list_splice(&letter->items, batch);
        letter->n_events = n_events;
        (void) mailbox_post(journal->mailbox, (struct letter *) letter);
}

static void note_commit(struct journal *journal, uint64_t first_seq, size_t n, struct list *batch,
                uint64_t begin_us, int error) {
        uint64_t bytes = error < 0
                        ? 0
                        : file_bytes(journal); /* not under the lock: it is the loop's too */
        struct journal_item *item;

        (void) pthread_mutex_lock(&journal->lock);
        journal->stats.since_us = error >= 0     ? 0
                        : journal->stats.failing ? journal->stats.since_us
                                                 : clock_realtime_us();
        journal->stats.failing = error < 0;
        journal->stats.last_error = error;
        if (error < 0) {
                journal->stats.write_errors++;
        } else {
                journal->stats.committed += n;
                journal->stats.transactions++;
                list_for_each(item, batch, list) {
                        journal->stats.queued--;
                        journal->stats.queued_bytes -= item->bytes;
                }
                journal->stats.bytes = bytes;
                journal->stats.commit_us_sum += clock_monotonic_us() - begin_us;
                if (journal->first_seq == 0)
                        journal->first_seq = first_seq;
        }
        (void) pthread_mutex_unlock(&journal->lock);
}

static bool is_stopping(struct journal *journal) {
        bool stopping;

        (void) pthread_mutex_lock(&journal->lock);
        stopping = journal->stopping;
        (void) pthread_mutex_unlock(&journal->lock);
        return stopping;
}

static uint64_t newest_of(struct list *batch) {
        struct journal_item *item;
        uint64_t seq = 0;

        list_for_each(item, batch, list)
                if (item->event)
                        seq = item->event->seq;
        return seq;
}

/* One for each transaction, however much is in it. */
static struct span *commit_begin(struct journal *journal) {
        struct span *span;

        if (!spans_on(journal->spans))
                return NULL;
        span = span_begin(journal->spans, NULL, SPAN_INTERNAL, clock_realtime_us(),
                        clock_monotonic_us());
        span_name(span, "journal commit");
        span_add(span, "db.system.name", "sqlite");
        return span;
}

static void commit_end(struct span *span, size_t n, int error) {
        if (!span)
                return;
        if (error < 0) {
                span_fail(span, strerrorname_np(-error), strerrordesc_np(-error));
        } else {
                span_add_int(span, "virtwatch.events", (int64_t) n);
        }
        (void) span_end(span, clock_monotonic_us());
}

/* After a failure: @failing_us of the first. Return: whether to go on. */
static bool pause_after(struct journal *journal, int error, uint64_t newest, uint64_t failing_us,
                uint64_t *wait_us, uint64_t *stop_us) {
        bool stays = error == -EROFS || error == -EIO;

        if (is_stopping(journal)) {
                *stop_us = *stop_us ? *stop_us : clock_monotonic_us();
                (void) usleep(RETRY_MIN_US);
                /* Where the disk does not come back in time the caller keeps the batch. */
                return clock_monotonic_us() - *stop_us <= CLOSE_WAIT_US;
        }
        (void) journal_wait(journal, *wait_us);
        *wait_us = *wait_us * 2 < RETRY_MAX_US ? *wait_us * 2 : RETRY_MAX_US;
        if (error == -EUCLEAN)
                journal_renew(journal, newest);
        else if (stays && clock_monotonic_us() - failing_us >= journal->config.retry_us)
                journal_leave(journal, newest);
        return true;
}

static void write_until_durable(struct journal *journal, struct list *batch) {
        uint64_t wait_us = RETRY_MIN_US, begin_us = clock_monotonic_us(), stop_us = 0;
        uint64_t newest = newest_of(batch), first_seq = 0;
        struct span *span;
        size_t n = 0;
        int r;

        do {
                (void) journal_left_behind(journal, newest);
                if (!journal_open_late(journal))
                        return;
                journal_beat(journal, true);
                span = commit_begin(journal);
                r = write_batch(journal, batch, &n, &first_seq);
                commit_end(span, n, r);
                journal_beat(journal, false);
                note_commit(journal, first_seq, n, batch, begin_us, r);
                if (r >= 0) {
                        journal->disk_seq = newest ? newest : journal->disk_seq;
                        journal->is_suspect = false;
                        announce(journal, batch, n);
                        return;
                }
        } while (pause_after(journal, r, newest, begin_us, &wait_us, &stop_us));
}

static void look_after(struct journal *journal) {
        if (!journal_left_behind(journal, 0) && !journal->is_open)
                return;
        if (!journal_open_late(journal))
                return;
        journal_beat(journal, true);
        keep_retention(journal);
        journal_beat(journal, false);
}

/* Take up to batch_max items; waits for the first. Return: how many; 0 at the end. */
static size_t take_batch(struct journal *journal, struct list *batch) {
        struct journal_item *item;
        struct timespec deadline;
        size_t n = 0;

        (void) pthread_mutex_lock(&journal->lock);
        while (list_is_empty(&journal->queue) && !journal->stopping) {
                journal->stats.beat_us = clock_monotonic_us();
                journal_deadline(RETENTION_EVERY_US, &deadline);
                if (!journal->removing &&
                                pthread_cond_timedwait(&journal->wake, &journal->lock, &deadline) !=
                                                ETIMEDOUT)
                        continue;
                (void) pthread_mutex_unlock(&journal->lock);
                look_after(journal);
                (void) pthread_mutex_lock(&journal->lock);
        }
        while (n < journal->config.batch_max &&
                        (item = list_first(&journal->queue, struct journal_item, list))) {
                list_remove(&item->list);
                list_append(batch, &item->list);
                n++;
        }
        (void) pthread_mutex_unlock(&journal->lock);
        return n;
}

static void *writer_main(void *userdata) {
        struct journal *journal = userdata;
        uint64_t kept_us = 0;
        struct list batch;

        list_init(&batch);
        if (!journal_open_late(journal))
                return NULL;
        look_after(journal);
        while (take_batch(journal, &batch) > 0) {
                write_until_durable(journal, &batch);
                if (!list_is_empty(&batch)) { /* it ends without them */
                        (void) pthread_mutex_lock(&journal->lock);
                        list_splice(&journal->queue, &batch);
                        (void) pthread_mutex_unlock(&journal->lock);
                        return NULL;
                }
                if (journal->removing || clock_monotonic_us() - kept_us > RETENTION_EVERY_US) {
                        keep_retention(journal);
                        kept_us = clock_monotonic_us();
                }
        }
        return NULL;
}

/* ---- the loop's side ---- */

static int start_writer(struct journal *journal) {
        int r = 0;

        if (!journal->has_writer && !journal->closing)
                r = pthread_create(&journal->writer, NULL, writer_main, journal);
        if (r > 0)
                return -r;
        journal->has_writer = true;
        return 0;
}

/* Not before the loop runs: until then it is the loop's thread that reads what is stored. */
static int on_begin(sd_event_source *source, void *userdata) {
        struct journal *journal = userdata;
        int r;

        r = start_writer(journal);
        if (r >= 0)
                r = -pthread_create(&journal->reader, NULL, journal_reader_main, journal);
        journal->has_reader = r >= 0;
        return r;
}

void journal_set_spans(struct journal *journal, struct spans *spans) {
        journal->spans = spans;
}

int journal_open(const struct journal_config *config, sd_event *event,
                journal_committed_t committed, void *userdata, struct journal **ret_journal) {
        _cleanup_(journal_closep) struct journal *journal = NULL;
        struct journal_numbers numbers = {};
        pthread_condattr_t clock;
        int r, opened;

        journal = calloc(1, sizeof(*journal));
        if (!journal)
                return -ENOMEM;

        journal->config = *config;
        journal->retention_age_us = config->retention_age_us;
        journal->retention_bytes = config->retention_bytes;
        if (!journal->config.batch_max)
                journal->config.batch_max = BATCH_MAX_DEFAULT;
        if (!journal->config.queue_max)
                journal->config.queue_max = QUEUE_MAX_DEFAULT;
        if (!journal->config.queue_bytes_max)
                journal->config.queue_bytes_max = QUEUE_BYTES_MAX;
        if (!journal->config.retry_us)
                journal->config.retry_us = RETRY_MAX_US;
        journal->committed = committed;
        journal->userdata = userdata;
        (void) pthread_mutex_init(&journal->lock, NULL);
        (void) pthread_mutex_init(&journal->read_lock, NULL);
        list_init(&journal->salvage);
        (void) pthread_condattr_init(&clock);
        (void) pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&journal->wake, &clock);
        (void) pthread_cond_init(&journal->wake_reader, &clock);
        (void) pthread_cond_init(&journal->wake_retry, &clock);
        (void) pthread_condattr_destroy(&clock);
        list_init(&journal->queue);
        list_init(&journal->pages);
        journal->path = strdup(config->path);
        if (!journal->path)
                return -ENOMEM;

        opened = journal_schema_open(journal, 0, &numbers);
        if (opened == -ENOMEM)
                return opened;
        journal->is_open = journal->reopen = opened >= 0 || opened == -EUCLEAN;
        journal->disk_seq = journal->is_open ? numbers.last_seq : 0;
        if (!journal->is_open) {
                numbers.last_seq = journal->base_seq = journal_far_seq();
                journal->stats.failing = journal->stats.memory = true;
                journal->stats.last_error = opened;
                journal->stats.since_us = clock_realtime_us();
        }
        journal->stats.renewed = opened == -EUCLEAN;
        journal->stats.beat_us = clock_monotonic_us();
        journal->first_seq = numbers.first_seq;
        journal->last_seq = numbers.last_seq;
        journal->next_seq = numbers.last_seq + 1;

        r = mailbox_new(event, SIZE_MAX, journal_on_letter, journal, &journal->mailbox);
        if (r >= 0)
                r = sd_event_add_defer(event, &journal->begin, on_begin, journal);
        if (r >= 0)
                r = sd_event_source_set_exit_on_failure(journal->begin, true);
        if (r < 0)
                return r;
        *ret_journal = TAKE_PTR(journal);
        return opened;
}

uint64_t journal_stop(struct journal *journal) {
        struct journal_item *item;
        uint64_t n = 0;

        if (journal->mailbox && !list_is_empty(&journal->queue))
                (void) start_writer(journal); /* the loop has never run */
        journal->closing = true;
        journal->begin = sd_event_source_disable_unref(journal->begin);
        (void) pthread_mutex_lock(&journal->lock);
        journal->stopping = true;
        (void) pthread_cond_signal(&journal->wake);
        (void) pthread_cond_signal(&journal->wake_reader);
        (void) pthread_cond_signal(&journal->wake_retry);
        (void) pthread_mutex_unlock(&journal->lock);
        if (journal->has_writer)
                (void) pthread_join(journal->writer, NULL);
        journal->has_writer = false;
        list_for_each(item, &journal->queue, list)
                n += item->event != NULL;
        return n;
}

struct journal *journal_close(struct journal *journal) {
        if (!journal)
                return NULL;

        (void) journal_stop(journal);
        if (journal->has_reader)
                (void) pthread_join(journal->reader, NULL);

        mailbox_free(journal->mailbox);
        journal_free_items(&journal->queue);
        database_abandon(&journal->read_db);
        if (journal->db && database_moved(journal->db, journal->path, &journal->files))
                journal_schema_abandon(journal);
        journal_schema_close(journal);
        journal_salvage_free(&journal->salvage);
        (void) pthread_cond_destroy(&journal->wake_retry);
        (void) pthread_cond_destroy(&journal->wake_reader);
        (void) pthread_cond_destroy(&journal->wake);
        (void) pthread_mutex_destroy(&journal->read_lock);
        (void) pthread_mutex_destroy(&journal->lock);
        free(journal->path);
        free(journal);
        return NULL;
}

uint64_t journal_last_seq(const struct journal *journal) {
        return journal->last_seq;
}

uint64_t journal_first_seq(const struct journal *journal) {
        pthread_mutex_t *lock = (pthread_mutex_t *) (uintptr_t) &journal->lock;
        uint64_t first;

        (void) pthread_mutex_lock(lock);
        first = journal->first_seq;
        (void) pthread_mutex_unlock(lock);
        return first;
}

void journal_get_stats(const struct journal *journal, struct journal_stats *ret_stats) {
        pthread_mutex_t *lock = (pthread_mutex_t *) (uintptr_t) &journal->lock;

        (void) pthread_mutex_lock(lock);
        *ret_stats = journal->stats;
        (void) pthread_mutex_unlock(lock);
}
