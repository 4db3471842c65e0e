/* What OpenTelemetry's variables make of where traces go. */

#include <string.h>

#include "base/json.h"
#include "engine/tracer.h"
#include "test.h"

struct variable {
        const char *name, *value;
};

static const struct variable *variables;
static unsigned int n_warnings;
static char warning[512];

static const char *get(const char *name) {
        for (const struct variable *v = variables; v->name; v++)
                if (strcmp(v->name, name) == 0)
                        return v->value;
        return NULL;
}

static void on_warning(const char *text, void *userdata) {
        n_warnings++;
        (void) snprintf(warning, sizeof(warning), "%s", text);
}

#define LOAD(kind, config, ...) \
        load(kind, config, (const struct variable[]){ __VA_ARGS__{ NULL, NULL } })
static void load(enum tracer_kind kind, struct tracer_config *config, const struct variable *all) {
        tracer_config_done(config);
        variables = all;
        n_warnings = 0;
        warning[0] = '\0';
        assert_int_equal(tracer_config_load(kind, "node \"1\"", get, on_warning, NULL, config), 0);
}

static void an_address_is_found_in_order(void **state) {
        static const struct {
                const char *traces, *all, *url;
                unsigned int n_warnings;
        } rows[] = {
                { NULL, NULL, "http://localhost:4318/v1/traces", 0 },
                { "", "", "http://localhost:4318/v1/traces", 0 },
                { NULL, "http://c:4318", "http://c:4318/v1/traces", 0 },
                { NULL, "http://c:4318/", "http://c:4318/v1/traces", 0 },
                { NULL, "https://c/otlp//", "https://c/otlp/v1/traces", 0 },
                { "http://t:1/x", "http://c:4318", "http://t:1/x", 0 },
                { "http://t", NULL, "http://t", 0 },
                { NULL, "http://otel-collector:4317", "http://otel-collector:4317/v1/traces", 1 },
                { NULL, "c:4318", "http://localhost:4318/v1/traces", 1 },
                { NULL, "file:///etc/passwd", "http://localhost:4318/v1/traces", 1 },
                { NULL, "http://", "http://localhost:4318/v1/traces", 1 },
                { NULL, "http://:80", "http://localhost:4318/v1/traces", 1 },
                { NULL, "http://a b", "http://localhost:4318/v1/traces", 1 },
                { NULL, "http://a\nb", "http://localhost:4318/v1/traces", 1 },
                { "nonsense", "http://c", "http://c/v1/traces", 1 },
        };
        struct tracer_config config = {};

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                LOAD(TRACER_OPENTELEMETRY, &config,
                                { "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", rows[i].traces },
                                { "OTEL_EXPORTER_OTLP_ENDPOINT", rows[i].all },
                                { "OTEL_EXPORTER_JAEGER_AGENT_HOST", "jaeger" }, );
                assert_string_equal(config.url, rows[i].url);
                assert_int_equal(n_warnings, rows[i].n_warnings);
        }
        tracer_config_done(&config);
}

static void jaeger_is_its_host_unless_there_is_an_endpoint(void **state) {
        struct tracer_config config = {};

        LOAD(TRACER_JAEGER, &config, { "OTEL_EXPORTER_JAEGER_AGENT_HOST", "jaeger" },
                        { "OTEL_EXPORTER_JAEGER_AGENT_PORT", "6831" }, );
        assert_string_equal(config.url, "http://jaeger:4318/v1/traces");
        LOAD(TRACER_JAEGER, &config, { "OTEL_EXPORTER_JAEGER_AGENT_HOST", "fd00::1" }, );
        assert_string_equal(config.url, "http://[fd00::1]:4318/v1/traces");
        LOAD(TRACER_JAEGER, &config, { "OTEL_EXPORTER_JAEGER_AGENT_HOST", "jaeger" },
                        { "OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1" }, );
        assert_string_equal(config.url, "http://c:1/v1/traces");
        LOAD(TRACER_JAEGER, &config, { NULL, NULL }, );
        assert_string_equal(config.url, "http://localhost:4318/v1/traces");
        tracer_config_done(&config);
}

static size_t count(char *const *headers) {
        size_t n = 0;

        while (headers[n])
                n++;
        return n;
}

static void headers_are_decoded_and_cannot_be_split(void **state) {
        struct tracer_config config = {};
        char many[2048] = "";
        size_t own;

        LOAD(TRACER_OPENTELEMETRY, &config, { NULL, NULL }, );
        own = count(config.headers);
        assert_string_equal(config.headers[0], "Content-Type: application/json");

        LOAD(TRACER_OPENTELEMETRY, &config,
                        { "OTEL_EXPORTER_OTLP_HEADERS",
                                        "authorization=Bearer%20abc, x-a = 1=2 ,x-b=%zz" }, );
        assert_int_equal(count(config.headers), own + 3);
        assert_string_equal(config.headers[own], "authorization: Bearer abc");
        assert_string_equal(config.headers[own + 1], "x-a: 1=2");
        assert_string_equal(config.headers[own + 2], "x-b: %zz");
        assert_int_equal(n_warnings, 0);

        LOAD(TRACER_OPENTELEMETRY, &config, { "OTEL_EXPORTER_OTLP_HEADERS", "a=1" },
                        { "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2" }, );
        assert_int_equal(count(config.headers), own + 1);
        assert_string_equal(config.headers[own], "b: 2");

        LOAD(TRACER_OPENTELEMETRY, &config,
                        { "OTEL_EXPORTER_OTLP_HEADERS",
                                        "a=s3cret%0d%0aX: 1,b c=1,=1,s3cret,d=%00x" }, );
        assert_int_equal(count(config.headers), own + 1);
        assert_string_equal(config.headers[own], "d: %00x"); /* a NUL would end it: left as it is */
        assert_int_equal(n_warnings, 4);
        assert_null(strstr(warning, "s3cret"));

        for (int i = 0; i < 100; i++)
                (void) snprintf(many + strlen(many), sizeof(many) - strlen(many), "h%d=1,", i);
        LOAD(TRACER_OPENTELEMETRY, &config, { "OTEL_EXPORTER_OTLP_HEADERS", many }, );
        assert_int_equal(count(config.headers), TRACER_HEADERS_MAX);
        assert_int_equal(n_warnings, 100 - (TRACER_HEADERS_MAX - own));
        tracer_config_done(&config);
}

static const char *attribute(const struct tracer_config *config, const char *key) {
        static char value[512];
        _cleanup_(json_putp) struct json_object *all = NULL;
        char text[16384];
        unsigned int n = 0;

        (void) snprintf(text, sizeof(text), "[%s]", config->resource);
        if (json_parse(text, strlen(text), &all) < 0)
                fail_msg("no JSON: %s", text);
        for (size_t i = 0; i < json_object_array_length(all); i++) {
                struct json_object *one = json_object_array_get_idx(all, i);

                if (strcmp(json_get_string(one, "key"), key) != 0)
                        continue;
                n++;
                (void) snprintf(value, sizeof(value), "%s",
                                json_get_string(json_get(one, "value"), "stringValue"));
        }
        assert_in_range(n, 0, 1);
        return n ? value : NULL;
}

static void a_resource_has_a_name_a_version_and_a_host_once(void **state) {
        struct tracer_config config = {};

        LOAD(TRACER_OPENTELEMETRY, &config, { NULL, NULL }, );
        assert_string_equal(attribute(&config, "service.name"), "virtwatch");
        assert_string_equal(attribute(&config, "service.version"), VIRTWATCH_VERSION);
        assert_string_equal(attribute(&config, "host.name"), "node \"1\"");
        LOAD(TRACER_OPENTELEMETRY, &config,
                        { "OTEL_RESOURCE_ATTRIBUTES",
                                        "service.name=a,deployment=%22x%22,host.name=b,k=" }, );
        assert_string_equal(attribute(&config, "service.name"), "a");
        assert_string_equal(attribute(&config, "deployment"), "\"x\"");
        assert_string_equal(attribute(&config, "host.name"), "node \"1\"");
        assert_string_equal(attribute(&config, "k"), "");
        LOAD(TRACER_OPENTELEMETRY, &config, { "OTEL_SERVICE_NAME", "mine" },
                        { "OTEL_RESOURCE_ATTRIBUTES", "service.name=a" }, );
        assert_string_equal(attribute(&config, "service.name"), "mine");
        tracer_config_done(&config);
}

static void limits_and_samplers_that_are_not_understood_are_the_defaults(void **state) {
        struct tracer_config config = {};

        LOAD(TRACER_OPENTELEMETRY, &config, { NULL, NULL }, );
        assert_int_equal(config.timeout_us, 10 * USEC_PER_SEC);
        assert_int_equal(config.sampling.sampler, TRACE_SAMPLER_ALWAYS_ON);
        assert_true(config.sampling.parent_based);
        assert_false(config.disabled);
        assert_null(config.ca_file);
        LOAD(TRACER_OPENTELEMETRY, &config, { "OTEL_EXPORTER_OTLP_TIMEOUT", "250" },
                        { "OTEL_TRACES_SAMPLER", "traceidratio" },
                        { "OTEL_TRACES_SAMPLER_ARG", "0.5" },
                        { "OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem" }, );
        assert_int_equal(config.timeout_us, 250 * USEC_PER_MSEC);
        assert_int_equal(config.sampling.sampler, TRACE_SAMPLER_RATIO);
        assert_string_equal(config.ca_file, "/ca.pem");
        assert_int_equal(n_warnings, 0);
        LOAD(TRACER_OPENTELEMETRY, &config, { "OTEL_EXPORTER_OTLP_TIMEOUT", "0" },
                        { "OTEL_TRACES_SAMPLER", "mine" },
                        { "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc" }, );
        assert_int_equal(config.timeout_us, 10 * USEC_PER_SEC);
        assert_int_equal(config.sampling.sampler, TRACE_SAMPLER_ALWAYS_ON);
        assert_int_equal(n_warnings, 3);
        LOAD(TRACER_OPENTELEMETRY, &config, { "OTEL_EXPORTER_OTLP_TIMEOUT", "600001" },
                        { "OTEL_TRACES_SAMPLER", "traceidratio" },
                        { "OTEL_TRACES_SAMPLER_ARG", "7" }, );
        assert_int_equal(n_warnings, 2);
        assert_int_equal(config.sampling.sampler, TRACE_SAMPLER_RATIO);
        assert_true(config.sampling.ratio > 0.99);
        LOAD(TRACER_OPENTELEMETRY, &config, { "OTEL_SDK_DISABLED", "TRUE" }, );
        assert_true(config.disabled);
        LOAD(TRACER_OPENTELEMETRY, &config, { "OTEL_TRACES_EXPORTER", "none" }, );
        assert_true(config.disabled);
        tracer_config_done(&config);
}

static void kinds_have_words_in_any_case(void **state) {
        assert_int_equal(tracer_kind_from_string("OpenTelemetry"), TRACER_OPENTELEMETRY);
        assert_int_equal(tracer_kind_from_string("opentelemetry"), TRACER_OPENTELEMETRY);
        assert_int_equal(tracer_kind_from_string("Jaeger"), TRACER_JAEGER);
        assert_int_equal(tracer_kind_from_string("Off"), TRACER_OFF);
        assert_int_equal(tracer_kind_from_string(""), -EINVAL);
        assert_int_equal(tracer_kind_from_string("zipkin"), -EINVAL);
        assert_string_equal(tracer_kind_to_string(TRACER_OFF), "off");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_address_is_found_in_order),
                cmocka_unit_test(jaeger_is_its_host_unless_there_is_an_endpoint),
                cmocka_unit_test(headers_are_decoded_and_cannot_be_split),
                cmocka_unit_test(a_resource_has_a_name_a_version_and_a_host_once),
                cmocka_unit_test(limits_and_samplers_that_are_not_understood_are_the_defaults),
                cmocka_unit_test(kinds_have_words_in_any_case),
        };

        return RUN_TESTS(tests);
}
