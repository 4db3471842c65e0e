#pragma once
/* What every database of ours needs of SQLite. */

#include <sqlite3.h>
#include <sys/types.h>

#include "base/macro.h"

/* Which files a database is. */
struct database_files {
        dev_t device, log_device;
        ino_t inode, log_inode;
};

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
/** Close it and touch nothing that its name leads to: that may be another by now. */
void database_abandon(sqlite3 **db);

/** Which files are where @db, opened by the name @path, has its own. Return: 0; any errno of stat.
 */
int database_files_get(sqlite3 *db, const char *path, struct database_files *ret_files);
/** Whether they are others than @files, or none. Where nobody can tell, they are the same. */
bool database_moved(sqlite3 *db, const char *path, const struct database_files *files);
/** Where the database was removed or replaced, what is left of it must not be taken for another's:
 * have @db, which is still open, take its log in, and remove that and the index. */
void database_clear_place(sqlite3 *db, const struct database_files *files);
/** That nothing is left open of what went wrong before. */
void database_settle(sqlite3 *db);

/** Make the file, 0600 (SQLite gives the files beside it the same), unless it is there and can be
 * written to. Return: 0; any errno of open or access. */
int database_make(const char *path);
/** What failed last on @db, with @error of database_error(): the system's errno where it is known.
 */
int database_cause(sqlite3 *db, int error);
/** Of a database just opened. Return: 0 it is sound; -EUCLEAN it is not; what else kept it from
 * being read. */
int database_check(sqlite3 *db);
/** The first column of the first row. Return: 0; -ENODATA no row; as database_error(). */
int database_number(sqlite3 *db, const char *sql, int64_t *ret_value);
int database_run(sqlite3 *db, const char *sql);
/** Step a statement that gives no rows, and reset it. */
int database_step(sqlite3_stmt *statement);

/** Rename a database that is corrupt, and its log, to PATH.corrupt-TIME. @ret_aside: that name,
 * caller frees; may be NULL. */
int database_set_aside(const char *path, char **ret_aside);
