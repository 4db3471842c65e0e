/* Compressed bodies of all sizes, served by libmicrohttpd and read back by libcurl, which checks
 * gzip's own checksum and length. */

#include <curl/curl.h>
#include <string.h>

#include "api/http_gzip.h"
#include "base/buf.h"
#include "test.h"

struct server {
        struct MHD_Daemon *daemon;
        char url[64];
        const char *text; /* what it answers with */
        size_t size;
        unsigned int n_bodies;
};

static char *copy_of(const char *text, size_t size) {
        char *copy = malloc(size);

        assert_non_null(copy);
        return memcpy(copy, text, size);
}

/* NOLINTNEXTLINE(readability-function-size): the signature is libmicrohttpd's */
static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection,
                const char *url, const char *method, const char *version, const char *data,
                size_t *data_size, void **mark) {
        struct server *server = userdata;
        char *text = copy_of(server->text, server->size);
        struct MHD_Response *response = http_gzip_response(text, server->size, &server->n_bodies);
        enum MHD_Result r;

        if (!response)
                response = MHD_create_response_from_buffer(
                                server->size, text, MHD_RESPMEM_MUST_FREE);
        assert_non_null(response);
        r = MHD_queue_response(connection, MHD_HTTP_OK, response);
        MHD_destroy_response(response);
        return r;
}

static void start(struct server *server) {
        *server = (struct server){};
        server->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL, 0, NULL,
                        NULL, on_request, server, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U,
                        MHD_OPTION_END);
        assert_non_null(server->daemon);
        (void) snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u/",
                        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
}

static void stop(struct server *server) {
        MHD_stop_daemon(server->daemon);
        assert_int_equal(server->n_bodies, 0);
}

static size_t on_data(char *data, size_t size, size_t n, void *userdata) {
        return buf_append(userdata, data, size * n) == 0 ? size * n : 0;
}

static const char *field(CURL *easy, const char *name) {
        struct curl_header *header;

        return curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK
                        ? header->value
                        : NULL;
}

/* Ask for it and take the compression off again. */
static void comes_through(struct server *server, char *text, size_t size, bool packed, bool whole) {
        struct buf body = BUF_INIT(64U << 20);
        CURL *easy = curl_easy_init();

        server->text = text;
        server->size = size;
        assert_non_null(easy);
        (void) curl_easy_setopt(easy, CURLOPT_URL, server->url);
        (void) curl_easy_setopt(easy, CURLOPT_PROXY, "");
        (void) curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
        (void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
        (void) curl_easy_setopt(easy, CURLOPT_WRITEDATA, &body);
        assert_int_equal(curl_easy_perform(easy), CURLE_OK);
        assert_int_equal(body.size, size);
        assert_memory_equal(body.data, text, size);
        assert_int_equal(field(easy, "Content-Encoding") != NULL, packed);
        assert_int_equal(field(easy, "Content-Length") != NULL, whole);
        assert_int_equal(field(easy, "Transfer-Encoding") != NULL, !whole);
        curl_easy_cleanup(easy);
        buf_done(&body);
}

/* Lines as those of metrics are. */
static char *make_text(size_t size) {
        char *text = malloc(size + 128);
        unsigned int seed = 1;

        assert_non_null(text);
        for (size_t n = 0; n < size; seed = seed * 1103515245 + 12345) {
                n += (size_t) snprintf(text + n, 128, "family_%u{name=\"guest-%04u\"} %u\n",
                                seed >> 28, seed >> 20 & 1023, seed);
        }
        return text;
}

static char *make_noise(size_t size) {
        char *noise = malloc(size);
        uint64_t state = 88172645463325252U; /* xorshift64 */

        assert_non_null(noise);
        for (size_t i = 0; i < size; i++) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                noise[i] = (char) (state >> 32);
        }
        return noise;
}

static void what_was_compressed_at_once_is_the_same_again(void **state) {
        static const size_t sizes[] = { HTTP_GZIP_MIN, 65535, 65536, 300001, HTTP_GZIP_WHOLE_MAX };
        char *text = make_text(HTTP_GZIP_WHOLE_MAX);
        struct server server;

        start(&server);
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
                comes_through(&server, text, sizes[i], true, true);
        stop(&server);
        free(text);
}

static void what_was_compressed_on_the_way_is_the_same_again(void **state) {
        static const size_t sizes[] = { HTTP_GZIP_WHOLE_MAX + 1, 2 * HTTP_GZIP_WHOLE_MAX };
        char *text = make_text(2 * HTTP_GZIP_WHOLE_MAX);
        char *noise = make_noise(HTTP_GZIP_WHOLE_MAX + 1);
        struct server server;

        start(&server);
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
                comes_through(&server, text, sizes[i], true, false);
        comes_through(&server, noise, HTTP_GZIP_WHOLE_MAX + 1, true, false);
        stop(&server);
        free(noise);
        free(text);
}

static void what_does_not_get_smaller_is_sent_as_it_is(void **state) {
        char *noise = make_noise(100000);
        struct server server;

        start(&server);
        comes_through(&server, noise, 100000, false, true);
        stop(&server);
        free(noise);
}

/* Only those that hold memory until they are read. */
static void those_under_way_are_bounded(void **state) {
        struct MHD_Response *responses[HTTP_GZIP_BODIES_MAX + 1];
        char *text = make_text(HTTP_GZIP_WHOLE_MAX + 1), *copy;
        unsigned int n_bodies = 0;

        for (size_t i = 0; i < HTTP_GZIP_BODIES_MAX; i++) {
                copy = copy_of(text, HTTP_GZIP_WHOLE_MAX + 1);
                responses[i] = http_gzip_response(copy, HTTP_GZIP_WHOLE_MAX + 1, &n_bodies);
                assert_non_null(responses[i]);
                assert_int_equal(n_bodies, i + 1);
        }
        copy = copy_of(text, HTTP_GZIP_WHOLE_MAX + 1);
        assert_null(http_gzip_response(copy, HTTP_GZIP_WHOLE_MAX + 1, &n_bodies));
        responses[HTTP_GZIP_BODIES_MAX] = http_gzip_response(copy, HTTP_GZIP_MIN, &n_bodies);
        assert_non_null(responses[HTTP_GZIP_BODIES_MAX]);
        assert_int_equal(n_bodies, HTTP_GZIP_BODIES_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(responses); i++)
                MHD_destroy_response(responses[i]);
        assert_int_equal(n_bodies, 0);
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_compressed_at_once_is_the_same_again),
                cmocka_unit_test(what_was_compressed_on_the_way_is_the_same_again),
                cmocka_unit_test(what_does_not_get_smaller_is_sent_as_it_is),
                cmocka_unit_test(those_under_way_are_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
