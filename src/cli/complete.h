#pragma once
/* Completion of command lines. The grammar is what --help says, so no shell has to be told of a new
 * command: a line of two blanks and a lower-case word is a command with its arguments, capital
 * words stand for what the user names, " | " parts alternatives; a line with "-" is an option, and
 * "=" in it says that it takes a value. */

#include "base/buf.h"

struct cli;

/* What completes the word beside the candidates, and has to be asked for. */
enum complete_ask {
        COMPLETE_NOTHING,
        COMPLETE_SLUGS,
        COMPLETE_WORKLOADS, /* their ids */
        COMPLETE_FILES,
};

/**
 * Pure: the candidates for the last of @words, a line each with a tab and a description, after
 * what is in @out.
 *
 * @words:      what follows the program's name; the last is being typed and may be ""
 * @ret_offset: where in the last word that which is asked for begins ("--filter=slug=": 14)
 *
 * Return: 0; -ENOMEM, -ENOSPC from @out.
 */
int complete_words(const char *help, int n, char **words, struct buf *out,
                enum complete_ask *ret_ask, size_t *ret_offset);

/** virtwatch complete -- WORD...: print the candidates, asking the daemon for slugs and ids as long
 * as a person waits; ":files" asks the shell for files. Says nothing else, whatever fails. Return:
 * 0. */
int complete_command(const struct cli *cli, const char *help, int n, char **words);
