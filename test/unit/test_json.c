/* RFC 8259: what is JSON passes, what is not is refused, with the kind of fault. */

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "test.h"

static int validate(const char *text) {
        return json_validate(text, strlen(text), JSON_DEPTH_MAX, NULL);
}

static void what_is_json_passes(void **state) {
        static const char *const texts[] = { "{}", "[]", "null", " 1 ", "-0.5e+3",
                "\"\\u00e9\\ud83d\\ude00\"", "[1,2,[3,{\"a\":{}}]]",
                "{\"a\":1,\"b\":[true,false,null]}", "\"\xc3\xa9\"", "18446744073709551616" };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                struct json_object *object = NULL;

                if (validate(texts[i]) != 0 || json_parse(texts[i], strlen(texts[i]), &object) != 0)
                        fail_msg("refused: %s", texts[i]);
                json_object_put(object);
        }
}

static void what_is_not_json_is_refused(void **state) {
        static const char *const texts[] = { "", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}",
                "01", "1.", ".5", "+1", "1e", "NaN", "Infinity", "\"\n\"", "\"\\x\"", "\"\\u12\"",
                "[1 2]", "{\"a\" 1}", "{\"a\":1}}", "1 2", "tru", "nul", "[", "\"", "/**/1",
                "{\"a\\u0000b\":1}", "-", "--1", "[,1]" };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (validate(texts[i]) != -EINVAL)
                        fail_msg("taken: %s", texts[i]);
}

static void a_nul_is_no_part_of_json(void **state) {
        static const struct {
                const char *text;
                size_t size;
        } rows[] = { { "\"a\\\0\"", 5 }, { "\"a\0\"", 4 }, { "1\0", 2 },
                { "\0"
                  "1",
                                2 },
                { "[\0]", 3 } };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct json_object *object = NULL;

                assert_int_equal(json_validate(rows[i].text, rows[i].size, JSON_DEPTH_MAX, NULL),
                                -EINVAL);
                assert_int_equal(json_parse(rows[i].text, rows[i].size, &object), -EINVAL);
                assert_null(object);
        }
}

static void faults_are_told_apart(void **state) {
        char deep[2 * JSON_DEPTH_MAX + 3] = "";

        assert_int_equal(validate("\"\xff\""), -EILSEQ);
        assert_int_equal(validate("{\"a\":1,\"\\u0061\":2}"), -EEXIST);
        assert_int_equal(validate("{\"a\":{\"a\":1},\"b\":{\"a\":2}}"), 0);
        for (size_t i = 0; i < JSON_DEPTH_MAX; i++) {
                deep[i] = '[';
                deep[2 * JSON_DEPTH_MAX - 1 - i] = ']';
        }
        assert_int_equal(validate(deep), 0);
        memset(deep, '[', JSON_DEPTH_MAX + 1);
        assert_int_equal(validate(deep), -E2BIG);
}

static void a_name_is_met_again_among_thousands(void **state) {
        struct buf text = BUF_INIT(1 << 20);

        assert_int_equal(buf_append_str(&text, "{\"a\":{"), 0);
        for (int i = 0; i < 5000; i++)
                assert_int_equal(buf_printf(&text, "\"name%d\":{\"name%d\":%d},", i, i, i), 0);
        assert_int_equal(buf_append_str(&text, "\"last\":0}}"), 0);
        assert_int_equal(json_validate(text.data, text.size, JSON_DEPTH_MAX, NULL), 0);
        text.size -= strlen("last\":0}}");
        assert_int_equal(buf_append_str(&text, "\\u006eame4999\":0}}"), 0);
        assert_int_equal(json_validate(text.data, text.size, JSON_DEPTH_MAX, NULL), -EEXIST);
        buf_done(&text);
}

static void note(const struct json_piece *piece, void *userdata) {
        static const char kinds[] = "0tfns{[";

        assert_int_equal(buf_printf(userdata, "%u%c%.*s=%.*s%s ", piece->depth, kinds[piece->kind],
                                         (int) piece->name_size, piece->name ? piece->name : "",
                                         (int) piece->size, piece->text, piece->escaped ? "!" : ""),
                        0);
}

static void a_visitor_sees_every_value_in_order(void **state) {
        static const char text[] =
                        " {\"a\" : [1, \"x\\ny\", {}], \"b\":{\"c\":-0.5e3,\"d\":null},\"e\":true} ";
        struct buf seen = BUF_INIT(1024);

        assert_int_equal(json_visit(text, strlen(text), JSON_DEPTH_MAX, note, &seen, NULL), 0);
        assert_string_equal(seen.data,
                        "0{= 1[a= 2n=1 2s=x\\ny! 2{= 1{b= 2nc=-0.5e3 20d=null 1te=true ");
        buf_done(&seen);
}

static void escapes_are_decoded(void **state) {
        static const char text[] = "a\\u00e9\\ud83d\\ude00\\/\\t\\ud800z";
        struct buf out = BUF_INIT(64);

        assert_int_equal(json_decode(text, strlen(text), &out), 0);
        assert_string_equal(out.data, "a\xc3\xa9\xf0\x9f\x98\x80/\t\xef\xbf\xbdz");
        assert_int_equal(json_decode("\\x", 2, &out), -EINVAL);
        buf_done(&out);
}

static void a_time_that_is_none_is_null(void **state) {
        struct json_object *object = json_object_new_object();

        assert_int_equal(json_add_time(object, "at", 1500000), 0);
        assert_int_equal(json_add_time(object, "never", 0), 0);
        assert_string_equal(json_text(object),
                        "{\"at\":\"1970-01-01T00:00:01.500000Z\",\"never\":null}");
        (void) json_object_put(object);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_json_passes),
                cmocka_unit_test(what_is_not_json_is_refused),
                cmocka_unit_test(a_nul_is_no_part_of_json),
                cmocka_unit_test(faults_are_told_apart),
                cmocka_unit_test(a_name_is_met_again_among_thousands),
                cmocka_unit_test(a_visitor_sees_every_value_in_order),
                cmocka_unit_test(escapes_are_decoded),
                cmocka_unit_test(a_time_that_is_none_is_null),
        };

        return RUN_TESTS(tests);
}
