/* Tokens: /api/v1/tokens. Made and revoked once durable; the text is in one answer and nowhere
 * else.
 */

#include <string.h>

#include "api/http_internal.h"
#include "base/clock.h"
#include "base/json.h"
#include "engine/tokens.h"

struct token_wait {
        struct http_wait wait; /* first */
        char text[TOKEN_TEXT_LENGTH + 1];
};

static struct token_wait *wait_free(struct token_wait *wait) {
        if (wait)
                explicit_bzero(wait->text, sizeof(wait->text));
        free(wait);
        return NULL;
}
DEFINE_FREEP(struct token_wait, wait_free);

static enum MHD_Result busy(struct http_request *request) {
        return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                        "the store takes no more now, try again");
}

/* ---- GET ---- */

struct listing {
        struct json_object *array;
        uint64_t now_us;
};

static void list_token(const struct token *token, void *userdata) {
        struct listing *listing = userdata;

        (void) json_object_array_add(listing->array, token_to_json(token, listing->now_us));
}

enum MHD_Result rest_tokens(struct http_request *request, const char *id) {
        _cleanup_(json_putp) struct json_object *array = json_object_new_array();
        struct listing listing = { .array = array, .now_us = clock_realtime_us() };

        tokens_for_each(request->http->api->tokens, list_token, &listing);
        return rest_answer_json(request, MHD_HTTP_OK, array);
}

/* ---- POST ---- */

static void made(const struct token *token, void *userdata) {
        _cleanup_(json_putp) struct json_object *object = token_to_json(token, clock_realtime_us());
        _cleanup_(wait_freep) struct token_wait *wait = userdata;
        _cleanup_(buf_done) struct buf text = BUF_INIT(1U << 20);
        const char *json;

        (void) json_add_string(object, "token", wait->text);
        json = object ? json_text(object) : NULL;
        if (!json || buf_append_str(&text, json) < 0) {
                http_error_later(&wait->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "it is made, but there is no memory to show it; revoke it");
        } else {
                http_answer_later(&wait->wait, MHD_HTTP_CREATED, "application/json", &text);
        }
}

static enum MHD_Result refuse(struct http_request *request, int error) {
        switch (error) {
        case -EEXIST:
                return http_error(request, MHD_HTTP_CONFLICT, "name_taken",
                                "name: another token has it; revoke that one first");
        case -E2BIG:
                return http_error(request, MHD_HTTP_INSUFFICIENT_STORAGE, "too_many_tokens",
                                "there are 1000 tokens already");
        default:
                return busy(request);
        }
}

enum MHD_Result rest_token_post(struct http_request *request, const char *id) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        const struct api_context *api = request->http->api;
        uint64_t now_us = clock_realtime_us();
        struct token_wait *wait;
        enum MHD_Result result;
        struct diag diag = {};
        struct token *token;
        int r;

        result = http_body_json(request, &object);
        if (!object)
                return result;
        r = token_parse(object, now_us, &diag, &token);
        if (r == -EINVAL)
                return http_bad_request(request, diag.text);
        if (r < 0)
                return MHD_NO;
        wait = calloc(1, sizeof(*wait));
        if (!wait) {
                token_free(token);
                return MHD_NO;
        }
        r = tokens_make(api->tokens, token, http_caller_get(request)->by, now_us, wait->text, made,
                        wait);
        if (r < 0) {
                wait_free(wait);
                return refuse(request, r);
        }
        return http_wait(request, &wait->wait);
}

/* ---- DELETE ---- */

static void revoked(struct event *event, void *userdata) {
        _cleanup_(wait_freep) struct token_wait *wait = userdata;
        _cleanup_(buf_done) struct buf text = BUF_INIT(1);

        if (buf_append_str(&text, "") < 0) {
                http_error_later(&wait->wait, MHD_HTTP_SERVICE_UNAVAILABLE, "unavailable",
                                "it is revoked; there is no memory for the answer");
                return;
        }
        http_answer_later(&wait->wait, MHD_HTTP_NO_CONTENT, "application/json", &text);
}

/* The store is told later, if the daemon lives to see that. */
static enum MHD_Result revoked_for_now(struct http_request *request) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();

        (void) json_add_string(object, "message", TOKENS_REVOKED_FOR_NOW);
        return rest_answer_json(request, MHD_HTTP_ACCEPTED, object);
}

enum MHD_Result rest_token_delete(struct http_request *request, const char *id) {
        struct token_wait *wait = calloc(1, sizeof(*wait));
        int r;

        if (!wait)
                return MHD_NO;
        r = tokens_revoke(request->http->api->tokens, id, http_caller_get(request)->by,
                        clock_realtime_us(), revoked, wait);
        if (r != 0)
                wait_free(wait);
        if (r > 0)
                return revoked_for_now(request);
        if (r == -ENOENT)
                return http_error(request, MHD_HTTP_NOT_FOUND, "not_found",
                                "there is no token of that id or name");
        return r < 0 ? busy(request) : http_wait(request, &wait->wait);
}
