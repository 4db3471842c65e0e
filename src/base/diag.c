/* One complaint about something a person wrote. */

#include "base/diag.h"

#include <stdio.h>

#include "base/text.h"

void diag_set_list(struct diag *diag, unsigned int line, unsigned int column, const char *format,
                va_list args) {
        char text[sizeof(diag->text) + 8]; /* longer, so that what is cut is cut below */

        diag->line = line;
        diag->column = column;
        (void) vsnprintf(text, sizeof(text), format, args);
        text_fit(diag->text, sizeof(diag->text), text);
}

void diag_set(struct diag *diag, unsigned int line, unsigned int column, const char *format, ...) {
        va_list args;

        va_start(args, format);
        diag_set_list(diag, line, column, format, args);
        va_end(args);
}

int diag_refuse(struct diag *diag, const char *member, const char *allowed) {
        diag_set(diag, 0, 0, "%s: %s", member, allowed);
        return -EINVAL;
}
