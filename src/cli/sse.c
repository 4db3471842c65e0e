/* The stream parser. */

#include <string.h>

#include "cli/cli.h"

void sse_parser_done(struct sse_parser *parser) {
        buf_done(&parser->line);
        buf_done(&parser->data);
}

void sse_parser_begin(struct sse_parser *parser) {
        buf_reset(&parser->line);
        buf_reset(&parser->data);
        memcpy(parser->next_id, parser->id, sizeof(parser->id));
        parser->skip_lf = parser->skip_line = parser->skip_event = false;
}

/* The empty line: only now is the event here, and its id one to resume after. */
static void take_event(struct sse_parser *parser,
                void (*event)(const char *data, size_t size, void *userdata), void *userdata) {
        memcpy(parser->id, parser->next_id, sizeof(parser->id));
        if (parser->data.size > 0 && !parser->skip_event)
                event(parser->data.data, parser->data.size - 1, userdata);
        buf_reset(&parser->data);
        parser->skip_event = false;
}

static int take_data(struct sse_parser *parser, const char *value) {
        int r;

        if (parser->skip_event)
                return 0;
        r = buf_append_str(&parser->data, value);
        if (r >= 0)
                r = buf_append_str(&parser->data, "\n");
        if (r == -ENOSPC) {
                parser->too_long++;
                parser->skip_event = true;
                return 0;
        }
        return r;
}

static int take_line(struct sse_parser *parser,
                void (*event)(const char *data, size_t size, void *userdata), void *userdata) {
        const char *line = parser->line.size ? parser->line.data : "", *colon = strchr(line, ':'),
                   *value = colon ? colon + 1 + (colon[1] == ' ') : "";
        size_t n = colon ? (size_t) (colon - line) : strlen(line);

        if (parser->skip_line) {
                parser->skip_line = false;
                return 0;
        }
        if (!line[0]) {
                take_event(parser, event, userdata);
                return 0;
        }
        if (n == 4 && strncmp(line, "data", 4) == 0)
                return take_data(parser, value);
        if (n == 2 && strncmp(line, "id", 2) == 0 && strlen(value) < sizeof(parser->next_id))
                memcpy(parser->next_id, value, strlen(value) + 1);
        return 0;
}

/* One byte of a line. One that is too long is refused whole: its end is no line of its own. */
static int take_byte(struct sse_parser *parser, char byte) {
        int r;

        if (parser->skip_line)
                return 0;
        r = buf_append(&parser->line, &byte, 1);
        if (r != -ENOSPC)
                return r;
        parser->too_long++;
        parser->skip_line = parser->skip_event = true;
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
                } else {
                        r = take_byte(parser, bytes[i]);
                }
        }
        return r;
}
