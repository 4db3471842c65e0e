/* A wrong password counts for the limit of tries of its address, as a wrong token does. */

#include "api/http_basic.h"

#include <gnutls/gnutls.h>
#include <string.h>

#include "api/http_internal.h"
#include "api/http_web.h"
#include "api/password.h"
#include "base/clock.h"

#define CREDENTIALS_MAX 1024

struct basic_wait {
        struct http_wait wait;
};

static void on_checked(bool good, void *userdata) {
        struct basic_wait *basic = userdata;
        struct http_request *request = basic->wait.request;

        if (request) {
                request->waiting = NULL;
                request->basic = good ? HTTP_BASIC_GOOD : HTTP_BASIC_BAD;
                http_resume(request);
        }
        free(basic);
}

/* "Basic dXNlcjpwYXNz": cut in two at the first colon. Return: 0; -EINVAL. */
static int parse(const char *field, char text[static CREDENTIALS_MAX], const char **ret_password) {
        gnutls_datum_t given, plain = {};
        char *colon = NULL;

        if (!field || strncasecmp(field, "Basic ", 6) != 0 || strlen(field) > CREDENTIALS_MAX)
                return -EINVAL;
        given.data = (unsigned char *) (uintptr_t) (field + 6);
        given.size = (unsigned int) strlen(field + 6);
        if (gnutls_base64_decode2(&given, &plain) < 0)
                return -EINVAL;
        if (plain.size < CREDENTIALS_MAX && !memchr(plain.data, '\0', plain.size)) {
                memcpy(text, plain.data, plain.size);
                text[plain.size] = '\0';
                colon = strchr(text, ':');
        }
        explicit_bzero(plain.data, plain.size);
        gnutls_free(plain.data);
        if (!colon)
                return -EINVAL;
        *colon = '\0';
        *ret_password = colon + 1;
        return 0;
}

static enum MHD_Result refuse(struct http_request *request, enum refusal reason) {
        struct http_caller *caller = &request->caller;

        (void) http_caller_get(request);
        refusals_add(request->http->api->refusals, caller->address, reason,
                        "basic authentication of a listener with users", clock_monotonic_us());
        if (reason == REFUSAL_RATE)
                return http_error(request, MHD_HTTP_TOO_MANY_REQUESTS, "too_many_tries",
                                "too many wrong passwords came from this address, wait");
        return http_error(request, MHD_HTTP_UNAUTHORIZED, "unauthorized",
                        reason == REFUSAL_MISSING ? "a user and a password are needed"
                                                  : "that is no user, or the password is wrong");
}

static enum MHD_Result begin(struct http_request *request, const char *hash, const char *password) {
        struct basic_wait *basic = calloc(1, sizeof(*basic));
        int r;

        if (!basic)
                return MHD_NO;
        r = passwords_check(request->http->passwords, hash, password, on_checked, basic);
        if (r == -EINPROGRESS)
                return http_wait(request, &basic->wait);
        free(basic);
        if (r == -EINVAL)
                return refuse(request, REFUSAL_MALFORMED);
        return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "busy",
                        "too many passwords wait to be looked at");
}

bool http_basic_passes(struct http_request *request, enum MHD_Result *ret_result) {
        struct http *http = request->http;
        const struct http_web *web =
                        http_listener_has_web(request->listener) ? http->config.web : NULL;
        char text[CREDENTIALS_MAX];
        struct http_caller *caller = &request->caller;
        const char *field, *password, *hash;

        if (!web || web->n_users == 0 || request->basic == HTTP_BASIC_GOOD)
                return true;
        if (request->basic == HTTP_BASIC_BAD) {
                *ret_result = refuse(request, REFUSAL_UNKNOWN);
                return false;
        }
        field = http_header(request, MHD_HTTP_HEADER_AUTHORIZATION);
        if (parse(field, text, &password) < 0) {
                *ret_result = refuse(request, field ? REFUSAL_MALFORMED : REFUSAL_MISSING);
                return false;
        }
        hash = http_web_hash(web, text);
        if (passwords_check(http->passwords, hash, password, NULL, NULL) > 0) {
                request->basic = HTTP_BASIC_GOOD; /* however often others there were wrong */
        } else {
                (void) http_caller_get(request);
                caller->wait_us = refusals_wait_us(
                                http->api->refusals, caller->address, clock_monotonic_us());
                *ret_result = caller->wait_us > 0 ? refuse(request, REFUSAL_RATE)
                                                  : begin(request, hash, password);
        }
        explicit_bzero(text, sizeof(text));
        return request->basic == HTTP_BASIC_GOOD;
}
