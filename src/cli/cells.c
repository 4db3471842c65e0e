/* One character after the other, with the columns it takes. */

#include "cli/cells.h"

#include <langinfo.h>
#include <limits.h>
#include <string.h>
#include <wchar.h>

#include "base/buf.h"
#include "base/text.h"

#define COMBINING_MAX 4 /* to one character: what a cell of curses holds beside it */

struct cell {
        const char *bytes;
        size_t size, columns;
};

bool cells_utf8(void) {
        return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static struct cell replacement(void) {
        return cells_utf8() ? (struct cell){ "\xef\xbf\xbd", 3, 1 } : (struct cell){ "?", 1, 1 };
}

/* Take the character at *@at. @combining: how many without a width came since one with a width. */
static struct cell take(const char **at, unsigned int *combining) {
        struct cell cell = { .bytes = *at };
        mbstate_t state = {};
        wchar_t c = 0;
        int columns;

        cell.size = mbrtowc(&c, *at, strlen(*at), &state);
        if (cell.size == 0 || cell.size > MB_LEN_MAX) {
                c = L'\x7f'; /* not of this locale: no width */
                cell.size = 1;
        }
        *at += cell.size;
        columns = wcwidth(c);
        if (columns < 0) {
                bool inside = !cells_utf8() && ((unsigned char) cell.bytes[0] & 0xc0) == 0x80;

                *combining = 0;
                return inside ? (struct cell){ "", 0, 0 } : replacement();
        }
        cell.columns = (size_t) columns;
        if (columns > 0)
                *combining = 0;
        else if (++*combining > COMBINING_MAX)
                return (struct cell){ "", 0, 0 };
        return cell;
}

/* Columns of harmless @text. What combines has nothing to combine with at the beginning. */
static size_t measure(const char *text) {
        unsigned int combining = COMBINING_MAX;
        size_t columns = 0;

        while (*text)
                columns += take(&text, &combining).columns;
        return columns;
}

/* As much of @text as fits into @columns. Return: the columns taken; -ENOMEM. */
static ssize_t append(struct buf *buf, const char *text, size_t columns) {
        unsigned int combining = COMBINING_MAX;
        size_t used = 0;
        struct cell cell;

        while (*text) {
                cell = take(&text, &combining);
                if (used + cell.columns > columns)
                        break;
                if (buf_append(buf, cell.bytes, cell.size) < 0)
                        return -ENOMEM;
                used += cell.columns;
        }
        return (ssize_t) used;
}

static int blanks(struct buf *buf, size_t n) {
        return buf_printf(buf, "%*s", (int) n, "");
}

size_t cells_width(const char *text) {
        _cleanup_(freep) char *shown = text_escape_terminal(text);

        return shown ? measure(shown) : 0;
}

static char *fit(const char *text, size_t columns, enum cells_align align, bool may_cut) {
        _cleanup_(buf_done) struct buf buf = BUF_INIT(SIZE_MAX / 2);
        _cleanup_(freep) char *shown = text_escape_terminal(text);
        size_t width = shown ? measure(shown) : 0;
        bool cut = may_cut && width > columns;
        ssize_t used = 0;
        int r;

        if (!shown)
                return NULL;
        r = buf_append(&buf, "", 0);
        if (r >= 0 && align == CELLS_RIGHT && width < columns)
                r = blanks(&buf, columns - width);
        if (r >= 0 && columns > 0)
                used = append(&buf, shown, cut ? columns - 1 : may_cut ? columns : SIZE_MAX);
        if (r >= 0 && cut && columns > 0) {
                r = buf_append_str(&buf, cells_utf8() ? "…" : "~");
                used++;
        }
        if (r >= 0 && used >= 0 && align == CELLS_LEFT && (size_t) used < columns)
                r = blanks(&buf, columns - (size_t) used);
        if (r >= 0 && used >= 0 && align == CELLS_RIGHT && cut && (size_t) used < columns)
                r = blanks(&buf, columns - (size_t) used); /* half a wide character was left out */
        return r < 0 || used < 0 ? NULL : buf_take(&buf);
}

char *cells_fit(const char *text, size_t columns, enum cells_align align) {
        return fit(text, columns, align, true);
}

char *cells_pad(const char *text, size_t columns) {
        return fit(text, columns, CELLS_LEFT, false);
}
