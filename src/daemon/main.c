/* virtwatchd: options, configuration, manager, loop, nothing else. */

#include <string.h>

#include "base/log.h"
#include "daemon/config.h"
#include "daemon/manager.h"
#include "daemon/options.h"
#include "virtwatch/virtwatch.h"

static int set_text(struct config *config, const char *key, const char *value, struct diag *diag) {
        return value ? config_set(config, key, value, diag) : 0;
}

static int set_option(struct config *config, const char *option, struct diag *diag) {
        _cleanup_(freep) char *key = NULL;
        const char *equals = strchr(option, '=');

        if (!equals) {
                diag_set(diag, 0, 0, "--set wants KEY=VALUE, not '%s'", option);
                return -EINVAL;
        }
        key = strndup(option, (size_t) (equals - option));
        if (!key)
                return -ENOMEM;
        return config_set(config, key, equals + 1, diag);
}

static void log_diag(int error, const struct diag *diag) {
        if (diag->line > 0) {
                (void) log_error_errno(error, "%s:%u:%u: %s", diag->path, diag->line, diag->column,
                                diag->text);
        } else if (diag->text[0]) {
                (void) log_error_errno(
                                error, "%s%s%s", diag->path, diag->path[0] ? ": " : "", diag->text);
        } else {
                (void) log_error_errno(error, "Cannot read the configuration %s: %m", diag->path);
        }
}

static int load(struct config *ret_config, void *userdata) {
        const struct options *options = userdata;
        _cleanup_(config_done) struct config config = {};
        struct diag diag = {};
        const char *path;
        int r;

        path = options->config ? options->config : VW_CONFIG_DEFAULT;
        if (!options->config && access(path, F_OK) < 0)
                path = NULL; /* the defaults do without a file */

        r = config_init(&config);
        if (r >= 0)
                r = config_load(&config, path, &diag);
        for (size_t i = 0; r >= 0 && i < options->n_sets; i++)
                r = set_option(&config, options->sets[i], &diag);
        if (r >= 0)
                r = set_text(&config, "dbus.bus", options->bus, &diag);
        if (r >= 0)
                r = set_text(&config, "dbus.address", options->bus_address, &diag);
        if (r < 0) {
                log_diag(r, &diag);
                return r;
        }

        *ret_config = config;
        config = (struct config){};
        return 0;
}

static int run(int argc, char **argv) {
        _cleanup_(manager_freep) struct manager *manager = NULL;
        _cleanup_(config_done) struct config config = {};
        struct options options;
        int r;

        r = options_parse(argc, argv, &options);
        if (r <= 0)
                return r;

        r = load(&config, &options);
        if (r < 0)
                return r;
        if (options.check_config) {
                (void) printf("The configuration is good\n");
                return 0;
        }

        log_set_level(config.log_level);
        log_set_target(config.log_target);
        r = manager_new(&config, &(struct manager_reload){ .load = load, .userdata = &options },
                        &manager);
        if (r < 0)
                return r;
        return manager_run(manager);
}

int main(int argc, char **argv) {
        return run(argc, argv) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
