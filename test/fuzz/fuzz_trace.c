/* A parent that is taken is written back as it was, as far as version 00 goes; a state that is
 * taken holds nothing that could end a line or a text of JSON. First line: traceparent, the rest:
 * tracestate. */

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "model/spans.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written(const struct trace_context *context) {
        _cleanup_(buf_done) struct buf text = BUF_INIT(1U << 20);
        _cleanup_(spans_unrefp) struct spans *spans = NULL;
        const struct trace_sampling all = { TRACE_SAMPLER_ALWAYS_ON, 1, false };
        struct span *span;
        size_t offset;

        if (spans_new(&spans) < 0)
                return;
        spans_configure(spans, &all);
        span = span_begin(spans, context, SPAN_SERVER, 1, 1);
        span_name(span, "%s", context->state);
        span_add(span, "a", context->state);
        span_end(span, 2);
        assert(spans_take(spans, 1, &text) == 1);
        assert(json_validate(text.data, text.size, 8, &offset) == 0);
}

static void check_taken(const char *text, const char *rest, struct trace_context *context) {
        char parent[TRACE_PARENT_MAX];

        (void) trace_parent_format(context, parent);
        assert(strlen(text) >= strlen(parent));
        assert(memcmp(text + 2, parent + 2, 51) == 0); /* all but version and flags */
        if (trace_state_take(context, rest) >= 0) {
                assert(!context->state[0] || strcmp(context->state, rest) == 0);
                assert(!strpbrk(context->state, "\r\n"));
        } else {
                assert(!context->state[0]);
        }
        check_written(context);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char text[2048], *rest;
        struct trace_context context;

        if (size >= sizeof(text))
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        rest = strchrnul(text, '\n');
        if (*rest)
                *rest++ = '\0';
        if (trace_parent_parse(text, &context) >= 0)
                check_taken(text, rest, &context);
        return 0;
}
