/* Passwords and bcrypt hashes, off the loop. */

#include <string.h>

#include "api/password.h"
#include "test.h"

/* Of "secret"; the second has another cost and prefix. */
#define HASH  "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
#define HASH2 "$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u"

struct answers {
        sd_event *event;
        unsigned int good, bad, wanted;
};

static void on_answer(bool good, void *userdata) {
        struct answers *answers = userdata;

        answers->good += good;
        answers->bad += !good;
        if (answers->good + answers->bad == answers->wanted)
                assert_true(sd_event_exit(answers->event, 0) >= 0);
}

static int setup(void **state) {
        struct answers *answers = calloc(1, sizeof(*answers));

        assert_non_null(answers);
        assert_true(sd_event_new(&answers->event) >= 0);
        *state = answers;
        return 0;
}

static int teardown(void **state) {
        struct answers *answers = *state;

        (void) sd_event_unref(answers->event);
        free(answers);
        return 0;
}

static void only_bcrypt_of_some_cost_is_a_hash(void **state) {
        assert_true(password_hash_is_good(HASH));
        assert_true(password_hash_is_good(HASH2));
        assert_false(password_hash_is_good(""));
        assert_false(password_hash_is_good("secret"));
        assert_false(password_hash_is_good(HASH "a"));
        assert_false(password_hash_is_good(
                        "$2y$15$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u"));
        assert_false(password_hash_is_good(
                        "$2y$03$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u"));
        assert_false(password_hash_is_good(
                        "$2z$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u"));
        assert_false(password_hash_is_good(
                        "$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5s!2u"));
}

static void a_good_answer_is_remembered_and_a_bad_one_is_not(void **state) {
        _cleanup_(passwords_freep) struct passwords *passwords = NULL;
        struct answers *answers = *state;

        answers->wanted = 4;
        assert_int_equal(passwords_new(answers->event, &passwords), 0);
        assert_int_equal(passwords_check(passwords, HASH2, "secret", NULL, NULL), -EAGAIN);
        assert_int_equal(passwords_check(passwords, HASH2, "secret", on_answer, answers),
                        -EINPROGRESS);
        assert_int_equal(passwords_check(passwords, HASH2, "secrets", on_answer, answers),
                        -EINPROGRESS);
        assert_int_equal(passwords_check(passwords, HASH2, "", on_answer, answers), -EINPROGRESS);
        assert_int_equal(passwords_check(passwords, NULL, "secret", on_answer, answers),
                        -EINPROGRESS);
        assert_true(sd_event_loop(answers->event) >= 0);
        assert_int_equal(answers->good, 1);
        assert_int_equal(answers->bad, 3);
        assert_int_equal(passwords_check(passwords, HASH2, "secret", on_answer, answers), 1);
        assert_int_equal(passwords_check(passwords, HASH2, "secrets", NULL, NULL), -EAGAIN);
        assert_int_equal(passwords_check(passwords, HASH, "secret", NULL, NULL), -EAGAIN);
}

static void so_many_wait_and_no_more(void **state) {
        struct passwords *passwords = NULL;
        struct answers *answers = *state;
        char text[PASSWORD_MAX + 2];

        answers->wanted = PASSWORDS_WAITING_MAX + 1; /* never */
        assert_int_equal(passwords_new(answers->event, &passwords), 0);
        for (unsigned int i = 0; i < PASSWORDS_WAITING_MAX; i++)
                assert_int_equal(passwords_check(passwords, HASH, "no", on_answer, answers),
                                -EINPROGRESS);
        assert_int_equal(passwords_check(passwords, HASH, "no", on_answer, answers), -EAGAIN);
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(passwords_check(passwords, HASH, text, on_answer, answers), -EINVAL);
        passwords_free(passwords);
        assert_int_equal(answers->bad, PASSWORDS_WAITING_MAX); /* each was told */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_bcrypt_of_some_cost_is_a_hash),
                cmocka_unit_test_setup_teardown(
                                a_good_answer_is_remembered_and_a_bad_one_is_not, setup, teardown),
                cmocka_unit_test_setup_teardown(so_many_wait_and_no_more, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
