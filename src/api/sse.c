/* Server-sent events. A client is a cursor: into the feed, or, as long as what it wants is older
 * than the feed's memory, into the journal. While there is nothing to send its connection is
 * suspended and costs nothing. */

#include <string.h>

#include "api/http_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/feed.h"
#include "store/journal.h"

#define OUT_MAX    (256U * 1024)
#define OUT_ENOUGH (16U * 1024)
#define BLOCK_SIZE (16U * 1024)
#define PAGE_SIZE  256

struct sse {
        struct list list;
        struct http *http;
        struct http_request *request; /* NULL once the client is gone, while a page is under way */
        struct feed_reader reader;
        struct buf out;
        size_t sent;             /* of out */
        bool heartbeat, reading; /* a page is under way */
};

static void sse_free(struct sse *sse) {
        feed_reader_done(&sse->reader);
        event_filter_done(&sse->reader.filter);
        buf_done(&sse->out);
        free(sse);
}

static void on_closed(void *userdata) {
        struct sse *sse = userdata;

        list_remove(&sse->list);
        sse->http->n_sse--;
        sse->request = NULL;
        feed_reader_done(&sse->reader);
        if (!sse->reading)
                sse_free(sse);
}

static void on_ready(struct feed_reader *reader) {
        struct sse *sse = CONTAINER_OF(reader, struct sse, reader);

        if (sse->request && !sse->reading)
                http_resume(sse->request);
}

static int put_event(struct sse *sse, const struct event *event) {
        return buf_printf(&sse->out, "id: %ju\ndata: %s\n\n", (uintmax_t) event->seq, event->json);
}

static void page_done(int error, struct event *const *events, size_t n, void *userdata) {
        struct sse *sse = userdata;

        sse->reading = false;
        if (!sse->request) {
                sse_free(sse);
                return;
        }
        if (error < 0)
                log_debug_errno(error, "Cannot read events for a reader: %m");
        for (size_t i = 0; i < n && put_event(sse, events[i]) >= 0; i++)
                sse->reader.next_seq = events[i]->seq + 1;
        if (n < PAGE_SIZE && sse->reader.next_seq < feed_first_seq(sse->http->api->feed))
                sse->reader.next_seq = feed_first_seq(sse->http->api->feed);
        http_resume(sse->request);
}

/* What it wants is older than memory: read a page. Return: whether one is under way. */
static bool read_back(struct sse *sse) {
        const struct journal_query query = { .after_seq = sse->reader.next_seq - 1,
                .limit = PAGE_SIZE,
                .filter = sse->reader.filter };

        if (sse->reader.next_seq >= feed_first_seq(sse->http->api->feed) ||
                        sse->reader.next_seq < journal_first_seq(sse->http->api->journal))
                return false;
        if (journal_read(sse->http->api->journal, &query, page_done, sse) < 0)
                return false; /* too many at once: the feed says what was missed */
        sse->reading = true;
        return true;
}

static void fill(struct sse *sse) {
        struct event *event;
        uint64_t missed;
        int r = 0;

        while (r >= 0 && sse->out.size < OUT_ENOUGH) {
                if (read_back(sse))
                        return;
                r = feed_next(&sse->reader, &event, &missed);
                if (r == 1) {
                        r = put_event(sse, event);
                } else if (r == -ESTALE) {
                        sse->http->sse_missed += missed;
                        r = buf_printf(&sse->out, "data: {\"warning\":\"missed %ju events\"}\n\n",
                                        (uintmax_t) missed);
                } else if (r == -EAGAIN) {
                        r = 0;
                } else {
                        return;
                }
        }
}

static ssize_t on_read(void *userdata, uint64_t position, char *to, size_t max) {
        struct sse *sse = userdata;
        size_t n;

        if (sse->http->closing || sse->http->api->stopping)
                return MHD_CONTENT_READER_END_OF_STREAM;
        if (sse->sent == sse->out.size) {
                buf_reset(&sse->out);
                sse->sent = 0;
                fill(sse);
                if (sse->out.size == 0 && sse->heartbeat)
                        (void) buf_append_str(&sse->out, ": heartbeat\n\n");
                sse->heartbeat = false;
        }
        n = sse->out.size - sse->sent;
        if (n == 0) {
                http_suspend(sse->request);
                return 0;
        }
        n = n < max ? n : max;
        memcpy(to, sse->out.data + sse->sent, n);
        sse->sent += n;
        return (ssize_t) n;
}

void sse_heartbeat(struct http *http) {
        struct sse *sse;

        list_for_each(sse, &http->sse, list) {
                sse->heartbeat = true;
                if (!sse->reading)
                        http_resume(sse->request);
        }
}

/* Last-Event-ID, else ?after=, else from now on. */
static int start_after(struct http_request *request, uint64_t *ret_after) {
        const char *text = http_header(request, "Last-Event-ID");
        uint64_t last = feed_last_seq(request->http->api->feed);

        if (!text || !text[0])
                text = http_query(request, "after");
        if (!text) {
                *ret_after = last;
                return 0;
        }
        if (text_to_u64(text, ret_after) < 0)
                return -EINVAL;
        if (*ret_after > last)
                *ret_after = last; /* from another life of the journal */
        return 0;
}

enum MHD_Result sse_open(struct http_request *request) {
        struct http *http = request->http;
        struct MHD_Response *response;
        struct event_filter filter;
        const char *field = "Last-Event-ID";
        enum MHD_Result result;
        char message[96];
        struct sse *sse;
        uint64_t after;

        if (http->n_sse >= http->config.sse_readers_max)
                return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "too_many_readers",
                                "no more event streams now");
        if (start_after(request, &after) < 0 || rest_filter(request, &filter, &field) < 0) {
                (void) snprintf(message, sizeof(message), "%s is not valid", field);
                return http_error(request, MHD_HTTP_BAD_REQUEST, "bad_request", message);
        }
        sse = calloc(1, sizeof(*sse));
        if (!sse) {
                event_filter_done(&filter);
                return MHD_NO;
        }
        sse->http = http;
        sse->request = request;
        sse->out.max = OUT_MAX;
        sse->reader.filter = filter;
        (void) buf_append_str(&sse->out, ": virtwatch\n\n");
        feed_reader_init(&sse->reader, http->api->feed, after, on_ready);
        list_append(&http->sse, &sse->list);
        http->n_sse++;

        response = MHD_create_response_from_callback(
                        MHD_SIZE_UNKNOWN, BLOCK_SIZE, on_read, sse, on_closed);
        if (!response) {
                on_closed(sse);
                return MHD_NO;
        }
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        (void) MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
        (void) MHD_set_connection_option(request->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
        result = MHD_queue_response(request->connection, MHD_HTTP_OK, response);
        MHD_destroy_response(response);
        request->status = MHD_HTTP_OK;
        request->is_stream = true;
        http_metrics_count(http->metrics, "GET", "/api/v1/events", MHD_HTTP_OK,
                        clock_monotonic_us() - request->begin_us);
        return result;
}
