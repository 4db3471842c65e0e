/* The kernel's log as its clients see it: real sockets on both sides; a pair of them stands for the
 * log, which gives a record a read as well. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/listen.h"
#include "folder.h"
#include "kmsg/kmsg_server.h"
#include "model/kmsg_wire.h"

#define LOGS_MAX 32
#define KILL     "oom-kill:constraint=CONSTRAINT_NONE,global_oom,task_memcg=/a,task=x,pid=7,uid=0"

struct world {
        struct folder *folder;
        sd_event *event;
        struct kmsg_server *server;
        char name[LISTEN_NAME_MAX];
        int listener, error;
        int logs[LOGS_MAX]; /* the kernel's ends */
        size_t n_logs;
        const char *const *old; /* records that are there when the log is opened */
};

static void log_write(int log, const char *record) {
        assert_int_equal(send(log, record, strlen(record), MSG_DONTWAIT), strlen(record));
}

static int open_log(void *userdata) {
        struct world *world = userdata;
        int pair[2];

        if (world->error < 0)
                return world->error;
        assert_true(world->n_logs < LOGS_MAX);
        assert_int_equal(
                        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                        0);
        for (size_t i = 0; world->old && world->old[i]; i++)
                log_write(pair[0], world->old[i]);
        world->logs[world->n_logs++] = pair[0];
        return pair[1];
}

static int setup(void **state) {
        struct world *world = calloc(1, sizeof(*world));
        char address[300];
        void *folder;

        assert_non_null(world);
        assert_int_equal(folder_setup(&folder), 0);
        world->folder = folder;
        (void) snprintf(address, sizeof(address), "unix:%s", folder_path(folder, "s"));
        world->listener = listen_open(address,
                        &(struct listen_options){ .mode = 0600, .packets = true }, world->name);
        assert_true(world->listener >= 0);
        assert_true(sd_event_new(&world->event) >= 0);
        assert_int_equal(kmsg_server_new(&(struct kmsg_server_config){ .event = world->event,
                                                         .fd = world->listener,
                                                         .open_log = open_log,
                                                         .userdata = world },
                                         &world->server),
                        0);
        *state = world;
        return 0;
}

static int teardown(void **state) {
        struct world *world = *state;
        void *folder = world->folder;

        kmsg_server_free(world->server);
        sd_event_unref(world->event);
        (void) listen_close(world->listener, world->name);
        for (size_t i = 0; i < world->n_logs; i++)
                (void) fd_close(world->logs[i]);
        free(world);
        return folder_teardown(&folder);
}

static void turn(struct world *world) {
        while (sd_event_run(world->event, 0) > 0)
                ;
}

static int connect_to(struct world *world) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_true(fd >= 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", world->name + 5);
        assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        return fd;
}

static int ask(struct world *world, const char *text) {
        int fd = connect_to(world);

        log_write(fd, text);
        turn(world);
        return fd;
}

/* The next packet; "": none is there; "(over)": none will be. */
static const char *hear(struct world *world, int fd) {
        static char packet[KMSG_WIRE_MAX + 1];
        ssize_t n;

        turn(world);
        n = recv(fd, packet, sizeof(packet) - 1, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
                return "(over)";
        assert_true(n > 0 || errno == EAGAIN);
        packet[n > 0 ? n : 0] = '\0';
        return packet;
}

static void from_the_end_what_there_was_is_no_news(void **state) {
        static const char *const old[] = { "6,4,1,-;" KILL, "6,5,2,-;" KILL, NULL };
        struct world *world = *state;
        char text[256];
        int fd;

        world->old = old;
        fd = ask(world, "virtwatch-kmsg 1 from end");
        assert_string_equal(hear(world, fd), "next 6");
        assert_string_equal(hear(world, fd), "");
        log_write(world->logs[0], "6,6,3,-;" KILL "\n SUBSYSTEM=x\n");
        assert_string_equal(hear(world, fd), "6,6,3,-;" KILL);
        log_write(world->logs[0], "6,7,4,-;usb 1-1: new device\n");
        log_write(world->logs[0], "14,8,5,-;" KILL "\n"); /* a process wrote it */
        assert_string_equal(hear(world, fd), "");
        (void) fd_close(fd);

        /* What is written meanwhile is, even before the end has been reached. */
        fd = connect_to(world);
        (void) snprintf(text, sizeof(text), "6,9,%ju,-;" KILL,
                        (uintmax_t) clock_monotonic_us() + USEC_PER_SEC);
        world->old = (const char *const[]){ old[0], old[1], text, NULL };
        log_write(fd, "virtwatch-kmsg 1 from end");
        assert_string_equal(hear(world, fd), "lost 3");
        assert_string_equal(hear(world, fd), text);
        assert_string_equal(hear(world, fd), "next 10");
        (void) fd_close(fd);
}

static void from_where_it_was_nothing_is_missed(void **state) {
        static const char *const old[] = { "6,4,1,-;" KILL, "6,5,2,-;" KILL, "6,6,3,-;x",
                "6,7,4,-;" KILL, NULL };
        struct world *world = *state;
        int fd;

        world->old = old;
        fd = ask(world, "virtwatch-kmsg 1 from 5");
        assert_string_equal(hear(world, fd), old[1]);
        assert_string_equal(hear(world, fd), old[3]);
        assert_string_equal(hear(world, fd), "next 8");
        assert_string_equal(hear(world, fd), "");
        (void) fd_close(fd);
}

static void what_was_overwritten_is_counted_but_not_what_it_had(void **state) {
        static const char *const old[] = { "6,10,1,-;" KILL, "6,15,2,-;x", NULL };
        struct world *world = *state;
        int fd;

        world->old = old;
        fd = ask(world, "virtwatch-kmsg 1 from 5");
        assert_string_equal(hear(world, fd), "lost 4");
        assert_string_equal(hear(world, fd), old[0]);
        assert_string_equal(hear(world, fd), "lost 4");
        assert_string_equal(hear(world, fd), "next 16");
        (void) fd_close(fd);
        fd = ask(world, "virtwatch-kmsg 1 from 10");
        assert_string_equal(hear(world, fd), old[0]);
        (void) fd_close(fd);
}

static void a_place_that_the_log_never_had_is_put_right(void **state) {
        static const char *const old[] = { "6,1,1,-;" KILL, "6,2,2,-;x", NULL };
        struct world *world = *state;
        int fd;

        world->old = old;
        fd = ask(world, "virtwatch-kmsg 1 from 4711");
        assert_string_equal(hear(world, fd), "next 3");
        log_write(world->logs[0], "6,3,3,-;" KILL);
        assert_string_equal(hear(world, fd), "6,3,3,-;" KILL);
        (void) fd_close(fd);
}

static void where_it_is_is_said_now_and_again(void **state) {
        struct world *world = *state;
        char record[64];
        int fd;

        world->old = (const char *const[]){ "6,0,1,-;x", NULL };
        fd = ask(world, "virtwatch-kmsg 1 from 0");
        assert_string_equal(hear(world, fd), "next 1");
        for (unsigned int i = 1; i <= KMSG_SERVER_NEXT_EVERY; i++) {
                assert_string_equal(hear(world, fd), "");
                (void) snprintf(record, sizeof(record), "6,%u,1,-;x", i);
                log_write(world->logs[0], record);
        }
        assert_string_equal(hear(world, fd), "next 257");
        (void) fd_close(fd);
}

/* The log of who does not read is left alone, where the kernel overwrites it; others go on. */
static void who_never_reads_costs_only_itself(void **state) {
        struct world *world = *state;
        unsigned int n_taken = 0, n_heard = 0;
        char record[256];
        int idle, other;

        world->old = (const char *const[]){ "6,0,1,-;x", NULL };
        idle = ask(world, "virtwatch-kmsg 1 from 0");
        other = ask(world, "virtwatch-kmsg 1 from 0");
        assert_string_equal(hear(world, other), "next 1");
        for (unsigned int i = 1; i <= 3000; i++) {
                (void) snprintf(record, sizeof(record), "6,%u,1,-;" KILL, i);
                if (send(world->logs[0], record, strlen(record), MSG_DONTWAIT) > 0)
                        n_taken = i;
                log_write(world->logs[1], record);
                assert_string_equal(hear(world, other), record);
        }
        assert_in_range(n_taken, 2, 1500);

        /* It reads at last: what was kept for it, then how much was not. */
        assert_string_equal(hear(world, idle), "next 1");
        while (n_heard < n_taken) {
                n_heard++;
                (void) snprintf(record, sizeof(record), "6,%u,1,-;" KILL, n_heard);
                assert_string_equal(hear(world, idle), record);
        }
        assert_string_equal(hear(world, idle), "");
        log_write(world->logs[0], "6,3001,1,-;" KILL);
        (void) snprintf(record, sizeof(record), "lost %u", 3000 - n_taken);
        assert_string_equal(hear(world, idle), record);
        assert_string_equal(hear(world, idle), "6,3001,1,-;" KILL);
        (void) fd_close(idle);
        (void) fd_close(other);
}

static void who_says_anything_else_is_let_go(void **state) {
        static const char *const rows[] = { "x", "GET / HTTP/1.1", "virtwatch-kmsg 2 from end",
                "virtwatch-kmsg 1 from -1" };
        struct world *world = *state;
        char big[256];
        int fd;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                fd = ask(world, rows[i]);
                assert_string_equal(hear(world, fd), "failed not understood");
                assert_string_equal(hear(world, fd), "(over)");
                (void) fd_close(fd);
        }
        memset(big, 'x', sizeof(big));
        big[sizeof(big) - 1] = '\0';
        fd = ask(world, big);
        assert_string_equal(hear(world, fd), "(over)");
        (void) fd_close(fd);
        world->old = (const char *const[]){ "6,0,1,-;x", NULL };
        fd = ask(world, "virtwatch-kmsg 1 from 0");
        log_write(fd, "virtwatch-kmsg 1 from 0");
        assert_string_equal(hear(world, fd), "next 1");
        assert_string_equal(hear(world, fd), "(over)");
        (void) fd_close(fd);
        assert_int_equal(send(world->logs[0], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL), -1);
        assert_int_equal(errno, EPIPE); /* its log was closed with it */
}

static void a_log_that_cannot_be_opened_is_said(void **state) {
        struct world *world = *state;
        int fd;

        world->error = -EPERM;
        fd = ask(world, "virtwatch-kmsg 1 from end");
        assert_string_equal(hear(world, fd), "failed cannot open the log: Operation not permitted");
        assert_string_equal(hear(world, fd), "(over)");
        (void) fd_close(fd);
}

static void no_more_clients_than_there_is_room_for(void **state) {
        struct world *world = *state;
        int fds[KMSG_SERVER_CLIENTS_MAX], fd;

        world->old = (const char *const[]){ "6,0,1,-;x", NULL };
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                fds[i] = ask(world, "virtwatch-kmsg 1 from 0");
        fd = connect_to(world);
        assert_string_equal(hear(world, fd), "failed too many clients");
        assert_string_equal(hear(world, fd), "(over)");
        (void) fd_close(fd);
        (void) fd_close(fds[3]);
        turn(world);
        fds[3] = ask(world, "virtwatch-kmsg 1 from 0");
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                assert_string_equal(hear(world, fds[i]), "next 1");
                (void) fd_close(fds[i]);
        }
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(from_the_end_what_there_was_is_no_news),
                WORLD_TEST(from_where_it_was_nothing_is_missed),
                WORLD_TEST(what_was_overwritten_is_counted_but_not_what_it_had),
                WORLD_TEST(a_place_that_the_log_never_had_is_put_right),
                WORLD_TEST(where_it_is_is_said_now_and_again),
                WORLD_TEST(who_never_reads_costs_only_itself),
                WORLD_TEST(who_says_anything_else_is_let_go),
                WORLD_TEST(a_log_that_cannot_be_opened_is_said),
                WORLD_TEST(no_more_clients_than_there_is_room_for),
        };

        return RUN_TESTS(tests);
}
