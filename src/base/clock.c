/* Clocks, and times as text (RFC 3339). */

#include "base/clock.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

static uint64_t clock_us(clockid_t clock) {
        struct timespec now;

        (void) clock_gettime(clock, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / NSEC_PER_USEC;
}

uint64_t clock_realtime_us(void) {
        return clock_us(CLOCK_REALTIME);
}

uint64_t clock_monotonic_us(void) {
        return clock_us(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_of_monotonic_us(uint64_t monotonic_us) {
        uint64_t offset_us = clock_realtime_us() - clock_monotonic_us();

        return monotonic_us + offset_us;
}

const char *clock_format_rfc3339(uint64_t time_us, char text[static CLOCK_RFC3339_MAX]) {
        time_t seconds = (time_t) (time_us / USEC_PER_SEC);
        unsigned int us = (unsigned int) (time_us % USEC_PER_SEC);
        struct tm tm = {};
        size_t n;

        (void) gmtime_r(&seconds, &tm);
        n = strftime(text, CLOCK_RFC3339_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
        if (us)
                (void) snprintf(text + n, CLOCK_RFC3339_MAX - n, ".%06uZ", us);
        else
                (void) snprintf(text + n, CLOCK_RFC3339_MAX - n, "Z");
        return text;
}

/* ".123456789": as microseconds; nothing there is 0. */
static int parse_fraction(const char **text, uint64_t *ret_us) {
        uint64_t us = 0, unit = USEC_PER_SEC / 10;

        if (**text == '.') {
                (*text)++;
                if (!isdigit((unsigned char) **text))
                        return -EINVAL;
                for (; isdigit((unsigned char) **text); (*text)++) {
                        us += unit * (uint64_t) (**text - '0');
                        unit /= 10;
                }
        }
        *ret_us = us;
        return 0;
}

static int parse_offset(const char *text, int *ret_seconds) {
        int sign, h1, h2, m1, m2;

        if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0) {
                *ret_seconds = 0;
                return 0;
        }
        if ((text[0] != '+' && text[0] != '-') || strlen(text) != 6 || text[3] != ':')
                return -EINVAL;
        sign = text[0] == '-' ? -1 : 1;
        h1 = text[1] - '0';
        h2 = text[2] - '0';
        m1 = text[4] - '0';
        m2 = text[5] - '0';
        if (h1 < 0 || h1 > 2 || h2 < 0 || h2 > 9 || m1 < 0 || m1 > 5 || m2 < 0 || m2 > 9 ||
                        h1 * 10 + h2 > 23)
                return -EINVAL;
        *ret_seconds = sign * ((h1 * 10 + h2) * 3600 + (m1 * 10 + m2) * 60);
        return 0;
}

/* strptime() takes "2026-6- 7T1:2:3" as well: each digit has to be one. */
static bool looks_like_time(const char *text) {
        static const char shape[] = "dddd-dd-ddTdd:dd:dd";

        for (size_t i = 0; shape[i]; i++)
                if (shape[i] == 'd' ? !isdigit((unsigned char) text[i]) : text[i] != shape[i])
                        return false;
        return true;
}

int clock_parse_rfc3339(const char *text, uint64_t *ret_time_us) {
        struct tm tm = {}, day;
        const char *rest;
        int offset = 0, r;
        uint64_t us;
        time_t time;

        if (!looks_like_time(text))
                return -EINVAL;
        rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
        if (!rest)
                return -EINVAL;
        r = parse_fraction(&rest, &us);
        if (r >= 0)
                r = parse_offset(rest, &offset);
        if (r < 0)
                return r;

        day = (struct tm){ .tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday };
        (void) timegm(&day);
        if (day.tm_mday != tm.tm_mday)
                return -EINVAL; /* February 30 */
        time = timegm(&tm) - offset;
        if (time < 0)
                return -ERANGE;
        *ret_time_us = (uint64_t) time * USEC_PER_SEC + us;
        return 0;
}

const char *clock_format_span(uint64_t span_us, char text[static CLOCK_SPAN_MAX]) {
        static const struct {
                const char *suffix;
                uint64_t us;
        } units[] = { { "d", 86400 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC },
                { "m", 60 * USEC_PER_SEC }, { "s", USEC_PER_SEC }, { "ms", USEC_PER_MSEC },
                { "us", 1 } };
        size_t i = 0;

        while (i + 1 < ARRAY_SIZE(units) && span_us % units[i].us != 0)
                i++;
        (void) snprintf(text, CLOCK_SPAN_MAX, "%ju%s", (uintmax_t) (span_us / units[i].us),
                        span_us ? units[i].suffix : "");
        return text;
}

int clock_parse_span(const char *text, uint64_t *ret_span_us) {
        static const struct {
                const char *suffix;
                uint64_t us;
        } units[] = { { "us", 1 }, { "ms", USEC_PER_MSEC }, { "s", USEC_PER_SEC },
                { "m", 60 * USEC_PER_SEC }, { "h", 3600 * USEC_PER_SEC },
                { "d", 86400 * USEC_PER_SEC }, { "", USEC_PER_SEC } };
        uint64_t value = 0;
        const char *c;

        if (!isdigit((unsigned char) text[0]))
                return -EINVAL;
        for (c = text; isdigit((unsigned char) *c); c++) {
                if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
                                __builtin_add_overflow(value, (uint64_t) (*c - '0'), &value))
                        return -ERANGE;
        }

        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
                if (strcmp(c, units[i].suffix) != 0)
                        continue;
                if (__builtin_mul_overflow(value, units[i].us, &value))
                        return -ERANGE;
                *ret_span_us = value;
                return 0;
        }
        return -EINVAL;
}
