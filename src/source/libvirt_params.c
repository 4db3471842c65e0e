/* Typed parameters as JSON: names and texts come from outside, and there may be many. */

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "source/libvirt_link.h"

#define TEXT_MAX_BYTES 256
/* So that an event with them stays below EVENT_DETAILS_MAX, whatever has to be escaped. */
#define COST_MAX 12000

static struct json_object *value_of(const virTypedParameter *param) {
        _cleanup_(freep) char *text = NULL;

        switch (param->type) {
        case VIR_TYPED_PARAM_INT:
                return json_object_new_int64(param->value.i);
        case VIR_TYPED_PARAM_UINT:
                return json_object_new_uint64(param->value.ui);
        case VIR_TYPED_PARAM_LLONG:
                return json_object_new_int64(param->value.l);
        case VIR_TYPED_PARAM_ULLONG:
                return json_object_new_uint64(param->value.ul);
        case VIR_TYPED_PARAM_DOUBLE:
                /* JSON has no word for the others. */
                return isfinite(param->value.d) ? json_object_new_double(param->value.d) : NULL;
        case VIR_TYPED_PARAM_BOOLEAN:
                return json_object_new_boolean(param->value.b);
        case VIR_TYPED_PARAM_STRING:
                if (!param->value.s ||
                                text_sanitize(param->value.s, strlen(param->value.s),
                                                TEXT_MAX_BYTES, &text) < 0)
                        return NULL;
                return json_object_new_string(text);
        default:
                return json_object_new_string("of an unknown type");
        }
}

static size_t cost_of(const virTypedParameter *param) {
        size_t n = strnlen(param->field, sizeof(param->field)) + 8;

        if (param->type == VIR_TYPED_PARAM_STRING && param->value.s)
                n += strnlen(param->value.s, TEXT_MAX_BYTES);
        return 6 * n; /* \u0001 */
}

struct json_object *libvirt_params_to_json(const virTypedParameter *params, int n) {
        struct json_object *object = json_object_new_object();
        size_t cost = 0;

        for (int i = 0; object && i < n; i++) {
                _cleanup_(freep) char *name = NULL;

                cost += cost_of(&params[i]);
                if (cost > COST_MAX) {
                        (void) json_add_int(object, "left_out", n - i);
                        break;
                }
                if (text_sanitize(params[i].field,
                                    strnlen(params[i].field, sizeof(params[i].field)),
                                    sizeof(params[i].field), &name) >= 0)
                        (void) json_add(object, name, value_of(&params[i]));
        }
        return object;
}
