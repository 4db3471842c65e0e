/* What is taken over from a database that is given up: of what people told the daemon, of what it
 * knew of workloads, and of how far it had read, all that can be read. It is kept in memory until
 * another database has it. Events stay where they are. */

#include <string.h>

#include "store/journal_internal.h"

#define COLUMNS_MAX 3

struct copied {
        const char *from, *to;
        int columns;
};

static const struct copied tables[] = {
        { "SELECT kind, id, document FROM documents",
                        "INSERT OR IGNORE INTO documents VALUES (?,?,?)", 3 },
        { "SELECT id, state FROM workloads", "INSERT OR IGNORE INTO workloads VALUES (?,?)", 2 },
        { "SELECT source, cursor FROM cursors", "INSERT OR IGNORE INTO cursors VALUES (?,?)", 2 },
};

struct row {
        struct list list;
        const struct copied *table;
        char *columns[COLUMNS_MAX];
};

static struct row *row_free(struct row *row) {
        if (!row)
                return NULL;
        list_remove(&row->list);
        for (size_t i = 0; i < COLUMNS_MAX; i++)
                free(row->columns[i]);
        free(row);
        return NULL;
}
DEFINE_FREEP(struct row, row_free);

void journal_salvage_free(struct list *rows) {
        struct row *row;

        while ((row = list_first(rows, struct row, list)))
                row_free(row);
}

static int read_row(sqlite3_stmt *from, const struct copied *table, struct list *rows) {
        _cleanup_(row_freep) struct row *row = calloc(1, sizeof(*row));

        if (!row)
                return -ENOMEM;
        list_init(&row->list);
        row->table = table;
        for (int i = 0; i < table->columns; i++) {
                const char *text = sqlite3_column_type(from, i) == SQLITE_TEXT
                                ? (const char *) sqlite3_column_text(from, i)
                                : NULL;

                if (!text)
                        return 0; /* that row is unreadable */
                row->columns[i] = strdup(text);
                if (!row->columns[i])
                        return -ENOMEM;
        }
        list_append(rows, &row->list);
        row = NULL;
        return 0;
}

void journal_salvage_read(sqlite3 *from, struct list *rows) {
        sqlite3_stmt *row = NULL;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(tables); i++) {
                if (sqlite3_prepare_v2(from, tables[i].from, -1, &row, NULL) != SQLITE_OK)
                        continue; /* that part is unreadable */
                while (r >= 0 && sqlite3_step(row) == SQLITE_ROW)
                        r = read_row(row, &tables[i], rows);
                (void) sqlite3_finalize(row);
        }
}

static int write_table(sqlite3 *to, const struct copied *table, const struct list *rows) {
        sqlite3_stmt *insert = NULL;
        struct row *row;
        int r;

        r = database_error(sqlite3_prepare_v2(to, table->to, -1, &insert, NULL));
        list_for_each(row, rows, list) {
                if (r < 0)
                        break;
                if (row->table != table)
                        continue;
                for (int i = 0; i < table->columns; i++)
                        (void) sqlite3_bind_text(insert, i + 1, row->columns[i], -1, SQLITE_STATIC);
                r = database_step(insert);
        }
        (void) sqlite3_finalize(insert);
        return r;
}

int journal_salvage_write(sqlite3 *to, const struct list *rows) {
        int r;

        if (list_is_empty(rows))
                return 0;
        r = database_run(to, "BEGIN IMMEDIATE");
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(tables); i++)
                r = write_table(to, &tables[i], rows);
        if (r >= 0)
                r = database_run(to, "COMMIT");
        if (r < 0)
                (void) database_run(to, "ROLLBACK");
        return r;
}
