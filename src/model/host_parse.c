/* Files of /proc as numbers. They come from the kernel, but names in them (devices, mount points)
 * are other people's, and a container's view of /proc may be anybody's: a line that is not
 * understood is passed over, a number that cannot be is not told. */

#include <fnmatch.h>
#include <string.h>

#include "base/text.h"
#include "model/host.h"

/* proc(5): USER_HZ, which is 100 on every Linux that is left. */
#define TICK_NS UINT64_C(10000000)
#define SECTOR  UINT64_C(512) /* block/stat.rst: always, whatever the device's own is */
#define KIB     UINT64_C(1024)

/* ---- words and numbers ---- */

static const char *next_line(const char *line) {
        line = strchrnul(line, '\n');
        return *line ? line + 1 : line;
}

static void skip_blanks(const char **at) {
        *at += strspn(*at, " \t");
}

/* A number, or "not told" where there is none or it does not fit. */
static uint64_t take_number(const char **at, uint64_t factor) {
        uint64_t value;

        skip_blanks(at);
        if (text_take_u64(at, &value) < 0 || __builtin_mul_overflow(value, factor, &value)) {
                *at += strcspn(*at, " \t\n");
                return STATS_UNKNOWN;
        }
        return value;
}

/* "12.34" as it stands in /proc: never a sign, never an exponent. */
static double take_decimal(const char **at) {
        double value, digit = 0.1;
        uint64_t whole;

        skip_blanks(at);
        if (text_take_u64(at, &whole) < 0) {
                *at += strcspn(*at, " \t\n");
                return STATS_NAN;
        }
        value = (double) whole;
        if (**at != '.')
                return value;
        for ((*at)++; **at >= '0' && **at <= '9'; (*at)++) {
                value += digit * (**at - '0');
                digit /= 10;
        }
        return value;
}

/* Cut at @size; bytes that no reader should meet are shown as '?'. */
static void take_name(const char *from, size_t n, char *to, size_t size) {
        bool utf8;

        if (n >= size)
                for (n = size - 1; n > 0 && ((unsigned char) from[n] & 0xc0) == 0x80; n--)
                        ; /* not inside a character */
        utf8 = text_is_utf8(from, n);
        for (size_t i = 0; i < n; i++) {
                unsigned char byte = (unsigned char) from[i];

                to[i] = byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !utf8) ? '?' : from[i];
        }
        to[n] = '\0';
}

static bool matches(const struct host_patterns *patterns, const char *name) {
        for (size_t i = 0; patterns && i < patterns->n; i++)
                if (fnmatch(patterns->items[i], name, 0) == 0)
                        return true;
        return false;
}

/* One more element, zeroed. Return: 1; 0 at the bound (counted); -ENOMEM. */
static int add(void **array, size_t *n, size_t max, size_t size, uint64_t *refused) {
        void *grown;

        if (*n >= max) {
                (*refused)++;
                return 0;
        }
        if ((*n & (*n - 1)) == 0) { /* grows by doubling */
                grown = reallocarray(*array, *n ? *n * 2 : 1, size);
                if (!grown)
                        return -ENOMEM;
                *array = grown;
        }
        memset((char *) *array + *n * size, 0, size);
        (*n)++;
        return 1;
}

/* ---- /proc/stat ---- */

static int take_cpu(const char *at, unsigned int number, struct host *host) {
        uint64_t modes[HOST_SUMMED_], busy = 0;
        struct host_cpu *cpu;
        int r;

        for (size_t i = 0; i < HOST_SUMMED_; i++)
                modes[i] = take_number(&at, TICK_NS);
        r = add((void **) &host->cpus, &host->n_cpus, HOST_CPUS_MAX, sizeof(*host->cpus),
                        &host->refused);
        if (r <= 0)
                return r;

        cpu = &host->cpus[host->n_cpus - 1];
        *cpu = (struct host_cpu){ number, STATS_UNKNOWN, STATS_UNKNOWN };
        for (size_t i = 0; i < HOST_SUMMED_; i++) {
                if (i != HOST_IDLE && i != HOST_IOWAIT && modes[i] != STATS_UNKNOWN &&
                                __builtin_add_overflow(busy, modes[i], &busy))
                        return 0;
        }
        if (modes[HOST_USER] == STATS_UNKNOWN || modes[HOST_IDLE] == STATS_UNKNOWN)
                return 0;
        cpu->idle_ns = modes[HOST_IDLE];
        if (modes[HOST_IOWAIT] != STATS_UNKNOWN &&
                        __builtin_add_overflow(cpu->idle_ns, modes[HOST_IOWAIT], &cpu->idle_ns))
                return 0;
        cpu->busy_ns = busy;
        return 0;
}

int host_parse_stat(const char *text, struct host *host) {
        int r = 0;

        for (const char *line = text; r >= 0 && *line; line = next_line(line)) {
                const char *at = strpbrk(line, " \n");
                uint64_t number;

                if (text_starts_with(line, "cpu ")) {
                        for (size_t i = 0; i < HOST_MODE_MAX_; i++)
                                host->cpu_ns[i] = take_number(&at, TICK_NS);
                } else if (text_starts_with(line, "cpu")) {
                        at = line + strlen("cpu");
                        if (text_take_u64(&at, &number) >= 0 && number < HOST_CPUS_MAX)
                                r = take_cpu(at, (unsigned int) number, host);
                } else if (text_starts_with(line, "btime ")) {
                        host->boot_s = take_number(&at, 1);
                } else if (text_starts_with(line, "procs_running ")) {
                        host->tasks_running = take_number(&at, 1);
                } else if (text_starts_with(line, "procs_blocked ")) {
                        host->tasks_blocked = take_number(&at, 1);
                }
        }
        return r < 0 ? r : 0;
}

/* ---- one line, one number ---- */

struct line {
        const char *name; /* with what stands before the number */
        uint64_t *value;
        uint64_t factor;
};

static void take_lines(const char *text, const struct line *lines, size_t n) {
        for (; *text; text = next_line(text)) {
                for (size_t i = 0; i < n; i++) {
                        if (text_starts_with(text, lines[i].name)) {
                                const char *at = text + strlen(lines[i].name);

                                *lines[i].value = take_number(&at, lines[i].factor);
                        }
                }
        }
}

void host_parse_meminfo(const char *text, struct host *host) {
        const struct line lines[] = {
                { "MemTotal:", &host->memory_total_bytes, KIB },
                { "MemFree:", &host->memory_free_bytes, KIB },
                { "MemAvailable:", &host->memory_available_bytes, KIB },
                { "Buffers:", &host->buffers_bytes, KIB },
                { "Cached:", &host->cached_bytes, KIB },
                { "SwapTotal:", &host->swap_total_bytes, KIB },
                { "SwapFree:", &host->swap_free_bytes, KIB },
        };

        take_lines(text, lines, ARRAY_SIZE(lines));
}

void host_parse_vmstat(const char *text, struct host *host) {
        const struct line lines[] = { { "oom_kill ", &host->oom_kills, 1 } };

        take_lines(text, lines, ARRAY_SIZE(lines));
}

void host_parse_loadavg(const char *text, struct host *host) {
        host->load1 = take_decimal(&text);
        host->load5 = take_decimal(&text);
        host->load15 = take_decimal(&text);
}

void host_parse_uptime(const char *text, struct host *host) {
        host->uptime_s = take_decimal(&text);
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" */
static void take_stall(const char *at, struct host_stall *stall) {
        for (at += strcspn(at, " \n"); *at == ' '; at += strcspn(at, " \n")) {
                const char *key = ++at;

                at += strcspn(at, "= \n");
                if (*at != '=')
                        continue;
                at++;
                if (text_starts_with(key, "avg10="))
                        stall->avg10_percent = take_decimal(&at);
                else if (text_starts_with(key, "avg60="))
                        stall->avg60_percent = take_decimal(&at);
                else if (text_starts_with(key, "avg300="))
                        stall->avg300_percent = take_decimal(&at);
                else if (text_starts_with(key, "total="))
                        stall->total_us = take_number(&at, 1);
        }
}

void host_parse_pressure(const char *text, enum host_resource resource, struct host *host) {
        struct host_pressure *pressure = &host->pressure[resource];

        for (; *text; text = next_line(text)) {
                if (text_starts_with(text, "some "))
                        take_stall(text, &pressure->some);
                else if (text_starts_with(text, "full "))
                        take_stall(text, &pressure->full);
        }
        if (pressure->some.total_us != STATS_UNKNOWN || !isnan(pressure->some.avg10_percent))
                host->has_pressure = true;
}

/* ---- devices ---- */

/* "  eth0: BYTES PACKETS ERRS DROP FIFO FRAME COMPRESSED MULTICAST BYTES PACKETS ERRS DROP …" */
int host_parse_net_dev(const char *text, const struct host_patterns *ignore, struct host *host) {
        int r = 0;

        for (const char *line = text; r >= 0 && *line; line = next_line(line)) {
                const char *name = line + strspn(line, " "), *end = strpbrk(name, ":\n"), *at;
                uint64_t numbers[12];
                struct host_net net;

                if (!end || *end != ':' || end == name)
                        continue;
                at = end + 1;
                for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
                        numbers[i] = take_number(&at, 1);
                take_name(name, (size_t) (end - name), net.name, sizeof(net.name));
                if (numbers[8] == STATS_UNKNOWN || matches(ignore, net.name) ||
                                host_find_net(host, net.name))
                        continue;
                net.rx_bytes = numbers[0];
                net.rx_packets = numbers[1];
                net.rx_errors = numbers[2];
                net.rx_drops = numbers[3];
                net.tx_bytes = numbers[8];
                net.tx_packets = numbers[9];
                net.tx_errors = numbers[10];
                net.tx_drops = numbers[11];
                r = add((void **) &host->nets, &host->n_nets, HOST_DEVICES_MAX, sizeof(net),
                                &host->refused);
                if (r > 0)
                        host->nets[host->n_nets - 1] = net;
        }
        return r < 0 ? r : 0;
}

/* "254 0 vda READS MERGED SECTORS MS WRITES MERGED SECTORS MS NOW BUSY_MS …" (iostats.rst) */
int host_parse_diskstats(const char *text, const struct host_patterns *ignore, struct host *host) {
        const uint64_t ms = NSEC_PER_USEC * USEC_PER_MSEC;
        int r = 0;

        for (const char *line = text; r >= 0 && *line; line = next_line(line)) {
                const char *at = line, *name;
                struct host_disk disk = {};

                if (take_number(&at, 1) == STATS_UNKNOWN)
                        continue;
                (void) take_number(&at, 1);
                skip_blanks(&at);
                name = at;
                at += strcspn(at, " \n");
                if (at == name)
                        continue;
                take_name(name, (size_t) (at - name), disk.name, sizeof(disk.name));
                disk.reads = take_number(&at, 1);
                (void) take_number(&at, 1);
                disk.read_bytes = take_number(&at, SECTOR);
                disk.read_ns = take_number(&at, ms);
                disk.writes = take_number(&at, 1);
                (void) take_number(&at, 1);
                disk.written_bytes = take_number(&at, SECTOR);
                disk.write_ns = take_number(&at, ms);
                (void) take_number(&at, 1);
                disk.busy_ns = take_number(&at, ms);
                if (disk.written_bytes == STATS_UNKNOWN || matches(ignore, disk.name) ||
                                host_find_disk(host, disk.name))
                        continue;
                r = add((void **) &host->disks, &host->n_disks, HOST_DEVICES_MAX, sizeof(disk),
                                &host->refused);
                if (r > 0)
                        host->disks[host->n_disks - 1] = disk;
        }
        return r < 0 ? r : 0;
}

/* ---- mounts ---- */

/* One field, its blank undone: the kernel writes blank, tab, newline and '\' as \ and three octal
 * digits. Caller frees. */
static char *take_field(const char **at) {
        const char *from = *at;
        size_t n = strcspn(from, " \n"), used = 0;
        char *field = calloc(1, n + 1);

        *at += n;
        if (**at == ' ')
                (*at)++;
        for (size_t i = 0; field && i < n; i++) {
                if (from[i] == '\\' && i + 3 < n && strspn(from + i + 1, "01234567") >= 3 &&
                                from[i + 1] < '4') {
                        field[used++] = (char) ((from[i + 1] - '0') * 64 + (from[i + 2] - '0') * 8 +
                                        (from[i + 3] - '0'));
                        i += 3;
                } else {
                        field[used++] = from[i];
                }
        }
        return field;
}

struct mount_line {
        uint64_t id, parent;
        char *device, *root, *point, *options, *type, *source;
};

static void mount_line_done(struct mount_line *line) {
        free(line->device);
        free(line->root);
        free(line->point);
        free(line->options);
        free(line->type);
        free(line->source);
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue". Return: 1; 0
 * not a mount; -ENOMEM. */
static int read_mount_line(const char *at, struct mount_line *line) {
        const char *end = strchrnul(at, '\n'), *dash;

        line->id = take_number(&at, 1);
        line->parent = take_number(&at, 1);
        if (line->id > UINT32_MAX || line->parent > UINT32_MAX || *at != ' ')
                return 0;
        at++;
        line->device = take_field(&at);
        line->root = take_field(&at);
        line->point = take_field(&at);
        line->options = take_field(&at);
        dash = memmem(at - 1, (size_t) (end - at + 1), " - ", 3); /* optional fields before it */
        if (!dash)
                return 0;
        at = dash + 3;
        line->type = take_field(&at);
        line->source = take_field(&at);
        if (!line->device || !line->root || !line->point || !line->options || !line->type ||
                        !line->source)
                return -ENOMEM;
        return line->point[0] == '/';
}

/* Does @line lie over @mount: at the same place on it, or over a folder that leads to it? */
static bool covers(const struct mount_line *line, const struct host_mount *mount) {
        size_t n = strlen(line->point);

        if (line->parent == mount->id)
                return strcmp(line->point, mount->path) == 0;
        return line->parent == mount->parent && n > 1 &&
                        strncmp(line->point, mount->path, n) == 0 &&
                        (mount->path[n] == '/' || mount->path[n] == '\0');
}

static void remove_mount(struct host_mounts *mounts, size_t i) {
        free(mounts->items[i].path);
        mounts->n--;
        memmove(&mounts->items[i], &mounts->items[i + 1],
                        (mounts->n - i) * sizeof(mounts->items[0]));
}

/* Bind mounts show one file system many times: its own root is best, else the first. */
static bool is_known_device(struct host_mounts *mounts, const char *device, bool whole) {
        for (size_t i = 0; i < mounts->n; i++) {
                if (strcmp(mounts->items[i].device, device) != 0)
                        continue;
                if (mounts->items[i].whole || !whole)
                        return true;
                remove_mount(mounts, i);
                return false;
        }
        return false;
}

static bool is_shown(const struct host_mounts *mounts, const char *point) {
        for (size_t i = 0; i < mounts->n; i++)
                if (strcmp(mounts->items[i].point, point) == 0)
                        return true;
        return false;
}

static int add_mount(const struct mount_line *line, struct host_mounts *mounts) {
        struct host_mount mount = {
                .id = (unsigned int) line->id,
                .parent = (unsigned int) line->parent,
                .whole = strcmp(line->root, "/") == 0,
                .read_only = text_starts_with(line->options, "ro,") ||
                                strcmp(line->options, "ro") == 0,
                .total_bytes = STATS_UNKNOWN,
                .free_bytes = STATS_UNKNOWN,
                .available_bytes = STATS_UNKNOWN,
                .inodes = STATS_UNKNOWN,
                .free_inodes = STATS_UNKNOWN,
        };
        int r;

        take_name(line->device, strlen(line->device), mount.device, sizeof(mount.device));
        take_name(line->source, strlen(line->source), mount.source, sizeof(mount.source));
        take_name(line->point, strlen(line->point), mount.point, sizeof(mount.point));
        take_name(line->type, strlen(line->type), mount.type, sizeof(mount.type));
        if (is_known_device(mounts, mount.device, mount.whole))
                return 0;
        if (is_shown(mounts, mount.point)) { /* another one, but nobody could tell them apart */
                mounts->refused++;
                return 0;
        }
        r = add((void **) &mounts->items, &mounts->n, HOST_DEVICES_MAX, sizeof(*mounts->items),
                        &mounts->refused);
        if (r <= 0)
                return r;
        mounts->items[mounts->n - 1] = mount;
        mounts->items[mounts->n - 1].path = strdup(line->point);
        return mounts->items[mounts->n - 1].path ? 1 : -ENOMEM;
}

int host_parse_mountinfo(
                const char *text, const struct host_patterns *types, struct host_mounts *mounts) {
        int r = 0;

        for (; r >= 0 && *text; text = next_line(text)) {
                _cleanup_(mount_line_done) struct mount_line line = {};

                r = read_mount_line(text, &line);
                if (r <= 0)
                        continue;
                for (size_t i = mounts->n; i > 0; i--)
                        if (covers(&line, &mounts->items[i - 1]))
                                remove_mount(mounts, i - 1);
                if (matches(types, line.type))
                        r = add_mount(&line, mounts);
        }
        return r < 0 ? r : 0;
}
