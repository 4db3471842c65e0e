/* The text of tokens, and their JSON. */

#include "model/token.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#define CHECKED (TOKEN_TEXT_LENGTH - 6)

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
static const char name_bytes[] =
                "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._@-";

/* ---- text ---- */

/* 62^6 is more than 2^32. */
static void put_checksum(const char *text, char to[static 7]) {
        unsigned long sum = crc32(0, (const Bytef *) text, CHECKED);

        for (size_t i = 6; i-- > 0; sum /= 62)
                to[i] = digits[sum % 62];
        to[6] = '\0';
}

int token_text_make(
                const unsigned char *random, size_t size, char text[static TOKEN_TEXT_LENGTH + 1]) {
        size_t n = strlen(TOKEN_PREFIX);

        memcpy(text, TOKEN_PREFIX, n); /* NOLINT(bugprone-not-null-terminated-result): more comes */
        for (size_t i = 0; i < size && n < CHECKED; i++)
                if (random[i] < 248)
                        text[n++] = digits[random[i] % 62];
        if (n < CHECKED)
                return -EAGAIN;
        put_checksum(text, text + CHECKED);
        return 0;
}

/* Whether one begins there, whatever follows. */
static bool begins(const char *text) {
        char sum[7];

        if (strncmp(text, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) != 0 ||
                        strspn(text + strlen(TOKEN_PREFIX), digits) <
                                        TOKEN_TEXT_LENGTH - strlen(TOKEN_PREFIX))
                return false;
        put_checksum(text, sum);
        return memcmp(sum, text + CHECKED, 6) == 0;
}

bool token_text_is_valid(const char *text) {
        return strnlen(text, TOKEN_TEXT_LENGTH + 1) == TOKEN_TEXT_LENGTH && begins(text);
}

bool token_text_is_within(const char *text) {
        for (; (text = strstr(text, TOKEN_PREFIX)); text++)
                if (begins(text))
                        return true;
        return false;
}

int token_digest_of(const char *text, struct token_digest *ret_digest) {
        return gnutls_hash_fast(GNUTLS_DIG_SHA256, text, strlen(text), ret_digest->bytes) < 0 ? -EIO
                                                                                              : 0;
}

bool token_digest_equal(const struct token_digest *a, const struct token_digest *b) {
        return gnutls_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void token_id_of(const struct token_digest *digest, char id[static TOKEN_ID_LENGTH + 1]) {
        (void) text_hex(digest->bytes, TOKEN_ID_LENGTH / 2, id);
}

/* ---- what is wanted ---- */

static bool name_is_valid(const char *text) {
        return text && text[0] && !strchr("._@-", text[0]) && strlen(text) <= TOKEN_NAME_MAX &&
                        text[strspn(text, name_bytes)] == '\0';
}

static int read_scopes(struct json_object *array, unsigned int *ret_scopes) {
        size_t n = json_length(array);
        unsigned int scopes = 0;

        for (size_t i = 0; i < n; i++) {
                const char *text = json_whole_string(json_object_array_get_idx(array, i));
                int scope = text ? scope_from_string(text) : -EINVAL;

                if (scope < 0 || scopes & (unsigned int) scope)
                        return -EINVAL;
                scopes |= (unsigned int) scope;
        }
        *ret_scopes = scopes;
        return n > 0 ? 0 : -EINVAL;
}

static int read_expiry(const char *text, uint64_t now_us, uint64_t *ret_expires_us) {
        uint64_t at_us;

        if (!text)
                return -EINVAL;
        if (clock_parse_rfc3339(text, &at_us) < 0) {
                if (clock_parse_span(text, &at_us) < 0 || at_us > TOKEN_EXPIRES_MAX_US)
                        return -EINVAL;
                at_us += now_us;
        }
        if (at_us <= now_us || at_us - now_us > TOKEN_EXPIRES_MAX_US)
                return -EINVAL;
        *ret_expires_us = at_us;
        return 0;
}

struct wish {
        struct json_object *slugs, *workloads;
        uint64_t now_us;
};

static int take(struct token *token, struct wish *wish, const char *name, struct json_object *value,
                struct diag *diag) {
        if (strcmp(name, "name") == 0) {
                if (!name_is_valid(json_whole_string(value)))
                        return diag_refuse(diag, name,
                                        "wants 1 to 64 letters, digits and ._@-, a letter or digit first");
                (void) snprintf(token->name, sizeof(token->name), "%s", json_whole_string(value));
        } else if (strcmp(name, "scopes") == 0) {
                if (read_scopes(value, &token->scopes) < 0)
                        return diag_refuse(diag, name,
                                        "wants an array of read, events:write, probes:write, apps:write, actions, admin, each once");
        } else if (strcmp(name, "expires") == 0) {
                if (value &&
                                read_expiry(json_whole_string(value), wish->now_us,
                                                &token->expires_us) < 0)
                        return diag_refuse(diag, name,
                                        "wants a span such as 30d or a time to come, within ten years");
        } else if (strcmp(name, "slugs") == 0) {
                wish->slugs = value;
        } else if (strcmp(name, "workloads") == 0) {
                wish->workloads = value;
        } else {
                diag_set(diag, 0, 0,
                                "%.64s: there is no such member; there are name, scopes, expires, slugs and workloads",
                                name);
                return -EINVAL;
        }
        return 0;
}

int token_parse(struct json_object *object, uint64_t now_us, struct diag *diag,
                struct token **ret_token) {
        _cleanup_(token_freep) struct token *token = calloc(1, sizeof(*token));
        struct wish wish = { .now_us = now_us };
        int r;

        if (!token)
                return -ENOMEM;
        json_object_object_foreach(object, name, value) {
                r = take(token, &wish, name, value, diag);
                if (r < 0)
                        return r;
        }
        if (!token->name[0])
                return diag_refuse(diag, "name", "is missing");
        if (!token->scopes)
                return diag_refuse(diag, "scopes", "is missing");
        r = limit_parse(wish.slugs, wish.workloads, diag, &token->limit);
        if (r < 0)
                return r;
        if (!token->limit && (wish.slugs || wish.workloads)) /* it is no way to say "all" */
                return diag_refuse(diag, wish.slugs ? "slugs" : "workloads",
                                "is empty, so the token would reach nothing; leave it out for one without limits");
        if (token->limit && token->scopes & (SCOPE_ADMIN | SCOPE_APPS_WRITE))
                return diag_refuse(diag, "scopes",
                                "a token limited to slugs or workloads has none of apps:write and admin");
        *ret_token = TAKE_PTR(token);
        return 0;
}

struct token *token_free(struct token *token) {
        if (!token)
                return NULL;
        limit_unref(token->limit);
        free(token->by);
        free(token);
        return NULL;
}

bool token_is_expired(const struct token *token, uint64_t now_us) {
        return token->expires_us && token->expires_us <= now_us;
}

/* ---- JSON ---- */

static struct json_object *scopes_to_json(unsigned int scopes) {
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < SCOPE_COUNT; i++) {
                if (scopes & 1U << i) {
                        (void) json_object_array_add(array,
                                        json_object_new_string(
                                                        scope_to_string((enum scope)(1 << i))));
                }
        }
        return array;
}

const char *token_scopes_text(unsigned int scopes, char text[static TOKEN_SCOPES_TEXT_MAX]) {
        size_t n = 0;

        text[0] = '\0';
        for (size_t i = 0; i < SCOPE_COUNT; i++) {
                if (scopes & 1U << i)
                        n += (size_t) snprintf(text + n, TOKEN_SCOPES_TEXT_MAX - n, "%s%s",
                                        n ? "," : "", scope_to_string((enum scope)(1 << i)));
        }
        return text;
}

/* What both forms have. */
static struct json_object *common(const struct token *token) {
        struct json_object *object = json_object_new_object();

        (void) json_add_string(object, "name", token->name);
        (void) json_add(object, "scopes", scopes_to_json(token->scopes));
        (void) json_add(object, "slugs", limit_slugs_to_json(token->limit));
        (void) json_add(object, "workloads", limit_workloads_to_json(token->limit));
        (void) json_add_string(object, "created_by", token->by);
        return object;
}

struct json_object *token_to_json(const struct token *token, uint64_t now_us) {
        struct json_object *object = common(token);

        (void) json_add_string(object, "id", token->id);
        (void) json_add_time(object, "created_at", token->created_us);
        (void) json_add_time(object, "expires_at", token->expires_us);
        (void) json_add_time(object, "last_used_at", token->used_us);
        (void) json_add_bool(object, "expired", token_is_expired(token, now_us));
        return object;
}

struct json_object *token_freeze(const struct token *token) {
        struct json_object *object = common(token);
        char hex[2 * TOKEN_DIGEST_BYTES + 1];

        (void) json_add_string(
                        object, "digest", text_hex(token->digest.bytes, TOKEN_DIGEST_BYTES, hex));
        (void) json_add_uint(object, "created_us", token->created_us);
        (void) json_add_uint(object, "expires_us", token->expires_us);
        (void) json_add_uint(object, "used_us", token->used_us);
        return object;
}

static int read_digest(const char *hex, struct token_digest *ret_digest) {
        if (!hex || strlen(hex) != 2 * TOKEN_DIGEST_BYTES)
                return -EINVAL;
        return text_unhex(hex, TOKEN_DIGEST_BYTES, ret_digest->bytes);
}

static int read_time(struct json_object *object, const char *name, uint64_t *ret_time_us) {
        int64_t time_us = json_get_int(object, name, -1);

        *ret_time_us = (uint64_t) time_us;
        return time_us < 0 ? -EINVAL : 0;
}

int token_thaw(struct json_object *object, struct token **ret_token) {
        _cleanup_(token_freep) struct token *token = calloc(1, sizeof(*token));
        const char *name = json_get_string(object, "name"),
                   *by = json_get_string(object, "created_by");
        struct diag diag = {};
        int r;

        if (!token)
                return -ENOMEM;
        if (!name_is_valid(name) || !by ||
                        read_scopes(json_get(object, "scopes"), &token->scopes) < 0 ||
                        read_digest(json_get_string(object, "digest"), &token->digest) < 0 ||
                        read_time(object, "created_us", &token->created_us) < 0 ||
                        read_time(object, "expires_us", &token->expires_us) < 0 ||
                        read_time(object, "used_us", &token->used_us) < 0)
                return -EINVAL;
        (void) snprintf(token->name, sizeof(token->name), "%s", name);
        token_id_of(&token->digest, token->id);
        token->by = strdup(by);
        if (!token->by)
                return -ENOMEM;
        r = limit_parse(json_get(object, "slugs"), json_get(object, "workloads"), &diag,
                        &token->limit);
        if (r < 0)
                return r;
        *ret_token = TAKE_PTR(token);
        return 0;
}
