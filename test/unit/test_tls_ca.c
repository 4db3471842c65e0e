/* Certificates of our own making: when there are new ones, and that the authority stays. */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "api/tls_ca.h"
#include "api/tls_context.h"
#include "base/clock.h"
#include "base/fs.h"
#include "folder.h"

#define DAY_US (UINT64_C(86400) * USEC_PER_SEC)

struct authority {
        char dir[64];
        struct tls_ca_config config;
        uint64_t now_us;
};

static struct authority begin(void **state) {
        struct authority authority = { .now_us = clock_realtime_us() };
        struct folder *folder = *state;

        (void) snprintf(authority.dir, sizeof(authority.dir), "%s/tls", folder->path);
        authority.config =
                        (struct tls_ca_config){ .node_name = "node-1", .lifetime_us = 90 * DAY_US };
        return authority;
}

static int provide(struct authority *authority) {
        authority->config.dir = authority->dir;
        return tls_ca_provide(&authority->config, authority->now_us);
}

static char *content(struct authority *authority, const char *name) {
        char path[96], *text = NULL;

        (void) snprintf(path, sizeof(path), "%s/%s", authority->dir, name);
        assert_int_equal(fs_read_text(AT_FDCWD, path, 1U << 20, &text, NULL), 0);
        return text;
}

static void write_file(struct authority *authority, const char *name, const char *text) {
        char path[96];
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/%s", authority->dir, name);
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void it_is_made_once(void **state) {
        struct authority authority = begin(state);
        _cleanup_(freep) char *before = NULL, *after = NULL;

        assert_int_equal(provide(&authority), 1);
        before = content(&authority, "server.pem");
        assert_non_null(strstr(before, "BEGIN CERTIFICATE"));
        assert_non_null(strstr(before, "BEGIN PRIVATE KEY"));
        assert_int_equal(provide(&authority), 0);
        after = content(&authority, "server.pem");
        assert_string_equal(before, after);
}

static void it_is_renewed_in_its_last_third_and_the_authority_stays(void **state) {
        struct authority authority = begin(state);
        _cleanup_(freep) char *before = NULL, *after = NULL;

        assert_int_equal(provide(&authority), 1);
        before = content(&authority, "ca.pem");
        authority.now_us += 59 * DAY_US;
        assert_int_equal(provide(&authority), 0);
        authority.now_us += 2 * DAY_US;
        assert_int_equal(provide(&authority), 1);
        assert_int_equal(provide(&authority), 0);
        after = content(&authority, "ca.pem");
        assert_string_equal(before, after);
}

static void other_names_and_lifetimes_make_a_new_one(void **state) {
        static const char *const names[] = { "watch.example", "192.0.2.77", "2001:db8::7",
                "no name!" };
        struct authority authority = begin(state);

        assert_int_equal(provide(&authority), 1);
        authority.config.names = names;
        authority.config.n_names = ARRAY_SIZE(names);
        assert_int_equal(provide(&authority), 1);
        assert_int_equal(provide(&authority), 0);
        authority.config.n_names = 0; /* one name more than needed does no harm */
        assert_int_equal(provide(&authority), 0);
        authority.config.lifetime_us = 10 * USEC_PER_SEC;
        assert_int_equal(provide(&authority), 1);
}

static void what_is_broken_is_made_anew_but_no_authority(void **state) {
        struct authority authority = begin(state), other = begin(state);
        _cleanup_(freep) char *key = NULL;

        assert_int_equal(provide(&authority), 1);
        write_file(&authority, "server.pem", "-----BEGIN NOTHING");
        assert_int_equal(provide(&authority), 1);

        (void) snprintf(other.dir, sizeof(other.dir), "%.50s-other", authority.dir);
        assert_int_equal(provide(&other), 1);
        key = content(&other, "ca.key");
        write_file(&authority, "ca.key", key);
        assert_int_equal(provide(&authority), -EKEYREJECTED);
        write_file(&authority, "ca.pem", "text");
        assert_int_equal(provide(&authority), -EBADMSG);
}

static void an_authority_near_its_end_is_signed_again_with_its_key(void **state) {
        struct authority authority = begin(state);
        _cleanup_(freep) char *key = NULL, *same = NULL, *before = NULL, *after = NULL;

        assert_int_equal(provide(&authority), 1);
        key = content(&authority, "ca.key");
        before = content(&authority, "ca.pem");
        authority.now_us += UINT64_C(20) * 365 * DAY_US - 10 * DAY_US;
        assert_int_equal(provide(&authority), 1);
        same = content(&authority, "ca.key");
        after = content(&authority, "ca.pem");
        assert_string_equal(key, same);
        assert_string_not_equal(before, after);
}

static void a_context_notices_that_its_file_is_another(void **state) {
        struct authority authority = begin(state);
        _cleanup_(tls_context_unrefp) struct tls_context *context = NULL;
        struct diag diag = {};
        char path[96];

        assert_int_equal(provide(&authority), 1);
        (void) snprintf(path, sizeof(path), "%s/server.pem", authority.dir);
        assert_int_equal(tls_context_new(&(struct tls_context_config){ .certificate.path = path },
                                         &diag, &context),
                        0);
        assert_false(tls_context_is_stale(context));
        assert_true(llabs(tls_context_expires(context) -
                                    (int64_t) ((authority.now_us + 90 * DAY_US) / USEC_PER_SEC)) <=
                        1);
        authority.now_us += 70 * DAY_US;
        assert_int_equal(provide(&authority), 1);
        assert_true(tls_context_is_stale(context));

        assert_int_equal(chmod(path, 0644), 0);
        context = tls_context_unref(context);
        assert_int_equal(tls_context_new(&(struct tls_context_config){ .certificate.path = path },
                                         &diag, &context),
                        -EACCES);
        assert_string_equal(diag.path, path);
        assert_int_equal(
                        tls_context_new(&(struct tls_context_config){ .certificate.path = "/none" },
                                        &diag, &context),
                        -ENOENT);
}

/* What is said of it names the file that it is in, and where there. */
static void pem_may_be_a_part_of_a_file(void **state) {
        struct authority authority = begin(state), other;
        _cleanup_(freep) char *server = NULL, *ca = NULL, *foreign = NULL;
        _cleanup_(tls_context_unrefp) struct tls_context *context = NULL;
        struct tls_context_config config = {};
        struct diag diag = {};
        char path[96];

        assert_int_equal(provide(&authority), 1);
        server = content(&authority, "server.pem");
        ca = content(&authority, "ca.pem");
        other = authority;
        (void) snprintf(other.dir, sizeof(other.dir), "%.50s/other", authority.dir);
        assert_int_equal(provide(&other), 1);
        foreign = content(&other, "server.pem");
        (void) snprintf(path, sizeof(path), "%s/ca.key", authority.dir); /* any of mode 0600 */

        config.certificate = (struct tls_pem){ path, server, 2, 9 };
        config.key = (struct tls_pem){ path, server, 10, 8 };
        config.client_ca = (struct tls_pem){ path, ca, 20, 14 };
        config.client_auth = TLS_CLIENT_REQUIRE;
        assert_int_equal(tls_context_new(&config, &diag, &context), 0);
        assert_false(tls_context_is_stale(context));

        config.key.text = foreign;
        assert_int_equal(tls_context_new(&config, &diag, &context), -EINVAL);
        assert_string_equal(diag.path, path);
        assert_int_equal(diag.line, 10);
        assert_int_equal(diag.column, 8);
        assert_non_null(strstr(diag.text, "the key is not usable: "));
        assert_non_null(strstr(diag.text, "do not match"));

        config.certificate.text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_int_equal(tls_context_new(&config, &diag, &context), -EINVAL);
        assert_int_equal(diag.line, 2);
        assert_non_null(strstr(diag.text, "the certificate is not usable: "));

        config.certificate.text = config.key.text = server;
        config.client_ca.text = "-----BEGIN CERTIFICATE-----\n";
        assert_int_equal(tls_context_new(&config, &diag, &context), -EINVAL);
        assert_int_equal(diag.line, 20);

        /* a secret in it makes it one */
        assert_int_equal(chmod(path, 0644), 0);
        assert_int_equal(tls_context_new(&config, &diag, &context), -EACCES);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FOLDER_TEST(it_is_made_once),
                FOLDER_TEST(it_is_renewed_in_its_last_third_and_the_authority_stays),
                FOLDER_TEST(other_names_and_lifetimes_make_a_new_one),
                FOLDER_TEST(what_is_broken_is_made_anew_but_no_authority),
                FOLDER_TEST(an_authority_near_its_end_is_signed_again_with_its_key),
                FOLDER_TEST(a_context_notices_that_its_file_is_another),
                FOLDER_TEST(pem_may_be_a_part_of_a_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
