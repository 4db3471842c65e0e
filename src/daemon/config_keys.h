#pragma once
/* The table of keys: what the file, the environment and --set may name. Shared by config.c and
 * config_file.c. */

#include "daemon/config.h"

struct config_key {
        const char *name; /* "events.oom_rule" */
        /* Return: 0; -EINVAL with @diag->text; -ENOMEM. */
        int (*parse)(const struct config_key *key, void *field, const char *text,
                        struct diag *diag);
        size_t offset;     /* in struct config */
        uint64_t min, max; /* numbers, spans and sizes */
        bool is_list;
};

const struct config_key *config_key_find(const char *name);
size_t config_key_count(void);
const struct config_key *config_key_at(size_t i);
size_t config_key_index(const struct config_key *key);
/** The known key nearest to @name, at most 3 edits away; NULL. */
const char *config_key_suggest(const char *name);
/** Is @name the beginning of a key, up to a dot ("sources.docker")? */
bool config_key_is_section(const char *name);

int config_key_set(struct config *config, const struct config_key *key, const char *text,
                struct diag *diag);
void config_list_clear(struct config_list *list);
int config_list_add(const struct config_key *key, struct config *config, const char *text,
                struct diag *diag);
int config_unknown_key(const char *name, struct diag *diag);

/** Read one YAML file into @config. Errors as config_load(). */
int config_file_load(struct config *config, const char *path, struct diag *diag);
