#pragma once
/* Reading clocks and writing times. Only the edges read a clock; model code takes the time as an
 * argument. */

#include "base/macro.h"

/** CLOCK_REALTIME, microseconds since 1970. */
uint64_t clock_realtime_us(void);
/** CLOCK_MONOTONIC, microseconds. */
uint64_t clock_monotonic_us(void);
/** CLOCK_BOOTTIME-free conversion: the realtime of a CLOCK_MONOTONIC instant, by the clocks'
 * present offset. */
uint64_t clock_realtime_of_monotonic_us(uint64_t monotonic_us);

#define CLOCK_RFC3339_MAX 32 /* bytes, with NUL: 2026-06-07T12:00:01.123456Z */

/** Write UTC with microseconds ("…:01.123456Z"), or without when @time_us is a whole second.
 * Return: @text. */
const char *clock_format_rfc3339(uint64_t time_us, char text[static CLOCK_RFC3339_MAX]);

/** Read RFC 3339 (any offset, up to nanoseconds, cut to µs). Return: 0; -EINVAL; -ERANGE before
 * 1970. */
int clock_parse_rfc3339(const char *text, uint64_t *ret_time_us);

#define CLOCK_SPAN_MAX 32
/** "250ms", "30d": in the largest unit that says it whole. Return: @text. */
const char *clock_format_span(uint64_t span_us, char text[static CLOCK_SPAN_MAX]);
/** Read a span: "250ms", "1s", "5m", "2h", "7d", or a bare number of seconds. Return: 0; -EINVAL;
 * -ERANGE. */
int clock_parse_span(const char *text, uint64_t *ret_span_us);
