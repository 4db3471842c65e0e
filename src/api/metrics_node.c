/* Families outside, devices inside, as the format wants it. What is not told has no series, and a
 * host whose numbers are old has none. */

#include "api/metrics_node.h"

#include <math.h>

#include "api/exposition.h"
#include "api/view_node.h"
#include "engine/node.h"

#define LABELS_MAX 8192

#define COUNTER(name, unit, help) \
        { "virtwatch_node_" name, METRIC_COUNTER, unit, help }
#define GAUGE(name, unit, help) \
        { "virtwatch_node_" name, METRIC_GAUGE, unit, help }

struct row {
        struct metric_family family;
        size_t offset;         /* of a uint64_t */
        unsigned int decimals; /* 9: nanoseconds as seconds */
};

#define OF(type, field)    offsetof(struct type, field), 0
#define OF_NS(type, field) offsetof(struct type, field), 9

/* clang-format off */
static const struct row host_rows[] = {
        { GAUGE("memory_total_bytes", "bytes", "Memory of the host"), OF(host, memory_total_bytes) },
        { GAUGE("memory_available_bytes", "bytes", "Memory that could be taken without swapping"), OF(host, memory_available_bytes) },
        { GAUGE("memory_free_bytes", "bytes", "Memory that holds nothing"), OF(host, memory_free_bytes) },
        { GAUGE("memory_buffers_bytes", "bytes", "Memory that holds blocks of disks"), OF(host, buffers_bytes) },
        { GAUGE("memory_cached_bytes", "bytes", "Memory that holds files"), OF(host, cached_bytes) },
        { GAUGE("swap_total_bytes", "bytes", "Swap space"), OF(host, swap_total_bytes) },
        { GAUGE("swap_free_bytes", "bytes", "Swap space that is free"), OF(host, swap_free_bytes) },
        { GAUGE("boot_time_seconds", "seconds", "When the host was started, since 1970"), OF(host, boot_s) },
        { GAUGE("tasks_running", NULL, "Tasks that run or wait for a CPU"), OF(host, tasks_running) },
        { GAUGE("tasks_blocked", NULL, "Tasks that wait for I/O"), OF(host, tasks_blocked) },
        { COUNTER("oom_kills", NULL, "Processes the kernel killed for memory, in containers too"), OF(host, oom_kills) },
};

static const struct row net_rows[] = {
        { COUNTER("network_receive_bytes", "bytes", "Bytes received"), OF(host_net, rx_bytes) },
        { COUNTER("network_receive_packets", NULL, "Packets received"), OF(host_net, rx_packets) },
        { COUNTER("network_receive_errors", NULL, "Receive errors"), OF(host_net, rx_errors) },
        { COUNTER("network_receive_drops", NULL, "Received packets dropped"), OF(host_net, rx_drops) },
        { COUNTER("network_transmit_bytes", "bytes", "Bytes sent"), OF(host_net, tx_bytes) },
        { COUNTER("network_transmit_packets", NULL, "Packets sent"), OF(host_net, tx_packets) },
        { COUNTER("network_transmit_errors", NULL, "Transmit errors"), OF(host_net, tx_errors) },
        { COUNTER("network_transmit_drops", NULL, "Packets to send dropped"), OF(host_net, tx_drops) },
};

static const struct row disk_rows[] = {
        { COUNTER("disk_read_bytes", "bytes", "Bytes read"), OF(host_disk, read_bytes) },
        { COUNTER("disk_written_bytes", "bytes", "Bytes written"), OF(host_disk, written_bytes) },
        { COUNTER("disk_reads", NULL, "Reads done"), OF(host_disk, reads) },
        { COUNTER("disk_writes", NULL, "Writes done"), OF(host_disk, writes) },
        { COUNTER("disk_read_seconds", "seconds", "Time that reads took"), OF_NS(host_disk, read_ns) },
        { COUNTER("disk_write_seconds", "seconds", "Time that writes took"), OF_NS(host_disk, write_ns) },
        { COUNTER("disk_busy_seconds", "seconds", "Time in which anything was under way"), OF_NS(host_disk, busy_ns) },
};

static const struct row mount_rows[] = {
        { GAUGE("filesystem_size_bytes", "bytes", "Size of the file system"), OF(host_mount, total_bytes) },
        { GAUGE("filesystem_free_bytes", "bytes", "Free, with what is kept for root"), OF(host_mount, free_bytes) },
        { GAUGE("filesystem_available_bytes", "bytes", "Free for all users"), OF(host_mount, available_bytes) },
        { GAUGE("filesystem_inodes", NULL, "Inodes there are"), OF(host_mount, inodes) },
        { GAUGE("filesystem_free_inodes", NULL, "Inodes that are free"), OF(host_mount, free_inodes) },
};
/* clang-format on */

/* One family, begun with its first sample. */
struct output {
        struct exposition *exposition;
        const char *labels; /* rendered: node */
        bool begun;
};

static void put(struct output *out, const struct row *row, const char *labels, const void *of,
                const char *device) {
        uint64_t value = *(const uint64_t *) (const void *) ((const char *) of + row->offset);

        if (value == STATS_UNKNOWN)
                return;
        if (!out->begun)
                exposition_family(out->exposition, &row->family);
        out->begun = true;
        exposition_scaled(out->exposition, labels, device ? "device" : NULL, device, value,
                        row->decimals);
}

static void host_series(struct output *out, const struct host *host) {
        for (size_t r = 0; r < ARRAY_SIZE(host_rows); r++) {
                out->begun = false;
                put(out, &host_rows[r], out->labels, host, NULL);
        }
        for (size_t r = 0; r < ARRAY_SIZE(net_rows); r++) {
                out->begun = false;
                for (size_t i = 0; i < host->n_nets; i++)
                        put(out, &net_rows[r], out->labels, &host->nets[i], host->nets[i].name);
        }
        for (size_t r = 0; r < ARRAY_SIZE(disk_rows); r++) {
                out->begun = false;
                for (size_t i = 0; i < host->n_disks; i++)
                        put(out, &disk_rows[r], out->labels, &host->disks[i], host->disks[i].name);
        }
}

/* ---- CPU, load, pressure ---- */

static void number(struct output *out, const struct metric_family *family, double value) {
        if (isnan(value))
                return;
        exposition_family(out->exposition, family);
        exposition_number(out->exposition, out->labels, value);
}

static void cpu_modes(struct output *out, const struct host *host) {
        static const struct row whole = {
                COUNTER("cpu_seconds", "seconds",
                                "Time of all CPUs by mode; user and nice have that of guests in them"),
                0, 9
        };
        static const struct row guests = {
                COUNTER("cpu_guest_seconds", "seconds",
                                "Time of all CPUs in guests, a part of user and nice"),
                0, 9
        };

        for (enum host_mode mode = 0; mode < HOST_MODE_MAX_; mode++) {
                const struct row *row = mode < HOST_SUMMED_ ? &whole : &guests;
                const char *word = host_mode_to_string(mode == HOST_GUEST ? HOST_USER
                                                : mode == HOST_GUEST_NICE ? HOST_NICE
                                                                          : mode);

                if (host->cpu_ns[mode] == STATS_UNKNOWN)
                        continue;
                if (mode == 0 || mode == HOST_GUEST)
                        exposition_family(out->exposition, &row->family);
                exposition_scaled(out->exposition, out->labels, "mode", word, host->cpu_ns[mode],
                                row->decimals);
        }
}

static void load_series(struct output *out, const struct host *host) {
        static const struct metric_family families[] = {
                GAUGE("load1", NULL, "Load average over a minute"),
                GAUGE("load5", NULL, "Load average over five minutes"),
                GAUGE("load15", NULL, "Load average over fifteen minutes"),
        };
        static const struct metric_family cpus = GAUGE("cpus", NULL, "CPUs online");

        number(out, &families[0], host->load1);
        number(out, &families[1], host->load5);
        number(out, &families[2], host->load15);
        if (host->n_cpus)
                number(out, &cpus, (double) host->n_cpus);
}

static void pressure_series(struct output *out, const struct api_context *api) {
        static const struct metric_family family = COUNTER("pressure_seconds", "seconds",
                        "Time in which some, or all, tasks waited for a resource");
        static const char *const names[] = { "node", "resource", "scope" };
        const struct host *host = api->node->newest;

        out->begun = false;
        for (enum host_resource i = 0; i < HOST_RESOURCE_MAX_; i++) {
                const struct host_stall *stalls[] = { &host->pressure[i].some,
                        &host->pressure[i].full };

                for (size_t s = 0; s < ARRAY_SIZE(stalls); s++) {
                        const char *const values[] = { api->node_name, host_resource_to_string(i),
                                s ? "full" : "some" };
                        _cleanup_(buf_done) struct buf labels = BUF_INIT(LABELS_MAX);

                        if (stalls[s]->total_us == STATS_UNKNOWN ||
                                        exposition_render_labels(
                                                        &(struct metric_labels){ names, values, 3 },
                                                        &labels) < 0)
                                continue;
                        if (!out->begun)
                                exposition_family(out->exposition, &family);
                        out->begun = true;
                        exposition_scaled(out->exposition, labels.data, NULL, NULL,
                                        stalls[s]->total_us, 6);
                }
        }
}

/* ---- file systems ---- */

static int mount_labels(const char *node, const struct host_mount *mount, struct buf *labels) {
        static const char *const names[] = { "node", "device", "mountpoint", "fstype" };
        const char *const values[] = { node, mount->source, mount->point, mount->type };

        *labels = (struct buf) BUF_INIT(LABELS_MAX);
        return exposition_render_labels(&(struct metric_labels){ names, values, 4 }, labels);
}

static void mount_flags(
                struct output *out, const struct buf *labels, const struct host_mounts *all) {
        static const struct metric_family read_only =
                        GAUGE("filesystem_readonly", NULL, "Whether nothing can be written to it");
        static const struct metric_family stuck = GAUGE("filesystem_stuck", NULL,
                        "Whether it does not answer; it has no other series then");

        if (all->n == 0)
                return;
        exposition_family(out->exposition, &read_only);
        for (size_t i = 0; i < all->n; i++)
                exposition_scaled(out->exposition, labels[i].data, NULL, NULL,
                                all->items[i].read_only, 0);
        exposition_family(out->exposition, &stuck);
        for (size_t i = 0; i < all->n; i++)
                exposition_scaled(out->exposition, labels[i].data, NULL, NULL, all->items[i].stuck,
                                0);
}

static void mount_series(struct output *out, const struct api_context *api) {
        const struct host_mounts *mounts = node_mounts(api->node);
        struct buf *labels;
        int r = 0;

        if (!mounts)
                return;
        labels = calloc(mounts->n + 1, sizeof(*labels));
        if (!labels)
                r = -ENOMEM;
        for (size_t i = 0; r >= 0 && i < mounts->n; i++)
                r = mount_labels(api->node_name, &mounts->items[i], &labels[i]);
        for (size_t row = 0; r >= 0 && row < ARRAY_SIZE(mount_rows); row++) {
                out->begun = false;
                for (size_t i = 0; i < mounts->n; i++)
                        put(out, &mount_rows[row], labels[i].data, &mounts->items[i], NULL);
        }
        if (r >= 0)
                mount_flags(out, labels, mounts);
        else
                out->exposition->error = r;
        for (size_t i = 0; labels && i < mounts->n; i++)
                buf_done(&labels[i]);
        free(labels);
}

/* ---- the whole ---- */

static void sample_series(struct output *out, const struct node *node) {
        const struct {
                struct metric_family family;
                uint64_t value;
        } all[] = {
                { COUNTER("samples", NULL, "Slots closed"), node->samples },
                { COUNTER("samples_null", NULL, "Slots in which the host was not read"),
                                node->null_samples },
                { COUNTER("sample_resets", NULL, "Readings whose counters went backwards"),
                                node->resets },
        };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                exposition_family(out->exposition, &all[i].family);
                exposition_scaled(out->exposition, out->labels, NULL, NULL, all[i].value, 0);
        }
}

void metrics_node(struct exposition *exposition, const struct api_context *api) {
        static const struct metric_family cpu =
                        GAUGE("cpu_usage_percent", NULL, "CPU used, of all CPUs, 0 to 100");
        static const char *const names[] = { "node" };
        const struct host *host = node_reading(api);
        _cleanup_(buf_done) struct buf labels = BUF_INIT(LABELS_MAX);
        struct output out = { .exposition = exposition };

        if (!api->node)
                return;
        if (exposition_render_labels(
                            &(struct metric_labels){ names, &api->node_name, 1 }, &labels) < 0) {
                exposition->error = -ENOMEM;
                return;
        }
        out.labels = labels.data;
        if (host || !api->node->sampled_us) /* gauges start at 0 */
                number(&out, &cpu, api->node->cpu_percent);
        sample_series(&out, api->node);
        if (!host)
                return;
        cpu_modes(&out, host);
        load_series(&out, host);
        host_series(&out, host);
        pressure_series(&out, api);
        mount_series(&out, api);
}
