/* Complaints quote what they are about, and are cut to fit. */

#include <string.h>

#include "base/diag.h"
#include "base/text.h"
#include "test.h"

static void a_complaint_is_text_wherever_it_is_cut(void **state) {
        char letters[1024] = "";
        struct diag diag;

        for (size_t n = 0; n + 2 < sizeof(letters); n += 2)
                memcpy(letters + n, "\xc3\xa4", 3);
        for (int n = 0; n < 8; n++) {
                diag_set(&diag, 3, 4, "%.*s '%.63s' %s", n, "aaaaaaaa", letters, letters);
                assert_true(text_is_utf8(diag.text, strlen(diag.text)));
                assert_true(strlen(diag.text) >= sizeof(diag.text) - 4);
                assert_non_null(strstr(diag.text, "\xc3\xa4\xef\xbf\xbd'"));
                assert_int_equal(diag.line, 3);
                assert_int_equal(diag.column, 4);
        }
        assert_int_equal(diag_refuse(&diag, "a\xff", "is no text"), -EINVAL);
        assert_string_equal(diag.text, "a\xef\xbf\xbd: is no text");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_complaint_is_text_wherever_it_is_cut),
        };

        return RUN_TESTS(tests);
}
