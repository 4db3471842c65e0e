#pragma once
/* What every database of ours needs of SQLite. */

#include <sqlite3.h>

#include "base/macro.h"

/** Return: 0, or -ENOMEM, -ENOSPC, -EUCLEAN corrupt, -EBUSY, -EROFS, -EACCES; -EIO what else. */
int database_error(int sqlite_error);

/**
 * Open in WAL mode, for one thread at a time.
 *
 * @flags:       SQLITE_OPEN_*
 * @synchronous: "FULL": a commit survives a power cut; "NORMAL": it survives a kill
 */
int database_open(const char *path, int flags, const char *synchronous, sqlite3 **ret_db);
void database_close(sqlite3 **db);

bool database_is_sound(sqlite3 *db);
/** The first column of the first row. Return: 0; -ENODATA no row; as database_error(). */
int database_number(sqlite3 *db, const char *sql, int64_t *ret_value);
int database_run(sqlite3 *db, const char *sql);
/** Step a statement that gives no rows, and reset it. */
int database_step(sqlite3_stmt *statement);

/** Rename a database that is corrupt to PATH.corrupt-TIME. */
int database_set_aside(const char *path);
