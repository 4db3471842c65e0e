/* containerd's messages: a recorded stream, what is made of each topic, and bytes that are no
 * message of its. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "source/containerd.h"
#include "source/containerd.pb-c.h"
#include "source/grpc_frames.h"
#include "test.h"

/* protobuf-c's initializers cast the const of "" away. */
#pragma GCC diagnostic ignored "-Wcast-qual"

#define TIME_S 1795225241

struct recorded {
        struct containerd_event events[16];
        size_t n, ignored;
};

static int on_message(const void *message, size_t size, bool too_long, void *userdata) {
        struct recorded *recorded = userdata;
        int r;

        assert_false(too_long);
        assert_true(recorded->n < ARRAY_SIZE(recorded->events));
        r = containerd_event_parse(message, size, &recorded->events[recorded->n]);
        assert_true(r >= 0);
        recorded->n += r == 1;
        recorded->ignored += r == 0;
        return 0;
}

static void read_fixture(struct recorded *recorded) {
        FILE *file = fopen(FIXTURES_DIR "/containerd16-subscribe.grpc.bin", "re");
        struct grpc_frames frames = GRPC_FRAMES_INIT(65536);
        uint8_t data[4096];
        size_t n;

        assert_non_null(file);
        n = fread(data, 1, sizeof(data), file);
        (void) fclose(file);
        assert_int_equal(grpc_frames_feed(&frames, data, n, on_message, recorded), 0);
        grpc_frames_done(&frames);
}

static void the_recorded_life_of_a_container_is_read(void **state) {
        static const enum containerd_topic topics[] = { CONTAINERD_CREATED, CONTAINERD_TASK_CREATED,
                CONTAINERD_TASK_STARTED, CONTAINERD_TASK_OOM, CONTAINERD_TASK_EXITED,
                CONTAINERD_TASK_DELETED, CONTAINERD_DELETED };
        struct recorded recorded = {};
        const struct containerd_event *events = recorded.events;

        read_fixture(&recorded);
        assert_int_equal(recorded.n, ARRAY_SIZE(topics));
        assert_int_equal(recorded.ignored, 2); /* snapshots */
        for (size_t i = 0; i < recorded.n; i++) {
                assert_int_equal(events[i].topic, topics[i]);
                assert_string_equal(events[i].ns, "default");
                assert_string_equal(events[i].id, "coom");
                assert_string_equal(events[i].native_id, "default/coom");
                assert_false(events[i].exec);
                assert_true(events[i].time_us > 1700000000000000);
                assert_true(i == 0 || strcmp(events[i].origin, events[i - 1].origin) != 0);
        }
        assert_string_equal(events[0].image, "localhost/bb:1");
        assert_string_equal(
                        events[1].bundles, "/tmp/rec-test/cd/state/io.containerd.runtime.v2.task");
        assert_true(events[2].pid > 0 && events[2].pid == events[1].pid);
        assert_int_equal(events[4].pid, events[2].pid);
        assert_int_equal(events[4].exit_status, 137);
        assert_int_equal(events[5].exit_status, 137);
        assert_true(events[4].time_us >= events[3].time_us);
        assert_int_equal(
                        events[4].time_us, events[5].time_us); /* exited_at, not when it was told */
        for (size_t i = 0; i < recorded.n; i++)
                containerd_event_done(&recorded.events[i]);
}

/* Wrap and parse. */
static int parse(const char *ns, const char *topic, const ProtobufCMessage *message,
                struct containerd_event *ret_event) {
        Containerd__Timestamp time = CONTAINERD__TIMESTAMP__INIT;
        Containerd__Envelope envelope = CONTAINERD__ENVELOPE__INIT;
        Containerd__Any any = CONTAINERD__ANY__INIT;
        uint8_t inner[1024], outer[2048];

        time.seconds = TIME_S;
        time.nanos = 123456789;
        any.value.data = inner;
        any.value.len = message ? protobuf_c_message_pack(message, inner) : 0;
        envelope.timestamp = &time;
        envelope.namespace_ = strdupa(ns);
        envelope.topic = strdupa(topic);
        envelope.event = &any;
        return containerd_event_parse(
                        outer, containerd__envelope__pack(&envelope, outer), ret_event);
}

static void an_execs_end_is_told_from_the_containers(void **state) {
        static const struct {
                const char *id;
                bool exec;
        } rows[] = { { "web", false }, { "", false }, { "exec-1", true }, { "webx", true } };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Containerd__TaskDelete deleted = CONTAINERD__TASK_DELETE__INIT;
                Containerd__TaskExit exited = CONTAINERD__TASK_EXIT__INIT;
                struct containerd_event event;

                exited.container_id = deleted.container_id = strdupa("web");
                exited.id = deleted.id = strdupa(rows[i].id);
                exited.exit_status = 3;
                assert_int_equal(parse("k8s.io", "/tasks/exit", &exited.base, &event), 1);
                assert_true(event.exec == rows[i].exec);
                assert_string_equal(event.native_id, "k8s.io/web");
                assert_string_equal(event.origin, "1795225241123456789/k8s.io/web/tasks/exit");
                assert_int_equal(event.time_us, UINT64_C(1795225241123456)); /* no exited_at */
                containerd_event_done(&event);
                assert_int_equal(parse("k8s.io", "/tasks/delete", &deleted.base, &event), 1);
                assert_true(event.exec == rows[i].exec);
                containerd_event_done(&event);
        }
}

static void an_exit_time_that_is_none_leaves_the_envelopes(void **state) {
        static const struct {
                int64_t seconds;
                int32_t nanos;
        } rows[] = { { -62135596800, 0 }, { 0, 0 }, { INT64_MAX, 0 }, { INT64_MIN, -1 },
                { TIME_S, -5 }, { TIME_S, INT32_MAX } };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Containerd__Timestamp time = CONTAINERD__TIMESTAMP__INIT;
                Containerd__TaskExit exited = CONTAINERD__TASK_EXIT__INIT;
                struct containerd_event event;

                time.seconds = rows[i].seconds;
                time.nanos = rows[i].nanos;
                exited.container_id = strdupa("web");
                exited.exited_at = &time;
                assert_int_equal(parse("default", "/tasks/exit", &exited.base, &event), 1);
                assert_int_equal(event.time_us, UINT64_C(1795225241123456));
                containerd_event_done(&event);
        }
}

static void names_that_containerd_would_refuse_are_refused(void **state) {
        char long_name[CONTAINERD_NAME_MAX + 2] = {};
        const char *const names[] = { "", "a/b", "a b", "a\nb", "a\r\nx: y", "\xff", "</script>",
                long_name };
        Containerd__TaskNamed named = CONTAINERD__TASK_NAMED__INIT;
        struct containerd_event event;

        memset(long_name, 'a', CONTAINERD_NAME_MAX + 1);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                assert_false(containerd_name_is_valid(names[i]));
                named.container_id = strdupa("web");
                assert_int_equal(parse(names[i], "/tasks/oom", &named.base, &event), -EINVAL);
                named.container_id = strdupa(names[i]);
                assert_int_equal(parse("default", "/tasks/oom", &named.base, &event), -EINVAL);
        }
        named.container_id = strdupa("a_b.C-9");
        assert_int_equal(parse("k8s.io", "/tasks/oom", &named.base, &event), 1);
        assert_int_equal(event.topic, CONTAINERD_TASK_OOM);
        containerd_event_done(&event);
}

static void unknown_topics_are_passed_over_and_wrong_events_are_not(void **state) {
        static const uint8_t text_as_pid[] = { 0x0a, 1, 'a', 0x12, 1,
                'x' }; /* TaskStart, pid as text */
        struct {
                const char *topic;
                int expected;
        } rows[] = { { "/tasks/checkpointed", 0 }, { "/images/create", 0 }, { "tasks/oom", 0 },
                { "/tasks/oomx", 0 }, { "", -EINVAL }, { "/tasks/oom", -EINVAL },
                { "/tasks/exit", -EINVAL }, { "/containers/create", -EINVAL } };
        Containerd__Any any = CONTAINERD__ANY__INIT;
        Containerd__Envelope envelope = CONTAINERD__ENVELOPE__INIT;
        struct containerd_event event;
        uint8_t bytes[256];
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                assert_int_equal(parse("default", rows[i].topic, NULL, &event), rows[i].expected);

        envelope.namespace_ = strdupa("default");
        envelope.topic = strdupa("/tasks/start");
        assert_int_equal(containerd_event_parse(bytes, containerd__envelope__pack(&envelope, bytes),
                                         &event),
                        -EINVAL); /* no event in it */
        any.value.data = (uint8_t *) (uintptr_t) text_as_pid;
        any.value.len = sizeof(text_as_pid);
        envelope.event = &any;
        r = containerd_event_parse(bytes, containerd__envelope__pack(&envelope, bytes), &event);
        assert_int_equal(r, -EINVAL);
        assert_int_equal(containerd_event_parse("", 0, &event), -EINVAL);
        assert_int_equal(containerd_event_parse("{\"a\":1}", 7, &event), -EINVAL);
}

static void an_event_cut_anywhere_is_never_half_read(void **state) {
        Containerd__Timestamp time = CONTAINERD__TIMESTAMP__INIT;
        Containerd__Envelope envelope = CONTAINERD__ENVELOPE__INIT;
        Containerd__TaskStart start = CONTAINERD__TASK_START__INIT;
        Containerd__Any any = CONTAINERD__ANY__INIT;
        struct containerd_event event;
        uint8_t inner[64], bytes[256];
        size_t size;

        start.container_id = strdupa("web");
        start.pid = 4711;
        time.seconds = TIME_S;
        any.value.data = inner;
        any.value.len = containerd__task_start__pack(&start, inner);
        envelope.timestamp = &time;
        envelope.namespace_ = strdupa("default");
        envelope.topic = strdupa("/tasks/start");
        envelope.event = &any;
        size = containerd__envelope__pack(&envelope, bytes);
        for (size_t n = 0; n < size; n++)
                assert_int_equal(containerd_event_parse(bytes, n, &event), -EINVAL);
        assert_int_equal(containerd_event_parse(bytes, size, &event), 1);
        assert_int_equal(event.pid, 4711);
        containerd_event_done(&event);
}

static size_t pack_record(size_t n, const char *const (*labels)[2], uint8_t *bytes, size_t max) {
        Containerd__ListContainerMessage message = CONTAINERD__LIST_CONTAINER_MESSAGE__INIT;
        Containerd__Container container = CONTAINERD__CONTAINER__INIT;
        Containerd__Timestamp time = CONTAINERD__TIMESTAMP__INIT;
        Containerd__Label label[8], *pointers[8];

        assert_true(n <= ARRAY_SIZE(label));
        for (size_t i = 0; i < n; i++) {
                label[i] = (Containerd__Label) CONTAINERD__LABEL__INIT;
                label[i].key = (char *) (uintptr_t) labels[i][0];
                label[i].value = (char *) (uintptr_t) labels[i][1];
                pointers[i] = &label[i];
        }
        time.seconds = TIME_S;
        container.id = strdupa("0123abcd");
        container.image = strdupa("localhost/bb:1");
        container.created_at = &time;
        container.n_labels = n;
        container.labels = pointers;
        message.container = &container;
        assert_true(containerd__list_container_message__get_packed_size(&message) <= max);
        return containerd__list_container_message__pack(&message, bytes);
}

static void a_containers_name_is_in_its_labels(void **state) {
        static const struct {
                size_t n;
                const char *labels[4][2];
                const char *name, *job;
        } rows[] = {
                { 0, {}, NULL, NULL },
                { 1, { { "nerdctl/name", "web" } }, "web", NULL },
                { 1, { { "nerdctl/name", "" } }, NULL, NULL },
                { 2, { { "nerdctl/name", "web" }, { "com.docker.compose.service", "front" } },
                                "web", "front" },
                { 2,
                                { { "io.kubernetes.pod.name", "shop-0" },
                                                { "io.kubernetes.container.name", "db" } },
                                "shop-0/db", "shop-0" },
                { 1, { { "io.kubernetes.pod.name", "shop-0" } }, "shop-0", "shop-0" },
        };
        uint8_t bytes[1024];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct containerd_record record;
                size_t n = pack_record(rows[i].n, rows[i].labels, bytes, sizeof(bytes));

                assert_int_equal(containerd_record_parse(bytes, n, &record), 0);
                assert_string_equal(record.id, "0123abcd");
                assert_string_equal(record.image, "localhost/bb:1");
                assert_int_equal(record.created_us, TIME_S * USEC_PER_SEC);
                if (!rows[i].name != !record.name ||
                                (record.name && strcmp(record.name, rows[i].name) != 0))
                        fail_msg("row %zu: %s", i, record.name ? record.name : "no name");
                if (!rows[i].job != !record.job ||
                                (record.job && strcmp(record.job, rows[i].job) != 0))
                        fail_msg("row %zu: %s", i, record.job ? record.job : "no job");
                containerd_record_done(&record);
        }
}

static void labels_from_outside_become_clean_text(void **state) {
        static const char *const labels[][2] = { { "bad\xff", "v\xc3" }, { "same", "1" },
                { "same", "2" } };
        struct containerd_record record;
        uint8_t bytes[1024];
        size_t n = pack_record(ARRAY_SIZE(labels), labels, bytes, sizeof(bytes));

        assert_int_equal(containerd_record_parse(bytes, n, &record), 0);
        assert_string_equal(json_text(record.labels),
                        "{\"bad\xef\xbf\xbd\":\"v\xef\xbf\xbd\",\"same\":\"2\"}");
        containerd_record_done(&record);
        assert_int_equal(containerd_record_parse(bytes, n - 1, &record), -EINVAL);
        assert_int_equal(containerd_record_parse("", 0, &record), -EINVAL);
}

static void dockers_namespace_is_left_out_unless_it_is_named(void **state) {
        static const char *const some[] = { "k8s.*", "def?ult", NULL },
                                 *const all[] = { "*", NULL };

        assert_true(containerd_namespace_is_wanted(NULL, "default"));
        assert_true(containerd_namespace_is_wanted(NULL, "plugins.moby"));
        assert_false(containerd_namespace_is_wanted(NULL, "moby"));
        assert_true(containerd_namespace_is_wanted(all, "moby"));
        assert_true(containerd_namespace_is_wanted(some, "k8s.io"));
        assert_true(containerd_namespace_is_wanted(some, "default"));
        assert_false(containerd_namespace_is_wanted(some, "other"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_recorded_life_of_a_container_is_read),
                cmocka_unit_test(an_execs_end_is_told_from_the_containers),
                cmocka_unit_test(an_exit_time_that_is_none_leaves_the_envelopes),
                cmocka_unit_test(names_that_containerd_would_refuse_are_refused),
                cmocka_unit_test(unknown_topics_are_passed_over_and_wrong_events_are_not),
                cmocka_unit_test(an_event_cut_anywhere_is_never_half_read),
                cmocka_unit_test(a_containers_name_is_in_its_labels),
                cmocka_unit_test(labels_from_outside_become_clean_text),
                cmocka_unit_test(dockers_namespace_is_left_out_unless_it_is_named),
        };

        return RUN_TESTS(tests);
}
