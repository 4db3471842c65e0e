#pragma once
/* One record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg). Pure. */

#include "base/macro.h"

struct kmsg_record {
        unsigned int priority; /* 0..7 */
        unsigned int facility; /* 0: the kernel; anything else was written by a process */
        uint64_t sequence;
        uint64_t monotonic_us;
        const char *text; /* into the record; not NUL-terminated */
        size_t text_size; /* up to the newline; dictionary lines follow it */
};

/** "PRIO,SEQ,USEC,FLAGS[,…];TEXT\n[ KEY=VALUE\n]…" Return: 0; -EINVAL. */
int kmsg_parse(const char *record, size_t size, struct kmsg_record *ret_record);
