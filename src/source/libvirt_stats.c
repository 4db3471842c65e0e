/* Bulk statistics, name by name. */

#include "source/libvirt_stats.h"

#include <string.h>

#include "base/text.h"

#define KIB UINT64_C(1024)

static uint64_t number_of(const virTypedParameter *param) {
        switch (param->type) {
        case VIR_TYPED_PARAM_ULLONG:
                return param->value.ul;
        case VIR_TYPED_PARAM_UINT:
                return param->value.ui;
        case VIR_TYPED_PARAM_LLONG:
                return param->value.l >= 0 ? (uint64_t) param->value.l : STATS_UNKNOWN;
        case VIR_TYPED_PARAM_INT:
                return param->value.i >= 0 ? (uint64_t) param->value.i : STATS_UNKNOWN;
        default:
                return STATS_UNKNOWN;
        }
}

struct field {
        const char *name;
        size_t offset;
        uint64_t factor;
};

static void set(void *to, const struct field *field, uint64_t value) {
        uint64_t *at = (uint64_t *) (void *) ((char *) to + field->offset);

        if (value == STATS_UNKNOWN || __builtin_mul_overflow(value, field->factor, at))
                *at = STATS_UNKNOWN;
}

/* Return: whether the field is in the table. */
static bool take(const struct field *fields, size_t n, void *to, const char *name,
                const virTypedParameter *param) {
        for (size_t i = 0; i < n; i++) {
                if (strcmp(fields[i].name, name) != 0)
                        continue;
                set(to, &fields[i], number_of(param));
                return true;
        }
        return false;
}

static const struct field top_fields[] = {
        { "cpu.time", offsetof(struct stats, cpu_ns), 1 },
        { "cpu.user", offsetof(struct stats, user_ns), 1 },
        { "cpu.system", offsetof(struct stats, system_ns), 1 },
        { "vcpu.current", offsetof(struct stats, vcpus_current), 1 },
        { "vcpu.maximum", offsetof(struct stats, vcpus_maximum), 1 },
        { "balloon.current", offsetof(struct stats, balloon.current), KIB },
        { "balloon.maximum", offsetof(struct stats, balloon.maximum), KIB },
        { "balloon.swap_in", offsetof(struct stats, balloon.swap_in), KIB },
        { "balloon.swap_out", offsetof(struct stats, balloon.swap_out), KIB },
        { "balloon.unused", offsetof(struct stats, balloon.unused), KIB },
        { "balloon.available", offsetof(struct stats, balloon.available), KIB },
        { "balloon.usable", offsetof(struct stats, balloon.usable), KIB },
        { "balloon.rss", offsetof(struct stats, balloon.rss), KIB },
        { "balloon.disk_caches", offsetof(struct stats, balloon.disk_caches), KIB },
        { "balloon.major_fault", offsetof(struct stats, balloon.major_faults), 1 },
        { "balloon.minor_fault", offsetof(struct stats, balloon.minor_faults), 1 },
        { "balloon.last-update", offsetof(struct stats, balloon.updated_s), 1 },
};

static const struct field vcpu_fields[] = {
        { "state", offsetof(struct stats_vcpu, state), 1 },
        { "time", offsetof(struct stats_vcpu, time_ns), 1 },
        { "wait", offsetof(struct stats_vcpu, wait_ns), 1 },
        { "delay", offsetof(struct stats_vcpu, delay_ns), 1 },
};

static const struct field net_fields[] = {
        { "rx.bytes", offsetof(struct stats_net, rx_bytes), 1 },
        { "rx.pkts", offsetof(struct stats_net, rx_packets), 1 },
        { "rx.errs", offsetof(struct stats_net, rx_errors), 1 },
        { "rx.drop", offsetof(struct stats_net, rx_drops), 1 },
        { "tx.bytes", offsetof(struct stats_net, tx_bytes), 1 },
        { "tx.pkts", offsetof(struct stats_net, tx_packets), 1 },
        { "tx.errs", offsetof(struct stats_net, tx_errors), 1 },
        { "tx.drop", offsetof(struct stats_net, tx_drops), 1 },
};

static const struct field block_fields[] = {
        { "rd.reqs", offsetof(struct stats_block, read_requests), 1 },
        { "rd.bytes", offsetof(struct stats_block, read_bytes), 1 },
        { "rd.times", offsetof(struct stats_block, read_ns), 1 },
        { "wr.reqs", offsetof(struct stats_block, write_requests), 1 },
        { "wr.bytes", offsetof(struct stats_block, write_bytes), 1 },
        { "wr.times", offsetof(struct stats_block, write_ns), 1 },
        { "fl.reqs", offsetof(struct stats_block, flush_requests), 1 },
        { "fl.times", offsetof(struct stats_block, flush_ns), 1 },
        { "allocation", offsetof(struct stats_block, allocation_bytes), 1 },
        { "capacity", offsetof(struct stats_block, capacity_bytes), 1 },
        { "physical", offsetof(struct stats_block, physical_bytes), 1 },
};

/* "net.3.rx.bytes": *ret_number is 3, the rest "rx.bytes". Return: whether it is one. */
static bool split(
                const char *name, const char *group, uint64_t *ret_number, const char **ret_rest) {
        size_t n = strlen(group);
        const char *at = name + n + 1;

        if (strncmp(name, group, n) != 0 || name[n] != '.' || text_take_u64(&at, ret_number) < 0 ||
                        *at != '.')
                return false;
        *ret_rest = at + 1;
        return true;
}

/* The place of device @number: it begins with its name, which libvirt puts first of its fields. */
struct places {
        size_t by_number[STATS_DEVICES_MAX]; /* index + 1 */
};

static void take_net(struct stats *stats, struct places *places, uint64_t number, const char *rest,
                const virTypedParameter *param) {
        if (number >= STATS_DEVICES_MAX) {
                stats->devices_refused += strcmp(rest, "name") == 0;
        } else if (strcmp(rest, "name") == 0 && param->type == VIR_TYPED_PARAM_STRING) {
                if (stats_add_net(stats, param->value.s))
                        places->by_number[number] = stats->n_nets;
        } else if (places->by_number[number]) {
                (void) take(net_fields, ARRAY_SIZE(net_fields),
                                &stats->nets[places->by_number[number] - 1], rest, param);
        }
}

static void take_block(struct stats *stats, struct places *places, uint64_t number,
                const char *rest, const virTypedParameter *param) {
        struct stats_block *block;

        if (number >= STATS_DEVICES_MAX) {
                stats->devices_refused += strcmp(rest, "name") == 0;
                return;
        }
        if (strcmp(rest, "name") == 0 && param->type == VIR_TYPED_PARAM_STRING) {
                if (stats_add_block(stats, param->value.s))
                        places->by_number[number] = stats->n_blocks;
                return;
        }
        if (!places->by_number[number])
                return;
        block = &stats->blocks[places->by_number[number] - 1];
        if (strcmp(rest, "path") == 0 && param->type == VIR_TYPED_PARAM_STRING)
                text_fit(block->path, sizeof(block->path), param->value.s);
        else
                (void) take(block_fields, ARRAY_SIZE(block_fields), block, rest, param);
}

static void take_vcpu(struct stats *stats, uint64_t number, const char *rest,
                const virTypedParameter *param) {
        struct stats_vcpu *vcpu = stats->n_vcpus ? &stats->vcpus[stats->n_vcpus - 1] : NULL;

        if (number > UINT32_MAX)
                return;
        if (!vcpu || vcpu->number != number)
                vcpu = stats_add_vcpu(stats, (unsigned int) number);
        if (vcpu)
                (void) take(vcpu_fields, ARRAY_SIZE(vcpu_fields), vcpu, rest, param);
}

static const struct field fs_fields[] = {
        { "used-bytes", offsetof(struct stats_fs, used_bytes), 1 },
        { "total-bytes", offsetof(struct stats_fs, total_bytes), 1 },
};

static void take_fs(struct stats *stats, uint64_t number, uint64_t *current, const char *rest,
                const virTypedParameter *param) {
        const char *text = param->type == VIR_TYPED_PARAM_STRING ? param->value.s : NULL;
        struct stats_fs *fs;

        if (number >= STATS_FS_MAX) {
                stats->devices_refused += strcmp(rest, "mountpoint") == 0;
                return;
        }
        if (*current != number)
                *current = stats_add_fs(stats, "") ? number : STATS_UNKNOWN;
        if (*current != number)
                return;
        fs = &stats->fs[stats->n_fs - 1];
        if (strcmp(rest, "mountpoint") == 0 && text)
                text_fit(fs->mountpoint, sizeof(fs->mountpoint), text);
        else if (strcmp(rest, "name") == 0 && text)
                text_fit(fs->device, sizeof(fs->device), text);
        else if (strcmp(rest, "fstype") == 0 && text)
                text_fit(fs->type, sizeof(fs->type), text);
        else
                (void) take(fs_fields, ARRAY_SIZE(fs_fields), fs, rest, param);
}

void libvirt_stats_parse_guest(const virTypedParameter *params, int n_params, struct stats *stats) {
        uint64_t number, current = STATS_UNKNOWN;
        const char *rest;
        size_t kept = 0;

        for (int i = 0; i < n_params; i++)
                if (split(params[i].field, "fs", &number, &rest))
                        take_fs(stats, number, &current, rest, &params[i]);
        for (size_t i = 0; i < stats->n_fs; i++) {
                if (stats->fs[i].used_bytes != STATS_UNKNOWN &&
                                stats->fs[i].total_bytes != STATS_UNKNOWN)
                        stats->fs[kept++] = stats->fs[i];
        }
        stats->n_fs = kept;
        stats_sum_fs(stats);
}

void libvirt_stats_parse(const virTypedParameter *params, int n_params, struct stats *stats) {
        struct places nets = {}, blocks = {};
        uint64_t number;
        const char *rest;

        for (int i = 0; i < n_params; i++) {
                const char *name = params[i].field;

                if (split(name, "net", &number, &rest))
                        take_net(stats, &nets, number, rest, &params[i]);
                else if (split(name, "block", &number, &rest))
                        take_block(stats, &blocks, number, rest, &params[i]);
                else if (split(name, "vcpu", &number, &rest))
                        take_vcpu(stats, number, rest, &params[i]);
                else if (strcmp(name, "state.state") == 0)
                        stats->paused = number_of(&params[i]) == VIR_DOMAIN_PAUSED;
                else if (strcmp(name, "block.count") == 0)
                        stats->has_devices = true; /* not there if the monitor was left alone */
                else
                        (void) take(top_fields, ARRAY_SIZE(top_fields), stats, name, &params[i]);
        }
        if (stats->balloon.updated_s == STATS_UNKNOWN)
                stats->balloon.updated_s = 0;
        if (stats->vcpus_current != STATS_UNKNOWN)
                stats->cpus = (double) stats->vcpus_current;
}
