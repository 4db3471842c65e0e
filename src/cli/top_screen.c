/* Drawing. Every frame is drawn whole; curses finds out what of it is new. All text goes through
 * cells_fit(), so that nothing in it moves the cursor or breaks the columns. */

#include "cli/top_screen.h"

#include <poll.h>
#include <sys/ioctl.h>

#include "cli/top_screen_internal.h"
#include "cli/top_text.h"

#define ESCAPE_MS      50 /* to tell the key Esc from the beginning of another */
#define LINE_BYTES_MAX 4096

/* ---- the terminal ---- */

int top_screen_open(bool color, struct top_screen **ret_screen) {
        struct top_screen *screen = calloc(1, sizeof(*screen));

        if (!screen)
                return -ENOMEM;
        use_tioctl(TRUE); /* its size is what it is, not what LINES says */
        screen->curses = newterm(NULL, stdout, stdin);
        if (!screen->curses) {
                free(screen);
                return -ENOTTY;
        }
        (void) set_term(screen->curses);
        (void) cbreak();
        (void) noecho();
        (void) nonl();
        (void) keypad(stdscr, TRUE);
        (void) nodelay(stdscr, TRUE);
        (void) set_escdelay(ESCAPE_MS);
        (void) curs_set(0);
        screen->color = color && has_colors() && start_color() == OK;
        if (screen->color) {
                (void) use_default_colors();
                (void) init_pair(TOP_RED, COLOR_RED, -1);
                (void) init_pair(TOP_YELLOW, COLOR_YELLOW, -1);
                (void) init_pair(TOP_GREEN, COLOR_GREEN, -1);
        }
        *ret_screen = screen;
        return 0;
}

struct top_screen *top_screen_close(struct top_screen *screen) {
        if (!screen)
                return NULL;
        (void) endwin();
        delscreen(screen->curses);
        free(screen);
        return NULL;
}

void top_screen_suspend(struct top_screen *screen) {
        (void) endwin();
        (void) clearok(stdscr, TRUE);
}

void top_screen_resize(struct top_screen *screen, struct top_model *model) {
        struct winsize size = {};

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
                (void) resizeterm(size.ws_row, size.ws_col);
        top_model_resize(model, (unsigned int) LINES, (unsigned int) COLS);
}

static uint32_t function_key(wint_t key) {
        static const struct {
                wint_t curses;
                uint32_t key;
        } keys[] = {
                { KEY_UP, TOP_KEY_UP },
                { KEY_DOWN, TOP_KEY_DOWN },
                { KEY_BTAB, TOP_KEY_BACKTAB },
                { KEY_ENTER, TOP_KEY_ENTER },
                { KEY_BACKSPACE, TOP_KEY_BACKSPACE },
        };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (keys[i].curses == key)
                        return keys[i].key;
        return TOP_KEY_OTHER;
}

static uint32_t character_key(wint_t key) {
        if (key == '\t')
                return TOP_KEY_TAB;
        if (key == '\r' || key == '\n')
                return TOP_KEY_ENTER;
        if (key == 0x1b)
                return TOP_KEY_ESCAPE;
        return key == 0x08 || key == 0x7f ? TOP_KEY_BACKSPACE : (uint32_t) key;
}

int top_screen_read_key(struct top_screen *screen, uint32_t *ret_key) {
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
        wint_t key;
        int r;

        do
                r = get_wch(&key);
        while (r == KEY_CODE_YES && key == KEY_RESIZE); /* of our own resizeterm() */
        if (r == ERR) {
                if (poll(&input, 1, 0) > 0 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)))
                        return -EPIPE;
                return 0;
        }
        *ret_key = r == KEY_CODE_YES ? function_key(key) : character_key(key);
        return 1;
}

/* ---- the frame ---- */

attr_t top_screen_color(const struct top_screen *screen, enum top_color color) {
        return screen->color ? (attr_t) COLOR_PAIR(color) : 0;
}

void top_screen_put(unsigned int y, unsigned int x, attr_t attributes, const char *text,
                unsigned int columns, enum cells_align align) {
        _cleanup_(freep) char *shown = cells_fit(text, columns, align);

        if (!shown)
                return;
        (void) attrset((int) attributes);
        (void) mvaddstr((int) y, (int) x, shown);
        (void) attrset((int) A_NORMAL);
}

static void put_line(const struct top_model *model, unsigned int y, attr_t attributes,
                const struct buf *text) {
        top_screen_put(y, 0, attributes, text->data ? text->data : "", model->columns, CELLS_LEFT);
}

static void draw_pane(const struct top_screen *screen, const struct top_model *model,
                enum top_pane pane) {
        const struct top_list *list = &model->lists[pane];
        const char *empty = top_text_empty(model, pane);
        struct buf title = BUF_INIT(LINE_BYTES_MAX);

        if (list->height == 0)
                return;
        (void) top_text_title(model, pane, &title);
        put_line(model, list->y, (attr_t) (model->focus == pane ? A_REVERSE | A_BOLD : A_REVERSE),
                        &title);
        buf_done(&title);
        top_tables_draw(screen, model, pane);
        if (empty && list->page > 0)
                top_screen_put(list->y + list->height - list->page, 0, 0, empty, model->columns,
                                CELLS_LEFT);
}

static void draw_help(const struct top_model *model) {
        const char *line;

        top_screen_put(0, 0, (attr_t) (A_REVERSE | A_BOLD), " Keys (any key goes back)",
                        model->columns, CELLS_LEFT);
        for (unsigned int i = 0; (line = top_text_help(i, cells_utf8())); i++)
                top_screen_put(i + 1, 0, 0, line, model->columns, CELLS_LEFT);
}

static void draw_too_small(const struct top_model *model) {
        char text[96];

        (void) snprintf(text, sizeof(text), "needs %dx%d, has %ux%u", TOP_COLUMNS_MIN,
                        TOP_LINES_MIN, model->columns, model->lines);
        top_screen_put(0, 0, 0, text, model->columns, CELLS_LEFT);
}

/* Its end, as much as fits with room for the cursor: there is what is being typed. */
static const char *tail_of(const char *text, unsigned int columns) {
        while (text[0] && cells_width(text) >= columns) {
                do
                        text++;
                while (((unsigned char) text[0] & 0xc0) == 0x80);
        }
        return text;
}

static void draw_footer(const struct top_model *model) {
        struct buf footer = BUF_INIT(LINE_BYTES_MAX);
        const char *text;

        (void) top_text_footer(model, &footer);
        text = footer.data ? footer.data : "";
        if (model->mode == TOP_ASK || model->mode == TOP_EDIT)
                text = tail_of(text, model->columns);
        top_screen_put(model->lines - 1, 0, 0, text, model->columns, CELLS_LEFT);
        buf_done(&footer);
}

static void draw_browser(
                const struct top_screen *screen, const struct top_model *model, uint64_t now_us) {
        struct buf status = BUF_INIT(LINE_BYTES_MAX);

        (void) top_text_status(model, now_us, &status);
        put_line(model, 0,
                        model->lost ? (attr_t) A_BOLD | top_screen_color(screen, TOP_RED)
                                    : (attr_t) A_BOLD,
                        &status);
        for (int pane = 0; pane < TOP_PANE_MAX_; pane++)
                draw_pane(screen, model, (enum top_pane) pane);
        draw_footer(model);
        buf_done(&status);
}

void top_screen_draw(struct top_screen *screen, const struct top_model *model, uint64_t now_us) {
        bool edit = (model->mode == TOP_EDIT || model->mode == TOP_ASK) && top_model_fits(model);
        struct buf footer = BUF_INIT(LINE_BYTES_MAX);
        size_t x = 0;

        (void) erase();
        if (!top_model_fits(model))
                draw_too_small(model);
        else if (model->mode == TOP_HELP)
                draw_help(model);
        else
                draw_browser(screen, model, now_us);
        (void) curs_set(edit ? 1 : 0);
        if (edit && top_text_footer(model, &footer) >= 0 && footer.data)
                x = cells_width(tail_of(footer.data, model->columns));
        buf_done(&footer);
        if (edit)
                (void) move((int) model->lines - 1,
                                x < model->columns ? (int) x : (int) model->columns - 1);
        (void) refresh();
}
