/* A workload as JSON: for people, and for the store. */

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "model/workload.h"

static int add_time(struct json_object *object, const char *name, uint64_t time_us) {
        char text[CLOCK_RFC3339_MAX];

        return time_us ? json_add_string(object, name, clock_format_rfc3339(time_us, text)) : 0;
}

static const char *or_null(const char *text) {
        return text[0] ? text : NULL;
}

static struct json_object *last_exit_to_json(const struct workload *workload) {
        struct json_object *object;

        if (!workload->last_exit.action[0])
                return NULL;
        object = json_object_new_object();
        if (!object)
                return NULL;
        (void) json_add_string(object, "action", workload->last_exit.action);
        (void) json_object_object_add(object, "code",
                        workload->last_exit.code < 0
                                        ? NULL
                                        : json_object_new_int(workload->last_exit.code));
        (void) json_add_string(object, "reason", workload->last_exit.reason);
        (void) json_add_string(object, "evidence", workload->last_exit.evidence);
        (void) json_add_string(object, "confidence", workload->last_exit.confidence);
        (void) json_add_string(object, "oom_scope", workload->last_exit.scope);
        (void) add_time(object, "at", workload->last_exit.time_us);
        return object;
}

static struct json_object *lifecycle_to_json(const struct workload *workload) {
        struct json_object *object;

        if (!workload->lifecycle_event[0])
                return NULL;
        object = json_object_new_object();
        if (!object)
                return NULL;
        (void) json_add_string(object, "event", workload->lifecycle_event);
        (void) json_add_string(object, "detail", workload->lifecycle_detail);
        return object;
}

static struct json_object *addresses_to_json(const struct workload *workload) {
        struct json_object *array;

        if (!workload->n_addresses)
                return NULL;
        array = json_object_new_array();
        for (size_t i = 0; array && i < workload->n_addresses; i++)
                (void) json_object_array_add(array, json_object_new_string(workload->addresses[i]));
        return array;
}

struct json_object *workload_to_json(const struct workload *workload) {
        struct json_object *object = json_object_new_object();

        if (!object)
                return NULL;
        (void) json_add_string(object, "id", workload->id);
        (void) json_add_string(object, "name", workload->name);
        (void) json_add_string(object, "kind", workload_kind_to_string(workload->kind));
        (void) json_add_string(object, "runtime", workload->runtime);
        (void) json_add_string(object, "source", workload->source);
        (void) json_add_string(object, "state", workload_state_to_string(workload->state));
        (void) json_add_string(object, "state_reason", workload->state_reason);
        (void) add_time(object, "since", workload->since_us);
        (void) add_time(object, "started", workload->started_us);
        (void) json_add_string(object, "uuid", or_null(workload->uuid));
        (void) json_add_string(object, "image", or_null(workload->image));
        (void) json_add_string(object, "job", or_null(workload->job));
        (void) json_add_string(object, "cgroup", or_null(workload->cgroup));
        if (workload->pid)
                (void) json_add_uint(object, "pid", workload->pid);
        (void) json_add_int(object, "restarts", workload->restarts);
        (void) json_add_uint(object, "oom_kills", workload->oom_kills);
        (void) json_add(object, "labels", json_object_get(workload->labels));
        (void) json_add(object, "addresses", addresses_to_json(workload));
        (void) json_add(object, "last_lifecycle", lifecycle_to_json(workload));
        (void) json_object_object_add(object, "last_exit", last_exit_to_json(workload));
        return object;
}

struct json_object *workload_freeze(const struct workload *workload) {
        struct json_object *object = workload_to_json(workload);

        if (!object)
                return NULL;
        (void) json_add_string(object, "native_id", workload->native_id);
        (void) json_add_string(
                        object, "last_known", workload_state_to_string(workload->last_known));
        (void) json_add_string(object, "uri", workload->uri);
        (void) json_add_int(object, "domain_id", workload->domain_id);
        (void) json_add_uint(object, "created_us", workload->created_us);
        (void) json_add_uint(object, "started_us", workload->started_us);
        (void) json_add_uint(object, "finished_us", workload->finished_us);
        (void) json_add_uint(object, "since_us", workload->since_us);
        (void) json_add_uint(object, "exit_us", workload->last_exit.time_us);
        (void) json_add_bool(object, "transient", workload->transient);
        return object;
}

static uint64_t get_u64(struct json_object *object, const char *name) {
        int64_t value = json_get_int(object, name, 0);

        return value > 0 ? (uint64_t) value : 0;
}

static void thaw_exit(struct workload *workload, struct json_object *frozen) {
        static const char *const names[] = { "last_exit/action", "last_exit/reason",
                "last_exit/evidence", "last_exit/confidence", "last_exit/oom_scope" };
        char *const fields[] = { workload->last_exit.action, workload->last_exit.reason,
                workload->last_exit.evidence, workload->last_exit.confidence,
                workload->last_exit.scope };
        const size_t sizes[] = { sizeof(workload->last_exit.action),
                sizeof(workload->last_exit.reason), sizeof(workload->last_exit.evidence),
                sizeof(workload->last_exit.confidence), sizeof(workload->last_exit.scope) };
        const char *text;

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                text = json_get_string(frozen, names[i]);
                (void) snprintf(fields[i], sizes[i], "%s", text ? text : "");
        }
        workload->last_exit.code = (int) json_get_int(frozen, "last_exit/code", -1);
        workload->last_exit.time_us = get_u64(frozen, "exit_us");
}

/* "NATIVE@SOURCE" stays so, though the workload that had the native id as its own is gone. */
static int thaw_id(struct inventory *inventory, struct workload *workload, const char *id) {
        return !id || strcmp(id, workload->id) == 0 ? 0 : inventory_rename(inventory, workload, id);
}

int inventory_thaw(struct inventory *inventory, struct json_object *frozen,
                struct workload **ret_workload) {
        struct workload_info info = WORKLOAD_INFO_INIT;
        const char *source = json_get_string(frozen, "source"), *text;
        struct workload *workload;
        int kind, last_known, r;

        text = json_get_string(frozen, "kind");
        kind = text ? workload_kind_from_string(text) : -EINVAL;
        text = json_get_string(frozen, "last_known");
        last_known = text ? workload_state_from_string(text) : -EINVAL;
        info.native_id = json_get_string(frozen, "native_id");
        if (kind < 0 || last_known < 0 || !source || !info.native_id)
                return -EINVAL;

        info.kind = (enum workload_kind) kind;
        info.name = json_get_string(frozen, "name");
        info.uuid = json_get_string(frozen, "uuid");
        info.runtime = json_get_string(frozen, "runtime");
        info.image = json_get_string(frozen, "image");
        info.uri = json_get_string(frozen, "uri");
        info.cgroup = json_get_string(frozen, "cgroup");
        info.job = json_get_string(frozen, "job");
        info.labels = json_get(frozen, "labels");
        info.addresses = json_get(frozen, "addresses");
        info.lifecycle_event = json_get_string(frozen, "last_lifecycle/event");
        info.lifecycle_detail = json_get_string(frozen, "last_lifecycle/detail");
        info.domain_id = (int) json_get_int(frozen, "domain_id", -1);
        info.pid = (uint32_t) get_u64(frozen, "pid");
        info.created_us = get_u64(frozen, "created_us");
        info.started_us = get_u64(frozen, "started_us");
        info.finished_us = get_u64(frozen, "finished_us");
        info.restarts = json_get_int(frozen, "restarts", 0);
        info.transient = json_get_bool(frozen, "transient", false);
        r = inventory_update(inventory, source, &info, &workload);
        if (r < 0)
                return r;
        if (r == 0)
                return -EEXIST;
        r = thaw_id(inventory, workload, json_get_string(frozen, "id"));
        if (r < 0) {
                inventory_remove(inventory, workload);
                return r;
        }

        (void) workload_set_state(workload, (enum workload_state) last_known,
                        json_get_string(frozen, "state_reason"), get_u64(frozen, "since_us"));
        workload->since_us = get_u64(frozen, "since_us");
        workload->oom_kills = get_u64(frozen, "oom_kills");
        thaw_exit(workload, frozen);
        *ret_workload = workload;
        return 0;
}
