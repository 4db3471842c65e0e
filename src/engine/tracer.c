/* One batch at a time, taken from the queue by a timer that runs only while tracing is on. A batch
 * that has to be tried again is kept; meanwhile the queue fills, and beyond its bound spans are
 * dropped where they end. */

#include "engine/tracer.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "loop/curl_glue.h"

#define PERIOD_US      (500 * USEC_PER_MSEC)
#define BATCH_SPANS    512
#define BATCH_BYTES    (4U << 20)
#define ANSWER_MAX     (64 * 1024)
#define TRIES_MAX      5
#define WAIT_MIN_US    USEC_PER_SEC
#define WAIT_MAX_US    (30 * USEC_PER_SEC)
#define RETRY_AFTER_US (300 * USEC_PER_SEC) /* we wait no longer, whatever it asks for */

struct tracer {
        struct curl_glue *curl;
        struct spans *spans;
        sd_event_source *timer;
        struct tracer_config config;
        bool on;
        struct curl_call *call;
        struct buf batch;
        size_t n_batch; /* spans in it; 0: there is none */
        unsigned int tries;
        uint64_t wait_us;
        struct tracer_stats stats;
        struct log_ratelimit limit;
};

static void arm(struct tracer *tracer, uint64_t wait_us) {
        if (!tracer->on || sd_event_source_set_time_relative(tracer->timer, wait_us) < 0 ||
                        sd_event_source_set_enabled(tracer->timer, SD_EVENT_ONESHOT) < 0)
                (void) sd_event_source_set_enabled(tracer->timer, SD_EVENT_OFF);
}

static void forget_batch(struct tracer *tracer) {
        buf_done(&tracer->batch);
        tracer->n_batch = 0;
        tracer->tries = 0;
}

/* At most a line a minute, however long it is away. */
static void complain(struct tracer *tracer, const char *what, const char *why) {
        unsigned int held;

        if (log_ratelimit_pass(&tracer->limit, clock_monotonic_us(), &held))
                log_warn("Cannot send traces: %s%s%s (%zu spans are lost, %u more such lines)",
                                what, why[0] ? ": " : "", why, tracer->n_batch, held);
}

/* OTLP: what may be tried again. Of errors, all that may pass: the rest of the batches would meet
 * the same fate otherwise, which is as well. */
static bool is_passing(int error, long status) {
        return error < 0 ? error != -ENOMEM && error != -EINVAL
                         : status == 429 || status == 502 || status == 503 || status == 504;
}

static uint64_t retry_after(struct curl_call *call) {
        const char *text = curl_call_field(call, "Retry-After");
        uint64_t seconds;

        if (!text || text_to_u64(text, &seconds) < 0) /* or a date: then as if it were not there */
                return 0;
        return seconds >= RETRY_AFTER_US / USEC_PER_SEC ? RETRY_AFTER_US : seconds * USEC_PER_SEC;
}

/* Doubles, spread by a quarter, so that many hosts do not come back as one. */
static uint64_t next_wait(struct tracer *tracer) {
        uint32_t spread;

        tracer->wait_us = tracer->wait_us ? tracer->wait_us * 2 : WAIT_MIN_US;
        if (tracer->wait_us > WAIT_MAX_US)
                tracer->wait_us = WAIT_MAX_US;
        arc4random_buf(&spread, sizeof(spread));
        return tracer->wait_us - tracer->wait_us / 4 + spread % (tracer->wait_us / 2);
}

/* {"partialSuccess":{"rejectedSpans":"3","errorMessage":"..."}} */
static uint64_t rejected_spans(struct tracer *tracer, const char *body, size_t size) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        const char *text;
        uint64_t n = 0;

        if (size == 0 || json_parse(body, size, &object) < 0)
                return 0;
        text = json_get_string(object, "partialSuccess/rejectedSpans");
        if (text ? text_to_u64(text, &n) < 0 : false)
                return 0;
        if (!text)
                n = (uint64_t) json_get_int(object, "partialSuccess/rejectedSpans", 0);
        return n > tracer->n_batch ? tracer->n_batch : n;
}

static void batch_ended(
                struct tracer *tracer, int error, long status, const char *body, size_t size) {
        uint64_t rejected;
        char what[64];

        if (error >= 0)
                tracer->wait_us = 0;
        if (error >= 0 && status >= 200 && status < 300) {
                rejected = rejected_spans(tracer, body, size);
                tracer->stats.exported += tracer->n_batch - rejected;
                tracer->stats.rejected += rejected;
        } else if (error >= 0) {
                tracer->stats.rejected += tracer->n_batch;
                (void) snprintf(what, sizeof(what), "the collector answers %ld", status);
                complain(tracer, what, "");
        } else {
                tracer->stats.failed += tracer->n_batch;
                complain(tracer, "the collector is not to be reached", strerrordesc_np(-error));
        }
        forget_batch(tracer);
}

static void on_done(struct curl_call *call, int error, long status, const char *body, size_t size,
                void *userdata) {
        struct tracer *tracer = userdata;
        uint64_t wait_us, asked_us;

        tracer->call = NULL;
        if (!is_passing(error, status)) {
                batch_ended(tracer, error, status, body, size);
                arm(tracer, PERIOD_US);
                return;
        }
        asked_us = error < 0 ? 0 : retry_after(call);
        if (tracer->tries >= TRIES_MAX && error < 0) {
                batch_ended(tracer, error, status, body, size);
        } else if (tracer->tries >= TRIES_MAX) {
                tracer->stats.failed += tracer->n_batch;
                complain(tracer, "the collector is overloaded", "");
                forget_batch(tracer);
        }
        wait_us = next_wait(tracer); /* also before the next batch: nothing has got better */
        arm(tracer, asked_us > wait_us ? asked_us : wait_us);
}

static int on_easy(CURL *easy, void *userdata) {
        const struct tracer *tracer = userdata;

        if (tracer->config.ca_file &&
                        curl_easy_setopt(easy, CURLOPT_CAINFO, tracer->config.ca_file) != CURLE_OK)
                return -EINVAL;
        return 0;
}

static int send_batch(struct tracer *tracer) {
        int r;

        tracer->tries++;
        r = curl_glue_start(tracer->curl,
                        &(struct curl_request){
                                        .url = tracer->config.url,
                                        .method = "POST",
                                        .headers = (const char *const *) tracer->config.headers,
                                        .body = tracer->batch.data,
                                        .body_size = tracer->batch.size,
                                        .timeout_us = tracer->config.timeout_us,
                                        .body_max = ANSWER_MAX,
                                        .unwatched = true,
                                        .on_easy = on_easy,
                                        .on_done = on_done,
                                        .userdata = tracer,
                        },
                        &tracer->call);
        if (r < 0)
                batch_ended(tracer, r, 0, NULL, 0);
        return r;
}

/* resourceSpans / scopeSpans / spans, as ExportTraceServiceRequest has them. */
static int make_batch(struct tracer *tracer) {
        struct buf *buf = &tracer->batch;
        int r;

        buf->max = BATCH_BYTES + 16384;
        r = buf_printf(buf,
                        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[%s]},\"scopeSpans\":[{\"scope\":{\"name\":\"virtwatch\",\"version\":\"%s\"},\"spans\":[",
                        tracer->config.resource, VIRTWATCH_VERSION);
        if (r < 0)
                return r;
        buf->max = BATCH_BYTES + 16384 - 64; /* its end must fit */
        tracer->n_batch = spans_take(tracer->spans, BATCH_SPANS, buf);
        buf->max += 64;
        r = buf_append_str(buf, "]}]}]}");
        if (r < 0)
                tracer->stats.failed += tracer->n_batch;
        return r;
}

static int on_timer(sd_event_source *source, uint64_t time_us, void *userdata) {
        struct tracer *tracer = userdata;
        struct spans_stats waiting;

        if (tracer->call)
                return 0; /* its end sets the next time */
        spans_get_stats(tracer->spans, &waiting);
        if (tracer->n_batch == 0 && waiting.waiting > 0 && make_batch(tracer) < 0)
                forget_batch(tracer);
        if (tracer->n_batch == 0 || send_batch(tracer) < 0)
                arm(tracer, PERIOD_US);
        return 0;
}

int tracer_new(sd_event *event, struct curl_glue *curl, struct tracer **ret_tracer) {
        _cleanup_(tracer_freep) struct tracer *tracer = NULL;
        int r;

        tracer = calloc(1, sizeof(*tracer));
        if (!tracer)
                return -ENOMEM;
        tracer->curl = curl;
        tracer->limit = (struct log_ratelimit){ .interval_us = 60 * USEC_PER_SEC, .burst = 1 };
        r = spans_new(&tracer->spans);
        if (r >= 0)
                r = sd_event_add_time(event, &tracer->timer, CLOCK_MONOTONIC, USEC_INFINITY,
                                100 * USEC_PER_MSEC, on_timer, tracer);
        if (r >= 0)
                r = sd_event_source_set_enabled(tracer->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(tracer->timer, "tracer");
        *ret_tracer = TAKE_PTR(tracer);
        return 0;
}

struct tracer *tracer_free(struct tracer *tracer) {
        if (!tracer)
                return NULL;
        if (tracer->spans)
                spans_configure(tracer->spans, NULL);
        tracer_watch(tracer->curl, NULL);
        curl_call_cancel(tracer->call);
        spans_unref(tracer->spans);
        sd_event_source_disable_unref(tracer->timer);
        buf_done(&tracer->batch);
        tracer_config_done(&tracer->config);
        free(tracer);
        return NULL;
}

void tracer_configure(struct tracer *tracer, struct tracer_config *config) {
        bool on = config && !config->disabled;

        tracer->call = curl_call_cancel(tracer->call); /* libcurl has it yet, or never answers */
        tracer->stats.failed += tracer->n_batch;
        tracer->wait_us = 0;
        forget_batch(tracer);
        tracer_config_done(&tracer->config);
        if (config) {
                tracer->config = *config;
                *config = (struct tracer_config){};
        }
        tracer->on = on;
        spans_configure(tracer->spans, on ? &tracer->config.sampling : NULL);
        tracer_watch(tracer->curl, on ? tracer->spans : NULL);
        arm(tracer, PERIOD_US);
}

struct spans *tracer_spans(struct tracer *tracer) {
        return tracer->spans;
}

void tracer_get_stats(const struct tracer *tracer, struct tracer_stats *ret_stats) {
        struct spans_stats queue;

        spans_get_stats(tracer->spans, &queue);
        *ret_stats = tracer->stats;
        ret_stats->dropped = queue.dropped;
        ret_stats->waiting = queue.waiting + tracer->n_batch;
}
