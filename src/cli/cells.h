#pragma once
/* Text in the cells of a terminal. It comes from outside: controls and marks
 * that would turn the line's direction are shown, not obeyed, and wide and combining characters
 * take the columns that wcwidth(3) says, by the locale that setlocale() has set. */

#include "base/macro.h"

enum cells_align {
        CELLS_LEFT,
        CELLS_RIGHT,
};

/** Does the locale's terminal show UTF-8? Where not, what is no ASCII is shown as '?'. */
bool cells_utf8(void);
/** Columns that @text takes, once harmless. */
size_t cells_width(const char *text);
/** @text, harmless and exactly @columns wide: with blanks beside it, or cut between characters,
 * with an ellipsis at the end. Caller frees; NULL: no memory. */
char *cells_fit(const char *text, size_t columns, enum cells_align align);
/** The same, but never cut: wider than @columns where @text is. */
char *cells_pad(const char *text, size_t columns);
