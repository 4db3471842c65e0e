/* Lines of Caddy's access log: every way to write them, and every way in which they are wrong. */

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "model/access_line.h"
#include "test.h"

#define NOW_US (UINT64_C(1795232700) * USEC_PER_SEC)

static const struct access_rules rules = { .now_us = NOW_US,
        .oldest_us = NOW_US - 86400 * USEC_PER_SEC };

static enum access_verdict parse(
                const char *text, enum access_duration unit, struct access_line *ret_line) {
        struct access_rules with_unit = rules;

        with_unit.duration = unit;
        return access_line_parse(text, strlen(text), &with_unit, ret_line);
}

/* A line with these members in place of the usual ones; NULL: the usual. "": left out. */
static const char *line_of(const char *ts, const char *status, const char *size,
                const char *duration, const char *host) {
        const struct {
                const char *name, *given, *usual;
        } members[] = { { "ts", ts, "1795232620.5" }, { "status", status, "200" },
                { "size", size, "6" }, { "duration", duration, "0.25" } };
        static char text[1024];
        size_t n;

        host = host ? host : "\"a.test\"";
        n = (size_t) snprintf(text, sizeof(text),
                        "{\"logger\":\"http.log.access.log0\",\"request\":{%s%s}",
                        host[0] ? "\"host\":" : "", host);
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
                const char *value = members[i].given ? members[i].given : members[i].usual;

                if (value[0])
                        n += (size_t) snprintf(text + n, sizeof(text) - n, ",\"%s\":%s",
                                        members[i].name, value);
        }
        (void) snprintf(text + n, sizeof(text) - n, "}");
        return text;
}

static void every_line_that_caddy_wrote_is_read(void **state) {
        FILE *file = fopen(FIXTURES_DIR "/caddy262-access.jsonl", "re");
        unsigned int n = 0, zero = 0, found = 0, shop = 0;
        static char text[65536];
        struct access_line line;

        assert_non_null(file);
        while (fgets(text, sizeof(text), file)) {
                text[strcspn(text, "\n")] = '\0';
                assert_int_equal(parse(text, ACCESS_DURATION_AUTO, &line), ACCESS_OK);
                assert_true(line.has_duration);
                n++;
                zero += line.status == 0;
                found += line.status == 404;
                shop += strcmp(line.host, "shop.test") == 0;
        }
        (void) fclose(file);
        assert_int_equal(n, 262);
        assert_int_equal(zero, 13);
        assert_int_equal(found, 17);
        assert_int_equal(shop, 101);
}

static void the_first_line_is_read_to_the_last_digit(void **state) {
        static const char text[] =
                        "{\"level\":\"info\",\"ts\":1795232620.6639907,\"logger\":\"http.log.access.log1\","
                        "\"msg\":\"handled request\",\"request\":{\"remote_ip\":\"127.0.0.1\",\"host\":"
                        "\"Shop.Test:18443\",\"headers\":{\"Host\":[\"no\"]}},\"duration\":0.000223784,"
                        "\"size\":18446744,\"status\":206,\"resp_headers\":{\"status\":[\"500\"]}}";
        struct access_line line;

        assert_int_equal(parse(text, ACCESS_DURATION_AUTO, &line), ACCESS_OK);
        assert_int_equal(line.time_us, UINT64_C(1795232620663990));
        assert_int_equal(line.duration_ns, 223784);
        assert_int_equal(line.bytes_out, 18446744);
        assert_int_equal(line.status, 206);
        assert_string_equal(line.host, "shop.test");
}

static void times_tell_their_format(void **state) {
        static const char *const texts[] = { "1795232620.25", "1795232620250", "1795232620250.75",
                "1795232620250000000", "1.79523262025e9", "\"2026-11-21T03:43:40.25Z\"",
                "\"2026-11-21T05:43:40.250+02:00\"", "\"2026-11-21T05:43:40.250+0200\"",
                "\"2026-11-20T20:43:40.250-0700\"", "\"2026/11/21 03:43:40.250\"",
                "\"2026/11/21 03:43:40.250000000\"" };
        struct access_line line;

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                if (parse(line_of(texts[i], NULL, NULL, NULL, NULL), ACCESS_DURATION_AUTO, &line) !=
                                                ACCESS_OK ||
                                line.time_us / 1000 != UINT64_C(1795232620250))
                        fail_msg("%s is %ju", texts[i], (uintmax_t) line.time_us);
        }
        assert_int_equal(parse(line_of("\"21/Nov/2026:05:43:40 +0200\"", NULL, NULL, NULL, NULL),
                                         ACCESS_DURATION_AUTO, &line),
                        ACCESS_OK);
        assert_int_equal(line.time_us, UINT64_C(1795232620000000));
        assert_int_equal(parse(line_of("\"2026/11/21 03:43:40\"", NULL, NULL, NULL, NULL),
                                         ACCESS_DURATION_AUTO, &line),
                        ACCESS_OK);
        assert_int_equal(line.time_us, UINT64_C(1795232620000000));
}

static void durations_are_in_the_unit_that_was_told(void **state) {
        static const struct {
                const char *text;
                enum access_duration unit;
                uint64_t ns;
        } rows[] = {
                { "0.25", ACCESS_DURATION_AUTO, 250000000 },
                { "1.5e-05", ACCESS_DURATION_AUTO, 15000 },
                { "2E0", ACCESS_DURATION_AUTO, 2000000000 },
                { "0", ACCESS_DURATION_AUTO, 0 },
                { "3", ACCESS_DURATION_SECONDS, UINT64_C(3000000000) },
                { "250", ACCESS_DURATION_MS, 250000000 },
                { "0.5", ACCESS_DURATION_MS, 500000 },
                { "223784", ACCESS_DURATION_NS, 223784 },
                { "\"223.784\xc2\xb5s\"", ACCESS_DURATION_AUTO, 223784 },
                { "\"223.784us\"", ACCESS_DURATION_NS, 223784 },
                { "\"1.5ms\"", ACCESS_DURATION_AUTO, 1500000 },
                { "\"900ns\"", ACCESS_DURATION_AUTO, 900 },
                { "\"0s\"", ACCESS_DURATION_AUTO, 0 },
                { "\"1h2m3.5s\"", ACCESS_DURATION_AUTO, UINT64_C(3723500000000) },
        };
        struct access_line line;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                if (parse(line_of(NULL, NULL, NULL, rows[i].text, NULL), rows[i].unit, &line) !=
                                                ACCESS_OK ||
                                !line.has_duration || line.duration_ns != rows[i].ns)
                        fail_msg("%s is %ju", rows[i].text, (uintmax_t) line.duration_ns);
        }
}

static void an_integer_whose_unit_nobody_told_is_no_duration(void **state) {
        struct access_line line;

        assert_int_equal(parse(line_of(NULL, NULL, NULL, "223784", NULL), ACCESS_DURATION_AUTO,
                                         &line),
                        ACCESS_OK);
        assert_false(line.has_duration);
}

static void hosts_lose_port_case_and_last_dot(void **state) {
        static const struct {
                const char *text, *host;
        } rows[] = {
                { "\"Shop.TEST:8443\"", "shop.test" },
                { "\"shop.test.\"", "shop.test" },
                { "\"10.0.0.1:80\"", "10.0.0.1" },
                { "\"[2001:DB8::1]:8443\"", "2001:db8::1" },
                { "\"[::1]\"", "::1" },
                { "\"a_b-c.test\"", "a_b-c.test" },
                { "\"\\u0061.test\"", "a.test" },
                { "\"\"", "" },
                { "\".\"", "" },
                { "\":80\"", "" },
                { "\"a.test:80x\"", "" },
                { "\"a.test:123456\"", "" },
                { "\"a:1:2\"", "" },
                { "\"[::1\"", "" },
                { "\"[::1]x\"", "" },
                { "\"[\"", "" },
                { "\"a b\"", "" },
                { "\"a\\u0000b\"", "" },
                { "\"<script>\"", "" },
                { "\"\xc3\xa9.test\"", "" },
        };
        struct access_line line;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                assert_int_equal(parse(line_of(NULL, NULL, NULL, NULL, rows[i].text),
                                                 ACCESS_DURATION_AUTO, &line),
                                ACCESS_OK);
                if (strcmp(line.host, rows[i].host) != 0)
                        fail_msg("%s is '%s'", rows[i].text, line.host);
        }
}

static void the_longest_host_fits_and_a_longer_one_is_none(void **state) {
        char host[ACCESS_HOST_MAX + 4];
        struct access_line line;

        memset(host, 'a', sizeof(host));
        host[0] = '"';
        memcpy(host + ACCESS_HOST_MAX + 1, "\"", 2);
        assert_int_equal(parse(line_of(NULL, NULL, NULL, NULL, host), ACCESS_DURATION_AUTO, &line),
                        ACCESS_OK);
        assert_int_equal(strlen(line.host), ACCESS_HOST_MAX);
        memcpy(host + ACCESS_HOST_MAX + 1, "a\"", 3);
        assert_int_equal(parse(line_of(NULL, NULL, NULL, NULL, host), ACCESS_DURATION_AUTO, &line),
                        ACCESS_OK);
        assert_string_equal(line.host, "");
}

static void wrong_lines_are_told_apart(void **state) {
        static const struct {
                const char *ts, *status, *size, *duration, *host;
                enum access_verdict verdict;
        } rows[] = {
                { .ts = "", .verdict = ACCESS_BAD_TIME },
                { .ts = "null", .verdict = ACCESS_BAD_TIME },
                { .ts = "true", .verdict = ACCESS_BAD_TIME },
                { .ts = "{}", .verdict = ACCESS_BAD_TIME },
                { .ts = "-5", .verdict = ACCESS_BAD_TIME },
                { .ts = "1e308", .verdict = ACCESS_BAD_TIME },
                { .ts = "99999999999999999999", .verdict = ACCESS_BAD_TIME },
                { .ts = "\"yesterday\"", .verdict = ACCESS_BAD_TIME },
                { .ts = "\"2026-02-30T00:00:00Z\"", .verdict = ACCESS_BAD_TIME },
                { .ts = "\"21/Nix/2026:05:43:40 +0200\"", .verdict = ACCESS_BAD_TIME },
                { .ts = "\"2026-11-21T03:43:40\\u005a\"", .verdict = ACCESS_BAD_TIME },
                { .ts = "0.5", .verdict = ACCESS_EXPIRED },
                { .ts = "1e-30", .verdict = ACCESS_EXPIRED },
                { .ts = "1795233001", .verdict = ACCESS_FUTURE },
                { .ts = "1795232999.999", .verdict = ACCESS_OK },
                { .ts = "\"2126-11-21T03:43:40Z\"", .verdict = ACCESS_FUTURE },
                { .status = "", .verdict = ACCESS_BAD_STATUS },
                { .status = "\"200\"", .verdict = ACCESS_BAD_STATUS },
                { .status = "99", .verdict = ACCESS_BAD_STATUS },
                { .status = "100", .verdict = ACCESS_OK },
                { .status = "599", .verdict = ACCESS_OK },
                { .status = "600", .verdict = ACCESS_BAD_STATUS },
                { .status = "200.0", .verdict = ACCESS_BAD_STATUS },
                { .status = "2e2", .verdict = ACCESS_BAD_STATUS },
                { .status = "-200", .verdict = ACCESS_BAD_STATUS },
                { .status = "0", .verdict = ACCESS_OK },
                { .size = "", .verdict = ACCESS_BAD_SIZE },
                { .size = "-1", .verdict = ACCESS_BAD_SIZE },
                { .size = "[6]", .verdict = ACCESS_BAD_SIZE },
                { .size = "1125899906842624", .verdict = ACCESS_OK },
                { .size = "1125899906842625", .verdict = ACCESS_BAD_SIZE },
                { .size = "18446744073709551616", .verdict = ACCESS_BAD_SIZE },
                { .duration = "", .verdict = ACCESS_BAD_DURATION },
                { .duration = "null", .verdict = ACCESS_BAD_DURATION },
                { .duration = "-0.5", .verdict = ACCESS_BAD_DURATION },
                { .duration = "1e308", .verdict = ACCESS_BAD_DURATION },
                { .duration = "\"\"", .verdict = ACCESS_BAD_DURATION },
                { .duration = "\"s\"", .verdict = ACCESS_BAD_DURATION },
                { .duration = "\"1.5\"", .verdict = ACCESS_BAD_DURATION },
                { .duration = "\"-1s\"", .verdict = ACCESS_BAD_DURATION },
                { .duration = "\"1 s\"", .verdict = ACCESS_BAD_DURATION },
                { .duration = "\"9999999999h\"", .verdict = ACCESS_BAD_DURATION },
                { .host = "", .verdict = ACCESS_BAD_HOST },
                { .host = "5", .verdict = ACCESS_BAD_HOST },
                { .host = "[\"a\"]", .verdict = ACCESS_BAD_HOST },
        };
        struct access_line line;
        enum access_verdict verdict;
        const char *text;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                text = line_of(rows[i].ts, rows[i].status, rows[i].size, rows[i].duration,
                                rows[i].host);
                verdict = parse(text, ACCESS_DURATION_AUTO, &line);
                if (verdict != rows[i].verdict)
                        fail_msg("%s: %s, not %s", text, access_verdict_to_string(verdict),
                                        access_verdict_to_string(rows[i].verdict));
        }
}

static void halves_are_no_json(void **state) {
        struct access_line line;
        char text[1024];
        size_t n;

        (void) snprintf(text, sizeof(text), "%s", line_of(NULL, NULL, NULL, NULL, NULL));
        for (n = strlen(text); n > 0; n--) {
                text[n - 1] = '\0';
                assert_int_equal(parse(text, ACCESS_DURATION_AUTO, &line), ACCESS_NOT_JSON);
        }
        (void) snprintf(text, sizeof(text), "%s", line_of(NULL, NULL, NULL, NULL, NULL));
        assert_int_equal(parse(text + 1, ACCESS_DURATION_AUTO, &line), ACCESS_NOT_JSON);
}

static void lines_of_other_logs_are_not_counted_as_requests(void **state) {
        static const char *const texts[] = {
                "{\"level\":\"info\",\"ts\":1795232620.1,\"msg\":\"serving initial configuration\"}",
                "{\"level\":\"error\",\"ts\":1795232620.1,\"logger\":\"http.log.error.log0\",\"msg\":\"boom\",\"request\":{\"host\":\"a.test\"},\"duration\":0.1,\"status\":502,\"size\":0}",
                "{\"logger\":5,\"request\":{},\"status\":200}",
                "[]",
                "5",
                "{}",
                "[{\"logger\":\"http.log.access\"}]",
        };
        struct access_line line;

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (parse(texts[i], ACCESS_DURATION_AUTO, &line) != ACCESS_OTHER_LOG)
                        fail_msg("taken: %s", texts[i]);
}

static void a_line_without_a_logger_is_known_by_its_request(void **state) {
        struct access_line line;

        assert_int_equal(
                        parse("{\"time\":1795232620.1,\"request\":{\"host\":\"a.test\"},\"duration\":0.1,"
                              "\"status\":502,\"size\":0}",
                                        ACCESS_DURATION_AUTO, &line),
                        ACCESS_OK);
        assert_int_equal(line.status, 502);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_line_that_caddy_wrote_is_read),
                cmocka_unit_test(the_first_line_is_read_to_the_last_digit),
                cmocka_unit_test(times_tell_their_format),
                cmocka_unit_test(durations_are_in_the_unit_that_was_told),
                cmocka_unit_test(an_integer_whose_unit_nobody_told_is_no_duration),
                cmocka_unit_test(hosts_lose_port_case_and_last_dot),
                cmocka_unit_test(the_longest_host_fits_and_a_longer_one_is_none),
                cmocka_unit_test(wrong_lines_are_told_apart),
                cmocka_unit_test(halves_are_no_json),
                cmocka_unit_test(lines_of_other_logs_are_not_counted_as_requests),
                cmocka_unit_test(a_line_without_a_logger_is_known_by_its_request),
        };

        return RUN_TESTS(tests);
}
