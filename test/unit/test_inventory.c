/* The inventory: found by every name there is, full at its limit, and the same after the store. */

#include <string.h>

#include "base/json.h"
#include "model/workload.h"
#include "test.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct inventory *inventory_of(size_t max) {
        struct inventory *inventory = NULL;

        assert_int_equal(inventory_new(max, &inventory), 0);
        return inventory;
}

static struct workload *add(struct inventory *inventory, const char *source, const char *native_id,
                const char *name) {
        struct workload_info info = WORKLOAD_INFO_INIT;
        struct workload *workload = NULL;

        info.kind = WORKLOAD_CONTAINER;
        info.native_id = native_id;
        info.name = name;
        assert_int_equal(inventory_update(inventory, source, &info, &workload), 1);
        return workload;
}

static void say_pid(struct inventory *inventory, struct workload *workload, uint32_t pid) {
        struct workload_info info = WORKLOAD_INFO_INIT;

        info.native_id = workload->native_id;
        info.pid = pid;
        assert_int_equal(inventory_update(inventory, workload->source, &info, &workload), 0);
}

static void addresses_are_clean_bounded_and_of_one_life(void **state) {
        static const char *const told[] = { "192.0.2.7", "2001:DB8:0::7", "not one", NULL,
                "192.0.2.7", "192.0.2.0/24", "fe80::1%eth0" };
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload *workload = add(inventory, "libvirt", "one", "one");
        char texts[WORKLOAD_ADDRESSES_MAX + 5][16];
        const char *many[WORKLOAD_ADDRESSES_MAX + 5];

        assert_int_equal(workload_set_addresses(workload, told, ARRAY_SIZE(told)), 1);
        assert_int_equal(workload->n_addresses, 2);
        assert_string_equal(workload->addresses[0], "192.0.2.7");
        assert_string_equal(workload->addresses[1], "2001:db8::7");
        assert_int_equal(workload_set_addresses(workload, told, ARRAY_SIZE(told)), 0);

        for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
                (void) snprintf(texts[i], sizeof(texts[i]), "10.0.0.%zu", i);
                many[i] = texts[i];
        }
        assert_int_equal(workload_set_addresses(workload, many, ARRAY_SIZE(many)), 1);
        assert_int_equal(workload->n_addresses, WORKLOAD_ADDRESSES_MAX);

        (void) workload_set_state(workload, STATE_PAUSED, NULL, 1);
        assert_int_equal(workload->n_addresses, WORKLOAD_ADDRESSES_MAX);
        (void) workload_set_state(workload, STATE_STOPPED, NULL, 2);
        assert_int_equal(workload->n_addresses, 0);
        assert_null(workload->addresses);
}

static void what_a_source_says_is_taken_over(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct json_object *labels = json_object_new_object();
        struct workload_info info = {
                .kind = WORKLOAD_VM,
                .native_id = "native",
                .name = "web",
                .uuid = "uuid",
                .runtime = "qemu",
                .image = "image",
                .uri = "qemu:///system",
                .cgroup = "/machine",
                .job = "job",
                .labels = labels,
                .state = STATE_RUNNING,
                .domain_id = 3,
                .pid = 77,
                .created_us = 1,
                .started_us = 2,
                .finished_us = 3,
                .restarts = 4,
                .transient = 1,
        };
        struct workload *workload = NULL;

        assert_int_equal(inventory_update(inventory, "libvirt", &info, &workload), 1);
        json_object_put(labels);
        assert_string_equal(workload->id, "native");
        assert_string_equal(workload->source, "libvirt");
        assert_string_equal(workload->name, "web");
        assert_string_equal(workload->uuid, "uuid");
        assert_string_equal(workload->runtime, "qemu");
        assert_string_equal(workload->image, "image");
        assert_string_equal(workload->uri, "qemu:///system");
        assert_string_equal(workload->cgroup, "/machine");
        assert_string_equal(workload->job, "job");
        assert_null(workload->labels); /* of a VM: none, rather than an empty set */
        assert_int_equal(workload->kind, WORKLOAD_VM);
        assert_int_equal(workload->state, STATE_UNKNOWN); /* not by update */
        assert_int_equal(workload->domain_id, 3);
        assert_int_equal(workload->pid, 77);
        assert_int_equal(workload->created_us, 1);
        assert_int_equal(workload->started_us, 2);
        assert_int_equal(workload->finished_us, 3);
        assert_int_equal(workload->restarts, 4);
        assert_true(workload->transient);
}

static void what_is_not_said_stays(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload_info info = WORKLOAD_INFO_INIT, silent = WORKLOAD_INFO_INIT;
        struct workload *workload = NULL, *again = NULL;

        info.native_id = silent.native_id = "a";
        info.name = "web";
        info.image = "image";
        info.pid = 7;
        info.domain_id = 3;
        info.restarts = 2;
        info.started_us = 5;
        info.transient = 1;
        assert_int_equal(inventory_update(inventory, "s", &info, &workload), 1);
        assert_int_equal(inventory_update(inventory, "s", &silent, &again), 0);
        assert_ptr_equal(workload, again);
        assert_string_equal(workload->name, "web");
        assert_string_equal(workload->image, "image");
        assert_int_equal(workload->pid, 7);
        assert_int_equal(workload->domain_id, 3);
        assert_int_equal(workload->restarts, 2);
        assert_int_equal(workload->started_us, 5);
        assert_true(workload->transient);
        silent.name = "db";
        silent.restarts = 0;
        silent.domain_id = 0;
        silent.transient = 0;
        assert_int_equal(inventory_update(inventory, "s", &silent, &again), 0);
        assert_string_equal(workload->name, "db");
        assert_int_equal(workload->restarts, 0);
        assert_int_equal(workload->domain_id, 0);
        assert_false(workload->transient);
}

static void a_workload_without_an_id_is_refused_and_one_without_a_name_has_its_id(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload_info info = WORKLOAD_INFO_INIT;
        struct workload *workload = NULL;

        assert_int_equal(inventory_update(inventory, "s", &info, &workload), -EINVAL);
        info.native_id = "";
        assert_int_equal(inventory_update(inventory, "s", &info, &workload), -EINVAL);
        assert_null(workload);
        assert_int_equal(inventory_size(inventory), 0);
        assert_null(inventory_find_native(inventory, "s", NULL));
        assert_string_equal(add(inventory, "s", "abc", NULL)->name, "abc");
}

static void the_limit_is_reached_and_not_passed(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(2);
        struct workload_info info = WORKLOAD_INFO_INIT;
        struct workload *workload = NULL;

        (void) add(inventory, "s", "a", NULL);
        (void) add(inventory, "s", "b", NULL);
        info.native_id = "c";
        assert_int_equal(inventory_update(inventory, "s", &info, &workload), -ENOSPC);
        assert_int_equal(inventory_refused(inventory), 1);
        assert_int_equal(inventory_size(inventory), 2);
        info.native_id = "b";
        assert_int_equal(inventory_update(inventory, "s", &info, &workload), 0);
        inventory_remove(inventory, workload);
        info.native_id = "c";
        assert_int_equal(inventory_update(inventory, "s", &info, &workload), 1);
        assert_int_equal(inventory_refused(inventory), 1);
}

static void two_sources_may_have_the_same_id(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload *docker = add(inventory, "docker", "a", "one"),
                        *podman = add(inventory, "podman", "a", "two");

        assert_string_equal(docker->id, "a");
        assert_string_equal(podman->id, "a@podman");
        assert_ptr_equal(inventory_find(inventory, "a"), docker);
        assert_ptr_equal(inventory_find(inventory, "a@podman"), podman);
        assert_ptr_equal(inventory_find_native(inventory, "docker", "a"), docker);
        assert_ptr_equal(inventory_find_native(inventory, "podman", "a"), podman);
        assert_null(inventory_find_native(inventory, "libvirt", "a"));
        inventory_remove(inventory, docker);
        assert_null(inventory_find(inventory, "a"));
        assert_ptr_equal(inventory_find(inventory, "a@podman"), podman);
        assert_int_equal(inventory_size(inventory), 1);
}

static void people_find_by_id_name_or_the_beginning_of_an_id(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload *one = add(inventory, "s", "abcdef01", "web"),
                        *two = add(inventory, "s", "abcdef02", "db"),
                        *three = add(inventory, "s", "12345678", "abcdef0");

        assert_ptr_equal(inventory_find_any(inventory, "abcdef01"), one);
        assert_ptr_equal(inventory_find_any(inventory, "db"), two);
        assert_ptr_equal(inventory_find_any(inventory, "1234"), three);
        assert_null(inventory_find_any(inventory, "123"));                 /* too short */
        assert_null(inventory_find_any(inventory, "abcd"));                /* two */
        assert_ptr_equal(inventory_find_any(inventory, "abcdef0"), three); /* a name goes first */
        assert_null(inventory_find_any(inventory, "none"));
        assert_null(inventory_find_any(inventory, ""));
        (void) add(inventory, "s", "99999999", "db");
        assert_null(inventory_find_any(inventory, "db")); /* two */
}

static void a_pid_finds_its_workload_and_a_used_one_the_newest(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload *one = add(inventory, "s", "a", NULL),
                        *two = add(inventory, "s", "b", NULL);

        assert_null(inventory_find_pid(inventory, 7));
        assert_null(inventory_find_pid(inventory, 0));
        say_pid(inventory, one, 7);
        assert_ptr_equal(inventory_find_pid(inventory, 7), one);
        say_pid(inventory, one, 8);
        assert_null(inventory_find_pid(inventory, 7));
        assert_ptr_equal(inventory_find_pid(inventory, 8), one);
        say_pid(inventory, two, 8);
        assert_ptr_equal(inventory_find_pid(inventory, 8), two);
        inventory_remove(inventory, one);
        assert_ptr_equal(inventory_find_pid(inventory, 8), two);
        inventory_remove(inventory, two);
        assert_null(inventory_find_pid(inventory, 8));
}

static void a_pid_is_that_of_a_running_workload_and_leaves_with_it(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload *one = add(inventory, "s", "a", NULL);

        say_pid(inventory, one, 7);
        one->pid = 0; /* it has ended */
        assert_null(inventory_find_pid(inventory, 7));
        assert_ptr_equal(inventory_find_last_pid(inventory, 7), one);
        say_pid(inventory, one, 8);
        assert_null(inventory_find_last_pid(inventory, 7));
        one->pid = 0;
        inventory_remove(inventory, one);
        assert_null(inventory_find_last_pid(inventory, 8));
        assert_null(inventory_find_pid(inventory, 8));
}

static void a_cgroup_finds_the_workload_it_lies_in(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload_info info = WORKLOAD_INFO_INIT;
        struct workload *container = add(inventory, "docker", HEX, "hex"), *vm, *unit;
        static const char vm_scope[] = "/machine.slice/machine-qemu\\x2d3\\x2dweb\\x2d1.scope";

        info.kind = WORKLOAD_VM;
        info.native_id = "uuid";
        info.name = "web-1";
        info.domain_id = 3;
        assert_int_equal(inventory_update(inventory, "libvirt", &info, &vm), 1);
        info = (struct workload_info) WORKLOAD_INFO_INIT;
        info.native_id = "unit";
        info.cgroup = "/system.slice/a.service";
        assert_int_equal(inventory_update(inventory, "units", &info, &unit), 1);

        assert_ptr_equal(inventory_find_cgroup(inventory, "/system.slice/a.service"), unit);
        assert_ptr_equal(inventory_find_cgroup(inventory, "/system.slice/a.service/sub"), unit);
        assert_null(inventory_find_cgroup(inventory, "/system.slice/a.service2"));
        assert_null(inventory_find_cgroup(inventory, "/system.slice"));
        assert_null(inventory_find_cgroup(inventory, ""));
        assert_ptr_equal(inventory_find_cgroup(inventory, "/docker/" HEX), container);
        assert_ptr_equal(
                        inventory_find_cgroup(inventory, "/system.slice/docker-" HEX ".scope/init"),
                        container);
        assert_null(inventory_find_cgroup(inventory, "/docker/" HEX "0"));
        assert_null(inventory_find_cgroup(inventory, "/docker/1" HEX));
        assert_ptr_equal(inventory_find_cgroup(inventory, vm_scope), vm);
        assert_ptr_equal(inventory_find_cgroup(
                                         inventory, "/machine/qemu-3-web-1.libvirt-qemu/emulator"),
                        vm);
        assert_null(inventory_find_cgroup(
                        inventory, "/machine.slice/machine-qemu\\x2d4\\x2dweb.scope"));
        assert_null(inventory_find_cgroup(
                        inventory, "/machine.slice/machine-qemu\\x2d3\\x2dother.scope"));
        assert_null(inventory_find_cgroup(inventory, "/machine/qemu-33-web.libvirt-qemu"));
}

static void of_two_cgroups_in_each_other_the_deeper_wins(void **state) {
        static const char *const cgroups[] = { "/a.slice", "/a.slice/b.service/c",
                "/a.slice/b.service" };
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload_info info = WORKLOAD_INFO_INIT;
        struct workload *workloads[3];

        for (size_t i = 0; i < ARRAY_SIZE(cgroups); i++) {
                info.native_id = info.cgroup = cgroups[i];
                assert_int_equal(inventory_update(inventory, "s", &info, &workloads[i]), 1);
        }
        assert_ptr_equal(inventory_find_cgroup(inventory, "/a.slice/b.service/c/d"), workloads[1]);
        assert_ptr_equal(inventory_find_cgroup(inventory, "/a.slice/b.service/x"), workloads[2]);
        assert_ptr_equal(inventory_find_cgroup(inventory, "/a.slice/b"), workloads[0]);

        info.native_id = HEX;
        info.cgroup = NULL;
        assert_int_equal(inventory_update(inventory, "s", &info, &workloads[0]), 1);
        assert_ptr_equal(inventory_find_cgroup(inventory, "/a.slice/docker-" HEX ".scope"),
                        workloads[0]);
        info.native_id = info.cgroup = "/a.slice/docker-" HEX ".scope/in";
        assert_int_equal(inventory_update(inventory, "s", &info, &workloads[1]), 1);
        assert_ptr_equal(inventory_find_cgroup(inventory, info.cgroup), workloads[1]);
}

static void a_state_has_a_since_and_a_reason(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload *workload = add(inventory, "s", "a", NULL);

        assert_true(workload_set_state(workload, STATE_RUNNING, "booted", 100));
        assert_int_equal(workload->since_us, 100);
        assert_string_equal(workload->state_reason, "booted");
        assert_false(workload_set_state(workload, STATE_RUNNING, NULL, 200));
        assert_int_equal(workload->since_us, 100);
        assert_string_equal(workload->state_reason, "booted");
        assert_false(workload_set_state(workload, WORKLOAD_STATE_MAX_, "nothing", 300));
        assert_int_equal(workload->state, STATE_RUNNING);
        assert_string_equal(workload->state_reason, "booted");

        /* The source is lost and found again: that is no change of state. */
        workload->state = STATE_UNKNOWN;
        assert_true(workload_set_state(workload, STATE_RUNNING, NULL, 400));
        assert_int_equal(workload->since_us, 100);
        assert_true(workload_set_state(workload, STATE_PAUSED, "user", 500));
        assert_int_equal(workload->since_us, 500);
        assert_int_equal(workload->last_known, STATE_PAUSED);
}

static void a_walk_is_in_order_of_first_sight(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload *workload;
        char seen[4] = "";
        size_t n = 0;

        (void) add(inventory, "s", "b", NULL);
        inventory_remove(inventory, add(inventory, "s", "x", NULL));
        (void) add(inventory, "s", "a", NULL);
        (void) add(inventory, "s", "c", NULL);
        inventory_for_each(workload, inventory) seen[n++] = workload->id[0];
        assert_string_equal(seen, "bac");
}

/* A workload with a value of its own in every field. */
static struct workload *full(struct inventory *inventory) {
        struct json_object *labels = json_object_new_object();
        struct workload_info info = { .kind = WORKLOAD_UNIT,
                .native_id = "native",
                .name = "n\"a\xff\n",
                .uuid = "uuid",
                .runtime = "systemd",
                .image = "image",
                .uri = "uri",
                .cgroup = "/a/b",
                .job = "job",
                .labels = labels,
                .domain_id = 12,
                .pid = UINT32_MAX,
                .created_us = 1780833601000001,
                .started_us = 1780833601000002,
                .finished_us = 1780833601000003,
                .restarts = 5,
                .transient = 1 };
        struct workload *workload = NULL;

        assert_int_equal(json_add_string(labels, "app", "shop"), 0);
        assert_int_equal(inventory_update(inventory, "units", &info, &workload), 1);
        json_object_put(labels);
        (void) workload_set_state(workload, STATE_FAILED, "oom", 1780833601000004);
        workload->oom_kills = 6;
        (void) strcpy(workload->last_exit.action, "OOMKilled");
        (void) strcpy(workload->last_exit.reason, "oom");
        (void) strcpy(workload->last_exit.evidence, "kernel,cgroup,runtime,exit-code");
        (void) strcpy(workload->last_exit.confidence, "confirmed");
        (void) strcpy(workload->last_exit.scope, "ancestor");
        workload->last_exit.code = 137;
        workload->last_exit.time_us = 1780833601000005;
        return workload;
}

/* What the store would give back: text, parsed again. */
static struct json_object *through_the_store(const struct workload *workload) {
        struct json_object *frozen = workload_freeze(workload), *read = NULL;
        const char *text;

        assert_non_null(frozen);
        text = json_text(frozen);
        assert_int_equal(json_parse(text, strlen(text), &read), 0);
        json_object_put(frozen);
        return read;
}

static void addresses_outlive_the_daemon(void **state) {
        static const char *const told[] = { "192.0.2.7", "2001:db8::7" };
        _cleanup_(inventory_freep) struct inventory *before = inventory_of(10),
                                                    *after = inventory_of(10);
        struct workload *a = add(before, "libvirt", "one", "one"), *b = NULL;
        struct json_object *frozen;

        (void) workload_set_state(a, STATE_RUNNING, NULL, 1);
        assert_int_equal(workload_set_addresses(a, told, ARRAY_SIZE(told)), 1);
        frozen = through_the_store(a);
        assert_int_equal(inventory_thaw(after, frozen, &b), 0);
        json_object_put(frozen);
        assert_int_equal(b->n_addresses, 2);
        assert_string_equal(b->addresses[1], "2001:db8::7");
}

static void a_workload_is_the_same_after_the_store(void **state) {
        _cleanup_(inventory_freep) struct inventory *before = inventory_of(10),
                                                    *after = inventory_of(10);
        struct workload *a = full(before), *b = NULL;
        struct json_object *frozen = through_the_store(a);

        assert_int_equal(inventory_thaw(after, frozen, &b), 0);
        assert_int_equal(inventory_thaw(after, frozen, &b), -EEXIST);
        json_object_put(frozen);

        assert_string_equal(b->id, a->id);
        assert_string_equal(b->source, a->source);
        assert_string_equal(b->native_id, a->native_id);
        assert_string_equal(b->name, a->name);
        assert_string_equal(b->uuid, a->uuid);
        assert_string_equal(b->runtime, a->runtime);
        assert_string_equal(b->image, a->image);
        assert_string_equal(b->uri, a->uri);
        assert_string_equal(b->cgroup, a->cgroup);
        assert_string_equal(b->job, a->job);
        assert_string_equal(b->state_reason, a->state_reason);
        assert_string_equal(json_text(b->labels), json_text(a->labels));
        assert_int_equal(b->kind, a->kind);
        assert_int_equal(b->last_known, a->last_known);
        assert_int_equal(b->since_us, a->since_us);
        assert_int_equal(b->domain_id, a->domain_id);
        assert_int_equal(b->pid, a->pid);
        assert_int_equal(b->created_us, a->created_us);
        assert_int_equal(b->started_us, a->started_us);
        assert_int_equal(b->finished_us, a->finished_us);
        assert_int_equal(b->restarts, a->restarts);
        assert_int_equal(b->oom_kills, a->oom_kills);
        assert_int_equal(b->transient, a->transient);
        assert_string_equal(b->last_exit.action, a->last_exit.action);
        assert_string_equal(b->last_exit.reason, a->last_exit.reason);
        assert_string_equal(b->last_exit.evidence, a->last_exit.evidence);
        assert_string_equal(b->last_exit.confidence, a->last_exit.confidence);
        assert_string_equal(b->last_exit.scope, a->last_exit.scope);
        assert_int_equal(b->last_exit.code, a->last_exit.code);
        assert_int_equal(b->last_exit.time_us, a->last_exit.time_us);
        assert_ptr_equal(inventory_find_pid(after, UINT32_MAX), b);
}

static void an_id_is_the_same_after_the_store_in_any_order(void **state) {
        _cleanup_(inventory_freep) struct inventory *before = inventory_of(10);
        struct json_object *docker, *podman;

        docker = through_the_store(add(before, "docker", "a", NULL));
        podman = through_the_store(add(before, "podman", "a", NULL));
        for (int round = 0; round < 3; round++) {
                _cleanup_(inventory_freep) struct inventory *after = inventory_of(10);
                struct workload *workload = NULL;

                if (round == 1)
                        assert_int_equal(inventory_thaw(after, docker, &workload), 0);
                assert_int_equal(inventory_thaw(after, podman, &workload), 0);
                assert_string_equal(workload->id, "a@podman");
                assert_ptr_equal(inventory_find(after, "a@podman"), workload);
                assert_ptr_equal(inventory_find_native(after, "podman", "a"), workload);
                if (round == 2)
                        assert_int_equal(inventory_thaw(after, docker, &workload), 0);
                assert_int_equal(inventory_size(after), round == 0 ? 1 : 2);
                if (round == 0)
                        assert_null(inventory_find(after, "a"));
                else
                        assert_string_equal(inventory_find(after, "a")->source, "docker");
        }
        json_object_put(docker);
        json_object_put(podman);
}

static void a_state_lost_with_its_source_is_kept_as_the_last_known(void **state) {
        _cleanup_(inventory_freep) struct inventory *before = inventory_of(10),
                                                    *after = inventory_of(10);
        struct workload *a = add(before, "s", "a", NULL), *b = NULL;
        struct json_object *frozen;

        (void) workload_set_state(a, STATE_PAUSED, "user", 5);
        a->state = STATE_UNKNOWN;
        frozen = through_the_store(a);
        assert_int_equal(inventory_thaw(after, frozen, &b), 0);
        assert_int_equal(b->last_known, STATE_PAUSED);
        assert_int_equal(b->since_us, 5);
        assert_string_equal(b->last_exit.action, "");
        assert_int_equal(b->last_exit.code, -1);
        json_object_put(frozen);
}

static void what_is_no_frozen_workload_is_refused(void **state) {
        static const char *const texts[] = { "{}", "[]", "{\"kind\":\"vm\"}",
                "{\"kind\":\"probe\",\"last_known\":\"running\",\"source\":\"s\",\"native_id\":\"a\"}",
                "{\"kind\":\"vm\",\"last_known\":\"dead\",\"source\":\"s\",\"native_id\":\"a\"}",
                "{\"kind\":\"vm\",\"last_known\":\"running\",\"native_id\":\"a\"}",
                "{\"kind\":\"vm\",\"last_known\":\"running\",\"source\":\"s\"}",
                "{\"kind\":\"vm\",\"last_known\":\"running\",\"source\":\"s\",\"native_id\":\"\"}",
                "{\"kind\":1,\"last_known\":2,\"source\":3,\"native_id\":4}" };
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                struct workload *workload = NULL;
                struct json_object *frozen = NULL;

                assert_int_equal(json_parse(texts[i], strlen(texts[i]), &frozen), 0);
                assert_int_equal(inventory_thaw(inventory, frozen, &workload), -EINVAL);
                assert_null(workload);
                json_object_put(frozen);
        }
        assert_int_equal(inventory_size(inventory), 0);
}

static void people_see_the_last_exit_where_there_was_one(void **state) {
        _cleanup_(inventory_freep) struct inventory *inventory = inventory_of(10);
        struct workload *workload = full(inventory);
        struct json_object *object = workload_to_json(workload);

        assert_string_equal(json_get_string(object, "last_exit/action"), "OOMKilled");
        assert_int_equal(json_get_int(object, "last_exit/code", 0), 137);
        assert_string_equal(json_get_string(object, "last_exit/at"), "2026-06-07T12:00:01.000005Z");
        assert_string_equal(json_get_string(object, "name"), "n\"a\xef\xbf\xbd\n");
        assert_string_equal(json_get_string(object, "labels/app"), "shop");
        json_object_put(object);

        workload->last_exit.code = -1; /* a VM: there is none, and none is made up */
        object = workload_to_json(workload);
        assert_true(json_object_object_get_ex(json_get(object, "last_exit"), "code", NULL));
        assert_null(json_get(object, "last_exit/code"));
        json_object_put(object);

        object = workload_to_json(add(inventory, "s", "never", NULL));
        assert_true(json_object_object_get_ex(object, "last_exit", NULL));
        assert_null(json_get(object, "last_exit"));
        assert_false(json_object_object_get_ex(object, "pid", NULL));
        assert_string_equal(json_get_string(object, "state"), "unknown");
        json_object_put(object);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(addresses_are_clean_bounded_and_of_one_life),
                cmocka_unit_test(addresses_outlive_the_daemon),
                cmocka_unit_test(what_a_source_says_is_taken_over),
                cmocka_unit_test(what_is_not_said_stays),
                cmocka_unit_test(
                                a_workload_without_an_id_is_refused_and_one_without_a_name_has_its_id),
                cmocka_unit_test(the_limit_is_reached_and_not_passed),
                cmocka_unit_test(two_sources_may_have_the_same_id),
                cmocka_unit_test(people_find_by_id_name_or_the_beginning_of_an_id),
                cmocka_unit_test(a_pid_finds_its_workload_and_a_used_one_the_newest),
                cmocka_unit_test(a_pid_is_that_of_a_running_workload_and_leaves_with_it),
                cmocka_unit_test(a_cgroup_finds_the_workload_it_lies_in),
                cmocka_unit_test(of_two_cgroups_in_each_other_the_deeper_wins),
                cmocka_unit_test(a_state_has_a_since_and_a_reason),
                cmocka_unit_test(a_walk_is_in_order_of_first_sight),
                cmocka_unit_test(a_workload_is_the_same_after_the_store),
                cmocka_unit_test(an_id_is_the_same_after_the_store_in_any_order),
                cmocka_unit_test(a_state_lost_with_its_source_is_kept_as_the_last_known),
                cmocka_unit_test(what_is_no_frozen_workload_is_refused),
                cmocka_unit_test(people_see_the_last_exit_where_there_was_one),
        };

        return RUN_TESTS(tests);
}
