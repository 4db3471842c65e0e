/* The command line: few options, since everything is a key of the configuration, and --set reaches
 * each of them. */

#include "daemon/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "virtwatch/virtwatch.h"

static void help(void) {
        (void) printf("virtwatchd [OPTION]...\n\n"
                      "Watches VMs and containers and publishes what happens to them.\n\n"
                      "  -c, --config=PATH       configuration file (default " VW_CONFIG_DEFAULT
                      ")\n"
                      "  -s, --set=KEY=VALUE     set one key, e.g. --set events.oom_rule=evidence; may be repeated\n"
                      "      --bus=NAME          system, user or none (the same as --set dbus.bus=NAME)\n"
                      "      --bus-address=ADDR  the bus at this address\n"
                      "      --check-config      read the configuration, say all that is wrong, end\n"
                      "      --show-config[=json]  each key, its value, and where it comes from\n"
                      "  -h, --help              this text\n"
                      "      --version           the version\n");
}

static int set_show(struct options *options, const char *format) {
        options->show_config = format ? format : "text";
        if (strcmp(options->show_config, "text") == 0 || strcmp(options->show_config, "json") == 0)
                return 0;
        (void) fprintf(stderr, "virtwatchd: --show-config is text or json, not '%s'\n", format);
        return -EINVAL;
}

static int add_set(struct options *options, const char *text) {
        if (options->n_sets >= OPTIONS_SETS_MAX) {
                (void) fprintf(stderr, "virtwatchd: more than %d --set options\n",
                                OPTIONS_SETS_MAX);
                return -EINVAL;
        }
        options->sets[options->n_sets++] = text;
        return 0;
}

int options_parse(int argc, char **argv, struct options *ret_options) {
        enum {
                OPT_VERSION = 256,
                OPT_CHECK,
                OPT_SHOW,
                OPT_BUS,
                OPT_BUS_ADDRESS
        };
        static const struct option longs[] = {
                { "config", required_argument, NULL, 'c' },
                { "set", required_argument, NULL, 's' },
                { "bus", required_argument, NULL, OPT_BUS },
                { "bus-address", required_argument, NULL, OPT_BUS_ADDRESS },
                { "check-config", no_argument, NULL, OPT_CHECK },
                { "show-config", optional_argument, NULL, OPT_SHOW },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, OPT_VERSION },
                {},
        };
        struct options options = {};
        int c, r = 0;

        while (r >= 0 && (c = getopt_long(argc, argv, "c:s:h", longs, NULL)) >= 0) {
                switch (c) {
                case 'c':
                        options.config = optarg;
                        break;
                case 's':
                        r = add_set(&options, optarg);
                        break;
                case OPT_BUS:
                        options.bus = optarg;
                        break;
                case OPT_BUS_ADDRESS:
                        options.bus_address = optarg;
                        break;
                case OPT_CHECK:
                        options.check_config = true;
                        break;
                case OPT_SHOW:
                        r = set_show(&options, optarg);
                        break;
                case 'h':
                        help();
                        return 0;
                case OPT_VERSION:
                        (void) printf("virtwatchd " VIRTWATCH_VERSION "\n");
                        return 0;
                default:
                        return -EINVAL; /* getopt has said why */
                }
        }
        if (r < 0)
                return r;

        if (optind < argc) {
                (void) fprintf(stderr, "virtwatchd: '%s' is no option; see --help\n", argv[optind]);
                return -EINVAL;
        }
        *ret_options = options;
        return 1;
}
