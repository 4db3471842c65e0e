#pragma once
/* A real server (journal, feed, tracker, HTTP) on a thread with a loop of its own, and a raw socket
 * client. All in a header, since every test of this folder is one file. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/http.h"
#include "base/clock.h"
#include "base/json.h"
#include "engine/apps.h"
#include "engine/counters.h"
#include "engine/feed.h"
#include "engine/refusals.h"
#include "engine/tokens.h"
#include "engine/tracker.h"
#include "store/journal.h"
#include "test.h"

#define FIXTURE_TOKEN "vw_secret"

struct fixture {
        char folder[32], address[64], socket_address[64];
        struct http_config config;
        size_t feed_max;    /* events the feed keeps */
        size_t detail_size; /* of what events carry with them; 0: nothing */
        pthread_t thread;
        int command[2], reply[2];
};

/* What lives on the server's thread. */
struct server {
        struct fixture *fixture;
        struct api_context api;
        struct http *http;
        uint64_t published, wanted;
        enum event_kind kind;
};

struct command {
        char what; /* 'p' publish, 'q' quit */
        enum event_kind kind;
        unsigned int n;
};

static void server_on_committed(struct event *const *events, size_t n, void *userdata) {
        struct server *server = userdata;

        for (size_t i = 0; i < n; i++)
                counters_add(server->api.counters, events[i]);
        feed_publish(server->api.feed, events, n);
        server->published += n;
        if (server->wanted && server->published == server->wanted) {
                server->wanted = 0;
                assert_int_equal(write(server->fixture->reply[1], "p", 1), 1);
        }
}

/* NULL: none. */
static struct json_object *server_details(const struct server *server) {
        const size_t size = server->fixture->detail_size;
        struct json_object *details = NULL;
        char *text;

        if (size == 0)
                return NULL;
        text = malloc(size + 1);
        assert_non_null(text);
        memset(text, 'x', size);
        text[size] = '\0';
        details = json_object_new_object();
        assert_int_equal(json_add_string(details, "detail", text), 0);
        free(text);
        return details;
}

static void server_publish(struct server *server, const struct command *command) {
        for (unsigned int i = 0; i < command->n; i++) {
                struct journal_entry entry = {};
                char name[32];

                (void) snprintf(name, sizeof(name), "w%u", i);
                assert_int_equal(event_new(&(struct event_fields){ .time_us = clock_realtime_us(),
                                                           .kind = command->kind,
                                                           .name = name,
                                                           .action = "started",
                                                           .details = server_details(server) },
                                                 &entry.event),
                                0);
                assert_int_equal(journal_append(server->api.journal, &entry), 0);
        }
        server->wanted = server->published + command->n;
}

static int server_on_command(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct server *server = userdata;
        struct command command;

        assert_int_equal(read(fd, &command, sizeof(command)), sizeof(command));
        if (command.what == 'q')
                return sd_event_exit(server->api.event, 0);
        server_publish(server, &command);
        return 0;
}

static int server_no_emit(const struct tracker_output *output, void *userdata) {
        event_unref(output->event);
        return 0;
}

static void server_no_tell(struct event *event, void *userdata) {
}

static int server_source_stats(
                const char *name, struct api_source_stats *ret_stats, void *userdata) {
        *ret_stats = (struct api_source_stats){ .raw_events = 7 };
        return 0;
}

static void server_add_workload(struct server *server) {
        struct fact fact = FACT_INIT(FACT_WORKLOAD);

        fact.workload.kind = WORKLOAD_CONTAINER;
        fact.workload.native_id = "ns/id";
        fact.workload.name = "we\"b\n</script>";
        fact.workload.state = STATE_RUNNING;
        assert_int_equal(tracker_add_source(server->api.tracker, "docker", true, false), 0);
        tracker_post(server->api.tracker, "docker", &fact);
}

static void *server_run(void *userdata) {
        struct fixture *f = userdata;
        struct server server = { .fixture = f, .api = { .node_name = "node" } };
        const struct tracker_config tracker = { .workloads_max = 100, .origins_max = 100 };
        const struct tracker_hooks hooks = { .emit = server_no_emit };
        struct api_context *api = &server.api;
        char path[64];
        const char *address;

        (void) snprintf(path, sizeof(path), "%s/events.db", f->folder);
        api->started_us = clock_monotonic_us();
        api->heartbeat_us = UINT64_MAX / 2; /* nobody beats here */
        api->source_stats = server_source_stats;
        assert_true(sd_event_new(&api->event) >= 0);
        assert_int_equal(counters_new(&api->counters), 0);
        assert_int_equal(apps_new(&api->apps), 0);
        assert_int_equal(feed_new(f->feed_max, 8U << 20, &api->feed), 0);
        assert_int_equal(tracker_new(&tracker, api->event, &hooks, &api->tracker), 0);
        assert_int_equal(journal_open(&(struct journal_config){ .path = path }, api->event,
                                         server_on_committed, &server, &api->journal),
                        0);
        assert_int_equal(tokens_new(&(struct tokens_hooks){}, &api->tokens), 0);
        assert_int_equal(refusals_new(server_no_tell, NULL, &api->refusals), 0);
        feed_set_last_seq(api->feed, journal_last_seq(api->journal));
        server_add_workload(&server);
        assert_int_equal(http_new(&f->config, api, &server.http, &address), 0);
        assert_true(sd_event_add_io(api->event, NULL, f->command[0], EPOLLIN, server_on_command,
                                    &server) >= 0);
        (void) snprintf(f->address, sizeof(f->address), "%s", http_address(server.http, 0));
        assert_int_equal(write(f->reply[1], "s", 1), 1);

        assert_int_equal(sd_event_loop(api->event), 0);

        http_free(server.http);
        journal_close(api->journal);
        tokens_free(api->tokens);
        refusals_free(api->refusals);
        tracker_free(api->tracker);
        feed_free(api->feed);
        counters_free(api->counters);
        apps_free(api->apps);
        sd_event_unref(api->event);
        return NULL;
}

static void fixture_await(struct fixture *f, char what) {
        struct pollfd ready = { .fd = f->reply[0], .events = POLLIN };
        char got = 0;

        assert_int_equal(poll(&ready, 1, 20000), 1);
        assert_int_equal(read(f->reply[0], &got, 1), 1);
        assert_int_equal(got, what);
}

/** Make the folder and the usual settings; change f->config and f->feed_max before fixture_start().
 */
static inline void fixture_init(struct fixture *f) {
        *f = (struct fixture){ .feed_max = 1000,
                .config = { .token = FIXTURE_TOKEN,
                                .connections_max = 200,
                                .sse_readers_max = 100,
                                .body_max = 1000,
                                .header_timeout_us = 2 * USEC_PER_SEC,
                                .sse_heartbeat_us = USEC_PER_SEC } };
        (void) snprintf(f->folder, sizeof(f->folder), "/tmp/vwhXXXXXX");
        assert_non_null(mkdtemp(f->folder));
        (void) snprintf(f->socket_address, sizeof(f->socket_address), "unix:%s/s", f->folder);
}

static inline void fixture_start(struct fixture *f) {
        f->config.addresses[0] = "127.0.0.1:0";
        f->config.addresses[1] = f->socket_address;
        f->config.n_addresses = 2;
        assert_int_equal(pipe2(f->command, O_CLOEXEC), 0);
        assert_int_equal(pipe2(f->reply, O_CLOEXEC), 0);
        assert_int_equal(pthread_create(&f->thread, NULL, server_run, f), 0);
        fixture_await(f, 's');
}

static inline void fixture_halt(struct fixture *f) {
        struct command quit;

        memset(&quit, 0, sizeof(quit));
        quit.what = 'q';
        assert_int_equal(write(f->command[1], &quit, sizeof(quit)), sizeof(quit));
        assert_int_equal(pthread_join(f->thread, NULL), 0);
        for (size_t i = 0; i < 2; i++) {
                (void) close(f->command[i]);
                (void) close(f->reply[i]);
        }
}

static int fixture_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static inline void fixture_stop(struct fixture *f) {
        fixture_halt(f);
        assert_int_equal(nftw(f->folder, fixture_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/** Returns when the events are durable and in the feed. */
static inline void fixture_publish(struct fixture *f, enum event_kind kind, unsigned int n) {
        struct command command;

        memset(&command, 0, sizeof(command)); /* what lies between the fields is sent as well */
        command.what = 'p';
        command.kind = kind;
        command.n = n;
        assert_int_equal(write(f->command[1], &command, sizeof(command)), sizeof(command));
        fixture_await(f, 'p');
}

union fixture_address {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_un un;
};

static inline int fixture_connect(const struct fixture *f) {
        union fixture_address address = { .in.sin_family = AF_INET };
        const char *colon = strrchr(f->address, ':');
        uint16_t port = 0;
        int fd;

        assert_non_null(colon);
        for (const char *c = colon + 1; *c; c++)
                port = (uint16_t) (port * 10 + (*c - '0'));
        address.in.sin_port = htons(port);
        address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, &address.any, sizeof(address.in)), 0);
        return fd;
}

static inline int fixture_connect_unix(const struct fixture *f) {
        union fixture_address address = { .un.sun_family = AF_UNIX };
        int fd;

        (void) snprintf(address.un.sun_path, sizeof(address.un.sun_path), "%s",
                        f->socket_address + strlen("unix:"));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, &address.any, sizeof(address.un)), 0);
        return fd;
}

/** Read until the peer closes, @until is in the text or @wait_ms pass without a byte. Return:
 * whether the peer has closed. */
static inline bool fixture_read(int fd, char *to, size_t size, const char *until, int wait_ms) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        size_t used = 0;
        ssize_t n;

        to[0] = '\0';
        while (used < size - 1 && !(until && strstr(to, until)) && poll(&ready, 1, wait_ms) == 1) {
                n = read(fd, to + used, size - 1 - used);
                if (n <= 0)
                        return true;
                used += (size_t) n;
                to[used] = '\0';
        }
        return false;
}

static inline void fixture_send(int fd, const char *data, size_t size) {
        assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

/** Send the text and read the whole answer, at whose end the server closes. */
static inline void fixture_ask(int fd, const char *request, char *to, size_t to_size) {
        fixture_send(fd, request, strlen(request));
        assert_true(fixture_read(fd, to, to_size, NULL, 5000));
        (void) close(fd);
}

/** GET @path with the token and @headers ("" or lines that end in CR LF) and read it all. */
static inline void fixture_get(const struct fixture *f, const char *path, const char *headers,
                char *to, size_t size) {
        char request[1024];

        (void) snprintf(request, sizeof(request),
                        "GET %s HTTP/1.1\r\nHost: x\r\n"
                        "Authorization: Bearer " FIXTURE_TOKEN "\r\n%s\r\n",
                        path, headers);

        fixture_ask(fixture_connect(f), request, to, size);
}
