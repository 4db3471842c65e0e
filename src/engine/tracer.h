#pragma once
/* Sends spans to a collector by OTLP over HTTP, as JSON: batches, one under way at a time, tried
 * again where the collector says so. What cannot be sent is dropped and counted; nothing waits for
 * it. Source: OTLP 1.x, section OTLP/HTTP; the environment by OpenTelemetry's SDK configuration. */

#include <systemd/sd-event.h>

#include "model/spans.h"

struct curl_glue;
struct tracer;

/* logging.tracing */
enum tracer_kind {
        TRACER_OFF,
        TRACER_OPENTELEMETRY,
        TRACER_JAEGER, /* the same protocol, to the port where Jaeger takes it */
};

#define TRACER_KINDS       3
#define TRACER_HEADERS_MAX 32

/** "off", "OpenTelemetry", "Jaeger"; from_string takes any case. Return: -EINVAL for others. */
const char *tracer_kind_to_string(enum tracer_kind kind);
int tracer_kind_from_string(const char *text);

struct tracer_config {
        char *url;                             /* of /v1/traces */
        char *headers[TRACER_HEADERS_MAX + 1]; /* "Name: value", NULL-terminated; secrets */
        char *ca_file;                         /* NULL: the system's */
        char *resource;                        /* attributes as JSON, without brackets */
        uint64_t timeout_us;                   /* of one export */
        struct trace_sampling sampling;
        bool disabled; /* OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER=none */
};

/**
 * What the environment says: OTEL_EXPORTER_OTLP_{,TRACES_}{ENDPOINT,HEADERS,TIMEOUT,CERTIFICATE,
 * PROTOCOL}, OTEL_EXPORTER_JAEGER_AGENT_HOST, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
 * OTEL_TRACES_{SAMPLER,SAMPLER_ARG,EXPORTER}, OTEL_SDK_DISABLED.
 *
 * @get_variable: getenv(), or one for tests
 * @node:     host.name
 * @on_warning: called with a sentence for each variable that is not understood, which is as if it
 *            were not set; no value of a header is in it
 *
 * Return: 0; -ENOMEM.
 */
int tracer_config_load(enum tracer_kind kind, const char *node,
                const char *(*get_variable)(const char *name),
                void (*on_warning)(const char *text, void *userdata), void *userdata,
                struct tracer_config *ret_config);
void tracer_config_done(struct tracer_config *config);

struct tracer_stats {
        uint64_t exported; /* spans the collector took */
        uint64_t rejected; /* spans it took and refused, and spans of batches it refused */
        uint64_t failed;   /* spans given up, as it did not answer or was not to be reached */
        uint64_t dropped;  /* spans that did not fit into the queue */
        uint64_t waiting;  /* now */
};

/** Off until it is configured. @curl is borrowed. Return: 0; -ENOMEM; errors of sd-event. */
int tracer_new(sd_event *event, struct curl_glue *curl, struct tracer **ret_tracer);
/** Spans that wait are lost. */
struct tracer *tracer_free(struct tracer *tracer);
DEFINE_FREEP(struct tracer, tracer_free);
/** Takes @config; NULL: off. What waits goes to where the new one says. */
void tracer_configure(struct tracer *tracer, struct tracer_config *config);
/** Borrowed; a thread that may outlive the tracer takes a reference. */
struct spans *tracer_spans(struct tracer *tracer);
void tracer_get_stats(const struct tracer *tracer, struct tracer_stats *ret_stats);

/* tracer_calls.c */
/** Transfers of @curl become spans, except the tracer's own. NULL: no more. */
void tracer_watch(struct curl_glue *curl, struct spans *spans);
