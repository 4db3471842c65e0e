/* Deep copies of facts: for exits that wait, and for threads. */

#include "model/fact.h"

#include <string.h>

/* Every text of a fact, so that copy and free cannot forget one. */
/* clang-format off */
#define FACT_TEXTS(X)                                                                 \
        X(origin) X(cursor) X(action) X(message) X(oom_cgroup) X(task_cgroup)         \
        X(oom_comm) X(oomd_reason) X(error) X(workload.native_id) X(workload.name)    \
        X(workload.uuid) X(workload.runtime) X(workload.image) X(workload.uri)        \
        X(workload.cgroup) X(workload.job) X(workload.state_reason)                   \
        X(workload.lifecycle_event) X(workload.lifecycle_detail)
/* clang-format on */

struct fact *fact_free(struct fact *fact) {
        if (!fact)
                return NULL;

#define FREE(field) free((void *) (uintptr_t) fact->field);
        FACT_TEXTS(FREE)
#undef FREE
        (void) json_object_put(fact->details);
        (void) json_object_put(fact->workload.labels);
        (void) json_object_put(fact->workload.addresses);
        free(fact);
        return NULL;
}

/* NOLINTNEXTLINE(readability-function-cognitive-complexity): a line for each text */
int fact_copy(const struct fact *fact, struct fact **ret_fact) {
        _cleanup_(fact_freep) struct fact *copy = NULL;
        bool failed = false;

        copy = malloc(sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        *copy = *fact;
        copy->details = json_object_get(fact->details);
        copy->workload.labels = json_object_get(fact->workload.labels);
        copy->workload.addresses = json_object_get(fact->workload.addresses);
#define COPY(field)                                             \
        copy->field = fact->field ? strdup(fact->field) : NULL; \
        failed = failed || (fact->field && !copy->field);
        FACT_TEXTS(COPY)
#undef COPY
        if (failed)
                return -ENOMEM;

        *ret_fact = TAKE_PTR(copy);
        return 0;
}
