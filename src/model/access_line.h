#pragma once
/* One line of Caddy's JSON access log. Pure. Caddy lets people choose how times and durations are
 * written; times tell their format by themselves, durations do not always. */

#include "base/macro.h"

#define ACCESS_LINE_MAX  (1U << 20) /* bytes; what is longer cannot come from Caddy's defaults */
#define ACCESS_HOST_MAX  253        /* bytes of a host name (RFC 1035) */
#define ACCESS_FUTURE_US (5 * 60 * USEC_PER_SEC) /* clocks may differ by that much */

/* How a duration that is a number is meant; one that is a text ("1.5ms") says it. */
enum access_duration {
        /* Seconds where there is a decimal point or an exponent, as Caddy writes by default. An
         * integer other than 0 has some other unit that nothing tells: such a line counts, without
         * a duration. */
        ACCESS_DURATION_AUTO,
        ACCESS_DURATION_SECONDS,
        ACCESS_DURATION_MS,
        ACCESS_DURATION_NS, /* Caddy 2.6 writes these where told "ms", too */
};

struct access_rules {
        uint64_t now_us;    /* CLOCK_REALTIME */
        uint64_t oldest_us; /* lines from before are expired; 0: none are */
        enum access_duration duration;
};

/* Why a line is not one of ours. */
enum access_verdict {
        ACCESS_OK,
        ACCESS_OTHER_LOG, /* a line of Caddy's, but of another of its logs: no request handled */
        ACCESS_NOT_JSON,
        ACCESS_BAD_TIME, /* these: missing, of a wrong type, or out of range */
        ACCESS_BAD_STATUS,
        ACCESS_BAD_SIZE,
        ACCESS_BAD_DURATION,
        ACCESS_BAD_HOST,
        ACCESS_FUTURE,
        ACCESS_EXPIRED,
        ACCESS_TOO_LONG, /* never told by access_line_parse(): nobody keeps such a line to ask */
        ACCESS_VERDICT_MAX_,
};

struct access_line {
        uint64_t time_us;               /* CLOCK_REALTIME */
        char host[ACCESS_HOST_MAX + 1]; /* lower case, without port; "" where it is none that could
                                           be */
        unsigned int status;            /* 100..599; 0: nothing was written */
        uint64_t bytes_out;
        bool has_duration;
        uint64_t duration_ns;
};

/** The name in a Host header as rows have it: lower case, without port and brackets; "" where it is
 * none that could be. */
void access_host(const char *text, size_t size, char host[static ACCESS_HOST_MAX + 1]);

/** The word of a verdict: "ok" "other_log" "not_json" "time" "status" … */
const char *access_verdict_to_string(enum access_verdict verdict);

/**
 * Read one line, without its newline. It must be JSON by RFC 8259; members that are not wanted may
 * be anything (client_ip is missing before Caddy 2.7). Never allocates more than the validation
 * does. What is out of memory is ACCESS_NOT_JSON.
 *
 * Return: ACCESS_OK and the line, or why not.
 */
enum access_verdict access_line_parse(const char *text, size_t size,
                const struct access_rules *rules, struct access_line *ret_line);
