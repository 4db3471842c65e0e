#pragma once
/* The lines of `virtwatch top` that are made, not looked up: what state the data is in, titles, the
 * footer, sparklines. All may hold text from outside; the screen makes it harmless. */

#include "base/buf.h"
#include "cli/top_model.h"

/* Each appends to @buf. Return: 0; -ENOMEM or -ENOSPC, and @buf holds a part. */
int top_text_status(const struct top_model *model, uint64_t now_us, struct buf *buf);
int top_text_title(const struct top_model *model, enum top_pane pane, struct buf *buf);
int top_text_footer(const struct top_model *model, struct buf *buf);
/** @columns columns, the newest sample at the right; a blank where there is no reading. @utf8:
 * eighths of blocks, else ASCII. */
int top_text_sparkline(const struct top_history *history, enum rows_usage usage, size_t columns,
                bool utf8, struct buf *buf);
/** What stands in a pane without items; NULL: it has some. */
const char *top_text_empty(const struct top_model *model, enum top_pane pane);
/** The line @i of the help, from 0; NULL: there is none. */
const char *top_text_help(size_t i, bool utf8);
