/* What fits into so many columns: hostile, wide and combining characters. */

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "cli/cells.h"
#include "test.h"

static void expect(char *made, const char *wanted) {
        assert_non_null(made);
        assert_string_equal(made, wanted);
        free(made);
}

static void text_is_padded_to_its_columns(void **state) {
        expect(cells_fit("web", 5, CELLS_LEFT), "web  ");
        expect(cells_fit("1.5", 5, CELLS_RIGHT), "  1.5");
        expect(cells_fit("web", 3, CELLS_LEFT), "web");
        expect(cells_fit("", 2, CELLS_RIGHT), "  ");
        expect(cells_fit("web", 0, CELLS_LEFT), "");
        expect(cells_fit("", 0, CELLS_LEFT), "");
        expect(cells_pad("web", 5), "web  ");
        expect(cells_pad("webserver", 5), "webserver");
        expect(cells_pad("数据库", 8), "数据库  ");
}

static void what_is_cut_ends_in_an_ellipsis(void **state) {
        expect(cells_fit("webserver", 5, CELLS_LEFT), "webs…");
        expect(cells_fit("webserver", 1, CELLS_LEFT), "…");
        expect(cells_fit("webserver", 5, CELLS_RIGHT), "webs…");
}

static void a_wide_character_is_whole_or_not_there(void **state) {
        assert_int_equal(cells_width("数据库"), 6);
        expect(cells_fit("数据库", 6, CELLS_LEFT), "数据库");
        expect(cells_fit("数据库", 5, CELLS_LEFT), "数据…");
        expect(cells_fit("数据库", 4, CELLS_LEFT), "数… "); /* half of one is left out */
        expect(cells_fit("数据库", 4, CELLS_RIGHT), "数… ");
        expect(cells_fit("数", 1, CELLS_LEFT), "…");
}

static void combining_characters_stay_with_theirs(void **state) {
        assert_int_equal(cells_width("e\u0301a\u0300"), 2);
        expect(cells_fit("e\u0301a\u0300", 3, CELLS_LEFT), "e\u0301a\u0300 ");
        expect(cells_fit("e\u0301a\u0300o\u0302", 2, CELLS_LEFT), "e\u0301…");
        expect(cells_fit("\u0301a", 2, CELLS_LEFT), "a ");
        expect(cells_fit("a\u0301\u0301\u0301\u0301\u0301\u0301\u0301", 1, CELLS_LEFT),
                        "a\u0301\u0301\u0301\u0301");
}

static void hostile_text_is_shown_and_not_obeyed(void **state) {
        expect(cells_fit("\033[2J", 10, CELLS_LEFT), "\\x1b[2J   ");
        expect(cells_fit("a\nb\xff\xc2\x9b", 20, CELLS_LEFT), "a\\nb\\xff\\x9b        ");
        expect(cells_fit("\u202egpj.exe", 15, CELLS_LEFT), "\\u202egpj.exe  ");
        expect(cells_fit("a\u2066b\u2028", 9, CELLS_LEFT), "a\\u2066b\ufffd");
}

/* The promise of cells_fit(), by another count: wcswidth() of the whole. */
static void what_was_fit_is_as_wide_as_said(void **state) {
        static const char *const texts[] = { "web", "数据库server", "e\u0301e\u0301e\u0301",
                "\u0301", "\u200b\u200d", "👩‍💻 x", "한국어", "ab\tcd", "\xe6\x95" };
        wchar_t wide[256];

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                for (size_t columns = 0; columns < 20; columns++)
                        for (int align = CELLS_LEFT; align <= CELLS_RIGHT; align++) {
                                char *made = cells_fit(texts[i], columns, (enum cells_align) align);

                                assert_true(mbstowcs(wide, made, ARRAY_SIZE(wide)) < 256);
                                assert_int_equal(wcswidth(wide, ARRAY_SIZE(wide)), columns);
                                free(made);
                        }
}

static void a_terminal_without_utf8_gets_ascii(void **state) {
        (void) setlocale(LC_CTYPE, "C");
        assert_false(cells_utf8());
        expect(cells_fit("caf\u00e9 数", 8, CELLS_LEFT), "caf? ?  ");
        expect(cells_fit("webserver", 5, CELLS_LEFT), "webs~");
        (void) setlocale(LC_CTYPE, "C.UTF-8");
}

static int utf8(void **state) {
        return setlocale(LC_CTYPE, "C.UTF-8") && cells_utf8() ? 0 : -1;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(text_is_padded_to_its_columns),
                cmocka_unit_test(what_is_cut_ends_in_an_ellipsis),
                cmocka_unit_test(a_wide_character_is_whole_or_not_there),
                cmocka_unit_test(combining_characters_stay_with_theirs),
                cmocka_unit_test(hostile_text_is_shown_and_not_obeyed),
                cmocka_unit_test(what_was_fit_is_as_wide_as_said),
                cmocka_unit_test(a_terminal_without_utf8_gets_ascii),
        };

        return cmocka_run_group_tests(tests, utf8, NULL);
}
