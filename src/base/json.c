/* Getters and adders over json-c; the validating pass that comes before it is in json_validate.c.
 */

#include "base/json.h"

#include <string.h>

#include "base/clock.h"

int json_parse(const char *text, size_t size, struct json_object **ret_object) {
        struct json_tokener *tokener;
        struct json_object *object;
        int r;

        if (size > INT32_MAX)
                return -EINVAL;
        r = json_validate(text, size, JSON_DEPTH_MAX, NULL);
        if (r < 0)
                return r;

        tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 2);
        if (!tokener)
                return -ENOMEM;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        object = json_tokener_parse_ex(tokener, text, (int) size);
        if (!object && json_tokener_get_error(tokener) == json_tokener_continue)
                object = json_tokener_parse_ex(
                                tokener, "", 1); /* a bare number ends only with the text */
        r = json_tokener_get_error(tokener) == json_tokener_success ? 0 : -EINVAL;
        json_tokener_free(tokener);
        if (r < 0) {
                (void) json_object_put(object);
                return r;
        }
        *ret_object = object;
        return 0;
}

struct json_object *json_get(struct json_object *object, const char *path) {
        char name[256];

        while (object) {
                size_t n = strcspn(path, "/");

                if (n >= sizeof(name) || !json_object_is_type(object, json_type_object))
                        return NULL;
                memcpy(name, path, n);
                name[n] = '\0';
                if (!json_object_object_get_ex(object, name, &object))
                        return NULL;
                if (!path[n])
                        return object;
                path += n + 1;
        }
        return NULL;
}

const char *json_get_string(struct json_object *object, const char *path) {
        struct json_object *value = json_get(object, path);

        return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

int64_t json_get_int(struct json_object *object, const char *path, int64_t otherwise) {
        struct json_object *value = json_get(object, path);

        return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : otherwise;
}

bool json_get_bool(struct json_object *object, const char *path, bool otherwise) {
        struct json_object *value = json_get(object, path);

        return json_object_is_type(value, json_type_boolean) ? json_object_get_boolean(value)
                                                             : otherwise;
}

size_t json_length(struct json_object *array) {
        return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

const char *json_whole_string(struct json_object *value) {
        if (!json_object_is_type(value, json_type_string) ||
                        strlen(json_object_get_string(value)) !=
                                        (size_t) json_object_get_string_len(value))
                return NULL;
        return json_object_get_string(value);
}

int json_add(struct json_object *object, const char *name, struct json_object *value) {
        if (!value)
                return 0;
        if (json_object_object_add(object, name, value) < 0) {
                (void) json_object_put(value);
                return -ENOMEM;
        }
        return 0;
}

static int add_new(struct json_object *object, const char *name, struct json_object *value) {
        return value ? json_add(object, name, value) : -ENOMEM;
}

int json_add_string(struct json_object *object, const char *name, const char *text) {
        return text ? add_new(object, name, json_object_new_string(text)) : 0;
}

int json_add_int(struct json_object *object, const char *name, int64_t value) {
        return add_new(object, name, json_object_new_int64(value));
}

int json_add_uint(struct json_object *object, const char *name, uint64_t value) {
        return add_new(object, name, json_object_new_uint64(value));
}

int json_add_bool(struct json_object *object, const char *name, bool value) {
        return add_new(object, name, json_object_new_boolean(value));
}

int json_add_time(struct json_object *object, const char *name, uint64_t time_us) {
        char text[CLOCK_RFC3339_MAX];

        if (time_us)
                return json_add_string(object, name, clock_format_rfc3339(time_us, text));
        return json_object_object_add(object, name, NULL) < 0 ? -ENOMEM : 0;
}

const char *json_text(struct json_object *object) {
        return json_object_to_json_string_ext(
                        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}
