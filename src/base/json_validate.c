/* RFC 8259 to the letter, without recursion: a stack of open objects and arrays, and for each
 * object the names it has. json-c, strict or not, takes texts that are not JSON; what passes here
 * may go to it. */

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "base/text.h"

struct scan {
        const char *text;
        size_t size, at;
        unsigned int depth;
        struct map *names[JSON_DEPTH_MAX]; /* NULL for an array */
        struct buf name;
};

static void skip_blanks(struct scan *scan) {
        while (scan->at < scan->size && scan->text[scan->at] &&
                        strchr(" \t\r\n", scan->text[scan->at]))
                scan->at++;
}

static int peek(const struct scan *scan) {
        return scan->at < scan->size ? (unsigned char) scan->text[scan->at] : -1;
}

static bool accept(struct scan *scan, char c) {
        if (peek(scan) != (unsigned char) c)
                return false;
        scan->at++;
        return true;
}

/* NOLINTNEXTLINE(readability-function-size): isxdigit() and its like are deep macros */
static int hex4(struct scan *scan, unsigned int *ret_unit) {
        unsigned int unit = 0;

        for (int i = 0; i < 4; i++, scan->at++) {
                int c = peek(scan);

                if (c < 0 || !isxdigit(c))
                        return -EINVAL;
                unit = unit * 16 + (unsigned int) (isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
        }
        *ret_unit = unit;
        return 0;
}

static int put_code_point(struct buf *out, unsigned int c) {
        char utf8[4];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        static const unsigned char lead[] = { 0, 0x00, 0xc0, 0xe0, 0xf0 };

        for (size_t i = n - 1; i > 0; i--, c >>= 6)
                utf8[i] = (char) (0x80 | (c & 0x3f));
        utf8[0] = (char) (lead[n] | c);
        return buf_append(out, utf8, n);
}

/* After "\u". A lone surrogate is grammatical; it is kept as U+FFFD. */
static int unicode_escape(struct scan *scan, struct buf *out) {
        unsigned int unit, low;
        size_t back;

        if (hex4(scan, &unit) < 0)
                return -EINVAL;
        back = scan->at;
        if (unit >= 0xd800 && unit < 0xdc00 && accept(scan, '\\') && accept(scan, 'u') &&
                        hex4(scan, &low) >= 0 && low >= 0xdc00 && low < 0xe000)
                return put_code_point(out, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
        scan->at = back;
        return put_code_point(out, unit >= 0xd800 && unit < 0xe000 ? 0xfffd : unit);
}

/* A string; its decoded text goes to scan->name. */
static int string(struct scan *scan) {
        static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
        int c, r = 0;

        if (!accept(scan, '"'))
                return -EINVAL;
        buf_reset(&scan->name);
        while (r >= 0) {
                c = peek(scan);
                if (c < 0x20)
                        return -EINVAL; /* the end, or a control character */
                scan->at++;
                if (c == '"')
                        return buf_append(&scan->name, "", 0);
                if (c != '\\') {
                        r = buf_append(&scan->name, &scan->text[scan->at - 1], 1);
                        continue;
                }
                c = peek(scan);
                if (c < 0)
                        return -EINVAL;
                scan->at++;
                if (c == 'u')
                        r = unicode_escape(scan, &scan->name);
                else if (c && strchr(escapes, c))
                        r = buf_append(&scan->name, &meanings[strchr(escapes, c) - escapes], 1);
                else
                        return -EINVAL;
        }
        return r;
}

static int digits(struct scan *scan) {
        size_t begin = scan->at;

        while (peek(scan) >= '0' && peek(scan) <= '9')
                scan->at++;
        return scan->at > begin ? 0 : -EINVAL;
}

static int number(struct scan *scan) {
        (void) accept(scan, '-');
        if (!accept(scan, '0') && digits(scan) < 0)
                return -EINVAL;
        if (accept(scan, '.') && digits(scan) < 0)
                return -EINVAL;
        if (accept(scan, 'e') || accept(scan, 'E')) {
                if (!accept(scan, '+'))
                        (void) accept(scan, '-');
                return digits(scan);
        }
        return 0;
}

static int word(struct scan *scan, const char *expected) {
        size_t n = strlen(expected);

        if (scan->size - scan->at < n || memcmp(scan->text + scan->at, expected, n) != 0)
                return -EINVAL;
        scan->at += n;
        return 0;
}

static int scalar(struct scan *scan) {
        switch (peek(scan)) {
        case '"':
                return string(scan);
        case 't':
                return word(scan, "true");
        case 'f':
                return word(scan, "false");
        case 'n':
                return word(scan, "null");
        default:
                return number(scan);
        }
}

/* A member's name and its colon. Names are compared decoded; a NUL in one hides what follows, and
 * is refused by that. */
static int member_name(struct scan *scan) {
        int r;

        skip_blanks(scan);
        r = string(scan);
        if (r < 0)
                return r;
        if (strlen(scan->name.data) != scan->name.size)
                return -EINVAL;
        r = map_put(scan->names[scan->depth - 1], scan->name.data, scan);
        if (r < 0)
                return r;
        skip_blanks(scan);
        return accept(scan, ':') ? 0 : -EINVAL;
}

static int open_level(struct scan *scan, bool object, unsigned int depth_max) {
        int r;

        if (scan->depth >= depth_max)
                return -E2BIG;
        scan->names[scan->depth] = NULL;
        if (object) {
                r = map_new(&scan->names[scan->depth]);
                if (r < 0)
                        return r;
        }
        scan->depth++;
        return 0;
}

static void close_level(struct scan *scan) {
        scan->depth--;
        scan->names[scan->depth] = map_free(scan->names[scan->depth]);
}

/* A value begins: scalar, or open a level. Return: 1 a value is complete; 0 a level was opened and
 * wants its first value. */
static int begin_value(struct scan *scan, unsigned int depth_max) {
        bool object;
        int r;

        skip_blanks(scan);
        if (peek(scan) != '{' && peek(scan) != '[') {
                r = scalar(scan);
                return r < 0 ? r : 1;
        }
        object = scan->text[scan->at++] == '{';
        r = open_level(scan, object, depth_max);
        if (r < 0)
                return r;

        skip_blanks(scan);
        if (accept(scan, object ? '}' : ']')) {
                close_level(scan);
                return 1;
        }
        return object ? member_name(scan) : 0;
}

/* After a value: close what ends here. Return: 1 the whole text is complete; 0 another value
 * follows. */
static int end_value(struct scan *scan) {
        while (scan->depth > 0) {
                bool object = scan->names[scan->depth - 1];

                skip_blanks(scan);
                if (accept(scan, ','))
                        return object ? member_name(scan) : 0;
                if (!accept(scan, object ? '}' : ']'))
                        return -EINVAL;
                close_level(scan);
        }
        return 1;
}

static int scan_text(struct scan *scan, unsigned int depth_max) {
        int r;

        do {
                r = begin_value(scan, depth_max);
                if (r > 0)
                        r = end_value(scan);
        } while (r == 0);
        if (r < 0)
                return r;

        skip_blanks(scan);
        return scan->at == scan->size ? 0 : -EINVAL;
}

int json_validate(const char *text, size_t size, unsigned int depth_max, size_t *ret_offset) {
        struct scan scan = { .text = text, .size = size, .name = BUF_INIT(size + 1) };
        int r;

        assert(depth_max <= JSON_DEPTH_MAX);

        r = text_is_utf8(text, size) ? scan_text(&scan, depth_max) : -EILSEQ;
        if (r < 0 && ret_offset)
                *ret_offset = scan.at;
        while (scan.depth > 0)
                close_level(&scan);
        buf_done(&scan.name);
        return r;
}
