#pragma once
/* Repeats of one thing: the first is told at once, what follows within the interval is counted and
 * told once, when the interval ends. A guest that fails a thousand writes a second so makes two
 * events in ten seconds. Bounded; time is an argument; the caller locks. */

#include "model/fact.h"

struct fold;

/**
 * @interval_us: how long repeats are held
 * @max:         keys at a time; what comes beyond passes unfolded and is counted
 *
 * Return: 0; -ENOMEM.
 */
int fold_new(uint64_t interval_us, size_t max, struct fold **ret_fold);
struct fold *fold_free(struct fold *fold);
DEFINE_FREEP(struct fold, fold_free);

/**
 * May this one be told now?
 *
 * @key:   what makes two of them the same
 * @burst: how many of one interval are told at once; at least 1
 * @fact:  taken, and set to NULL, if it is held: the newest held one becomes the summary
 *
 * Return: true: tell it; false: held and counted.
 */
bool fold_pass(struct fold *fold, const char *key, unsigned int burst, uint64_t now_us,
                struct fact **fact);

struct fold_summary {
        struct fact *fact; /* the caller's to free: the newest of those held */
        uint64_t count;    /* how many were held */
        uint64_t since_us; /* when the interval began */
};

/**
 * The next summary that is due; with @prefix, those whose key begins with it are due at once, and
 * forgotten.
 *
 * Return: whether there was one.
 */
bool fold_next(struct fold *fold, uint64_t now_us, const char *prefix,
                struct fold_summary *ret_summary);
/** When fold_next() is to be asked again; USEC_INFINITY: not before the next fold_pass(). */
uint64_t fold_due_us(const struct fold *fold);
/** How many passed unfolded because all keys were taken. */
uint64_t fold_refused(const struct fold *fold);
