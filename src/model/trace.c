/* W3C Trace Context, strict in what it takes: what comes is in every span that follows, and goes on
 * to a collector that others share. */

#include "model/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define PARENT_BYTES 55 /* of version 00 */

static bool is_zero(const uint8_t *id, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (id[i])
                        return false;
        return true;
}

int trace_parent_parse(const char *text, struct trace_context *ret_context) {
        struct trace_context context = {};
        size_t size = strnlen(text, PARENT_BYTES + 1);
        uint8_t version, flags;

        if (size < PARENT_BYTES || text[2] != '-' || text[35] != '-' || text[52] != '-')
                return -EINVAL;
        if (text_unhex(text, 1, &version) < 0 || version == 0xff ||
                        text_unhex(text + 3, TRACE_ID_BYTES, context.trace_id) < 0 ||
                        text_unhex(text + 36, SPAN_ID_BYTES, context.span_id) < 0 ||
                        text_unhex(text + 53, 1, &flags) < 0)
                return -EINVAL;
        if (size > PARENT_BYTES && (version == 0 || text[PARENT_BYTES] != '-'))
                return -EINVAL;
        if (is_zero(context.trace_id, TRACE_ID_BYTES) || is_zero(context.span_id, SPAN_ID_BYTES))
                return -EINVAL;
        context.sampled = flags & 1;
        *ret_context = context;
        return 0;
}

char *trace_hex(const uint8_t *id, size_t n, char text[static TRACE_HEX_MAX]) {
        return text_hex(id, n, text);
}

char *trace_parent_format(const struct trace_context *context, char text[static TRACE_PARENT_MAX]) {
        char trace_id[TRACE_HEX_MAX], span_id[TRACE_HEX_MAX];

        (void) snprintf(text, TRACE_PARENT_MAX, "00-%.32s-%.16s-%s",
                        trace_hex(context->trace_id, TRACE_ID_BYTES, trace_id),
                        trace_hex(context->span_id, SPAN_ID_BYTES, span_id),
                        context->sampled ? "01" : "00");
        return text;
}

/* "key=value" or "tenant@system=value", by the grammar of section 3.3.1.3. */
static bool member_is_good(const char *text, size_t size) {
        static const char key_bytes[] = "abcdefghijklmnopqrstuvwxyz0123456789_-*/@";
        const char *equals = memchr(text, '=', size);
        size_t key = equals ? (size_t) (equals - text) : 0, value = size - key - 1;

        if (key < 1 || key > 256 || value < 1 || value > 256 || strchr("_-*/@", text[0]))
                return false;
        for (size_t i = 0; i < key; i++)
                if (!strchr(key_bytes, text[i]))
                        return false;
        for (size_t i = key + 1; i < size; i++)
                if (text[i] < ' ' || text[i] > '~' || text[i] == '=')
                        return false;
        return true;
}

int trace_state_take(struct trace_context *context, const char *text) {
        size_t size = strnlen(text, TRACE_STATE_MAX + 1), n = 0, members = 0;
        const char *at = text;

        context->state[0] = '\0';
        if (size > TRACE_STATE_MAX)
                return -E2BIG;
        while (*at) {
                at += strspn(at, " \t,");
                n = strcspn(at, ",");
                while (n > 0 && (at[n - 1] == ' ' || at[n - 1] == '\t'))
                        n--;
                if (n == 0)
                        break;
                if (!member_is_good(at, n))
                        return -EINVAL;
                if (++members > TRACE_STATES_MAX)
                        return -E2BIG;
                at += strcspn(at, ",");
        }
        if (members > 0)
                memcpy(context->state, text, size + 1);
        return 0;
}

void trace_id_make(uint8_t id[static TRACE_ID_BYTES]) {
        do
                arc4random_buf(id, TRACE_ID_BYTES);
        while (is_zero(id, TRACE_ID_BYTES));
}

void span_id_make(uint8_t id[static SPAN_ID_BYTES]) {
        do
                arc4random_buf(id, SPAN_ID_BYTES);
        while (is_zero(id, SPAN_ID_BYTES));
}

/* ---- sampling ---- */

/* "0.25": digits with a point at most. Not strtod(), which reads by locale, and hex, and "nan". */
static int ratio_parse(const char *text, double *ret_ratio) {
        double value = 0, unit = 1;
        bool point = false;

        if (!text[0] || strlen(text) > 32 || strcmp(text, ".") == 0)
                return -EINVAL;
        for (const char *c = text; *c; c++) {
                if (*c == '.' && !point) {
                        point = true;
                } else if (*c < '0' || *c > '9') {
                        return -EINVAL;
                } else {
                        unit = point ? unit / 10 : unit;
                        value = point ? value + unit * (*c - '0') : value * 10 + (*c - '0');
                }
        }
        if (value > 1)
                return -EINVAL;
        *ret_ratio = value;
        return 0;
}

int trace_sampling_parse(
                const char *name, const char *argument, struct trace_sampling *ret_sampling) {
        static const struct {
                const char *name;
                struct trace_sampling sampling;
        } all[] = {
                { "always_on", { TRACE_SAMPLER_ALWAYS_ON, 1, false } },
                { "always_off", { TRACE_SAMPLER_ALWAYS_OFF, 1, false } },
                { "traceidratio", { TRACE_SAMPLER_RATIO, 1, false } },
                { "parentbased_always_on", { TRACE_SAMPLER_ALWAYS_ON, 1, true } },
                { "parentbased_always_off", { TRACE_SAMPLER_ALWAYS_OFF, 1, true } },
                { "parentbased_traceidratio", { TRACE_SAMPLER_RATIO, 1, true } },
        };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                struct trace_sampling sampling = all[i].sampling;

                if (strcmp(all[i].name, name) != 0)
                        continue;
                if (sampling.sampler == TRACE_SAMPLER_RATIO && argument && argument[0] &&
                                ratio_parse(argument, &sampling.ratio) < 0)
                        return -EINVAL;
                *ret_sampling = sampling;
                return 0;
        }
        return -EINVAL;
}

bool trace_sampling_choose(const struct trace_sampling *sampling,
                const struct trace_context *parent, const uint8_t trace_id[static TRACE_ID_BYTES]) {
        uint64_t low = 0;

        if (parent && sampling->parent_based)
                return parent->sampled;
        if (sampling->sampler != TRACE_SAMPLER_RATIO)
                return sampling->sampler == TRACE_SAMPLER_ALWAYS_ON;
        /* The random half of the id, 56 bits of it: the same choice by everyone who sees it. */
        for (size_t i = TRACE_ID_BYTES - 7; i < TRACE_ID_BYTES; i++)
                low = low << 8 | trace_id[i];
        return (double) low < sampling->ratio * (double) (UINT64_C(1) << 56);
}
