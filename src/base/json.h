#pragma once
/* JSON in and out. In: a validating pass of our own (RFC 8259, because json-c takes a good part of
 * invalid JSON even in strict mode), then json-c. Out: json-c objects. All strings put in must be
 * valid UTF-8 (text_sanitize). */

#include <json-c/json.h>

#include "base/macro.h"

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

/* Adders: a NULL @text or @value adds nothing. Return: 0; -ENOMEM (a @value given is consumed
 * either way). */
int json_add(struct json_object *object, const char *name, struct json_object *value);
int json_add_string(struct json_object *object, const char *name, const char *text);
int json_add_int(struct json_object *object, const char *name, int64_t value);
int json_add_uint(struct json_object *object, const char *name, uint64_t value);
int json_add_bool(struct json_object *object, const char *name, bool value);
int json_add_double(struct json_object *object, const char *name, double value);

/** The text on one line, '/' not escaped; valid as long as @object is unchanged. NULL: no memory.
 */
const char *json_text(struct json_object *object);
