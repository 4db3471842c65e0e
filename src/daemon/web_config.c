/* libyaml's document parser over three sections. */

#include "daemon/web_config.h"

#include <fcntl.h>
#include <string.h>

#include "api/password.h"
#include "base/fs.h"
#include "daemon/yaml_read.h"

#define FILE_MAX (256U << 10)

struct reading {
        struct web_config *config;
        yaml_document_t *document;
        struct diag *diag;
};

#define complain(reading, node, ...) yaml_complain((reading)->diag, node, __VA_ARGS__)

/* Call @set for each member of the mapping @node, none of which may be there twice. */
static int walk(struct reading *reading, const yaml_node_t *node, const char *section,
                int (*set)(struct reading *reading, const char *name, const yaml_node_t *key,
                                const yaml_node_t *value)) {
        int r = 0;

        if (yaml_is_nothing(node))
                return 0;
        if (node->type != YAML_MAPPING_NODE)
                return complain(reading, node, "%s must be a mapping", section);
        for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
                        r >= 0 && pair < node->data.mapping.pairs.top; pair++) {
                yaml_node_t *key = yaml_document_get_node(reading->document, pair->key);
                yaml_node_t *value = yaml_document_get_node(reading->document, pair->value);
                const char *name = yaml_text_of(key);

                if (!name)
                        return complain(reading, key, "a key of %s must be a text", section);
                if (yaml_given_before(reading->document, node, pair))
                        return complain(reading, key, "%.64s is given twice", name);
                r = set(reading, name, key, value);
        }
        return r;
}

/* ---- tls_server_config ---- */

static int set_path(struct reading *reading, const char *name, const yaml_node_t *key,
                const yaml_node_t *value, struct web_pem *pem) {
        const char *path = yaml_text_of(value), *slash = strrchr(reading->diag->path, '/');

        if (!path)
                return complain(reading, value, "%s is a path", name);
        if (!path[0])
                return 0; /* as if it were not there */
        if (pem->path)
                return complain(reading, key, "%s and %.*s are both given", name,
                                (int) (strlen(name) - strlen("_file")), name);
        if (path[0] == '/' || !slash)
                pem->path = strdup(path);
        else if (asprintf(&pem->path, "%.*s/%s", (int) (slash - reading->diag->path),
                                 reading->diag->path, path) < 0)
                pem->path = NULL;
        return pem->path ? 0 : -ENOMEM;
}

static int set_text(struct reading *reading, const char *name, const yaml_node_t *key,
                const yaml_node_t *value, struct web_pem *pem) {
        const char *text = yaml_text_of(value);

        if (!text || (text[0] && !strstr(text, "-----BEGIN ")))
                return complain(reading, value, "%s is PEM, a text with -----BEGIN in it", name);
        if (!text[0])
                return 0;
        if (pem->path)
                return complain(reading, key, "%s and %s_file are both given", name, name);
        pem->path = strdup(reading->diag->path);
        pem->text = strdup(text);
        pem->line = (unsigned int) value->start_mark.line + 1;
        pem->column = (unsigned int) value->start_mark.column + 1;
        return pem->path && pem->text ? 0 : -ENOMEM;
}

static int set_auth_type(struct reading *reading, const yaml_node_t *value) {
        static const char *const words[] = {
                [TLS_CLIENT_NONE] = "NoClientCert",
                [TLS_CLIENT_REQUEST] = "RequestClientCert",
                [TLS_CLIENT_REQUIRE_ANY] = "RequireAnyClientCert",
                [TLS_CLIENT_VERIFY_IF_GIVEN] = "VerifyClientCertIfGiven",
                [TLS_CLIENT_REQUIRE] = "RequireAndVerifyClientCert",
        };
        const char *text = yaml_text_of(value);

        if (text && !text[0])
                return 0;
        for (size_t i = 0; text && i < ARRAY_SIZE(words); i++) {
                if (strcmp(text, words[i]) != 0)
                        continue;
                reading->config->client_auth = (enum tls_client_auth) i;
                return 0;
        }
        return complain(reading, value,
                        "client_auth_type is NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert, not '%.64s'",
                        text ? text : "");
}

static int set_version(struct reading *reading, const char *name, const yaml_node_t *value,
                unsigned int *version) {
        const char *text = yaml_text_of(value);

        if (text && !text[0])
                return 0;
        if (text && (strcmp(text, "TLS12") == 0 || strcmp(text, "TLS13") == 0)) {
                *version = text[4] == '2' ? 2 : 3;
                return 0;
        }
        if (text && (strcmp(text, "TLS10") == 0 || strcmp(text, "TLS11") == 0))
                return complain(reading, value, "%s is %s, but TLS 1.2 is the least that is spoken",
                                name, text);
        return complain(reading, value, "%s is TLS12 or TLS13, not '%.64s'", name,
                        text ? text : "");
}

static int set_sans(struct reading *reading, const yaml_node_t *value) {
        struct web_config *config = reading->config;

        if (yaml_is_nothing(value))
                return 0;
        if (value->type != YAML_SEQUENCE_NODE)
                return complain(reading, value, "client_allowed_sans is a list of texts");
        for (yaml_node_item_t *item = value->data.sequence.items.start;
                        item < value->data.sequence.items.top; item++) {
                const yaml_node_t *node = yaml_document_get_node(reading->document, *item);
                const char *text = yaml_text_of(node);

                if (!text)
                        return complain(reading, node, "client_allowed_sans is a list of texts");
                if (config->n_client_sans >= TLS_SANS_MAX)
                        return complain(reading, node, "client_allowed_sans has more than %d items",
                                        TLS_SANS_MAX);
                config->client_sans[config->n_client_sans] = strdup(text);
                if (!config->client_sans[config->n_client_sans])
                        return -ENOMEM;
                config->n_client_sans++;
        }
        return 0;
}

static int check_bool(const struct reading *reading, const char *name, const yaml_node_t *value) {
        const char *text = yaml_text_of(value);

        if (text && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
                return 0;
        return complain(reading, value, "%s is true or false", name);
}

static int set_tls(struct reading *reading, const char *name, const yaml_node_t *key,
                const yaml_node_t *value) {
        static const char *const others[] = { "cipher_suites", "curve_preferences" };
        struct web_config *config = reading->config;

        if (strcmp(name, "cert_file") == 0)
                return set_path(reading, name, key, value, &config->certificate);
        if (strcmp(name, "key_file") == 0)
                return set_path(reading, name, key, value, &config->key);
        if (strcmp(name, "client_ca_file") == 0)
                return set_path(reading, name, key, value, &config->client_ca);
        if (strcmp(name, "cert") == 0)
                return set_text(reading, name, key, value, &config->certificate);
        if (strcmp(name, "key") == 0)
                return set_text(reading, name, key, value, &config->key);
        if (strcmp(name, "client_ca") == 0)
                return set_text(reading, name, key, value, &config->client_ca);
        if (strcmp(name, "client_auth_type") == 0)
                return set_auth_type(reading, value);
        if (strcmp(name, "client_allowed_sans") == 0)
                return set_sans(reading, value);
        if (strcmp(name, "min_version") == 0)
                return set_version(reading, name, value, &config->min_version);
        if (strcmp(name, "max_version") == 0)
                return set_version(reading, name, value, &config->max_version);
        if (strcmp(name, "prefer_server_cipher_suites") == 0)
                return check_bool(reading, name, value); /* ours are preferred, whatever it says */
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (strcmp(name, others[i]) == 0)
                        return complain(reading, key, "%s is not supported here", name);
        return complain(reading, key, "there is no key '%.64s' in tls_server_config", name);
}

static int check_tls(const struct reading *reading, const yaml_node_t *node) {
        const struct web_config *config = reading->config;

        if (!config->certificate.path || !config->key.path)
                return complain(reading, node,
                                "tls_server_config needs cert_file and key_file, or cert and key");
        if (config->client_ca.path && config->client_auth == TLS_CLIENT_NONE) {
                return complain(reading, node,
                                "%s is given, but client_auth_type asks for no certificate",
                                config->client_ca.text ? "client_ca" : "client_ca_file");
        }
        if (!config->client_ca.path && config->client_auth >= TLS_CLIENT_VERIFY_IF_GIVEN)
                return complain(reading, node,
                                "client_auth_type verifies certificates, which needs client_ca_file or client_ca");
        if (config->n_client_sans > 0 && config->client_auth != TLS_CLIENT_REQUIRE)
                return complain(reading, node,
                                "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert");
        if (config->min_version > config->max_version)
                return complain(reading, node, "min_version is above max_version");
        return 0;
}

/* ---- the other two ---- */

static int set_header(struct reading *reading, const char *name, const yaml_node_t *key,
                const yaml_node_t *value) {
        static const char *const names[] = { "Content-Security-Policy", "X-Frame-Options",
                "X-Content-Type-Options", "X-XSS-Protection", "Strict-Transport-Security" };
        struct http_web *web = reading->config->web;
        const char *text = yaml_text_of(value);
        bool known = false;

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                known |= strcasecmp(name, names[i]) == 0;
        if (!known || web->n_headers >= HTTP_WEB_HEADERS_MAX)
                return complain(reading, key, "there is no header '%.64s' that may be set", name);
        if (!text || strpbrk(text, "\r\n") || strlen(text) > 4096)
                return complain(reading, value, "%s is a text of one line", name);
        if (!text[0])
                return 0;
        web->headers[web->n_headers].name = strdup(name);
        web->headers[web->n_headers].value = strdup(text);
        web->n_headers++;
        return web->headers[web->n_headers - 1].name && web->headers[web->n_headers - 1].value
                        ? 0
                        : -ENOMEM;
}

static int set_http(struct reading *reading, const char *name, const yaml_node_t *key,
                const yaml_node_t *value) {
        if (strcmp(name, "http2") == 0)
                return check_bool(reading, name, value); /* HTTP/1.1 is spoken, whatever it says */
        if (strcmp(name, "headers") == 0)
                return walk(reading, value, name, set_header);
        return complain(reading, key, "there is no key '%.64s' in http_server_config", name);
}

static int set_user(struct reading *reading, const char *name, const yaml_node_t *key,
                const yaml_node_t *value) {
        struct http_web *web = reading->config->web;
        const char *hash = yaml_text_of(value);

        if (!name[0] || strchr(name, ':'))
                return complain(reading, key, "a user's name is not empty and has no colon");
        if (!hash || !password_hash_is_good(hash)) {
                return complain(reading, value,
                                "the password of %.64s is no bcrypt hash ($2a$, $2b$ or $2y$) of cost 4 to %d",
                                name, PASSWORD_COST_MAX);
        }
        if (web->n_users >= HTTP_WEB_USERS_MAX)
                return complain(reading, key, "basic_auth_users has more than %d users",
                                HTTP_WEB_USERS_MAX);
        web->users[web->n_users].name = strdup(name);
        web->users[web->n_users].hash = strdup(hash);
        web->n_users++;
        return web->users[web->n_users - 1].name && web->users[web->n_users - 1].hash ? 0 : -ENOMEM;
}

static int set_section(struct reading *reading, const char *name, const yaml_node_t *key,
                const yaml_node_t *value) {
        int r;

        if (strcmp(name, "basic_auth_users") == 0)
                return walk(reading, value, name, set_user);
        if (strcmp(name, "http_server_config") == 0)
                return walk(reading, value, name, set_http);
        if (strcmp(name, "tls_server_config") == 0) {
                reading->config->has_tls = !yaml_is_nothing(value);
                r = walk(reading, value, name, set_tls);
                return r < 0 || !reading->config->has_tls ? r : check_tls(reading, key);
        }
        return complain(reading, key,
                        "there is no key '%.64s'; there are tls_server_config, http_server_config and basic_auth_users",
                        name);
}

/* ---- the file ---- */

static int parse_document(struct reading *reading, yaml_parser_t *parser) {
        yaml_document_t document;
        yaml_node_t *root;
        int r;

        if (!yaml_parser_load(parser, &document)) {
                diag_set(reading->diag, (unsigned int) parser->problem_mark.line + 1,
                                (unsigned int) parser->problem_mark.column + 1, "not YAML: %s",
                                parser->problem ? parser->problem : "unreadable");
                return parser->error == YAML_MEMORY_ERROR ? -ENOMEM : -EINVAL;
        }
        reading->document = &document;
        root = yaml_document_get_root_node(&document);
        r = root ? walk(reading, root, "the file", set_section) : 0;
        reading->document = NULL;
        yaml_document_delete(&document);
        return r;
}

int web_config_parse(struct web_config *config, const char *path, const char *text, size_t size,
                struct diag *diag) {
        struct web_config new = { .min_version = 2, .max_version = 3 };
        struct reading reading = { .config = &new, .diag = diag };
        yaml_parser_t parser;
        int r;

        (void) snprintf(diag->path, sizeof(diag->path), "%s", path);
        new.web = http_web_new();
        if (!new.web || !yaml_parser_initialize(&parser)) {
                web_config_done(&new);
                return -ENOMEM;
        }
        yaml_parser_set_input_string(&parser, (const unsigned char *) text, size);
        r = parse_document(&reading, &parser);
        yaml_parser_delete(&parser);
        if (r < 0) {
                web_config_done(&new);
                return r;
        }
        *config = new;
        return 0;
}

int web_config_read(struct web_config *config, const char *path, struct diag *diag) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        int r;

        r = fs_read_text(AT_FDCWD, path, FILE_MAX, &text, &size);
        if (r < 0) {
                (void) snprintf(diag->path, sizeof(diag->path), "%s", path);
                diag_set(diag, 0, 0, "cannot be read: %s", strerrordesc_np(-r));
                return r;
        }
        return web_config_parse(config, path, text, size, diag);
}

static void pem_done(struct web_pem *pem) {
        if (pem->text)
                explicit_bzero(pem->text, strlen(pem->text));
        free(pem->text);
        free(pem->path);
}

void web_config_done(struct web_config *config) {
        config->web = http_web_unref(config->web);
        for (size_t i = 0; i < config->n_client_sans; i++)
                free(config->client_sans[i]);
        pem_done(&config->certificate);
        pem_done(&config->key);
        pem_done(&config->client_ca);
        *config = (struct web_config){};
}
