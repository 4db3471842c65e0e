/* One YAML file, read with libyaml's document parser: mappings of mappings down to keys of the
 * table. Every complaint has a line and a column. */

#include <string.h>

#include "base/text.h"
#include "daemon/config_apps.h"
#include "daemon/config_keys.h"
#include "daemon/yaml_read.h"

#define SECTION_DEPTH_MAX 4
#define KEYS_MAX          128

struct walk {
        yaml_document_t *document;
        struct config *config;
        struct config_faults *faults;
        struct diag *diag;   /* the next fault */
        bool seen[KEYS_MAX]; /* by index of the key */
        struct {
                yaml_node_t *node;
                yaml_node_pair_t *next;
                char prefix[128]; /* of keys of the table, which are shorter */
        } stack[SECTION_DEPTH_MAX];
        size_t depth;
};

static int set_list(struct walk *walk, const struct config_key *key, const yaml_node_t *node) {
        int r;

        yaml_mark(walk->diag, node);
        r = config_origin_set(walk->config, key, walk->diag);
        if (r < 0)
                return r;
        config_list_clear((struct config_list *) (void *) ((char *) walk->config + key->offset));
        for (yaml_node_item_t *item = node->data.sequence.items.start;
                        item < node->data.sequence.items.top; item++) {
                yaml_node_t *value = yaml_document_get_node(walk->document, *item);
                const char *text = yaml_text_of(value);

                if (value->type != YAML_SCALAR_NODE)
                        return yaml_complain(walk->diag, value, "%s is a list of texts", key->name);
                if (!text)
                        return yaml_complain(walk->diag, value, "%s has a NUL in it", key->name);
                yaml_mark(walk->diag, value);
                r = config_list_add(key, walk->config, text, walk->diag);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_key(struct walk *walk, const struct config_key *key, const yaml_node_t *name,
                const yaml_node_t *value) {
        const char *text = yaml_text_of(value);
        size_t i = config_key_index(key);

        if (walk->seen[i])
                return yaml_complain(walk->diag, name, "%s is given twice", key->name);
        walk->seen[i] = true;

        if (key->is_list && value->type == YAML_SEQUENCE_NODE)
                return set_list(walk, key, value);
        if (value->type != YAML_SCALAR_NODE)
                return yaml_complain(walk->diag, value, "%s is not a section", key->name);
        yaml_mark(walk->diag, value);
        if (!text)
                return yaml_complain(walk->diag, value, "%s has a NUL in it", key->name);
        return config_key_set(walk->config, key, text, walk->diag);
}

static int push(struct walk *walk, yaml_node_t *node, const char *prefix) {
        if (walk->depth >= SECTION_DEPTH_MAX)
                return yaml_complain(walk->diag, node, "%s is nested too deep", prefix);
        walk->stack[walk->depth].node = node;
        walk->stack[walk->depth].next = node->data.mapping.pairs.start;
        (void) snprintf(walk->stack[walk->depth].prefix, sizeof(walk->stack[0].prefix), "%s",
                        prefix);
        walk->depth++;
        return 0;
}

static int step(struct walk *walk) {
        const yaml_node_t *node = walk->stack[walk->depth - 1].node;
        const char *prefix = walk->stack[walk->depth - 1].prefix;
        yaml_node_pair_t *pair = walk->stack[walk->depth - 1].next++;
        yaml_node_t *name = yaml_document_get_node(walk->document, pair->key);
        yaml_node_t *value = yaml_document_get_node(walk->document, pair->value);
        const struct config_key *key;
        char path[512];
        int n;

        if (name->type != YAML_SCALAR_NODE)
                return yaml_complain(walk->diag, name, "a key must be a text");
        n = snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] ? "." : "",
                        (const char *) name->data.scalar.value);
        if (n < 0 || n >= 128)
                return yaml_complain(walk->diag, name, "key too long after '%s'", prefix);

        key = config_key_find(path);
        if (key)
                return set_key(walk, key, name, value);
        if (strcmp(path, CONFIG_APPS) == 0) {
                if (yaml_given_before(walk->document, node, pair))
                        return yaml_complain(walk->diag, name, "%s is given twice", path);
                return config_apps_read(walk->config, walk->document, value, walk->diag);
        }
        if (!config_key_is_section(path)) {
                yaml_mark(walk->diag, name);
                return config_unknown_key(path, walk->diag);
        }
        if (yaml_given_before(walk->document, node, pair))
                return yaml_complain(walk->diag, name, "%s is given twice", path);
        if (value->type == YAML_MAPPING_NODE)
                return push(walk, value, path);
        if (value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0)
                return 0; /* a section with every key commented out */
        return yaml_complain(walk->diag, value, "%s is a section: keys belong below it", path);
}

static int walk_document(struct walk *walk) {
        yaml_node_t *root = yaml_document_get_root_node(walk->document);
        int r;

        if (!root)
                return 0; /* an empty file */
        if (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0)
                return 0;
        if (root->type != YAML_MAPPING_NODE)
                return yaml_complain(walk->diag, root, "the file must be a mapping of sections");

        r = push(walk, root, "");
        while (r >= 0 && walk->depth > 0) {
                if (walk->stack[walk->depth - 1].next >=
                                walk->stack[walk->depth - 1].node->data.mapping.pairs.top)
                        walk->depth--;
                else
                        r = step(walk);
                if (r == -EINVAL)
                        r = config_faults_add(walk->faults, r, walk->diag);
        }
        return r;
}

/* Bytes that are no text have an offset only: the line is counted again from the file. */
static void mark_offset(struct walk *walk, FILE *file, size_t offset) {
        walk->diag->line = walk->diag->column = 1;
        rewind(file);
        for (size_t i = 0; i < offset; i++) {
                walk->diag->column++;
                if (getc(file) == '\n') {
                        walk->diag->line++;
                        walk->diag->column = 1;
                }
        }
}

static int load_document(yaml_parser_t *parser, struct walk *walk, yaml_document_t *ret_document) {
        if (yaml_parser_load(parser, ret_document))
                return 0;
        walk->diag->line = (unsigned int) parser->problem_mark.line + 1;
        walk->diag->column = (unsigned int) parser->problem_mark.column + 1;
        if (parser->error == YAML_READER_ERROR)
                mark_offset(walk, parser->input.file, parser->problem_offset);
        diag_set(walk->diag, walk->diag->line, walk->diag->column, "not YAML: %s",
                        parser->problem ? parser->problem : "unreadable");
        return -EINVAL;
}

/* A second document would be settings that nobody reads. */
static int check_end(yaml_parser_t *parser, struct walk *walk) {
        yaml_document_t document;
        yaml_node_t *root;
        int r;

        r = load_document(parser, walk, &document);
        if (r < 0)
                return r;
        root = yaml_document_get_root_node(&document);
        if (root)
                r = yaml_complain(walk->diag, root,
                                "the file must be one document, without a second '---'");
        yaml_document_delete(&document);
        return r;
}

static int parse_file(struct walk *walk, FILE *file) {
        yaml_document_t document;
        yaml_parser_t parser;
        int r;

        assert(config_key_count() <= KEYS_MAX);

        if (!yaml_parser_initialize(&parser))
                return -ENOMEM;
        yaml_parser_set_input_file(&parser, file);
        r = load_document(&parser, walk, &document);
        if (r >= 0) {
                walk->document = &document;
                r = walk_document(walk);
                walk->document = NULL;
                yaml_document_delete(&document);
        }
        if (r >= 0)
                r = check_end(&parser, walk);
        yaml_parser_delete(&parser);
        return r;
}

int config_file_read(struct config *config, const char *path, struct config_faults *faults) {
        struct diag diag = {};
        struct walk walk = { .config = config, .faults = faults, .diag = &diag };
        _cleanup_(file_closep) FILE *file = NULL;
        int r;

        (void) snprintf(diag.path, sizeof(diag.path), "%s", path);
        file = fopen(path, "re");
        r = file ? parse_file(&walk, file) : -errno;
        return r < 0 && r != -ENOMEM ? config_faults_add(faults, r, &diag) : r;
}
