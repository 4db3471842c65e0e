/* Families outside, workloads inside, as the format wants it. Labels are rendered once a scrape. A
 * workload that does not run has no series; its exits live on elsewhere. */

#include "api/metrics_workload.h"

#include <math.h>
#include <string.h>

#include "api/label_set.h"
#include "engine/sampler.h"
#include "engine/tracker.h"

#define OF(type, field)     offsetof(struct type, field), 0, 0
#define OF_NS(type, field)  offsetof(struct type, field), 9, 0
#define COUNTER(name, unit) "virtwatch_workload_" name, METRIC_COUNTER, unit
#define GAUGE(name, unit)   "virtwatch_workload_" name, METRIC_GAUGE, unit

/* clang-format off */
static const struct metrics_row rows[] = {
        { { COUNTER("cpu_seconds", "seconds"), "CPU time used" }, METRICS_OF_WORKLOAD, OF_NS(stats, cpu_ns) },
        { { COUNTER("cpu_user_seconds", "seconds"), "CPU time in user mode" }, METRICS_OF_WORKLOAD, OF_NS(stats, user_ns) },
        { { COUNTER("cpu_system_seconds", "seconds"), "CPU time in the kernel" }, METRICS_OF_WORKLOAD, OF_NS(stats, system_ns) },
        { { COUNTER("cpu_throttled_seconds", "seconds"), "Time held back by the CPU quota" }, METRICS_OF_WORKLOAD, OF_NS(stats, throttled_ns) },
        { { GAUGE("memory_resident_bytes", "bytes"), "Memory held on the host" }, METRICS_OF_WORKLOAD, OF(stats, memory_bytes) },
        { { GAUGE("memory_cache_bytes", "bytes"), "File cache that can be given back" }, METRICS_OF_WORKLOAD, OF(stats, memory_cache_bytes) },
        { { GAUGE("guest_memory_available_bytes", "bytes"), "Memory the guest sees" }, METRICS_OF_WORKLOAD, OF(stats, balloon.available) },
        { { GAUGE("guest_memory_usable_bytes", "bytes"), "Memory the guest could take without swapping" }, METRICS_OF_WORKLOAD, OF(stats, balloon.usable) },
        { { GAUGE("guest_filesystem_used_bytes", "bytes"), "Bytes used in the guest's own file systems" }, METRICS_OF_WORKLOAD, OF(stats, fs_used_bytes) },
        { { GAUGE("guest_filesystem_size_bytes", "bytes"), "Size of the guest's own file systems" }, METRICS_OF_WORKLOAD, OF(stats, fs_total_bytes) },
        { { GAUGE("processes", NULL), "Processes in its control group" }, METRICS_OF_WORKLOAD, OF(stats, pids) },
        { { COUNTER("vcpu_seconds", "seconds"), "CPU time of a virtual CPU" }, METRICS_OF_VCPU, OF_NS(stats_vcpu, time_ns) },
        { { COUNTER("vcpu_steal_seconds", "seconds"), "Time a virtual CPU was runnable and the host did not run it" }, METRICS_OF_VCPU, OF_NS(stats_vcpu, delay_ns) },
        { { COUNTER("network_receive_bytes", "bytes"), "Bytes received" }, METRICS_OF_NET, OF(stats_net, rx_bytes) },
        { { COUNTER("network_receive_packets", NULL), "Packets received" }, METRICS_OF_NET, OF(stats_net, rx_packets) },
        { { COUNTER("network_receive_errors", NULL), "Receive errors" }, METRICS_OF_NET, OF(stats_net, rx_errors) },
        { { COUNTER("network_receive_drops", NULL), "Received packets dropped" }, METRICS_OF_NET, OF(stats_net, rx_drops) },
        { { COUNTER("network_transmit_bytes", "bytes"), "Bytes sent" }, METRICS_OF_NET, OF(stats_net, tx_bytes) },
        { { COUNTER("network_transmit_packets", NULL), "Packets sent" }, METRICS_OF_NET, OF(stats_net, tx_packets) },
        { { COUNTER("network_transmit_errors", NULL), "Transmit errors" }, METRICS_OF_NET, OF(stats_net, tx_errors) },
        { { COUNTER("network_transmit_drops", NULL), "Packets to send dropped" }, METRICS_OF_NET, OF(stats_net, tx_drops) },
        { { COUNTER("disk_read_bytes", "bytes"), "Bytes read" }, METRICS_OF_BLOCK, OF(stats_block, read_bytes) },
        { { COUNTER("disk_written_bytes", "bytes"), "Bytes written" }, METRICS_OF_BLOCK, OF(stats_block, write_bytes) },
        { { COUNTER("disk_reads", NULL), "Read requests" }, METRICS_OF_BLOCK, OF(stats_block, read_requests) },
        { { COUNTER("disk_writes", NULL), "Write requests" }, METRICS_OF_BLOCK, OF(stats_block, write_requests) },
        { { COUNTER("disk_read_seconds", "seconds"), "Time spent reading" }, METRICS_OF_BLOCK, OF_NS(stats_block, read_ns) },
        { { COUNTER("disk_write_seconds", "seconds"), "Time spent writing" }, METRICS_OF_BLOCK, OF_NS(stats_block, write_ns) },
        { { GAUGE("disk_capacity_bytes", "bytes"), "Size of the disk as the guest sees it" }, METRICS_OF_BLOCK, OF(stats_block, capacity_bytes) },
        { { GAUGE("disk_file_bytes", "bytes"), "Bytes the host's file system gave its image" }, METRICS_OF_BLOCK, OF(stats_block, file_bytes) },
        { { GAUGE("disk_physical_bytes", "bytes"), "Bytes its image takes on the host" }, METRICS_OF_BLOCK, OF(stats_block, physical_bytes) },
};
/* clang-format on */

/* ---- rows ---- */

struct rendering {
        struct exposition *exposition;
        const struct metrics_row *row;
        const char *labels, *device;
        bool begun;
};

static void put(struct rendering *out, const void *of, const char *name) {
        const struct metrics_row *row = out->row;
        uint64_t value = *(const uint64_t *) (const void *) ((const char *) of + row->offset);

        if (value == STATS_UNKNOWN)
                return;
        if (!out->begun)
                exposition_family(out->exposition, &row->family);
        out->begun = true;
        exposition_scaled(out->exposition, out->labels, name ? out->device : NULL, name, value,
                        row->decimals);
}

static void put_subject(struct rendering *out, const struct stats *now) {
        char number[16];

        switch (out->row->place) {
        case METRICS_OF_WORKLOAD:
                put(out, now, NULL);
                break;
        case METRICS_OF_VCPU:
                for (size_t i = 0; i < now->n_vcpus; i++) {
                        (void) snprintf(number, sizeof(number), "%u", now->vcpus[i].number);
                        put(out, &now->vcpus[i], number);
                }
                break;
        case METRICS_OF_NET:
                for (size_t i = 0; i < now->n_nets; i++)
                        put(out, &now->nets[i], now->nets[i].name);
                break;
        case METRICS_OF_BLOCK:
                for (size_t i = 0; i < now->n_blocks; i++)
                        put(out, &now->blocks[i], now->blocks[i].name);
                break;
        }
}

void metrics_rows(struct exposition *exposition, const struct metrics_row *all, size_t n_rows,
                const struct metrics_subject *subjects, size_t n, const char *device,
                unsigned int compat) {
        for (size_t r = 0; r < n_rows; r++) {
                struct rendering out = { .exposition = exposition,
                        .row = &all[r],
                        .device = all[r].place == METRICS_OF_VCPU ? "vcpu" : device };

                if (compat && !(all[r].dialects & compat))
                        continue;
                for (size_t i = 0; i < n; i++) {
                        out.labels = compat ? subjects[i].compat_labels : subjects[i].labels;
                        if (subjects[i].now && out.labels)
                                put_subject(&out, subjects[i].now);
                }
        }
}

/* ---- what needs thought ---- */

struct family {
        struct metric_family family;
        double (*value)(const struct metrics_subject *subject);
};

static double ratio(double percent) {
        return percent / 100;
}

static double cpu_ratio(const struct metrics_subject *subject) {
        return ratio(subject->series->usage.cpu_percent);
}

static double memory_ratio(const struct metrics_subject *subject) {
        return ratio(subject->series->usage.memory_percent);
}

static double disk_ratio(const struct metrics_subject *subject) {
        return ratio(subject->series->usage.disk_percent);
}

static double steal_ratio(const struct metrics_subject *subject) {
        return ratio(subject->series->usage.steal_percent);
}

static double given_cpus(const struct metrics_subject *subject) {
        const struct allocation *allocation = &subject->series->allocation;

        return allocation->known ? allocation->vcpus : STATS_NAN;
}

static double is_hung(const struct metrics_subject *subject) {
        return subject->workload->kind == WORKLOAD_VM
                        ? (double) (subject->series->hung_since_us != 0)
                        : STATS_NAN;
}

static void thoughts(
                struct exposition *exposition, const struct metrics_subject *subjects, size_t n) {
        static const struct family families[] = {
                { { GAUGE("cpu_usage_ratio", "ratio"), "CPU used of what it was given, 0 to 1" },
                                cpu_ratio },
                { { GAUGE("memory_usage_ratio", "ratio"),
                                  "Memory used of what it was given, 0 to 1" },
                                memory_ratio },
                { { GAUGE("disk_usage_ratio", "ratio"), "Disk used of what it was given, 0 to 1" },
                                disk_ratio },
                { { GAUGE("cpu_steal_ratio", "ratio"),
                                  "Time its CPUs waited for the host's, 0 to 1" },
                                steal_ratio },
                { { GAUGE("cpus", NULL), "CPUs it was given" }, given_cpus },
                { { GAUGE("monitor_hung", NULL), "Whether its QEMU does not answer" }, is_hung },
        };

        for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
                bool begun = false;

                for (size_t i = 0; i < n; i++) {
                        double value = subjects[i].series->running ? families[f].value(&subjects[i])
                                                                   : STATS_NAN;

                        if (isnan(value))
                                continue;
                        if (!begun)
                                exposition_family(exposition, &families[f].family);
                        begun = true;
                        exposition_number(exposition, subjects[i].labels, value);
                }
        }
}

/* Where its percentages come from: a disk that is full by its image is no full disk. */
static void sources(
                struct exposition *exposition, const struct metrics_subject *subjects, size_t n) {
        static const struct metric_family family = { "virtwatch_workload_usage", METRIC_INFO, NULL,
                "Where the ratios of its use come from" };
        static const char *const names[] = { "kind", "name", "source", "cpu_source",
                "memory_source", "disk_source" };
        bool begun = false;

        for (size_t i = 0; i < n; i++) {
                const struct workload *workload = subjects[i].workload;
                const struct usage *usage = &subjects[i].series->usage;
                const char *const values[] = { workload_kind_to_string(workload->kind),
                        workload->name, workload->source, usage_source_to_string(usage->cpu_source),
                        usage_source_to_string(usage->memory_source),
                        usage_source_to_string(usage->disk_source) };

                if (!subjects[i].series->running)
                        continue;
                if (!begun)
                        exposition_family(exposition, &family);
                begun = true;
                exposition_sample(exposition,
                                &(struct metric_labels){ names, values, ARRAY_SIZE(values) }, 1);
        }
}

/* By contract: {job,alloc}, the memory that an allocation holds. */
static void alloc_memory(
                struct exposition *exposition, const struct metrics_subject *subjects, size_t n) {
        static const struct metric_family family = { "virtwatch_alloc_memory_bytes", METRIC_GAUGE,
                "bytes", "Memory held on the host, by job and allocation" };
        static const char *const names[] = { "job", "alloc", "source" };
        bool begun = false;

        for (size_t i = 0; i < n; i++) {
                const struct stats *now = subjects[i].now;
                const char *const values[] = { subjects[i].workload->job,
                        subjects[i].workload->name, subjects[i].workload->source };
                uint64_t held = now ? now->memory_bytes : STATS_UNKNOWN;

                if (now && held == STATS_UNKNOWN)
                        held = now->balloon.rss;
                if (held == STATS_UNKNOWN)
                        continue;
                if (!begun)
                        exposition_family(exposition, &family);
                begun = true;
                exposition_sample(exposition, &(struct metric_labels){ names, values, 3 }, held);
        }
}

static void given_memory(
                struct exposition *exposition, const struct metrics_subject *subjects, size_t n) {
        static const struct metric_family family = { "virtwatch_workload_memory_given_bytes",
                METRIC_GAUGE, "bytes", "Memory it was given" };
        bool begun = false;

        for (size_t i = 0; i < n; i++) {
                const struct allocation *allocation = &subjects[i].series->allocation;

                if (!allocation->known || allocation->memory_bytes == STATS_UNKNOWN)
                        continue;
                if (!begun)
                        exposition_family(exposition, &family);
                begun = true;
                exposition_scaled(exposition, subjects[i].labels, NULL, NULL,
                                allocation->memory_bytes, 0);
        }
}

static void sampler_series(
                struct exposition *exposition, const struct sampler *sampler, uint64_t omitted) {
        struct sampler_stats stats;

        sampler_get_stats(sampler, &stats);
        const struct {
                struct metric_family family;
                uint64_t value;
        } all[] = {
                { { "virtwatch_samples", METRIC_COUNTER, NULL, "Slots closed" }, stats.samples },
                { { "virtwatch_samples_null", METRIC_COUNTER, NULL,
                                  "Slots in which nothing was read" },
                                stats.null_samples },
                { { "virtwatch_sample_resets", METRIC_COUNTER, NULL,
                                  "Readings whose counters began anew or went backwards" },
                                stats.resets },
                { { "virtwatch_sampler_ticks_missed", METRIC_COUNTER, NULL,
                                  "Ticks that came too late for their slot" },
                                stats.missed_ticks },
                { { "virtwatch_sampler_clock_steps", METRIC_COUNTER, NULL,
                                  "Times that the clock was set, or the machine slept" },
                                stats.clock_steps },
                { { "virtwatch_metrics_workloads_omitted", METRIC_GAUGE, NULL,
                                  "Workloads past the cap, without series of their own" },
                                omitted },
        };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                exposition_one(exposition, &all[i].family, all[i].value);
}

/* ---- subjects ---- */

static int add_own(struct label_set *set, struct metrics_subject *subject) {
        static const char *const names[] = { "kind", "name", "source" };
        const struct workload *workload = subject->workload;
        const char *const values[] = { workload_kind_to_string(workload->kind), workload->name,
                workload->source };

        return label_set_add(set, &(struct metric_labels){ names, values, 3 }, &subject->labels_at);
}

static void add_compat(struct label_set *set, struct metrics_subject *subject) {
        const char *values[METRICS_COMPAT_LABELS_MAX];
        const char *const *names;
        size_t n = metrics_compat_labels(subject->workload, values, &names);

        if (n == 0 ||
                        label_set_add(set, &(struct metric_labels){ names, values, n },
                                        &subject->compat_labels_at) < 0)
                subject->compat_labels_at = SIZE_MAX;
}

/* Two of the same name would be one series twice, and the whole scrape lost. */
static size_t take_subjects(const struct api_context *api, struct label_set *set,
                struct metrics_subject *subjects, size_t max, uint64_t *ret_omitted) {
        struct workload *workload;
        size_t n = 0;

        *ret_omitted = 0;
        inventory_for_each(workload, tracker_inventory(api->tracker)) {
                const struct series *series = sampler_get(api->sampler, workload->id);
                struct metrics_subject one = {
                        .workload = workload, .series = series, .compat_labels_at = SIZE_MAX
                };

                if (!series)
                        continue;
                if (n >= max || add_own(set, &one) < 0) {
                        (*ret_omitted)++;
                        continue;
                }
                one.now = series_stats(series);
                if (api->compat)
                        add_compat(set, &one);
                subjects[n++] = one;
        }
        /* no text moves any more */
        for (size_t i = 0; i < n; i++) {
                subjects[i].labels = label_set_text(set, subjects[i].labels_at);
                if (subjects[i].compat_labels_at != SIZE_MAX)
                        subjects[i].compat_labels =
                                        label_set_text(set, subjects[i].compat_labels_at);
        }
        return n;
}

void metrics_workloads(struct exposition *exposition, const struct api_context *api) {
        _cleanup_(label_set_freep) struct label_set *set = NULL;
        struct metrics_subject *subjects;
        uint64_t omitted;
        size_t n, max;

        if (!api->sampler)
                return;
        max = inventory_size(tracker_inventory(api->tracker));
        if (max > METRICS_SUBJECTS_MAX)
                max = METRICS_SUBJECTS_MAX;
        subjects = calloc(max + 1, sizeof(*subjects));
        if (!subjects || label_set_new(2 * max, &set) < 0) {
                exposition->error = -ENOMEM;
                free(subjects);
                return;
        }
        n = take_subjects(api, set, subjects, max, &omitted);
        sampler_series(exposition, api->sampler, omitted);
        thoughts(exposition, subjects, n);
        sources(exposition, subjects, n);
        given_memory(exposition, subjects, n);
        alloc_memory(exposition, subjects, n);
        metrics_rows(exposition, rows, ARRAY_SIZE(rows), subjects, n, "device", 0);
        if (api->compat)
                metrics_compat(exposition, api, subjects, n);
        free(subjects);
}
