/* Samples as they are taken: one round a tick, rendered once for all who want everything. A round
 * is of use only while it is new, so a client that has not taken the last one misses the next, and
 * is told how many it has missed. */

#include <string.h>

#include "api/http_internal.h"
#include "api/view.h"
#include "base/clock.h"
#include "base/json.h"
#include "engine/apps.h"
#include "engine/sampler.h"
#include "engine/tracker.h"

#define ROUND_MAX  (32U << 20)
#define BLOCK_SIZE (32U * 1024)

/* One round as text, shared by the streams that are sending it. */
struct sample_round {
        unsigned int refs;
        struct buf text;
};

struct sample_stream {
        struct list list;
        struct http *http;
        struct http_request *request;
        char *name; /* only this workload's, by id or name; NULL: all */
        struct sample_round *round;
        size_t sent;
        uint64_t missed;
        bool greeted, heartbeat, ended;
};

static struct sample_round *round_unref(struct sample_round *round) {
        if (!round || --round->refs > 0)
                return NULL;
        buf_done(&round->text);
        free(round);
        return NULL;
}

static int put_sample(
                struct buf *text, const struct workload *workload, const struct sample *sample) {
        _cleanup_(json_putp) struct json_object *object = view_sample(sample);
        const char *json;
        int r;

        (void) json_add_string(object, "id", workload->id);
        (void) json_add_string(object, "name", workload->name);
        (void) json_add_string(object, "kind", workload_kind_to_string(workload->kind));
        json = object ? json_text(object) : NULL;
        if (!json)
                return -ENOMEM;
        r = buf_append_str(text, "data: ");
        if (r >= 0)
                r = buf_append_str(text, json);
        return r < 0 ? r : buf_append_str(text, "\n\n");
}

static bool is_wanted(const struct api_context *api, const struct workload *workload,
                const char *name, const struct limit *limit) {
        if (name && strcmp(name, workload->name) != 0 && strcmp(name, workload->id) != 0)
                return false;
        return !limit ||
                        limit_has_workload(limit, workload->id, workload->name,
                                        apps_slug_of(api->apps, workload));
}

/* The samples of the slot at @at_us, of @name or of all, within @limit. */
static struct sample_round *round_new(const struct api_context *api, uint64_t at_us,
                const char *name, const struct limit *limit) {
        struct sample_round *round = calloc(1, sizeof(*round));
        struct workload *workload;
        int r = 0;

        if (!round)
                return NULL;
        round->refs = 1;
        round->text.max = ROUND_MAX;
        inventory_for_each(workload, tracker_inventory(api->tracker)) {
                const struct series *series;
                const struct sample *sample;

                if (!is_wanted(api, workload, name, limit))
                        continue; /* first: streams of one workload are as many as clients like */
                series = sampler_get(api->sampler, workload->id);
                sample = series ? ring_newest(&series->ring) : NULL;
                if (!sample || !series->running || sample->at_us != at_us)
                        continue;
                r = r < 0 ? r : put_sample(&round->text, workload, sample);
        }
        return r < 0 ? round_unref(round) : round;
}

void sse_samples_ready(struct http *http, uint64_t at_us) {
        struct sample_round *all = NULL;
        struct sample_stream *stream;

        list_for_each(stream, &http->sample_streams, list) {
                if (stream->round) {
                        stream->missed++;
                        continue;
                }
                if (stream->name || stream->request->caller.limit) {
                        stream->round = round_new(http->api, at_us, stream->name,
                                        stream->request->caller.limit);
                } else {
                        if (!all)
                                all = round_new(http->api, at_us, NULL, NULL);
                        if (all)
                                all->refs++;
                        stream->round = all;
                }
                stream->sent = 0;
                if (!stream->round)
                        stream->missed++; /* no memory for it */
                else
                        http_resume(stream->request);
        }
        round_unref(all);
}

void sse_samples_heartbeat(struct http *http) {
        struct sample_stream *stream;

        list_for_each(stream, &http->sample_streams, list) {
                stream->heartbeat = true;
                http_resume(stream->request);
        }
}

void sse_samples_end(struct http *http, const char *token_id) {
        struct sample_stream *stream;

        list_for_each(stream, &http->sample_streams, list) {
                if (strcmp(stream->request->caller.token_id, token_id) != 0)
                        continue;
                stream->ended = true;
                http_resume(stream->request);
        }
}

static ssize_t put_text(char *to, size_t max, const char *text) {
        size_t n = strlen(text);

        assert(n <= max);
        memcpy(to, text, n); /* NOLINT(bugprone-not-null-terminated-result): it has a size */
        return (ssize_t) n;
}

static ssize_t on_read(void *userdata, uint64_t position, char *to, size_t max) {
        struct sample_stream *stream = userdata;
        char text[80];
        size_t n;

        if (stream->http->closing || stream->http->api->stopping || stream->ended ||
                        stream->request->listener->closing)
                return MHD_CONTENT_READER_END_OF_STREAM;
        if (max < sizeof(text))
                return 0;
        if (!stream->greeted) {
                stream->greeted = true;
                return put_text(to, max, ": virtwatch\n\n");
        }
        if (stream->round && stream->sent < stream->round->text.size) {
                n = stream->round->text.size - stream->sent;
                n = n < max ? n : max;
                memcpy(to, stream->round->text.data + stream->sent, n);
                stream->sent += n;
                return (ssize_t) n;
        }
        stream->round = round_unref(stream->round);
        if (stream->missed) {
                (void) snprintf(text, sizeof(text), "data: {\"warning\":\"missed %ju rounds\"}\n\n",
                                (uintmax_t) stream->missed);
                stream->missed = 0;
                return put_text(to, max, text);
        }
        if (stream->heartbeat) {
                stream->heartbeat = false;
                return put_text(to, max, ": heartbeat\n\n");
        }
        http_suspend(stream->request);
        return 0;
}

static void on_closed(void *userdata) {
        struct sample_stream *stream = userdata;

        list_remove(&stream->list);
        stream->http->n_sse--;
        round_unref(stream->round);
        free(stream->name);
        free(stream);
}

enum MHD_Result sse_samples_open(struct http_request *request) {
        const char *name = http_query(request, "name");
        struct http *http = request->http;
        struct MHD_Response *response;
        struct sample_stream *stream;

        if (!http->api->sampler || http->n_sse >= http->config.sse_readers_max)
                return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "too_many_readers",
                                "no more streams now");
        stream = calloc(1, sizeof(*stream));
        if (!stream)
                return MHD_NO;
        stream->http = http;
        stream->request = request;
        stream->name = name ? strdup(name) : NULL;
        list_append(&http->sample_streams, &stream->list);
        http->n_sse++;
        response = name && !stream->name ? NULL
                                         : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
                                                           BLOCK_SIZE, on_read, stream, on_closed);
        if (!response) {
                on_closed(stream);
                return MHD_NO;
        }
        return sse_answer(request, response);
}
