/* Going over to another configuration: all that may fail is made first, beside what is there. */

#include <string.h>
#include <sys/socket.h>

#include "api/http_internal.h"
#include "api/http_watch.h"
#include "api/http_web.h"
#include "api/tls_context.h"
#include "base/log.h"
#include "base/text.h"

void http_drop_tls(struct http_config *config) {
        config->tls = tls_context_unref(config->tls);
        config->web_tls = tls_context_unref(config->web_tls);
        config->web = http_web_unref(config->web);
}

static struct http_staged *staged_free(struct http_staged *staged) {
        if (!staged)
                return NULL;
        for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++)
                if (staged->is_new[i])
                        http_listener_free(staged->listeners[i]);
        for (size_t i = 0; i < HTTP_ORIGINS_MAX; i++)
                free(staged->cors_origins[i]);
        http_drop_tls(&staged->config);
        free(staged->token);
        free(staged);
        return NULL;
}
DEFINE_FREEP(struct http_staged, staged_free);

/* One of the present listeners that has that address and is not taken yet. */
static struct http_listener *find_present(
                const struct http *http, const struct http_staged *staged, const char *address) {
        for (size_t i = 0; i < http->n_listeners; i++) {
                struct http_listener *listener = http->listeners[i];
                bool taken = false;

                for (size_t j = 0; j < HTTP_LISTENERS_MAX; j++)
                        taken = taken || staged->listeners[j] == listener;
                if (!taken && strcmp(listener->spec.address, address) == 0)
                        return listener;
        }
        return NULL;
}

/* ---- ports ---- */

static bool is_wanted(const struct http_staged *staged, const struct http_listener *listener) {
        for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++)
                if (staged->listeners[i] == listener)
                        return true;
        return false;
}

/* "" for those of no number that was asked for: it could not be had again. */
static const char *port_of(const struct listener *spec) {
        const char *colon = spec->is_unix ? NULL : strrchr(spec->address, ':');

        return colon && strcmp(colon, ":0") != 0 ? colon : "";
}

/* The next of the present listeners from @i on that goes and has that port. */
static struct http_listener *find_leaving(struct http *http, const struct http_staged *staged,
                const struct listener *spec, size_t *i) {
        const char *port = port_of(spec);

        while (port[0] && *i < http->n_listeners) {
                struct http_listener *listener = http->listeners[(*i)++];

                if (!is_wanted(staged, listener) && strcmp(port_of(&listener->spec), port) == 0)
                        return listener;
        }
        return NULL;
}

/* The socket keeps the address, but does not listen: whoever else may bind the port then has to ask
 * for it with SO_REUSEADDR. All its descriptors do so, the watch has one too. */
static void rest(struct http_listener *listener) {
        if (listener->resting)
                return;
        http_listener_drain(listener);
        (void) shutdown(listener->fd, SHUT_RDWR);
        listener->resting = true;
}

static void wake(struct http *http) {
        for (size_t i = 0; i < http->n_listeners; i++) {
                struct http_listener *listener = http->listeners[i];

                if (!listener->resting)
                        continue;
                listener->resting = false;
                if (listen(listener->fd, LISTEN_BACKLOG) < 0)
                        log_error_errno(-errno, "Cannot listen on %s again: %m", listener->address);
        }
}

static int open_new(struct http *http, struct http_staged *staged, size_t i) {
        struct http_listener *listener;
        int r;

        r = http_listener_open(http, &staged->specs[i], &listener);
        if (r < 0)
                return r;
        staged->listeners[i] = listener;
        staged->is_new[i] = true;
        (void) sd_event_source_set_enabled(listener->accept, SD_EVENT_OFF);
        return 0;
}

int http_stage_ports(struct http *http, const char **ret_address) {
        struct http_staged *staged = http->staged;
        struct http_listener *listener;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < staged->config.n_addresses; i++) {
                size_t at = 0;

                if (!staged->is_late[i])
                        continue;
                while ((listener = find_leaving(http, staged, &staged->specs[i], &at)))
                        rest(listener);
                *ret_address = staged->config.addresses[i];
                r = open_new(http, staged, i);
        }
        if (r < 0)
                http_unstage(http);
        return r;
}

static int stage_listeners(struct http *http, struct http_staged *staged,
                const struct http_config *config, const char **ret_address) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < config->n_addresses; i++) {
                struct listener *spec = &staged->specs[i];

                *ret_address = config->addresses[i];
                r = listener_parse(config->addresses[i], spec, NULL);
                if (r >= 0 && http_has_tls(config, spec) && !http_tls_of(config, spec))
                        r = -ENOKEY;
                if (r < 0)
                        return r;
                staged->listeners[i] = find_present(http, staged, spec->address);
                if (staged->listeners[i])
                        continue;
                r = open_new(http, staged, i);
                staged->is_late[i] = r == -EADDRINUSE;
                r = staged->is_late[i] ? 0 : r;
        }
        for (size_t i = 0; r >= 0 && i < config->n_addresses; i++) {
                size_t at = 0;

                if (!staged->is_late[i] || find_leaving(http, staged, &staged->specs[i], &at))
                        continue;
                *ret_address = config->addresses[i];
                r = -EADDRINUSE;
        }
        return r;
}

int http_stage(struct http *http, const struct http_config *config, const char **ret_address) {
        _cleanup_(staged_freep) struct http_staged *staged = calloc(1, sizeof(*staged));
        int r;

        if (!staged)
                return -ENOMEM;
        http_unstage(http);
        staged->config = *config;
        (void) tls_context_ref(config->tls);
        (void) tls_context_ref(config->web_tls);
        (void) http_web_ref(config->web);
        staged->token = config->token ? strdup(config->token) : NULL;
        if (config->token && !staged->token)
                return -ENOMEM;
        if (staged->token && token_digest_of(staged->token, &staged->token_digest) < 0)
                return -EIO;
        for (size_t i = 0; i < config->n_cors_origins; i++) {
                staged->cors_origins[i] = strdup(config->cors_origins[i]);
                if (!staged->cors_origins[i])
                        return -ENOMEM;
        }
        r = stage_listeners(http, staged, config, ret_address);
        if (r < 0)
                return r;
        http->staged = TAKE_PTR(staged);
        return 0;
}

void http_unstage(struct http *http) {
        http->staged = staged_free(http->staged);
        wake(http);
}

/* Whoever has connected gets an answer; a stream would never end. */
static void retire(struct http *http, struct http_listener *listener) {
        struct http_request *request;

        listener->closing = true;
        if (!listener->resting)
                http_listener_drain(listener);
        listener->resting = false;
        http_listener_close(listener);
        list_append(&http->closing_listeners, &listener->list);
        list_for_each(request, &http->requests, list)
                if (request->listener == listener && request->is_stream)
                        http_resume(request);
        http_pump(http);
}

/* It has the listeners that there are, with what they show now. Without it, nobody answers while
 * the loop is held up. */
static void start_watch(struct http *http) {
        struct http_watch_listener watched[HTTP_LISTENERS_MAX];
        int r;

        http->watch = http_watch_free(http->watch);
        for (size_t i = 0; i < http->n_listeners; i++) {
                const struct http_listener *one = http->listeners[i];

                watched[i].fd = one->fd;
                watched[i].tls = NULL;
                if (http_listener_has_tls(one)) {
                        watched[i].tls = http_tls_of(&http->config, &one->spec);
                        assert(watched[i].tls); /* nobody is answered plainly there */
                }
        }
        r = http_watch_new(watched, http->n_listeners, http->api, &http->watch);
        if (r < 0) {
                log_warn_errno(r,
                                "Cannot start the thread that answers for a loop that is held up: %m");
        }
}

void http_commit(struct http *http) {
        struct http_staged *staged = http->staged;

        for (size_t i = 0; i < http->n_listeners; i++) {
                bool stays = false;

                for (size_t j = 0; j < staged->config.n_addresses; j++)
                        stays = stays || staged->listeners[j] == http->listeners[i];
                if (!stays)
                        retire(http, http->listeners[i]);
        }
        http->n_listeners = staged->config.n_addresses;
        for (size_t i = 0; i < http->n_listeners; i++) {
                http->listeners[i] = staged->listeners[i];
                http->listeners[i]->spec = staged->specs[i];
                tls_links_limit(http->listeners[i]->links, staged->config.connections_per_address);
                if (staged->is_new[i])
                        (void) sd_event_source_set_enabled(http->listeners[i]->accept, SD_EVENT_ON);
                staged->is_new[i] = false;
                staged->config.addresses[i] = NULL; /* the caller's */
        }
        http_drop_tls(&http->config);
        http->config = staged->config;
        staged->config.tls = staged->config.web_tls = NULL;
        staged->config.web = NULL;
        if (!text_equal(http->token, staged->token))
                http_token_gone(http, HTTP_CALLER_CONFIGURED);
        free(http->token);
        http->token = TAKE_PTR(staged->token);
        http->token_digest = staged->token_digest;
        for (size_t i = 0; i < HTTP_ORIGINS_MAX; i++) {
                free(http->cors_origins[i]);
                http->cors_origins[i] = TAKE_PTR(staged->cors_origins[i]);
                http->config.cors_origins[i] = http->cors_origins[i];
        }
        http_unstage(http);
        start_watch(http);
}

void http_set_tls(struct http *http, struct tls_context *tls, struct tls_context *web_tls,
                struct http_web *web) {
        (void) tls_context_ref(tls);
        (void) tls_context_ref(web_tls);
        (void) http_web_ref(web);
        http_drop_tls(&http->config);
        http->config.tls = tls;
        http->config.web_tls = web_tls;
        http->config.web = web;
        start_watch(http); /* who has TLS may be others now */
}
