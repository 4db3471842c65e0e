/* One complaint about something a person wrote. */

#include "base/diag.h"

#include <stdarg.h>

#include "base/text.h"

void diag_set(struct diag *diag, unsigned int line, unsigned int column, const char *format, ...) {
        char text[sizeof(diag->text)];
        va_list args;

        diag->line = line;
        diag->column = column;
        va_start(args, format);
        (void) vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        text_fit(diag->text, sizeof(diag->text), text); /* a cut may go through a character */
}

int diag_refuse(struct diag *diag, const char *member, const char *allowed) {
        diag_set(diag, 0, 0, "%s: %s", member, allowed);
        return -EINVAL;
}
