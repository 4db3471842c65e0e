/* Clients of the local socket that post timeline events, each on many connections at once: how many
 * were answered 201 in a time, how long an answer took, and what it cost the server. Every answer
 * is read, and its sequence number kept for posts.py, which looks each of them up in the journal.
 * See README.md. */

#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/macro.h"
#include "base/text.h"

#define ANSWER_MAX  4096
#define REQUEST_MAX 1024
#define CLIENTS_MAX 4096
#define POSTS_MAX   4000000
#define BUCKETS     40000 /* of 50 us */
#define BUCKET_US   50
#define LENGTH      "\r\nContent-Length: "

struct options {
        const char *socket, *slug, *out;
        unsigned int clients, seconds;
};

struct client {
        struct bench *bench;
        int fd;
        size_t sent, got;
        size_t request_size, answer_size; /* answer_size 0: its head is not whole yet */
        uint64_t begin_us;
        char request[REQUEST_MAX];
        char answer[ANSWER_MAX];
};

struct bench {
        const struct options *options;
        struct sockaddr_un address;
        int epoll_fd;
        uint64_t end_us;
        struct client *clients;
        unsigned int n_open;
        uint64_t posted, stored, refused, failed, connections;
        uint64_t *seqs; /* of stored ones */
        uint64_t buckets[BUCKETS];
};

static _Noreturn void die(const char *what) {
        perror(what);
        _exit(1);
}

static void client_close(struct client *client) {
        if (client->fd < 0)
                return;
        client->fd = fd_close(client->fd);
        client->bench->n_open--;
}

/* A backlog that is full has the kernel wait, since connecting here blocks. */
static void client_connect(struct client *client) {
        struct bench *bench = client->bench;
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

        client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (client->fd < 0)
                die("socket");
        if (connect(client->fd, (const struct sockaddr *) &bench->address, sizeof(bench->address)) <
                        0)
                die("connect");
        if (epoll_ctl(bench->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
                die("epoll_ctl");
        bench->connections++;
        bench->n_open++;
}

static void client_post(struct client *client) {
        struct bench *bench = client->bench;
        char body[256];
        int n, size;

        size = snprintf(body, sizeof(body),
                        "{\"kind\":\"deploy\",\"severity\":\"info\",\"message\":\"release %" PRIu64
                        " is out\",\"metadata\":{\"commit\":\"%08" PRIx64 "\",\"by\":\"ci\"}}",
                        bench->posted, bench->posted);
        n = snprintf(client->request, sizeof(client->request),
                        "POST /api/app-gateway/events/%s HTTP/1.1\r\nHost: localhost\r\n"
                        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                        bench->options->slug, size, body);
        client->request_size = (size_t) n;
        client->got = client->answer_size = 0;
        client->begin_us = clock_monotonic_us();
        bench->posted++;
        if (client->fd < 0)
                client_connect(client);
        /* smaller than any socket's buffer */
        if (send(client->fd, client->request, client->request_size, MSG_NOSIGNAL) !=
                        (ssize_t) client->request_size) {
                bench->failed++;
                client_close(client);
        }
}

/* Digits at @text. */
static uint64_t read_number(const char *text) {
        uint64_t n = 0;

        for (; *text >= '0' && *text <= '9'; text++)
                n = n * 10 + (uint64_t) (*text - '0');
        return n;
}

static void note_answer(struct client *client) {
        static const char created[] = "HTTP/1.1 201 ";
        struct bench *bench = client->bench;
        uint64_t bucket = (clock_monotonic_us() - client->begin_us) / BUCKET_US;
        const char *seq;

        seq = strstr(client->answer, "\"seq\":");
        if (strncmp(client->answer, created, sizeof(created) - 1) != 0 || !seq) {
                bench->refused++;
                return;
        }
        bench->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
        seq += strlen("\"seq\":");
        bench->seqs[bench->stored++] = read_number(seq + strspn(seq, " "));
}

static bool is_whole(struct client *client) {
        const char *end, *length;

        client->answer[client->got] = '\0';
        if (client->answer_size == 0) {
                end = strstr(client->answer, "\r\n\r\n");
                length = strcasestr(client->answer, LENGTH);
                if (!end || !length)
                        return false;
                client->answer_size = (size_t) (end + 4 - client->answer) +
                                read_number(length + strlen(LENGTH));
        }
        return client->got >= client->answer_size;
}

static void client_read(struct client *client) {
        struct bench *bench = client->bench;
        ssize_t n = recv(client->fd, client->answer + client->got, ANSWER_MAX - 1 - client->got,
                        MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                bench->failed++;
                client_close(client);
        } else {
                client->got += (size_t) n;
                if (!is_whole(client))
                        return;
                note_answer(client);
                if (strcasestr(client->answer, "\r\nConnection: close"))
                        client_close(client);
        }
        if (clock_monotonic_us() < bench->end_us && bench->stored < POSTS_MAX)
                client_post(client);
        else
                client_close(client);
}

static void run(struct bench *bench) {
        struct epoll_event events[256];

        for (unsigned int i = 0; i < bench->options->clients; i++) {
                bench->clients[i] = (struct client){ .bench = bench, .fd = -EBADF };
                client_post(&bench->clients[i]);
        }
        while (bench->n_open > 0) {
                int n = epoll_wait(bench->epoll_fd, events, ARRAY_SIZE(events), 5000);

                if (n == 0 || (n < 0 && errno != EINTR))
                        die("no answer in 5 s");
                for (int i = 0; i < n; i++)
                        client_read(events[i].data.ptr);
        }
}

static double quantile_ms(const struct bench *bench, double q) {
        uint64_t rank = (uint64_t) (q * (double) bench->stored), seen = 0;

        for (size_t i = 0; i < BUCKETS; i++) {
                seen += bench->buckets[i];
                if (seen > rank)
                        return (double) (i + 1) * BUCKET_US / 1e3;
        }
        return 0;
}

static void tell(const struct bench *bench, uint64_t took_us) {
        FILE *out = bench->options->out ? fopen(bench->options->out, "we") : NULL;
        struct rusage usage;

        (void) getrusage(RUSAGE_SELF, &usage);
        (void) printf("{\"stored\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"failed\":%" PRIu64
                      ",\"connections\":%" PRIu64
                      ",\"seconds\":%.3f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"client_cpu\":%.3f}\n",
                        bench->stored, bench->refused, bench->failed, bench->connections,
                        (double) took_us / 1e6, quantile_ms(bench, 0.5), quantile_ms(bench, 0.99),
                        (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                                        (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) /
                                                        1e6);
        for (uint64_t i = 0; out && i < bench->stored; i++)
                (void) fprintf(out, "%" PRIu64 "\n", bench->seqs[i]);
        if (out && fclose(out) != 0)
                die(bench->options->out);
}

static unsigned int number(const char *text, uint64_t max) {
        uint64_t value;

        if (text_to_u64(text, &value) < 0 || value < 1 || value > max) {
                (void) fprintf(stderr, "%s: is a number from 1 to %" PRIu64 "\n", text, max);
                _exit(2);
        }
        return (unsigned int) value;
}

int main(int argc, char **argv) {
        struct options options = { .slug = "bench", .clients = 256, .seconds = 10 };
        static struct bench bench;
        uint64_t begin_us;
        int option;

        while ((option = getopt(argc, argv, "p:n:s:o:")) >= 0) {
                if (option == 'p')
                        options.socket = optarg;
                else if (option == 'n')
                        options.clients = number(optarg, CLIENTS_MAX);
                else if (option == 's')
                        options.seconds = number(optarg, 3600);
                else if (option == 'o')
                        options.out = optarg;
                else
                        return 2;
        }
        if (!options.socket || strlen(options.socket) >= sizeof(bench.address.sun_path)) {
                (void) fprintf(stderr, "-p PATH of the socket, -n clients, -s seconds, -o FILE\n");
                return 2;
        }
        bench.options = &options;
        bench.address.sun_family = AF_UNIX;
        (void) snprintf(bench.address.sun_path, sizeof(bench.address.sun_path), "%s",
                        options.socket);
        bench.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        bench.clients = calloc(options.clients, sizeof(*bench.clients));
        bench.seqs = calloc(POSTS_MAX, sizeof(*bench.seqs));
        if (bench.epoll_fd < 0 || !bench.clients || !bench.seqs)
                die("set up");
        begin_us = clock_monotonic_us();
        bench.end_us = begin_us + options.seconds * USEC_PER_SEC;
        run(&bench);
        tell(&bench, clock_monotonic_us() - begin_us);
        free(bench.clients);
        free(bench.seqs);
        return bench.failed > 0 || bench.refused > 0;
}
