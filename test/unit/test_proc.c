/* What is read of /proc, of ourselves. */

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "source/proc.h"
#include "test.h"

static void a_process_began_when_it_did_whatever_it_calls_itself(void **state) {
        uint64_t begun_us = 0, again_us = 0, now_us = clock_realtime_us();
        uint32_t pid = (uint32_t) getpid();

        assert_int_equal(proc_start_us(pid, &begun_us), 0);
        assert_true(begun_us <= now_us + USEC_PER_SEC);
        assert_true(begun_us + 60 * USEC_PER_SEC > now_us);
        assert_int_equal(prctl(PR_SET_NAME, "x) S 1 2 (3 4"), 0);
        assert_int_equal(proc_start_us(pid, &again_us), 0);
        assert_true(again_us < begun_us + USEC_PER_SEC && begun_us < again_us + USEC_PER_SEC);
}

static void a_process_that_is_gone_has_none(void **state) {
        uint64_t begun_us;
        char path[64];

        assert_int_equal(proc_start_us(UINT32_MAX, &begun_us), -ESRCH);
        assert_int_equal(proc_memory_cgroup(UINT32_MAX, path, sizeof(path)), -ESRCH);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_process_began_when_it_did_whatever_it_calls_itself),
                cmocka_unit_test(a_process_that_is_gone_has_none),
        };

        return RUN_TESTS(tests);
}
