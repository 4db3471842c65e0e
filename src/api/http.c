/* libmicrohttpd on the loop: each listener is a daemon whose epoll descriptor and timeout are event
 * sources, as systemd's journal-remote has it. No thread of its own. New connections wait at a gate
 * (http_gate.h) for a clean head; every answer closes its connection, so that nothing can be
 * smuggled in behind a request that was looked at. Connections cannot be kept for a second request:
 * libmicrohttpd reads on past the first one's end, into a buffer that nobody may look into, and
 * never gives a connection back to the gate. */

#include "api/http.h"

#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "api/http_gate.h"
#include "api/http_internal.h"
#include "api/http_watch.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#define CONNECTION_MEMORY (32 * 1024)
#define CONNECTIONS_MAX   (1U << 17) /* libmicrohttpd's; ours is kept where they are accepted */
#define ACCEPTS_PER_TURN  64
#define REST_US           (100 * USEC_PER_MSEC)
#define ANSWER_TIMEOUT_US (60 * USEC_PER_SEC) /* for a body to come and an answer to be taken */

union address {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
};

static void listener_arm(struct http_listener *listener) {
        MHD_UNSIGNED_LONG_LONG wait_ms;

        if (MHD_get_timeout(listener->daemon, &wait_ms) != MHD_YES) {
                (void) sd_event_source_set_enabled(listener->timer, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time_relative(listener->timer, wait_ms * USEC_PER_MSEC);
        (void) sd_event_source_set_enabled(listener->timer, SD_EVENT_ONESHOT);
}

/* It takes nothing new. */
static void listener_close(struct http_listener *listener) {
        listener->accept = sd_event_source_disable_unref(listener->accept);
        listener->rest = sd_event_source_disable_unref(listener->rest);
        http_gate_free(listener->gate);
        listener->gate = NULL;
        if (listener->fd >= 0 && listener->is_unix)
                (void) unlink(listener->address + strlen("unix:"));
        listener->fd = fd_close(listener->fd);
}

static void listener_run(struct http_listener *listener) {
        if (MHD_run(listener->daemon) != MHD_YES)
                log_warn("The HTTP listener on %s has failed", listener->address);
        listener_arm(listener);
}

static struct http_listener *listener_free(struct http_listener *listener) {
        if (!listener)
                return NULL;
        list_remove(&listener->list);
        listener_close(listener);
        sd_event_source_disable_unref(listener->io);
        sd_event_source_disable_unref(listener->timer);
        if (listener->daemon)
                MHD_stop_daemon(listener->daemon);
        free(listener->configured);
        free(listener);
        return NULL;
}

DEFINE_FREEP(struct http_listener, listener_free);

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        listener_run(userdata);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t time_us, void *userdata) {
        listener_run(userdata);
        return 0;
}

/* The last that was open on it has ended, or it has not. Not from within libmicrohttpd. */
static void run_closing(struct http *http) {
        struct http_listener *listener, *next;

        list_for_each_safe(listener, next, &http->closing_listeners, list) {
                listener_run(listener);
                if (listener->n_connections == 0)
                        listener_free(listener);
        }
}

static int on_pump(sd_event_source *source, void *userdata) {
        struct http *http = userdata;

        for (size_t i = 0; i < http->n_listeners; i++)
                listener_run(http->listeners[i]);
        run_closing(http);
        return 0;
}

void http_pump(struct http *http) {
        if (!http->closing)
                (void) sd_event_source_set_enabled(http->pump, SD_EVENT_ONESHOT);
}

void http_suspend(struct http_request *request) {
        if (!request->suspended)
                MHD_suspend_connection(request->connection);
        request->suspended = true;
}

void http_resume(struct http_request *request) {
        if (!request->suspended)
                return;
        request->suspended = false;
        MHD_resume_connection(request->connection);
        http_pump(request->http);
}

/* ---- requests ---- */

/* The target as it came: what is not printable ASCII is refused, since proxies before us may read
 * it in another way. */
static void *on_uri(void *userdata, const char *uri, struct MHD_Connection *connection) {
        struct http_listener *listener = userdata;
        struct http_request *request;

        request = calloc(1, sizeof(*request));
        if (!request)
                return NULL;
        request->http = listener->http;
        request->listener = listener;
        request->connection = connection;
        request->begin_us = clock_monotonic_us();
        request->body.max = listener->http->config.body_max;
        list_append(&listener->http->requests, &request->list);
        for (const char *c = uri; *c && !request->refusal; c++)
                if (*c <= ' ' || *c >= 0x7f)
                        request->refusal = strdup("the target may hold printable ASCII only");
        return request;
}

/* NOLINTNEXTLINE(readability-function-size): the signature is libmicrohttpd's */
static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection,
                const char *url, const char *method, const char *version, const char *upload,
                size_t *upload_size, void **request_pointer) {
        struct http_request *request = *request_pointer;

        return request ? http_handle(request, url, method, upload, upload_size) : MHD_NO;
}

static void on_completed(void *userdata, struct MHD_Connection *connection, void **request_pointer,
                enum MHD_RequestTerminationCode code) {
        struct http_request *request = *request_pointer;

        if (!request)
                return;
        if (request->waiting)
                request->waiting->request = NULL;
        list_remove(&request->list);
        http_caller_done(&request->caller);
        http_log_ended(request);
        free(request->id);
        free(request->refusal);
        free(request->answer);
        buf_done(&request->body);
        free(request);
        *request_pointer = NULL;
}

/* ---- connections ---- */

/* No descriptor or memory for a new connection: give the longest idle one up, or rest a moment,
 * since the listening socket stays readable. */
static void accept_failed(struct http_listener *listener, int error) {
        if (http_gate_evict(listener->gate))
                return;
        log_warn_errno(error, "Cannot accept connections on %s for now: %m", listener->address);
        (void) sd_event_source_set_enabled(listener->accept, SD_EVENT_OFF);
        (void) sd_event_source_set_time_relative(listener->rest, REST_US);
        (void) sd_event_source_set_enabled(listener->rest, SD_EVENT_ONESHOT);
}

static int on_rested(sd_event_source *source, uint64_t time_us, void *userdata) {
        struct http_listener *listener = userdata;

        (void) sd_event_source_set_enabled(listener->accept, SD_EVENT_ON);
        return 0;
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t events, void *userdata) {
        struct http_listener *listener = userdata;
        int r;

        for (unsigned int i = 0; i < ACCEPTS_PER_TURN; i++) {
                union address address = {};
                socklen_t size = sizeof(address);
                int fd = accept4(listen_fd, &address.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd < 0) {
                        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                                        errno == ENOMEM)
                                accept_failed(listener, -errno);
                        return 0;
                }
                if (listener->n_connections + http_gate_size(listener->gate) >=
                                                listener->http->config.connections_max &&
                                !http_gate_evict(listener->gate)) {
                        http_gate_turn_away(fd, MHD_HTTP_SERVICE_UNAVAILABLE,
                                        "too_many_connections", "all connections are in use");
                        (void) close(fd);
                        continue;
                }
                r = http_gate_add(listener->gate, fd, &address.any, size);
                if (r < 0)
                        log_error_errno(r, "Cannot take in a connection on %s: %m",
                                        listener->address);
        }
        return 0;
}

static void on_passed(int fd, const struct sockaddr *address, socklen_t size, void *userdata) {
        struct http_listener *listener = userdata;

        if (MHD_add_connection(listener->daemon, fd, address, size) == MHD_YES)
                http_pump(listener->http);
}

static void on_refused(enum http_method method, unsigned int status, void *userdata) {
        struct http_listener *listener = userdata;

        http_metrics_count(listener->http->metrics, http_method_to_string(method), "_other", status,
                        USEC_INFINITY);
        http_log_refused(listener->http, http_method_to_string(method), status);
}

static void on_connection(void *userdata, struct MHD_Connection *connection, void **context,
                enum MHD_ConnectionNotificationCode code) {
        struct http_listener *listener = userdata;

        if (code == MHD_CONNECTION_NOTIFY_STARTED)
                listener->n_connections++;
        else
                listener->n_connections--;
        if (listener->closing && listener->n_connections == 0)
                http_pump(listener->http);
}

/* MHD's own timeout starts anew with every byte, this one does not. */
static void expire_requests(struct http *http) {
        uint64_t now_us = clock_monotonic_us();
        const union MHD_ConnectionInfo *info;
        struct http_request *request;

        list_for_each(request, &http->requests, list) {
                if (request->begin_us + ANSWER_TIMEOUT_US > now_us)
                        break;
                if (request->is_stream || request->suspended)
                        continue;
                info = MHD_get_connection_info(
                                request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
                if (info)
                        (void) shutdown(info->connect_fd, SHUT_RDWR);
        }
}

/* ---- listeners ---- */

static int listener_open_daemon(struct http *http, struct http_listener *listener) {
        const union MHD_DaemonInfo *info;
        int r;

        listener->daemon = MHD_start_daemon(
                        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0,
                        NULL, NULL, on_request, listener, MHD_OPTION_CONNECTION_LIMIT,
                        CONNECTIONS_MAX, MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener,
                        MHD_OPTION_PER_IP_CONNECTION_LIMIT, http->config.per_ip_max,
                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
                        MHD_OPTION_CONNECTION_TIMEOUT,
                        (unsigned int) (http->config.header_timeout_us / USEC_PER_SEC),
                        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, on_uri,
                        listener, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
        if (!listener->daemon)
                return -EIO;
        info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info)
                return -EIO;
        r = sd_event_add_io(
                        http->api->event, &listener->io, info->epoll_fd, EPOLLIN, on_io, listener);
        if (r >= 0)
                r = sd_event_add_time(http->api->event, &listener->timer, CLOCK_MONOTONIC,
                                USEC_INFINITY, 1000, on_timer, listener);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(listener->io, "http");
        listener_arm(listener);
        return 0;
}

static int listener_open(
                struct http *http, const char *address, struct http_listener **ret_listener) {
        _cleanup_(listener_freep) struct http_listener *listener = NULL;
        struct http_gate_config gate = { .body_max = http->config.body_max,
                .timeout_us = http->config.header_timeout_us,
                .pass = on_passed,
                .refused = on_refused };
        int r;

        listener = calloc(1, sizeof(*listener));
        if (!listener)
                return -ENOMEM;
        gate.userdata = listener;
        list_init(&listener->list);
        listener->http = http;
        listener->fd = -EBADF;
        listener->configured = strdup(address);
        if (!listener->configured)
                return -ENOMEM;
        /* everybody may connect; who may ask is decided by SO_PEERCRED, see http_request.c */
        listener->fd = listen_open(
                        address, &(struct listen_options){ .mode = 0666 }, listener->address);
        if (listener->fd < 0)
                return listener->fd;
        listener->is_unix = text_starts_with(address, "unix:");
        r = http_gate_new(http->api->event, &gate, &listener->gate);
        if (r >= 0)
                r = listener_open_daemon(http, listener);
        if (r >= 0)
                r = sd_event_add_io(http->api->event, &listener->accept, listener->fd, EPOLLIN,
                                on_accept, listener);
        if (r >= 0)
                r = sd_event_add_time(http->api->event, &listener->rest, CLOCK_MONOTONIC,
                                USEC_INFINITY, 1000, on_rested, listener);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(listener->accept, "http-accept");
        *ret_listener = TAKE_PTR(listener);
        return 0;
}

static int on_heartbeat(sd_event_source *source, uint64_t time_us, void *userdata) {
        struct http *http = userdata;

        sse_heartbeat(http);
        sse_samples_heartbeat(http);
        expire_requests(http);
        http_log_flush(http);
        (void) sd_event_source_set_time_relative(source, http->config.sse_heartbeat_us);
        (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

/* It has those that there are. Without it, nobody answers while the loop is held up. */
static void start_watch(struct http *http) {
        int fds[HTTP_LISTENERS_MAX], r;

        http->watch = http_watch_free(http->watch);
        for (size_t i = 0; i < http->n_listeners; i++)
                fds[i] = http->listeners[i]->fd;
        r = http_watch_new(fds, http->n_listeners, http->api, &http->watch);
        if (r < 0)
                log_warn_errno(r,
                                "Cannot start the thread that answers for a loop that is held up: %m");
}

/* ---- going over to another configuration ---- */

static struct http_staged *staged_free(struct http_staged *staged) {
        if (!staged)
                return NULL;
        for (size_t i = 0; i < HTTP_LISTENERS_MAX; i++)
                if (staged->is_new[i])
                        listener_free(staged->listeners[i]);
        for (size_t i = 0; i < HTTP_ORIGINS_MAX; i++)
                free(staged->cors_origins[i]);
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
                if (!taken && strcmp(listener->configured, address) == 0)
                        return listener;
        }
        return NULL;
}

static int stage_listeners(struct http *http, struct http_staged *staged,
                const struct http_config *config, const char **ret_address) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < config->n_addresses; i++) {
                staged->listeners[i] = find_present(http, staged, config->addresses[i]);
                if (staged->listeners[i])
                        continue;
                *ret_address = config->addresses[i];
                r = listener_open(http, config->addresses[i], &staged->listeners[i]);
                staged->is_new[i] = r >= 0;
                if (r >= 0)
                        (void) sd_event_source_set_enabled(
                                        staged->listeners[i]->accept, SD_EVENT_OFF);
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
}

/* Whoever waits for an answer on it gets it; a stream would never end. */
static void retire(struct http *http, struct http_listener *listener) {
        struct http_request *request;

        listener->closing = true;
        listener_close(listener);
        list_append(&http->closing_listeners, &listener->list);
        list_for_each(request, &http->requests, list)
                if (request->listener == listener && request->is_stream)
                        http_resume(request);
        http_pump(http);
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
                if (staged->is_new[i])
                        (void) sd_event_source_set_enabled(http->listeners[i]->accept, SD_EVENT_ON);
                staged->is_new[i] = false;
                staged->config.addresses[i] = NULL; /* the caller's */
        }
        http->config = staged->config;
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

int http_new(const struct http_config *config, const struct api_context *api,
                struct http **ret_http, const char **ret_address) {
        _cleanup_(http_freep) struct http *http = NULL;
        const struct group *group;
        int r;

        http = calloc(1, sizeof(*http));
        if (!http)
                return -ENOMEM;
        group = getgrnam("virtwatch"); /* once: name services may block */
        http->group = group ? group->gr_gid : (gid_t) -1;
        http->config = *config;
        http->api = api;
        http->log_limit = (struct log_ratelimit) HTTP_LOG_LIMIT;
        list_init(&http->requests);
        list_init(&http->sse);
        list_init(&http->sample_streams);
        list_init(&http->closing_listeners);
        r = http_metrics_new(&http->metrics);
        if (r >= 0)
                r = sd_event_add_defer(api->event, &http->pump, on_pump, http);
        if (r >= 0)
                r = sd_event_source_set_enabled(http->pump, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(api->event, &http->heartbeat, CLOCK_MONOTONIC,
                                config->sse_heartbeat_us, 0, on_heartbeat, http);
        if (r >= 0)
                r = http_stage(http, config, ret_address);
        if (r < 0)
                return r;
        http_commit(http);
        *ret_http = TAKE_PTR(http);
        return 0;
}

void http_token_gone(struct http *http, const char *token_id) {
        sse_end(http, token_id);
        sse_samples_end(http, token_id);
}

struct http *http_free(struct http *http) {
        struct http_listener *listener;
        struct http_request *request;

        if (!http)
                return NULL;

        http->closing = true;
        http->watch = http_watch_free(http->watch);
        list_for_each(request, &http->requests, list)
                http_resume(request); /* MHD wants none suspended when it stops */
        http_unstage(http);
        for (size_t i = 0; i < http->n_listeners; i++)
                listener_free(http->listeners[i]);
        while ((listener = list_first(&http->closing_listeners, struct http_listener, list)))
                listener_free(listener);
        sd_event_source_disable_unref(http->pump);
        sd_event_source_disable_unref(http->heartbeat);
        http_metrics_free(http->metrics);
        for (size_t i = 0; i < HTTP_ORIGINS_MAX; i++)
                free(http->cors_origins[i]);
        free(http->token);
        free(http);
        return NULL;
}

const char *http_address(const struct http *http, size_t i) {
        return i < http->n_listeners ? http->listeners[i]->address : NULL;
}
