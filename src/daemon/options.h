#pragma once
/* The daemon's command line. */

#include "base/macro.h"

#define OPTIONS_SETS_MAX 32

struct options {
        const char *config;      /* --config=PATH; NULL: the default one, which need not exist */
        bool check_config;       /* --check-config */
        const char *show_config; /* --show-config: "text", --show-config=json: "json"; NULL: run */
        const char *sets[OPTIONS_SETS_MAX]; /* --set KEY=VALUE, in order; borrowed from argv */
        size_t n_sets;
        const char *bus;         /* --bus=NAME; NULL: as configured */
        const char *bus_address; /* --bus-address=ADDRESS; NULL: as configured */
};

/** Return: 1 go on; 0 --help or --version has been answered; -EINVAL (said on stderr). */
int options_parse(int argc, char **argv, struct options *ret_options);
