#pragma once
/* A growing byte buffer with a hard limit. Empty: data may be NULL. Text in it is always followed
 * by a NUL that size does not count. Model: curl's dynbuf. */

#include "base/macro.h"

struct buf {
        char *data; /* size bytes, then NUL; NULL while nothing was ever appended */
        size_t size;
        size_t allocated; /* private */
        size_t max;       /* bytes; appends beyond it fail and change nothing */
};

#define BUF_INIT(limit) \
        { .max = (limit) }

void buf_done(struct buf *buf);
/** Forget the content, keep the memory. */
void buf_reset(struct buf *buf);
/** Drop the first @n bytes (n <= size). */
void buf_consume(struct buf *buf, size_t n);
/** Give the content away (caller frees); never NULL on success of any append before. */
char *buf_take(struct buf *buf);

/** Append. Return: 0; -ENOSPC past the limit; -ENOMEM. On failure the content is unchanged. */
int buf_append(struct buf *buf, const void *data, size_t n);
int buf_append_str(struct buf *buf, const char *text);
/** Room for @n bytes behind the content, for who writes in place and tells with buf_wrote().
 * Return: 0; -ENOSPC past the limit; -ENOMEM. */
int buf_reserve(struct buf *buf, size_t n);
/** @n bytes, no more than were reserved, are content now. */
void buf_wrote(struct buf *buf, size_t n);
int buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
