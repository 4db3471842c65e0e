/* zlib behind libmicrohttpd's content reader. A small window: text of this kind repeats itself from
 * line to line, and a crowd of readers is paid for in memory. */

#include "api/http_gzip.h"

#include <zlib.h>

#define BLOCK_SIZE   (16U * 1024)
#define WINDOW_BITS  13
#define GZIP_WRAPPER 16 /* zlib.h: added to the window's bits, it writes gzip's header */
#define MEMORY_LEVEL 7

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

struct MHD_Response *http_gzip_response(char *text, size_t size, unsigned int *n_bodies) {
        struct MHD_Response *response;
        struct gzip_body *body;

        if (*n_bodies >= HTTP_GZIP_BODIES_MAX || size > UINT_MAX)
                return NULL;
        body = calloc(1, sizeof(*body));
        if (!body)
                return NULL;
        if (deflateInit2(&body->stream, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS + GZIP_WRAPPER,
                            MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
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
                return NULL;
        }
        (void) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
        return response;
}
