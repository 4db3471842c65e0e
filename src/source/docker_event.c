/* One event line of docker or podman as a fact. Pure. What matters is told from what does not by
 * one table. */

#include <signal.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "source/docker.h"

const struct docker_flavour docker_flavour = {
        .runtime = "docker",
        .runtime_tells = true,
        .replay_until = "until",
        .filters = "%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D",
        .update_prefix = "",
        .exit_code = "exitCode",
        .labels_win = true,
};
const struct docker_flavour podman_flavour = {
        .runtime = "podman",
        .runtime_tells = false,
        .replay_until = "stream",
        .filters = "%7B%22type%22%3A%5B%22container%22%5D%7D",
        .update_prefix = "v4.0.0/libpod/",
        .exit_code = "containerExitCode",
};

/* clang-format off */
static const struct meaning {
        const char *action;      /* of the runtime; up to ':' */
        enum fact_type type;
        const char *word;        /* ours, for FACT_ACTION */
        enum workload_state state;
        bool quiet, look;
} meanings[] = {
        { "create",  FACT_ACTION,  "created",   STATE_CREATED, false, true },
        { "start",   FACT_ACTION,  "started",   STATE_RUNNING, false, true },
        { "die",     FACT_EXIT,    NULL,        WORKLOAD_STATE_MAX_, false, false },
        { "died",    FACT_EXIT,    NULL,        WORKLOAD_STATE_MAX_, false, false },
        { "oom",     FACT_OOM,     NULL,        WORKLOAD_STATE_MAX_, false, false },
        { "kill",    FACT_KILL,    NULL,        WORKLOAD_STATE_MAX_, false, false },
        { "pause",   FACT_ACTION,  "paused",    STATE_PAUSED, false, false },
        { "unpause", FACT_ACTION,  "resumed",   STATE_RUNNING, false, false },
        { "rename",  FACT_ACTION,  "renamed",   WORKLOAD_STATE_MAX_, false, false },
        { "update",  FACT_ACTION,  "updated",   WORKLOAD_STATE_MAX_, false, true },
        { "restart", FACT_ACTION,  "restarted", WORKLOAD_STATE_MAX_, true, true },
        { "checkpoint", FACT_ACTION, "checkpointed", WORKLOAD_STATE_MAX_, false, false },
        { "health_status", FACT_ACTION, "health", WORKLOAD_STATE_MAX_, false, false },
        { "destroy", FACT_REMOVED, NULL,        WORKLOAD_STATE_MAX_, false, false },
        { "remove",  FACT_REMOVED, NULL,        WORKLOAD_STATE_MAX_, false, false },
};
/* clang-format on */

static const struct meaning could_not_start = {
        .action = "disconnect", .type = FACT_EXIT, .state = WORKLOAD_STATE_MAX_
};

static const struct meaning *find_meaning(const char *action) {
        size_t n = strcspn(action, ":");

        for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
                if (strlen(meanings[i].action) == n && memcmp(meanings[i].action, action, n) == 0)
                        return &meanings[i];
        return NULL;
}

void docker_fact_done(struct docker_fact *fact) {
        (void) json_object_put(fact->object);
        (void) json_object_put(fact->labels);
        (void) json_object_put(fact->details);
        (void) json_object_put(fact->addresses);
        *fact = (struct docker_fact){};
}

static int number_of(struct json_object *attributes, const char *name, int otherwise) {
        const char *text = json_get_string(attributes, name);
        int64_t value;

        if (!text || text_to_i64(text, &value) < 0 || value < -1 || value > 255)
                return otherwise;
        return (int) value;
}

/* docker gives a number, or a name where the caller gave one. */
static int signal_of(struct json_object *attributes) {
        const char *text = json_get_string(attributes, "signal");
        uint64_t value;

        if (!text)
                return 0;
        if (text_to_u64(text, &value) >= 0)
                return value <= (uint64_t) SIGRTMAX ? (int) value : 0;
        if (text_starts_with(text, "SIG"))
                text += 3;
        for (int i = 1; i < NSIG; i++)
                if (sigabbrev_np(i) && strcmp(sigabbrev_np(i), text) == 0)
                        return i;
        return 0;
}

static int set_health(struct docker_fact *out, struct json_object *object, const char *action) {
        const char *colon = strchr(action, ':'), *health;

        health = colon ? colon + 1 + strspn(colon + 1, " ")
                       : json_get_string(object, "HealthStatus");
        if (!health || strcmp(health, "starting") == 0)
                return 0;
        out->fact.action = strcmp(health, "healthy") == 0  ? "healthy"
                        : strcmp(health, "unhealthy") == 0 ? "unhealthy"
                                                           : NULL;
        if (strcmp(health, "unhealthy") == 0)
                out->fact.severity = SEVERITY_WARNING;
        return out->fact.action ? 1 : 0;
}

/* An event's attributes are the container's labels and a few names of the event's own. */
static struct json_object *labels_of(struct json_object *attributes) {
        static const char *const own[] = { "image", "name", "exitCode", "execDuration", "execID",
                "signal", "oldName", "containerExitCode", "podId", "comment" };
        struct json_object *labels;

        if (!json_object_is_type(attributes, json_type_object))
                return NULL;
        labels = json_object_new_object();
        if (!labels)
                return NULL;
        json_object_object_foreach(attributes, name, value) {
                bool is_own = !json_object_is_type(value, json_type_string);

                for (size_t i = 0; !is_own && i < ARRAY_SIZE(own); i++)
                        is_own = strcmp(own[i], name) == 0;
                if (!is_own)
                        (void) json_add(labels, name, json_object_get(value));
        }
        return labels;
}

/* Attributes where the engine has none of that name are labels, which stand for it in other events.
 */
static unsigned int forged_by(const struct docker_flavour *flavour, const struct meaning *meaning,
                struct json_object *attributes) {
        unsigned int forged = 0;

        if (flavour->labels_win && meaning->type != FACT_EXIT && json_get(attributes, "exitCode"))
                forged |= DOCKER_FORGES_CODE;
        if (flavour->labels_win && meaning->type != FACT_KILL && json_get(attributes, "signal"))
                forged |= DOCKER_FORGES_SIGNAL;
        return forged;
}

static int fill(const struct docker_flavour *flavour, const struct meaning *meaning,
                const char *action, struct docker_fact *out) {
        struct json_object *attributes = json_get(out->object, "Actor/Attributes");
        struct fact *fact = &out->fact;

        fact->action = meaning->word;
        fact->quiet = meaning->quiet;
        fact->workload.state = meaning->state;
        fact->workload.name = json_get_string(attributes, "name");
        fact->workload.image = json_get_string(attributes, "image");
        fact->workload.job = json_get_string(attributes, "com.docker.compose.service");
        out->labels = labels_of(attributes);
        fact->workload.labels = out->labels;
        out->look = meaning->look;
        out->created = strcmp(meaning->action, "create") == 0;
        out->forged = forged_by(flavour, meaning, attributes);
        if (meaning->type == FACT_EXIT) {
                fact->how = EXIT_PROCESS;
                fact->code = number_of(attributes, flavour->exit_code,
                                number_of(attributes, "exitCode", -1));
                fact->runtime_tells = flavour->runtime_tells;
        } else if (meaning->type == FACT_KILL) {
                fact->kill_signal = flavour->labels_win ? signal_of(attributes) : 0;
        } else if (meaning->type == FACT_OOM) {
                fact->oom_source = OOM_FROM_RUNTIME;
        } else if (meaning->word && strcmp(meaning->word, "health") == 0) {
                return set_health(out, out->object, action);
        }
        return 1;
}

/* {"Type":"network","Action":"connect"} is the first that docker tells of a start, "disconnect" the
 * last of a container that it could not start, before it is removed if its caller wished so (docker
 * run --rm). Return: its id; NULL: it is something else. */
static const char *network_id(struct json_object *object, const char *type, const char *action,
                bool *ret_let_go) {
        *ret_let_go = strcmp(action, "disconnect") == 0;
        return strcmp(type, "network") == 0 && (*ret_let_go || strcmp(action, "connect") == 0)
                        ? json_get_string(object, "Actor/Attributes/container")
                        : NULL;
}

int docker_event_parse(const struct docker_flavour *flavour, const char *line, size_t size,
                struct docker_fact *ret_fact) {
        struct docker_fact out = { .fact = FACT_INIT(FACT_ACTION) };
        const char *action, *type, *id, *on_network;
        const struct meaning *meaning;
        bool let_go;
        int64_t nano;
        int r;

        r = json_parse(line, size, &out.object);
        if (r < 0)
                return r == -ENOMEM ? r : -EINVAL;

        type = json_get_string(out.object, "Type");
        action = json_get_string(out.object, "Action");
        id = json_get_string(out.object, "Actor/ID");
        nano = json_get_int(out.object, "timeNano", -1);
        if (!type || !action || !id || nano < 0) {
                docker_fact_done(&out);
                return -EINVAL;
        }
        meaning = strcmp(type, "container") == 0 ? find_meaning(action) : NULL;
        on_network = network_id(out.object, type, action, &let_go);
        if (on_network) {
                id = on_network;
                meaning = &could_not_start;
                out.let_go = let_go;
                out.taken_in = !let_go;
        }
        if (!meaning || !id[0]) {
                docker_fact_done(&out);
                return 0;
        }

        out.time_nano = (uint64_t) nano;
        out.fact.type = meaning->type;
        out.fact.time_us = (uint64_t) nano / NSEC_PER_USEC;
        out.fact.workload.kind = WORKLOAD_CONTAINER;
        out.fact.workload.native_id = id;
        out.fact.workload.runtime = flavour->runtime;
        (void) snprintf(out.origin, sizeof(out.origin), "%ju/%s/%s", (uintmax_t) nano, id, action);
        (void) snprintf(out.cursor, sizeof(out.cursor), "%ju", (uintmax_t) nano);
        r = on_network ? 1 : fill(flavour, meaning, action, &out);
        if (out.let_go)
                out.fact.how = EXIT_START_FAILED;
        if (r <= 0)
                docker_fact_done(&out);
        else
                *ret_fact = out;
        return r; /* origin and cursor are pointed at by the caller, once the struct has its place
                   */
}
