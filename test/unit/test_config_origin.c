/* Where values come from, all that is wrong at once, secrets that nobody sees, and the file that is
 * shipped. */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "daemon/config_keys.h"
#include "folder.h"
#include "test.h"

struct fixture {
        struct folder *folder;
        struct config config;
        struct config_faults faults;
        char **environment;
};

static int setup(void **state) {
        static char *none[] = { NULL };
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_int_equal(folder_setup((void **) &f->folder), 0);
        assert_int_equal(config_init(&f->config), 0);
        f->environment = environ;
        environ = none;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        environ = f->environment;
        config_done(&f->config);
        config_faults_done(&f->faults);
        (void) folder_teardown((void **) &f->folder);
        free(f);
        return 0;
}

/* Return: how many faults. */
static size_t load(struct fixture *f, const char *yaml) {
        const char *path = folder_path(f->folder, "main.yaml");

        folder_write(f->folder, "main.yaml", yaml);
        assert_int_equal(chmod(path, 0600), 0);
        config_done(&f->config);
        config_faults_done(&f->faults);
        assert_int_equal(config_init(&f->config), 0);
        assert_int_equal(config_read(&f->config, path, false, &f->faults), 0);
        assert_int_equal(config_check(&f->config, &f->faults), 0);
        return f->faults.n;
}

static void assert_fault(struct fixture *f, size_t i, const char *wanted) {
        char text[CONFIG_FAULT_TEXT_MAX];

        assert_true(i < f->faults.n);
        (void) config_fault_text(&f->faults.items[i], text);
        if (!strstr(text, wanted))
                fail_msg("fault %zu is '%s', not '%s'", i, text, wanted);
}

static void assert_origin(struct fixture *f, const char *key, enum config_layer layer,
                const char *name, unsigned int line) {
        const struct config_origin *origin = config_key_origin(&f->config, config_key_find(key));

        assert_int_equal(origin->layer, layer);
        if (name)
                assert_string_equal(origin->path, name);
        else
                assert_null(origin->path);
        assert_int_equal(origin->line, line);
}

static void all_that_is_wrong_is_told_with_its_place(void **state) {
        struct fixture *f = *state;

        (void) mkdir(folder_path(f->folder, "conf.d"), 0700);
        folder_write(f->folder, "conf.d/a.yaml", "http:\n  listn: [a]\n");
        assert_int_equal(setenv("VIRTWATCH_LOGGING__LEVEL", "loud", 1), 0);
        assert_int_equal(load(f,
                                         "events:\n  oom_rul: evidence\n  evidence_wait: 6s\n"
                                         "sources:\n  docker: 7\n  libvirt: {uris: []}\n"
                                         "store: {path: here}\n"),
                        7);
        assert_fault(f, 0,
                        "/main.yaml:2:3: there is no key 'events.oom_rul'; did you mean 'events.oom_rule'?");
        assert_fault(f, 1, "/main.yaml:3:18: events.evidence_wait is a span");
        assert_fault(f, 2, "/main.yaml:5:11: sources.docker is a section");
        assert_fault(f, 3,
                        "/conf.d/a.yaml:2:3: there is no key 'http.listn'; did you mean 'http.listen'?");
        assert_fault(f, 4, "VIRTWATCH_LOGGING__LEVEL: logging.level is error, warn");
        /* What the keys mean together is placed as well. */
        assert_fault(f, 5, "/main.yaml:6:19: sources.libvirt.uris is empty");
        assert_fault(f, 6, "/main.yaml:7:15: store.path must be absolute, not 'here'");
        assert_int_equal(clearenv(), 0);
}

static void conf_d_is_read_where_no_file_is(void **state) {
        struct fixture *f = *state;
        const char *path = folder_path(f->folder, "main.yaml");

        (void) mkdir(folder_path(f->folder, "conf.d"), 0700);
        folder_write(f->folder, "conf.d/a.yaml", "node: {name: alone}\n");
        assert_int_equal(config_read(&f->config, path, true, &f->faults), 0);
        assert_int_equal(f->faults.n, 0);
        assert_string_equal(f->config.node_name, "alone");
        assert_origin(f, "node.name", CONFIG_FILE, folder_path(f->folder, "conf.d/a.yaml"), 1);

        /* What was asked for by name must be there. */
        assert_int_equal(config_read(&f->config, path, false, &f->faults), 0);
        assert_int_equal(f->faults.n, 1);
        assert_int_equal(f->faults.items[0].error, -ENOENT);
}

static void a_conf_d_that_is_out_of_reach_is_an_error(void **state) {
        struct fixture *f = *state;

        assert_int_equal(symlink("conf.d", folder_path(f->folder, "conf.d")), 0);
        assert_int_equal(load(f, ""), 1);
        assert_int_equal(f->faults.items[0].error, -ELOOP);
        assert_fault(f, 0, "/conf.d/");
}

static void one_fault_is_told_once(void **state) {
        struct fixture *f = *state;

        /* The interval that is no interval leaves the one before: no word of the ring. */
        assert_int_equal(load(f, "sampler: {interval: 1x, ring: 100ms}\n"), 1);
        assert_int_equal(load(f, "sampler: {interval: 1s, ring: 100ms}\n"), 1);
        assert_fault(f, 0, "main.yaml:1:31: sampler.ring does not fit");
        assert_int_equal(load(f, "sampler: {interval: 1h}\n"), 1);
        assert_fault(f, 0, "main.yaml:1:21: sampler.interval does not fit");
}

static void there_may_be_more_faults_than_are_told(void **state) {
        struct fixture *f = *state;
        char yaml[8192] = "node:\n";
        size_t n = strlen(yaml);

        for (int i = 0; i < CONFIG_FAULTS_MAX + 5; i++)
                n += (size_t) snprintf(yaml + n, sizeof(yaml) - n, "  k%d: 1\n", i);
        assert_int_equal(load(f, yaml), CONFIG_FAULTS_MAX);
        assert_int_equal(f->faults.more, 5);
}

static void each_value_knows_where_it_came_from(void **state) {
        struct fixture *f = *state;
        struct diag diag = { .path = "--set" };

        (void) mkdir(folder_path(f->folder, "conf.d"), 0700);
        folder_write(f->folder, "conf.d/a.yaml", "\nnode: {ignore_disks: [a, b]}\n");
        folder_write(f->folder, "virtwatch.token", "0123456789abcdef\n");
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->folder->path, 1), 0);
        assert_int_equal(setenv("VIRTWATCH_SAMPLER__RING", "60s", 1), 0);
        assert_int_equal(load(f, "node:\n  name: a\n  ignore_disks: [c]\nsampler: {ring: 40s}\n"),
                        0);
        assert_int_equal(config_set(&f->config, "events.oom_rule", "evidence", &diag), 0);

        assert_origin(f, "node.name", CONFIG_FILE, folder_path(f->folder, "main.yaml"), 2);
        assert_origin(f, "node.ignore_disks", CONFIG_FILE, folder_path(f->folder, "conf.d/a.yaml"),
                        2);
        assert_origin(f, "sampler.ring", CONFIG_ENVIRONMENT, "VIRTWATCH_SAMPLER__RING", 0);
        assert_origin(f, "http.token", CONFIG_CREDENTIAL, folder_path(f->folder, "virtwatch.token"),
                        0);
        assert_origin(f, "events.oom_rule", CONFIG_OPTION, "--set", 0);
        assert_origin(f, "dbus.bus", CONFIG_DEFAULT, NULL, 0);
        assert_int_equal(clearenv(), 0);
}

static struct json_object *shown(struct json_object *keys, const char *name) {
        for (size_t i = 0; i < json_object_array_length(keys); i++) {
                struct json_object *key = json_object_array_get_idx(keys, i);

                if (strcmp(json_get_string(key, "key"), name) == 0)
                        return key;
        }
        fail_msg("%s is not shown", name);
        return NULL;
}

static void assert_shown(struct json_object *keys, const char *name, const char *value) {
        const char *text = json_text(json_get(shown(keys, name), "value"));

        assert_string_equal(text ? text : "null", value);
}

static void what_is_shown_is_how_files_say_it(void **state) {
        _cleanup_(json_putp) struct json_object *keys = NULL;
        struct fixture *f = *state;

        assert_int_equal(
                        load(f,
                                        "events: {evidence_wait: 1500ms, retention_age: 48h, retention_size: 1536}\n"
                                        "sampler: {ring: 90s}\nhttp: {token: 0123456789abcdef, listen: '127.0.0.1:1,[::1]:2'}\n"
                                        "analytics: {retention_days: 7, duration: ms}\nmetrics: {compat: off}\n"),
                        0);
        keys = config_to_json(&f->config);
        assert_non_null(keys);
        assert_int_equal(json_object_array_length(keys), config_key_count());
        assert_shown(keys, "events.evidence_wait", "\"1500ms\"");
        assert_shown(keys, "events.retention_age", "\"2d\"");
        assert_shown(keys, "events.retention_size", "1536");
        assert_shown(keys, "sampler.ring", "\"90s\"");
        assert_shown(keys, "http.listen", "[\"127.0.0.1:1\",\"[::1]:2\"]");
        assert_shown(keys, "analytics.retention_days", "7");
        assert_shown(keys, "analytics.duration", "\"ms\"");
        assert_shown(keys, "metrics.compat", "\"off\"");
        assert_shown(keys, "sources.docker.enabled", "true");
        assert_shown(keys, "http.token", "\"***\"");
        assert_shown(keys, "dbus.address", "null");
        assert_string_equal(json_get_string(shown(keys, "sampler.ring"), "default"), "30s");
        assert_true(json_get_bool(shown(keys, "http.token"), "secret", false));
        assert_true(json_get_bool(shown(keys, "http.listen"), "reload", false));
        assert_false(json_get_bool(shown(keys, "store.path"), "reload", true));
        assert_string_equal(json_get_string(shown(keys, "sampler.ring"), "origin/from"), "file");
        assert_int_equal(json_get_int(shown(keys, "sampler.ring"), "origin/line", 0), 2);
        assert_int_equal(json_get_int(shown(keys, "sampler.ring"), "origin/column", 0), 17);
        assert_string_equal(json_get_string(shown(keys, "dbus.bus"), "origin/from"), "default");
        assert_null(strstr(json_text(keys), "0123456789abcdef"));
}

static void what_is_no_utf8_is_told_as_such(void **state) {
        _cleanup_(config_done) struct config other = {};
        _cleanup_(json_putp) struct json_object *keys = NULL;
        struct fixture *f = *state;
        struct diag diag = { .path = "a\xff" };
        const struct config_key *key = config_key_find("store.path");

        assert_int_equal(config_init(&other), 0);
        assert_int_equal(config_set(&other, "store.path", "n\xfe", &diag), 0);
        assert_int_equal(config_set(&f->config, "store.path", "n\xff", &diag), 0);
        assert_int_equal(config_set(&f->config, "node.ignore_disks", "n\xff,a", &diag), 0);
        keys = config_to_json(&f->config);
        assert_shown(keys, "store.path", "\"n\xef\xbf\xbd\"");
        assert_shown(keys, "node.ignore_disks", "[\"n\xef\xbf\xbd\",\"a\"]");
        assert_string_equal(
                        json_get_string(shown(keys, "store.path"), "origin/name"), "a\xef\xbf\xbd");
        assert_false(config_key_equal(key, &f->config, &other)); /* though they look alike */

        /* this one is in all that is told */
        assert_int_equal(config_set(&f->config, "node.name", "n\xff", &diag), 0);
        assert_string_equal(f->config.node_name, "n\xef\xbf\xbd");
}

static void what_is_shown_can_be_set_again(void **state) {
        _cleanup_(config_done) struct config other = {};
        struct fixture *f = *state;

        assert_int_equal(
                        load(f,
                                        "events: {evidence_wait: 1us, retention_age: 0, retention_size: 3T, oom_rule: evidence}\n"
                                        "sampler: {interval: 2s, ring: 2h}\nlogging: {level: trace, format: json}\n"
                                        "metrics: {compat: tinkoff}\nanalytics: {duration: ns, hosts_max: 5}\n"),
                        0);
        assert_int_equal(config_init(&other), 0);
        for (size_t i = 0; i < config_key_count(); i++) {
                const struct config_key *key = config_key_at(i);
                _cleanup_(json_putp) struct json_object *value = config_key_value(&f->config, key);
                struct diag diag = {};

                assert_int_not_equal(config_key_type(key), CONFIG_TYPE_MAX_);
                if (config_key_type(key) == CONFIG_LIST || !value)
                        continue;
                if (config_key_set(&other, key, json_object_get_string(value), &diag) < 0)
                        fail_msg("%s: %s", key->name, diag.text);
                assert_true(config_key_equal(key, &f->config, &other));
        }
}

/* ---- secrets ---- */

static void a_secret_is_filled_in_and_never_shown(void **state) {
        _cleanup_(json_putp) struct json_object *keys = NULL;
        struct fixture *f = *state;

        folder_write(f->folder, "agent-1", "Mo$${zilla}\r\n");
        folder_write(f->folder, "ranges", "10.0.0.0/8");
        folder_write(f->folder, "api_token", "0123456789abcdef\n");
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->folder->path, 1), 0);
        assert_int_equal(load(f,
                                         "probes:\n  user_agent: x${secret.agent-1}y$z$${a}$$\n"
                                         "  allow: ['${secret.ranges}', 127.0.0.0/8]\n"
                                         "http: {token: '${secret.api_token}'}\n"),
                        0);
        assert_string_equal(f->config.probes.user_agent, "xMo$${zilla}y$z${a}$$");
        assert_int_equal(f->config.probes.allow.n, 2);
        assert_string_equal(f->config.probes.allow.items[0], "10.0.0.0/8");
        assert_string_equal(f->config.token, "0123456789abcdef");
        keys = config_to_json(&f->config);
        assert_shown(keys, "probes.user_agent", "\"***\"");
        assert_shown(keys, "probes.allow", "\"***\"");
        assert_null(strstr(json_text(keys), "zilla"));
        assert_null(strstr(json_text(keys), "10.0.0.0"));

        /* The file names the secret but does not hold it: others may read it. */
        assert_int_equal(chmod(folder_path(f->folder, "main.yaml"), 0644), 0);
        config_faults_done(&f->faults);
        assert_int_equal(config_read(&f->config, folder_path(f->folder, "main.yaml"), false,
                                         &f->faults),
                        0);
        assert_int_equal(f->faults.n, 0);
        assert_int_equal(clearenv(), 0);
}

static void a_dollar_alone_is_one(void **state) {
        static const struct {
                const char *yaml, *value;
        } rows[] = { { "$", "$" }, { "$$", "$$" }, { "$HOME", "$HOME" }, { "a$", "a$" },
                { "$${HOME}", "${HOME}" }, { "$$${HOME}", "$${HOME}" }, { "$(id)", "$(id)" },
                { "%d`id`", "%d`id`" } };
        struct fixture *f = *state;
        char yaml[128];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                (void) snprintf(yaml, sizeof(yaml), "probes: {user_agent: '%s'}\n", rows[i].yaml);
                assert_int_equal(load(f, yaml), 0);
                assert_string_equal(f->config.probes.user_agent, rows[i].value);
        }
}

static void what_is_no_secret_is_refused(void **state) {
        static const char *const rows[] = { "${", "${}", "${secret}", "${secret.}", "${secret.a",
                "${secret.a b}", "${secret./etc/passwd}", "${secret...}", "${secret.../x}",
                "${secret..hidden}", "${HOME}", "${secret.$a}", "${secret.${secret.a}}",
                "${Secret.a}" };
        struct fixture *f = *state;
        char yaml[128];

        folder_write(f->folder, "a", "b");
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->folder->path, 1), 0);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                (void) snprintf(yaml, sizeof(yaml), "probes: {user_agent: '%s'}\n", rows[i]);
                if (load(f, yaml) != 1)
                        fail_msg("%s is taken", rows[i]);
                assert_fault(f, 0, "main.yaml:1:22: probes.user_agent has '${");
                assert_fault(f, 0, "write $${ for ${");
        }
        assert_int_equal(clearenv(), 0);
}

static void a_secret_that_is_missing_is_told(void **state) {
        struct fixture *f = *state;

        assert_int_equal(load(f, "probes: {user_agent: '${secret.a}'}\n"), 1);
        assert_fault(f, 0,
                        "main.yaml:1:22: probes.user_agent wants the secret 'a', but there are no credentials");
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->folder->path, 1), 0);
        assert_int_equal(load(f, "probes: {user_agent: '${secret.a}', ca_file: '${secret.b}'}\n"),
                        2);
        assert_fault(f, 0, "wants the secret 'a', but there is no such credential in /tmp/");
        assert_fault(f, 1, "probes.ca_file wants the secret 'b'");
        folder_write(f->folder, "a", "");
        assert_int_equal(truncate(folder_path(f->folder, "a"), 10), 0); /* NULs */
        assert_int_equal(load(f, "probes: {user_agent: '${secret.a}'}\n"), 1);
        assert_fault(f, 0, "NUL");
        assert_int_equal(truncate(folder_path(f->folder, "a"), 4097), 0);
        assert_int_equal(load(f, "probes: {user_agent: '${secret.a}'}\n"), 1);
        assert_fault(f, 0, "4096");
        assert_int_equal(clearenv(), 0);
}

static void a_secret_that_does_not_fit_is_not_quoted(void **state) {
        struct fixture *f = *state;
        char yaml[512], text[CONFIG_FAULT_TEXT_MAX];
        size_t n = 0;

        folder_write(f->folder, "s", "hunter2");
        folder_write(f->folder, "control", "hunter2\nx");
        folder_write(f->folder, "latin1", "hunter2\xe9");
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->folder->path, 1), 0);
        assert_int_equal(setenv("VIRTWATCH_EVENTS__RETENTION_AGE", "${secret.s}", 1), 0);
        n += (size_t) snprintf(yaml + n, sizeof(yaml) - n,
                        "http: {connections_max: '${secret.s}', token: '${secret.s}'}\n"
                        "logging: {level: '${secret.s}'}\nsampler: {interval: '${secret.s}'}\n"
                        "metrics: {compat: '${secret.s}'}\n"
                        "probes: {enabled: '${secret.s}', user_agent: '${secret.control}',\n"
                        "  ca_file: '${secret.s}', allow: ['${secret.s}'], deny: '${secret.latin1}'}\n");
        assert_true(n < sizeof(yaml));
        assert_int_equal(load(f, yaml), 11);
        assert_fault(f, 0, "http.connections_max is a number from 16 to 65536, not '${secret.s}'");
        assert_fault(f, 4, "probes.enabled is true or false");
        for (size_t i = 0; i < f->faults.n; i++)
                assert_null(strstr(config_fault_text(&f->faults.items[i], text), "hunter2"));
        assert_int_equal(clearenv(), 0);
}

static void what_others_are_told_takes_no_secret(void **state) {
        struct fixture *f = *state;

        folder_write(f->folder, "s", "hunter2");
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->folder->path, 1), 0);
        assert_int_equal(
                        load(f,
                                        "sources: {libvirt: {uris: ['qemu+tcp://${secret.s}@h/system']}}\n"
                                        "node: {name: '${secret.s}'}\n"),
                        2);
        assert_fault(f, 0, "main.yaml:1:28: sources.libvirt.uris takes no ${secret.NAME}");
        assert_fault(f, 1, "node.name takes no ${secret.NAME}");
        assert_int_equal(clearenv(), 0);
}

static void a_value_with_secrets_has_a_bound(void **state) {
        struct fixture *f = *state;
        char secret[4097], yaml[512] = "probes: {user_agent: '";

        memset(secret, 's', sizeof(secret));
        secret[4096] = '\0';
        folder_write(f->folder, "s", secret);
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->folder->path, 1), 0);
        for (int i = 0; i < 4; i++)
                (void) strncat(yaml, "${secret.s}", sizeof(yaml) - strlen(yaml) - 1);
        (void) strncat(yaml, "'}", sizeof(yaml) - strlen(yaml) - 1);
        assert_int_equal(load(f, yaml), 0);
        assert_int_equal(strlen(f->config.probes.user_agent), 16384);
        yaml[strlen(yaml) - 2] = '\0';
        (void) strncat(yaml, "x'}", sizeof(yaml) - strlen(yaml) - 1);
        assert_int_equal(load(f, yaml), 1);
        assert_fault(f, 0, "more than 16384 bytes");
        assert_int_equal(clearenv(), 0);
}

/* ---- the file that is shipped ---- */

#define SHIPPED FIXTURES_DIR "/../../packaging/virtwatch.yaml"

/* A key that is commented out has no blank behind its '#'. */
static void write_uncommented(struct fixture *f, const char *name) {
        FILE *from = fopen(SHIPPED, "re"), *to = fopen(folder_path(f->folder, name), "we");
        char line[1024];

        assert_non_null(from);
        assert_non_null(to);
        while (fgets(line, sizeof(line), from)) {
                size_t indent = strspn(line, " ");

                if (line[indent] == '#' && line[indent + 1] >= 'a' && line[indent + 1] <= 'z')
                        memmove(line + indent, line + indent + 1, strlen(line + indent));
                assert_true(fputs(line, to) >= 0);
        }
        assert_int_equal(fclose(from), 0);
        assert_int_equal(fclose(to), 0);
        assert_int_equal(chmod(folder_path(f->folder, name), 0600), 0);
}

static void the_shipped_file_sets_nothing(void **state) {
        struct fixture *f = *state;

        assert_int_equal(config_read(&f->config, SHIPPED, false, &f->faults), 0);
        assert_int_equal(f->faults.n, 0);
        for (size_t i = 0; i < config_key_count(); i++)
                assert_int_equal(config_key_origin(&f->config, config_key_at(i))->layer,
                                CONFIG_DEFAULT);
}

static void the_shipped_file_names_every_key_with_its_default(void **state) {
        _cleanup_(config_done) struct config defaults = {};
        struct fixture *f = *state;
        char text[CONFIG_FAULT_TEXT_MAX];

        write_uncommented(f, "all.yaml");
        assert_int_equal(config_init(&defaults), 0);
        assert_int_equal(config_read(&f->config, folder_path(f->folder, "all.yaml"), false,
                                         &f->faults),
                        0);
        assert_int_equal(config_check(&f->config, &f->faults), 0);
        for (size_t i = 0; i < f->faults.n; i++)
                fail_msg("%s", config_fault_text(&f->faults.items[i], text));
        for (size_t i = 0; i < config_key_count(); i++) {
                const struct config_key *key = config_key_at(i);

                if (config_key_origin(&f->config, key)->layer != CONFIG_FILE)
                        fail_msg("%s is not in packaging/virtwatch.yaml", key->name);
                if (!config_key_equal(key, &f->config, &defaults))
                        fail_msg("%s has another default in packaging/virtwatch.yaml", key->name);
        }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(all_that_is_wrong_is_told_with_its_place),
                TEST(conf_d_is_read_where_no_file_is),
                TEST(a_conf_d_that_is_out_of_reach_is_an_error),
                TEST(one_fault_is_told_once),
                TEST(there_may_be_more_faults_than_are_told),
                TEST(each_value_knows_where_it_came_from),
                TEST(what_is_shown_is_how_files_say_it),
                TEST(what_is_no_utf8_is_told_as_such),
                TEST(what_is_shown_can_be_set_again),
                TEST(a_secret_is_filled_in_and_never_shown),
                TEST(a_dollar_alone_is_one),
                TEST(what_is_no_secret_is_refused),
                TEST(a_secret_that_is_missing_is_told),
                TEST(a_secret_that_does_not_fit_is_not_quoted),
                TEST(what_others_are_told_takes_no_secret),
                TEST(a_value_with_secrets_has_a_bound),
                TEST(the_shipped_file_sets_nothing),
                TEST(the_shipped_file_names_every_key_with_its_default),
        };

        return RUN_TESTS(tests);
}
