#pragma once
/* The Idempotency-Keys that came last, each with the number of the event that it made. Bounded: the
 * one that was used the longest ago is forgotten. Pure. */

#include "base/macro.h"

struct post_keys;

/** Remembers @max (at least 1). Return: 0; -ENOMEM. */
int post_keys_new(size_t max, struct post_keys **ret_keys);
struct post_keys *post_keys_free(struct post_keys *keys);
DEFINE_FREEP(struct post_keys, post_keys_free);

/** Remember that @key has made event @seq, and no other any more. Return: 0; -ENOMEM. */
int post_keys_put(struct post_keys *keys, const char *key, uint64_t seq);
/** Return: the number; 0: it is not known. */
uint64_t post_keys_get(const struct post_keys *keys, const char *key);
