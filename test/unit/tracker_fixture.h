#pragma once
/* A tracker driven with facts on a clock of its own: what it uses of sd-event is here, so that time
 * passes only when a scenario says so, and only the timer that the tracker armed goes off. */

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/tracker.h"
#include "test.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define VM  "6e1e2ad4-0c3a-4d6b-8a60-000000000001"

/* ---- the clock ---- */

static struct {
        uint64_t now_us, deadline_us;
        bool armed;
        sd_event_time_handler_t handler;
        void *userdata;
} fake;

sd_event *sd_event_ref(sd_event *event) {
        return event;
}

sd_event *sd_event_unref(sd_event *event) {
        return NULL;
}

int sd_event_now(sd_event *event, clockid_t clock, uint64_t *ret_now_us) {
        *ret_now_us = fake.now_us;
        return 0;
}

int sd_event_add_time(sd_event *event, sd_event_source **ret_source, clockid_t clock,
                uint64_t time_us, uint64_t accuracy_us, sd_event_time_handler_t handler,
                void *userdata) {
        fake.handler = handler;
        fake.userdata = userdata;
        *ret_source = NULL;
        return 0;
}

int sd_event_source_set_description(sd_event_source *source, const char *description) {
        return 0;
}

int sd_event_source_set_time(sd_event_source *source, uint64_t time_us) {
        fake.deadline_us = time_us;
        return 0;
}

int sd_event_source_set_enabled(sd_event_source *source, int enabled) {
        fake.armed = enabled != SD_EVENT_OFF;
        return 0;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *source) {
        fake.armed = false;
        return NULL;
}

static inline void wait_us(uint64_t us) {
        uint64_t end_us = fake.now_us + us;

        while (fake.armed && fake.deadline_us <= end_us) {
                if (fake.deadline_us > fake.now_us)
                        fake.now_us = fake.deadline_us;
                fake.armed = false;
                assert_int_equal(fake.handler(NULL, fake.now_us, fake.userdata), 0);
        }
        fake.now_us = end_us;
}

/* ---- what a scenario is made of ---- */

enum what {
        NOTHING_MORE,
        POST,
        WAIT,     /* ms */
        SEEN,     /* ends a part of what is expected: "|" */
        FLUSH,    /* shutdown */
        EVIDENCE, /* the rule */
        RESTART,  /* of virtwatchd: what was stored is loaded into a new tracker */
};

struct step {
        enum what what;
        const char *source;
        int ms;
        struct fact fact;
};

/* The macros give a fact its usual fields; a scenario overrides those it is about. */
#pragma GCC diagnostic ignored "-Woverride-init"

/* The time of a fact, ms after the beginning of the scenario. */
#define T0_US  UINT64_C(1700000000000000)
#define AT(ms) (T0_US + (uint64_t) (ms) *USEC_PER_MSEC)

#define SAYS_NOTHING                                                                      \
        .state = WORKLOAD_STATE_MAX_, .domain_id = -1, .exit_code = -1, .oom_killed = -1, \
        .restarts = -1, .transient = -1
#define ABOUT(n, ...)                                                                          \
        .workload = { SAYS_NOTHING, .kind = WORKLOAD_CONTAINER, .native_id = (n), .name = (n), \
                .runtime = "docker" __VA_OPT__(, ) __VA_ARGS__ }

/* A fact of a source; more fields may follow, and win. */
#define TOLD(name, type_, at, ...)                            \
        {                                                     \
                .what = POST, .source = (name), .fact = {     \
                        .type = (type_),                      \
                        .time_us = AT(at),                    \
                        .code = -1 __VA_OPT__(, ) __VA_ARGS__ \
                }                                             \
        }

/* Facts of docker about the container HEX, or another one. */
#define DOCKER(type_, at, ...) TOLD("docker", type_, at, __VA_ARGS__)
#define START_OF(n, at, ...)                         \
        DOCKER(FACT_ACTION, at, .action = "started", \
                        ABOUT(n, .state = STATE_RUNNING __VA_OPT__(, ) __VA_ARGS__))
#define START(at) START_OF(HEX, at, .pid = 100)
#define EXIT_OF(n, at, c, ...) \
        DOCKER(FACT_EXIT, at, .code = (c), ABOUT(n) __VA_OPT__(, ) __VA_ARGS__)
#define EXIT(at, c) EXIT_OF(HEX, at, c)
#define ACTION(at, a, ...) \
        DOCKER(FACT_ACTION, at, .action = (a), ABOUT(HEX) __VA_OPT__(, ) __VA_ARGS__)
#define KILL(at, s)      DOCKER(FACT_KILL, at, .kill_signal = (s), ABOUT(HEX))
#define REMOVED(at, ...) DOCKER(FACT_REMOVED, at, ABOUT(HEX) __VA_OPT__(, ) __VA_ARGS__)
#define RUNTIME_OOM(at)  DOCKER(FACT_OOM, at, .oom_source = OOM_FROM_RUNTIME, ABOUT(HEX))
#define UP               DOCKER(FACT_SOURCE, 0, .source_state = SOURCE_UP)
#define DOWN             DOCKER(FACT_SOURCE, 0, .source_state = SOURCE_DOWN, .error = "gone")
#define LIST             DOCKER(FACT_LISTING_BEGIN, 0)
#define LIST_END         DOCKER(FACT_LISTING_END, 0)
#define LISTED_OF(n, at, s, ...) \
        DOCKER(FACT_WORKLOAD, at, ABOUT(n, .state = (s) __VA_OPT__(, ) __VA_ARGS__))
#define LISTED(at, s, ...) LISTED_OF(HEX, at, s, __VA_ARGS__)

/* The kernel's line about a process in HEX's cgroup. */
#define KERNEL(at, pid_, ...)                                                          \
        TOLD("kernel", FACT_OOM, at, .oom_source = OOM_FROM_KERNEL, .oom_pid = (pid_), \
                        .constraint = CONSTRAINT_MEMCG, .oom_cgroup = "/docker/" HEX,  \
                        .task_cgroup = "/docker/" HEX,                                 \
                        .oom_comm = "stress" __VA_OPT__(, ) __VA_ARGS__)
#define CGROUP_OOM(at, ...) \
        TOLD("cgroup", FACT_OOM, at, .oom_source = OOM_FROM_CGROUP, ABOUT(HEX), __VA_ARGS__)
#define OOMD(at, ...)  TOLD("oomd", FACT_OOM, at, .oom_source = OOM_FROM_OOMD, __VA_ARGS__)
#define READABLE(from) TOLD("kernel", FACT_READABLE, 0, .oom_source = (from), .oom_readable = true)

/* Facts of libvirt about one domain. */
#define LIBVIRT(type_, at, ...)                                                           \
        TOLD("libvirt", type_, at,                                                        \
                        .workload = { SAYS_NOTHING, .kind = WORKLOAD_VM, .native_id = VM, \
                                        .name = "web", .runtime = "qemu", .domain_id = 3, \
                                        .pid = 300 },                                     \
                        __VA_ARGS__)
#define VM_START(at)   LIBVIRT(FACT_ACTION, at, .action = "started", .workload.state = STATE_RUNNING)
#define VM_EXIT(at, h) LIBVIRT(FACT_EXIT, at, .how = (h), .workload.pid = 0)

#define STEP(w, ...) \
        { .what = (w), __VA_ARGS__ }
#define MS(n) \
        { .what = WAIT, .ms = (n) }

struct scenario {
        const char *name;
        struct step steps[16];
        const char *expected; /* see tell() */
};

/* ---- the tracker under test ---- */

struct stored {
        char *id, *state;
};

static struct {
        struct tracker *tracker;
        struct tracker_config config;
        struct buf told;         /* the events, as words */
        struct buf watched;      /* "+" a life began to be watched, "-" ended */
        struct stored stored[8]; /* workloads, as the store has them */
        char cursors[256];       /* "SOURCE=CURSOR" as last stored, of the source asked for */
        int refuse;              /* what emit gives back */
} test;

static const struct tracker_config default_config = {
        .oom_rule = OOM_RULE_EXIT_137,
        .evidence_wait_us = 250 * USEC_PER_MSEC,
        .workloads_max = 8,
        .origins_max = 16,
};

/* "started", "source_up*" (synthetic), "died:exit-code/confirmed/self[kernel,cgroup]". */
static inline void tell(const struct event *event) {
        const char *reason = json_get_string(event->details, "reason");
        struct json_object *evidence = json_get(event->details, "evidence");

        (void) buf_printf(&test.told, "%s%s", test.told.size ? " " : "", event->action);
        if (reason) {
                const char *scope = json_get_string(event->details, "oom_scope");

                (void) buf_printf(&test.told, ":%s/%s%s%s", reason,
                                json_get_string(event->details, "confidence"), scope[0] ? "/" : "",
                                scope);
                for (size_t i = 0; i < json_object_array_length(evidence); i++)
                        (void) buf_printf(&test.told, "%s%s", i ? "," : "[",
                                        json_object_get_string(
                                                        json_object_array_get_idx(evidence, i)));
                (void) buf_printf(&test.told, "%s", json_object_array_length(evidence) ? "]" : "");
        }
        if (event->synthetic)
                (void) buf_append_str(&test.told, "*");
}

static inline void store(const char *id, const char *state) {
        struct stored *free_one = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(test.stored); i++) {
                if (test.stored[i].id && strcmp(test.stored[i].id, id) == 0) {
                        free(test.stored[i].id);
                        free(test.stored[i].state);
                        test.stored[i] = (struct stored){};
                }
                if (!test.stored[i].id && !free_one)
                        free_one = &test.stored[i];
        }
        if (state && free_one)
                *free_one = (struct stored){ strdup(id), strdup(state) };
}

static inline int emit(const struct tracker_output *output, void *userdata) {
        if (output->event)
                tell(output->event);
        event_unref(output->event);
        if (output->workload) {
                struct json_object *frozen = workload_freeze(output->workload);

                store(output->workload->id, json_text(frozen));
                json_object_put(frozen);
        }
        if (output->forget)
                store(output->forget, NULL);
        if (output->cursor)
                (void) snprintf(test.cursors, sizeof(test.cursors), "%s=%s", output->source,
                                output->cursor);
        return test.refuse;
}

static inline void watch(const struct workload *workload, bool running, void *userdata) {
        (void) buf_append_str(&test.watched, running ? "+" : "-");
}

static inline void tracker_make(void) {
        static const struct tracker_hooks hooks = { .emit = emit, .watch = watch };
        static const char *const sources[] = { "docker", "podman", "libvirt", "kernel", "cgroup",
                "oomd" };

        fake.armed = false;
        assert_int_equal(tracker_new(&test.config, NULL, &hooks, &test.tracker), 0);
        for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
                assert_int_equal(tracker_add_source(test.tracker, sources[i],
                                                 strcmp(sources[i], "libvirt") == 0, false),
                                0);
}

static inline int tracker_setup(void **state) {
        memset(&test, 0, sizeof(test));
        test.told.max = test.watched.max = 65536;
        test.config = default_config;
        fake.now_us = 1000 * USEC_PER_SEC;
        tracker_make();
        return 0;
}

static inline int tracker_teardown(void **state) {
        test.tracker = tracker_free(test.tracker);
        buf_done(&test.told);
        buf_done(&test.watched);
        for (size_t i = 0; i < ARRAY_SIZE(test.stored); i++) {
                free(test.stored[i].id);
                free(test.stored[i].state);
        }
        return 0;
}

/* As after a kill: nothing is flushed. */
static inline void tracker_restart(void) {
        test.tracker = tracker_free(test.tracker);
        tracker_make();
        for (size_t i = 0; i < ARRAY_SIZE(test.stored); i++)
                if (test.stored[i].id)
                        assert_int_equal(tracker_restore_workload(
                                                         test.tracker, test.stored[i].state),
                                        0);
}

static inline void take_step(const struct step *step) {
        switch (step->what) {
        case POST:
                tracker_post(test.tracker, step->source, &step->fact);
                break;
        case WAIT:
                wait_us((uint64_t) step->ms * USEC_PER_MSEC);
                break;
        case SEEN:
                (void) buf_append_str(&test.told, test.told.size ? " |" : "|");
                break;
        case FLUSH:
                tracker_flush(test.tracker);
                break;
        case EVIDENCE:
                test.config.oom_rule = OOM_RULE_EVIDENCE;
                tracker_configure(test.tracker, &test.config);
                break;
        case RESTART:
                tracker_restart();
                break;
        default:
                break;
        }
}

static inline const char *told(void) {
        return test.told.data ? test.told.data : "";
}

static inline struct workload *the_workload(void) {
        return inventory_find(tracker_inventory(test.tracker), HEX);
}

static inline void play(const struct scenario *scenarios, size_t n) {
        size_t failed = 0;

        for (size_t i = 0; i < n; i++) {
                (void) tracker_teardown(NULL);
                (void) tracker_setup(NULL);
                for (size_t j = 0; j < ARRAY_SIZE(scenarios[i].steps); j++)
                        take_step(&scenarios[i].steps[j]);
                if (strcmp(told(), scenarios[i].expected) == 0)
                        continue;
                print_error("%s:\n  expected: %s\n  told:     %s\n", scenarios[i].name,
                                scenarios[i].expected, told());
                failed++;
        }
        assert_int_equal(failed, 0);
}

#define TRACKER_TEST(name) cmocka_unit_test_setup_teardown(name, tracker_setup, tracker_teardown)
