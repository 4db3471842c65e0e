/* Probes as they are written down, what their runs come to, and their turns. */

#include "model/probe.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

const char *probe_target_to_string(enum probe_target target) {
        static const char *const words[PROBE_TARGET_KINDS_] = { "auto", "route", "vm" };

        return words[target];
}

const char *probe_status_to_string(enum probe_status status) {
        static const char *const words[PROBE_STATUS_MAX_] = { "unknown", "up", "down" };

        return words[status];
}

const char *probe_phase_to_string(enum probe_phase phase) {
        static const char *const words[PROBE_PHASE_MAX_] = { "resolve", "connect", "tls",
                "processing", "transfer" };

        return words[phase];
}

/* ---- the configuration ---- */

struct number_member {
        const char *name;
        size_t offset;
        unsigned int min, max, otherwise;
        bool frozen; /* always written */
};

struct flag_member {
        const char *name;
        size_t offset;
        bool otherwise, frozen;
};

#define OF(field) offsetof(struct probe_config, field)

static const struct number_member numbers[] = {
        { "interval_s", OF(interval_s), 1, PROBE_INTERVAL_MAX, 60, true },
        { "expected_status", OF(expected_status), 100, 599, 200, true },
        { "timeout_s", OF(timeout_s), 1, PROBE_TIMEOUT_MAX, 5, true },
        { "port", OF(port), 1, 65535, 0, false },
        { "failures", OF(failures), 1, PROBE_THRESHOLD_MAX, 3, false },
        { "successes", OF(successes), 1, PROBE_THRESHOLD_MAX, 2, false },
};

static const struct flag_member flags[] = {
        { "enabled", OF(enabled), true, true },
        { "follow_redirects", OF(follow_redirects), false, false },
        { "insecure", OF(insecure), false, false },
};

static unsigned int *number_at(struct probe_config *config, size_t offset) {
        return (unsigned int *) (void *) ((char *) config + offset);
}

static bool *flag_at(struct probe_config *config, size_t offset) {
        return (bool *) (void *) ((char *) config + offset);
}

/* Neither blanks nor controls nor what is not ASCII: each has its %XX. */
static bool is_printable(const char *text) {
        for (const char *c = text; *c; c++)
                if (*c <= ' ' || *c > '~' || strchr("\"<>\\^`{|}", *c))
                        return false;
        return true;
}

static bool is_path(const char *text) {
        return text[0] == '/' && strlen(text) <= PROBE_PATH_MAX && is_printable(text) &&
                        !strchr(text, '#');
}

/* A host's name or address, in brackets if it has colons, and a port. */
static bool is_authority(const char *text, size_t size) {
        static const char name_bytes[] =
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
        size_t n, digits;
        unsigned int port = 0;

        if (size > 0 && text[0] == '[') {
                n = strspn(text + 1, "0123456789abcdefABCDEF:.") + 1;
                if (n >= size || text[n++] != ']')
                        return false;
        } else {
                n = strspn(text, name_bytes);
        }
        if (n == 0 || n > 259 || n >= size)
                return n == size && n > 0 && n <= 259;
        if (text[n++] != ':')
                return false;
        digits = strspn(text + n, "0123456789");
        if (digits == 0 || digits > 5 || n + digits != size)
                return false;
        for (size_t i = 0; i < digits; i++)
                port = 10 * port + (unsigned int) (text[n + i] - '0');
        return port >= 1 && port <= 65535;
}

/* How long "http://" or "https://" is; 0: it is neither. */
static size_t scheme_size(const char *text) {
        if (strncasecmp(text, "http://", 7) == 0)
                return 7;
        return strncasecmp(text, "https://", 8) == 0 ? 8 : 0;
}

static int take_url(
                struct probe_config *config, const char *text, bool has_path, struct diag *diag) {
        static const char wanted[] =
                        "wants http:// or https:// with a host, and at most a port and a path";
        const size_t scheme = text ? scheme_size(text) : 0;
        const size_t n = scheme ? scheme + strcspn(text + scheme, "/?#") : 0;
        bool own_path;

        if (n == 0 || n > PROBE_URL_MAX || !is_printable(text) ||
                        !is_authority(text + scheme, n - scheme))
                return diag_refuse(diag, "url", wanted);
        own_path = text[n] && strcmp(text + n, "/") != 0;
        if (own_path && has_path)
                return diag_refuse(diag, "url", "has a path, and there is \"path\" beside it");
        if (own_path && !is_path(text + n))
                return diag_refuse(diag, "url", wanted);
        if (own_path)
                memcpy(config->path, text + n, strlen(text + n) + 1);
        text_lower(text, n, config->url);
        return 0;
}

static int take_target(struct probe_config *config, const char *text, struct diag *diag) {
        for (size_t i = 0; text && i < PROBE_TARGET_KINDS_; i++) {
                if (strcmp(text, probe_target_to_string((enum probe_target) i)) == 0) {
                        config->target = (enum probe_target) i;
                        return 0;
                }
        }
        return diag_refuse(diag, "target", "is auto, route or vm");
}

static int take_number(struct probe_config *config, const struct number_member *member,
                struct json_object *value, struct diag *diag) {
        int64_t number;

        number = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;
        if (number < member->min || number > member->max) {
                diag_set(diag, 0, 0, "%s: is a whole number from %u to %u", member->name,
                                member->min, member->max);
                return -EINVAL;
        }
        *number_at(config, member->offset) = (unsigned int) number;
        return 0;
}

static int take_member(struct probe_config *config, const char *name, struct json_object *value,
                bool has_path, struct diag *diag) {
        const char *text = json_whole_string(value);

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                if (strcmp(name, numbers[i].name) == 0)
                        return take_number(config, &numbers[i], value, diag);
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
                if (strcmp(name, flags[i].name) != 0)
                        continue;
                if (!json_object_is_type(value, json_type_boolean))
                        return diag_refuse(diag, name, "is true or false");
                *flag_at(config, flags[i].offset) = json_object_get_boolean(value);
                return 0;
        }
        if (strcmp(name, "url") == 0)
                return take_url(config, text, has_path, diag);
        if (strcmp(name, "target") == 0)
                return take_target(config, text, diag);
        if (strcmp(name, "path") == 0) {
                if (!text || !is_path(text))
                        return diag_refuse(diag, name,
                                        "wants 1 to 1024 printable ASCII bytes from '/' on, without '#'");
                memcpy(config->path, text, strlen(text) + 1);
                return 0;
        }
        diag_set(diag, 0, 0,
                        "%.64s: there is no such member; there are path, interval_s, expected_status, timeout_s, enabled, url, target, port, failures, successes, follow_redirects and insecure",
                        name);
        return -EINVAL;
}

int probe_config_parse(
                struct json_object *object, struct diag *diag, struct probe_config *ret_config) {
        struct probe_config config = { .path = "/" };
        bool has_path = json_object_object_get_ex(object, "path", NULL);
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                *number_at(&config, numbers[i].offset) = numbers[i].otherwise;
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
                *flag_at(&config, flags[i].offset) = flags[i].otherwise;
        json_object_object_foreach(object, name, value) {
                r = take_member(&config, name, value, has_path, diag);
                if (r < 0)
                        return r;
        }
        if (config.url[0] && config.target != PROBE_TARGET_AUTO)
                return diag_refuse(
                                diag, "target", "says whom to ask, and there is \"url\" beside it");
        if (config.port && (config.url[0] || config.target == PROBE_TARGET_ROUTE))
                return diag_refuse(
                                diag, "port", "is one of a VM, and something else is to be asked");
        *ret_config = config;
        return 0;
}

struct json_object *probe_config_to_json(const struct probe_config *config) {
        struct probe_config copy = *config;
        struct json_object *object = json_object_new_object();
        unsigned int number;
        bool flag;

        (void) json_add_string(object, "path", config->path);
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                number = *number_at(&copy, numbers[i].offset);
                if (numbers[i].frozen || number != numbers[i].otherwise)
                        (void) json_add_uint(object, numbers[i].name, number);
        }
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
                flag = *flag_at(&copy, flags[i].offset);
                if (flags[i].frozen || flag != flags[i].otherwise)
                        (void) json_add_bool(object, flags[i].name, flag);
        }
        if (config->url[0])
                (void) json_add_string(object, "url", config->url);
        if (config->target != PROBE_TARGET_AUTO)
                (void) json_add_string(object, "target", probe_target_to_string(config->target));
        return object;
}

bool probe_config_same_target(const struct probe_config *a, const struct probe_config *b) {
        return strcmp(a->path, b->path) == 0 && strcmp(a->url, b->url) == 0 &&
                        a->target == b->target && a->port == b->port &&
                        a->expected_status == b->expected_status &&
                        a->follow_redirects == b->follow_redirects && a->insecure == b->insecure;
}

bool probe_asks_vm(const struct probe_config *config, const char *host) {
        return !config->url[0] && config->target != PROBE_TARGET_ROUTE &&
                        (config->target == PROBE_TARGET_VM || !host);
}

/* An IPv6 address has brackets round it. */
static int address_url(const struct probe_config *config, const char *address,
                char target[static PROBE_TARGET_MAX + 1]) {
        const bool six = strchr(address, ':');
        const unsigned int port = config->port ? config->port : 80;

        return snprintf(target, PROBE_TARGET_MAX + 1, "http%s://%s%s%s:%u%s",
                        port == 443 ? "s" : "", six ? "[" : "", address, six ? "]" : "", port,
                        config->path);
}

int probe_url(const struct probe_config *config, const char *host, const char *address,
                char target[static PROBE_TARGET_MAX + 1]) {
        size_t n = host ? strlen(host) : 0;
        bool tls = n > 4 && strcmp(host + n - 4, ":443") == 0;
        int size;

        if (config->url[0])
                size = snprintf(target, PROBE_TARGET_MAX + 1, "%s%s", config->url, config->path);
        else if (probe_asks_vm(config, host) && address)
                size = address_url(config, address, target);
        else if (!probe_asks_vm(config, host) && n > 0) {
                size = snprintf(target, PROBE_TARGET_MAX + 1, "%s%s%s",
                                tls ? "https://" : "http://", host, config->path);
        } else {
                return -ENOENT;
        }
        return size > PROBE_TARGET_MAX ? -ENOSPC : 0;
}

/* ---- what runs come to ---- */

bool probe_take(struct probe_state *state, const struct probe_config *config,
                const struct probe_result *result) {
        enum probe_status status = state->status;

        state->has_run = true;
        state->last = *result;
        if (result->success) {
                state->consecutive_failures = 0;
                state->consecutive_successes += state->consecutive_successes < UINT32_MAX;
                if (state->consecutive_successes >= config->successes)
                        status = PROBE_UP;
        } else {
                state->consecutive_successes = 0;
                state->consecutive_failures += state->consecutive_failures < UINT32_MAX;
                if (state->consecutive_failures >= config->failures)
                        status = PROBE_DOWN;
        }
        if (status == state->status)
                return false;
        state->status = status;
        state->since_us = result->at_us;
        return true;
}

/* ---- the state in JSON ---- */

static void add_null(struct json_object *object, const char *name) {
        (void) json_object_object_add(object, name, NULL);
}

static void add_ms(struct json_object *object, const char *name, uint64_t span_us) {
        char text[32];

        (void) snprintf(text, sizeof(text), "%ju.%03ju", (uintmax_t) (span_us / 1000),
                        (uintmax_t) (span_us % 1000));
        (void) json_add(object, name, json_object_new_double_s((double) span_us / 1e3, text));
}

static void add_details(struct json_object *object, const struct probe_state *state) {
        const struct probe_result *last = &state->last;
        struct json_object *phases = json_object_new_object();

        (void) json_add_uint(object, "consecutive_successes", state->consecutive_successes);
        (void) json_add_string(object, "status", probe_status_to_string(state->status));
        if (state->since_us)
                (void) json_add_time(object, "since", state->since_us);
        add_ms(object, "last_duration_ms", last->duration_us);
        for (size_t i = 0; i < PROBE_PHASE_MAX_; i++)
                add_ms(phases, probe_phase_to_string((enum probe_phase) i), last->phase_us[i]);
        (void) json_add(object, "last_phases_ms", phases);
        if (last->address[0])
                (void) json_add_string(object, "last_address", last->address);
        if (last->cert_expiry_s)
                (void) json_add_time(object, "certificate_expires_at",
                                last->cert_expiry_s * USEC_PER_SEC);
}

struct json_object *probe_to_json(
                const struct probe_config *config, const struct probe_state *state) {
        const struct probe_result *last = &state->last;
        struct json_object *object = json_object_new_object();

        if (!object)
                return NULL;
        (void) json_add(object, "config", probe_config_to_json(config));
        (void) json_add_time(object, "last_run_at", state->has_run ? last->at_us : 0);
        if (state->has_run)
                (void) json_add_string(object, "last_status", last->success ? "up" : "down");
        else
                add_null(object, "last_status");
        if (last->http_status)
                (void) json_add_uint(object, "last_http_status", last->http_status);
        else
                add_null(object, "last_http_status");
        if (last->error[0])
                (void) json_add_string(object, "last_error", last->error);
        else
                add_null(object, "last_error");
        (void) json_add_uint(object, "consecutive_failures", state->consecutive_failures);
        if (state->has_run)
                add_details(object, state);
        return object;
}

static uint64_t read_time(struct json_object *object, const char *name) {
        const char *text = json_get_string(object, name);
        uint64_t time_us;

        return text && clock_parse_rfc3339(text, &time_us) >= 0 ? time_us : 0;
}

static unsigned int read_count(struct json_object *object, const char *name) {
        int64_t count = json_get_int(object, name, 0);

        return count > 0 && count <= UINT32_MAX ? (unsigned int) count : 0;
}

static uint64_t read_ms(struct json_object *object, const char *path) {
        double ms = json_object_get_double(json_get(object, path));

        return ms > 0 && ms < 1e9 ? (uint64_t) (ms * 1e3 + 0.5) : 0;
}

int probe_from_json(struct json_object *object, struct probe_config *ret_config,
                struct probe_state *ret_state) {
        const char *status = json_get_string(object, "status"),
                   *error = json_get_string(object, "last_error"),
                   *verdict = json_get_string(object, "last_status"),
                   *address = json_get_string(object, "last_address");
        struct probe_state state = {};
        struct diag diag;
        char path[32];
        int r;

        if (!json_object_is_type(json_get(object, "config"), json_type_object))
                return -EINVAL;
        r = probe_config_parse(json_get(object, "config"), &diag, ret_config);
        if (r < 0)
                return r;
        state.last.at_us = read_time(object, "last_run_at");
        state.has_run = state.last.at_us > 0;
        state.last.success = verdict && strcmp(verdict, "up") == 0;
        state.last.http_status = read_count(object, "last_http_status");
        (void) snprintf(state.last.error, sizeof(state.last.error), "%s", error ? error : "");
        (void) snprintf(state.last.address, sizeof(state.last.address), "%s",
                        address ? address : "");
        state.last.duration_us = read_ms(object, "last_duration_ms");
        for (size_t i = 0; i < PROBE_PHASE_MAX_; i++) {
                (void) snprintf(path, sizeof(path), "last_phases_ms/%s",
                                probe_phase_to_string((enum probe_phase) i));
                state.last.phase_us[i] = read_ms(object, path);
        }
        state.last.cert_expiry_s = read_time(object, "certificate_expires_at") / USEC_PER_SEC;
        state.consecutive_failures = read_count(object, "consecutive_failures");
        state.consecutive_successes = read_count(object, "consecutive_successes");
        state.since_us = read_time(object, "since");
        for (size_t i = 0; status && i < PROBE_STATUS_MAX_; i++)
                if (strcmp(status, probe_status_to_string((enum probe_status) i)) == 0)
                        state.status = (enum probe_status) i;
        *ret_state = state;
        return 0;
}

/* ---- turns ---- */

/* FNV-1a, then a mixer (of SplitMix64): names that differ in one digit lie far apart. */
static uint64_t hash(const char *text) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (const char *c = text; *c; c++)
                h = (h ^ (unsigned char) *c) * UINT64_C(0x100000001b3);
        h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
        return h ^ (h >> 31);
}

uint64_t probe_next_us(const char *slug, uint64_t interval_us, uint64_t now_us) {
        const uint64_t offset_us = hash(slug) % interval_us,
                       begin_us = now_us - now_us % interval_us;

        return begin_us + offset_us > now_us ? begin_us + offset_us
                                             : begin_us + interval_us + offset_us;
}
