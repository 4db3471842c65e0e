/* One entry a connection, in two lists by age: those whose head is awaited, and those that were
 * refused and are read empty for a moment, because closing a socket with unread bytes in it would
 * take the answer away from the client. One timer serves both. Edge-triggered: peeking leaves the
 * bytes there, and level-triggered readiness would never end. */

#include "api/http_gate.h"

#include <string.h>
#include <sys/epoll.h>

#include "base/list.h"
#include "base/listen.h"
#include "base/log.h"

#define LINGER_US    USEC_PER_SEC
#define LINGER_READS 16 /* of the gate's buffer, per wake-up */

union address {
        struct sockaddr any;
        struct sockaddr_storage storage;
};

struct entry {
        struct list list;
        struct http_gate *gate;
        int fd;
        bool lingering;
        size_t seen; /* bytes peeked at last time */
        uint64_t since_us;
        sd_event_source *io;
        socklen_t address_size;
        union address address;
};

struct http_gate {
        struct http_gate_config config;
        sd_event *event;
        sd_event_source *timer;
        struct list waiting;   /* of struct entry, oldest first */
        struct list lingering; /* of struct entry, oldest first */
        size_t size;
        char buffer[HTTP_HEAD_MAX + 1];
};

static const char *status_text(unsigned int status) {
        switch (status) {
        case 408:
                return "Request Timeout";
        case 411:
                return "Length Required";
        case 413:
                return "Content Too Large";
        case 414:
                return "URI Too Long";
        case 417:
                return "Expectation Failed";
        case 431:
                return "Request Header Fields Too Large";
        case 501:
                return "Not Implemented";
        case 503:
                return "Service Unavailable";
        case 505:
                return "HTTP Version Not Supported";
        default:
                return "Bad Request";
        }
}

void http_gate_turn_away(int fd, unsigned int status, const char *code, const char *message) {
        char body[256], answer[640];
        int size;

        /* code and message are constants of ours that need no escaping */
        size = snprintf(body, sizeof(body), "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n",
                        code, message);
        assert(size > 0 && (size_t) size < sizeof(body));
        size = snprintf(answer, sizeof(answer),
                        "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                        "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s",
                        status, status_text(status), size, body);
        assert(size > 0 && (size_t) size < sizeof(answer));

        /* a fresh socket's buffer takes this whole; a peer that is gone needs no answer */
        (void) send(fd, answer, (size_t) size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static struct entry *entry_free(struct entry *entry) {
        struct http_gate *gate;

        if (!entry)
                return NULL;

        gate = entry->gate;
        list_remove(&entry->list);
        gate->size--;
        (void) sd_event_source_disable_unref(entry->io);
        entry->fd = fd_close(entry->fd);
        free(entry);
        if (gate->size == 0)
                gate->config.emptied(gate->config.userdata);
        return NULL;
}

static void arm_timer(struct http_gate *gate) {
        const struct entry *waiting = list_first(&gate->waiting, struct entry, list);
        const struct entry *lingering = list_first(&gate->lingering, struct entry, list);
        uint64_t next_us = USEC_INFINITY;
        int r;

        if (waiting)
                next_us = waiting->since_us + gate->config.timeout_us;
        if (lingering && lingering->since_us + LINGER_US < next_us)
                next_us = lingering->since_us + LINGER_US;

        if (next_us == USEC_INFINITY) {
                (void) sd_event_source_set_enabled(gate->timer, SD_EVENT_OFF);
                return;
        }
        r = sd_event_source_set_time(gate->timer, next_us);
        if (r >= 0)
                r = sd_event_source_set_enabled(gate->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                (void) log_error_errno(r, "Cannot arm the timer for slow HTTP clients: %m");
}

static uint64_t now_us(const struct http_gate *gate) {
        uint64_t now = 0;

        (void) sd_event_now(gate->event, CLOCK_MONOTONIC, &now);
        return now;
}

/* Read what the client still sends until it closes. Return: whether it is over. */
static bool entry_drain(const struct entry *entry) {
        for (unsigned int i = 0; i < LINGER_READS; i++) {
                ssize_t n = recv(entry->fd, entry->gate->buffer, sizeof(entry->gate->buffer),
                                MSG_DONTWAIT);

                if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                        return true;
                if (n < 0)
                        return false;
        }
        return false;
}

static void entry_refuse(struct entry *entry, const struct http_head *head) {
        struct http_gate *gate = entry->gate;

        http_gate_turn_away(entry->fd, head->status, head->code, head->message);
        gate->config.refused(head->method, head->status, gate->config.userdata);
        (void) shutdown(entry->fd, SHUT_WR);

        if (entry_drain(entry) || !entry->io) {
                (void) entry_free(entry);
                return;
        }
        entry->lingering = true;
        entry->since_us = now_us(gate);
        list_remove(&entry->list);
        list_append(&gate->lingering, &entry->list);
        arm_timer(gate);
}

static void entry_pass(struct entry *entry) {
        struct http_gate *gate = entry->gate;
        union address address = entry->address;
        socklen_t address_size = entry->address_size;
        int fd = TAKE_FD(entry->fd);

        (void) entry_free(entry);
        gate->config.pass(fd, &address.any, address_size, gate->config.userdata);
}

/* Look at what has come. The entry may be gone afterwards. */
static void entry_look(struct entry *entry) {
        struct http_gate *gate = entry->gate;
        struct http_head head;
        ssize_t n;
        int r;

        n = recv(entry->fd, gate->buffer, HTTP_HEAD_MAX + 1, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                (void) entry_free(entry);
                return;
        }

        /* a head that comes byte by byte is judged only where a line ends */
        if ((size_t) n <= HTTP_HEAD_MAX && (size_t) n > entry->seen &&
                        !memchr(gate->buffer + entry->seen, '\n', (size_t) n - entry->seen) &&
                        (size_t) n < HTTP_LINE_MAX) {
                entry->seen = (size_t) n;
                return;
        }
        entry->seen = (size_t) n;

        r = http_head_check(gate->buffer, (size_t) n, gate->config.body_max, &head);
        if (r < 0)
                entry_refuse(entry, &head);
        else if (r > 0)
                entry_pass(entry);
}

static int entry_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct entry *entry = userdata;

        if (!entry->lingering) {
                bool over = revents & (EPOLLHUP | EPOLLERR);

                if (over)
                        (void) entry_free(entry);
                else
                        entry_look(entry);
        } else if (entry_drain(entry)) {
                (void) entry_free(entry);
        }
        return 0;
}

static void entry_time_out(struct entry *entry) {
        struct http_gate *gate = entry->gate;

        if (entry->seen > 0) {
                http_gate_turn_away(entry->fd, 408, "request_timeout",
                                "the request's header took too long");
                gate->config.refused(HTTP_OTHER, 408, gate->config.userdata);
        }
        (void) entry_free(entry);
}

static int gate_on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct http_gate *gate = userdata;
        struct entry *entry, *next;
        uint64_t now = now_us(gate);

        list_for_each_safe(entry, next, &gate->waiting, list) {
                if (entry->since_us + gate->config.timeout_us > now)
                        break;
                entry_time_out(entry);
        }
        list_for_each_safe(entry, next, &gate->lingering, list) {
                if (entry->since_us + LINGER_US > now)
                        break;
                (void) entry_free(entry);
        }
        arm_timer(gate);
        return 0;
}

int http_gate_new(sd_event *event, const struct http_gate_config *config,
                struct http_gate **ret_gate) {
        _cleanup_(http_gate_freep) struct http_gate *gate = NULL;
        int r;

        gate = calloc(1, sizeof(*gate));
        if (!gate)
                return -ENOMEM;
        gate->config = *config;
        gate->event = sd_event_ref(event);
        list_init(&gate->waiting);
        list_init(&gate->lingering);

        r = sd_event_add_time(event, &gate->timer, CLOCK_MONOTONIC, UINT64_MAX, 100 * USEC_PER_MSEC,
                        gate_on_timer, gate);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(gate->timer, "http-gate");
        r = sd_event_source_set_enabled(gate->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret_gate = TAKE_PTR(gate);
        return 0;
}

struct http_gate *http_gate_free(struct http_gate *gate) {
        struct entry *entry, *next;

        if (!gate)
                return NULL;

        list_for_each_safe(entry, next, &gate->waiting, list)
                (void) entry_free(entry);
        list_for_each_safe(entry, next, &gate->lingering, list)
                (void) entry_free(entry);
        (void) sd_event_source_disable_unref(gate->timer);
        (void) sd_event_unref(gate->event);
        free(gate);
        return NULL;
}

int http_gate_add(struct http_gate *gate, int fd, const struct sockaddr *address,
                socklen_t address_size) {
        struct entry *entry;
        bool first;
        int r;

        entry = calloc(1, sizeof(*entry));
        if (!entry) {
                (void) fd_close(fd);
                return -ENOMEM;
        }
        entry->gate = gate;
        entry->fd = fd;
        entry->since_us = now_us(gate);
        entry->address_size = address_size < sizeof(entry->address) ? address_size
                                                                    : sizeof(entry->address);
        memcpy(&entry->address, address, entry->address_size);
        first = list_is_empty(&gate->waiting);
        list_append(&gate->waiting, &entry->list);
        gate->size++;

        /* the first readiness comes as an edge too, so nothing is lost by not looking right away */
        r = sd_event_add_io(gate->event, &entry->io, fd, EPOLLIN | EPOLLRDHUP | EPOLLET,
                        entry_on_io, entry);
        if (r < 0) {
                (void) entry_free(entry);
                return r;
        }
        (void) sd_event_source_set_description(entry->io, "http-gate-client");
        if (first)
                arm_timer(gate);
        return 0;
}

bool http_gate_evict(struct http_gate *gate) {
        struct entry *entry = list_first(&gate->lingering, struct entry, list);

        if (!entry)
                entry = list_first(&gate->waiting, struct entry, list);
        if (!entry)
                return false;

        (void) entry_free(entry);
        return true;
}

size_t http_gate_size_of(const struct http_gate *gate, const struct sockaddr_storage *address) {
        const struct list *const lists[] = { &gate->waiting, &gate->lingering };
        const struct entry *entry;
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                list_for_each(entry, lists[i], list)
                        n += listen_same_host(&entry->address.storage, address);
        return n;
}

size_t http_gate_size(const struct http_gate *gate) {
        return gate->size;
}
