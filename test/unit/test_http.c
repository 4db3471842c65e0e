/* The HTTP server against what clients, good and bad, send it. */

#include <fcntl.h>
#include <zlib.h>

#include "http_fixture.h"

#define H   "Host: x\r\n"
#define T   "Authorization: Bearer " FIXTURE_TOKEN "\r\n"
#define G   "GET /api/v1/workloads HTTP/1.1\r\n"
#define P   "POST /api/v1/workloads HTTP/1.1\r\n"
#define END "\r\n"

struct request {
        const char *what, *text;
        size_t size; /* 0: strlen() */
};

#define BYTES(text) text, sizeof(text) - 1

/* Each ends a request in a way that another program might read differently, or breaks a rule that
 * smugglers lean on (RFC 9112, RFC 9110). */
static const struct request bad_requests[] = {
        { "a bare CR between fields", G H "X-A: 1\rX-B: 2\r\n" T END, 0 },
        { "a bare CR in a value", G H "X-A: 1\r2\r\n" T END, 0 },
        { "a bare CR after the request line", "GET /health HTTP/1.1\r" H END, 0 },
        { "lines that end in LF only", "GET /health HTTP/1.1\nHost: x\n\n", 0 },
        { "one line that ends in LF only", "GET /health HTTP/1.1\r\nHost: x\nX-A: 1\r\n\r\n", 0 },
        { "a blank before a field's name", G " X-A: 1\r\n" H T END, 0 },
        { "a blank before the first field", "GET /health HTTP/1.1\r\n Host: x\r\n\r\n", 0 },
        { "a folded field", "GET /health HTTP/1.1\r\n" H "X-A: 1\r\n 2\r\n" END, 0 },
        { "a field folded with a tab", "GET /health HTTP/1.1\r\n" H "X-A: 1\r\n\t2\r\n" END, 0 },
        { "a blank before the colon", "GET /health HTTP/1.1\r\n" H "X-A : 1\r\n" END, 0 },
        { "a tab before the colon", "GET /health HTTP/1.1\r\n" H "X-A\t: 1\r\n" END, 0 },
        { "a blank before Content-Length's colon", P H T "Content-Length : 5\r\n\r\nhello", 0 },
        { "a field without a colon", "GET /health HTTP/1.1\r\n" H "X-A\r\n" END, 0 },
        { "a field without a name", "GET /health HTTP/1.1\r\n" H ": 1\r\n" END, 0 },
        { "a blank inside a name", "GET /health HTTP/1.1\r\n" H "X A: 1\r\n" END, 0 },
        { "a bracket inside a name", "GET /health HTTP/1.1\r\n" H "X[A]: 1\r\n" END, 0 },
        { "UTF-8 in a name", "GET /health HTTP/1.1\r\n" H "X-\xc3\xa4: 1\r\n" END, 0 },
        { "a NUL in a value", BYTES("GET /health HTTP/1.1\r\n" H "X-A: 1\0002\r\n" END) },
        { "a NUL in a name", BYTES("GET /health HTTP/1.1\r\n" H "X\000A: 1\r\n" END) },
        { "a NUL in the target", BYTES("GET /hea\000lth HTTP/1.1\r\n" H END) },
        { "a control character in a value", "GET /health HTTP/1.1\r\n" H "X-A: \001\r\n" END, 0 },
        { "a DEL in a value", "GET /health HTTP/1.1\r\n" H "X-A: \177\r\n" END, 0 },
        { "no Host", "GET /health HTTP/1.1\r\n\r\n", 0 },
        { "two Hosts", "GET /health HTTP/1.1\r\n" H "Host: y\r\n" END, 0 },
        { "a Host with a path", "GET /health HTTP/1.1\r\nHost: x/y\r\n\r\n", 0 },
        { "a Host with a user", "GET /health HTTP/1.1\r\nHost: u@x\r\n\r\n", 0 },
        { "a Host with a blank", "GET /health HTTP/1.1\r\nHost: x y\r\n\r\n", 0 },
        { "an unknown method", "FROB /health HTTP/1.1\r\n" H END, 0 },
        { "a method in small letters", "get /health HTTP/1.1\r\n" H END, 0 },
        { "TRACE", "TRACE /health HTTP/1.1\r\n" H END, 0 },
        { "CONNECT", "CONNECT x:80 HTTP/1.1\r\n" H END, 0 },
        { "a method with a blank before it", " GET /health HTTP/1.1\r\n" H END, 0 },
        { "two blanks in the request line", "GET  /health HTTP/1.1\r\n" H END, 0 },
        { "a tab in the request line", "GET\t/health HTTP/1.1\r\n" H END, 0 },
        { "a blank at the end of the request line", "GET /health HTTP/1.1 \r\n" H END, 0 },
        { "a blank in the target", "GET /hea lth HTTP/1.1\r\n" H END, 0 },
        { "no version", "GET /health\r\n" H END, 0 },
        { "HTTP/0.9", "GET /health\r\n\r\n", 0 },
        { "HTTP/1.2", "GET /health HTTP/1.2\r\n" H END, 0 },
        { "HTTP/2.0", "GET /health HTTP/2.0\r\n" H END, 0 },
        { "HTTP/11.1", "GET /health HTTP/11.1\r\n" H END, 0 },
        { "http in small letters", "GET /health http/1.1\r\n" H END, 0 },
        { "raw UTF-8 in the target", "GET /health?x=\xc3\xa4 HTTP/1.1\r\n" H END, 0 },
        { "a control character in the target", "GET /health\001 HTTP/1.1\r\n" H END, 0 },
        { "a fragment in the target", "GET /health#x HTTP/1.1\r\n" H END, 0 },
        { "a target that is no path", "GET health HTTP/1.1\r\n" H END, 0 },
        { "Content-Length and Transfer-Encoding",
                        P H T "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                        0 },
        { "two Content-Lengths", P H T "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 0 },
        { "the same Content-Length twice",
                        P H T "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 0 },
        { "a list of Content-Lengths", P H T "Content-Length: 5, 5\r\n\r\nhello", 0 },
        { "a negative Content-Length", P H T "Content-Length: -1\r\n\r\n", 0 },
        { "a signed Content-Length", P H T "Content-Length: +5\r\n\r\nhello", 0 },
        { "a hexadecimal Content-Length", P H T "Content-Length: 0x5\r\n\r\nhello", 0 },
        { "an empty Content-Length", P H T "Content-Length: \r\n\r\nhello", 0 },
        { "a Content-Length beyond 64 bits",
                        P H T "Content-Length: 18446744073709551621\r\n\r\nhello", 0 },
        { "a chunk size beyond 64 bits",
                        P H T
                        "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
                        0 },
        { "an empty chunk extension",
                        P H T "Transfer-Encoding: chunked\r\n\r\n5;\r\nhello\r\n0\r\n\r\n", 0 },
        { "a chunk that ends in LF only", P H T "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
                        0 },
        { "an unknown transfer coding", P H T "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0 },
        { "chunked twice", P H T "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 0 },
        { "Transfer-Encoding twice",
                        P H T
                        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
                        0 },
        { "a vertical tab before chunked", P H T "Transfer-Encoding: \013chunked\r\n\r\n0\r\n\r\n",
                        0 },
        { "Transfer-Encoding in HTTP/1.0",
                        "POST /health HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                        0 },
        { "a body on GET", G H T "Content-Length: 5\r\n\r\nhello", 0 },
        { "a request hidden in a GET's body",
                        G H T "Content-Length: 32\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n",
                        0 },
        { "an expectation nobody knows", "GET /health HTTP/1.1\r\n" H "Expect: 200-ok\r\n" END, 0 },
};

static bool is_success(const char *answer) {
        return strncmp(answer, "HTTP/1.1 2", 10) == 0 || strstr(answer, "\nHTTP/1.1 2");
}

/* Every one is answered with an error, or at least the connection is closed at once. */
static void no_bad_request_is_served(void **state) {
        unsigned int n_served = 0;
        char answer[8192];
        struct fixture f;

        fixture_init(&f);
        fixture_start(&f);
        for (size_t i = 0; i < ARRAY_SIZE(bad_requests); i++) {
                const struct request *bad = &bad_requests[i];

                int fd = fixture_connect(&f);
                bool closed;

                fixture_send(fd, bad->text, bad->size ? bad->size : strlen(bad->text));
                closed = fixture_read(fd, answer, sizeof(answer), NULL, 1000);
                (void) close(fd);
                if (is_success(answer) || !closed || strncmp(answer, "HTTP/1.1 ", 9) != 0) {
                        n_served++;
                        print_error("%s: %.60s\n", bad->what, *answer ? answer : "no answer");
                }
        }
        fixture_get(&f, "/health", "", answer, sizeof(answer));
        assert_true(is_success(answer));
        fixture_stop(&f);
        assert_int_equal(n_served, 0);
}

static void a_server(struct fixture *f) {
        fixture_init(f);
        fixture_start(f);
}

static void assert_has(const char *answer, const char *part) {
        if (!strstr(answer, part))
                fail_msg("no '%s' in: %s", part, answer);
}

static void assert_status(const char *answer, unsigned int status) {
        char line[32];

        (void) snprintf(line, sizeof(line), "HTTP/1.1 %u ", status);
        if (strncmp(answer, line, strlen(line)) != 0)
                fail_msg("not %u: %s", status, answer);
}

static void good_requests_are_served(void **state) {
        static const char *const requests[] = {
                "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /healthz HTTP/1.1\r\nhost:x\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: [::1]:9887\r\nX-Empty:\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: x\r\nX-Latin: \xe4\r\nContent-Length: 0\r\n\r\n",
                "GET /metrics?x=%20y HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /v1/metrics HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /api/v1/version HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /api/v1/workloads HTTP/1.1\r\n" H T END,
                "GET /api/v1/workloads HTTP/1.1\r\n" H "authorization: bearer " FIXTURE_TOKEN
                "\r\n" END,
                "GET /api/v1/pods HTTP/1.1\r\n" H "X-Virtwatch-Token: " FIXTURE_TOKEN "\r\n" END,
                "GET /api/v1/workloads/ns%2Fid HTTP/1.1\r\n" H T END,
                "GET /api/v1/events?limit=3 HTTP/1.1\r\n" H T END,
        };
        char answer[65536];
        struct fixture f;

        a_server(&f);
        for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
                fixture_ask(fixture_connect(&f), requests[i], answer, sizeof(answer));
                if (!is_success(answer))
                        fail_msg("%s got %s", requests[i], answer);
        }
        fixture_ask(fixture_connect(&f), "GET /health HTTP/1.0\r\n\r\n", answer, sizeof(answer));
        assert_has(answer, "\"status\":\"ok\"");
        fixture_stop(&f);
}

static void a_request_in_pieces_is_served(void **state) {
        static const char request[] = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
        char answer[4096];
        struct fixture f;
        int fd;

        a_server(&f);
        fd = fixture_connect(&f);
        for (size_t i = 0; i < sizeof(request) - 1; i++) {
                fixture_send(fd, request + i, 1);
                (void) poll(NULL, 0, 2);
        }
        assert_true(fixture_read(fd, answer, sizeof(answer), NULL, 5000));
        assert_status(answer, 200);
        (void) close(fd);
        fixture_stop(&f);
}

static void errors_have_the_right_status_and_shape(void **state) {
        static const struct {
                unsigned int status;
                const char *request, *part;
        } cases[] = {
                { 401, G H END, "WWW-Authenticate: Bearer" },
                { 401, G H "Authorization: Bearer wrong\r\n" END, "\"unauthorized\"" },
                { 401, G H "Authorization: Bearer vw_secre\r\n" END, "\"unauthorized\"" },
                { 401, G H "Authorization: Bearer vw_secrett\r\n" END, "\"unauthorized\"" },
                { 401, G H "Authorization: Basic " FIXTURE_TOKEN "\r\n" END, "\"unauthorized\"" },
                { 401, G H "Authorization: Bearer \r\n" END, "\"unauthorized\"" },
                { 400, "GET /health?token=x HTTP/1.1\r\n" H END, "\"token_in_url\"" },
                { 400, "GET /x?access_token=x HTTP/1.1\r\n" H T END, "\"token_in_url\"" },
                { 400, G H T T END, "more than one Authorization" },
                { 404, "GET /nowhere HTTP/1.1\r\n" H END, "\"not_found\"" },
                { 404, "GET /health/ HTTP/1.1\r\n" H END, "\"not_found\"" },
                { 404, "GET /api/v1/workloads/nobody HTTP/1.1\r\n" H T END, "\"not_found\"" },
                { 405, "DELETE /health HTTP/1.1\r\n" H END, "Allow: GET, HEAD" },
                { 405, P H T "Content-Length: 5\r\n\r\nhello", "\"method_not_allowed\"" },
                { 411, P H T "Transfer-Encoding: chunked\r\n\r\n", "\"length_required\"" },
                { 413, P H T "Content-Length: 1001\r\n\r\n", "\"body_too_large\"" },
                { 501, "FROB /health HTTP/1.1\r\n" H END, "\"not_implemented\"" },
                { 505, "GET /health HTTP/3.0\r\n" H END, "\"version_not_supported\"" },
                { 400, "GET /api/v1/events?kind=pod HTTP/1.1\r\n" H T END, "kind" },
                { 400, "GET /api/v1/events?limit=0 HTTP/1.1\r\n" H T END, "limit" },
                { 400, "GET /api/v1/events?limit=1001 HTTP/1.1\r\n" H T END, "limit" },
                { 400, "GET /api/v1/events?after=-1 HTTP/1.1\r\n" H T END, "after" },
                { 400, "GET /api/v1/events?since=soon HTTP/1.1\r\n" H T END, "since" },
                { 400, "GET /api/v1/workloads?state=dead HTTP/1.1\r\n" H T END, "state" },
        };
        char answer[8192];
        struct fixture f;

        a_server(&f);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                fixture_ask(fixture_connect(&f), cases[i].request, answer, sizeof(answer));
                assert_status(answer, cases[i].status);
                assert_has(answer, cases[i].part);
                assert_has(answer, "{\"error\":{\"code\":\"");
                assert_has(answer, "X-Content-Type-Options: nosniff");
        }
        fixture_stop(&f);
}

static void a_header_too_large_is_refused(void **state) {
        char request[32768], answer[4096];
        struct fixture f;

        a_server(&f);
        memset(request, 'a', sizeof(request));
        memcpy(request, BYTES("GET /"));
        memcpy(request + 8400, " HTTP/1.1\r\nHost: x\r\n\r\n",
                        sizeof(" HTTP/1.1\r\nHost: x\r\n\r\n"));
        fixture_ask(fixture_connect(&f), request, answer, sizeof(answer));
        assert_status(answer, 414);

        memset(request, 'a', sizeof(request));
        memcpy(request, BYTES("GET / HTTP/1.1\r\nHost: x\r\nX-A: "));
        memcpy(request + 20000, "\r\n\r\n", sizeof("\r\n\r\n"));
        fixture_ask(fixture_connect(&f), request, answer, sizeof(answer));
        assert_status(answer, 431);
        fixture_stop(&f);
}

static void head_has_the_header_of_get_and_no_body(void **state) {
        char answer[8192];
        const char *end;
        struct fixture f;

        a_server(&f);
        fixture_ask(fixture_connect(&f), "HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n", answer,
                        sizeof(answer));
        assert_status(answer, 200);
        assert_has(answer, "Content-Type: application/json");
        end = strstr(answer, "\r\n\r\n");
        assert_non_null(end);
        assert_string_equal(end, "\r\n\r\n");
        fixture_ask(fixture_connect(&f),
                        "HEAD /api/v1/events HTTP/1.1\r\n" H T "Accept: text/event-stream\r\n" END,
                        answer, sizeof(answer));
        assert_status(answer, 200);
        fixture_stop(&f);
}

static void head_has_the_tag_of_get(void **state) {
        char answer[8192], request[512], *etag;
        struct fixture f;

        a_server(&f);
        fixture_get(&f, "/api/v1/workloads", "", answer, sizeof(answer));
        etag = strstr(answer, "ETag: ");
        assert_non_null(etag);
        *strstr(etag, "\r\n") = '\0';
        (void) snprintf(request, sizeof(request),
                        "HEAD /api/v1/workloads HTTP/1.1\r\n" H T "If-None-Match: %s\r\n" END,
                        etag + strlen("ETag: "));
        fixture_ask(fixture_connect(&f), request, answer, sizeof(answer));
        assert_status(answer, 304);
        fixture_ask(fixture_connect(&f), "HEAD /api/v1/workloads HTTP/1.1\r\n" H T END, answer,
                        sizeof(answer));
        assert_status(answer, 200);
        assert_has(answer, "\r\nETag: W/\"");
        assert_has(answer, "\r\nCache-Control: private, no-cache\r\n");
        fixture_stop(&f);
}

static void a_second_request_on_a_connection_is_not_read(void **state) {
        char answer[8192];
        struct fixture f;

        a_server(&f);
        fixture_ask(fixture_connect(&f),
                        "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /ready HTTP/1.1\r\nHost: x\r\n\r\n",
                        answer, sizeof(answer));
        assert_status(answer, 200);
        assert_has(answer, "\r\nConnection: close\r\n");
        assert_null(strstr(answer + 1, "HTTP/1.1"));
        fixture_stop(&f);
}

static void a_slow_header_is_given_up(void **state) {
        char answer[4096];
        struct fixture f;
        uint64_t begin_us;
        int slow, idle;

        fixture_init(&f);
        f.config.header_timeout_us = 300 * USEC_PER_MSEC;
        fixture_start(&f);
        slow = fixture_connect(&f);
        idle = fixture_connect(&f);
        begin_us = clock_monotonic_us();
        fixture_send(slow, "GET /health HTTP/1.1\r\nX-A: ", 27);
        for (unsigned int i = 0; i < 100 && !fixture_read(slow, answer, sizeof(answer), NULL, 10);
                        i++)
                (void) send(slow, "a", 1,
                                MSG_NOSIGNAL); /* each byte would keep an idle timeout off */
        assert_true(clock_monotonic_us() - begin_us < 900 * USEC_PER_MSEC);
        assert_status(answer, 408);
        assert_true(fixture_read(idle, answer, sizeof(answer), NULL, 1000));
        assert_string_equal(answer, "");
        (void) close(slow);
        (void) close(idle);
        fixture_stop(&f);
}

static void idle_connections_do_not_keep_others_out(void **state) {
        int idle[300];
        char answer[4096];
        struct fixture f;

        fixture_init(&f);
        f.config.connections_max = 50;
        f.config.header_timeout_us = 60 * USEC_PER_SEC;
        fixture_start(&f);
        for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
                idle[i] = fixture_connect(&f);
        for (unsigned int i = 0; i < 20; i++) {
                uint64_t begin_us = clock_monotonic_us();

                fixture_get(&f, "/health", "", answer, sizeof(answer));
                assert_status(answer, 200);
                assert_true(clock_monotonic_us() - begin_us < USEC_PER_SEC);
        }
        assert_true(fixture_read(
                        idle[0], answer, sizeof(answer), NULL, 1000)); /* the oldest went */
        for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
                (void) close(idle[i]);
        fixture_stop(&f);
}

static void the_daemons_own_user_needs_no_token_on_the_socket(void **state) {
        char answer[8192];
        struct fixture f;

        a_server(&f);
        fixture_ask(fixture_connect_unix(&f), "GET /api/v1/workloads HTTP/1.1\r\nHost: x\r\n\r\n",
                        answer, sizeof(answer));
        assert_status(answer, 200);
        fixture_stop(&f);
}

static void hostile_names_are_escaped(void **state) {
        char answer[65536];
        struct fixture f;

        a_server(&f);
        fixture_get(&f, "/api/v1/workloads", "", answer, sizeof(answer));
        assert_has(answer, "we\\\"b\\n</script>");
        fixture_get(&f, "/metrics", "", answer, sizeof(answer));
        assert_has(answer, "virtwatch_source_up{source=\"docker\"}");
        fixture_stop(&f);
}

static void a_socket_that_is_served_is_not_taken_over(void **state) {
        struct http_config config;
        struct api_context api = {};
        struct fixture f;
        struct http *http;
        const char *address;
        char answer[4096];

        a_server(&f);
        config = f.config;
        config.addresses[0] = f.socket_address;
        config.n_addresses = 1;
        assert_true(sd_event_new(&api.event) >= 0);
        assert_int_equal(http_new(&config, &api, &http, &address), -EADDRINUSE);
        assert_string_equal(address, f.socket_address);
        fixture_ask(fixture_connect_unix(&f), "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", answer,
                        sizeof(answer));
        assert_status(answer, 200);
        sd_event_unref(api.event);
        fixture_stop(&f);
}

static void requests_are_counted_by_method_route_and_status(void **state) {
        char answer[65536];
        struct fixture f;

        a_server(&f);
        fixture_ask(fixture_connect(&f), "DELETE /health HTTP/1.1\r\n" H END, answer,
                        sizeof(answer));
        fixture_ask(fixture_connect(&f), "GET /health HTTP/1.1\r\n" H H END, answer,
                        sizeof(answer));
        fixture_get(&f, "/api/v1/workloads/nobody?x=1", "", answer, sizeof(answer));
        fixture_get(&f, "/metrics", "", answer, sizeof(answer));
        assert_has(answer, "requests_total{method=\"DELETE\",path=\"/health\",status=\"405\"} 1\n");
        assert_has(answer, "requests_total{method=\"GET\",path=\"_other\",status=\"400\"} 1\n");
        assert_has(answer,
                        "requests_total{method=\"GET\",path=\"/api/v1/workloads/{id}\",status=\"404\"} 1\n");
        assert_null(strstr(answer, "nobody"));
        fixture_stop(&f);
}

/* ---- what the client would like ---- */

static void metrics_come_in_the_dialect_asked_for(void **state) {
        char answer[65536];
        struct fixture f;

        a_server(&f);
        fixture_get(&f, "/metrics", "", answer, sizeof(answer));
        assert_has(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
        assert_has(answer, "# TYPE virtwatch_journal_committed_total counter\n");
        assert_has(answer, "# TYPE virtwatch_build_info gauge\n");
        assert_null(strstr(answer, "# EOF"));
        assert_null(strstr(answer, "# UNIT"));

        /* as Prometheus asks, and in two fields, which are one list */
        fixture_get(&f, "/v1/metrics",
                        "Accept: application/openmetrics-text;version=1.0.0;q=0.8\r\n"
                        "Accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n",
                        answer, sizeof(answer));
        assert_has(answer,
                        "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
        assert_has(answer, "Vary: Accept, Accept-Encoding\r\n");
        assert_has(answer, "# TYPE virtwatch_journal_committed counter\n");
        assert_has(answer, "\nvirtwatch_journal_committed_total ");
        assert_has(answer, "# UNIT virtwatch_uptime_seconds seconds\n");
        assert_has(answer, "# TYPE virtwatch_build info\n");
        assert_has(answer, "\nvirtwatch_build_info{version=");
        assert_string_equal(answer + strlen(answer) - 7, "\n# EOF\n");

        fixture_get(&f, "/metrics", "Accept: text/plain, application/openmetrics-text;q=0.9\r\n",
                        answer, sizeof(answer));
        assert_has(answer, "Content-Type: text/plain; version=0.0.4");
        fixture_stop(&f);
}

static size_t read_all(int fd, char *to, size_t size) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        size_t used = 0;
        ssize_t n;

        while (poll(&ready, 1, 5000) == 1 && (n = read(fd, to + used, size - used)) > 0)
                used += (size_t) n;
        return used;
}

static size_t gunzip(char *from, size_t size, char *to, size_t to_size) {
        z_stream stream = { .next_in = (Bytef *) from,
                .avail_in = (uInt) size,
                .next_out = (Bytef *) to,
                .avail_out = (uInt) to_size };

        assert_int_equal(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
        assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
        assert_int_equal(stream.avail_in, 0);
        assert_int_equal(inflateEnd(&stream), Z_OK);
        return to_size - stream.avail_out;
}

/* Asks for it compressed. Returns the size of what it is without that. */
static size_t get_packed(const struct fixture *f, const char *path, const char *accept, char *to,
                size_t max) {
        char request[256], answer[65536], *body;
        int fd = fixture_connect(f);
        size_t size;

        (void) snprintf(request, sizeof(request),
                        "GET %s HTTP/1.1\r\n" H T
                        "Accept: %s\r\n"
                        "Accept-Encoding: deflate, gzip;q=0.9\r\n" END,
                        path, accept);
        fixture_send(fd, request, strlen(request));
        size = read_all(fd, answer, sizeof(answer) - 1);
        answer[size] = '\0';
        (void) close(fd);
        assert_status(answer, 200);
        assert_has(answer, "\r\nContent-Encoding: gzip\r\n");
        body = strstr(answer, "\r\n\r\n") + 4;
        size = gunzip(body, size - (size_t) (body - answer), to, max - 1);
        to[size] = '\0';
        return size;
}

static void large_bodies_are_compressed_for_who_can_read_them(void **state) {
        char answer[65536], text[65536];
        struct fixture f;
        size_t size;

        a_server(&f);
        size = get_packed(&f, "/metrics", "application/openmetrics-text", text, sizeof(text));
        assert_true(strncmp(text, "# HELP virtwatch_ready ", 23) == 0);
        assert_string_equal(text + size - 6, "# EOF\n");

        fixture_get(&f, "/metrics", "Accept-Encoding: gzip;q=0, *\r\n", answer, sizeof(answer));
        assert_null(strstr(answer, "Content-Encoding"));
        fixture_get(&f, "/health", "Accept-Encoding: gzip\r\n", answer, sizeof(answer));
        assert_null(strstr(answer, "Content-Encoding")); /* too small to be worth it */
        fixture_publish(&f, EVENT_CONTAINER, 20);
        (void) get_packed(&f, "/api/v1/events?limit=20", "*/*", text, sizeof(text));
        fixture_get(&f, "/api/v1/events?limit=20", "", answer, sizeof(answer));
        assert_string_equal(strstr(answer, "\r\n\r\n") + 4, text);
        fixture_ask(fixture_connect(&f),
                        "HEAD /metrics HTTP/1.1\r\n" H "Accept-Encoding: gzip\r\n" END, answer,
                        sizeof(answer));
        assert_has(answer, "\r\nContent-Encoding: gzip\r\n");
        assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
        fixture_stop(&f);
}

/* Whoever asks for a compressed body and does not take it leaves the compressor waiting. */
static void compressed_bodies_that_nobody_reads_do_not_pile_up(void **state) {
        static const char request[] = "GET /api/v1/events?limit=1000 HTTP/1.1\r\n" H T
                                      "Accept-Encoding: gzip\r\n" END;
        char answer[65536];
        struct fixture f;
        int lazy[100];

        a_server(&f);
        fixture_publish(&f, EVENT_CONTAINER, 1000);
        for (size_t i = 0; i < ARRAY_SIZE(lazy); i++) {
                lazy[i] = fixture_connect(&f);
                fixture_send(lazy[i], request, sizeof(request) - 1);
        }
        fixture_get(&f, "/metrics", "Accept-Encoding: gzip\r\n", answer, sizeof(answer));
        assert_status(answer, 200);
        for (size_t i = 0; i < ARRAY_SIZE(lazy); i++)
                (void) close(lazy[i]);
        fixture_get(&f, "/metrics", "", answer, sizeof(answer));
        assert_status(answer, 200);
        fixture_stop(&f);
}

/* A page of 1000 events is larger than what a local socket holds. */
static void answers_that_nobody_reads_are_bounded_in_sum(void **state) {
        static const char request[] = "GET /api/v1/events?limit=1000 HTTP/1.1\r\n" H T END;
        static char answer[4U << 20];
        struct fixture f;
        int lazy[30];
        size_t size, n_held = 0;

        fixture_init(&f);
        f.config.answers_max = 2U << 20;
        f.config.header_timeout_us = 60 * USEC_PER_SEC; /* none of them goes for its slowness */
        f.detail_size = 500;
        fixture_start(&f);
        fixture_publish(&f, EVENT_CONTAINER, 1000);
        fixture_ask(fixture_connect_unix(&f), request, answer, sizeof(answer));
        assert_status(answer, 200);
        size = strlen(answer);
        assert_true(size > 500000 && size < f.config.answers_max);
        for (size_t i = 0; i < ARRAY_SIZE(lazy); i++) {
                lazy[i] = fixture_connect_unix(&f);
                fixture_send(lazy[i], request, sizeof(request) - 1);
                assert_false(fixture_read(lazy[i], answer, 64, "\r\n", 5000));
                n_held += strncmp(answer, "HTTP/1.1 200", 12) == 0;
        }
        assert_true(n_held >= 1 && n_held <= f.config.answers_max / (size - 1024));

        /* errors and small answers go out all the same */
        fixture_ask(fixture_connect_unix(&f), request, answer, sizeof(answer));
        assert_status(answer, 503);
        assert_has(answer, "\"busy\"");
        fixture_get(&f, "/health", "", answer, sizeof(answer));
        assert_status(answer, 200);

        for (size_t i = 0; i < ARRAY_SIZE(lazy); i++)
                (void) close(lazy[i]);
        for (unsigned int i = 0; i < 100; i++) {
                fixture_ask(fixture_connect_unix(&f), request, answer, sizeof(answer));
                if (strncmp(answer, "HTTP/1.1 200", 12) == 0)
                        break;
                (void) poll(NULL, 0, 20);
        }
        assert_status(answer, 200);
        fixture_stop(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_bad_request_is_served),
                cmocka_unit_test(good_requests_are_served),
                cmocka_unit_test(a_request_in_pieces_is_served),
                cmocka_unit_test(errors_have_the_right_status_and_shape),
                cmocka_unit_test(a_header_too_large_is_refused),
                cmocka_unit_test(head_has_the_header_of_get_and_no_body),
                cmocka_unit_test(head_has_the_tag_of_get),
                cmocka_unit_test(a_second_request_on_a_connection_is_not_read),
                cmocka_unit_test(a_slow_header_is_given_up),
                cmocka_unit_test(idle_connections_do_not_keep_others_out),
                cmocka_unit_test(the_daemons_own_user_needs_no_token_on_the_socket),
                cmocka_unit_test(hostile_names_are_escaped),
                cmocka_unit_test(a_socket_that_is_served_is_not_taken_over),
                cmocka_unit_test(requests_are_counted_by_method_route_and_status),
                cmocka_unit_test(metrics_come_in_the_dialect_asked_for),
                cmocka_unit_test(large_bodies_are_compressed_for_who_can_read_them),
                cmocka_unit_test(compressed_bodies_that_nobody_reads_do_not_pile_up),
                cmocka_unit_test(answers_that_nobody_reads_are_bounded_in_sum),
        };

        return RUN_TESTS(tests);
}
