/* The files of a control group, each input twice: read now and a second later. The first byte says
 * which file it is. Whatever is in it, the percentages that come of it are possible or not told. */

#include <string.h>

#include "base/clock.h"
#include "model/usage.h"
#include "source/cgroup_read.h"

#define INPUT_MAX 65536

static void parse(uint8_t file, const char *text, struct stats *stats) {
        switch (file) {
        case 'c':
                cgroup_parse_cpu_stat(text, stats);
                break;
        case '1':
                cgroup_parse_memory_stat(CGROUP_V1, text, stats);
                break;
        case '2':
                cgroup_parse_memory_stat(CGROUP_V2, text, stats);
                break;
        case 'i':
                cgroup_parse_io_stat(text, stats);
                break;
        default:
                cgroup_parse_blkio(text, file == 'b', stats);
                break;
        }
}

static void check_percent(double value) {
        assert(isnan(value) || (value >= 0 && value <= 100));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(stats_freep) struct stats *before = stats_new(STATS_FROM_KERNEL);
        _cleanup_(stats_freep) struct stats *now = stats_new(STATS_FROM_KERNEL);
        _cleanup_(freep) char *text = NULL;
        struct usage usage;
        char *half;

        if (!before || !now || size == 0 || size > INPUT_MAX)
                return 0;
        text = strndup((const char *) data + 1, size - 1);
        assert(text);
        half = strchr(text, '%'); /* what lies behind one is the later reading */
        if (half)
                *half++ = '\0';
        parse(data[0], text, before);
        parse(data[0], half ? half : text, now);
        before->mono_us = USEC_PER_SEC;
        now->mono_us = 2 * USEC_PER_SEC;
        now->cpus = before->cpus = 2;
        assert(now->n_blocks <= STATS_DEVICES_MAX);
        usage_compute(before, now, WORKLOAD_CONTAINER, 0, UINT64_C(1) << 34, &usage);
        check_percent(usage.cpu_percent);
        check_percent(usage.memory_percent);
        check_percent(usage.disk_percent);
        assert(isnan(usage.cpu_raw_percent) || usage.cpu_raw_percent >= 0);
        return 0;
}
