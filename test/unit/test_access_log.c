/* The reader on real files and sockets: whatever is done to a log, each line is counted once. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "folder.h"
#include "source/access_log.h"

#define POSITIONS_MAX 64
#define WAIT_US       (120 * USEC_PER_SEC)

/* What a store would keep. */
struct store {
        pthread_mutex_t lock;
        uint64_t requests, bytes_out;
        struct {
                struct access_position position;
                char path[256], head[ACCESS_HEAD_MAX];
        } positions[POSITIONS_MAX];
        size_t n;
        unsigned int failures; /* commits to refuse from now on */
        uint64_t refused;
        bool dead;
};

struct fixture {
        struct folder *folder;
        struct store store;
        struct access_log *log;
        char path[64];
        uint64_t next; /* number of the next line */
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));
        void *folder;

        assert_int_equal(folder_setup(&folder), 0);
        f->folder = folder;
        (void) pthread_mutex_init(&f->store.lock, NULL);
        (void) snprintf(f->path, sizeof(f->path), "%s/access.log", f->folder->path);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;
        void *folder = f->folder;

        access_log_free(f->log);
        (void) folder_teardown(&folder);
        free(f);
        return 0;
}

static int count_host(const struct rollup_host *host, void *userdata) {
        struct store *store = userdata;

        for (const struct rollup *day = host->days; day; day = day->next) {
                store->requests += day->requests;
                store->bytes_out += day->bytes_out;
        }
        return 0;
}

static void keep_position(struct store *store, const struct access_position *position) {
        size_t i;

        for (i = 0; i < store->n; i++)
                if (store->positions[i].position.id == position->id)
                        break;
        assert_true(i < POSITIONS_MAX);
        store->n += i == store->n;
        store->positions[i].position = *position;
        (void) snprintf(store->positions[i].path, sizeof(store->positions[i].path), "%s",
                        position->path);
        memcpy(store->positions[i].head, position->head, position->head_size);
        store->positions[i].position.path = store->positions[i].path;
        store->positions[i].position.head = store->positions[i].head;
}

static int on_commit(const struct rollup_set *set, const struct access_position *positions,
                size_t n, void *userdata) {
        struct store *store = userdata;
        int r = 0;

        (void) pthread_mutex_lock(&store->lock);
        if (store->dead || store->failures > 0) {
                store->failures -= store->failures > 0;
                store->refused++;
                r = -ENOSPC;
        } else {
                (void) rollup_set_each(set, count_host, store);
                for (size_t i = 0; i < n; i++)
                        keep_position(store, &positions[i]);
        }
        (void) pthread_mutex_unlock(&store->lock);
        return r;
}

static void start_with(struct fixture *f, bool history, const char *listen) {
        const char *const paths[] = { f->path };
        const char *const addresses[] = { listen };

        assert_int_equal(access_log_new(&(struct access_log_config){ .paths = paths,
                                                        .n_paths = 1,
                                                        .listen = addresses,
                                                        .n_listen = listen ? 1 : 0,
                                                        .history = history },
                                         &(struct access_log_hooks){ .commit = on_commit,
                                                         .userdata = &f->store },
                                         &f->log, NULL),
                        0);
        for (size_t i = 0; i < f->store.n; i++)
                if (!f->store.positions[i].position.forget)
                        assert_int_equal(
                                        access_log_restore(f->log, &f->store.positions[i].position),
                                        0);
        assert_int_equal(access_log_start(f->log), 0);
}

static void start(struct fixture *f) {
        start_with(f, true, NULL);
}

static void stop(struct fixture *f) {
        f->log = access_log_free(f->log);
}

/* As a kill: what is not committed by now never will be. */
static void kill_reader(struct fixture *f) {
        (void) pthread_mutex_lock(&f->store.lock);
        f->store.dead = true;
        (void) pthread_mutex_unlock(&f->store.lock);
        stop(f);
        f->store.dead = false;
}

static uint64_t requests(struct fixture *f) {
        uint64_t n;

        (void) pthread_mutex_lock(&f->store.lock);
        n = f->store.requests;
        (void) pthread_mutex_unlock(&f->store.lock);
        return n;
}

static struct access_stats stats_of(struct fixture *f) {
        struct access_stats stats;

        access_log_get_stats(f->log, &stats);
        return stats;
}

/* Until so many are counted; then, that it stays at that. */
static void expect(struct fixture *f, uint64_t n) {
        uint64_t begin_us = clock_monotonic_us();

        while (requests(f) < n && clock_monotonic_us() - begin_us < WAIT_US)
                (void) usleep(10000);
        (void) usleep(450000);
        assert_int_equal(requests(f), n);
}

static void expect_verdict(struct fixture *f, enum access_verdict verdict, uint64_t n) {
        uint64_t begin_us = clock_monotonic_us();

        while (stats_of(f).lines[verdict] < n && clock_monotonic_us() - begin_us < WAIT_US)
                (void) usleep(10000);
        assert_int_equal(stats_of(f).lines[verdict], n);
}

static size_t line(struct fixture *f, char *text, size_t size) {
        uint64_t now_us = clock_realtime_us();

        f->next++;
        return (size_t) snprintf(text, size,
                        "{\"level\":\"info\",\"ts\":%ju.%06ju,\"logger\":\"http.log.access\",\"msg\":\"handled request\","
                        "\"request\":{\"remote_ip\":\"127.0.0.1\",\"remote_port\":\"%ju\",\"host\":\"a.test\","
                        "\"headers\":{\"User-Agent\":[\"something long enough to fill the head of a file, which is there in"
                        " each real one, too\"]}},\"duration\":0.001,\"size\":1,\"status\":200}\n",
                        (uintmax_t) (now_us / USEC_PER_SEC), (uintmax_t) (now_us % USEC_PER_SEC),
                        (uintmax_t) f->next);
}

static void append_text(const char *path, const char *text, size_t size) {
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, size), size);
        (void) close(fd);
}

static void append_to(struct fixture *f, const char *path, unsigned int n) {
        _cleanup_(buf_done) struct buf all = BUF_INIT(256U << 20);
        char text[1024];

        while (n-- > 0)
                assert_int_equal(buf_append(&all, text, line(f, text, sizeof(text))), 0);
        append_text(path, all.data, all.size);
}

static void append(struct fixture *f, unsigned int n) {
        append_to(f, f->path, n);
}

static const char *beside(struct fixture *f, const char *name) {
        return folder_path(f->folder, name);
}

static char *content(const char *path, size_t *ret_size) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        char *data;

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        data = malloc((size_t) st.st_size + 1);
        assert_non_null(data);
        assert_int_equal(read(fd, data, (size_t) st.st_size), st.st_size);
        (void) close(fd);
        *ret_size = (size_t) st.st_size;
        return data;
}

static void copy_file(const char *from, const char *to) {
        size_t size;
        char *data = content(from, &size);

        append_text(to, data, size);
        free(data);
}

/* As rotation does: the compressed one appears, then the other goes. */
static void compress_file(const char *from, const char *to) {
        size_t size;
        char *data = content(from, &size);
        gzFile gzip = gzopen(to, "wbe");

        assert_non_null(gzip);
        assert_int_equal(gzwrite(gzip, data, (unsigned int) size), size);
        assert_int_equal(gzclose(gzip), Z_OK);
        assert_int_equal(unlink(from), 0);
        free(data);
}

/* Files that are old are read to their end at once. */
static void make_old(const char *path) {
        const struct timeval times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

        assert_int_equal(utimes(path, times), 0);
}

static void lines_are_counted_as_they_come_and_whole_ones_only(void **state) {
        struct fixture *f = *state;
        char text[1024];
        size_t n;

        start(f); /* the file is not there yet */
        append(f, 3);
        expect(f, 3);
        n = line(f, text, sizeof(text));
        append_text(f->path, text, n / 2);
        expect(f, 3);
        append_text(f->path, text + n / 2, n - n / 2);
        append(f, 1);
        expect(f, 5);
        assert_int_equal(f->store.bytes_out, 5);
}

static void a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_start(void **state) {
        struct fixture *f = *state;

        append(f, 2);
        start(f);
        expect(f, 2);
        for (unsigned int round = 0; round < 3; round++) {
                append(f, 2);
                assert_int_equal(rename(f->path, beside(f, "access-2026-01-01T00-00-00.000.log")),
                                0);
                append_to(f, beside(f, "access-2026-01-01T00-00-00.000.log"),
                                1); /* the last words */
                append(f, 2);
                expect(f, 2 + (round + 1) * 5);
                assert_int_equal(unlink(beside(f, "access-2026-01-01T00-00-00.000.log")), 0);
        }
}

static void a_file_truncated_after_a_copy_loses_nothing(void **state) {
        struct fixture *f = *state;

        append(f, 3);
        start(f);
        expect(f, 3);
        kill_reader(f);
        append(f, 4); /* not read when the copy is made */
        copy_file(f->path, beside(f, "access.log.1"));
        make_old(beside(f, "access.log.1"));
        assert_int_equal(truncate(f->path, 0), 0);
        append(f, 20); /* longer than before: only the beginning tells */
        start(f);
        expect(f, 27);
        copy_file(f->path, beside(f, "access.log.2"));
        assert_int_equal(truncate(f->path, 0), 0);
        append(f, 1);
        expect(f, 28);
        assert_int_equal(stats_of(f).truncations, 1);
}

static void a_file_compressed_while_nobody_looked_is_read_on(void **state) {
        struct fixture *f = *state;

        append(f, 3);
        start(f);
        expect(f, 3);
        stop(f);
        append(f, 5000);
        assert_int_equal(rename(f->path, beside(f, "access.log.1")), 0);
        compress_file(beside(f, "access.log.1"), beside(f, "access.log.1.gz"));
        append(f, 2);
        start(f);
        expect(f, 5005);
        assert_int_equal(rename(beside(f, "access.log.1.gz"), beside(f, "access.log.2.gz")), 0);
        expect(f, 5005);
        stop(f);
        start(f);
        expect(f, 5005);
}

static void a_file_compressed_before_our_eyes_is_known_again(void **state) {
        struct fixture *f = *state;
        uint64_t bytes;

        append(f, 3000);
        start(f);
        expect(f, 3000);
        assert_int_equal(rename(f->path, beside(f, "access.log.1")), 0);
        make_old(beside(f, "access.log.1"));
        append(f, 1);
        expect(f, 3001);
        bytes = stats_of(f).bytes;
        compress_file(beside(f, "access.log.1"), beside(f, "access.log.1.gz"));
        expect(f, 3001);
        assert_int_equal(stats_of(f).bytes, bytes); /* not even looked through */
}

static void history_beside_the_file_is_read_once(void **state) {
        struct fixture *f = *state;

        append_to(f, beside(f, "old"), 1000);
        compress_file(beside(f, "old"), beside(f, "access.log.2.gz"));
        append_to(f, beside(f, "access.log.1"), 100);
        make_old(beside(f, "access.log.1"));
        append_to(f, beside(f, "other.log.1"), 7);
        append_to(f, beside(f, "access.logger"), 7);
        append_to(f, beside(f, "access-other.log"), 7);
        append(f, 10);
        start(f);
        expect(f, 1110);
        kill_reader(f);
        start(f);
        expect(f, 1110);
}

static void history_is_left_out_where_not_wanted_but_rotation_is_not(void **state) {
        struct fixture *f = *state;

        append_to(f, beside(f, "old"), 100);
        compress_file(beside(f, "old"), beside(f, "access.log.2.gz"));
        append_to(f, beside(f, "access.log.1"), 100);
        append(f, 10);
        start_with(f, false, NULL);
        expect(f, 10);
        stop(f);
        assert_int_equal(rename(beside(f, "access.log.1"), beside(f, "access.log.3")), 0);
        append(f, 5);
        assert_int_equal(rename(f->path, beside(f, "access.log.1")), 0);
        append(f, 1);
        start_with(f, false, NULL);
        expect(f, 16);
}

static void whatever_was_not_committed_is_read_again(void **state) {
        struct fixture *f = *state;

        for (unsigned int round = 1; round <= 20; round++) {
                append(f, 997);
                start(f);
                (void) usleep(round * 23000);
                kill_reader(f);
        }
        append_to(f, f->path, 1);
        start(f);
        expect(f, 20 * 997 + 1);
}

static void a_store_that_refuses_is_given_the_same_again(void **state) {
        struct fixture *f = *state;

        f->store.failures = 2;
        append(f, 50);
        start(f);
        expect(f, 50);
        assert_int_equal(f->store.refused, 2);
        assert_int_equal(stats_of(f).commit_errors, 2);
}

static void bad_lines_are_counted_and_skipped_and_the_position_kept(void **state) {
        static const char bad[] =
                        "{\"half\n\n\r\n[]\n{\"ts\":true,\"logger\":\"http.log.access\"}\nnonsense\n";
        struct fixture *f = *state;
        char *large = malloc(10U << 20);

        assert_non_null(large);
        memset(large, 'x', 10U << 20);
        start(f);
        append(f, 2);
        append_text(f->path, bad, strlen(bad));
        append(f, 1);
        expect(f, 3);
        append_text(f->path, large, 10U << 20);
        expect_verdict(f, ACCESS_TOO_LONG, 1);
        expect(f, 3);
        kill_reader(f); /* within that line, as is committed */
        append_text(f->path, large, 10U << 20);
        append_text(f->path, "\n", 1);
        append(f, 3);
        start(f);
        expect(f, 6);
        assert_int_equal(stats_of(f).lines[ACCESS_NOT_JSON], 0);
        assert_int_equal(stats_of(f).lines[ACCESS_TOO_LONG], 0);
        stop(f);
        start(f);
        append_text(f->path, bad, strlen(bad));
        append(f, 1);
        expect(f, 7);
        assert_int_equal(stats_of(f).lines[ACCESS_NOT_JSON], 2);
        assert_int_equal(stats_of(f).lines[ACCESS_OTHER_LOG], 1);
        assert_int_equal(stats_of(f).lines[ACCESS_BAD_TIME], 1);
        free(large);
}

static void a_line_as_long_as_may_be_is_taken_and_a_longer_one_is_not(void **state) {
        struct fixture *f = *state;
        char *large = malloc(ACCESS_LINE_MAX + 2);
        size_t n;

        assert_non_null(large);
        for (unsigned int more = 0; more < 2; more++) {
                n = line(f, large, 1024) - 1;
                memset(large + n, ' ', ACCESS_LINE_MAX + 1 - n);
                large[ACCESS_LINE_MAX + more] = '\n';
                append_text(f->path, large, ACCESS_LINE_MAX + more + 1);
        }
        append(f, 1);
        start(f);
        expect(f, 2);
        assert_int_equal(stats_of(f).lines[ACCESS_TOO_LONG], 1);
        free(large);
}

static void a_hole_before_a_line_is_nothing(void **state) {
        struct fixture *f = *state;

        start(f);
        append(f, 2);
        expect(f, 2);
        assert_int_equal(truncate(f->path, 0), 0);
        assert_int_equal(truncate(f->path, 3000000), 0);
        append(f, 3);
        expect(f, 5);
        assert_int_equal(stats_of(f).lines[ACCESS_NOT_JSON], 0);
        assert_int_equal(stats_of(f).lines[ACCESS_TOO_LONG], 0);
}

static void a_broken_archive_gives_what_it_has_and_the_rest_when_it_is_whole(void **state) {
        struct fixture *f = *state;
        size_t size;
        char *data;

        append_to(f, beside(f, "old"), 20000);
        compress_file(beside(f, "old"), beside(f, "whole"));
        data = content(beside(f, "whole"), &size);
        append_text(beside(f, "access.log.1.gz"), data, size / 2);
        start(f);
        while (stats_of(f).unreadable_files == 0)
                (void) usleep(10000);
        (void) usleep(500000);
        assert_true(requests(f) > 1000 && requests(f) < 20000);
        append_text(beside(f, "access.log.1.gz"), data + size / 2, size - size / 2);
        append(f, 1); /* has the folder looked at */
        expect(f, 20001);
        free(data);
}

static void a_file_written_over_while_nobody_looked_is_another(void **state) {
        struct fixture *f = *state;

        append(f, 5);
        start(f);
        expect(f, 5);
        stop(f);
        assert_int_equal(truncate(f->path, 0), 0); /* the same inode, as one used again */
        append(f, 9);
        start(f);
        expect(f, 14);
}

static int connect_to(const char *name) {
        struct sockaddr_in in = { .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        int fd;

        if (strncmp(name, "unix:", 5) == 0) {
                (void) snprintf(un.sun_path, sizeof(un.sun_path), "%s", name + 5);
                fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                assert_int_equal(connect(fd, (struct sockaddr *) &un, sizeof(un)), 0);
                return fd;
        }
        in.sin_port = htons((uint16_t) strtoul(strrchr(name, ':') + 1, NULL, 10));
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *) &in, sizeof(in)), 0);
        return fd;
}

static void send_lines(struct fixture *f, int fd, unsigned int n) {
        char text[1024];
        size_t size;

        while (n-- > 0) {
                size = line(f, text, sizeof(text));
                assert_int_equal(send(fd, text, size / 3, MSG_NOSIGNAL), size / 3);
                assert_int_equal(send(fd, text + size / 3, size - size / 3, MSG_NOSIGNAL),
                                size - size / 3);
        }
}

static void connections_are_listened_to(void **state) {
        struct fixture *f = *state;
        char address[80], text[1024];
        size_t n;
        int a, b;

        (void) snprintf(address, sizeof(address), "unix:%s/s", f->folder->path);
        start_with(f, true, address);
        a = connect_to(access_log_address(f->log, 0));
        b = connect_to(access_log_address(f->log, 0));
        send_lines(f, a, 100);
        send_lines(f, b, 100);
        n = line(f, text, sizeof(text)) - 1; /* the last one without a newline */
        assert_int_equal(send(a, text, n, 0), n);
        assert_int_equal(send(b, text, n / 2, 0), n / 2);
        (void) close(a);
        (void) close(b);
        expect(f, 201);
        expect_verdict(f, ACCESS_NOT_JSON, 1);
        append(f, 3);
        expect(f, 204);
        assert_int_equal(f->store.positions[0].position.lines, 202);
        assert_string_equal(f->store.positions[0].path, address);
}

static int heir_of(struct fixture *f, const char *const *addresses, size_t n,
                struct access_log **ret_heir) {
        const char *const paths[] = { f->path };

        return access_log_new(&(struct access_log_config){ .paths = paths,
                                              .n_paths = 1,
                                              .listen = addresses,
                                              .n_listen = n,
                                              .history = true,
                                              .before = f->log },
                        &(struct access_log_hooks){ .commit = on_commit, .userdata = &f->store },
                        ret_heir, NULL);
}

static void an_heir_goes_on_with_the_socket(void **state) {
        struct fixture *f = *state;
        struct access_log *heir = NULL;
        char address[80], other[80];
        const char *const both[] = { address, other }, *const twice[] = { address, address };
        struct stat before, after;
        int first, waiting;

        (void) snprintf(address, sizeof(address), "unix:%s/s", f->folder->path);
        (void) snprintf(other, sizeof(other), "unix:%s/t", f->folder->path);
        start_with(f, true, address);
        assert_int_equal(stat(folder_path(f->folder, "s"), &before), 0);

        /* One that never begins leaves no trace; an address twice is refused. */
        assert_int_equal(heir_of(f, both, 2, &heir), 0);
        access_log_free(heir);
        assert_int_equal(access(folder_path(f->folder, "t"), F_OK), -1);
        assert_int_equal(heir_of(f, twice, 2, &heir), -EADDRINUSE);
        first = connect_to(address);
        send_lines(f, first, 5);
        expect(f, 5);

        /* One that does: what waits meanwhile is taken by it. */
        assert_int_equal(heir_of(f, both, 2, &heir), 0);
        access_log_bequeath(f->log);
        access_log_free(f->log);
        f->log = heir;
        waiting = connect_to(address);
        send_lines(f, waiting, 7);
        for (size_t i = 0; i < f->store.n; i++)
                assert_int_equal(access_log_restore(f->log, &f->store.positions[i].position), 0);
        assert_int_equal(access_log_start(f->log), 0);
        expect(f, 12);
        assert_int_equal(stat(folder_path(f->folder, "s"), &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        stop(f);
        assert_int_equal(access(folder_path(f->folder, "s"), F_OK), -1);
        assert_int_equal(access(folder_path(f->folder, "t"), F_OK), -1);
        (void) close(first);
        (void) close(waiting);
}

static void a_connection_that_sends_rubbish_takes_little(void **state) {
        struct fixture *f = *state;
        char *large = malloc(1U << 20);
        int fds[ACCESS_LOG_CONNECTIONS_MAX], one_more;
        char byte;

        assert_non_null(large);
        memset(large, 'x', 1U << 20);
        start_with(f, true, "127.0.0.1:0");
        for (size_t i = 0; i < ACCESS_LOG_CONNECTIONS_MAX; i++)
                fds[i] = connect_to(access_log_address(f->log, 0));
        one_more = connect_to(access_log_address(f->log, 0));
        assert_int_equal(recv(one_more, &byte, 1, 0), 0);
        (void) close(one_more);
        for (unsigned int i = 0; i < 10; i++)
                assert_int_equal(send(fds[0], large, 1U << 20, 0), 1U << 20);
        assert_int_equal(send(fds[0], "\n", 1, 0), 1);
        send_lines(f, fds[0], 2);
        send_lines(f, fds[ACCESS_LOG_CONNECTIONS_MAX - 1], 1);
        expect(f, 3);
        assert_int_equal(stats_of(f).lines[ACCESS_TOO_LONG], 1);
        assert_int_equal(stats_of(f).connections_refused, 1);
        assert_int_equal(stats_of(f).connections, ACCESS_LOG_CONNECTIONS_MAX);
        for (size_t i = 0; i < ACCESS_LOG_CONNECTIONS_MAX; i++)
                (void) close(fds[i]);
        free(large);
}

static void what_was_sent_before_the_end_is_committed(void **state) {
        struct fixture *f = *state;
        int fd;

        start_with(f, true, "127.0.0.1:0");
        fd = connect_to(access_log_address(f->log, 0));
        send_lines(f, fd, 1);
        expect(f, 1);
        send_lines(f, fd, 50);
        stop(f);
        assert_int_equal(requests(f), 51);
        (void) close(fd);
}

static void wrong_settings_are_refused(void **state) {
        static const struct {
                const char *path, *listen;
                int error;
        } rows[] = { { "access.log", NULL, -EINVAL }, { "/var/log/", NULL, -EINVAL },
                { NULL, "0.0.0.0:0", -EPERM }, { NULL, "nowhere", -EINVAL } };
        const struct access_log_hooks hooks = { .commit = on_commit };
        struct access_log *log;
        const char *address;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                const struct access_log_config config = { .paths = &rows[i].path,
                        .n_paths = rows[i].path ? 1 : 0,
                        .listen = &rows[i].listen,
                        .n_listen = rows[i].listen ? 1 : 0 };

                assert_int_equal(access_log_new(&config, &hooks, &log, &address), rows[i].error);
                assert_string_equal(address, rows[i].path ? rows[i].path : rows[i].listen);
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(lines_are_counted_as_they_come_and_whole_ones_only),
                TEST(a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_start),
                TEST(a_file_truncated_after_a_copy_loses_nothing),
                TEST(a_file_compressed_while_nobody_looked_is_read_on),
                TEST(a_file_compressed_before_our_eyes_is_known_again),
                TEST(history_beside_the_file_is_read_once),
                TEST(history_is_left_out_where_not_wanted_but_rotation_is_not),
                TEST(whatever_was_not_committed_is_read_again),
                TEST(a_store_that_refuses_is_given_the_same_again),
                TEST(bad_lines_are_counted_and_skipped_and_the_position_kept),
                TEST(a_line_as_long_as_may_be_is_taken_and_a_longer_one_is_not),
                TEST(a_hole_before_a_line_is_nothing),
                TEST(a_broken_archive_gives_what_it_has_and_the_rest_when_it_is_whole),
                TEST(a_file_written_over_while_nobody_looked_is_another),
                TEST(connections_are_listened_to),
                TEST(an_heir_goes_on_with_the_socket),
                TEST(a_connection_that_sends_rubbish_takes_little),
                TEST(what_was_sent_before_the_end_is_committed),
                TEST(wrong_settings_are_refused),
        };

        return RUN_TESTS(tests);
}
