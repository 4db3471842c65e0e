/* Call by call, for drivers that give no bulk statistics or few: LXC, libxl, the test driver. None
 * of these has a monitor that could hang. */

#include <string.h>

#include "base/text.h"
#include "source/libvirt_round.h"
#include "source/libvirt_xml.h"

#define KIB UINT64_C(1024)

bool libvirt_each_may_ask(virConnectPtr connection) {
        const char *type = virConnectGetType(connection);

        return type && strcmp(type, "QEMU") != 0;
}

static uint64_t known_or_none(long long value) {
        return value >= 0 ? (uint64_t) value : STATS_UNKNOWN;
}

/* The guest's own numbers, where the driver has such; a control group's otherwise. */
static void read_memory(virDomainPtr domain, struct stats *stats) {
        virDomainMemoryStatStruct values[VIR_DOMAIN_MEMORY_STAT_NR];
        uint64_t *const places[VIR_DOMAIN_MEMORY_STAT_NR] = {
                [VIR_DOMAIN_MEMORY_STAT_SWAP_IN] = &stats->balloon.swap_in,
                [VIR_DOMAIN_MEMORY_STAT_SWAP_OUT] = &stats->balloon.swap_out,
                [VIR_DOMAIN_MEMORY_STAT_UNUSED] = &stats->balloon.unused,
                [VIR_DOMAIN_MEMORY_STAT_AVAILABLE] = &stats->balloon.available,
                [VIR_DOMAIN_MEMORY_STAT_USABLE] = &stats->balloon.usable,
                [VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON] = &stats->balloon.current,
                [VIR_DOMAIN_MEMORY_STAT_RSS] = &stats->balloon.rss,
                [VIR_DOMAIN_MEMORY_STAT_DISK_CACHES] = &stats->balloon.disk_caches,
        };
        int n = virDomainMemoryStats(domain, values, VIR_DOMAIN_MEMORY_STAT_NR, 0);

        for (int i = 0; i < n; i++) {
                uint64_t *place = values[i].tag >= 0 && values[i].tag < VIR_DOMAIN_MEMORY_STAT_NR
                                ? places[values[i].tag]
                                : NULL;

                if (values[i].tag == VIR_DOMAIN_MEMORY_STAT_LAST_UPDATE)
                        stats->balloon.updated_s = values[i].val;
                else if (place && __builtin_mul_overflow(values[i].val, KIB, place))
                        *place = STATS_UNKNOWN;
        }
}

/* A container's memory is what its control group holds; GetInfo's "memory" is that as well there,
 * not what it was given. */
static void read_group_memory(virDomainPtr domain, struct stats *stats) {
        virDomainInfo info;

        if (virDomainGetInfo(domain, &info) < 0)
                return;
        stats->memory_bytes = stats->balloon.rss;
        stats->balloon.rss = STATS_UNKNOWN;
        stats->balloon.swap_in = STATS_UNKNOWN; /* LXC's is memory and swap held, no counter */
        stats->memory_limit_bytes = stats->balloon.maximum = (uint64_t) info.maxMem * KIB;
        if (stats->balloon.current == STATS_UNKNOWN)
                stats->balloon.current = stats->balloon.maximum;
}

static void read_net(virDomainPtr domain, const char *name, struct stats *stats) {
        virDomainInterfaceStatsStruct values;
        struct stats_net *net = stats_add_net(stats, name);

        if (!net || virDomainInterfaceStats(domain, name, &values, sizeof(values)) < 0)
                return;
        net->rx_bytes = known_or_none(values.rx_bytes);
        net->rx_packets = known_or_none(values.rx_packets);
        net->rx_errors = known_or_none(values.rx_errs);
        net->rx_drops = known_or_none(values.rx_drop);
        net->tx_bytes = known_or_none(values.tx_bytes);
        net->tx_packets = known_or_none(values.tx_packets);
        net->tx_errors = known_or_none(values.tx_errs);
        net->tx_drops = known_or_none(values.tx_drop);
}

static void read_block(
                virDomainPtr domain, const struct libvirt_xml_disk *disk, struct stats *stats) {
        virDomainBlockStatsStruct values;
        struct stats_block *block = stats_add_block(stats, disk->target);

        if (!block)
                return;
        if (disk->path)
                text_fit(block->path, sizeof(block->path), disk->path);
        if (virDomainBlockStats(domain, disk->target, &values, sizeof(values)) < 0)
                return;
        block->read_requests = known_or_none(values.rd_req);
        block->read_bytes = known_or_none(values.rd_bytes);
        block->write_requests = known_or_none(values.wr_req);
        block->write_bytes = known_or_none(values.wr_bytes);
}

static void read_devices(virDomainPtr domain, struct stats *stats) {
        _cleanup_(freep) char *text = virDomainGetXMLDesc(domain, 0);
        struct libvirt_xml xml;

        if (!text || libvirt_xml_parse(text, strlen(text), &xml) < 0)
                return;
        for (size_t i = 0; i < xml.n_nets; i++)
                if (xml.nets[i].target[0])
                        read_net(domain, xml.nets[i].target, stats);
        for (size_t i = 0; i < xml.n_disks; i++)
                read_block(domain, &xml.disks[i], stats);
        stats->has_devices = true;
        libvirt_xml_done(&xml);
}

void libvirt_each_read(virDomainPtr domain, bool devices, struct stats *stats) {
        const char *type = virConnectGetType(virDomainGetConnect(domain));

        read_memory(domain, stats);
        if (type && strcmp(type, "LXC") == 0)
                read_group_memory(domain, stats);
        if (devices)
                read_devices(domain, stats);
}
