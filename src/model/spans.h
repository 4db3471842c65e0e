#pragma once
/* Spans: what was done, from when to when, for whom. A span is made where something begins and
 * ended where it ends; it is written as OTLP's JSON then, and waits in a bounded queue for whoever
 * sends it. Made and ended on any thread. Off, all of it is one branch.
 * Source of the field names: opentelemetry-proto, trace/v1/trace.proto, and OTLP's section "JSON
 * Protobuf Encoding": ids in hexadecimal, 64-bit numbers as text, enums as numbers. */

#include <stdatomic.h>

#include "model/trace.h"

struct buf;

/* As OTLP numbers them. */
enum span_kind {
        SPAN_INTERNAL = 1,
        SPAN_SERVER = 2,
        SPAN_CLIENT = 3,
};

#define SPAN_NAME_MAX   127  /* bytes, longer ones are cut; so are values */
#define SPAN_VALUE_MAX  256  /* bytes */
#define SPAN_TEXT_MAX   8192 /* of all attributes as JSON; what comes after is left out */
#define SPANS_MAX       4096 /* that wait */
#define SPANS_BYTES_MAX (4U << 20)

struct spans;
struct span;

struct spans_stats {
        uint64_t dropped; /* lost to the bound, or to want of memory */
        size_t waiting;
};

/* The head of the queue, so that asking whether it is on is one load. */
struct spans {
        atomic_bool on; /* private: spans_on() */
};

int spans_new(struct spans **ret_spans);
struct spans *spans_ref(struct spans *spans);
/** Takes NULL; returns NULL. The last one frees it. */
struct spans *spans_unref(struct spans *spans);
DEFINE_FREEP(struct spans, spans_unref);

/** NULL: off, and what waits is dropped, uncounted. Copied. */
void spans_configure(struct spans *spans, const struct trace_sampling *sampling);
static inline bool spans_on(const struct spans *spans) {
        return spans && atomic_load_explicit(&spans->on, memory_order_relaxed);
}

/** Up to @n_max of those that wait, oldest first, appended to @out with commas between. Return: how
 * many; 0 also where the first did not fit. */
size_t spans_take(struct spans *spans, size_t n_max, struct buf *out);
void spans_get_stats(struct spans *spans, struct spans_stats *ret_stats);

/* What the loop thread is at: spans begun meanwhile are its children. */
void spans_enter(struct spans *spans, const struct trace_context *context);
void spans_leave(struct spans *spans);
/** Loop thread only; NULL: nothing. Borrowed until spans_leave(). */
const struct trace_context *spans_current(const struct spans *spans);

/**
 * Begin one.
 *
 * @parent:  NULL: it begins a trace; copied
 * @time_us: CLOCK_REALTIME, microseconds
 * @mono_us: CLOCK_MONOTONIC, which its duration is taken from
 *
 * Return: NULL: off, or no memory. All functions below take NULL.
 */
struct span *span_begin(struct spans *spans, const struct trace_context *parent,
                enum span_kind kind, uint64_t time_us, uint64_t mono_us);
void span_name(struct span *span, const char *format, ...) PRINTF_LIKE(2, 3);
/** What every call by name has: rpc.system, rpc.service (NULL: none), rpc.method, and
 * "SERVICE/METHOD" as its name, "SYSTEM METHOD" without a service. All three are words of ours, or
 * of a protocol of bounded words: never what somebody made up. */
void span_call(struct span *span, const char *system, const char *service, const char *method);
/** Attributes, each name once; a NULL @value adds nothing. Any bytes may be in @value. */
void span_add(struct span *span, const char *name, const char *value);
void span_add_int(struct span *span, const char *name, int64_t value);
/** It failed; @type: the attribute error.type, NULL for none; @why: a few words, or NULL. */
void span_fail(struct span *span, const char *type, const char *why);
/** Where it stands; NULL of NULL. Also of one that is not sampled: its children are not either. */
const struct trace_context *span_context(const struct span *span);
/** Write it, unless its trace is not sampled, and free it. Return: NULL. */
struct span *span_end(struct span *span, uint64_t mono_us);

/** A string of JSON without its quotes: @text, made valid UTF-8, cut at @max bytes. Return: 0;
 * -ENOSPC; -ENOMEM. */
int span_text(struct buf *out, const char *text, size_t max);
