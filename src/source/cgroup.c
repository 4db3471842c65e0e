/* The oom_kill counters of running workloads: v1 memory.oom_control, v2 memory.events. Read when a
 * workload starts and when it ends, while the file is still open; a rise between is evidence. No
 * RPC, no wait: the kernel answers from memory. */

#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "source/source.h"

#define WATCHES_MAX 20000

struct watch {
        int fd;
        uint64_t oom_kill, oom_group_kill;
        char *cgroup;
};

struct cgroup_source {
        struct source source;
        struct map *watches; /* by workload id */
        const char *mount;   /* where the memory controller is; NULL: nowhere */
        const char *file;
};

static struct cgroup_source *cgroup_of(struct source *source) {
        return CONTAINER_OF(source, struct cgroup_source, source);
}

static struct watch *watch_free(struct watch *watch) {
        (void) fd_close(watch->fd);
        free(watch->cgroup);
        free(watch);
        return NULL;
}

static uint64_t counter(const char *text, const char *name) {
        size_t n = strlen(name);
        uint64_t value = 0;

        for (const char *line = text; line;
                        line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
                if (strncmp(line, name, n) != 0 || line[n] != ' ')
                        continue;
                for (const char *c = line + n + 1; *c >= '0' && *c <= '9'; c++)
                        value = value * 10 + (uint64_t) (*c - '0');
                break;
        }
        return value;
}

static int read_counters(int fd, uint64_t *ret_oom_kill, uint64_t *ret_group_kill) {
        char text[1024];
        ssize_t n;

        n = pread(fd, text, sizeof(text) - 1, 0);
        if (n < 0)
                return -errno; /* ENODEV: the cgroup is gone */
        text[n] = '\0';
        *ret_oom_kill = counter(text, "oom_kill");
        *ret_group_kill = counter(text, "oom_group_kill");
        return 0;
}

static void cgroup_watch(struct source *source, const struct workload *workload) {
        struct cgroup_source *cgroup = cgroup_of(source);
        _cleanup_(freep) char *path = NULL;
        struct watch *watch;
        int r;

        if (!cgroup->mount || !workload->cgroup[0])
                return;
        watch = map_get(cgroup->watches, workload->id);
        if (watch && strcmp(watch->cgroup, workload->cgroup) == 0)
                return;
        if (watch) {
                (void) map_remove(cgroup->watches, workload->id);
                watch_free(watch);
        }
        if (map_size(cgroup->watches) >= WATCHES_MAX) {
                source->stats.dropped++;
                return;
        }
        if (strstr(workload->cgroup, "/../") ||
                        asprintf(&path, "%s%s/%s", cgroup->mount, workload->cgroup, cgroup->file) <
                                        0)
                return;

        watch = calloc(1, sizeof(*watch));
        if (!watch)
                return;
        watch->cgroup = strdup(workload->cgroup);
        watch->fd = open(path, O_RDONLY | O_CLOEXEC);
        r = watch->fd < 0 ? -errno
                          : read_counters(watch->fd, &watch->oom_kill, &watch->oom_group_kill);
        if (r >= 0 && watch->cgroup)
                r = map_put(cgroup->watches, workload->id, watch);
        if (r < 0 || !watch->cgroup) {
                log_debug_errno(r, "Cannot watch %s: %m", path); /* ended already */
                watch_free(watch);
        }
}

static void cgroup_unwatch(struct source *source, const struct workload *workload) {
        struct cgroup_source *cgroup = cgroup_of(source);
        struct fact fact = FACT_INIT(FACT_OOM);
        uint64_t oom_kill = 0, oom_group_kill = 0;
        struct watch *watch;

        watch = map_remove(cgroup->watches, workload->id);
        if (!watch)
                return;
        if (read_counters(watch->fd, &oom_kill, &oom_group_kill) >= 0 &&
                        (oom_kill > watch->oom_kill || oom_group_kill > watch->oom_group_kill)) {
                source->stats.raw_events++;
                fact.oom_source = OOM_FROM_CGROUP;
                fact.workload.native_id = workload->id;
                fact.oom_kill_rise = oom_kill - watch->oom_kill;
                fact.oom_group_kill_rise = oom_group_kill - watch->oom_group_kill;
                source_post(source, &fact);
        }
        watch_free(watch);
}

static int cgroup_start(struct source *source) {
        static const struct {
                const char *mount, *probe, *file;
        } places[] = {
                { "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/memory.oom_control",
                                "memory.oom_control" },
                { "/sys/fs/cgroup", "/sys/fs/cgroup/cgroup.controllers", "memory.events" },
        };
        struct cgroup_source *cgroup = cgroup_of(source);
        struct fact fact = FACT_INIT(FACT_READABLE);

        for (size_t i = 0; !cgroup->mount && i < ARRAY_SIZE(places); i++) {
                if (access(places[i].probe, R_OK) >= 0) {
                        cgroup->mount = places[i].mount;
                        cgroup->file = places[i].file;
                }
        }
        fact.oom_source = OOM_FROM_CGROUP;
        fact.oom_readable = cgroup->mount;
        source_post(source, &fact);
        source_post_state(source, cgroup->mount ? SOURCE_UP : SOURCE_DOWN,
                        cgroup->mount ? NULL : "no memory controller is mounted");
        return 0;
}

static void cgroup_stop(struct source *source) {
        struct cgroup_source *cgroup = cgroup_of(source);
        struct watch *watch;

        map_for_each(watch, cgroup->watches)
                watch_free(watch);
        cgroup->watches = map_free(cgroup->watches);
        (void) map_new(&cgroup->watches);
}

static void cgroup_free(struct source *source) {
        struct cgroup_source *cgroup = cgroup_of(source);

        if (cgroup->watches) {
                cgroup_stop(source);
                map_free(cgroup->watches);
        }
        source_done(source);
        free(cgroup);
}

static int cgroup_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        struct cgroup_source *cgroup;
        int r;

        cgroup = calloc(1, sizeof(*cgroup));
        if (!cgroup)
                return -ENOMEM;

        r = source_init(&cgroup->source, &cgroup_source_ops, config, env);
        if (r >= 0)
                r = map_new(&cgroup->watches);
        if (r < 0) {
                cgroup_free(&cgroup->source);
                return r;
        }
        *ret_source = &cgroup->source;
        return 0;
}

const struct source_ops cgroup_source_ops = {
        .name = "cgroup",
        .create = cgroup_create,
        .start = cgroup_start,
        .stop = cgroup_stop,
        .free = cgroup_free,
        .watch = cgroup_watch,
        .unwatch = cgroup_unwatch,
};
