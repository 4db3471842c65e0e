/* A body that is taken has a name and numbers within the bounds; one that is refused says which
 * member it was. */

#include <string.h>

#include "base/json.h"
#include "model/action.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(json_putp) struct json_object *body = NULL;
        const char *confirm = NULL;
        struct action action;
        struct diag diag = {};
        char words[80];

        if (size < 1 || size > 8192 || json_parse((const char *) data + 1, size - 1, &body) < 0 ||
                        !json_object_is_type(body, json_type_object))
                return 0;
        if (action_parse((enum action_verb)(data[0] % ACTION_VERB_MAX_), body, &diag, &action,
                            &confirm) < 0) {
                assert(strchr(diag.text, ':'));
                return 0;
        }
        assert(confirm);
        assert(action_check(&action, &(struct action_limits){}, &diag) == 0);
        assert(action.verb == ACTION_SCALE || (!action.vcpus && !action.memory_mb));
        assert(action_words(&action, words)[0]);
        return 0;
}
