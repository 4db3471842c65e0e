/* One entry a key, in the order in which their intervals end. */

#include "model/fold.h"

#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "base/text.h"

struct fold_entry {
        struct list list;
        char *key;
        uint64_t since_us;
        unsigned int told;
        uint64_t held;
        struct fact *newest; /* of those held; NULL while held is 0 */
};

struct fold {
        uint64_t interval_us;
        size_t max;
        struct map *entries; /* by key */
        struct list by_age;
        uint64_t refused;
};

int fold_new(uint64_t interval_us, size_t max, struct fold **ret_fold) {
        _cleanup_(fold_freep) struct fold *fold = NULL;
        int r;

        fold = calloc(1, sizeof(*fold));
        if (!fold)
                return -ENOMEM;

        list_init(&fold->by_age);
        fold->interval_us = interval_us;
        fold->max = max;
        r = map_new(&fold->entries);
        if (r < 0)
                return r;

        *ret_fold = TAKE_PTR(fold);
        return 0;
}

static void entry_free(struct fold *fold, struct fold_entry *entry) {
        list_remove(&entry->list);
        (void) map_remove(fold->entries, entry->key);
        fact_free(entry->newest);
        free(entry->key);
        free(entry);
}

struct fold *fold_free(struct fold *fold) {
        struct fold_entry *entry, *next;

        if (!fold)
                return NULL;

        list_for_each_safe(entry, next, &fold->by_age, list)
                entry_free(fold, entry);
        map_free(fold->entries);
        free(fold);
        return NULL;
}

static bool entry_is_over(
                const struct fold *fold, const struct fold_entry *entry, uint64_t now_us) {
        return now_us >= entry->since_us + fold->interval_us;
}

static struct fold_entry *entry_new(struct fold *fold, const char *key, uint64_t now_us) {
        struct fold_entry *entry = NULL;

        if (map_size(fold->entries) < fold->max)
                entry = calloc(1, sizeof(*entry));
        if (!entry)
                return NULL;

        list_init(&entry->list);
        entry->since_us = now_us;
        entry->key = strdup(key);
        if (!entry->key || map_put(fold->entries, key, entry) < 0) {
                free(entry->key);
                free(entry);
                return NULL;
        }
        list_append(&fold->by_age, &entry->list);
        return entry;
}

bool fold_pass(struct fold *fold, const char *key, unsigned int burst, uint64_t now_us,
                struct fact **fact) {
        struct fold_entry *entry = map_get(fold->entries, key);

        assert(burst > 0);
        if (entry && entry->held == 0 && entry_is_over(fold, entry, now_us)) {
                entry_free(fold, entry);
                entry = NULL;
        }
        if (!entry) {
                entry = entry_new(fold, key, now_us);
                if (!entry)
                        fold->refused++;
                else
                        entry->told = 1;
                return true;
        }
        if (entry->held == 0 && entry->told < burst) {
                entry->told++;
                return true;
        }

        fact_free(entry->newest);
        entry->newest = TAKE_PTR(*fact);
        entry->held++;
        return false;
}

static void summarize(struct fold_entry *entry, struct fold_summary *ret_summary) {
        *ret_summary = (struct fold_summary){
                .fact = TAKE_PTR(entry->newest),
                .count = entry->held,
                .since_us = entry->since_us,
        };
        entry->held = 0;
}

bool fold_next(struct fold *fold, uint64_t now_us, const char *prefix,
                struct fold_summary *ret_summary) {
        struct fold_entry *entry, *next;
        bool found;

        list_for_each_safe(entry, next, &fold->by_age, list) {
                if (prefix ? !text_starts_with(entry->key, prefix)
                           : !entry_is_over(fold, entry, now_us)) {
                        if (prefix)
                                continue;
                        return false; /* the others end later */
                }

                found = entry->held > 0;
                if (found)
                        summarize(entry, ret_summary);
                if (found && !prefix) {
                        /* It goes on, so what comes next is held again. */
                        entry->since_us = now_us;
                        list_remove(&entry->list);
                        list_append(&fold->by_age, &entry->list);
                } else {
                        entry_free(fold, entry);
                }
                if (found)
                        return true;
        }
        return false;
}

uint64_t fold_due_us(const struct fold *fold) {
        const struct fold_entry *oldest = list_first(&fold->by_age, struct fold_entry, list);

        return oldest ? oldest->since_us + fold->interval_us : USEC_INFINITY;
}

uint64_t fold_refused(const struct fold *fold) {
        return fold->refused;
}
