/* gRPC calls against a server of canned HTTP/2 bytes: what the outcome is, and what is said of it.
 * The source of the bytes: RFC 9113 (frames) and RFC 7541 (literal fields without indexing). */

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "engine/tracer.h"
#include "source/grpc_call.h"
#include "test.h"

enum {
        FRAME_DATA = 0,
        FRAME_HEADERS = 1,
        FRAME_RST = 3,
        FRAME_SETTINGS = 4
};
enum {
        END_STREAM = 1,
        END_HEADERS = 4
};

struct server {
        char folder[32], path[48];
        int fd;
        pthread_t thread;
        struct buf answer; /* sent once the request is there */
        bool hang_up;      /* close after it; else wait until the client does */
};

struct outcome {
        int error;
        char why[256];
        unsigned int messages, too_long, ends;
        char last[64]; /* message */
        struct spans *spans;
        bool in_trace;   /* at the end the loop is at what asked */
        char span[2048]; /* what was told of it */
};

static const struct trace_context asker = {
        .trace_id = { 0xab }, .span_id = { 0xcd }, .sampled = true
};

static void frame(struct server *server, uint8_t type, uint8_t flags, const void *data, size_t n) {
        const uint8_t head[] = { 0, (uint8_t) (n >> 8), (uint8_t) n, type, flags, 0, 0, 0,
                type == FRAME_SETTINGS ? 0 : 1 };

        assert_int_equal(buf_append(&server->answer, head, sizeof(head)), 0);
        assert_int_equal(buf_append(&server->answer, data, n), 0);
}

/* Fields as name, value, name, value …; ":status" 200 first where @status. */
static void fields(struct server *server, bool status, uint8_t flags, const char *const *list) {
        uint8_t block[512];
        size_t n = 0;

        if (status)
                block[n++] = 0x88;
        for (; *list; list += 2) {
                block[n++] = 0;
                for (size_t i = 0; i < 2; i++) {
                        block[n++] = (uint8_t) strlen(list[i]);
                        memcpy(block + n, list[i], strlen(list[i]));
                        n += strlen(list[i]);
                }
        }
        frame(server, FRAME_HEADERS, (uint8_t) (END_HEADERS | flags), block, n);
}

static void data(struct server *server, const char *text, uint8_t flag) {
        uint8_t bytes[64] = { flag, 0, 0, 0, (uint8_t) strlen(text) };

        memcpy(bytes + 5, text, strlen(text));
        frame(server, FRAME_DATA, 0, bytes, 5 + strlen(text));
}

/* Has the client sent its preface, and frames up to the one that ends its stream? */
static bool is_asked(const uint8_t *bytes, size_t size) {
        for (size_t at = 24; at + 9 <= size;) {
                size_t n = (size_t) bytes[at] << 16 | (size_t) bytes[at + 1] << 8 | bytes[at + 2];

                if (bytes[at + 3] == FRAME_DATA && bytes[at + 4] & END_STREAM)
                        return at + 9 + n <= size;
                at += 9 + n;
        }
        return false;
}

static void *serve(void *userdata) {
        struct server *server = userdata;
        uint8_t bytes[4096];
        size_t sent = 0, got = 0;
        ssize_t n;
        int fd;

        fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        while (fd >= 0 && !is_asked(bytes, got) &&
                        (n = read(fd, bytes + got, sizeof(bytes) - got)) > 0)
                got += (size_t) n;
        while (fd >= 0 && sent < server->answer.size) {
                n = send(fd, server->answer.data + sent, server->answer.size - sent, MSG_NOSIGNAL);
                if (n <= 0)
                        break;
                sent += (size_t) n;
        }
        while (fd >= 0 && !server->hang_up && read(fd, bytes, sizeof(bytes)) > 0)
                continue;
        (void) fd_close(fd);
        return NULL;
}

static void server_init(struct server *server) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *server = (struct server){ .folder = "/tmp/vwgXXXXXX", .answer = BUF_INIT(65536) };
        assert_non_null(mkdtemp(server->folder));
        (void) snprintf(server->path, sizeof(server->path), "%s/s", server->folder);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->path);
        server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(server->fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(server->fd, 4), 0);
        frame(server, FRAME_SETTINGS, 0, "", 0);
}

static int on_message(const void *message, size_t size, bool too_long, void *userdata) {
        struct outcome *outcome = userdata;

        outcome->messages += !too_long;
        outcome->too_long += too_long;
        assert_true(size < sizeof(outcome->last));
        memcpy(outcome->last, message, size);
        outcome->last[size] = '\0';
        return strcmp(outcome->last, "stop") == 0 ? -ECANCELED : 0;
}

static void on_end(int error, const char *why, void *userdata) {
        struct outcome *outcome = userdata;

        outcome->error = error;
        outcome->ends++;
        outcome->in_trace = spans_current(outcome->spans) &&
                        spans_current(outcome->spans)->trace_id[0] == 0xab;
        (void) snprintf(outcome->why, sizeof(outcome->why), "%s", why);
}

static void ask(const char *path, bool unary, uint64_t timeout_us, struct outcome *ret_outcome) {
        _cleanup_(buf_done) struct buf text = BUF_INIT(sizeof(ret_outcome->span) - 1);
        struct curl_glue *glue;
        struct grpc_call *call;
        sd_event *event;

        *ret_outcome = (struct outcome){};
        assert_int_equal(spans_new(&ret_outcome->spans), 0);
        spans_configure(ret_outcome->spans, &(struct trace_sampling) TRACE_SAMPLING_DEFAULT);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(curl_glue_new(event, &glue), 0);
        tracer_watch(glue, ret_outcome->spans);
        spans_enter(ret_outcome->spans, &asker);
        assert_int_equal(grpc_call_start(glue,
                                         &(struct grpc_request){
                                                         .socket = path,
                                                         .method = "a.B/C",
                                                         .timeout_us = timeout_us,
                                                         .message_max = 8,
                                                         .unary = unary,
                                                         .on_message = on_message,
                                                         .on_end = on_end,
                                                         .userdata = ret_outcome,
                                         },
                                         &call),
                        0);
        spans_leave(ret_outcome->spans);
        while (ret_outcome->ends == 0)
                assert_true(sd_event_run(event, 10 * USEC_PER_SEC) > 0);
        assert_int_equal(ret_outcome->ends, 1);
        assert_true(ret_outcome->in_trace);
        assert_null(spans_current(ret_outcome->spans));
        assert_int_equal(spans_take(ret_outcome->spans, 10, &text), 1);
        memcpy(ret_outcome->span, text.data, text.size + 1);
        ret_outcome->spans = spans_unref(ret_outcome->spans);
        curl_glue_free(glue);
        sd_event_unref(event);
}

static void converse_by(struct server *server, bool unary, uint64_t timeout_us,
                struct outcome *ret_outcome) {
        assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
        ask(server->path, unary, timeout_us, ret_outcome);
        assert_int_equal(pthread_join(server->thread, NULL), 0);
        (void) fd_close(server->fd);
        (void) unlink(server->path);
        (void) rmdir(server->folder);
        buf_done(&server->answer);
}

static void converse(struct server *server, uint64_t timeout_us, struct outcome *ret_outcome) {
        converse_by(server, false, timeout_us, ret_outcome);
}

static void assert_told(const struct outcome *outcome, const char *text) {
        if (!strstr(outcome->span, text))
                fail_msg("no %s in %s", text, outcome->span);
}

static const char *const content[] = { "content-type", "application/grpc", NULL },
                         *const ok[] = { "grpc-status", "0", NULL },
                         *const refused[] = { "grpc-status", "12", "grpc-message",
                                 "unknown service a.B", NULL };

static void an_answer_and_its_status_are_read(void **state) {
        struct outcome outcome;
        struct server server;

        server_init(&server);
        fields(&server, true, 0, content);
        data(&server, "one", 0);
        data(&server, "longer than 8", 0);
        data(&server, "two", 0);
        fields(&server, false, END_STREAM, ok);
        converse(&server, 5 * USEC_PER_SEC, &outcome);
        assert_int_equal(outcome.error, 0);
        assert_string_equal(outcome.why, "");
        assert_int_equal(outcome.messages, 2);
        assert_int_equal(outcome.too_long, 1);
        assert_string_equal(outcome.last, "two");
        assert_told(&outcome, "\"name\":\"a.B/C\",\"kind\":3,");
        assert_told(&outcome, "\"traceId\":\"ab000000000000000000000000000000\"");
        assert_told(&outcome, "\"parentSpanId\":\"cd00000000000000\"");
        assert_told(&outcome, "\"rpc.system\",\"value\":{\"stringValue\":\"grpc\"}");
        assert_told(&outcome, "\"rpc.service\",\"value\":{\"stringValue\":\"a.B\"}");
        assert_told(&outcome, "\"rpc.method\",\"value\":{\"stringValue\":\"C\"}");
        assert_told(&outcome, "\"rpc.grpc.status_code\",\"value\":{\"intValue\":\"0\"}");
        assert_null(strstr(outcome.span, "\"status\""));
}

static void a_refusal_is_told_in_the_servers_words(void **state) {
        struct outcome outcome;
        struct server server;

        for (int with_answer = 0; with_answer < 2; with_answer++) {
                server_init(&server);
                if (with_answer) {
                        fields(&server, true, 0, content);
                        data(&server, "one", 0);
                }
                fields(&server, !with_answer, END_STREAM, refused);
                converse(&server, 5 * USEC_PER_SEC, &outcome);
                assert_int_equal(outcome.error, -EREMOTEIO);
                assert_string_equal(outcome.why, "gRPC status 12: unknown service a.B");
                assert_told(&outcome, "\"rpc.grpc.status_code\",\"value\":{\"intValue\":\"12\"}");
                assert_told(&outcome, "\"error.type\",\"value\":{\"stringValue\":\"12\"}");
                assert_told(&outcome,
                                "\"status\":{\"code\":2,\"message\":\"unknown service a.B\"}");
        }
}

static void an_answer_without_its_end_is_no_answer(void **state) {
        static const uint8_t half[] = { 0, 0, 0, 0, 5, 'h' }, reset[] = { 0, 0, 0, 8 };
        struct outcome outcome;
        struct server server;

        for (int how = 0; how < 4; how++) {
                server_init(&server);
                server.hang_up = how == 0;
                fields(&server, true, 0, content);
                data(&server, "one", 0);
                if (how == 1)
                        frame(&server, FRAME_DATA, END_STREAM, "", 0); /* no status */
                if (how == 2)
                        frame(&server, FRAME_RST, 0, reset, sizeof(reset));
                if (how == 3) {
                        frame(&server, FRAME_DATA, 0, half, sizeof(half));
                        fields(&server, false, END_STREAM, ok);
                }
                converse(&server, 5 * USEC_PER_SEC, &outcome);
                assert_true(outcome.error < 0);
                assert_true(how == 3 || strstr(outcome.span, "\"status\":{\"code\":2"));
                if (how == 1 || how == 3) {
                        assert_int_equal(outcome.messages, 1);
                        assert_string_equal(outcome.why, "the answer was cut");
                }
        }
}

static void a_unary_call_has_one_answer(void **state) {
        struct outcome outcome;
        struct server server;

        for (unsigned int n = 0; n < 3; n++) {
                server_init(&server);
                fields(&server, true, 0, content);
                for (unsigned int i = 0; i < n; i++)
                        data(&server, "one", 0);
                fields(&server, false, END_STREAM, ok);
                converse_by(&server, true, 5 * USEC_PER_SEC, &outcome);
                assert_int_equal(outcome.error, n == 1 ? 0 : -EPROTO);
        }
}

static void broken_frames_and_the_readers_error_end_the_call(void **state) {
        struct outcome outcome;
        struct server server;

        server_init(&server);
        fields(&server, true, 0, content);
        data(&server, "squeezed", 1);
        converse(&server, 5 * USEC_PER_SEC, &outcome);
        assert_int_equal(outcome.error, -EBADMSG);
        assert_int_equal(outcome.messages, 0);

        server_init(&server);
        fields(&server, true, 0, content);
        data(&server, "stop", 0);
        converse(&server, 5 * USEC_PER_SEC, &outcome);
        assert_int_equal(outcome.error, -ECANCELED);
}

static void a_server_that_is_none_is_found_out(void **state) {
        static const char http1[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        struct outcome outcome;
        struct server server;

        server_init(&server);
        buf_reset(&server.answer);
        assert_int_equal(buf_append(&server.answer, http1, strlen(http1)), 0);
        converse(&server, 5 * USEC_PER_SEC, &outcome);
        assert_true(outcome.error < 0 && outcome.error != -ETIMEDOUT);

        ask("/no/such/socket", false, 5 * USEC_PER_SEC, &outcome);
        assert_int_equal(outcome.error, -ENOENT);
}

static void a_silent_server_has_its_deadline(void **state) {
        struct outcome outcome;
        struct server server;

        server_init(&server);
        fields(&server, true, 0, content);
        converse(&server, 200 * USEC_PER_MSEC, &outcome);
        assert_int_equal(outcome.error, -ETIMEDOUT);
        assert_told(&outcome, "\"stringValue\":\"ETIMEDOUT\"");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_answer_and_its_status_are_read),
                cmocka_unit_test(a_refusal_is_told_in_the_servers_words),
                cmocka_unit_test(an_answer_without_its_end_is_no_answer),
                cmocka_unit_test(a_unary_call_has_one_answer),
                cmocka_unit_test(broken_frames_and_the_readers_error_end_the_call),
                cmocka_unit_test(a_server_that_is_none_is_found_out),
                cmocka_unit_test(a_silent_server_has_its_deadline),
        };

        return RUN_TESTS(tests);
}
