/* The kernel's log by way of virtwatch-kmsg's socket: the test is the helper, a true one and
 * others.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/listen.h"
#include "folder.h"
#include "model/kmsg_wire.h"
#include "source/kernel_oom.h"

#define KILL(pid)                                                                                  \
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/" \
        "a,task_memcg=/a/b,task=x,pid=" #pid ",uid=0"
#define GROUP       "Tasks in /a/b are going to be killed due to memory.oom.group set"
#define KILLED(pid) "Memory cgroup out of memory: Killed process " #pid " (x) total-vm:1kB, UID:0"

struct world {
        struct folder *folder;
        sd_event *event;
        struct source_env env;
        struct source *source;
        char name[LISTEN_NAME_MAX], boot[64], address[300];
        int listener, fd;
        char kills[1024]; /* "PID ORIGIN, …", the boot left out */
        char cursor[128], error[512];
        uint64_t time_us;
        bool readable, up;
        unsigned int n_cursors, n_placed, n_limits; /* kills that say whose; by whose limit */
};

static void on_post(struct source *source, const struct fact *fact, void *userdata) {
        struct world *world = userdata;
        size_t n = strlen(world->kills);

        if (fact->cursor) {
                (void) snprintf(world->cursor, sizeof(world->cursor), "%s", fact->cursor);
                world->n_cursors += fact->type == FACT_ACTION;
        }
        if (fact->type == FACT_READABLE)
                world->readable = fact->oom_readable;
        if (fact->type == FACT_SOURCE) {
                world->up = fact->source_state == SOURCE_UP;
                (void) snprintf(world->error, sizeof(world->error), "%s",
                                fact->error ? fact->error : "");
        }
        if (fact->type != FACT_OOM)
                return;
        assert_memory_equal(fact->origin, world->boot, 36);
        assert_string_equal(fact->task_cgroup ? fact->task_cgroup : "/a/b", "/a/b");
        world->n_placed += fact->task_cgroup != NULL;
        assert_string_equal(fact->oom_cgroup ? fact->oom_cgroup : "/a", "/a");
        world->n_limits += fact->oom_cgroup != NULL;
        world->time_us = fact->time_us;
        (void) snprintf(world->kills + n, sizeof(world->kills) - n, "%u %s, ", fact->oom_pid,
                        fact->origin + 37);
}

static void serve(struct world *world) {
        char address[300];

        (void) snprintf(address, sizeof(address), "unix:%s", folder_path(world->folder, "s"));
        world->listener = listen_open(address,
                        &(struct listen_options){ .mode = 0600, .packets = true }, world->name);
        assert_true(world->listener >= 0);
}

static int setup(void **state) {
        struct world *world = calloc(1, sizeof(*world));
        _cleanup_(freep) char *boot = NULL;
        void *folder;

        assert_non_null(world);
        assert_int_equal(folder_setup(&folder), 0);
        world->folder = folder;
        world->fd = -EBADF;
        assert_int_equal(
                        fs_read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 256, &boot, NULL),
                        0);
        (void) snprintf(world->boot, sizeof(world->boot), "%.36s", boot);
        assert_true(sd_event_new(&world->event) >= 0);
        world->env = (struct source_env){
                .event = world->event, .post = on_post, .userdata = world
        };
        serve(world);
        (void) snprintf(world->address, sizeof(world->address), "kmsg:%s", world->name + 5);
        *state = world;
        return 0;
}

static int teardown(void **state) {
        struct world *world = *state;
        void *folder = world->folder;

        if (world->source)
                world->source->ops->free(world->source);
        sd_event_unref(world->event);
        (void) fd_close(world->fd);
        (void) listen_close(world->listener, world->name);
        free(world);
        return folder_teardown(&folder);
}

static void turn(struct world *world) {
        while (sd_event_run(world->event, 0) > 0)
                ;
}

static void begin(struct world *world, const char *cursor) {
        const struct source_config config = {
                .name = "kernel", .address = world->address, .cursor = cursor
        };

        assert_int_equal(kernel_source_ops.create(&config, &world->env, &world->source), 0);
        assert_string_equal(world->source->ops->name, "kernel");
        assert_int_equal(world->source->ops->start(world->source), 0);
}

/* What it asks for. */
static const char *heard(struct world *world) {
        static char text[KMSG_WIRE_ASK_MAX + 1];
        ssize_t n;

        (void) fd_close(world->fd);
        for (unsigned int i = 0; i < 100; i++) {
                world->fd = accept4(world->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (world->fd >= 0)
                        break;
                assert_true(sd_event_run(world->event, 100000) >= 0); /* it comes again */
        }
        assert_true(world->fd >= 0);
        n = recv(world->fd, text, sizeof(text) - 1, 0);
        assert_true(n > 0);
        text[n] = '\0';
        return text;
}

static void say_bytes(struct world *world, const char *packet, size_t size) {
        assert_int_equal(send(world->fd, packet, size, MSG_NOSIGNAL), size);
        turn(world);
}

static void say(struct world *world, const char *packet) {
        say_bytes(world, packet, strlen(packet));
}

static const char *at(struct world *world, const char *sequence) {
        static char text[128];

        (void) snprintf(text, sizeof(text), "%s/%s", world->boot, sequence);
        return text;
}

static void it_is_up_once_the_helper_has_caught_up(void **state) {
        struct world *world = *state;

        begin(world, NULL);
        assert_string_equal(heard(world), "virtwatch-kmsg 1 from end");
        turn(world);
        assert_false(world->up || world->readable);
        say(world, "next 10");
        assert_true(world->up && world->readable);
        assert_string_equal(world->cursor, at(world, "9")); /* where the next run begins */
        say(world, "6,12,34,-;" KILL(7));
        assert_string_equal(world->kills, "7 12, ");
        assert_string_equal(world->cursor, at(world, "12"));
}

static void a_helper_that_ends_costs_no_line_and_doubles_none(void **state) {
        struct world *world = *state;

        begin(world, at(world, "5"));
        assert_string_equal(heard(world), "virtwatch-kmsg 1 from 5");
        say(world, "6,5,30,-;" KILL(6)); /* told by an earlier run, and what follows of it */
        say(world, "3,6,31,-;" KILLED(6));
        say(world, "6,12,34,-;" KILL(7));
        assert_false(world->up);
        say(world, "next 13");
        assert_true(world->up);
        assert_string_equal(world->kills, "7 12, ");
        (void) listen_close(world->listener, "");
        world->fd = fd_close(world->fd);
        turn(world);
        assert_false(world->up || world->readable);
        assert_non_null(strstr(world->error, world->name + 5));
        assert_non_null(strstr(world->error, "reset"));
        (void) sd_event_run(world->event, 400000);
        assert_non_null(strstr(world->error, "refused"));

        serve(world);
        assert_string_equal(heard(world), "virtwatch-kmsg 1 from 12");
        say(world, "6,12,34,-;" KILL(7));
        say(world, "3,13,34,-;" KILLED(7));
        say(world, "6,14,35,-;" KILL(8));
        say(world, "next 15");
        assert_string_equal(world->kills, "7 12, 8 14, ");
        assert_true(world->up);
        assert_int_equal(world->source->stats.reconnects, 2);
}

/* One line says where the first was, and whose limit was hit; the others say their process alone.
 */
static void all_of_a_group_are_told_with_it(void **state) {
        struct world *world = *state;

        begin(world, NULL);
        (void) heard(world);
        say(world, "next 10");
        say(world, "6,12,1000000,-;" KILL(7));
        say(world, "3,13,1000001,-;" KILLED(7));
        say(world, "6,14,1000002,-;" GROUP);
        say(world, "3,15,1000003,-;" KILLED(7));
        say(world, "3,16,1090000,-;" KILLED(8));
        say(world, "3,17,1180000,-;" KILLED(9));
        assert_string_equal(world->kills, "7 12, 8 16, 9 17, ");
        assert_int_equal(world->n_placed, 3);
        /* a kill of its own, whose summary the kernel's limit of them swallowed; and a host's */
        say(world, "3,18,1290000,-;" KILLED(10));
        say(world, "6,19,1290001,-;" GROUP);
        say(world, "3,20,1290002,-;Out of memory: Killed process 11 (x) total-vm:1kB, UID:0");
        assert_string_equal(world->kills, "7 12, 8 16, 9 17, 10 18, 11 20, ");
        assert_int_equal(world->n_placed, 3);
        say(world, "6,21,1290003,-;" GROUP); /* of the last: its limit is not known */
        say(world, "3,22,1290004,-;Out of memory: Killed process 14 (x) total-vm:1kB, UID:0");
        assert_int_equal(world->n_placed, 4);
        assert_int_equal(world->n_limits, 3);
        /* the next summary ends it */
        say(world, "6,23,1290005,-;" KILL(12));
        say(world, "3,24,1290006,-;" KILLED(13));
        assert_int_equal(world->n_placed, 5);
}

static void another_boots_or_readers_position_is_none_of_ours(void **state) {
        struct world *world = *state;

        begin(world, "0fd7b2ad-64a7-4b8e-9b0e-6c0a5ba8a3b9/4711");
        assert_string_equal(heard(world), "virtwatch-kmsg 1 from 0");
        world->source->ops->free(world->source);
        begin(world, "s=4ea8ae0dcd8c4a1f9e1d9d0c2f7c3f0a;i=8f;b=8f0a;m=1;t=5;x=1");
        assert_string_equal(heard(world), "virtwatch-kmsg 1 from end");
        world->source->ops->free(world->source);
        begin(world, at(world, "18446744073709551615"));
        assert_string_equal(heard(world), "virtwatch-kmsg 1 from 0");
}

static void what_was_lost_is_counted(void **state) {
        struct world *world = *state;

        begin(world, NULL);
        (void) heard(world);
        say(world, "next 10");
        say(world, "lost 41");
        say(world, "lost 1");
        assert_int_equal(world->source->stats.dropped, 42);
        assert_true(world->up);
}

static void why_the_helper_fails_is_told(void **state) {
        struct world *world = *state;

        begin(world, NULL);
        (void) heard(world);
        say(world, "failed cannot open the log: Operation not permitted\xff");
        assert_false(world->up);
        assert_non_null(strstr(world->error, ": cannot open the log: Operation not permitted"));
        assert_string_equal(heard(world), "virtwatch-kmsg 1 from end");
        say(world, "next 1");
        assert_true(world->up);
}

static void garbage_is_counted_and_passed_over(void **state) {
        static const char *const rows[] = { "x", "next", "lost x", "14,12,34,-;" KILL(1),
                "6,12,34;" };
        struct world *world = *state;
        static char big[3 * KMSG_WIRE_MAX];
        uint64_t before_us = clock_realtime_us();

        begin(world, NULL);
        (void) heard(world);
        say(world, "next 10");
        for (size_t i = 0; i < ARRAY_SIZE(rows) - 1; i++)
                say(world, rows[i]);
        memset(big, 'x', sizeof(big));
        memcpy(big, "6,12,34,-;" KILL(2), strlen("6,12,34,-;" KILL(2)));
        say_bytes(world, big, sizeof(big));
        say_bytes(world, "6,12\0,34,-;x", 12);
        assert_int_equal(world->source->stats.malformed, ARRAY_SIZE(rows) + 1);
        say(world, rows[ARRAY_SIZE(rows) - 1]); /* a record that says nothing */
        assert_string_equal(world->kills, "");
        assert_true(world->up);

        /* A time that has not come yet is now. */
        say(world, "6,13,18446744073709551615,-;" KILL(3));
        assert_string_equal(world->kills, "3 13, ");
        assert_in_range(world->time_us, before_us, clock_realtime_us());
        /* Positions are stored no oftener than every second. */
        for (unsigned int i = 0; i < 1000; i++)
                say(world, "next 100000");
        assert_int_equal(world->n_cursors, 1);
}

static void without_the_socket_the_device_is_read_if_it_may_be(void **state) {
        int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        struct world *world = *state;

        (void) listen_close(world->listener, world->name);
        world->listener = -EBADF;
        begin(world, NULL);
        assert_true(world->up == (fd >= 0));
        if (fd < 0) {
                assert_non_null(strstr(world->error, world->name + 5));
                assert_non_null(strstr(world->error, "/dev/kmsg: "));
        }
        (void) fd_close(fd);
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(it_is_up_once_the_helper_has_caught_up),
                WORLD_TEST(a_helper_that_ends_costs_no_line_and_doubles_none),
                WORLD_TEST(all_of_a_group_are_told_with_it),
                WORLD_TEST(another_boots_or_readers_position_is_none_of_ours),
                WORLD_TEST(what_was_lost_is_counted),
                WORLD_TEST(why_the_helper_fails_is_told),
                WORLD_TEST(garbage_is_counted_and_passed_over),
                WORLD_TEST(without_the_socket_the_device_is_read_if_it_may_be),
        };

        return RUN_TESTS(tests);
}
