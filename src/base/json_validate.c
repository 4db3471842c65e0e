/* RFC 8259 to the letter, in one pass and without recursion: a stack of open objects and arrays,
 * and one table of the names that open objects have. json-c, strict or not, takes texts that are
 * not JSON; what passes here may go to it, or is taken by a visitor on the way, where a text is too
 * short-lived for a tree. */

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

#define NAMES_FIRST 128 /* slots; a power of two */

/* A member's name of some object of the text; @object 0 is a free slot. */
struct name {
        uint64_t hash;
        size_t object;
        size_t at, size;
        bool escaped;
};

struct level {
        size_t object; /* its number, from 1; 0: an array */
        size_t name_at, name_size;
};

struct scan {
        const char *text;
        size_t size, at;
        unsigned int depth;
        struct level levels[JSON_DEPTH_MAX];
        size_t n_objects;
        uint64_t seed;
        struct name *names, first_names[NAMES_FIRST];
        size_t n_names, names_max;
        json_visit_t visit; /* may be NULL */
        void *userdata;
};

/* What a string may hold as it is: all but controls, the quote and the backslash. */
static bool is_plain(char c) {
        return (unsigned char) c >= 0x20 && c != '"' && c != '\\';
}

static void skip_blanks(struct scan *scan) {
        while (scan->at < scan->size &&
                        (scan->text[scan->at] == ' ' || scan->text[scan->at] == '\t' ||
                                        scan->text[scan->at] == '\r' ||
                                        scan->text[scan->at] == '\n'))
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

/* ---- strings ---- */

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

/* After "\u". A lone surrogate is grammatical; it is read as U+FFFD. */
static int unicode_escape(struct scan *scan, unsigned int *ret_code_point) {
        unsigned int unit, low;
        size_t back;

        if (hex4(scan, &unit) < 0)
                return -EINVAL;
        back = scan->at;
        if (unit >= 0xd800 && unit < 0xdc00 && accept(scan, '\\') && accept(scan, 'u') &&
                        hex4(scan, &low) >= 0 && low >= 0xdc00 && low < 0xe000) {
                *ret_code_point = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return 0;
        }
        scan->at = back;
        *ret_code_point = unit >= 0xd800 && unit < 0xe000 ? 0xfffd : unit;
        return 0;
}

/* After the backslash. */
static int escape(struct scan *scan, unsigned int *ret_code_point) {
        static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
        int c = peek(scan);
        const char *found;

        if (c <= 0)
                return -EINVAL;
        scan->at++;
        if (c == 'u')
                return unicode_escape(scan, ret_code_point);
        found = strchr(escapes, c);
        if (!found)
                return -EINVAL;
        *ret_code_point = (unsigned char) meanings[found - escapes];
        return 0;
}

/* Past a string. @ret_escaped: it has a backslash; @ret_nul: one that means NUL. */
static int string(struct scan *scan, bool *ret_escaped, bool *ret_nul) {
        const char *text = scan->text, *end = text + scan->size, *at;
        unsigned int code_point;
        int r;

        *ret_escaped = *ret_nul = false;
        if (!accept(scan, '"'))
                return -EINVAL;
        for (;;) {
                for (at = text + scan->at; at < end && is_plain(*at);)
                        at++;
                scan->at = (size_t) (at - text);
                if (accept(scan, '"'))
                        return 0;
                if (!accept(scan, '\\'))
                        return -EINVAL; /* the end, or a control character */
                r = escape(scan, &code_point);
                if (r < 0)
                        return r;
                *ret_escaped = true;
                *ret_nul = *ret_nul || code_point == 0;
        }
}

int json_decode(const char *text, size_t size, struct buf *out) {
        struct scan scan = { .text = text, .size = size };
        unsigned int code_point;
        size_t begin;
        int r = 0;

        while (r >= 0 && scan.at < size) {
                for (begin = scan.at; scan.at < size && text[scan.at] != '\\';)
                        scan.at++;
                r = buf_append(out, text + begin, scan.at - begin);
                if (r < 0 || !accept(&scan, '\\'))
                        break;
                r = escape(&scan, &code_point);
                if (r >= 0)
                        r = put_code_point(out, code_point);
        }
        return r;
}

/* ---- names ---- */

static uint64_t hash_name(const struct scan *scan, size_t object, const char *text, size_t size) {
        return hash_bytes(text, size, scan->seed ^ (object * UINT64_C(0x9e3779b97f4a7c15)));
}

/* Are two names the same text, whichever way they are written? */
static int same_name(const struct scan *scan, const struct name *a, const struct name *b) {
        _cleanup_(buf_done) struct buf left = BUF_INIT(a->size), right = BUF_INIT(b->size);
        int r;

        if (!a->escaped && !b->escaped)
                return a->size == b->size &&
                                memcmp(scan->text + a->at, scan->text + b->at, a->size) == 0;
        r = json_decode(scan->text + a->at, a->size, &left);
        if (r >= 0)
                r = json_decode(scan->text + b->at, b->size, &right);
        if (r < 0)
                return r;
        return left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
}

static struct name *name_slot(struct name *names, size_t max, uint64_t hash) {
        size_t i = hash & (max - 1);

        while (names[i].object)
                i = (i + 1) & (max - 1);
        return &names[i];
}

static int grow_names(struct scan *scan) {
        size_t max = scan->names_max * 2;
        struct name *names = calloc(max, sizeof(*names));

        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < scan->names_max; i++)
                if (scan->names[i].object)
                        *name_slot(names, max, scan->names[i].hash) = scan->names[i];
        if (scan->names != scan->first_names)
                free(scan->names);
        scan->names = names;
        scan->names_max = max;
        return 0;
}

static int hash_escaped(const struct scan *scan, struct name *name) {
        _cleanup_(buf_done) struct buf text = BUF_INIT(name->size);
        int r;

        r = json_decode(scan->text + name->at, name->size, &text);
        if (r >= 0)
                name->hash = hash_name(scan, name->object, text.data ? text.data : "", text.size);
        return r;
}

/* Return: 0; -EEXIST the object has that name already; -ENOMEM. */
static int add_name(struct scan *scan, struct name *name) {
        struct name *names = scan->names;
        int r = 0;

        if (name->escaped)
                r = hash_escaped(scan, name);
        else
                name->hash = hash_name(scan, name->object, scan->text + name->at, name->size);
        if (r < 0)
                return r;
        for (size_t i = name->hash & (scan->names_max - 1); names[i].object;
                        i = (i + 1) & (scan->names_max - 1)) {
                if (names[i].hash != name->hash || names[i].object != name->object)
                        continue;
                r = same_name(scan, &names[i], name);
                if (r != 0)
                        return r < 0 ? r : -EEXIST;
        }
        *name_slot(names, scan->names_max, name->hash) = *name;
        scan->n_names++;
        return scan->n_names * 2 > scan->names_max ? grow_names(scan) : 0;
}

/* A member's name and its colon. A NUL in one hides what follows, and is refused by that. */
static int member_name(struct scan *scan) {
        struct level *level = &scan->levels[scan->depth - 1];
        struct name name = { .object = level->object };
        bool nul;
        int r;

        skip_blanks(scan);
        name.at = scan->at + 1;
        r = string(scan, &name.escaped, &nul);
        if (r < 0 || nul)
                return -EINVAL;
        name.size = scan->at - 1 - name.at;
        r = add_name(scan, &name);
        if (r < 0)
                return r;
        level->name_at = name.at;
        level->name_size = name.size;
        skip_blanks(scan);
        return accept(scan, ':') ? 0 : -EINVAL;
}

/* ---- values ---- */

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

static void visit(struct scan *scan, enum json_kind kind, size_t begin, size_t end, bool escaped) {
        const struct level *level = scan->depth > 0 ? &scan->levels[scan->depth - 1] : NULL;

        if (!scan->visit)
                return;
        scan->visit(
                        &(struct json_piece){
                                        .kind = kind,
                                        .depth = scan->depth,
                                        .name = level && level->object ? scan->text + level->name_at
                                                                       : NULL,
                                        .name_size = level && level->object ? level->name_size : 0,
                                        .text = scan->text + begin,
                                        .size = end - begin,
                                        .escaped = escaped,
                        },
                        scan->userdata);
}

static int scalar(struct scan *scan) {
        enum json_kind kind = JSON_NUMBER;
        size_t begin = scan->at, quote = 0;
        bool escaped = false, nul;
        int r;

        switch (peek(scan)) {
        case '"':
                kind = JSON_STRING;
                quote = 1;
                r = string(scan, &escaped, &nul);
                break;
        case 't':
                kind = JSON_TRUE;
                r = word(scan, "true");
                break;
        case 'f':
                kind = JSON_FALSE;
                r = word(scan, "false");
                break;
        case 'n':
                kind = JSON_NULL;
                r = word(scan, "null");
                break;
        default:
                r = number(scan);
        }
        if (r >= 0)
                visit(scan, kind, begin + quote, scan->at - quote, escaped);
        return r;
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
        object = scan->text[scan->at] == '{';
        if (scan->depth >= depth_max)
                return -E2BIG;
        visit(scan, object ? JSON_OBJECT : JSON_ARRAY, scan->at, scan->at, false);
        scan->at++;
        scan->levels[scan->depth++] = (struct level){ .object = object ? ++scan->n_objects : 0 };

        skip_blanks(scan);
        if (accept(scan, object ? '}' : ']')) {
                scan->depth--;
                return 1;
        }
        return object ? member_name(scan) : 0;
}

/* After a value: close what ends here. Return: 1 the whole text is complete; 0 another value
 * follows. */
static int end_value(struct scan *scan) {
        while (scan->depth > 0) {
                bool object = scan->levels[scan->depth - 1].object;

                skip_blanks(scan);
                if (accept(scan, ','))
                        return object ? member_name(scan) : 0;
                if (!accept(scan, object ? '}' : ']'))
                        return -EINVAL;
                scan->depth--;
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

int json_visit(const char *text, size_t size, unsigned int depth_max, json_visit_t each,
                void *userdata, size_t *ret_offset) {
        struct scan scan = { .text = text,
                .size = size,
                .names_max = NAMES_FIRST,
                .visit = each,
                .userdata = userdata };
        int r;

        assert(depth_max <= JSON_DEPTH_MAX);

        scan.seed = hash_seed();
        scan.names = scan.first_names;
        r = text_is_utf8(text, size) ? scan_text(&scan, depth_max) : -EILSEQ;
        if (r < 0 && ret_offset)
                *ret_offset = scan.at;
        if (scan.names != scan.first_names)
                free(scan.names);
        return r;
}

int json_validate(const char *text, size_t size, unsigned int depth_max, size_t *ret_offset) {
        return json_visit(text, size, depth_max, NULL, NULL, ret_offset);
}
