#pragma once
/* JSON in and out. In: a validating pass of our own (RFC 8259, because json-c takes a good part of
 * invalid JSON even in strict mode), then json-c. Out: json-c objects. All strings put in must be
 * valid UTF-8 (text_sanitize). */

#include <json-c/json.h>

#include "base/macro.h"

struct buf;

#define JSON_DEPTH_MAX 32

/**
 * Is it one JSON text by RFC 8259: UTF-8, depth at most @depth_max, no duplicate member names
 * within an object, no trailing bytes, no NaN?
 *
 * @ret_offset: may be NULL; the byte where it went wrong
 *
 * Return: 0; -EINVAL not JSON; -EILSEQ not UTF-8; -E2BIG too deep; -EEXIST duplicate name; -ENOMEM.
 */
int json_validate(const char *text, size_t size, unsigned int depth_max, size_t *ret_offset);

enum json_kind {
        JSON_NULL,
        JSON_TRUE,
        JSON_FALSE,
        JSON_NUMBER,
        JSON_STRING,
        JSON_OBJECT,
        JSON_ARRAY,
};

/* One value, as it is met on the way through a text. All borrowed, nothing NUL-terminated. */
struct json_piece {
        enum json_kind kind;
        unsigned int depth; /* objects and arrays it lies in; 0: the text itself */
        const char *name;   /* of the member, as written, without its quotes; NULL in an array */
        size_t name_size;
        const char *text; /* a scalar as written, a string without its quotes; what objects and
                             arrays hold comes in the calls that follow */
        size_t size;
        bool escaped; /* a string with backslashes in it; see json_decode() */
};

typedef void (*json_visit_t)(const struct json_piece *piece, void *userdata);

/**
 * Validate as json_validate() does, and call @each for every value in order, without building
 * anything: for texts of which little is wanted. A text that turns out to be no JSON has been told
 * in part by then.
 */
int json_visit(const char *text, size_t size, unsigned int depth_max, json_visit_t each,
                void *userdata, size_t *ret_offset);

/** What a string with escapes means; @text is valid and without its quotes. Appends. Return: 0;
 * -ENOSPC; -ENOMEM; -EINVAL a bad escape. */
int json_decode(const char *text, size_t size, struct buf *out);

/** Validate, then parse. Errors as json_validate(). Caller puts the object. */
int json_parse(const char *text, size_t size, struct json_object **ret_object);

static inline void json_putp(struct json_object **object) {
        if (*object)
                (void) json_object_put(*object);
}

/* Getters for outside data: NULL, or the default, where the member is missing or of another type. A
 * path is member names separated by '/', as in "Actor/Attributes/name"; names with '/' cannot be
 * reached so. */
struct json_object *json_get(struct json_object *object, const char *path);
const char *json_get_string(struct json_object *object, const char *path);
int64_t json_get_int(struct json_object *object, const char *path, int64_t otherwise);
bool json_get_bool(struct json_object *object, const char *path, bool otherwise);
/** How many items @array has; 0 where it is none. */
size_t json_length(struct json_object *array);
/** The text of @value; NULL where it is no string, or one with a NUL in it. */
const char *json_whole_string(struct json_object *value);

/* Adders: a NULL @text or @value adds nothing. Return: 0; -ENOMEM (a @value given is consumed
 * either way). */
int json_add(struct json_object *object, const char *name, struct json_object *value);
int json_add_string(struct json_object *object, const char *name, const char *text);
int json_add_int(struct json_object *object, const char *name, int64_t value);
int json_add_uint(struct json_object *object, const char *name, uint64_t value);
int json_add_bool(struct json_object *object, const char *name, bool value);
/** CLOCK_REALTIME, as clock_format_rfc3339() writes it; 0, which is no time, adds null. */
int json_add_time(struct json_object *object, const char *name, uint64_t time_us);

/** The text on one line, '/' not escaped; valid as long as @object is unchanged. NULL: no memory.
 */
const char *json_text(struct json_object *object);
