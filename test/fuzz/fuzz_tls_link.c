/* A TLS listener's end of a connection against a hostile client, in one thread and without chance:
 * random numbers and time are ours. The first byte says what it is about: 'r' sends the rest as it
 * is, in pieces as long as the second byte says; 'h' and 'o' have a client of GnuTLS, before and
 * after the handshake, and the rest is what happens: records pass, or are cut, changed, repeated
 * and mixed with others' bytes. However that ends, nothing comes out that the other end has not put
 * in, in its order; nothing opens without a handshake; no event comes for ever; and nothing is left
 * of a connection whose both ends are closed. */

#include <fcntl.h>
#include <ftw.h>
#include <gnutls/crypto.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/tls_ca.h"
#include "api/tls_context.h"
#include "api/tls_link.h"

#define INPUT_MAX   20000
#define FLIGHT_MAX  65536
#define STEPS_MAX   4096 /* of the loop, for one thing that happens */
#define PER_ADDRESS 3
#define NOW         1800000000

enum what { /* the second byte, for 'h' and 'o' */
        ONLY_1_2 = 1,
        ONLY_1_3 = 2,
        RESUMES = 4,
        SMALL = 8, /* the server's socket takes little */
};

struct fuzz {
        sd_event *event;
        struct tls_links *links;
        uint64_t counts[TLS_END_MAX_];
        int outer;               /* the client's end */
        int inner;               /* whoever is behind */
        int others[PER_ADDRESS]; /* clients that say nothing */
        gnutls_session_t client;
        gnutls_certificate_credentials_t credentials;
        bool shaken, broken; /* the client's view */
        bool emptied;
        bool disturbed; /* by other than passing, sending and reading */
        unsigned int n_opened;
        size_t asked, got_asked; /* bytes from the client's end to the inner one */
        size_t answered, got_answered;
        size_t n_out, n_in, in_at;
        uint8_t out[FLIGHT_MAX]; /* from the client, not sent yet */
        uint8_t in[FLIGHT_MAX];  /* for the client, not read yet */
};

static char folder[] = "/tmp/vwfXXXXXX";
static struct tls_context *context;
static gnutls_datum_t tickets[2]; /* sessions to resume: of TLS 1.2, of TLS 1.3 */
static uint64_t chance;

/* In place of GnuTLS' own, for all of the process. */
__attribute__((visibility("default"))) int gnutls_rnd(
                gnutls_rnd_level_t level, void *data, size_t len) {
        uint8_t *bytes = data;

        for (size_t i = 0; i < len; i++) {
                chance = chance * 6364136223846793005U + 1442695040888963407U;
                bytes[i] = (uint8_t) (chance >> 56);
        }
        return 0;
}

static time_t fixed_time(time_t *t) {
        if (t)
                *t = NOW;
        return NOW;
}

static uint8_t byte_at(size_t i) {
        return (uint8_t) (i * 31 + (i >> 8));
}

/* ---- the two ends ---- */

static void on_open(int fd, const struct sockaddr *address, socklen_t size, void *userdata) {
        struct fuzz *fuzz = userdata;

        assert(fuzz->client && fuzz->inner < 0);
        assert(size == sizeof(struct sockaddr_in) && address->sa_family == AF_INET);
        fuzz->inner = fd;
        fuzz->n_opened++;
}

static void on_emptied(void *userdata) {
        struct fuzz *fuzz = userdata;

        fuzz->emptied = true;
}

static void take_in(struct fuzz *fuzz) {
        ssize_t n = 0;

        while (fuzz->outer >= 0 && fuzz->n_in < FLIGHT_MAX) {
                n = recv(fuzz->outer, fuzz->in + fuzz->n_in, FLIGHT_MAX - fuzz->n_in, MSG_DONTWAIT);
                if (n <= 0)
                        break;
                fuzz->n_in += (size_t) n;
        }
}

static void run(struct fuzz *fuzz) {
        unsigned int steps = 0;

        while (sd_event_run(fuzz->event, 0) > 0)
                assert(++steps < STEPS_MAX);
        assert(tls_links_waiting(fuzz->links) <= tls_links_size(fuzz->links));
}

/* Return: how much was taken. */
static size_t send_raw(struct fuzz *fuzz, const uint8_t *data, size_t size) {
        size_t sent = 0;

        while (sent < size && fuzz->outer >= 0) {
                ssize_t n = send(
                                fuzz->outer, data + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

                run(fuzz);
                if (n <= 0)
                        break;
                sent += (size_t) n;
        }
        return sent;
}

static void pass(struct fuzz *fuzz, size_t size) {
        size = send_raw(fuzz, fuzz->out, size < fuzz->n_out ? size : fuzz->n_out);
        fuzz->n_out -= size;
        memmove(fuzz->out, fuzz->out + size, fuzz->n_out);
}

static ssize_t on_push(gnutls_transport_ptr_t userdata, const void *data, size_t size) {
        struct fuzz *fuzz = userdata;

        if (size > FLIGHT_MAX - fuzz->n_out) {
                gnutls_transport_set_errno(fuzz->client, EAGAIN);
                return -1;
        }
        memcpy(fuzz->out + fuzz->n_out, data, size);
        fuzz->n_out += size;
        return (ssize_t) size;
}

static ssize_t on_pull(gnutls_transport_ptr_t userdata, void *data, size_t size) {
        struct fuzz *fuzz = userdata;

        take_in(fuzz);
        size = size < fuzz->n_in - fuzz->in_at ? size : fuzz->n_in - fuzz->in_at;
        if (size == 0) {
                gnutls_transport_set_errno(fuzz->client, EAGAIN);
                return -1;
        }
        memcpy(data, fuzz->in + fuzz->in_at, size);
        fuzz->in_at += size;
        if (fuzz->in_at == fuzz->n_in)
                fuzz->in_at = fuzz->n_in = 0;
        return (ssize_t) size;
}

/* Whether there is more to wait for; none of GnuTLS' own waiting, which nothing here asks for. */
static int on_wait(gnutls_transport_ptr_t userdata, unsigned int timeout_ms) {
        return 1;
}

/* The client shakes hands as far as it can, or reads. */
static void client_step(struct fuzz *fuzz) {
        uint8_t data[4096];
        ssize_t n;

        if (!fuzz->client || fuzz->broken)
                return;
        if (!fuzz->shaken) {
                n = gnutls_handshake(fuzz->client);
                fuzz->shaken = n == 0;
                fuzz->broken = n < 0 && gnutls_error_is_fatal((int) n);
                return;
        }
        while ((n = gnutls_record_recv(fuzz->client, data, sizeof(data))) > 0)
                for (ssize_t i = 0; i < n; i++)
                        assert(data[i] == byte_at(fuzz->got_answered++));
        fuzz->broken = n < 0 && gnutls_error_is_fatal((int) n);
        assert(fuzz->got_answered <= fuzz->answered);
}

static void client_send(struct fuzz *fuzz, size_t size) {
        uint8_t data[16384];
        ssize_t n;

        if (!fuzz->shaken || fuzz->broken || fuzz->n_out > FLIGHT_MAX / 2)
                return;
        for (size_t i = 0; i < size; i++)
                data[i] = byte_at(fuzz->asked + i);
        n = gnutls_record_send(fuzz->client, data, size);
        fuzz->asked += n > 0 ? (size_t) n : 0;
}

static void inner_read(struct fuzz *fuzz, size_t max) {
        uint8_t data[16384];
        ssize_t n;

        if (fuzz->inner < 0)
                return;
        n = recv(fuzz->inner, data, max < sizeof(data) ? max : sizeof(data), MSG_DONTWAIT);
        for (ssize_t i = 0; i < n; i++)
                assert(data[i] == byte_at(fuzz->got_asked++));
        assert(fuzz->got_asked <= fuzz->asked);
}

static void inner_send(struct fuzz *fuzz, size_t size) {
        uint8_t data[16384];
        ssize_t n;

        if (fuzz->inner < 0)
                return;
        for (size_t i = 0; i < size; i++)
                data[i] = byte_at(fuzz->answered + i);
        n = send(fuzz->inner, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        fuzz->answered += n > 0 ? (size_t) n : 0;
}

/* Nobody has disturbed anything: all arrives. */
static void drain(struct fuzz *fuzz) {
        for (unsigned int i = 0; i < 1000 &&
                        (fuzz->got_asked < fuzz->asked || fuzz->got_answered < fuzz->answered);
                        i++) {
                pass(fuzz, FLIGHT_MAX);
                client_step(fuzz);
                inner_read(fuzz, SIZE_MAX);
                run(fuzz);
        }
        assert(fuzz->got_asked == fuzz->asked && fuzz->got_answered == fuzz->answered);
}

static void shake_hands(struct fuzz *fuzz) {
        for (unsigned int i = 0; i < 8 && !(fuzz->shaken && fuzz->inner >= 0); i++) {
                client_step(fuzz);
                pass(fuzz, FLIGHT_MAX);
        }
        assert(fuzz->shaken && fuzz->inner >= 0);
}

/* ---- beginning and end ---- */

static int add(struct fuzz *fuzz, bool is_small, int *ret_fd) {
        const struct sockaddr_in address = { .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        const int bytes = 1;
        int pair[2], r;

        r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
        assert(r >= 0);
        if (is_small)
                (void) setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
        r = tls_links_add(fuzz->links, context, pair[0], (const struct sockaddr *) &address,
                        sizeof(address));
        *ret_fd = pair[1];
        return r;
}

static void begin(struct fuzz *fuzz, bool is_small) {
        const struct tls_links_config config = { .timeout_us = 3600 * USEC_PER_SEC,
                .per_address_max = PER_ADDRESS,
                .open = on_open,
                .emptied = on_emptied,
                .counts = fuzz->counts,
                .userdata = fuzz };
        int r;

        fuzz->inner = -EBADF;
        for (size_t i = 0; i < PER_ADDRESS; i++)
                fuzz->others[i] = -EBADF;
        chance = 1;
        r = sd_event_new(&fuzz->event);
        assert(r >= 0);
        r = tls_links_new(fuzz->event, &config, &fuzz->links);
        assert(r >= 0);
        r = add(fuzz, is_small, &fuzz->outer);
        assert(r >= 0);
}

static void begin_client(struct fuzz *fuzz, unsigned int what) {
        const char *text = what & ONLY_1_2 ? "NORMAL:-VERS-ALL:+VERS-TLS1.2"
                        : what & ONLY_1_3  ? "NORMAL:-VERS-ALL:+VERS-TLS1.3"
                                           : "NORMAL";
        const gnutls_datum_t *ticket = &tickets[what & ONLY_1_2 ? 0 : 1];
        int r;

        r = gnutls_init(&fuzz->client, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
        if (r >= 0)
                r = gnutls_certificate_allocate_credentials(&fuzz->credentials);
        if (r >= 0)
                r = gnutls_credentials_set(fuzz->client, GNUTLS_CRD_CERTIFICATE, fuzz->credentials);
        if (r >= 0)
                r = gnutls_priority_set_direct(fuzz->client, text, NULL);
        if (r >= 0 && what & RESUMES && ticket->data)
                r = gnutls_session_set_data(fuzz->client, ticket->data, ticket->size);
        assert(r >= 0);
        gnutls_transport_set_ptr(fuzz->client, fuzz);
        gnutls_transport_set_push_function(fuzz->client, on_push);
        gnutls_transport_set_pull_function(fuzz->client, on_pull);
        gnutls_transport_set_pull_timeout_function(fuzz->client, on_wait);
}

static void finish(struct fuzz *fuzz) {
        inner_read(fuzz, SIZE_MAX);
        if (fuzz->shaken && fuzz->inner >= 0 && !fuzz->disturbed)
                drain(fuzz);
        fuzz->outer = fd_close(fuzz->outer);
        for (size_t i = 0; i < PER_ADDRESS; i++)
                fuzz->others[i] = fd_close(fuzz->others[i]);
        run(fuzz);
        fuzz->inner = fd_close(fuzz->inner);
        run(fuzz);
        assert(tls_links_size(fuzz->links) == 0 && fuzz->emptied);
        assert(fuzz->counts[TLS_END_OK] + fuzz->counts[TLS_END_RESUMED] == fuzz->n_opened);
        (void) tls_links_free(fuzz->links);
        (void) sd_event_unref(fuzz->event);
        if (fuzz->client)
                gnutls_deinit(fuzz->client);
        if (fuzz->credentials)
                gnutls_certificate_free_credentials(fuzz->credentials);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static void get_ticket(unsigned int what, gnutls_datum_t *ret_ticket) {
        static struct fuzz fuzz;
        int r;

        fuzz = (struct fuzz){};
        begin(&fuzz, false);
        begin_client(&fuzz, what);
        shake_hands(&fuzz);
        client_step(&fuzz);
        r = gnutls_session_get_data2(fuzz.client, ret_ticket);
        assert(r >= 0);
        finish(&fuzz);
}

static void start(void) {
        struct tls_ca_config ca = {
                .dir = folder, .node_name = "fuzz", .lifetime_us = 86400 * USEC_PER_SEC
        };
        struct tls_context_config config = {};
        struct diag diag = {};
        char path[64];
        int r;

        r = mkdtemp(folder) ? 0 : -errno;
        assert(r >= 0);
        gnutls_global_set_time_function(fixed_time);
        r = tls_ca_provide(&ca, NOW * USEC_PER_SEC);
        assert(r == 1);
        (void) snprintf(path, sizeof(path), "%s/server.pem", folder);
        config.certificate.path = path;
        r = tls_context_new(&config, &diag, &context);
        assert(r >= 0);
        (void) nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        get_ticket(ONLY_1_2, &tickets[0]);
        get_ticket(ONLY_1_3, &tickets[1]);
}

/* ---- what happens ---- */

/* To what the client wants to send. */
static void mangle(struct fuzz *fuzz, unsigned int how, size_t at) {
        size_t n = fuzz->n_out;

        if (at >= n)
                return;
        switch (how) {
        case 0:
                fuzz->out[at] ^= 0x40;
                break;
        case 1:
                fuzz->out[at]++;
                break;
        case 2: /* a piece is missing */
                fuzz->n_out -= at;
                memmove(fuzz->out, fuzz->out + at, fuzz->n_out);
                break;
        case 3: /* a piece comes twice */
                at = at < FLIGHT_MAX - n ? at : FLIGHT_MAX - n;
                memcpy(fuzz->out + n, fuzz->out, at);
                fuzz->n_out += at;
                break;
        default:
                fuzz->n_out = at;
        }
}

/* What a client may do once hands are shaken, other than send. */
static void client_act(struct fuzz *fuzz, unsigned int how) {
        if (!fuzz->shaken || fuzz->broken || fuzz->n_out > FLIGHT_MAX / 2)
                return;
        switch (how) {
        case 0:
                (void) gnutls_bye(fuzz->client, GNUTLS_SHUT_WR);
                break;
        case 1:
                (void) gnutls_session_key_update(fuzz->client, GNUTLS_KU_PEER);
                break;
        case 2:
                (void) gnutls_alert_send(fuzz->client, GNUTLS_AL_WARNING, GNUTLS_A_USER_CANCELED);
                break;
        case 3:
                (void) gnutls_alert_send(fuzz->client, GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR);
                break;
        default: /* again, which TLS 1.2 knows */
                fuzz->shaken = gnutls_protocol_get_version(fuzz->client) != GNUTLS_TLS1_2;
        }
}

static void another(struct fuzz *fuzz) {
        const size_t n = tls_links_size(fuzz->links);
        int fd, r;

        r = add(fuzz, false, &fd);
        assert(r == (n >= PER_ADDRESS ? -EUSERS : 0));
        for (size_t i = 0; i < PER_ADDRESS && fd >= 0; i++)
                if (fuzz->others[i] < 0)
                        fuzz->others[i] = TAKE_FD(fd);
        (void) fd_close(fd);
}

/* Return: how much of @data it has used, beside the two bytes that say what happens. */
static size_t happen(struct fuzz *fuzz, unsigned int what, unsigned int arg, const uint8_t *data,
                size_t size) {
        size = size < arg ? size : arg;
        fuzz->disturbed |= what % 16 < 2 || what % 16 == 6 || what % 16 > 8;
        switch (what % 16) {
        case 0:
                (void) send_raw(fuzz, data, size);
                return size;
        case 1: /* others' bytes in between */
                if (size <= FLIGHT_MAX - fuzz->n_out) {
                        memcpy(fuzz->out + fuzz->n_out, data, size);
                        fuzz->n_out += size;
                }
                return size;
        case 2:
                pass(fuzz, arg == 255 ? FLIGHT_MAX : arg);
                break;
        case 3:
                for (unsigned int i = 0; i < arg && fuzz->n_out > 0; i++)
                        pass(fuzz, 1);
                break;
        case 4:
                client_step(fuzz);
                break;
        case 5:
                client_send(fuzz, arg * 64);
                break;
        case 6:
                client_act(fuzz, arg % 5);
                break;
        case 7:
                inner_send(fuzz, arg * 64);
                break;
        case 8:
                inner_read(fuzz, arg * 64 + 1);
                break;
        case 9:
                if (fuzz->inner >= 0)
                        (void) shutdown(fuzz->inner, arg % 2 ? SHUT_WR : SHUT_RD);
                break;
        case 10:
                fuzz->inner = fd_close(fuzz->inner);
                break;
        case 11:
                (void) shutdown(fuzz->outer, arg % 2 ? SHUT_WR : SHUT_RD);
                break;
        case 12:
                another(fuzz);
                break;
        case 13:
                (void) tls_links_evict(fuzz->links);
                break;
        case 14:
                while (tls_links_evict(fuzz->links))
                        ; /* all that are not open */
                break;
        default:
                mangle(fuzz, arg % 5, arg / 5 * (what / 16 + 1));
        }
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        static struct fuzz fuzz;
        unsigned int mode, what;

        if (size < 2 || size > INPUT_MAX)
                return 0;
        (void) pthread_once(&once, start);
        mode = data[0];
        what = data[1];
        data += 2;
        size -= 2;
        fuzz = (struct fuzz){};
        begin(&fuzz, mode != 'r' && what & SMALL);
        if (mode != 'r')
                begin_client(&fuzz, what);
        if (mode == 'o')
                shake_hands(&fuzz);
        if (mode == 'r') {
                for (size_t n; size > 0; data += n, size -= n) {
                        n = what > 0 && what < size ? what : size;
                        (void) send_raw(&fuzz, data, n);
                }
        }
        while (mode != 'r' && size >= 2) {
                size_t n = happen(&fuzz, data[0], data[1], data + 2, size - 2);

                run(&fuzz);
                data += 2 + n;
                size -= 2 + n;
        }
        finish(&fuzz);
        return 0;
}
