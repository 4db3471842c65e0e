/* Opening the database: making it, checking it, bringing it up to date; and what is read of it once
 * at start-up. */

#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "store/database.h"
#include "store/journal_internal.h"

#define SCHEMA_VERSION 2

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

/* Each step in a transaction of its own: what was there stays whole. */
static int migrate(sqlite3 *db, int64_t version) {
        static const char *const steps[SCHEMA_VERSION] = { schema, schema_2 };
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
static int open_checked(struct journal *journal) {
        int64_t version = 0, last = 0;
        mode_t mask;
        int r;

        mask = umask(0077); /* before any thread runs */
        r = database_open(journal->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "FULL",
                        &journal->db);
        (void) umask(mask);
        if (r < 0)
                return r;
        if (!database_is_sound(journal->db))
                return -EUCLEAN;

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
        if ((uint64_t) last > journal->last_seq)
                journal->last_seq = (uint64_t) last;
        r = database_number(journal->db, "SELECT ifnull(min(seq), 0) FROM events", &last);
        journal->first_seq = r < 0 ? 0 : (uint64_t) last;
        return r;
}

int journal_schema_open(struct journal *journal) {
        bool corrupt = false;
        int r;

        r = open_checked(journal);
        if (r == -EUCLEAN) {
                corrupt = true;
                database_close(&journal->db);
                r = database_set_aside(journal->path);
                if (r < 0)
                        return r;
                /* The numbers given are not to be read any more, and must not be given again: begin
                 * where no journal that made less than a million events a second since 1970 can
                 * have been. */
                journal->last_seq = (clock_realtime_us() / USEC_PER_SEC) << 20;
                r = open_checked(journal);
        }
        if (r < 0)
                return r;

        r = database_open(journal->path, SQLITE_OPEN_READONLY, "FULL", &journal->read_db);
        if (r < 0)
                return r;
        journal->next_seq = journal->last_seq + 1;
        return corrupt ? -EUCLEAN : 0;
}

int journal_prepare(struct journal *journal) {
        const struct {
                sqlite3_stmt **statement;
                const char *sql;
        } statements[] = {
                { &journal->insert_event, "INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)" },
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

void journal_schema_close(struct journal *journal) {
        (void) sqlite3_finalize(journal->insert_event);
        (void) sqlite3_finalize(journal->upsert_cursor);
        (void) sqlite3_finalize(journal->upsert_workload);
        (void) sqlite3_finalize(journal->delete_workload);
        (void) sqlite3_finalize(journal->upsert_document);
        (void) sqlite3_finalize(journal->delete_document);
        database_close(&journal->read_db);
        database_close(&journal->db);
}

/* ---- start-up reads ---- */

static int each_pair(struct journal *journal, const char *sql, int64_t parameter,
                int (*each)(const char *a, const char *b, void *userdata), void *userdata) {
        sqlite3_stmt *statement;
        int r, step = SQLITE_DONE;

        r = journal_error(sqlite3_prepare_v2(journal->db, sql, -1, &statement, NULL));
        if (r < 0)
                return r;
        if (parameter >= 0)
                (void) sqlite3_bind_int64(statement, 1, parameter);
        while (r >= 0 && (step = sqlite3_step(statement)) == SQLITE_ROW)
                r = each((const char *) sqlite3_column_text(statement, 0),
                                (const char *) sqlite3_column_text(statement, 1), userdata);
        if (r >= 0)
                r = journal_error(step);
        (void) sqlite3_finalize(statement);
        return r;
}

int journal_load_workloads(struct journal *journal,
                int (*each)(const char *id, const char *state, void *userdata), void *userdata) {
        return each_pair(
                        journal, "SELECT id, state FROM workloads ORDER BY id", -1, each, userdata);
}

int journal_load_documents(struct journal *journal, const char *kind,
                int (*each)(const char *id, const char *document, void *userdata), void *userdata) {
        sqlite3_stmt *statement;
        int r, step = SQLITE_DONE;

        r = journal_error(sqlite3_prepare_v2(journal->db,
                        "SELECT id, document FROM documents WHERE kind = ? ORDER BY id", -1,
                        &statement, NULL));
        if (r < 0)
                return r;
        (void) sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC);
        while (r >= 0 && (step = sqlite3_step(statement)) == SQLITE_ROW)
                r = each((const char *) sqlite3_column_text(statement, 0),
                                (const char *) sqlite3_column_text(statement, 1), userdata);
        if (r >= 0)
                r = journal_error(step);
        (void) sqlite3_finalize(statement);
        return r;
}

int journal_load_origins(struct journal *journal, size_t max,
                int (*each)(const char *source, const char *origin, void *userdata),
                void *userdata) {
        return each_pair(journal,
                        "SELECT source, origin FROM (SELECT seq, source, origin FROM events WHERE origin <> ''"
                        " ORDER BY seq DESC LIMIT ?) ORDER BY seq",
                        (int64_t) max, each, userdata);
}

int journal_load_cursor(struct journal *journal, const char *source, char **ret_cursor) {
        sqlite3_stmt *statement;
        char *cursor = NULL;
        int r;

        r = journal_error(sqlite3_prepare_v2(journal->db,
                        "SELECT cursor FROM cursors WHERE source = ?", -1, &statement, NULL));
        if (r < 0)
                return r;
        (void) sqlite3_bind_text(statement, 1, source, -1, SQLITE_STATIC);
        r = sqlite3_step(statement);
        if (r == SQLITE_ROW) {
                cursor = strdup((const char *) sqlite3_column_text(statement, 0));
                r = cursor ? 0 : -ENOMEM;
        } else {
                r = journal_error(r);
        }
        (void) sqlite3_finalize(statement);
        if (r >= 0)
                *ret_cursor = cursor;
        return r;
}
