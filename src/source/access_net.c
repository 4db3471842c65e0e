/* Listeners for Caddy's `net` writer: a line is what ends with a newline, or with the connection.
 */

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "source/access_log_internal.h"

struct taking {
        struct access_log *log;
        struct access_stream *stream;
};

static void on_line(const char *line, size_t size, bool too_long, void *userdata) {
        struct taking *taking = userdata;

        access_log_take(taking->log, taking->stream, line, size, too_long);
}

static void connection_free(struct access_log *log, struct access_connection *connection) {
        list_remove(&connection->list);
        log->n_connections--;
        (void) fd_close(connection->fd); /* leaves the epoll by that */
        lines_done(&connection->lines);
        free(connection);
}

static void feed(struct access_log *log, struct access_connection *connection, const char *data,
                size_t size) {
        struct taking taking = { .log = log, .stream = connection->stream };

        if (lines_feed(&connection->lines, data, size, on_line, &taking) < 0) {
                /* No memory, and what has been taken of it cannot be told from what has not. */
                log->now.lines[ACCESS_TOO_LONG]++;
                buf_reset(&connection->lines.line);
                connection->lines.skipping = true;
        }
}

static void on_connection(struct access_log *log, struct access_watch *watch) {
        struct access_connection *connection = (struct access_connection *) watch;
        ssize_t n;

        n = recv(connection->fd, log->chunk, ACCESS_CHUNK, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                feed(log, connection, log->chunk, (size_t) n);
                return;
        }
        feed(log, connection, "\n", 1); /* the last line, whole or not */
        connection_free(log, connection);
}

static void on_listener(struct access_log *log, struct access_watch *watch) {
        struct access_listener *listener = (struct access_listener *) watch;
        struct access_connection *connection;
        struct epoll_event event = { .events = EPOLLIN };
        int fd;

        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
                        (void) usleep(10000);
                return;
        }
        connection = log->n_connections < ACCESS_LOG_CONNECTIONS_MAX
                        ? calloc(1, sizeof(*connection))
                        : NULL;
        if (!connection) {
                log->now.connections_refused++;
                (void) close(fd);
                return;
        }
        *connection = (struct access_connection){ .watch = { .ready = on_connection },
                .fd = fd,
                .stream = listener->stream,
                .lines = LINES_INIT(ACCESS_LINE_MAX) };
        list_append(&log->connections, &connection->list);
        log->n_connections++;
        event.data.ptr = &connection->watch;
        if (epoll_ctl(log->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                connection_free(log, connection);
}

/* The same socket, should @before listen on that address: what waits at it waits for us then.
 * Return: the descriptor; -ENOENT; an errno. */
static int inherit(
                struct access_log *before, struct access_listener *listener, const char *address) {
        for (size_t i = 0; before && i < ACCESS_LOG_LISTENERS_MAX; i++) {
                struct access_listener *theirs = &before->listeners[i];
                int fd;

                if (theirs->fd < 0 || strcmp(theirs->configured, address) != 0)
                        continue;
                if (theirs->has_heir)
                        return -EADDRINUSE; /* it is there twice */
                fd = fcntl(theirs->fd, F_DUPFD_CLOEXEC, 3);
                if (fd < 0)
                        return -errno;
                theirs->has_heir = listener->is_heir = true;
                memcpy(listener->name, theirs->name, sizeof(listener->name));
                return fd;
        }
        return -ENOENT;
}

int access_net_open(struct access_log *log, struct access_log *before,
                struct access_listener *listener, const char *address) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &listener->watch };
        int fd;

        fd = inherit(before, listener, address);
        /* Whoever may reach it can make lines up: any process of this host, and no other. */
        if (fd == -ENOENT) {
                fd = listen_open(address,
                                &(struct listen_options){ .mode = 0666, .only_loopback = true },
                                listener->name);
        }
        if (fd < 0)
                return fd;
        (void) snprintf(listener->configured, sizeof(listener->configured), "%s", address);
        listener->fd = fd;
        listener->watch.ready = on_listener;
        return epoll_ctl(log->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* How many lines a listener took is stored with them, under its name. */
int access_net_start(struct access_log *log) {
        struct access_stream *stream, *found;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ACCESS_LOG_LISTENERS_MAX; i++) {
                struct access_listener *listener = &log->listeners[i];

                if (listener->fd < 0)
                        continue;
                found = NULL;
                list_for_each(stream, &log->streams, list)
                        if (stream->is_net && strcmp(stream->path, listener->name) == 0)
                                found = stream;
                if (!found)
                        r = access_stream_new(log, listener->name, &found);
                if (r < 0)
                        break;
                found->is_net = found->in_place = true;
                listener->stream = found;
        }
        list_for_each(stream, &log->streams, list)
                if (stream->is_net && !stream->in_place) {
                        stream->forget = true; /* an address of former times */
                        access_log_touch(log, stream);
                }
        return r;
}

/* Take what the kernel holds of every connection, and leave. */
void access_net_stop(struct access_log *log) {
        struct access_connection *connection;
        bool bequeathed;
        ssize_t n;

        (void) pthread_mutex_lock(&log->lock);
        bequeathed = log->bequeathed;
        (void) pthread_mutex_unlock(&log->lock);
        for (size_t i = 0; i < ACCESS_LOG_LISTENERS_MAX; i++) {
                struct access_listener *listener = &log->listeners[i];

                /* The file belongs to who goes on; that is not an heir that never began. */
                if ((bequeathed && listener->has_heir) || (listener->is_heir && !log->has_thread))
                        listener->fd = fd_close(listener->fd);
                else
                        listener->fd = listen_close(listener->fd, listener->name);
        }
        while ((connection = list_first(&log->connections, struct access_connection, list))) {
                for (size_t taken = 0; taken < ACCESS_LINE_MAX; taken += (size_t) n) {
                        n = recv(connection->fd, log->chunk, ACCESS_CHUNK, 0);
                        if (n <= 0)
                                break;
                        feed(log, connection, log->chunk, (size_t) n);
                }
                connection_free(log, connection);
        }
}
