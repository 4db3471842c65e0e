#pragma once
/* Caddy's access logs: files, followed through rotation by rename, truncation after a copy and
 * compression, with the history that lies beside them; and listeners for Caddy's `net` writer. A
 * thread of its own reads, for files may lie where reading hangs; its work is cut into pieces of a
 * line's greatest length, so that history, living files and connections take turns.
 *
 * What was read is handed over in batches together with the position behind it, to be stored in one
 * transaction: a line of a file is then counted once, whatever is killed when. What comes over a
 * connection can be read only once: what was not committed when the process is killed (a quarter of
 * a second's worth) or while nobody listens is lost, and Caddy does not say it again.
 *
 * A file is known again by its first line. The last line of a file that may still grow is taken
 * when its newline is there. */

#include "model/access_stats.h"
#include "model/rollup.h"

struct access_log;

#define ACCESS_LOG_PATHS_MAX       64
#define ACCESS_LOG_LISTENERS_MAX   8
#define ACCESS_LOG_CONNECTIONS_MAX 64
#define ACCESS_LOG_STREAMS_MAX     4096 /* files known at a time */

struct access_log_config {
        const char *const *paths; /* absolute; copied */
        size_t n_paths;
        const char *const *listen; /* "127.0.0.1:PORT", "[::1]:PORT", "unix:PATH"; copied */
        size_t n_listen;
        bool history;                /* also what lies beside the files when they are first met */
        unsigned int retention_days; /* lines of days before are expired; 0: none are */
        enum access_duration duration;
        struct access_log *before; /* whose listeners of the same address are taken over, with what
                                      waits at them; NULL: none. See access_log_bequeath() */
};

struct access_log_hooks {
        /**
         * On the reader's thread: store all of it in one transaction. Borrowed for the call.
         * Return: 0; negative, and nothing may be stored: nothing more is read, and all of it is
         * given again a second later.
         */
        int (*commit)(const struct rollup_set *set, const struct access_position *positions,
                        size_t n_positions, void *userdata);
        void *userdata;
};

/** Listens at once, reads nothing yet. Return: 0; -EINVAL a path that is not absolute; an errno of
 * listening, with *ret_address (may be NULL) the address in question; -ENOMEM. */
int access_log_new(const struct access_log_config *config, const struct access_log_hooks *hooks,
                struct access_log **ret_log, const char **ret_address);
/** Commits what was read, if the disk lets it. */
struct access_log *access_log_free(struct access_log *log);
DEFINE_FREEP(struct access_log, access_log_free);

/** Of a log that was @before of one that is now sure to follow: it leaves what it listens on as it
 * is. To be freed next. */
void access_log_bequeath(struct access_log *log);

/** A position that was stored; before the start. Return: 0; -ENOMEM. */
int access_log_restore(struct access_log *log, const struct access_position *position);
int access_log_start(struct access_log *log);

/** The address of a listener; NULL past the last. */
const char *access_log_address(const struct access_log *log, size_t i);

/** Any thread. */
void access_log_get_stats(struct access_log *log, struct access_stats *ret_stats);
