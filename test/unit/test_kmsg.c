/* Records of /dev/kmsg: "PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;text", and what only looks like one.
 */

#include <errno.h>
#include <string.h>

#include "model/kmsg.h"
#include "test.h"

static void a_record_is_read_with_its_numbers(void **state) {
        static const char record[] = "6,1234,98765432,-,more=1;Out of memory\n SUBSYSTEM=x\n";
        struct kmsg_record read;

        assert_int_equal(kmsg_parse(record, strlen(record), &read), 0);
        assert_int_equal(read.priority, 6);
        assert_int_equal(read.sequence, 1234);
        assert_int_equal(read.monotonic_us, 98765432);
        assert_int_equal(read.text_size, strlen("Out of memory"));
        assert_memory_equal(read.text, "Out of memory", read.text_size);
        assert_int_equal(kmsg_parse("30,18446744073709551615,0;a", 27, &read), 0);
        assert_int_equal(read.priority, 6);
        assert_int_equal(read.facility, 3);
        assert_true(read.sequence == UINT64_MAX);
}

static void what_is_no_record_is_refused(void **state) {
        static const struct {
                const char *text;
                size_t size;
        } rows[] = { { "", 0 }, { "6", 1 }, { "6,", 2 }, { "6,1,2", 5 }, { "6,1;a", 5 },
                { ",1,2;a", 6 }, { "-6,1,2;a", 8 }, { "6,18446744073709551616,2;a", 26 },
                { "4294967296,1,2;a", 16 }, { "6\0001,2,3;a", 10 }, { "6,1\0002,-;a", 10 },
                { "6,1,2\0-;a", 9 } };
        struct kmsg_record read;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (kmsg_parse(rows[i].text, rows[i].size, &read) != -EINVAL)
                        fail_msg("row %zu", i);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_record_is_read_with_its_numbers),
                cmocka_unit_test(what_is_no_record_is_refused),
        };

        return RUN_TESTS(tests);
}
