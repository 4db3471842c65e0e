/* Opening, asking, setting aside. */

#include "store/database.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"

int database_error(int sqlite_error) {
        switch (sqlite_error & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
                return -EACCES;
        default:
                return -EIO;
        }
}

int database_run(sqlite3 *db, const char *sql) {
        return database_error(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int database_step(sqlite3_stmt *statement) {
        int r;

        r = database_error(sqlite3_step(statement));
        (void) sqlite3_reset(statement);
        return r;
}

int database_number(sqlite3 *db, const char *sql, int64_t *ret_value) {
        sqlite3_stmt *statement;
        int r;

        r = database_error(sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
        if (r < 0)
                return r;
        r = sqlite3_step(statement);
        if (r == SQLITE_ROW)
                *ret_value = sqlite3_column_int64(statement, 0);
        r = r == SQLITE_ROW ? 0 : r == SQLITE_DONE ? -ENODATA : database_error(r);
        (void) sqlite3_finalize(statement);
        return r;
}

int database_make(const char *path) {
        int fd;

        /* One that is there is not opened: closing it would let go of all locks that this process
         * has on it, see "Posix Advisory Locks Broken By Design" in SQLite's os_unix.c. */
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
        if (fd < 0 && errno == EEXIST && faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) >= 0)
                return 0;
        if (fd < 0 && errno == ENOENT) /* a link to where nothing is yet */
                fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
        if (fd < 0)
                return -errno;
        (void) close(fd);
        return 0;
}

/* What the last call on one of its files failed with. */
static int file_errno(sqlite3 *db, int which) {
        sqlite3_file *file = NULL;
        int error = 0;

        if (sqlite3_file_control(db, "main", which, &file) == SQLITE_OK && file && file->pMethods)
                (void) file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error);
        return error;
}

static int log_errno(sqlite3 *db) {
        return file_errno(db, SQLITE_FCNTL_JOURNAL_POINTER);
}

int database_cause(sqlite3 *db, int error) {
        int cause;

        if (!db || (error != -EIO && error != -EACCES))
                return error;
        cause = sqlite3_system_errno(db);
        if (cause == 0) /* what SQLite did after the failure may have wiped it out */
                cause = log_errno(db);
        return cause > 0 ? -cause : error;
}

/* A page that cannot be read is a line among those of pages that make no sense. */
static int unsound(sqlite3 *db) {
        int error = file_errno(db, SQLITE_FCNTL_FILE_POINTER);

        if (error == 0)
                error = log_errno(db);
        return error > 0 ? -error : -EUCLEAN;
}

int database_check(sqlite3 *db) {
        sqlite3_stmt *statement;
        const char *text;
        int r;

        r = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
        if (r != SQLITE_OK)
                return database_cause(db, database_error(r));
        r = sqlite3_step(statement);
        if (r == SQLITE_ROW) {
                text = (const char *) sqlite3_column_text(statement, 0);
                r = !text ? -ENOMEM : strcmp(text, "ok") == 0 ? 0 : unsound(db);
        } else {
                r = database_error(r);
                r = r < 0 ? database_cause(db, r) : -EIO;
        }
        (void) sqlite3_finalize(statement);
        return r;
}

int database_open(const char *path, int flags, const char *synchronous, sqlite3 **ret_db) {
        char pragmas[160];
        sqlite3 *db = NULL;
        int r;

        (void) snprintf(pragmas, sizeof(pragmas),
                        "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA busy_timeout=2000;"
                        " PRAGMA journal_size_limit=16777216;",
                        synchronous);
        r = database_error(sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, NULL));
        if (r >= 0)
                r = database_run(db, pragmas);
        if (r < 0) {
                r = database_cause(db, r);
                (void) sqlite3_close(db);
                return r;
        }
        *ret_db = db;
        return 0;
}

void database_close(sqlite3 **db) {
        (void) sqlite3_close(*db);
        *db = NULL;
}

void database_abandon(sqlite3 **db) {
        if (*db)
                (void) sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        database_close(db);
}

void database_settle(sqlite3 *db) {
        if (!sqlite3_get_autocommit(db))
                (void) database_run(db, "ROLLBACK");
}

static const char *log_of(sqlite3 *db) {
        return sqlite3_filename_wal(sqlite3_db_filename(db, "main"));
}

int database_files_get(sqlite3 *db, const char *path, struct database_files *ret_files) {
        struct stat st, log;

        if (stat(path, &st) < 0 || stat(log_of(db), &log) < 0)
                return -errno;
        *ret_files = (struct database_files){ .device = st.st_dev,
                .inode = st.st_ino,
                .log_device = log.st_dev,
                .log_inode = log.st_ino };
        return 0;
}

bool database_moved(sqlite3 *db, const char *path, const struct database_files *files) {
        struct database_files now = {};
        int r;

        r = database_files_get(db, path, &now);
        if (r < 0)
                return r == -ENOENT || r == -ENOTDIR;
        return now.device != files->device || now.inode != files->inode ||
                        now.log_device != files->log_device || now.log_inode != files->log_inode;
}

void database_clear_place(sqlite3 *db, const struct database_files *files) {
        _cleanup_(freep) char *index = NULL;
        struct stat log;

        (void) sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        if (asprintf(&index, "%s-shm", sqlite3_db_filename(db, "main")) < 0 ||
                        stat(log_of(db), &log) < 0 || log.st_dev != files->log_device ||
                        log.st_ino != files->log_inode)
                return;
        (void) unlink(log_of(db));
        (void) unlink(index);
}

int database_set_aside(const char *path, char **ret_aside) {
        _cleanup_(freep) char *aside = NULL, *aside_wal = NULL, *wal = NULL, *shm = NULL;
        int r;

        if (asprintf(&aside, "%s.corrupt-%ju", path,
                            (uintmax_t) (clock_realtime_us() / USEC_PER_SEC)) < 0 ||
                        asprintf(&aside_wal, "%s-wal", aside) < 0 ||
                        asprintf(&wal, "%s-wal", path) < 0 || asprintf(&shm, "%s-shm", path) < 0)
                return -ENOMEM;

        /* The log first: a new database must never take it for its own. */
        if (rename(wal, aside_wal) < 0 && errno != ENOENT)
                return -errno;
        if (rename(path, aside) < 0) {
                r = -errno;
                (void) rename(aside_wal, wal);
                return r;
        }
        (void) unlink(shm);
        if (ret_aside)
                *ret_aside = TAKE_PTR(aside);
        return 0;
}
