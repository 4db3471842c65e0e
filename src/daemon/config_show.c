/* A configuration as people see it: each value in the form that files have it in, and where it came
 * from. */

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "daemon/config_keys.h"

#define MASK "***"

static const char *const layers[CONFIG_LAYER_MAX_] = {
        [CONFIG_DEFAULT] = "default",
        [CONFIG_FILE] = "file",
        [CONFIG_ENVIRONMENT] = "environment",
        [CONFIG_CREDENTIAL] = "credential",
        [CONFIG_OPTION] = "option",
};

/* ---- origins ---- */

int config_origin_set(
                struct config *config, const struct config_key *key, const struct diag *diag) {
        struct config_origin *origin = &config->origins[config_key_index(key)];
        char *path = NULL;

        if (diag->path[0]) {
                path = strdup(diag->path);
                if (!path)
                        return -ENOMEM;
        }
        free(origin->path);
        *origin = (struct config_origin){
                .layer = config->layer, .path = path, .line = diag->line, .column = diag->column
        };
        return 0;
}

const struct config_origin *config_key_origin(
                const struct config *config, const struct config_key *key) {
        return &config->origins[config_key_index(key)];
}

/* ---- values ---- */

/* What is no UTF-8 is told as such. */
static struct json_object *text_value(const char *text) {
        _cleanup_(freep) char *clean = NULL;

        if (text_sanitize(text, strlen(text), SIZE_MAX, &clean) < 0)
                return NULL;
        return json_object_new_string(clean);
}

static struct json_object *span_value(uint64_t span_us) {
        char text[CLOCK_SPAN_MAX];

        return json_object_new_string(clock_format_span(span_us, text));
}

static struct json_object *size_value(uint64_t bytes) {
        static const char units[] = "TGMK";
        char text[32];

        for (unsigned int i = 0; units[i]; i++) {
                const unsigned int shift = 10 * (4 - i);

                if (bytes == 0 || bytes % (UINT64_C(1) << shift) != 0)
                        continue;
                (void) snprintf(text, sizeof(text), "%ju%c", (uintmax_t) (bytes >> shift),
                                units[i]);
                return json_object_new_string(text);
        }
        return json_object_new_uint64(bytes);
}

static struct json_object *list_value(const struct config_list *list) {
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < list->n; i++) {
                struct json_object *item = text_value(list->items[i]);

                if (!item || json_object_array_add(array, item) < 0) {
                        (void) json_object_put(item);
                        (void) json_object_put(array);
                        return NULL;
                }
        }
        return array;
}

struct json_object *config_key_value(const struct config *config, const struct config_key *key) {
        const void *field = (const char *) config + key->offset;
        const char *text;

        switch (config_key_type(key)) {
        case CONFIG_TEXT:
                text = *(const char *const *) field;
                return text ? text_value(text) : NULL;
        case CONFIG_BOOL:
                return json_object_new_boolean(*(const bool *) field);
        case CONFIG_UINT:
                return json_object_new_int64(*(const unsigned int *) field);
        case CONFIG_SPAN:
                return span_value(*(const uint64_t *) field);
        case CONFIG_SIZE:
                return size_value(*(const uint64_t *) field);
        case CONFIG_LIST:
                return list_value(field);
        case CONFIG_WORD:
                return json_object_new_string(config_key_word(key, field));
        case CONFIG_TYPE_MAX_:
                break;
        }
        return NULL;
}

static bool lists_equal(const struct config_list *a, const struct config_list *b) {
        for (size_t i = 0; a->n == b->n && i < a->n; i++)
                if (strcmp(a->items[i], b->items[i]) != 0)
                        return false;
        return a->n == b->n;
}

bool config_key_equal(
                const struct config_key *key, const struct config *a, const struct config *b) {
        const void *left = (const char *) a + key->offset, *right = (const char *) b + key->offset;
        _cleanup_(json_putp) struct json_object *one = NULL, *other = NULL;

        if (config_key_type(key) == CONFIG_TEXT)
                return text_equal(*(const char *const *) left, *(const char *const *) right);
        if (config_key_type(key) == CONFIG_LIST)
                return lists_equal(left, right);
        one = config_key_value(a, key);
        other = config_key_value(b, key);
        return json_object_equal(one, other);
}

bool config_differs(const struct config *a, const struct config *b, const char *const *prefixes) {
        for (size_t i = 0; i < config_key_count(); i++) {
                const struct config_key *key = config_key_at(i);

                for (size_t j = 0; prefixes[j]; j++) {
                        if (strncmp(key->name, prefixes[j], strlen(prefixes[j])) == 0 &&
                                        !config_key_equal(key, a, b))
                                return true;
                }
        }
        return false;
}

/* ---- the whole ---- */

static int add_origin(struct json_object *object, const struct config_origin *origin) {
        struct json_object *json = json_object_new_object();
        int r;

        if (!json)
                return -ENOMEM;
        r = json_add_string(json, "from", layers[origin->layer]);
        if (r >= 0 && origin->path)
                r = json_add(json, "name", text_value(origin->path));
        if (r >= 0 && origin->line)
                r = json_add_uint(json, "line", origin->line);
        if (r >= 0 && origin->line)
                r = json_add_uint(json, "column", origin->column);
        if (r >= 0)
                return json_add(object, "origin", json);
        (void) json_object_put(json);
        return r;
}

static int add_key(struct json_object *array, const struct config *config,
                const struct config *defaults, const struct config_key *key) {
        const struct config_origin *origin = config_key_origin(config, key);
        struct json_object *told = json_object_new_object(), *value = config_key_value(config, key),
                           *otherwise = config_key_value(defaults, key);
        bool secret = origin->secret || (key->flags & CONFIG_KEY_SECRET);
        int r;

        if (secret && value) {
                (void) json_object_put(value);
                value = json_object_new_string(MASK);
        }
        r = told ? json_add_string(told, "key", key->name) : -ENOMEM;
        /* Both may be null, and then they are to be said. */
        if (r < 0 || json_object_object_add(told, "value", value) < 0)
                (void) json_object_put(value);
        if (r < 0 || json_object_object_add(told, "default", otherwise) < 0)
                (void) json_object_put(otherwise);
        if (r >= 0)
                r = add_origin(told, origin);
        if (r >= 0)
                r = json_add_bool(told, "secret", secret);
        if (r >= 0)
                r = json_add_bool(told, "reload", !(key->flags & CONFIG_KEY_RESTART));
        if (r >= 0 && json_object_array_add(array, told) >= 0)
                return 0;
        (void) json_object_put(told);
        return -ENOMEM;
}

struct json_object *config_to_json(const struct config *config) {
        _cleanup_(config_done) struct config defaults = {};
        struct json_object *array = json_object_new_array();

        if (!array || config_init(&defaults) < 0) {
                (void) json_object_put(array);
                return NULL;
        }
        for (size_t i = 0; i < config_key_count(); i++) {
                if (add_key(array, config, &defaults, config_key_at(i)) < 0) {
                        (void) json_object_put(array);
                        return NULL;
                }
        }
        return array;
}
