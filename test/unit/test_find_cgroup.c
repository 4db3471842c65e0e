/* Which workload a cgroup's path belongs to. */

#include <string.h>

#include "model/workload.h"
#include "test.h"

static void add(struct inventory *inventory, enum workload_kind kind, const char *id,
                const char *cgroup) {
        struct workload_info info = WORKLOAD_INFO_INIT;
        struct workload *workload;

        info.kind = kind;
        info.native_id = id;
        info.name = id;
        info.cgroup = cgroup;
        assert_true(inventory_update(inventory, "s", &info, &workload) >= 0);
}

static void the_innermost_workload_is_found_and_a_machine_before_its_unit(void **state) {
        static const struct {
                const char *path, *id;
        } rows[] = {
                { "/system.slice/web.service", "web.service" },
                { "/system.slice/web.service/worker", "web.service" },
                { "/system.slice/other.service", "system.slice" },
                { "/system.slice/web.services", "system.slice" },
                { "/machine.slice/machine-bb.scope/payload", "bb" },
                { "/machine.slice/machine-cc.scope", "machine-cc.scope" },
                { "/elsewhere/early.service", "early.service" },
                { "/early.service", "early.service" }, /* as PID 1 names it, without a path */
                { "/machine-bb.scope", "bb" },
                { "/user.slice/user-1.slice/user@1.service/app.slice/early.service", NULL },
                { "/elsewhere/not-early.service", NULL },
                { "/elsewhere", NULL },
        };
        struct inventory *inventory;
        struct workload *found;

        assert_int_equal(inventory_new(100, &inventory), 0);
        add(inventory, WORKLOAD_UNIT, "system.slice", "/system.slice");
        add(inventory, WORKLOAD_UNIT, "web.service", "/system.slice/web.service");
        add(inventory, WORKLOAD_UNIT, "machine-bb.scope", "/machine.slice/machine-bb.scope");
        add(inventory, WORKLOAD_CONTAINER, "bb", "/machine.slice/machine-bb.scope");
        add(inventory, WORKLOAD_UNIT, "machine-cc.scope", "/machine.slice/machine-cc.scope");
        add(inventory, WORKLOAD_UNIT, "early.service", NULL);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                found = inventory_find_cgroup(inventory, rows[i].path);
                if (!rows[i].id != !found || (found && strcmp(found->id, rows[i].id) != 0))
                        fail_msg("%s: %s, not %s", rows[i].path, found ? found->id : "nothing",
                                        rows[i].id ? rows[i].id : "nothing");
        }
        inventory_free(inventory);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_innermost_workload_is_found_and_a_machine_before_its_unit),
        };

        return RUN_TESTS(tests);
}
