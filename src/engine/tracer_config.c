/* OpenTelemetry's variables. What is not understood is said and left out: by its specification a
 * bad variable is as if it were not set. */

#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/text.h"
#include "engine/tracer.h"

#define ENDPOINT_DEFAULT "http://localhost:4318"
#define PATH             "/v1/traces"
#define TIMEOUT_MS       10000
#define TIMEOUT_MS_MAX   600000
#define PAIRS_TEXT_MAX   16384
#define RESOURCE_MAX     8192

struct loader {
        const char *(*get)(const char *name);
        void (*warn)(const char *text, void *userdata);
        void *userdata;
        struct tracer_config config;
        size_t n_headers;
        struct buf resource;
        bool own_name; /* OTEL_SERVICE_NAME wins */
};

static const char *const kinds[TRACER_KINDS] = { "off", "OpenTelemetry", "Jaeger" };

const char *tracer_kind_to_string(enum tracer_kind kind) {
        return kinds[kind];
}

int tracer_kind_from_string(const char *text) {
        for (int i = 0; i < TRACER_KINDS; i++)
                if (strcasecmp(kinds[i], text) == 0)
                        return i;
        return -EINVAL;
}

PRINTF_LIKE(2, 3)
static void warn(const struct loader *loader, const char *format, ...) {
        char text[256];
        va_list args;

        va_start(args, format);
        (void) vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        loader->warn(text, loader->userdata);
}

/* An empty variable is one that is not set. */
static const char *get(const struct loader *loader, const char *name) {
        const char *text = loader->get(name);

        return text && text[0] ? text : NULL;
}

/* That of traces, or else that of all signals. */
static const char *get_either(const struct loader *loader, const char *what, char name[static 64]) {
        const char *text;

        (void) snprintf(name, 64, "OTEL_EXPORTER_OTLP_TRACES_%s", what);
        text = get(loader, name);
        if (text)
                return text;
        (void) snprintf(name, 64, "OTEL_EXPORTER_OTLP_%s", what);
        return get(loader, name);
}

/* ---- where to ---- */

static bool is_url(const char *text) {
        size_t n = strncasecmp(text, "http://", 7) == 0         ? 7
                        : strncasecmp(text, "https://", 8) == 0 ? 8
                                                                : 0;

        if (n == 0 || !text[n] || strchr("/?#:", text[n]) || strlen(text) > 2048)
                return false;
        for (const char *c = text; *c; c++)
                if (*c <= ' ' || *c >= 0x7f)
                        return false;
        return true;
}

/* Of all signals, to which the one's path is added. */
static int set_base(struct loader *loader, const char *base) {
        size_t n = strlen(base);

        while (n > 0 && base[n - 1] == '/')
                n--;
        return asprintf(&loader->config.url, "%.*s" PATH, (int) n, base) < 0 ? -ENOMEM : 0;
}

static int load_url(struct loader *loader, enum tracer_kind kind) {
        const char *text = get(loader, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), *host;
        char base[320];

        if (text && is_url(text)) {
                loader->config.url = strdup(text);
                return loader->config.url ? 0 : -ENOMEM;
        }
        if (text)
                warn(loader, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is no http or https address");
        text = get(loader, "OTEL_EXPORTER_OTLP_ENDPOINT");
        if (text && is_url(text)) {
                if (strstr(text, ":4317"))
                        warn(loader, "OTEL_EXPORTER_OTLP_ENDPOINT has port 4317, which is that of gRPC; traces go there by HTTP, whose port is 4318");
                return set_base(loader, text);
        }
        if (text)
                warn(loader, "OTEL_EXPORTER_OTLP_ENDPOINT is no http or https address");
        host = kind == TRACER_JAEGER ? get(loader, "OTEL_EXPORTER_JAEGER_AGENT_HOST") : NULL;
        if (host && strlen(host) < 256) {
                (void) snprintf(base, sizeof(base),
                                strchr(host, ':') ? "http://[%s]:4318" : "http://%s:4318", host);
                if (is_url(base))
                        return set_base(loader, base);
        }
        if (host)
                warn(loader, "OTEL_EXPORTER_JAEGER_AGENT_HOST is no name of a host");
        return set_base(loader, ENDPOINT_DEFAULT);
}

/* ---- pairs ---- */

static int hex_digit(char c) {
        return c >= '0' && c <= '9'            ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
}

static void unescape(char *text) {
        char *to = text;

        for (; *text; text++) {
                if (*text == '%' && hex_digit(text[1]) >= 0 && hex_digit(text[2]) >= 0 &&
                                (hex_digit(text[1]) | hex_digit(text[2])) != 0) {
                        *to++ = (char) (hex_digit(text[1]) * 16 + hex_digit(text[2]));
                        text += 2;
                } else {
                        *to++ = *text;
                }
        }
        *to = '\0';
}

static char *trim(char *text) {
        size_t n;

        text += strspn(text, " \t");
        for (n = strlen(text); n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'); n--)
                text[n - 1] = '\0';
        return text;
}

/* "name=value,name=value", where values are percent-encoded. */
static int each_pair(struct loader *loader, const char *variable, const char *text,
                int (*each)(struct loader *loader, const char *name, const char *value)) {
        _cleanup_(freep) char *copy = NULL;
        char *pair, *rest, *equals;
        int r = 0;

        if (strlen(text) > PAIRS_TEXT_MAX) {
                warn(loader, "%s is too long", variable);
                return 0;
        }
        copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        rest = copy;
        while ((pair = strsep(&rest, ","))) {
                pair = trim(pair);
                if (!pair[0])
                        continue;
                equals = strchr(pair, '=');
                if (equals) {
                        *equals = '\0';
                        pair = trim(pair);
                        unescape(trim(equals + 1));
                        r = each(loader, pair, trim(equals + 1));
                }
                if (r == -ENOMEM)
                        return r;
                if (!equals || r < 0)
                        warn(loader, "%s has a pair that is not NAME=VALUE, or one too many; it is left out",
                                        variable);
        }
        return 0;
}

static int add_header(struct loader *loader, const char *name, const char *value) {
        static const char token[] =
                        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

        if (!name[0] || name[strspn(name, token)] || loader->n_headers >= TRACER_HEADERS_MAX)
                return -EINVAL;
        for (const char *c = value; *c; c++)
                if (((unsigned char) *c < ' ' && *c != '\t') || *c == 0x7f)
                        return -EINVAL;
        if (asprintf(&loader->config.headers[loader->n_headers], "%s: %s", name, value) < 0) {
                loader->config.headers[loader->n_headers] = NULL;
                return -ENOMEM;
        }
        loader->n_headers++;
        return 0;
}

static int add_resource(struct loader *loader, const char *name, const char *value) {
        struct buf *buf = &loader->resource;
        size_t before = buf->size;
        int r;

        if (!name[0] || strcmp(name, "service.version") == 0 || strcmp(name, "host.name") == 0)
                return name[0] ? 0 : -EINVAL; /* ours */
        if (loader->own_name && strcmp(name, "service.name") == 0)
                return 0;
        loader->own_name = loader->own_name || strcmp(name, "service.name") == 0;
        r = buf_append_str(buf, ",{\"key\":\"");
        if (r >= 0)
                r = span_text(buf, name, SPAN_NAME_MAX);
        if (r >= 0)
                r = buf_append_str(buf, "\",\"value\":{\"stringValue\":\"");
        if (r >= 0)
                r = span_text(buf, value, SPAN_VALUE_MAX);
        if (r >= 0)
                r = buf_append_str(buf, "\"}}");
        if (r < 0)
                buf->size = before;
        return r;
}

/* ---- the rest ---- */

static int load_resource(struct loader *loader, const char *node) {
        const char *text = get(loader, "OTEL_RESOURCE_ATTRIBUTES"),
                   *name = get(loader, "OTEL_SERVICE_NAME");
        int r;

        r = buf_append_str(
                        &loader->resource, "{\"key\":\"host.name\",\"value\":{\"stringValue\":\"");
        if (r >= 0)
                r = span_text(&loader->resource, node, SPAN_VALUE_MAX);
        if (r >= 0) {
                r = buf_printf(&loader->resource,
                                "\"}},{\"key\":\"service.version\",\"value\":{\"stringValue\":\"%s\"}}",
                                VIRTWATCH_VERSION);
        }
        if (r >= 0 && name)
                r = add_resource(loader, "service.name", name);
        if (r >= 0 && text)
                r = each_pair(loader, "OTEL_RESOURCE_ATTRIBUTES", text, add_resource);
        if (r >= 0 && !loader->own_name)
                r = add_resource(loader, "service.name", "virtwatch");
        if (r < 0)
                return r;
        loader->resource.data[loader->resource.size] = '\0'; /* behind one that did not fit */
        loader->config.resource = buf_take(&loader->resource);
        return 0;
}

static int load_headers(struct loader *loader) {
        char name[64];
        const char *text;
        int r;

        r = add_header(loader, "Content-Type", "application/json");
        if (r >= 0)
                r = add_header(loader, "User-Agent", "virtwatch/" VIRTWATCH_VERSION);
        if (r < 0)
                return r;
        loader->config.headers[loader->n_headers] = strdup("Expect:"); /* no round trip more */
        if (!loader->config.headers[loader->n_headers])
                return -ENOMEM;
        loader->n_headers++;
        text = get_either(loader, "HEADERS", name);
        return text ? each_pair(loader, name, text, add_header) : 0;
}

static int load_limits(struct loader *loader) {
        const char *text;
        uint64_t ms = TIMEOUT_MS;
        char name[64];

        text = get_either(loader, "TIMEOUT", name);
        if (text && (text_to_u64(text, &ms) < 0 || ms < 1 || ms > TIMEOUT_MS_MAX)) {
                warn(loader, "%s is a number of milliseconds from 1 to %d", name, TIMEOUT_MS_MAX);
                ms = TIMEOUT_MS;
        }
        loader->config.timeout_us = ms * USEC_PER_MSEC;
        text = get_either(loader, "PROTOCOL", name);
        if (text && strcmp(text, "http/json") != 0)
                warn(loader, "%s is http/json, which is what is spoken here", name);
        text = get_either(loader, "CERTIFICATE", name);
        loader->config.ca_file = text ? strdup(text) : NULL;
        return text && !loader->config.ca_file ? -ENOMEM : 0;
}

static void load_sampling(struct loader *loader) {
        const char *text = get(loader, "OTEL_TRACES_SAMPLER"),
                   *argument = get(loader, "OTEL_TRACES_SAMPLER_ARG"),
                   *exporter = get(loader, "OTEL_TRACES_EXPORTER"),
                   *disabled = get(loader, "OTEL_SDK_DISABLED");

        loader->config.sampling = (struct trace_sampling) TRACE_SAMPLING_DEFAULT;
        if (text && trace_sampling_parse(text, argument, &loader->config.sampling) < 0 &&
                        trace_sampling_parse(text, NULL, &loader->config.sampling) < 0)
                warn(loader, "OTEL_TRACES_SAMPLER is none of always_on, always_off, traceidratio and parentbased_ with each");
        else if (text && trace_sampling_parse(text, argument, &loader->config.sampling) < 0)
                warn(loader, "OTEL_TRACES_SAMPLER_ARG is a ratio from 0 to 1");
        loader->config.disabled = (disabled && strcasecmp(disabled, "true") == 0) ||
                        (exporter && strcmp(exporter, "none") == 0);
}

/* NOLINTNEXTLINE(readability-function-size): where to, for whom, from where, to whom */
int tracer_config_load(enum tracer_kind kind, const char *node,
                const char *(*get_variable)(const char *name),
                void (*on_warning)(const char *text, void *userdata), void *userdata,
                struct tracer_config *ret_config) {
        struct loader loader = { .get = get_variable,
                .warn = on_warning,
                .userdata = userdata,
                .resource = BUF_INIT(RESOURCE_MAX) };
        int r;

        r = load_url(&loader, kind);
        if (r >= 0)
                r = load_headers(&loader);
        if (r >= 0)
                r = load_limits(&loader);
        if (r >= 0)
                r = load_resource(&loader, node);
        buf_done(&loader.resource);
        if (r < 0) {
                tracer_config_done(&loader.config);
                return r;
        }
        load_sampling(&loader);
        *ret_config = loader.config;
        return 0;
}

void tracer_config_done(struct tracer_config *config) {
        for (size_t i = 0; i < TRACER_HEADERS_MAX; i++)
                free(config->headers[i]);
        free(config->url);
        free(config->ca_file);
        free(config->resource);
        *config = (struct tracer_config){};
}
