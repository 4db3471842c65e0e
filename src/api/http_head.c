/* Reads a request's head line by line and stops at the first thing that is not plain RFC 9112:
 * lines end with CR LF and nothing else, names are tokens right before the colon, no folding, one
 * Host, one way to tell the body's length. It keeps nothing but the verdict; the parsing for real
 * is libmicrohttpd's. */

#include "api/http_head.h"

#include <string.h>
#include <strings.h>

struct checker {
        struct http_head *head;
        uint64_t body_max;
        unsigned int n_fields;
        bool http_1_0;
        bool host, length, encoding, chunked, authorization, token;
};

static const char *const method_names[] = {
        [HTTP_GET] = "GET",
        [HTTP_HEAD] = "HEAD",
        [HTTP_POST] = "POST",
        [HTTP_PUT] = "PUT",
        [HTTP_PATCH] = "PATCH",
        [HTTP_DELETE] = "DELETE",
        [HTTP_OPTIONS] = "OPTIONS",
        [HTTP_OTHER] = "_other",
};
static_assert(ARRAY_SIZE(method_names) == HTTP_METHOD_MAX_, "a name for each method");

const char *http_method_to_string(enum http_method method) {
        assert(method < HTTP_METHOD_MAX_);
        return method_names[method];
}

enum http_method http_method_from_string(const char *text) {
        enum http_method method;

        for (method = HTTP_GET; method < HTTP_OTHER; method++)
                if (strcmp(text, method_names[method]) == 0)
                        break;
        return method;
}

static int refuse(struct checker *checker, unsigned int status, const char *code,
                const char *message) {
        checker->head->status = status;
        checker->head->code = code;
        checker->head->message = message;
        return -EBADMSG;
}

static int refuse_syntax(struct checker *checker, const char *message) {
        return refuse(checker, 400, "bad_request", message);
}

/* RFC 9110 section 5.6.2 */
static bool is_token_char(unsigned char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                        (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (!is_token_char((unsigned char) text[i]))
                        return false;
        return size > 0;
}

static bool is_word(const char *text, size_t size, const char *word) {
        return size == strlen(word) && strncasecmp(text, word, size) == 0;
}

static int check_target(struct checker *checker, const char *target, size_t size) {
        static const char scheme[] = "http://";

        if (size == 0 ||
                        (target[0] != '/' &&
                                        (size < sizeof(scheme) ||
                                                        strncasecmp(target, scheme,
                                                                        sizeof(scheme) - 1) != 0)))
                return refuse_syntax(
                                checker, "the request target must be a path that begins with '/'");

        for (size_t i = 0; i < size; i++) {
                if (target[i] <= ' ' || target[i] >= 127 || target[i] == '#')
                        return refuse_syntax(checker,
                                        "the request target may hold printable ASCII only; encode the rest as %XX");
        }
        return 0;
}

static int check_version(struct checker *checker, const char *version, size_t size) {
        if (size != 8 || strncmp(version, "HTTP/", 5) != 0 || version[6] != '.')
                return refuse_syntax(
                                checker, "the request line must end with HTTP/1.1 or HTTP/1.0");
        if (version[5] != '1' || (version[7] != '0' && version[7] != '1'))
                return refuse(checker, 505, "version_not_supported",
                                "only HTTP/1.1 and HTTP/1.0 are spoken here");

        checker->http_1_0 = version[7] == '0';
        return 0;
}

static int check_request_line(struct checker *checker, const char *line, size_t size) {
        const char *target, *version;
        size_t method_size;
        char method[16];
        int r;

        target = memchr(line, ' ', size);
        version = target ? memchr(target + 1, ' ', size - (size_t) (target + 1 - line)) : NULL;
        if (!version)
                return refuse_syntax(checker, "the request line must be METHOD TARGET VERSION");
        method_size = (size_t) (target - line);
        target++;
        version++;

        if (!is_token(line, method_size))
                return refuse_syntax(checker, "the method is not a token");
        r = check_target(checker, target, (size_t) (version - 1 - target));
        if (r < 0)
                return r;
        r = check_version(checker, version, size - (size_t) (version - line));
        if (r < 0)
                return r;

        if (method_size < sizeof(method)) {
                memcpy(method, line, method_size);
                method[method_size] = '\0';
                checker->head->method = http_method_from_string(method);
        }
        if (checker->head->method == HTTP_OTHER)
                return refuse(checker, 501, "not_implemented", "this method is not known here");
        return 0;
}

static int check_length(struct checker *checker, const char *value, size_t size) {
        uint64_t length = 0;

        if (checker->length)
                return refuse_syntax(checker, "more than one Content-Length");
        checker->length = true;

        for (size_t i = 0; i < size; i++) {
                if (value[i] < '0' || value[i] > '9')
                        return refuse_syntax(checker, "Content-Length must be a decimal number");
                if (length <= checker->body_max)
                        length = length * 10 + (uint64_t) (value[i] - '0');
        }
        if (size == 0)
                return refuse_syntax(checker, "Content-Length is empty");

        checker->head->content_length = length;
        return 0;
}

static int check_host(struct checker *checker, const char *value, size_t size) {
        if (checker->host)
                return refuse_syntax(checker, "more than one Host");
        checker->host = true;

        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char) value[i];

                if (c >= 127 || c <= ' ' || strchr("/?#@\\\"<>^`{|}", c))
                        return refuse_syntax(checker, "Host is not a host name");
        }
        return 0;
}

static int check_once(struct checker *checker, bool *seen, const char *message) {
        if (*seen)
                return refuse_syntax(checker, message);
        *seen = true;
        return 0;
}

/* The fields that decide where the request ends or who may send it. */
static int check_known_field(struct checker *checker, const char *name, size_t name_size,
                const char *value, size_t size) {
        if (is_word(name, name_size, "Host"))
                return check_host(checker, value, size);
        if (is_word(name, name_size, "Content-Length"))
                return check_length(checker, value, size);
        if (is_word(name, name_size, "Transfer-Encoding")) {
                checker->chunked = is_word(value, size, "chunked");
                return check_once(checker, &checker->encoding, "more than one Transfer-Encoding");
        }
        if (is_word(name, name_size, "Authorization"))
                return check_once(checker, &checker->authorization, "more than one Authorization");
        if (is_word(name, name_size, "X-Virtwatch-Token"))
                return check_once(checker, &checker->token, "more than one X-Virtwatch-Token");
        if (is_word(name, name_size, "Expect") && !is_word(value, size, "100-continue"))
                return refuse(checker, 417, "expectation_failed",
                                "only Expect: 100-continue is known");
        return 0;
}

static int check_field(struct checker *checker, const char *line, size_t size) {
        const char *colon, *value;
        size_t value_size;

        if (++checker->n_fields > HTTP_FIELDS_MAX)
                return refuse(checker, 431, "header_too_large", "more than 100 header fields");

        colon = memchr(line, ':', size);
        if (!colon || !is_token(line, (size_t) (colon - line)))
                return refuse_syntax(checker,
                                "a header field must be a name, a colon right after it, and a value on the same line");

        value = colon + 1;
        value_size = size - (size_t) (value - line);
        for (size_t i = 0; i < value_size; i++) {
                unsigned char c = (unsigned char) value[i];

                if ((c < ' ' && c != '\t') || c == 127)
                        return refuse_syntax(checker, "a header field has a control character");
        }

        for (; value_size > 0 && (*value == ' ' || *value == '\t'); value_size--)
                value++;
        while (value_size > 0 && (value[value_size - 1] == ' ' || value[value_size - 1] == '\t'))
                value_size--;
        return check_known_field(checker, line, (size_t) (colon - line), value, value_size);
}

/* What only shows when all fields are known. */
static int check_whole(struct checker *checker) {
        const struct http_head *head = checker->head;

        if (!checker->host && !checker->http_1_0)
                return refuse_syntax(checker, "HTTP/1.1 needs a Host");
        if (checker->encoding && (checker->length || checker->http_1_0))
                return refuse_syntax(checker, "Transfer-Encoding with Content-Length or HTTP/1.0");
        if (checker->encoding && !checker->chunked)
                return refuse(checker, 501, "not_implemented",
                                "this Transfer-Encoding is not known here");
        if (checker->encoding)
                return refuse(checker, 411, "length_required",
                                "send Content-Length instead of chunks");
        if (head->content_length > checker->body_max)
                return refuse(checker, 413, "body_too_large",
                                "the body is larger than this server takes");
        if (head->content_length > 0 && (head->method == HTTP_GET || head->method == HTTP_HEAD))
                return refuse_syntax(checker, "GET and HEAD take no body");
        return 1;
}

/* The tail that has no LF yet. */
static int check_rest(struct checker *checker, const char *rest, size_t rest_size, bool first,
                size_t size) {
        const char *cr = memchr(rest, '\r', rest_size);

        if (cr && cr + 1 < rest + rest_size)
                return refuse_syntax(checker, "a line must end with CR LF");
        if (first && rest_size > HTTP_LINE_MAX)
                return refuse(checker, 414, "target_too_long",
                                "the request line is longer than 8 KiB");
        if (size >= HTTP_HEAD_MAX)
                return refuse(checker, 431, "header_too_large", "the header is larger than 16 KiB");
        return 0;
}

int http_head_check(const char *data, size_t size, uint64_t body_max, struct http_head *ret_head) {
        struct checker checker = { .head = ret_head, .body_max = body_max };
        const char *line = data, *end = data + size, *newline;
        int r;

        *ret_head = (struct http_head){ .method = HTTP_OTHER };

        while ((newline = memchr(line, '\n', (size_t) (end - line)))) {
                size_t line_size = (size_t) (newline - line);
                bool first = line == data;

                if ((size_t) (newline + 1 - data) > HTTP_HEAD_MAX)
                        return refuse(&checker, 431, "header_too_large",
                                        "the header is larger than 16 KiB");
                if (line_size == 0 || memchr(line, '\r', line_size) != newline - 1)
                        return refuse_syntax(&checker, "a line must end with CR LF");
                line_size--;

                if (first && line_size > HTTP_LINE_MAX)
                        return refuse(&checker, 414, "target_too_long",
                                        "the request line is longer than 8 KiB");
                if (first)
                        r = check_request_line(&checker, line, line_size);
                else if (line_size > 0)
                        r = check_field(&checker, line, line_size);
                else
                        r = check_whole(&checker);
                if (r != 0) {
                        ret_head->size = (size_t) (newline + 1 - data);
                        return r;
                }
                line = newline + 1;
        }

        return check_rest(&checker, line, (size_t) (end - line), line == data, size);
}
