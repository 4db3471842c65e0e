/* Journal, feed and SSE under load: a server in one process, its readers in another. Prints what
 * was made durable, what each reader got and missed, how long an event took from its creation to
 * the reader's memory, and what it cost. See README.md. */

#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "api/http.h"
#include "base/clock.h"
#include "base/json.h"
#include "engine/apps.h"
#include "engine/counters.h"
#include "engine/feed.h"
#include "engine/tracker.h"
#include "store/journal.h"

#define TOKEN        "bench"
#define TICK_US      (1 * USEC_PER_MSEC)
#define HEARTBEAT_US (500 * USEC_PER_MSEC)
#define EVENTS_MAX   4000000
#define BUCKETS      20000 /* of 50 us */
#define BUCKET_US    50
#define CARRY_MAX    32
#define RECV_SIZE    (256U * 1024)
#define DRAIN_US     (20 * USEC_PER_SEC)

struct options {
        unsigned int rate, readers, stalled, seconds;
        const char *folder;
        const char *peer; /* HOST:PORT of another server: events are POSTed to its /pub and read
                           * from its /sub, whose ids are its own; NULL: ours */
};

/* Written by the server, read by the readers. */
struct shared {
        uint64_t first_seq;
        uint64_t created_us[EVENTS_MAX]; /* by number, CLOCK_MONOTONIC */
};

struct report {
        uint64_t appended, refused, committed, transactions, took_us, user_us, system_us, rss_kib;
};

/* ---- the server ---- */

struct server {
        const struct options *options;
        struct shared *shared;
        struct api_context api;
        struct http *http;
        sd_event_source *timer;
        uint64_t begin_us, appended, refused, durable_us;
        int channel;
        struct rusage at_begin;
};

static _Noreturn void die(const char *what) {
        perror(what);
        _exit(1);
}

static void must(int r, const char *what) {
        if (r < 0) {
                errno = -r;
                die(what);
        }
}

static struct event *make_event(uint64_t i) {
        struct json_object *details = json_object_new_object();
        struct event *event;
        char name[32], id[65];

        (void) snprintf(name, sizeof(name), "worker-%04" PRIu64, i % 1000);
        (void) snprintf(id, sizeof(id), "%064" PRIx64, i % 1000);
        (void) json_add_int(details, "exit_code", 3);
        (void) json_add_string(details, "reason", "exit-code");
        (void) json_add_string(details, "confidence", "confirmed");
        (void) json_add_string(details, "runtime", "docker");
        must(event_new(&(struct event_fields){ .time_us = clock_realtime_us(),
                                       .kind = EVENT_CONTAINER,
                                       .severity = SEVERITY_ERROR,
                                       .name = name,
                                       .action = "died",
                                       .message = "exited with code 3",
                                       .workload = id,
                                       .source = "docker",
                                       .origin = name,
                                       .details = details },
                             &event),
                        "event");
        return event;
}

static uint64_t us_of(struct timeval time) {
        return (uint64_t) time.tv_sec * USEC_PER_SEC + (uint64_t) time.tv_usec;
}

static void send_report(struct server *server) {
        struct journal_stats stats;
        struct rusage usage;
        struct report report;

        journal_get_stats(server->api.journal, &stats);
        (void) getrusage(RUSAGE_SELF, &usage);
        report = (struct report){
                .appended = server->appended,
                .refused = server->refused,
                .committed = stats.committed,
                .transactions = stats.transactions,
                .took_us = server->durable_us - server->begin_us,
                .user_us = us_of(usage.ru_utime) - us_of(server->at_begin.ru_utime),
                .system_us = us_of(usage.ru_stime) - us_of(server->at_begin.ru_stime),
                .rss_kib = (uint64_t) usage.ru_maxrss,
        };
        if (write(server->channel, &report, sizeof(report)) != sizeof(report))
                die("report");
}

static void on_committed(struct event *const *events, size_t n, void *userdata) {
        struct server *server = userdata;

        for (size_t i = 0; i < n; i++)
                counters_add(server->api.counters, events[i]);
        feed_publish(server->api.feed, events, n);
        server->durable_us = clock_monotonic_us();
        if (!server->timer && feed_last_seq(server->api.feed) == server->appended)
                send_report(server);
}

static int on_tick(sd_event_source *source, uint64_t time_us, void *userdata) {
        struct server *server = userdata;
        uint64_t now_us = clock_monotonic_us(), due;

        due = (now_us - server->begin_us) * server->options->rate / USEC_PER_SEC;
        while (server->appended < due && server->appended + 1 < EVENTS_MAX) {
                struct journal_entry entry = { .event = make_event(server->appended) };

                server->shared->created_us[server->appended + 1] = clock_monotonic_us();
                if (journal_append(server->api.journal, &entry) < 0) {
                        server->refused++;
                        break;
                }
                server->appended++;
        }
        if (now_us - server->begin_us > server->options->seconds * USEC_PER_SEC) {
                server->timer = sd_event_source_disable_unref(server->timer);
                return 0;
        }
        (void) sd_event_source_set_time_relative(source, TICK_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* As the manager does. */
static int on_heartbeat(sd_event_source *source, uint64_t time_us, void *userdata) {
        struct server *server = userdata;

        if (feed_trim(server->api.feed, 1000) > 1000)
                (void) malloc_trim(0);
        (void) sd_event_source_set_time_relative(source, HEARTBEAT_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_channel(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct server *server = userdata;
        char what;

        if (read(fd, &what, 1) != 1 || what == 'q')
                return sd_event_exit(server->api.event, 0);
        server->begin_us = clock_monotonic_us();
        (void) getrusage(RUSAGE_SELF, &server->at_begin);
        return sd_event_add_time_relative(
                        server->api.event, &server->timer, CLOCK_MONOTONIC, 0, 1, on_tick, server);
}

static int no_emit(const struct tracker_output *output, void *userdata) {
        event_unref(output->event);
        return 0;
}

static int no_stats(const char *name, struct api_source_stats *ret_stats, void *userdata) {
        return -ENOENT;
}

static void serve(const struct options *options, struct shared *shared, int channel) {
        struct server server = { .options = options, .shared = shared, .channel = channel };
        const struct tracker_config tracker = { .workloads_max = 100, .origins_max = 100 };
        const struct tracker_hooks hooks = { .emit = no_emit };
        struct http_config config = { .addresses = { "127.0.0.1:0" },
                .n_addresses = 1,
                .token = TOKEN,
                .connections_max = 16384,
                .sse_readers_max = 16384,
                .body_max = 1U << 20,
                .header_timeout_us = 10 * USEC_PER_SEC,
                .sse_heartbeat_us = 15 * USEC_PER_SEC };
        struct api_context *api = &server.api;
        char path[256], address[64] = {};
        const char *refused;

        (void) snprintf(path, sizeof(path), "%s/events.db", options->folder);
        api->node_name = "bench";
        api->source_stats = no_stats;
        api->started_us = clock_monotonic_us();
        api->heartbeat_us = UINT64_MAX / 2; /* nobody beats here */
        must(sd_event_new(&api->event), "loop");
        must(counters_new(&api->counters), "counters");
        must(apps_new(&api->apps), "apps");
        must(feed_new(65536, 64U << 20, &api->feed), "feed"); /* as the daemon has it */
        must(tracker_new(&tracker, api->event, &hooks, &api->tracker), "tracker");
        must(journal_open(&(struct journal_config){ .path = path }, api->event, on_committed,
                             &server, &api->journal),
                        "journal");
        must(http_new(&config, api, &server.http, &refused), "http");
        must(sd_event_add_time_relative(api->event, NULL, CLOCK_MONOTONIC, HEARTBEAT_US, 0,
                             on_heartbeat, &server),
                        "heartbeat");
        must(sd_event_add_io(api->event, NULL, channel, EPOLLIN, on_channel, &server), "channel");
        (void) snprintf(address, sizeof(address), "%s", http_address(server.http, 0));
        if (write(channel, address, sizeof(address)) != sizeof(address))
                die("address");
        must(sd_event_loop(api->event), "loop");
        http_free(server.http);
        journal_close(api->journal);
        tracker_free(api->tracker);
        feed_free(api->feed);
        counters_free(api->counters);
        apps_free(api->apps);
        sd_event_unref(api->event);
}

/* ---- the readers ---- */

struct reader {
        int fd;
        bool stalled;
        uint64_t last_seq, got, missed;
        size_t n_carry;
        char carry[CARRY_MAX];
};

struct readers {
        const struct shared *shared;
        struct reader *all;
        size_t n;
        int epoll_fd;
        bool is_peer; /* its events are told apart by their order */
        uint64_t latencies[BUCKETS + 1], n_latencies, warnings;
        unsigned int n_ready;
        char buffer[CARRY_MAX + RECV_SIZE];
};

static void note_event(
                struct readers *readers, struct reader *reader, uint64_t seq, uint64_t now_us) {
        uint64_t bucket;

        if (seq > reader->last_seq + 1)
                reader->missed += seq - reader->last_seq - 1;
        reader->last_seq = seq;
        reader->got++;
        bucket = (now_us - readers->shared->created_us[seq]) / BUCKET_US;
        readers->latencies[bucket < BUCKETS ? bucket : BUCKETS]++;
        readers->n_latencies++;
}

/* Take whole "id: N" lines; the tail of what may become one is carried. */
static void read_some(struct readers *readers, struct reader *reader) {
        char *text = readers->buffer, *end, *line, *newline;
        uint64_t now_us;
        ssize_t n;

        memcpy(text, reader->carry, reader->n_carry);
        n = recv(reader->fd, text + reader->n_carry, RECV_SIZE, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
                return;
        if (n <= 0)
                die("a stream has ended");
        now_us = clock_monotonic_us();
        end = text + reader->n_carry + n;
        for (line = text; (newline = memchr(line, '\n', (size_t) (end - line)));
                        line = newline + 1) {
                if (newline - line > 4 && memcmp(line, "id: ", 4) == 0)
                        note_event(readers, reader,
                                        readers->is_peer ? reader->last_seq + 1
                                                         : strtoull(line + 4, NULL, 10),
                                        now_us);
                else if ((newline - line == 11 && memcmp(line, ": virtwatch", 11) == 0) ||
                                (newline - line == 4 && memcmp(line, ": hi", 4) == 0))
                        readers->n_ready += 1;
                else if (newline - line > 16 && memcmp(line, "data: {\"warning\"", 16) == 0)
                        readers->warnings++;
        }
        reader->n_carry = (size_t) (end - line);
        if (reader->n_carry > CARRY_MAX)
                reader->n_carry = CARRY_MAX; /* inside a data line: only that it is no id matters */
        memcpy(reader->carry, line, reader->n_carry);
}

/* ---- another server's publisher ---- */

static int connect_to(const char *address, bool stalled) {
        const char *colon = strrchr(address, ':');
        const int small = 4096;
        union {
                struct sockaddr any;
                struct sockaddr_in in;
        } to = { .in.sin_family = AF_INET };
        int fd;

        to.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.in.sin_port = htons((uint16_t) strtoul(colon + 1, NULL, 10));
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                die("socket");
        if (stalled)
                (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        if (connect(fd, &to.any, sizeof(to.in)) < 0)
                die("connect");
        return fd;
}

static size_t put_request(const struct options *options, uint64_t i, char *to, size_t size) {
        _cleanup_(event_unrefp) struct event *event = make_event(i);

        must(event_set_seq(event, i + 1), "event");
        return (size_t) snprintf(to, size,
                        "POST /pub HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n%s",
                        event->json_size, event->json);
}

/* One connection, requests one behind the other, as fast as the rate wants and the server lets. */
static void publish(const struct options *options, struct shared *shared, int channel) {
        char address[64] = {}, what, text[2048];
        struct report report = {};
        uint64_t begin_us;
        int fd;

        (void) snprintf(address, sizeof(address), "%s", options->peer);
        fd = connect_to(options->peer, false);
        if (write(channel, address, sizeof(address)) != sizeof(address) ||
                        read(channel, &what, 1) != 1)
                die("channel");
        begin_us = clock_monotonic_us();
        while (clock_monotonic_us() - begin_us < options->seconds * USEC_PER_SEC &&
                        report.appended + 100 < EVENTS_MAX) {
                uint64_t due = (clock_monotonic_us() - begin_us) * options->rate / USEC_PER_SEC;

                for (unsigned int i = 0; i < 100 && report.appended < due; i++) {
                        size_t size = put_request(options, report.appended, text, sizeof(text));

                        shared->created_us[++report.appended] = clock_monotonic_us();
                        if (send(fd, text, size, MSG_NOSIGNAL) != (ssize_t) size)
                                die("the peer takes no more");
                        while (recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0)
                                ;
                }
                if (report.appended >= due)
                        (void) usleep(TICK_US);
        }
        report.committed = report.appended;
        report.took_us = clock_monotonic_us() - begin_us;
        if (write(channel, &report, sizeof(report)) != sizeof(report))
                die("report");
        while (read(channel, &what, 1) == 1 && what != 'q')
                ;
}

static void pump(struct readers *readers, int wait_ms) {
        struct epoll_event events[256];
        int n = epoll_wait(readers->epoll_fd, events, ARRAY_SIZE(events), wait_ms);

        for (int i = 0; i < n; i++)
                if (events[i].data.ptr)
                        read_some(readers, events[i].data.ptr);
}

static int connect_reader(const struct options *options, const char *address, bool stalled) {
        char request[256];
        int fd, size;

        size = snprintf(request, sizeof(request),
                        "GET %s HTTP/1.0\r\nHost: x\r\nAccept: text/event-stream\r\n"
                        "Authorization: Bearer " TOKEN "\r\n\r\n",
                        options->peer ? "/sub" : "/api/v1/events");
        fd = connect_to(address, stalled);
        if (send(fd, request, (size_t) size, MSG_NOSIGNAL) != size)
                die("send");
        return fd;
}

static void connect_all(
                struct readers *readers, const struct options *options, const char *address) {
        readers->n = options->readers + options->stalled;
        readers->all = calloc(readers->n, sizeof(readers->all[0]));
        readers->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (!readers->all || readers->epoll_fd < 0)
                die("readers");
        for (size_t i = 0; i < readers->n; i++) {
                struct reader *reader = &readers->all[i];
                struct epoll_event wanted = { .events = EPOLLIN, .data.ptr = reader };

                reader->stalled = i >= options->readers;
                reader->fd = connect_reader(options, address, reader->stalled);
                if (!reader->stalled &&
                                epoll_ctl(readers->epoll_fd, EPOLL_CTL_ADD, reader->fd, &wanted) <
                                                0)
                        die("epoll");
        }
        while (readers->n_ready < options->readers)
                pump(readers, 50);
}

static bool all_have(const struct readers *readers, uint64_t seq) {
        for (size_t i = 0; i < readers->n; i++)
                if (!readers->all[i].stalled && readers->all[i].last_seq < seq)
                        return false;
        return true;
}

static double percentile_ms(const struct readers *readers, double part) {
        uint64_t wanted = (uint64_t) ((double) readers->n_latencies * part), seen = 0;

        for (size_t i = 0; i <= BUCKETS; i++) {
                seen += readers->latencies[i];
                if (seen > wanted)
                        return (double) (i + 1) * BUCKET_US / 1000;
        }
        return 0;
}

static bool print_result(const struct options *options, const struct readers *readers,
                const struct report *report, uint64_t took_us) {
        uint64_t got = 0, missed = 0, complete = 0;
        struct rusage usage;

        for (size_t i = 0; i < readers->n; i++) {
                if (readers->all[i].stalled)
                        continue;
                got += readers->all[i].got;
                missed += readers->all[i].missed + report->appended - readers->all[i].last_seq;
                complete += readers->all[i].got == report->appended;
        }
        (void) getrusage(RUSAGE_SELF, &usage);
        (void) printf("%-10s %" PRIu64 " events %s in %.2f s: %.0f/s (wanted %u/s), %" PRIu64
                      " transactions, %" PRIu64 " refused\n",
                        options->peer ? "peer" : "virtwatch", report->committed,
                        options->peer ? "taken" : "durable", (double) report->took_us / 1e6,
                        (double) report->committed * 1e6 / (double) report->took_us, options->rate,
                        report->transactions, report->refused);
        (void) printf("           %u readers and %u that never read: %" PRIu64
                      " of %u got all, %" PRIu64 " missed, %" PRIu64
                      " warnings, %.0f deliveries/s\n",
                        options->readers, options->stalled, complete, options->readers, missed,
                        readers->warnings, (double) got * 1e6 / (double) took_us);
        (void) printf("           creation to reader: median %.2f ms, p99 %.2f ms, max %.2f ms\n",
                        percentile_ms(readers, 0.5), percentile_ms(readers, 0.99),
                        percentile_ms(readers, 0.9999999));
        if (!options->peer)
                (void) printf("           server %.0f %% of a core (%.0f user, %.0f system), %" PRIu64
                              " MiB at most\n",
                                (double) (report->user_us + report->system_us) * 100 /
                                                (double) took_us,
                                (double) report->user_us * 100 / (double) took_us,
                                (double) report->system_us * 100 / (double) took_us,
                                report->rss_kib / 1024);
        (void) printf("           readers %.0f %% of a core\n",
                        (double) (us_of(usage.ru_utime) + us_of(usage.ru_stime)) * 100 /
                                        (double) took_us);
        return missed == 0 && complete == options->readers &&
                        (double) report->committed * 1e6 / (double) report->took_us >
                        options->rate * 0.97;
}

static bool run_readers(const struct options *options, const struct shared *shared, int channel) {
        struct readers *readers = calloc(1, sizeof(*readers));
        uint64_t begin_us, end_us = 0;
        struct report report = {};
        char address[64];
        bool good;

        if (!readers || read(channel, address, sizeof(address)) != sizeof(address))
                die("address");
        readers->shared = shared;
        readers->is_peer = options->peer;
        connect_all(readers, options, address);

        struct epoll_event wanted = { .events = EPOLLIN };
        if (epoll_ctl(readers->epoll_fd, EPOLL_CTL_ADD, channel, &wanted) < 0 ||
                        write(channel, "g", 1) != 1)
                die("go");
        begin_us = clock_monotonic_us();
        while (!report.appended || !all_have(readers, report.appended)) {
                pump(readers, 10);
                if (!report.appended) {
                        ssize_t n = recv(channel, &report, sizeof(report), MSG_DONTWAIT);

                        if (n == 0)
                                die("the other side is gone");
                        if (n > 0)
                                end_us = clock_monotonic_us();
                }
                if (end_us && clock_monotonic_us() - end_us > DRAIN_US)
                        break;
        }
        good = print_result(options, readers, &report, clock_monotonic_us() - begin_us);
        for (size_t i = 0; i < readers->n; i++)
                (void) close(readers->all[i].fd);
        (void) !write(channel, "q", 1);
        free(readers->all);
        free(readers);
        return good;
}

int main(int argc, char **argv) {
        struct options options = { .rate = 20000, .readers = 100, .seconds = 10 };
        char folder[] = "/tmp/vwbXXXXXX", path[64];
        struct shared *shared;
        int channel[2], option;
        bool good;
        pid_t pid;

        while ((option = getopt(argc, argv, "r:n:x:s:p:")) != -1) {
                unsigned int value = (unsigned int) strtoul(optarg ? optarg : "0", NULL, 10);

                switch (option) {
                case 'r':
                        options.rate = value;
                        break;
                case 'n':
                        options.readers = value;
                        break;
                case 'x':
                        options.stalled = value;
                        break;
                case 'p':
                        options.peer = optarg;
                        break;
                case 's':
                        options.seconds = value;
                        break;
                default:
                        (void) fprintf(stderr,
                                        "Usage: %s [-r EVENTS_PER_SECOND] [-n READERS] [-x STALLED_READERS] [-s SECONDS] [-p HOST:PORT]\n",
                                        argv[0]);
                        return 2;
                }
        }
        options.folder = mkdtemp(folder);
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                        0);
        if (!options.folder || shared == MAP_FAILED ||
                        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
                die("setup");

        pid = fork();
        if (pid < 0)
                die("fork");
        if (pid == 0) {
                (void) close(channel[0]);
                if (options.peer)
                        publish(&options, shared, channel[1]);
                else
                        serve(&options, shared, channel[1]);
                _exit(0);
        }
        (void) close(channel[1]);
        good = run_readers(&options, shared, channel[0]);
        (void) waitpid(pid, NULL, 0);
        for (const char *const *name = (const char *const[]){ "", "-wal", "-shm", NULL }; *name;
                        name++) {
                (void) snprintf(path, sizeof(path), "%s/events.db%s", folder, *name);
                (void) unlink(path);
        }
        (void) rmdir(folder);
        return good ? 0 : 1;
}
