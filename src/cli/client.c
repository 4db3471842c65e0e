/* libcurl, blocking: the client has nothing else to do. */

#include <curl/curl.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"

#define ANSWER_MAX     (256U << 20)
#define SEND_TIMEOUT_S 615L /* a probe may take a minute, an action ten */
#define RETRY_MIN_MS   250
#define RETRY_MAX_MS   10000

struct following {
        struct sse_parser parser;
        void (*event)(const char *json, size_t size, void *userdata);
        void *userdata;
        const char *host;
        bool connected;
        bool away;   /* that has been said */
        long status; /* of the last answer; 0: there was none */
};

char *client_escape(const char *text) {
        char *escaped = curl_easy_escape(NULL, text, 0), *copy = escaped ? strdup(escaped) : NULL;

        curl_free(escaped);
        return copy;
}

static int append_header(struct curl_slist **headers, const char *format, const char *value) {
        struct curl_slist *more;
        char *text = NULL;

        if (asprintf(&text, "%s%s", format, value) < 0)
                return -ENOMEM;
        more = curl_slist_append(*headers, text);
        free(text);
        if (!more)
                return -ENOMEM;
        *headers = more;
        return 0;
}

static CURL *open_easy(const struct cli *cli, const char *path) {
        bool is_unix = text_starts_with(cli->host, "unix:");
        const char *host = is_unix ? "http://localhost" : cli->host;
        size_t n = strlen(host);
        CURL *easy = curl_easy_init();
        char *url = NULL;

        if (!easy)
                return NULL;
        while (n > 0 && host[n - 1] == '/') /* as browsers show addresses */
                n--;
        if (asprintf(&url, "%.*s%s", (int) n, host, path) < 0 ||
                        curl_easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK) {
                curl_easy_cleanup(easy);
                easy = NULL;
        }
        free(url);
        if (easy && is_unix)
                (void) curl_easy_setopt(
                                easy, CURLOPT_UNIX_SOCKET_PATH, cli->host + strlen("unix:"));
        if (easy)
                (void) curl_easy_setopt(easy, CURLOPT_PROXY, "");
        if (easy && cli->ca)
                (void) curl_easy_setopt(easy, CURLOPT_CAINFO, cli->ca);
        return easy;
}

void client_call_done(struct client_call *call) {
        curl_easy_cleanup(call->easy);
        curl_slist_free_all(call->headers);
        *call = (struct client_call){};
}

int client_call_init(const struct cli *cli, const char *path, const char *last_id,
                struct client_call *ret_call) {
        struct client_call call = { .easy = open_easy(cli, path) };
        int r = call.easy ? 0 : -ENOMEM;

        if (r >= 0 && cli->token)
                r = append_header(&call.headers, "Authorization: Bearer ", cli->token);
        if (r >= 0 && last_id)
                r = append_header(&call.headers, "Accept: ", "text/event-stream");
        if (r >= 0 && last_id)
                r = append_header(&call.headers, "Last-Event-ID: ", last_id);
        if (r < 0) {
                client_call_done(&call);
                return r;
        }
        (void) curl_easy_setopt(call.easy, CURLOPT_HTTPHEADER, call.headers);
        if (last_id) { /* a heartbeat comes every 15 s */
                (void) curl_easy_setopt(call.easy, CURLOPT_FAILONERROR, 1L);
                (void) curl_easy_setopt(call.easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
                (void) curl_easy_setopt(call.easy, CURLOPT_LOW_SPEED_TIME, 60L);
        }
        *ret_call = call;
        return 0;
}

/* libcurl does not say why a local socket could not be connected to. */
const char *client_why_not(const struct cli *cli, int code) {
        if (code == CURLE_COULDNT_CONNECT && text_starts_with(cli->host, "unix:") &&
                        access(cli->host + strlen("unix:"), W_OK) < 0)
                return strerrordesc_np(errno);
        return curl_easy_strerror((CURLcode) code);
}

static void explain(const struct cli *cli, CURLcode code, long status) {
        if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
                (void) fprintf(stderr,
                                "virtwatch: %s is not trusted: %s\nThe authority of a virtwatchd is in its ca.pem, or what /api/v1/ca answers over a connection that is: --ca FILE\n",
                                cli->host, curl_easy_strerror(code));
        } else if (code != CURLE_OK) {
                (void) fprintf(stderr,
                                "virtwatch: cannot reach %s: %s\nIs virtwatchd running? Another address: --host unix:/PATH or --host https://ADDRESS:PORT\n",
                                cli->host, client_why_not(cli, (int) code));
        } else if (status == 401) {
                (void) fprintf(stderr,
                                cli->token ? "virtwatch: %s does not know that token; it may have expired or been revoked\n"
                                                : strncmp(cli->host, "unix:", 5) == 0
                                                ? "virtwatch: %s wants root, the group virtwatch, or a token: --token, --token-file or VIRTWATCH_TOKEN\n"
                                                : "virtwatch: %s wants a token: --token, --token-file or VIRTWATCH_TOKEN\n",
                                cli->host);
        }
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        return buf_append(userdata, data, size * n) < 0 ? 0 : size * n;
}

int client_call_set_body(struct client_call *call, const char *method, const char *body) {
        CURL *easy = call->easy;
        int r;

        r = append_header(&call->headers, "Content-Type: ", "application/json");
        if (r < 0)
                return r;
        (void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
        (void) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
        if (!body)
                return 0;
        return curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body) == CURLE_OK ? 0 : -ENOMEM;
}

int client_get(const struct cli *cli, const char *path, struct json_object **ret_object,
                long *ret_status) {
        return client_send(cli, NULL, path, NULL, ret_object, ret_status);
}

int client_send(const struct cli *cli, const char *method, const char *path, const char *content,
                struct json_object **ret_object, long *ret_status) {
        _cleanup_(buf_done) struct buf body = BUF_INIT(ANSWER_MAX);
        struct client_call call;
        CURLcode code;
        int r;

        r = client_call_init(cli, path, NULL, &call);
        if (r < 0)
                return r;
        if (method)
                r = client_call_set_body(&call, method, content);
        if (r < 0) {
                client_call_done(&call);
                return r;
        }
        (void) curl_easy_setopt(call.easy, CURLOPT_WRITEFUNCTION, on_body);
        (void) curl_easy_setopt(call.easy, CURLOPT_WRITEDATA, &body);
        (void) curl_easy_setopt(call.easy, CURLOPT_TIMEOUT,
                        cli->patience_s          ? cli->patience_s
                                        : method ? SEND_TIMEOUT_S
                                                 : 30L);
        code = curl_easy_perform(call.easy);
        (void) curl_easy_getinfo(call.easy, CURLINFO_RESPONSE_CODE, ret_status);
        client_call_done(&call);
        explain(cli, code, *ret_status);
        if (code != CURLE_OK)
                return -ECONNREFUSED;
        if (*ret_status == 401)
                return -EACCES;
        if (*ret_status == 204) {
                *ret_object = NULL;
                return 0;
        }
        r = json_parse(body.data ? body.data : "", body.size, ret_object);
        if (r < 0 && r != -ENOMEM) {
                (void) fprintf(stderr,
                                "virtwatch: %s answers %ld, and no JSON: is it a virtwatchd?\n",
                                cli->host, *ret_status);
        }
        return r;
}

int client_refused(struct json_object *answer, long status, const char *otherwise) {
        const char *message = json_get_string(answer, "error/message");
        _cleanup_(freep) char *shown = message ? text_escape_terminal(message) : NULL;

        if (!otherwise)
                otherwise = "refused";
        (void) fprintf(stderr, "virtwatch: %ld: %s\n", status, shown ? shown : otherwise);
        return -EINVAL;
}

static void on_event(const char *data, size_t size, void *userdata) {
        struct following *following = userdata;

        following->event(data, size, following->userdata);
}

static size_t on_stream(char *data, size_t size, size_t n, void *userdata) {
        struct following *following = userdata;

        following->connected = true;
        if (sse_parser_feed(&following->parser, data, size * n, on_event, following) < 0)
                return 0;
        return ferror(stdout) ? 0 : size * n; /* nobody is shown anything any more */
}

/* Nothing may happen for long: that it is back shows in its status line. */
static size_t on_header(char *data, size_t size, size_t n, void *userdata) {
        struct following *following = userdata;
        static const char good[] = "HTTP/1.1 200";

        if (following->away && size * n >= strlen(good) && memcmp(data, good, strlen(good)) == 0) {
                following->away = false;
                (void) fprintf(stderr, "virtwatch: %s is back\n", following->host);
        }
        return size * n;
}

static int follow_once(const struct cli *cli, const char *query, struct following *following) {
        struct client_call call;
        char *path = NULL;
        long status = 0;
        CURLcode code;
        int r = -ENOMEM;

        sse_parser_begin(&following->parser);
        if (asprintf(&path, "/api/v1/events?%s", query) >= 0) {
                r = client_call_init(cli, path, following->parser.id, &call);
                free(path);
        }
        if (r < 0)
                return r;
        (void) curl_easy_setopt(call.easy, CURLOPT_WRITEFUNCTION, on_stream);
        (void) curl_easy_setopt(call.easy, CURLOPT_WRITEDATA, following);
        (void) curl_easy_setopt(call.easy, CURLOPT_HEADERFUNCTION, on_header);
        (void) curl_easy_setopt(call.easy, CURLOPT_HEADERDATA, following);
        code = curl_easy_perform(call.easy);
        (void) curl_easy_getinfo(call.easy, CURLINFO_RESPONSE_CODE, &status);
        client_call_done(&call);
        if (status == 401) {
                explain(cli, CURLE_OK, status);
        } else if (status == 403) {
                (void) fprintf(stderr, "virtwatch: %s does not allow that with this token\n",
                                cli->host);
        } else if (status == 400) {
                (void) fprintf(stderr, "virtwatch: %s cannot follow what was asked for\n",
                                cli->host);
        }
        if (status == 401 || status == 403 || status == 400)
                return status == 400 ? -EINVAL : -EACCES;
        following->status = status;
        return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : 0;
}

/* Once, until it is back. */
static void tell_away(struct following *following) {
        const char *host = following->host;

        if (following->away)
                return;
        following->away = true;
        if (following->status == 200) {
                (void) fprintf(stderr, "virtwatch: lost %s, trying again\n", host);
        } else if (following->status > 0) {
                (void) fprintf(stderr, "virtwatch: %s answers %ld, trying again\n", host,
                                following->status);
        } else {
                (void) fprintf(stderr, "virtwatch: cannot reach %s, trying again\n", host);
        }
}

int client_follow(const struct cli *cli, const char *query, uint64_t after_seq,
                void (*event)(const char *json, size_t size, void *userdata), void *userdata) {
        struct following following = {
                .parser = SSE_PARSER_INIT, .host = cli->host, .event = event, .userdata = userdata
        };
        unsigned int wait_ms = RETRY_MIN_MS;
        int r;

        (void) snprintf(following.parser.id, sizeof(following.parser.id), "%ju",
                        (uintmax_t) after_seq);
        for (;;) {
                following.connected = false;
                r = follow_once(cli, query, &following);
                if (r < 0 || ferror(stdout))
                        break;
                tell_away(&following);
                wait_ms = following.connected                ? RETRY_MIN_MS
                                : wait_ms * 2 < RETRY_MAX_MS ? wait_ms * 2
                                                             : RETRY_MAX_MS;
                (void) usleep(wait_ms * 1000);
        }
        sse_parser_done(&following.parser);
        return r;
}
