/* The kernel's OOM lines out of /dev/kmsg: where no journal serves. */

#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "model/kmsg.h"
#include "source/kernel_oom.h"

#define RECORD_MAX     8192
#define RECORDS_A_TURN 256
#define BOOT_ID_SIZE   37

struct kernel_source {
        struct source source;
        int fd;
        sd_event_source *io, *retry;
        char boot_id[BOOT_ID_SIZE];
        uint64_t resume; /* skip records up to this sequence number */
        bool has_resume;
        uint64_t last_sequence; /* 0: none read */
        uint64_t wait_us;
        struct kernel_fold fold;
};

static const struct source_ops kernel_kmsg_ops;

static struct kernel_source *kernel_of(struct source *source) {
        return CONTAINER_OF(source, struct kernel_source, source);
}

static void take_record(struct kernel_source *kernel, const char *text, size_t size) {
        struct kernel_record line;
        struct kmsg_record record;
        char origin[96];

        if (kmsg_parse(text, size, &record) < 0) {
                source_malformed(&kernel->source, "Unreadable kernel record", text, size);
                return;
        }
        if (kernel->last_sequence && record.sequence > kernel->last_sequence + 1)
                kernel->source.stats.dropped += record.sequence - kernel->last_sequence - 1;
        kernel->last_sequence = record.sequence;
        if (record.facility != 0) /* anybody who may open /dev/kmsg can write such a record */
                return;
        (void) snprintf(origin, sizeof(origin), "%s/%ju", kernel->boot_id,
                        (uintmax_t) record.sequence);
        line = (struct kernel_record){
                .text = record.text,
                .size = record.text_size,
                .monotonic_us = record.monotonic_us,
                .time_us = clock_realtime_of_monotonic_us(record.monotonic_us),
                .origin = origin,
        };
        if (kernel->has_resume && record.sequence <= kernel->resume)
                kernel_fold_skip(&kernel->fold, &line);
        else
                kernel_fold_line(&kernel->fold, &kernel->source, &line);
}

static void kernel_lost(struct kernel_source *kernel, int error) {
        char text[128];

        (void) snprintf(text, sizeof(text), "/dev/kmsg: %s", strerrordesc_np(-error));
        kernel->io = sd_event_source_disable_unref(kernel->io);
        kernel->fd = fd_close(kernel->fd);
        kernel_post_readable(&kernel->source, false);
        source_post_state(&kernel->source, SOURCE_DOWN, text);
        (void) sd_event_source_set_time_relative(
                        kernel->retry, source_backoff_next(&kernel->wait_us));
        (void) sd_event_source_set_enabled(kernel->retry, SD_EVENT_ONESHOT);
}

static int on_readable(sd_event_source *io, int fd, uint32_t events, void *userdata) {
        struct kernel_source *kernel = userdata;
        char record[RECORD_MAX];
        ssize_t n;

        for (unsigned int i = 0; i < RECORDS_A_TURN; i++) {
                n = read(fd, record, sizeof(record));
                if (n > 0) {
                        take_record(kernel, record, (size_t) n);
                } else if (n < 0 && errno == EAGAIN) {
                        return 0;
                } else if (n < 0 && errno != EPIPE && errno != EINTR && errno != EINVAL) {
                        kernel_lost(kernel, -errno); /* EPIPE: overwritten; the gap in the numbers
                                                        counts it */
                        return 0;
                }
        }
        return 0;
}

static void kernel_open(struct kernel_source *kernel) {
        int r;

        kernel->fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (kernel->fd < 0) {
                kernel_lost(kernel, -errno);
                return;
        }
        if (!kernel->has_resume && lseek(kernel->fd, 0, SEEK_END) < 0) {
                kernel_lost(kernel, -errno);
                return;
        }
        r = sd_event_add_io(kernel->source.env->event, &kernel->io, kernel->fd, EPOLLIN,
                        on_readable, kernel);
        if (r < 0) {
                kernel_lost(kernel, r);
                return;
        }
        (void) sd_event_source_set_description(kernel->io, "kmsg");
        /* The line comes before the runtime's word of the death: read it first. */
        (void) sd_event_source_set_priority(kernel->io, SD_EVENT_PRIORITY_IMPORTANT);
        kernel->wait_us = 0;
        kernel_post_readable(&kernel->source, true);
        source_post_state(&kernel->source, SOURCE_UP, NULL);
}

static int on_retry(sd_event_source *timer, uint64_t time_us, void *userdata) {
        kernel_open(userdata);
        return 0;
}

static void kernel_stop(struct source *source) {
        struct kernel_source *kernel = kernel_of(source);

        kernel->io = sd_event_source_disable_unref(kernel->io);
        kernel->fd = fd_close(kernel->fd);
        (void) sd_event_source_set_enabled(kernel->retry, SD_EVENT_OFF);
}

static void kernel_free(struct source *source) {
        struct kernel_source *kernel = kernel_of(source);

        kernel_stop(source);
        sd_event_source_disable_unref(kernel->retry);
        source_done(source);
        free(kernel);
}

static void set_resume(struct kernel_source *kernel, const char *cursor) {
        size_t n = strlen(kernel->boot_id);

        /* Another boot's numbers mean nothing; its lines are gone with it. All of this boot's are
         * news then. */
        kernel->has_resume = true;
        if (strncmp(cursor, kernel->boot_id, n) != 0 || cursor[n] != '/' ||
                        text_to_u64(cursor + n + 1, &kernel->resume) < 0)
                kernel->resume = 0;
}

int kernel_kmsg_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        _cleanup_(freep) char *boot_id = NULL;
        struct kernel_source *kernel;
        int r;

        kernel = calloc(1, sizeof(*kernel));
        if (!kernel)
                return -ENOMEM;

        kernel->fd = -EBADF;
        r = source_init(&kernel->source, &kernel_kmsg_ops, config, env);
        if (r >= 0)
                r = fs_read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 256, &boot_id, NULL);
        if (r >= 0)
                r = sd_event_add_time(env->event, &kernel->retry, CLOCK_MONOTONIC, USEC_INFINITY,
                                1000, on_retry, kernel);
        if (r >= 0)
                r = sd_event_source_set_enabled(kernel->retry, SD_EVENT_OFF);
        if (r < 0) {
                kernel_free(&kernel->source);
                return r;
        }
        (void) snprintf(kernel->boot_id, sizeof(kernel->boot_id), "%.36s", boot_id);
        if (config->cursor)
                set_resume(kernel, config->cursor);
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
