/* One inspect answer as a fact: the container as it is now. Pure. */

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "source/docker.h"

#define ERROR_MAX_BYTES 1024

static uint64_t time_of(struct json_object *object, const char *path) {
        const char *text = json_get_string(object, path);
        uint64_t time_us;

        if (!text || clock_parse_rfc3339(text, &time_us) < 0)
                return 0; /* "0001-01-01T00:00:00Z": never */
        return time_us;
}

static enum workload_state state_of(const char *status, int exit_code) {
        static const struct {
                const char *status;
                enum workload_state state;
        } states[] = {
                { "created", STATE_CREATED },
                { "configured", STATE_CREATED },
                { "initialized", STATE_CREATED },
                { "running", STATE_RUNNING },
                { "paused", STATE_PAUSED },
                { "restarting", STATE_STARTING },
                { "removing", STATE_STOPPING },
                { "stopping", STATE_STOPPING },
        };

        for (size_t i = 0; i < ARRAY_SIZE(states); i++)
                if (strcmp(states[i].status, status) == 0)
                        return states[i].state;
        return exit_code == 0 ? STATE_STOPPED : STATE_FAILED; /* exited, stopped, dead */
}

/* It repeats the command, which may be of any length; an event may not. */
static struct json_object *start_error(struct json_object *object) {
        const char *error = json_get_string(object, "State/Error");
        _cleanup_(freep) char *cut = NULL;
        struct json_object *details;

        if (!error || !error[0])
                return NULL;
        details = json_object_new_object();
        if (details && text_sanitize(error, strlen(error), ERROR_MAX_BYTES, &cut) >= 0)
                (void) json_add_string(details, "error", cut);
        return details;
}

static void add_address(struct json_object *array, struct json_object *of, const char *name) {
        const char *text = json_get_string(of, name);

        if (text && text[0])
                (void) json_object_array_add(array, json_object_new_string(text));
}

/* Of the default network, then of each; the inventory drops what comes twice. */
static struct json_object *addresses_of(struct json_object *object) {
        struct json_object *array = json_object_new_array(),
                           *settings = json_get(object, "NetworkSettings"),
                           *networks = json_get(object, "NetworkSettings/Networks");

        if (!array)
                return NULL;
        add_address(array, settings, "IPAddress");
        add_address(array, settings, "GlobalIPv6Address");
        if (!json_object_is_type(networks, json_type_object))
                return array;
        json_object_object_foreach(networks, name, network) {
                (void) name;
                add_address(array, network, "IPAddress");
                add_address(array, network, "GlobalIPv6Address");
        }
        return array;
}

int docker_inspect_parse(const struct docker_flavour *flavour, const char *text, size_t size,
                struct docker_fact *ret_fact) {
        struct docker_fact out = { .fact = FACT_INIT(FACT_WORKLOAD) };
        struct workload_info *info = &out.fact.workload;
        struct json_object *object, *labels;
        const char *status;
        int r;

        r = json_parse(text, size, &out.object);
        if (r < 0)
                return r == -ENOMEM ? r : -EINVAL;

        object = out.object;
        info->native_id = json_get_string(object, "Id");
        status = json_get_string(object, "State/Status");
        if (!info->native_id || !status) {
                docker_fact_done(&out);
                return -EINVAL;
        }
        info->kind = WORKLOAD_CONTAINER;
        info->runtime = flavour->runtime;
        info->name = json_get_string(object, "Name");
        if (info->name && info->name[0] == '/')
                info->name++;
        info->image = json_get_string(object, "Config/Image");
        labels = json_get(object, "Config/Labels");
        if (json_object_is_type(labels, json_type_object)) {
                info->labels = labels;
                if (flavour->labels_win && json_get(labels, "exitCode"))
                        out.forged |= DOCKER_FORGES_CODE;
                if (flavour->labels_win && json_get(labels, "signal"))
                        out.forged |= DOCKER_FORGES_SIGNAL;
                info->job = json_get_string(labels, "com.docker.compose.service");
        }
        info->created_us = time_of(object, "Created");
        info->started_us = time_of(object, "State/StartedAt");
        info->finished_us = time_of(object, "State/FinishedAt");
        info->pid = (uint32_t) json_get_int(object, "State/Pid", 0);
        info->restarts = json_get_int(object, "RestartCount", -1);
        info->exit_code = (int) json_get_int(object, "State/ExitCode", -1);
        info->oom_killed = flavour->runtime_tells ? json_get_bool(object, "State/OOMKilled", false)
                                                  : -1;
        info->state = state_of(status, info->exit_code);
        info->state_reason = status;
        info->how = EXIT_PROCESS;
        if (info->state == STATE_RUNNING || info->state == STATE_PAUSED)
                info->addresses = out.addresses = addresses_of(object);
        out.details = start_error(object);
        out.fact.details = out.details;
        /* A missing command: docker leaves it "created" with a code and an error, or is about to
         * remove it (--rm), and no die ever comes. */
        if ((info->state == STATE_CREATED ||
                            (strcmp(status, "removing") == 0 && !info->started_us)) &&
                        (info->exit_code > 0 || out.details)) {
                info->state = STATE_FAILED;
                info->how = EXIT_START_FAILED;
        }
        *ret_fact = out;
        return 0;
}
