/* The feed: what readers get, in order, and what those that are slow are told. */

#include <errno.h>
#include <string.h>

#include "engine/feed.h"
#include "test.h"

#define READERS 4

struct reader {
        struct feed_reader reader; /* first, so that on_ready finds the rest */
        unsigned int woken;
        struct reader *leaves; /* who leaves the feed when this one is woken */
        bool reads;            /* all there is, when woken */
        uint64_t got;
};

static struct feed *feed_of(size_t max_events, size_t max_bytes) {
        struct feed *feed = NULL;

        assert_int_equal(feed_new(max_events, max_bytes, &feed), 0);
        return feed;
}

static size_t publish_named(struct feed *feed, const char *name, size_t n) {
        struct event *events[64];
        size_t size = 0;

        assert_true(n <= ARRAY_SIZE(events));
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(event_new(&(struct event_fields){ .name = name }, &events[i]), 0);
                assert_int_equal(event_set_seq(events[i], feed_last_seq(feed) + 1 + i), 0);
                size = feed_event_bytes(events[i]);
        }
        feed_publish(feed, events, n);
        for (size_t i = 0; i < n; i++)
                event_unref(events[i]);
        return size;
}

static void publish(struct feed *feed, size_t n) {
        (void) publish_named(feed, "a", n);
}

/* Read to the end. Return: how many events; *ret_missed: how many it was told are gone. */
static uint64_t read_all(struct feed_reader *reader, uint64_t *ret_missed) {
        uint64_t n = 0, missed = 0, last = reader->next_seq - 1;
        struct event *event;
        int r;

        *ret_missed = 0;
        while ((r = feed_next(reader, &event, &missed)) != 0) {
                if (r == -ESTALE) {
                        *ret_missed += missed;
                        last += missed;
                } else if (r == 1) {
                        assert_true(event->seq > last);
                        assert_true(reader->filter.name || event->seq == last + 1);
                        last = event->seq;
                        n++;
                } else {
                        assert_int_equal(r, -EAGAIN);
                }
        }
        return n;
}

static void on_ready(struct feed_reader *base) {
        struct reader *reader = (struct reader *) base;
        uint64_t missed;

        reader->woken++;
        if (reader->leaves)
                feed_reader_done(&reader->leaves->reader);
        if (reader->reads)
                reader->got += read_all(base, &missed);
}

static void a_reader_gets_each_event_once_in_order(void **state) {
        _cleanup_(feed_freep) struct feed *feed = feed_of(16, SIZE_MAX);
        struct reader reader = {};
        uint64_t missed;

        publish(feed, 3);
        feed_reader_init(&reader.reader, feed, 0, on_ready);
        assert_int_equal(feed_reader_count(feed), 1);
        assert_int_equal(read_all(&reader.reader, &missed), 3);
        assert_int_equal(missed, 0);
        assert_int_equal(read_all(&reader.reader, &missed), 0);
        publish(feed, 2);
        assert_int_equal(read_all(&reader.reader, &missed), 2);
        feed_reader_done(&reader.reader);
        feed_reader_done(&reader.reader); /* harmless */
        assert_int_equal(feed_reader_count(feed), 0);
}

static void numbers_go_on_where_the_last_run_stopped(void **state) {
        _cleanup_(feed_freep) struct feed *feed = feed_of(16, SIZE_MAX);
        struct reader old = {}, new = {};
        uint64_t missed;

        assert_int_equal(feed_last_seq(feed), 0);
        assert_int_equal(feed_first_seq(feed), 1);
        feed_set_last_seq(feed, 1000);
        assert_int_equal(feed_last_seq(feed), 1000);
        assert_int_equal(feed_first_seq(feed), 1001); /* none in memory */
        feed_reader_init(&new.reader, feed, feed_last_seq(feed), on_ready);
        feed_reader_init(&old.reader, feed, 990, on_ready);
        publish(feed, 1);
        assert_int_equal(read_all(&new.reader, &missed), 1);
        assert_int_equal(missed, 0);
        assert_int_equal(read_all(&old.reader, &missed), 1);
        assert_int_equal(missed, 10);
        feed_reader_done(&old.reader);
        feed_reader_done(&new.reader);
}

static void the_ring_is_full_and_one_more_pushes_the_oldest_out(void **state) {
        static const size_t limits[] = { 1, 2, 7 };

        for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
                _cleanup_(feed_freep) struct feed *feed = feed_of(limits[i], SIZE_MAX);
                struct reader reader = {};
                uint64_t missed;

                feed_reader_init(&reader.reader, feed, 0, on_ready);
                publish(feed, limits[i]);
                assert_int_equal(feed_first_seq(feed), 1);
                publish(feed, 1);
                assert_int_equal(feed_first_seq(feed), 2);
                assert_int_equal(feed_last_seq(feed), limits[i] + 1);
                assert_int_equal(read_all(&reader.reader, &missed), limits[i]);
                assert_int_equal(missed, 1);
                publish(feed, 3 * limits[i]);
                assert_int_equal(read_all(&reader.reader, &missed), limits[i]);
                assert_int_equal(missed, 2 * limits[i]);
                feed_reader_done(&reader.reader);
        }
}

static void the_bytes_have_a_limit_too(void **state) {
        struct feed *feed = feed_of(16, SIZE_MAX);
        size_t size = publish_named(feed, "a", 1);

        feed_free(feed);
        feed = feed_of(16, 3 * size);
        publish(feed, 3);
        assert_int_equal(feed_first_seq(feed), 1);
        publish(feed, 1);
        assert_int_equal(feed_first_seq(feed), 2);
        feed_free(feed);

        feed = feed_of(16, 3 * size - 1);
        publish(feed, 3);
        assert_int_equal(feed_first_seq(feed), 2);
        feed_free(feed);

        feed = feed_of(16, 1); /* the newest is there all the same */
        publish(feed, 2);
        assert_int_equal(feed_first_seq(feed), 2);
        assert_int_equal(feed_last_seq(feed), 2);
        feed_free(feed);
}

static void a_reader_is_woken_once_for_each_time_it_found_nothing(void **state) {
        _cleanup_(feed_freep) struct feed *feed = feed_of(16, SIZE_MAX);
        struct reader reader = {};
        uint64_t missed;

        feed_reader_init(&reader.reader, feed, 0, on_ready);
        publish(feed, 1);
        assert_int_equal(reader.woken, 0); /* it has not asked yet */
        assert_int_equal(read_all(&reader.reader, &missed), 1);
        feed_publish(feed, NULL, 0);
        assert_int_equal(reader.woken, 0);
        publish(feed, 2);
        assert_int_equal(reader.woken, 1);
        publish(feed, 1);
        assert_int_equal(reader.woken, 1);
        assert_int_equal(read_all(&reader.reader, &missed), 3);
        publish(feed, 1);
        assert_int_equal(reader.woken, 2);
        feed_reader_done(&reader.reader);
}

static void readers_may_leave_and_read_while_they_are_woken(void **state) {
        _cleanup_(feed_freep) struct feed *feed = feed_of(16, SIZE_MAX);
        struct reader readers[READERS] = {};
        struct event *event;
        uint64_t missed;

        for (size_t i = 0; i < READERS; i++) {
                feed_reader_init(&readers[i].reader, feed, 0, on_ready);
                assert_int_equal(feed_next(&readers[i].reader, &event, &missed), 0);
                readers[i].reads = i != 2;
        }
        readers[0].leaves = &readers[1]; /* the next one */
        readers[2].leaves = &readers[2]; /* itself */
        readers[3].leaves = &readers[0]; /* one that was woken before */
        publish(feed, 1);
        assert_int_equal(readers[0].woken, 1);
        assert_int_equal(readers[1].woken, 0);
        assert_int_equal(readers[2].woken, 1);
        assert_int_equal(readers[3].woken, 1);
        assert_int_equal(readers[0].got, 1);
        assert_int_equal(readers[3].got, 1);
        assert_int_equal(feed_reader_count(feed), 1);
        readers[3].leaves = NULL;
        publish(feed, 1);
        assert_int_equal(readers[3].got, 2);
        assert_int_equal(readers[0].woken, 1);
        feed_reader_done(&readers[3].reader);
}

static void a_filter_skips_but_its_reader_is_told_of_every_loss(void **state) {
        _cleanup_(feed_freep) struct feed *feed = feed_of(4, SIZE_MAX);
        char name[] = "b";
        struct reader reader = { .reader.filter.name = name };
        uint64_t missed;

        feed_reader_init(&reader.reader, feed, 0, on_ready);
        publish(feed, 6);
        (void) publish_named(feed, "b", 1);
        assert_int_equal(read_all(&reader.reader, &missed), 1);
        assert_int_equal(missed, 3);
        feed_reader_done(&reader.reader);
}

static void one_call_skips_at_most_1024(void **state) {
        _cleanup_(feed_freep) struct feed *feed = feed_of(4096, SIZE_MAX);
        char name[] = "b";
        struct reader reader = { .reader.filter.name = name };
        struct event *event;
        uint64_t missed;

        feed_reader_init(&reader.reader, feed, 0, on_ready);
        for (int i = 0; i < 16; i++)
                publish(feed, 64);
        assert_int_equal(feed_next(&reader.reader, &event, &missed), -EAGAIN);
        (void) publish_named(feed, "b", 1);
        assert_int_equal(reader.woken, 0); /* it has not been told to wait */
        assert_int_equal(feed_next(&reader.reader, &event, &missed), 1);
        assert_int_equal(event->seq, 1025);
        publish(feed, 64);
        assert_int_equal(feed_next(&reader.reader, &event, &missed), 0);
        feed_reader_done(&reader.reader);
}

static void an_event_lives_as_long_as_somebody_has_it(void **state) {
        struct feed *feed = feed_of(1, SIZE_MAX);
        struct reader reader = {};
        struct event *event;
        uint64_t missed;

        feed_reader_init(&reader.reader, feed, 0, on_ready);
        publish(feed, 1);
        assert_int_equal(feed_next(&reader.reader, &event, &missed), 1);
        (void) event_ref(event);
        publish(feed, 1);
        feed_reader_done(&reader.reader);
        feed_free(feed);
        assert_int_equal(event->seq, 1);
        event_unref(event);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_reader_gets_each_event_once_in_order),
                cmocka_unit_test(numbers_go_on_where_the_last_run_stopped),
                cmocka_unit_test(the_ring_is_full_and_one_more_pushes_the_oldest_out),
                cmocka_unit_test(the_bytes_have_a_limit_too),
                cmocka_unit_test(a_reader_is_woken_once_for_each_time_it_found_nothing),
                cmocka_unit_test(readers_may_leave_and_read_while_they_are_woken),
                cmocka_unit_test(a_filter_skips_but_its_reader_is_told_of_every_loss),
                cmocka_unit_test(one_call_skips_at_most_1024),
                cmocka_unit_test(an_event_lives_as_long_as_somebody_has_it),
        };

        return RUN_TESTS(tests);
}
