/* The loop's side: when to ask, what to remember, whom to tell. */

#include "source/libvirt_guest.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "source/libvirt_guest_internal.h"

#define ROUND_PERIOD_US (5 * USEC_PER_SEC)
/* A round ends itself after 10 s; the last visit may wait for an agent (5 s, twice) and for another
 * one's job to end (30 s, libvirt's own limit). */
#define DEADLINE_US (60 * USEC_PER_SEC)
/* What a guest said is believed for so many periods, as its memory is (usage.c). */
#define BELIEVED_PERIODS 3

/* What is known of a guest. */
struct record {
        char uuid[VIR_UUID_STRING_BUFLEN];
        uint64_t life;
        uint64_t fs_us; /* CLOCK_MONOTONIC of its file systems; 0: none */
        uint64_t images_us;
        struct stats *guest;
};

struct libvirt_guest {
        const struct meter_env *env;
        char *source;
        struct libvirt_crew *crew;
        uint64_t period_us;
        bool write, local;
        char skip[VIR_UUID_STRING_BUFLEN];
        struct map *records; /* by uuid */
        uint64_t due_us;
        bool changed; /* since the last round began */
};

static void record_free(struct record *record) {
        if (!record)
                return;
        stats_free(record->guest);
        free(record);
}

static struct record *record_get(struct libvirt_guest *guest, const char *uuid) {
        struct record *record = map_get(guest->records, uuid);

        if (record)
                return record;
        record = calloc(1, sizeof(*record));
        if (!record)
                return NULL;
        (void) snprintf(record->uuid, sizeof(record->uuid), "%s", uuid);
        if (map_put(guest->records, uuid, record) < 0) {
                free(record);
                return NULL;
        }
        return record;
}

/* ---- what rounds find ---- */

/* File systems that were not told this time stay, until they are too old. */
static void take_guest(struct libvirt_guest *guest, struct guest_note *note) {
        struct record *record = record_get(guest, note->uuid);
        uint64_t now_us = clock_monotonic_us();
        struct stats *new = note->guest, *old;

        if (!record)
                return;
        if (record->life != note->life) {
                record->guest = stats_free(record->guest);
                record->life = note->life;
                record->fs_us = 0;
        }
        old = record->guest;
        if (new->n_fs) {
                record->fs_us = now_us;
        } else if (old) {
                new->fs = TAKE_PTR(old->fs);
                new->n_fs = old->n_fs;
                old->n_fs = 0;
                stats_sum_fs(new);
        }
        stats_free(old);
        record->guest = TAKE_PTR(note->guest);
        record->images_us = now_us;
}

static void take_addresses(const struct libvirt_guest *guest, const struct guest_note *note) {
        const char *addresses[WORKLOAD_ADDRESSES_MAX];
        size_t n = 0;

        for (; n < note->n_addresses && n < ARRAY_SIZE(addresses); n++)
                addresses[n] = note->addresses[n];
        guest->env->addresses(guest->source, note->uuid, addresses, n, guest->env->userdata);
}

static void crew_done(void *result, uint64_t took_us, bool late, void *userdata) {
        struct guest_notes *notes = result;
        struct libvirt_guest *guest = userdata;

        if (late || !notes) {
                guest->changed = true; /* nobody has looked */
                guest_notes_free(notes);
                return;
        }
        for (size_t i = 0; i < notes->n; i++) {
                struct guest_note *note = &notes->notes[i];

                if (note->guest)
                        take_guest(guest, note);
                if (note->addresses_known)
                        take_addresses(guest, note);
                if (note->given)
                        guest->env->post(guest->source, note->uuid, TAKE_PTR(note->given),
                                        guest->env->userdata);
        }
        if (notes->pools && guest->env->pools)
                guest->env->pools(
                                guest->source, notes->pools, notes->n_pools, guest->env->userdata);
        if (notes->more)
                guest->due_us = 0;
        guest_notes_free(notes);
}

static void crew_given_up(const char *uuid, uint64_t waited_us, void *userdata) {
        struct libvirt_guest *guest = userdata;

        if (strcmp(uuid, GUEST_AT_POOLS) == 0) {
                log_warn("The storage pools of %s have held up what is read of guests for %ju s; "
                         "they are left out for a while",
                                guest->source, (uintmax_t) (waited_us / USEC_PER_SEC));
        } else {
                log_warn("Domain %s has held up what is read of guests for %ju s; it is left out for a "
                         "while",
                                uuid, (uintmax_t) (waited_us / USEC_PER_SEC));
        }
        (void) snprintf(guest->skip, sizeof(guest->skip), "%s", uuid);
}

static void *crew_memory_new(void *userdata) {
        const struct libvirt_guest *guest = userdata;

        return guest_memory_new(&(struct guest_memory_config){ .period_us = guest->period_us,
                        .write = guest->write,
                        .local = guest->local,
                        .skip = guest->skip });
}

static void crew_memory_free(void *memory) {
        guest_memory_free(memory);
}

static void *crew_round(struct libvirt_worker *worker, void *memory, virConnectPtr connection,
                unsigned int flags) {
        return guest_round(worker, memory, connection, flags);
}

static void crew_result_free(void *result) {
        guest_notes_free(result);
}

static const struct libvirt_crew_ops crew_ops = {
        .memory_new = crew_memory_new,
        .memory_free = crew_memory_free,
        .round = crew_round,
        .done = crew_done,
        .result_free = crew_result_free,
        .given_up = crew_given_up,
};

/* ---- the loop ---- */

void libvirt_guest_read(struct libvirt_guest *guest) {
        uint64_t now_us = clock_monotonic_us();

        if (!guest->changed && now_us < guest->due_us)
                return;
        if (!libvirt_crew_ready(guest->crew, DEADLINE_US, 0))
                return;
        guest->due_us = now_us +
                        (guest->period_us < ROUND_PERIOD_US ? guest->period_us : ROUND_PERIOD_US);
        if (libvirt_crew_ask(guest->crew, guest->changed ? GUEST_ROUND_CHANGED : 0) >= 0)
                guest->changed = false;
}

void libvirt_guest_changed(struct libvirt_guest *guest, const char *uuid) {
        guest->changed = true;
        record_free(map_remove(guest->records, uuid));
}

void libvirt_guest_complete(
                const struct libvirt_guest *guest, const char *uuid, struct stats *stats) {
        const struct record *record = map_get(guest->records, uuid);
        uint64_t now_us = clock_monotonic_us(), believed_us = BELIEVED_PERIODS * guest->period_us;

        if (!record || !record->guest || record->life != stats->life)
                return;
        for (size_t i = 0; i < stats->n_blocks && now_us < record->images_us + believed_us; i++) {
                const struct stats_block *block =
                                stats_find_block(record->guest, stats->blocks[i].name);

                if (block)
                        stats->blocks[i].file_bytes = block->file_bytes;
        }
        if (!record->guest->n_fs || now_us >= record->fs_us + believed_us)
                return;
        stats->fs = calloc(record->guest->n_fs, sizeof(*stats->fs));
        if (!stats->fs)
                return;
        memcpy(stats->fs, record->guest->fs, record->guest->n_fs * sizeof(*stats->fs));
        stats->n_fs = record->guest->n_fs;
        stats->fs_used_bytes = record->guest->fs_used_bytes;
        stats->fs_total_bytes = record->guest->fs_total_bytes;
        stats->fs_fullest_percent = record->guest->fs_fullest_percent;
}

struct libvirt_guest *libvirt_guest_free(struct libvirt_guest *guest) {
        struct record *record;

        if (!guest)
                return NULL;
        libvirt_crew_free(guest->crew);
        if (guest->records)
                map_for_each(record, guest->records)
                        record_free(record);
        map_free(guest->records);
        free(guest->source);
        free(guest);
        return NULL;
}

/* "qemu:///system" and "qemu+unix:///…" are of this host; "qemu+ssh://other/system" is not. */
static bool is_local(const char *uri) {
        const char *at = strstr(uri, "://");

        return at && at[3] == '/' && !text_starts_with(uri, "esx");
}

int libvirt_guest_new(const struct libvirt_crew_config *config, const char *source,
                uint64_t period_us, const struct meter_env *env, struct libvirt_guest **ret_guest) {
        struct libvirt_crew_config crew = *config;
        struct libvirt_guest *guest = calloc(1, sizeof(*guest));
        int r;

        if (!guest)
                return -ENOMEM;
        crew.stuck_max = 1; /* the other one is for what is read each round */
        guest->env = env;
        guest->period_us = period_us;
        guest->write = config->write;
        guest->local = is_local(config->uri);
        guest->changed = true;
        guest->source = strdup(source);
        r = guest->source ? map_new(&guest->records) : -ENOMEM;
        if (r >= 0)
                r = libvirt_crew_new(&crew, &crew_ops, env->event, guest, &guest->crew);
        if (r < 0) {
                libvirt_guest_free(guest);
                return r;
        }
        *ret_guest = guest;
        return 0;
}
