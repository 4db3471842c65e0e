/* A byte buffer that doubles until its limit. */

#include "base/buf.h"

#include <stdarg.h>
#include <string.h>

#define BUF_FIRST 256

void buf_done(struct buf *buf) {
        free(buf->data);
        *buf = (struct buf){ .max = buf->max };
}

void buf_reset(struct buf *buf) {
        buf->size = 0;
        if (buf->data)
                buf->data[0] = '\0';
}

void buf_consume(struct buf *buf, size_t n) {
        assert(n <= buf->size);

        if (n == 0)
                return;
        buf->size -= n;
        memmove(buf->data, buf->data + n, buf->size + 1);
}

char *buf_take(struct buf *buf) {
        char *data = TAKE_PTR(buf->data);
        char *shrunk = data ? realloc(data, buf->size + 1) : NULL;

        if (shrunk) /* what is taken is kept, often for long */
                data = shrunk;
        *buf = (struct buf){ .max = buf->max };
        return data;
}

static int make_room(struct buf *buf, size_t n) {
        size_t wanted, allocated;
        char *data;

        if (n > buf->max || buf->size > buf->max - n)
                return -ENOSPC;

        wanted = buf->size + n + 1;
        if (wanted <= buf->allocated)
                return 0;
        allocated = buf->allocated ? buf->allocated : BUF_FIRST;
        while (allocated < wanted)
                allocated *= 2;

        data = realloc(buf->data, allocated);
        if (!data)
                return -ENOMEM;
        buf->data = data;
        buf->allocated = allocated;
        return 0;
}

int buf_append(struct buf *buf, const void *data, size_t n) {
        int r;

        r = make_room(buf, n);
        if (r < 0)
                return r;

        if (n > 0)
                memcpy(buf->data + buf->size, data, n);
        buf->size += n;
        buf->data[buf->size] = '\0';
        return 0;
}

int buf_reserve(struct buf *buf, size_t n) {
        return make_room(buf, n);
}

void buf_wrote(struct buf *buf, size_t n) {
        assert(buf->size + n < buf->allocated);

        buf->size += n;
        buf->data[buf->size] = '\0';
}

int buf_append_str(struct buf *buf, const char *text) {
        return buf_append(buf, text, strlen(text));
}

int buf_printf(struct buf *buf, const char *format, ...) {
        va_list args, again;
        int n, r;

        va_start(args, format);
        va_copy(again, args);
        n = vsnprintf(NULL, 0, format, args);
        va_end(args);
        r = n < 0 ? -EINVAL : make_room(buf, (size_t) n);
        if (r >= 0) {
                (void) vsnprintf(buf->data + buf->size, (size_t) n + 1, format, again);
                buf->size += (size_t) n;
        }
        va_end(again);
        return r;
}
