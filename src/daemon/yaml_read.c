/* Small things over libyaml's documents. */

#include "daemon/yaml_read.h"

#include <stdarg.h>
#include <string.h>

void yaml_mark(struct diag *diag, const yaml_node_t *node) {
        diag->line = (unsigned int) node->start_mark.line + 1;
        diag->column = (unsigned int) node->start_mark.column + 1;
}

int yaml_complain(struct diag *diag, const yaml_node_t *node, const char *format, ...) {
        va_list args;

        yaml_mark(diag, node);
        va_start(args, format);
        diag_set_list(diag, diag->line, diag->column, format, args);
        va_end(args);
        return -EINVAL;
}

const char *yaml_text_of(const yaml_node_t *node) {
        const char *text;

        if (node->type != YAML_SCALAR_NODE)
                return NULL;
        text = (const char *) node->data.scalar.value;
        return strlen(text) == node->data.scalar.length ? text : NULL;
}

bool yaml_is_nothing(const yaml_node_t *node) {
        return node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0 &&
                        node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* Names are compared up to a NUL, which is as far as anyone reads them. */
bool yaml_given_before(
                yaml_document_t *document, const yaml_node_t *node, const yaml_node_pair_t *pair) {
        const yaml_node_t *name = yaml_document_get_node(document, pair->key);

        for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < pair; p++) {
                const yaml_node_t *other = yaml_document_get_node(document, p->key);

                if (other->type == YAML_SCALAR_NODE &&
                                strcmp((const char *) other->data.scalar.value,
                                                (const char *) name->data.scalar.value) == 0)
                        return true;
        }
        return false;
}
