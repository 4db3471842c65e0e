/* Opening the database: making it, checking it, bringing it up to date; and what is read of it once
 * at start-up. */

#include <string.h>

#include "base/clock.h"
#include "store/database.h"
#include "store/journal_internal.h"

#define SCHEMA_VERSION 3

static const char schema[] =
                "CREATE TABLE events (seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, kind TEXT NOT NULL,"
                " severity TEXT NOT NULL, synthetic INTEGER NOT NULL, name TEXT NOT NULL, action TEXT NOT NULL,"
                " message TEXT NOT NULL, workload TEXT NOT NULL, slug TEXT NOT NULL, source TEXT NOT NULL,"
                " origin TEXT NOT NULL, details TEXT NOT NULL) STRICT;"
                "CREATE TABLE cursors (source TEXT PRIMARY KEY, cursor TEXT NOT NULL) STRICT;"
                "CREATE TABLE workloads (id TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;"
                "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;"
                "INSERT INTO meta VALUES ('last_seq', 0);"
                "PRAGMA user_version = 1;";

static const char schema_2[] =
                "CREATE TABLE documents (kind TEXT NOT NULL, id TEXT NOT NULL, document TEXT NOT NULL,"
                " PRIMARY KEY (kind, id)) STRICT, WITHOUT ROWID;"
                "CREATE INDEX events_of_slug ON events (slug, seq) WHERE slug <> '';"
                "PRAGMA user_version = 2;";

/* What is looked for every few seconds, and at the start, must not take a walk through all. */
static const char schema_3[] =
                "CREATE INDEX events_by_time ON events (time_us);"
                "CREATE INDEX events_posted ON events (seq) WHERE origin <> '' AND source = '';"
                "CREATE INDEX events_of_sources ON events (source, seq) WHERE origin <> '' AND source <> '';"
                "PRAGMA user_version = 3;";

/* Each step in a transaction of its own: what was there stays whole. */
static int migrate(sqlite3 *db, int64_t version) {
        static const char *const steps[SCHEMA_VERSION] = { schema, schema_2, schema_3 };
        int r = 0;

        for (; r >= 0 && version < SCHEMA_VERSION; version++) {
                r = journal_error(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
                if (r >= 0)
                        r = journal_error(sqlite3_exec(db, steps[version], NULL, NULL, NULL));
                if (r >= 0)
                        r = journal_error(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
                if (r < 0)
                        (void) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        }
        return r;
}

/* Open, check, migrate. -EUCLEAN: corrupt. */
static int open_checked(struct journal *journal, struct journal_numbers *numbers) {
        int64_t version = 0, last = 0;
        int r;

        r = database_make(journal->path);
        if (r >= 0)
                r = database_open(journal->path, SQLITE_OPEN_READWRITE, "FULL", &journal->db);
        if (r >= 0)
                r = database_check(journal->db);
        if (r >= 0)
                r = database_number(journal->db, "PRAGMA user_version", &version);
        if (r < 0)
                return r;
        if (version > SCHEMA_VERSION)
                return -EPROTONOSUPPORT;
        r = migrate(journal->db, version);
        if (r < 0)
                return r;

        r = database_number(journal->db, "SELECT value FROM meta WHERE name = 'last_seq'", &last);
        if (r < 0)
                return r == -ENODATA ? -EUCLEAN : r;
        if ((uint64_t) last > numbers->last_seq)
                numbers->last_seq = (uint64_t) last;
        r = database_number(journal->db, "SELECT ifnull(min(seq), 0) FROM events", &last);
        numbers->first_seq = r < 0 ? 0 : (uint64_t) last;
        return r;
}

/* Below 2^48 until the year 2106: an event_id has twelve digits. */
uint64_t journal_far_seq(void) {
        return (clock_realtime_us() / USEC_PER_SEC) << 16;
}

static int prepare(struct journal *journal) {
        const struct {
                sqlite3_stmt **statement;
                const char *sql;
        } statements[] = {
                /* A commit that failed may be found done when the log is read again. */
                { &journal->insert_event,
                                "INSERT OR REPLACE INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)" },
                { &journal->upsert_cursor,
                                "INSERT INTO cursors VALUES (?,?) ON CONFLICT (source) DO UPDATE SET cursor ="
                                " excluded.cursor" },
                { &journal->upsert_workload,
                                "INSERT INTO workloads VALUES (?,?) ON CONFLICT (id) DO UPDATE SET state ="
                                " excluded.state" },
                { &journal->delete_workload, "DELETE FROM workloads WHERE id = ?" },
                { &journal->upsert_document,
                                "INSERT INTO documents VALUES (?,?,?) ON CONFLICT (kind, id) DO UPDATE SET"
                                " document = excluded.document" },
                { &journal->delete_document, "DELETE FROM documents WHERE kind = ? AND id = ?" },
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(statements); i++)
                r = journal_error(sqlite3_prepare_v3(journal->db, statements[i].sql, -1,
                                SQLITE_PREPARE_PERSISTENT, statements[i].statement, NULL));
        return r;
}

/* A new database has to know of them before it has an event. It also shows that it can be written.
 */
static int keep_last_seq(struct journal *journal, uint64_t last_seq) {
        char sql[96];

        (void) snprintf(sql, sizeof(sql), "UPDATE meta SET value = %ju WHERE name = 'last_seq'",
                        (uintmax_t) last_seq);
        return database_run(journal->db, sql);
}

static void finalize(struct journal *journal) {
        sqlite3_stmt **const statements[] = { &journal->insert_event, &journal->upsert_cursor,
                &journal->upsert_workload, &journal->delete_workload, &journal->upsert_document,
                &journal->delete_document };

        for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
                (void) sqlite3_finalize(*statements[i]);
                *statements[i] = NULL;
        }
}

void journal_schema_close(struct journal *journal) {
        finalize(journal);
        database_close(&journal->db);
}

void journal_schema_abandon(struct journal *journal) {
        finalize(journal);
        database_abandon(&journal->db);
}

static int set_aside(struct journal *journal) {
        _cleanup_(freep) char *aside = NULL;
        sqlite3 *from = NULL;
        int r;

        journal_schema_close(journal);
        r = database_set_aside(journal->path, &aside);
        if (r < 0)
                return r;
        journal->is_corrupt = journal->is_suspect = false;
        journal->is_renewed = true;
        if (database_open(aside, SQLITE_OPEN_READWRITE, "OFF", &from) >= 0)
                journal_salvage_read(from, &journal->salvage);
        database_close(&from);
        return 0;
}

/* What there is, or, where it is corrupt, a new one that begins behind @last_seq. */
static int open_any(struct journal *journal, uint64_t last_seq, struct journal_numbers *numbers) {
        int r;

        r = journal->is_corrupt ? -EUCLEAN : open_checked(journal, numbers);
        if (r == -EUCLEAN) {
                r = set_aside(journal);
                *numbers = (struct journal_numbers){};
                if (r >= 0)
                        r = open_checked(journal, numbers);
        }
        if (r >= 0)
                r = journal_salvage_write(journal->db, &journal->salvage);
        if (r < 0 || (!journal->is_renewed && !journal->behind_seq))
                return r;
        /* The numbers given are not to be read any more, and must not be given again. */
        if (numbers->last_seq < last_seq)
                numbers->last_seq = last_seq;
        return keep_last_seq(journal, numbers->last_seq);
}

int journal_schema_open(
                struct journal *journal, uint64_t last_seq, struct journal_numbers *ret_numbers) {
        struct journal_numbers numbers = {};
        int r;

        r = open_any(journal, last_seq ? last_seq : journal_far_seq(), &numbers);
        if (r >= 0)
                r = prepare(journal);
        if (r >= 0)
                r = database_files_get(journal->db, journal->path, &journal->files);
        if (r < 0) {
                r = database_cause(journal->db, r);
                journal_schema_close(journal);
                return r == -EUCLEAN ? -EIO : r; /* also the new one: no use to make another */
        }
        journal_salvage_free(&journal->salvage);
        *ret_numbers = numbers;
        r = journal->is_renewed ? -EUCLEAN : 0;
        journal->is_renewed = journal->is_moved = false;
        return r;
}

/* ---- start-up reads ---- */

static int each_pair(struct journal *journal, const char *sql, const char *text, int64_t number,
                int (*each)(const char *a, const char *b, void *userdata), void *userdata) {
        sqlite3_stmt *statement;
        int r, step = SQLITE_DONE, n = 0;

        if (!journal->db)
                return 0;
        r = journal_error(sqlite3_prepare_v2(journal->db, sql, -1, &statement, NULL));
        if (r < 0)
                return r;
        if (text)
                (void) sqlite3_bind_text(statement, ++n, text, -1, SQLITE_STATIC);
        if (number >= 0)
                (void) sqlite3_bind_int64(statement, ++n, number);
        while (r >= 0 && (step = sqlite3_step(statement)) == SQLITE_ROW)
                r = each((const char *) sqlite3_column_text(statement, 0),
                                (const char *) sqlite3_column_text(statement, 1), userdata);
        if (r >= 0)
                r = journal_error(step);
        (void) sqlite3_finalize(statement);
        return r;
}

/* The one text that @sql has for @text. Return: 0 and a copy, caller frees, NULL: there is none;
 * negative errno. */
static int ask_text(sqlite3 *db, const char *sql, const char *text, char **ret_text) {
        sqlite3_stmt *statement;
        char *found = NULL;
        int r;

        r = journal_error(sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
        if (r < 0)
                return r;
        (void) sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
        r = sqlite3_step(statement);
        if (r == SQLITE_ROW) {
                found = strdup((const char *) sqlite3_column_text(statement, 0));
                r = found ? 0 : -ENOMEM;
        } else {
                r = journal_error(r);
        }
        (void) sqlite3_finalize(statement);
        if (r >= 0)
                *ret_text = found;
        return r;
}

int journal_load_workloads(struct journal *journal,
                int (*each)(const char *id, const char *state, void *userdata), void *userdata) {
        return each_pair(journal, "SELECT id, state FROM workloads ORDER BY id", NULL, -1, each,
                        userdata);
}

int journal_load_documents(struct journal *journal, const char *kind,
                int (*each)(const char *id, const char *document, void *userdata), void *userdata) {
        return each_pair(journal, "SELECT id, document FROM documents WHERE kind = ? ORDER BY id",
                        kind, -1, each, userdata);
}

/* The first source behind @after in the alphabet, that has events. */
static int next_source(sqlite3 *db, const char *after, char **ret_source) {
        return ask_text(db,
                        "SELECT source FROM events INDEXED BY events_of_sources WHERE origin <> '' AND"
                        " source <> '' AND source > ? ORDER BY source LIMIT 1",
                        after, ret_source);
}

int journal_load_origins(struct journal *journal, size_t max,
                int (*each)(const char *source, const char *origin, void *userdata),
                void *userdata) {
        _cleanup_(freep) char *source = NULL;
        int r;

        if (!journal->db)
                return 0;
        r = next_source(journal->db, "", &source);
        while (r >= 0 && source) {
                _cleanup_(freep) char *before = NULL;

                r = each_pair(journal,
                                "SELECT source, origin FROM (SELECT seq, source, origin FROM events INDEXED BY"
                                " events_of_sources WHERE origin <> '' AND source <> '' AND source = ?"
                                " ORDER BY seq DESC LIMIT ?) ORDER BY seq",
                                source, (int64_t) max, each, userdata);
                before = TAKE_PTR(source);
                if (r >= 0)
                        r = next_source(journal->db, before, &source);
        }
        return r;
}

int journal_load_posts(struct journal *journal, size_t max,
                int (*each)(const char *seq, const char *origin, void *userdata), void *userdata) {
        return each_pair(journal,
                        "SELECT seq, origin FROM (SELECT seq, origin FROM events INDEXED BY events_posted"
                        " WHERE origin <> '' AND source = '' ORDER BY seq DESC LIMIT ?) ORDER BY seq",
                        NULL, (int64_t) max, each, userdata);
}

int journal_load_cursor(struct journal *journal, const char *source, char **ret_cursor) {
        *ret_cursor = NULL;
        if (!journal->db)
                return 0;
        return ask_text(journal->db, "SELECT cursor FROM cursors WHERE source = ?", source,
                        ret_cursor);
}
