/* A whole request against a whole daemon: its first byte says how it is framed. With 'r' the rest
 * is sent as it is; else the first line is "METHOD TARGET" and the rest the body, so that what lies
 * behind the framing is reached. Whatever comes, there is an answer of ours or a closed connection,
 * what calls itself JSON is JSON, and the daemon goes on. */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/json.h"
#include "base/text.h"
#include "daemon/manager.h"

#define INPUT_MAX  65536
#define ANSWER_MAX (1 << 20)
#define QUIET_MS   20 /* a stream has no end */

static char folder[] = "/tmp/vwfXXXXXX";
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int ready[2];

static void set(struct config *config, const char *key, const char *value) {
        struct diag diag = {};
        int r = config_set(config, key, value, &diag);

        assert(r >= 0);
}

static int never(struct config *ret_config, struct config_faults *faults, void *userdata) {
        return -EINVAL;
}

static void *serve(void *userdata) {
        static const char *const off[] = { "sources.libvirt.enabled", "sources.docker.enabled",
                "sources.podman.enabled", "sources.containerd.enabled", "sources.machined.enabled",
                "sources.oomd.enabled", "sources.units.enabled", "sources.kernel.enabled" };
        struct config config = {};
        struct manager *manager;
        char listen[sizeof(address.sun_path) + 8];
        int r;

        log_set_level(LOG_LEVEL_ERROR);
        r = config_init(&config);
        assert(r >= 0);
        for (size_t i = 0; i < ARRAY_SIZE(off); i++)
                set(&config, off[i], "false");
        (void) snprintf(listen, sizeof(listen), "unix:%s", address.sun_path);
        set(&config, "http.listen", listen);
        set(&config, "store.path", folder);
        set(&config, "dbus.bus", "none");
        set(&config, "probes.enabled", "false");
        r = manager_new(&config, &(struct manager_reload){ .load = never }, &manager);
        assert(r >= 0);
        r = (int) write(ready[1], "s", 1);
        assert(r == 1);
        (void) manager_run(manager);
        (void) manager_free(manager);
        config_done(&config);
        return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static void forget_folder(void) {
        (void) nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void start(void) {
        pthread_t thread;
        char got;
        int r;

        r = mkdtemp(folder) ? pipe2(ready, O_CLOEXEC) : -1;
        assert(r >= 0);
        (void) atexit(forget_folder);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
        r = pthread_create(&thread, NULL, serve, NULL);
        assert(r == 0);
        do /* libFuzzer has a timer */
                r = (int) read(ready[0], &got, 1);
        while (r < 0 && errno == EINTR);
        assert(r == 1);
        (void) pthread_detach(thread);
}

static int open_connection(void) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        assert(fd >= 0);
        r = connect(fd, (const struct sockaddr *) &address, sizeof(address));
        assert(r >= 0);
        return fd;
}

/* Its first line is ours, and a body that is here whole is what it is said to be. */
static void check_answer(const char *answer, size_t size) {
        const char *body = strstr(answer, "\r\n\r\n"), *length;
        uint64_t told = 0;
        size_t offset = 0, body_size;
        int r;

        assert(size < 9 || memcmp(answer, "HTTP/1.1 ", 9) == 0);
        length = body ? strstr(answer, "\r\nContent-Length: ") : NULL;
        if (!length || length > body || strstr(answer, "\r\nContent-Encoding: ") ||
                        !strstr(answer, "\r\nContent-Type: application/json\r\n"))
                return;
        body_size = size - (size_t) (body + 4 - answer);
        length += strlen("\r\nContent-Length: ");
        r = text_take_u64(&length, &told);
        assert(r == 0);
        if (body_size == 0 || body_size != told)
                return;
        r = json_validate(body + 4, body_size, JSON_DEPTH_MAX, &offset);
        assert(r == 0);
}

/* Until it ends or falls silent. */
static void take_answer(int fd) {
        struct pollfd one = { .fd = fd, .events = POLLIN };
        static char answer[ANSWER_MAX + 1];
        size_t size = 0;
        ssize_t n;

        while (size < ANSWER_MAX && poll(&one, 1, size > 0 ? QUIET_MS : 1000) == 1) {
                n = read(fd, answer + size, ANSWER_MAX - size);
                if (n <= 0)
                        break;
                size += (size_t) n;
        }
        answer[size] = '\0';
        check_answer(answer, size);
}

static void send_all(int fd, const void *data, size_t size) {
        const char *from = data;
        ssize_t n;

        while (size > 0) {
                n = send(fd, from, size, MSG_NOSIGNAL);
                if (n < 0)
                        return; /* it has been refused meanwhile */
                from += n;
                size -= (size_t) n;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        const uint8_t *line;
        char head[160];
        int fd, n;

        if (size == 0 || size > INPUT_MAX)
                return 0;
        (void) pthread_once(&once, start);
        fd = open_connection();
        if (data[0] == 'r') {
                send_all(fd, data + 1, size - 1);
        } else {
                line = memchr(data, '\n', size);
                line = line ? line : data + size - 1;
                n = snprintf(head, sizeof(head),
                                " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                                (size_t) (data + size - line - 1));
                send_all(fd, data, (size_t) (line - data));
                send_all(fd, head, (size_t) n);
                send_all(fd, line + 1, (size_t) (data + size - line - 1));
        }
        (void) shutdown(fd, SHUT_WR);
        take_answer(fd);
        (void) close(fd);
        return 0;
}
