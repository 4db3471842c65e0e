#pragma once
/* An intrusive, circular, doubly linked list. The head is a struct list of its own; an entry that
 * is in no list points at itself, so list_remove() may be called twice. Never allocates. */

#include "base/macro.h"

struct list {
        struct list *prev;
        struct list *next;
};

static inline void list_init(struct list *list) {
        list->prev = list->next = list;
}

static inline bool list_is_empty(const struct list *list) {
        return list->next == list;
}

/** Put @entry at the end of the list that @head stands for. */
static inline void list_append(struct list *head, struct list *entry) {
        entry->prev = head->prev;
        entry->next = head;
        head->prev->next = entry;
        head->prev = entry;
}

/** Take @entry out of whatever list it is in; harmless if it is in none. */
static inline void list_prepend(struct list *head, struct list *entry) {
        list_append(head->next, entry);
}

static inline void list_remove(struct list *entry) {
        entry->prev->next = entry->next;
        entry->next->prev = entry->prev;
        list_init(entry);
}

/** Move all of @from to the end of @to; @from is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from) {
        if (list_is_empty(from))
                return;

        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        list_init(from);
}

#define list_entry(ptr, type, member) CONTAINER_OF(ptr, type, member)

#define list_first(head, type, member) \
        (list_is_empty(head) ? (type *) NULL : list_entry((head)->next, type, member))

/* Walk the list; @pos is the struct. The current entry must not be removed. */
#define list_for_each(pos, head, member)                                                       \
        for (pos = list_entry((head)->next, __typeof__(*pos), member); &pos->member != (head); \
                        pos = list_entry(pos->member.next, __typeof__(*pos), member))

/* The same where the current entry may be removed and freed. */
#define list_for_each_safe(pos, tmp, head, member)                        \
        for (pos = list_entry((head)->next, __typeof__(*pos), member),    \
            tmp = list_entry(pos->member.next, __typeof__(*pos), member); \
                        &pos->member != (head);                           \
                        pos = tmp, tmp = list_entry(pos->member.next, __typeof__(*pos), member))
