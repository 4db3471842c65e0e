/* Clients of the kernel's log, each at its own place in it. */

#include "kmsg/kmsg_server.h"

#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/list.h"
#include "model/kmsg_wire.h"
#include "model/oom_line.h"

#define RECORDS_A_TURN 256

struct kmsg_server {
        struct kmsg_server_config config;
        sd_event_source *io;
        struct list clients;
        size_t n_clients;
};

struct client {
        struct list list;
        struct kmsg_server *server;
        int fd, log; /* log: not open until it has said where to begin */
        sd_event_source *io, *log_io;
        uint64_t had;      /* the record it asked from, or KMSG_WIRE_END */
        uint64_t next;     /* the record it is told next; KMSG_WIRE_END: the first that is read */
        uint64_t end;      /* behind the newest that was read; 0: none was */
        uint64_t said;     /* what it knows of next */
        uint64_t lost;     /* records, not said yet */
        uint64_t asked_us; /* CLOCK_MONOTONIC */
        bool skips_old;    /* it wants what is written from asked_us on */
        bool has_all;      /* the log was read to its end once */
        bool says_next;    /* next waits to be said */
        size_t size;       /* of the record that waits; 0: none */
        char record[KMSG_WIRE_MAX];
};

static struct client *client_free(struct client *client) {
        list_remove(&client->list);
        client->server->n_clients--;
        sd_event_source_disable_unref(client->log_io);
        sd_event_source_disable_unref(client->io);
        (void) fd_close(client->log);
        (void) fd_close(client->fd);
        free(client);
        return NULL;
}

/* ---- telling ---- */

/* Return: 1 said; 0 it has to read first; negative errno: it is gone. */
static int say(int fd, const char *packet, size_t size) {
        if (send(fd, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                return 1;
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static int say_number(int fd, const char *word, uint64_t number) {
        char packet[64];
        int n = snprintf(packet, sizeof(packet), "%s %ju", word, (uintmax_t) number);

        return say(fd, packet, (size_t) n);
}

static void say_failed(int fd, const char *what, int error) {
        char packet[256];
        int n = snprintf(packet, sizeof(packet), "failed %s%s", what,
                        error < 0 ? strerrordesc_np(-error) : "");

        (void) say(fd, packet, (size_t) n);
}

/* All that waits, in the order of the log. Return: as say(). */
static int client_flush(struct client *client) {
        int r = 1;

        if (client->lost > 0) {
                r = say_number(client->fd, "lost", client->lost);
                if (r > 0)
                        client->lost = 0;
        }
        if (r > 0 && client->size > 0) {
                r = say(client->fd, client->record, client->size);
                if (r > 0) {
                        client->size = 0;
                        client->said = client->next;
                }
        }
        if (r > 0 && client->says_next) {
                r = say_number(client->fd, "next", client->next);
                if (r > 0) {
                        client->says_next = false;
                        client->said = client->next;
                }
        }
        return r;
}

/* ---- reading ---- */

/* Sequence numbers count what was overwritten: the kernel's EPIPE does not say how much. */
static void client_take(struct client *client, const char *text, size_t size) {
        struct kmsg_record record;
        struct oom_line line;

        if (kmsg_parse(text, size, &record) < 0)
                return;
        client->end = record.sequence + 1;
        if (client->next == KMSG_WIRE_END)
                client->next = record.sequence;
        if (record.sequence < client->next)
                return;
        if (record.monotonic_us >= client->asked_us)
                client->skips_old = false; /* even if others write faster than it is read */
        if (!client->skips_old && record.sequence > client->next)
                client->lost += record.sequence - client->next - (client->next == client->had);
        client->next = record.sequence + 1;
        if (client->skips_old || record.facility != 0 || /* not 0: a process wrote it */
                        !oom_line_parse(record.text, record.text_size, &line))
                return;
        client->size = (size_t) (record.text + record.text_size - text);
        memcpy(client->record, text, client->size);
}

/* All there is has been read. A client that wants what lies behind it knows another log: it goes on
 * here. */
static void client_caught_up(struct client *client) {
        if (!client->has_all && client->end > 0)
                client->next = client->end;
        if (!client->has_all || client->next - client->said >= KMSG_SERVER_NEXT_EVERY)
                client->says_next = client->next != KMSG_WIRE_END;
        client->has_all = true;
        client->skips_old = false;
}

/* Return: 1 there may be more; 0 no more, or it has to read first; negative errno: it is over. */
static int client_read(struct client *client) {
        char text[KMSG_WIRE_MAX];
        ssize_t n;
        int r;

        n = read(client->log, text, sizeof(text));
        if (n == 0)
                return -EPIPE;
        if (n > 0)
                client_take(client, text, (size_t) n);
        else if (errno == EAGAIN)
                client_caught_up(client);
        else if (errno != EPIPE && errno != EINTR && errno != EINVAL)
                return -errno;
        r = client_flush(client);
        return r < 0 ? r : r > 0 && n > 0;
}

/* Read on, or wait until it has read what it was told. */
static int client_watch(struct client *client) {
        bool waits = client->lost > 0 || client->size > 0 || client->says_next;
        int r;

        r = sd_event_source_set_io_events(client->io, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
        return r < 0 ? r
                     : sd_event_source_set_enabled(
                                       client->log_io, waits ? SD_EVENT_OFF : SD_EVENT_ON);
}

static int on_log(sd_event_source *io, int fd, uint32_t events, void *userdata) {
        struct client *client = userdata;
        int r = 1;

        for (unsigned int i = 0; r > 0 && i < RECORDS_A_TURN; i++)
                r = client_read(client);
        if (r >= 0)
                r = client_watch(client);
        if (r < 0)
                client_free(client);
        return 0;
}

/* ---- clients ---- */

static int client_begin(struct client *client) {
        struct kmsg_server *server = client->server;
        char packet[KMSG_WIRE_ASK_MAX];
        ssize_t n;
        int r;

        n = recv(client->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (client->log >= 0 || n == 0 || (size_t) n > sizeof(packet))
                return -EPIPE; /* all was said, or it is gone */
        r = kmsg_wire_read_ask(packet, (size_t) n, &client->had);
        if (r < 0) {
                say_failed(client->fd, "not understood", 0);
                return r;
        }
        client->next = client->said = client->had;
        client->skips_old = client->had == KMSG_WIRE_END;
        client->asked_us = clock_monotonic_us();
        client->log = server->config.open_log(server->config.userdata);
        if (client->log < 0) {
                say_failed(client->fd, "cannot open the log: ", client->log);
                return client->log;
        }
        r = sd_event_add_io(server->config.event, &client->log_io, client->log, EPOLLIN, on_log,
                        client);
        return r < 0 ? r : sd_event_source_set_description(client->log_io, "log");
}

static int on_client(sd_event_source *io, int fd, uint32_t events, void *userdata) {
        struct client *client = userdata;
        int r = 0;

        if (events & (EPOLLHUP | EPOLLERR))
                r = -EPIPE;
        if (r >= 0 && events & EPOLLIN)
                r = client_begin(client);
        if (r >= 0 && events & EPOLLOUT) {
                r = client_flush(client);
                if (r > 0)
                        r = client_watch(client);
        }
        if (r < 0)
                client_free(client);
        return 0;
}

static int client_new(struct kmsg_server *server, int fd) {
        struct client *client;
        int r;

        client = calloc(1, sizeof(*client));
        if (!client)
                return -ENOMEM;
        client->server = server;
        client->log = -EBADF;
        client->fd = fd;
        list_append(&server->clients, &client->list);
        server->n_clients++;
        r = sd_event_add_io(server->config.event, &client->io, fd, EPOLLIN, on_client, client);
        if (r < 0) {
                client->fd = -EBADF; /* the caller's */
                client_free(client);
                return r;
        }
        (void) sd_event_source_set_description(client->io, "client");
        return 0;
}

static int on_connection(sd_event_source *io, int listener, uint32_t events, void *userdata) {
        struct kmsg_server *server = userdata;
        _cleanup_(fd_closep) int fd = -EBADF;

        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return 0; /* gone again, or no descriptor is left: it may come again */
        if (server->n_clients >= KMSG_SERVER_CLIENTS_MAX)
                say_failed(fd, "too many clients", 0);
        else if (client_new(server, fd) >= 0)
                (void) TAKE_FD(fd);
        return 0;
}

/* ---- the server ---- */

struct kmsg_server *kmsg_server_free(struct kmsg_server *server) {
        struct client *client, *next;

        if (!server)
                return NULL;
        list_for_each_safe(client, next, &server->clients, list)
                client_free(client);
        sd_event_source_disable_unref(server->io);
        free(server);
        return NULL;
}

int kmsg_server_new(const struct kmsg_server_config *config, struct kmsg_server **ret_server) {
        _cleanup_(kmsg_server_freep) struct kmsg_server *server = NULL;
        int r;

        server = calloc(1, sizeof(*server));
        if (!server)
                return -ENOMEM;
        server->config = *config;
        list_init(&server->clients);
        r = sd_event_add_io(config->event, &server->io, config->fd, EPOLLIN, on_connection, server);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(server->io, "listener");
        *ret_server = TAKE_PTR(server);
        return 0;
}
