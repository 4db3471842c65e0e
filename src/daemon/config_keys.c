/* Every key: its name, its parser, its place. The file, the environment and the command line all go
 * through this table. */

#include "daemon/config_keys.h"

#include <string.h>

#include "api/http.h"
#include "base/clock.h"
#include "base/text.h"

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
        uint64_t span_us;

        if (clock_parse_span(text, &span_us) < 0 || span_us < key->min || span_us > key->max) {
                diag_set(diag, diag->line, diag->column,
                                "%s is a span of %ju ms to %ju ms, such as 250ms, 5s or 30d, not '%s'",
                                key->name, (uintmax_t) (key->min / USEC_PER_MSEC),
                                (uintmax_t) (key->max / USEC_PER_MSEC), text);
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

static int parse_compat(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        static const char *const words[] = { "off", "inovex", "tinkoff", "both" };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                if (strcmp(text, words[i]) == 0) {
                        *(enum api_compat *) field = (enum api_compat) i;
                        return 0;
                }
        }
        diag_set(diag, diag->line, diag->column, "%s is both, inovex, tinkoff or off, not '%s'",
                        key->name, text);
        return -EINVAL;
}

static int parse_duration_unit(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        static const char *const words[] = { [ACCESS_DURATION_AUTO] = "auto",
                [ACCESS_DURATION_SECONDS] = "s",
                [ACCESS_DURATION_MS] = "ms",
                [ACCESS_DURATION_NS] = "ns" };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                if (strcmp(text, words[i]) == 0) {
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

/* A list given as one text: items by comma. */
static int parse_list(
                const struct config_key *key, void *field, const char *text, struct diag *diag) {
        struct config_list *list = field;
        const char *end;
        char *item;
        int r;

        r = check_text(key, text, diag);
        if (r < 0)
                return r;
        config_list_clear(list);
        for (const char *begin = text; *begin; begin = *end ? end + 1 : end) {
                end = strchrnul(begin, ',');
                if (end == begin)
                        continue;
                if (list->n >= CONFIG_PATTERNS_MAX) {
                        diag_set(diag, diag->line, diag->column, "%s has more than %d items",
                                        key->name, CONFIG_PATTERNS_MAX);
                        return -EINVAL;
                }
                item = strndup(begin, (size_t) (end - begin));
                if (!item)
                        return -ENOMEM;
                list->items[list->n++] = item;
        }
        return 0;
}

/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses): names of fields cannot have any */
#define KEY(name, parser, field, ...) { name, parser, offsetof(struct config, field), __VA_ARGS__ }
#define RUNTIME(section, field)                                              \
        KEY("sources." section ".enabled", parse_bool, field.enabled, 0, 0, false),   \
        KEY("sources." section ".required", parse_bool, field.required, 0, 0, false), \
        KEY("sources." section ".socket", parse_text, field.socket, 0, 0, false)
#define PEER(section, field)                                                 \
        KEY("sources." section ".enabled", parse_bool, field.enabled, 0, 0, false),   \
        KEY("sources." section ".required", parse_bool, field.required, 0, 0, false), \
        KEY("sources." section ".address", parse_text, field.address, 0, 0, false)

/* NOLINTEND(bugprone-macro-parentheses) */
static const struct config_key keys[] = {
        KEY("node.name", parse_text, node_name, 0, 0, false),
        KEY("node.file_systems", parse_list, file_systems, 0, CONFIG_PATTERNS_MAX, true),
        KEY("node.ignore_interfaces", parse_list, ignore_interfaces, 0, CONFIG_PATTERNS_MAX, true),
        KEY("node.ignore_disks", parse_list, ignore_disks, 0, CONFIG_PATTERNS_MAX, true),
        KEY("store.path", parse_text, state_dir, 0, 0, false),
        KEY("events.oom_rule", parse_oom_rule, oom_rule, 0, 0, false),
        KEY("events.evidence_wait", parse_span, evidence_wait_us, 0, 5 * USEC_PER_SEC, false),
        KEY("events.retention_age", parse_span, retention_age_us, 0, SPAN_YEARS_MAX, false),
        KEY("events.retention_size", parse_size, retention_bytes, 0, UINT64_C(1) << 50, false),
        KEY("sources.libvirt.enabled", parse_bool, libvirt.enabled, 0, 0, false),
        KEY("sources.libvirt.required", parse_bool, libvirt.required, 0, 0, false),
        KEY("sources.libvirt.write", parse_bool, libvirt.write, 0, 0, false),
        KEY("sources.libvirt.uris", parse_list, libvirt.uris, 0, CONFIG_URIS_MAX, true),
        RUNTIME("docker", docker),
        RUNTIME("podman", podman),
        RUNTIME("containerd", containerd),
        KEY("sources.containerd.namespaces", parse_list, containerd_namespaces, 0,
                        CONFIG_PATTERNS_MAX, true),
        KEY("sources.kernel.enabled", parse_bool, kernel.enabled, 0, 0, false),
        KEY("sources.kernel.from", parse_kernel_from, kernel.from, 0, 0, false),
        KEY("sources.kernel.journal_dir", parse_text, kernel.journal_dir, 0, 0, false),
        PEER("units", units),
        KEY("sources.units.patterns", parse_list, unit_patterns, 0, CONFIG_PATTERNS_MAX, true),
        PEER("machined", machined),
        PEER("oomd", oomd),
        KEY("probes.enabled", parse_bool, probes.enabled, 0, 0, false),
        KEY("probes.allow", parse_list, probes.allow, 0, CONFIG_PATTERNS_MAX, true),
        KEY("probes.deny", parse_list, probes.deny, 0, CONFIG_PATTERNS_MAX, true),
        KEY("probes.user_agent", parse_text, probes.user_agent, 0, 0, false),
        KEY("probes.ca_file", parse_text, probes.ca_file, 0, 0, false),
        KEY("actions.enabled", parse_bool, actions.enabled, 0, 0, false),
        KEY("actions.timeout", parse_span, actions.timeout_us, USEC_PER_SEC, 600 * USEC_PER_SEC, false),
        KEY("sampler.interval", parse_span, sample_interval_us, 100 * USEC_PER_MSEC, 3600 * USEC_PER_SEC, false),
        KEY("sampler.ring", parse_span, sample_ring_us, 100 * USEC_PER_MSEC, 30 * UINT64_C(86400) * USEC_PER_SEC, false),
        KEY("sampler.guest_period", parse_span, guest_us, USEC_PER_SEC, 3600 * USEC_PER_SEC, false),
        KEY("sampler.balloon_period", parse_span, balloon_us, USEC_PER_SEC, 3600 * USEC_PER_SEC, false),
        KEY("metrics.compat", parse_compat, compat, 0, 0, false),
        KEY("analytics.enabled", parse_bool, analytics.enabled, 0, 0, false),
        KEY("analytics.files", parse_list, analytics.files, 0, CONFIG_LOGS_MAX, true),
        KEY("analytics.listen", parse_list, analytics.listen, 0, CONFIG_LISTENERS_MAX, true),
        KEY("analytics.history", parse_bool, analytics.history, 0, 0, false),
        KEY("analytics.retention_days", parse_uint, analytics.retention_days, 0, CONFIG_DAYS_MAX, false),
        KEY("analytics.hosts_max", parse_uint, analytics.hosts_max, 1, 1000000, false),
        KEY("analytics.duration", parse_duration_unit, analytics.duration, 0, 0, false),
        KEY("http.listen", parse_list, listen, 0, CONFIG_LISTENERS_MAX, true),
        KEY("http.cors_origins", parse_list, cors_origins, 0, HTTP_ORIGINS_MAX, true),
        KEY("http.token", parse_text, token, 0, 0, false),
        KEY("http.connections_max", parse_uint, connections_max, 16, 65536, false),
        KEY("http.sse_readers_max", parse_uint, sse_readers_max, 1, 65536, false),
        KEY("dbus.bus", parse_bus, bus, 0, 0, false),
        KEY("dbus.address", parse_text, bus_address, 0, 0, false),
        KEY("logging.level", parse_log_level, log_level, 0, 0, false),
        KEY("logging.format", parse_log_target, log_target, 0, 0, false),
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
        const char *found = NULL;
        size_t best = 4, distance;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                distance = text_distance(name, keys[i].name);
                if (distance < best) {
                        best = distance;
                        found = keys[i].name;
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

int config_key_set(struct config *config, const struct config_key *key, const char *text,
                struct diag *diag) {
        struct config_list *list;
        int r;

        r = key->parse(key, (char *) config + key->offset, text, diag);
        if (r < 0 || !key->is_list)
                return r;

        list = (struct config_list *) (void *) ((char *) config + key->offset);
        if (list->n > key->max) {
                diag_set(diag, diag->line, diag->column, "%s has more than %ju items", key->name,
                                (uintmax_t) key->max);
                return -EINVAL;
        }
        return 0;
}

void config_list_clear(struct config_list *list) {
        for (size_t i = 0; i < list->n; i++)
                free(list->items[i]);
        *list = (struct config_list){};
}

int config_list_add(const struct config_key *key, struct config *config, const char *text,
                struct diag *diag) {
        struct config_list *list = (struct config_list *) (void *) ((char *) config + key->offset);
        int r;

        r = check_text(key, text, diag);
        if (r < 0)
                return r;
        if (list->n >= key->max) {
                diag_set(diag, diag->line, diag->column, "%s has more than %ju items", key->name,
                                (uintmax_t) key->max);
                return -EINVAL;
        }
        list->items[list->n] = strdup(text);
        if (!list->items[list->n])
                return -ENOMEM;
        list->n++;
        return 0;
}
