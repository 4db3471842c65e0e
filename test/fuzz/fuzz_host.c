/* The files of /proc that the host's numbers come from. The first byte says which file it is. */

#include <string.h>

#include "base/text.h"
#include "model/host.h"

#define INPUT_MAX 65536

static void check_percent(double value) {
        assert(isnan(value) || (value >= 0 && value <= 100));
}

static void check_name(const char *name) {
        assert(text_is_utf8(name, strlen(name)));
        for (; *name; name++)
                assert((unsigned char) *name >= 0x20 && *name != 0x7f);
}

static void check_host(const struct host *host) {
        struct host_usage usage;

        host_compare(host, host, &usage);
        check_percent(usage.cpu_percent);
        check_percent(usage.memory_percent);
        check_percent(usage.swap_percent);
        assert(!usage.reset);
        assert(isnan(host->load1) || host->load1 >= 0);
        for (size_t i = 0; i < host->n_cpus; i++)
                check_percent(host_cpu_percent(host, host, host->cpus[i].number));
        for (size_t i = 0; i < host->n_nets; i++) {
                check_name(host->nets[i].name);
                assert(host_find_net(host, host->nets[i].name) == &host->nets[i]);
        }
        for (size_t i = 0; i < host->n_disks; i++) {
                check_name(host->disks[i].name);
                assert(host_find_disk(host, host->disks[i].name) == &host->disks[i]);
        }
}

static void parse_mounts(const char *text) {
        static const char *const items[] = { "*" };
        struct host_mounts *mounts = host_mounts_new();

        if (!mounts)
                return;
        (void) host_parse_mountinfo(text, &(struct host_patterns){ items, 1 }, mounts);
        assert(mounts->n <= HOST_DEVICES_MAX);
        for (size_t i = 0; i < mounts->n; i++) {
                check_name(mounts->items[i].device);
                check_name(mounts->items[i].point);
                check_name(mounts->items[i].source);
                check_name(mounts->items[i].type);
                assert(mounts->items[i].path && mounts->items[i].path[0] == '/');
        }
        check_percent(host_mounts_percent(mounts));
        host_mounts_free(mounts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const struct host_patterns none = {};
        struct host *host = host_new();
        char *text;

        if (!host || size == 0 || size > INPUT_MAX)
                goto out;
        text = strndup((const char *) data + 1, size - 1);
        assert(text);
        switch (data[0]) {
        case 's':
                (void) host_parse_stat(text, host);
                break;
        case 'm':
                host_parse_meminfo(text, host);
                break;
        case 'l':
                host_parse_loadavg(text, host);
                break;
        case 'u':
                host_parse_uptime(text, host);
                break;
        case 'v':
                host_parse_vmstat(text, host);
                break;
        case 'p':
                host_parse_pressure(text, HOST_IO, host);
                break;
        case 'n':
                (void) host_parse_net_dev(text, &none, host);
                break;
        case 'd':
                (void) host_parse_diskstats(text, &none, host);
                break;
        default:
                parse_mounts(text);
                break;
        }
        free(text);
        check_host(host);
out:
        host_free(host);
        return 0;
}
