/* The peer of probes.py: what a full TLS handshake, one request and its answer cost in OpenSSL
 * alone, when nothing is made anew that can be shared. So often a second, as a burst would find
 * everything in the processor's caches. Prints the CPU time of one, in microseconds. */

#include <getopt.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/text.h"

#define WARM 20 /* that are not counted */

static uint64_t cpu_us(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

static int connect_to(uint16_t port) {
        const struct sockaddr_in address = { .sin_family = AF_INET,
                .sin_port = htons(port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd >= 0 && connect(fd, (const void *) &address, sizeof(address)) < 0) {
                (void) close(fd);
                return -1;
        }
        return fd;
}

/* The chain is verified, for that address. */
static bool ask(SSL_CTX *context, uint16_t port) {
        static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        SSL *ssl = SSL_new(context);
        int fd = connect_to(port), n = -1;
        bool answered = false;
        char answer[4096];

        if (fd >= 0 && ssl && SSL_set_fd(ssl, fd) == 1 &&
                        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), "127.0.0.1") == 1 &&
                        SSL_connect(ssl) == 1)
                n = SSL_write(ssl, request, sizeof(request) - 1);
        while (n > 0) {
                n = SSL_read(ssl, answer, sizeof(answer));
                answered = answered || n > 0;
        }
        SSL_free(ssl);
        if (fd >= 0)
                (void) close(fd);
        return answered;
}

static int run(SSL_CTX *context, uint16_t port, unsigned int count, unsigned int rate) {
        const struct timespec wait = { .tv_nsec = (long) (1000 * USEC_PER_SEC / rate) };
        uint64_t begin_us = 0;

        for (unsigned int i = 0; i < WARM + count; i++) {
                if (i == WARM)
                        begin_us = cpu_us();
                if (!ask(context, port)) {
                        (void) fprintf(stderr, "The target does not answer\n");
                        return -EPROTO;
                }
                (void) nanosleep(&wait, NULL);
        }
        (void) printf("%.0f\n", (double) (cpu_us() - begin_us) / count);
        return 0;
}

int main(int argc, char **argv) {
        uint64_t port = 0, count = 1000, rate = 100;
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        int option, r = context ? 0 : -ENOMEM;

        while (r >= 0 && (option = getopt(argc, argv, "p:c:n:r:")) >= 0) {
                if (option == 'p')
                        r = text_to_u64(optarg, &port);
                else if (option == 'n')
                        r = text_to_u64(optarg, &count);
                else if (option == 'r')
                        r = text_to_u64(optarg, &rate);
                else if (option != 'c' || SSL_CTX_load_verify_file(context, optarg) != 1)
                        r = -EINVAL;
        }
        if (r < 0 || port == 0 || port > UINT16_MAX || count == 0 || rate < 2 || rate > 100000) {
                (void) fprintf(stderr,
                                "Usage: bench_handshake -p PORT -c CA-FILE [-n COUNT] [-r RATE]\n");
                r = -EINVAL;
        } else {
                SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
                r = run(context, (uint16_t) port, (unsigned int) count, (unsigned int) rate);
        }
        SSL_CTX_free(context);
        return r < 0;
}
