/* systemd-oomd's kills, by the Killed signal it has sent since systemd 252: evidence, no workload
 * of its own. A host without systemd-oomd has none of them, which its absence tells. */

#include <string.h>

#include "base/clock.h"
#include "source/bus_link.h"

#define OOMD_INTERFACE "org.freedesktop.oom1.Manager"

struct oomd_source {
        struct source source;
        struct bus_link link;
};

static struct oomd_source *oomd_of(struct source *source) {
        return CONTAINER_OF(source, struct oomd_source, source);
}

static int on_killed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct bus_link *link = userdata;
        struct fact fact = FACT_INIT(FACT_OOM);
        const char *cgroup, *reason;

        if (!bus_link_is_peer(link, message))
                return 0;
        link->source->stats.raw_events++;
        if (sd_bus_message_read(message, "ss", &cgroup, &reason) < 0 || cgroup[0] != '/') {
                source_malformed(link->source, "Unreadable signal", "Killed", strlen("Killed"));
                return 0;
        }
        fact.time_us = clock_realtime_us();
        fact.oom_source = OOM_FROM_OOMD;
        fact.oom_cgroup = cgroup;
        fact.oomd_reason = reason;
        source_post(link->source, &fact);
        return 0;
}

static int oomd_on_peer(struct bus_link *link) {
        bus_link_up(link); /* there is nothing to list */
        return 0;
}

static void oomd_on_gone(struct bus_link *link) {
}

static const struct bus_link_match oomd_matches[] = {
        { "type='signal',sender='org.freedesktop.oom1',path='/org/freedesktop/oom1',interface='" OOMD_INTERFACE
          "',member='Killed'",
                        on_killed },
        {},
};

static const struct bus_link_ops oomd_link_ops = {
        .peer = "org.freedesktop.oom1",
        .matches = oomd_matches,
        .on_peer = oomd_on_peer,
        .on_gone = oomd_on_gone,
};

static int oomd_start(struct source *source) {
        bus_link_start(&oomd_of(source)->link);
        return 0;
}

static void oomd_stop(struct source *source) {
        bus_link_stop(&oomd_of(source)->link);
}

static void oomd_free(struct source *source) {
        struct oomd_source *oomd = oomd_of(source);

        if (oomd->link.ops)
                bus_link_done(&oomd->link);
        source_done(source);
        free(oomd);
}

static int oomd_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        struct oomd_source *oomd;
        int r;

        oomd = calloc(1, sizeof(*oomd));
        if (!oomd)
                return -ENOMEM;

        r = source_init(&oomd->source, &oomd_source_ops, config, env);
        if (r >= 0)
                r = bus_link_init(&oomd->link, &oomd->source, config->address, &oomd_link_ops);
        if (r < 0) {
                oomd_free(&oomd->source);
                return r;
        }
        *ret_source = &oomd->source;
        return 0;
}

const struct source_ops oomd_source_ops = { .name = "oomd",
        .create = oomd_create,
        .start = oomd_start,
        .stop = oomd_stop,
        .free = oomd_free };
