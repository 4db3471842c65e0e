/* What is taken for a line is one: in its bounds, and JSON. */

#include <string.h>

#include "base/json.h"
#include "model/access_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct access_rules rules = { .now_us = UINT64_C(1795232700000000),
                .oldest_us = 1000000,
                .duration = (enum access_duration)(size % 4) };
        struct access_line line = {};
        enum access_verdict verdict;

        if (size > 65536)
                return 0;
        verdict = access_line_parse((const char *) data, size, &rules, &line);
        assert((verdict == ACCESS_NOT_JSON) ==
                        (json_validate((const char *) data, size, JSON_DEPTH_MAX, NULL) < 0));
        if (verdict != ACCESS_OK)
                return 0;
        assert(strlen(line.host) <= ACCESS_HOST_MAX);
        assert(line.status == 0 || (line.status >= 100 && line.status <= 599));
        assert(line.time_us >= rules.oldest_us && line.time_us <= rules.now_us + ACCESS_FUTURE_US);
        return 0;
}
