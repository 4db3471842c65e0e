/* Probes as they are written, at and past every bound; what runs come to; whose turn is when. */

#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "model/probe.h"
#include "test.h"

static int parse(const char *text, struct probe_config *config, struct diag *diag) {
        struct json_object *object = NULL;
        int r;

        assert_int_equal(json_parse(text, strlen(text), &object), 0);
        r = probe_config_parse(object, diag, config);
        (void) json_object_put(object);
        return r;
}

static struct probe_config config_of(const char *text) {
        struct probe_config config;
        struct diag diag = {};

        if (parse(text, &config, &diag) < 0)
                fail_msg("%s: %s", text, diag.text);
        return config;
}

static void check_refused(const char *text, const char *member) {
        struct probe_config config = { .interval_s = 7 };
        struct diag diag = {};

        if (parse(text, &config, &diag) != -EINVAL)
                fail_msg("taken: %s", text);
        if (strncmp(diag.text, member, strlen(member)) != 0 || diag.text[strlen(member)] != ':')
                fail_msg("%s: %s", text, diag.text);
        assert_int_equal(config.interval_s, 7); /* untouched */
}

static void what_is_not_there_has_its_default(void **state) {
        struct probe_config config = config_of("{}");
        _cleanup_(json_putp) struct json_object *object = probe_config_to_json(&config);

        assert_string_equal(json_text(object),
                        "{\"path\":\"/\",\"interval_s\":60,\"expected_status\":200,\"timeout_s\":5,\"enabled\":true}");
        assert_int_equal(config.failures, 3);
        assert_int_equal(config.successes, 2);
        assert_false(config.follow_redirects);
        assert_false(config.insecure);
}

static void numbers_are_whole_and_within_their_bounds(void **state) {
        static const struct {
                const char *name;
                unsigned int min, max;
        } members[] = { { "interval_s", 1, 86400 }, { "expected_status", 100, 599 },
                { "timeout_s", 1, 60 }, { "failures", 1, 100 }, { "successes", 1, 100 },
                { "port", 1, 65535 } };
        static const char *const bad[] = { "-1", "1e308", "-1e308", "1.5", "60.0", "6e1", "\"60\"",
                "null", "true", "[]", "{}", "18446744073709551615", "18446744073709551617",
                "-9223372036854775809", "4294967356", "0.0", "-0.0" };
        struct probe_config config;
        struct diag diag = {};
        char text[128];

        for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
                for (size_t j = 0; j < ARRAY_SIZE(bad); j++) {
                        (void) snprintf(text, sizeof(text), "{\"%s\":%s}", members[i].name, bad[j]);
                        check_refused(text, members[i].name);
                }
                (void) snprintf(text, sizeof(text), "{\"%s\":%u}", members[i].name, members[i].min);
                assert_int_equal(parse(text, &config, &diag), 0);
                (void) snprintf(text, sizeof(text), "{\"%s\":%u}", members[i].name, members[i].max);
                assert_int_equal(parse(text, &config, &diag), 0);
                (void) snprintf(text, sizeof(text), "{\"%s\":%u}", members[i].name,
                                members[i].min - 1);
                check_refused(text, members[i].name);
                (void) snprintf(text, sizeof(text), "{\"%s\":%u}", members[i].name,
                                members[i].max + 1);
                check_refused(text, members[i].name);
        }
}

static void not_a_number_is_no_json(void **state) {
        static const char *const bad[] = { "{\"interval_s\":NaN}", "{\"interval_s\":Infinity}",
                "{\"interval_s\":-}", "{\"interval_s\":060}", "{\"interval_s\":0x3c}" };
        struct json_object *object = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(json_parse(bad[i], strlen(bad[i]), &object), -EINVAL);
}

static void flags_are_true_or_false(void **state) {
        check_refused("{\"enabled\":1}", "enabled");
        check_refused("{\"enabled\":\"true\"}", "enabled");
        check_refused("{\"enabled\":null}", "enabled");
        check_refused("{\"follow_redirects\":0}", "follow_redirects");
        check_refused("{\"insecure\":\"no\"}", "insecure");
        assert_false(config_of("{\"enabled\":false}").enabled);
        assert_true(config_of("{\"insecure\":true}").insecure);
}

static void a_target_is_said_once(void **state) {
        check_refused("{\"target\":\"VM\"}", "target");
        check_refused("{\"target\":\"\"}", "target");
        check_refused("{\"target\":5}", "target");
        check_refused("{\"target\":\"vm\\u0000\"}", "target");
        check_refused("{\"target\":\"vm\",\"url\":\"http://x\"}", "target");
        check_refused("{\"target\":\"route\",\"url\":\"http://x\"}", "target");
        check_refused("{\"port\":80,\"url\":\"http://x\"}", "port");
        check_refused("{\"port\":80,\"target\":\"route\"}", "port");
        assert_int_equal(config_of("{\"target\":\"vm\",\"port\":8080}").target, PROBE_TARGET_VM);
        assert_int_equal(config_of("{\"target\":\"auto\",\"url\":\"http://x\"}").target,
                        PROBE_TARGET_AUTO);
}

static void paths_cannot_carry_a_second_request(void **state) {
        static const char *const bad[] = { "\"\"", "\"healthz\"", "\"/a b\"", "\"/a\\r\\nHost: x\"",
                "\"/a\\n\"", "\"/a\\u0000b\"", "\"/a\\tb\"", "\"/\\u00e4\"", "\"/a#b\"",
                "\"/\\u007f\"", "\"http://x/\"", "5", "null", "[]", "\"/\\\\x\"", "\"/<\"" };
        char text[PROBE_PATH_MAX + 64], path[PROBE_PATH_MAX + 2];

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                (void) snprintf(text, sizeof(text), "{\"path\":%s}", bad[i]);
                check_refused(text, "path");
        }
        memset(path, 'a', sizeof(path));
        path[0] = '/';
        path[PROBE_PATH_MAX] = '\0';
        (void) snprintf(text, sizeof(text), "{\"path\":\"%s\"}", path);
        assert_int_equal(strlen(config_of(text).path), PROBE_PATH_MAX);
        path[PROBE_PATH_MAX] = 'a';
        path[PROBE_PATH_MAX + 1] = '\0';
        (void) snprintf(text, sizeof(text), "{\"path\":\"%s\"}", path);
        check_refused(text, "path");
        assert_string_equal(config_of("{\"path\":\"/a%0d%0a?x=%20&y\"}").path, "/a%0d%0a?x=%20&y");
}

static void urls_are_http_and_have_no_user(void **state) {
        static const char *const bad[] = { "", "x", "ftp://x/", "file:///etc/passwd",
                "gopher://x:70/", "dict://x", "http:/x", "http://", "http:///x", "http://?x",
                "http://user@x/", "http://127.0.0.1@x", "http://u:p@x", "http://x:0",
                "http://x:65536", "http://x:99999999", "http://x:", "http://x:8a", "http://a b/",
                "http://x\\r\\nHost: y/", "http://[::1", "http://[::1]x",
                "http://[fe80::1%25eth0]/", "http://x%2e/", "http://x\\\\@y/", "http://x/a#b",
                "javascript:x", "unix:/run/docker.sock", "http://\\u2460.0.0.1",
                "http://x/?\\u0000", " http://x", "//x", "HTTP//x", "http://x,y/", "http://x;y",
                "http://{a,b}/", "http://x[1-9]/" };
        struct probe_config config;
        char text[PROBE_URL_MAX + 600];

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                (void) snprintf(text, sizeof(text), "{\"url\":\"%s\"}", bad[i]);
                check_refused(text, "url");
        }
        check_refused("{\"url\":5}", "url");
        check_refused("{\"url\":\"http://x/a\",\"path\":\"/b\"}", "url");
        check_refused("{\"path\":\"/b\",\"url\":\"http://x?a\"}", "url");
        (void) snprintf(text, sizeof(text), "{\"url\":\"http://%0300d\"}", 0);
        check_refused(text, "url");
        config = config_of("{\"url\":\"HTTPS://Shop.Example:8443/healthz?deep=1\"}");
        assert_string_equal(config.url, "https://shop.example:8443");
        assert_string_equal(config.path, "/healthz?deep=1");
        config = config_of("{\"url\":\"http://[::ffff:10.0.0.1]:65535/\",\"path\":\"/b\"}");
        assert_string_equal(config.url, "http://[::ffff:10.0.0.1]:65535");
        assert_string_equal(config.path, "/b");
}

static void unknown_members_are_named(void **state) {
        check_refused("{\"interval\":60}", "interval");
        check_refused("{\"config\":{}}", "config");
}

static void a_name_is_cut_at_a_character(void **state) {
        struct probe_config config;
        struct diag diag = {};
        char text[128], *at = text;

        at += snprintf(at, 8, "{\"a");
        for (int i = 0; i < 40; i++)
                at += snprintf(at, 8, "\xc3\xa4");
        (void) snprintf(at, 8, "\":1}");
        assert_int_equal(parse(text, &config, &diag), -EINVAL);
        assert_true(text_is_utf8(diag.text, strlen(diag.text)));
        assert_non_null(strstr(diag.text, "there is no such member"));
}

static void the_target_is_the_url_or_the_first_host(void **state) {
        struct probe_config config = config_of("{\"path\":\"/healthz\"}");
        char target[PROBE_TARGET_MAX + 1];

        assert_int_equal(probe_url(&config, NULL, NULL, target), -ENOENT);
        assert_int_equal(probe_url(&config, "shop.example", NULL, target), 0);
        assert_string_equal(target, "http://shop.example/healthz");
        assert_int_equal(probe_url(&config, "shop.example:443", NULL, target), 0);
        assert_string_equal(target, "https://shop.example:443/healthz");
        assert_int_equal(probe_url(&config, "shop.example:8443", "10.0.0.5", target), 0);
        assert_string_equal(target, "http://shop.example:8443/healthz");
        config = config_of("{\"url\":\"http://10.0.0.5:80\",\"path\":\"/x\"}");
        assert_int_equal(probe_url(&config, "shop.example", NULL, target), 0);
        assert_string_equal(target, "http://10.0.0.5:80/x");
}

static void a_vm_is_asked_by_its_address(void **state) {
        static const struct {
                const char *config, *host, *address, *target;
        } cases[] = {
                { "{}", NULL, "10.0.0.5", "http://10.0.0.5:80/" },
                { "{}", NULL, NULL, NULL },
                { "{\"port\":8080,\"path\":\"/x\"}", NULL, "10.0.0.5", "http://10.0.0.5:8080/x" },
                { "{\"port\":443}", NULL, "2001:db8::7", "https://[2001:db8::7]:443/" },
                { "{\"target\":\"vm\"}", "shop.example", "10.0.0.5", "http://10.0.0.5:80/" },
                { "{\"target\":\"vm\"}", "shop.example", NULL, NULL },
                { "{\"target\":\"route\"}", "shop.example", "10.0.0.5", "http://shop.example/" },
                { "{\"target\":\"route\"}", NULL, "10.0.0.5", NULL },
                { "{\"target\":\"auto\"}", "shop.example", "10.0.0.5", "http://shop.example/" },
        };
        char target[PROBE_TARGET_MAX + 1];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct probe_config config = config_of(cases[i].config);
                int r = probe_url(&config, cases[i].host, cases[i].address, target);

                assert_int_equal(r, cases[i].target ? 0 : -ENOENT);
                if (cases[i].target)
                        assert_string_equal(target, cases[i].target);
        }
}

static bool run(struct probe_state *state, const struct probe_config *config, bool success,
                uint64_t at_us) {
        struct probe_result result = { .at_us = at_us, .success = success };

        return probe_take(state, config, &result);
}

static void the_status_flips_once_at_the_threshold(void **unused) {
        const struct probe_config config = config_of("{\"failures\":3,\"successes\":2}");
        struct probe_state state = {};

        assert_false(run(&state, &config, true, 1));
        assert_int_equal(state.status, PROBE_UNKNOWN);
        assert_true(run(&state, &config, true, 2));
        assert_int_equal(state.status, PROBE_UP);
        assert_int_equal(state.since_us, 2);
        assert_false(run(&state, &config, true, 3));
        assert_false(run(&state, &config, false, 4));
        assert_false(run(&state, &config, false, 5));
        assert_false(run(&state, &config, true, 6)); /* not in a row */
        assert_int_equal(state.consecutive_failures, 0);
        assert_false(run(&state, &config, false, 7));
        assert_false(run(&state, &config, false, 8));
        assert_true(run(&state, &config, false, 9));
        assert_int_equal(state.status, PROBE_DOWN);
        assert_false(run(&state, &config, false, 10));
        assert_int_equal(state.consecutive_failures, 4);
        assert_int_equal(state.since_us, 9);
        assert_false(run(&state, &config, true, 11));
        assert_true(run(&state, &config, true, 12));
        assert_int_equal(state.status, PROBE_UP);
}

static void one_is_enough_where_one_is_the_threshold(void **unused) {
        const struct probe_config config = config_of("{\"failures\":1,\"successes\":1}");
        struct probe_state state = {};

        assert_true(run(&state, &config, false, 1));
        assert_true(run(&state, &config, true, 2));
        assert_true(run(&state, &config, false, 3));
        state.consecutive_failures = UINT32_MAX;
        assert_false(run(&state, &config, false, 4));
        assert_int_equal(state.consecutive_failures, UINT32_MAX);
}

static void a_probe_that_never_ran_has_the_frozen_shape_alone(void **unused) {
        const struct probe_config config = config_of("{\"path\":\"/healthz\"}");
        const struct probe_state state = {};
        _cleanup_(json_putp) struct json_object *object = probe_to_json(&config, &state);

        assert_string_equal(json_text(object),
                        "{\"config\":{\"path\":\"/healthz\",\"interval_s\":60,\"expected_status\":200,\"timeout_s\":5,\"enabled\":true},"
                        "\"last_run_at\":null,\"last_status\":null,\"last_http_status\":null,\"last_error\":null,\"consecutive_failures\":0}");
}

static void what_is_stored_comes_back(void **unused) {
        struct probe_config
                        config = config_of(
                                        "{\"url\":\"https://x/y\",\"failures\":7,\"insecure\":true,\"enabled\":false}"),
                        config_again;
        struct probe_state state = { .status = PROBE_DOWN,
                .since_us = UINT64_C(1790000000123456),
                .consecutive_failures = 9,
                .has_run = true,
                .last = { .at_us = UINT64_C(1790000001000000),
                                .http_status = 503,
                                .error = "status 503 where 200 is expected",
                                .duration_us = 12345,
                                .phase_us = { 1, 20, 300, 4000, 8024 },
                                .cert_expiry_s = 1800000000 } },
                           state_again;
        _cleanup_(json_putp) struct json_object *object = probe_to_json(&config, &state),
                                                *copy = NULL;
        const char *text = json_text(object);

        assert_int_equal(json_parse(text, strlen(text), &copy), 0);
        assert_int_equal(probe_from_json(copy, &config_again, &state_again), 0);
        assert_string_equal(
                        json_text(json_get(object, "config")), json_text(json_get(copy, "config")));
        assert_int_equal(config_again.failures, 7);
        assert_true(config_again.insecure);
        assert_false(config_again.enabled);
        assert_true(probe_config_same_target(&config, &config_again));
        assert_int_equal(state_again.status, PROBE_DOWN);
        assert_int_equal(state_again.since_us, state.since_us);
        assert_int_equal(state_again.consecutive_failures, 9);
        assert_true(state_again.has_run);
        assert_int_equal(state_again.last.at_us, state.last.at_us);
        assert_int_equal(state_again.last.http_status, 503);
        assert_string_equal(state_again.last.error, state.last.error);
        assert_int_equal(state_again.last.duration_us, 12345);
        assert_memory_equal(state_again.last.phase_us, state.last.phase_us,
                        sizeof(state.last.phase_us));
        assert_int_equal(state_again.last.cert_expiry_s, 1800000000);
}

static void what_is_no_probe_does_not_come_back(void **unused) {
        static const char *const bad[] = { "{}", "[]", "5", "{\"config\":null}", "{\"config\":[]}",
                "{\"config\":{\"interval_s\":0}}" };
        struct probe_config config;
        struct probe_state state;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_(json_putp) struct json_object *object = NULL;

                assert_int_equal(json_parse(bad[i], strlen(bad[i]), &object), 0);
                assert_int_equal(probe_from_json(object, &config, &state), -EINVAL);
        }
}

static void another_target_is_another_question(void **unused) {
        const struct probe_config one = config_of("{\"path\":\"/a\"}");
        static const char *const same[] = { "{\"path\":\"/a\",\"interval_s\":1}",
                "{\"path\":\"/a\",\"enabled\":false,\"failures\":1}" },
                                 *const others[] = { "{\"path\":\"/b\"}",
                                         "{\"path\":\"/a\",\"url\":\"http://x\"}",
                                         "{\"path\":\"/a\",\"expected_status\":204}",
                                         "{\"path\":\"/a\",\"insecure\":true}",
                                         "{\"path\":\"/a\",\"follow_redirects\":true}" };
        struct probe_config other;

        for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
                other = config_of(same[i]);
                assert_true(probe_config_same_target(&one, &other));
        }
        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                other = config_of(others[i]);
                assert_false(probe_config_same_target(&one, &other));
        }
}

#define MINUTE (60 * USEC_PER_SEC)

static void a_turn_comes_once_in_each_interval(void **unused) {
        uint64_t now_us = UINT64_C(123456789012), next_us, first_us;

        first_us = next_us = probe_next_us("shop", MINUTE, now_us);
        assert_true(next_us > now_us && next_us <= now_us + MINUTE);
        for (unsigned int i = 1; i < 100; i++) {
                next_us = probe_next_us("shop", MINUTE, next_us);
                assert_int_equal(next_us, first_us + i * MINUTE);
        }
        assert_int_equal(probe_next_us("shop", MINUTE, first_us - 1), first_us);
        assert_int_equal(probe_next_us("shop", MINUTE, first_us + 3 * MINUTE + 5),
                        first_us + 4 * MINUTE); /* those missed are not made up for */
        assert_in_range(probe_next_us("shop", 1, 0), 1, 1);
}

static void turns_are_spread_evenly(void **unused) {
        unsigned int seconds[60] = {};
        char slug[32];

        for (unsigned int i = 0; i < 6000; i++) {
                (void) snprintf(slug, sizeof(slug), "app-%u", i);
                seconds[(probe_next_us(slug, MINUTE, 60 * MINUTE) / USEC_PER_SEC) % 60]++;
        }
        for (size_t i = 0; i < 60; i++)
                assert_in_range(seconds[i], 60, 140); /* four deviations of 100 */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_not_there_has_its_default),
                cmocka_unit_test(numbers_are_whole_and_within_their_bounds),
                cmocka_unit_test(not_a_number_is_no_json),
                cmocka_unit_test(flags_are_true_or_false),
                cmocka_unit_test(a_target_is_said_once),
                cmocka_unit_test(a_vm_is_asked_by_its_address),
                cmocka_unit_test(paths_cannot_carry_a_second_request),
                cmocka_unit_test(urls_are_http_and_have_no_user),
                cmocka_unit_test(unknown_members_are_named),
                cmocka_unit_test(a_name_is_cut_at_a_character),
                cmocka_unit_test(the_target_is_the_url_or_the_first_host),
                cmocka_unit_test(the_status_flips_once_at_the_threshold),
                cmocka_unit_test(one_is_enough_where_one_is_the_threshold),
                cmocka_unit_test(a_probe_that_never_ran_has_the_frozen_shape_alone),
                cmocka_unit_test(what_is_stored_comes_back),
                cmocka_unit_test(what_is_no_probe_does_not_come_back),
                cmocka_unit_test(another_target_is_another_question),
                cmocka_unit_test(a_turn_comes_once_in_each_interval),
                cmocka_unit_test(turns_are_spread_evenly),
        };

        return RUN_TESTS(tests);
}
