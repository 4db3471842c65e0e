/* The event stream: resuming, filters, what a slow reader is told. */

#include <malloc.h>

#include "http_fixture.h"

static int open_stream(const struct fixture *f, const char *query, const char *headers) {
        char request[512];
        int fd = fixture_connect(f), n;

        n = snprintf(request, sizeof(request),
                        "GET /api/v1/events%s HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
                        "Authorization: Bearer " FIXTURE_TOKEN "\r\n%s\r\n",
                        query, headers);
        fixture_send(fd, request, (size_t) n);
        return fd;
}

/* A client that takes the stream apart as it comes. */
struct reader {
        int fd;
        char text[1 << 20];
        size_t used;
        uint64_t first, last, n_events, n_missed, n_warnings, n_heartbeats;
        bool gap, closed;
};

static struct reader *reader_new(int fd) {
        struct reader *reader = calloc(1, sizeof(*reader));

        assert_non_null(reader);
        reader->fd = fd;
        return reader;
}

static void reader_free(struct reader *reader) {
        (void) close(reader->fd);
        free(reader);
}

static uint64_t number(const char *text) {
        uint64_t value = 0;

        while (*text >= '0' && *text <= '9')
                value = value * 10 + (uint64_t) (*text++ - '0');
        return value;
}

static void reader_line(struct reader *reader, const char *line) {
        static const char warning[] = "data: {\"warning\":\"missed ";
        uint64_t n;

        if (strncmp(line, "id: ", 4) == 0) {
                n = number(line + 4);
                reader->gap = reader->gap || (reader->last && n != reader->last + 1);
                reader->first = reader->first ? reader->first : n;
                reader->last = n;
                reader->n_events++;
        } else if (strncmp(line, warning, sizeof(warning) - 1) == 0) {
                n = number(line + sizeof(warning) - 1);
                assert_string_equal(strchr(line + sizeof(warning) - 1, ' '), " events\"}");
                reader->n_missed += n;
                reader->n_warnings++;
                reader->last += reader->last ? n : 0;
        } else if (strcmp(line, ": heartbeat") == 0) {
                reader->n_heartbeats++;
        }
}

/* Read until @n_events have come in all, or no event for @wait_ms (a heartbeat is none). */
static void reader_read(struct reader *reader, uint64_t n_events, int wait_ms) {
        struct pollfd ready = { .fd = reader->fd, .events = POLLIN };
        uint64_t seen = reader->n_events, since_us = clock_monotonic_us();
        char *line, *end;
        ssize_t n;

        while (!reader->closed && reader->n_events < n_events && poll(&ready, 1, wait_ms) == 1) {
                n = read(reader->fd, reader->text + reader->used,
                                sizeof(reader->text) - 1 - reader->used);
                if (n <= 0) {
                        reader->closed = true;
                        return;
                }
                reader->used += (size_t) n;
                reader->text[reader->used] = '\0';
                for (line = reader->text; (end = strchr(line, '\n')); line = end + 1) {
                        *end = '\0';
                        if (end > line && end[-1] == '\r')
                                end[-1] = '\0'; /* of a chunk's head */
                        reader_line(reader, line);
                }
                reader->used -= (size_t) (line - reader->text);
                memmove(reader->text, line, reader->used);
                if (reader->n_events > seen)
                        since_us = clock_monotonic_us();
                else if (clock_monotonic_us() - since_us > (uint64_t) wait_ms * USEC_PER_MSEC)
                        return;
                seen = reader->n_events;
        }
}

static struct reader *reader_open(const struct fixture *f, const char *query, const char *headers) {
        struct reader *reader = reader_new(open_stream(f, query, headers));

        reader_read(reader, 1, 200); /* the greeting, so that it is there when events come */
        return reader;
}

static void a_reader_gets_what_happens_from_now_on(void **state) {
        struct reader *reader;
        struct fixture f;

        fixture_init(&f);
        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 5);
        reader = reader_open(&f, "", "");
        assert_int_equal(reader->n_events, 0);
        fixture_publish(&f, EVENT_VM, 500);
        reader_read(reader, 500, 2000);
        assert_int_equal(reader->first, 6);
        assert_int_equal(reader->n_events, 500);
        assert_false(reader->gap);
        reader_free(reader);
        fixture_stop(&f);
}

static void a_reader_resumes_from_the_journal_into_the_feed(void **state) {
        struct reader *by_header, *by_query, *both;
        struct fixture f;

        fixture_init(&f);
        f.feed_max = 100;
        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 1000);
        by_header = reader_open(&f, "", "Last-Event-ID: 10\r\n");
        by_query = reader_open(&f, "?after=0", "");
        both = reader_open(&f, "?after=0", "Last-Event-ID: 950\r\n");
        fixture_publish(&f, EVENT_VM, 50);
        reader_read(by_header, 1040, 2000);
        reader_read(by_query, 1050, 2000);
        reader_read(both, 100, 2000);
        assert_int_equal(by_header->first, 11);
        assert_int_equal(by_header->n_events, 1040);
        assert_int_equal(by_query->first, 1);
        assert_int_equal(by_query->n_events, 1050);
        assert_int_equal(both->first, 951); /* the header wins */
        assert_int_equal(both->n_events, 100);
        assert_false(by_header->gap || by_query->gap || both->gap);
        assert_int_equal(by_header->n_warnings + by_query->n_warnings + both->n_warnings, 0);
        reader_free(by_header);
        reader_free(by_query);
        reader_free(both);
        fixture_stop(&f);
}

static void many_readers_resume_at_once_and_none_misses_any(void **state) {
        enum {
                N = 90
        };
        struct reader *readers[N];
        struct fixture f;

        fixture_init(&f);
        f.feed_max = 10;
        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 400);
        for (size_t i = 0; i < N; i++)
                readers[i] = reader_new(open_stream(&f, "?after=0", ""));
        fixture_publish(&f, EVENT_VM, 100);
        for (size_t i = 0; i < N; i++) {
                reader_read(readers[i], 500, 5000);
                assert_int_equal(readers[i]->n_events, 500);
                assert_int_equal(readers[i]->n_warnings, 0);
                assert_false(readers[i]->gap);
                reader_free(readers[i]);
        }
        fixture_stop(&f);
}

static void a_stream_goes_on_across_a_restart(void **state) {
        struct reader *reader;
        struct fixture f;

        fixture_init(&f);
        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 20);
        reader = reader_open(&f, "?after=0", "");
        reader_read(reader, 20, 2000);
        fixture_halt(&f);
        reader_read(reader, 21, 2000);
        assert_true(reader->closed);
        reader_free(reader);

        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 5);
        reader = reader_open(&f, "", "Last-Event-ID: 7\r\n");
        reader_read(reader, 18, 2000);
        assert_int_equal(reader->first, 8);
        assert_int_equal(reader->n_events, 18);
        assert_false(reader->gap);
        reader_free(reader);
        fixture_stop(&f);
}

/* The database was lost: numbers begin anew, and what the client has is of before. */
static void an_event_that_is_not_there_yet_is_of_another_life(void **state) {
        static const char warning[] = "missed events, it is not known how many";
        char text[4096];
        struct fixture f;
        int fd;

        fixture_init(&f);
        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 20);
        for (unsigned int i = 0; i < 2; i++) {
                fd = open_stream(&f, i ? "?after=5000" : "", i ? "" : "Last-Event-ID: 5000\r\n");
                assert_false(fixture_read(fd, text, sizeof(text), warning, 1000));
                assert_non_null(strstr(text, warning));
                fixture_publish(&f, EVENT_VM, 1);
                assert_false(fixture_read(fd, text, sizeof(text), "\n\n", 1000));
                assert_non_null(strstr(text, i ? "id: 22\n" : "id: 21\n"));
                (void) close(fd);
        }
        fd = open_stream(&f, "", "Last-Event-ID: 22\r\n");
        assert_false(fixture_read(fd, text, sizeof(text), "warning", 200));
        assert_null(strstr(text, "warning"));
        (void) close(fd);
        fixture_stop(&f);
}

static void a_filter_lets_only_its_events_through(void **state) {
        struct reader *old, *live;
        struct fixture f;

        fixture_init(&f);
        f.feed_max = 50;
        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 300);
        fixture_publish(&f, EVENT_CONTAINER, 3);
        fixture_publish(&f, EVENT_VM, 300);
        old = reader_open(&f, "?after=0&kind=container", "");
        live = reader_open(&f, "?kind=container&name=w1", "");
        fixture_publish(&f, EVENT_CONTAINER, 2);
        reader_read(old, 5, 2000);
        reader_read(live, 1, 2000);
        assert_int_equal(old->n_events, 5);
        assert_int_equal(old->first, 301);
        assert_int_equal(old->last, 605);
        assert_int_equal(live->n_events, 1);
        assert_int_equal(live->first, 605);
        reader_free(old);
        reader_free(live);
        fixture_stop(&f);
}

static void since_begins_with_what_is_stored(void **state) {
        struct reader *reader, *future;
        struct fixture f;

        fixture_init(&f);
        f.feed_max = 10;
        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 200);
        reader = reader_open(&f, "?since=1h", "");
        future = reader_open(&f, "?since=2099-01-01T00:00:00Z", "");
        reader_read(reader, 200, 2000);
        reader_read(future, 1, 300);
        assert_int_equal(reader->n_events, 200);
        assert_int_equal(reader->n_warnings, 0);
        assert_int_equal(future->n_events, 0);
        reader_free(reader);
        reader_free(future);
        fixture_stop(&f);
}

static void a_reader_that_falls_behind_is_told_exactly_how_many_it_missed(void **state) {
        struct reader *slow, *fast;
        uint64_t total = 0;
        struct fixture f;

        fixture_init(&f);
        f.feed_max = 500;
        fixture_start(&f);
        slow = reader_open(&f, "", "");
        fast = reader_open(&f, "", "");
        for (unsigned int i = 0; i < 60; i++, total += 1000) { /* far more than any socket holds */
                fixture_publish(&f, EVENT_VM, 500);
                reader_read(fast, total + 500, 2000);
                fixture_publish(&f, EVENT_VM, 500);
                reader_read(fast, total + 1000, 2000);
        }
        assert_int_equal(fast->n_events, total);
        assert_int_equal(fast->n_warnings, 0);

        while (slow->last < total) {
                uint64_t before = slow->last;

                reader_read(slow, slow->n_events + 1, 2000);
                assert_true(slow->last > before);
        }
        assert_true(slow->n_warnings > 0);
        assert_int_equal(slow->n_events + slow->n_missed, total);
        assert_false(slow->gap); /* the count is where the hole is */
        reader_free(slow);
        reader_free(fast);
        fixture_stop(&f);
}

/* They ask for what only the journal has, and read none of it. */
static void readers_that_do_not_read_hold_little(void **state) {
        static const char request[] =
                        "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
                        "Authorization: Bearer " FIXTURE_TOKEN "\r\n\r\n";
        struct reader *reader;
        struct fixture f;
        size_t before;
        int lazy[40];

        fixture_init(&f);
        f.feed_max = 10;
        f.detail_size = 15000;
        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 200);
        reader = reader_open(&f, "?after=0", "");
        reader_read(reader, 200, 2000);
        assert_int_equal(reader->n_events, 200);
        assert_false(reader->gap);
        assert_int_equal(reader->n_missed, 0);
        reader_free(reader);

        before = mallinfo2().uordblks;
        for (size_t i = 0; i < ARRAY_SIZE(lazy); i++) {
                lazy[i] = fixture_connect_unix(&f);
                fixture_send(lazy[i], request, sizeof(request) - 1);
        }
        (void) poll(NULL, 0, 500);
        assert_true(mallinfo2().uordblks < before + ARRAY_SIZE(lazy) * 256 * 1024);
        for (size_t i = 0; i < ARRAY_SIZE(lazy); i++)
                (void) close(lazy[i]);
        fixture_stop(&f);
}

static void a_quiet_stream_has_a_heartbeat(void **state) {
        struct reader *reader;
        struct fixture f;

        fixture_init(&f);
        f.config.sse_heartbeat_us = 100 * USEC_PER_MSEC;
        fixture_start(&f);
        reader = reader_new(open_stream(&f, "", ""));
        for (unsigned int i = 0; i < 100 && reader->n_heartbeats < 3; i++)
                reader_read(reader, 1, 20);
        assert_true(reader->n_heartbeats >= 3);
        reader_free(reader);
        fixture_stop(&f);
}

static void readers_over_the_limit_are_refused(void **state) {
        char answer[4096];
        struct reader *one;
        struct fixture f;

        fixture_init(&f);
        f.config.sse_readers_max = 1;
        fixture_start(&f);
        one = reader_open(&f, "", "");
        fixture_get(&f, "/api/v1/events", "Accept: text/event-stream\r\n", answer, sizeof(answer));
        assert_non_null(strstr(answer, "HTTP/1.1 503"));
        reader_free(one);
        fixture_stop(&f);
}

static void a_reader_that_closed_leaves_its_place(void **state) {
        struct reader *one;
        struct fixture f;

        fixture_init(&f);
        f.config.sse_readers_max = 1;
        f.config.sse_heartbeat_us = 60 * USEC_PER_SEC;
        fixture_start(&f);
        for (unsigned int i = 0; i < 5; i++) {
                one = reader_open(&f, "", "");
                assert_false(one->closed);
                reader_free(one);
        }
        fixture_stop(&f);
}

static void pages_follow_each_other_to_the_end(void **state) {
        char answer[65536], path[64];
        uint64_t after = 0, n = 0;
        struct fixture f;

        fixture_init(&f);
        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 250);
        for (unsigned int page = 0; page < 5; page++) {
                (void) snprintf(path, sizeof(path), "/api/v1/events?limit=100&after=%ju",
                                (uintmax_t) after);
                fixture_get(&f, path, "", answer, sizeof(answer));
                for (const char *at = answer; (at = strstr(at, "\"seq\":")); at++)
                        n++;
                assert_non_null(strstr(answer, "\"next_after\":"));
                assert_non_null(strstr(answer, "\"last_seq\":250"));
                after = number(strstr(answer, "\"next_after\":") + strlen("\"next_after\":"));
        }
        assert_int_equal(n, 250); /* the empty pages at the end do not lead back to the beginning */
        assert_int_equal(after, 250);
        fixture_stop(&f);
}

struct publishing {
        struct fixture *f;
        bool over; /* atomic */
};

static void *publish_on(void *userdata) {
        struct publishing *publishing = userdata;

        while (!__atomic_load_n(&publishing->over, __ATOMIC_RELAXED))
                fixture_publish(publishing->f, EVENT_VM, 20);
        return NULL;
}

/* Behind last_seq a stream goes on: what was published while the page was read is in one of them.
 */
static void a_page_of_the_newest_leads_on_without_a_hole(void **state) {
        static char answer[1 << 16];
        struct fixture f;
        struct publishing publishing = { .f = &f };
        uint64_t newest = 0, first = 0;
        unsigned int n;
        pthread_t thread;
        char *at, *last;

        fixture_init(&f);
        fixture_start(&f);
        fixture_publish(&f, EVENT_VM, 10);
        assert_int_equal(pthread_create(&thread, NULL, publish_on, &publishing), 0);
        for (unsigned int i = 0; i < 300; i++) {
                fixture_get(&f, "/api/v1/events?newest=1&limit=10", "", answer, sizeof(answer));
                n = 0;
                for (at = answer; (at = strstr(at, "\"seq\":")); at++, n++)
                        newest = number(at + strlen("\"seq\":"));
                assert_int_equal(n, 10); /* all that were asked for */
                last = strstr(answer, "\"last_seq\":");
                assert_non_null(last);
                assert_int_equal(newest, number(last + strlen("\"last_seq\":")));
                first = first ? first : newest;
        }
        __atomic_store_n(&publishing.over, true, __ATOMIC_RELAXED);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(newest > first);
        fixture_stop(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_reader_gets_what_happens_from_now_on),
                cmocka_unit_test(a_reader_resumes_from_the_journal_into_the_feed),
                cmocka_unit_test(many_readers_resume_at_once_and_none_misses_any),
                cmocka_unit_test(a_stream_goes_on_across_a_restart),
                cmocka_unit_test(an_event_that_is_not_there_yet_is_of_another_life),
                cmocka_unit_test(a_filter_lets_only_its_events_through),
                cmocka_unit_test(since_begins_with_what_is_stored),
                cmocka_unit_test(a_reader_that_falls_behind_is_told_exactly_how_many_it_missed),
                cmocka_unit_test(readers_that_do_not_read_hold_little),
                cmocka_unit_test(a_quiet_stream_has_a_heartbeat),
                cmocka_unit_test(readers_over_the_limit_are_refused),
                cmocka_unit_test(a_reader_that_closed_leaves_its_place),
                cmocka_unit_test(pages_follow_each_other_to_the_end),
                cmocka_unit_test(a_page_of_the_newest_leads_on_without_a_hole),
        };

        return RUN_TESTS(tests);
}
