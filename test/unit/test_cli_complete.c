/* What may follow on a command line, by the help. */

#include <string.h>

#include "base/macro.h"
#include "cli/complete.h"
#include "test.h"

static const char help[] =
                "virtwatch COMMAND [OPTION]...\n\n"
                "  events [-f] [-n N] [--filter KEY=VALUE]...   what happened\n"
                "  timeline SLUG [-f]                           what happened to an app\n"
                "  probe [show [SLUG]] | run SLUG               ask\n"
                "  probe set SLUG KEY=VALUE...                  url, path\n"
                "  token [list] | revoke ID|NAME                tokens\n"
                "  token create NAME --scope S,S [--expires 30d] [--slug S]...   make one\n"
                "  scale WORKLOAD up|down                       more or less\n"
                "  status                                       sources\n\n"
                "  -f, --follow            go on\n"
                "  -n, --lines=N           how many\n"
                "      --filter=KEY=VALUE  only those\n"
                "  -o, --output=FORMAT     table or json\n"
                "      --token-file=PATH   the file\n"
                "  -h, --help              this text\n";

/* The words of @line, parted by single blanks, give the candidates @wanted, parted by blanks too.
 */
static void check(const char *line, const char *wanted, enum complete_ask wanted_ask,
                size_t wanted_offset) {
        _cleanup_(freep) char *copy = strdup(line);
        struct buf out = BUF_INIT(4096), found = BUF_INIT(4096);
        enum complete_ask ask;
        char *words[16], *rest = copy;
        size_t offset;
        int n = 0;

        assert_non_null(copy);
        while (n < 16 && (words[n] = strsep(&rest, " ")))
                n++;
        assert_int_equal(complete_words(help, n, words, &out, &ask, &offset), 0);
        for (char *at = out.data ? out.data : words[n - 1] + strlen(words[n - 1]), *next; *at;
                        at = next + 1) {
                next = strchr(at, '\n');
                assert_non_null(next);
                assert_non_null(memchr(at, '\t', (size_t) (next - at)));
                assert_int_equal(buf_printf(&found, "%s%.*s", found.size ? " " : "",
                                                 (int) strcspn(at, "\t"), at),
                                0);
        }
        assert_string_equal(found.data ? found.data : "", wanted);
        assert_int_equal(ask, wanted_ask);
        assert_int_equal(offset, wanted_offset);
        buf_done(&out);
        buf_done(&found);
}

static void a_command_comes_first_and_once(void **state) {
        check("", "events timeline probe token scale status", COMPLETE_NOTHING, 0);
        check("pr", "probe", COMPLETE_NOTHING, 0);
        check("-o json s", "scale status", COMPLETE_NOTHING, 0);
        check("x", "", COMPLETE_NOTHING, 0);
}

static void alternatives_belong_to_their_command(void **state) {
        check("probe ", "show run set", COMPLETE_NOTHING, 0);
        check("token ", "list revoke create", COMPLETE_NOTHING, 0);
        check("prob ", "", COMPLETE_NOTHING, 0);
        check("run ", "", COMPLETE_NOTHING, 0);
        check("status ", "", COMPLETE_NOTHING, 0);
        check("scale x ", "up down", COMPLETE_NOTHING, 0);
        check("scale x do", "down", COMPLETE_NOTHING, 0);
}

static void what_the_user_names_is_asked_for(void **state) {
        check("timeline ", "", COMPLETE_SLUGS, 0);
        check("timeline -f sh", "", COMPLETE_SLUGS, 0);
        check("timeline shop ", "", COMPLETE_NOTHING, 0);
        check("probe show ", "", COMPLETE_SLUGS, 0);
        check("probe run ", "", COMPLETE_SLUGS, 0);
        check("probe set ", "", COMPLETE_SLUGS, 0);
        check("scale ", "", COMPLETE_WORKLOADS, 0);
        check("token revoke ", "", COMPLETE_NOTHING, 0);
}

static void settings_may_be_repeated(void **state) {
        check("probe set shop p", "path= port=", COMPLETE_NOTHING, 0);
        check("probe set shop path=/ u", "url=", COMPLETE_NOTHING, 0);
        check("probe set shop path=/", "", COMPLETE_NOTHING, 0);
}

static void options_and_their_values(void **state) {
        check("events -", "-f --follow -n --lines --filter -o --output --token-file -h --help",
                        COMPLETE_NOTHING, 0);
        check("--f", "--follow --filter", COMPLETE_NOTHING, 0);
        check("events -o ", "table json", COMPLETE_NOTHING, 0);
        check("events --output=j", "--output=json", COMPLETE_NOTHING, 9);
        check("events -n ", "", COMPLETE_NOTHING, 0);
        check("token create x --s", "--scope --slug", COMPLETE_NOTHING, 0);
        check("events --s", "", COMPLETE_NOTHING, 0);
        check("--scope x token create x --exp", "--expires", COMPLETE_NOTHING, 0);
        check("token create --slug ", "", COMPLETE_SLUGS, 0);
        check("token create --slug=sh", "", COMPLETE_SLUGS, 7);
        check("token create --expires ", "", COMPLETE_NOTHING, 0);
        check("events --token-file ", "", COMPLETE_FILES, 0);
        check("events --token-file=/x", "", COMPLETE_FILES, 13);
        check("events --filter k", "kind=", COMPLETE_NOTHING, 0);
        check("events --filter kind=v", "kind=vm", COMPLETE_NOTHING, 5);
        check("events --filter=kind=v", "--filter=kind=vm", COMPLETE_NOTHING, 14);
        check("events --filter slug=", "", COMPLETE_SLUGS, 5);
        check("events --filter=workload=1", "", COMPLETE_WORKLOADS, 18);
        check("events --filter name=", "", COMPLETE_NOTHING, 5);
}

static void no_memory_is_told(void **state) {
        struct buf out = BUF_INIT(20);
        enum complete_ask ask;
        char *words[] = { (char[]){ "" } };
        size_t offset;

        assert_int_equal(complete_words(help, 1, words, &out, &ask, &offset), -ENOSPC);
        buf_done(&out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_command_comes_first_and_once),
                cmocka_unit_test(alternatives_belong_to_their_command),
                cmocka_unit_test(what_the_user_names_is_asked_for),
                cmocka_unit_test(settings_may_be_repeated),
                cmocka_unit_test(options_and_their_values),
                cmocka_unit_test(no_memory_is_told),
        };

        return RUN_TESTS(tests);
}
