/* One file's content, as it is or decompressed. A file that is written to is looked at again after
 * each reading: only if its first bytes are still what they were, and it has not become shorter,
 * was that the same content. */

#include <fcntl.h>
#include <string.h>

#include "source/access_log_internal.h"

#define SKIP_PER_TURN (16U << 20) /* bytes decompressed only to get where we were */
#define GZIP_BUFFER   (128U << 10)
#define HEAD_TELLING  200 /* bytes of a line, of which the time and the client's port are part */

/* A hole at the beginning, which a writer makes that does not append, is nothing to know it by. */
bool access_head_is_telling(const char *head, size_t size) {
        return !memchr(head, '\0', size) && (size >= HEAD_TELLING || memchr(head, '\n', size));
}

static gzFile gzip_open(int fd) {
        int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        gzFile gzip;

        if (own < 0)
                return NULL;
        (void) lseek(own, 0, SEEK_SET);
        gzip = gzdopen(own, "rb");
        if (!gzip)
                (void) close(own);
        else
                (void) gzbuffer(gzip, GZIP_BUFFER);
        return gzip;
}

ssize_t access_head_read(int fd, bool is_gzip, char head[static ACCESS_HEAD_MAX]) {
        gzFile gzip;
        ssize_t n;

        if (!is_gzip) {
                n = pread(fd, head, ACCESS_HEAD_MAX, 0);
                return n < 0 ? -errno : n;
        }
        gzip = gzip_open(fd);
        if (!gzip)
                return -ENOMEM;
        n = gzread(gzip, head, ACCESS_HEAD_MAX);
        (void) gzclose(gzip);
        return n < 0 ? -EBADMSG : n;
}

int access_stream_open(struct access_stream *stream) {
        _cleanup_(fd_closep) int fd = -EBADF;
        struct stat st;

        if (stream->fd >= 0)
                return 0;
        fd = open(stream->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_dev != stream->device || st.st_ino != stream->inode)
                return -ESTALE;
        stream->fd = TAKE_FD(fd);
        return 0;
}

static void gzip_close(struct access_stream *stream) {
        if (stream->gzip)
                (void) gzclose(stream->gzip);
        stream->gzip = NULL;
        stream->gzip_at = stream->gzip_read = 0;
        buf_done(&stream->pending);
}

void access_stream_close(struct access_stream *stream) {
        gzip_close(stream);
        stream->fd = fd_close(stream->fd);
}

/* Is the file still the one that was read? Its first bytes may have become more. */
static int check_content(struct access_stream *stream) {
        char head[ACCESS_HEAD_MAX];
        struct stat st;
        ssize_t n;

        if (fstat(stream->fd, &st) < 0)
                return -errno;
        stream->size = (uint64_t) st.st_size;
        n = access_head_read(stream->fd, false, head);
        if (n < 0)
                return (int) n;
        if (stream->size < stream->offset || (size_t) n < stream->head_size ||
                        memcmp(head, stream->head, stream->head_size) != 0)
                return -ESTALE;
        if ((size_t) n > stream->head_size) {
                memcpy(stream->head, head, (size_t) n);
                stream->head_size = (size_t) n;
                stream->dirty = true;
        }
        return 0;
}

static int view_plain(struct access_log *log, struct access_stream *stream,
                struct access_view *ret_view) {
        size_t want = ACCESS_CHUNK;
        ssize_t n;
        int r;

        n = pread(stream->fd, log->chunk, want, (off_t) stream->offset);
        if (n == (ssize_t) want && !memchr(log->chunk, '\n', want)) {
                want = ACCESS_LINE_MAX + 1;
                n = pread(stream->fd, log->chunk, want, (off_t) stream->offset);
        }
        if (n < 0)
                return -errno;
        r = check_content(stream);
        if (r < 0)
                return r;
        *ret_view = (struct access_view){
                .data = log->chunk, .size = (size_t) n, .end = (size_t) n < want
        };
        return 0;
}

/* Return: how much was decompressed, 0 at the end; -EBADMSG. */
static int decompress(struct access_log *log, struct access_stream *stream, unsigned int max) {
        z_off_t at;
        int n, error = Z_OK;

        n = gzread(stream->gzip, log->chunk, max);
        if (n <= 0)
                (void) gzerror(stream->gzip, &error);
        if (n < 0 || (error != Z_OK && error != Z_STREAM_END))
                return -EBADMSG;
        at = gzoffset(stream->gzip);
        if (at > 0 && (uint64_t) at > stream->gzip_read) {
                log->now.bytes += (uint64_t) at - stream->gzip_read;
                stream->gzip_read = (uint64_t) at;
        }
        stream->gzip_at += (uint64_t) n;
        return n;
}

/* Bring the decompression to where the stream is. Return: 0; -EAGAIN; -EBADMSG. -ENODATA: the file
 * ends before. */
static int gzip_skip(struct access_log *log, struct access_stream *stream) {
        uint64_t stop = stream->gzip_at + SKIP_PER_TURN, left;
        int n;

        while (stream->gzip_at < stream->offset) {
                if (stream->gzip_at >= stop)
                        return -EAGAIN;
                left = stream->offset - stream->gzip_at;
                n = decompress(log, stream,
                                left < ACCESS_CHUNK ? (unsigned int) left : ACCESS_CHUNK);
                if (n <= 0)
                        return n < 0 ? n : -ENODATA;
        }
        return 0;
}

static bool wants_more(const struct buf *pending) {
        if (pending->size < ACCESS_CHUNK)
                return true;
        return pending->size <= ACCESS_LINE_MAX && !memchr(pending->data, '\n', pending->size);
}

static int view_gzip(struct access_log *log, struct access_stream *stream,
                struct access_view *ret_view) {
        struct buf *pending = &stream->pending;
        bool end = false;
        int n, r;

        if (!stream->gzip) {
                stream->gzip = gzip_open(stream->fd);
                if (!stream->gzip)
                        return -ENOMEM;
                pending->max = ACCESS_LINE_MAX + 2 * ACCESS_CHUNK;
        }
        r = gzip_skip(log, stream);
        if (r == -ENODATA)
                end = true;
        else if (r < 0)
                return r;
        while (!end && wants_more(pending)) {
                n = decompress(log, stream, ACCESS_CHUNK);
                if (n < 0 && memrchr(pending->data ? pending->data : "", '\n', pending->size))
                        break; /* whole lines first */
                if (n < 0)
                        return n;
                end = n == 0;
                r = buf_append(pending, log->chunk, (size_t) n);
                if (r < 0)
                        return r;
        }
        *ret_view = (struct access_view){
                .data = pending->size ? pending->data : "", .size = pending->size, .end = end
        };
        return 0;
}

int access_stream_view(struct access_log *log, struct access_stream *stream,
                struct access_view *ret_view) {
        return stream->is_gzip ? view_gzip(log, stream, ret_view)
                               : view_plain(log, stream, ret_view);
}

void access_stream_consume(struct access_log *log, struct access_stream *stream, size_t size) {
        if (size == 0)
                return;
        stream->offset += size;
        stream->complete = false;
        if (stream->is_gzip)
                buf_consume(&stream->pending, size);
        else
                log->now.bytes += size;
        access_log_touch(log, stream);
}
