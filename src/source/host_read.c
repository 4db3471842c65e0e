/* The kernel's files as one reading. Each file is read whole and goes to its parser; one that is
 * not there costs only what it would have told. */

#include "source/host_read.h"

#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/fs.h"

#define FILE_MAX (4U << 20) /* /proc/stat has a line a CPU and one of all interrupts */

struct patterns {
        char **items;
        size_t n;
};

struct host_reader {
        char *root;
        struct patterns types, ignore_nets, ignore_disks;
};

static void patterns_done(struct patterns *patterns) {
        for (size_t i = 0; i < patterns->n; i++)
                free(patterns->items[i]);
        free(patterns->items);
}

static int patterns_copy(const struct host_patterns *from, struct patterns *to) {
        to->items = calloc(from->n + 1, sizeof(*to->items));
        if (!to->items)
                return -ENOMEM;
        for (; to->n < from->n; to->n++) {
                to->items[to->n] = strdup(from->items[to->n]);
                if (!to->items[to->n])
                        return -ENOMEM;
        }
        return 0;
}

static struct host_patterns patterns_of(const struct patterns *patterns) {
        return (struct host_patterns){ (const char *const *) patterns->items, patterns->n };
}

int host_reader_new(const struct host_reader_config *config, struct host_reader **ret_reader) {
        _cleanup_(host_reader_freep) struct host_reader *reader = calloc(1, sizeof(*reader));

        if (!reader)
                return -ENOMEM;
        reader->root = strdup(config->root ? config->root : "/proc");
        if (!reader->root || patterns_copy(&config->types, &reader->types) < 0 ||
                        patterns_copy(&config->ignore_nets, &reader->ignore_nets) < 0 ||
                        patterns_copy(&config->ignore_disks, &reader->ignore_disks) < 0)
                return -ENOMEM;
        *ret_reader = TAKE_PTR(reader);
        return 0;
}

int host_reader_copy(const struct host_reader *reader, struct host_reader **ret_reader) {
        const struct host_reader_config config = {
                .root = reader->root,
                .types = patterns_of(&reader->types),
                .ignore_nets = patterns_of(&reader->ignore_nets),
                .ignore_disks = patterns_of(&reader->ignore_disks),
        };

        return host_reader_new(&config, ret_reader);
}

struct host_reader *host_reader_free(struct host_reader *reader) {
        if (!reader)
                return NULL;
        patterns_done(&reader->types);
        patterns_done(&reader->ignore_nets);
        patterns_done(&reader->ignore_disks);
        free(reader->root);
        free(reader);
        return NULL;
}

static int read_file(const struct host_reader *reader, const char *name, char **ret_text) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "%s/%s", reader->root, name) < 0)
                return -ENOMEM;
        return fs_read_text(AT_FDCWD, path, FILE_MAX, ret_text, NULL);
}

/* ---- all but the file systems ---- */

/* Files whose parser needs no more than the text. */
static int read_plain(const struct host_reader *reader, struct host *host) {
        static const struct {
                const char *name;
                void (*parse)(const char *text, struct host *host);
        } files[] = {
                { "meminfo", host_parse_meminfo },
                { "loadavg", host_parse_loadavg },
                { "uptime", host_parse_uptime },
                { "vmstat", host_parse_vmstat },
        };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_(freep) char *text = NULL;
                int r;

                r = read_file(reader, files[i].name, &text);
                if (r == -ENOMEM)
                        return r;
                if (r >= 0)
                        files[i].parse(text, host);
        }
        return 0;
}

/* There is no such file where the kernel was built or started without pressure stall information
 * (psi=0); reading it then may also fail with EOPNOTSUPP. */
static int read_pressure(const struct host_reader *reader, struct host *host) {
        for (enum host_resource i = 0; i < HOST_RESOURCE_MAX_; i++) {
                _cleanup_(freep) char *text = NULL;
                char name[32];
                int r;

                (void) snprintf(name, sizeof(name), "pressure/%s", host_resource_to_string(i));
                r = read_file(reader, name, &text);
                if (r == -ENOMEM)
                        return r;
                if (r >= 0)
                        host_parse_pressure(text, i, host);
        }
        return 0;
}

static int read_devices(const struct host_reader *reader, struct host *host) {
        const struct host_patterns nets = patterns_of(&reader->ignore_nets),
                                   disks = patterns_of(&reader->ignore_disks);
        _cleanup_(freep) char *net_dev = NULL, *diskstats = NULL;
        int r;

        r = read_file(reader, "net/dev", &net_dev);
        if (r >= 0)
                r = host_parse_net_dev(net_dev, &nets, host);
        if (r == -ENOMEM)
                return r;
        r = read_file(reader, "diskstats", &diskstats);
        if (r >= 0)
                r = host_parse_diskstats(diskstats, &disks, host);
        return r == -ENOMEM ? r : 0;
}

int host_reader_read(struct host_reader *reader, struct host **ret_host) {
        _cleanup_(host_freep) struct host *host = host_new();
        _cleanup_(freep) char *stat = NULL;
        int r;

        if (!host)
                return -ENOMEM;
        host->mono_us = clock_monotonic_us();
        host->at_us = clock_realtime_us();
        r = read_file(reader, "stat", &stat);
        if (r >= 0)
                r = host_parse_stat(stat, host);
        if (r == -ENOMEM)
                return r;
        r = read_plain(reader, host);
        if (r >= 0)
                r = read_pressure(reader, host);
        if (r >= 0)
                r = read_devices(reader, host);
        if (r < 0)
                return r;
        if (host->cpu_ns[HOST_IDLE] == STATS_UNKNOWN && host->memory_total_bytes == STATS_UNKNOWN)
                return -ENODATA;
        *ret_host = TAKE_PTR(host);
        return 0;
}

/* ---- file systems ---- */

static uint64_t product(uint64_t a, uint64_t b) {
        uint64_t value;

        return __builtin_mul_overflow(a, b, &value) ? STATS_UNKNOWN : value;
}

static void look_at(struct host_mount *mount) {
        struct statvfs vfs;

        if (statvfs(mount->path, &vfs) < 0)
                return; /* it went away, or may not be seen: its numbers are not told */
        mount->total_bytes = product(vfs.f_blocks, vfs.f_frsize);
        mount->free_bytes = product(vfs.f_bfree, vfs.f_frsize);
        mount->available_bytes = product(vfs.f_bavail, vfs.f_frsize);
        mount->read_only = vfs.f_flag & ST_RDONLY;
        if (vfs.f_files == 0) /* btrfs and vfat have no fixed number of them */
                return;
        mount->inodes = vfs.f_files;
        mount->free_inodes = vfs.f_ffree;
}

int host_reader_read_mounts(struct host_reader *reader,
                bool (*begin)(const struct host_mount *mount, void *userdata), void *userdata,
                struct host_mounts **ret_mounts) {
        _cleanup_(host_mounts_freep) struct host_mounts *mounts = host_mounts_new();
        const struct host_patterns types = patterns_of(&reader->types);
        _cleanup_(freep) char *text = NULL;
        int r;

        if (!mounts)
                return -ENOMEM;
        r = read_file(reader, "self/mountinfo", &text);
        if (r >= 0)
                r = host_parse_mountinfo(text, &types, mounts);
        if (r < 0)
                return r == -ENOMEM ? r : -ENODATA;
        mounts->mono_us = clock_monotonic_us();
        mounts->at_us = clock_realtime_us();
        for (size_t i = 0; i < mounts->n; i++) {
                if (begin(&mounts->items[i], userdata))
                        look_at(&mounts->items[i]);
                else
                        mounts->items[i].stuck = true;
        }
        *ret_mounts = TAKE_PTR(mounts);
        return 0;
}
