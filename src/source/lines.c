/* Lines out of a stream. */

#include "source/lines.h"

#include <string.h>

void lines_done(struct lines *lines) {
        buf_done(&lines->line);
        lines->skipping = false;
}

int lines_feed(struct lines *lines, const char *data, size_t size,
                void (*on_line)(const char *line, size_t size, bool too_long, void *userdata),
                void *userdata) {
        const char *newline;
        size_t n;
        int r;

        while (size > 0) {
                newline = memchr(data, '\n', size);
                n = newline ? (size_t) (newline - data) : size;
                r = lines->skipping ? 0 : buf_append(&lines->line, data, n);
                if (r == -ENOMEM)
                        return r;
                if (r == -ENOSPC) {
                        on_line(lines->line.size ? lines->line.data : data,
                                        lines->line.size ? lines->line.size : n, true, userdata);
                        lines->skipping = true;
                }
                if (!newline)
                        return 0;
                if (!lines->skipping && lines->line.size > 0)
                        on_line(lines->line.data, lines->line.size, false, userdata);
                lines->skipping = false;
                buf_reset(&lines->line);
                data += n + 1;
                size -= n + 1;
        }
        return 0;
}
