/* Never half a result: what is no domain is refused whole, what is one has devices with targets. */

#include <string.h>

#include "model/stats.h"
#include "source/libvirt_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct libvirt_xml xml = {};
        int r;

        if (size > 16384)
                return 0;
        r = libvirt_xml_parse((const char *) data, size, &xml);
        assert(r == 0 || (!xml.disks && !xml.nets && !xml.agent));
        assert(xml.n_disks <= STATS_DEVICES_MAX && xml.n_nets <= STATS_DEVICES_MAX);
        for (size_t i = 0; i < xml.n_disks; i++) {
                assert(xml.disks[i].target[0]);
                assert(strlen(xml.disks[i].target) < sizeof(xml.disks[i].target));
        }
        for (size_t i = 0; i < xml.n_nets; i++)
                assert(strlen(xml.nets[i].mac) < sizeof(xml.nets[i].mac));
        libvirt_xml_done(&xml);
        return 0;
}
