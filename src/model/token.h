#pragma once
/* Tokens: their text, which is shown once, and what is kept of them, in which it is not. A text is
 * "vw_", 32 random letters and digits (190 bits), and 6 more that are the CRC-32 of all before
 * them: a typo, or what a scanner finds in a repository, is told from a token without asking
 * anybody. */

#include <json-c/json.h>

#include "base/diag.h"
#include "model/limit.h"
#include "model/scope.h"

#define TOKEN_PREFIX         "vw_"
#define TOKEN_RANDOM         32
#define TOKEN_TEXT_LENGTH    (3 + TOKEN_RANDOM + 6)
#define TOKEN_ID_LENGTH      12
#define TOKEN_DIGEST_BYTES   32
#define TOKEN_NAME_MAX       64 /* [A-Za-z0-9][A-Za-z0-9._@-]{0,63} */
#define TOKEN_EXPIRES_MAX_US (UINT64_C(3660) * 86400 * USEC_PER_SEC)

struct token_digest {
        unsigned char bytes[TOKEN_DIGEST_BYTES]; /* SHA-256 of the text */
};

struct token {
        char id[TOKEN_ID_LENGTH + 1]; /* the digest's first digits: public */
        struct token_digest digest;
        char name[TOKEN_NAME_MAX + 1]; /* no two have the same */
        char *by;                      /* who made it; never NULL */
        unsigned int scopes;
        struct limit *limit; /* NULL: none */
        uint64_t created_us; /* CLOCK_REALTIME */
        uint64_t expires_us; /* 0: never */
        uint64_t used_us;    /* the last time; 0: never */

        /* engine/tokens.c */
        uint64_t kept_used_us; /* what the store has of used_us */
        bool in_force;         /* it is durable */
        bool told_expired;
        bool is_revoked; /* and the store has not taken that yet */
};

/**
 * Make a text of random bytes, which all digits and letters come from with the same chance: of 256
 * values of a byte 248 are used.
 *
 * Return: 0; -EAGAIN: @size bytes were not enough; 128 practically always are.
 */
int token_text_make(
                const unsigned char *random, size_t size, char text[static TOKEN_TEXT_LENGTH + 1]);
/** Whether it has the form of one, with the right checksum. */
bool token_text_is_valid(const char *text);
/** Whether there is one of ours anywhere within @text. */
bool token_text_is_within(const char *text);
/** Of any text. Return: 0; -EIO: the library cannot. */
int token_digest_of(const char *text, struct token_digest *ret_digest);
/** Takes as long for a wrong first byte as for a wrong last one. */
bool token_digest_equal(const struct token_digest *a, const struct token_digest *b);
/** The id of a token of that digest. */
void token_id_of(const struct token_digest *digest, char id[static TOKEN_ID_LENGTH + 1]);

/**
 * Read what somebody wants: {"name","scopes","expires","slugs","workloads"}. "expires" is a span or
 * a time (RFC 3339); without it, it is for ever. A limited token cannot bind apps, which could
 * widen its limits, and not administer.
 *
 * @now_us: CLOCK_REALTIME
 *
 * Return: 0 and one without a digest; -EINVAL with the member and what is allowed in @diag;
 * -ENOMEM.
 */
int token_parse(struct json_object *object, uint64_t now_us, struct diag *diag,
                struct token **ret_token);
struct token *token_free(struct token *token);
DEFINE_FREEP(struct token, token_free);

bool token_is_expired(const struct token *token, uint64_t now_us);
/** As people see it: {"id","name","scopes","slugs","workloads","created_at","created_by",
 * "expires_at","last_used_at","expired"}. Caller puts; NULL: no memory. */
struct json_object *token_to_json(const struct token *token, uint64_t now_us);
/** As the store has it. */
struct json_object *token_freeze(const struct token *token);
/** Return: 0; -EINVAL; -ENOMEM. */
int token_thaw(struct json_object *object, struct token **ret_token);
/** "read,events:write" into @text. */
#define TOKEN_SCOPES_TEXT_MAX 80
const char *token_scopes_text(unsigned int scopes, char text[static TOKEN_SCOPES_TEXT_MAX]);
