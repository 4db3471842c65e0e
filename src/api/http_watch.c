/* One client after the other, each with a second to ask: what matters is that there is an answer.
 */

#include "api/http_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "api/health.h"
#include "base/clock.h"
#include "virtwatch/virtwatch.h"

#define LOOK_MS        500
#define ASK_US         USEC_PER_SEC
#define HEAD_BYTES_MAX 8192

struct http_watch {
        const struct api_context *api;
        int fds[HTTP_WATCH_MAX];
        size_t n_fds;
        int stop_fd;
        pthread_t thread;
        bool has_thread;
};

/* Return: 0: the loop turns. */
static uint64_t held_up_us(const struct http_watch *watch) {
        uint64_t beat_us = __atomic_load_n(&watch->api->heartbeat_us, __ATOMIC_RELAXED);
        uint64_t now_us = clock_monotonic_us();

        return now_us > beat_us + HEALTH_LATE_US ? now_us - beat_us : 0;
}

/* The head, as far as it came. */
static size_t read_head(int fd, char *head, size_t size) {
        const uint64_t end_us = clock_monotonic_us() + ASK_US;
        struct pollfd one = { .fd = fd, .events = POLLIN };
        size_t n = 0;

        head[0] = '\0';
        while (n + 1 < size && !strstr(head, "\r\n\r\n")) {
                uint64_t now_us = clock_monotonic_us();
                ssize_t got;

                if (now_us >= end_us ||
                                poll(&one, 1, (int) ((end_us - now_us) / USEC_PER_MSEC) + 1) <= 0)
                        break;
                got = recv(fd, head + n, size - n - 1, MSG_DONTWAIT);
                if (got <= 0)
                        break;
                n += (size_t) got;
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

static void answer(const struct http_watch *watch, int fd, uint64_t held_us) {
        char head[HEAD_BYTES_MAX], body[256], text[640];
        int size, length;

        if (read_head(fd, head, sizeof(head)) == 0)
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
        (void) send(fd, text, (size_t) size, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void) shutdown(fd, SHUT_WR);
        while (recv(fd, head, sizeof(head), MSG_DONTWAIT) > 0)
                ; /* unread bytes would take the answer away from the client */
}

static void take_in(const struct http_watch *watch, int listen_fd) {
        uint64_t held_us;
        int fd;

        while ((held_us = held_up_us(watch)) > 0) {
                fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0)
                        return;
                answer(watch, fd, held_us);
                (void) close(fd);
        }
}

static void *watch_main(void *userdata) {
        struct http_watch *watch = userdata;
        struct pollfd all[HTTP_WATCH_MAX + 1] = { { .fd = watch->stop_fd, .events = POLLIN } };

        for (size_t i = 0; i < watch->n_fds; i++)
                all[i + 1] = (struct pollfd){ .fd = watch->fds[i], .events = POLLIN };
        for (;;) {
                bool late = held_up_us(watch) > 0;
                int n = poll(all, late ? watch->n_fds + 1 : 1, LOOK_MS);

                if (n > 0 && all[0].revents)
                        return NULL;
                for (size_t i = 0; n > 0 && late && i < watch->n_fds; i++)
                        if (all[i + 1].revents)
                                take_in(watch, watch->fds[i]);
        }
}

int http_watch_new(const int *fds, size_t n_fds, const struct api_context *api,
                struct http_watch **ret_watch) {
        _cleanup_(http_watch_freep) struct http_watch *watch = calloc(1, sizeof(*watch));
        int r;

        if (!watch)
                return -ENOMEM;
        watch->api = api;
        watch->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (watch->stop_fd < 0)
                return -errno;
        for (size_t i = 0; i < n_fds && i < HTTP_WATCH_MAX; i++) {
                watch->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
                if (watch->fds[i] < 0)
                        return -errno;
                watch->n_fds++;
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
        for (size_t i = 0; i < watch->n_fds; i++)
                (void) close(watch->fds[i]);
        if (watch->stop_fd >= 0)
                (void) close(watch->stop_fd);
        free(watch);
        return NULL;
}
