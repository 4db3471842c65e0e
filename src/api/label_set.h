#pragma once
/* The labels of one scrape, rendered once and each only once: all texts in one piece of memory, for
 * a thousand small ones would cost more than what is written with them. */

#include "api/exposition.h"

struct label_set;

/** For at most @max texts. Return: 0; -ENOMEM. */
int label_set_new(size_t max, struct label_set **ret_set);
struct label_set *label_set_free(struct label_set *set);
DEFINE_FREEP(struct label_set, label_set_free);

/** Render @labels. *ret_at is their place. Return: 0; -EEXIST they are there already; -ENOSPC there
 * are @max, or too long ones; -ENOMEM. */
int label_set_add(struct label_set *set, const struct metric_labels *labels, size_t *ret_at);
/** The text at a place; good until the next label_set_add(). */
const char *label_set_text(const struct label_set *set, size_t at);
