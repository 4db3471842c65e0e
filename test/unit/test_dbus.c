/* Texts, events and changes of state as the bus gets them. */

#include <math.h>
#include <string.h>
#include <sys/socket.h>

#include "api/dbus_internal.h"
#include "api/dbus_values.h"
#include "base/json.h"
#include "base/text.h"
#include "test.h"

/* A connection whose other end nobody reads: good enough to make messages on. */
static sd_bus *bus_to_nowhere(int fds[2]) {
        sd_bus *bus;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_true(sd_bus_new(&bus) >= 0);
        assert_true(sd_bus_set_fd(bus, fds[0], fds[0]) >= 0);
        assert_true(sd_bus_start(bus) >= 0);
        return bus;
}

static void test_a_text_for_the_bus_has_no_noncharacters(void **state) {
        static const struct {
                const char *in, *out;
        } texts[] = {
                { "", "" },
                { "plain", "plain" },
                { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
                { "a\xff"
                  "b",
                                "a\xef\xbf\xbd"
                                "b" },
                { "\xef\xb7\x8f\xef\xb7\x90\xef\xb7\xaf\xef\xb7\xb0",
                                "\xef\xb7\x8f\xef\xbf\xbd\xef\xbf\xbd\xef\xb7\xb0" },
                { "\xef\xbf\xbd\xef\xbf\xbe\xef\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
                { "\xf0\x9f\xbf\xbd\xf0\x9f\xbf\xbe\xf4\x8f\xbf\xbf|",
                                "\xf0\x9f\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|" },
                { "\xf0\x9e\xbf\xbe", "\xf0\x9e\xbf\xbe" },
                { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_(freep) char *clean = dbus_text_clean(texts[i].in);

                assert_non_null(clean);
                assert_string_equal(clean, texts[i].out);
        }
}

/* sd-bus itself is the judge. */
static void test_every_clean_text_is_taken_by_sd_bus(void **state) {
        uint64_t seed = 1;
        int fds[2];
        sd_bus *bus = bus_to_nowhere(fds);

        for (unsigned int i = 0; i < 20000; i++) {
                static const unsigned char often[] = { 0xef, 0xb7, 0x90, 0xbf, 0xbe, 0xf0, 0x9f,
                        0xaf, 0xf4, 0x8f, 0xed, 0xa0, 0xc2, 0x80, 'x', '\n' };
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
                char text[13] = "";

                for (size_t j = 0; j < 12; j++) {
                        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
                        text[j] = (char) often[seed >> 60];
                }
                assert_true(sd_bus_message_new_signal(bus, &message, "/a", "a.b", "C") >= 0);
                assert_true(dbus_append_text(message, text) >= 0);
        }
        sd_bus_close_unref(bus);
        (void) close(fds[1]);
}

static struct event *event_with_details(const char *details_json) {
        struct json_object *details;
        struct event *event;

        assert_int_equal(json_parse(details_json, strlen(details_json), &details), 0);
        assert_int_equal(event_new(&(struct event_fields){ .time_us = 7,
                                                   .kind = EVENT_CONTAINER,
                                                   .severity = SEVERITY_ERROR,
                                                   .synthetic = true,
                                                   .name = "n\xef\xbf\xbe",
                                                   .action = "died",
                                                   .message = "exit code 3",
                                                   .workload = "id",
                                                   .source = "docker",
                                                   .details = details },
                                         &event),
                        0);
        assert_int_equal(event_set_seq(event, 5), 0);
        return event;
}

static void expect_detail(sd_bus_message *message, const char *name, const char *signature) {
        const char *told, *contents;
        char type;

        assert_true(sd_bus_message_enter_container(message, 'e', "sv") > 0);
        assert_true(sd_bus_message_read(message, "s", &told) > 0);
        assert_string_equal(told, name);
        assert_true(sd_bus_message_peek_type(message, &type, &contents) > 0);
        assert_string_equal(contents, signature);
        assert_true(sd_bus_message_skip(message, "v") > 0);
        assert_true(sd_bus_message_exit_container(message) > 0);
}

static void test_an_event_keeps_the_types_of_its_details(void **state) {
        static const struct {
                const char *name, *signature;
        } expected[] = {
                { "code", "x" },
                { "yes", "b" },
                { "ratio", "d" },
                { "text", "s" },
                { "list", "as" },
                { "mixed", "s" },
                { "object", "s" },
                { "nothing", "s" },
                { "id", "s" },
                { "source", "s" },
                { "synthetic", "b" },
        };
        struct event *event = event_with_details(
                        "{\"code\":3,\"yes\":true,\"ratio\":0.5,\"text\":\"t\","
                        "\"list\":[\"kernel\",\"cgroup\"],\"mixed\":[1,\"a\"],"
                        "\"object\":{\"a\":1},\"nothing\":null}");
        const char *kind, *name, *action, *severity, *text;
        sd_bus_message *message = NULL;
        uint64_t seq, time_us;
        int fds[2];
        sd_bus *bus = bus_to_nowhere(fds);

        assert_true(sd_bus_message_new_signal(bus, &message, "/a", "a.b", "C") >= 0);
        assert_true(dbus_append_event(message, event) >= 0);
        assert_true(sd_bus_message_seal(message, 1, 0) >= 0);
        assert_string_equal(sd_bus_message_get_signature(message, true), "ttsssssa{sv}");

        assert_true(sd_bus_message_read(message, "ttsssss", &seq, &time_us, &kind, &name, &action,
                                    &severity, &text) > 0);
        assert_int_equal(seq, 5);
        assert_int_equal(time_us, 7);
        assert_string_equal(kind, "container");
        assert_string_equal(name, "n\xef\xbf\xbd");
        assert_string_equal(action, "died");
        assert_string_equal(severity, "error");
        assert_string_equal(text, "exit code 3");
        assert_true(sd_bus_message_enter_container(message, 'a', "{sv}") > 0);
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
                expect_detail(message, expected[i].name, expected[i].signature);
        assert_int_equal(sd_bus_message_at_end(message, false), 1);

        (void) sd_bus_message_unref(message);
        event_unref(event);
        sd_bus_close_unref(bus);
        (void) close(fds[1]);
}

static void test_the_id_becomes_one_component_of_a_path(void **state) {
        static const char *const ids[] = { "", "web", "a/b", "../..", "_2f", "\n\"'</script>",
                "ns/id@docker", "\xc3\xa9\xef\xbf\xbe" };

        for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
                _cleanup_(freep) char *path = dbus_workload_path(ids[i]), *id = NULL;

                assert_non_null(path);
                assert_true(sd_bus_object_path_is_valid(path));
                assert_int_equal(strrchr(path, '/') - path, strlen("/org/virtwatch1/workload"));
                assert_int_equal(sd_bus_path_decode(path, "/org/virtwatch1/workload", &id), 1);
                assert_string_equal(id, ids[i]);
        }
}

static struct workload *make(struct inventory **ret_inventory, enum workload_kind kind) {
        struct workload_info info = WORKLOAD_INFO_INIT;
        struct workload *workload;

        info.kind = kind;
        info.native_id = "id";
        assert_int_equal(inventory_new(10, ret_inventory), 0);
        assert_int_equal(inventory_update(*ret_inventory, "source", &info, &workload), 1);
        return workload;
}

static void read_values(const struct workload *workload, struct dbus_values *ret_values) {
        dbus_values_read(&(struct dbus_shown){ .workload = workload }, ret_values);
}

static void test_what_did_not_change_is_not_told(void **state) {
        struct inventory *inventory;
        struct workload *workload = make(&inventory, WORKLOAD_CONTAINER);
        struct dbus_values old, new;
        struct dbus_changes changes;

        read_values(workload, &old);
        workload->since_us++; /* no property */
        (void) workload_set_state(workload, workload->state, "", 5);
        read_values(workload, &new);
        assert_int_equal(dbus_values_diff(workload->kind, &old, &new, &changes), 0);
        assert_null(changes.workload[0]);
        assert_null(changes.kind[0]);
        inventory_free(inventory);
}

static void test_a_change_is_told_on_its_interface(void **state) {
        struct inventory *inventory;
        struct workload *workload = make(&inventory, WORKLOAD_CONTAINER);
        struct dbus_values old, new;
        struct dbus_changes changes;

        read_values(workload, &old);
        assert_false(dbus_values_running(&old));
        (void) workload_set_state(workload, STATE_RUNNING, NULL, 5);
        workload->oom_kills++;
        workload->domain_id = 7; /* a VM's, not shown on this one */
        read_values(workload, &new);
        assert_true(dbus_values_running(&new));
        assert_int_equal(dbus_values_diff(WORKLOAD_CONTAINER, &old, &new, &changes), 2);
        assert_int_equal(changes.n_workload, 1);
        assert_string_equal(changes.workload[0], "State");
        assert_null(changes.workload[1]);
        assert_int_equal(changes.n_kind, 1);
        assert_string_equal(changes.kind[0], "OomKills");
        assert_int_equal(dbus_values_diff(WORKLOAD_VM, &old, &new, &changes), 2);
        assert_string_equal(changes.kind[0], "DomainId");
        assert_int_equal(dbus_values_diff(WORKLOAD_UNIT, &old, &new, &changes), 1);
        inventory_free(inventory);
}

static void test_a_text_that_moves_to_its_neighbour_is_a_change(void **state) {
        struct inventory *inventory;
        struct workload *workload = make(&inventory, WORKLOAD_VM);
        struct workload_info info = WORKLOAD_INFO_INIT;
        struct dbus_values old, new;
        struct dbus_changes changes;

        info.native_id = "id";
        info.lifecycle_event = "started";
        info.lifecycle_detail = "booted";
        assert_int_equal(inventory_update(inventory, "source", &info, &workload), 0);
        read_values(workload, &old);
        info.lifecycle_event = "startedb";
        info.lifecycle_detail = "ooted";
        assert_int_equal(inventory_update(inventory, "source", &info, &workload), 0);
        read_values(workload, &new);
        assert_int_equal(dbus_values_diff(WORKLOAD_VM, &old, &new, &changes), 1);
        assert_string_equal(changes.kind[0], "LastLifecycle");
        inventory_free(inventory);
}

static void test_what_it_was_given_is_told_when_that_changes(void **state) {
        struct allocation_disk disks[] = { { "vda", 8 << 20 }, { "vdb", STATS_UNKNOWN } };
        struct allocation given = {
                .known = true, .vcpus = 2, .memory_bytes = 64 << 20, .disks = disks, .n_disks = 1
        };
        struct inventory *inventory;
        struct workload *workload = make(&inventory, WORKLOAD_VM);
        struct dbus_shown shown = { .workload = workload };
        struct dbus_values old, new;
        struct dbus_changes changes;

        dbus_values_read(&shown, &old);
        shown.allocation = &given;
        dbus_values_read(&shown, &new);
        assert_int_equal(dbus_values_diff(WORKLOAD_VM, &old, &new, &changes), 3);
        assert_string_equal(changes.workload[0], "VCpus");
        assert_string_equal(changes.workload[1], "MemoryBytes");
        assert_string_equal(changes.workload[2], "Disks");

        given.vcpus = 1.5; /* still two */
        given.vcpus_max = 9;
        dbus_values_read(&shown, &old);
        assert_int_equal(dbus_values_diff(WORKLOAD_VM, &old, &new, &changes), 0);

        given.n_disks = 2;
        shown.slug = "shop";
        dbus_values_read(&shown, &new);
        assert_int_equal(dbus_values_diff(WORKLOAD_VM, &old, &new, &changes), 2);
        assert_string_equal(changes.workload[0], "App");
        assert_string_equal(changes.workload[1], "Disks");
        assert_int_equal(changes.n_kind, 0);
        inventory_free(inventory);
}

static void test_a_part_of_a_cpu_is_a_cpu(void **state) {
        static const struct {
                double vcpus;
                uint32_t whole;
        } cases[] = { { 0, 0 }, { STATS_NAN, 0 }, { -1, 0 }, { 0.01, 1 }, { 1, 1 },
                { 1.0000000001, 1 }, { 1.5, 2 }, { 64, 64 }, { 1e12, UINT32_MAX } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                const struct allocation allocation = { .vcpus = cases[i].vcpus };

                assert_int_equal(dbus_vcpus(&allocation), cases[i].whole);
        }
        assert_int_equal(dbus_vcpus(NULL), 0);
        assert_int_equal(dbus_known_bytes(STATS_UNKNOWN), 0);
        assert_int_equal(dbus_known_bytes(7), 7);
}

/* ---- a{sv} as JSON ---- */

static sd_bus_message *metadata_begin(sd_bus *bus) {
        sd_bus_message *message;

        assert_true(sd_bus_message_new_signal(bus, &message, "/a", "a.b", "C") >= 0);
        assert_true(sd_bus_message_open_container(message, 'a', "{sv}") >= 0);
        return message;
}

/* Takes @message. */
static int metadata_read(sd_bus_message *message, size_t size_max, struct json_object **ret) {
        int r;

        assert_true(sd_bus_message_close_container(message) >= 0);
        assert_true(sd_bus_message_seal(message, 1, 0) >= 0);
        r = dbus_read_object(message, size_max, ret);
        (void) sd_bus_message_unref(message);
        return r;
}

static void test_every_type_of_the_bus_has_its_json(void **state) {
        sd_bus_message *message;
        struct json_object *object;
        int fds[2];
        sd_bus *bus = bus_to_nowhere(fds);

        message = metadata_begin(bus);
        assert_true(sd_bus_message_append(message,
                                    "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "y",
                                    "y", 255, "n", "n", -1, "q", "q", 65535, "i", "i", INT32_MIN,
                                    "u", "u", UINT32_MAX, "x", "x", INT64_MIN, "t", "t", UINT64_MAX,
                                    "b", "b", 1, "d", "d", 0.5, "s", "s", "a\"b", "o", "o", "/a",
                                    "g", "g", "a{sv}", "v", "v", "s", "in", "list", "a(sa{su})", 2,
                                    "x", 1, "k", 7, "y", 0) >= 0);
        assert_int_equal(metadata_read(message, 8192, &object), 0);
        assert_string_equal(json_text(object),
                        "{\"y\":255,\"n\":-1,\"q\":65535,\"i\":-2147483648,\"u\":4294967295,"
                        "\"x\":-9223372036854775808,\"t\":18446744073709551615,\"b\":true,"
                        "\"d\":0.5,\"s\":\"a\\\"b\",\"o\":\"/a\",\"g\":\"a{sv}\",\"v\":\"in\","
                        "\"list\":[[\"x\",{\"k\":7}],[\"y\",{}]]}");
        (void) json_object_put(object);

        assert_int_equal(metadata_read(metadata_begin(bus), 0, &object), 0);
        assert_string_equal(json_text(object), "{}");
        (void) json_object_put(object);
        sd_bus_close_unref(bus);
        (void) close(fds[1]);
}

static void test_what_json_has_not_is_refused(void **state) {
        struct json_object *object;
        sd_bus_message *message;
        int fds[2];
        sd_bus *bus = bus_to_nowhere(fds);

        message = metadata_begin(bus);
        assert_true(sd_bus_message_append(message, "{sv}", "a", "d", (double) NAN) >= 0);
        assert_int_equal(metadata_read(message, 8192, &object), -EINVAL);

        message = metadata_begin(bus);
        assert_true(sd_bus_message_append(message, "{sv}{sv}", "a", "u", 1, "a", "u", 2) >= 0);
        assert_int_equal(metadata_read(message, 8192, &object), -EINVAL);

        message = metadata_begin(bus);
        assert_true(sd_bus_message_append(message, "{sv}", "a", "a{us}", 1, 5, "x") >= 0);
        assert_int_equal(metadata_read(message, 8192, &object), -EINVAL);

        message = metadata_begin(bus);
        assert_true(sd_bus_message_append(message, "{sv}", "name", "s", "12345") >= 0);
        assert_int_equal(metadata_read(message, 13, &object), -E2BIG);
        sd_bus_close_unref(bus);
        (void) close(fds[1]);
}

/* As many levels as there can be: arrays of variants, of which each holds the next. */
static void test_it_goes_as_deep_as_a_request_and_no_deeper(void **state) {
        struct json_object *object;
        int fds[2];
        sd_bus *bus = bus_to_nowhere(fds);

        for (unsigned int levels = 30; levels <= 33; levels++) {
                sd_bus_message *message = metadata_begin(bus);

                assert_true(sd_bus_message_open_container(message, 'e', "sv") >= 0);
                assert_true(sd_bus_message_append(message, "s", "a") >= 0);
                for (unsigned int i = 1; i < levels; i++) {
                        assert_true(sd_bus_message_open_container(message, 'v', "av") >= 0);
                        assert_true(sd_bus_message_open_container(message, 'a', "v") >= 0);
                }
                for (unsigned int i = 1; i < levels; i++) {
                        assert_true(sd_bus_message_close_container(message) >= 0);
                        assert_true(sd_bus_message_close_container(message) >= 0);
                }
                assert_true(sd_bus_message_close_container(message) >= 0);
                if (metadata_read(message, 8192, &object) < 0) {
                        assert_true(levels >= JSON_DEPTH_MAX);
                        continue;
                }
                assert_true(levels < JSON_DEPTH_MAX);
                assert_int_equal(strlen(json_text(object)), strlen("{\"a\":}") + 2 * (levels - 1));
                (void) json_object_put(object);
        }
        sd_bus_close_unref(bus);
        (void) close(fds[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_text_for_the_bus_has_no_noncharacters),
                cmocka_unit_test(test_every_clean_text_is_taken_by_sd_bus),
                cmocka_unit_test(test_an_event_keeps_the_types_of_its_details),
                cmocka_unit_test(test_the_id_becomes_one_component_of_a_path),
                cmocka_unit_test(test_what_did_not_change_is_not_told),
                cmocka_unit_test(test_a_change_is_told_on_its_interface),
                cmocka_unit_test(test_a_text_that_moves_to_its_neighbour_is_a_change),
                cmocka_unit_test(test_what_it_was_given_is_told_when_that_changes),
                cmocka_unit_test(test_a_part_of_a_cpu_is_a_cpu),
                cmocka_unit_test(test_every_type_of_the_bus_has_its_json),
                cmocka_unit_test(test_what_json_has_not_is_refused),
                cmocka_unit_test(test_it_goes_as_deep_as_a_request_and_no_deeper),
        };

        return RUN_TESTS(tests);
}
