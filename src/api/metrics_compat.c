/* The names that dashboards for the libvirt exporters and for cAdvisor query. Sources: the metric
 * tables of the two live libvirt exporters (FACTS 6.5) and of cAdvisor. Their types are kept, also
 * where a gauge would better be a counter. */

#include <math.h>
#include <string.h>

#include "api/metrics_workload.h"
#include "engine/pools.h"
#include "engine/sampler.h"
#include "engine/tracker.h"

#define BOTH API_COMPAT_BOTH
#define INO  API_COMPAT_INOVEX
#define TIN  API_COMPAT_TINKOFF

#define COUNTER(name, unit) "libvirt_domain_" name, METRIC_COUNTER, unit
#define GAUGE(name, unit)   "libvirt_domain_" name, METRIC_GAUGE, unit
#define W(field)            METRICS_OF_WORKLOAD, offsetof(struct stats, field), 0
#define W_NS(field)         METRICS_OF_WORKLOAD, offsetof(struct stats, field), 9
#define W_US(field)         METRICS_OF_WORKLOAD, offsetof(struct stats, field), 6
#define V(field)            METRICS_OF_VCPU, offsetof(struct stats_vcpu, field), 9
#define N(field)            METRICS_OF_NET, offsetof(struct stats_net, field), 0
#define B(field)            METRICS_OF_BLOCK, offsetof(struct stats_block, field), 0
#define B_NS(field)         METRICS_OF_BLOCK, offsetof(struct stats_block, field), 9

/* clang-format off */
static const struct metrics_row domain_rows[] = {
        { { COUNTER("info_cpu_time_seconds", "seconds"), "CPU time used by the domain" }, W_NS(cpu_ns), BOTH },
        { { GAUGE("info_virtual_cpus", NULL), "Virtual CPUs of the domain" }, W(vcpus_current), BOTH },
        { { GAUGE("info_maximum_memory_bytes", "bytes"), "Maximum memory of the domain" }, W(balloon.maximum), BOTH },
        { { GAUGE("info_memory_usage_bytes", "bytes"), "Size of the balloon (not what the guest uses)" }, W(balloon.current), BOTH },
        { { GAUGE("memory_stats_actual_balloon_bytes", "bytes"), "Size of the balloon" }, W(balloon.current), TIN },
        { { GAUGE("memory_stats_current_balloon_bytes", "bytes"), "Size of the balloon" }, W(balloon.current), INO },
        { { GAUGE("memory_stats_maximum_bytes", "bytes"), "Largest size of the balloon" }, W(balloon.maximum), INO },
        { { GAUGE("memory_stats_available_bytes", "bytes"), "Memory the guest sees" }, W(balloon.available), BOTH },
        { { GAUGE("memory_stats_unused_bytes", "bytes"), "Memory the guest does not use at all" }, W(balloon.unused), BOTH },
        { { GAUGE("memory_stats_usable_bytes", "bytes"), "Memory the guest could take without swapping" }, W(balloon.usable), BOTH },
        { { GAUGE("memory_stats_rss_bytes", "bytes"), "Resident memory of QEMU" }, W(balloon.rss), BOTH },
        { { GAUGE("memory_stats_disk_cache_bytes", "bytes"), "Page cache of the guest" }, W(balloon.disk_caches), TIN },
        { { GAUGE("memory_stats_disk_caches_bytes", "bytes"), "Page cache of the guest" }, W(balloon.disk_caches), INO },
        { { GAUGE("memory_stats_swap_in_bytes", "bytes"), "Swapped in by the guest" }, W(balloon.swap_in), INO },
        { { GAUGE("memory_stats_swap_out_bytes", "bytes"), "Swapped out by the guest" }, W(balloon.swap_out), INO },
        { { GAUGE("vcpu_current", NULL), "Virtual CPUs online" }, W(vcpus_current), INO },
        { { GAUGE("vcpu_maximum", NULL), "Most virtual CPUs it may have" }, W(vcpus_maximum), INO },
        { { GAUGE("vcpu_state", NULL), "State of a virtual CPU: 0 offline, 1 running, 2 blocked" }, METRICS_OF_VCPU, offsetof(struct stats_vcpu, state), 0, BOTH },
        { { COUNTER("vcpu_time_seconds", "seconds"), "CPU time of a virtual CPU" }, V(time_ns), BOTH },
        { { COUNTER("vcpu_wait_seconds", "seconds"), "Time a virtual CPU waited for I/O" }, V(wait_ns), BOTH },
        { { COUNTER("vcpu_delay_seconds", "seconds"), "Time a virtual CPU waited for the host's" }, V(delay_ns), BOTH },
        { { COUNTER("block_stats_read_bytes", "bytes"), "Bytes read" }, B(read_bytes), BOTH },
        { { COUNTER("block_stats_read_requests", NULL), "Read requests" }, B(read_requests), BOTH },
        { { COUNTER("block_stats_read_time_seconds", "seconds"), "Time spent reading" }, B_NS(read_ns), BOTH },
        { { COUNTER("block_stats_write_bytes", "bytes"), "Bytes written" }, B(write_bytes), BOTH },
        { { COUNTER("block_stats_write_requests", NULL), "Write requests" }, B(write_requests), BOTH },
        { { COUNTER("block_stats_write_time_seconds", "seconds"), "Time spent writing" }, B_NS(write_ns), BOTH },
        { { COUNTER("block_stats_flush_requests", NULL), "Flush requests" }, B(flush_requests), BOTH },
        { { COUNTER("block_stats_flush_time_seconds", "seconds"), "Time spent flushing" }, B_NS(flush_ns), BOTH },
        { { GAUGE("block_stats_capacity_bytes", "bytes"), "Size as the guest sees it" }, B(capacity_bytes), BOTH },
        { { GAUGE("block_stats_allocation", NULL), "Highest offset written" }, B(allocation_bytes), BOTH },
        { { GAUGE("block_stats_physicalsize_bytes", "bytes"), "Bytes the image takes" }, B(physical_bytes), BOTH },
        { { COUNTER("interface_stats_receive_bytes", "bytes"), "Bytes received" }, N(rx_bytes), BOTH },
        { { COUNTER("interface_stats_receive_packets", NULL), "Packets received" }, N(rx_packets), BOTH },
        { { COUNTER("interface_stats_receive_errors", NULL), "Receive errors" }, N(rx_errors), BOTH },
        { { COUNTER("interface_stats_receive_drops", NULL), "Received packets dropped" }, N(rx_drops), BOTH },
        { { COUNTER("interface_stats_transmit_bytes", "bytes"), "Bytes sent" }, N(tx_bytes), BOTH },
        { { COUNTER("interface_stats_transmit_packets", NULL), "Packets sent" }, N(tx_packets), BOTH },
        { { COUNTER("interface_stats_transmit_errors", NULL), "Transmit errors" }, N(tx_errors), BOTH },
        { { COUNTER("interface_stats_transmit_drops", NULL), "Packets to send dropped" }, N(tx_drops), BOTH },
};

#define C_COUNTER(name, unit) "container_" name, METRIC_COUNTER, unit
#define C_GAUGE(name, unit)   "container_" name, METRIC_GAUGE, unit

static const struct metrics_row container_rows[] = {
        { { C_COUNTER("cpu_usage_seconds", "seconds"), "CPU time used" }, W_NS(cpu_ns), BOTH },
        { { C_GAUGE("memory_usage_bytes", "bytes"), "Memory used, with the file cache" }, W(memory_bytes), BOTH },
        { { C_GAUGE("spec_memory_limit_bytes", "bytes"), "Memory limit" }, W(memory_limit_bytes), BOTH },
        { { C_COUNTER("oom_events", NULL), "OOM kills counted by its control group" }, W(oom_kills), BOTH },
        { { C_COUNTER("memory_events_high", NULL), "Times its memory was throttled" }, W(memory_events_high), BOTH },
        { { C_COUNTER("memory_events_max", NULL), "Times it hit its memory limit" }, W(memory_events_max), BOTH },
        { { C_COUNTER("pressure_cpu_waiting_seconds", "seconds"), "Time in which some of its tasks waited for a CPU" }, W_US(cpu_pressure.some_us), BOTH },
        { { C_COUNTER("pressure_cpu_stalled_seconds", "seconds"), "Time in which all of its tasks waited for a CPU" }, W_US(cpu_pressure.full_us), BOTH },
        { { C_COUNTER("pressure_memory_waiting_seconds", "seconds"), "Time in which some of its tasks waited for memory" }, W_US(memory_pressure.some_us), BOTH },
        { { C_COUNTER("pressure_memory_stalled_seconds", "seconds"), "Time in which all of its tasks waited for memory" }, W_US(memory_pressure.full_us), BOTH },
        { { C_COUNTER("pressure_io_waiting_seconds", "seconds"), "Time in which some of its tasks waited for I/O" }, W_US(io_pressure.some_us), BOTH },
        { { C_COUNTER("pressure_io_stalled_seconds", "seconds"), "Time in which all of its tasks waited for I/O" }, W_US(io_pressure.full_us), BOTH },
        { { C_COUNTER("network_receive_bytes", "bytes"), "Bytes received" }, N(rx_bytes), BOTH },
        { { C_COUNTER("network_transmit_bytes", "bytes"), "Bytes sent" }, N(tx_bytes), BOTH },
};
/* clang-format on */

size_t metrics_compat_labels(const struct workload *workload,
                const char *values[static METRICS_COMPAT_LABELS_MAX],
                const char *const **ret_names) {
        static const char *const domain[] = { "domain", "uuid" };
        static const char *const container[] = { "id", "name", "image" };

        if (workload->kind == WORKLOAD_VM) {
                *ret_names = domain;
                values[0] = workload->name;
                values[1] = workload->uuid;
                return 2;
        }
        if (workload->kind == WORKLOAD_CONTAINER) {
                *ret_names = container;
                values[0] = workload->cgroup[0] ? workload->cgroup : workload->native_id;
                values[1] = workload->name;
                values[2] = workload->image;
                return 3;
        }
        return 0;
}

/* ---- states ---- */

/* virDomainState, as far as our words tell it. */
static unsigned int domain_state(const struct workload *workload, const char **ret_text) {
        static const struct {
                enum workload_state state;
                unsigned int number;
                const char *text;
        } states[] = {
                { STATE_RUNNING, 1, "the domain is running" },
                { STATE_STARTING, 1, "the domain is running" },
                { STATE_PAUSED, 3, "the domain is paused by user" },
                { STATE_STOPPING, 4, "the domain is being shut down" },
                { STATE_STOPPED, 5, "the domain is shut off" },
                { STATE_CREATED, 5, "the domain is shut off" },
                { STATE_FAILED, 6, "the domain is crashed" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
                if (states[i].state == workload->state) {
                        *ret_text = states[i].text;
                        return states[i].number;
                }
        }
        *ret_text = "no state";
        return 0;
}

static void state_series(struct exposition *exposition, unsigned int compat,
                const struct metrics_subject *subjects, size_t n) {
        static const struct {
                struct metric_family family;
                unsigned int dialects;
                bool with_text;
        } families[] = {
                { { GAUGE("state_code", NULL), "State of the domain" }, BOTH, false },
                { { GAUGE("info_vstate", NULL), "State of the domain" }, TIN, false },
                { { GAUGE("info_state", NULL), "State of the domain" }, INO, true },
        };
        const char *text;

        for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
                bool begun = false;

                for (size_t i = 0; (families[f].dialects & compat) && i < n; i++) {
                        unsigned int state = domain_state(subjects[i].workload, &text);

                        if (subjects[i].workload->kind != WORKLOAD_VM || !subjects[i].compat_labels)
                                continue;
                        if (!begun)
                                exposition_family(exposition, &families[f].family);
                        begun = true;
                        exposition_scaled(exposition, subjects[i].compat_labels,
                                        families[f].with_text ? "state_desc" : NULL, text, state,
                                        0);
                }
        }
}

/* ---- the rest ---- */

static double used_percent(const struct metrics_subject *subject) {
        const struct usage *usage = &subject->series->usage;

        return usage->memory_source == USAGE_GUEST ? usage->memory_percent : STATS_NAN;
}

static double timed_out(const struct metrics_subject *subject) {
        return (double) (subject->series->hung_since_us != 0);
}

/* Whole numbers: of a time since 1970 six digits would be hours. */
static uint64_t updated_at(const struct metrics_subject *subject) {
        return subject->now && subject->now->balloon.updated_s ? subject->now->balloon.updated_s
                                                               : STATS_UNKNOWN;
}

static uint64_t working_set(const struct metrics_subject *subject) {
        const struct stats *now = subject->now;

        if (!now || now->memory_bytes == STATS_UNKNOWN || now->memory_cache_bytes == STATS_UNKNOWN)
                return STATS_UNKNOWN;
        return now->memory_bytes > now->memory_cache_bytes
                        ? now->memory_bytes - now->memory_cache_bytes
                        : 0;
}

static uint64_t started_us(const struct metrics_subject *subject) {
        return subject->workload->started_us && subject->series->running
                        ? subject->workload->started_us
                        : STATS_UNKNOWN;
}

static uint64_t seen_at(const struct metrics_subject *subject) {
        /* whole seconds, as the other exporters have it */
        return subject->now ? subject->now->at_us / USEC_PER_SEC : STATS_UNKNOWN;
}

struct thought {
        struct metric_family family;
        unsigned int dialects;
        enum workload_kind kind;
        double (*number)(const struct metrics_subject *subject);  /* NaN: no sample */
        uint64_t (*count)(const struct metrics_subject *subject); /* in place of a number */
        unsigned int decimals;                                    /* of the count */
};

static bool put_thought(struct exposition *exposition, const struct thought *thought,
                const struct metrics_subject *subject, bool begun) {
        const double number = thought->number ? thought->number(subject) : STATS_NAN;
        const uint64_t count = thought->count ? thought->count(subject) : STATS_UNKNOWN;

        if (isnan(number) && count == STATS_UNKNOWN)
                return begun;
        if (!begun)
                exposition_family(exposition, &thought->family);
        if (thought->count) {
                exposition_scaled(exposition, subject->compat_labels, NULL, NULL, count,
                                thought->decimals);
        } else {
                exposition_number(exposition, subject->compat_labels, number);
        }
        return true;
}

static void thoughts(struct exposition *exposition, unsigned int compat,
                const struct metrics_subject *subjects, size_t n) {
        static const struct thought all[] = {
                { { GAUGE("memory_stats_used_percent", NULL), "Memory the guest uses, per cent" },
                                BOTH, WORKLOAD_VM, used_percent, NULL, 0 },
                { { GAUGE("memory_stats_last_update_timestamp_seconds", "seconds"),
                                  "When the guest last told its memory" },
                                INO, WORKLOAD_VM, NULL, updated_at, 0 },
                { { GAUGE("timed_out", NULL), "Whether QEMU does not answer" }, INO, WORKLOAD_VM,
                                timed_out, NULL, 0 },
                { { C_GAUGE("memory_working_set_bytes", "bytes"),
                                  "Memory used, without what can be given back" },
                                BOTH, WORKLOAD_CONTAINER, NULL, working_set, 0 },
                { { C_GAUGE("start_time_seconds", "seconds"), "When it started" }, BOTH,
                                WORKLOAD_CONTAINER, NULL, started_us, 6 },
                { { C_GAUGE("last_seen", NULL), "When it was last read" }, BOTH, WORKLOAD_CONTAINER,
                                NULL, seen_at, 0 },
        };

        for (size_t t = 0; t < ARRAY_SIZE(all); t++) {
                bool begun = false;

                for (size_t i = 0; (all[t].dialects & compat) && i < n; i++)
                        if (subjects[i].workload->kind == all[t].kind && subjects[i].compat_labels)
                                begun = put_thought(exposition, &all[t], &subjects[i], begun);
        }
}

static const char *block_name(const struct stats *now, size_t i) {
        return i < now->n_blocks ? now->blocks[i].name : NULL;
}

static const char *net_name(const struct stats *now, size_t i) {
        return i < now->n_nets ? now->nets[i].name : NULL;
}

/* Which devices there are, for dashboards that count them. Where their images lie is left out:
 * paths are no labels. */
static void device_info(
                struct exposition *exposition, const struct metrics_subject *subjects, size_t n) {
        static const struct {
                struct metric_family family;
                const char *(*name)(const struct stats *now, size_t i);
        } kinds[] = {
                { { "libvirt_domain_block_stats", METRIC_INFO, NULL, "Disks of the domain" },
                                block_name },
                { { "libvirt_domain_interface_stats", METRIC_INFO, NULL,
                                  "Network interfaces of the domain" },
                                net_name },
        };
        const char *name;

        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                bool begun = false;

                for (size_t i = 0; i < n; i++) {
                        if (!subjects[i].now || !subjects[i].compat_labels)
                                continue;
                        for (size_t d = 0; (name = kinds[k].name(subjects[i].now, d)); d++) {
                                if (!begun)
                                        exposition_family(exposition, &kinds[k].family);
                                begun = true;
                                exposition_scaled(exposition, subjects[i].compat_labels,
                                                "target_device", name, 1, 0);
                        }
                }
        }
}

/* ---- storage pools ---- */

#define POOLS_TOLD_MAX 256

/* Those of the libvirts that answer; of two of the same name the first. */
static size_t take_pools(const struct api_context *api, const struct pool **ret_pools) {
        struct tracker_source *source;
        size_t n_told = 0, n;

        list_for_each(source, tracker_sources(api->tracker), list) {
                const struct pool *pools = pools_get(api->pools, source->name, &n);

                for (size_t i = 0; source->state == SOURCE_UP && i < n; i++) {
                        bool known = n_told == POOLS_TOLD_MAX;

                        for (size_t j = 0; j < n_told; j++)
                                known |= strcmp(ret_pools[j]->name, pools[i].name) == 0;
                        if (!known)
                                ret_pools[n_told++] = &pools[i];
                }
        }
        return n_told;
}

static uint64_t pool_number(const struct pool *pool, size_t i) {
        const uint64_t numbers[] = { pool->state, pool->capacity_bytes, pool->allocation_bytes,
                pool->available_bytes };

        return numbers[i];
}

static void pool_series(struct exposition *exposition, const struct api_context *api) {
        static const struct metric_family families[] = {
                { "libvirt_storage_pool_state", METRIC_GAUGE, NULL,
                                "State of the pool: 0 inactive, 1 building, 2 running, 3 degraded, 4 inaccessible" },
                { "libvirt_storage_pool_capacity_bytes", METRIC_GAUGE, "bytes",
                                "Size of the pool" },
                { "libvirt_storage_pool_allocation_bytes", METRIC_GAUGE, "bytes",
                                "Bytes that are taken" },
                { "libvirt_storage_pool_available_bytes", METRIC_GAUGE, "bytes",
                                "Bytes that are free" },
        };
        static const char *const names[] = { "storage_pool" };
        const struct pool *pools[POOLS_TOLD_MAX];
        size_t n = api->pools ? take_pools(api, pools) : 0;

        for (size_t f = 0; n > 0 && f < ARRAY_SIZE(families); f++) {
                exposition_family(exposition, &families[f]);
                for (size_t i = 0; i < n; i++) {
                        const char *const value = pools[i]->name;

                        exposition_sample(exposition, &(struct metric_labels){ names, &value, 1 },
                                        pool_number(pools[i], f));
                }
        }
}

static void totals(struct exposition *exposition, const struct api_context *api,
                const struct metrics_subject *subjects, size_t n) {
        static const struct metric_family up = { "libvirt_up", METRIC_GAUGE, NULL,
                "Whether every libvirt answers" };
        static const struct metric_family domains = { "libvirt_domains", METRIC_GAUGE, NULL,
                "Domains known" };
        static const struct metric_family number = { "libvirt_domains_number", METRIC_GAUGE, NULL,
                "Domains known" };
        struct tracker_source *source;
        bool any = false, all = true;
        uint64_t count = 0;

        list_for_each(source, tracker_sources(api->tracker), list) {
                if (strncmp(source->name, "libvirt:", 8) != 0)
                        continue;
                any = true;
                all = all && source->state == SOURCE_UP;
        }
        if (!any)
                return;
        for (size_t i = 0; i < n; i++)
                count += subjects[i].workload->kind == WORKLOAD_VM;
        exposition_one(exposition, &up, all);
        exposition_one(exposition, &domains, count);
        exposition_one(exposition, &number, count);
}

/* The subjects of one kind, so that a row of one does not meet the other. */
static size_t of_kind(const struct metrics_subject *subjects, size_t n, enum workload_kind kind,
                struct metrics_subject *ret_subjects) {
        size_t n_kind = 0;

        for (size_t i = 0; i < n; i++)
                if (subjects[i].workload->kind == kind)
                        ret_subjects[n_kind++] = subjects[i];
        return n_kind;
}

void metrics_compat(struct exposition *exposition, const struct api_context *api,
                const struct metrics_subject *subjects, size_t n) {
        struct metrics_subject *some = calloc(n + 1, sizeof(*some));
        size_t n_some;

        if (!some) {
                exposition->error = -ENOMEM;
                return;
        }
        totals(exposition, api, subjects, n);
        state_series(exposition, api->compat, subjects, n);
        thoughts(exposition, api->compat, subjects, n);
        n_some = of_kind(subjects, n, WORKLOAD_VM, some);
        metrics_rows(exposition, domain_rows, ARRAY_SIZE(domain_rows), some, n_some,
                        "target_device", api->compat);
        if (api->compat & INO) {
                device_info(exposition, some, n_some);
                pool_series(exposition, api);
        }
        n_some = of_kind(subjects, n, WORKLOAD_CONTAINER, some);
        metrics_rows(exposition, container_rows, ARRAY_SIZE(container_rows), some, n_some,
                        "interface", api->compat);
        free(some);
}
