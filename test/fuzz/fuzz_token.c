/* A text is a token or none, whatever it is made of, and one that is one is found within others. A
 * body that is taken comes back from the store as it was. */

#include <string.h>

#include "base/json.h"
#include "model/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_US (UINT64_C(1780000000) * USEC_PER_SEC)

static void check_text(const char *text) {
        if (token_text_is_valid(text)) {
                assert(strlen(text) == TOKEN_TEXT_LENGTH);
                assert(token_text_is_within(text));
        }
        assert(!token_text_is_within(text) || strlen(text) >= TOKEN_TEXT_LENGTH);
}

/* Random bytes make a token, and no byte of it can be changed. */
static void check_made(const uint8_t *data, size_t size) {
        char text[TOKEN_TEXT_LENGTH + 1];

        if (token_text_make(data, size, text) < 0)
                return;
        assert(token_text_is_valid(text));
        text[data[0] % TOKEN_TEXT_LENGTH] ^= 1;
        assert(!token_text_is_valid(text));
}

static void check_kept(struct token *token) {
        _cleanup_(json_putp) struct json_object *frozen = NULL;
        _cleanup_(token_freep) struct token *again = NULL;
        int r;

        token->by = strdup("uid 0");
        frozen = token_freeze(token);
        r = token_thaw(frozen, &again);
        assert(r == 0 && again);
        assert(strcmp(again->name, token->name) == 0);
        assert(again->scopes == token->scopes && again->expires_us == token->expires_us);
        assert((again->limit != NULL) == (token->limit != NULL));
}

static void check_body(struct json_object *object) {
        _cleanup_(token_freep) struct token *token = NULL;
        struct diag diag = {};
        int r;

        r = token_parse(object, NOW_US, &diag, &token);
        assert((r == 0) == (token != NULL));
        assert((r == 0) == (diag.text[0] == '\0'));
        if (!token)
                return;
        assert(token->scopes && (!token->expires_us || token->expires_us > NOW_US));
        assert(!token->limit || !(token->scopes & (SCOPE_ADMIN | SCOPE_APPS_WRITE)));
        check_kept(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct json_object *object = NULL;
        char *text;

        if (size == 0 || size > 4096)
                return 0;
        text = strndup((const char *) data, size);
        assert(text);
        check_text(text);
        free(text);
        check_made(data, size);
        if (json_parse((const char *) data, size, &object) >= 0) {
                if (json_object_is_type(object, json_type_object))
                        check_body(object);
                (void) json_object_put(object);
        }
        return 0;
}
