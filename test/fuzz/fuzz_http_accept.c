/* Any text is read to its end, the same way each time, and a refusal behind it does not help it. */

#include <string.h>

#include "api/http_accept.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char refusal[] = "\", gzip;q=0, x-gzip;q=0, text/plain;q=1";
        char text[1024 + sizeof(refusal)];
        bool is_quoted = false;

        if (size > 1024 || memchr(data, '\0', size))
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        for (size_t i = 0; i < size; i++)
                is_quoted ^= text[i] == '"';
        (void) http_accepts_openmetrics(text);
        (void) http_accepts_gzip(text);
        memcpy(text + size, refusal + !is_quoted, sizeof(refusal) - !is_quoted);
        assert(!http_accepts_gzip(text));
        return 0;
}
