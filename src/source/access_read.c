/* Taking turns: a piece of each stream that has news, cut into lines. */

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "source/access_log_internal.h"

#define SETTLED_US (5 * USEC_PER_SEC) /* a file that is not written to any more has no more */

void access_log_take(struct access_log *log, struct access_stream *stream, const char *line,
                size_t size, bool too_long) {
        enum access_verdict verdict = ACCESS_TOO_LONG;
        struct access_line parsed;

        if (size > 0 && line[size - 1] == '\r')
                size--;
        if (size == 0 && !too_long)
                return;
        if (!too_long)
                verdict = access_line_parse(line, size, &log->rules, &parsed);
        if (verdict == ACCESS_OK) {
                while (rollup_set_add(access_log_set(log), &parsed, log->rules.now_us) < 0)
                        (void) usleep(10000);
                log->now.without_duration += !parsed.has_duration;
        }
        log->now.lines[verdict]++;
        stream->lines++;
        access_log_touch(log, stream);
}

/* Take the whole lines of a view. Return: how many bytes that were. */
static size_t take_lines(struct access_log *log, struct access_stream *stream, const char *data,
                size_t size) {
        const char *at = data, *end = data + size, *newline;

        for (;;) {
                while (at < end && !*at && !stream->skipping)
                        at++; /* a hole, before a line */
                newline = memchr(at, '\n', (size_t) (end - at));
                if (!newline)
                        break;
                if (!stream->skipping)
                        access_log_take(log, stream, at, (size_t) (newline - at),
                                        newline - at > (ptrdiff_t) ACCESS_LINE_MAX);
                stream->skipping = false;
                at = newline + 1;
        }
        if (stream->skipping) {
                at = end;
        } else if (end - at > (ptrdiff_t) ACCESS_LINE_MAX) {
                access_log_take(log, stream, at, (size_t) (end - at), true);
                stream->skipping = true;
                at = end;
        }
        return (size_t) (at - data);
}

/* Nothing will be added any more: the last line needs no newline. */
static void finish(struct access_log *log, struct access_stream *stream,
                const struct access_view *rest) {
        if (rest->size > 0 && !stream->skipping)
                access_log_take(log, stream, rest->data, rest->size, false);
        access_stream_consume(log, stream, rest->size);
        stream->skipping = false;
        stream->complete = true;
        access_stream_close(stream);
        access_log_touch(log, stream);
}

static bool is_settled(const struct access_stream *stream) {
        if (stream->live)
                return false;
        return stream->is_gzip || clock_realtime_us() >= stream->mtime_us + SETTLED_US;
}

static void read_failed(struct access_log *log, struct access_stream *stream, int error) {
        access_stream_close(stream);
        if (error == -ESTALE || error == -ENOENT) {
                log->scan_wanted = true; /* renamed meanwhile */
                return;
        }
        stream->tried_size = stream->size;
        if (!stream->failed)
                (void) log_warn_errno(error, "Cannot read access log %s: %m", stream->path);
        log->now.unreadable_files += !stream->failed;
        stream->failed = true;
        /* The scan tries again; but what is broken within stays so until it changes. */
        stream->broken = error == -EBADMSG;
}

/* Take a piece. Return: whether there is more at once. */
static bool read_stream(struct access_log *log, struct access_stream *stream) {
        struct access_view view;
        size_t done;
        int r;

        r = access_stream_open(stream);
        if (r >= 0)
                r = access_stream_view(log, stream, &view);
        if (r == -EAGAIN)
                return true;
        if (r == -ESTALE && stream->fd >= 0) {
                access_scan_truncated(log, stream);
                return true;
        }
        if (r < 0) {
                read_failed(log, stream, r);
                return false;
        }
        stream->failed = false;
        done = take_lines(log, stream, view.data, view.size);
        access_stream_consume(log, stream, done);
        if (!view.end)
                return true;
        stream->tried_size = stream->size;
        view.data += stream->is_gzip ? 0 : done;
        view.size -= done;
        if (stream->is_gzip && stream->pending.size > 0)
                view.data = stream->pending.data;
        if (is_settled(stream))
                finish(log, stream, &view);
        return false;
}

/* Has the file changed since it was read? Those that are open are asked, of the others the scan
 * knows. */
static bool has_news(struct access_log *log, struct access_stream *stream, bool tick) {
        struct stat st;

        if (stream->is_net || stream->forget || (!stream->in_place && stream->fd < 0))
                return false;
        if (tick && stream->live && stream->in_place)
                (void) access_stream_open(
                                stream); /* from now on it is asked; if not, reading tells */
        if (tick && stream->fd >= 0 && !stream->is_gzip && fstat(stream->fd, &st) >= 0) {
                stream->size = (uint64_t) st.st_size;
                stream->mtime_us = (uint64_t) st.st_mtim.tv_sec * USEC_PER_SEC;
        }
        if (stream->size != stream->tried_size)
                return true;
        return !stream->complete && !stream->is_gzip && tick && is_settled(stream);
}

bool access_read_streams(struct access_log *log, bool tick) {
        struct access_stream *stream, *next, *history = NULL;
        bool more = false;

        list_for_each_safe(stream, next, &log->streams, list) {
                if (!has_news(log, stream, tick))
                        continue;
                if (stream->live)
                        more = read_stream(log, stream) || more;
                else if (!history)
                        history = stream;
                else
                        more = true;
        }
        if (history)
                more = read_stream(log, history) || more;
        return more;
}
