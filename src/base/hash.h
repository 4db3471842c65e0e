#pragma once
/* A hash of bytes from outside, for tables of our own. */

#include "base/macro.h"

/** The same for the whole life of the process and different in each, so that hostile names cannot
 * pile up in one place. */
uint64_t hash_seed(void);
uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);
