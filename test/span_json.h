#pragma once
/* Spans that wait, as a test looks at them. */

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "model/spans.h"
#include "test.h"

/* All of these are recorded. Caller puts the reference. */
static inline struct spans *span_json_make(void) {
        struct spans *spans = NULL;

        assert_int_equal(spans_new(&spans), 0);
        spans_configure(spans, &(struct trace_sampling) TRACE_SAMPLING_DEFAULT);
        return spans;
}

/* Those that wait, as a JSON array. Caller puts. */
static inline struct json_object *span_json_all(struct spans *spans, size_t n_max) {
        _cleanup_(buf_done) struct buf text = BUF_INIT(64U << 20), array = BUF_INIT(64U << 20);
        struct json_object *object = NULL;
        size_t n = spans_take(spans, n_max, &text);

        assert_int_equal(buf_printf(&array, "[%s]", text.data ? text.data : ""), 0);
        if (json_parse(array.data, array.size, &object) < 0)
                fail_msg("no JSON: %s", array.data);
        assert_int_equal(json_object_array_length(object), n);
        return object;
}

static inline struct json_object *span_json_take(
                struct spans *spans, size_t n_max, size_t n_wanted) {
        struct json_object *all = span_json_all(spans, n_max);

        assert_int_equal(json_object_array_length(all), n_wanted);
        return all;
}

static inline const char *span_json_value(
                struct json_object *span, const char *key, const char *type) {
        struct json_object *all = json_get(span, "attributes"), *one;

        for (size_t i = 0; i < json_object_array_length(all); i++) {
                one = json_object_array_get_idx(all, i);
                if (strcmp(json_get_string(one, "key"), key) == 0)
                        return json_get_string(json_get(one, "value"), type);
        }
        return NULL;
}

/* The first of that name; NULL: none. Borrowed from @all. */
static inline struct json_object *span_json_named(struct json_object *all, const char *name) {
        for (size_t i = 0; i < json_object_array_length(all); i++) {
                struct json_object *one = json_object_array_get_idx(all, i);

                if (strcmp(json_get_string(one, "name"), name) == 0)
                        return one;
        }
        return NULL;
}
