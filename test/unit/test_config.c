/* The configuration: each key to the edge of what it takes, each layer over the one before it, and
 * complaints that name the place. */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/config.h"
#include "folder.h"
#include "test.h"

struct fixture {
        struct folder *folder;
        struct config config;
        struct diag diag;
        char **environment;
};

static int setup(void **state) {
        static char *none[] = { NULL };
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_int_equal(folder_setup((void **) &f->folder), 0);
        assert_int_equal(config_init(&f->config), 0);
        f->environment = environ;
        environ = none; /* what the tests run in is no part of them */
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        environ = f->environment;
        config_done(&f->config);
        (void) folder_teardown((void **) &f->folder);
        free(f);
        return 0;
}

static int load(struct fixture *f, const char *yaml) {
        const char *path = folder_path(f->folder, "main.yaml");

        folder_write(f->folder, "main.yaml", yaml);
        assert_int_equal(chmod(path, 0600), 0);
        config_done(&f->config);
        f->diag = (struct diag){};
        assert_int_equal(config_init(&f->config), 0);
        return config_load(&f->config, path, &f->diag);
}

static void conf_d(struct fixture *f, const char *name, const char *yaml) {
        char path[64];

        (void) mkdir(folder_path(f->folder, "conf.d"), 0700);
        (void) snprintf(path, sizeof(path), "conf.d/%s", name);
        folder_write(f->folder, path, yaml);
        assert_int_equal(chmod(folder_path(f->folder, path), 0600), 0);
}

static int set(struct fixture *f, const char *key, const char *value) {
        f->diag = (struct diag){};
        return config_set(&f->config, key, value, &f->diag);
}

static void the_defaults_are_those_documented(void **state) {
        struct fixture *f = *state;
        const struct config *config = &f->config;

        assert_int_equal(config_load(&f->config, NULL, &f->diag), 0);
        assert_string_equal(config->state_dir, "/var/lib/virtwatch");
        assert_int_equal(config->oom_rule, OOM_RULE_EXIT_137);
        assert_int_equal(config->evidence_wait_us, 250000);
        assert_int_equal(config->retention_age_us, UINT64_C(2592000000000));
        assert_int_equal(config->retention_bytes, 1073741824);
        assert_true(config->libvirt.enabled && config->docker.enabled && config->podman.enabled &&
                        config->kernel.enabled);
        assert_false(config->libvirt.required || config->docker.required ||
                        config->podman.required || config->libvirt.write);
        assert_int_equal(config->libvirt.uris.n, 1);
        assert_string_equal(config->libvirt.uris.items[0], "qemu:///system");
        assert_string_equal(config->docker.socket, "/run/docker.sock");
        assert_string_equal(config->podman.socket, "/run/podman/podman.sock");
        assert_int_equal(config->listen.n, 2);
        assert_string_equal(config->listen.items[0], "127.0.0.1:9887");
        assert_string_equal(config->listen.items[1], "unix:/run/virtwatch/http.sock");
        assert_null(config->token);
        assert_true(config->analytics.enabled && config->analytics.history);
        assert_int_equal(config->analytics.files.n + config->analytics.listen.n, 0);
        assert_int_equal(config->analytics.retention_days, 400);
        assert_int_equal(config->analytics.hosts_max, 10000);
        assert_int_equal(config->analytics.duration, ACCESS_DURATION_AUTO);
        assert_int_equal(config->connections_max, 4096);
        assert_int_equal(config->sse_readers_max, 2048);
        assert_string_equal(config->bus, "system");
        assert_null(config->bus_address);
        assert_int_equal(config->log_level, LOG_LEVEL_INFO);
        assert_int_equal(config->log_target, LOG_TARGET_AUTO);
        assert_true(strlen(config->node_name) > 0);
        assert_string_equal(config->file_systems.items[0], "ext[234]");
        assert_string_equal(config->ignore_interfaces.items[1], "veth*");
        assert_string_equal(config->ignore_disks.items[0], "loop*");
}

static void every_key_is_taken_up_to_its_bounds(void **state) {
        static const struct {
                const char *key, *good[4], *bad[10];
        } rows[] = {
                { "node.name", { "a", "" }, { "a\nb", "\x01", "a\x1f" } },
                { "node.file_systems", { "", "ext[234],xfs" }, { "a,b\n" } },
                { "node.ignore_interfaces", { "", "veth*" }, { "\x01" } },
                { "node.ignore_disks", { "", "loop*,vd?1" }, { "\t" } },
                { "store.path", { "/a" }, { "/a\tb" } },
                { "events.oom_rule", { "exit-137", "evidence" }, { "", "137", "Evidence" } },
                { "events.evidence_wait", { "0", "1us", "5s", "5000ms" },
                                { "5001ms", "6", "-1", "", "5000001us", "1x",
                                                "99999999999999999999" } },
                { "events.retention_age", { "0", "30d", "36600d" },
                                { "36601d", "", "-1s", "1y", "30 d" } },
                { "events.retention_size", { "0", "1", "1024T", "1125899906842624" },
                                { "1125899906842625", "1025T", "", "K", "1k", "1KB", "-1", "1.5G",
                                                "18446744073709551615T", "16777217T" } },
                { "sources.libvirt.enabled", { "true", "no", "on", "off" },
                                { "", "1", "True", "y" } },
                { "sources.libvirt.required", { "yes", "false" }, { "maybe" } },
                { "sources.libvirt.write", { "yes", "false" }, { "maybe" } },
                { "sources.libvirt.uris", { "a", "a,b", "0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5" },
                                { "0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6" } },
                { "sources.libvirt.uris", { "a b" }, { "a,b\n", "\ta" } },
                { "sources.docker.enabled", { "yes", "false" }, { "maybe" } },
                { "sources.docker.required", { "yes", "false" }, { "maybe" } },
                { "sources.docker.socket", { "/a b" }, { "/a\n" } },
                { "sources.podman.enabled", { "yes", "false" }, { "maybe" } },
                { "sources.podman.required", { "yes", "false" }, { "maybe" } },
                { "sources.podman.socket", { "/a" }, { "/a\r" } },
                { "sources.kernel.enabled", { "yes", "false" }, { "maybe" } },
                { "analytics.enabled", { "yes", "false" }, { "maybe" } },
                { "analytics.files", { "/a", "/a,/b" }, { "/a\n" } },
                { "analytics.listen", { "1,2,3,4,5,6,7,8" }, { "1,2,3,4,5,6,7,8,9" } },
                { "analytics.history", { "yes", "false" }, { "maybe" } },
                { "analytics.retention_days", { "0", "36500" }, { "36501", "400d", "-1", "" } },
                { "analytics.hosts_max", { "1", "1000000" }, { "0", "1000001" } },
                { "analytics.duration", { "auto", "s", "ms", "ns" }, { "", "us", "Auto" } },
                { "http.listen", { "1,2,3,4,5,6,7,8" }, { "1,2,3,4,5,6,7,8,9" } },
                { "http.token", { "0123456789abcdef" }, { "0123456789abcde\n" } },
                { "http.connections_max", { "16", "65536", "00017" },
                                { "15", "65537", "", "-16", "0x10", "4294967312",
                                                "18446744073709551632", "1e3", " 16" } },
                { "http.connections_per_address", { "0", "1", "65536" }, { "-1", "65537", "" } },
                { "http.sse_readers_max", { "1", "65536" }, { "0", "65537", "4294967297", "" } },
                { "dbus.bus", { "system", "user", "none" }, { "", "session", "System" } },
                { "dbus.address", { "unix:path=/a" }, { "unix:path=/a\n" } },
                { "logging.level", { "error", "warn", "debug", "trace" }, { "", "warning", "4" } },
                { "logging.format", { "auto", "text", "json", "journal" }, { "", "syslog" } },
                { "logging.requests", { "off", "debug", "info" }, { "", "warn", "true" } },
                { "logging.tracing", { "off", "OpenTelemetry", "Jaeger", "jaeger" },
                                { "", "true", "zipkin" } },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                for (size_t j = 0; j < ARRAY_SIZE(rows[i].good) && rows[i].good[j]; j++)
                        if (set(f, rows[i].key, rows[i].good[j]) != 0)
                                fail_msg("%s=%s refused: %s", rows[i].key, rows[i].good[j],
                                                f->diag.text);
                for (size_t j = 0; j < ARRAY_SIZE(rows[i].bad) && rows[i].bad[j]; j++) {
                        if (set(f, rows[i].key, rows[i].bad[j]) != -EINVAL)
                                fail_msg("%s=%s taken", rows[i].key, rows[i].bad[j]);
                        assert_non_null(strstr(f->diag.text, rows[i].key));
                }
        }
        assert_int_equal(f->config.retention_bytes, UINT64_C(1) << 50);
        assert_int_equal(f->config.retention_age_us, UINT64_C(36600) * 86400 * 1000000);
        assert_int_equal(f->config.evidence_wait_us, 5000000);
        assert_int_equal(f->config.analytics.duration, ACCESS_DURATION_NS);
        assert_int_equal(f->config.analytics.retention_days, 36500);
        assert_int_equal(f->config.connections_max, 17);
        assert_int_equal(f->config.sse_readers_max, 65536);
        assert_int_equal(f->config.log_level, LOG_LEVEL_TRACE);
        assert_int_equal(f->config.log_target, LOG_TARGET_JOURNAL);
        assert_int_equal(f->config.oom_rule, OOM_RULE_EVIDENCE);
        assert_string_equal(f->config.bus, "none");
}

static void sizes_have_units(void **state) {
        static const struct {
                const char *text;
                uint64_t bytes;
        } rows[] = { { "7", 7 }, { "7K", 7168 }, { "7M", 7340032 }, { "7G", UINT64_C(7516192768) },
                { "7T", UINT64_C(7696581394432) } };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(set(f, "events.retention_size", rows[i].text), 0);
                assert_int_equal(f->config.retention_bytes, rows[i].bytes);
        }
}

static void a_list_replaces_the_list_before_it(void **state) {
        struct fixture *f = *state;

        assert_int_equal(set(f, "sources.libvirt.uris", "a,,b,"), 0);
        assert_int_equal(f->config.libvirt.uris.n, 2);
        assert_string_equal(f->config.libvirt.uris.items[0], "a");
        assert_string_equal(f->config.libvirt.uris.items[1], "b");
        assert_int_equal(load(f, "sources: {libvirt: {uris: [x, y, z]}}"), 0);
        assert_int_equal(f->config.libvirt.uris.n, 3);
        assert_string_equal(f->config.libvirt.uris.items[2], "z");
        assert_int_equal(load(f, "sources: {libvirt: {uris: 'x,y'}}"), 0);
        assert_int_equal(f->config.libvirt.uris.n, 2);
}

static void a_list_in_a_file_has_the_same_bounds(void **state) {
        struct fixture *f = *state;

        assert_int_equal(
                        load(f, "http: {listen: [unix:/1,unix:/2,unix:/3,unix:/4,unix:/5,unix:/6,unix:/7,unix:/8]}"),
                        0);
        assert_int_equal(f->config.listen.n, 8);
        assert_int_equal(
                        load(f,
                                        "http:\n  listen:\n  - 1\n  - 2\n  - 3\n  - 4\n  - 5\n  - 6\n"
                                        "  - 7\n  - 8\n  - 9\n"),
                        -EINVAL);
        assert_int_equal(f->diag.line, 11);
        assert_int_equal(f->diag.column, 5);
        assert_non_null(strstr(f->diag.text, "more than 8"));
}

static void a_near_miss_has_a_suggestion(void **state) {
        static const struct {
                const char *key, *suggestion;
        } rows[] = {
                { "events.oom_rul", "events.oom_rule" },
                { "event.oom_rul", "events.oom_rule" },
                { "evnts.om_rul", "events.oom_rule" },
                { "vnts.om_rul", NULL }, /* four edits */
                { "loging.levl", "logging.level" },
                { "sources.dockers.socket", "sources.docker.socket" },
                { "nothing.like.it", NULL },
                { "htp", "http" },
                { "event", "events" },
                { "source", "sources" },
                { "ap", "apps" },
                { "events", NULL },
                { "", NULL },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(set(f, rows[i].key, "x"), -EINVAL);
                if (rows[i].suggestion)
                        assert_non_null(strstr(f->diag.text, rows[i].suggestion));
                else
                        assert_null(strstr(f->diag.text, "did you mean"));
        }
}

static void a_file_sets_keys_of_every_kind(void **state) {
        struct fixture *f = *state;

        assert_int_equal(load(f,
                                         "# a comment\n"
                                         "node:\n  name: \"höst\"\n"
                                         "events:\n  oom_rule: evidence\n  evidence_wait: 1s\n"
                                         "  retention_size: 2G\n"
                                         "sources:\n  libvirt:\n    enabled: off\n"
                                         "  docker:\n    socket: /d\n"
                                         "  podman:\n"
                                         "http:\n  connections_max: 17\n"
                                         "logging: {level: debug, format: json}\n"),
                        0);
        assert_int_equal(f->diag.line, 0);
        assert_string_equal(f->config.node_name, "höst");
        assert_int_equal(f->config.oom_rule, OOM_RULE_EVIDENCE);
        assert_int_equal(f->config.evidence_wait_us, 1000000);
        assert_int_equal(f->config.retention_bytes, UINT64_C(2147483648));
        assert_false(f->config.libvirt.enabled);
        assert_string_equal(f->config.docker.socket, "/d");
        assert_string_equal(f->config.podman.socket, "/run/podman/podman.sock");
        assert_int_equal(f->config.connections_max, 17);
        assert_int_equal(f->config.log_level, LOG_LEVEL_DEBUG);
        assert_int_equal(f->config.log_target, LOG_TARGET_JSON);
        assert_int_equal(load(f, ""), 0);
        assert_int_equal(load(f, "# nothing\n"), 0);
        assert_int_equal(load(f, "---\n"), 0);
}

static void a_complaint_names_file_line_and_column(void **state) {
        static const struct {
                const char *yaml, *text;
                unsigned int line, column;
        } rows[] = {
                { "node:\n  nam: a\n", "there is no key 'node.nam'; did you mean 'node.name'?", 2,
                                3 },
                { "events:\n  evidence_wait: 6s\n", "events.evidence_wait", 2, 18 },
                { "events:\n  oom_rule: evidence\n  oom_rule: evidence\n",
                                "events.oom_rule is given twice", 3, 3 },
                { "\n\nnode:\n    - a\n", "node is a section: keys belong below it", 4, 5 },
                { "node: a\n", "node is a section", 1, 7 },
                { "node:\n  name: {a: b}\n", "node.name is not a section", 2, 9 },
                { "node:\n  name: [a]\n", "node.name", 2, 9 },
                { "- a\n", "must be a mapping", 1, 1 },
                { "text\n", "must be a mapping", 1, 1 },
                { "? [a]\n: b\n", "a key must be a text", 1, 3 },
                { "sources:\n  libvirt:\n    uris: [a, {b: c}]\n", "is a list of texts", 3, 15 },
                { "sources:\n  libvirt:\n    uris: {a: b}\n", "sources.libvirt.uris", 3, 11 },
                { "node:\n  name: \"a\\0b\"\n", "NUL", 2, 9 },
                { "sources:\n  libvirt:\n    uris: [a, \"b\\0c\"]\n", "NUL", 3, 15 },
                { "sources:\n  libvirt:\n    uris: [a, \"b\\nc\"]\n", "control characters", 3, 15 },
                { "node:\n  name: a\nhttp:\nnode:\n  name: b\n", "node is given twice", 4, 1 },
                { "node:\nhttp:\nnode:\n", "node is given twice", 3, 1 },
                { "node: {name: a}\n---\nnode: {name: b}\n", "one document", 3, 1 },
                { "node: {name: a}\n---\nnode: {name: b\n", "not YAML", 4, 1 },
                { "node:\n  name: a\xff\n", "not YAML", 2, 10 },
                { "node:\n  name: a\x01\n", "not YAML", 2, 10 },
                { "node:\n  name: \"a\n", "not YAML", 3, 1 },
                { "node:\n\tname: a\n", "not YAML", 2, 1 },
                { "node: {name: a\nevents:\n", "not YAML", 2, 7 },
                { "node:\n  name: *nothing\n", "not YAML", 2, 9 },
                { "nothing:\n", "there is no key 'nothing'", 1, 1 },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(load(f, rows[i].yaml), -EINVAL);
                if (!strstr(f->diag.text, rows[i].text) || f->diag.line != rows[i].line ||
                                f->diag.column != rows[i].column)
                        fail_msg("row %zu: %u:%u: %s", i, f->diag.line, f->diag.column,
                                        f->diag.text);
                assert_string_equal(f->diag.path, folder_path(f->folder, "main.yaml"));
        }
}

static void a_key_may_be_long_and_no_longer(void **state) {
        struct fixture *f = *state;
        char yaml[256];

        memset(yaml, 'k', sizeof(yaml));
        (void) snprintf(yaml + 127, sizeof(yaml) - 127, ": a\n");
        assert_int_equal(load(f, yaml), -EINVAL);
        assert_non_null(strstr(f->diag.text, "there is no key"));
        memset(yaml, 'k', sizeof(yaml));
        (void) snprintf(yaml + 128, sizeof(yaml) - 128, ": a\n");
        assert_int_equal(load(f, yaml), -EINVAL);
        assert_non_null(strstr(f->diag.text, "key too long"));
}

static void a_file_that_is_not_there_is_told(void **state) {
        struct fixture *f = *state;
        const char *path = folder_path(f->folder, "none.yaml");

        assert_int_equal(config_load(&f->config, path, &f->diag), -ENOENT);
        assert_string_equal(f->diag.path, path);
}

static void conf_d_is_laid_over_in_order_of_name(void **state) {
        struct fixture *f = *state;

        conf_d(f, "20-b.yaml", "node: {name: b}\nlogging: {level: warn}\n");
        conf_d(f, "10-a.yaml", "node: {name: a}\nevents: {evidence_wait: 1s}\n");
        conf_d(f, "30-c.yml", "node: {name: not read}\n");
        conf_d(f, ".hidden.yaml", "node: {name: not read}\n");
        assert_int_equal(load(f, "node: {name: main}\nlogging: {level: debug, format: json}\n"), 0);
        assert_string_equal(f->config.node_name, "b");
        assert_int_equal(f->config.log_level, LOG_LEVEL_WARN);
        assert_int_equal(f->config.log_target, LOG_TARGET_JSON);
        assert_int_equal(f->config.evidence_wait_us, 1000000);

        conf_d(f, "15-bad.yaml", "\nnode: {nam: a}\n");
        assert_int_equal(load(f, ""), -EINVAL);
        assert_string_equal(f->diag.path, folder_path(f->folder, "conf.d/15-bad.yaml"));
        assert_int_equal(f->diag.line, 2);
}

static void the_environment_is_laid_over_the_files(void **state) {
        struct fixture *f = *state;

        conf_d(f, "a.yaml", "node: {name: file}\n");
        assert_int_equal(setenv("VIRTWATCH_NODE__NAME", "variable", 1), 0);
        assert_int_equal(setenv("VIRTWATCH_SOURCES__LIBVIRT__URIS", "a,b", 1), 0);
        assert_int_equal(setenv("VIRTWATCH_HTTP__CONNECTIONS_MAX", "16", 1), 0);
        assert_int_equal(setenv("VIRTWATCH_HOST", "the client's", 1), 0);
        assert_int_equal(setenv("OTHER__NAME", "x", 1), 0);
        assert_int_equal(load(f, ""), 0);
        assert_string_equal(f->config.node_name, "variable");
        assert_int_equal(f->config.libvirt.uris.n, 2);
        assert_int_equal(f->config.connections_max, 16);

        assert_int_equal(setenv("VIRTWATCH_NODE__NAME_THAT_IS_LONGER_THAN_ANY_KEY_OF_OURS_AND_"
                                "WAS_PASSED_OVER_WITHOUT_A_WORD_BECAUSE_ITS_END_DID_NOT_FIT_INTO_"
                                "THE_KEY_AND_MORE",
                                         "x", 1),
                        0);
        assert_int_equal(load(f, ""), -EINVAL);
        assert_non_null(strstr(f->diag.text, "node.name_that"));
        assert_int_equal(clearenv(), 0);

        assert_int_equal(setenv("VIRTWATCH_NODE__NAM", "x", 1), 0);
        assert_int_equal(load(f, ""), -EINVAL);
        assert_string_equal(f->diag.path, "VIRTWATCH_NODE__NAM");
        assert_int_equal(f->diag.line, 0);
        assert_non_null(strstr(f->diag.text, "node.nam"));
        assert_non_null(strstr(f->diag.text, "did you mean VIRTWATCH_NODE__NAME?"));
        assert_int_equal(clearenv(), 0);

        assert_int_equal(setenv("VIRTWATCH_LOGGING_LEVEL", "debug", 1), 0);
        assert_int_equal(load(f, ""), -EINVAL);
        assert_string_equal(f->diag.path, "VIRTWATCH_LOGGING_LEVEL");
        assert_non_null(strstr(f->diag.text, "did you mean VIRTWATCH_LOGGING__LEVEL?"));
        assert_int_equal(clearenv(), 0);

        assert_int_equal(setenv("VIRTWATCH_HTTP__LISTEN", "1,2,3,4,5,6,7,8,9", 1), 0);
        assert_int_equal(load(f, ""), -EINVAL);
        assert_non_null(strstr(f->diag.text, "more than 8"));
        assert_int_equal(clearenv(), 0);
}

static void a_credential_is_the_token(void **state) {
        struct fixture *f = *state;

        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->folder->path, 1), 0);
        assert_int_equal(load(f, ""), 0); /* none there */
        assert_null(f->config.token);
        folder_write(f->folder, "virtwatch.token", "0123456789abcdef\n");
        assert_int_equal(load(f, "http: {token: another-one-in-the-file}"), 0);
        assert_string_equal(f->config.token, "0123456789abcdef");
        folder_write(f->folder, "virtwatch.token", "0123456789abcde\n");
        assert_int_equal(load(f, ""), -EINVAL);
        assert_non_null(strstr(f->diag.text, "http.token"));
        folder_write(f->folder, "virtwatch.token", "0123456789\tabcdef\n");
        assert_int_equal(load(f, ""), -EINVAL);
        assert_string_equal(f->diag.path, folder_path(f->folder, "virtwatch.token"));
        assert_int_equal(
                        truncate(folder_path(f->folder, "virtwatch.token"), 30), 0); /* with NULs */
        assert_int_equal(load(f, ""), -EINVAL);
        assert_non_null(strstr(f->diag.text, "NUL"));
        assert_string_equal(f->diag.path, folder_path(f->folder, "virtwatch.token"));
}

static void a_credential_has_a_limit(void **state) {
        struct fixture *f = *state;
        char token[4098];

        memset(token, 't', sizeof(token));
        token[4096] = '\0';
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->folder->path, 1), 0);
        folder_write(f->folder, "virtwatch.token", token);
        assert_int_equal(load(f, ""), 0);
        token[4096] = 't';
        token[4097] = '\0';
        folder_write(f->folder, "virtwatch.token", token);
        assert_int_equal(load(f, ""), -EFBIG);
        assert_string_equal(f->diag.path, folder_path(f->folder, "virtwatch.token"));
}

static void the_whole_is_checked(void **state) {
        struct fixture *f = *state;

        assert_int_equal(load(f, "http: {token: 0123456789abcdef}"), 0);
        assert_int_equal(load(f, "http: {token: 0123456789abcde}"), -EINVAL);
        assert_non_null(strstr(f->diag.text, "http.token"));
        assert_int_equal(load(f, "store: {path: relative}"), -EINVAL);
        assert_non_null(strstr(f->diag.text, "store.path"));
        assert_int_equal(load(f, "analytics: {files: [/a, b]}"), -EINVAL);
        assert_non_null(strstr(f->diag.text, "analytics.files"));
        assert_int_equal(load(f, "sources: {libvirt: {uris: []}}"), -EINVAL);
        assert_non_null(strstr(f->diag.text, "sources.libvirt.uris"));
        assert_int_equal(load(f, "sources: {libvirt: {uris: [], enabled: no}}"), 0);
}

static void a_secret_that_others_may_read_is_refused(void **state) {
        static const struct {
                mode_t mode;
                int result;
        } rows[] = { { 0600, 0 }, { 0640, 0 }, { 0400, 0 }, { 0644, -EACCES }, { 0660, -EACCES },
                { 0650, -EACCES }, { 0601, -EACCES }, { 0602, -EACCES } };
        struct fixture *f = *state;
        const char *path;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(load(f, "http: {token: 0123456789abcdef}"), 0);
                path = folder_path(f->folder, "main.yaml");
                assert_int_equal(chmod(path, rows[i].mode), 0);
                if (config_load(&f->config, path, &f->diag) != rows[i].result)
                        fail_msg("mode %o", rows[i].mode);
                if (rows[i].result < 0)
                        assert_string_equal(f->diag.path, path);
        }
}

static void only_the_file_with_the_secret_has_to_be_kept_from_others(void **state) {
        struct fixture *f = *state;
        const char *path = folder_path(f->folder, "main.yaml");

        conf_d(f, "secret.yaml", "http: {token: 0123456789abcdef}\n");
        conf_d(f, "z.yaml", "node: {name: a}\n");
        assert_int_equal(load(f, "node: {name: b}"), 0);
        assert_int_equal(chmod(folder_path(f->folder, "conf.d/z.yaml"), 0644), 0);
        assert_int_equal(chmod(path, 0644), 0);
        assert_int_equal(config_load(&f->config, path, &f->diag), 0);
        assert_string_equal(f->config.token, "0123456789abcdef");
        assert_int_equal(chmod(folder_path(f->folder, "conf.d/secret.yaml"), 0644), 0);
        path = folder_path(f->folder, "main.yaml");
        assert_int_equal(config_load(&f->config, path, &f->diag), -EACCES);
        assert_string_equal(f->diag.path, folder_path(f->folder, "conf.d/secret.yaml"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(the_defaults_are_those_documented),
                TEST(every_key_is_taken_up_to_its_bounds),
                TEST(sizes_have_units),
                TEST(a_list_replaces_the_list_before_it),
                TEST(a_list_in_a_file_has_the_same_bounds),
                TEST(a_near_miss_has_a_suggestion),
                TEST(a_file_sets_keys_of_every_kind),
                TEST(a_complaint_names_file_line_and_column),
                TEST(a_key_may_be_long_and_no_longer),
                TEST(a_file_that_is_not_there_is_told),
                TEST(conf_d_is_laid_over_in_order_of_name),
                TEST(the_environment_is_laid_over_the_files),
                TEST(a_credential_is_the_token),
                TEST(a_credential_has_a_limit),
                TEST(the_whole_is_checked),
                TEST(a_secret_that_others_may_read_is_refused),
                TEST(only_the_file_with_the_secret_has_to_be_kept_from_others),
        };

        return RUN_TESTS(tests);
}
