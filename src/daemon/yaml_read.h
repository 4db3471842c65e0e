#pragma once
/* What the readers of YAML files share: texts of nodes, and complaints that have their place. */

#include <yaml.h>

#include "base/diag.h"

/** What is said of @diag next is about @node: set line and column. */
void yaml_mark(struct diag *diag, const yaml_node_t *node);

/** Say what is wrong at @node. Return: -EINVAL, always. */
int yaml_complain(struct diag *diag, const yaml_node_t *node, const char *format, ...)
                PRINTF_LIKE(3, 4);

/** The text of @node, borrowed from it. NULL: it is no scalar, or has a NUL in it. */
const char *yaml_text_of(const yaml_node_t *node);

/** Is nothing written there, as with "key:" and no more? An empty text in quotes is something. */
bool yaml_is_nothing(const yaml_node_t *node);

/** Does the mapping that @node is have the key of @pair, a scalar, once more before @pair? */
bool yaml_given_before(
                yaml_document_t *document, const yaml_node_t *node, const yaml_node_pair_t *pair);
