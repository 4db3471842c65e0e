/* virtwatchd: options, configuration, manager, loop, nothing else. */

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/manager.h"
#include "daemon/manager_tls.h"
#include "daemon/options.h"
#include "virtwatch/virtwatch.h"

static int set_text(struct config *config, const char *option, const char *key, const char *value,
                struct config_faults *faults) {
        struct diag diag = {};
        int r;

        (void) snprintf(diag.path, sizeof(diag.path), "%s", option);
        r = config_set(config, key, value, &diag);
        return r == -EINVAL ? config_faults_add(faults, r, &diag) : r;
}

static int set_option(struct config *config, const char *option, struct config_faults *faults) {
        _cleanup_(freep) char *key = NULL;
        const char *equals = strchr(option, '=');
        struct diag diag = {};

        if (!equals) {
                diag_set(&diag, 0, 0, "--set wants KEY=VALUE, not '%s'", option);
                return config_faults_add(faults, -EINVAL, &diag);
        }
        key = strndup(option, (size_t) (equals - option));
        return key ? set_text(config, "--set", key, equals + 1, faults) : -ENOMEM;
}

static int load(struct config *ret_config, struct config_faults *faults, void *userdata) {
        const struct options *options = userdata;
        _cleanup_(config_done) struct config config = {};
        int r;

        r = config_init(&config);
        if (r >= 0)
                r = config_read(&config, options->config ? options->config : VW_CONFIG_DEFAULT,
                                !options->config, faults);
        for (size_t i = 0; r >= 0 && i < options->n_sets; i++)
                r = set_option(&config, options->sets[i], faults);
        if (r >= 0 && options->bus)
                r = set_text(&config, "--bus", "dbus.bus", options->bus, faults);
        if (r >= 0 && options->bus_address)
                r = set_text(&config, "--bus-address", "dbus.address", options->bus_address,
                                faults);
        if (r >= 0)
                r = config_check(&config, faults);
        if (r < 0)
                return r;
        if (faults->n > 0)
                return faults->items[0].error;

        *ret_config = config;
        config = (struct config){};
        return 0;
}

/* For people, and for the editors that they call this from: a line each, on stderr. */
static void print_faults(const struct config_faults *faults) {
        char text[CONFIG_FAULT_TEXT_MAX];

        for (size_t i = 0; i < faults->n; i++)
                (void) fprintf(stderr, "%s\n", config_fault_text(&faults->items[i], text));
        if (faults->more > 0)
                (void) fprintf(stderr, "and %zu more\n", faults->more);
}

static void log_faults(const struct config_faults *faults, int error) {
        char text[CONFIG_FAULT_TEXT_MAX];

        for (size_t i = 0; i < faults->n; i++)
                (void) log_error_errno(faults->items[i].error, "%s",
                                config_fault_text(&faults->items[i], text));
        if (faults->n == 0)
                (void) log_error_errno(error, "Cannot read the configuration: %m");
}

/* "events.oom_rule: "evidence" # /etc/virtwatch/virtwatch.yaml:3:14": YAML, if one wants it back.
 */
static void print_key(struct json_object *key) {
        const char *name = json_get_string(key, "origin/name");
        const int64_t line = json_get_int(key, "origin/line", 0);
        struct json_object *value = json_get(key, "value");

        (void) printf("%s: %s  # %s%s%s", json_get_string(key, "key"),
                        value ? json_text(value) : "\"\"", json_get_string(key, "origin/from"),
                        name ? " " : "", name ? name : "");
        if (line > 0)
                (void) printf(":%jd:%jd", (intmax_t) line,
                                (intmax_t) json_get_int(key, "origin/column", 0));
        (void) printf("\n");
}

static int show(const struct config *config, bool as_json) {
        _cleanup_(json_putp) struct json_object *keys = config_to_json(config);

        if (!keys)
                return -ENOMEM;
        if (as_json) {
                (void) printf("%s\n", json_text(keys));
                return 0;
        }
        for (size_t i = 0; i < json_object_array_length(keys); i++)
                print_key(json_object_array_get_idx(keys, i));
        return 0;
}

static int check(const struct config *config) {
        struct diag diag = {};
        int r;

        r = manager_tls_check(config, &diag);
        if (r < 0)
                (void) fprintf(stderr, "%s\n", diag.text);
        else
                (void) printf("The configuration is good\n");
        return r;
}

static int run(int argc, char **argv) {
        _cleanup_(manager_freep) struct manager *manager = NULL;
        _cleanup_(config_faults_done) struct config_faults faults = {};
        _cleanup_(config_done) struct config config = {};
        struct options options;
        int r;

        r = options_parse(argc, argv, &options);
        if (r <= 0)
                return r;

        r = load(&config, &faults, &options);
        if (r < 0 && (options.check_config || options.show_config)) {
                print_faults(&faults);
                return r;
        }
        if (r < 0) {
                log_faults(&faults, r);
                return r;
        }
        if (options.show_config)
                return show(&config, strcmp(options.show_config, "json") == 0);
        if (options.check_config)
                return check(&config);

        log_set_level(config.log_level);
        log_set_target(config.log_target);
        config_faults_done(&faults);
        r = manager_new(&config, &(struct manager_reload){ .load = load, .userdata = &options },
                        &manager);
        if (r < 0)
                return r;
        return manager_run(manager);
}

int main(int argc, char **argv) {
        return run(argc, argv) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
