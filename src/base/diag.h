#pragma once
/* Where and what is wrong in something a person wrote: config, request bodies, queries. */

#include "base/macro.h"

struct diag {
        char path[256];    /* the file; "" for what is no file */
        unsigned int line; /* from 1; 0: not known */
        unsigned int column;
        char text[512]; /* one sentence without a full stop, naming the field and what is allowed;
                         * valid UTF-8 */
};

void diag_set(struct diag *diag, unsigned int line, unsigned int column, const char *format, ...)
                PRINTF_LIKE(4, 5);
/** Of a JSON object: "@member: @allowed", as in "name: is missing". Return: -EINVAL, always. */
int diag_refuse(struct diag *diag, const char *member, const char *allowed);
