/* Spans as OTLP's JSON has them, and the queue they wait in. */

#include <pthread.h>
#include <string.h>

#include "base/buf.h"
#include "span_json.h"

static const struct trace_sampling everything = TRACE_SAMPLING_DEFAULT;

static void a_span_has_the_fields_of_otlp(void **state) {
        _cleanup_(spans_unrefp) struct spans *spans = span_json_make();
        _cleanup_(json_putp) struct json_object *all = NULL;
        struct json_object *object;
        struct trace_context parent;
        struct span *span;

        assert_int_equal(trace_parent_parse(
                                         "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                         &parent),
                        0);
        assert_int_equal(trace_state_take(&parent, "a=\"1\""), 0);
        span = span_begin(spans, &parent, SPAN_SERVER, 1700000000123456, 5000);
        span_name(span, "GET %s", "/a");
        span_add(span, "http.route", "/a/{id}");
        span_add(span, "nothing", NULL);
        span_add_int(span, "http.response.status_code", 503);
        span_fail(span, NULL, "why \"so\"\n");
        assert_null(span_end(span, 7500));

        all = span_json_take(spans, 10, 1);
        object = json_object_array_get_idx(all, 0);
        assert_string_equal(json_get_string(object, "traceId"), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_int_equal(strlen(json_get_string(object, "spanId")), 16);
        assert_string_not_equal(json_get_string(object, "spanId"), "00f067aa0ba902b7");
        assert_string_equal(json_get_string(object, "parentSpanId"), "00f067aa0ba902b7");
        assert_string_equal(json_get_string(object, "traceState"), "a=\"1\"");
        assert_string_equal(json_get_string(object, "name"), "GET /a");
        assert_int_equal(json_get_int(object, "kind", 0), 2);
        assert_string_equal(json_get_string(object, "startTimeUnixNano"), "1700000000123456000");
        assert_string_equal(json_get_string(object, "endTimeUnixNano"), "1700000000125956000");
        assert_string_equal(span_json_value(object, "http.route", "stringValue"), "/a/{id}");
        assert_string_equal(
                        span_json_value(object, "http.response.status_code", "intValue"), "503");
        assert_null(span_json_value(object, "nothing", "stringValue"));
        assert_int_equal(json_get_int(object, "status/code", 0), 2);
        assert_string_equal(json_get_string(object, "status/message"), "why \"so\"\n");
}

static void one_without_a_parent_begins_a_trace(void **state) {
        _cleanup_(spans_unrefp) struct spans *spans = span_json_make();
        _cleanup_(json_putp) struct json_object *all = NULL;
        struct json_object *child, *root;
        struct span *outer, *inner;

        outer = span_begin(spans, NULL, SPAN_INTERNAL, 1, 1);
        inner = span_begin(spans, span_context(outer), SPAN_CLIENT, 2, 2);
        span_end(inner, 3);
        span_end(outer, 4);
        all = span_json_take(spans, 10, 2);
        child = json_object_array_get_idx(all, 0);
        root = json_object_array_get_idx(all, 1);
        assert_null(json_get_string(root, "parentSpanId"));
        assert_null(json_get(root, "status"));
        assert_null(json_get(root, "traceState"));
        assert_string_equal(json_get_string(root, "name"), "unknown");
        assert_string_equal(
                        json_get_string(child, "parentSpanId"), json_get_string(root, "spanId"));
        assert_string_equal(json_get_string(child, "traceId"), json_get_string(root, "traceId"));
}

static void hostile_bytes_are_kept_apart_from_json(void **state) {
        static const char hostile[] = "\"}]},\\\x01\x1f\x7f\xff\xc3(\xe2\x80\xa8</script>";
        _cleanup_(spans_unrefp) struct spans *spans = span_json_make();
        _cleanup_(json_putp) struct json_object *all = NULL;
        char long_text[2 * SPAN_VALUE_MAX];
        struct json_object *object;
        struct span *span = span_begin(spans, NULL, SPAN_SERVER, 1, 1);

        memset(long_text, '"', sizeof(long_text));
        long_text[sizeof(long_text) - 1] = '\0';
        span_name(span, "%s", hostile);
        span_add(span, "a", hostile);
        span_add(span, "long", long_text);
        span_fail(span, NULL, hostile);
        span_end(span, 0); /* clocks that go back give no negative duration */
        all = span_json_take(spans, 1, 1);
        object = json_object_array_get_idx(all, 0);
        assert_int_equal(strlen(span_json_value(object, "long", "stringValue")), SPAN_VALUE_MAX);
        assert_non_null(strstr(span_json_value(object, "a", "stringValue"), "\"}]},\\\x01\x1f"));
        assert_string_equal(json_get_string(object, "endTimeUnixNano"), "1000");
}

static void attributes_past_the_bound_are_left_out_whole(void **state) {
        _cleanup_(spans_unrefp) struct spans *spans = span_json_make();
        _cleanup_(json_putp) struct json_object *all = NULL;
        struct span *span = span_begin(spans, NULL, SPAN_SERVER, 1, 1);
        char value[SPAN_VALUE_MAX + 1], key[16];
        size_t n;

        memset(value, 'v', sizeof(value));
        value[SPAN_VALUE_MAX] = '\0';
        for (int i = 0; i < 100; i++) {
                (void) snprintf(key, sizeof(key), "k%d", i);
                span_add(span, key, value);
        }
        span_add_int(span, "last", 1);
        span_end(span, 2);
        all = span_json_take(spans, 1, 1);
        n = json_object_array_length(json_get(json_object_array_get_idx(all, 0), "attributes"));
        assert_in_range(n, 20, 40);
}

static void a_call_is_named_by_its_service_and_method(void **state) {
        _cleanup_(spans_unrefp) struct spans *spans = span_json_make();
        _cleanup_(json_putp) struct json_object *all = NULL;
        struct json_object *object;
        struct span *span;

        for (int i = 0; i < 2; i++) {
                span = span_begin(spans, NULL, SPAN_CLIENT, 1, 1);
                span_call(span, i ? "libvirt" : "dbus", i ? NULL : "org.a.B", "Do");
                span_end(span, 2);
        }
        all = span_json_take(spans, 2, 2);
        object = json_object_array_get_idx(all, 0);
        assert_string_equal(json_get_string(object, "name"), "org.a.B/Do");
        assert_string_equal(span_json_value(object, "rpc.system", "stringValue"), "dbus");
        assert_string_equal(span_json_value(object, "rpc.service", "stringValue"), "org.a.B");
        assert_string_equal(span_json_value(object, "rpc.method", "stringValue"), "Do");
        object = json_object_array_get_idx(all, 1);
        assert_string_equal(json_get_string(object, "name"), "libvirt Do");
        assert_null(span_json_value(object, "rpc.service", "stringValue"));
}

static void off_there_is_nothing(void **state) {
        _cleanup_(spans_unrefp) struct spans *spans = NULL;
        _cleanup_(buf_done) struct buf text = BUF_INIT(1024);
        struct spans_stats stats;
        struct span *span;

        assert_int_equal(spans_new(&spans), 0);
        assert_false(spans_on(spans));
        assert_false(spans_on(NULL));
        span = span_begin(spans, NULL, SPAN_SERVER, 1, 1);
        assert_null(span);
        assert_null(span_begin(NULL, NULL, SPAN_SERVER, 1, 1));
        span_name(span, "x");
        span_add(span, "a", "b");
        span_add_int(span, "a", 1);
        span_fail(span, NULL, "x");
        span_call(span, "a", "b", "c");
        assert_null(span_context(span));
        assert_null(span_end(span, 2));
        assert_int_equal(spans_take(spans, 10, &text), 0);

        /* one that was begun before it was switched off is not kept for later */
        spans_configure(spans, &everything);
        span = span_begin(spans, NULL, SPAN_SERVER, 1, 1);
        spans_configure(spans, NULL);
        span_end(span, 2);
        spans_configure(spans, &everything);
        spans_get_stats(spans, &stats);
        assert_int_equal(stats.waiting, 0);
        assert_int_equal(stats.dropped, 0);
}

static void what_is_not_sampled_is_not_written_nor_are_its_children(void **state) {
        _cleanup_(spans_unrefp) struct spans *spans = span_json_make();
        _cleanup_(buf_done) struct buf text = BUF_INIT(1024);
        struct trace_context parent = { .trace_id = { 1 }, .span_id = { 1 } };
        struct span *outer, *inner;

        outer = span_begin(spans, &parent, SPAN_SERVER, 1, 1);
        assert_non_null(outer);
        assert_false(span_context(outer)->sampled);
        inner = span_begin(spans, span_context(outer), SPAN_CLIENT, 1, 1);
        assert_false(span_context(inner)->sampled);
        span_end(inner, 1);
        span_end(outer, 1);
        assert_int_equal(spans_take(spans, 10, &text), 0);
}

static void the_queue_is_bounded_and_counts_what_it_drops(void **state) {
        _cleanup_(spans_unrefp) struct spans *spans = span_json_make();
        _cleanup_(buf_done) struct buf small = BUF_INIT(10), text = BUF_INIT(1000);
        struct spans_stats stats;

        for (size_t i = 0; i < SPANS_MAX + 7; i++)
                span_end(span_begin(spans, NULL, SPAN_SERVER, 1, 1), 2);
        spans_get_stats(spans, &stats);
        assert_int_equal(stats.waiting, SPANS_MAX);
        assert_int_equal(stats.dropped, 7);
        assert_int_equal(spans_take(spans, 10, &small), 0);
        assert_int_equal(small.size, 0);
        assert_in_range(spans_take(spans, 100, &text), 3, 9); /* as many as fit, and no comma */
        assert_int_equal(text.data[text.size - 1], '}');
        json_object_put(span_json_take(spans, 512, 512));
        span_end(span_begin(spans, NULL, SPAN_SERVER, 1, 1), 2);
        spans_get_stats(spans, &stats);
        assert_int_equal(stats.dropped, 7);
}

static void long_spans_are_bounded_by_bytes(void **state) {
        _cleanup_(spans_unrefp) struct spans *spans = span_json_make();
        char value[SPAN_VALUE_MAX + 1], key[16];
        struct spans_stats stats;
        struct span *span;

        memset(value, '\x01', sizeof(value)); /* six bytes each as JSON */
        value[SPAN_VALUE_MAX] = '\0';
        for (size_t i = 0; i < SPANS_MAX; i++) {
                span = span_begin(spans, NULL, SPAN_SERVER, 1, 1);
                for (int j = 0; j < 5; j++) {
                        (void) snprintf(key, sizeof(key), "k%d", j);
                        span_add(span, key, value);
                }
                span_end(span, 2);
        }
        spans_get_stats(spans, &stats);
        assert_in_range(stats.waiting, 400, 700);
        assert_int_equal(stats.waiting + stats.dropped, SPANS_MAX);
}

static void *end_many(void *userdata) {
        struct spans *spans = userdata;

        for (int i = 0; i < 500; i++)
                span_end(span_begin(spans, NULL, SPAN_CLIENT, 1, 1), 2);
        spans_unref(spans);
        return NULL;
}

static void threads_may_end_spans_after_the_owner_is_gone(void **state) {
        struct spans *spans = span_json_make();
        pthread_t threads[4];
        struct span *late;

        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, end_many, spans_ref(spans)), 0);
        late = span_begin(spans, NULL, SPAN_CLIENT, 1, 1);
        spans_unref(spans);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        span_end(late, 2);
}

static void what_the_loop_is_at_is_known_until_it_leaves(void **state) {
        _cleanup_(spans_unrefp) struct spans *spans = span_json_make();
        struct span *span = span_begin(spans, NULL, SPAN_SERVER, 1, 1);

        assert_null(spans_current(spans));
        assert_null(spans_current(NULL));
        spans_enter(spans, span_context(span));
        assert_ptr_equal(spans_current(spans), span_context(span));
        spans_leave(spans);
        assert_null(spans_current(spans));
        span_end(span, 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_span_has_the_fields_of_otlp),
                cmocka_unit_test(one_without_a_parent_begins_a_trace),
                cmocka_unit_test(hostile_bytes_are_kept_apart_from_json),
                cmocka_unit_test(attributes_past_the_bound_are_left_out_whole),
                cmocka_unit_test(a_call_is_named_by_its_service_and_method),
                cmocka_unit_test(off_there_is_nothing),
                cmocka_unit_test(what_is_not_sampled_is_not_written_nor_are_its_children),
                cmocka_unit_test(the_queue_is_bounded_and_counts_what_it_drops),
                cmocka_unit_test(long_spans_are_bounded_by_bytes),
                cmocka_unit_test(threads_may_end_spans_after_the_owner_is_gone),
                cmocka_unit_test(what_the_loop_is_at_is_known_until_it_leaves),
        };

        return RUN_TESTS(tests);
}
