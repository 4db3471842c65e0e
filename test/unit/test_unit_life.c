/* systemd's properties read as lives: the recorded signals of a booted guest, and orders of signals
 * that PID 1 is known to send. */

#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "source/unit_life.h"
#include "test.h"

struct watched {
        struct unit_view view;
        struct unit_life life;
        char told[2048];
};

PRINTF_LIKE(2, 3)
static void tell(struct watched *watched, const char *format, ...) {
        size_t n = strlen(watched->told);
        va_list args;

        va_start(args, format);
        (void) vsnprintf(watched->told + n, sizeof(watched->told) - n, format, args);
        va_end(args);
}

static void step(struct watched *watched) {
        unsigned int changes = unit_life_step(&watched->life, &watched->view);
        struct fact fact = FACT_INIT(FACT_EXIT);

        if (changes & UNIT_ENDED_UNSEEN)
                tell(watched, "unseen ");
        if (changes & UNIT_STARTED)
                tell(watched, "started ");
        if (changes & UNIT_FROZEN)
                tell(watched, "frozen ");
        if (changes & UNIT_THAWED)
                tell(watched, "thawed ");
        if (changes & UNIT_STOP_ASKED)
                tell(watched, "asked ");
        if (changes & UNIT_STOPPING)
                tell(watched, "stopping ");
        if (changes & (UNIT_ENDED | UNIT_START_FAILED)) {
                unit_exit_fill(&watched->life, &watched->view, changes & UNIT_START_FAILED, &fact);
                tell(watched, "%s(%d,%d%s%s%s%s) ",
                                fact.how == EXIT_START_FAILED ? "start-failed" : "ended", fact.code,
                                fact.signal, fact.core_dumped ? ",core" : "",
                                fact.runtime_oom ? ",oom" : "", fact.unit_timeout ? ",timeout" : "",
                                fact.unit_watchdog ? ",watchdog" : "");
        }
        if (changes & UNIT_SKIPPED)
                tell(watched, "skipped ");
        if (changes & UNIT_GAVE_UP)
                tell(watched, "gave-up ");
}

static void expect(const struct watched *watched, const char *told) {
        assert_string_equal(watched->told, told);
}

/* ---- recorded ---- */

static void take_json(struct unit_view *view, const char *name, struct json_object *variant) {
        const char *type = unit_property_type(name);
        struct json_object *data = json_object_object_get(variant, "data");
        struct unit_value value = { .text = "" };
        char hex[33] = "";

        if (!type)
                return;
        assert_string_equal(type, json_get_string(variant, "type"));
        if (strcmp(type, "ay") == 0) {
                for (size_t i = 0; i < json_object_array_length(data); i++)
                        (void) snprintf(hex + 2 * i, 3, "%02x",
                                        (uint8_t) json_object_get_int(
                                                        json_object_array_get_idx(data, i)));
                value.text = hex;
        } else if (type[0] == 's') {
                value.text = json_object_get_string(data);
        } else {
                value.number = json_object_get_int64(data);
        }
        assert_int_equal(unit_view_take(view, name, &value), 0);
}

static void replay(const char *unit_path, struct watched *watched) {
        FILE *file = fopen(FIXTURES_DIR "/busctl-systemd1-signals.jsonl", "re");
        static char line[1 << 16];

        assert_non_null(file);
        while (fgets(line, sizeof(line), file)) {
                struct json_object *signal_ = json_tokener_parse(line), *data;
                const char *path = json_get_string(signal_, "path");

                assert_non_null(path);
                if (strcmp(json_get_string(signal_, "member"), "PropertiesChanged") == 0 &&
                                strstr(path, unit_path)) {
                        data = json_get(signal_, "payload/data");
                        json_object_object_foreach(json_object_array_get_idx(data, 1), name,
                                        variant) take_json(&watched->view, name, variant);
                        if (strcmp(json_object_get_string(json_object_array_get_idx(data, 0)),
                                            "org.freedesktop.systemd1.Unit") == 0)
                                step(watched);
                }
                (void) json_object_put(signal_);
        }
        (void) fclose(file);
}

static void recorded_lives_are_told_once_each(void **state) {
        static const struct {
                const char *path, *told;
                uint64_t started_us;
        } units[] = {
                { "/t_2doom_2eservice", "started stopping ended(-1,9,oom) ", 1795229170469876 },
                { "/t_2doomchild_2eservice", "started ended(0,0) ", 1795229172186071 },
                { "/t_2dexit3_2eservice", "started ended(3,0) started ended(3,0) gave-up ",
                                1795229173745716 },
                { "/t_2dkill_2eservice", "started ended(-1,9) ", 1795229173470599 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
                struct watched watched = {};

                replay(units[i].path, &watched);
                expect(&watched, units[i].told);
                assert_int_equal(watched.life.started_us, units[i].started_us);
                unit_view_done(&watched.view);
        }
}

/* ---- made up ---- */

static void set_text(struct watched *watched, const char *name, const char *text) {
        assert_int_equal(unit_view_take(&watched->view, name, &(struct unit_value){ .text = text }),
                        0);
}

static void set_number(struct watched *watched, const char *name, int64_t number) {
        assert_int_equal(unit_view_take(&watched->view, name,
                                         &(struct unit_value){ .text = "", .number = number }),
                        0);
}

static void set_state(struct watched *watched, const char *active, const char *sub) {
        set_text(watched, "ActiveState", active);
        set_text(watched, "SubState", sub);
        step(watched);
}

static void process_runs(
                struct watched *watched, const char *invocation, int64_t pid, int64_t at_us) {
        set_text(watched, "InvocationID", invocation);
        set_text(watched, "Result", "success");
        set_number(watched, "MainPID", pid);
        set_number(watched, "ExecMainCode", 0);
        set_number(watched, "ExecMainStatus", 0);
        set_number(watched, "ExecMainStartTimestamp", at_us);
        set_number(watched, "ExecMainExitTimestamp", 0);
        set_number(watched, "InactiveExitTimestamp", at_us);
}

static void process_ends(struct watched *watched, int64_t code, int64_t status, const char *result,
                int64_t at_us) {
        set_text(watched, "Result", result);
        set_number(watched, "MainPID", 0);
        set_number(watched, "ExecMainCode", code);
        set_number(watched, "ExecMainStatus", status);
        set_number(watched, "ExecMainExitTimestamp", at_us);
        set_number(watched, "InactiveEnterTimestamp", at_us);
}

static void a_stop_on_request_is_told_from_an_end_of_its_own(void **state) {
        struct watched asked = {}, own = {};

        process_runs(&asked, "aa", 7, 1000);
        set_state(&asked, "active", "running");
        set_state(&asked, "deactivating", "stop-sigterm");
        process_ends(&asked, CLD_KILLED, SIGTERM, "success", 2000);
        set_state(&asked, "inactive", "dead");
        expect(&asked, "started asked stopping ended(-1,15) ");

        /* What its main process left behind is swept up: nobody asked. */
        process_runs(&own, "aa", 7, 1000);
        set_state(&own, "active", "running");
        process_ends(&own, CLD_EXITED, 0, "success", 2000);
        set_state(&own, "deactivating", "stop-sigterm");
        set_state(&own, "inactive", "dead");
        expect(&own, "started stopping ended(0,0) ");
}

static void results_become_flags(void **state) {
        static const struct {
                const char *result, *told;
                int code, status;
        } rows[] = {
                { "timeout", "started ended(-1,9,timeout) ", CLD_KILLED, SIGKILL },
                { "watchdog", "started ended(-1,6,watchdog) ", CLD_KILLED, SIGABRT },
                { "core-dump", "started ended(-1,11,core) ", CLD_DUMPED, SIGSEGV },
                { "exit-code", "started ended(5,0) ", CLD_EXITED, 5 },
                { "exit-code", "started start-failed(203,0) ", CLD_EXITED, 203 },
                { "success", "started ended(0,0) ", CLD_EXITED, 143 }, /* SuccessExitStatus=143 */
                { "oom-kill", "started ended(0,0,oom) ", CLD_EXITED, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct watched watched = {};

                process_runs(&watched, "aa", 7, 1000);
                set_state(&watched, "active", "running");
                process_ends(&watched, rows[i].code, rows[i].status, rows[i].result, 2000);
                set_state(&watched, strcmp(rows[i].result, "success") == 0 ? "inactive" : "failed",
                                "x");
                expect(&watched, rows[i].told);
        }
}

static void a_restart_between_two_signals_is_two_lives(void **state) {
        struct watched watched = {};

        process_runs(&watched, "aa", 7, 1000);
        set_state(&watched, "active", "running");
        process_runs(&watched, "bb", 8, 2000);
        set_state(&watched, "active", "running");
        expect(&watched, "started unseen started ");
        assert_int_equal(watched.life.started_us, 2000);
}

static void another_main_process_is_the_same_life(void **state) {
        struct watched watched = {};

        process_runs(&watched, "aa", 7, 1000);
        set_state(&watched, "active", "running");
        set_number(&watched, "MainPID", 9);
        set_number(&watched, "ExecMainStartTimestamp", 5000);
        set_state(&watched, "active", "running");
        expect(&watched, "started ");
        assert_int_equal(watched.life.started_us, 1000);
}

static void a_state_that_lags_behind_is_no_end(void **state) {
        struct watched watched = {};

        process_runs(&watched, "aa", 7, 1000);
        set_state(&watched, "active", "running");
        process_ends(&watched, CLD_EXITED, 0, "success", 2000);
        set_state(&watched, "inactive", "dead");

        /* The next start, in ExecStartPre=: another invocation, still "inactive". */
        set_text(&watched, "InvocationID", "bb");
        set_state(&watched, "inactive", "dead");
        set_number(&watched, "InactiveExitTimestamp", 3000);
        set_state(&watched, "activating", "start-pre");
        expect(&watched, "started ended(0,0) ");
        process_runs(&watched, "bb", 8, 3000);
        set_state(&watched, "active", "running");
        expect(&watched, "started ended(0,0) started ");
}

static void a_life_between_two_signals_is_told_whole(void **state) {
        struct watched watched = {};

        set_state(&watched, "inactive", "dead");
        process_runs(&watched, "aa", 7, 1000);
        process_ends(&watched, CLD_EXITED, 4, "exit-code", 1500);
        set_state(&watched, "failed", "failed");
        expect(&watched, "started ended(4,0) ");
        set_state(&watched, "failed", "failed");
        expect(&watched, "started ended(4,0) ");
}

static void what_never_ran_has_failed_to_start(void **state) {
        struct watched pre = {}, condition = {}, limit = {};

        set_number(&pre, "ExecMainCode", 0);
        set_text(&pre, "InvocationID", "aa");
        set_state(&pre, "activating", "start-pre");
        set_text(&pre, "Result", "exit-code");
        set_state(&pre, "failed", "failed");
        expect(&pre, "start-failed(-1,0) ");

        set_number(&condition, "ExecMainCode", 0);
        set_text(&condition, "InvocationID", "aa");
        set_text(&condition, "Result", "exec-condition");
        set_state(&condition, "inactive", "dead");
        expect(&condition, "skipped ");

        set_number(&limit, "ExecMainCode", 0);
        set_text(&limit, "Result", "start-limit-hit");
        set_state(&limit, "failed", "failed");
        set_state(&limit, "failed", "failed");
        expect(&limit, "start-failed(-1,0) ");
}

static void a_scope_lives_without_a_main_process(void **state) {
        struct watched watched = {};

        set_text(&watched, "InvocationID", "aa");
        set_text(&watched, "Result", "success");
        set_number(&watched, "InactiveExitTimestamp", 1000);
        set_state(&watched, "active", "running");
        set_text(&watched, "FreezerState", "frozen");
        step(&watched);
        assert_int_equal(unit_life_state(&watched.life, &watched.view), STATE_PAUSED);
        set_text(&watched, "FreezerState", "running");
        step(&watched);
        set_text(&watched, "Result", "oom-kill");
        set_state(&watched, "deactivating", "stop-sigterm");
        set_state(&watched, "failed", "failed");
        expect(&watched, "started frozen thawed stopping ended(-1,0,oom) ");
        assert_int_equal(unit_life_state(&watched.life, &watched.view), STATE_FAILED);
}

static void what_is_adopted_is_no_news(void **state) {
        struct watched running = {}, down = {};

        process_runs(&running, "aa", 7, 1000);
        set_text(&running, "ActiveState", "active");
        unit_life_adopt(&running.life, &running.view);
        step(&running);
        expect(&running, "");
        assert_true(running.life.alive);

        /* Of a unit that is down only the state was known; its properties come with its next start,
         * still those of a life before our time. */
        set_text(&down, "ActiveState", "inactive");
        unit_life_adopt_down(&down.life, &down.view, 10000);
        process_runs(&down, "aa", 0, 1000);
        process_ends(&down, CLD_EXITED, 3, "exit-code", 2000);
        set_text(&down, "Result", "success");
        set_text(&down, "InvocationID", "bb");
        set_state(&down, "inactive", "dead");
        expect(&down, "");
        process_runs(&down, "bb", 8, 20000);
        set_state(&down, "active", "running");
        expect(&down, "started ");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(recorded_lives_are_told_once_each),
                cmocka_unit_test(a_stop_on_request_is_told_from_an_end_of_its_own),
                cmocka_unit_test(results_become_flags),
                cmocka_unit_test(a_restart_between_two_signals_is_two_lives),
                cmocka_unit_test(another_main_process_is_the_same_life),
                cmocka_unit_test(a_state_that_lags_behind_is_no_end),
                cmocka_unit_test(a_life_between_two_signals_is_told_whole),
                cmocka_unit_test(what_never_ran_has_failed_to_start),
                cmocka_unit_test(a_scope_lives_without_a_main_process),
                cmocka_unit_test(what_is_adopted_is_no_news),
        };

        return RUN_TESTS(tests);
}
