#pragma once
/* A body that is compressed while it is sent, a block at a time, so that a large one does not hold
 * the loop up. */

#include <microhttpd.h>

#include "base/macro.h"

#define HTTP_GZIP_MIN        1024 /* bytes; below, the answer's header outweighs what is won */
#define HTTP_GZIP_BODIES_MAX 64   /* under way at a time; each takes about 100 KiB */

/**
 * @text:    taken, unless NULL is returned; caller's malloc()
 * @n_bodies: counts the bodies under way, until the response is destroyed
 *
 * Return: a response with its Content-Encoding; NULL: no memory, or too many: send it as it is.
 */
struct MHD_Response *http_gzip_response(char *text, size_t size, unsigned int *n_bodies);
