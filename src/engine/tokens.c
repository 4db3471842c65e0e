/* By id, which is the beginning of the digest: what is looked for is found by a public part of it,
 * and then compared as a whole in a time that tells nothing. */

#include "engine/tokens.h"

#include <string.h>
#include <sys/random.h>

#include "base/json.h"
#include "base/map.h"

struct tokens {
        struct tokens_hooks hooks;
        struct map *by_id;
};

/* One that is on its way to the disk. */
struct making {
        struct tokens *tokens;
        char id[TOKEN_ID_LENGTH + 1];
        void (*done)(const struct token *token, void *userdata);
        void *userdata;
};

int tokens_new(const struct tokens_hooks *hooks, struct tokens **ret_tokens) {
        struct tokens *tokens = calloc(1, sizeof(*tokens));
        int r;

        if (!tokens)
                return -ENOMEM;
        tokens->hooks = *hooks;
        r = map_new(&tokens->by_id);
        if (r < 0) {
                free(tokens);
                return r;
        }
        *ret_tokens = tokens;
        return 0;
}

struct tokens *tokens_free(struct tokens *tokens) {
        struct token *token;

        if (!tokens)
                return NULL;
        map_for_each(token, tokens->by_id)
                token_free(token);
        map_free(tokens->by_id);
        free(tokens);
        return NULL;
}

static struct token *find_name(const struct tokens *tokens, const char *name) {
        struct token *token;

        map_for_each(token, tokens->by_id)
                if (strcmp(token->name, name) == 0)
                        return token;
        return NULL;
}

int tokens_restore(struct tokens *tokens, const char *id, const char *document, uint64_t now_us) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        _cleanup_(token_freep) struct token *token = NULL;
        int r;

        r = json_parse(document, strlen(document), &object);
        if (r >= 0)
                r = token_thaw(object, &token);
        if (r < 0)
                return r == -ENOMEM ? r : -EINVAL;
        if (strcmp(token->id, id) != 0)
                return -EINVAL;
        if (map_size(tokens->by_id) >= TOKENS_MAX)
                return -E2BIG;
        if (find_name(tokens, token->name))
                return -EEXIST;
        token->in_force = true;
        token->kept_used_us = token->used_us;
        token->told_expired = token_is_expired(token, now_us);
        r = map_put(tokens->by_id, token->id, token);
        if (r >= 0)
                token = NULL;
        return r;
}

/* ---- keeping ---- */

static int make_event(const struct token *token, const char *action, const char *message,
                const char *by, uint64_t now_us, struct event **ret_event) {
        struct json_object *details = json_object_new_object();

        if (!details)
                return -ENOMEM;
        (void) json_add_string(details, "by", by);
        (void) json_add_string(details, "token_id", token->id);
        (void) json_add_string(details, "token_name", token->name);
        return event_new(&(struct event_fields){ .time_us = now_us,
                                         .kind = EVENT_SOURCE,
                                         .severity = SEVERITY_INFO,
                                         .name = "api",
                                         .action = action,
                                         .message = message,
                                         .details = details },
                        ret_event);
}

/* Store what is of @token now (@forget: nothing), and tell @event (taken; may be NULL). */
static int keep(struct tokens *tokens, const struct token *token, bool forget, struct event *event,
                void (*done)(struct event *event, void *userdata), void *userdata) {
        _cleanup_(json_putp) struct json_object *object = forget ? NULL : token_freeze(token);
        const char *document = object ? json_text(object) : NULL;

        if (!forget && !document) {
                event_unref(event);
                return -ENOMEM;
        }
        return tokens->hooks.keep(
                        token->id, document, event, done, userdata, tokens->hooks.userdata);
}

/* ---- making ---- */

static void made(struct event *event, void *userdata) {
        _cleanup_(freep) struct making *making = userdata;
        struct token *token = map_get(making->tokens->by_id, making->id);

        assert(token); /* nobody can take it away before it is in force */
        token->in_force = true;
        making->done(token, making->userdata);
}

/* Until the id is nobody else's; that of 1000 two meet is one case in 10^8. */
static int choose(struct tokens *tokens, struct token *token,
                char text[static TOKEN_TEXT_LENGTH + 1]) {
        unsigned char random[128];
        int r;

        do {
                if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
                        return -EIO;
                r = token_text_make(random, sizeof(random), text);
                if (r >= 0)
                        r = token_digest_of(text, &token->digest);
                if (r >= 0)
                        token_id_of(&token->digest, token->id);
        } while (r == -EAGAIN || (r >= 0 && map_get(tokens->by_id, token->id)));
        explicit_bzero(random, sizeof(random));
        return r;
}

int tokens_make(struct tokens *tokens, struct token *taken, const char *by, uint64_t now_us,
                char text[static TOKEN_TEXT_LENGTH + 1],
                void (*done)(const struct token *token, void *userdata), void *userdata) {
        _cleanup_(token_freep) struct token *token = taken;
        char message[256], scopes[TOKEN_SCOPES_TEXT_MAX];
        struct making *making;
        struct event *event;
        int r;

        if (find_name(tokens, token->name))
                return -EEXIST;
        if (map_size(tokens->by_id) >= TOKENS_MAX)
                return -E2BIG;
        token->created_us = now_us;
        token->by = strdup(by);
        r = token->by ? choose(tokens, token, text) : -ENOMEM;
        if (r < 0)
                return r;
        (void) snprintf(message, sizeof(message), "token %s made by %.100s: %s%s", token->name, by,
                        token_scopes_text(token->scopes, scopes), token->limit ? ", limited" : "");
        r = make_event(token, "token_created", message, by, now_us, &event);
        if (r < 0)
                return r;
        making = calloc(1, sizeof(*making));
        r = making ? map_put(tokens->by_id, token->id, token) : -ENOMEM;
        if (r < 0) {
                free(making);
                event_unref(event);
                return r;
        }
        *making = (struct making){ .tokens = tokens, .done = done, .userdata = userdata };
        memcpy(making->id, token->id, sizeof(making->id));
        r = keep(tokens, token, false, event, made, making);
        if (r < 0) {
                (void) map_remove(tokens->by_id, token->id);
                free(making);
                return r;
        }
        token = NULL;
        return 0;
}

/* ---- revoking ---- */

static void end_now(struct tokens *tokens, struct token *token) {
        if (token->in_force && !token->told_expired)
                tokens->hooks.gone(token, tokens->hooks.userdata);
        token->in_force = false;
}

static void forget(struct tokens *tokens, struct token *token) {
        end_now(tokens, token);
        (void) map_remove(tokens->by_id, token->id);
        token_free(token);
}

static int keep_revoked(struct tokens *tokens, const struct token *token, const char *by,
                uint64_t now_us, void (*done)(struct event *event, void *userdata),
                void *userdata) {
        struct event *event;
        char message[256];
        int r;

        (void) snprintf(message, sizeof(message), "token %s revoked by %.100s", token->name, by);
        r = make_event(token, "token_revoked", message, by, now_us, &event);
        return r < 0 ? r : keep(tokens, token, true, event, done, userdata);
}

int tokens_revoke(struct tokens *tokens, const char *name, const char *by, uint64_t now_us,
                void (*done)(struct event *event, void *userdata), void *userdata) {
        struct token *token = map_get(tokens->by_id, name);
        int r;

        if (!token)
                token = find_name(tokens, name);
        if (!token || !token->in_force)
                return -ENOENT;
        r = keep_revoked(tokens, token, by, now_us, done, userdata);
        if (r >= 0) {
                forget(tokens, token);
                return 0;
        }
        if (r != -ENOSPC)
                return r;
        /* Whoever has it must not go on for as long as a disk is full. */
        r = keep_revoked(tokens, token, by, now_us, NULL, NULL);
        if (r >= 0) {
                forget(tokens, token);
        } else { /* its event is counted among those that are lost; tokens_tick() tries the rest */
                token->is_revoked = true;
                end_now(tokens, token);
        }
        return 1;
}

/* ---- using ---- */

int tokens_use(struct tokens *tokens, const char *text, uint64_t now_us,
                const struct token **ret_token) {
        struct token_digest digest;
        char id[TOKEN_ID_LENGTH + 1];
        struct token *token;
        int r;

        if (!token_text_is_valid(text))
                return -EINVAL;
        r = token_digest_of(text, &digest);
        if (r < 0)
                return r;
        token_id_of(&digest, id);
        token = map_get(tokens->by_id, id);
        if (!token || !token->in_force || !token_digest_equal(&token->digest, &digest))
                return -ENOENT;
        if (token_is_expired(token, now_us))
                return -EKEYEXPIRED;
        token->used_us = now_us;
        *ret_token = token;
        return 0;
}

static int by_name(const void *a, const void *b) {
        return strcmp((*(const struct token *const *) a)->name,
                        (*(const struct token *const *) b)->name);
}

void tokens_for_each(const struct tokens *tokens,
                void (*each)(const struct token *token, void *userdata), void *userdata) {
        _cleanup_(freep) const struct token **all =
                        calloc(map_size(tokens->by_id) + 1, sizeof(struct token *));
        const struct token *token;
        size_t n = 0;

        if (!all)
                return;
        map_for_each(token, tokens->by_id)
                if (token->in_force)
                        all[n++] = token;
        qsort(all, n, sizeof(struct token *), by_name);
        for (size_t i = 0; i < n; i++)
                each(all[i], userdata);
}

size_t tokens_size(const struct tokens *tokens, uint64_t now_us) {
        const struct token *token;
        size_t n = 0;

        map_for_each(token, tokens->by_id)
                n += token->in_force && !token_is_expired(token, now_us);
        return n;
}

/* Told once; after a restart only of those that ran out since. */
static void expire(struct tokens *tokens, struct token *token, uint64_t now_us) {
        struct event *event;
        char message[128];

        token->told_expired = true;
        tokens->hooks.gone(token, tokens->hooks.userdata);
        (void) snprintf(message, sizeof(message), "token %s has expired", token->name);
        if (make_event(token, "token_expired", message, token->by, now_us, &event) < 0)
                return;
        if (keep(tokens, token, false, event, NULL, NULL) >= 0)
                token->kept_used_us = token->used_us;
}

static void look_after(struct tokens *tokens, struct token *token, uint64_t now_us, bool all) {
        if (token_is_expired(token, now_us) && !token->told_expired)
                expire(tokens, token, now_us);
        if (token->expires_us && token->expires_us + TOKENS_FORGET_US <= now_us) {
                if (keep(tokens, token, true, NULL, NULL, NULL) >= 0)
                        forget(tokens, token);
                return;
        }
        if (token->used_us > token->kept_used_us + (all ? 0 : TOKENS_USED_US) &&
                        keep(tokens, token, false, NULL, NULL, NULL) >= 0)
                token->kept_used_us = token->used_us;
}

void tokens_tick(struct tokens *tokens, uint64_t now_us, bool all) {
        struct token *token;

        map_for_each(token, tokens->by_id) {
                if (token->in_force)
                        look_after(tokens, token, now_us, all);
                else if (token->is_revoked && keep(tokens, token, true, NULL, NULL, NULL) >= 0)
                        forget(tokens, token);
        }
}
