/* The metadata of a domain: a slug that is one, or nothing. */

#include <string.h>

#include "source/libvirt_app.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char slug[APP_SLUG_MAX + 1] = "";
        int r;

        if (size > (size_t) 2 * LIBVIRT_APP_XML_MAX)
                return 0;
        r = libvirt_app_parse((const char *) data, size, slug);
        assert(r == 0 || r == -EINVAL);
        assert((r == 0) == (slug[0] != '\0'));
        assert(r < 0 || app_slug_is_valid(slug));
        assert(r < 0 || size <= LIBVIRT_APP_XML_MAX);
        return 0;
}
