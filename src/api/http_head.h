#pragma once
/* The first look at a request: is its head (request line and fields) one that every HTTP program
 * reads the same way? What could be read in two ways is how requests are smuggled past a proxy, and
 * it is refused before libmicrohttpd, which forgives some of it (a bare CR, a blank before a
 * field's name), gets to see it. Pure. */

#include "base/macro.h"

#define HTTP_HEAD_MAX   16384 /* bytes, with the empty line */
#define HTTP_LINE_MAX   8192  /* the request line */
#define HTTP_FIELDS_MAX 100

/* In the order of http_method_to_string(). */
enum http_method {
        HTTP_GET,
        HTTP_HEAD,
        HTTP_POST,
        HTTP_PUT,
        HTTP_PATCH,
        HTTP_DELETE,
        HTTP_OPTIONS,
        HTTP_OTHER, /* any other; never passes http_head_check() */
        HTTP_METHOD_MAX_,
};

/* "GET" …; "_other". */
const char *http_method_to_string(enum http_method method);
enum http_method http_method_from_string(const char *text);

struct http_head {
        size_t size;             /* bytes of the head */
        enum http_method method; /* HTTP_OTHER until known */
        uint64_t content_length; /* 0: no body */
        unsigned int status; /* when refused: the answer's status, and constant texts for its body
                              */
        const char *code;
        const char *message;
};

/**
 * Look at what has come so far.
 *
 * @data:     from the connection's first byte; @size may be anything
 * @body_max: bytes a body may have
 *
 * Source of the rules: RFC 9112 sections 2 to 6, RFC 9110 section 5.
 *
 * Return: 1 complete and clean; 0 the end has not come yet and nothing is wrong so far; -EBADMSG
 * refused: status, code and message are set.
 */
int http_head_check(const char *data, size_t size, uint64_t body_max, struct http_head *ret_head);
