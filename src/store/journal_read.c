/* Pages of events, read on a thread of its own with a read-only connection. */

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "loop/mailbox.h"
#include "model/limit.h"
#include "store/journal_internal.h"

#define PAGES_MAX      64
#define UNREADABLE_MAX 1000 /* rows that a page passes over */

struct journal_page {
        struct list list;
        struct journal_query query;
        void (*done)(int error, struct event *const *events, size_t n, void *userdata);
        void *userdata;
        struct event **events;
        size_t n;
};

struct journal_page *journal_page_free(struct journal_page *page) {
        if (!page)
                return NULL;
        for (size_t i = 0; i < page->n; i++)
                event_unref(page->events[i]);
        free(page->events);
        event_filter_done(&page->query.filter);
        free(page);
        return NULL;
}
DEFINE_FREEP(struct journal_page, journal_page_free);

void journal_page_deliver(struct journal_page *page, int error) {
        page->done(error, page->events, error < 0 ? 0 : page->n, page->userdata);
        journal_page_free(page);
}

static const char *column(sqlite3_stmt *row, int i) {
        const char *text = (const char *) sqlite3_column_text(row, i);

        return text ? text : "";
}

static int row_to_event(sqlite3_stmt *row, struct event **ret_event) {
        _cleanup_(event_unrefp) struct event *event = NULL;
        struct json_object *details = NULL;
        int kind = event_kind_from_string(column(row, 2)),
            severity = severity_from_string(column(row, 3));
        int r;

        if (kind < 0 || severity < 0)
                return -EUCLEAN;
        r = json_parse(column(row, 12), (size_t) sqlite3_column_bytes(row, 12), &details);
        if (r < 0)
                return r == -ENOMEM ? r : -EUCLEAN;

        r = event_new(
                        &(struct event_fields){
                                        .time_us = (uint64_t) sqlite3_column_int64(row, 1),
                                        .kind = (enum event_kind) kind,
                                        .severity = (enum severity) severity,
                                        .synthetic = sqlite3_column_int(row, 4),
                                        .name = column(row, 5),
                                        .action = column(row, 6),
                                        .message = column(row, 7),
                                        .workload = column(row, 8),
                                        .slug = column(row, 9),
                                        .source = column(row, 10),
                                        .origin = column(row, 11),
                                        .details = details,
                        },
                        &event);
        if (r >= 0)
                r = event_set_seq(event, (uint64_t) sqlite3_column_int64(row, 0));
        if (r < 0)
                return r;
        *ret_event = TAKE_PTR(event);
        return 0;
}

/* " AND @column IN (?n, ...)", the numbers from *@n on. */
static int add_in(struct buf *sql, const char *before, size_t n_items, int *n) {
        int r;

        r = buf_append_str(sql, before);
        for (size_t i = 0; r >= 0 && i < n_items; i++)
                r = buf_printf(sql, "%s?%d", i ? "," : "", (*n)++);
        return r < 0 ? r : buf_append_str(sql, ")");
}

/* As event_filter_match() has it. */
static int add_limit(struct buf *sql, const struct limit *limit, int n) {
        int names = n + (int) limit->n_slugs; /* the same texts a second time */
        int r;

        r = add_in(sql, " AND (slug IN (", limit->n_slugs, &n);
        if (r >= 0)
                r = add_in(sql, " OR workload IN (", limit->n_workloads, &n);
        if (r >= 0)
                r = add_in(sql, " OR (kind IN ('vm','container','unit') AND name IN (",
                                limit->n_workloads, &names);
        return r < 0 ? r : buf_append_str(sql, "))");
}

static void bind_limit(sqlite3_stmt *statement, const struct limit *limit, int n) {
        for (size_t i = 0; i < limit->n_slugs; i++)
                (void) sqlite3_bind_text(statement, n++, limit->slugs[i], -1, SQLITE_STATIC);
        for (size_t i = 0; i < limit->n_workloads; i++)
                (void) sqlite3_bind_text(statement, n++, limit->workloads[i], -1, SQLITE_STATIC);
}

static int prepare_query(
                sqlite3 *db, const struct journal_query *query, sqlite3_stmt **ret_statement) {
        const struct {
                const char *column, *value;
        } conditions[] = { { "kind", query->filter.kind }, { "name", query->filter.name },
                { "action", query->filter.action }, { "slug", query->filter.slug },
                { "workload", query->filter.workload }, { "severity", query->filter.severity },
                { "origin", query->filter.origin } };
        _cleanup_(buf_done) struct buf sql = BUF_INIT(4096);
        sqlite3_stmt *statement = NULL;
        int r, n = 3;

        /* The "+": events are wanted by number, which the index of times does not give. */
        r = buf_append_str(&sql,
                        query->newest_first
                                        ? "SELECT * FROM events WHERE seq < ?1 AND +time_us >= ?2"
                                        : "SELECT * FROM events WHERE seq > ?1 AND +time_us >= ?2");
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(conditions); i++)
                if (conditions[i].value)
                        r = buf_printf(&sql, " AND %s = ?%d", conditions[i].column, n++);
        if (r >= 0 && query->filter.slug) /* says to SQLite that the index of slugs will do */
                r = buf_append_str(&sql, " AND slug <> ''");
        if (r >= 0 && query->filter.limit)
                r = add_limit(&sql, query->filter.limit, n);
        if (r >= 0)
                r = buf_printf(&sql, " ORDER BY seq %s", query->newest_first ? "DESC" : "ASC");
        if (r >= 0 && !query->filter.timeline_kind) /* that one SQLite does not know */
                r = buf_printf(&sql, " LIMIT %u", query->limit + UNREADABLE_MAX);
        if (r >= 0)
                r = journal_error(sqlite3_prepare_v2(db, sql.data, -1, &statement, NULL));
        if (r < 0)
                return r;

        n = 3;
        (void) sqlite3_bind_int64(statement, 1,
                        query->newest_first ? (query->before_seq ? (int64_t) query->before_seq
                                                                 : INT64_MAX)
                                            : (int64_t) query->after_seq);
        (void) sqlite3_bind_int64(statement, 2, (int64_t) query->filter.since_us);
        for (size_t i = 0; i < ARRAY_SIZE(conditions); i++) {
                if (conditions[i].value)
                        (void) sqlite3_bind_text(
                                        statement, n++, conditions[i].value, -1, SQLITE_STATIC);
        }
        if (query->filter.limit)
                bind_limit(statement, query->filter.limit, n);
        *ret_statement = statement;
        return 0;
}

static bool is_called(sqlite3_stmt *row, const char *wanted) {
        char kind[EVENT_TIMELINE_KIND_MAX + 1];

        if (!wanted)
                return true;
        event_timeline_kind(column(row, 6), kind);
        return strcmp(kind, wanted) == 0;
}

static int read_page(sqlite3 *db, struct journal_page *page, uint64_t *unreadable) {
        sqlite3_stmt *statement = NULL;
        int r, step = SQLITE_DONE;

        if (!db)
                return -ENODEV; /* in memory only */

        /* NOLINTNEXTLINE(bugprone-sizeof-expression): a list of pointers */
        page->events = calloc(page->query.limit, sizeof(page->events[0]));
        if (!page->events)
                return -ENOMEM;
        r = prepare_query(db, &page->query, &statement);
        if (r < 0)
                return r;
        while (r >= 0 && page->n < page->query.limit &&
                        (step = sqlite3_step(statement)) == SQLITE_ROW) {
                if (!is_called(statement, page->query.filter.timeline_kind))
                        continue;
                r = row_to_event(statement, &page->events[page->n]);
                if (r >= 0)
                        page->n++;
                *unreadable += r == -EUCLEAN;
                if (r == -EUCLEAN)
                        r = 0; /* one that is damaged does not hide the others */
        }
        if (r >= 0)
                r = journal_error(step);
        (void) sqlite3_finalize(statement);
        return r;
}

void journal_close_reader(struct journal *journal, bool away) {
        (void) pthread_mutex_lock(&journal->read_lock);
        database_abandon(&journal->read_db);
        journal->is_away = away;
        (void) pthread_mutex_unlock(&journal->read_lock);
        (void) pthread_mutex_lock(&journal->lock);
        journal->reopen = true;
        (void) pthread_mutex_unlock(&journal->lock);
}

/* What is there now may not be what was there before. */
static void reopen(struct journal *journal) {
        bool wanted;

        (void) pthread_mutex_lock(&journal->lock);
        wanted = journal->reopen;
        journal->reopen = false;
        (void) pthread_mutex_unlock(&journal->lock);
        if (!wanted)
                return;
        database_abandon(&journal->read_db);
        if (database_open(journal->path, SQLITE_OPEN_READONLY, "FULL", &journal->read_db) >= 0)
                return;
        (void) pthread_mutex_lock(&journal->lock);
        journal->reopen = true; /* with the next page */
        (void) pthread_mutex_unlock(&journal->lock);
}

static int read_now(struct journal *journal, struct journal_page *page, uint64_t *unreadable) {
        bool away;
        int r;

        (void) pthread_mutex_lock(&journal->read_lock);
        reopen(journal);
        r = read_page(journal->read_db, page, unreadable);
        away = journal->is_away;
        (void) pthread_mutex_unlock(&journal->read_lock);
        if (away)
                journal_close_reader(journal, true);
        return r;
}

void *journal_reader_main(void *userdata) {
        struct journal *journal = userdata;
        struct journal_letter *letter;
        struct journal_page *page;
        uint64_t unreadable;

        (void) pthread_mutex_lock(&journal->lock);
        for (;;) {
                while (list_is_empty(&journal->pages) && !journal->stopping)
                        (void) pthread_cond_wait(&journal->wake_reader, &journal->lock);
                page = list_first(&journal->pages, struct journal_page, list);
                if (!page)
                        break; /* stopping, and none left */
                list_remove(&page->list);
                journal->n_pages--;
                journal->stats.reads++;
                (void) pthread_mutex_unlock(&journal->lock);

                while (!(letter = calloc(1, sizeof(*letter))))
                        (void) usleep(10000);
                letter->page = page;
                unreadable = 0;
                letter->error = read_now(journal, page, &unreadable);
                (void) mailbox_post(journal->mailbox, (struct letter *) letter);
                (void) pthread_mutex_lock(&journal->lock);
                journal->stats.unreadable += unreadable;
        }
        (void) pthread_mutex_unlock(&journal->lock);
        return NULL;
}

static int copy(char **to, const char *from) {
        *to = from ? strdup(from) : NULL;
        return from && !*to ? -ENOMEM : 0;
}

int journal_read(struct journal *journal, const struct journal_query *query,
                void (*done)(int error, struct event *const *events, size_t n, void *userdata),
                void *userdata) {
        _cleanup_(journal_page_freep) struct journal_page *page = NULL;
        const struct event_filter *filter = &query->filter;
        int r = 0;

        page = calloc(1, sizeof(*page));
        if (!page)
                return -ENOMEM;
        page->query = *query;
        page->query.filter = (struct event_filter){ .since_us = filter->since_us,
                .limit = limit_ref(filter->limit) };
        if (copy(&page->query.filter.kind, filter->kind) < 0 ||
                        copy(&page->query.filter.name, filter->name) < 0 ||
                        copy(&page->query.filter.action, filter->action) < 0 ||
                        copy(&page->query.filter.slug, filter->slug) < 0 ||
                        copy(&page->query.filter.workload, filter->workload) < 0 ||
                        copy(&page->query.filter.severity, filter->severity) < 0 ||
                        copy(&page->query.filter.origin, filter->origin) < 0 ||
                        copy(&page->query.filter.timeline_kind, filter->timeline_kind) < 0)
                return -ENOMEM;
        page->done = done;
        page->userdata = userdata;

        (void) pthread_mutex_lock(&journal->lock);
        if (journal->n_pages >= PAGES_MAX) {
                r = -EAGAIN;
        } else {
                journal->n_pages++;
                list_append(&journal->pages, &page->list);
                page = NULL;
                (void) pthread_cond_signal(&journal->wake_reader);
        }
        (void) pthread_mutex_unlock(&journal->lock);
        return r;
}
