#pragma once
/* A compressed body: made at once where that is soon done, else while it is sent, a block at a
 * time, so that a large one does not hold the loop up. */

#include <microhttpd.h>

#include "base/macro.h"

#define HTTP_GZIP_MIN        1024 /* bytes; below, the answer's header outweighs what is won */
#define HTTP_GZIP_WHOLE_MAX  (4U << 20) /* bytes that are compressed at once, in some 5 ms */
#define HTTP_GZIP_BODIES_MAX 64 /* larger ones under way at a time; each takes about 200 KiB */

/**
 * @text:    taken, unless NULL is returned; caller's malloc()
 * @n_bodies: counts the bodies under way that are compressed while they are sent, until the
 * response is destroyed
 *
 * Return: a response with its Content-Encoding; NULL: no memory, too many, or nothing is won: send
 * it as it is.
 */
struct MHD_Response *http_gzip_response(char *text, size_t size, unsigned int *n_bodies);
