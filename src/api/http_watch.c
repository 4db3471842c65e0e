/* One client after the other, each with a second to shake hands and ask: what matters is that there
 * is an answer. */

#include "api/http_watch.h"

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "api/health.h"
#include "api/tls_context.h"
#include "base/clock.h"
#include "virtwatch/virtwatch.h"

#define LOOK_MS        500
#define ASK_US         USEC_PER_SEC
#define HEAD_BYTES_MAX 8192

struct http_watch {
        const struct api_context *api;
        struct http_watch_listener listeners[HTTP_WATCH_MAX];
        size_t n_listeners;
        int stop_fd;
        pthread_t thread;
        bool has_thread;
};

struct client {
        const struct http_watch *watch;
        int fd;
        gnutls_session_t session; /* NULL: it speaks plainly */
        uint64_t end_us;
};

/* Return: 0: the loop turns. */
static uint64_t held_up_us(const struct http_watch *watch) {
        uint64_t beat_us = __atomic_load_n(&watch->api->heartbeat_us, __ATOMIC_RELAXED);
        uint64_t now_us = clock_monotonic_us();

        return now_us > beat_us + HEALTH_LATE_US ? now_us - beat_us : 0;
}

/* Return: whether it may go on, in time and not stopped. */
static bool client_wait(const struct client *client, short events) {
        struct pollfd both[] = { { .fd = client->fd, .events = events },
                { .fd = client->watch->stop_fd, .events = POLLIN } };
        uint64_t now_us = clock_monotonic_us();

        return now_us < client->end_us &&
                        poll(both, 2, (int) ((client->end_us - now_us) / USEC_PER_MSEC) + 1) > 0 &&
                        !both[1].revents;
}

static bool is_later(ssize_t n) {
        return n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED;
}

static bool client_shake(const struct client *client) {
        int r;

        do {
                r = gnutls_handshake(client->session);
                if (r == 0)
                        return true;
                if (gnutls_error_is_fatal(r)) {
                        (void) gnutls_alert_send_appropriate(client->session, r);
                        return false;
                }
        } while (client_wait(
                        client, gnutls_record_get_direction(client->session) ? POLLOUT : POLLIN));
        return false;
}

/* Return: bytes; 0: no more come, or not in time. */
static size_t client_recv(const struct client *client, void *data, size_t size) {
        ssize_t n;

        do {
                if (client->session) {
                        n = gnutls_record_recv(client->session, data, size);
                } else {
                        n = recv(client->fd, data, size, MSG_DONTWAIT);
                        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                                n = GNUTLS_E_AGAIN;
                }
        } while (is_later(n) && client_wait(client, POLLIN));
        return n > 0 ? (size_t) n : 0;
}

static void client_send(const struct client *client, const void *data, size_t size) {
        ssize_t n;

        if (!client->session) { /* a fresh socket's buffer takes this whole */
                (void) send(client->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
                return;
        }
        n = gnutls_record_send(client->session, data, size);
        while (is_later(n) && client_wait(client, POLLOUT))
                n = gnutls_record_send(client->session, NULL, 0);
        (void) gnutls_bye(client->session, GNUTLS_SHUT_WR);
}

/* The head, as far as it came. */
static size_t read_head(const struct client *client, char *head, size_t size) {
        size_t n = 0, got;

        head[0] = '\0';
        while (n + 1 < size && !strstr(head, "\r\n\r\n")) {
                got = client_recv(client, head + n, size - n - 1);
                if (got == 0)
                        break;
                n += got;
                head[n] = '\0';
        }
        return n;
}

static bool asks_for_health(const char *head) {
        const char *target = strncmp(head, "GET ", 4) == 0 ? head + 4
                        : strncmp(head, "HEAD ", 5) == 0   ? head + 5
                                                           : "";
        size_t n = strcspn(target, " ?\r\n");

        return (n == 7 && strncmp(target, "/health", n) == 0) ||
                        (n == 8 && strncmp(target, "/healthz", n) == 0);
}

static void answer(const struct client *client, uint64_t held_us) {
        const struct http_watch *watch = client->watch;
        char head[HEAD_BYTES_MAX], body[256], text[640];
        int size, length;

        if (read_head(client, head, sizeof(head)) == 0)
                return;
        if (asks_for_health(head)) {
                length = snprintf(body, sizeof(body),
                                "{\"status\":\"late\",\"uptime_secs\":%ju,\"version\":\"%s\",\"held_up_secs\":%ju}\n",
                                (uintmax_t) ((clock_monotonic_us() - watch->api->started_us) /
                                                USEC_PER_SEC),
                                VIRTWATCH_VERSION, (uintmax_t) (held_us / USEC_PER_SEC));
        } else {
                length = snprintf(body, sizeof(body),
                                "{\"error\":{\"code\":\"unavailable\",\"message\":\"the daemon's loop is held up\"}}\n");
        }
        size = snprintf(text, sizeof(text),
                        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                        "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nRetry-After: 5\r\n"
                        "Connection: close\r\n\r\n%s",
                        length, strncmp(head, "HEAD ", 5) == 0 ? "" : body);
        client_send(client, text, (size_t) size);
        (void) shutdown(client->fd, SHUT_WR);
        while (recv(client->fd, head, sizeof(head), MSG_DONTWAIT) > 0)
                ; /* unread bytes would take the answer away from the client */
}

static void take_in(const struct http_watch *watch, const struct http_watch_listener *listener) {
        uint64_t held_us;

        while ((held_us = held_up_us(watch)) > 0) {
                struct client client = { .watch = watch,
                        .end_us = clock_monotonic_us() + ASK_US,
                        .fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) };

                if (client.fd < 0)
                        return;
                if (!listener->tls) {
                        answer(&client, held_us);
                } else if (tls_context_session(listener->tls, client.fd, &client.session) >= 0) {
                        if (client_shake(&client))
                                answer(&client, held_us);
                        gnutls_deinit(client.session);
                }
                (void) close(client.fd);
        }
}

static void *watch_main(void *userdata) {
        struct http_watch *watch = userdata;
        struct pollfd all[HTTP_WATCH_MAX + 1] = { { .fd = watch->stop_fd, .events = POLLIN } };

        for (size_t i = 0; i < watch->n_listeners; i++)
                all[i + 1] = (struct pollfd){ .fd = watch->listeners[i].fd, .events = POLLIN };
        for (;;) {
                bool late = held_up_us(watch) > 0;
                int n = poll(all, late ? watch->n_listeners + 1 : 1, LOOK_MS);

                if (n > 0 && all[0].revents)
                        return NULL;
                for (size_t i = 0; n > 0 && late && i < watch->n_listeners; i++)
                        if (all[i + 1].revents)
                                take_in(watch, &watch->listeners[i]);
        }
}

int http_watch_new(const struct http_watch_listener *listeners, size_t n_listeners,
                const struct api_context *api, struct http_watch **ret_watch) {
        _cleanup_(http_watch_freep) struct http_watch *watch = calloc(1, sizeof(*watch));
        int r;

        if (!watch)
                return -ENOMEM;
        watch->api = api;
        watch->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (watch->stop_fd < 0)
                return -errno;
        for (size_t i = 0; i < n_listeners && i < HTTP_WATCH_MAX; i++) {
                int fd = fcntl(listeners[i].fd, F_DUPFD_CLOEXEC, 3);

                if (fd < 0)
                        return -errno;
                watch->listeners[watch->n_listeners++] = (struct http_watch_listener){ fd,
                        tls_context_ref(listeners[i].tls) };
        }
        r = pthread_create(&watch->thread, NULL, watch_main, watch);
        if (r > 0)
                return -r;
        watch->has_thread = true;
        *ret_watch = TAKE_PTR(watch);
        return 0;
}

struct http_watch *http_watch_free(struct http_watch *watch) {
        const uint64_t one = 1;

        if (!watch)
                return NULL;
        if (watch->has_thread) {
                (void) !write(watch->stop_fd, &one, sizeof(one));
                (void) pthread_join(watch->thread, NULL);
        }
        for (size_t i = 0; i < watch->n_listeners; i++) {
                (void) close(watch->listeners[i].fd);
                tls_context_unref(watch->listeners[i].tls);
        }
        if (watch->stop_fd >= 0)
                (void) close(watch->stop_fd);
        free(watch);
        return NULL;
}
