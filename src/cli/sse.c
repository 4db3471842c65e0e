/* The stream parser. */

#include <string.h>

#include "cli/cli.h"

void sse_parser_done(struct sse_parser *parser) {
        buf_done(&parser->line);
        buf_done(&parser->data);
}

static int take_line(struct sse_parser *parser,
                void (*event)(const char *data, size_t size, void *userdata), void *userdata) {
        const char *line = parser->line.size ? parser->line.data : "", *colon = strchr(line, ':'),
                   *value;
        size_t n = colon ? (size_t) (colon - line) : strlen(line);
        int r;

        if (!line[0]) {
                if (parser->data.size > 0)
                        event(parser->data.data, parser->data.size - 1, userdata);
                buf_reset(&parser->data);
                return 0;
        }
        value = colon ? colon + 1 + (colon[1] == ' ') : "";
        if (n == 4 && strncmp(line, "data", 4) == 0) {
                r = buf_append_str(&parser->data, value);
                if (r >= 0)
                        r = buf_append_str(&parser->data, "\n");
                if (r == -ENOSPC) {
                        parser->too_long++;
                        buf_reset(&parser->data);
                        return 0;
                }
                return r;
        }
        if (n == 2 && strncmp(line, "id", 2) == 0 && strlen(value) < sizeof(parser->id))
                memcpy(parser->id, value, strlen(value) + 1);
        return 0;
}

int sse_parser_feed(struct sse_parser *parser, const char *bytes, size_t size,
                void (*event)(const char *data, size_t size, void *userdata), void *userdata) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < size; i++) {
                bool lf = bytes[i] == '\n', cr = bytes[i] == '\r';

                if (lf && parser->skip_lf) {
                        parser->skip_lf = false;
                        continue;
                }
                parser->skip_lf = cr;
                if (lf || cr) {
                        r = take_line(parser, event, userdata);
                        buf_reset(&parser->line);
                        continue;
                }
                r = buf_append(&parser->line, &bytes[i], 1);
                if (r == -ENOSPC) {
                        parser->too_long++;
                        buf_reset(&parser->line);
                        r = 0;
                }
        }
        return r;
}
