/* What a corrupt database still has of what people told the daemon, of what it knew of workloads,
 * and of how far it had read: copied row by row into the new one, as far as they can be read.
 * Events stay where they are. */

#include "store/journal_internal.h"

struct copied {
        const char *from, *to;
        int columns;
};

static bool is_text(sqlite3_stmt *row, int columns) {
        for (int i = 0; i < columns; i++)
                if (sqlite3_column_type(row, i) != SQLITE_TEXT)
                        return false;
        return true;
}

static int copy_row(sqlite3_stmt *row, sqlite3_stmt *insert, int columns) {
        for (int i = 0; i < columns; i++)
                (void) sqlite3_bind_value(insert, i + 1, sqlite3_column_value(row, i));
        return database_step(insert);
}

static int copy_table(sqlite3 *from, sqlite3 *to, const struct copied *table) {
        sqlite3_stmt *row = NULL, *insert = NULL;
        int r = 0;

        if (sqlite3_prepare_v2(from, table->from, -1, &row, NULL) != SQLITE_OK)
                return 0; /* that part is unreadable */
        r = database_error(sqlite3_prepare_v2(to, table->to, -1, &insert, NULL));
        while (r >= 0 && sqlite3_step(row) == SQLITE_ROW)
                if (is_text(row, table->columns))
                        r = copy_row(row, insert, table->columns);
        (void) sqlite3_finalize(insert);
        (void) sqlite3_finalize(row);
        return r;
}

int journal_salvage(struct journal *journal, const char *aside) {
        static const struct copied tables[] = {
                { "SELECT kind, id, document FROM documents",
                                "INSERT OR IGNORE INTO documents VALUES (?,?,?)", 3 },
                { "SELECT id, state FROM workloads", "INSERT OR IGNORE INTO workloads VALUES (?,?)",
                                2 },
                { "SELECT source, cursor FROM cursors",
                                "INSERT OR IGNORE INTO cursors VALUES (?,?)", 2 },
        };
        sqlite3 *from = NULL;
        int r;

        if (database_open(aside, SQLITE_OPEN_READWRITE, "OFF", &from) < 0)
                return 0;
        r = database_run(journal->db, "BEGIN IMMEDIATE");
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(tables); i++)
                r = copy_table(from, journal->db, &tables[i]);
        if (r >= 0)
                r = database_run(journal->db, "COMMIT");
        if (r < 0)
                (void) database_run(journal->db, "ROLLBACK");
        database_close(&from);
        return r;
}
