/* UTF-8 by the table of RFC 3629, control characters, numbers, digits of bytes. */

#include "base/text.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"

/* The length of the well-formed character at @c, 0 if there is none within @n bytes. */
static size_t character_size(const unsigned char *c, size_t n) {
        static const struct {
                unsigned char first, last, second_min, second_max;
                size_t size;
        } forms[] = {
                { 0x00, 0x7f, 0, 0, 1 },
                { 0xc2, 0xdf, 0x80, 0xbf, 2 },
                { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
                { 0xe1, 0xec, 0x80, 0xbf, 3 },
                { 0xed, 0xed, 0x80, 0x9f, 3 },
                { 0xee, 0xef, 0x80, 0xbf, 3 },
                { 0xf0, 0xf0, 0x90, 0xbf, 4 },
                { 0xf1, 0xf3, 0x80, 0xbf, 4 },
                { 0xf4, 0xf4, 0x80, 0x8f, 4 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
                if (c[0] < forms[i].first || c[0] > forms[i].last)
                        continue;
                if (forms[i].size > n)
                        return 0;
                if (forms[i].size > 1 && (c[1] < forms[i].second_min || c[1] > forms[i].second_max))
                        return 0;
                for (size_t j = 2; j < forms[i].size; j++)
                        if (c[j] < 0x80 || c[j] > 0xbf)
                                return 0;
                return forms[i].size;
        }
        return 0;
}

/* How many bytes from the start are ASCII for sure: eight at a time, for nearly all text is. */
static size_t ascii_words(const char *text, size_t size) {
        uint64_t word;
        size_t n = 0;

        for (; size - n >= sizeof(word); n += sizeof(word)) {
                memcpy(&word, text + n, sizeof(word));
                if (word & UINT64_C(0x8080808080808080))
                        break;
        }
        return n;
}

bool text_is_utf8(const char *text, size_t size) {
        for (size_t i = 0, n; i < size; i += n) {
                n = ascii_words(text + i, size - i);
                if (n > 0)
                        continue;
                n = character_size((const unsigned char *) text + i, size - i);
                if (n == 0)
                        return false;
        }
        return true;
}

int text_sanitize(const char *text, size_t size, size_t max, char **ret_text) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(max);
        size_t n;
        int r;

        size = strnlen(text, size);
        if (size <= max && text_is_utf8(text, size)) { /* nearly always */
                *ret_text = strndup(text, size);
                return *ret_text ? 0 : -ENOMEM;
        }

        r = buf_append(&buf, "", 0);
        for (size_t i = 0; r >= 0 && i < size && text[i]; i += n ? n : 1) {
                n = character_size((const unsigned char *) text + i, size - i);
                r = n ? buf_append(&buf, text + i, n) : buf_append_str(&buf, "\xef\xbf\xbd");
        }
        if (r < 0 && r != -ENOSPC)
                return r;

        *ret_text = buf_take(&buf);
        return 0;
}

void text_fit(char *to, size_t size, const char *text) {
        static const char replacement[] = "\xef\xbf\xbd";
        size_t left = strlen(text), n, taken;

        for (size--; left > 0; left -= taken, text += taken) {
                n = character_size((const unsigned char *) text, left);
                taken = n ? n : 1;
                n = n ? n : strlen(replacement);
                if (n > size)
                        break;
                to = mempcpy(to, taken == n ? text : replacement, n);
                size -= n;
        }
        *to = '\0';
}

/* Marks that reorder what stands around them, so that one name passes for another. Source: Unicode
 * Standard Annex #9, section 2. */
static bool turns_direction(unsigned int c) {
        return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
                        (c >= 0x2066 && c <= 0x2069);
}

unsigned int text_terminal_mark(const char *text) {
        const unsigned char *c = (const unsigned char *) text;
        const size_t n = character_size(c, strnlen(text, 4));
        unsigned int point = n == 1 ? c[0]
                        : n == 2    ? (c[0] & 0x1fU) << 6 | (c[1] & 0x3fU)
                        : n == 3    ? (c[0] & 0xfU) << 12 | (c[1] & 0x3fU) << 6 | (c[2] & 0x3fU)
                                    : 0;

        return point == 0x7f || (point >= 0x80 && point < 0xa0) || turns_direction(point) ? point
                                                                                          : 0;
}

char *text_escape_terminal(const char *text) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(SIZE_MAX / 2);
        const unsigned char *c = (const unsigned char *) text, *end = c + strlen(text);
        unsigned int mark;
        size_t n;
        int r;

        r = buf_append(&buf, "", 0);
        for (; r >= 0 && c < end; c += n ? n : 1) {
                n = character_size(c, (size_t) (end - c));
                mark = *c < 0x7f ? 0 : text_terminal_mark((const char *) c);
                if (*c == '\n')
                        r = buf_append_str(&buf, "\\n");
                else if (*c == '\t')
                        r = buf_append_str(&buf, "\\t");
                else if (*c < 0x20 || n == 0)
                        r = buf_printf(&buf, "\\x%02x", *c); /* alone, 0x9b is a control too */
                else if (mark)
                        r = buf_printf(&buf, mark < 0x100 ? "\\x%02x" : "\\u%04x", mark);
                else
                        r = buf_append(&buf, c, n);
        }
        return r < 0 ? NULL : buf_take(&buf);
}

int text_take_u64(const char **at, uint64_t *ret_value) {
        uint64_t value = 0;
        const char *c = *at;

        for (; *c >= '0' && *c <= '9'; c++) {
                if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
                                __builtin_add_overflow(value, (uint64_t) (*c - '0'), &value))
                        return -ERANGE;
        }
        if (c == *at)
                return -EINVAL;
        *at = c;
        *ret_value = value;
        return 0;
}

int text_to_u64(const char *text, uint64_t *ret_value) {
        uint64_t value;
        int r;

        r = text_take_u64(&text, &value);
        if (r < 0)
                return r;
        if (*text)
                return -EINVAL;
        *ret_value = value;
        return 0;
}

int text_to_i64(const char *text, int64_t *ret_value) {
        uint64_t value, limit = (uint64_t) INT64_MAX + (text[0] == '-');
        int r;

        r = text_to_u64(text + (text[0] == '-'), &value);
        if (r < 0)
                return r;
        if (value > limit)
                return -ERANGE;
        *ret_value = text[0] == '-' ? (int64_t) -value : (int64_t) value;
        return 0;
}

static const char hex_digits[] = "0123456789abcdef";

char *text_hex(const uint8_t *bytes, size_t size, char *text) {
        for (size_t i = 0; i < size; i++) {
                text[2 * i] = hex_digits[bytes[i] >> 4];
                text[2 * i + 1] = hex_digits[bytes[i] & 15];
        }
        text[2 * size] = '\0';
        return text;
}

int text_unhex(const char *text, size_t size, uint8_t *ret_bytes) {
        for (size_t i = 0; i < size; i++) {
                const char *high = text[2 * i] ? strchr(hex_digits, text[2 * i]) : NULL;
                const char *low = high && text[2 * i + 1] ? strchr(hex_digits, text[2 * i + 1])
                                                          : NULL;

                if (!low)
                        return -EINVAL;
                ret_bytes[i] = (uint8_t) ((high - hex_digits) << 4 | (low - hex_digits));
        }
        return 0;
}

bool text_starts_with(const char *text, const char *prefix) {
        return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_equal(const char *a, const char *b) {
        return a && b ? strcmp(a, b) == 0 : a == b;
}

int text_find(const char *const *words, size_t n, const char *text) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(words[i], text) == 0)
                        return (int) i;
        return -EINVAL;
}

void text_lower(const char *text, size_t size, char *to) {
        for (size_t i = 0; i < size; i++)
                to[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char) (text[i] | 0x20) : text[i];
        to[size] = '\0';
}

/* One row at a time. */
size_t text_distance(const char *a, const char *b) {
        size_t row[64], n = strlen(b);

        if (n + 1 > ARRAY_SIZE(row))
                return SIZE_MAX;
        for (size_t j = 0; j <= n; j++)
                row[j] = j;
        for (size_t i = 0; a[i]; i++) {
                size_t diagonal = row[0];

                row[0] = i + 1;
                for (size_t j = 1; j <= n; j++) {
                        size_t best = diagonal + (a[i] != b[j - 1]);

                        diagonal = row[j];
                        if (row[j] + 1 < best)
                                best = row[j] + 1;
                        if (row[j - 1] + 1 < best)
                                best = row[j - 1] + 1;
                        row[j] = best;
                }
        }
        return row[n];
}
