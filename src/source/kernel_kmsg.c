/* The kernel's OOM lines where no journal serves: out of the socket of virtwatch-kmsg, which may
 * read /dev/kmsg for us; where there is no such socket, out of /dev/kmsg itself, if we may. Both
 * number the lines alike, so that one goes on where the other was. */

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "loop/timer.h"
#include "source/kernel_oom.h"
#include "source/kmsg_client.h"

#define RECORDS_A_TURN 256
#define BOOT_ID_SIZE   37
#define ANSWER_US      (10 * USEC_PER_SEC) /* what a helper may take until it has caught up */
#define SAVE_RECORDS   256
#define SAVE_EVERY_US  USEC_PER_SEC        /* a helper that is none may say more */
#define SAVE_QUIET_US  (15 * USEC_PER_SEC) /* longer than a kill waits for its workload */
#define DEVICE         "/dev/kmsg"

struct kernel_source {
        struct source source;
        char *socket; /* of the helper; "": none is asked */
        int fd;
        bool is_helper, is_up;
        sd_event_source *io, *timer; /* timer: when to try again, or how long to wait for a word */
        char boot_id[BOOT_ID_SIZE];
        bool has_position;
        uint64_t position; /* all records up to this one have been taken; 0: of none */
        uint64_t saved;    /* the position that was posted last */
        uint64_t saved_us; /* CLOCK_MONOTONIC; 0: never */
        uint64_t told_us;  /* CLOCK_MONOTONIC of the last line that was posted; 0: none */
        uint64_t wait_us;
        struct kernel_fold fold;
};

static const struct source_ops kernel_kmsg_ops;

static struct kernel_source *kernel_of(struct source *source) {
        return CONTAINER_OF(source, struct kernel_source, source);
}

/* ---- lines ---- */

static void take_record(struct kernel_source *kernel, const struct kmsg_record *record) {
        uint64_t n_before = kernel->source.stats.raw_events, now_us = clock_monotonic_us();
        struct kernel_record line;
        char origin[96];

        (void) snprintf(origin, sizeof(origin), "%s/%ju", kernel->boot_id,
                        (uintmax_t) record->sequence);
        line = (struct kernel_record){
                .text = record->text,
                .size = record->text_size,
                /* The log's clock may run ahead of ours a little. */
                .monotonic_us = record->monotonic_us < now_us ? record->monotonic_us : now_us,
                .origin = origin,
        };
        line.time_us = clock_realtime_of_monotonic_us(line.monotonic_us);
        if (kernel->has_position && record->sequence <= kernel->position) {
                kernel_fold_skip(&kernel->fold, &line);
                return;
        }
        kernel->has_position = true;
        kernel->position = record->sequence;
        if (record->facility != 0) /* anybody who may open /dev/kmsg can write such a record */
                return;
        kernel_fold_line(&kernel->fold, &kernel->source, &line);
        if (kernel->source.stats.raw_events != n_before)
                kernel->told_us = now_us;
}

static void lose(struct kernel_source *kernel, uint64_t n) {
        unsigned int held;

        kernel->source.stats.dropped += n;
        if (log_ratelimit_pass(&kernel->source.limit, clock_monotonic_us(), &held)) {
                log_with(LOG_LEVEL_WARN, FIELDS({ "VIRTWATCH_SOURCE", kernel->source.name }),
                                "%ju records of the kernel's log were overwritten before they could be read",
                                (uintmax_t) n);
        }
}

/* Where to resume, without an event: otherwise only a kill moves what is stored. */
static void save_position(struct kernel_source *kernel) {
        struct fact fact = FACT_INIT(FACT_ACTION);
        uint64_t now_us = clock_monotonic_us();
        char cursor[96];

        if ((kernel->told_us && now_us - kernel->told_us < SAVE_QUIET_US) ||
                        (kernel->saved_us && now_us - kernel->saved_us < SAVE_EVERY_US))
                return;
        (void) snprintf(cursor, sizeof(cursor), "%s/%ju", kernel->boot_id,
                        (uintmax_t) kernel->position);
        kernel->saved = kernel->position;
        kernel->saved_us = now_us;
        fact.cursor = cursor;
        source_post(&kernel->source, &fact);
}

/* ---- being there, and not ---- */

static void kernel_shut(struct kernel_source *kernel) {
        kernel->io = sd_event_source_disable_unref(kernel->io);
        kernel->fd = fd_close(kernel->fd);
        kernel->is_up = false;
        timer_off(kernel->timer);
}

static void kernel_lost(struct kernel_source *kernel, const char *text) {
        kernel_shut(kernel);
        kernel->source.stats.reconnects++;
        kernel_post_readable(&kernel->source, false);
        source_post_state(&kernel->source, SOURCE_DOWN, text);
        (void) timer_arm(kernel->timer, source_backoff_next(&kernel->wait_us));
}

static void kernel_failed(struct kernel_source *kernel, const char *what, const char *why) {
        char text[512];

        (void) snprintf(text, sizeof(text), "%s: %s", what, why);
        kernel_lost(kernel, text);
}

static void kernel_up(struct kernel_source *kernel) {
        if (kernel->is_up)
                return;
        kernel->is_up = true;
        kernel->wait_us = 0;
        timer_off(kernel->timer);
        kernel_post_readable(&kernel->source, true);
        source_post_state(&kernel->source, SOURCE_UP, NULL);
}

/* ---- /dev/kmsg itself ---- */

static void take_text(struct kernel_source *kernel, const char *text, size_t size) {
        struct kmsg_record record;

        if (kmsg_parse(text, size, &record) < 0) {
                source_malformed(&kernel->source, "Unreadable kernel record", text, size);
                return;
        }
        if (kernel->has_position && kernel->position && record.sequence > kernel->position + 1)
                lose(kernel, record.sequence - kernel->position - 1);
        take_record(kernel, &record);
}

static void read_device(struct kernel_source *kernel) {
        char record[KMSG_WIRE_MAX];
        ssize_t n;

        for (unsigned int i = 0; i < RECORDS_A_TURN; i++) {
                n = read(kernel->fd, record, sizeof(record));
                if (n > 0) {
                        take_text(kernel, record, (size_t) n);
                } else if (n < 0 && errno == EAGAIN) {
                        if (kernel->position >= kernel->saved + SAVE_RECORDS)
                                save_position(kernel);
                        return;
                } else if (n < 0 && errno != EPIPE && errno != EINTR && errno != EINVAL) {
                        kernel_failed(kernel, DEVICE, strerrordesc_np(errno));
                        return; /* EPIPE: overwritten; the gap in the numbers counts it */
                }
        }
}

static int open_device(struct kernel_source *kernel) {
        _cleanup_(fd_closep) int fd = open(DEVICE, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0 || (!kernel->has_position && lseek(fd, 0, SEEK_END) < 0))
                return -errno;
        return TAKE_FD(fd);
}

/* ---- the helper's socket ---- */

static void helper_failed(struct kernel_source *kernel, const char *text, size_t size) {
        _cleanup_(freep) char *clean = NULL;

        (void) text_sanitize(text, size, 200, &clean);
        kernel_failed(kernel, kernel->socket, clean ? clean : "");
}

/* Return: whether to read on. */
static bool take_message(struct kernel_source *kernel, const struct kmsg_message *message) {
        switch (message->type) {
        case KMSG_WIRE_RECORD:
                take_record(kernel, &message->record);
                return true;
        case KMSG_WIRE_LOST:
                lose(kernel, message->number);
                return true;
        case KMSG_WIRE_NEXT:
                kernel->has_position = true;
                kernel->position = message->number > 0 ? message->number - 1 : 0;
                save_position(kernel);
                kernel_up(kernel);
                return true;
        case KMSG_WIRE_FAILED:
                helper_failed(kernel, message->text, message->text_size);
                return false;
        }
        return false;
}

static void read_helper(struct kernel_source *kernel) {
        char packet[KMSG_WIRE_MAX];
        struct kmsg_message message;
        bool goes_on = true;
        int r;

        for (unsigned int i = 0; goes_on && i < RECORDS_A_TURN; i++) {
                r = kmsg_client_read(kernel->fd, packet, &message);
                if (r == 0)
                        return;
                if (r == -EBADMSG)
                        source_malformed(&kernel->source, "A word that is no helper's", "", 0);
                else if (r < 0)
                        kernel_failed(kernel, kernel->socket, strerrordesc_np(-r));
                else
                        goes_on = take_message(kernel, &message);
                goes_on = goes_on && (r > 0 || r == -EBADMSG);
        }
}

/* ---- life of the source ---- */

static int on_readable(sd_event_source *io, int fd, uint32_t events, void *userdata) {
        struct kernel_source *kernel = userdata;

        if (kernel->is_helper)
                read_helper(kernel);
        else
                read_device(kernel);
        return 0;
}

/* A socket that is there is the way, whoever else may read the device: where its helper is away, so
 * are we. */
static int kernel_connect(struct kernel_source *kernel, char text[static 512]) {
        int fd = -ENOENT;

        if (kernel->socket[0]) {
                fd = kmsg_client_open(kernel->socket,
                                kernel->has_position ? kernel->position : KMSG_WIRE_END);
        }
        kernel->is_helper = fd != -ENOENT;
        if (kernel->is_helper) {
                if (fd < 0)
                        (void) snprintf(text, 512, "%s: %s", kernel->socket, strerrordesc_np(-fd));
                return fd;
        }
        fd = open_device(kernel);
        if (fd < 0) {
                (void) snprintf(text, 512, "%s%s" DEVICE ": %s", kernel->socket,
                                kernel->socket[0] ? ": No such file or directory; " : "",
                                strerrordesc_np(-fd));
        }
        return fd;
}

static void kernel_open(struct kernel_source *kernel) {
        char text[512];
        int r;

        kernel->fd = kernel_connect(kernel, text);
        if (kernel->fd < 0) {
                kernel_lost(kernel, text);
                return;
        }
        r = sd_event_add_io(kernel->source.env->event, &kernel->io, kernel->fd, EPOLLIN,
                        on_readable, kernel);
        if (r < 0) {
                kernel_failed(kernel, "kmsg", strerrordesc_np(-r));
                return;
        }
        (void) sd_event_source_set_description(kernel->io, "kmsg");
        /* The line comes before the runtime's word of the death: read it first. */
        (void) sd_event_source_set_priority(kernel->io, SD_EVENT_PRIORITY_IMPORTANT);
        if (kernel->is_helper) /* systemd's socket takes whom no helper will answer */
                (void) timer_arm(kernel->timer, ANSWER_US);
        else
                kernel_up(kernel);
}

static int on_timer(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct kernel_source *kernel = userdata;

        if (kernel->fd >= 0)
                kernel_failed(kernel, kernel->socket, "No answer");
        else
                kernel_open(kernel);
        return 0;
}

static void kernel_stop(struct source *source) {
        kernel_shut(kernel_of(source));
}

static void kernel_free(struct source *source) {
        struct kernel_source *kernel = kernel_of(source);

        kernel_stop(source);
        sd_event_source_disable_unref(kernel->timer);
        source_done(source);
        free(kernel->socket);
        free(kernel);
}

static void set_position(struct kernel_source *kernel, const char *cursor) {
        size_t n = strlen(kernel->boot_id);

        if (strlen(cursor) < n || cursor[n] != '/')
                return; /* the journal's: what there is is no news */
        /* Another boot's numbers mean nothing; its lines are gone with it. All of this boot's are
         * news then. */
        kernel->has_position = true;
        if (strncmp(cursor, kernel->boot_id, n) != 0 ||
                        text_to_u64(cursor + n + 1, &kernel->position) < 0 ||
                        kernel->position == KMSG_WIRE_END)
                kernel->position = 0;
        kernel->saved = kernel->position;
}

int kernel_kmsg_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        const char *colon = config->address ? strchr(config->address, ':') : NULL;
        _cleanup_(freep) char *boot_id = NULL;
        struct kernel_source *kernel;
        int r;

        kernel = calloc(1, sizeof(*kernel));
        if (!kernel)
                return -ENOMEM;

        kernel->fd = -EBADF;
        r = source_init(&kernel->source, &kernel_kmsg_ops, config, env);
        kernel->socket = strdup(colon ? colon + 1 : "");
        if (!kernel->socket)
                r = -ENOMEM;
        if (r >= 0)
                r = fs_read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 256, &boot_id, NULL);
        if (r >= 0)
                r = timer_new(env->event, on_timer, kernel, &kernel->timer);
        if (r < 0) {
                kernel_free(&kernel->source);
                return r;
        }
        (void) snprintf(kernel->boot_id, sizeof(kernel->boot_id), "%.36s", boot_id);
        if (config->cursor)
                set_position(kernel, config->cursor);
        *ret_source = &kernel->source;
        return 0;
}

static int kernel_start(struct source *source) {
        kernel_open(kernel_of(source));
        return 0;
}

static const struct source_ops kernel_kmsg_ops = { .name = "kernel",
        .create = kernel_kmsg_create,
        .start = kernel_start,
        .stop = kernel_stop,
        .free = kernel_free };
