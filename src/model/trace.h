#pragma once
/* Where a span stands: W3C Trace Context (https://www.w3.org/TR/trace-context/) taken from outside
 * and written for others, and whether a trace is recorded (OpenTelemetry's samplers). */

#include "base/macro.h"

#define TRACE_ID_BYTES   16
#define SPAN_ID_BYTES    8
#define TRACE_STATE_MAX  512 /* bytes; what others must be able to pass on, and we do at most */
#define TRACE_STATES_MAX 32  /* members of it */
#define TRACE_PARENT_MAX 56  /* "00-<32>-<16>-01" and its NUL */
#define TRACE_HEX_MAX    (2 * TRACE_ID_BYTES + 1)

struct trace_context {
        uint8_t trace_id[TRACE_ID_BYTES]; /* never all zero */
        uint8_t span_id[SPAN_ID_BYTES];   /* never all zero */
        bool sampled;
        char state[TRACE_STATE_MAX + 1]; /* tracestate, as it came; "": none */
};

/**
 * Read a traceparent header. Versions we do not know are read as far as 00 goes; ff is refused, and
 * so are ids of zeros and digits in upper case. The state is "" afterwards.
 *
 * Return: 0; -EINVAL.
 */
int trace_parent_parse(const char *text, struct trace_context *ret_context);
/** Return: @text, as version 00. */
char *trace_parent_format(const struct trace_context *context, char text[static TRACE_PARENT_MAX]);
/**
 * Take over a tracestate header, several of which are joined by comma before.
 *
 * Return: 0; -EINVAL, -E2BIG past a bound: the state is "" then, the context stays good.
 */
int trace_state_take(struct trace_context *context, const char *text);

/** Ids in lower case hexadecimal digits. Return: @text. */
char *trace_hex(const uint8_t *id, size_t n, char text[static TRACE_HEX_MAX]);
/** New ids at random: of a trace, and of a span in it. */
void trace_id_make(uint8_t id[static TRACE_ID_BYTES]);
void span_id_make(uint8_t id[static SPAN_ID_BYTES]);

enum trace_sampler {
        TRACE_SAMPLER_ALWAYS_ON,
        TRACE_SAMPLER_ALWAYS_OFF,
        TRACE_SAMPLER_RATIO,
};

/* What OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say. */
struct trace_sampling {
        enum trace_sampler sampler;
        double ratio;      /* 0..1, of TRACE_SAMPLER_RATIO */
        bool parent_based; /* a parent's flag decides, the sampler only where there is none */
};

#define TRACE_SAMPLING_DEFAULT \
        { TRACE_SAMPLER_ALWAYS_ON, 1, true }

/** "parentbased_traceidratio" and so on, and the ratio as text (NULL, "": 1). Return: 0; -EINVAL.
 */
int trace_sampling_parse(
                const char *name, const char *argument, struct trace_sampling *ret_sampling);
/** @parent: NULL: there is none. The ratio's choice is the same for all spans of a trace. */
bool trace_sampling_choose(const struct trace_sampling *sampling,
                const struct trace_context *parent, const uint8_t trace_id[static TRACE_ID_BYTES]);
