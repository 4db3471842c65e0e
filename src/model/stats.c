/* Readings: plain data with bounds. */

#include "model/stats.h"

#include <string.h>

#include "base/text.h"

/* Grows by one zeroed element. Return: it, or NULL. */
static void *add(void **array, size_t *n, size_t max, size_t size, uint64_t *refused) {
        void *grown;

        if (*n >= max) {
                (*refused)++;
                return NULL;
        }
        grown = reallocarray(*array, *n + 1, size);
        if (!grown)
                return NULL;
        *array = grown;
        (*n)++;
        return memset((char *) grown + (*n - 1) * size, 0, size);
}

struct stats *stats_new(enum stats_origin origin) {
        struct stats *stats = calloc(1, sizeof(*stats));

        if (!stats)
                return NULL;
        stats->origin = origin;
        stats->cpu_ns = stats->user_ns = stats->system_ns = STATS_UNKNOWN;
        stats->vcpus_current = stats->vcpus_maximum = STATS_UNKNOWN;
        stats->throttled_ns = stats->throttled_periods = stats->periods = STATS_UNKNOWN;
        stats->memory_bytes = stats->memory_cache_bytes = stats->memory_anon_bytes = STATS_UNKNOWN;
        stats->memory_limit_bytes = stats->memory_reserved_bytes = STATS_UNKNOWN;
        stats->cpu_weight = STATS_UNKNOWN;
        stats->memory_events_high = stats->memory_events_max = stats->oom_kills = STATS_UNKNOWN;
        stats->pids = STATS_UNKNOWN;
        stats->cpu_pressure = stats->memory_pressure = stats->io_pressure =
                        (struct stats_pressure){ STATS_UNKNOWN, STATS_UNKNOWN };
        stats->fs_used_bytes = stats->fs_total_bytes = STATS_UNKNOWN;
        stats->fs_fullest_percent = STATS_NAN;
        stats->balloon = (struct stats_balloon){
                .current = STATS_UNKNOWN,
                .maximum = STATS_UNKNOWN,
                .swap_in = STATS_UNKNOWN,
                .swap_out = STATS_UNKNOWN,
                .unused = STATS_UNKNOWN,
                .available = STATS_UNKNOWN,
                .usable = STATS_UNKNOWN,
                .rss = STATS_UNKNOWN,
                .disk_caches = STATS_UNKNOWN,
                .major_faults = STATS_UNKNOWN,
                .minor_faults = STATS_UNKNOWN,
        };
        return stats;
}

struct stats *stats_free(struct stats *stats) {
        if (!stats)
                return NULL;
        free(stats->vcpus);
        free(stats->nets);
        free(stats->blocks);
        free(stats->fs);
        free(stats);
        return NULL;
}

struct stats_vcpu *stats_add_vcpu(struct stats *stats, unsigned int number) {
        struct stats_vcpu *vcpu = add((void **) &stats->vcpus, &stats->n_vcpus, STATS_VCPUS_MAX,
                        sizeof(*vcpu), &stats->devices_refused);

        if (vcpu) {
                *vcpu = (struct stats_vcpu){ .number = number,
                        .state = STATS_UNKNOWN,
                        .time_ns = STATS_UNKNOWN,
                        .wait_ns = STATS_UNKNOWN,
                        .delay_ns = STATS_UNKNOWN };
        }
        return vcpu;
}

struct stats_net *stats_add_net(struct stats *stats, const char *name) {
        struct stats_net *net = add((void **) &stats->nets, &stats->n_nets, STATS_DEVICES_MAX,
                        sizeof(*net), &stats->devices_refused);

        if (!net)
                return NULL;
        memset(&net->rx_bytes, 0xff, sizeof(*net) - offsetof(struct stats_net, rx_bytes));
        text_fit(net->name, sizeof(net->name), name);
        return net;
}

struct stats_block *stats_add_block(struct stats *stats, const char *name) {
        struct stats_block *block = add((void **) &stats->blocks, &stats->n_blocks,
                        STATS_DEVICES_MAX, sizeof(*block), &stats->devices_refused);

        if (!block)
                return NULL;
        memset(&block->read_requests, 0xff,
                        sizeof(*block) - offsetof(struct stats_block, read_requests));
        text_fit(block->name, sizeof(block->name), name);
        return block;
}

struct stats_fs *stats_add_fs(struct stats *stats, const char *mountpoint) {
        struct stats_fs *fs = add((void **) &stats->fs, &stats->n_fs, STATS_FS_MAX, sizeof(*fs),
                        &stats->devices_refused);

        if (!fs)
                return NULL;
        fs->used_bytes = fs->total_bytes = STATS_UNKNOWN;
        text_fit(fs->mountpoint, sizeof(fs->mountpoint), mountpoint);
        return fs;
}

/* Held in memory, put together of others, or full by nature. */
static bool is_no_disk(const struct stats_fs *fs) {
        static const char *const types[] = { "iso9660", "udf", "squashfs", "erofs", "cramfs",
                "tmpfs", "ramfs", "devtmpfs", "overlay", "fuse.snapfuse", "CDFS" };

        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (strcmp(fs->type, types[i]) == 0)
                        return true;
        return false;
}

static bool is_repeat(const struct stats *stats, size_t index) {
        const struct stats_fs *fs = &stats->fs[index];

        for (size_t i = 0; i < index; i++)
                if (fs->device[0] && strcmp(stats->fs[i].device, fs->device) == 0)
                        return true;
        return false;
}

void stats_sum_fs(struct stats *stats) {
        uint64_t used = 0, total = 0;
        double fullest = -1, percent;

        for (size_t i = 0; i < stats->n_fs; i++) {
                const struct stats_fs *fs = &stats->fs[i];

                if (fs->total_bytes == 0 || fs->total_bytes > INT64_MAX / STATS_FS_MAX ||
                                fs->used_bytes > fs->total_bytes || is_no_disk(fs) ||
                                is_repeat(stats, i))
                        continue;
                used += fs->used_bytes;
                total += fs->total_bytes;
                percent = 100.0 * (double) fs->used_bytes / (double) fs->total_bytes;
                fullest = percent > fullest ? percent : fullest;
        }
        if (!total)
                return;
        stats->fs_used_bytes = used;
        stats->fs_total_bytes = total;
        stats->fs_fullest_percent = fullest;
}

const struct stats_net *stats_find_net(const struct stats *stats, const char *name) {
        for (size_t i = 0; i < stats->n_nets; i++)
                if (strcmp(stats->nets[i].name, name) == 0)
                        return &stats->nets[i];
        return NULL;
}

const struct stats_block *stats_find_block(const struct stats *stats, const char *name) {
        for (size_t i = 0; i < stats->n_blocks; i++)
                if (strcmp(stats->blocks[i].name, name) == 0)
                        return &stats->blocks[i];
        return NULL;
}

const struct stats_vcpu *stats_find_vcpu(const struct stats *stats, unsigned int number) {
        for (size_t i = 0; i < stats->n_vcpus; i++)
                if (stats->vcpus[i].number == number)
                        return &stats->vcpus[i];
        return NULL;
}

double stats_rate(uint64_t before, uint64_t now, uint64_t elapsed_us) {
        if (before == STATS_UNKNOWN || now == STATS_UNKNOWN || now < before || elapsed_us == 0)
                return STATS_NAN;
        return (double) (now - before) * 1e6 / (double) elapsed_us;
}
