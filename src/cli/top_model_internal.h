#pragma once
/* Between the files of the model: top_model.c (lists), top_keys.c (what keys do). */

#include "cli/top_model.h"

/** Where the panes stand, by the size of the terminal, the focus and the number of nodes. */
void top_model_layout(struct top_model *model);
/** Make all lists anew. Return: 0; -ENOMEM, some lists are empty. */
int top_model_rebuild(struct top_model *model);
/** Select the item before or after in the focused pane. */
void top_model_move(struct top_model *model, int step);
