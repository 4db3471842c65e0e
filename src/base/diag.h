#pragma once
/* Where and what is wrong in something a person wrote: config, request bodies, queries. */

#include <stdarg.h>

#include "base/macro.h"

struct diag {
        char path[256];    /* the file; "" for what is no file */
        unsigned int line; /* from 1; 0: not known */
        unsigned int column;
        char text[512]; /* one sentence without a full stop, naming the field and what is allowed;
                           UTF-8, whatever is quoted in it and wherever that is cut */
};

void diag_set(struct diag *diag, unsigned int line, unsigned int column, const char *format, ...)
                PRINTF_LIKE(4, 5);
void diag_set_list(struct diag *diag, unsigned int line, unsigned int column, const char *format,
                va_list args) PRINTF_LIKE(4, 0);
/** Of a JSON object: "@member: @allowed", as in "name: is missing". Return: -EINVAL, always. */
int diag_refuse(struct diag *diag, const char *member, const char *allowed);
