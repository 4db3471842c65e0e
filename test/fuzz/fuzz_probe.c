/* A body that is taken is written such that it is taken again and says the same; nothing in its
 * target can end a line of a request. */

#include <string.h>

#include "base/json.h"
#include "model/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(json_putp) struct json_object *object = NULL, *written = NULL, *again = NULL;
        struct probe_config config = {}, config_again = {};
        char target[PROBE_TARGET_MAX + 1];
        struct diag diag = {};

        if (size > 8192 || json_parse((const char *) data, size, &object) < 0 ||
                        !json_object_is_type(object, json_type_object))
                return 0;
        if (probe_config_parse(object, &diag, &config) < 0) {
                assert(strchr(diag.text, ':'));
                return 0;
        }
        written = probe_config_to_json(&config);
        assert(probe_config_parse(written, &diag, &config_again) == 0);
        again = probe_config_to_json(&config_again);
        assert(strcmp(json_text(written), json_text(again)) == 0);
        assert(config.interval_s >= 1 && config.timeout_s >= 1 && config.failures >= 1);
        assert(probe_url(&config, "x", "2001:db8::1", target) == 0);
        for (const char *c = target; *c; c++)
                assert(*c > ' ' && *c < 0x7f);
        return 0;
}
