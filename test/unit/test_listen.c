/* Addresses as people write them, and socket files of earlier runs. */

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/listen.h"
#include "folder.h"

static int open_close(const char *address, const struct listen_options *options, char *name) {
        int fd = listen_open(address, options, name);

        if (fd < 0)
                return fd;
        (void) listen_close(fd, name);
        return 0;
}

static void addresses_are_taken_as_written(void **state) {
        char name[LISTEN_NAME_MAX];

        assert_int_equal(open_close("127.0.0.1:0", &(struct listen_options){}, name), 0);
        assert_memory_equal(name, "127.0.0.1:", 10);
        assert_true(strcmp(name, "127.0.0.1:0") != 0);
        assert_int_equal(open_close("0.0.0.0:0", &(struct listen_options){}, name), 0);
        assert_int_equal(open_close("localhost:0", &(struct listen_options){}, name), -EINVAL);
        assert_int_equal(open_close("127.0.0.1", &(struct listen_options){}, name), -EINVAL);
        assert_int_equal(open_close("127.0.0.1:99999x", &(struct listen_options){}, name), -EINVAL);
        assert_int_equal(open_close("127.0.0.1:99999", &(struct listen_options){}, name), -EINVAL);
        assert_int_equal(open_close("", &(struct listen_options){}, name), -EINVAL);
}

static void addresses_are_checked_before_they_are_opened(void **state) {
        static const char *const good[] = { "127.0.0.1:0", "0.0.0.0:65535", "[::]:9887",
                "[fe80::1%eth0]:9887", "unix:/run/s" };
        static const char *const bad[] = { "", ":1", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:-1",
                "127.0.0.1:http", "localhost:1", "256.0.0.1:1", "[::1]", "unix:", "unix:s" };
        char path[200];

        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                if (listen_check(good[i]) < 0)
                        fail_msg("%s", good[i]);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (listen_check(bad[i]) != -EINVAL)
                        fail_msg("%s", bad[i]);
        (void) snprintf(path, sizeof(path), "unix:/%0120d", 0);
        assert_int_equal(listen_check(path), -ENAMETOOLONG);
}

static void only_loopback_means_it(void **state) {
        const struct listen_options options = { .only_loopback = true };
        char name[LISTEN_NAME_MAX];

        assert_int_equal(open_close("127.0.0.1:0", &options, name), 0);
        assert_int_equal(open_close("127.8.0.1:0", &options, name), 0);
        assert_int_equal(open_close("0.0.0.0:0", &options, name), -EPERM);
        assert_int_equal(open_close("[::]:0", &options, name), -EPERM);
        assert_int_equal(open_close("10.0.0.1:0", &options, name), -EPERM);
}

static void a_stale_socket_is_replaced_and_a_served_one_is_not(void **state) {
        char name[LISTEN_NAME_MAX], other[LISTEN_NAME_MAX], address[300];
        struct stat st;
        int fd;

        (void) snprintf(address, sizeof(address), "unix:%s", folder_path(*state, "s"));
        fd = listen_open(address, &(struct listen_options){ .mode = 0600 }, name);
        assert_true(fd >= 0);
        assert_string_equal(name, address);
        assert_int_equal(stat(address + 5, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(open_close(address, &(struct listen_options){}, other), -EADDRINUSE);
        (void) fd_close(fd); /* as a kill does: the file stays */
        fd = listen_open(address, &(struct listen_options){ .mode = 0600 }, name);
        assert_true(fd >= 0);
        assert_int_equal(listen_close(fd, name), -EBADF);
        assert_int_equal(stat(address + 5, &st), -1);
        folder_write(*state, "s", "a file");
        assert_int_equal(open_close(address, &(struct listen_options){}, other), -EADDRINUSE);
}

static void the_folder_of_a_socket_is_made(void **state) {
        const struct listen_options options = { .mode = 0666 };
        char folder[] = "/tmp/vwlisten.XXXXXX", address[LISTEN_NAME_MAX], name[LISTEN_NAME_MAX];
        struct stat st;
        int fd;

        assert_non_null(mkdtemp(folder));
        (void) snprintf(address, sizeof(address), "unix:%s/one/two/socket", folder);
        assert_int_equal(listen_open(address, &options, name), -ENOENT);
        (void) snprintf(address, sizeof(address), "unix:%s/one/socket", folder);
        fd = listen_open(address, &options, name);
        assert_true(fd >= 0);
        assert_string_equal(name, address);
        assert_int_equal(stat(address + strlen("unix:"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0666);
        (void) listen_close(fd, name);
        *strrchr(address, '/') = '\0';
        assert_int_equal(rmdir(address + strlen("unix:")), 0);
        assert_int_equal(rmdir(folder), 0);
}

static void packets_are_served_beside_streams(void **state) {
        const struct listen_options options = { .mode = 0600, .packets = true };
        char name[LISTEN_NAME_MAX], other[LISTEN_NAME_MAX], address[300];
        int fd, type = 0;
        socklen_t size = sizeof(type);

        (void) snprintf(address, sizeof(address), "unix:%s", folder_path(*state, "p"));
        fd = listen_open(address, &options, name);
        assert_true(fd >= 0);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size), 0);
        assert_int_equal(type, SOCK_SEQPACKET);
        assert_int_equal(open_close(address, &options, other), -EADDRINUSE);
        (void) listen_close(fd, name);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(addresses_are_taken_as_written),
                cmocka_unit_test(addresses_are_checked_before_they_are_opened),
                cmocka_unit_test(only_loopback_means_it),
                cmocka_unit_test(the_folder_of_a_socket_is_made),
                FOLDER_TEST(a_stale_socket_is_replaced_and_a_served_one_is_not),
                FOLDER_TEST(packets_are_served_beside_streams),
        };

        return RUN_TESTS(tests);
}
