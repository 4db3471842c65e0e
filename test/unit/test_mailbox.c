/* The mailbox: letters from threads arrive once each, in order, or are refused and counted. */

#include <pthread.h>
#include <string.h>

#include "loop/mailbox.h"
#include "test.h"

#define THREADS    4
#define PER_THREAD 20000
#define MANY       256

struct note {
        struct letter letter; /* first: what is delivered is the note */
        unsigned int thread, number;
};

struct fixture {
        sd_event *event;
        struct mailbox *mailbox;
        unsigned int next[THREADS]; /* the number expected of each */
        unsigned int n;
        pthread_t loop;
        struct note *again; /* posted while the first one is delivered */
};

static void deliver(struct letter *letter, void *userdata) {
        struct note *note = (struct note *) letter;
        struct fixture *f = userdata;

        assert_true(pthread_equal(pthread_self(), f->loop));
        assert_int_equal(note->number, f->next[note->thread]);
        f->next[note->thread]++;
        f->n++;
        free(note);
        if (f->again)
                assert_int_equal(mailbox_post(f->mailbox, &TAKE_PTR(f->again)->letter), 0);
}

static struct note *note_of(unsigned int thread, unsigned int number) {
        struct note *note = calloc(1, sizeof(*note));

        assert_non_null(note);
        note->thread = thread;
        note->number = number;
        return note;
}

static struct fixture *fixture_of(size_t max) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->loop = pthread_self();
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(mailbox_new(f->event, max, deliver, f, &f->mailbox), 0);
        return f;
}

static void fixture_free(struct fixture *f) {
        f->mailbox = mailbox_free(f->mailbox);
        sd_event_unref(f->event);
        free(f);
}

struct poster {
        struct fixture *f;
        unsigned int thread;
        uint64_t refused;
};

static void *post_many(void *userdata) {
        struct poster *poster = userdata;

        for (unsigned int i = 0; i < PER_THREAD; i++) {
                struct note *note = calloc(1, sizeof(*note));

                if (!note)
                        break;
                note->thread = poster->thread;
                note->number = i;
                while (mailbox_post(poster->f->mailbox, &note->letter) == -EAGAIN) {
                        poster->refused++;
                        (void) usleep(100);
                }
        }
        return NULL;
}

static void letters_of_many_threads_arrive_in_the_order_of_each(void **state) {
        struct fixture *f = fixture_of(MANY);
        struct poster posters[THREADS];
        pthread_t threads[THREADS];
        uint64_t refused = 0;

        for (unsigned int i = 0; i < THREADS; i++) {
                posters[i] = (struct poster){ .f = f, .thread = i };
                assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
        }
        while (f->n < THREADS * PER_THREAD)
                assert_true(sd_event_run(f->event, 10000000) > 0);
        for (unsigned int i = 0; i < THREADS; i++) {
                assert_int_equal(pthread_join(threads[i], NULL), 0);
                assert_int_equal(f->next[i], PER_THREAD);
                refused += posters[i].refused;
        }
        assert_int_equal(mailbox_refused(f->mailbox), refused);
        assert_true(sd_event_run(f->event, 0) >= 0); /* a last wake-up may be left, but no letter */
        assert_int_equal(f->n, THREADS * PER_THREAD);
        assert_int_equal(sd_event_run(f->event, 0), 0);
        fixture_free(f);
}

static void a_full_box_refuses_counts_and_has_room_again(void **state) {
        struct fixture *f = fixture_of(2);
        struct note *third = note_of(0, 2);

        assert_int_equal(mailbox_post(f->mailbox, &note_of(0, 0)->letter), 0);
        assert_int_equal(mailbox_post(f->mailbox, &note_of(0, 1)->letter), 0);
        assert_int_equal(mailbox_refused(f->mailbox), 0);
        assert_int_equal(mailbox_post(f->mailbox, &third->letter), -EAGAIN);
        assert_int_equal(mailbox_refused(f->mailbox), 1);
        assert_int_equal(f->n, 0); /* only on the loop's turn */
        assert_true(sd_event_run(f->event, 0) > 0);
        assert_int_equal(f->n, 2);
        assert_int_equal(mailbox_post(f->mailbox, &third->letter), 0); /* it stayed ours */
        assert_true(sd_event_run(f->event, 0) > 0);
        assert_int_equal(f->n, 3);
        fixture_free(f);
}

static void a_letter_posted_by_a_delivery_comes_with_the_next_turn(void **state) {
        struct fixture *f = fixture_of(2);

        f->again = note_of(0, 1);
        assert_int_equal(mailbox_post(f->mailbox, &note_of(0, 0)->letter), 0);
        assert_true(sd_event_run(f->event, 0) > 0);
        assert_int_equal(f->n, 1);
        assert_true(sd_event_run(f->event, 0) > 0);
        assert_int_equal(f->n, 2);
        fixture_free(f);
}

static void freeing_delivers_what_waits(void **state) {
        struct fixture *f = fixture_of(10);
        unsigned int *n = &f->n;

        assert_int_equal(mailbox_post(f->mailbox, &note_of(0, 0)->letter), 0);
        assert_int_equal(mailbox_post(f->mailbox, &note_of(0, 1)->letter), 0);
        f->mailbox = mailbox_free(f->mailbox);
        assert_null(f->mailbox);
        assert_int_equal(*n, 2);
        assert_null(mailbox_free(NULL));
        fixture_free(f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(letters_of_many_threads_arrive_in_the_order_of_each),
                cmocka_unit_test(a_full_box_refuses_counts_and_has_room_again),
                cmocka_unit_test(a_letter_posted_by_a_delivery_comes_with_the_next_turn),
                cmocka_unit_test(freeing_delivers_what_waits),
        };

        return RUN_TESTS(tests);
}
