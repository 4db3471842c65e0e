/* What the feed lets go of when all have read it. */

#include "engine/feed.h"
#include "test.h"

static void publish(struct feed *feed, unsigned int n) {
        for (unsigned int i = 0; i < n; i++) {
                struct event *event;

                assert_int_equal(event_new(&(struct event_fields){ .name = "n", .action = "a" },
                                                 &event),
                                0);
                assert_int_equal(event_set_seq(event, feed_last_seq(feed) + 1), 0);
                feed_publish(feed, &event, 1);
                event_unref(event);
        }
}

static void on_ready(struct feed_reader *reader) {
}

static void only_what_all_have_read_goes_and_the_newest_stay(void **state) {
        struct feed_reader fast = {}, slow = {};
        struct event *event;
        uint64_t missed;
        struct feed *feed;

        assert_int_equal(feed_new(1000, 1U << 20, &feed), 0);
        assert_int_equal(feed_trim(feed, 10), 0);
        publish(feed, 100);
        assert_int_equal(feed_trim(feed, 10), 90);
        assert_int_equal(feed_first_seq(feed), 91);
        assert_int_equal(feed_trim(feed, 10), 0);

        feed_reader_init(&fast, feed, 100, on_ready);
        feed_reader_init(&slow, feed, 100, on_ready);
        publish(feed, 100);
        while (feed_next(&fast, &event, &missed) == 1)
                ;
        for (unsigned int i = 0; i < 30; i++)
                assert_int_equal(feed_next(&slow, &event, &missed), 1);
        assert_int_equal(feed_trim(feed, 10), 40);
        assert_int_equal(feed_first_seq(feed), 131);
        for (unsigned int i = 0; i < 70; i++) {
                assert_int_equal(feed_next(&slow, &event, &missed), 1);
                assert_int_equal(event->seq, 131 + i);
        }
        assert_int_equal(feed_next(&slow, &event, &missed), 0);
        assert_int_equal(feed_trim(feed, 10), 60);
        feed_reader_done(&slow);
        feed_reader_done(&fast);

        publish(feed, 1);
        assert_int_equal(feed_trim(feed, 0), 11);
        assert_int_equal(feed_first_seq(feed), 202);
        publish(feed, 1);
        assert_int_equal(feed_last_seq(feed), 202);
        feed_free(feed);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_what_all_have_read_goes_and_the_newest_stay),
        };

        return RUN_TESTS(tests);
}
