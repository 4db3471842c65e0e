/* The kernel's OOM lines out of systemd's journal, which keeps them over a restart of ours, and PID
 * 1's word that systemd-oomd killed a unit. Read on the loop, a bounded number of entries a turn.
 *
 * journald announces what it wrote up to 250 ms late (it saves on wake-ups), but entries can be
 * read at once. An exit does not wait that long for its evidence, so the end of any workload has
 * the journal looked at, then and a few times more. */

#include <string.h>
#include <systemd/sd-journal.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "loop/timer.h"
#include "source/kernel_oom.h"

#define ENTRIES_A_TURN 256
#define LOOK_EVERY_US  (20 * USEC_PER_MSEC)
#define LOOK_FOR_US    (400 * USEC_PER_MSEC)
#define LAG_MAX_US     (3600 * USEC_PER_SEC)
#define SAVE_ENTRIES   4096
#define SAVE_QUIET_US  (15 * USEC_PER_SEC) /* longer than a kill waits for its workload */
#define OOMD_KILLED_ID "d989611b15e44c9dbf31e3c81256e4ed" /* systemd's sd-messages.h */
#define OOMD_UNIT      "systemd-oomd.service"
#define REASON_WAIT_US (150 * USEC_PER_MSEC)
#define OOMD_FRESH_US  (30 * USEC_PER_SEC)
#define JOURNAL_PREFIX "journal:"

struct journal_source {
        struct source source;
        sd_journal *journal;
        sd_event_source *io, *timer, *retry;
        char *directory;    /* NULL: the system's journal */
        char *cursor;       /* of the newest entry read, or where to resume; NULL: none */
        uint64_t n_unsaved; /* entries read since a cursor was posted */
        uint64_t told_us;   /* CLOCK_MONOTONIC of the last line that was posted; 0: none */
        uint64_t look_until_us, wait_us;
        struct {
                char path[512];
                const char *reason;
                uint64_t time_us; /* CLOCK_REALTIME */
        } oomd;                   /* what systemd-oomd said last: PID 1 does not say why */
        struct {
                char path[512]; /* "/UNIT"; "": none waits */
                char cursor[256];
                uint64_t time_us, deadline_us; /* CLOCK_REALTIME; CLOCK_MONOTONIC */
        } killed; /* PID 1's word of a kill, which is often faster than oomd's of the reason */
        bool at_cursor; /* the next entry may be the one the cursor names */
        struct kernel_fold fold;
};

static const struct source_ops kernel_journal_ops;

static struct journal_source *journal_of(struct source *source) {
        return CONTAINER_OF(source, struct journal_source, source);
}

/* Facility 0 under _TRANSPORT=kernel is the kernel's own; another one was written to /dev/kmsg by a
 * process. Names that begin with '_' are journald's word, not the sender's. */
static int add_matches(sd_journal *journal) {
        static const char *const kernel[] = { "_TRANSPORT=kernel", "SYSLOG_FACILITY=0" },
                                 *const manager[] = { "MESSAGE_ID=" OOMD_KILLED_ID, "_PID=1" };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(kernel); i++)
                r = sd_journal_add_match(journal, kernel[i], 0);
        if (r >= 0)
                r = sd_journal_add_disjunction(journal);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(manager); i++)
                r = sd_journal_add_match(journal, manager[i], 0);
        if (r >= 0)
                r = sd_journal_add_disjunction(journal);
        if (r >= 0)
                r = sd_journal_add_match(journal, "_SYSTEMD_UNIT=" OOMD_UNIT, 0);
        return r;
}

bool kernel_journal_serves(void) {
        _cleanup_(sd_journal_closep) sd_journal *journal = NULL;
        char match[64];
        sd_id128_t boot;

        if (access("/run/systemd/journal/socket", F_OK) < 0 || sd_id128_get_boot(&boot) < 0 ||
                        sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM) < 0)
                return false;
        (void) snprintf(match, sizeof(match), "_BOOT_ID=" SD_ID128_FORMAT_STR,
                        SD_ID128_FORMAT_VAL(boot));
        return sd_journal_add_match(journal, "_TRANSPORT=kernel", 0) >= 0 &&
                        sd_journal_add_match(journal, match, 0) >= 0 &&
                        sd_journal_seek_tail(journal) >= 0 && sd_journal_previous(journal) > 0;
}

/* ---- entries ---- */

/* The value of a field, not NUL-terminated; NULL: it has none. */
static const char *field(struct journal_source *journal, const char *name, size_t *ret_size) {
        const void *data;
        size_t size, n = strlen(name) + 1;

        if (sd_journal_get_data(journal->journal, name, &data, &size) < 0 || size < n)
                return NULL;
        *ret_size = size - n;
        return (const char *) data + n;
}

static bool is_field(struct journal_source *journal, const char *name, const char *value) {
        const char *text;
        size_t size;

        text = field(journal, name, &size);
        return text && size == strlen(value) && memcmp(text, value, size) == 0;
}

/* When the kernel wrote the line, which is before journald took it. */
static void entry_times(struct journal_source *journal, struct kernel_record *record) {
        uint64_t taken_us = 0, written_us;
        sd_id128_t boot; /* without it, another boot's entries have no such time */
        const char *text;
        char digits[24];
        size_t size;

        (void) sd_journal_get_realtime_usec(journal->journal, &record->time_us);
        (void) sd_journal_get_monotonic_usec(journal->journal, &taken_us, &boot);
        record->monotonic_us = taken_us;
        text = field(journal, "_SOURCE_MONOTONIC_TIMESTAMP", &size);
        if (!text || size >= sizeof(digits))
                return;
        memcpy(digits, text, size);
        digits[size] = '\0';
        if (text_to_u64(digits, &written_us) < 0 || written_us > taken_us ||
                        taken_us - written_us > LAG_MAX_US)
                return;
        record->monotonic_us = written_us;
        record->time_us -= taken_us - written_us;
}

/* Does what oomd named last lie in the unit that was killed? */
static bool oomd_said(const struct journal_source *journal) {
        const char *unit = journal->killed.path,
                   *at = journal->oomd.reason ? strstr(journal->oomd.path, unit) : NULL;
        char behind = at ? at[strlen(unit)] : 'x';

        return (behind == '\0' || behind == '/') &&
                        journal->killed.time_us < journal->oomd.time_us + OOMD_FRESH_US;
}

static void post_oomd(struct journal_source *journal) {
        struct fact fact = FACT_INIT(FACT_OOM);

        fact.time_us = journal->killed.time_us;
        fact.oom_source = OOM_FROM_OOMD;
        fact.oom_cgroup = journal->killed.path;
        fact.oomd_reason = oomd_said(journal) ? journal->oomd.reason : NULL;
        fact.origin = journal->killed.cursor;
        source_post(&journal->source, &fact);
        journal->killed.path[0] = '\0';
}

static void take_oomd_sentence(struct journal_source *journal) {
        const char *text, *path = NULL, *reason;
        size_t size, n = 0;

        text = field(journal, "MESSAGE", &size);
        reason = text ? kernel_oomd_reason(text, size, &path, &n) : NULL;
        if (!reason || n >= sizeof(journal->oomd.path))
                return;
        memcpy(journal->oomd.path, path, n);
        journal->oomd.path[n] = '\0';
        journal->oomd.reason = reason;
        (void) sd_journal_get_realtime_usec(journal->journal, &journal->oomd.time_us);
        if (journal->killed.path[0] && oomd_said(journal))
                post_oomd(journal);
}

/* PID 1 names the unit, not its cgroup; whoever looks for the workload goes by the name. */
static void take_killed(struct journal_source *journal, const char *cursor) {
        const char *unit;
        size_t size;

        unit = field(journal, "UNIT", &size);
        if (!unit || size == 0 || size + 2 > sizeof(journal->killed.path) ||
                        memchr(unit, '/', size))
                return;
        if (journal->killed.path[0])
                post_oomd(journal);
        journal->source.stats.raw_events++;
        journal->killed.path[0] = '/';
        memcpy(journal->killed.path + 1, unit, size);
        journal->killed.path[size + 1] = '\0';
        journal->killed.deadline_us = clock_monotonic_us() + REASON_WAIT_US;
        (void) snprintf(journal->killed.cursor, sizeof(journal->killed.cursor), "%s", cursor);
        (void) sd_journal_get_realtime_usec(journal->journal, &journal->killed.time_us);
        if (oomd_said(journal))
                post_oomd(journal);
}

/* Where to resume, without an event: otherwise only a kill moves what is stored. */
static void save_cursor(struct journal_source *journal) {
        struct fact fact = FACT_INIT(FACT_ACTION);

        fact.cursor = journal->cursor;
        journal->n_unsaved = 0;
        source_post(&journal->source, &fact);
}

static void take_entry(struct journal_source *journal) {
        struct kernel_record record = {};
        uint64_t n_before = journal->source.stats.raw_events;
        char *cursor;

        if (sd_journal_get_cursor(journal->journal, &cursor) < 0)
                return;
        free(journal->cursor);
        journal->cursor = cursor;

        journal->n_unsaved++;
        if (is_field(journal, "_SYSTEMD_UNIT", OOMD_UNIT)) {
                take_oomd_sentence(journal);
        } else if (is_field(journal, "MESSAGE_ID", OOMD_KILLED_ID)) {
                take_killed(journal, cursor);
        } else {
                entry_times(journal, &record);
                record.origin = cursor;
                record.text = field(journal, "MESSAGE", &record.size);
                if (record.text)
                        kernel_fold_line(&journal->fold, &journal->source, &record);
        }
        if (journal->source.stats.raw_events != n_before)
                journal->told_us = clock_monotonic_us();
}

/* The entry that the cursor names: taken before. */
static void skip_entry(struct journal_source *journal) {
        struct kernel_record record = {};

        entry_times(journal, &record);
        record.text = field(journal, "MESSAGE", &record.size);
        if (record.text)
                kernel_fold_skip(&journal->fold, &record);
}

/* ---- reading ---- */

static void journal_shut(struct journal_source *journal) {
        journal->io = sd_event_source_disable_unref(journal->io);
        sd_journal_close(journal->journal);
        journal->journal = NULL;
        timer_off(journal->timer);
}

static void journal_lost(struct journal_source *journal, const char *what, int error) {
        char text[256];

        (void) snprintf(text, sizeof(text), "journal: %s: %s", what, strerrordesc_np(-error));
        journal_shut(journal);
        journal->source.stats.reconnects++;
        kernel_post_readable(&journal->source, false);
        source_post_state(&journal->source, SOURCE_DOWN, text);
        (void) timer_arm(journal->retry, source_backoff_next(&journal->wait_us));
}

static void journal_read(struct journal_source *journal) {
        int r = 1;
        bool skip;

        for (unsigned int i = 0; r > 0 && i < ENTRIES_A_TURN; i++) {
                r = sd_journal_next(journal->journal);
                if (r < 0) {
                        /* A damaged file: opened again, behind what was read. */
                        journal_lost(journal, "cannot be read", r);
                        return;
                }
                if (r == 0)
                        break;
                skip = journal->at_cursor && journal->cursor &&
                                sd_journal_test_cursor(journal->journal, journal->cursor) > 0;
                journal->at_cursor = false;
                if (skip)
                        skip_entry(journal);
                else
                        take_entry(journal);
        }
        if (r > 0)
                (void) timer_arm(journal->timer, 0); /* there is more: after the others' turn */
        if (journal->n_unsaved >= SAVE_ENTRIES &&
                        clock_monotonic_us() - journal->told_us > SAVE_QUIET_US)
                save_cursor(journal);
}

static void look_again(struct journal_source *journal) {
        uint64_t now_us = clock_monotonic_us();

        if (journal->killed.path[0] && now_us >= journal->killed.deadline_us)
                post_oomd(journal);
        if (journal->journal && (journal->killed.path[0] || now_us < journal->look_until_us) &&
                        sd_event_source_get_enabled(journal->timer, NULL) == 0)
                (void) timer_arm(journal->timer, LOOK_EVERY_US);
}

static void journal_open(struct journal_source *journal);

static void journal_catch_up(struct journal_source *journal) {
        int r;

        r = sd_journal_process(journal->journal);
        if (r < 0) {
                journal_lost(journal, "cannot be followed", r);
        } else if (r == SD_JOURNAL_INVALIDATE) {
                /* Files came or went (a rotation): begin again behind the newest entry read. */
                journal_shut(journal);
                journal_open(journal);
        } else {
                journal_read(journal);
        }
}

static int on_timer(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct journal_source *journal = userdata;

        journal_catch_up(journal);
        look_again(journal);
        return 0;
}

static int on_announced(sd_event_source *io, int fd, uint32_t events, void *userdata) {
        struct journal_source *journal = userdata;

        journal_catch_up(journal);
        look_again(journal);
        return 0;
}

static int journal_seek(struct journal_source *journal) {
        int r;

        journal->at_cursor = journal->cursor &&
                        sd_journal_seek_cursor(journal->journal, journal->cursor) >= 0;
        if (journal->at_cursor)
                return 0;

        /* The first time, or another reader's cursor: what there is is no news. A cursor may be a
         * time alone. */
        free(journal->cursor);
        r = asprintf(&journal->cursor, "t=%jx", (uintmax_t) clock_realtime_us());
        if (r < 0) {
                journal->cursor = NULL;
                return -ENOMEM;
        }
        save_cursor(journal);
        return sd_journal_seek_cursor(journal->journal, journal->cursor);
}

static int journal_try(struct journal_source *journal) {
        int r, fd;

        r = journal->directory ? sd_journal_open_directory(&journal->journal, journal->directory, 0)
                               : sd_journal_open(&journal->journal,
                                                 SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);
        if (r >= 0)
                r = add_matches(journal->journal);
        if (r < 0)
                return r;

        fd = sd_journal_get_fd(journal->journal); /* watched from here on: nothing falls between */
        if (fd < 0)
                return fd;
        r = sd_event_add_io(journal->source.env->event, &journal->io, fd,
                        (uint32_t) sd_journal_get_events(journal->journal), on_announced, journal);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(journal->io, "journal");
        (void) sd_event_source_set_priority(journal->io, SD_EVENT_PRIORITY_IMPORTANT);
        return journal_seek(journal);
}

static void journal_open(struct journal_source *journal) {
        int r;

        r = journal_try(journal);
        if (r < 0) {
                journal_lost(journal, "cannot open", r);
                return;
        }
        journal->wait_us = 0;
        kernel_post_readable(&journal->source, true);
        source_post_state(&journal->source, SOURCE_UP, NULL);
        journal_read(journal);
}

static int on_retry(sd_event_source *timer, uint64_t time_us, void *userdata) {
        journal_open(userdata);
        look_again(userdata);
        return 0;
}

/* A workload ended: the line that says why may be there and not announced. */
static void journal_unwatch(struct source *source, const struct workload *workload) {
        struct journal_source *journal = journal_of(source);

        if (!journal->journal)
                return;
        journal->look_until_us = clock_monotonic_us() + LOOK_FOR_US;
        journal_catch_up(journal);
        look_again(journal);
}

/* ---- life of the source ---- */

static int journal_start(struct source *source) {
        struct journal_source *journal = journal_of(source);

        journal_open(journal);
        look_again(journal);
        return 0;
}

static void journal_stop(struct source *source) {
        struct journal_source *journal = journal_of(source);

        journal_shut(journal);
        timer_off(journal->retry);
}

static void journal_free(struct source *source) {
        struct journal_source *journal = journal_of(source);

        journal_stop(source);
        sd_event_source_disable_unref(journal->timer);
        sd_event_source_disable_unref(journal->retry);
        free(journal->directory);
        free(journal->cursor);
        source_done(source);
        free(journal);
}

int kernel_journal_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        struct journal_source *journal;
        int r;

        journal = calloc(1, sizeof(*journal));
        if (!journal)
                return -ENOMEM;

        r = source_init(&journal->source, &kernel_journal_ops, config, env);
        if (config->address && text_starts_with(config->address, JOURNAL_PREFIX)) {
                journal->directory = strdup(config->address + strlen(JOURNAL_PREFIX));
                if (!journal->directory)
                        r = -ENOMEM;
        }
        if (config->cursor) { /* /dev/kmsg's are refused by the seek */
                journal->cursor = strdup(config->cursor);
                if (!journal->cursor)
                        r = -ENOMEM;
        }
        if (r >= 0)
                r = timer_new(env->event, on_timer, journal, &journal->timer);
        if (r >= 0)
                r = timer_new(env->event, on_retry, journal, &journal->retry);
        if (r < 0) {
                journal_free(&journal->source);
                return r;
        }
        *ret_source = &journal->source;
        return 0;
}

static const struct source_ops kernel_journal_ops = { .name = "kernel",
        .create = kernel_journal_create,
        .start = journal_start,
        .stop = journal_stop,
        .free = journal_free,
        .unwatch = journal_unwatch };
