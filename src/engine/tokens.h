#pragma once
/* The tokens that are in force. One is from when it is durable, and is no more at once when
 * somebody revokes it. Each making, revoking and expiring is an event in the same transaction. Loop
 * thread only. */

#include "model/event.h"
#include "model/token.h"

struct tokens;

#define TOKENS_MAX       1000
#define TOKENS_FORGET_US (24 * 3600 * USEC_PER_SEC) /* after they have expired */
#define TOKENS_USED_US   (600 * USEC_PER_SEC)       /* the store's last use is at most so old */

struct tokens_hooks {
        /** Keep a document (NULL: forget it) together with an event (taken, also on failure; may be
         * NULL). @done may be NULL. Return: 0; -ENOSPC; -ENOMEM. */
        int (*keep)(const char *id, const char *document, struct event *event,
                        void (*done)(struct event *event, void *userdata), void *done_userdata,
                        void *userdata);
        /** It was revoked, or has expired: whoever goes on by it ends now. */
        void (*gone)(const struct token *token, void *userdata);
        void *userdata;
};

int tokens_new(const struct tokens_hooks *hooks, struct tokens **ret_tokens);
struct tokens *tokens_free(struct tokens *tokens);
DEFINE_FREEP(struct tokens, tokens_free);
/** Take in what the store has. Return: 0; -EINVAL; -E2BIG; -EEXIST; -ENOMEM. */
int tokens_restore(struct tokens *tokens, const char *id, const char *document, uint64_t now_us);

/**
 * Make one.
 *
 * @taken: of token_parse(); taken, also on failure
 * @by:    who asks; copied
 * @text:  shown once: whoever gets it must not have it before @done
 * @done:  on the loop, once it is durable and in force; @token is borrowed
 *
 * Return: 0; -EEXIST another has its name; -E2BIG there are TOKENS_MAX; -ENOSPC the store takes no
 * more now; -EIO; -ENOMEM.
 */
int tokens_make(struct tokens *tokens, struct token *taken, const char *by, uint64_t now_us,
                char text[static TOKEN_TEXT_LENGTH + 1],
                void (*done)(const struct token *token, void *userdata), void *userdata);
/* What tokens_revoke() means by 1. */
#define TOKENS_REVOKED_FOR_NOW \
        "it is in force no more, but the store takes nothing now: should the daemon end before it does, it will be in force again"

/**
 * @name: an id, or a name
 * @done: on the loop, once it is durable that it is gone; it is in force no more at once
 *
 * Return: 0; 1 the store takes no more now: it is in force no more all the same, but until the
 * store has taken that, a restart brings it back, and @done is not called; -ENOENT; -ENOMEM.
 */
int tokens_revoke(struct tokens *tokens, const char *name, const char *by, uint64_t now_us,
                void (*done)(struct event *event, void *userdata), void *userdata);

/**
 * The token that is @text's, which is used now. Borrowed until the next change.
 *
 * Return: 0; -EINVAL it is none by its form; -ENOENT it was never made, or revoked; -EKEYEXPIRED.
 */
int tokens_use(struct tokens *tokens, const char *text, uint64_t now_us,
                const struct token **ret_token);
/** Call @each for all in force or expired, in order of name. */
void tokens_for_each(const struct tokens *tokens,
                void (*each)(const struct token *token, void *userdata), void *userdata);
/** How many are in force. */
size_t tokens_size(const struct tokens *tokens, uint64_t now_us);
/** Now and then: see which have expired, keep when they were used last (with @all, also of those
 * where that was lately) and what the store did not take before. */
void tokens_tick(struct tokens *tokens, uint64_t now_us, bool all);
