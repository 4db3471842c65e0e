/* The engine of actions with a source and a journal that answer when a test says so. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "engine/actions.h"
#include "engine/tracker.h"
#include "test.h"

#define TIMEOUT_US (200 * USEC_PER_MSEC)

struct world {
        sd_event *event;
        struct tracker *tracker;
        struct actions *actions;
        unsigned int can;
        const char *why;
        struct action_limits limits;
        int record_error, control_error;
        void (*recorded[ACTIONS_MAX + 1])(struct event *event, void *userdata);
        void *recorded_userdata[ACTIONS_MAX + 1];
        size_t n_recorded;
        char log[4096]; /* what happened, in order */
        uint64_t ticket;
        int n_outcomes, outcome;
        char text[256];
        struct diag diag;
};

PRINTF_LIKE(2, 3)
static void note(struct world *world, const char *format, ...) {
        size_t n = strlen(world->log);
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(world->log + n, sizeof(world->log) - n, format, arguments);
        va_end(arguments);
}

static void expect_log(struct world *world, const char *text) {
        assert_string_equal(world->log, text);
        world->log[0] = '\0';
}

/* ---- what the engine asks ---- */

static int control(const struct workload *workload, const struct action *action, uint64_t ticket,
                void *userdata) {
        struct world *world = userdata;
        char words[80];

        world->ticket = ticket;
        note(world, "control %s %s;", workload->name, action_words(action, words));
        return world->control_error;
}

static unsigned int controls(
                const struct workload *workload, const char **ret_why, void *userdata) {
        *ret_why = ((struct world *) userdata)->why;
        return ((struct world *) userdata)->can;
}

static void limits(
                const struct workload *workload, struct action_limits *ret_limits, void *userdata) {
        *ret_limits = ((struct world *) userdata)->limits;
}

static const char *slug(const struct workload *workload, void *userdata) {
        return "shop";
}

static int record(struct event *event, void (*done)(struct event *event, void *userdata),
                void *done_userdata, void *userdata) {
        struct world *world = userdata;

        if (world->record_error)
                return world->record_error;
        note(world, "%s %s;", event->action, json_get_string(event->details, "asked_by"));
        assert_string_equal(event->slug, "shop");
        assert_non_null(json_get_string(event->details, "verb"));
        if (!done)
                return 0;
        assert_true(world->n_recorded <= ACTIONS_MAX);
        world->recorded[world->n_recorded] = done;
        world->recorded_userdata[world->n_recorded++] = done_userdata;
        return 0;
}

/* ---- what a test does ---- */

static void commit(struct world *world) {
        size_t n = world->n_recorded;

        world->n_recorded = 0;
        for (size_t i = 0; i < n; i++)
                world->recorded[i](NULL, world->recorded_userdata[i]);
}

static void done(const struct actions_outcome *outcome, void *userdata) {
        struct world *world = userdata;

        world->n_outcomes++;
        world->outcome = outcome->error;
        assert_true(outcome->text[0]);
        (void) snprintf(world->text, sizeof(world->text), "%s", outcome->text);
        note(world, "outcome %s;", outcome->error < 0 ? actions_error_word(outcome->error) : "ok");
}

static int ask(struct world *world, const char *id, struct action action, const char *confirm) {
        world->diag = (struct diag){};
        return actions_begin(world->actions,
                        &(struct actions_request){
                                        .id = id,
                                        .action = action,
                                        .confirm = confirm,
                                        .asked_by = "uid 7",
                        },
                        done, world, &world->diag);
}

#define STOP    ((struct action){ .verb = ACTION_STOP })
#define DESTROY ((struct action){ .verb = ACTION_DESTROY })

static void run(struct world *world, uint64_t us) {
        uint64_t end_us, now_us;

        assert_int_equal(sd_event_now(world->event, CLOCK_MONOTONIC, &now_us) < 0, 0);
        end_us = now_us + us;
        do {
                (void) sd_event_run(world->event, 10 * USEC_PER_MSEC);
                (void) sd_event_now(world->event, CLOCK_MONOTONIC, &now_us);
        } while (now_us < end_us);
}

static int emit(const struct tracker_output *output, void *userdata) {
        struct world *world = userdata;

        if (output->event && strncmp(output->event->action, "source", 6) != 0)
                note(world, "%s %s;", output->event->action,
                                json_get_string(output->event->details, "reason"));
        event_unref(output->event);
        return 0;
}

static void post(struct world *world, struct fact fact) {
        fact.workload.kind = WORKLOAD_CONTAINER;
        fact.workload.runtime = "docker";
        tracker_post(world->tracker, "docker", &fact);
}

static void start(struct world *world, const char *id, const char *name) {
        struct fact fact = FACT_INIT(FACT_ACTION);

        fact.workload.native_id = id;
        fact.workload.name = name;
        fact.workload.state = STATE_RUNNING;
        fact.action = "started";
        fact.quiet = true;
        post(world, fact);
}

static void end(struct world *world, const char *id, int code) {
        struct fact fact = FACT_INIT(FACT_EXIT);

        fact.workload.native_id = id;
        fact.how = EXIT_PROCESS;
        fact.code = code;
        post(world, fact);
}

static int make(void **state, bool enabled) {
        struct world *world = calloc(1, sizeof(*world));

        assert_non_null(world);
        world->can = 7;
        assert_true(sd_event_new(&world->event) >= 0);
        assert_int_equal(tracker_new(
                                         &(struct tracker_config){
                                                         .workloads_max = 100,
                                                         .origins_max = 100,
                                         },
                                         world->event,
                                         &(struct tracker_hooks){ .emit = emit, .userdata = world },
                                         &world->tracker),
                        0);
        assert_int_equal(tracker_add_source(world->tracker, "docker", false, false), 0);
        assert_int_equal(actions_new(&(struct actions_config){ enabled, .timeout_us = TIMEOUT_US },
                                         world->event, world->tracker,
                                         &(struct actions_hooks){ control, controls, limits, slug,
                                                         record, NULL, world },
                                         &world->actions),
                        0);
        tracker_post(world->tracker, "docker",
                        &(struct fact){ .type = FACT_SOURCE, .source_state = SOURCE_UP });
        start(world, "a1", "web");
        start(world, "b2", "db");
        (void) sd_event_run(world->event, 0);
        *state = world;
        return 0;
}

static int setup(void **state) {
        return make(state, true);
}

static int setup_off(void **state) {
        return make(state, false);
}

static int teardown(void **state) {
        struct world *world = *state;

        actions_free(world->actions);
        tracker_free(world->tracker);
        sd_event_unref(world->event);
        free(world);
        return 0;
}

/* ---- tests ---- */

static void a_request_is_on_record_before_anything_is_done(void **state) {
        struct world *world = *state;

        assert_int_equal(ask(world, "a1", STOP, "web"), 0);
        expect_log(world, "action_requested uid 7;");
        commit(world);
        expect_log(world, "control web stop;");
        actions_answer(world->actions, world->ticket, 0, NULL);
        expect_log(world, "action_done uid 7;outcome ok;");
        assert_string_equal(world->text, "done");
        actions_answer(world->actions, world->ticket, 0, NULL); /* once is enough */
        expect_log(world, "");
        assert_int_equal(world->n_outcomes, 1);
}

static void where_actions_are_off_nothing_is_asked_of_anybody(void **state) {
        struct world *world = *state;

        assert_int_equal(ask(world, "a1", STOP, "web"), -EPERM);
        assert_non_null(strstr(world->diag.text, "actions.enabled"));
        assert_string_equal(actions_error_word(-EPERM), "actions_disabled");
        assert_int_equal(actions_check(world->actions,
                                         inventory_find(tracker_inventory(world->tracker), "a1"),
                                         ACTION_STOP, &world->diag),
                        -EPERM);
        expect_log(world, "");
}

static void what_may_not_be_is_refused_at_once(void **state) {
        struct world *world = *state;

        assert_int_equal(ask(world, "nobody", STOP, "web"), -ENOENT);
        assert_int_equal(ask(world, "a1", STOP, "db"), -EKEYREJECTED);
        assert_int_equal(ask(world, "a1", STOP, ""), -EKEYREJECTED);
        assert_int_equal(strncmp(world->diag.text, "confirm:", 8), 0);
        world->limits = (struct action_limits){ 2, 64 };
        assert_int_equal(ask(world, "a1", (struct action){ ACTION_SCALE, 3, 0 }, "web"), -EINVAL);
        assert_int_equal(ask(world, "a1", (struct action){ ACTION_SCALE, 2, 65 }, "web"), -EINVAL);
        assert_int_equal(strncmp(world->diag.text, "memory_mb:", 10), 0);
        world->can = ACTION_BIT(ACTION_STOP);
        assert_int_equal(ask(world, "a1", DESTROY, "web"), -EOPNOTSUPP);
        assert_non_null(strstr(world->diag.text, "docker"));
        world->why = "a.switch is not set";
        assert_int_equal(ask(world, "a1", DESTROY, "web"), -EOPNOTSUPP);
        assert_non_null(strstr(world->diag.text, "a.switch is not set"));
        world->can = 7;
        end(world, "a1", 0);
        assert_int_equal(ask(world, "a1", STOP, "web"), -ESRCH);
        tracker_post(world->tracker, "docker",
                        &(struct fact){ .type = FACT_SOURCE, .source_state = SOURCE_DOWN });
        assert_int_equal(ask(world, "b2", STOP, "db"), -ENOTCONN);
        assert_int_equal(world->n_outcomes, 0);
        assert_null(strstr(world->log, "action_"));
        assert_null(strstr(world->log, "control"));
}

static void a_workload_has_one_at_a_time_and_all_have_a_bound(void **state) {
        struct world *world = *state;
        char id[16];

        assert_int_equal(ask(world, "a1", STOP, "web"), 0);
        assert_int_equal(ask(world, "a1", DESTROY, "web"), -EBUSY);
        assert_int_equal(ask(world, "b2", STOP, "db"), 0);
        commit(world);
        assert_int_equal(ask(world, "a1", DESTROY, "web"), -EBUSY);
        for (int i = 2; i < ACTIONS_MAX; i++) {
                (void) snprintf(id, sizeof(id), "c%d", i);
                start(world, id, id);
                assert_int_equal(ask(world, id, STOP, id), 0);
        }
        start(world, "last", "last");
        assert_int_equal(ask(world, "last", STOP, "last"), -EAGAIN);
        commit(world);
        actions_answer(world->actions, world->ticket, 1, "asked");
        assert_int_equal(world->outcome, 1);
        assert_int_equal(ask(world, "last", STOP, "last"), 0);
}

static void no_answer_is_an_answer_after_the_timeout(void **state) {
        struct world *world = *state;

        assert_int_equal(ask(world, "a1", DESTROY, "web"), 0);
        commit(world);
        world->log[0] = '\0';
        run(world, TIMEOUT_US / 2);
        assert_int_equal(world->n_outcomes, 0);
        run(world, TIMEOUT_US);
        expect_log(world, "action_failed uid 7;outcome workload_hung;");
        assert_int_equal(ask(world, "a1", DESTROY, "web"), 0); /* it may be asked again */
        actions_answer(world->actions, 1, 0, NULL);            /* late */
        assert_int_equal(world->n_outcomes, 1);
        end(world, "a1", 137); /* and may still happen */
        assert_non_null(strstr(world->log, "stopped operator-destroy;"));
}

static void a_journal_that_does_not_take_it_lets_nothing_be_done(void **state) {
        struct world *world = *state;

        world->record_error = -ENOSPC;
        assert_int_equal(ask(world, "a1", STOP, "web"), -EAGAIN);
        world->record_error = 0;
        assert_int_equal(ask(world, "a1", STOP, "web"), 0);
        world->log[0] = '\0';
        run(world, 2 * TIMEOUT_US);
        expect_log(world, "action_failed uid 7;outcome unavailable;");
        commit(world); /* too late: nobody waits any more */
        expect_log(world, "");
}

static void what_a_source_refuses_is_told_and_expected_no_more(void **state) {
        struct world *world = *state;

        world->control_error = -EOPNOTSUPP;
        assert_int_equal(ask(world, "a1", DESTROY, "web"), 0);
        commit(world);
        expect_log(world,
                        "action_requested uid 7;control web destroy;action_failed uid 7;outcome unsupported;");
        end(world, "a1", 137);
        expect_log(world, "OOMKilled oom;");
        world->control_error = 0;
        assert_int_equal(ask(world, "b2", STOP, "db"), 0);
        commit(world);
        actions_answer(world->actions, world->ticket, -EREMOTEIO, "it would rather not");
        assert_string_equal(world->text, "it would rather not");
        assert_string_equal(actions_error_word(world->outcome), "action_failed");
}

static void what_a_source_says_is_told_as_text(void **state) {
        struct world *world = *state;

        assert_int_equal(ask(world, "a1", DESTROY, "web"), 0);
        commit(world);
        actions_answer(world->actions, world->ticket, -EIO, "libvirt: no domain '\xc3");
        assert_string_equal(world->text, "libvirt: no domain '\xef\xbf\xbd");
}

static void the_exit_that_follows_is_the_operators_and_the_next_one_is_not(void **state) {
        struct world *world = *state;

        assert_int_equal(ask(world, "a1", STOP, "web"), 0);
        commit(world);
        world->log[0] = '\0';
        end(world, "a1", 143);
        expect_log(world, "stopped operator-stop;");
        actions_answer(world->actions, world->ticket, 0, NULL);
        start(world, "a1", "web");
        world->log[0] = '\0';
        end(world, "a1", 143);
        expect_log(world, "died signal;");
}

static void a_scale_expects_no_end(void **state) {
        struct world *world = *state;

        assert_int_equal(ask(world, "a1", (struct action){ ACTION_SCALE, 1, 64 }, "web"), 0);
        commit(world);
        expect_log(world, "action_requested uid 7;control web scale to 1 vCPU and 64 MiB;");
        end(world, "a1", 3);
        expect_log(world, "died exit-code;");
}

static void what_is_gone_by_then_is_not_acted_on(void **state) {
        struct world *world = *state;
        struct fact gone = FACT_INIT(FACT_REMOVED);

        assert_int_equal(ask(world, "a1", DESTROY, "web"), 0);
        gone.workload.native_id = "a1";
        gone.quiet = true;
        post(world, gone);
        world->log[0] = '\0';
        commit(world);
        assert_null(strstr(world->log, "control"));
        assert_int_equal(world->outcome, -ENOENT);
}

static void a_shorter_timeout_does_not_wait_for_a_longer_one(void **state) {
        struct world *world = *state;
        const struct actions_config longer = { true, .timeout_us = 600 * USEC_PER_SEC },
                                    shorter = { true, .timeout_us = TIMEOUT_US };

        actions_configure(world->actions, &longer);
        assert_int_equal(ask(world, "a1", STOP, "web"), 0);
        actions_configure(world->actions, &shorter);
        assert_int_equal(ask(world, "b2", STOP, "db"), 0);
        commit(world);
        run(world, 2 * TIMEOUT_US);
        assert_int_equal(world->n_outcomes, 1);
        assert_int_equal(world->outcome, -ETIMEDOUT);
        actions_configure(world->actions, &longer);
        actions_answer(world->actions, 1, 0, NULL); /* the other has kept its own */
        assert_int_equal(world->n_outcomes, 2);
}

static void a_source_that_ends_answers_nothing_and_that_is_told_at_once(void **state) {
        struct world *world = *state;

        assert_int_equal(ask(world, "a1", STOP, "web"), 0);
        commit(world);
        assert_int_equal(ask(world, "b2", STOP, "db"), 0);
        world->log[0] = '\0';
        actions_source_ended(world->actions, "podman");
        expect_log(world, "");
        actions_source_ended(world->actions, "docker");
        expect_log(world, "action_failed uid 7;outcome source_down;");
        commit(world); /* this one is for the source that follows */
        expect_log(world, "control db stop;");
}

static void at_the_end_all_who_wait_are_told(void **state) {
        struct world *world = *state;

        assert_int_equal(ask(world, "a1", STOP, "web"), 0);
        commit(world);
        assert_int_equal(ask(world, "b2", STOP, "db"), 0);
        world->log[0] = '\0';
        actions_stop(world->actions);
        expect_log(world, "outcome unavailable;outcome unavailable;");
        commit(world);
        assert_int_equal(ask(world, "b2", STOP, "db"), -EAGAIN);
        expect_log(world, "");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_request_is_on_record_before_anything_is_done),
                cmocka_unit_test_setup_teardown(where_actions_are_off_nothing_is_asked_of_anybody,
                                setup_off, teardown),
                TEST(what_may_not_be_is_refused_at_once),
                TEST(a_workload_has_one_at_a_time_and_all_have_a_bound),
                TEST(no_answer_is_an_answer_after_the_timeout),
                TEST(a_journal_that_does_not_take_it_lets_nothing_be_done),
                TEST(what_a_source_refuses_is_told_and_expected_no_more),
                TEST(what_a_source_says_is_told_as_text),
                TEST(the_exit_that_follows_is_the_operators_and_the_next_one_is_not),
                TEST(a_scale_expects_no_end),
                TEST(what_is_gone_by_then_is_not_acted_on),
                TEST(a_shorter_timeout_does_not_wait_for_a_longer_one),
                TEST(a_source_that_ends_answers_nothing_and_that_is_told_at_once),
                TEST(at_the_end_all_who_wait_are_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
