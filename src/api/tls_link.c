/* Three lists by age: shaking hands, open, leaving. One timer serves the first and the last. Both
 * sockets are watched level-triggered for what could be done now; a source that nothing is wanted
 * of is off, since a peer that has hung up would wake it without end. Handshakes have a lower
 * priority than all else on the loop: many at once delay each other, not events. */

#include "api/tls_link.h"

#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

#include "api/http_gate.h"
#include "api/tls_context.h"
#include "base/list.h"
#include "base/listen.h"
#include "base/log.h"

#define RECORD_MAX         16384
#define RECORDS_PER_TURN   4
#define PAIR_BYTES         (64 * 1024)         /* the plain sockets' buffers, each way */
#define FLUSH_US           (30 * USEC_PER_SEC) /* for a client to take the end of its answer */
#define LINGER_US          (2 * USEC_PER_SEC)  /* then, to close */
#define HANDSHAKE_PRIORITY 10

enum state {
        SHAKING,
        OPEN,
        LEAVING, /* the plain end is closed; what is left goes out */
};

struct tls_link {
        struct list list;
        struct tls_links *links;
        struct tls_context *context;
        gnutls_session_t session;
        enum state state;
        uint64_t since_us;
        int outer, inner;
        sd_event_source *outer_io, *inner_io;
        char *rest; /* deciphered, but not taken yet; NULL: nothing */
        size_t rest_size, rest_offset;
        bool in_over;    /* the client sends no more */
        bool in_dropped; /* nobody reads what it sends */
        bool out_over;   /* it was told that there is no more */
        bool unsent;     /* a record of ours waits in the session */
        bool wants_out;  /* the session waits to write */
        struct sockaddr_storage address;
        socklen_t address_size;
};

struct tls_links {
        struct tls_links_config config;
        sd_event *event;
        sd_event_source *timer;
        struct list shaking, open, leaving; /* of struct tls_link, oldest first */
        size_t size, waiting;
        bool freeing;
        char record[RECORD_MAX];
};

const char *tls_end_to_string(enum tls_end end) {
        static const char *const names[TLS_END_MAX_] = {
                [TLS_END_OK] = "ok",
                [TLS_END_RESUMED] = "resumed",
                [TLS_END_PLAIN] = "plain",
                [TLS_END_FAILED] = "failed",
                [TLS_END_TIMEOUT] = "timeout",
                [TLS_END_LIMIT] = "limit",
        };

        return names[end];
}

static uint64_t now_us(const struct tls_links *links) {
        uint64_t now = 0;

        (void) sd_event_now(links->event, CLOCK_MONOTONIC, &now);
        return now;
}

static void count(struct tls_links *links, enum tls_end end) {
        links->config.counts[end]++;
}

static struct tls_link *link_free(struct tls_link *link) {
        struct tls_links *links;

        if (!link)
                return NULL;
        links = link->links;
        list_remove(&link->list);
        links->size--;
        links->waiting -= link->state != OPEN;
        (void) sd_event_source_disable_unref(link->outer_io);
        (void) sd_event_source_disable_unref(link->inner_io);
        if (link->session)
                gnutls_deinit(link->session);
        tls_context_unref(link->context);
        link->outer = fd_close(link->outer);
        link->inner = fd_close(link->inner);
        free(link->rest);
        free(link);
        if (links->size == 0 && !links->freeing)
                links->config.emptied(links->config.userdata);
        return NULL;
}

/* ---- deadlines ---- */

static uint64_t deadline_of(const struct tls_link *link) {
        return link->since_us +
                        (link->state == SHAKING ? link->links->config.timeout_us
                                                        : link->out_over ? LINGER_US
                                                                         : FLUSH_US);
}

static void arm_timer(struct tls_links *links) {
        const struct tls_link *shaking = list_first(&links->shaking, struct tls_link, list);
        const struct tls_link *link;
        uint64_t next_us = shaking ? deadline_of(shaking) : USEC_INFINITY;
        int r;

        list_for_each(link, &links->leaving, list)
                if (deadline_of(link) < next_us)
                        next_us = deadline_of(link);
        if (next_us == USEC_INFINITY) {
                (void) sd_event_source_set_enabled(links->timer, SD_EVENT_OFF);
                return;
        }
        r = sd_event_source_set_time(links->timer, next_us);
        if (r >= 0)
                r = sd_event_source_set_enabled(links->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                (void) log_error_errno(r, "Cannot arm the timer for slow TLS clients: %m");
}

static int links_on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct tls_links *links = userdata;
        struct tls_link *link, *next;
        uint64_t now = now_us(links);

        list_for_each_safe(link, next, &links->shaking, list) {
                if (deadline_of(link) > now)
                        break;
                count(links, TLS_END_TIMEOUT);
                (void) link_free(link);
        }
        list_for_each_safe(link, next, &links->leaving, list)
                if (deadline_of(link) <= now)
                        (void) link_free(link);
        arm_timer(links);
        return 0;
}

static void link_enter(struct tls_link *link, enum state state) {
        struct tls_links *links = link->links;

        links->waiting -= link->state != OPEN;
        links->waiting += state != OPEN;
        link->state = state;
        link->since_us = now_us(links);
        list_remove(&link->list);
        list_append(state == OPEN ? &links->open : &links->leaving, &link->list);
        if (state == LEAVING && !links->freeing)
                arm_timer(links);
}

/* ---- bytes ---- */

static void watch(sd_event_source *source, uint32_t events) {
        if (!source)
                return;
        if (events)
                (void) sd_event_source_set_io_events(source, events);
        (void) sd_event_source_set_enabled(source, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void link_watch(const struct tls_link *link) {
        uint32_t outer = 0, inner = 0;

        if (link->state == SHAKING) {
                outer = gnutls_record_get_direction(link->session) ? EPOLLOUT : EPOLLIN;
        } else {
                if (!link->in_over && !link->rest)
                        outer |= EPOLLIN;
                if (link->unsent || link->wants_out)
                        outer |= EPOLLOUT;
                if (link->state == OPEN && !link->unsent)
                        inner |= EPOLLIN;
                if (link->rest)
                        inner |= EPOLLOUT;
        }
        watch(link->outer_io, outer);
        watch(link->inner_io, inner);
}

static bool is_later(ssize_t n) {
        return n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED;
}

/* Hand @data on; what is not taken is kept. Return: 1 all was taken; 0 not all; -ENOMEM. */
static int give(struct tls_link *link, const char *data, size_t size) {
        ssize_t n;

        if (link->in_dropped)
                return 1;
        n = send(link->inner, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                link->in_dropped = true;
                return 1;
        }
        if (n < 0)
                n = 0;
        if ((size_t) n == size)
                return 1;
        link->rest = malloc(size - (size_t) n);
        if (!link->rest)
                return -ENOMEM;
        memcpy(link->rest, data + n, size - (size_t) n);
        link->rest_size = size - (size_t) n;
        link->rest_offset = 0;
        return 0;
}

/* The rest of an earlier record. Return: whether it is gone. */
static bool give_rest(struct tls_link *link) {
        ssize_t n;

        if (!link->rest)
                return true;
        n = send(link->inner, link->rest + link->rest_offset, link->rest_size - link->rest_offset,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n < 0)
                link->in_dropped = true;
        else
                link->rest_offset += (size_t) n;
        if (n >= 0 && link->rest_offset < link->rest_size)
                return false;
        free(link->rest);
        link->rest = NULL;
        return true;
}

/* From the client inwards. Return: 0; negative: the connection is no good. */
static int link_inward(struct tls_link *link) {
        char *record = link->links->record;
        int r;

        for (unsigned int i = 0; give_rest(link) && !link->in_over; i++) {
                ssize_t n;

                if (i >= RECORDS_PER_TURN && gnutls_record_check_pending(link->session) == 0)
                        return 0; /* more is announced by the socket */
                n = gnutls_record_recv(link->session, record, RECORD_MAX);
                if (is_later(n))
                        return 0;
                if (n == 0) { /* close_notify; without one the session is no good any more */
                        link->in_over = true;
                        if (link->inner >= 0)
                                (void) shutdown(link->inner, SHUT_WR);
                        return 0;
                }
                if (n < 0 && (n == GNUTLS_E_REHANDSHAKE || gnutls_error_is_fatal((int) n)))
                        return -EPROTO; /* nobody needs another handshake, and each is dear */
                if (n < 0)
                        continue;
                r = give(link, record, (size_t) n);
                if (r <= 0)
                        return r;
        }
        return 0;
}

/* The answer is out: say so. */
static int say_bye(struct tls_link *link) {
        int r;

        r = gnutls_bye(link->session, GNUTLS_SHUT_WR);
        link->wants_out = is_later(r);
        if (link->wants_out)
                return 0;
        if (r < 0)
                return -EPROTO;
        link->out_over = true;
        (void) shutdown(link->outer, SHUT_WR);
        link_enter(link, LEAVING);
        return 0;
}

/* From within to the client. Return: 0; negative: the connection is no good. */
static int link_outward(struct tls_link *link) {
        char *record = link->links->record;
        size_t max = gnutls_record_get_max_size(link->session);

        for (unsigned int i = 0; i < RECORDS_PER_TURN && !link->out_over; i++) {
                ssize_t n = 0;

                if (link->unsent) {
                        n = gnutls_record_send(link->session, NULL, 0);
                        if (is_later(n))
                                return 0;
                        link->unsent = false;
                }
                if (n < 0)
                        return -EPROTO;
                if (link->state == LEAVING)
                        return say_bye(link);
                n = recv(link->inner, record, max < RECORD_MAX ? max : RECORD_MAX, MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return 0;
                if (n <= 0) { /* also reset: who answered has left some of the request unread */
                        link_enter(link, LEAVING);
                        link->inner_io = sd_event_source_disable_unref(link->inner_io);
                        link->inner = fd_close(link->inner);
                        link->in_dropped = true;
                        link->wants_out = true; /* if the turn ends here */
                        continue;
                }
                n = gnutls_record_send(link->session, record, (size_t) n);
                link->unsent = is_later(n);
                if (!link->unsent && n < 0)
                        return -EPROTO;
        }
        return 0;
}

/* ---- the handshake ---- */

/* Return: whether what came begins as TLS does; -EAGAIN: nothing came yet. */
static int is_tls(const struct tls_link *link) {
        unsigned char first;
        ssize_t n = recv(link->outer, &first, 1, MSG_PEEK | MSG_DONTWAIT);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? -EAGAIN : -errno;
        if (n == 0)
                return -ECONNRESET;
        if (first == 22)
                return 1;
        if (first >= 'A' && first <= 'Z') {
                http_gate_turn_away(link->outer, 400, "https_only", "this address speaks HTTPS");
                (void) shutdown(link->outer, SHUT_WR);
                /* closed with bytes unread in it, the socket would take the answer back */
                (void) recv(link->outer, link->links->record, RECORD_MAX, MSG_DONTWAIT);
        }
        return 0;
}

static int on_inner(sd_event_source *source, int fd, uint32_t events, void *userdata);

static int link_open(struct tls_link *link) {
        struct tls_links *links = link->links;
        const int bytes = PAIR_BYTES;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        for (size_t i = 0; i < 2; i++)
                (void) setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
        link->inner = pair[0];
        r = sd_event_add_io(links->event, &link->inner_io, link->inner, EPOLLIN, on_inner, link);
        if (r < 0) {
                (void) close(pair[1]);
                return r;
        }
        (void) sd_event_source_set_description(link->inner_io, "tls-inner");
        (void) sd_event_source_set_priority(link->outer_io, SD_EVENT_PRIORITY_NORMAL);
        link_enter(link, OPEN);
        count(links, gnutls_session_is_resumed(link->session) ? TLS_END_RESUMED : TLS_END_OK);
        links->config.open(pair[1], (const struct sockaddr *) &link->address, link->address_size,
                        links->config.userdata);
        return 0;
}

/* Return: 0; negative: the connection is no good. */
static int link_shake(struct tls_link *link) {
        int r;

        r = gnutls_handshake(link->session);
        if (r == 0) {
                r = link_open(link);
                return r < 0 ? r : link_inward(link);
        }
        if (!gnutls_error_is_fatal(r))
                return 0;
        log_debug("A TLS handshake failed: %s", gnutls_strerror(r));
        (void) gnutls_alert_send_appropriate(link->session, r);
        count(link->links, TLS_END_FAILED);
        return -EPROTO;
}

static int link_begin(struct tls_link *link) {
        int r;

        r = is_tls(link);
        if (r == -EAGAIN)
                return 0;
        if (r <= 0) {
                count(link->links, r == 0 ? TLS_END_PLAIN : TLS_END_FAILED);
                return -EPROTO;
        }
        r = tls_context_session(link->context, link->outer, &link->session);
        return r < 0 ? r : link_shake(link);
}

static void link_run(struct tls_link *link) {
        int r;

        if (!link->session) {
                r = link_begin(link);
        } else if (link->state == SHAKING) {
                r = link_shake(link);
        } else {
                r = link_outward(link);
                if (r >= 0)
                        r = link_inward(link);
        }
        if (r < 0 || (link->out_over && link->in_over))
                (void) link_free(link);
        else if (link->session)
                link_watch(link);
}

static int on_outer(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        link_run(userdata);
        return 0;
}

static int on_inner(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        link_run(userdata);
        return 0;
}

/* ---- links ---- */

int tls_links_new(sd_event *event, const struct tls_links_config *config,
                struct tls_links **ret_links) {
        _cleanup_(tls_links_freep) struct tls_links *links = calloc(1, sizeof(*links));
        int r;

        if (!links)
                return -ENOMEM;
        links->config = *config;
        links->event = sd_event_ref(event);
        list_init(&links->shaking);
        list_init(&links->open);
        list_init(&links->leaving);
        r = sd_event_add_time(event, &links->timer, CLOCK_MONOTONIC, UINT64_MAX,
                        100 * USEC_PER_MSEC, links_on_timer, links);
        if (r >= 0)
                r = sd_event_source_set_enabled(links->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(links->timer, "tls-links");
        *ret_links = TAKE_PTR(links);
        return 0;
}

struct tls_links *tls_links_free(struct tls_links *links) {
        struct tls_link *link, *next;

        if (!links)
                return NULL;
        links->freeing = true;
        list_for_each_safe(link, next, &links->shaking, list)
                (void) link_free(link);
        list_for_each_safe(link, next, &links->open, list)
                (void) link_outward(link); /* which may have it leave */
        list_for_each_safe(link, next, &links->open, list)
                (void) link_free(link);
        list_for_each_safe(link, next, &links->leaving, list)
                (void) link_free(link);
        (void) sd_event_source_disable_unref(links->timer);
        (void) sd_event_unref(links->event);
        free(links);
        return NULL;
}

void tls_links_limit(struct tls_links *links, unsigned int per_address_max) {
        links->config.per_address_max = per_address_max;
}

/* A walk over a few thousand is some microseconds, the handshake behind it hundreds. */
static bool has_too_many(const struct tls_links *links, const struct sockaddr_storage *address) {
        const struct list *const lists[] = { &links->shaking, &links->open, &links->leaving };
        const struct tls_link *link;
        unsigned int n = 0;

        if (links->config.per_address_max == 0 || links->size < links->config.per_address_max)
                return false;
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                list_for_each(link, lists[i], list)
                        n += listen_same_host(&link->address, address);
        return n >= links->config.per_address_max;
}

int tls_links_add(struct tls_links *links, struct tls_context *context, int fd,
                const struct sockaddr *address, socklen_t address_size) {
        struct tls_link *link;
        const int on = 1;
        bool first;
        int r;

        link = calloc(1, sizeof(*link));
        if (!link) {
                (void) fd_close(fd);
                return -ENOMEM;
        }
        list_init(&link->list);
        link->links = links;
        link->outer = fd;
        link->inner = -EBADF;
        link->context = tls_context_ref(context);
        link->since_us = now_us(links);
        link->address_size =
                        address_size < sizeof(link->address) ? address_size : sizeof(link->address);
        memcpy(&link->address, address, link->address_size);
        r = has_too_many(links, &link->address) ? -EUSERS : 0;
        first = list_is_empty(&links->shaking);
        list_append(&links->shaking, &link->list);
        links->size++;
        links->waiting++;
        if (r >= 0)
                r = sd_event_add_io(links->event, &link->outer_io, fd, EPOLLIN, on_outer, link);
        if (r < 0) {
                if (r == -EUSERS)
                        count(links, TLS_END_LIMIT);
                (void) link_free(link);
                return r;
        }
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void) sd_event_source_set_description(link->outer_io, "tls-outer");
        (void) sd_event_source_set_priority(link->outer_io, HANDSHAKE_PRIORITY);
        if (first)
                arm_timer(links);
        return 0;
}

bool tls_links_evict(struct tls_links *links) {
        struct tls_link *link = list_first(&links->leaving, struct tls_link, list);

        if (!link)
                link = list_first(&links->shaking, struct tls_link, list);
        if (!link)
                return false;
        count(links, TLS_END_LIMIT);
        (void) link_free(link);
        return true;
}

size_t tls_links_size(const struct tls_links *links) {
        return links->size;
}

size_t tls_links_waiting(const struct tls_links *links) {
        return links->waiting;
}
