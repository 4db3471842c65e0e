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
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "api/http_gate.h"
#include "api/http_internal.h"
#include "api/http_watch.h"
#include "api/http_web.h"
#include "api/password.h"
#include "api/tls_context.h"
#include "base/clock.h"
#include "base/log.h"

#define CONNECTION_MEMORY (32 * 1024)
#define CONNECTIONS_MAX   (1U << 17) /* libmicrohttpd's; ours is kept where they are accepted */
#define ACCEPTS_PER_TURN  64
#define DRAIN_TURNS       32 /* twice what can be waiting, see listen.c */
#define REST_US           (100 * USEC_PER_MSEC)
#define ANSWER_TIMEOUT_US (60 * USEC_PER_SEC) /* for a body to come and an answer to be taken */
#define SLOW_US           USEC_PER_SEC        /* the same, where others wait for the place */

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
void http_listener_close(struct http_listener *listener) {
        listener->accept = sd_event_source_disable_unref(listener->accept);
        listener->rest = sd_event_source_disable_unref(listener->rest);
        if (listener->fd >= 0 && listener->spec.is_unix)
                (void) unlink(listener->address + strlen("unix:"));
        listener->fd = fd_close(listener->fd);
}

static void listener_run(struct http_listener *listener) {
        if (MHD_run(listener->daemon) != MHD_YES)
                log_warn("The HTTP listener on %s has failed", listener->address);
        listener_arm(listener);
}

struct http_listener *http_listener_free(struct http_listener *listener) {
        if (!listener)
                return NULL;
        list_remove(&listener->list);
        http_listener_close(listener);
        http_gate_free(listener->gate);
        listener->gate = NULL;
        sd_event_source_disable_unref(listener->io);
        sd_event_source_disable_unref(listener->timer);
        if (listener->daemon)
                MHD_stop_daemon(listener->daemon);
        tls_links_free(listener->links); /* behind it: its answers still go out */
        free(listener);
        return NULL;
}

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
                if (listener->n_connections == 0 && http_gate_size(listener->gate) == 0 &&
                                tls_links_size(listener->links) == 0)
                        http_listener_free(listener);
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
        if (!request->refusal && strstr(uri, "%00")) /* what is behind it would not count */
                request->refusal = strdup("the target may not hold a NUL (%00)");
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
        request->http->answers -= request->held;
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

bool http_listener_has_web(const struct http_listener *listener) {
        return listener->http->config.web && listener->spec.serves & LISTENER_METRICS &&
                        !(listener->spec.serves & LISTENER_API);
}

/* Without a word on it: where others than this host may listen in, or where the web configuration
 * has certificates. */
bool http_has_tls(const struct http_config *config, const struct listener *spec) {
        bool is_web = config->web_tls && spec->serves & LISTENER_METRICS &&
                        !(spec->serves & LISTENER_API);

        if (spec->tls == LISTENER_TLS_AUTO)
                return !spec->is_unix && (!spec->is_local || is_web);
        return spec->tls == LISTENER_TLS_ON;
}

struct tls_context *http_tls_of(const struct http_config *config, const struct listener *spec) {
        bool is_web = spec->serves & LISTENER_METRICS && !(spec->serves & LISTENER_API);

        return is_web && config->web_tls ? config->web_tls : config->tls;
}

bool http_listener_has_tls(const struct http_listener *listener) {
        return http_has_tls(&listener->http->config, &listener->spec);
}

/* End it if it is its client that it waits for. Return: whether it is. */
static bool cut_slow(struct http_request *request) {
        const union MHD_ConnectionInfo *info;

        if (request->is_stream || request->suspended || request->is_cut)
                return false;
        info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (!info)
                return false;
        (void) shutdown(info->connect_fd, SHUT_RDWR);
        request->is_cut = true;
        return true;
}

/* Anybody may begin to send a body: as at the gate, the oldest goes first. */
static bool evict_slow(struct http_listener *listener) {
        uint64_t now_us = clock_monotonic_us();
        struct http_request *request;

        list_for_each(request, &listener->http->requests, list) {
                if (request->begin_us + SLOW_US > now_us)
                        break;
                if (request->listener == listener && cut_slow(request))
                        return true;
        }
        return false;
}

/* Make room for one more. Return: whether there is any. */
static bool make_room(struct http_listener *listener) {
        return listener->n_connections + http_gate_size(listener->gate) +
                                        tls_links_waiting(listener->links) <
                        listener->http->config.connections_max ||
                        tls_links_evict(listener->links) || http_gate_evict(listener->gate) ||
                        evict_slow(listener);
}

/* Behind the gate each has a request. */
static bool has_too_many(const struct http_listener *listener, const union address *address) {
        unsigned int max = listener->http->config.connections_per_address;
        const union MHD_ConnectionInfo *info;
        const struct http_request *request;
        size_t n;

        if (max == 0 || listener->spec.is_local || http_listener_has_tls(listener) ||
                        listener->n_connections + http_gate_size(listener->gate) < max)
                return false;
        n = http_gate_size_of(listener->gate, &address->storage);
        list_for_each(request, &listener->http->requests, list) {
                info = request->listener == listener
                                ? MHD_get_connection_info(request->connection,
                                                  MHD_CONNECTION_INFO_CLIENT_ADDRESS)
                                : NULL;
                n += info && listen_same_host((const void *) info->client_addr, &address->storage);
        }
        return n >= max;
}

static void turn_away(struct http_listener *listener, int fd, const char *message) {
        if (http_listener_has_tls(listener))
                listener->http->tls_ends[TLS_END_LIMIT]++;
        else
                http_gate_turn_away(
                                fd, MHD_HTTP_SERVICE_UNAVAILABLE, "too_many_connections", message);
        (void) close(fd);
}

static int take_in(struct http_listener *listener, int fd, const union address *address,
                socklen_t size) {
        int r;

        if (!http_listener_has_tls(listener))
                return http_gate_add(listener->gate, fd, &address->any, size);
        r = tls_links_add(listener->links, http_tls_of(&listener->http->config, &listener->spec),
                        fd, &address->any, size);
        return r == -EUSERS ? 0 : r;
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
                if (has_too_many(listener, &address)) {
                        turn_away(listener, fd, "your address has too many connections");
                        continue;
                }
                if (!make_room(listener)) {
                        turn_away(listener, fd, "all connections are in use");
                        continue;
                }
                r = take_in(listener, fd, &address, size);
                if (r < 0)
                        log_error_errno(r, "Cannot take in a connection on %s: %m",
                                        listener->address);
        }
        return 0;
}

void http_listener_drain(struct http_listener *listener) {
        struct pollfd waiting = { .fd = listener->fd, .events = POLLIN };

        for (unsigned int i = 0; i < DRAIN_TURNS && poll(&waiting, 1, 0) > 0; i++)
                (void) on_accept(listener->accept, listener->fd, EPOLLIN, listener);
}

static void on_passed(int fd, const struct sockaddr *address, socklen_t size, void *userdata) {
        struct http_listener *listener = userdata;

        if (MHD_add_connection(listener->daemon, fd, address, size) == MHD_YES)
                http_pump(listener->http);
}

static void on_opened(int fd, const struct sockaddr *address, socklen_t size, void *userdata) {
        struct http_listener *listener = userdata;

        if (!listener->gate)
                (void) close(fd);
        else if (http_gate_add(listener->gate, fd, address, size) < 0)
                log_error("Cannot take in a connection on %s", listener->address);
}

static void on_emptied(void *userdata) {
        struct http_listener *listener = userdata;

        if (listener->closing)
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
        struct http_request *request;

        list_for_each(request, &http->requests, list) {
                if (request->begin_us + ANSWER_TIMEOUT_US > now_us)
                        break;
                (void) cut_slow(request);
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

int http_listener_open(struct http *http, const struct listener *spec,
                struct http_listener **ret_listener) {
        _cleanup_(http_listener_freep) struct http_listener *listener = NULL;
        struct http_gate_config gate = { .body_max = http->config.body_max,
                .timeout_us = http->config.header_timeout_us,
                .pass = on_passed,
                .refused = on_refused,
                .emptied = on_emptied };
        struct tls_links_config links = { .timeout_us = http->config.header_timeout_us,
                .open = on_opened,
                .emptied = on_emptied,
                .counts = http->tls_ends };
        int r;

        listener = calloc(1, sizeof(*listener));
        if (!listener)
                return -ENOMEM;
        gate.userdata = links.userdata = listener;
        list_init(&listener->list);
        listener->http = http;
        listener->fd = -EBADF;
        listener->spec = *spec;
        /* everybody may connect; who may ask is decided by SO_PEERCRED, see http_request.c */
        listener->fd = listen_open(
                        spec->address, &(struct listen_options){ .mode = 0666 }, listener->address);
        if (listener->fd < 0)
                return listener->fd;
        r = http_gate_new(http->api->event, &gate, &listener->gate);
        if (r >= 0)
                r = tls_links_new(http->api->event, &links, &listener->links);
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
        http->config.tls = http->config.web_tls = NULL; /* http_stage() takes its references */
        http->config.web = NULL;
        http->api = api;
        http->log_limit = (struct log_ratelimit) HTTP_LOG_LIMIT;
        list_init(&http->requests);
        list_init(&http->sse);
        list_init(&http->sample_streams);
        list_init(&http->closing_listeners);
        r = http_metrics_new(&http->metrics);
        if (r >= 0)
                r = passwords_new(api->event, &http->passwords);
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
                http_listener_free(http->listeners[i]);
        while ((listener = list_first(&http->closing_listeners, struct http_listener, list)))
                http_listener_free(listener);
        sd_event_source_disable_unref(http->pump);
        sd_event_source_disable_unref(http->heartbeat);
        http_metrics_free(http->metrics);
        passwords_free(http->passwords); /* who waited for it is gone */
        http_drop_tls(&http->config);
        for (size_t i = 0; i < HTTP_ORIGINS_MAX; i++)
                free(http->cors_origins[i]);
        free(http->token);
        free(http);
        return NULL;
}

const char *http_address(const struct http *http, size_t i) {
        return i < http->n_listeners ? http->listeners[i]->address : NULL;
}
