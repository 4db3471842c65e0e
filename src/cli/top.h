#pragma once
/* `virtwatch top`: what runs, what it uses and what happens, while one looks. */

#include "cli/cli.h"
#include "cli/rows.h"

struct top_options {
        const struct cli *cli;
        const char *query; /* "kind=vm&", may be "" */
        enum rows_key sort;
        uint64_t frames; /* of a batch */
};

/** On the terminal, until a key or a signal ends it; a signal ends the process as it always does,
 * after the terminal has been given back. Return: 0; negative errno, told on stderr. */
int top(const struct top_options *options);
/** Without a terminal: @options->frames frames two seconds apart. Return: 0; negative errno, told
 * on stderr. */
int top_batch(const struct top_options *options);
