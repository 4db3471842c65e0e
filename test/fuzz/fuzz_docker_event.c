/* A line of an engine, as an event and as an inspect answer: a fact of ours has an id and a time,
 * or there is none. */

#include "source/docker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const struct docker_flavour *const flavours[] = { &docker_flavour, &podman_flavour };

        if (size > 65536)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(flavours); i++) {
                struct docker_fact fact;

                if (docker_event_parse(flavours[i], (const char *) data, size, &fact) == 1) {
                        assert(fact.fact.workload.native_id && fact.origin[0] && fact.cursor[0]);
                        assert(fact.fact.type != FACT_ACTION || fact.fact.action);
                        docker_fact_done(&fact);
                }
                if (docker_inspect_parse(flavours[i], (const char *) data, size, &fact) == 0) {
                        assert(fact.fact.workload.native_id &&
                                        fact.fact.workload.state < WORKLOAD_STATE_MAX_);
                        docker_fact_done(&fact);
                }
        }
        return 0;
}
