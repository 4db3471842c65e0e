/* Records of /dev/kmsg. */

#include "model/kmsg.h"

#include <ctype.h>
#include <string.h>

/* Digits up to @end_char; moves *at behind it. */
static bool number(const char **at, const char *end, const char *end_chars, uint64_t *ret_value) {
        const char *c = *at;
        uint64_t value = 0;

        for (; c < end && isdigit((unsigned char) *c); c++) {
                if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
                                __builtin_add_overflow(value, (uint64_t) (*c - '0'), &value))
                        return false;
        }
        if (c == *at || c >= end || !*c || !strchr(end_chars, *c))
                return false;
        *ret_value = value;
        *at = *c == ';' ? c : c + 1;
        return true;
}

int kmsg_parse(const char *record, size_t size, struct kmsg_record *ret_record) {
        const char *at = record, *end = record + size, *semicolon, *newline;
        uint64_t priority, sequence, monotonic_us;

        if (!number(&at, end, ",", &priority) || !number(&at, end, ",", &sequence) ||
                        !number(&at, end, ",;", &monotonic_us) || priority > UINT32_MAX)
                return -EINVAL;
        semicolon = memchr(at, ';', (size_t) (end - at));
        if (!semicolon)
                return -EINVAL;
        semicolon++;
        newline = memchr(semicolon, '\n', (size_t) (end - semicolon));
        *ret_record = (struct kmsg_record){
                .priority = (unsigned int) priority & 7,
                .facility = (unsigned int) priority >> 3,
                .sequence = sequence,
                .monotonic_us = monotonic_us,
                .text = semicolon,
                .text_size = (size_t) ((newline ? newline : end) - semicolon),
        };
        return 0;
}
