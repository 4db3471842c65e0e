/* A row is read, added to and written back, within one transaction for all rows of a batch. */

#include "store/rollups.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "store/rollups_internal.h"

#define SCHEMA_VERSION     2
#define RETENTION_EVERY_US (600 * USEC_PER_SEC)
#define LATENCY_BYTES_MAX  65536
#define COMMITS            "SELECT n FROM commits"

static const char schema[] =
                "BEGIN IMMEDIATE;"
                "CREATE TABLE rollups (host TEXT NOT NULL, day INTEGER NOT NULL, requests INTEGER NOT NULL,"
                " status_none INTEGER NOT NULL, status_1xx INTEGER NOT NULL, status_2xx INTEGER NOT NULL,"
                " status_3xx INTEGER NOT NULL, status_4xx INTEGER NOT NULL, status_5xx INTEGER NOT NULL,"
                " bytes_out INTEGER NOT NULL, latency BLOB NOT NULL, PRIMARY KEY (host, day)) STRICT;"
                "CREATE INDEX rollups_by_day ON rollups (day);"
                "CREATE TABLE positions (id INTEGER PRIMARY KEY, path TEXT NOT NULL, device INTEGER NOT NULL,"
                " inode INTEGER NOT NULL, head BLOB NOT NULL, \"offset\" INTEGER NOT NULL,"
                " skipping INTEGER NOT NULL, complete INTEGER NOT NULL, lines INTEGER NOT NULL) STRICT;"
                "PRAGMA user_version = 1;"
                "COMMIT;";

static const char schema_2[] =
                "BEGIN IMMEDIATE;"
                "CREATE TABLE commits (id INTEGER PRIMARY KEY CHECK (id = 1), n INTEGER NOT NULL) STRICT;"
                "INSERT INTO commits VALUES (1, 0);"
                "PRAGMA user_version = 2;"
                "COMMIT;";

static int migrate(sqlite3 *db, int64_t version) {
        static const char *const steps[SCHEMA_VERSION] = { schema, schema_2 };
        int r = 0;

        for (; r >= 0 && version < SCHEMA_VERSION; version++) {
                r = database_run(db, steps[version]);
                if (r < 0)
                        database_settle(db);
        }
        return r;
}

/* Open, check, migrate. -EUCLEAN: corrupt. */
static int open_checked(struct rollups *rollups) {
        int64_t version = 0;
        int r;

        r = database_make(rollups->path);
        if (r >= 0)
                r = database_open(rollups->path, SQLITE_OPEN_READWRITE, "NORMAL", &rollups->db);
        if (r >= 0)
                r = database_check(rollups->db);
        if (r >= 0)
                r = database_number(rollups->db, "PRAGMA user_version", &version);
        if (r < 0)
                return r;
        if (version > SCHEMA_VERSION)
                return -EPROTONOSUPPORT;
        return migrate(rollups->db, version);
}

static int prepare(struct rollups *rollups) {
        const struct {
                sqlite3_stmt **statement;
                const char *sql;
        } statements[] = {
                { &rollups->select,
                                "SELECT requests, status_none, status_1xx, status_2xx, status_3xx, status_4xx,"
                                " status_5xx, bytes_out, latency FROM rollups WHERE host = ? AND day = ?" },
                { &rollups->upsert,
                                "INSERT OR REPLACE INTO rollups VALUES (?,?,?,?,?,?,?,?,?,?,?)" },
                { &rollups->count, "SELECT count(*) FROM rollups WHERE day = ?" },
                { &rollups->upsert_position,
                                "INSERT OR REPLACE INTO positions VALUES (?,?,?,?,?,?,?,?,?)" },
                { &rollups->delete_position, "DELETE FROM positions WHERE id = ?" },
                { &rollups->count_commit, "UPDATE commits SET n = n + 1" },
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(statements); i++)
                r = database_error(sqlite3_prepare_v3(rollups->db, statements[i].sql, -1,
                                SQLITE_PREPARE_PERSISTENT, statements[i].statement, NULL));
        return r;
}

static void finalize(struct rollups *rollups) {
        sqlite3_stmt **const statements[] = { &rollups->select, &rollups->upsert, &rollups->count,
                &rollups->upsert_position, &rollups->delete_position, &rollups->count_commit };

        for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
                (void) sqlite3_finalize(*statements[i]);
                *statements[i] = NULL;
        }
        memset(rollups->days, 0, sizeof(rollups->days));
}

static void close_database(struct rollups *rollups) {
        finalize(rollups);
        database_close(&rollups->db);
}

/* Return: 0; -EUCLEAN it was set aside, and a new one is open; else what it could not be for. */
static int open_database(struct rollups *rollups) {
        int r, opened;

        r = opened = open_checked(rollups);
        if (opened == -EUCLEAN) {
                close_database(rollups);
                r = database_set_aside(rollups->path, NULL);
                if (r >= 0)
                        r = open_checked(rollups);
        }
        if (r >= 0)
                r = prepare(rollups);
        if (r >= 0)
                r = database_files_get(rollups->db, rollups->path, &rollups->files);
        if (r >= 0)
                return opened;
        r = database_cause(rollups->db, r);
        close_database(rollups);
        return r == -EUCLEAN ? -EIO : r; /* also the new one: no use to make another */
}

/* Where it was closed. */
static int open_again(struct rollups *rollups) {
        int r;

        if (rollups->db)
                return 0;
        r = open_database(rollups);
        if (r < 0 && r != -EUCLEAN)
                return r;
        rollups_close_reader(rollups, false); /* it may have what was before */
        return 0;
}

/* It is corrupt: another one, at the next commit. Its rows stay where they are. */
static void give_up(struct rollups *rollups) {
        rollups_close_reader(rollups, false);
        close_database(rollups);
        (void) database_set_aside(rollups->path, NULL);
}

/* With its files open, a file system that went read-only for an error can be neither unmounted nor
 * checked. */
static void leave(struct rollups *rollups) {
        rollups_close_reader(rollups, true);
        close_database(rollups);
}

/* Its files were removed or replaced. Its rows are where they are; what logs still have is counted
 * again, from the positions that are there now. */
static void abandon_if_moved(struct rollups *rollups) {
        if (!rollups->db || !database_moved(rollups->db, rollups->path, &rollups->files))
                return;
        rollups_close_reader(rollups, false);
        database_clear_place(rollups->db, &rollups->files);
        finalize(rollups);
        database_abandon(&rollups->db);
        (void) pthread_mutex_lock(&rollups->lock);
        rollups->stats.moved++;
        (void) pthread_mutex_unlock(&rollups->lock);
}

int rollups_new(const struct rollups_config *config, struct rollups **ret_rollups) {
        _cleanup_(rollups_closep) struct rollups *rollups = calloc(1, sizeof(*rollups));

        if (!rollups)
                return -ENOMEM;
        (void) pthread_mutex_init(&rollups->lock, NULL);
        (void) pthread_mutex_init(&rollups->read_lock, NULL);
        (void) pthread_cond_init(&rollups->wake, NULL);
        list_init(&rollups->queries);
        rollups->commits = -1;
        rollups->config = *config;
        rollups->retention_days = config->retention_days;
        rollups->hosts_max = config->hosts_max;
        rollups->path = strdup(config->path);
        if (!rollups->path)
                return -ENOMEM;
        *ret_rollups = TAKE_PTR(rollups);
        return 0;
}

int rollups_open_files(struct rollups *rollups) {
        int r, opened;

        r = opened = open_database(rollups);
        if (r >= 0 || r == -EUCLEAN)
                r = database_open(rollups->path, SQLITE_OPEN_READONLY, "NORMAL", &rollups->read_db);
        return r < 0 ? r : opened;
}

int rollups_open(const struct rollups_config *config, sd_event *event,
                struct rollups **ret_rollups) {
        _cleanup_(rollups_closep) struct rollups *rollups = NULL;
        int r, opened;

        r = rollups_new(config, &rollups);
        if (r < 0)
                return r;
        r = opened = rollups_open_files(rollups);
        if (r >= 0 || r == -EUCLEAN)
                r = rollups_start_reader(rollups, event);
        if (r < 0)
                return r;
        *ret_rollups = TAKE_PTR(rollups);
        return opened;
}

struct rollups *rollups_close(struct rollups *rollups) {
        if (!rollups)
                return NULL;
        rollups_stop_reader(rollups);
        database_abandon(&rollups->read_db);
        abandon_if_moved(rollups);
        close_database(rollups);
        (void) pthread_cond_destroy(&rollups->wake);
        (void) pthread_mutex_destroy(&rollups->read_lock);
        (void) pthread_mutex_destroy(&rollups->lock);
        free(rollups->path);
        free(rollups);
        return NULL;
}

/* ---- positions ---- */

int rollups_load_positions(struct rollups *rollups,
                int (*each)(const struct access_position *position, void *userdata),
                void *userdata) {
        sqlite3_stmt *row;
        int r, step = SQLITE_DONE;

        r = open_again(rollups);
        if (r < 0)
                return r;
        r = database_number(rollups->db, COMMITS, &rollups->commits);
        if (r < 0)
                return r;
        rollups->doubtful = 0; /* who reads them goes on from there, whatever that was */
        r = database_error(sqlite3_prepare_v2(rollups->db,
                        "SELECT id, path, device, inode, head, \"offset\", skipping, complete, lines"
                        " FROM positions ORDER BY id",
                        -1, &row, NULL));
        if (r < 0)
                return r;
        while (r >= 0 && (step = sqlite3_step(row)) == SQLITE_ROW) {
                struct access_position position = {
                        .id = sqlite3_column_int64(row, 0),
                        .path = (const char *) sqlite3_column_text(row, 1),
                        .device = (uint64_t) sqlite3_column_int64(row, 2),
                        .inode = (uint64_t) sqlite3_column_int64(row, 3),
                        .head = sqlite3_column_blob(row, 4),
                        .head_size = (size_t) sqlite3_column_bytes(row, 4),
                        .offset = (uint64_t) sqlite3_column_int64(row, 5),
                        .skipping = sqlite3_column_int(row, 6),
                        .complete = sqlite3_column_int(row, 7),
                        .lines = (uint64_t) sqlite3_column_int64(row, 8),
                };

                if (position.head_size <= ACCESS_HEAD_MAX && position.path)
                        r = each(&position, userdata);
        }
        if (r >= 0)
                r = database_error(step);
        (void) sqlite3_finalize(row);
        if (r < 0)
                return r;
        (void) pthread_mutex_lock(&rollups->lock);
        if (rollups->stats.last_error == -ESTALE)
                rollups->stats.last_error = 0;
        (void) pthread_mutex_unlock(&rollups->lock);
        return 0;
}

static int write_position(struct rollups *rollups, const struct access_position *position) {
        sqlite3_stmt *upsert = rollups->upsert_position;

        if (position->forget) {
                (void) sqlite3_bind_int64(rollups->delete_position, 1, position->id);
                return database_step(rollups->delete_position);
        }
        (void) sqlite3_bind_int64(upsert, 1, position->id);
        (void) sqlite3_bind_text(upsert, 2, position->path, -1, SQLITE_STATIC);
        (void) sqlite3_bind_int64(upsert, 3, (int64_t) position->device);
        (void) sqlite3_bind_int64(upsert, 4, (int64_t) position->inode);
        (void) sqlite3_bind_blob(upsert, 5, position->head_size ? position->head : "",
                        (int) position->head_size, SQLITE_STATIC);
        (void) sqlite3_bind_int64(upsert, 6, (int64_t) position->offset);
        (void) sqlite3_bind_int(upsert, 7, position->skipping);
        (void) sqlite3_bind_int(upsert, 8, position->complete);
        (void) sqlite3_bind_int64(upsert, 9, (int64_t) position->lines);
        return database_step(upsert);
}

/* ---- rows ---- */

int rollups_take_row(sqlite3_stmt *statement, int column, struct rollup *ret_row) {
        struct rollup row = { .requests = (uint64_t) sqlite3_column_int64(statement, column) };
        int r;

        for (int i = 0; i < ROLLUP_CLASS_MAX_; i++)
                row.classes[i] = (uint64_t) sqlite3_column_int64(statement, column + 1 + i);
        row.bytes_out = (uint64_t) sqlite3_column_int64(statement, column + 1 + ROLLUP_CLASS_MAX_);
        r = latency_decode(sqlite3_column_blob(statement, column + 2 + ROLLUP_CLASS_MAX_),
                        (size_t) sqlite3_column_bytes(statement, column + 2 + ROLLUP_CLASS_MAX_),
                        &row.latency);
        if (r == -ENOMEM)
                return r;
        *ret_row = row;
        return r;
}

/* Return: 1 and the row; 0 there is none; negative errno. */
static int read_row(
                struct rollups *rollups, const char *host, uint32_t day, struct rollup *ret_row) {
        sqlite3_stmt *select = rollups->select;
        int r;

        (void) sqlite3_bind_text(select, 1, host, -1, SQLITE_STATIC);
        (void) sqlite3_bind_int64(select, 2, day);
        r = sqlite3_step(select);
        if (r == SQLITE_ROW) {
                r = rollups_take_row(select, 0, ret_row);
                if (r == -EINVAL) {
                        (void) pthread_mutex_lock(&rollups->lock);
                        rollups->stats.unreadable++;
                        (void) pthread_mutex_unlock(&rollups->lock);
                        r = 0;
                }
                r = r < 0 ? r : 1;
        } else {
                r = database_error(r);
        }
        (void) sqlite3_reset(select);
        return r;
}

static int write_row(
                struct rollups *rollups, const char *host, uint32_t day, const struct rollup *row) {
        _cleanup_(buf_done) struct buf latency = BUF_INIT(LATENCY_BYTES_MAX);
        sqlite3_stmt *upsert = rollups->upsert;
        int r;

        r = latency_encode(&row->latency, &latency);
        if (r < 0)
                return r;
        (void) sqlite3_bind_text(upsert, 1, host, -1, SQLITE_STATIC);
        (void) sqlite3_bind_int64(upsert, 2, day);
        (void) sqlite3_bind_int64(upsert, 3, (int64_t) row->requests);
        for (int i = 0; i < ROLLUP_CLASS_MAX_; i++)
                (void) sqlite3_bind_int64(upsert, 4 + i, (int64_t) row->classes[i]);
        (void) sqlite3_bind_int64(upsert, 4 + ROLLUP_CLASS_MAX_, (int64_t) row->bytes_out);
        (void) sqlite3_bind_blob(upsert, 5 + ROLLUP_CLASS_MAX_, latency.data, (int) latency.size,
                        SQLITE_STATIC);
        r = database_step(upsert);
        (void) sqlite3_clear_bindings(upsert);
        return r;
}

/* How many rows a day has, including what the open transaction has made. */
static int day_rows(struct rollups *rollups, uint32_t day, uint64_t **ret_rows) {
        size_t i = day % ROLLUPS_DAYS_KNOWN;
        int r;

        if (rollups->days[i].day != day || rollups->days[i].rows == 0) {
                (void) sqlite3_bind_int64(rollups->count, 1, day);
                r = sqlite3_step(rollups->count);
                if (r == SQLITE_ROW) {
                        rollups->days[i].day = day;
                        rollups->days[i].rows = (uint64_t) sqlite3_column_int64(rollups->count, 0);
                }
                (void) sqlite3_reset(rollups->count);
                if (r != SQLITE_ROW) {
                        r = database_error(r);
                        return r < 0 ? r : -EIO;
                }
        }
        *ret_rows = &rollups->days[i].rows;
        return 0;
}

static bool is_own(const struct rollups *rollups, const char *host) {
        return strcmp(host, ROLLUP_OTHER) == 0 ||
                        (rollups->config.is_own &&
                                        rollups->config.is_own(host, rollups->config.userdata));
}

static int add_day(struct rollups *rollups, const char *host, const struct rollup *day,
                uint64_t *overflow) {
        struct rollup row = {};
        uint64_t *rows = NULL;
        int found, r;

        r = day_rows(rollups, day->day, &rows);
        if (r < 0)
                return r;
        assert(rows);
        found = read_row(rollups, host, day->day, &row);
        if (found == 0 && *rows >= rollups->config.hosts_max && !is_own(rollups, host)) {
                *overflow += day->requests;
                host = ROLLUP_OTHER;
                found = read_row(rollups, host, day->day, &row);
        }
        r = found;
        if (r >= 0)
                r = rollup_merge(&row, day);
        if (r >= 0)
                r = write_row(rollups, host, day->day, &row);
        if (r >= 0 && found == 0)
                (*rows)++;
        rollup_done(&row);
        return r;
}

struct adding {
        struct rollups *rollups;
        uint64_t overflow, removed;
};

static int add_host(const struct rollup_host *host, void *userdata) {
        struct adding *adding = userdata;
        int r = 0;

        for (const struct rollup *day = host->days; r >= 0 && day; day = day->next)
                r = add_day(adding->rollups, host->name, day, &adding->overflow);
        return r;
}

/* Return: whether old rows were looked for; negative errno. */
static int keep_retention(struct rollups *rollups, uint64_t *removed) {
        uint64_t now_us = clock_monotonic_us();
        uint32_t today = (uint32_t) (clock_realtime_us() / ROLLUP_DAY_US);
        char sql[64];
        int r;

        if (!rollups->config.retention_days || today < rollups->config.retention_days ||
                        (rollups->retained_us > 0 &&
                                        now_us - rollups->retained_us < RETENTION_EVERY_US))
                return 0;
        (void) snprintf(sql, sizeof(sql), "DELETE FROM rollups WHERE day <= %u",
                        today - rollups->config.retention_days);
        r = database_run(rollups->db, sql);
        if (r < 0)
                return r;
        *removed = (uint64_t) sqlite3_changes64(rollups->db);
        memset(rollups->days, 0, sizeof(rollups->days));
        return 1;
}

static void note_commit(struct rollups *rollups, int error, const struct adding *adding) {
        (void) pthread_mutex_lock(&rollups->lock);
        rollups->stats.disk_us = 0;
        rollups->stats.last_error = error;
        if (error < 0) {
                rollups->stats.write_errors++;
        } else {
                rollups->stats.transactions++;
                rollups->stats.overflow += adding->overflow;
                rollups->stats.rows_removed += adding->removed;
        }
        (void) pthread_mutex_unlock(&rollups->lock);
}

void rollups_configure(struct rollups *rollups, unsigned int retention_days, size_t hosts_max) {
        (void) pthread_mutex_lock(&rollups->lock);
        rollups->retention_days = retention_days;
        rollups->hosts_max = hosts_max;
        (void) pthread_mutex_unlock(&rollups->lock);
}

/* What the loop has set since, and that the disk has it now. */
static void begin_commit(struct rollups *rollups) {
        (void) pthread_mutex_lock(&rollups->lock);
        rollups->stats.disk_us = clock_monotonic_us();
        if (rollups->retention_days != rollups->config.retention_days)
                rollups->retained_us = 0; /* look at once */
        rollups->config.retention_days = rollups->retention_days;
        rollups->config.hosts_max = rollups->hosts_max;
        (void) pthread_mutex_unlock(&rollups->lock);
}

static int write_all(struct rollups *rollups, const struct rollup_set *set,
                const struct access_position *positions, size_t n_positions,
                struct adding *adding) {
        int r;

        r = rollup_set_each(set, add_host, adding);
        for (size_t i = 0; r >= 0 && i < n_positions; i++)
                r = write_position(rollups, &positions[i]);
        return r < 0 ? r : database_step(rollups->count_commit);
}

static int commit(struct rollups *rollups, const struct rollup_set *set,
                const struct access_position *positions, size_t n_positions,
                struct adding *adding) {
        bool retained = false;
        int64_t n = 0;
        int r;

        database_settle(rollups->db);
        r = database_run(rollups->db, "BEGIN IMMEDIATE");
        if (r >= 0)
                r = database_number(rollups->db, COMMITS, &n);
        if (r >= 0 && rollups->doubtful && n == rollups->doubtful) {
                rollups->doubtful = 0; /* it is the same that is given again */
                rollups->commits = n;
                return database_run(rollups->db, "ROLLBACK");
        }
        if (r >= 0 && rollups->commits >= 0 && n != rollups->commits)
                r = -ESTALE;
        if (r >= 0)
                r = keep_retention(rollups, &adding->removed);
        retained = r > 0;
        if (r >= 0)
                r = write_all(rollups, set, positions, n_positions, adding);
        if (r >= 0) {
                rollups->doubtful = n + 1;
                r = database_run(rollups->db, "COMMIT");
        }
        if (r < 0) {
                r = database_cause(rollups->db, r);
                database_settle(rollups->db);
                memset(rollups->days, 0, sizeof(rollups->days));
                return r == -ENODATA ? -EUCLEAN : r;
        }
        rollups->commits = n + 1;
        rollups->doubtful = 0;
        if (retained)
                rollups->retained_us = clock_monotonic_us();
        return 0;
}

int rollups_commit(struct rollups *rollups, const struct rollup_set *set,
                const struct access_position *positions, size_t n_positions) {
        struct adding adding = { .rollups = rollups };
        int r;

        begin_commit(rollups);
        abandon_if_moved(rollups);
        r = open_again(rollups);
        if (r >= 0)
                r = commit(rollups, set, positions, n_positions, &adding);
        if (r == -EUCLEAN)
                give_up(rollups);
        else if (r == -EROFS || r == -EIO)
                leave(rollups);
        note_commit(rollups, r, &adding);
        return r;
}

void rollups_get_stats(struct rollups *rollups, struct rollups_stats *ret_stats) {
        (void) pthread_mutex_lock(&rollups->lock);
        *ret_stats = rollups->stats;
        (void) pthread_mutex_unlock(&rollups->lock);
}
