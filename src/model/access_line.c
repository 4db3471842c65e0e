/* The few members that are wanted are noted on the way through the validation; what they mean is
 * decided when the line has turned out to be JSON. Numbers are read as decimals, not as floating
 * point: a time with microseconds needs more digits than a double has to spare. */

#include "model/access_line.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#define STATUS_MIN   100
#define STATUS_MAX   599
#define SIZE_MAX_    (UINT64_C(1) << 50) /* bytes; a petabyte in one answer is a wrong number */
#define TIME_MAX     64                  /* bytes of a time that is a text */
#define EXPONENT_MAX 64

struct reader {
        struct json_piece time, logger, status, size, duration, host;
        bool in_request, has_request;
};

static bool is_name(const struct json_piece *piece, const char *name, size_t size) {
        return piece->name_size == size && piece->name && memcmp(piece->name, name, size) == 0;
}

static void on_piece(const struct json_piece *piece, void *userdata) {
/* clang-format off */
#define WANTED(name, field) { name, sizeof(name) - 1, offsetof(struct reader, field) }
        /* clang-format on */
        static const struct {
                const char *name;
                size_t size, offset;
        } wanted[] = {
                WANTED("ts", time),
                WANTED("time", time),
                WANTED("timestamp", time),
                WANTED("logger", logger),
                WANTED("status", status),
                WANTED("size", size),
                WANTED("duration", duration),
        };
        struct reader *reader = userdata;

        if (piece->depth > 2)
                return;
        if (piece->depth == 2) {
                if (reader->in_request && is_name(piece, "host", strlen("host")))
                        reader->host = *piece;
                return;
        }
        reader->in_request =
                        piece->kind == JSON_OBJECT && is_name(piece, "request", strlen("request"));
        reader->has_request = reader->has_request || reader->in_request;
        for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
                if (is_name(piece, wanted[i].name, wanted[i].size))
                        *(struct json_piece *) (void *) ((char *) reader + wanted[i].offset) =
                                        *piece;
        }
}

/* ---- numbers ---- */

static int scale_by(uint64_t value, int power, uint64_t *ret_value) {
        for (; power > 0 && value > 0; power--)
                if (__builtin_mul_overflow(value, UINT64_C(10), &value))
                        return -ERANGE;
        for (; power < 0; power++)
                value /= 10;
        *ret_value = value;
        return 0;
}

/* The exponent of a JSON number at @at, 0 if there is none. */
static int exponent(const char *at, const char *end) {
        bool negative = false;
        int value = 0;

        if (at == end || (*at != 'e' && *at != 'E'))
                return 0;
        at++;
        if (at < end && (*at == '+' || *at == '-'))
                negative = *at++ == '-';
        for (; at < end && isdigit((unsigned char) *at); at++)
                if (value < EXPONENT_MAX)
                        value = value * 10 + (*at - '0');
        return negative ? -value : value;
}

/* A JSON number times ten to the @power, cut to an integer. Return: 0; -ERANGE, also below 0. */
static int read_decimal(const char *text, size_t size, int power, uint64_t *ret_value) {
        const char *at = text, *end = text + size;
        uint64_t value = 0;

        if (at < end && *at == '-')
                return -ERANGE;
        for (; at < end && isdigit((unsigned char) *at); at++) {
                if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
                                __builtin_add_overflow(value, (uint64_t) (*at - '0'), &value))
                        return -ERANGE;
        }
        if (at < end && *at == '.') {
                for (at++; at < end && isdigit((unsigned char) *at); at++) {
                        if (value > UINT64_MAX / 100)
                                continue; /* more digits than can matter */
                        value = value * 10 + (uint64_t) (*at - '0');
                        power--;
                }
        }
        return scale_by(value, power + exponent(at, end), ret_value);
}

static bool is_integer(const struct json_piece *piece) {
        for (size_t i = 0; i < piece->size; i++)
                if (!isdigit((unsigned char) piece->text[i]))
                        return false;
        return piece->kind == JSON_NUMBER;
}

static int read_integer(const struct json_piece *piece, uint64_t *ret_value) {
        return is_integer(piece) ? read_decimal(piece->text, piece->size, 0, ret_value) : -EINVAL;
}

/* ---- times ---- */

/* Seconds, milliseconds, microseconds or nanoseconds since 1970: which, the size tells, for none of
 * them meets another's between the years 1973 and 5138. */
static int read_unix_time(const struct json_piece *piece, uint64_t *ret_us) {
        static const struct {
                uint64_t below;
                int power;
        } units[] = { { UINT64_C(100000000000), 6 }, { UINT64_C(100000000000000), 3 },
                { UINT64_C(100000000000000000), 0 }, { UINT64_MAX, -3 } };
        uint64_t whole;
        int r;

        r = read_decimal(piece->text, piece->size, 0, &whole);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(units); i++)
                if (whole < units[i].below)
                        return read_decimal(piece->text, piece->size, units[i].power, ret_us);
        return -ERANGE;
}

/* "02/Jan/2006:15:04:05 -0700" as "2006-01-02T15:04:05-0700". */
static bool turn_common_log(char *text, size_t size) {
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        char turned[TIME_MAX];

        if (size != strlen("02/Jan/2006:15:04:05 -0700") || text[2] != '/' || text[6] != '/' ||
                        text[11] != ':' || text[20] != ' ')
                return false;
        for (unsigned int month = 0; month < 12; month++) {
                if (strncmp(text + 3, months + (size_t) month * 3, 3) != 0)
                        continue;
                (void) snprintf(turned, sizeof(turned), "%.4s-%02u-%.2sT%.8s%.5s", text + 7,
                                month + 1, text, text + 12, text + 21);
                memcpy(text, turned, strlen(turned) + 1);
                return true;
        }
        return false;
}

/* What Caddy's time_format can be, made RFC 3339: iso8601 has no colon in its offset, wall and its
 * kin no offset at all (Caddy writes them in UTC). */
static int read_text_time(const struct json_piece *piece, uint64_t *ret_us) {
        char text[TIME_MAX + 2];
        size_t n = piece->size;

        if (n < 19 || n >= TIME_MAX - 2 || piece->escaped || memchr(piece->text, '\0', n))
                return -EINVAL;
        memcpy(text, piece->text, n);
        text[n] = '\0';
        if (turn_common_log(text, n)) {
                n = strlen(text);
        } else if (text[4] == '/' && text[7] == '/' && text[10] == ' ') {
                text[4] = text[7] = '-';
                text[10] = 'T';
                memcpy(text + n, "Z", 2);
                n++;
        }
        if ((text[n - 5] == '+' || text[n - 5] == '-') && !strchr(text + n - 5, ':')) {
                memmove(text + n - 1, text + n - 2, 3);
                text[n - 2] = ':';
        }
        return clock_parse_rfc3339(text, ret_us);
}

static enum access_verdict read_time(const struct json_piece *piece,
                const struct access_rules *rules, struct access_line *line) {
        int r = -EINVAL;

        if (piece->kind == JSON_NUMBER)
                r = read_unix_time(piece, &line->time_us);
        else if (piece->kind == JSON_STRING)
                r = read_text_time(piece, &line->time_us);
        if (r < 0)
                return ACCESS_BAD_TIME;
        if (line->time_us > rules->now_us && line->time_us - rules->now_us > ACCESS_FUTURE_US)
                return ACCESS_FUTURE;
        return line->time_us < rules->oldest_us ? ACCESS_EXPIRED : ACCESS_OK;
}

/* ---- durations ---- */

/* Go's: "1h2m3.5s", "223.784µs", "0s". */
static int read_text_duration(const char *text, size_t size, uint64_t *ret_ns) {
        static const struct {
                const char *suffix;
                int power;
                uint64_t factor;
        } units[] = { { "ns", 0, 1 }, { "us", 3, 1 }, { "\xc2\xb5s", 3, 1 }, { "\xce\xbcs", 3, 1 },
                { "ms", 6, 1 }, { "s", 9, 1 }, { "m", 9, 60 }, { "h", 9, 3600 } };
        const char *end = text + size, *number, *unit;
        uint64_t sum = 0, part;
        size_t i, n;

        if (size == 0)
                return -EINVAL;
        while (text < end) {
                for (number = text; text < end && (isdigit((unsigned char) *text) || *text == '.');)
                        text++;
                for (unit = text; text < end && !isdigit((unsigned char) *text) && *text != '.';)
                        text++;
                n = (size_t) (text - unit);
                for (i = 0; i < ARRAY_SIZE(units); i++)
                        if (strlen(units[i].suffix) == n && memcmp(unit, units[i].suffix, n) == 0)
                                break;
                if (number == unit || !isdigit((unsigned char) *number) || i == ARRAY_SIZE(units))
                        return -EINVAL;
                if (read_decimal(number, (size_t) (unit - number), units[i].power, &part) < 0 ||
                                __builtin_mul_overflow(part, units[i].factor, &part) ||
                                __builtin_add_overflow(sum, part, &sum))
                        return -ERANGE;
        }
        *ret_ns = sum;
        return 0;
}

static int read_duration(const struct json_piece *piece, enum access_duration unit,
                struct access_line *line) {
        static const int powers[] = { [ACCESS_DURATION_AUTO] = 9,
                [ACCESS_DURATION_SECONDS] = 9,
                [ACCESS_DURATION_MS] = 6,
                [ACCESS_DURATION_NS] = 0 };
        int r;

        line->has_duration = true;
        if (piece->kind == JSON_STRING)
                return read_text_duration(piece->text, piece->size, &line->duration_ns);
        if (piece->kind != JSON_NUMBER)
                return -EINVAL;
        r = read_decimal(piece->text, piece->size, powers[unit], &line->duration_ns);
        if (r >= 0 && unit == ACCESS_DURATION_AUTO && is_integer(piece) && line->duration_ns > 0)
                line->has_duration = false;
        return r;
}

/* ---- the host ---- */

static bool is_host(const char *host, size_t size, bool address) {
        for (size_t i = 0; i < size; i++) {
                if (!isalnum((unsigned char) host[i]) && host[i] != '.' &&
                                (address ? host[i] != ':' : host[i] != '-' && host[i] != '_'))
                        return false;
        }
        return size > 0 && size <= ACCESS_HOST_MAX;
}

static bool is_port(const char *text, size_t size) {
        if (size == 0)
                return true;
        for (size_t i = 1; i < size; i++)
                if (!isdigit((unsigned char) text[i]))
                        return false;
        return *text == ':' && size <= strlen(":65535");
}

/* Anybody can ask for any host: what could be none becomes "". */
void access_host(const char *text, size_t size, char host[static ACCESS_HOST_MAX + 1]) {
        bool address = size > 0 && *text == '[';
        const char *end;
        size_t n;

        host[0] = '\0';
        if (address) {
                text++;
                size--;
        }
        end = memchr(text, address ? ']' : ':', size);
        if (address && !end)
                return;
        n = end ? (size_t) (end - text) : size;
        if (!is_port(text + n + address, size - n - address))
                return;
        if (!address && n > 0 && text[n - 1] == '.')
                n--;
        if (is_host(text, n, address))
                text_lower(text, n, host);
}

static int read_host(const struct json_piece *piece, struct access_line *line) {
        _cleanup_(buf_done) struct buf decoded = BUF_INIT(ACCESS_LINE_MAX);
        int r;

        if (piece->kind != JSON_STRING)
                return -EINVAL;
        if (!piece->escaped) {
                access_host(piece->text, piece->size, line->host);
                return 0;
        }
        r = json_decode(piece->text, piece->size, &decoded);
        if (r < 0)
                return r;
        access_host(decoded.data, decoded.size, line->host);
        return 0;
}

/* ---- the line ---- */

/* Errors are told twice by Caddy: once in the access log, once in http.log.error, which has a
 * request and a status too. */
static bool is_access_log(const struct reader *reader) {
        static const char prefix[] = "http.log.access";

        if (!reader->logger.name)
                return reader->has_request && reader->status.name;
        return reader->logger.kind == JSON_STRING && reader->logger.size >= strlen(prefix) &&
                        memcmp(reader->logger.text, prefix, strlen(prefix)) == 0;
}

enum access_verdict access_line_parse(const char *text, size_t size,
                const struct access_rules *rules, struct access_line *ret_line) {
        struct reader reader = {};
        struct access_line line;
        enum access_verdict verdict;
        uint64_t status = 0;

        if (json_visit(text, size, JSON_DEPTH_MAX, on_piece, &reader, NULL) < 0)
                return ACCESS_NOT_JSON;
        if (!is_access_log(&reader))
                return ACCESS_OTHER_LOG;
        verdict = read_time(&reader.time, rules, &line);
        if (verdict != ACCESS_OK)
                return verdict;
        if (read_integer(&reader.status, &status) < 0 || status > STATUS_MAX ||
                        (status > 0 && status < STATUS_MIN))
                return ACCESS_BAD_STATUS;
        if (read_integer(&reader.size, &line.bytes_out) < 0 || line.bytes_out > SIZE_MAX_)
                return ACCESS_BAD_SIZE;
        if (read_duration(&reader.duration, rules->duration, &line) < 0)
                return ACCESS_BAD_DURATION;
        if (read_host(&reader.host, &line) < 0)
                return ACCESS_BAD_HOST;
        line.status = (unsigned int) status;
        *ret_line = line;
        return ACCESS_OK;
}

const char *access_verdict_to_string(enum access_verdict verdict) {
        static const char *const words[ACCESS_VERDICT_MAX_] = {
                [ACCESS_OK] = "ok",
                [ACCESS_OTHER_LOG] = "other_log",
                [ACCESS_NOT_JSON] = "not_json",
                [ACCESS_BAD_TIME] = "time",
                [ACCESS_BAD_STATUS] = "status",
                [ACCESS_BAD_SIZE] = "size",
                [ACCESS_BAD_DURATION] = "duration",
                [ACCESS_BAD_HOST] = "host",
                [ACCESS_FUTURE] = "future",
                [ACCESS_EXPIRED] = "expired",
                [ACCESS_TOO_LONG] = "too_long",
        };

        return words[verdict];
}
