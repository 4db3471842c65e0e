/* Every key: its name, its parser, its place. The file, the environment and the command line all go
 * through this table. */

#include "daemon/config_keys.h"

#include <string.h>

#include "api/http.h"
#include "base/clock.h"
#include "base/text.h"
#include "daemon/config_secret.h"

#define SPAN_YEARS_MAX (100 * UINT64_C(366) * 86400 * USEC_PER_SEC)

static int check_text(const struct config_key *key, const char *text, struct diag *diag) {
        for (const char *c = text; *c; c++) {
                if ((unsigned char) *c < 0x20) {
                        diag_set(diag, diag->line, diag->column,
                                        "%s must not contain control characters", key->name);
                        return -EINVAL;
                }
        }
        return 0;
}

static int parse_text(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        char **to = field;
        char *copy;
        int r;

        r = check_text(key, text, diag);
        if (r < 0)
                return r;
        copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        free(*to);
        *to = copy;
        return 0;
}

/* "" is none. */
static int parse_optional(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        char **to = field;

        if (text[0])
                return parse_text(key, field, text, diag);
        free(*to);
        *to = NULL;
        return 0;
}

static int parse_node_name(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        _cleanup_(freep) char *clean = NULL;
        char host[CONFIG_HOST_MAX];

        text = text[0] ? text : config_host_name(host);
        if (text_sanitize(text, strlen(text), SIZE_MAX, &clean) < 0) /* it is in all that is told */
                return -ENOMEM;
        return parse_text(key, field, clean, diag);
}

static int parse_user_agent(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        return parse_text(key, field, text[0] ? text : CONFIG_USER_AGENT, diag);
}

static int parse_bool(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        static const char *const yes[] = { "true", "yes", "on" },
                                 *const no[] = { "false", "no", "off" };

        for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
                if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
                        *(bool *) field = strcmp(text, yes[i]) == 0;
                        return 0;
                }
        }
        diag_set(diag, diag->line, diag->column, "%s is true or false, not '%s'", key->name, text);
        return -EINVAL;
}

static int parse_uint(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        uint64_t value;

        if (text_to_u64(text, &value) < 0 || value < key->min || value > key->max) {
                diag_set(diag, diag->line, diag->column, "%s is a number from %ju to %ju, not '%s'",
                                key->name, (uintmax_t) key->min, (uintmax_t) key->max, text);
                return -EINVAL;
        }
        *(unsigned int *) field = (unsigned int) value;
        return 0;
}

static int parse_span(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        char least[CLOCK_SPAN_MAX], most[CLOCK_SPAN_MAX];
        uint64_t span_us;

        if (clock_parse_span(text, &span_us) < 0 || span_us < key->min || span_us > key->max) {
                diag_set(diag, diag->line, diag->column,
                                "%s is a span of %s to %s, such as 250ms, 5s or 30d, not '%s'",
                                key->name, clock_format_span(key->min, least),
                                clock_format_span(key->max, most), text);
                return -EINVAL;
        }
        *(uint64_t *) field = span_us;
        return 0;
}

static int parse_size(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        _cleanup_(freep) char *digits = strdup(text);
        unsigned int shift = 0;
        size_t n = strlen(text);
        uint64_t value;

        if (!digits)
                return -ENOMEM;
        if (n > 0 && strchr("KMGT", text[n - 1])) {
                shift = 10 * (unsigned int) (strchr("KMGT", text[n - 1]) - "KMGT" + 1);
                digits[n - 1] = '\0';
        }
        if (text_to_u64(digits, &value) < 0 || value > (UINT64_MAX >> shift) ||
                        (value << shift) < key->min || (value << shift) > key->max) {
                diag_set(diag, diag->line, diag->column,
                                "%s is a number of bytes up to %ju, also with K, M, G or T, not '%s'",
                                key->name, (uintmax_t) key->max, text);
                return -EINVAL;
        }
        *(uint64_t *) field = value << shift;
        return 0;
}

static int parse_oom_rule(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        int r;

        r = oom_rule_from_string(text);
        if (r < 0) {
                diag_set(diag, diag->line, diag->column, "%s is exit-137 or evidence, not '%s'",
                                key->name, text);
                return -EINVAL;
        }
        *(enum oom_rule *) field = (enum oom_rule) r;
        return 0;
}

static int parse_log_level(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        int r;

        r = log_level_from_string(text);
        if (r < 0) {
                diag_set(diag, diag->line, diag->column,
                                "%s is error, warn, info, debug or trace, not '%s'", key->name,
                                text);
                return -EINVAL;
        }
        *(enum log_level *) field = (enum log_level) r;
        return 0;
}

static int parse_log_target(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        int r;

        r = log_target_from_string(text);
        if (r < 0) {
                diag_set(diag, diag->line, diag->column,
                                "%s is auto, text, json or journal, not '%s'", key->name, text);
                return -EINVAL;
        }
        *(enum log_target *) field = (enum log_target) r;
        return 0;
}

static const char *const compat_words[] = { "off", "inovex", "tinkoff", "both" };

static int parse_compat(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        for (size_t i = 0; i < ARRAY_SIZE(compat_words); i++) {
                if (strcmp(text, compat_words[i]) == 0) {
                        *(enum api_compat *) field = (enum api_compat) i;
                        return 0;
                }
        }
        diag_set(diag, diag->line, diag->column, "%s is both, inovex, tinkoff or off, not '%s'",
                        key->name, text);
        return -EINVAL;
}

static const char *const request_words[] = { [API_REQUEST_LOG_OFF] = "off",
        [API_REQUEST_LOG_DEBUG] = "debug",
        [API_REQUEST_LOG_INFO] = "info" };

static int parse_request_log(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        for (size_t i = 0; i < ARRAY_SIZE(request_words); i++) {
                if (strcmp(text, request_words[i]) == 0) {
                        *(enum api_request_log *) field = (enum api_request_log) i;
                        return 0;
                }
        }
        diag_set(diag, diag->line, diag->column, "%s is info, debug or off, not '%s'", key->name,
                        text);
        return -EINVAL;
}

static int parse_tracing(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        int r = tracer_kind_from_string(text);

        if (r < 0) {
                diag_set(diag, diag->line, diag->column,
                                "%s is OpenTelemetry, Jaeger or off, not '%s'", key->name, text);
                return -EINVAL;
        }
        *(enum tracer_kind *) field = (enum tracer_kind) r;
        return 0;
}

static const char *const duration_words[] = { [ACCESS_DURATION_AUTO] = "auto",
        [ACCESS_DURATION_SECONDS] = "s",
        [ACCESS_DURATION_MS] = "ms",
        [ACCESS_DURATION_NS] = "ns" };

static int parse_duration_unit(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        for (size_t i = 0; i < ARRAY_SIZE(duration_words); i++) {
                if (strcmp(text, duration_words[i]) == 0) {
                        *(enum access_duration *) field = (enum access_duration) i;
                        return 0;
                }
        }
        diag_set(diag, diag->line, diag->column, "%s is auto, s, ms or ns, not '%s'", key->name,
                        text);
        return -EINVAL;
}

static int parse_bus(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        if (strcmp(text, "system") != 0 && strcmp(text, "user") != 0 && strcmp(text, "none") != 0) {
                diag_set(diag, diag->line, diag->column, "%s is system, user or none, not '%s'",
                                key->name, text);
                return -EINVAL;
        }
        return parse_text(key, field, text, diag);
}

static int parse_kernel_from(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        if (strcmp(text, "auto") != 0 && strcmp(text, "journal") != 0 &&
                        strcmp(text, "kmsg") != 0) {
                diag_set(diag, diag->line, diag->column, "%s is auto, journal or kmsg, not '%s'",
                                key->name, text);
                return -EINVAL;
        }
        return parse_text(key, field, text, diag);
}

static int parse_client_auth(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        if (strcmp(text, "require") != 0 && strcmp(text, "if-given") != 0) {
                diag_set(diag, diag->line, diag->column, "%s is require or if-given, not '%s'",
                                key->name, text);
                return -EINVAL;
        }
        return parse_text(key, field, text, diag);
}

/* A list given as one text: items by comma. Each item is looked at by itself, so that a comma in a
 * secret parts nothing. */
static int parse_list(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        struct config *config = (struct config *) (void *) ((char *) field - key->offset);
        const char *end;
        int r = 0;

        config_list_clear(field);
        for (const char *begin = text; r >= 0 && *begin; begin = *end ? end + 1 : end) {
                _cleanup_(freep) char *item = NULL;

                end = strchrnul(begin, ',');
                if (end == begin)
                        continue;
                item = strndup(begin, (size_t) (end - begin));
                if (!item)
                        return -ENOMEM;
                r = config_list_add(key, config, item, diag);
        }
        return r;
}

/* What stands in the field that a parser fills. */
static const struct {
        int (*parse)(const struct config_key *key, void *field, const char *text,
                        struct diag *diag);
        enum config_type type;
} types[] = {
        { parse_text, CONFIG_TEXT },
        { parse_optional, CONFIG_TEXT },
        { parse_node_name, CONFIG_TEXT },
        { parse_user_agent, CONFIG_TEXT },
        { parse_bus, CONFIG_TEXT },
        { parse_kernel_from, CONFIG_TEXT },
        { parse_client_auth, CONFIG_TEXT },
        { parse_bool, CONFIG_BOOL },
        { parse_uint, CONFIG_UINT },
        { parse_span, CONFIG_SPAN },
        { parse_size, CONFIG_SIZE },
        { parse_list, CONFIG_LIST },
        { parse_oom_rule, CONFIG_WORD },
        { parse_log_level, CONFIG_WORD },
        { parse_log_target, CONFIG_WORD },
        { parse_compat, CONFIG_WORD },
        { parse_duration_unit, CONFIG_WORD },
        { parse_request_log, CONFIG_WORD },
        { parse_tracing, CONFIG_WORD },
};

enum config_type config_key_type(const struct config_key *key) {
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (types[i].parse == key->parse)
                        return types[i].type;
        return CONFIG_TYPE_MAX_;
}

const char *config_key_word(const struct config_key *key, const void *field) {
        if (key->parse == parse_oom_rule)
                return oom_rule_to_string(*(const enum oom_rule *) field);
        if (key->parse == parse_log_level)
                return log_level_to_string(*(const enum log_level *) field);
        if (key->parse == parse_log_target)
                return log_target_to_string(*(const enum log_target *) field);
        if (key->parse == parse_compat)
                return compat_words[*(const enum api_compat *) field];
        if (key->parse == parse_duration_unit)
                return duration_words[*(const enum access_duration *) field];
        if (key->parse == parse_request_log)
                return request_words[*(const enum api_request_log *) field];
        if (key->parse == parse_tracing)
                return tracer_kind_to_string(*(const enum tracer_kind *) field);
        return NULL;
}

/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses): names of fields cannot have any */
#define KEY_WITH(flags, name, parser, field, min, max, is_list) \
        { name, parser, offsetof(struct config, field), min, max, is_list, flags }
#define KEY(...) KEY_WITH(0, __VA_ARGS__)
#define KEY_TOLD(...) KEY_WITH(CONFIG_KEY_TOLD, __VA_ARGS__)
#define RUNTIME(section, field)                                              \
        KEY("sources." section ".enabled", parse_bool, field.enabled, 0, 0, false),   \
        KEY("sources." section ".required", parse_bool, field.required, 0, 0, false), \
        KEY_TOLD("sources." section ".socket", parse_text, field.socket, 0, 0, false)
#define PEER(section, field)                                                 \
        KEY("sources." section ".enabled", parse_bool, field.enabled, 0, 0, false),   \
        KEY("sources." section ".required", parse_bool, field.required, 0, 0, false), \
        KEY_TOLD("sources." section ".address", parse_text, field.address, 0, 0, false)

/* NOLINTEND(bugprone-macro-parentheses) */
static const struct config_key keys[] = {
        KEY_WITH(CONFIG_KEY_RESTART | CONFIG_KEY_TOLD, "node.name", parse_node_name, node_name, 0, 0, false),
        KEY("node.file_systems", parse_list, file_systems, 0, CONFIG_PATTERNS_MAX, true),
        KEY("node.ignore_interfaces", parse_list, ignore_interfaces, 0, CONFIG_PATTERNS_MAX, true),
        KEY("node.ignore_disks", parse_list, ignore_disks, 0, CONFIG_PATTERNS_MAX, true),
        KEY_WITH(CONFIG_KEY_RESTART | CONFIG_KEY_TOLD, "store.path", parse_text, state_dir, 0, 0, false),
        KEY("events.oom_rule", parse_oom_rule, oom_rule, 0, 0, false),
        KEY("events.evidence_wait", parse_span, evidence_wait_us, 0, 5 * USEC_PER_SEC, false),
        KEY("events.retention_age", parse_span, retention_age_us, 0, SPAN_YEARS_MAX, false),
        KEY("events.retention_size", parse_size, retention_bytes, 0, UINT64_C(1) << 50, false),
        KEY("sources.libvirt.enabled", parse_bool, libvirt.enabled, 0, 0, false),
        KEY("sources.libvirt.required", parse_bool, libvirt.required, 0, 0, false),
        KEY("sources.libvirt.write", parse_bool, libvirt.write, 0, 0, false),
        KEY_TOLD("sources.libvirt.uris", parse_list, libvirt.uris, 0, CONFIG_URIS_MAX, true),
        RUNTIME("docker", docker),
        RUNTIME("podman", podman),
        RUNTIME("containerd", containerd),
        KEY_TOLD("sources.containerd.namespaces", parse_list, containerd_namespaces, 0,
                        CONFIG_PATTERNS_MAX, true),
        KEY("sources.kernel.enabled", parse_bool, kernel.enabled, 0, 0, false),
        KEY_TOLD("sources.kernel.from", parse_kernel_from, kernel.from, 0, 0, false),
        KEY_TOLD("sources.kernel.socket", parse_text, kernel.socket, 0, 0, false),
        KEY_TOLD("sources.kernel.journal_dir", parse_text, kernel.journal_dir, 0, 0, false),
        PEER("units", units),
        KEY_TOLD("sources.units.patterns", parse_list, unit_patterns, 0, CONFIG_PATTERNS_MAX, true),
        PEER("machined", machined),
        PEER("oomd", oomd),
        KEY("probes.enabled", parse_bool, probes.enabled, 0, 0, false),
        KEY("probes.allow", parse_list, probes.allow, 0, CONFIG_PATTERNS_MAX, true),
        KEY("probes.deny", parse_list, probes.deny, 0, CONFIG_PATTERNS_MAX, true),
        KEY("probes.user_agent", parse_user_agent, probes.user_agent, 0, 0, false),
        KEY("probes.ca_file", parse_text, probes.ca_file, 0, 0, false),
        KEY("actions.enabled", parse_bool, actions.enabled, 0, 0, false),
        KEY("actions.timeout", parse_span, actions.timeout_us, USEC_PER_SEC, 600 * USEC_PER_SEC, false),
        KEY("sampler.interval", parse_span, sample_interval_us, 100 * USEC_PER_MSEC, 3600 * USEC_PER_SEC, false),
        KEY("sampler.ring", parse_span, sample_ring_us, 100 * USEC_PER_MSEC, 30 * UINT64_C(86400) * USEC_PER_SEC, false),
        KEY("sampler.guest_period", parse_span, guest_us, USEC_PER_SEC, 3600 * USEC_PER_SEC, false),
        KEY("sampler.balloon_period", parse_span, balloon_us, USEC_PER_SEC, 3600 * USEC_PER_SEC, false),
        KEY("metrics.compat", parse_compat, compat, 0, 0, false),
        KEY_TOLD("metrics.web_config", parse_text, web_config, 0, 0, false),
        KEY("analytics.enabled", parse_bool, analytics.enabled, 0, 0, false),
        KEY_TOLD("analytics.files", parse_list, analytics.files, 0, CONFIG_LOGS_MAX, true),
        KEY_TOLD("analytics.listen", parse_list, analytics.listen, 0, CONFIG_LISTENERS_MAX, true),
        KEY("analytics.history", parse_bool, analytics.history, 0, 0, false),
        KEY("analytics.retention_days", parse_uint, analytics.retention_days, 0, CONFIG_DAYS_MAX, false),
        KEY("analytics.hosts_max", parse_uint, analytics.hosts_max, 1, 1000000, false),
        KEY("analytics.duration", parse_duration_unit, analytics.duration, 0, 0, false),
        KEY_TOLD("http.listen", parse_list, listen, 0, CONFIG_LISTENERS_MAX, true),
        KEY_TOLD("http.cors_origins", parse_list, cors_origins, 0, HTTP_ORIGINS_MAX, true),
        KEY_WITH(CONFIG_KEY_SECRET, "http.token", parse_optional, token, 0, 0, false),
        KEY_TOLD("http.tls.certificate", parse_text, tls.certificate, 0, 0, false),
        KEY_TOLD("http.tls.key", parse_text, tls.key, 0, 0, false),
        KEY_TOLD("http.tls.client_ca", parse_text, tls.client_ca, 0, 0, false),
        KEY_TOLD("http.tls.client_auth", parse_client_auth, tls.client_auth, 0, 0, false),
        KEY_TOLD("http.tls.names", parse_list, tls.names, 0, CONFIG_TLS_NAMES_MAX, true),
        KEY("http.tls.lifetime", parse_span, tls.lifetime_us, 10 * USEC_PER_SEC, 825 * UINT64_C(86400) * USEC_PER_SEC, false),
        KEY("http.connections_max", parse_uint, connections_max, 16, 65536, false),
        KEY("http.connections_per_address", parse_uint, connections_per_address, 0, 65536, false),
        KEY("http.sse_readers_max", parse_uint, sse_readers_max, 1, 65536, false),
        KEY_WITH(CONFIG_KEY_RESTART | CONFIG_KEY_TOLD, "dbus.bus", parse_bus, bus, 0, 0, false),
        KEY_WITH(CONFIG_KEY_RESTART | CONFIG_KEY_TOLD, "dbus.address", parse_optional, bus_address, 0, 0, false),
        KEY("logging.level", parse_log_level, log_level, 0, 0, false),
        KEY("logging.format", parse_log_target, log_target, 0, 0, false),
        KEY("logging.requests", parse_request_log, request_log, 0, 0, false),
        KEY("logging.tracing", parse_tracing, tracing, 0, 0, false),
};
/* clang-format on */

size_t config_key_count(void) {
        return ARRAY_SIZE(keys);
}

const struct config_key *config_key_at(size_t i) {
        return &keys[i];
}

size_t config_key_index(const struct config_key *key) {
        return (size_t) (key - keys);
}

const struct config_key *config_key_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (strcmp(keys[i].name, name) == 0)
                        return &keys[i];
        return NULL;
}

bool config_key_is_section(const char *name) {
        size_t n = strlen(name);

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (strncmp(keys[i].name, name, n) == 0 && keys[i].name[n] == '.')
                        return true;
        return false;
}

const char *config_key_suggest(const char *name) {
        static const char *const sections[] = { "node", "store", "events", "sources", "probes",
                "actions", "sampler", "metrics", "analytics", "http", "dbus", "logging", "apps" };
        const char *found = NULL;
        size_t best = 4, distance;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                distance = text_distance(name, keys[i].name);
                if (distance < best) {
                        best = distance;
                        found = keys[i].name;
                }
        }
        for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
                distance = text_distance(name, sections[i]);
                if (distance > 0 && distance < best && distance < 3) {
                        best = distance;
                        found = sections[i];
                }
        }
        return found;
}

int config_unknown_key(const char *name, struct diag *diag) {
        const char *near = config_key_suggest(name);

        if (near) {
                diag_set(diag, diag->line, diag->column, "there is no key '%s'; did you mean '%s'?",
                                name, near);
        } else {
                diag_set(diag, diag->line, diag->column, "there is no key '%s'", name);
        }
        return -EINVAL;
}

/* @text with its secrets filled in. */
static int expand(struct config *config, const struct config_key *key, const char *text,
                char **ret_value, bool *ret_secret, struct diag *diag) {
        int r;

        r = config_secret_expand(key->name, text, ret_value, ret_secret, diag);
        if (r < 0 || !*ret_secret)
                return r;
        config->origins[config_key_index(key)].secret = true;
        if (!(key->flags & CONFIG_KEY_TOLD))
                return 0;
        free(*ret_value);
        *ret_value = NULL;
        diag_set(diag, diag->line, diag->column,
                        "%s takes no ${secret.NAME}: others are told its value", key->name);
        return -EINVAL;
}

int config_key_set_raw(struct config *config, const struct config_key *key, const char *text,
                struct diag *diag) {
        int r;

        assert(!key->is_list);

        r = config_origin_set(config, key, diag);
        return r < 0 ? r : key->parse(key, (char *) config + key->offset, text, diag);
}

int config_key_set(struct config *config, const struct config_key *key, const char *text,
                struct diag *diag) {
        void *field = (char *) config + key->offset;
        _cleanup_(freep) char *value = NULL;
        bool secret;
        int r;

        r = config_origin_set(config, key, diag);
        if (r < 0)
                return r;
        if (key->is_list)
                return key->parse(key, field, text, diag);
        r = expand(config, key, text, &value, &secret, diag);
        if (r < 0)
                return r;
        r = key->parse(key, field, value, diag);
        if (r != -EINVAL || !secret)
                return r;
        /* The complaint must not quote the secret: it is made anew of what was written. */
        if (key->parse(key, field, text, diag) >= 0) {
                diag_set(diag, diag->line, diag->column, "%s cannot take what %s gives", key->name,
                                text);
        }
        return -EINVAL;
}

void config_list_clear(struct config_list *list) {
        for (size_t i = 0; i < list->n; i++)
                free(list->items[i]);
        *list = (struct config_list){};
}

int config_list_add(const struct config_key *key, struct config *config, const char *text,
                struct diag *diag) {
        struct config_list *list = (struct config_list *) (void *) ((char *) config + key->offset);
        _cleanup_(freep) char *value = NULL;
        bool secret;
        int r;

        r = expand(config, key, text, &value, &secret, diag);
        if (r < 0)
                return r;
        r = check_text(key, value, diag);
        if (r < 0)
                return r;
        if (list->n >= key->max) {
                diag_set(diag, diag->line, diag->column, "%s has more than %ju items", key->name,
                                (uintmax_t) key->max);
                return -EINVAL;
        }
        list->items[list->n++] = TAKE_PTR(value);
        return 0;
}
