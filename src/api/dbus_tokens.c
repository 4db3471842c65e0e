/* Tokens on the bus: made, listed and revoked by whom polkit lets. Limits to apps and workloads are
 * set over HTTP. */

#include <string.h>

#include "api/dbus_internal.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/tokens.h"
#include "virtwatch/virtwatch.h"

#define MANAGE_TOKENS "org.virtwatch1.manage-tokens"
#define BY_MAX        32

struct making {
        struct dbus_call *call;
        char text[TOKEN_TEXT_LENGTH + 1];
};

static struct making *making_free(struct making *making) {
        if (making) {
                dbus_call_free(making->call);
                explicit_bzero(making->text, sizeof(making->text));
        }
        free(making);
        return NULL;
}
DEFINE_FREEP(struct making, making_free);

static const char *by(int64_t uid, char text[static BY_MAX]) {
        (void) snprintf(text, BY_MAX, "uid %jd", (intmax_t) uid);
        return text;
}

static int refused(int error, sd_bus_error *ret_error) {
        switch (error) {
        case -EEXIST:
                return sd_bus_error_set(ret_error, SD_BUS_ERROR_INVALID_ARGS,
                                "name: another token has it; revoke that one first");
        case -E2BIG:
                return sd_bus_error_setf(ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "There are %d tokens already", TOKENS_MAX);
        case -ENOSPC:
                return sd_bus_error_set(ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "The store takes no more now, try again");
        default:
                return error;
        }
}

/* ---- CreateToken ---- */

static void made(const struct token *token, void *userdata) {
        _cleanup_(making_freep) struct making *making = userdata;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        if (!making->call->dbus)
                return; /* the bus it came from is gone; the token can be revoked */
        r = sd_bus_message_new_method_return(making->call->message, &reply);
        if (r >= 0)
                r = sd_bus_message_sensitive(reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "(ss)", token->id, making->text);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        if (r < 0)
                log_debug_errno(r, "Cannot answer CreateToken: %m");
}

static int read_scopes(sd_bus_message *message, struct json_object *scopes) {
        const char *scope;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "s");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(message, "s", &scope)) > 0)
                if (json_object_array_length(scopes) <= SCOPE_COUNT)
                        (void) json_object_array_add(scopes, json_object_new_string(scope));
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

/* The body that POST would have had; through the same checks. */
static int read_token(sd_bus_message *message, uint64_t now_us, struct token **ret_token,
                sd_bus_error *error) {
        _cleanup_(json_putp) struct json_object *body = json_object_new_object();
        struct json_object *scopes = json_object_new_array();
        char time[CLOCK_RFC3339_MAX];
        uint64_t expires_us = 0;
        struct diag diag = {};
        const char *name;
        int r;

        (void) json_add(body, "scopes", scopes);
        r = sd_bus_message_read(message, "s", &name);
        if (r >= 0)
                r = read_scopes(message, scopes);
        if (r >= 0)
                r = sd_bus_message_read(message, "t", &expires_us);
        if (r >= 0)
                r = json_add_string(body, "name", name);
        if (r < 0)
                return r;
        if (expires_us > now_us + TOKEN_EXPIRES_MAX_US)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                "expires: wants a time within ten years, or 0 for never");
        if (expires_us)
                (void) json_add_string(body, "expires", clock_format_rfc3339(expires_us, time));
        r = token_parse(body, now_us, &diag, ret_token);
        return r == -EINVAL ? sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, diag.text) : r;
}

static int then_create(
                struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error) {
        _cleanup_(making_freep) struct making *making = calloc(1, sizeof(*making));
        uint64_t now_us = clock_realtime_us();
        struct token *token = NULL;
        char who[BY_MAX];
        int r;

        if (!making)
                return -ENOMEM;
        r = dbus_call_new(dbus, message, error, &making->call);
        if (r >= 0)
                r = read_token(message, now_us, &token, error);
        if (r < 0)
                return r;
        r = tokens_make(dbus->api->tokens, token, by(uid, who), now_us, making->text, made, making);
        if (r < 0)
                return refused(r, error);
        making = NULL; /* made() has it */
        return 1;
}

int dbus_method_create_token(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_ask(userdata, message, MANAGE_TOKENS, then_create, error);
}

/* ---- ListTokens ---- */

struct listing {
        sd_bus_message *reply;
        int r;
};

static void list_token(const struct token *token, void *userdata) {
        struct listing *listing = userdata;
        int r = listing->r;

        if (r >= 0)
                r = sd_bus_message_open_container(listing->reply, 'r', "sasttt");
        if (r >= 0)
                r = sd_bus_message_append(listing->reply, "s", token->name);
        if (r >= 0)
                r = sd_bus_message_open_container(listing->reply, 'a', "s");
        for (size_t i = 0; r >= 0 && i < SCOPE_COUNT; i++) {
                if (token->scopes & 1U << i)
                        r = sd_bus_message_append(
                                        listing->reply, "s", scope_to_string((enum scope)(1 << i)));
        }
        if (r >= 0)
                r = sd_bus_message_close_container(listing->reply);
        if (r >= 0)
                r = sd_bus_message_append(listing->reply, "ttt", token->created_us,
                                token->expires_us, token->used_us);
        if (r >= 0)
                r = sd_bus_message_close_container(listing->reply);
        listing->r = r;
}

static int then_list(struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        struct listing listing = {};
        int r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sasttt)");
        if (r < 0)
                return r;
        listing.reply = reply;
        tokens_for_each(dbus->api->tokens, list_token, &listing);
        r = listing.r;
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int dbus_method_list_tokens(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_ask(userdata, message, MANAGE_TOKENS, then_list, error);
}

/* ---- RevokeToken ---- */

static void revoked(struct event *event, void *userdata) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = userdata;
        int r;

        if (!call->dbus)
                return;
        r = sd_bus_reply_method_return(call->message, "");
        if (r < 0)
                log_debug_errno(r, "Cannot answer RevokeToken: %m");
}

static int then_revoke(
                struct dbus *dbus, sd_bus_message *message, int64_t uid, sd_bus_error *error) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = NULL;
        char who[BY_MAX];
        const char *name;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r >= 0)
                r = dbus_call_new(dbus, message, error, &call);
        if (r < 0)
                return r;
        r = tokens_revoke(
                        dbus->api->tokens, name, by(uid, who), clock_realtime_us(), revoked, call);
        if (r == -ENOENT)
                return sd_bus_error_setf(
                                error, VW_ERROR_NO_SUCH_TOKEN, "There is no token %.64s", name);
        if (r < 0)
                return refused(r, error);
        if (r > 0) {
                log_warn("Token %s: " TOKENS_REVOKED_FOR_NOW, name);
                return sd_bus_reply_method_return(message, "");
        }
        call = NULL; /* revoked() has it */
        return 1;
}

int dbus_method_revoke_token(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return dbus_call_ask(userdata, message, MANAGE_TOKENS, then_revoke, error);
}
