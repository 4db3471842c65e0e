/* virtwatch-kmsg: the one program of virtwatch that may read the kernel's log. It has no
 * configuration; systemd hands it the socket. */

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/listen.h"
#include "kmsg/kmsg_server.h"
#include "virtwatch/virtwatch.h"

#define SOCKET_MODE 0660

static int open_log(void *userdata) {
        int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int failed(const char *what, int error) {
        (void) fprintf(stderr, "virtwatch-kmsg: %s: %s\n", what, strerrordesc_np(-error));
        return error;
}

/* Return: 1 and *ret_path; 0 the question has been answered; -EINVAL. */
static int parse_options(int argc, char **argv, const char **ret_path) {
        static const struct option longs[] = {
                { "socket", required_argument, NULL, 's' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                {},
        };
        int c;

        *ret_path = NULL;
        while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
                switch (c) {
                case 's':
                        *ret_path = optarg;
                        break;
                case 'h':
                        (void) printf("virtwatch-kmsg [OPTION]...\n\n"
                                      "Forwards the kernel's OOM lines to virtwatchd.\n\n"
                                      "      --socket=PATH  listen here, where systemd hands over no socket\n"
                                      "  -h, --help         this text\n"
                                      "      --version      the version\n");
                        return 0;
                case 'v':
                        (void) printf("virtwatch-kmsg " VIRTWATCH_VERSION "\n");
                        return 0;
                default:
                        return -EINVAL; /* getopt has said why */
                }
        }
        if (optind < argc) {
                (void) fprintf(stderr, "virtwatch-kmsg: '%s' is no option; see --help\n",
                                argv[optind]);
                return -EINVAL;
        }
        return 1;
}

/* The socket that systemd hands over, or one at @path. @ret_name: "" where it is systemd's. */
static int open_socket(const char *path, char ret_name[static LISTEN_NAME_MAX]) {
        char address[LISTEN_NAME_MAX];
        int n;

        ret_name[0] = '\0';
        n = sd_listen_fds(true);
        if (n < 0)
                return n;
        if (n > 0) {
                if (n > 1 ||
                                sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL,
                                                0) <= 0)
                        return -ENOTSOCK;
                return fcntl(SD_LISTEN_FDS_START, F_SETFL, O_NONBLOCK) < 0 ? -errno
                                                                           : SD_LISTEN_FDS_START;
        }
        if (!path ||
                        (size_t) snprintf(address, sizeof(address), "unix:%s", path) >=
                                        sizeof(address))
                return path ? -ENAMETOOLONG : -EDESTADDRREQ;
        return listen_open(address,
                        &(struct listen_options){ .mode = SOCKET_MODE, .packets = true }, ret_name);
}

static int serve(int fd) {
        _cleanup_(kmsg_server_freep) struct kmsg_server *server = NULL;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        sigset_t ends;
        int r;

        (void) sigemptyset(&ends);
        (void) sigaddset(&ends, SIGTERM);
        (void) sigaddset(&ends, SIGINT);
        (void) sigprocmask(SIG_BLOCK, &ends, NULL);
        r = sd_event_default(&event);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
        if (r >= 0)
                r = sd_event_set_watchdog(event, true);
        if (r >= 0) {
                r = kmsg_server_new(
                                &(struct kmsg_server_config){
                                                .event = event, .fd = fd, .open_log = open_log },
                                &server);
        }
        if (r < 0)
                return r;
        (void) sd_notify(0, "READY=1");
        return sd_event_loop(event);
}

int main(int argc, char **argv) {
        char name[LISTEN_NAME_MAX];
        const char *path;
        int r, fd;

        r = parse_options(argc, argv, &path);
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        fd = open_socket(path, name);
        if (fd == -EDESTADDRREQ) {
                (void) fprintf(stderr,
                                "virtwatch-kmsg: systemd hands over no socket, and --socket names none; see --help\n");
                return EXIT_FAILURE;
        }
        if (fd < 0) {
                (void) failed("Cannot listen", fd);
                return EXIT_FAILURE;
        }
        r = serve(fd);
        if (r < 0)
                (void) failed("Cannot go on", r);
        (void) listen_close(fd, name);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
