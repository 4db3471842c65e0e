#pragma once
/* What the files of the access log reader share: access_log.c (the thread, batches),
 * access_read.c (turns, lines), access_stream.c (one file's content), access_scan.c (which files
 * there are), access_net.c. All but the statistics belongs to the thread. */

#include <pthread.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/listen.h"
#include "source/access_log.h"
#include "source/lines.h"

#define ACCESS_CHUNK (256U << 10)

/* Something that was written once, wherever it lies now: a file under some name, a copy of it, or
 * that compressed. Or what a listener gets. */
struct access_stream {
        struct list list;
        int64_t id;
        char *path;
        uint64_t device, inode; /* of the file it is read from; 0, 0: none at present */
        char head[ACCESS_HEAD_MAX];
        size_t head_size;
        uint64_t offset, lines;
        bool skipping, complete, forget;
        bool dirty; /* not as it is stored */
        bool is_net, is_gzip;
        bool live;                 /* it lies under a configured name and may grow */
        bool in_place;             /* the last scan saw it */
        bool seen;                 /* the scan that is going on has */
        bool failed, broken;       /* it could not be read, and not because of where it lies */
        uint64_t missing_since_us; /* CLOCK_MONOTONIC; 0: it is not */
        int fd;
        uint64_t size;       /* of the file, as last seen */
        uint64_t tried_size; /* the file's size when all that could be was read of it */
        uint64_t mtime_us;
        gzFile gzip;
        uint64_t gzip_at;   /* bytes decompressed */
        uint64_t gzip_read; /* bytes of the file that took */
        struct buf pending; /* decompressed, from offset on */
};

/* A piece of a stream from its offset on. */
struct access_view {
        const char *data;
        size_t size;
        bool end; /* there is no more at present */
};

struct access_watch {
        /* The descriptor is readable. */
        void (*ready)(struct access_log *log, struct access_watch *watch);
};

struct access_listener {
        struct access_watch watch; /* first */
        int fd;
        char name[LISTEN_NAME_MAX];
        char configured[LISTEN_NAME_MAX]; /* the address as it was asked for */
        bool has_heir;                    /* another log is to go on with the socket */
        bool is_heir;                     /* its socket is that of the log before */
        struct access_stream *stream;
};

struct access_connection {
        struct access_watch watch; /* first */
        struct list list;
        int fd;
        struct access_stream *stream; /* of its listener */
        struct lines lines;
};

struct access_log {
        struct access_log_config config;
        struct access_log_hooks hooks;
        char *paths[ACCESS_LOG_PATHS_MAX];
        struct access_listener listeners[ACCESS_LOG_LISTENERS_MAX];
        struct list streams, connections;
        size_t n_streams, n_connections;
        int64_t next_id;
        int epoll_fd, stop_fd, inotify_fd;
        struct access_watch stop_watch, inotify_watch;
        bool stopping;
        bool scan_wanted;
        uint64_t scan_due_us, tick_due_us;
        char *chunk; /* ACCESS_LINE_MAX + 1 bytes */
        struct access_rules rules;
        struct rollup_set *set;
        uint64_t taken_since_us; /* CLOCK_MONOTONIC of the first that is not committed; 0: none */
        uint64_t import_begin_bytes, import_told_us;
        struct access_stats now; /* the thread's own */
        pthread_t thread;
        bool has_thread;
        pthread_mutex_t lock;
        bool bequeathed;           /* under lock: listeners that have an heir leave their files */
        struct access_stats stats; /* under lock: what was last told */
};

/* access_log.c */
int access_stream_new(struct access_log *log, const char *path, struct access_stream **ret_stream);
struct rollup_set *access_log_set(struct access_log *log);
/** It has changed: commit before long. */
void access_log_touch(struct access_log *log, struct access_stream *stream);

/* access_read.c */
void access_log_take(struct access_log *log, struct access_stream *stream, const char *line,
                size_t size, bool too_long);
/** All that live have a turn, and one of the others: history waits. @tick: also look whether files
 * have grown. Return: whether there is more at once. */
bool access_read_streams(struct access_log *log, bool tick);

/* access_stream.c */
/** The first bytes of a file, decompressed if @is_gzip. Return: how many; negative errno. */
ssize_t access_head_read(int fd, bool is_gzip, char head[static ACCESS_HEAD_MAX]);
/** Is @head such that no other content has it: a whole line, or much of one? */
bool access_head_is_telling(const char *head, size_t size);
/** Return: 0; -ESTALE the path leads to another file by now; an errno of open. */
int access_stream_open(struct access_stream *stream);
void access_stream_close(struct access_stream *stream);
/**
 * Look at what follows. @view is good until the next call.
 *
 * Return: 0; -ESTALE the file holds something else than it did; -EAGAIN not there yet, call again;
 * -EBADMSG the compressed file is broken from here on; errno of reading.
 */
int access_stream_view(
                struct access_log *log, struct access_stream *stream, struct access_view *ret_view);
/** So much of the view is done. */
void access_stream_consume(struct access_log *log, struct access_stream *stream, size_t size);

/* access_scan.c */
int access_scan_start(struct access_log *log);
void access_scan(struct access_log *log);
/** What lay in the stream's file is gone; the file is that of a new stream. */
void access_scan_truncated(struct access_log *log, struct access_stream *stream);

/* access_net.c */
/** @before: whose socket of that address is taken over; NULL: nobody's. */
int access_net_open(struct access_log *log, struct access_log *before,
                struct access_listener *listener, const char *address);
int access_net_start(struct access_log *log);
void access_net_stop(struct access_log *log);
