/* The daemon's command line. */

#include <fcntl.h>
#include <getopt.h>
#include <string.h>

#include "daemon/options.h"
#include "test.h"

/* Parse @words, said nothing of on the terminal. */
static int parse(const char *const *words, size_t n, struct options *ret_options) {
        int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3),
            err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3),
            null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        char *argv[80] = { (char *) (uintptr_t) "virtwatchd" };
        int r;

        assert_true(n + 2 <= ARRAY_SIZE(argv));
        for (size_t i = 0; i < n; i++)
                argv[i + 1] = (char *) (uintptr_t) words[i];
        (void) fflush(stdout);
        assert_true(dup2(null, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0);
        optind = 0; /* glibc: begin anew */
        r = options_parse((int) n + 1, argv, ret_options);
        (void) fflush(stdout);
        assert_true(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
        (void) close(out);
        (void) close(err);
        (void) close(null);
        return r;
}

#define PARSE(options, ...)                                                                  \
        parse((const char *const[]){ __VA_ARGS__ },                                          \
                        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *), \
                        options)

static void no_option_is_needed(void **state) {
        struct options options = {};

        assert_int_equal(parse(NULL, 0, &options), 1);
        assert_null(options.config);
        assert_null(options.bus);
        assert_null(options.bus_address);
        assert_false(options.check_config);
        assert_int_equal(options.n_sets, 0);
}

static void every_option_is_taken_in_both_spellings(void **state) {
        struct options options = {};

        assert_int_equal(PARSE(&options, "-c", "/a", "-s", "k=v", "--set=k2=v2", "--set",
                                         "k3=", "--bus=none", "--bus-address=unix:path=/b",
                                         "--check-config"),
                        1);
        assert_string_equal(options.config, "/a");
        assert_int_equal(options.n_sets, 3);
        assert_string_equal(options.sets[0], "k=v");
        assert_string_equal(options.sets[1], "k2=v2");
        assert_string_equal(options.sets[2], "k3=");
        assert_string_equal(options.bus, "none");
        assert_string_equal(options.bus_address, "unix:path=/b");
        assert_true(options.check_config);
        assert_int_equal(PARSE(&options, "--config", "/c"), 1);
        assert_string_equal(options.config, "/c");
        assert_int_equal(options.n_sets, 0);
}

static void questions_are_answered(void **state) {
        struct options options = {};

        assert_int_equal(PARSE(&options, "--help"), 0);
        assert_int_equal(PARSE(&options, "-h"), 0);
        assert_int_equal(PARSE(&options, "--version"), 0);
}

static void what_is_no_option_is_refused(void **state) {
        struct options options = { .bus = "untouched" };

        assert_int_equal(PARSE(&options, "--nothing"), -EINVAL);
        assert_int_equal(PARSE(&options, "-x"), -EINVAL);
        assert_int_equal(PARSE(&options, "-c"), -EINVAL);
        assert_int_equal(PARSE(&options, "--check-config=yes"), -EINVAL);
        assert_int_equal(PARSE(&options, "word"), -EINVAL);
        assert_int_equal(PARSE(&options, "--bus=none", "--", "word"), -EINVAL);
        assert_string_equal(options.bus, "untouched");
}

static void sets_have_a_limit(void **state) {
        const char *words[2 * (OPTIONS_SETS_MAX + 1)];
        struct options options = {};

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                words[i] = i % 2 ? "k=v" : "-s";
        assert_int_equal(parse(words, (size_t) 2 * OPTIONS_SETS_MAX, &options), 1);
        assert_int_equal(options.n_sets, OPTIONS_SETS_MAX);
        assert_int_equal(parse(words, (size_t) 2 * OPTIONS_SETS_MAX + 2, &options), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_option_is_needed),
                cmocka_unit_test(every_option_is_taken_in_both_spellings),
                cmocka_unit_test(questions_are_answered),
                cmocka_unit_test(what_is_no_option_is_refused),
                cmocka_unit_test(sets_have_a_limit),
        };

        return RUN_TESTS(tests);
}
