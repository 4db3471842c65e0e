/* Web configuration files: what is taken, and where a complaint points to. */

#include <string.h>

#include "daemon/web_config.h"
#include "test.h"

#define HASH "$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u"

static int parse(const char *text, struct web_config *config, struct diag *diag) {
        *diag = (struct diag){};
        return web_config_parse(config, "/etc/w/web.yml", text, strlen(text), diag);
}

static void all_of_it_is_taken(void **state) {
        struct web_config config = {};
        struct diag diag;

        assert_int_equal(parse("tls_server_config:\n"
                               "  cert_file: a.pem\n"
                               "  key_file: /k.pem\n"
                               "  client_auth_type: RequireAndVerifyClientCert\n"
                               "  client_ca_file: sub/ca.pem\n"
                               "  client_allowed_sans: [one, two]\n"
                               "  min_version: TLS13\n"
                               "  max_version: TLS13\n"
                               "  prefer_server_cipher_suites: true\n"
                               "basic_auth_users:\n"
                               "  alice: " HASH "\n"
                               "  bob: " HASH "\n"
                               "http_server_config:\n"
                               "  http2: false\n"
                               "  headers:\n"
                               "    X-Frame-Options: deny\n",
                                         &config, &diag),
                        0);
        assert_true(config.has_tls);
        assert_string_equal(config.certificate.path, "/etc/w/a.pem");
        assert_null(config.certificate.text);
        assert_string_equal(config.key.path, "/k.pem");
        assert_string_equal(config.client_ca.path, "/etc/w/sub/ca.pem");
        assert_int_equal(config.client_auth, TLS_CLIENT_REQUIRE);
        assert_int_equal(config.n_client_sans, 2);
        assert_int_equal(config.min_version, 3);
        assert_int_equal(config.web->n_users, 2);
        assert_string_equal(http_web_hash(config.web, "bob"), HASH);
        assert_null(http_web_hash(config.web, "carol"));
        assert_string_equal(config.web->headers[0].value, "deny");
        web_config_done(&config);
}

static void what_is_pem_itself_is_taken_with_its_place(void **state) {
        struct web_config config = {};
        struct diag diag;

        assert_int_equal(parse("tls_server_config:\n"
                               "  cert: |\n"
                               "    -----BEGIN CERTIFICATE-----\n"
                               "    AAAA\n"
                               "  cert_file: ''\n"
                               "  key_file: k.pem\n"
                               "  client_ca: \"-----BEGIN CERTIFICATE-----\\n\"\n"
                               "  client_auth_type: RequireAndVerifyClientCert\n"
                               "  key: ''\n",
                                         &config, &diag),
                        0);
        assert_string_equal(config.certificate.path, "/etc/w/web.yml");
        assert_string_equal(config.certificate.text, "-----BEGIN CERTIFICATE-----\nAAAA\n");
        assert_int_equal(config.certificate.line, 2);
        assert_int_equal(config.certificate.column, 9);
        assert_string_equal(config.key.path, "/etc/w/k.pem");
        assert_null(config.key.text);
        assert_string_equal(config.client_ca.text, "-----BEGIN CERTIFICATE-----\n");
        assert_int_equal(config.client_ca.line, 7);
        web_config_done(&config);
}

static void an_empty_one_asks_for_nothing(void **state) {
        static const char *const texts[] = { "", "# nothing\n", "tls_server_config:\n", "{}" };
        struct web_config config = {};
        struct diag diag;

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                assert_int_equal(parse(texts[i], &config, &diag), 0);
                assert_false(config.has_tls);
                assert_int_equal(config.web->n_users, 0);
                web_config_done(&config);
        }
}

static void complaints_have_a_place(void **state) {
        static const struct {
                const char *text;
                unsigned int line;
                const char *about;
        } bad[] = {
                { "tls_server_config:\n  cert_file: a\n", 1, "needs cert_file and key_file" },
                { "tls_server_config:\n  cert_fil: a\n", 2, "'cert_fil'" },
                { "tls_server_config:\n  cert: a\n", 2, "cert is PEM" },
                { "tls_server_config:\n  key: [a]\n", 2, "key is PEM" },
                { "tls_server_config:\n  cert_file: a\n  cert: '-----BEGIN '\n", 3,
                                "cert and cert_file are both given" },
                { "tls_server_config:\n  client_ca: '-----BEGIN '\n  client_ca_file: a\n", 3,
                                "client_ca_file and client_ca are both given" },
                { "tls_server_config:\n  cert: '-----BEGIN '\n", 1, "or cert and key" },
                { "tls_server_config:\n  cert_file: a\n  key: '-----BEGIN '\n"
                  "  client_ca: '-----BEGIN '\n",
                                1, "client_ca is given, but" },
                { "tls_server_config:\n  cert_file: a\n  cert_file: b\n", 3, "twice" },
                { "tls_server_config:\n  min_version: TLS10\n", 2, "TLS 1.2 is the least" },
                { "tls_server_config:\n  min_version: 1.2\n", 2, "TLS12 or TLS13" },
                { "tls_server_config:\n  cipher_suites: [a]\n", 2, "not supported" },
                { "tls_server_config: [a]\n", 1, "mapping" },
                { "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_ca_file: c\n", 1,
                                "asks for no certificate" },
                { "tls_server_config:\n  cert_file: a\n  key_file: b\n"
                  "  client_auth_type: VerifyClientCertIfGiven\n",
                                1, "needs client_ca_file" },
                { "tls_server_config:\n  client_auth_type: yes\n", 2, "RequireAnyClientCert" },
                { "basic_auth_users:\n  a: plain\n", 2, "no bcrypt hash" },
                { "basic_auth_users:\n  a: $2y$31$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u\n",
                                2, "no bcrypt hash" },
                { "basic_auth_users:\n  'a:b': " HASH "\n", 2, "colon" },
                { "http_server_config:\n  headers:\n    Set-Cookie: a\n", 3, "'Set-Cookie'" },
                { "http_server_config:\n  headers:\n    X-Frame-Options: \"a\\nb\"\n", 3,
                                "one line" },
                { "http_server_config:\n  http2: maybe\n", 2, "true or false" },
                { "users: {}\n", 1, "'users'" },
                { "a\n", 1, "mapping" },
                { "a: [\n", 2, "not YAML" },
        };
        struct web_config config = {};
        struct diag diag;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_int_equal(parse(bad[i].text, &config, &diag), -EINVAL);
                if (!strstr(diag.text, bad[i].about) || diag.line != bad[i].line)
                        fail_msg("%s: %u: %s", bad[i].text, diag.line, diag.text);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(all_of_it_is_taken),
                cmocka_unit_test(what_is_pem_itself_is_taken_with_its_place),
                cmocka_unit_test(an_empty_one_asks_for_nothing),
                cmocka_unit_test(complaints_have_a_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
