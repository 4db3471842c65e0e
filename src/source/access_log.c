/* The thread: it looks at what there is, takes a piece of each, and hands over what came together.
 */

#include "source/access_log.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "source/access_log_internal.h"

#define TICK_US         (200 * USEC_PER_MSEC) /* between looks at files that may grow */
#define SCAN_US         (10 * USEC_PER_SEC)   /* beside what inotify tells */
#define COMMIT_US       (250 * USEC_PER_MSEC)
#define COMMIT_RETRY_MS 1000
#define SET_SIZE_MAX    (8U << 20) /* bytes */
#define SET_ROWS_MAX    4096
#define IMPORT_BYTES    (4U << 20) /* as much unread is an import */
#define IMPORT_TELL_US  (10 * USEC_PER_SEC)
#define EVENTS_MAX      16

/* ---- streams ---- */

int access_stream_new(struct access_log *log, const char *path, struct access_stream **ret_stream) {
        struct access_stream *stream;

        stream = calloc(1, sizeof(*stream));
        if (!stream)
                return -ENOMEM;
        list_init(&stream->list);
        stream->fd = -EBADF;
        stream->path = strdup(path);
        if (!stream->path) {
                free(stream);
                return -ENOMEM;
        }
        stream->id = log->next_id++;
        list_append(&log->streams, &stream->list);
        log->n_streams++;
        *ret_stream = stream;
        return 0;
}

static void access_stream_free(struct access_log *log, struct access_stream *stream) {
        access_stream_close(stream);
        list_remove(&stream->list);
        log->n_streams--;
        free(stream->path);
        free(stream);
}

void access_log_touch(struct access_log *log, struct access_stream *stream) {
        stream->dirty = true;
        if (!log->taken_since_us)
                log->taken_since_us = clock_monotonic_us();
}

/* There is always a set: no memory for one is waited for, since a line must be counted or left
 * where it is. */
struct rollup_set *access_log_set(struct access_log *log) {
        while (!log->set && rollup_set_new(&log->set) < 0)
                (void) usleep(10000);
        return log->set;
}

static void new_rules(struct access_log *log) {
        uint64_t now_us = clock_realtime_us(), today = now_us / ROLLUP_DAY_US;

        log->rules = (struct access_rules){ .now_us = now_us, .duration = log->config.duration };
        if (log->config.retention_days && today >= log->config.retention_days)
                log->rules.oldest_us = (today - log->config.retention_days + 1) * ROLLUP_DAY_US;
}

/* ---- batches ---- */

static size_t collect_positions(struct access_log *log, struct access_position *positions) {
        struct access_stream *stream;
        size_t n = 0;

        list_for_each(stream, &log->streams, list) {
                if (!stream->dirty)
                        continue;
                positions[n++] = (struct access_position){ .id = stream->id,
                        .path = stream->path,
                        .device = stream->device,
                        .inode = stream->inode,
                        .head = stream->head,
                        .head_size = stream->head_size,
                        .offset = stream->offset,
                        .skipping = stream->skipping,
                        .complete = stream->complete,
                        .lines = stream->lines,
                        .forget = stream->forget };
        }
        return n;
}

static int commit(struct access_log *log) {
        _cleanup_(freep) struct access_position *positions = NULL;
        struct access_stream *stream, *next;
        size_t n;
        int r;

        positions = calloc(log->n_streams + 1, sizeof(positions[0]));
        if (!positions)
                return -ENOMEM;
        n = collect_positions(log, positions);
        r = log->hooks.commit(access_log_set(log), positions, n, log->hooks.userdata);
        if (r < 0) {
                log->now.commit_errors++;
                return r;
        }
        list_for_each_safe(stream, next, &log->streams, list) {
                stream->dirty = false;
                if (stream->forget)
                        access_stream_free(log, stream);
        }
        log->set = rollup_set_free(log->set);
        log->taken_since_us = 0;
        return 0;
}

static bool commit_is_due(struct access_log *log, uint64_t now_us) {
        if (!log->taken_since_us)
                return false;
        return now_us - log->taken_since_us >= COMMIT_US ||
                        rollup_set_size(access_log_set(log)) > SET_SIZE_MAX ||
                        rollup_set_rows(log->set) > SET_ROWS_MAX;
}

/* ---- how far it is ---- */

static uint64_t unread_bytes(const struct access_stream *stream) {
        uint64_t at = stream->is_gzip ? stream->gzip_read : stream->offset;

        if (stream->is_net || stream->complete || (!stream->in_place && stream->fd < 0) ||
                        stream->size == stream->tried_size || stream->size < at)
                return 0;
        return stream->size - at;
}

static void tell(struct access_log *log, uint64_t now_us) {
        struct access_stats *now = &log->now;
        struct access_stream *stream;

        now->backlog_bytes = now->files = 0;
        now->connections = log->n_connections;
        list_for_each(stream, &log->streams, list) {
                now->backlog_bytes += unread_bytes(stream);
                now->files += stream->in_place;
        }
        if (!now->importing && now->backlog_bytes >= IMPORT_BYTES) {
                now->importing = true;
                log->import_begin_bytes = now->bytes;
                log->import_told_us = now_us;
                log_info("Importing %ju MiB of access logs",
                                (uintmax_t) (now->backlog_bytes >> 20));
        }
        if (now->importing) {
                now->import_done_bytes = now->bytes - log->import_begin_bytes;
                now->import_total_bytes = now->import_done_bytes + now->backlog_bytes;
        }
        if (now->importing && now->backlog_bytes == 0) {
                now->importing = false;
                log_info("Imported %ju MiB of access logs",
                                (uintmax_t) (now->import_done_bytes >> 20));
        } else if (now->importing && now_us - log->import_told_us >= IMPORT_TELL_US) {
                log->import_told_us = now_us;
                log_info("Importing access logs: %ju of %ju MiB",
                                (uintmax_t) (now->import_done_bytes >> 20),
                                (uintmax_t) (now->import_total_bytes >> 20));
        }
        (void) pthread_mutex_lock(&log->lock);
        log->stats = *now;
        (void) pthread_mutex_unlock(&log->lock);
}

/* ---- the thread ---- */

static void on_stop(struct access_log *log, struct access_watch *watch) {
        log->stopping = true;
}

static void wait_for(struct access_log *log, int wait_ms) {
        struct epoll_event events[EVENTS_MAX];
        int n;

        n = epoll_wait(log->epoll_fd, events, EVENTS_MAX, wait_ms);
        for (int i = 0; i < n; i++) {
                struct access_watch *watch = events[i].data.ptr;

                watch->ready(log, watch);
        }
}

/* The disk is full, or so. Reading on would only fill memory. */
static void wait_before_retry(struct access_log *log) {
        struct epoll_event event = { .events = EPOLLIN };
        int r, fd;

        fd = epoll_create1(EPOLL_CLOEXEC);
        r = fd < 0 ? -1 : epoll_ctl(fd, EPOLL_CTL_ADD, log->stop_fd, &event);
        if (r < 0)
                (void) usleep(COMMIT_RETRY_MS * 1000);
        else if (epoll_wait(fd, &event, 1, COMMIT_RETRY_MS) > 0)
                log->stopping = true;
        (void) fd_close(fd);
}

static void commit_until_it_holds(struct access_log *log) {
        bool told = false;
        int r;

        while ((r = commit(log)) < 0) {
                if (!told)
                        (void) log_error_errno(
                                        r, "Cannot store request analytics, trying again: %m");
                told = true;
                tell(log, clock_monotonic_us());
                if (log->stopping)
                        return; /* files will be read again from where the last commit was */
                wait_before_retry(log);
        }
        if (told)
                log_info("Request analytics are stored again");
}

static void *reader_main(void *userdata) {
        struct access_log *log = userdata;
        uint64_t now_us;
        bool more = true, tick;

        while (!log->stopping) {
                wait_for(log, more ? 0 : (int) (TICK_US / USEC_PER_MSEC));
                now_us = clock_monotonic_us();
                new_rules(log);
                if (log->scan_wanted || now_us >= log->scan_due_us) {
                        access_scan(log);
                        log->scan_wanted = false;
                        log->scan_due_us = now_us + SCAN_US;
                }
                tick = now_us >= log->tick_due_us;
                if (tick)
                        log->tick_due_us = now_us + TICK_US;
                more = access_read_streams(log, tick) || log->scan_wanted;
                if (commit_is_due(log, clock_monotonic_us()))
                        commit_until_it_holds(log);
                if (tick)
                        tell(log, now_us);
        }
        access_net_stop(log);
        if (log->taken_since_us)
                commit_until_it_holds(log);
        tell(log, clock_monotonic_us());
        return NULL;
}

/* ---- from outside ---- */

static int watch_fd(struct access_log *log, int fd, struct access_watch *watch) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = watch };

        return epoll_ctl(log->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int copy_config(struct access_log *log, const struct access_log_config *config,
                const char **ret_address) {
        int r;

        log->config = *config;
        for (size_t i = 0; config->before && i < ACCESS_LOG_LISTENERS_MAX; i++)
                config->before->listeners[i].has_heir = false; /* of an heir that did not come */
        for (size_t i = 0; i < config->n_paths && i < ACCESS_LOG_PATHS_MAX; i++) {
                *ret_address = config->paths[i];
                if (config->paths[i][0] != '/' || !strrchr(config->paths[i], '/')[1])
                        return -EINVAL;
                log->paths[i] = strdup(config->paths[i]);
                if (!log->paths[i])
                        return -ENOMEM;
        }
        for (size_t i = 0; i < config->n_listen && i < ACCESS_LOG_LISTENERS_MAX; i++) {
                *ret_address = config->listen[i];
                r = access_net_open(log, config->before, &log->listeners[i], config->listen[i]);
                if (r < 0)
                        return r;
        }
        log->config.paths = NULL;
        log->config.listen = NULL;
        log->config.before = NULL;
        return 0;
}

int access_log_new(const struct access_log_config *config, const struct access_log_hooks *hooks,
                struct access_log **ret_log, const char **ret_address) {
        _cleanup_(access_log_freep) struct access_log *log = NULL;
        const char *address = NULL;
        int r;

        log = calloc(1, sizeof(*log));
        if (!log)
                return -ENOMEM;
        list_init(&log->streams);
        list_init(&log->connections);
        (void) pthread_mutex_init(&log->lock, NULL);
        log->hooks = *hooks;
        log->next_id = 1;
        log->inotify_fd = -EBADF;
        log->stop_watch.ready = on_stop;
        for (size_t i = 0; i < ACCESS_LOG_LISTENERS_MAX; i++)
                log->listeners[i].fd = -EBADF;
        log->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        log->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        log->chunk = malloc(ACCESS_LINE_MAX + 1);
        if (log->epoll_fd < 0 || log->stop_fd < 0)
                return -errno;
        if (!log->chunk)
                return -ENOMEM;
        r = watch_fd(log, log->stop_fd, &log->stop_watch);
        if (r >= 0)
                r = copy_config(log, config, ret_address ? ret_address : &address);
        if (r < 0)
                return r;
        *ret_log = TAKE_PTR(log);
        return 0;
}

struct access_log *access_log_free(struct access_log *log) {
        struct access_stream *stream;
        const uint64_t one = 1;

        if (!log)
                return NULL;
        if (log->has_thread) {
                (void) !write(log->stop_fd, &one, sizeof(one));
                (void) pthread_join(log->thread, NULL);
        }
        access_net_stop(log);
        while ((stream = list_first(&log->streams, struct access_stream, list)))
                access_stream_free(log, stream);
        rollup_set_free(log->set);
        (void) fd_close(log->inotify_fd);
        (void) fd_close(log->stop_fd);
        (void) fd_close(log->epoll_fd);
        for (size_t i = 0; i < ACCESS_LOG_PATHS_MAX; i++)
                free(log->paths[i]);
        free(log->chunk);
        (void) pthread_mutex_destroy(&log->lock);
        free(log);
        return NULL;
}

void access_log_bequeath(struct access_log *log) {
        (void) pthread_mutex_lock(&log->lock);
        log->bequeathed = true;
        (void) pthread_mutex_unlock(&log->lock);
}

int access_log_restore(struct access_log *log, const struct access_position *position) {
        struct access_stream *stream;
        int r;

        r = access_stream_new(log, position->path, &stream);
        if (r < 0)
                return r;
        stream->id = position->id;
        if (position->id >= log->next_id)
                log->next_id = position->id + 1;
        stream->device = position->device;
        stream->inode = position->inode;
        if (position->head_size > 0)
                memcpy(stream->head, position->head, position->head_size);
        stream->head_size = position->head_size;
        stream->offset = position->offset;
        stream->skipping = position->skipping;
        stream->complete = position->complete;
        stream->lines = position->lines;
        stream->is_net = position->path[0] != '/';
        return 0;
}

int access_log_start(struct access_log *log) {
        int r;

        r = access_net_start(log);
        if (r >= 0)
                r = access_scan_start(log);
        if (r < 0)
                return r;
        r = pthread_create(&log->thread, NULL, reader_main, log);
        if (r > 0)
                return -r;
        log->has_thread = true;
        return 0;
}

const char *access_log_address(const struct access_log *log, size_t i) {
        return i < ACCESS_LOG_LISTENERS_MAX && log->listeners[i].fd >= 0 ? log->listeners[i].name
                                                                         : NULL;
}

void access_log_get_stats(struct access_log *log, struct access_stats *ret_stats) {
        (void) pthread_mutex_lock(&log->lock);
        *ret_stats = log->stats;
        (void) pthread_mutex_unlock(&log->lock);
}
