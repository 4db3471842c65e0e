/* One queue, two structs: the queue lives as long as a thread that may end a span, which may be one
 * that hangs in a peer. Spans are written where they end, into one text each, so that sending a
 * batch is no more than joining texts. */

#include "model/spans.h"

#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/text.h"

struct queue {
        struct spans spans; /* first */
        atomic_uint refs;
        pthread_mutex_t lock;
        struct trace_sampling sampling; /* under lock */
        struct list waiting;            /* under lock; of struct written */
        size_t n, bytes;                /* under lock */
        uint64_t dropped;               /* under lock */
        const struct trace_context *current;
};

struct written {
        struct list list;
        size_t size;
        char text[];
};

struct span {
        struct queue *queue;
        struct trace_context context;
        uint8_t parent_id[SPAN_ID_BYTES];
        bool has_parent, failed;
        enum span_kind kind;
        uint64_t time_us, mono_us;
        char name[SPAN_NAME_MAX + 1];
        char why[SPAN_VALUE_MAX + 1];
        struct buf attributes;
};

static struct queue *queue_of(struct spans *spans) {
        return CONTAINER_OF(spans, struct queue, spans);
}

int spans_new(struct spans **ret_spans) {
        struct queue *queue = calloc(1, sizeof(*queue));

        if (!queue)
                return -ENOMEM;
        atomic_init(&queue->refs, 1);
        (void) pthread_mutex_init(&queue->lock, NULL);
        list_init(&queue->waiting);
        *ret_spans = &queue->spans;
        return 0;
}

struct spans *spans_ref(struct spans *spans) {
        if (spans)
                (void) atomic_fetch_add(&queue_of(spans)->refs, 1);
        return spans;
}

static void forget_all(struct queue *queue) {
        struct written *written;

        while ((written = list_first(&queue->waiting, struct written, list))) {
                list_remove(&written->list);
                free(written);
        }
        queue->n = 0;
        queue->bytes = 0;
}

struct spans *spans_unref(struct spans *spans) {
        struct queue *queue = spans ? queue_of(spans) : NULL;

        if (!queue || atomic_fetch_sub(&queue->refs, 1) > 1)
                return NULL;
        forget_all(queue);
        (void) pthread_mutex_destroy(&queue->lock);
        free(queue);
        return NULL;
}

void spans_configure(struct spans *spans, const struct trace_sampling *sampling) {
        struct queue *queue = queue_of(spans);

        (void) pthread_mutex_lock(&queue->lock);
        if (sampling)
                queue->sampling = *sampling;
        else
                forget_all(queue);
        atomic_store_explicit(&spans->on, sampling != NULL, memory_order_relaxed);
        (void) pthread_mutex_unlock(&queue->lock);
}

size_t spans_take(struct spans *spans, size_t n_max, struct buf *out) {
        struct queue *queue = queue_of(spans);
        struct written *written;
        size_t n = 0, before;
        int r;

        (void) pthread_mutex_lock(&queue->lock);
        while (n < n_max && (written = list_first(&queue->waiting, struct written, list))) {
                before = out->size;
                r = n > 0 ? buf_append_str(out, ",") : 0;
                if (r >= 0)
                        r = buf_append(out, written->text, written->size);
                if (r < 0) {
                        out->size = before; /* a comma with nothing behind it */
                        if (out->data)
                                out->data[before] = '\0';
                        break;
                }
                list_remove(&written->list);
                queue->n--;
                queue->bytes -= written->size;
                free(written);
                n++;
        }
        (void) pthread_mutex_unlock(&queue->lock);
        return n;
}

void spans_get_stats(struct spans *spans, struct spans_stats *ret_stats) {
        struct queue *queue = queue_of(spans);

        (void) pthread_mutex_lock(&queue->lock);
        *ret_stats = (struct spans_stats){ .dropped = queue->dropped, .waiting = queue->n };
        (void) pthread_mutex_unlock(&queue->lock);
}

void spans_enter(struct spans *spans, const struct trace_context *context) {
        if (spans)
                queue_of(spans)->current = context;
}

void spans_leave(struct spans *spans) {
        if (spans)
                queue_of(spans)->current = NULL;
}

const struct trace_context *spans_current(const struct spans *spans) {
        return spans ? ((const struct queue *) (const void *) spans)->current : NULL;
}

/* ---- a span ---- */

struct span *span_begin(struct spans *spans, const struct trace_context *parent,
                enum span_kind kind, uint64_t time_us, uint64_t mono_us) {
        struct trace_sampling sampling;
        struct queue *queue;
        struct span *span;

        if (!spans_on(spans))
                return NULL;
        queue = queue_of(spans);
        span = calloc(1, sizeof(*span));
        if (!span)
                return NULL;
        (void) pthread_mutex_lock(&queue->lock);
        sampling = queue->sampling;
        (void) pthread_mutex_unlock(&queue->lock);

        span->queue = queue_of(spans_ref(spans));
        span->kind = kind;
        span->time_us = time_us;
        span->mono_us = mono_us;
        span->attributes.max = SPAN_TEXT_MAX;
        span->has_parent = parent != NULL;
        if (parent) {
                span->context = *parent;
                memcpy(span->parent_id, parent->span_id, SPAN_ID_BYTES);
        } else {
                trace_id_make(span->context.trace_id);
        }
        span_id_make(span->context.span_id);
        span->context.sampled = trace_sampling_choose(&sampling, parent, span->context.trace_id);
        return span;
}

static bool is_recorded(const struct span *span) {
        return span && span->context.sampled;
}

void span_name(struct span *span, const char *format, ...) {
        va_list args;

        if (!is_recorded(span))
                return;
        va_start(args, format);
        (void) vsnprintf(span->name, sizeof(span->name), format, args);
        va_end(args);
}

void span_call(struct span *span, const char *system, const char *service, const char *method) {
        if (!is_recorded(span))
                return;
        span_name(span, "%s%s%s", service ? service : system, service ? "/" : " ", method);
        span_add(span, "rpc.system", system);
        span_add(span, "rpc.service", service);
        span_add(span, "rpc.method", method);
}

int span_text(struct buf *out, const char *text, size_t max) {
        _cleanup_(freep) char *clean = NULL;
        const char *piece;
        int r;

        r = text_sanitize(text, strlen(text), max, &clean);
        for (const char *c = clean; r >= 0 && *c;) {
                for (piece = c; (unsigned char) *c >= 0x20 && *c != '"' && *c != '\\'; c++)
                        ;
                r = buf_append(out, piece, (size_t) (c - piece));
                if (r >= 0 && *c) {
                        r = *c == '"' || *c == '\\' ? buf_printf(out, "\\%c", *c)
                                                    : buf_printf(out, "\\u%04x", (unsigned int) *c);
                        c++;
                }
        }
        return r < 0 ? r : 0;
}

/* One that does not fit is left out whole. */
static void keep_whole(struct buf *buf, size_t before, int error) {
        if (error >= 0)
                return;
        buf->size = before;
        if (buf->data)
                buf->data[before] = '\0';
}

void span_add(struct span *span, const char *name, const char *value) {
        struct buf *buf = span ? &span->attributes : NULL;
        size_t before;
        int r;

        if (!is_recorded(span) || !value)
                return;
        before = buf->size;
        r = buf_printf(buf, "%s{\"key\":\"%s\",\"value\":{\"stringValue\":\"", before ? "," : "",
                        name);
        if (r >= 0)
                r = span_text(buf, value, SPAN_VALUE_MAX);
        if (r >= 0)
                r = buf_append_str(buf, "\"}}");
        keep_whole(buf, before, r);
}

void span_add_int(struct span *span, const char *name, int64_t value) {
        struct buf *buf = span ? &span->attributes : NULL;
        size_t before;
        int r;

        if (!is_recorded(span))
                return;
        before = buf->size;
        r = buf_printf(buf, "%s{\"key\":\"%s\",\"value\":{\"intValue\":\"%jd\"}}",
                        before ? "," : "", name, (intmax_t) value);
        keep_whole(buf, before, r);
}

void span_fail(struct span *span, const char *type, const char *why) {
        if (!is_recorded(span))
                return;
        span_add(span, "error.type", type);
        span->failed = true;
        (void) snprintf(span->why, sizeof(span->why), "%s", why ? why : "");
}

const struct trace_context *span_context(const struct span *span) {
        return span ? &span->context : NULL;
}

static int write_span(const struct span *span, uint64_t took_us, struct buf *out) {
        char trace_id[TRACE_HEX_MAX], id[TRACE_HEX_MAX];
        int r;

        r = buf_printf(out, "{\"traceId\":\"%s\",\"spanId\":\"%s\"",
                        trace_hex(span->context.trace_id, TRACE_ID_BYTES, trace_id),
                        trace_hex(span->context.span_id, SPAN_ID_BYTES, id));
        if (r >= 0 && span->has_parent)
                r = buf_printf(out, ",\"parentSpanId\":\"%s\"",
                                trace_hex(span->parent_id, SPAN_ID_BYTES, id));
        if (r >= 0 && span->context.state[0]) {
                r = buf_append_str(out, ",\"traceState\":\"");
                if (r >= 0)
                        r = span_text(out, span->context.state, TRACE_STATE_MAX);
                if (r >= 0)
                        r = buf_append_str(out, "\"");
        }
        if (r >= 0)
                r = buf_append_str(out, ",\"flags\":1,\"name\":\"");
        if (r >= 0)
                r = span_text(out, span->name[0] ? span->name : "unknown", SPAN_NAME_MAX);
        if (r >= 0) {
                r = buf_printf(out,
                                "\",\"kind\":%d,\"startTimeUnixNano\":\"%ju000\",\"endTimeUnixNano\":\"%ju000\",\"attributes\":[%s]",
                                (int) span->kind, (uintmax_t) span->time_us,
                                (uintmax_t) (span->time_us + took_us),
                                span->attributes.data ? span->attributes.data : "");
        }
        if (r >= 0 && span->failed) {
                r = buf_append_str(out, ",\"status\":{\"code\":2,\"message\":\"");
                if (r >= 0)
                        r = span_text(out, span->why, SPAN_VALUE_MAX);
                if (r >= 0)
                        r = buf_append_str(out, "\"}");
        }
        return r < 0 ? r : buf_append_str(out, "}");
}

static void queue_put(struct queue *queue, const struct buf *text) {
        struct written *written = text ? malloc(sizeof(*written) + text->size) : NULL;
        bool fits;

        (void) pthread_mutex_lock(&queue->lock);
        fits = written && queue->n < SPANS_MAX && queue->bytes + text->size <= SPANS_BYTES_MAX;
        if (!spans_on(&queue->spans)) {
                fits = false; /* switched off meanwhile: nobody waits for it */
        } else if (fits) {
                written->size = text->size;
                memcpy(written->text, text->data, text->size);
                list_append(&queue->waiting, &written->list);
                queue->n++;
                queue->bytes += text->size;
        } else {
                queue->dropped++;
        }
        (void) pthread_mutex_unlock(&queue->lock);
        if (!fits)
                free(written);
}

struct span *span_end(struct span *span, uint64_t mono_us) {
        _cleanup_(buf_done) struct buf text = BUF_INIT(2 * SPAN_TEXT_MAX);
        struct queue *queue;
        int r;

        if (!span)
                return NULL;
        queue = span->queue;
        if (is_recorded(span)) {
                r = write_span(span, mono_us > span->mono_us ? mono_us - span->mono_us : 0, &text);
                queue_put(queue, r < 0 ? NULL : &text);
        }
        buf_done(&span->attributes);
        free(span);
        (void) spans_unref(&queue->spans);
        return NULL;
}
