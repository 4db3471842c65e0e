/* docker's and podman's recorded streams, line by line: what is made of each, and what of lines
 * that are none. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "source/docker.h"
#include "test.h"

struct tally {
        unsigned int lines, ignored, exits, kills, ooms, removed, started, taken_in, let_go,
                        signals[65], codes[256];
};

static void read_file(const struct docker_flavour *flavour, const char *path, struct tally *tally) {
        FILE *file = fopen(path, "re");
        char line[65536];

        assert_non_null(file);
        while (fgets(line, sizeof(line), file)) {
                struct docker_fact fact;
                int r = docker_event_parse(flavour, line, strlen(line), &fact);

                assert_true(r >= 0);
                tally->lines++;
                tally->ignored += r == 0;
                if (r == 0)
                        continue;
                assert_true(fact.fact.time_us > 1700000000000000);
                assert_string_equal(fact.fact.workload.runtime, flavour->runtime);
                if (fact.taken_in) {
                        assert_int_equal(strlen(fact.fact.workload.native_id), 64);
                        tally->taken_in++;
                        docker_fact_done(&fact);
                        continue;
                }
                if (fact.let_go) {
                        assert_int_equal(fact.fact.how, EXIT_START_FAILED);
                        assert_int_equal(strlen(fact.fact.workload.native_id), 64);
                        tally->let_go++;
                        docker_fact_done(&fact);
                        continue;
                }
                if (fact.fact.type == FACT_EXIT) {
                        tally->exits++;
                        tally->codes[fact.fact.code]++;
                }
                if (fact.fact.type == FACT_KILL) {
                        tally->kills++;
                        tally->signals[fact.fact.kill_signal]++;
                }
                tally->ooms += fact.fact.type == FACT_OOM;
                tally->removed += fact.fact.type == FACT_REMOVED;
                tally->started += fact.fact.type == FACT_ACTION &&
                                strcmp(fact.fact.action, "started") == 0;
                docker_fact_done(&fact);
        }
        (void) fclose(file);
}

static unsigned int count(const char *path, const char *what) {
        FILE *file = fopen(path, "re");
        unsigned int n = 0;
        char line[65536];

        assert_non_null(file);
        while (fgets(line, sizeof(line), file))
                n += strstr(line, what) != NULL;
        (void) fclose(file);
        return n;
}

static void dockers_recorded_stream_is_read_whole(void **state) {
        static const char path[] = FIXTURES_DIR "/docker2010-events.jsonl";
        struct tally tally = {};

        read_file(&docker_flavour, path, &tally);
        assert_int_equal(tally.exits, count(path, "\"Action\":\"die\""));
        assert_int_equal(tally.kills, count(path, "\"Action\":\"kill\""));
        assert_int_equal(tally.ooms, count(path, "\"Action\":\"oom\""));
        assert_int_equal(tally.removed, count(path, "\"Action\":\"destroy\""));
        assert_int_equal(tally.let_go, count(path, "\"Action\":\"disconnect\""));
        assert_int_equal(tally.taken_in, count(path, "\"Action\":\"connect\""));
        assert_int_equal(tally.started, count(path, "\"Action\":\"start\""));
        assert_true(tally.codes[3] == 1 && tally.codes[137] >= 3 && tally.codes[0] >= 1);
        assert_true(tally.signals[9] >= 1 && tally.signals[15] >= 1);
        assert_true(tally.ignored > 0); /* exec, attach, network */
}

static void podmans_two_dialects_say_the_same(void **state) {
        struct tally compat = {}, native = {};

        read_file(&podman_flavour, FIXTURES_DIR "/podman43-events-compat.jsonl", &compat);
        read_file(&podman_flavour, FIXTURES_DIR "/podman43-events-libpod.jsonl", &native);
        assert_true(compat.exits > 3 && compat.codes[137] >= 1);
        assert_memory_equal(compat.codes, native.codes, sizeof(compat.codes));
        assert_int_equal(compat.started, native.started);
        assert_int_equal(compat.removed, native.removed);
}

static void lines_that_are_no_events_are_told_from_unknown_ones(void **state) {
        static const struct {
                const char *line;
                int expected;
        } lines[] = {
                { "", -EINVAL },
                { "{", -EINVAL },
                { "[]", -EINVAL },
                { "{\"Type\":\"container\",\"Action\":\"die\"}", -EINVAL },
                { "{\"Type\":1,\"Action\":\"die\",\"Actor\":{\"ID\":\"a\"},\"timeNano\":1}",
                                -EINVAL },
                { "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"a\"},\"timeNano\":-1}",
                                -EINVAL },
                { "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"\"},\"timeNano\":1}",
                                0 },
                { "{\"Type\":\"container\",\"Action\":\"invented\",\"Actor\":{\"ID\":\"a\"},\"timeNano\":1}",
                                0 },
                { "{\"Type\":\"network\",\"Action\":\"die\",\"Actor\":{\"ID\":\"a\"},\"timeNano\":1}",
                                0 },
                { "{\"Type\":\"container\",\"Action\":\"exec_die\",\"Actor\":{\"ID\":\"a\"},\"timeNano\":1}",
                                0 },
        };
        struct docker_fact fact;

        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
                if (docker_event_parse(&docker_flavour, lines[i].line, strlen(lines[i].line),
                                    &fact) != lines[i].expected)
                        fail_msg("not %d: %s", lines[i].expected, lines[i].line);
}

static void an_exit_without_a_readable_code_has_none(void **state) {
        static const char line[] =
                        "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"a\",\"Attributes\":"
                        "{\"exitCode\":\"300\",\"name\":\"\\u202e</script>\"}},\"timeNano\":1795224844999521951}";
        struct docker_fact fact;

        assert_int_equal(docker_event_parse(&docker_flavour, line, strlen(line), &fact), 1);
        assert_int_equal(fact.fact.code, -1);
        assert_int_equal(fact.time_nano, 1795224844999521951);
        assert_string_equal(fact.origin, "1795224844999521951/a/die");
        docker_fact_done(&fact);
}

/* The engine puts a container's labels over what it says itself. */
static void labels_that_pass_for_attributes_are_found_out(void **state) {
#define EVENT(action, attributes)                      \
        "{\"Type\":\"container\",\"Action\":\"" action \
        "\",\"Actor\":{\"ID\":\"a\",\"Attributes\":{" attributes "}},\"timeNano\":7}"
        static const struct {
                const struct docker_flavour *flavour;
                const char *line;
                unsigned int forged;
                int code, signal;
        } cases[] = {
                { &docker_flavour, EVENT("create", "\"exitCode\":\"0\""), DOCKER_FORGES_CODE, -1,
                                0 },
                { &docker_flavour, EVENT("start", "\"signal\":\"9\""), DOCKER_FORGES_SIGNAL, -1,
                                0 },
                { &docker_flavour, EVENT("start", "\"name\":\"n\""), 0, -1, 0 },
                { &docker_flavour, EVENT("die", "\"exitCode\":\"3\""), 0, 3, 0 },
                { &docker_flavour, EVENT("die", "\"exitCode\":\"3\",\"signal\":\"9\""),
                                DOCKER_FORGES_SIGNAL, 3, 0 },
                { &docker_flavour, EVENT("die", "\"exitCode\":\"3\",\"containerExitCode\":\"0\""),
                                0, 3, 0 },
                { &docker_flavour, EVENT("kill", "\"signal\":\"9\""), 0, -1, 9 },
                /* podman puts what it says over the labels, and says no signal */
                { &podman_flavour, EVENT("start", "\"exitCode\":\"0\""), 0, -1, 0 },
                { &podman_flavour, EVENT("died", "\"exitCode\":\"0\",\"containerExitCode\":\"3\""),
                                0, 3, 0 },
                { &podman_flavour, EVENT("died", "\"exitCode\":\"3\""), 0, 3, 0 },
                { &podman_flavour, EVENT("kill", "\"signal\":\"9\""), 0, -1, 0 },
        };
        static const char inspect[] =
                        "{\"Id\":\"a\",\"State\":{\"Status\":\"running\"},\"Config\":{\"Labels\":{\"%s\":\"0\"}}}";
        struct docker_fact fact;
        char text[256];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(docker_event_parse(cases[i].flavour, cases[i].line,
                                                 strlen(cases[i].line), &fact),
                                1);
                if (fact.forged != cases[i].forged || fact.fact.code != cases[i].code ||
                                fact.fact.kill_signal != cases[i].signal)
                        fail_msg("%zu: %u %d %d", i, fact.forged, fact.fact.code,
                                        fact.fact.kill_signal);
                docker_fact_done(&fact);
        }
        for (size_t i = 0; i < 3; i++) {
                (void) snprintf(text, sizeof(text), inspect,
                                ((const char *const[]){ "exitCode", "signal", "code" })[i]);
                assert_int_equal(docker_inspect_parse(&docker_flavour, text, strlen(text), &fact),
                                0);
                assert_int_equal(fact.forged,
                                i == 0                   ? DOCKER_FORGES_CODE
                                                : i == 1 ? DOCKER_FORGES_SIGNAL
                                                         : 0);
                docker_fact_done(&fact);
        }
}

/* It repeats a command of any length; an event with all of it would be refused. */
static void why_a_container_did_not_start_is_cut(void **state) {
        static char text[40000];
        struct docker_fact fact;
        const char *error;
        size_t n;

        n = (size_t) snprintf(text, sizeof(text),
                        "{\"Id\":\"a\",\"State\":{\"Status\":\"created\",\"ExitCode\":127,\"Error\":\"exec: %020000d\"}}",
                        0);
        assert_int_equal(docker_inspect_parse(&docker_flavour, text, n, &fact), 0);
        assert_int_equal(fact.fact.workload.how, EXIT_START_FAILED);
        error = json_get_string(fact.fact.details, "error");
        assert_non_null(error);
        assert_memory_equal(error, "exec: 0000", 10);
        assert_int_equal(strlen(error), 1024);
        docker_fact_done(&fact);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(dockers_recorded_stream_is_read_whole),
                cmocka_unit_test(podmans_two_dialects_say_the_same),
                cmocka_unit_test(lines_that_are_no_events_are_told_from_unknown_ones),
                cmocka_unit_test(an_exit_without_a_readable_code_has_none),
                cmocka_unit_test(labels_that_pass_for_attributes_are_found_out),
                cmocka_unit_test(why_a_container_did_not_start_is_cut),
        };

        return RUN_TESTS(tests);
}
