/* The loop: keys, signals, transfers and the clock, in one place that sleeps only in
 * top_net_wait(). */

#include "cli/top.h"

#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "cli/top_net.h"
#include "cli/top_screen.h"

#define FRAME_US (50 * USEC_PER_MSEC)  /* at least between two drawings that no key asked for */
#define CLOCK_US (500 * USEC_PER_MSEC) /* at most: ages and countdowns go on */

struct top {
        struct top_model model;
        struct top_net *net;
        struct top_screen *screen;
        int signal_fd;
        bool quit, dirty, at_once;
        int end_signal; /* the one that ended it; 0: none */
        uint64_t drawn_us;
};

static int open_signals(sigset_t *ret_before) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP,
                SIGCONT };
        sigset_t set;
        int fd;

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                (void) sigaddset(&set, signals[i]);
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        (void) sigprocmask(SIG_BLOCK, &set, ret_before);
        return fd;
}

static void read_signals(struct top *top) {
        struct signalfd_siginfo info;

        while (read(top->signal_fd, &info, sizeof(info)) == sizeof(info)) {
                top->dirty = top->at_once = true;
                if (info.ssi_signo == SIGTSTP) {
                        top_screen_suspend(top->screen);
                        (void) raise(SIGSTOP); /* SIGTSTP is blocked; this cannot be */
                        top_screen_resize(top->screen, &top->model);
                } else if (info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCONT) {
                        top_screen_resize(top->screen, &top->model);
                } else {
                        top->quit = true;
                        top->end_signal = (int) info.ssi_signo;
                }
        }
}

static void read_keys(struct top *top, uint64_t now_us) {
        uint32_t key;
        int r;

        while (!top->quit && (r = top_screen_read_key(top->screen, &key)) != 0) {
                if (r < 0 || top_model_key(&top->model, key, now_us) == TOP_QUIT)
                        top->quit = true;
                top->dirty = top->at_once = true;
        }
}

/* An old picture is drawn again when the clock goes on, a new one soon, the answer to a key now. */
static void draw(struct top *top, uint64_t now_us) {
        uint64_t since_us = now_us - top->drawn_us;

        if (!top->at_once && since_us < (top->dirty ? FRAME_US : CLOCK_US))
                return;
        top_screen_draw(top->screen, &top->model, now_us);
        top->dirty = top->at_once = false;
        top->drawn_us = now_us;
}

static void run(struct top *top) {
        struct curl_waitfd fds[] = { { .fd = STDIN_FILENO, .events = CURL_WAIT_POLLIN },
                { .fd = top->signal_fd, .events = CURL_WAIT_POLLIN } };
        uint64_t now_us;

        top_screen_resize(top->screen, &top->model);
        top->at_once = true;
        while (!top->quit) {
                now_us = clock_monotonic_us();
                top->dirty |= top_net_run(top->net, now_us);
                top->dirty |= top_model_tick(&top->model, now_us);
                draw(top, now_us);
                top_net_wait(top->net, fds, ARRAY_SIZE(fds), now_us,
                                top->drawn_us + (top->dirty ? FRAME_US : CLOCK_US));
                read_signals(top);
                read_keys(top, clock_monotonic_us());
        }
}

int top(const struct top_options *options) {
        struct top top = { .signal_fd = -EBADF };
        sigset_t before;
        int r;

        if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
                (void) fprintf(stderr,
                                "virtwatch: top wants a terminal; without one: top --batch\n");
                return -ENOTTY;
        }
        (void) sigemptyset(&before);
        r = top.signal_fd = open_signals(&before);
        if (r >= 0)
                r = top_model_init(&top.model, options->sort);
        if (r >= 0)
                r = top_net_new(options->cli, options->query, &top.model, &top.net);
        if (r >= 0)
                r = top_screen_open(options->cli->color, &top.screen);
        if (r >= 0)
                run(&top);
        top.screen = top_screen_close(top.screen);
        if (top.net)
                top.net = top_net_free(top.net);
        top_model_done(&top.model);
        if (r == -ENOTTY)
                (void) fprintf(stderr, "virtwatch: this terminal is not known (TERM)\n");
        else if (r < 0)
                (void) fprintf(stderr, "virtwatch: %s\n", strerrordesc_np(-r));
        top.signal_fd = fd_close(top.signal_fd);
        if (top.end_signal) {
                (void) signal(top.end_signal, SIG_DFL); /* curses has put a handler of its own */
                (void) raise(top.end_signal);           /* comes when it is not blocked any more */
        }
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        return r < 0 ? r : 0;
}
