/* Apps in YAML: each member becomes the JSON that REST would get and is judged by the same code,
 * item by item, so that a complaint has the place of the item. */

#include "daemon/config_apps.h"

#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "daemon/yaml_read.h"
#include "engine/apps.h"
#include "model/app.h"

struct reader {
        struct config *config;
        yaml_document_t *document;
        struct diag *diag;
        struct map *seen; /* slugs of this file */
        const char *slug; /* of the app that is read */
};

static yaml_node_t *node_at(const struct reader *reader, int index) {
        return yaml_document_get_node(reader->document, index);
}

/* ---- members ---- */

static struct json_object *text_object(const yaml_node_t *node) {
        const char *text = yaml_text_of(node);

        return text ? json_object_new_string(text) : NULL;
}

/* Judge one item, or one label, as if it were the only one. */
static int judge(const struct reader *reader, const yaml_node_t *node, const char *member,
                struct json_object *value) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        _cleanup_(app_freep) struct app *app = NULL;
        struct diag diag = {};
        int r;

        if (!object || !value || json_add(object, member, json_object_get(value)) < 0)
                return -ENOMEM;
        r = app_parse(reader->slug, object, &diag, &app);
        return r == -EINVAL ? yaml_complain(reader->diag, node, CONFIG_APPS ".%s.%s", reader->slug,
                                              diag.text)
                            : r;
}

/* The same; takes @value. */
static int check(const struct reader *reader, const yaml_node_t *node, const char *member,
                struct json_object *value) {
        int r = judge(reader, node, member, value);

        (void) json_object_put(value);
        return r;
}

static int read_item(const struct reader *reader, const yaml_node_t *node, const char *member,
                struct json_object *array) {
        struct json_object *one;

        if (!yaml_text_of(node)) {
                return yaml_complain(reader->diag, node,
                                CONFIG_APPS ".%s.%s is a list of texts without NUL", reader->slug,
                                member);
        }
        one = json_object_new_array();
        if (!one || json_object_array_add(one, text_object(node)) < 0 ||
                        json_object_array_add(array, text_object(node)) < 0) {
                (void) json_object_put(one);
                return -ENOMEM;
        }
        return check(reader, node, member, one);
}

static int read_list(const struct reader *reader, const yaml_node_t *node, const char *member,
                struct json_object **ret_value) {
        _cleanup_(json_putp) struct json_object *array = json_object_new_array();
        const yaml_node_item_t *begin = node->data.sequence.items.start,
                               *end = node->data.sequence.items.top;
        int r = array ? 0 : -ENOMEM;

        if (end - begin > APP_ITEMS_MAX) {
                return yaml_complain(reader->diag, node,
                                CONFIG_APPS ".%s.%s has more than %d items", reader->slug, member,
                                APP_ITEMS_MAX);
        }
        for (const yaml_node_item_t *item = begin; r >= 0 && item < end; item++)
                r = read_item(reader, node_at(reader, *item), member, array);
        if (r >= 0)
                *ret_value = TAKE_PTR(array);
        return r;
}

static int read_pair(const struct reader *reader, const yaml_node_pair_t *pair, const char *member,
                struct json_object *labels) {
        yaml_node_t *name = node_at(reader, pair->key), *value = node_at(reader, pair->value);
        struct json_object *one;

        if (!yaml_text_of(name) || !yaml_text_of(value))
                return yaml_complain(reader->diag, yaml_text_of(name) ? value : name,
                                CONFIG_APPS ".%s.%s has texts without NUL", reader->slug, member);
        if (json_object_object_get_ex(labels, yaml_text_of(name), NULL))
                return yaml_complain(reader->diag, name, CONFIG_APPS ".%s.%s.%.64s is given twice",
                                reader->slug, member, yaml_text_of(name));
        one = json_object_new_object();
        if (!one || json_add(one, yaml_text_of(name), text_object(value)) < 0 ||
                        json_add(labels, yaml_text_of(name), text_object(value)) < 0) {
                (void) json_object_put(one);
                return -ENOMEM;
        }
        return check(reader, name, member, one);
}

static int read_pairs(const struct reader *reader, const yaml_node_t *node, const char *member,
                struct json_object **ret_value) {
        _cleanup_(json_putp) struct json_object *labels = json_object_new_object();
        const yaml_node_pair_t *begin = node->data.mapping.pairs.start,
                               *end = node->data.mapping.pairs.top;
        int r = labels ? 0 : -ENOMEM;

        if (end - begin > APP_ITEMS_MAX) {
                return yaml_complain(reader->diag, node,
                                CONFIG_APPS ".%s.%s has more than %d items", reader->slug, member,
                                APP_ITEMS_MAX);
        }
        for (const yaml_node_pair_t *pair = begin; r >= 0 && pair < end; pair++)
                r = read_pair(reader, pair, member, labels);
        if (r >= 0)
                *ret_value = TAKE_PTR(labels);
        return r;
}

static int read_value(const struct reader *reader, const yaml_node_t *node, const char *member,
                struct json_object **ret_value) {
        switch (node->type) {
        case YAML_SEQUENCE_NODE:
                return read_list(reader, node, member, ret_value);
        case YAML_MAPPING_NODE:
                return read_pairs(reader, node, member, ret_value);
        default:
                if (!yaml_text_of(node))
                        return yaml_complain(reader->diag, node,
                                        CONFIG_APPS ".%s.%s has a NUL in it", reader->slug, member);
                *ret_value = text_object(node);
                return *ret_value ? 0 : -ENOMEM;
        }
}

static int read_member(const struct reader *reader, const yaml_node_pair_t *pair,
                struct json_object *object) {
        yaml_node_t *name = node_at(reader, pair->key), *node = node_at(reader, pair->value);
        struct json_object *value = NULL;
        const char *member = yaml_text_of(name), *near = member ? app_member_suggest(member) : NULL;
        int r;

        if (!member)
                return yaml_complain(reader->diag, name, "a key must be a text without NUL");
        if (json_object_object_get_ex(object, member, NULL))
                return yaml_complain(reader->diag, name, CONFIG_APPS ".%s.%s is given twice",
                                reader->slug, member);
        if (strcmp(member, "slug") == 0 && yaml_text_of(node) &&
                        strcmp(yaml_text_of(node), reader->slug) == 0)
                return 0;
        if (!near || strcmp(near, member) != 0) /* it says so, or that the slug is another */
                return check(reader, name, member, json_object_new_boolean(false));
        r = read_value(reader, node, member, &value);
        if (r < 0)
                return r;
        r = json_add(object, member, value);
        return r < 0 ? r : judge(reader, node, member, value);
}

/* ---- apps ---- */

static int keep(struct config *config, struct app *app) {
        struct app **items;

        for (size_t i = 0; i < config->apps.n; i++) {
                if (strcmp(config->apps.items[i]->slug, app->slug) == 0) {
                        app_free(config->apps.items[i]);
                        config->apps.items[i] = app;
                        return 0;
                }
        }
        items = reallocarray(config->apps.items, config->apps.n + 1, sizeof(struct app *));
        if (!items)
                return -ENOMEM;
        items[config->apps.n++] = app;
        config->apps.items = items;
        return 0;
}

static int read_app(struct reader *reader, const yaml_node_t *slug, const yaml_node_t *node) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        _cleanup_(app_freep) struct app *app = NULL;
        struct diag diag = {};
        int r;

        reader->slug = yaml_text_of(slug);
        if (!reader->slug || !app_slug_is_valid(reader->slug))
                return yaml_complain(reader->diag, slug, "a slug has " APP_SLUG_FORM);
        r = map_put(reader->seen, reader->slug, reader);
        if (r == -EEXIST)
                return yaml_complain(
                                reader->diag, slug, CONFIG_APPS ".%s is given twice", reader->slug);
        if (r < 0 || !object)
                return -ENOMEM;
        if (node->type != YAML_MAPPING_NODE && !yaml_is_nothing(node)) {
                return yaml_complain(reader->diag, node,
                                CONFIG_APPS ".%s is a section: vm_name, hosts … belong below it",
                                reader->slug);
        }
        for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
                        node->type == YAML_MAPPING_NODE && pair < node->data.mapping.pairs.top;
                        pair++) {
                r = read_member(reader, pair, object);
                if (r < 0)
                        return r;
        }
        r = app_parse(reader->slug, object, &diag, &app);
        if (r == -EINVAL)
                return yaml_complain(
                                reader->diag, node, CONFIG_APPS ".%s.%s", reader->slug, diag.text);
        if (r < 0)
                return r;
        if (reader->config->apps.n >= APPS_MAX)
                return yaml_complain(
                                reader->diag, slug, CONFIG_APPS " has more than %d apps", APPS_MAX);
        app->configured = true;
        r = keep(reader->config, app);
        if (r >= 0)
                app = NULL;
        return r;
}

static int read_mapping(struct reader *reader, const yaml_node_t *node) {
        int r = 0;

        for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
                        r >= 0 && pair < node->data.mapping.pairs.top; pair++)
                r = read_app(reader, node_at(reader, pair->key), node_at(reader, pair->value));
        return r;
}

static int read_entry(struct reader *reader, const yaml_node_t *node) {
        const yaml_node_t *slug = NULL;

        if (node->type != YAML_MAPPING_NODE)
                return yaml_complain(reader->diag, node,
                                CONFIG_APPS " is a list of mappings with a slug each");
        for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
                        pair < node->data.mapping.pairs.top; pair++) {
                const char *name = yaml_text_of(node_at(reader, pair->key));

                if (!name || strcmp(name, "slug") != 0)
                        continue;
                if (slug)
                        return yaml_complain(reader->diag, node_at(reader, pair->key),
                                        "slug is given twice");
                slug = node_at(reader, pair->value);
        }
        return slug ? read_app(reader, slug, node)
                    : yaml_complain(reader->diag, node, "this app of " CONFIG_APPS " has no slug");
}

static int read_sequence(struct reader *reader, const yaml_node_t *node) {
        int r = 0;

        for (const yaml_node_item_t *item = node->data.sequence.items.start;
                        r >= 0 && item < node->data.sequence.items.top; item++)
                r = read_entry(reader, node_at(reader, *item));
        return r;
}

int config_apps_read(struct config *config, yaml_document_t *document, yaml_node_t *node,
                struct diag *diag) {
        _cleanup_(map_freep) struct map *seen = NULL;
        struct reader reader = { .config = config, .document = document, .diag = diag };
        int r;

        r = map_new(&seen);
        if (r < 0)
                return r;
        reader.seen = seen;
        if (node->type == YAML_MAPPING_NODE)
                return read_mapping(&reader, node);
        if (node->type == YAML_SEQUENCE_NODE)
                return read_sequence(&reader, node);
        return yaml_is_nothing(node)
                        ? 0
                        : yaml_complain(diag, node,
                                          CONFIG_APPS " is a section: slugs belong below it");
}

void config_apps_clear(struct config *config) {
        for (size_t i = 0; i < config->apps.n; i++)
                app_free(config->apps.items[i]);
        free(config->apps.items);
        config->apps.items = NULL;
        config->apps.n = 0;
}
