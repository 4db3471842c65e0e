#pragma once
/* The log: one sentence for people, fields for machines, written once at the edge (STYLE 12).
 * Level and target are the only mutable globals of the tree. Safe from any thread. */

#include "base/macro.h"

enum log_level {
        LOG_LEVEL_ERROR,
        LOG_LEVEL_WARN,
        LOG_LEVEL_INFO,
        LOG_LEVEL_DEBUG,
        LOG_LEVEL_TRACE,
};

enum log_target {
        LOG_TARGET_TEXT, /* 2026-03-07T10:30:00.000Z  INFO virtwatchd: sentence key=value, to stderr
                          */
        LOG_TARGET_JSON, /* {"timestamp","level","target","message",...}, a line each, to stderr */
        LOG_TARGET_JOURNAL, /* sd_journal_sendv() with native fields */
        LOG_TARGET_AUTO,    /* journal if stderr is connected to it (JOURNAL_STREAM), else text */
};

/* A field; the name is upper case, as the journal wants it ("VIRTWATCH_WORKLOAD"). */
struct log_field {
        const char *name;  /* LOG_NUMBER("NAME"): the value is a number, and is one in JSON too */
        const char *value; /* hostile text is fine: control characters are escaped on the way out,
                            * bytes that are no UTF-8 replaced, long text is cut */
};

#define LOG_NUMBER(name) "#" name
/* The field that stands in place of the program's name, as "virtwatchd::api". */
#define LOG_TARGET_FIELD "VIRTWATCH_TARGET"
#define LOG_FIELDS_MAX   16 /* further ones are left out */

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_target(enum log_target target);
enum log_target log_get_target(void);

/** Words for levels and targets ("error", "journal"); from_string gives -EINVAL for others. */
const char *log_level_to_string(enum log_level level);
int log_level_from_string(const char *text);
const char *log_target_to_string(enum log_target target);
int log_target_from_string(const char *text);

/**
 * Write one line. Keeps errno as it was.
 *
 * @error:   0, or a negative errno: %m in @format means it, and ERRNO= is added
 * @fields:  borrowed, may be NULL when @n_fields is 0
 *
 * Return: @error, so that `return log_error_errno(r, ...)` works.
 */
int log_write(enum log_level level, int error, const char *file, int line,
                const struct log_field *fields, size_t n_fields, const char *format, ...)
                PRINTF_LIKE(7, 8);

#define log_at(level, error, ...)                                                                \
        ({                                                                                       \
                int _e = (error);                                                                \
                if ((level) <= log_get_level())                                                  \
                        (void) log_write((level), _e, __FILE__, __LINE__, NULL, 0, __VA_ARGS__); \
                _e;                                                                              \
        })
#define log_error(...)          ((void) log_at(LOG_LEVEL_ERROR, 0, __VA_ARGS__))
#define log_warn(...)           ((void) log_at(LOG_LEVEL_WARN, 0, __VA_ARGS__))
#define log_info(...)           ((void) log_at(LOG_LEVEL_INFO, 0, __VA_ARGS__))
#define log_debug(...)          ((void) log_at(LOG_LEVEL_DEBUG, 0, __VA_ARGS__))
#define log_trace(...)          ((void) log_at(LOG_LEVEL_TRACE, 0, __VA_ARGS__))
#define log_error_errno(r, ...) log_at(LOG_LEVEL_ERROR, r, __VA_ARGS__)
#define log_warn_errno(r, ...)  log_at(LOG_LEVEL_WARN, r, __VA_ARGS__)
#define log_debug_errno(r, ...) log_at(LOG_LEVEL_DEBUG, r, __VA_ARGS__)

/* The same with fields: log_with(LOG_LEVEL_INFO, FIELDS({"VIRTWATCH_WORKLOAD", id}), "VM %s died",
 * name); */
#define FIELDS(...)                                                          \
        ((const struct log_field[]){ __VA_ARGS__ }),                         \
                        (sizeof((const struct log_field[]){ __VA_ARGS__ }) / \
                                        sizeof(struct log_field))
#define log_with(level, ...) log_with_(level, __VA_ARGS__)
#define log_with_(level, fields, n, ...)                                                          \
        ((level) <= log_get_level() ? (void) log_write((level), 0, __FILE__, __LINE__, fields, n, \
                                                      __VA_ARGS__)                                \
                                    : (void) 0)

/* Folds repeats: at most @burst lines in @interval_us; says how many it held back with the next
 * one. */
struct log_ratelimit {
        uint64_t interval_us;
        unsigned int burst;
        uint64_t begin_us; /* private */
        unsigned int used; /* private */
        unsigned int held; /* private */
};

#define LOG_RATELIMIT_DEFAULT \
        { .interval_us = 5 * USEC_PER_SEC, .burst = 5 }

/**
 * May a line be written now?
 *
 * @ret_held: how many were held back since the last one that passed; valid when true is returned
 */
bool log_ratelimit_pass(struct log_ratelimit *limit, uint64_t now_us, unsigned int *ret_held);
