#pragma once
/* Lines out of a stream that is cut anywhere. A line past the limit is told once and skipped to its
 * end. */

#include "base/buf.h"

struct lines {
        struct buf line; /* private */
        bool skipping;   /* private: the rest of a line that is too long */
};

#define LINES_INIT(max_bytes) \
        { .line = BUF_INIT(max_bytes) }

void lines_done(struct lines *lines);

/**
 * Feed bytes; @on_line is called for each line that is not empty, without its newline, or, with
 * @too_long, for the beginning of one that passed the limit. Return: 0; -ENOMEM.
 */
int lines_feed(struct lines *lines, const char *data, size_t size,
                void (*on_line)(const char *line, size_t size, bool too_long, void *userdata),
                void *userdata);
