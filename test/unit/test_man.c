/* virtwatch.yaml(5) names each key of the table, and no other. */

#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "daemon/config_keys.h"
#include "test.h"

#define PAGE FIXTURES_DIR "/../../packaging/man/virtwatch.yaml.5.scd"

static char *page;

static int read_page(void **state) {
        return fs_read_text(AT_FDCWD, PAGE, 1U << 20, &page, NULL);
}

static int free_page(void **state) {
        free(page);
        return 0;
}

/* A line of terms: "*key*", or several with commas between them. */
static bool is_term(const char *key) {
        char term[160];
        size_t n = (size_t) snprintf(term, sizeof(term), "*%s*", key);

        for (const char *at = page; (at = strstr(at, term)); at++) {
                const char *line = at;

                while (line > page && line[-1] != '\n')
                        line--;
                if (*line == '*' && (at[n] == '\n' || at[n] == ','))
                        return true;
        }
        return false;
}

static void each_key_has_its_place(void **state) {
        for (size_t i = 0; i < config_key_count(); i++) {
                if (!is_term(config_key_at(i)->name))
                        fail_msg("%s is not in %s", config_key_at(i)->name, PAGE);
        }
}

static void each_term_is_a_key(void **state) {
        size_t n = 0;

        for (const char *line = page; line; line = strchr(line, '\n')) {
                char key[160];

                line += *line == '\n';
                for (const char *at = line; *at == '*' && strncmp(line, "*/", 2) != 0; n++) {
                        const char *end = strchr(at + 1, '*');

                        assert_non_null(end);
                        (void) snprintf(key, sizeof(key), "%.*s", (int) (end - at - 1), at + 1);
                        if (!config_key_find(key))
                                fail_msg("%s is no key", key);
                        at = strncmp(end, "*, ", 3) == 0 ? end + 3 : "";
                }
        }
        assert_true(n > 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_key_has_its_place),
                cmocka_unit_test(each_term_is_a_key),
        };

        return cmocka_run_group_tests(tests, read_page, free_page);
}
