#pragma once
/* The terminal of `virtwatch top`: curses. */

#include "cli/top_model.h"

struct top_screen;

/** Take the terminal of stdin and stdout. Return: 0; -ENOTTY curses does not know the terminal;
 * -ENOMEM. */
int top_screen_open(bool color, struct top_screen **ret_screen);
/** Give the terminal back as it was. Takes NULL; returns NULL. */
struct top_screen *top_screen_close(struct top_screen *screen);
DEFINE_FREEP(struct top_screen, top_screen_close);

/** Give the terminal back for a while; the next drawing takes it again, whole. */
void top_screen_suspend(struct top_screen *screen);
/** Ask the terminal for its size and tell the model. */
void top_screen_resize(struct top_screen *screen, struct top_model *model);
void top_screen_draw(struct top_screen *screen, const struct top_model *model, uint64_t now_us);
/** A key, if one is there. Return: 1 and the key; 0 none; -EPIPE the terminal is gone. */
int top_screen_read_key(struct top_screen *screen, uint32_t *ret_key);
