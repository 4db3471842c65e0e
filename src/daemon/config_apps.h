#pragma once
/* The apps of a configuration file: below "apps" a mapping of slugs, or a list of mappings with a
 * "slug" each; their members are those of the REST body. */

#include <yaml.h>

#include "daemon/config.h"

#define CONFIG_APPS "apps"

/**
 * Read what lies below "apps". A slug that an earlier file has is bound anew.
 *
 * Return: 0; -EINVAL with line, column and text in @diag; -ENOMEM.
 */
int config_apps_read(struct config *config, yaml_document_t *document, yaml_node_t *node,
                struct diag *diag);
void config_apps_clear(struct config *config);
