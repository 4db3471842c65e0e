#pragma once
/* Between the files of the screen: top_screen.c (the terminal, the frame), top_tables.c (what
 * stands in the panes). */

#include <curses.h>

#include "cli/cells.h"
#include "cli/top_screen.h"

enum top_color {
        TOP_PLAIN,
        TOP_RED,
        TOP_YELLOW,
        TOP_GREEN,
};

struct top_screen {
        SCREEN *curses;
        bool color;
};

/** The attribute of that color, none without colors. */
attr_t top_screen_color(const struct top_screen *screen, enum top_color color);
/** @text, harmless and cut or filled to @columns, at line @y and column @x. */
void top_screen_put(unsigned int y, unsigned int x, attr_t attributes, const char *text,
                unsigned int columns, enum cells_align align);

/** Header and items of a pane that is not hidden, below its title. */
void top_tables_draw(
                const struct top_screen *screen, const struct top_model *model, enum top_pane pane);
