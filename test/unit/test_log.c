/* The log: one line a call, whatever is in it, in each of its formats. */

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/json.h"
#include "base/log.h"
#include "test.h"

static char text[65536]; /* what the last capture() saw */

/* What @write says on stderr. */
static void capture(enum log_target target, void (*write)(void)) {
        int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        FILE *file = tmpfile();
        size_t n;

        assert_non_null(file);
        log_set_target(target);
        assert_int_equal(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
        write();
        assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
        (void) close(kept);
        log_set_target(LOG_TARGET_TEXT);

        rewind(file);
        n = fread(text, 1, sizeof(text) - 1, file);
        text[n] = '\0';
        (void) fclose(file);
}

static void expect_one_line(void) {
        assert_true(strlen(text) > 0);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void say_hello(void) {
        log_with(LOG_LEVEL_WARN,
                        FIELDS({ "VIRTWATCH_WORKLOAD", "a\nb" }, { "OTHER_THING", "\033" }),
                        "Hello %s\x07", "you");
}

static void a_line_of_text_has_level_sentence_and_fields(void **state) {
        static const char end[] = ": Hello you\\x07 workload=a\\nb other_thing=\\x1b\n";

        capture(LOG_TARGET_TEXT, say_hello);
        expect_one_line();
        assert_non_null(strstr(text, "  WARN test_log: "));
        assert_string_equal(text + strlen(text) - strlen(end), end);
        assert_true(text[4] == '-' && text[10] == 'T');
}

static void a_line_of_json_has_them_as_members(void **state) {
        struct json_object *object = NULL;

        capture(LOG_TARGET_JSON, say_hello);
        expect_one_line();
        assert_int_equal(json_parse(text, strlen(text), &object), 0);
        assert_string_equal(json_get_string(object, "level"), "WARN");
        assert_string_equal(json_get_string(object, "target"), "test_log");
        assert_string_equal(json_get_string(object, "message"), "Hello you\x07");
        assert_string_equal(json_get_string(object, "workload"), "a\nb");
        assert_string_equal(json_get_string(object, "other_thing"), "\033");
        assert_non_null(json_get_string(object, "timestamp"));
        json_object_put(object);
}

static void say_long(void) {
        char message[4096], value[9000];

        memset(message, '\033', sizeof(message));
        message[0] = 'm';
        memset(value, '\x01', sizeof(value));
        message[sizeof(message) - 1] = value[sizeof(value) - 1] = '\0';
        log_with(LOG_LEVEL_WARN, FIELDS({ "A", value }, { "LAST", "here" }), "%s", message);
}

static void a_long_hostile_line_is_cut_and_not_lost(void **state) {
        struct json_object *object = NULL;

        capture(LOG_TARGET_TEXT, say_long);
        expect_one_line();
        assert_non_null(strstr(text, " WARN test_log: m\\x1b\\x1b"));
        assert_non_null(strstr(text, " a=\\x01"));
        assert_non_null(strstr(text, " last=here\n"));

        capture(LOG_TARGET_JSON, say_long);
        expect_one_line();
        assert_int_equal(json_parse(text, strlen(text), &object), 0);
        assert_int_equal(strlen(json_get_string(object, "message")), 4095);
        assert_true(strlen(json_get_string(object, "a")) >= 1024);
        assert_string_equal(json_get_string(object, "last"), "here");
        json_object_put(object);
}

static void say_bytes(void) {
        log_with(LOG_LEVEL_WARN, FIELDS({ "A", "\xff\x9b" }), "b\xc3");
}

static void bytes_that_are_no_utf8_do_not_break_a_line_of_json(void **state) {
        struct json_object *object = NULL;

        capture(LOG_TARGET_JSON, say_bytes);
        expect_one_line();
        assert_int_equal(json_parse(text, strlen(text), &object), 0);
        assert_string_equal(json_get_string(object, "message"), "b\xef\xbf\xbd");
        assert_string_equal(json_get_string(object, "a"), "\xef\xbf\xbd\xef\xbf\xbd");
        json_object_put(object);
}

static void fail_to_open(void) {
        errno = EPIPE;
        assert_int_equal(log_error_errno(-ENOENT, "Cannot open: %m"), -ENOENT);
        assert_int_equal(errno, EPIPE);
}

static void the_error_is_the_one_given_and_errno_is_kept(void **state) {
        capture(LOG_TARGET_TEXT, fail_to_open);
        assert_non_null(strstr(text, "ERROR test_log: Cannot open: No such file or directory\n"));
}

static void say_all(void) {
        log_error("1");
        log_warn("2");
        log_info("3");
        log_debug("4");
        log_trace("5");
}

static void the_level_decides_what_is_written(void **state) {
        for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_TRACE; level++) {
                int lines = 0;

                log_set_level((enum log_level) level);
                assert_int_equal(log_get_level(), level);
                capture(LOG_TARGET_TEXT, say_all);
                for (const char *c = text; *c; c++)
                        lines += *c == '\n';
                assert_int_equal(lines, level + 1);
        }
        log_set_level(LOG_LEVEL_INFO);
}

static void levels_and_targets_have_words(void **state) {
        static const char *const levels[] = { "error", "warn", "info", "debug", "trace" };
        static const char *const targets[] = { "text", "json", "journal", "auto" };

        for (int i = 0; i < (int) ARRAY_SIZE(levels); i++) {
                assert_string_equal(log_level_to_string((enum log_level) i), levels[i]);
                assert_int_equal(log_level_from_string(levels[i]), i);
        }
        for (int i = 0; i < (int) ARRAY_SIZE(targets); i++) {
                assert_string_equal(log_target_to_string((enum log_target) i), targets[i]);
                assert_int_equal(log_target_from_string(targets[i]), i);
        }
        assert_int_equal(log_level_from_string("warning"), -EINVAL);
        assert_int_equal(log_level_from_string(""), -EINVAL);
        assert_int_equal(log_target_from_string("syslog"), -EINVAL);
}

static void automatic_is_the_journal_only_where_stderr_leads_there(void **state) {
        char stream[64];
        struct stat st;

        (void) unsetenv("JOURNAL_STREAM");
        log_set_target(LOG_TARGET_AUTO);
        assert_int_equal(log_get_target(), LOG_TARGET_TEXT);
        assert_int_equal(setenv("JOURNAL_STREAM", "1:2", 1), 0);
        log_set_target(LOG_TARGET_AUTO);
        assert_int_equal(log_get_target(), LOG_TARGET_TEXT);

        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        (void) snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t) st.st_dev,
                        (uintmax_t) st.st_ino);
        assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
        log_set_target(LOG_TARGET_AUTO);
        assert_int_equal(log_get_target(), LOG_TARGET_JOURNAL);
        (void) unsetenv("JOURNAL_STREAM");
        log_set_target(LOG_TARGET_TEXT);
}

/* In a file system of its own, where the journal's socket is ours. */
static __attribute__((noreturn)) void say_to_own_journal(int report) {
        static const struct sockaddr_un address = { .sun_family = AF_UNIX,
                .sun_path = "/run/systemd/journal/socket" };
        char data[4096];
        ssize_t n;
        int fd;

        if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) < 0 ||
                        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                        mount("none", "/run", "tmpfs", 0, NULL) < 0 ||
                        mkdir("/run/systemd", 0755) < 0 || mkdir("/run/systemd/journal", 0755) < 0)
                _exit(1);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                _exit(2);

        log_set_target(LOG_TARGET_JOURNAL);
        (void) log_write(LOG_LEVEL_WARN, -ENOENT, "some.c", 7,
                        FIELDS({ "VIRTWATCH_WORKLOAD", "web" }), "Cannot open %s: %m", "it");
        n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
        _exit(n > 0 && write(report, data, (size_t) n) == n ? 0 : 3);
}

static void the_journal_gets_native_fields(void **state) {
        static const char *const lines[] = { "MESSAGE=Cannot open it: No such file or directory\n",
                "PRIORITY=4\n", "CODE_FILE=some.c\n", "CODE_LINE=7\n", "ERRNO=2\n",
                "SYSLOG_IDENTIFIER=test_log\n", "VIRTWATCH_WORKLOAD=web\n" };
        char data[4096];
        int pipes[2], status;
        ssize_t n;
        pid_t pid;

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0)
                say_to_own_journal(pipes[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        n = read(pipes[0], data, sizeof(data) - 1);
        assert_true(n > 0);
        data[n] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                if (!strstr(data, lines[i]))
                        fail_msg("not in the journal: %s", lines[i]);
        (void) close(pipes[0]);
        (void) close(pipes[1]);
}

static void repeats_are_held_back_and_counted(void **state) {
        struct log_ratelimit limit = { .interval_us = 100, .burst = 2 };
        unsigned int held = 42;

        assert_true(log_ratelimit_pass(&limit, 1000, &held));
        assert_int_equal(held, 0);
        assert_true(log_ratelimit_pass(&limit, 1001, &held));
        assert_false(log_ratelimit_pass(&limit, 1002, &held));
        assert_false(log_ratelimit_pass(&limit, 1099, &held));
        assert_int_equal(held, 0);
        assert_true(log_ratelimit_pass(&limit, 1100, &held));
        assert_int_equal(held, 2);
        assert_true(log_ratelimit_pass(&limit, 1101, &held));
        assert_int_equal(held, 0);
        assert_false(log_ratelimit_pass(&limit, 1199, &held));
        assert_true(log_ratelimit_pass(&limit, 5000, &held));
        assert_int_equal(held, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_line_of_text_has_level_sentence_and_fields),
                cmocka_unit_test(a_line_of_json_has_them_as_members),
                cmocka_unit_test(a_long_hostile_line_is_cut_and_not_lost),
                cmocka_unit_test(bytes_that_are_no_utf8_do_not_break_a_line_of_json),
                cmocka_unit_test(the_error_is_the_one_given_and_errno_is_kept),
                cmocka_unit_test(the_level_decides_what_is_written),
                cmocka_unit_test(levels_and_targets_have_words),
                cmocka_unit_test(automatic_is_the_journal_only_where_stderr_leads_there),
                cmocka_unit_test(the_journal_gets_native_fields),
                cmocka_unit_test(repeats_are_held_back_and_counted),
        };

        return RUN_TESTS(tests);
}
