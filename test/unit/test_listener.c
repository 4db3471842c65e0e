/* Items of http.listen. */

#include <string.h>

#include "model/listener.h"
#include "test.h"

static struct listener parse(const char *text) {
        struct listener listener;
        struct diag diag = {};

        if (listener_parse(text, &listener, &diag) < 0)
                fail_msg("%s: %s", text, diag.text);
        return listener;
}

static void an_address_alone_serves_all(void **state) {
        struct listener listener = parse("127.0.0.1:9887");

        assert_string_equal(listener.address, "127.0.0.1:9887");
        assert_int_equal(listener.serves, LISTENER_ALL);
        assert_int_equal(listener.tls, LISTENER_TLS_AUTO);
        assert_false(listener.is_unix);
}

static void options_follow_in_any_order(void **state) {
        struct listener listener = parse("0.0.0.0:9888  tls=off serves=metrics+health");
        char text[LISTENER_SERVES_MAX];

        assert_string_equal(listener.address, "0.0.0.0:9888");
        assert_int_equal(listener.serves, LISTENER_METRICS | LISTENER_HEALTH);
        assert_int_equal(listener.tls, LISTENER_TLS_OFF);
        assert_string_equal(listener_serves_to_string(listener.serves, text), "metrics+health");
        assert_int_equal(parse("0.0.0.0:1 serves=metrics,api").serves,
                        LISTENER_METRICS | LISTENER_API);
        assert_int_equal(parse("127.0.0.1:1 tls=on").tls, LISTENER_TLS_ON);
}

static void a_path_may_have_spaces(void **state) {
        struct listener listener = parse("unix:/run/a b=c/s serves=api");

        assert_string_equal(listener.address, "unix:/run/a b=c/s");
        assert_true(listener.is_unix && listener.is_local);
        assert_int_equal(listener.serves, LISTENER_API);
}

static void only_this_host_is_local(void **state) {
        static const char *const local[] = { "127.0.0.1:1", "127.9.9.9:1", "[::1]:1",
                "[::ffff:127.0.0.1]:1", "unix:/s" };
        static const char *const others[] = { "0.0.0.0:1", "[::]:1", "10.0.0.1:1", "128.0.0.1:1",
                "[fe80::1]:1", "[::ffff:10.0.0.1]:1", "[fe80::1%eth0]:1" };

        for (size_t i = 0; i < ARRAY_SIZE(local); i++)
                assert_true(parse(local[i]).is_local);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                assert_false(parse(others[i]).is_local);
}

static void others_are_refused(void **state) {
        static const char *const texts[] = { "", " serves=api", "1.2.3.4:1 serves=", "1.2.3.4:1 x",
                "1.2.3.4:1 serves=api+", "1.2.3.4:1 serves=apis", "1.2.3.4:1 serves=ap",
                "1.2.3.4:1 tls=", "1.2.3.4:1 tls=onn", "unix:/s tls=on", "1.2.3.4:1 serves=api x",
                "localhost:1", "foo:bar", "127.0.0.1", "127.0.0.1:", ":1", "127.0.0.1:65536",
                "::1:x", "[::1]", "unix:", "unix:relative", "9887" };
        struct listener listener;
        struct diag diag = {};

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                diag.text[0] = '\0';
                assert_int_equal(listener_parse(texts[i], &listener, &diag), -EINVAL);
                assert_true(diag.text[0] != '\0');
        }
}

static void paths_belong_to_a_service(void **state) {
        assert_int_equal(listener_service_of("/metrics"), LISTENER_METRICS);
        assert_int_equal(listener_service_of("/v1/metrics"), LISTENER_METRICS);
        assert_int_equal(listener_service_of("/ready"), LISTENER_HEALTH);
        assert_int_equal(listener_service_of("/api/app-gateway/metrics/{slug}"), LISTENER_API);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_address_alone_serves_all),
                cmocka_unit_test(options_follow_in_any_order),
                cmocka_unit_test(a_path_may_have_spaces),
                cmocka_unit_test(only_this_host_is_local),
                cmocka_unit_test(others_are_refused),
                cmocka_unit_test(paths_belong_to_a_service),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
