/* Queries, on a thread of their own with a read-only connection: a log that is read in great haste,
 * or a disk that hangs, must not keep the loop. */

#include <string.h>

#include "loop/mailbox.h"
#include "store/rollups_internal.h"

#define QUERIES_MAX 64

struct query {
        struct list list; /* first: a struct letter, once it is answered */
        char **hosts;
        size_t n_hosts;
        uint32_t from_day, days;
        void (*done)(int error, const struct rollup *rows, size_t n, void *userdata);
        void *userdata;
        struct rollup *rows; /* by day, from from_day on; those of no requests are none */
        size_t n_rows;
        int error;
};

static struct query *query_free(struct query *query) {
        if (!query)
                return NULL;
        for (size_t i = 0; query->hosts && i < query->n_hosts; i++)
                free(query->hosts[i]);
        free(query->hosts);
        for (size_t i = 0; query->rows && i < query->n_rows; i++)
                rollup_done(&query->rows[i]);
        free(query->rows);
        free(query);
        return NULL;
}
DEFINE_FREEP(struct query, query_free);

/* ---- the reader thread ---- */

static int add_rows(struct query *query, sqlite3_stmt *select, const char *host) {
        struct rollup row;
        int r = 0, step = SQLITE_DONE;

        (void) sqlite3_bind_text(select, 1, host, -1, SQLITE_STATIC);
        while (r >= 0 && (step = sqlite3_step(select)) == SQLITE_ROW) {
                uint32_t i = (uint32_t) sqlite3_column_int64(select, 0) - query->from_day;

                r = rollups_take_row(select, 1, &row);
                if (r == -EINVAL)
                        r = 0; /* its percentiles are lost, its counts are not */
                if (r < 0)
                        break;
                r = rollup_merge(&query->rows[i], &row);
                rollup_done(&row);
        }
        if (r >= 0)
                r = database_error(step);
        (void) sqlite3_reset(select);
        return r;
}

/* A host that is asked for twice counts once. */
static bool asked_before(const struct query *query, size_t i) {
        for (size_t j = 0; j < i; j++)
                if (strcmp(query->hosts[i], query->hosts[j]) == 0)
                        return true;
        return false;
}

static int answer(sqlite3 *db, struct query *query) {
        sqlite3_stmt *select = NULL;
        size_t n = 0;
        int r;

        query->rows = calloc(query->days, sizeof(query->rows[0]));
        if (!query->rows)
                return -ENOMEM;
        query->n_rows = query->days;
        r = database_error(sqlite3_prepare_v2(db,
                        "SELECT day, requests, status_none, status_1xx, status_2xx, status_3xx, status_4xx,"
                        " status_5xx, bytes_out, latency FROM rollups WHERE host = ?1 AND day >= ?2 AND day < ?3",
                        -1, &select, NULL));
        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(select, 2, query->from_day);
        (void) sqlite3_bind_int64(select, 3, (int64_t) query->from_day + query->days);
        for (size_t i = 0; r >= 0 && i < query->n_hosts; i++)
                if (!asked_before(query, i))
                        r = add_rows(query, select, query->hosts[i]);
        (void) sqlite3_finalize(select);

        for (size_t i = 0; i < query->n_rows; i++) {
                query->rows[i].day = query->from_day + (uint32_t) i;
                if (query->rows[i].requests > 0)
                        query->rows[n++] = query->rows[i];
                else
                        rollup_done(&query->rows[i]);
        }
        query->n_rows = n;
        return r;
}

void rollups_close_reader(struct rollups *rollups, bool away) {
        (void) pthread_mutex_lock(&rollups->read_lock);
        database_abandon(&rollups->read_db);
        rollups->is_away = away;
        (void) pthread_mutex_unlock(&rollups->read_lock);
        (void) pthread_mutex_lock(&rollups->lock);
        rollups->reopen = true;
        (void) pthread_mutex_unlock(&rollups->lock);
}

static void reopen(struct rollups *rollups) {
        bool wanted;

        (void) pthread_mutex_lock(&rollups->lock);
        wanted = rollups->reopen;
        (void) pthread_mutex_unlock(&rollups->lock);
        if (!wanted)
                return;
        database_abandon(&rollups->read_db);
        if (database_open(rollups->path, SQLITE_OPEN_READONLY, "NORMAL", &rollups->read_db) < 0)
                return; /* with the next query */
        (void) pthread_mutex_lock(&rollups->lock);
        rollups->reopen = false;
        (void) pthread_mutex_unlock(&rollups->lock);
}

static int answer_now(struct rollups *rollups, struct query *query) {
        bool away;
        int r;

        (void) pthread_mutex_lock(&rollups->read_lock);
        reopen(rollups);
        r = rollups->read_db ? answer(rollups->read_db, query) : -EIO;
        away = rollups->is_away;
        (void) pthread_mutex_unlock(&rollups->read_lock);
        if (away)
                rollups_close_reader(rollups, true);
        return r;
}

static void *reader_main(void *userdata) {
        struct rollups *rollups = userdata;
        struct query *query;

        (void) pthread_mutex_lock(&rollups->lock);
        for (;;) {
                while (list_is_empty(&rollups->queries) && !rollups->stopping)
                        (void) pthread_cond_wait(&rollups->wake, &rollups->lock);
                query = list_first(&rollups->queries, struct query, list);
                if (rollups->stopping)
                        break;
                list_remove(&query->list);
                rollups->n_queries--;
                (void) pthread_mutex_unlock(&rollups->lock);

                query->error = answer_now(rollups, query);
                (void) mailbox_post(rollups->mailbox, (struct letter *) query);
                (void) pthread_mutex_lock(&rollups->lock);
        }
        (void) pthread_mutex_unlock(&rollups->lock);
        return NULL;
}

/* ---- the loop's side ---- */

static void on_answered(struct letter *letter, void *userdata) {
        struct query *query = (struct query *) letter;

        query->done(query->error, query->rows, query->error < 0 ? 0 : query->n_rows,
                        query->userdata);
        query_free(query);
}

int rollups_start_reader(struct rollups *rollups, sd_event *event) {
        int r;

        r = mailbox_new(event, SIZE_MAX, on_answered, rollups, &rollups->mailbox);
        if (r < 0)
                return r;
        r = pthread_create(&rollups->reader, NULL, reader_main, rollups);
        if (r > 0)
                return -r;
        rollups->has_reader = true;
        return 0;
}

void rollups_stop_reader(struct rollups *rollups) {
        struct query *query;

        (void) pthread_mutex_lock(&rollups->lock);
        rollups->stopping = true;
        (void) pthread_cond_signal(&rollups->wake);
        (void) pthread_mutex_unlock(&rollups->lock);
        if (rollups->has_reader)
                (void) pthread_join(rollups->reader, NULL);
        rollups->has_reader = false;
        rollups->mailbox = mailbox_free(rollups->mailbox);
        while ((query = list_first(&rollups->queries, struct query, list))) {
                list_remove(&query->list);
                query->error = -ECANCELED;
                on_answered((struct letter *) query, rollups);
        }
}

int rollups_query(struct rollups *rollups, const struct rollups_query *query,
                void (*done)(int error, const struct rollup *rows, size_t n, void *userdata),
                void *userdata) {
        _cleanup_(query_freep) struct query *new = NULL;
        int r = 0;

        if (query->n_hosts > ROLLUPS_QUERY_HOSTS_MAX || query->days < 1 ||
                        query->days > ROLLUPS_QUERY_DAYS_MAX)
                return -E2BIG;
        new = calloc(1, sizeof(*new));
        if (!new)
                return -ENOMEM;
        list_init(&new->list);
        new->from_day = query->from_day;
        new->days = query->days;
        new->done = done;
        new->userdata = userdata;
        new->hosts = calloc(query->n_hosts + 1, sizeof(new->hosts[0]));
        if (!new->hosts)
                return -ENOMEM;
        for (; new->n_hosts < query->n_hosts; new->n_hosts++) {
                new->hosts[new->n_hosts] = strdup(query->hosts[new->n_hosts]);
                if (!new->hosts[new->n_hosts])
                        return -ENOMEM;
        }

        (void) pthread_mutex_lock(&rollups->lock);
        if (rollups->n_queries >= QUERIES_MAX) {
                r = -EAGAIN;
        } else {
                rollups->n_queries++;
                list_append(&rollups->queries, &new->list);
                new = NULL;
                (void) pthread_cond_signal(&rollups->wake);
        }
        (void) pthread_mutex_unlock(&rollups->lock);
        return r;
}
