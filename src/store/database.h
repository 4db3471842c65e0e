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

/** Make the file, 0600 (SQLite gives the files beside it the same). Return: 0; any errno of open.
 */
int database_make(const char *path);
/** What failed last on @db, with @error of database_error(): the system's errno where it is known.
 */
int database_cause(sqlite3 *db, int error);
/** Return: 0 it is sound; -EUCLEAN it is not; what else kept it from being read. */
int database_check(sqlite3 *db);
/** The first column of the first row. Return: 0; -ENODATA no row; as database_error(). */
int database_number(sqlite3 *db, const char *sql, int64_t *ret_value);
int database_run(sqlite3 *db, const char *sql);
/** Step a statement that gives no rows, and reset it. */
int database_step(sqlite3_stmt *statement);

/** Rename a database that is corrupt, and its log, to PATH.corrupt-TIME. @ret_aside: that name,
 * caller frees; may be NULL. */
int database_set_aside(const char *path, char **ret_aside);
