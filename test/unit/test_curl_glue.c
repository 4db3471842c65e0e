/* Transfers on the loop against a small server of the test's own: one thread that says what it is
 * told to, in the pieces it is told to. */

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "folder.h"
#include "loop/curl_glue.h"
#include "test.h"

#define REQUEST_MAX 65536

struct server {
        char path[64];
        int fd;
        const char *_Atomic pieces[8]; /* the answer; NULL ends it */
        bool stays_open;               /* no close after the answer, until the client does */
        pthread_t thread;
        struct buf request; /* what was asked, all connections in a row */
};

static bool request_is_whole(const struct buf *request) {
        const char *end = strstr(request->data, "\r\n\r\n"),
                   *length = strstr(request->data, "Content-Length: ");
        size_t body = 0;

        if (!end)
                return false;
        for (const char *c = length ? length + strlen("Content-Length: ") : "";
                        *c >= '0' && *c <= '9'; c++)
                body = 10 * body + (size_t) (*c - '0');
        return strlen(end + 4) >= body;
}

static void serve(struct server *server, int fd) {
        char piece[4096];
        ssize_t n;

        buf_reset(&server->request);
        while ((n = recv(fd, piece, sizeof(piece), 0)) > 0) {
                (void) buf_append(&server->request, piece, (size_t) n);
                if (request_is_whole(&server->request))
                        break;
        }
        for (size_t i = 0; n > 0 && i < ARRAY_SIZE(server->pieces); i++) {
                const char *text = server->pieces[i];

                if (!text)
                        break;
                if (i > 0)
                        (void) poll(NULL, 0, 20); /* so that it arrives as a piece of its own */
                (void) send(fd, text, strlen(text), MSG_NOSIGNAL);
        }
        while (server->stays_open && recv(fd, piece, sizeof(piece), 0) > 0)
                continue;
        (void) close(fd);
}

static void *serve_all(void *userdata) {
        struct server *server = userdata;
        int fd;

        while ((fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
                serve(server, fd);
        return NULL;
}

struct fixture {
        struct folder *folder;
        struct server server;
        sd_event *event;
        struct curl_glue *glue;
        bool starting;

        unsigned int done, headers, pieces;
        int error;
        long status, headers_status;
        struct buf body, stream;
        int refuse; /* what the callbacks give back */
        bool start_again, start_in_data;
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        assert_non_null(f);
        assert_int_equal(folder_setup((void **) &f->folder), 0);
        f->server.request.max = REQUEST_MAX;
        f->body.max = f->stream.max = SIZE_MAX / 2;
        (void) snprintf(f->server.path, sizeof(f->server.path), "%s/http", f->folder->path);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->server.path);
        f->server.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(
                        bind(f->server.fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(f->server.fd, 8), 0);
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(curl_glue_new(f->event, &f->glue), 0);
        *state = f;
        return 0;
}

static void server_start(struct fixture *f) {
        assert_int_equal(pthread_create(&f->server.thread, NULL, serve_all, &f->server), 0);
}

/* Ends the thread, so that what it has seen may be read. */
static const char *server_stop(struct fixture *f) {
        if (!f->server.thread)
                return "";
        (void) shutdown(f->server.fd, SHUT_RDWR);
        assert_int_equal(pthread_join(f->server.thread, NULL), 0);
        f->server.thread = 0;
        return f->server.request.data ? f->server.request.data : "";
}

static int teardown(void **state) {
        struct fixture *f = *state;

        f->glue = curl_glue_free(f->glue);
        (void) server_stop(f);
        (void) close(f->server.fd);
        sd_event_unref(f->event);
        buf_done(&f->body);
        buf_done(&f->stream);
        buf_done(&f->server.request);
        (void) folder_teardown((void **) &f->folder);
        free(f);
        return 0;
}

static struct curl_request request_of(struct fixture *f);

static void on_done(struct curl_call *call, int error, long status, const char *body, size_t size,
                void *userdata) {
        struct fixture *f = userdata;

        assert_false(f->starting);
        assert_int_equal(body[size], '\0');
        f->done++;
        f->error = error;
        f->status = status;
        buf_reset(&f->body);
        assert_int_equal(buf_append(&f->body, body, size), 0);
        if (f->start_again) {
                struct curl_request again = request_of(f);

                f->start_again = false;
                assert_int_equal(curl_glue_start(f->glue, &again, NULL), 0);
        }
}

static int on_data(struct curl_call *call, const char *data, size_t size, void *userdata) {
        struct fixture *f = userdata;

        assert_int_equal(f->headers, 1);
        f->pieces++;
        if (f->start_in_data) {
                struct curl_request again = request_of(f);

                f->start_in_data = false;
                assert_int_equal(curl_glue_start(f->glue, &again, NULL), 0);
        }
        return f->refuse < 0 ? f->refuse : buf_append(&f->stream, data, size);
}

static int on_headers(struct curl_call *call, long status, void *userdata) {
        struct fixture *f = userdata;

        f->headers++;
        f->headers_status = status;
        return f->refuse;
}

static struct curl_request request_of(struct fixture *f) {
        return (struct curl_request){ .url = "http://localhost/some/path",
                .unix_socket = f->server.path,
                .timeout_us = 20 * USEC_PER_SEC,
                .body_max = 1000,
                .on_done = on_done,
                .userdata = f };
}

static struct curl_call *start(struct fixture *f, const struct curl_request *request) {
        struct curl_call *call = NULL;

        f->starting = true;
        assert_int_equal(curl_glue_start(f->glue, request, &call), 0);
        f->starting = false;
        return call;
}

static void wait_done(struct fixture *f, unsigned int done) {
        while (f->done < done)
                assert_true(sd_event_run(f->event, 30000000) > 0);
        assert_int_equal(f->done, done);
}

static void run(struct fixture *f, const struct curl_request *request) {
        (void) start(f, request);
        wait_done(f, f->done + 1);
}

static void an_answer_is_collected(void **state) {
        static const char *const headers[] = { "X-One: 1", "X-Two: 2", NULL };
        struct fixture *f = *state;
        struct curl_request request = request_of(f);
        const char *asked;

        f->server.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Le";
        f->server.pieces[1] = "ngth: 9\r\n\r\nhel";
        f->server.pieces[2] = "lo you";
        server_start(f);
        request.headers = headers;
        run(f, &request);
        assert_int_equal(f->error, 0);
        assert_int_equal(f->status, 200);
        assert_string_equal(f->body.data, "hello you");
        asked = server_stop(f);
        assert_int_equal(strncmp(asked, "GET /some/path HTTP/1.1\r\n", 25), 0);
        assert_non_null(strstr(asked, "\r\nX-One: 1\r\n"));
        assert_non_null(strstr(asked, "\r\nX-Two: 2\r\n"));
}

static void a_status_is_no_error(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        f->server.pieces[0] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        server_start(f);
        run(f, &request);
        assert_int_equal(f->error, 0);
        assert_int_equal(f->status, 404);
        assert_string_equal(f->body.data, "");
}

static void a_body_and_a_method_are_sent(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);
        char body[] = "a body";
        const char *asked;

        f->server.pieces[0] = "HTTP/1.1 204 No Content\r\n\r\n";
        server_start(f);
        request.body = body;
        request.body_size = 6;
        (void) start(f, &request);
        memset(body, '?', sizeof(body)); /* it was copied */
        wait_done(f, 1);
        assert_int_equal(f->status, 204);
        request.method = "DELETE";
        request.body = NULL;
        run(f, &request);
        asked = server_stop(f);
        assert_int_equal(strncmp(asked, "DELETE /some/path HTTP/1.1\r\n", 28), 0);
}

static void a_post_is_one(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);
        const char *asked;

        f->server.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        server_start(f);
        request.body = "a body, of which less is sent";
        request.body_size = 6;
        run(f, &request);
        asked = server_stop(f);
        assert_int_equal(strncmp(asked, "POST /some/path HTTP/1.1\r\n", 26), 0);
        assert_non_null(strstr(asked, "\r\nContent-Length: 6\r\n"));
        assert_string_equal(strstr(asked, "\r\n\r\n"), "\r\n\r\na body");
}

static void an_answer_up_to_the_limit_is_taken(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        f->server.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123";
        f->server.pieces[1] = "456789";
        server_start(f);
        request.body_max = 10;
        run(f, &request);
        assert_int_equal(f->error, 0);
        assert_string_equal(f->body.data, "0123456789");
        request.body_max = 9;
        run(f, &request);
        assert_int_equal(f->error, -EFBIG);
}

static void a_stream_comes_in_pieces_after_its_headers(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        f->server.pieces[0] = "HTTP/1.1 100 Continue\r\n\r\n";
        f->server.pieces[1] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        f->server.pieces[2] = "3\r\none\r\n";
        f->server.pieces[3] = "3\r\ntwo\r\n";
        f->server.pieces[4] = "0\r\nTrailer: x\r\n\r\n";
        server_start(f);
        request.on_data = on_data;
        request.on_headers = on_headers;
        request.body_max = 0; /* of no concern to a stream */
        request.timeout_us = 0;
        run(f, &request);
        assert_int_equal(f->error, 0);
        assert_int_equal(f->headers, 1);
        assert_int_equal(f->headers_status, 200);
        assert_true(f->pieces >= 2);
        assert_string_equal(f->stream.data, "onetwo");
        assert_string_equal(f->body.data, "");
}

static void a_transfer_may_begin_within_anothers_stream(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        f->server.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        f->server.pieces[1] = "one";
        server_start(f);
        request.on_data = on_data;
        request.on_headers = on_headers;
        f->start_in_data = true;
        (void) start(f, &request);
        wait_done(f, 2);
        assert_int_equal(f->error, 0);
        assert_int_equal(f->status, 200);
        assert_string_equal(f->body.data, "one");
        assert_string_equal(f->stream.data, "one");
}

static void a_callback_ends_a_transfer_with_its_error(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        f->server.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        f->server.pieces[1] = "one";
        server_start(f);
        request.on_headers = on_headers;
        f->refuse = -EPERM;
        run(f, &request);
        assert_int_equal(f->error, -EPERM);
        assert_int_equal(f->pieces, 0);

        request.on_headers = NULL;
        request.on_data = on_data;
        f->headers = 1;
        f->refuse = -EBADMSG;
        run(f, &request);
        assert_int_equal(f->error, -EBADMSG);
        assert_int_equal(f->pieces, 1);
        f->refuse = -ENOSPC;
        run(f, &request);
        assert_int_equal(f->error, -ENOSPC);
}

static void failures_have_their_errno(void **state) {
        static const struct {
                const char *answer;
                int error;
        } rows[] = {
                { NULL, -ECONNRESET },                                               /* nothing */
                { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", -ECONNRESET }, /* half */
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha", -ECONNRESET },
                { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", -ECONNRESET },
                { "SSH-2.0-OpenSSH\r\n", -EPROTO },
                { "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", -EPROTO },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct curl_request request = request_of(f);

                f->server.pieces[0] = rows[i].answer;
                if (i == 0)
                        server_start(f);
                run(f, &request);
                if (f->error != rows[i].error)
                        fail_msg("row %zu: %d", i, f->error);
        }
}

static void a_peer_that_is_not_there_is_told_at_the_end(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        request.unix_socket = folder_path(f->folder, "none");
        run(f, &request);
        assert_int_equal(f->error, -ENOENT);
        assert_int_equal(f->status, 0);

        (void) close(f->server.fd);
        f->server.fd = -EBADF;
        request.unix_socket = f->server.path;
        run(f, &request);
        assert_int_equal(f->error, -ECONNREFUSED);
}

static void only_http_is_spoken(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        request.unix_socket = NULL;
        request.url = "file:///etc/hostname";
        run(f, &request);
        assert_int_equal(f->error, -EPROTO);
        assert_string_equal(f->body.data, "");
}

static void a_redirect_is_not_followed(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        f->server.pieces[0] =
                        "HTTP/1.1 302 Found\r\nLocation: http://localhost/other\r\n"
                        "Content-Length: 0\r\n\r\n";
        server_start(f);
        run(f, &request);
        assert_int_equal(f->status, 302);
}

static void a_deadline_ends_a_transfer(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        f->server.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        f->server.stays_open = true;
        server_start(f);
        request.timeout_us = 50 * USEC_PER_MSEC;
        run(f, &request);
        assert_int_equal(f->error, -ETIMEDOUT);
        request.timeout_us = 1;
        run(f, &request);
        assert_int_equal(f->error, -ETIMEDOUT);
}

static void a_cancelled_transfer_is_never_done(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);
        struct curl_call *call;

        f->server.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        f->server.stays_open = true;
        server_start(f);
        request.on_headers = on_headers;
        call = start(f, &request);
        while (f->headers == 0)
                assert_true(sd_event_run(f->event, 10000000) > 0);
        assert_null(curl_call_cancel(call));
        assert_null(curl_call_cancel(NULL));
        for (int i = 0; i < 10; i++)
                assert_true(sd_event_run(f->event, 1000) >= 0);
        assert_int_equal(f->done, 0);
        (void) start(f, &request); /* dropped with the glue, at the end */
}

static void one_done_may_start_the_next(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        f->server.pieces[0] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        server_start(f);
        f->start_again = true;
        run(f, &request);
        wait_done(f, 2);
        assert_string_equal(f->body.data, "ok");
}

static void many_transfers_go_on_at_once(void **state) {
        struct fixture *f = *state;
        struct curl_request request = request_of(f);

        f->server.pieces[0] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        server_start(f);
        for (int i = 0; i < 8; i++)
                (void) start(f, &request);
        assert_int_equal(f->done, 0);
        wait_done(f, 8);
        assert_int_equal(f->error, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(an_answer_is_collected),
                TEST(a_status_is_no_error),
                TEST(a_body_and_a_method_are_sent),
                TEST(a_post_is_one),
                TEST(an_answer_up_to_the_limit_is_taken),
                TEST(a_stream_comes_in_pieces_after_its_headers),
                TEST(a_transfer_may_begin_within_anothers_stream),
                TEST(a_callback_ends_a_transfer_with_its_error),
                TEST(failures_have_their_errno),
                TEST(a_peer_that_is_not_there_is_told_at_the_end),
                TEST(only_http_is_spoken),
                TEST(a_redirect_is_not_followed),
                TEST(a_deadline_ends_a_transfer),
                TEST(a_cancelled_transfer_is_never_done),
                TEST(one_done_may_start_the_next),
                TEST(many_transfers_go_on_at_once),
        };

        return RUN_TESTS(tests);
}
