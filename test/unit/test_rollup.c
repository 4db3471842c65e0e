/* Lines add up by day and host; what is old is no live traffic. */

#include <limits.h>
#include <string.h>

#include "model/rollup.h"
#include "test.h"

#define DAY    UINT64_C(20778)
#define NOW_US (DAY * ROLLUP_DAY_US + 3600 * USEC_PER_SEC)

static void add(struct rollup_set *set, const char *host, uint64_t time_us, unsigned int status,
                uint64_t bytes, uint64_t duration_ns) {
        struct access_line line = { .time_us = time_us,
                .status = status,
                .bytes_out = bytes,
                .has_duration = true,
                .duration_ns = duration_ns };

        (void) snprintf(line.host, sizeof(line.host), "%s", host);
        assert_int_equal(rollup_set_add(set, &line, NOW_US), 0);
}

struct looked_for {
        const char *name;
        const struct rollup_host *found;
        size_t n;
};

static int look(const struct rollup_host *host, void *userdata) {
        struct looked_for *looked_for = userdata;

        looked_for->n++;
        if (strcmp(host->name, looked_for->name) == 0)
                looked_for->found = host;
        return 0;
}

static const struct rollup_host *find(const struct rollup_set *set, const char *name) {
        struct looked_for looked_for = { .name = name };

        assert_int_equal(rollup_set_each(set, look, &looked_for), 0);
        return looked_for.found;
}

static const struct rollup *day_of(const struct rollup_host *host, uint64_t number) {
        for (const struct rollup *day = host->days; day; day = day->next)
                if (day->day == number)
                        return day;
        return NULL;
}

static void a_line_counts_for_the_day_it_is_of(void **state) {
        const struct rollup_host *host;
        struct rollup_set *set;

        assert_int_equal(rollup_set_new(&set), 0);
        add(set, "a", DAY * ROLLUP_DAY_US - 1, 200, 10, 1000);
        add(set, "a", DAY * ROLLUP_DAY_US, 404, 20, 2000);
        add(set, "b", DAY * ROLLUP_DAY_US, 0, 0, 3000);
        add(set, "a", (DAY - 30) * ROLLUP_DAY_US, 500, 5, 4000);
        host = find(set, "a");
        assert_int_equal(day_of(host, DAY - 1)->classes[ROLLUP_2XX], 1);
        assert_int_equal(day_of(host, DAY - 1)->bytes_out, 10);
        assert_int_equal(day_of(host, DAY)->classes[ROLLUP_4XX], 1);
        assert_int_equal(day_of(host, DAY)->requests, 1);
        assert_int_equal(day_of(host, DAY - 30)->classes[ROLLUP_5XX], 1);
        assert_int_equal(day_of(find(set, "b"), DAY)->classes[ROLLUP_NONE], 1);
        assert_int_equal(rollup_set_lines(set), 4);
        assert_int_equal(rollup_set_rows(set), 4);
        assert_true(rollup_set_size(set) > 4 * sizeof(struct rollup));
        rollup_set_free(set);
}

static void only_what_has_just_happened_is_live(void **state) {
        const struct rollup_live *live;
        struct rollup_set *set;

        assert_int_equal(rollup_set_new(&set), 0);
        add(set, "a", NOW_US - ROLLUP_LIVE_US - 1, 200, 1, 1);
        assert_false(find(set, "a")->has_live);
        add(set, "a", NOW_US - ROLLUP_LIVE_US, 200, 1, 1500000);
        add(set, "a", NOW_US, 502, 1, 1500000);
        add(set, "a", NOW_US, 0, 1, 1500000);
        live = &find(set, "a")->live;
        assert_true(find(set, "a")->has_live);
        assert_int_equal(live->requests, 3);
        assert_int_equal(live->errors[ROLLUP_BAD_GATEWAY], 1);
        assert_int_equal(live->errors[ROLLUP_ABORTED], 1);
        assert_int_equal(live->errors[ROLLUP_SERVER_ERROR], 0);
        assert_int_equal(live->n_statuses, 3);
        assert_int_equal(live->duration.count, 3);
        assert_int_equal(live->duration.sum_us, 4500);
        assert_int_equal(live->latency.count, 3);
        rollup_set_free(set);
}

static void what_names_no_host_is_other(void **state) {
        struct rollup_set *set;

        assert_int_equal(rollup_set_new(&set), 0);
        add(set, "", NOW_US, 200, 1, 1);
        add(set, "", NOW_US, 200, 1, 1);
        assert_int_equal(day_of(find(set, ROLLUP_OTHER), DAY)->requests, 2);
        rollup_set_free(set);
}

static void a_host_with_every_status_keeps_the_first_ones_apart(void **state) {
        struct rollup_live sum = {};
        const struct rollup_live *live;
        struct rollup_set *set;
        uint64_t requests = 0;

        assert_int_equal(rollup_set_new(&set), 0);
        for (unsigned int status = 100; status < 600; status++)
                add(set, "a", NOW_US, status, 0, 1);
        live = &find(set, "a")->live;
        assert_int_equal(rollup_live_merge(&sum, live), 0);
        assert_int_equal(rollup_live_merge(&sum, live), 0);
        assert_int_equal(sum.n_statuses, ROLLUP_STATUS_ROOM);
        assert_int_equal(sum.statuses[0].status, 100);
        assert_int_equal(sum.statuses[0].requests, 2);
        assert_int_equal(sum.statuses[ROLLUP_STATUS_ROOM - 1].status, UINT_MAX);
        for (size_t i = 0; i < sum.n_statuses; i++)
                requests += sum.statuses[i].requests;
        assert_int_equal(requests, 1000);
        assert_int_equal(sum.errors[ROLLUP_SERVER_ERROR], 2 * 97);
        assert_int_equal(sum.errors[ROLLUP_TIMEOUT], 2);
        latency_done(&sum.latency);
        rollup_set_free(set);
}

static void bytes_stop_at_the_greatest_number(void **state) {
        struct rollup sum = { .bytes_out = (uint64_t) INT64_MAX - 1 }, more = { .bytes_out = 5 };

        assert_int_equal(rollup_merge(&sum, &more), 0);
        assert_true(sum.bytes_out == (uint64_t) INT64_MAX);
}

static void a_line_without_a_duration_counts_but_is_no_latency(void **state) {
        struct access_line line = { .time_us = NOW_US, .host = "a", .status = 200 };
        struct rollup_set *set;

        assert_int_equal(rollup_set_new(&set), 0);
        assert_int_equal(rollup_set_add(set, &line, NOW_US), 0);
        assert_int_equal(day_of(find(set, "a"), DAY)->requests, 1);
        assert_int_equal(day_of(find(set, "a"), DAY)->latency.count, 0);
        assert_int_equal(find(set, "a")->live.duration.count, 0);
        rollup_set_free(set);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_line_counts_for_the_day_it_is_of),
                cmocka_unit_test(only_what_has_just_happened_is_live),
                cmocka_unit_test(what_names_no_host_is_other),
                cmocka_unit_test(a_host_with_every_status_keeps_the_first_ones_apart),
                cmocka_unit_test(bytes_stop_at_the_greatest_number),
                cmocka_unit_test(a_line_without_a_duration_counts_but_is_no_latency),
        };

        return RUN_TESTS(tests);
}
