/* One line to the journal, or as text or JSON to stderr. Hostile text stays on its line. */

#define SD_JOURNAL_SUPPRESS_LOCATION

#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

/* What one line may hold; what is longer is cut, at a character. */
#define MESSAGE_MAX_BYTES 4096
#define VALUE_MAX_BYTES   2048

static atomic_int log_level = LOG_LEVEL_INFO;
static atomic_int log_target = LOG_TARGET_AUTO;

static const char *const levels[] = { "error", "warn", "info", "debug", "trace" };
static const char *const targets[] = { "text", "json", "journal", "auto" };

void log_set_level(enum log_level level) {
        atomic_store_explicit(&log_level, (int) level, memory_order_relaxed);
}

enum log_level log_get_level(void) {
        return (enum log_level) atomic_load_explicit(&log_level, memory_order_relaxed);
}

/* JOURNAL_STREAM holds device and inode of the stream that systemd made for us (systemd.exec(5)).
 */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        char own[64];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        (void) snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
        return strcmp(own, stream) == 0;
}

void log_set_target(enum log_target target) {
        if (target == LOG_TARGET_AUTO)
                target = stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_TEXT;
        atomic_store_explicit(&log_target, (int) target, memory_order_relaxed);
}

enum log_target log_get_target(void) {
        return (enum log_target) atomic_load_explicit(&log_target, memory_order_relaxed);
}

const char *log_level_to_string(enum log_level level) {
        return levels[level];
}

const char *log_target_to_string(enum log_target target) {
        return targets[target];
}

int log_level_from_string(const char *text) {
        return text_find(levels, ARRAY_SIZE(levels), text);
}

int log_target_from_string(const char *text) {
        return text_find(targets, ARRAY_SIZE(targets), text);
}

static void write_line(struct buf *line) {
        if (buf_append_str(line, "\n") >= 0 && write(STDERR_FILENO, line->data, line->size) < 0)
                return; /* nowhere left to say it */
}

static char *shown(const char *text) {
        _cleanup_(freep) char *cut = strndup(text, VALUE_MAX_BYTES);

        return cut ? text_escape_terminal(cut) : NULL;
}

/* "VIRTWATCH_SOURCE" is printed as "source". */
static void short_name(const char *name, char text[static 64]) {
        size_t n = 0;

        name += *name == '#';
        if (text_starts_with(name, "VIRTWATCH_"))
                name += strlen("VIRTWATCH_");
        for (; name[n] && n < 63; n++)
                text[n] = (char) (name[n] >= 'A' && name[n] <= 'Z' ? name[n] - 'A' + 'a' : name[n]);
        text[n] = '\0';
}

static const char *target_of(const struct log_field *fields, size_t n_fields) {
        for (size_t i = 0; i < n_fields; i++)
                if (strcmp(fields[i].name, LOG_TARGET_FIELD) == 0)
                        return fields[i].value;
        return program_invocation_short_name;
}

static void write_text(enum log_level level, const struct log_field *fields, size_t n_fields,
                const char *message) {
        static const char *const padded[] = { "ERROR", " WARN", " INFO", "DEBUG", "TRACE" };
        _cleanup_(buf_done) struct buf line = BUF_INIT(SIZE_MAX / 2);
        _cleanup_(freep) char *clean = text_escape_terminal(message);
        char time[CLOCK_RFC3339_MAX], name[64];

        (void) buf_printf(&line, "%s %s %s: %s", clock_format_rfc3339(clock_realtime_us(), time),
                        padded[level], target_of(fields, n_fields), clean ? clean : "");
        for (size_t i = 0; i < n_fields && i < LOG_FIELDS_MAX; i++) {
                _cleanup_(freep) char *value = NULL;

                if (strcmp(fields[i].name, LOG_TARGET_FIELD) == 0)
                        continue;
                value = shown(fields[i].value);
                short_name(fields[i].name, name);
                (void) buf_printf(&line, " %s=%s", name, value ? value : "");
        }
        write_line(&line);
}

static void add_clean(struct json_object *object, const char *name, const char *text, size_t max) {
        _cleanup_(freep) char *clean = NULL;

        if (text_sanitize(text, strlen(text), max, &clean) >= 0)
                (void) json_add_string(object, name, clean);
}

static void add_json_field(struct json_object *object, const struct log_field *field) {
        char name[64];

        short_name(field->name, name);
        if (field->name[0] == '#')
                (void) json_add(object, name, json_object_new_double_s(0, field->value));
        else
                add_clean(object, name, field->value, VALUE_MAX_BYTES);
}

static void write_json(enum log_level level, const struct log_field *fields, size_t n_fields,
                const char *message) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        _cleanup_(buf_done) struct buf line = BUF_INIT(SIZE_MAX / 2);
        static const char *const names[] = { "ERROR", "WARN", "INFO", "DEBUG", "TRACE" };
        char time[CLOCK_RFC3339_MAX];

        (void) json_add_string(
                        object, "timestamp", clock_format_rfc3339(clock_realtime_us(), time));
        (void) json_add_string(object, "level", names[level]);
        (void) json_add_string(object, "target", target_of(fields, n_fields));
        add_clean(object, "message", message, MESSAGE_MAX_BYTES);
        for (size_t i = 0; i < n_fields && i < LOG_FIELDS_MAX; i++)
                if (strcmp(fields[i].name, LOG_TARGET_FIELD) != 0)
                        add_json_field(object, &fields[i]);
        if (buf_append_str(&line, json_text(object)) >= 0)
                write_line(&line);
}

struct journal_entry {
        struct iovec fields[LOG_FIELDS_MAX + 6];
        int n;
};

PRINTF_LIKE(2, 3)
static void add_field(struct journal_entry *entry, const char *format, ...) {
        char *text = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        if (n >= 0)
                entry->fields[entry->n++] =
                                (struct iovec){ .iov_base = text, .iov_len = (size_t) n };
}

static void write_journal(enum log_level level, int error, const char *file, int code_line,
                const struct log_field *fields, size_t n_fields, const char *message) {
        static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG };
        struct journal_entry entry = {};

        add_field(&entry, "MESSAGE=%s", message);
        add_field(&entry, "PRIORITY=%i", priorities[level]);
        add_field(&entry, "CODE_FILE=%s", file);
        add_field(&entry, "CODE_LINE=%i", code_line);
        add_field(&entry, "SYSLOG_IDENTIFIER=%s", program_invocation_short_name);
        if (error < 0)
                add_field(&entry, "ERRNO=%i", -error);
        for (size_t i = 0; i < n_fields && i < LOG_FIELDS_MAX; i++)
                add_field(&entry, "%s=%s", fields[i].name + (fields[i].name[0] == '#'),
                                fields[i].value);
        (void) sd_journal_sendv(entry.fields, entry.n);
        for (int i = 0; i < entry.n; i++)
                free(entry.fields[i].iov_base);
}

int log_write(enum log_level level, int error, const char *file, int line,
                const struct log_field *fields, size_t n_fields, const char *format, ...) {
        enum log_target target = log_get_target();
        char message[MESSAGE_MAX_BYTES];
        int saved_errno = errno;
        va_list args;

        errno = error < 0 ? -error : saved_errno;
        va_start(args, format);
        (void) vsnprintf(message, sizeof(message), format, args);
        va_end(args);

        if (target == LOG_TARGET_JOURNAL)
                write_journal(level, error, file, line, fields, n_fields, message);
        else if (target == LOG_TARGET_JSON)
                write_json(level, fields, n_fields, message);
        else
                write_text(level, fields, n_fields, message);
        errno = saved_errno;
        return error;
}

bool log_ratelimit_pass(struct log_ratelimit *limit, uint64_t now_us, unsigned int *ret_held) {
        if (limit->begin_us == 0 || now_us - limit->begin_us >= limit->interval_us) {
                limit->begin_us = now_us;
                limit->used = 0;
        }
        if (limit->used >= limit->burst) {
                limit->held++;
                return false;
        }
        limit->used++;
        *ret_held = limit->held;
        limit->held = 0;
        return true;
}
