/* What the validating pass lets through, json-c reads whole; what it refuses gives nothing. */

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        const char *text = (const char *) data;
        size_t offset = 0;
        int valid, parsed;

        if (size > 65536)
                return 0;
        valid = json_validate(text, size, JSON_DEPTH_MAX, &offset);
        parsed = json_parse(text, size, &object);
        assert(offset <= size);
        assert((valid == 0) == (parsed == 0));
        assert(parsed == 0 || !object);
        return 0;
}
