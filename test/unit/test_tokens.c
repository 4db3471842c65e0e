/* The tokens in force, over a store that does what the test wants. */

#include <string.h>

#include "base/json.h"
#include "engine/tokens.h"
#include "test.h"

#define NOW_US (UINT64_C(1780000000) * USEC_PER_SEC)
#define DAY_US (UINT64_C(86400) * USEC_PER_SEC)

struct fixture {
        struct tokens *tokens;
        int keeps;    /* what keeping returns */
        bool waiting; /* done() is not called at once */
        bool refuses_to_wait;
        unsigned int n_kept;
        char *document; /* the last; NULL: it was deleted */
        char action[64], by[64], gone[TOKEN_ID_LENGTH + 1];
        unsigned int n_events, n_gone, n_made;
        void (*done)(struct event *event, void *userdata);
        void *done_userdata;
};

static int keep(const char *id, const char *document, struct event *event,
                void (*done)(struct event *event, void *userdata), void *done_userdata,
                void *userdata) {
        struct fixture *f = userdata;

        if (f->keeps < 0 || (f->refuses_to_wait && done)) {
                event_unref(event);
                return f->keeps < 0 ? f->keeps : -ENOSPC;
        }
        f->n_kept++;
        free(f->document);
        f->document = document ? strdup(document) : NULL;
        if (event) {
                assert_int_equal(event->kind, EVENT_SOURCE);
                assert_string_equal(event->name, "api");
                (void) snprintf(f->action, sizeof(f->action), "%s", event->action);
                (void) snprintf(f->by, sizeof(f->by), "%s", json_get_string(event->details, "by"));
                f->n_events++;
                event_unref(event);
        }
        f->done = done;
        f->done_userdata = done_userdata;
        if (!f->waiting && done)
                done(NULL, done_userdata);
        return 0;
}

static void gone(const struct token *token, void *userdata) {
        struct fixture *f = userdata;

        memcpy(f->gone, token->id, sizeof(f->gone));
        f->n_gone++;
}

static void made(const struct token *token, void *userdata) {
        struct fixture *f = userdata;

        f->n_made++;
}

static void revoked(struct event *event, void *userdata) {
}

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_int_equal(tokens_new(&(struct tokens_hooks){ keep, gone, f }, &f->tokens), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        tokens_free(f->tokens);
        free(f->document);
        free(f);
        return 0;
}

static int make(struct fixture *f, const char *name, uint64_t expires_us,
                char text[static TOKEN_TEXT_LENGTH + 1]) {
        struct token *token = calloc(1, sizeof(*token));

        (void) snprintf(token->name, sizeof(token->name), "%s", name);
        token->scopes = SCOPE_READ;
        token->expires_us = expires_us;
        return tokens_make(f->tokens, token, "uid 7", NOW_US, text, made, f);
}

static int use(struct fixture *f, const char *text, uint64_t now_us) {
        const struct token *token;

        return tokens_use(f->tokens, text, now_us, &token);
}

static void one_is_in_force_once_it_is_durable(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1];

        f->waiting = true;
        assert_int_equal(make(f, "ci", 0, text), 0);
        assert_true(token_text_is_valid(text));
        assert_int_equal(use(f, text, NOW_US), -ENOENT);
        assert_int_equal(f->n_made, 0);
        assert_int_equal(tokens_size(f->tokens, NOW_US), 0);
        /* its name is taken all the same, and it cannot be revoked yet */
        assert_int_equal(make(f, "ci", 0, text + 0), -EEXIST);
        assert_int_equal(tokens_revoke(f->tokens, "ci", "x", NOW_US, revoked, NULL), -ENOENT);
        f->done(NULL, f->done_userdata);
        assert_int_equal(f->n_made, 1);
        assert_int_equal(tokens_size(f->tokens, NOW_US), 1);
}

static void only_its_digest_is_stored_and_who_made_it_is_told(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1];

        assert_int_equal(make(f, "ci", 0, text), 0);
        assert_int_equal(use(f, text, NOW_US), 0);
        assert_null(strstr(f->document, text));
        assert_null(strstr(f->document, text + 3));
        assert_string_equal(f->action, "token_created");
        assert_string_equal(f->by, "uid 7");
}

static void a_token_survives_in_its_document(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1], id[TOKEN_ID_LENGTH + 1];
        struct token_digest digest;
        struct tokens *other;
        const struct token *token;

        assert_int_equal(make(f, "ci", 0, text), 0);
        assert_int_equal(token_digest_of(text, &digest), 0);
        token_id_of(&digest, id);
        assert_int_equal(tokens_new(&(struct tokens_hooks){ keep, gone, f }, &other), 0);
        assert_int_equal(tokens_restore(other, id, f->document, NOW_US), 0);
        assert_int_equal(tokens_restore(other, id, f->document, NOW_US), -EEXIST);
        assert_int_equal(tokens_restore(other, "000000000000", f->document, NOW_US), -EINVAL);
        assert_int_equal(tokens_restore(other, id, "{}", NOW_US), -EINVAL);
        assert_int_equal(tokens_use(other, text, NOW_US, &token), 0);
        assert_string_equal(token->name, "ci");
        tokens_free(other);
}

static void a_full_store_makes_none(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1], other[TOKEN_TEXT_LENGTH + 1];

        assert_int_equal(make(f, "ci", 0, text), 0);
        f->keeps = -ENOSPC;
        assert_int_equal(make(f, "other", 0, other), -ENOSPC);
        assert_int_equal(use(f, other, NOW_US), -ENOENT);
        f->keeps = 0;
        assert_int_equal(make(f, "other", 0, other), 0);
}

/* As the journal does: nobody waits for a disk that takes nothing. */
static void a_failing_store_is_told_of_a_revoked_one_and_nobody_waits(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1];

        assert_int_equal(make(f, "ci", 0, text), 0);
        f->refuses_to_wait = true;
        assert_int_equal(tokens_revoke(f->tokens, "ci", "x", NOW_US, revoked, NULL), 1);
        assert_int_equal(use(f, text, NOW_US), -ENOENT);
        assert_int_equal(f->n_gone, 1);
        assert_null(f->document);
        assert_null(f->done);
        assert_string_equal(f->action, "token_revoked");
        f->refuses_to_wait = false;
        assert_int_equal(make(f, "ci", 0, text), 0);
}

static void one_that_a_full_store_does_not_take_is_revoked_all_the_same(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1];
        unsigned int n_events;

        assert_int_equal(make(f, "ci", 0, text), 0);
        f->keeps = -ENOSPC;
        assert_int_equal(tokens_revoke(f->tokens, "ci", "x", NOW_US, revoked, NULL), 1);
        assert_int_equal(use(f, text, NOW_US), -ENOENT);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(tokens_size(f->tokens, NOW_US), 0);
        tokens_tick(f->tokens, NOW_US, false);
        assert_non_null(f->document); /* as it was made */
        assert_int_equal(tokens_revoke(f->tokens, "ci", "x", NOW_US, revoked, NULL), -ENOENT);
        assert_int_equal(make(f, "ci", 0, text), -EEXIST);
        f->keeps = 0;
        n_events = f->n_events;
        tokens_tick(f->tokens, NOW_US, false);
        assert_null(f->document);
        assert_int_equal(f->n_events, n_events); /* its event was lost, and counted, once */
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(make(f, "ci", 0, text), 0);
}

static void a_revoked_one_is_out_of_force_before_the_disk_knows(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1], second[TOKEN_TEXT_LENGTH + 1];
        const struct token *token;
        char id[TOKEN_ID_LENGTH + 1];

        assert_int_equal(make(f, "ci", 0, text), 0);
        assert_int_equal(make(f, "by-id", 0, second), 0);
        assert_int_equal(tokens_use(f->tokens, second, NOW_US, &token), 0);
        memcpy(id, token->id, sizeof(id));
        f->waiting = true;
        assert_int_equal(tokens_revoke(f->tokens, "ci", "token boss", NOW_US, revoked, NULL), 0);
        assert_int_equal(use(f, text, NOW_US), -ENOENT);
        assert_null(f->document);
        assert_string_equal(f->action, "token_revoked");
        assert_string_equal(f->by, "token boss");
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(tokens_revoke(f->tokens, id, "x", NOW_US, revoked, NULL), 0);
        assert_string_equal(f->gone, id);
        assert_int_equal(tokens_revoke(f->tokens, "ci", "x", NOW_US, revoked, NULL), -ENOENT);
}

static void one_that_expires_is_told_once_and_forgotten_a_day_later(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1];

        assert_int_equal(make(f, "ci", NOW_US + DAY_US, text), 0);
        tokens_tick(f->tokens, NOW_US + DAY_US - 1, false);
        assert_int_equal(use(f, text, NOW_US + DAY_US - 1), 0);
        assert_int_equal(f->n_gone, 0);
        assert_int_equal(use(f, text, NOW_US + DAY_US), -EKEYEXPIRED);
        tokens_tick(f->tokens, NOW_US + DAY_US, false);
        tokens_tick(f->tokens, NOW_US + DAY_US + 1, false);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(f->n_events, 2);
        assert_string_equal(f->action, "token_expired");
        assert_int_equal(tokens_size(f->tokens, NOW_US + DAY_US), 0);
        tokens_tick(f->tokens, NOW_US + DAY_US + TOKENS_FORGET_US, false);
        assert_null(f->document);
        assert_int_equal(use(f, text, NOW_US), -ENOENT);
        assert_int_equal(f->n_gone, 1);
}

static void the_last_use_is_kept_now_and_then(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1];
        unsigned int before;

        assert_int_equal(make(f, "ci", 0, text), 0);
        assert_int_equal(use(f, text, NOW_US), 0);
        tokens_tick(f->tokens, NOW_US, false); /* the first use is much later than never */
        before = f->n_kept;
        for (uint64_t i = 1; i <= 1000; i++) {
                assert_int_equal(use(f, text, NOW_US + i), 0);
                tokens_tick(f->tokens, NOW_US + i, false);
        }
        assert_int_equal(f->n_kept, before);
        assert_int_equal(use(f, text, NOW_US + TOKENS_USED_US + 1), 0);
        tokens_tick(f->tokens, NOW_US + TOKENS_USED_US + 1, false);
        assert_int_equal(f->n_kept, before + 1);
        assert_int_equal(use(f, text, NOW_US + TOKENS_USED_US + 2), 0);
        tokens_tick(f->tokens, NOW_US + TOKENS_USED_US + 2, true);
        assert_int_equal(f->n_kept, before + 2);
}

static void there_is_a_bound(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1], name[32];

        for (int i = 0; i < TOKENS_MAX; i++) {
                (void) snprintf(name, sizeof(name), "t%d", i);
                assert_int_equal(make(f, name, 0, text), 0);
        }
        assert_int_equal(make(f, "more", 0, text), -E2BIG);
        assert_int_equal(tokens_revoke(f->tokens, "t500", "x", NOW_US, revoked, NULL), 0);
        assert_int_equal(make(f, "more", 0, text), 0);
}

static void what_is_none_is_told_from_what_is_unknown(void **state) {
        struct fixture *f = *state;
        char text[TOKEN_TEXT_LENGTH + 1];

        assert_int_equal(make(f, "ci", 0, text), 0);
        assert_int_equal(use(f, "", NOW_US), -EINVAL);
        assert_int_equal(use(f, "vw_secret", NOW_US), -EINVAL);
        text[10] = text[10] == 'a' ? 'b' : 'a';
        assert_int_equal(use(f, text, NOW_US), -EINVAL);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(one_is_in_force_once_it_is_durable),
                TEST(only_its_digest_is_stored_and_who_made_it_is_told),
                TEST(a_token_survives_in_its_document),
                TEST(a_full_store_makes_none),
                TEST(a_failing_store_is_told_of_a_revoked_one_and_nobody_waits),
                TEST(one_that_a_full_store_does_not_take_is_revoked_all_the_same),
                TEST(a_revoked_one_is_out_of_force_before_the_disk_knows),
                TEST(one_that_expires_is_told_once_and_forgotten_a_day_later),
                TEST(the_last_use_is_kept_now_and_then),
                TEST(there_is_a_bound),
                TEST(what_is_none_is_told_from_what_is_unknown),
        };

        return RUN_TESTS(tests);
}
