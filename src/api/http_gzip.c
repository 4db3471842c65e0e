/* A body is compressed at once by libdeflate, which takes half of zlib's time for it, but knows
 * whole bodies only. One for which that would hold the loop up goes through zlib, behind
 * libmicrohttpd's content reader. */

#include "api/http_gzip.h"

#include <libdeflate.h>
#include <zlib.h>

#define LEVEL        1 /* the fastest of either; metrics become a twentieth at any */
#define BLOCK_SIZE   (16U * 1024)
#define WINDOW_BITS  15 /* less is slower: zlib goes through its tables once a window */
#define GZIP_WRAPPER 16 /* zlib.h: added to the window's bits, it writes gzip's header */
#define MEMORY_LEVEL 7

/* ---- whole bodies ---- */

/* NULL: no memory, or it does not get smaller. */
static char *compress_whole(const char *text, size_t size, size_t *ret_size) {
        struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(LEVEL);
        _cleanup_(freep) char *packed = malloc(size); /* what is not written takes no memory */
        char *shrunk;
        size_t n = 0;

        if (compressor && packed)
                n = libdeflate_gzip_compress(compressor, text, size, packed, size);
        libdeflate_free_compressor(compressor);
        if (n == 0)
                return NULL;
        shrunk = realloc(packed, n);
        if (shrunk)
                packed = shrunk;
        *ret_size = n;
        return TAKE_PTR(packed);
}

static struct MHD_Response *whole_response(char *text, size_t size) {
        _cleanup_(freep) char *packed = NULL;
        struct MHD_Response *response;

        packed = compress_whole(text, size, &size);
        if (!packed)
                return NULL;
        response = MHD_create_response_from_buffer(size, packed, MHD_RESPMEM_MUST_FREE);
        if (!response)
                return NULL;
        (void) TAKE_PTR(packed);
        free(text);
        return response;
}

/* ---- a block at a time ---- */

struct gzip_body {
        z_stream stream;
        char *text;
        unsigned int *n_bodies;
};

static void body_free(void *userdata) {
        struct gzip_body *body = userdata;

        (void) deflateEnd(&body->stream);
        (*body->n_bodies)--;
        free(body->text);
        free(body);
}

static ssize_t on_read(void *userdata, uint64_t position, char *to, size_t max) {
        struct gzip_body *body = userdata;
        size_t n;
        int r;

        max = max < BLOCK_SIZE ? max : BLOCK_SIZE;
        body->stream.next_out = (Bytef *) to;
        body->stream.avail_out = (uInt) max;
        r = deflate(&body->stream, Z_FINISH);
        n = max - body->stream.avail_out;
        if (n > 0)
                return (ssize_t) n;
        return r == Z_STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM
                                 : MHD_CONTENT_READER_END_WITH_ERROR;
}

static struct MHD_Response *streamed_response(char *text, size_t size, unsigned int *n_bodies) {
        struct MHD_Response *response;
        struct gzip_body *body;

        if (*n_bodies >= HTTP_GZIP_BODIES_MAX || size > UINT_MAX)
                return NULL;
        body = calloc(1, sizeof(*body));
        if (!body)
                return NULL;
        if (deflateInit2(&body->stream, LEVEL, Z_DEFLATED, WINDOW_BITS + GZIP_WRAPPER, MEMORY_LEVEL,
                            Z_DEFAULT_STRATEGY) != Z_OK) {
                free(body);
                return NULL;
        }
        body->text = text;
        body->stream.next_in = (Bytef *) body->text;
        body->stream.avail_in = (uInt) size;
        body->n_bodies = n_bodies;
        (*n_bodies)++;

        response = MHD_create_response_from_callback(
                        MHD_SIZE_UNKNOWN, BLOCK_SIZE, on_read, body, body_free);
        if (!response) {
                body->text = NULL;
                body_free(body);
        }
        return response;
}

struct MHD_Response *http_gzip_response(char *text, size_t size, unsigned int *n_bodies) {
        struct MHD_Response *response = size <= HTTP_GZIP_WHOLE_MAX
                        ? whole_response(text, size)
                        : streamed_response(text, size, n_bodies);

        if (response)
                (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
        return response;
}
