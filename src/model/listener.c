/* What one item of http.listen says. */

#include "model/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/text.h"

static const struct {
        const char *name;
        unsigned int bit;
} services[] = {
        { "api", LISTENER_API },
        { "metrics", LISTENER_METRICS },
        { "health", LISTENER_HEALTH },
};

const char *listener_serves_to_string(unsigned int serves, char text[static LISTENER_SERVES_MAX]) {
        size_t n = 0;

        text[0] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
                if (!(serves & services[i].bit))
                        continue;
                n += (size_t) snprintf(text + n, LISTENER_SERVES_MAX - n, "%s%s", n ? "+" : "",
                                services[i].name);
        }
        return text;
}

unsigned int listener_service_of(const char *path) {
        if (strcmp(path, "/metrics") == 0 || strcmp(path, "/v1/metrics") == 0)
                return LISTENER_METRICS;
        if (strcmp(path, "/health") == 0 || strcmp(path, "/healthz") == 0 ||
                        strcmp(path, "/ready") == 0)
                return LISTENER_HEALTH;
        return LISTENER_API;
}

/* "metrics+health"; commas do as well, where they part no list. */
static int parse_serves(const char *text, size_t size, unsigned int *ret_serves) {
        unsigned int serves = 0;

        for (const char *at = text, *end = text + size; at <= end;) {
                size_t n = 0, i;

                while (at + n < end && at[n] != '+' && at[n] != ',')
                        n++;
                for (i = 0; i < ARRAY_SIZE(services); i++)
                        if (strlen(services[i].name) == n && strncmp(services[i].name, at, n) == 0)
                                break;
                if (i == ARRAY_SIZE(services))
                        return -EINVAL;
                serves |= services[i].bit;
                at += n + 1;
        }
        *ret_serves = serves;
        return 0;
}

static bool is_loopback(const char *address) {
        const char *colon = strrchr(address, ':');
        size_t n = colon ? (size_t) (colon - address) : 0;
        char host[64] = "";
        struct in6_addr in6;
        struct in_addr in;

        if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
                address++;
                n -= 2;
        }
        if (n < sizeof(host))
                memcpy(host, address, n);
        if (inet_pton(AF_INET, host, &in) == 1)
                return ntohl(in.s_addr) >> 24 == IN_LOOPBACKNET;
        return inet_pton(AF_INET6, host, &in6) == 1 &&
                        (IN6_IS_ADDR_LOOPBACK(&in6) ||
                                        (IN6_IS_ADDR_V4MAPPED(&in6) &&
                                                        in6.s6_addr[12] == IN_LOOPBACKNET));
}

static int parse_option(
                struct listener *listener, const char *text, size_t size, struct diag *diag) {
        if (size > 7 && strncmp(text, "serves=", 7) == 0) {
                if (parse_serves(text + 7, size - 7, &listener->serves) >= 0)
                        return 0;
                diag_set(diag, diag->line, diag->column,
                                "serves= takes api, metrics and health, joined by +, not '%.*s'",
                                (int) (size - 7), text + 7);
                return -EINVAL;
        }
        if (size == 6 && strncmp(text, "tls=on", 6) == 0) {
                listener->tls = LISTENER_TLS_ON;
                return 0;
        }
        if (size == 7 && strncmp(text, "tls=off", 7) == 0) {
                listener->tls = LISTENER_TLS_OFF;
                return 0;
        }
        diag_set(diag, diag->line, diag->column,
                        "behind an address there may be serves=api+metrics+health and tls=on or tls=off, not '%.*s'",
                        (int) size, text);
        return -EINVAL;
}

/* Where the address ends. A path may have spaces in it. */
static size_t address_size(const char *text) {
        const char *serves = strstr(text, " serves="), *tls = strstr(text, " tls=");
        size_t n = strlen(text);

        if (!text_starts_with(text, "unix:"))
                return strcspn(text, " ");
        if (serves)
                n = (size_t) (serves - text);
        return tls && (size_t) (tls - text) < n ? (size_t) (tls - text) : n;
}

static int parse_address(struct listener *listener, const char *text, size_t n, struct diag *diag) {
        int r = -EINVAL;

        if (n > 0 && n < sizeof(listener->address)) {
                memcpy(listener->address, text, n);
                r = listen_check(listener->address);
        } else if (n > 0) {
                r = -ENAMETOOLONG;
        }
        if (r == -ENAMETOOLONG) {
                diag_set(diag, diag->line, diag->column, "'%.*s' is too long for a socket's path",
                                (int) n, text);
        } else if (r < 0) {
                diag_set(diag, diag->line, diag->column,
                                "an address is ADDRESS:PORT or [ADDRESS]:PORT in numbers, or unix:/PATH, not '%.*s'",
                                (int) n, text);
        }
        return r < 0 ? -EINVAL : 0;
}

int listener_parse(const char *text, struct listener *ret_listener, struct diag *diag) {
        struct listener listener = { .serves = LISTENER_ALL };
        size_t n = address_size(text);
        struct diag unused = {};
        int r;

        if (!diag)
                diag = &unused;
        r = parse_address(&listener, text, n, diag);
        if (r < 0)
                return r;
        listener.is_unix = text_starts_with(text, "unix:");
        listener.is_local = listener.is_unix || is_loopback(listener.address);
        for (text += n; r >= 0 && *text; text += n) {
                text += strspn(text, " ");
                n = strcspn(text, " ");
                if (n > 0)
                        r = parse_option(&listener, text, n, diag);
        }
        if (r < 0)
                return r;
        if (listener.is_unix && listener.tls == LISTENER_TLS_ON) {
                diag_set(diag, diag->line, diag->column, "a local socket has no TLS");
                return -EINVAL;
        }
        *ret_listener = listener;
        return 0;
}
