/* What the client prints: hostile names show themselves and do nothing else. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "test.h"

/* As JSON text: escape sequences, a newline, a CSI of one character. */
#define HOSTILE "\\u001b]0;owned\\u0007\\n\\u009b31m\\u007f"
#define SHOWN   "\\x1b]0;owned\\x07\\n\\x9b31m\\x7f"

static char text[65536]; /* what the last capture printed */

static struct json_object *object_of(const char *json) {
        struct json_object *object = NULL;

        assert_int_equal(json_parse(json, strlen(json), &object), 0);
        return object;
}

static void event(const struct cli *cli, struct json_object *const *objects) {
        print_event(cli, objects[0]);
}

static void workloads(const struct cli *cli, struct json_object *const *objects) {
        print_workloads(cli, objects[0]);
}

static void nodes(const struct cli *cli, struct json_object *const *objects) {
        print_nodes(cli, objects[0]);
}

static void status(const struct cli *cli, struct json_object *const *objects) {
        print_status(cli, objects[0], objects[1], objects[2], objects[3], NULL);
}

/* What goes to stderr is captured, too. */
static void refusal(const struct cli *cli, struct json_object *const *objects) {
        int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

        assert_int_equal(dup2(STDOUT_FILENO, STDERR_FILENO), STDERR_FILENO);
        assert_int_equal(client_refused(objects[0], 404, NULL), -EINVAL);
        assert_int_equal(client_refused(objects[1], 502, "no answer"), -EINVAL);
        assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
        (void) close(kept);
}

/* Print what @json says, with stdout in a file. */
static void capture(const struct cli *cli,
                void (*print)(const struct cli *cli, struct json_object *const *objects),
                const char *const json[4]) {
        int kept = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        struct json_object *objects[4] = {};
        FILE *file = tmpfile();
        size_t n;

        assert_non_null(file);
        for (size_t i = 0; i < 4; i++)
                objects[i] = json[i] ? object_of(json[i]) : NULL;
        (void) fflush(stdout);
        assert_int_equal(dup2(fileno(file), STDOUT_FILENO), STDOUT_FILENO);
        print(cli, objects);
        (void) fflush(stdout);
        assert_int_equal(dup2(kept, STDOUT_FILENO), STDOUT_FILENO);
        (void) close(kept);
        for (size_t i = 0; i < 4; i++)
                json_object_put(objects[i]);

        rewind(file);
        n = fread(text, 1, sizeof(text) - 1, file);
        text[n] = '\0';
        (void) fclose(file);
}

/* Nothing but @lines lines of characters that a terminal prints. */
static void expect_harmless(size_t lines) {
        for (const char *c = text; *c; c++) {
                if (*c == '\n')
                        lines--;
                else if ((unsigned char) *c < 0x20 || *c == 0x7f || *c == '\xc2')
                        fail_msg("byte %02x in: %s", (unsigned char) *c, text);
        }
        if (lines != 0)
                fail_msg("%zd lines too few: %s", (ssize_t) lines, text);
}

static const struct cli plain = { .host = "unix:/none" };
static const struct cli colored = { .host = "unix:/none", .color = true };
static const struct cli json = { .host = "unix:/none", .json = true, .color = true };

static void an_event_is_one_line(void **state) {
        static const char *const died[4] = {
                "{\"timestamp\":\"2026-06-07T12:00:01Z\",\"kind\":\"vm\",\"name\":\"web\","
                "\"action\":\"died\",\"message\":\"exit code 3\",\"severity\":\"error\","
                "\"synthetic\":true}"
        };

        capture(&plain, event, died);
        assert_string_equal(text,
                        "Jun 07 12:00:01  vm         web                   died         "
                        "exit code 3 [found afterwards, no event told it]\n");
        capture(&colored, event, died);
        assert_non_null(strstr(text, "\033[31mdied       \033[0m"));
        capture(&json, event, died);
        expect_harmless(1);
        assert_string_equal(text,
                        "{\"timestamp\":\"2026-06-07T12:00:01Z\",\"kind\":\"vm\",\"name\":\"web\","
                        "\"action\":\"died\",\"message\":\"exit code 3\",\"severity\":\"error\","
                        "\"synthetic\":true}\n");
}

static void an_event_with_hostile_texts_is_one_harmless_line(void **state) {
        capture(&plain, event,
                        (const char *const[4]){ "{\"timestamp\":\"" HOSTILE "\",\"kind\":\"" HOSTILE
                                                "\",\"name\":\"" HOSTILE "\",\"action\":\"" HOSTILE
                                                "\",\"message\":\"" HOSTILE
                                                "\",\"severity\":\"" HOSTILE "\"}" });
        expect_harmless(1);
        assert_non_null(strstr(text, "  " SHOWN "  " SHOWN "  " SHOWN "  " SHOWN "\n"));
        capture(&plain, event, (const char *const[4]){ "{\"name\":7,\"message\":null}" });
        expect_harmless(1);
        capture(&json, event, (const char *const[4]){ "{\"name\":\"\\u001b\\n\"}" });
        assert_string_equal(text, "{\"name\":\"\\u001b\\n\"}\n");
}

static void workloads_are_a_table(void **state) {
        static const char *const two[4] = {
                "[{\"id\":\"0123456789abcdef\",\"name\":\"web\",\"kind\":\"container\","
                "\"runtime\":\"docker\",\"state\":\"failed\",\"since\":\"2026-06-07T12:00:01Z\","
                "\"sample\":{\"cpu_pct\":12.34,\"mem_pct\":100,\"disk_pct\":null},"
                "\"last_exit\":{\"action\":\"OOMKilled\",\"reason\":\"oom\"}},"
                "{\"id\":\"b\",\"name\":\"" HOSTILE "\",\"kind\":\"" HOSTILE "\"}]"
        };

        capture(&plain, workloads, two);
        expect_harmless(3);
        assert_non_null(strstr(text,
                        "\n0123456789ab    web                            container  docker    failed     12.3  100.0"
                        "      -  Jun 07 12:00:01  OOMKilled (oom)\n"));
        assert_non_null(strstr(text, "  " SHOWN "  " SHOWN "  "));
        capture(&plain, workloads,
                        (const char *const[4]){
                                        "[{\"id\":\"\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\",\"name\":"
                                        "\"a-name-that-is-longer-than-most\"},"
                                        "{\"id\":\"b\",\"name\":\"c\",\"kind\":\"vm\"}]" });
        expect_harmless(3);
        assert_non_null(strstr(text, "\nb               c                                vm  "));
        assert_non_null(strstr(text, "  a-name-that-is-longer-than-most  "));
        capture(&plain, workloads, (const char *const[4]){ "[]" });
        expect_harmless(1);
        capture(&json, workloads, (const char *const[4]){ "[]" });
        assert_string_equal(text, "[]\n");
}

static void nodes_are_a_table(void **state) {
        static const char *const two[4] = {
                "[{\"name\":\"host1\",\"role\":\"hypervisor\",\"status\":\"ready\",\"cpu_cores\":8,"
                "\"cpu_usage_percent\":12.34,\"memory_total_bytes\":17179869184,"
                "\"memory_used_bytes\":8589934592,\"pod_count\":3,\"uptime_secs\":7260.5,"
                "\"load\":{\"1m\":0.52},\"sample\":{\"cpu_pct\":12.34,\"mem_pct\":50,"
                "\"disk_pct\":null}},"
                "{\"name\":\"" HOSTILE
                "\",\"role\":7,\"uptime_secs\":-1,\"load\":\"x\","
                "\"sample\":{\"cpu_pct\":1e300}}]"
        };

        capture(&plain, nodes, two);
        expect_harmless(3);
        assert_non_null(strstr(text,
                        "\nhost1                 hypervisor      ready         8   12.3"
                        "        8.0       16.0   50.0      -     0.5      2:01  3\n"));
        assert_non_null(strstr(text, "\n" SHOWN "  "));
        capture(&plain, nodes, (const char *const[4]){ "{}" });
        expect_harmless(1);
        capture(&json, nodes, (const char *const[4]){ "[]" });
        assert_string_equal(text, "[]\n");
}

static const char *const good_status[4] = {
        "{\"ready\":true,\"sources\":{\"docker\":{\"state\":\"up\"},"
        "\"" HOSTILE "\":{\"state\":\"down\",\"error\":\"" HOSTILE "\"}}}",
        "{\"status\":\"ok\",\"uptime_secs\":17}", "{\"version\":\"0.1\",\"node\":\"host\"}",
        "[{\"state\":\"running\"},{\"state\":\"failed\"}]"
};

static void the_status_names_each_source(void **state) {
        capture(&plain, status, good_status);
        expect_harmless(7);
        assert_string_equal(text,
                        "Node       host\nVersion    0.1\nReady      yes\nUptime     17 s\n"
                        "Workloads  2, 1 running\nSource     up          docker\n"
                        "Source     down        " SHOWN ": " SHOWN "\n");
        capture(&json, status, good_status);
        expect_harmless(1);
        assert_non_null(strstr(text, "\"workloads\":2,\"running\":1,"));
}

static void a_warning_is_a_harmless_line_too(void **state) {
        capture(&plain, event, (const char *const[4]){ "{\"warning\":\"missed 3 events\"}" });
        assert_string_equal(text, "-- missed 3 events --\n");
        capture(&plain, event, (const char *const[4]){ "{\"warning\":\"" HOSTILE "\"}" });
        assert_string_equal(text, "-- " SHOWN " --\n");
}

static void an_event_with_a_detail_called_warning_is_an_event(void **state) {
        capture(&plain, event,
                        (const char *const[4]){ "{\"action\":\"died\",\"warning\":\"disk\"}" });
        assert_non_null(strstr(text, "  died"));
        assert_null(strstr(text, "disk"));
}

static void hostile_exits_and_hosts_are_harmless(void **state) {
        capture(&plain, workloads,
                        (const char *const[4]){ "[{\"last_exit\":{\"action\":\"" HOSTILE
                                                "\",\"reason\":\"" HOSTILE "\"}}]" });
        expect_harmless(2);
        assert_non_null(strstr(text, SHOWN " (" SHOWN ")\n"));
        capture(&plain, status,
                        (const char *const[4]){ "{\"sources\":{\"a\":{\"state\":\"" HOSTILE "\"}}}",
                                        "{}",
                                        "{\"version\":\"" HOSTILE "\",\"node\":\"" HOSTILE "\"}",
                                        "[]" });
        expect_harmless(6);
        assert_non_null(strstr(text, "Node       " SHOWN "\nVersion    " SHOWN "\n"));
        assert_non_null(strstr(text, "Source     " SHOWN "  a\n"));
}

static void answers_of_the_wrong_shape_are_empty(void **state) {
        static const char *const shapes[] = { "{}", "[]", "null", "7", "\"text\"", "[null]", "[[]]",
                "{\"sources\":[1]}", "{\"sources\":{\"a\":null}}" };

        for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
                const char *const same[4] = { shapes[i], shapes[i], shapes[i], shapes[i] };

                capture(&plain, event, same);
                expect_harmless(1);
                capture(&plain, workloads, same);
                assert_non_null(strstr(text, "LAST EXIT\n"));
                capture(&plain, status, same);
                assert_non_null(strstr(text, "Node       \nVersion    \nReady      no\n"));
                capture(&json, status, same);
                expect_harmless(1);
        }
}

/* ---- timelines and analytics ---- */

static void timeline(const struct cli *cli, struct json_object *const *objects) {
        struct timeline_printer printer = { .cli = cli, .slug = "shop" };

        for (size_t i = 0; i < 4 && objects[i]; i++)
                print_timeline(&printer, objects[i]);
}

static void analytics(const struct cli *cli, struct json_object *const *objects) {
        print_analytics(cli, objects[0]);
}

static void a_timeline_has_a_line_a_day_and_aligned_rows(void **state) {
        static const char *const events[4] = {
                "{\"timestamp\":\"2026-06-26T02:58:03.5Z\",\"severity\":\"warning\",\"action\":\"probe_down\",\"name\":\"shop\","
                "\"message\":\"shop is down, 3 failures in a row\"}",
                "{\"timestamp\":\"2026-06-26T02:58:01Z\",\"severity\":\"error\",\"action\":\"OOMKilled\",\"name\":\"web-1\","
                "\"message\":\"exit code 137\",\"synthetic\":true}",
                "{\"timestamp\":\"2026-06-25T23:59:59Z\",\"severity\":\"info\",\"action\":\"deploy_succeeded\","
                "\"name\":\"shop\",\"message\":\"commit a58e5a0\"}",
                "{\"warning\":\"missed 5 events\"}",
        };

        capture(&plain, timeline, events);
        assert_string_equal(text,
                        "Fri 2026-06-26\n"
                        "  02:58:03  warning  probe_down                            "
                        "shop is down, 3 failures in a row\n"
                        "  02:58:01  error    OOMKilled           web-1             "
                        "exit code 137 [found afterwards, no event told it]\n"
                        "\n"
                        "Thu 2026-06-25\n"
                        "  23:59:59  info     deploy_succeeded                      "
                        "commit a58e5a0\n"
                        "-- missed 5 events --\n");
        capture(&json, timeline, events);
        assert_non_null(strstr(text, "\"action\":\"probe_down\""));
}

static void a_hostile_timeline_is_harmless(void **state) {
        static const char *const events[4] = {
                "{\"timestamp\":\"2026-06-26T02:58:03Z\",\"severity\":\"" HOSTILE
                "\",\"action\":\"" HOSTILE "\",\"name\":\"" HOSTILE "\",\"message\":\"" HOSTILE
                "\"}",
                "{\"warning\":\"" HOSTILE "\"}",
                "{\"timestamp\":5,\"severity\":[],\"action\":{},\"name\":null,\"message\":1e308}",
                "{\"timestamp\":\"9999-12-31T23:59:59Z\"}",
        };

        capture(&plain, timeline, events);
        expect_harmless(6); /* day, row, warning, blank, day, row */
}

static void an_import_that_goes_on_is_said_before_the_table(void **state) {
        static const char *const going
                        [4] = { "{\"slug\":\"shop\",\"days\":7,\"rollups\":[],\"import\":{\"done_bytes\":1258291200,"
                                "\"total_bytes\":5368709120}}" },
                   *const none[4] = { "{\"slug\":\"shop\",\"days\":7,\"rollups\":[]}" },
                   *const bad[4] = {
                           "{\"rollups\":[],\"import\":{\"done_bytes\":\"x\",\"total_bytes\":-5}}"
                   };

        capture(&plain, analytics, going);
        assert_ptr_equal(strstr(text, "Importing logs: 1200 of 5120 MiB (23 %);"), text);
        capture(&plain, analytics, none);
        assert_ptr_equal(strstr(text, "DATE"), text);
        capture(&plain, analytics, bad);
        assert_ptr_equal(strstr(text, "DATE"), text);
}

static void a_refusal_is_a_harmless_line(void **state) {
        capture(&plain, refusal,
                        (const char *const[4]){
                                        "{\"error\":{\"message\":\"" HOSTILE "\"}}", "[]" });
        assert_string_equal(text, "virtwatch: 404: " SHOWN "\nvirtwatch: 502: no answer\n");
        capture(&plain, refusal, (const char *const[4]){ "{\"error\":{\"message\":7}}" });
        assert_string_equal(text, "virtwatch: 404: refused\nvirtwatch: 502: no answer\n");
}

/* As Berlin has it. */
static time_t berlin(int year, int month, int day, int hour, int minute) {
        struct tm tm = { .tm_year = year - 1900,
                .tm_mon = month - 1,
                .tm_mday = day,
                .tm_hour = hour,
                .tm_min = minute,
                .tm_isdst = -1 };

        return mktime(&tm);
}

static const char *near(time_t then_s, time_t now_s) {
        struct tm tm = {};

        (void) localtime_r(&then_s, &tm);
        return print_near_day(&tm, now_s);
}

static void yesterday_is_the_day_before_also_where_the_clocks_change(void **state) {
        (void) setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
        tzset();
        /* 2026-10-25 has 25 hours, 2026-03-29 has 23 */
        assert_string_equal(near(berlin(2026, 10, 24, 12, 0), berlin(2026, 10, 25, 23, 30)),
                        " (yesterday)");
        assert_string_equal(near(berlin(2026, 10, 25, 0, 30), berlin(2026, 10, 25, 23, 30)),
                        " (today)");
        assert_string_equal(near(berlin(2026, 3, 29, 12, 0), berlin(2026, 3, 30, 0, 30)),
                        " (yesterday)");
        assert_string_equal(near(berlin(2026, 3, 28, 12, 0), berlin(2026, 3, 30, 0, 30)), "");
        assert_string_equal(near(berlin(2025, 12, 31, 23, 59), berlin(2026, 1, 1, 0, 0)),
                        " (yesterday)");
        assert_string_equal(near(berlin(2024, 12, 31, 12, 0), berlin(2026, 1, 1, 0, 0)), "");
        (void) setenv("TZ", "UTC", 1);
        tzset();
}

static int utc(void **state) {
        (void) setenv("TZ", "UTC", 1);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_event_is_one_line),
                cmocka_unit_test(an_event_with_hostile_texts_is_one_harmless_line),
                cmocka_unit_test(workloads_are_a_table),
                cmocka_unit_test(nodes_are_a_table),
                cmocka_unit_test(the_status_names_each_source),
                cmocka_unit_test(a_warning_is_a_harmless_line_too),
                cmocka_unit_test(an_event_with_a_detail_called_warning_is_an_event),
                cmocka_unit_test(hostile_exits_and_hosts_are_harmless),
                cmocka_unit_test(answers_of_the_wrong_shape_are_empty),
                cmocka_unit_test(a_timeline_has_a_line_a_day_and_aligned_rows),
                cmocka_unit_test(a_hostile_timeline_is_harmless),
                cmocka_unit_test(yesterday_is_the_day_before_also_where_the_clocks_change),
                cmocka_unit_test(an_import_that_goes_on_is_said_before_the_table),
                cmocka_unit_test(a_refusal_is_a_harmless_line),
        };

        return cmocka_run_group_tests(tests, utc, NULL);
}
