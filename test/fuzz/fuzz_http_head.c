/* Whatever comes, the verdict is the same however it is cut: a prefix is never found complete, and
 * what a prefix is refused for, the whole is refused for. */

#include "api/http_head.h"

#define BODY_MAX 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *) data;
        struct http_head head, part;
        int whole, r;

        if (size > 2 * HTTP_HEAD_MAX)
                return 0;
        whole = http_head_check(text, size, BODY_MAX, &head);
        assert(whole < 0 ? head.status >= 400 && head.code && head.message : head.status == 0);
        assert(whole <= 0 ||
                        (head.size >= 4 && head.size <= size && head.method < HTTP_OTHER &&
                                        head.content_length <= BODY_MAX));
        if (size > 512)
                return 0;
        for (size_t n = 0; n < size; n++) {
                r = http_head_check(text, n, BODY_MAX, &part);
                assert(r >= 0 || whole < 0);
                assert(r <= 0 || (whole > 0 && n >= head.size));
        }
        return 0;
}
