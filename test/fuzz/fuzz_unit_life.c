/* Whatever systemd says, in whatever order: a life that ends has begun, and one that begins ended
 * the one before. Two bytes a property: which one, and one of a few values. */

#include <string.h>

#include "source/unit_life.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = { "ActiveState", "SubState", "Result", "InvocationID", "MainPID",
        "ExecMainCode", "ExecMainStatus", "ExecMainStartTimestamp", "ExecMainExitTimestamp",
        "InactiveExitTimestamp", "InactiveEnterTimestamp", "FreezerState", "ControlGroup",
        "Other" };
static const char *const texts[] = { "", "active", "inactive", "failed", "activating",
        "deactivating", "auto-restart", "success", "exit-code", "oom-kill", "start-limit-hit",
        "exec-condition", "frozen", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bb" };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct unit_view view = {};
        struct unit_life life = {};
        bool alive = false;

        for (size_t i = 0; i + 1 < size && i < 4096; i += 2) {
                const struct unit_value value = { .text = texts[data[i + 1] % ARRAY_SIZE(texts)],
                        .number = data[i + 1] };
                struct fact fact = FACT_INIT(FACT_EXIT);
                unsigned int changes;

                if (unit_view_take(&view, names[data[i] % ARRAY_SIZE(names)], &value) < 0)
                        break;
                changes = unit_life_step(&life, &view);
                assert(!(changes & UNIT_ENDED_UNSEEN) || alive);
                alive = alive && !(changes & UNIT_ENDED_UNSEEN);
                assert(!(changes & UNIT_STARTED) || !alive);
                alive = alive || (changes & UNIT_STARTED);
                assert(!(changes & UNIT_ENDED) || alive);
                assert(!(changes & UNIT_START_FAILED) || !alive);
                alive = alive && !(changes & UNIT_ENDED);
                assert(alive == life.alive);
                unit_exit_fill(&life, &view, changes & UNIT_START_FAILED, &fact);
                assert(fact.code >= -1 && fact.code <= 255);
        }
        unit_view_done(&view);
        return 0;
}
