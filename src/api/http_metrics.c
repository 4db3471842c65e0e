/* Requests, counted by method, route and answer; their durations by method and route. */

#include <string.h>

#include "api/exposition.h"
#include "api/http_internal.h"
#include "api/tls_context.h"
#include "base/map.h"
#include "model/histogram.h"

#define SERIES_MAX 1000

struct request_series {
        char method[16], path[64], status[12];
        uint64_t count;
};

struct duration_series {
        char method[16], path[64];
        struct histogram histogram;
};

struct http_metrics {
        struct map *requests;  /* of struct request_series, by "method path status" */
        struct map *durations; /* of struct duration_series, by "method path" */
};

int http_metrics_new(struct http_metrics **ret_metrics) {
        struct http_metrics *metrics = calloc(1, sizeof(*metrics));
        int r;

        if (!metrics)
                return -ENOMEM;
        r = map_new(&metrics->requests);
        if (r >= 0)
                r = map_new(&metrics->durations);
        if (r < 0) {
                http_metrics_free(metrics);
                return r;
        }
        *ret_metrics = metrics;
        return 0;
}

static void free_all(struct map *map) {
        void *series;

        if (!map)
                return;
        map_for_each(series, map)
                free(series);
        map_free(map);
}

struct http_metrics *http_metrics_free(struct http_metrics *metrics) {
        if (!metrics)
                return NULL;
        free_all(metrics->requests);
        free_all(metrics->durations);
        free(metrics);
        return NULL;
}

/* Find or make; NULL: no memory, or too many, which routes and methods of ours never are. */
static void *get_series(struct map *map, const char *key, size_t size, bool *ret_is_new) {
        void *series = map_get(map, key);

        *ret_is_new = !series;
        if (series || map_size(map) >= SERIES_MAX)
                return series;
        series = calloc(1, size);
        if (series && map_put(map, key, series) < 0) {
                free(series);
                return NULL;
        }
        return series;
}

static void count_request(struct http_metrics *metrics, const char *method, const char *path,
                unsigned int status) {
        struct request_series *series;
        char key[128];
        bool is_new;

        (void) snprintf(key, sizeof(key), "%s %s %u", method, path, status);
        series = get_series(metrics->requests, key, sizeof(*series), &is_new);
        if (!series)
                return;
        if (is_new) {
                (void) snprintf(series->method, sizeof(series->method), "%s", method);
                (void) snprintf(series->path, sizeof(series->path), "%s", path);
                (void) snprintf(series->status, sizeof(series->status), "%u", status);
        }
        series->count++;
}

void http_metrics_count(struct http_metrics *metrics, const char *method, const char *path,
                unsigned int status, uint64_t took_us) {
        struct duration_series *series;
        char key[128];
        bool is_new;

        count_request(metrics, method, path, status);
        if (took_us == USEC_INFINITY)
                return;
        (void) snprintf(key, sizeof(key), "%s %s", method, path);
        series = get_series(metrics->durations, key, sizeof(*series), &is_new);
        if (!series)
                return;
        if (is_new) {
                (void) snprintf(series->method, sizeof(series->method), "%s", method);
                (void) snprintf(series->path, sizeof(series->path), "%s", path);
        }
        histogram_observe(&series->histogram, took_us);
}

void http_metrics_render_tls(const struct http *http, struct exposition *exposition) {
        static const struct metric_family handshakes = { "virtwatch_tls_handshakes", METRIC_COUNTER,
                NULL, "Connections to listeners with TLS, by how their handshake ended" };
        static const struct metric_family expiry = { "virtwatch_tls_certificate_expiry_seconds",
                METRIC_GAUGE, "seconds", "When the server's certificate ends, since 1970" };
        static const char *const names[] = { "result" };
        bool begun = false;

        for (unsigned int i = 0; i < TLS_END_MAX_; i++) {
                const char *const values[] = { tls_end_to_string((enum tls_end) i) };

                if (http->tls_ends[i] == 0)
                        continue;
                if (!begun)
                        exposition_family(exposition, &handshakes);
                begun = true;
                exposition_sample(exposition, &(struct metric_labels){ names, values, 1 },
                                http->tls_ends[i]);
        }
        if (http->config.tls)
                exposition_one(exposition, &expiry,
                                (uint64_t) tls_context_expires(http->config.tls));
}

void http_metrics_render(const struct http_metrics *metrics, struct exposition *exposition) {
        static const struct metric_family requests = { "virtwatch_http_requests", METRIC_COUNTER,
                NULL, "HTTP requests answered" };
        static const struct metric_family durations = { "virtwatch_http_request_duration_seconds",
                METRIC_HISTOGRAM, "seconds", "From a request's first line to its answer's head" };
        static const char *const names[] = { "method", "path", "status" };
        struct duration_series *duration;
        struct request_series *request;

        if (map_size(metrics->requests) > 0)
                exposition_family(exposition, &requests);
        map_for_each(request, metrics->requests) {
                const char *const values[] = { request->method, request->path, request->status };

                exposition_sample(exposition, &(struct metric_labels){ names, values, 3 },
                                request->count);
        }
        if (map_size(metrics->durations) > 0)
                exposition_family(exposition, &durations);
        map_for_each(duration, metrics->durations) {
                const char *const values[] = { duration->method, duration->path };

                exposition_histogram(exposition, &(struct metric_labels){ names, values, 2 },
                                &duration->histogram);
        }
}
