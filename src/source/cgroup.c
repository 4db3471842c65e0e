/* The oom_kill counters of running workloads: v1 memory.oom_control, v2 memory.events. Read when a
 * workload starts, when the kernel says that one has changed, and when the workload ends, while the
 * file is still open; a rise is evidence. No RPC, no wait: the kernel answers from memory. */

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "loop/timer.h"
#include "source/source.h"

#define WATCHES_MAX 20000
/* v1 tells of the shortage, before the kill is counted: look again until it is. */
#define AGAIN_US  (50 * USEC_PER_MSEC)
#define AGAIN_MAX 20

struct watch {
        struct cgroup_source *cgroup_source;
        char *id;
        int fd;
        uint64_t oom_kill, oom_group_kill;
        char *cgroup;
        int event_fd;              /* v1 */
        sd_event_source *notified; /* NULL: the kernel gives no notice, its end must do */
        sd_event_source *again;    /* v1 */
        unsigned int n_again;
};

struct cgroup_source {
        struct source source;
        struct map *watches; /* by workload id */
        const char *mount;   /* where the memory controller is; NULL: nowhere */
        const char *file;
        bool is_v1;
};

static struct cgroup_source *cgroup_of(struct source *source) {
        return CONTAINER_OF(source, struct cgroup_source, source);
}

static struct watch *watch_free(struct watch *watch) {
        sd_event_source_disable_unref(watch->notified);
        sd_event_source_disable_unref(watch->again);
        (void) fd_close(watch->event_fd);
        (void) fd_close(watch->fd);
        free(watch->id);
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

/* Tell a rise since the last look. Return: whether there was one. */
static bool watch_look(struct watch *watch) {
        struct source *source = &watch->cgroup_source->source;
        struct fact fact = FACT_INIT(FACT_OOM);
        uint64_t oom_kill = 0, oom_group_kill = 0;

        if (read_counters(watch->fd, &oom_kill, &oom_group_kill) < 0 ||
                        (oom_kill <= watch->oom_kill && oom_group_kill <= watch->oom_group_kill))
                return false;
        source->stats.raw_events++;
        fact.oom_source = OOM_FROM_CGROUP;
        fact.workload.native_id = watch->id;
        fact.oom_kill_rise = oom_kill - watch->oom_kill;
        fact.oom_group_kill_rise = oom_group_kill - watch->oom_group_kill;
        watch->oom_kill = oom_kill;
        watch->oom_group_kill = oom_group_kill;
        source_post(source, &fact);
        return true;
}

/* ---- notices ---- */

static void look_again(struct watch *watch) {
        if (!watch->again || watch->n_again++ >= AGAIN_MAX)
                return;
        (void) timer_arm(watch->again, AGAIN_US);
}

static int on_again(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct watch *watch = userdata;

        if (!watch_look(watch))
                look_again(watch);
        return 0;
}

static int on_shortage(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct watch *watch = userdata;
        uint64_t count;

        if (read(fd, &count, sizeof(count)) < 0)
                return 0;
        watch->n_again = 0;
        if (!watch_look(watch))
                look_again(watch);
        return 0;
}

static int on_modified(sd_event_source *source, const struct inotify_event *event, void *userdata) {
        (void) watch_look(userdata);
        return 0;
}

/* v1: an eventfd is bound to the file by writing both descriptors to cgroup.event_control
 * (cgroup-v1/memory.rst, 10. OOM Control). It also fires when the group goes. */
static int notify_v1(struct watch *watch, const char *folder) {
        sd_event *event = watch->cgroup_source->source.env->event;
        _cleanup_(fd_closep) int control = -EBADF;
        _cleanup_(freep) char *path = NULL;
        char text[32];
        int n, r;

        if (asprintf(&path, "%s/cgroup.event_control", folder) < 0)
                return -ENOMEM;
        control = open(path, O_WRONLY | O_CLOEXEC);
        if (control < 0)
                return -errno;
        watch->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (watch->event_fd < 0)
                return -errno;
        n = snprintf(text, sizeof(text), "%d %d", watch->event_fd, watch->fd);
        if (write(control, text, (size_t) n) < 0)
                return -errno;
        r = sd_event_add_io(event, &watch->notified, watch->event_fd, EPOLLIN, on_shortage, watch);
        return r < 0 ? r : timer_new(event, on_again, watch, &watch->again);
}

static int notify_v2(struct watch *watch, const char *path) {
        int r;

        r = sd_event_add_inotify(watch->cgroup_source->source.env->event, &watch->notified, path,
                        IN_MODIFY, on_modified, watch);
        return r < 0 ? r : 0;
}

/* ---- workloads ---- */

static int watch_open(struct watch *watch, const char *folder) {
        struct cgroup_source *cgroup = watch->cgroup_source;
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", folder, cgroup->file) < 0)
                return -ENOMEM;
        watch->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (watch->fd < 0)
                return -errno;
        r = read_counters(watch->fd, &watch->oom_kill, &watch->oom_group_kill);
        if (r < 0)
                return r;
        r = cgroup->is_v1 ? notify_v1(watch, folder) : notify_v2(watch, path);
        if (r < 0)
                log_debug_errno(r, "No notice of OOM kills in %s, its end will tell: %m", folder);
        return 0;
}

static void cgroup_watch(struct source *source, const struct workload *workload) {
        struct cgroup_source *cgroup = cgroup_of(source);
        _cleanup_(freep) char *folder = NULL;
        struct watch *watch;
        int r;

        if (!cgroup->mount || !workload->cgroup[0])
                return;
        watch = map_get(cgroup->watches, workload->id);
        if (watch && strcmp(watch->cgroup, workload->cgroup) == 0)
                return;
        if (watch)
                watch_free(map_remove(cgroup->watches, workload->id));
        if (map_size(cgroup->watches) >= WATCHES_MAX) {
                source->stats.dropped++;
                return;
        }
        if (strstr(workload->cgroup, "/../") ||
                        asprintf(&folder, "%s%s", cgroup->mount, workload->cgroup) < 0)
                return;

        watch = calloc(1, sizeof(*watch));
        if (!watch)
                return;
        watch->cgroup_source = cgroup;
        watch->fd = watch->event_fd = -EBADF;
        watch->id = strdup(workload->id);
        watch->cgroup = strdup(workload->cgroup);
        r = watch->id && watch->cgroup ? watch_open(watch, folder) : -ENOMEM;
        if (r >= 0)
                r = map_put(cgroup->watches, workload->id, watch);
        if (r < 0) {
                log_debug_errno(r, "Cannot watch %s: %m", folder); /* ended already */
                watch_free(watch);
        }
}

static void cgroup_unwatch(struct source *source, const struct workload *workload) {
        struct watch *watch = map_remove(cgroup_of(source)->watches, workload->id);

        if (!watch)
                return;
        (void) watch_look(watch);
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
                        cgroup->is_v1 = i == 0;
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
