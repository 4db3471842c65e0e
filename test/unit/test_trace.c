/* W3C Trace Context at and past each bound, and who is sampled. */

#include <string.h>

#include "model/trace.h"
#include "test.h"

#define ID   "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static void a_parent_is_read_and_written_the_same(void **state) {
        static const char *const texts[] = { "00-" ID "-" SPAN "-01", "00-" ID "-" SPAN "-00",
                "00-00000000000000000000000000000001-0000000000000001-01" };
        struct trace_context context;
        char text[TRACE_PARENT_MAX];

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                memset(&context, 0xff, sizeof(context));
                assert_int_equal(trace_parent_parse(texts[i], &context), 0);
                assert_string_equal(trace_parent_format(&context, text), texts[i]);
                assert_string_equal(context.state, "");
        }
}

static void only_the_lowest_flag_means_sampled(void **state) {
        struct trace_context context;

        assert_int_equal(trace_parent_parse("00-" ID "-" SPAN "-ff", &context), 0);
        assert_true(context.sampled);
        assert_int_equal(trace_parent_parse("00-" ID "-" SPAN "-fe", &context), 0);
        assert_false(context.sampled);
}

static void a_version_to_come_is_read_as_far_as_it_is_known(void **state) {
        struct trace_context context;

        assert_int_equal(trace_parent_parse("01-" ID "-" SPAN "-01", &context), 0);
        assert_int_equal(trace_parent_parse("cc-" ID "-" SPAN "-01-what-else", &context), 0);
        assert_int_equal(trace_parent_parse("fe-" ID "-" SPAN "-01-", &context), 0);
        assert_int_equal(trace_parent_parse("cc-" ID "-" SPAN "-01what", &context), -EINVAL);
        assert_int_equal(trace_parent_parse("cc-" ID "-" SPAN "-01.", &context), -EINVAL);
}

static void what_is_no_parent_is_refused_and_changes_nothing(void **state) {
        static const char *const texts[] = {
                "",
                "00",
                "00-" ID "-" SPAN "-0",
                "00-" ID "-" SPAN "-011",
                "00-" ID "-" SPAN "-01-",
                "00-" ID "-" SPAN "-01-x",
                "00-" ID "-" SPAN "-01,00-" ID "-" SPAN "-01",
                "ff-" ID "-" SPAN "-01",
                "0-" ID "-" SPAN "-01",
                "000-" ID "-" SPAN "-01",
                "0x-" ID "-" SPAN "-01",
                "00-00000000000000000000000000000000-" SPAN "-01",
                "00-" ID "-0000000000000000-01",
                "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
                "00-" ID "-00F067AA0BA902B7-01",
                "00-" ID "-" SPAN "-0G",
                "00-" ID "-" SPAN "-0A",
                "00_" ID "-" SPAN "-01",
                "00-" ID "_" SPAN "-01",
                "00-" ID "-" SPAN "_01",
                " 00-" ID "-" SPAN "-01",
                "00-" ID "-" SPAN "-01 ",
                "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b77-01",
                "00-4bf92f3577b34da6a3ce929d0e0e473\xc3-" SPAN "-01",
        };
        struct trace_context context;

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                memset(&context, 'x', sizeof(context));
                if (trace_parent_parse(texts[i], &context) != -EINVAL)
                        fail_msg("'%s' is taken", texts[i]);
                assert_int_equal(context.trace_id[0], 'x');
        }
}

static void fill(char *text, const char *member, size_t n) {
        text[0] = '\0';
        for (size_t i = 0; i < n; i++)
                (void) snprintf(text + strlen(text), 2048 - strlen(text), "%s%s%zu=1", i ? "," : "",
                                member, i);
}

static void a_state_is_passed_on_up_to_its_bounds(void **state) {
        static const char *const good[] = { "a=1", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
                "a@b=c d", " a=1 , b=2\t,,c=3", "0=!~", "fw529a3039@dt=FfAAAA;_-*/" };
        static const char *const bad[] = { "a", "=1", "a=", "A=1", "a=1=2", "a=\x01", "a=\x7f",
                "a b=1", "-a=1", "a=1,b", "a=\xc3\xa4", "@a=1" };
        struct trace_context context = {};
        char text[2048], value[600];

        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                if (trace_state_take(&context, good[i]) != 0)
                        fail_msg("'%s' is refused", good[i]);
                assert_string_equal(context.state, good[i]);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                (void) trace_state_take(&context, "a=1");
                if (trace_state_take(&context, bad[i]) != -EINVAL)
                        fail_msg("'%s' is taken", bad[i]);
                assert_string_equal(context.state, "");
        }
        assert_int_equal(trace_state_take(&context, " , ,"), 0);
        assert_string_equal(context.state, "");

        fill(text, "k", 32);
        assert_int_equal(trace_state_take(&context, text), 0);
        fill(text, "k", 33);
        assert_int_equal(trace_state_take(&context, text), -E2BIG);
        memset(value, 'v', sizeof(value));
        value[sizeof(value) - 1] = '\0';
        (void) snprintf(text, sizeof(text), "a=%.256s,b=%.251s", value, value);
        assert_int_equal(strlen(text), TRACE_STATE_MAX);
        assert_int_equal(trace_state_take(&context, text), 0);
        assert_string_equal(context.state, text);
        (void) snprintf(text, sizeof(text), "a=%.256s,b=%.252s", value, value);
        assert_int_equal(trace_state_take(&context, text), -E2BIG);
        (void) snprintf(text, sizeof(text), "a=%.257s", value);
        assert_int_equal(trace_state_take(&context, text), -EINVAL);
        assert_string_equal(context.state, "");
}

static void new_ids_differ(void **state) {
        uint8_t a[TRACE_ID_BYTES], b[TRACE_ID_BYTES], c[SPAN_ID_BYTES], d[SPAN_ID_BYTES];

        trace_id_make(a);
        trace_id_make(b);
        assert_memory_not_equal(a, b, sizeof(a));
        span_id_make(c);
        span_id_make(d);
        assert_memory_not_equal(c, d, sizeof(c));
}

static void samplers_have_names_and_a_ratio_within_0_and_1(void **state) {
        static const char *const bad[] = { "1.1", "-0.1", "2", "nan", "inf", "1e-1", "0x1", ".",
                "0.1 ", "0,5", "0..1" };
        struct trace_sampling sampling;

        assert_int_equal(trace_sampling_parse("parentbased_traceidratio", "0.25", &sampling), 0);
        assert_int_equal(sampling.sampler, TRACE_SAMPLER_RATIO);
        assert_true(sampling.parent_based);
        assert_true(sampling.ratio > 0.249 && sampling.ratio < 0.251);
        assert_int_equal(trace_sampling_parse("traceidratio", NULL, &sampling), 0);
        assert_false(sampling.parent_based);
        assert_true(sampling.ratio > 0.999);
        assert_int_equal(trace_sampling_parse("traceidratio", "1.0", &sampling), 0);
        assert_int_equal(trace_sampling_parse("traceidratio", "0", &sampling), 0);
        assert_int_equal(trace_sampling_parse("traceidratio", ".5", &sampling), 0);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (trace_sampling_parse("traceidratio", bad[i], &sampling) != -EINVAL)
                        fail_msg("'%s' is taken", bad[i]);
        assert_int_equal(trace_sampling_parse("jaeger_remote", NULL, &sampling), -EINVAL);
        assert_int_equal(trace_sampling_parse("", NULL, &sampling), -EINVAL);
        assert_int_equal(trace_sampling_parse("always_on", "nonsense", &sampling), 0);
}

static unsigned int chosen(
                const char *name, const char *ratio, const struct trace_context *parent) {
        struct trace_sampling sampling;
        uint8_t id[TRACE_ID_BYTES];
        unsigned int n = 0;

        assert_int_equal(trace_sampling_parse(name, ratio, &sampling), 0);
        for (unsigned int i = 0; i < 10000; i++) {
                trace_id_make(id);
                n += trace_sampling_choose(&sampling, parent, id);
        }
        return n;
}

static void the_parent_decides_where_it_may(void **state) {
        struct trace_context yes = { .sampled = true }, no = {};

        assert_int_equal(chosen("parentbased_always_on", NULL, NULL), 10000);
        assert_int_equal(chosen("parentbased_always_on", NULL, &no), 0);
        assert_int_equal(chosen("parentbased_always_off", NULL, NULL), 0);
        assert_int_equal(chosen("parentbased_always_off", NULL, &yes), 10000);
        assert_int_equal(chosen("parentbased_traceidratio", "0", &yes), 10000);
        assert_int_equal(chosen("always_on", NULL, &no), 10000);
        assert_int_equal(chosen("always_off", NULL, &yes), 0);
        assert_int_equal(chosen("traceidratio", "0", &yes), 0);
        assert_int_equal(chosen("traceidratio", "1", &no), 10000);
}

static void a_ratio_takes_that_share_and_the_same_traces_each_time(void **state) {
        unsigned int n = chosen("traceidratio", "0.25", NULL);
        struct trace_sampling less, more;
        uint8_t id[TRACE_ID_BYTES];

        assert_in_range(n, 2000, 3000); /* eleven standard deviations */
        assert_int_equal(trace_sampling_parse("traceidratio", "0.2", &less), 0);
        assert_int_equal(trace_sampling_parse("traceidratio", "0.6", &more), 0);
        for (unsigned int i = 0; i < 1000; i++) {
                trace_id_make(id);
                if (trace_sampling_choose(&less, NULL, id))
                        assert_true(trace_sampling_choose(&more, NULL, id));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_parent_is_read_and_written_the_same),
                cmocka_unit_test(only_the_lowest_flag_means_sampled),
                cmocka_unit_test(a_version_to_come_is_read_as_far_as_it_is_known),
                cmocka_unit_test(what_is_no_parent_is_refused_and_changes_nothing),
                cmocka_unit_test(a_state_is_passed_on_up_to_its_bounds),
                cmocka_unit_test(new_ids_differ),
                cmocka_unit_test(samplers_have_names_and_a_ratio_within_0_and_1),
                cmocka_unit_test(the_parent_decides_where_it_may),
                cmocka_unit_test(a_ratio_takes_that_share_and_the_same_traces_each_time),
        };

        return RUN_TESTS(tests);
}
