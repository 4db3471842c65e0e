/* What keys mean together, and what their parsers cannot see. Each complaint is placed where the
 * key was given. */

#include <stdarg.h>
#include <string.h>

#include "api/tls_ca.h"
#include "daemon/config_keys.h"
#include "model/address.h"
#include "model/listener.h"
#include "model/ring.h"

struct checking {
        const struct config *config;
        struct config_faults *faults;
        int error; /* -ENOMEM; 0 */
};

static const struct config_origin *origin_of(const struct checking *checking, const char *name) {
        return config_key_origin(checking->config, config_key_find(name));
}

/* Was the key complained of already? Then what it holds is an older value. */
static bool is_faulty(const struct checking *checking, const char *name) {
        const size_t n = strlen(name);

        for (size_t i = 0; i < checking->faults->n; i++) {
                const char *text = checking->faults->items[i].diag.text;

                if (strncmp(text, name, n) == 0 && (text[n] == ' ' || text[n] == ':'))
                        return true;
        }
        return false;
}

PRINTF_LIKE(3, 4)
static void complain(struct checking *checking, const char *name, const char *format, ...) {
        const struct config_origin *origin = origin_of(checking, name);
        char text[512];
        struct diag diag = {};
        va_list args;

        va_start(args, format);
        (void) vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        (void) snprintf(diag.path, sizeof(diag.path), "%s", origin->path ? origin->path : "");
        diag_set(&diag, origin->line, origin->column, "%s %s", name, text);
        if (config_faults_add(checking->faults, -EINVAL, &diag) < 0)
                checking->error = -ENOMEM;
}

/* A value to be quoted; not what a secret gave. */
static const char *quotable(const struct checking *checking, const char *name, const char *value) {
        return origin_of(checking, name)->secret ? "${secret...}" : value;
}

static bool has_any_port(const char *address) {
        const char *colon = strrchr(address, ':');

        return colon && strcmp(colon, ":0") == 0;
}

static void check_absolute(
                struct checking *checking, const char *name, const char *value, bool may_be_empty) {
        if (value[0] == '/' || (may_be_empty && !value[0]))
                return;
        complain(checking, name, "must be absolute, not '%s'", quotable(checking, name, value));
}

static void check_ranges(
                struct checking *checking, const char *name, const struct config_list *list) {
        struct address_range range;

        for (size_t i = 0; i < list->n; i++) {
                if (address_range_parse(list->items[i], &range) >= 0)
                        continue;
                complain(checking, name,
                                "has addresses and ranges such as 127.0.0.0/8 or fd00::/8, not '%s'",
                                quotable(checking, name, list->items[i]));
                return;
        }
}

static void check_ring(struct checking *checking) {
        const struct config *config = checking->config;

        if (is_faulty(checking, "sampler.ring") || is_faulty(checking, "sampler.interval"))
                return;
        if (config->sample_ring_us >= config->sample_interval_us &&
                        config->sample_ring_us / config->sample_interval_us <= RING_SLOTS_MAX)
                return;
        complain(checking,
                        origin_of(checking, "sampler.ring")->layer == CONFIG_DEFAULT
                                        ? "sampler.interval"
                                        : "sampler.ring",
                        "does not fit: sampler.ring must be from 1 to %d times sampler.interval",
                        RING_SLOTS_MAX);
}

/* What each says, and that no two are at one address. */
static void check_listen(struct checking *checking) {
        const struct config_list *list = &checking->config->listen;
        struct listener listeners[CONFIG_LISTENERS_MAX];
        bool has_web = false;
        struct diag diag = {};

        for (size_t i = 0; i < list->n && i < CONFIG_LISTENERS_MAX; i++) {
                if (listener_parse(list->items[i], &listeners[i], &diag) < 0) {
                        complain(checking, "http.listen", "is not good: %s", diag.text);
                        return;
                }
                has_web = has_web ||
                                (listeners[i].serves & LISTENER_METRICS &&
                                                !(listeners[i].serves & LISTENER_API));
                for (size_t j = 0; j < i; j++) {
                        if (strcmp(listeners[i].address, listeners[j].address) == 0 &&
                                        !has_any_port(listeners[i].address))
                                complain(checking, "http.listen", "has %s twice",
                                                listeners[i].address);
                }
        }
        if (checking->config->web_config[0] && !has_web)
                complain(checking, "metrics.web_config",
                                "is for listeners that serve metrics and not the API, and http.listen has none: add one such as 0.0.0.0:9888 serves=metrics");
}

/* Where Caddy's lines come in. */
static void check_log_listen(struct checking *checking) {
        const struct config_list *list = &checking->config->analytics.listen;

        for (size_t i = 0; i < list->n; i++) {
                if (listen_check(list->items[i]) >= 0)
                        continue;
                complain(checking, "analytics.listen",
                                "has addresses such as 127.0.0.1:9889 or unix:/PATH, not '%s'",
                                list->items[i]);
                return;
        }
}

/* A scheme, a host and perhaps a port: what a browser sends, to the letter. Source: RFC 6454,
 * section 6.2. */
static bool is_origin(const char *text) {
        const char *host = strstr(text, "://");
        size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+-.");

        return host && scheme > 0 && text + scheme == host && host[3] &&
                        strcspn(host + 3, "/?#@* ,\t") == strlen(host + 3);
}

static void check_origins(struct checking *checking) {
        const struct config_list *list = &checking->config->cors_origins;

        for (size_t i = 0; i < list->n; i++) {
                if (is_origin(list->items[i]))
                        continue;
                complain(checking, "http.cors_origins",
                                "has origins such as https://panel.example:8443, without a path, not '%s'",
                                list->items[i]);
                return;
        }
}

static void check_tls(struct checking *checking) {
        const struct config *config = checking->config;

        check_absolute(checking, "http.tls.certificate", config->tls.certificate, true);
        check_absolute(checking, "http.tls.key", config->tls.key, true);
        check_absolute(checking, "http.tls.client_ca", config->tls.client_ca, true);
        check_absolute(checking, "metrics.web_config", config->web_config, true);
        if (config->tls.key[0] && !config->tls.certificate[0])
                complain(checking, "http.tls.key", "is given without http.tls.certificate");
        for (size_t i = 0; i < config->tls.names.n; i++) {
                if (tls_ca_name_is_good(config->tls.names.items[i]))
                        continue;
                complain(checking, "http.tls.names",
                                "has names and addresses such as host.example or 10.0.0.5, not '%s'",
                                config->tls.names.items[i]);
                break;
        }
        /* Who writes it reckons with certificates being asked for. */
        if (origin_of(checking, "http.tls.client_auth")->layer != CONFIG_DEFAULT &&
                        origin_of(checking, "http.tls.client_ca")->layer == CONFIG_DEFAULT)
                complain(checking, "http.tls.client_auth", "is given without http.tls.client_ca");
}

int config_check(const struct config *config, struct config_faults *faults) {
        struct checking checking = { .config = config, .faults = faults };

        if (config->libvirt.enabled && config->libvirt.uris.n == 0 &&
                        !is_faulty(&checking, "sources.libvirt.uris")) {
                complain(&checking, "sources.libvirt.uris",
                                "is empty; set sources.libvirt.enabled to false instead");
        }
        if (config->token && strlen(config->token) < 16)
                complain(&checking, "http.token", "is shorter than 16 characters");
        check_ring(&checking);
        for (size_t i = 0; i < config->analytics.files.n; i++) {
                check_absolute(&checking, "analytics.files", config->analytics.files.items[i],
                                false);
        }
        check_absolute(&checking, "sources.kernel.socket", config->kernel.socket, true);
        check_absolute(&checking, "sources.kernel.journal_dir", config->kernel.journal_dir, true);
        check_listen(&checking);
        check_log_listen(&checking);
        check_origins(&checking);
        check_tls(&checking);
        check_absolute(&checking, "store.path", config->state_dir, false);
        check_absolute(&checking, "probes.ca_file", config->probes.ca_file, true);
        check_ranges(&checking, "probes.allow", &config->probes.allow);
        check_ranges(&checking, "probes.deny", &config->probes.deny);
        return checking.error;
}
