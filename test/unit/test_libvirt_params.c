/* Typed parameters: each type, hostile ones, too many. */

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "source/libvirt_link.h"
#include "test.h"

static void each_type_becomes_its_json(void **state) {
        char text[] = "vda\xff", empty[] = "";
        const virTypedParameter params[] = {
                { "int", VIR_TYPED_PARAM_INT, { .i = -1 } },
                { "uint", VIR_TYPED_PARAM_UINT, { .ui = UINT32_MAX } },
                { "llong", VIR_TYPED_PARAM_LLONG, { .l = INT64_MIN } },
                { "ullong", VIR_TYPED_PARAM_ULLONG, { .ul = UINT64_MAX } },
                { "double", VIR_TYPED_PARAM_DOUBLE, { .d = 0.5 } },
                { "nan", VIR_TYPED_PARAM_DOUBLE, { .d = (double) NAN } },
                { "bool", VIR_TYPED_PARAM_BOOLEAN, { .b = 1 } },
                { "text", VIR_TYPED_PARAM_STRING, { .s = text } },
                { "empty", VIR_TYPED_PARAM_STRING, { .s = empty } },
                { "null", VIR_TYPED_PARAM_STRING, { .s = NULL } },
                { "later", 99, { .i = 1 } },
        };
        struct json_object *object = libvirt_params_to_json(params, 11);

        assert_string_equal(json_text(object),
                        "{\"int\":-1,\"uint\":4294967295,\"llong\":-9223372036854775808,"
                        "\"ullong\":18446744073709551615,\"double\":0.5,\"bool\":true,"
                        "\"text\":\"vda\uFFFD\",\"empty\":\"\",\"later\":\"of an unknown type\"}");
        (void) json_object_put(object);
}

static void a_name_that_fills_its_field_is_read_to_its_end_only(void **state) {
        virTypedParameter param = { .type = VIR_TYPED_PARAM_INT, .value.i = 7 };
        struct json_object *object;

        memset(param.field, 'x', sizeof(param.field));
        object = libvirt_params_to_json(&param, 1);
        assert_int_equal(strlen(json_text(object)), sizeof(param.field) + strlen("{\"\":7}"));
        (void) json_object_put(object);
}

static void too_many_are_cut_and_the_number_is_told(void **state) {
        virTypedParameter params[500] = {};
        char text[400];
        struct json_object *object;
        size_t n;

        memset(text, 1, sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        for (int i = 0; i < 500; i++) {
                (void) snprintf(params[i].field, sizeof(params[i].field), "p%d", i);
                params[i].type = VIR_TYPED_PARAM_STRING;
                params[i].value.s = text;
        }
        object = libvirt_params_to_json(params, 500);
        n = (size_t) json_object_object_length(object);
        assert_true(n > 1);
        assert_int_equal(json_get_int(object, "left_out", -1), 500 - (int64_t) (n - 1));
        assert_true(strlen(json_text(object)) < 16000);
        (void) json_object_put(object);
}

static void none_give_an_empty_object(void **state) {
        struct json_object *object = libvirt_params_to_json(NULL, 0);

        assert_string_equal(json_text(object), "{}");
        (void) json_object_put(object);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_type_becomes_its_json),
                cmocka_unit_test(a_name_that_fills_its_field_is_read_to_its_end_only),
                cmocka_unit_test(too_many_are_cut_and_the_number_is_told),
                cmocka_unit_test(none_give_an_empty_object),
        };

        return RUN_TESTS(tests);
}
