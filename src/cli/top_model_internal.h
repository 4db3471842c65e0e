#pragma once
/* Between the files of the model: top_model.c (lists), top_keys.c (what keys do), top_ask.c (what
 * is asked before a workload is acted on). */

#include "cli/top_model.h"

/** Where the panes stand, by the size of the terminal, the focus and the number of nodes. */
void top_model_layout(struct top_model *model);
/** Make all lists anew. Return: 0; -ENOMEM, some lists are empty. */
int top_model_rebuild(struct top_model *model);
/** Select the item before or after in the focused pane. */
void top_model_move(struct top_model *model, int step);
/** Show @what and @whom in the footer for a while. */
void top_model_say(struct top_model *model, uint64_t now_us, const char *what, const char *whom);

/* top_ask.c */
void top_ask_done(struct top_model *model);
/** Begin to ask, or say why not. */
void top_ask_begin(struct top_model *model, const struct row *row, bool scale, uint64_t now_us);
void top_ask_key(struct top_model *model, uint32_t key, uint64_t now_us);
/** Write @key to the end of @text, or take its last character away. Return: whether it did. */
bool top_text_key(char *text, size_t size, uint32_t key);
