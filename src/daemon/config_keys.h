#pragma once
/* The table of keys: what the file, the environment and --set may name. Shared by config.c and
 * config_file.c. */

#include "daemon/config.h"
#include "virtwatch/virtwatch.h"

#define CONFIG_HOST_MAX   256
#define CONFIG_USER_AGENT "virtwatch/" VIRTWATCH_VERSION

enum {
        CONFIG_KEY_RESTART =
                        1 << 0, /* a new value waits for a restart: a reload with one is refused */
        CONFIG_KEY_SECRET = 1 << 1, /* its value is shown to nobody */
        CONFIG_KEY_TOLD = 1 << 2,   /* its value is in answers, labels or the log: it takes no
                                       ${secret.NAME} */
};

struct config_key {
        const char *name; /* "events.oom_rule" */
        /* Return: 0; -EINVAL with @diag->text; -ENOMEM. */
        int (*parse)(const struct config_key *key, void *field, const char *text,
                        struct diag *diag);
        size_t offset;     /* in struct config */
        uint64_t min, max; /* numbers, spans and sizes */
        bool is_list;
        unsigned int flags;
};

/** "exit-137" and so on: the words of a key that takes one of a few. Return: NULL: it is none. */
const char *config_key_word(const struct config_key *key, const void *field);
enum config_type {
        CONFIG_TEXT,
        CONFIG_BOOL,
        CONFIG_UINT,
        CONFIG_SPAN,
        CONFIG_SIZE,
        CONFIG_LIST,
        CONFIG_WORD,
        CONFIG_TYPE_MAX_
};
/** Return: CONFIG_TYPE_MAX_: the table does not say. */
enum config_type config_key_type(const struct config_key *key);

const struct config_key *config_key_find(const char *name);
size_t config_key_count(void);
const struct config_key *config_key_at(size_t i);
size_t config_key_index(const struct config_key *key);
/** The known key nearest to @name, at most 3 edits away; NULL. */
const char *config_key_suggest(const char *name);
/** Is @name the beginning of a key, up to a dot ("sources.docker")? */
bool config_key_is_section(const char *name);

/** Where the value came from; borrowed. */
const struct config_origin *config_key_origin(
                const struct config *config, const struct config_key *key);
/** The value as JSON, in the form that files have it in; null: not set. Caller puts; NULL: no
 * memory, or null. */
struct json_object *config_key_value(const struct config *config, const struct config_key *key);
bool config_key_equal(const struct config_key *key, const struct config *a, const struct config *b);
/** Whether a key differs whose name begins with one of @prefixes (NULL-terminated). */
bool config_differs(const struct config *a, const struct config *b, const char *const *prefixes);

/** This host's name. Return: @host. */
const char *config_host_name(char host[static CONFIG_HOST_MAX]);

/** A value comes from where @diag points to. Called by what sets values. Return: 0; -ENOMEM. */
int config_origin_set(struct config *config, const struct config_key *key, const struct diag *diag);

int config_key_set(struct config *config, const struct config_key *key, const char *text,
                struct diag *diag);
/** The same of a text that is taken as it is; not of lists. */
int config_key_set_raw(struct config *config, const struct config_key *key, const char *text,
                struct diag *diag);
void config_list_clear(struct config_list *list);
int config_list_add(const struct config_key *key, struct config *config, const char *text,
                struct diag *diag);
int config_unknown_key(const char *name, struct diag *diag);

/** Read one YAML file into @config, up to its end if it is YAML. Return: 0, also if there are
 * faults; -ENOMEM. */
int config_file_read(struct config *config, const char *path, struct config_faults *faults);
