/* Tokens: what is one by its form, what may be wanted, and that the store gives back what it got.
 */

#include <string.h>

#include "base/json.h"
#include "model/token.h"
#include "test.h"

#define NOW_US (UINT64_C(1780000000) * USEC_PER_SEC)
#define DAY_US (UINT64_C(86400) * USEC_PER_SEC)

static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void make(unsigned char first, char text[TOKEN_TEXT_LENGTH + 1]) {
        unsigned char random[TOKEN_RANDOM];

        for (size_t i = 0; i < sizeof(random); i++)
                random[i] = (unsigned char) ((first + 7 * i) % 248);
        assert_int_equal(token_text_make(random, sizeof(random), text), 0);
}

static void a_text_has_its_prefix_its_length_and_a_checksum(void **state) {
        char text[TOKEN_TEXT_LENGTH + 1];

        make(0, text);
        assert_int_equal(strlen(text), 41);
        assert_true(strncmp(text, "vw_", 3) == 0);
        assert_int_equal(strspn(text + 3, alphabet), 38);
        assert_true(token_text_is_valid(text));
}

/* CRC-32 of "vw_" and 32 zeros, by Python's zlib.crc32(). */
static void the_checksum_is_crc32_in_base_62(void **state) {
        const unsigned char zeros[TOKEN_RANDOM] = {};
        char text[TOKEN_TEXT_LENGTH + 1];
        uint64_t sum = 0;

        assert_int_equal(token_text_make(zeros, sizeof(zeros), text), 0);
        assert_true(strncmp(text, "vw_00000000000000000000000000000000", 35) == 0);
        for (size_t i = 35; i < 41; i++)
                sum = sum * 62 + (uint64_t) (strchr(alphabet, text[i]) - alphabet);
        assert_int_equal(sum, UINT64_C(0xabf1b89a));
}

static void every_single_typo_is_seen(void **state) {
        char text[TOKEN_TEXT_LENGTH + 1], wrong[TOKEN_TEXT_LENGTH + 2];

        make(100, text);
        for (size_t i = 0; i < TOKEN_TEXT_LENGTH; i++) {
                for (size_t j = 0; j < strlen(alphabet); j++) {
                        memcpy(wrong, text, sizeof(text));
                        wrong[i] = alphabet[j];
                        assert_int_equal(token_text_is_valid(wrong), wrong[i] == text[i]);
                }
        }
        memcpy(wrong, text, sizeof(text));
        wrong[TOKEN_TEXT_LENGTH - 1] = '\0';
        assert_false(token_text_is_valid(wrong));
        (void) snprintf(wrong, sizeof(wrong), "%s0", text);
        assert_false(token_text_is_valid(wrong));
        assert_false(token_text_is_valid(""));
}

static void bytes_that_would_favour_some_digits_are_left_out(void **state) {
        unsigned char random[2 * TOKEN_RANDOM];
        char text[TOKEN_TEXT_LENGTH + 1];
        unsigned int counts[62] = {};

        for (unsigned int byte = 0; byte < 256; byte++) {
                memset(random, (int) byte, sizeof(random));
                if (byte >= 248) {
                        assert_int_equal(token_text_make(random, sizeof(random), text), -EAGAIN);
                        continue;
                }
                assert_int_equal(token_text_make(random, sizeof(random), text), 0);
                counts[strchr(alphabet, text[3]) - alphabet]++;
        }
        for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
                assert_int_equal(counts[i], 4);
        assert_int_equal(token_text_make(random, TOKEN_RANDOM - 1, text), -EAGAIN);
}

static void one_is_found_within_other_text(void **state) {
        char text[TOKEN_TEXT_LENGTH + 1], line[128];

        make(9, text);
        (void) snprintf(line, sizeof(line), "/x?a=vw_b&c=%s;", text);
        assert_true(token_text_is_within(line));
        (void) snprintf(line, sizeof(line), "vw_vw_%s", text + 3);
        assert_true(token_text_is_within(line));
        text[20] = text[20] == 'x' ? 'y' : 'x';
        (void) snprintf(line, sizeof(line), "/x?c=%s", text);
        assert_false(token_text_is_within(line));
        assert_false(token_text_is_within("vw_"));
}

/* "abc": FIPS 180-4's example. */
static void the_digest_is_sha_256_and_the_id_its_beginning(void **state) {
        static const unsigned char expected[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
        struct token_digest digest, other;
        char id[TOKEN_ID_LENGTH + 1];

        assert_int_equal(token_digest_of("abc", &digest), 0);
        assert_memory_equal(digest.bytes, expected, sizeof(expected));
        token_id_of(&digest, id);
        assert_string_equal(id, "ba7816bf8f01");
        other = digest;
        assert_true(token_digest_equal(&digest, &other));
        for (size_t i = 0; i < sizeof(other.bytes); i++) {
                other = digest;
                other.bytes[i] ^= 1;
                assert_false(token_digest_equal(&digest, &other));
        }
}

static int parse(const char *text, struct diag *diag, struct token **ret_token) {
        struct json_object *object = json_tokener_parse(text);
        int r;

        assert_non_null(object);
        r = token_parse(object, NOW_US, diag, ret_token);
        assert_int_equal(json_object_put(object), 1);
        return r;
}

static void what_is_wanted_is_read(void **state) {
        _cleanup_(token_freep) struct token *token = NULL;
        struct diag diag = {};

        assert_int_equal(
                        parse("{\"name\":\"ci.x\",\"scopes\":[\"read\",\"events:write\"],"
                              "\"expires\":\"30d\",\"slugs\":[\"shop\"],\"workloads\":[\"web-1\"]}",
                                        &diag, &token),
                        0);
        assert_string_equal(token->name, "ci.x");
        assert_int_equal(token->scopes, SCOPE_READ | SCOPE_EVENTS_WRITE);
        assert_int_equal(token->expires_us, NOW_US + 30 * DAY_US);
        assert_true(limit_has_slug(token->limit, "shop"));
        assert_false(limit_has_slug(token->limit, "other"));
        assert_false(token_is_expired(token, NOW_US + 30 * DAY_US - 1));
        assert_true(token_is_expired(token, NOW_US + 30 * DAY_US));
}

static void without_expiry_and_limits_there_are_none(void **state) {
        _cleanup_(token_freep) struct token *token = NULL;
        struct diag diag = {};

        assert_int_equal(parse("{\"name\":\"x\",\"scopes\":[\"admin\"],\"expires\":null,"
                               "\"slugs\":null,\"workloads\":null}",
                                         &diag, &token),
                        0);
        assert_null(token->limit);
        assert_false(token_is_expired(token, UINT64_MAX));
}

static void what_is_wrong_is_named(void **state) {
        static const struct {
                const char *text, *field;
        } cases[] = {
                { "{\"scopes\":[\"read\"]}", "name: " },
                { "{\"name\":\"\",\"scopes\":[\"read\"]}", "name: " },
                { "{\"name\":\"-x\",\"scopes\":[\"read\"]}", "name: " },
                { "{\"name\":\"a b\",\"scopes\":[\"read\"]}", "name: " },
                { "{\"name\":\"a\\u0000b\",\"scopes\":[\"read\"]}", "name: " },
                { "{\"name\":5,\"scopes\":[\"read\"]}", "name: " },
                { "{\"name\":\"x\"}", "scopes: " },
                { "{\"name\":\"x\",\"scopes\":[]}", "scopes: " },
                { "{\"name\":\"x\",\"scopes\":\"read\"}", "scopes: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\",\"read\"]}", "scopes: " },
                { "{\"name\":\"x\",\"scopes\":[\"write\"]}", "scopes: " },
                { "{\"name\":\"x\",\"scopes\":[null]}", "scopes: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"expires\":\"0s\"}", "expires: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"expires\":\"11y\"}", "expires: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"expires\":\"4000d\"}", "expires: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"expires\":\"2020-01-01T00:00:00Z\"}",
                                "expires: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"expires\":30}", "expires: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"slugs\":[\"A\"]}", "slugs: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"slugs\":\"a\"}", "slugs: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"slugs\":[]}", "slugs: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"workloads\":[]}", "workloads: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"workloads\":[\"\"]}", "workloads: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"workloads\":[1]}", "workloads: " },
                { "{\"name\":\"x\",\"scopes\":[\"apps:write\"],\"slugs\":[\"a\"]}", "scopes: " },
                { "{\"name\":\"x\",\"scopes\":[\"admin\"],\"workloads\":[\"a\"]}", "scopes: " },
                { "{\"name\":\"x\",\"scopes\":[\"read\"],\"colour\":1}", "colour: " },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct token *token = NULL;
                struct diag diag = {};

                assert_int_equal(parse(cases[i].text, &diag, &token), -EINVAL);
                assert_null(token);
                if (strncmp(diag.text, cases[i].field, strlen(cases[i].field)) != 0)
                        fail_msg("%s: %s", cases[i].text, diag.text);
        }
}

static void the_store_gives_back_what_it_got_and_shows_no_more(void **state) {
        _cleanup_(token_freep) struct token *token = NULL, *again = NULL;
        _cleanup_(json_putp) struct json_object *frozen = NULL, *shown = NULL;
        struct diag diag = {};

        assert_int_equal(parse("{\"name\":\"x\",\"scopes\":[\"read\",\"actions\"],"
                               "\"expires\":\"1d\",\"workloads\":[\"web-1\"]}",
                                         &diag, &token),
                        0);
        assert_int_equal(token_digest_of("abc", &token->digest), 0);
        token_id_of(&token->digest, token->id);
        token->by = strdup("uid 0");
        token->created_us = NOW_US;
        token->used_us = NOW_US + 5;
        frozen = token_freeze(token);
        assert_int_equal(token_thaw(frozen, &again), 0);
        assert_string_equal(again->id, token->id);
        assert_string_equal(again->name, "x");
        assert_string_equal(again->by, "uid 0");
        assert_true(token_digest_equal(&again->digest, &token->digest));
        assert_int_equal(again->scopes, token->scopes);
        assert_int_equal(again->created_us, NOW_US);
        assert_int_equal(again->expires_us, NOW_US + DAY_US);
        assert_int_equal(again->used_us, NOW_US + 5);
        assert_true(limit_has_workload(again->limit, NULL, "web-1", NULL));

        shown = token_to_json(token, NOW_US + DAY_US);
        assert_null(json_get(shown, "digest"));
        assert_true(json_get_bool(shown, "expired", false));
        json_object_object_del(frozen, "digest");
        token_free(again);
        again = NULL;
        assert_int_equal(token_thaw(frozen, &again), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_text_has_its_prefix_its_length_and_a_checksum),
                cmocka_unit_test(the_checksum_is_crc32_in_base_62),
                cmocka_unit_test(every_single_typo_is_seen),
                cmocka_unit_test(bytes_that_would_favour_some_digits_are_left_out),
                cmocka_unit_test(one_is_found_within_other_text),
                cmocka_unit_test(the_digest_is_sha_256_and_the_id_its_beginning),
                cmocka_unit_test(what_is_wanted_is_read),
                cmocka_unit_test(without_expiry_and_limits_there_are_none),
                cmocka_unit_test(what_is_wrong_is_named),
                cmocka_unit_test(the_store_gives_back_what_it_got_and_shows_no_more),
        };

        return RUN_TESTS(tests);
}
