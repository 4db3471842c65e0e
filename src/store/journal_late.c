/* Opening what could not be opened when the daemon started, and going on in a new database where
 * the old one turns out to be corrupt. On the writer's thread: disks take their time. */

#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "loop/mailbox.h"
#include "store/journal_internal.h"

void journal_beat(struct journal *journal, bool on_disk) {
        uint64_t now_us = clock_monotonic_us();

        (void) pthread_mutex_lock(&journal->lock);
        journal->stats.beat_us = now_us;
        journal->stats.disk_us = on_disk ? now_us : 0;
        (void) pthread_mutex_unlock(&journal->lock);
}

void journal_deadline(uint64_t wait_us, struct timespec *ret_deadline) {
        (void) clock_gettime(CLOCK_MONOTONIC, ret_deadline);
        ret_deadline->tv_nsec += (long) (wait_us % USEC_PER_SEC * 1000);
        ret_deadline->tv_sec +=
                        (time_t) (wait_us / USEC_PER_SEC) + ret_deadline->tv_nsec / 1000000000;
        ret_deadline->tv_nsec %= 1000000000;
}

bool journal_wait(struct journal *journal, uint64_t wait_us) {
        struct timespec deadline;
        bool stopping;

        journal_deadline(wait_us, &deadline);
        (void) pthread_mutex_lock(&journal->lock);
        while (!journal->stopping &&
                        pthread_cond_timedwait(&journal->wake_retry, &journal->lock, &deadline) !=
                                        ETIMEDOUT)
                ;
        stopping = journal->stopping;
        (void) pthread_mutex_unlock(&journal->lock);
        return !stopping;
}

static struct journal_letter *letter_new(void) {
        struct journal_letter *letter;

        while (!(letter = calloc(1, sizeof(*letter))))
                (void) usleep(10000);
        list_init(&letter->items);
        return letter;
}

static int add_document(struct list *items, sqlite3_stmt *row) {
        struct journal_item *item = calloc(1, sizeof(*item));
        char **const to[] = { item ? &item->document_kind : NULL, item ? &item->document_id : NULL,
                item ? &item->document : NULL };

        if (!item)
                return -ENOMEM;
        list_init(&item->list);
        list_append(items, &item->list);
        for (int i = 0; i < 3; i++) {
                const char *text = (const char *) sqlite3_column_text(row, i);

                *to[i] = text ? strdup(text) : NULL;
                if (!*to[i])
                        return -ENOMEM;
        }
        return 0;
}

/* What the loop would have read before it ran. */
static int post_documents(struct journal *journal) {
        struct journal_letter *letter = letter_new();
        sqlite3_stmt *statement = NULL;
        int r, step = SQLITE_DONE;

        r = journal_error(sqlite3_prepare_v2(journal->db,
                        "SELECT kind, id, document FROM documents ORDER BY kind, id", -1,
                        &statement, NULL));
        while (r >= 0 && (step = sqlite3_step(statement)) == SQLITE_ROW)
                r = add_document(&letter->items, statement);
        if (r >= 0)
                r = journal_error(step);
        (void) sqlite3_finalize(statement);
        if (r < 0) {
                journal_free_items(&letter->items);
                free(letter);
                return r;
        }
        letter->restored = true;
        (void) mailbox_post(journal->mailbox, (struct letter *) letter);
        return 0;
}

static int open_folder(
                struct journal *journal, uint64_t last_seq, struct journal_numbers *ret_numbers) {
        _cleanup_(freep) char *folder = strdup(journal->path);
        char *slash = folder ? strrchr(folder, '/') : NULL;
        int r;

        r = journal_schema_open(journal, last_seq, ret_numbers);
        if (r != -ENOENT || !slash || slash == folder)
                return r;
        *slash = '\0';
        r = fs_make_dirs(folder, 0700);
        return r < 0 ? r : journal_schema_open(journal, last_seq, ret_numbers);
}

static int try_open(
                struct journal *journal, struct journal_numbers *ret_numbers, bool *ret_renewed) {
        uint64_t behind = journal->base_seq > journal->behind_seq ? journal->base_seq
                                                                  : journal->behind_seq;
        int r;

        r = open_folder(journal, behind, ret_numbers);
        *ret_renewed = r == -EUCLEAN;
        if (r < 0 && r != -EUCLEAN)
                return r;
        if (ret_numbers->last_seq > behind) {
                r = -EEXIST; /* the clock stood wrong then or stands wrong now: two events would
                                have one number */
        } else if (journal->base_seq && !journal->behind_seq) {
                r = post_documents(journal);
        } else {
                r = 0;
        }
        if (r < 0)
                journal_schema_close(journal);
        return r;
}

static void note_opened(struct journal *journal, const struct journal_numbers *numbers,
                bool renewed, int error) {
        (void) pthread_mutex_lock(&journal->lock);
        journal->stats.last_error = error;
        if (error < 0) {
                journal->stats.write_errors++;
                journal->stats.since_us = journal->stats.failing ? journal->stats.since_us
                                                                 : clock_realtime_us();
                journal->stats.failing = true;
        } else {
                journal->stats.failing = journal->stats.memory = false;
                journal->stats.since_us = 0;
                journal->stats.renewed = journal->stats.renewed || renewed;
                journal->first_seq = numbers->first_seq;
        }
        (void) pthread_mutex_unlock(&journal->lock);
}

static void note_numbers(struct journal *journal, const struct journal_numbers *numbers) {
        if (journal->disk_seq < journal->base_seq)
                journal->disk_seq = journal->base_seq;
        if (journal->disk_seq < numbers->last_seq)
                journal->disk_seq = numbers->last_seq;
}

bool journal_open_late(struct journal *journal) {
        /* A journal that was given up is to go on at once. */
        bool at_once = journal->is_suspect || journal->is_moved, renewed = false;
        struct journal_numbers numbers = {};
        int r;

        for (; !journal->is_open; at_once = false) {
                if (!at_once && !journal_wait(journal, journal->config.retry_us))
                        return false;
                journal_beat(journal, true);
                r = try_open(journal, &numbers, &renewed);
                journal_beat(journal, false);
                journal->is_open = r >= 0;
                if (r >= 0)
                        journal_close_reader(journal, false); /* it may have what was before */
                if (r >= 0)
                        note_numbers(journal, &numbers);
                note_opened(journal, &numbers, renewed, r);
        }
        journal->behind_seq = journal->base_seq = 0;
        return true;
}

static void close_all(struct journal *journal, uint64_t last_seq, bool away) {
        journal_close_reader(journal, away);
        journal_schema_close(journal);
        journal->is_open = false;
        journal->behind_seq = last_seq > journal->disk_seq ? last_seq : journal->disk_seq;
}

void journal_renew(struct journal *journal, uint64_t last_seq) {
        close_all(journal, last_seq, false);
        journal->is_corrupt = journal->is_suspect; /* a disk that cannot be read looks so, too */
        journal->is_suspect = true;
}

/* With its files open, a file system that went read-only for an error can be neither unmounted nor
 * checked. What comes back may be another one. */
void journal_leave(struct journal *journal, uint64_t last_seq) {
        journal_salvage_free(&journal->salvage);
        journal_salvage_read(journal->db, &journal->salvage);
        close_all(journal, last_seq, true);
}

bool journal_left_behind(struct journal *journal, uint64_t last_seq) {
        bool moved;

        if (!journal->db)
                return false;
        journal_beat(journal, true);
        moved = database_moved(journal->db, journal->path, &journal->files);
        journal_beat(journal, false);
        if (!moved)
                return false;
        journal_close_reader(journal, false);
        journal_salvage_free(&journal->salvage);
        journal_salvage_read(journal->db, &journal->salvage);
        database_clear_place(journal->db, &journal->files);
        journal_schema_abandon(journal);
        close_all(journal, last_seq, false);
        journal->is_moved = true;
        (void) pthread_mutex_lock(&journal->lock);
        journal->stats.moved++;
        (void) pthread_mutex_unlock(&journal->lock);
        return true;
}
