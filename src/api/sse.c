/* Server-sent events. A client is a cursor: into the journal as long as what it wants is older than
 * the feed's memory, then into the feed. Once there, it is told how many events it missed if it
 * falls out. While there is nothing to send its connection is suspended and costs nothing. */

#include <poll.h>
#include <string.h>

#include "api/http_cors.h"
#include "api/http_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/feed.h"
#include "store/journal.h"

#define OUT_ENOUGH (64U * 1024)  /* of a page: a client that does not read keeps no more of it */
#define OUT_MAX    (256U * 1024) /* that, and one of the largest events */
#define BLOCK_SIZE (16U * 1024)
#define FRAME_MAX  40 /* what stands round an event's JSON */
#define PAGE_SIZE  64
#define MISSED_MAX (UINT64_C(1) << 40) /* beyond, numbers began anew in between: see journal.h */
#define READS_MAX  32 /* pages under way at a time; the journal takes 64 from all faces together */

static const char heartbeat[] = ": heartbeat\n\n";

struct sse {
        struct list list;
        struct http *http;
        struct http_request *request; /* NULL once the client is gone, while a page is under way */
        struct feed_reader reader;
        char *to;                /* where libmicrohttpd wants bytes, while it asks for them */
        size_t room, asked;      /* bytes left there, and in all */
        struct buf out;          /* what did not fit there */
        size_t sent;             /* of out */
        uint64_t up_to;          /* durable when the page under way was asked for */
        bool heartbeat, reading; /* a page is under way */
        bool queued;             /* wants a page, when there is a place */
        bool live;               /* reads the feed */
        bool has_cursor;         /* the client named the last event it has */
        bool ended;              /* its token is in force no more */
        bool failed;             /* to be ended: the client reconnects where it was */
        bool dead;               /* failed since the client has closed: counts no more */
};

static void sse_free(struct sse *sse) {
        feed_reader_done(&sse->reader);
        event_filter_done(&sse->reader.filter);
        buf_done(&sse->out);
        free(sse);
}

/* A place has become free: the one that waits first takes it when it is asked for bytes. */
static void wake_queued(struct http *http) {
        struct sse *sse;

        list_for_each(sse, &http->sse, list) {
                if (sse->queued) {
                        sse->queued = false;
                        http_resume(sse->request);
                        return;
                }
        }
}

static void on_closed(void *userdata) {
        struct sse *sse = userdata;
        struct http *http = sse->http;

        list_remove(&sse->list);
        if (!sse->dead)
                http->n_sse--;
        sse->request = NULL;
        feed_reader_done(&sse->reader);
        if (sse->reading)
                http->n_sse_reads--; /* the page finds nobody and frees sse */
        else
                sse_free(sse);
        if (!http->closing)
                wake_queued(http);
}

static void on_ready(struct feed_reader *reader) {
        struct sse *sse = CONTAINER_OF(reader, struct sse, reader);

        if (sse->request)
                http_resume(sse->request);
}

/* Half an event would swallow the next one, so a failure ends the stream. */
static int put(struct sse *sse, const char *data, size_t size) {
        size_t n = 0;
        int r;

        if (sse->out.size == 0 && sse->room > 0) {
                n = size < sse->room ? size : sse->room;
                memcpy(sse->to, data, n);
                sse->to += n;
                sse->room -= n;
        }
        r = n < size ? buf_append(&sse->out, data + n, size - n) : 0;
        if (r < 0)
                sse->failed = true;
        return r;
}

/* By hand: with a hundred readers, printf() was what the loop did most of its time. */
static int put_event(struct sse *sse, const struct event *event) {
        char head[FRAME_MAX], *begin = head + sizeof(head);
        uint64_t number = event->seq;
        int r;

        /* NOLINTBEGIN(bugprone-not-null-terminated-result): it has a size */
        begin = memcpy(begin - strlen("\ndata: "), "\ndata: ", strlen("\ndata: "));
        do
                *--begin = (char) ('0' + number % 10);
        while ((number /= 10) > 0);
        begin = memcpy(begin - strlen("id: "), "id: ", strlen("id: "));
        /* NOLINTEND(bugprone-not-null-terminated-result) */

        r = put(sse, begin, (size_t) (head + sizeof(head) - begin));
        if (r >= 0)
                r = put(sse, event->json, event->json_size);
        return r < 0 ? r : put(sse, "\n\n", 2);
}

static void page_done(int error, struct event *const *events, size_t n, void *userdata) {
        struct sse *sse = userdata;
        struct http *http;
        size_t i = 0;

        sse->reading = false;
        if (!sse->request) {
                sse_free(sse);
                return;
        }
        http = sse->http;
        http->n_sse_reads--;
        if (error < 0) {
                log_warn_errno(error, "Cannot read events for a stream, ending it: %m");
                sse->failed = true;
        }
        /* What is durable but not in the feed yet will come from there. */
        while (n > 0 && events[n - 1]->seq > feed_last_seq(http->api->feed))
                n--;
        for (; i < n && sse->out.size < OUT_ENOUGH && put_event(sse, events[i]) >= 0; i++)
                sse->reader.next_seq = events[i]->seq + 1; /* the others are read again */
        if (error >= 0 && i == n && n < PAGE_SIZE && sse->reader.next_seq <= sse->up_to)
                sse->reader.next_seq = sse->up_to + 1; /* the rest was filtered */
        http_resume(sse->request);
        wake_queued(http);
}

static void put_missed(struct sse *sse, uint64_t missed) {
        static const char unknown[] =
                        "data: {\"warning\":\"missed events, it is not known how many\"}\n\n";
        char text[80];
        int n;

        if (missed >= MISSED_MAX) {
                (void) put(sse, unknown, strlen(unknown));
                return;
        }
        sse->http->sse_missed += missed;
        n = snprintf(text, sizeof(text), "data: {\"warning\":\"missed %ju events\"}\n\n",
                        (uintmax_t) missed);
        (void) put(sse, text, (size_t) n);
}

/* As long as what it wants is older than memory, read pages. Return: whether one is awaited. */
static bool catch_up(struct sse *sse) {
        const struct api_context *api = sse->http->api;
        const uint64_t first = feed_first_seq(api->feed);
        uint64_t stored = journal_first_seq(api->journal);
        struct journal_query query = { .limit = PAGE_SIZE, .filter = sse->reader.filter };
        int r;

        if (sse->live || sse->reading || sse->queued)
                return !sse->live;
        if (stored == 0 || stored > first)
                stored = first;
        if (sse->reader.next_seq < stored) { /* retention has taken them */
                if (sse->has_cursor)
                        put_missed(sse, stored - sse->reader.next_seq);
                sse->reader.next_seq = stored;
        }
        sse->live = sse->reader.next_seq >= first;
        if (sse->live)
                return false;

        query.after_seq = sse->reader.next_seq - 1;
        r = sse->http->n_sse_reads < READS_MAX ? journal_read(api->journal, &query, page_done, sse)
                                               : -EAGAIN;
        if (r == -EAGAIN) {
                sse->queued = true;
        } else if (r < 0) {
                sse->failed = true;
        } else {
                sse->up_to = feed_last_seq(api->feed);
                sse->reading = true;
                sse->http->n_sse_reads++;
        }
        return true;
}

static void fill(struct sse *sse) {
        struct event *event;
        uint64_t missed;
        int r = 0;

        while (r >= 0 && sse->room > 0 && !sse->failed) {
                if (catch_up(sse))
                        return;
                r = feed_next(&sse->reader, &event, &missed);
                if (r == 1 && event->json_size + FRAME_MAX > sse->room && sse->room < sse->asked) {
                        sse->reader.next_seq = event->seq; /* whole with the next block */
                        return;
                }
                if (r == 1) {
                        r = put_event(sse, event);
                } else if (r == -ESTALE) {
                        put_missed(sse, missed);
                        r = 0;
                } else if (r == -EAGAIN) {
                        r = 0;
                } else {
                        return;
                }
        }
}

/* Bytes that are left over first, then events straight to where they are wanted. */
static ssize_t on_read(void *userdata, uint64_t position, char *to, size_t max) {
        struct sse *sse = userdata;
        size_t n = sse->out.size - sse->sent;

        if (sse->http->closing || sse->http->api->stopping || sse->ended ||
                        sse->request->listener->closing)
                return MHD_CONTENT_READER_END_OF_STREAM;
        if (n > 0) {
                n = n < max ? n : max;
                memcpy(to, sse->out.data + sse->sent, n);
                sse->sent += n;
                return (ssize_t) n;
        }
        buf_reset(&sse->out);
        sse->sent = 0;
        sse->to = to;
        sse->room = sse->asked = max;
        if (!sse->failed)
                fill(sse);
        if (sse->room == max && sse->heartbeat && !sse->failed)
                (void) put(sse, heartbeat, strlen(heartbeat));
        n = max - sse->room;
        sse->room = 0;
        if (n > 0) {
                sse->heartbeat = false;
                return (ssize_t) n;
        }
        if (sse->failed)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        sse->heartbeat = false;
        buf_done(&sse->out); /* a sleeping client keeps no memory */
        http_suspend(sse->request);
        return 0;
}

void sse_heartbeat(struct http *http) {
        struct sse *sse;

        list_for_each(sse, &http->sse, list) {
                sse->heartbeat = true;
                sse->queued = false; /* tries again, should the places be others' */
                http_resume(sse->request);
        }
}

void sse_end(struct http *http, const char *token_id) {
        struct sse *sse;

        list_for_each(sse, &http->sse, list) {
                if (strcmp(sse->request->caller.token_id, token_id) != 0)
                        continue;
                sse->ended = true;
                http_resume(sse->request);
        }
}

/* Last-Event-ID, else ?after=, else all there is since ?since=, else from now on.
 *
 * @ret_lost: whether it is of another life of the journal, whose numbers began anew since: what
 * came in between is nobody's to count
 *
 * Return: whether the client named an event; -EINVAL and the field's name. */
static int start_after(struct http_request *request, uint64_t *ret_after, bool *ret_lost,
                const char **ret_field) {
        const char *text = http_header(request, "Last-Event-ID");
        uint64_t last = feed_last_seq(request->http->api->feed);

        *ret_lost = false;
        *ret_field = "Last-Event-ID";
        if (!text || !text[0]) {
                *ret_field = "after";
                text = http_query(request, "after");
        }
        if (!text) {
                *ret_after = http_query(request, "since") ? 0 : last;
                return 0;
        }
        if (text_to_u64(text, ret_after) < 0)
                return -EINVAL;
        *ret_lost = *ret_after > last;
        if (*ret_lost)
                *ret_after = last;
        return 1;
}

/* That a sleeping client has closed shows only when something is sent. When places run out, look.
 */
static void reap(struct http *http) {
        const union MHD_ConnectionInfo *info;
        struct pollfd end = { .events = POLLRDHUP };
        struct sse *sse;

        list_for_each(sse, &http->sse, list) {
                info = sse->dead ? NULL
                                 : MHD_get_connection_info(sse->request->connection,
                                                   MHD_CONNECTION_INFO_CONNECTION_FD);
                if (!info)
                        continue;
                end.fd = info->connect_fd;
                if (poll(&end, 1, 0) > 0) {
                        sse->dead = sse->failed = true;
                        http->n_sse--;
                        http_resume(sse->request);
                }
        }
}

/* What every stream's answer has; takes @response. */
enum MHD_Result sse_answer(struct http_request *request, struct MHD_Response *response) {
        enum MHD_Result result;

        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept");
        http_cors_add(request, response);
        (void) MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
        (void) MHD_set_connection_option(request->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
        result = MHD_queue_response(request->connection, MHD_HTTP_OK, response);
        MHD_destroy_response(response);
        request->status = MHD_HTTP_OK;
        request->is_stream = true;
        http_metrics_count(request->http->metrics, request->method, "/api/v1/events", MHD_HTTP_OK,
                        clock_monotonic_us() - request->begin_us);
        return result;
}

enum MHD_Result sse_open(struct http_request *request) {
        struct http *http = request->http;
        struct MHD_Response *response;
        struct event_filter filter;
        const char *field;
        struct sse *sse;
        uint64_t after;
        bool lost;
        int r;

        if (http->n_sse >= http->config.sse_readers_max)
                reap(http);
        if (http->n_sse >= http->config.sse_readers_max)
                return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "too_many_readers",
                                "no more event streams now");
        r = start_after(request, &after, &lost, &field);
        if (r < 0 || rest_filter(request, &filter, &field) < 0)
                return rest_query_refused(request, field);
        sse = calloc(1, sizeof(*sse));
        if (!sse) {
                event_filter_done(&filter);
                return MHD_NO;
        }
        sse->http = http;
        sse->request = request;
        sse->has_cursor = r > 0;
        sse->out.max = OUT_MAX;
        if (sse->has_cursor)
                filter.since_us = 0; /* it says where to begin, and here that is the cursor: a page
                                        that reconnects asks by the same address again */
        sse->reader.filter = filter;
        (void) buf_append_str(&sse->out, ": virtwatch\n\n");
        if (lost)
                put_missed(sse, MISSED_MAX);
        feed_reader_init(&sse->reader, http->api->feed, after, on_ready);
        list_append(&http->sse, &sse->list);
        http->n_sse++;

        response = MHD_create_response_from_callback(
                        MHD_SIZE_UNKNOWN, BLOCK_SIZE, on_read, sse, on_closed);
        if (!response) {
                on_closed(sse);
                return MHD_NO;
        }
        return sse_answer(request, response);
}
