/* What there is now: the namespaces, and for each its tasks, then its containers, joined by id. A
 * container is no more than a record; whether it runs, and how it ended, is its task's to say, and
 * a task that was deleted says nothing. What an event has told since the listing began is newer
 * than an answer, so of that container only its name and labels are taken. */

#include <string.h>
#include <sys/stat.h>

#include "loop/timer.h"
#include "source/containerd.pb-c.h"
#include "source/containerd_link.h"
#include "source/proc.h"

#define NAMESPACES_MAX   1024
#define ANSWER_MAX_BYTES (64U << 20)
#define RECORD_MAX_BYTES (16U << 20)
#define SETTLE_US        (250 * USEC_PER_MSEC)

struct task {
        Containerd__Status status;
        uint32_t pid, exit_status;
        uint64_t exited_us;
};

/* One container, as it was when it was asked for. */
struct answer {
        struct list list;
        struct known *known; /* not freed while a listing runs */
        struct containerd_record record;
        struct task task;
        bool has_task;
};

static void answer_free(struct answer *answer) {
        list_remove(&answer->list);
        containerd_record_done(&answer->record);
        free(answer);
}

static void forget_tasks(struct containerd_listing *listing) {
        struct task *task;

        if (listing->tasks)
                map_for_each(task, listing->tasks)
                        free(task);
        listing->tasks = map_free(listing->tasks);
}

void containerd_listing_stop(struct containerd_source *containerd) {
        struct containerd_listing *listing = &containerd->listing;
        struct answer *answer;

        listing->call = grpc_call_cancel(listing->call);
        forget_tasks(listing);
        while ((answer = list_first(&listing->answers, struct answer, list)))
                answer_free(answer);
        for (size_t i = 0; i < listing->n_namespaces; i++)
                free(listing->namespaces[i]);
        free(TAKE_PTR(listing->namespaces));
        listing->n_namespaces = listing->next = 0;
        listing->running = false;
        timer_off(listing->settled);
}

/* ---- one container ---- */

/* When its process was made: containerd's shim writes init.pid then, by the clock that events are
 * dated with. Without that file, what the kernel says of one that is alive. */
static uint64_t task_start_us(const struct known *known, const struct task *task) {
        char path[4096];
        struct stat st;
        uint64_t time_us = 0;

        if ((size_t) snprintf(path, sizeof(path), "%s/%s/init.pid", known->containerd->bundles,
                            known->native_id) < sizeof(path) &&
                        stat(path, &st) >= 0)
                return containerd_time_us(st.st_mtim.tv_sec, (int32_t) st.st_mtim.tv_nsec);
        if (task->status != CONTAINERD__STATUS__STOPPED)
                (void) proc_start_us(task->pid, &time_us);
        return time_us;
}

static void info_of_task(const struct known *known, const struct task *task,
                struct workload_info *info, char *cgroup, size_t cgroup_size) {
        if (task->status == CONTAINERD__STATUS__CREATED)
                info->state = STATE_CREATED;
        else {
                info->started_us = known->pid == task->pid && known->started_us
                                ? known->started_us
                                : task_start_us(known, task);
        }

        if (task->status == CONTAINERD__STATUS__STOPPED) {
                info->state = task->exit_status == 0 ? STATE_STOPPED : STATE_FAILED;
                info->state_reason = "exited";
                info->how = EXIT_PROCESS;
                info->exit_code = task->exit_status <= 255 ? (int) task->exit_status : -1;
                info->finished_us = task->exited_us;
                return;
        }
        if (task->status != CONTAINERD__STATUS__CREATED)
                info->state = task->status == CONTAINERD__STATUS__RUNNING ? STATE_RUNNING
                                                                          : STATE_PAUSED;
        info->pid = task->pid;
        if (proc_memory_cgroup(task->pid, cgroup, cgroup_size) >= 0)
                info->cgroup = cgroup;
}

static void know_task(struct known *known, const struct task *task, uint64_t started_us) {
        known->pid = task->pid;
        known->started = task->status != CONTAINERD__STATUS__CREATED;
        known->ended = task->status == CONTAINERD__STATUS__STOPPED;
        known->started_us = started_us;
        known->fresh = known->fresh && !known->started;
}

static void answer_post(struct containerd_source *containerd, const struct answer *answer) {
        const struct task *task = answer->has_task ? &answer->task : NULL;
        struct fact fact = FACT_INIT(FACT_WORKLOAD);
        struct known *known = answer->known;
        char cgroup[512];

        known->seen = containerd->listing.number;
        known_release(known);
        if (known->gone)
                return;

        fact.workload.kind = WORKLOAD_CONTAINER;
        fact.workload.runtime = "containerd";
        fact.workload.native_id = known->native_id;
        containerd_info_of_record(&answer->record, &fact.workload);
        known->named = true;
        if (known->touched > containerd->listing.since) {
                fact.quiet = true; /* an event was faster */
        } else if (!task) {
                fact.workload.state = known->fresh ? STATE_CREATED : STATE_STOPPED;
                fact.workload.state_reason = "no-task";
                fact.workload.how = EXIT_VANISHED; /* of a life that was believed in */
                known->pid = 0;
                known->started = known->ended = false;
        } else if (task->status != CONTAINERD__STATUS__UNKNOWN) {
                info_of_task(known, task, &fact.workload, cgroup, sizeof(cgroup));
                know_task(known, task, fact.workload.started_us);
        }
        source_post(&containerd->source, &fact);
}

static int answer_take(struct containerd_source *containerd, struct answer *answer) {
        const struct containerd_listing *listing = &containerd->listing;
        char native_id[CONTAINERD_NATIVE_MAX];
        const struct task *task;
        int r;

        (void) snprintf(native_id, sizeof(native_id), "%s/%s", listing->namespaces[listing->next],
                        answer->record.id);
        r = known_get(containerd, native_id, &answer->known);
        if (r < 0)
                return r;
        task = map_get(listing->tasks, answer->record.id);
        answer->has_task = task;
        if (task)
                answer->task = *task;
        return 0;
}

static int container_message(const void *message, size_t size, bool too_long, void *userdata) {
        struct containerd_source *containerd = userdata;
        struct answer *answer;
        int r;

        if (too_long)
                return -EMSGSIZE;
        answer = calloc(1, sizeof(*answer));
        if (!answer)
                return -ENOMEM;
        list_init(&answer->list);
        r = containerd_record_parse(message, size, &answer->record);
        if (r == -EINVAL)
                source_malformed(&containerd->source, "Unreadable container", message, size);
        if (r >= 0) {
                r = answer_take(containerd, answer);
                containerd->source.stats.dropped += r == -ENOSPC;
        }
        if (r >= 0)
                list_append(&containerd->listing.answers, &answer->list);
        else
                answer_free(answer);
        return r == -ENOMEM ? r : 0;
}

/* ---- one namespace after the other ---- */

static void list_next(struct containerd_source *containerd);

static void containers_end(int error, const char *why, void *userdata) {
        struct containerd_source *containerd = userdata;

        containerd->listing.call = NULL;
        if (error < 0) {
                containerd_lost(containerd, "cannot list containers", error, why);
                return;
        }
        forget_tasks(&containerd->listing);
        containerd->listing.next++;
        list_next(containerd);
}

static int task_take(struct containerd_listing *listing, const Containerd__Process *process) {
        const char *id = process->container_id[0] ? process->container_id : process->id;
        struct task *task;
        int r;

        if (map_get(listing->tasks, id))
                return 0;
        task = calloc(1, sizeof(*task));
        if (!task)
                return -ENOMEM;
        task->status = process->status;
        task->pid = process->pid;
        task->exit_status = process->exit_status;
        if (process->exited_at)
                task->exited_us = containerd_time_us(
                                process->exited_at->seconds, process->exited_at->nanos);
        r = map_put(listing->tasks, id, task);
        if (r < 0)
                free(task);
        return r;
}

static int tasks_message(const void *message, size_t size, bool too_long, void *userdata) {
        struct containerd_source *containerd = userdata;
        Containerd__ListTasksResponse *tasks;
        int r = 0;

        if (too_long)
                return -EMSGSIZE;
        tasks = containerd__list_tasks_response__unpack(NULL, size, message);
        if (!tasks)
                return -EBADMSG;
        for (size_t i = 0; i < tasks->n_tasks && r >= 0; i++)
                r = task_take(&containerd->listing, tasks->tasks[i]);
        containerd__list_tasks_response__free_unpacked(tasks, NULL);
        return r;
}

static void tasks_end(int error, const char *why, void *userdata) {
        struct containerd_source *containerd = userdata;
        struct containerd_listing *listing = &containerd->listing;
        int r;

        listing->call = NULL;
        if (error < 0) {
                containerd_lost(containerd, "cannot list tasks", error, why);
                return;
        }
        r = containerd_call(containerd,
                        &(struct grpc_request){
                                        .method = "containerd.services.containers.v1.Containers/ListStream",
                                        .timeout_us = CONTAINERD_CALL_TIMEOUT_US,
                                        .message_max = RECORD_MAX_BYTES,
                                        .on_message = container_message,
                                        .on_end = containers_end,
                                        .userdata = containerd,
                        },
                        listing->namespaces[listing->next], &listing->call);
        if (r < 0)
                containerd_lost(containerd, "cannot list containers", r, "");
}

static int on_settled(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct containerd_source *containerd = userdata;
        struct fact end = FACT_INIT(FACT_LISTING_END);
        struct answer *answer;

        list_for_each(answer, &containerd->listing.answers, list)
                answer_post(containerd, answer);
        containerd_listing_stop(containerd);
        known_sweep(containerd);
        source_post(&containerd->source, &end);
        containerd_listed(containerd);
        return 0;
}

int containerd_listing_init(struct containerd_source *containerd) {
        list_init(&containerd->listing.answers);
        return timer_new(containerd->source.env->event, on_settled, containerd,
                        &containerd->listing.settled);
}

void containerd_listing_done(struct containerd_source *containerd) {
        sd_event_source_disable_unref(containerd->listing.settled);
}

static void list_next(struct containerd_source *containerd) {
        struct containerd_listing *listing = &containerd->listing;
        int r;

        if (listing->next == listing->n_namespaces) {
                /* The event of what the answers show may be on its way: it tells more, and what it
                 * tells is not made up. */
                (void) timer_arm(listing->settled, SETTLE_US);
                return;
        }
        r = map_new(&listing->tasks);
        if (r >= 0) {
                r = containerd_call(containerd,
                                &(struct grpc_request){
                                                .method = "containerd.services.tasks.v1.Tasks/List",
                                                .unary = true,
                                                .timeout_us = CONTAINERD_CALL_TIMEOUT_US,
                                                .message_max = ANSWER_MAX_BYTES,
                                                .on_message = tasks_message,
                                                .on_end = tasks_end,
                                                .userdata = containerd,
                                },
                                listing->namespaces[listing->next], &listing->call);
        }
        if (r < 0)
                containerd_lost(containerd, "cannot list tasks", r, "");
}

/* ---- the namespaces ---- */

static int namespaces_take(struct containerd_source *containerd,
                const Containerd__ListNamespacesResponse *list) {
        struct containerd_listing *listing = &containerd->listing;

        if (listing->namespaces || list->n_namespaces > NAMESPACES_MAX)
                return -EBADMSG;
        listing->namespaces = calloc(list->n_namespaces + 1, sizeof(char *));
        if (!listing->namespaces)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_namespaces; i++) {
                const char *name = list->namespaces[i]->name;

                if (!containerd_name_is_valid(name)) {
                        source_malformed(&containerd->source, "Unreadable namespace", name,
                                        strlen(name));
                        continue;
                }
                if (!containerd_namespace_is_wanted(
                                    (const char *const *) containerd->patterns, name))
                        continue;
                listing->namespaces[listing->n_namespaces] = strdup(name);
                if (!listing->namespaces[listing->n_namespaces])
                        return -ENOMEM;
                listing->n_namespaces++;
        }
        return 0;
}

static int namespaces_message(const void *message, size_t size, bool too_long, void *userdata) {
        struct containerd_source *containerd = userdata;
        Containerd__ListNamespacesResponse *list;
        int r;

        if (too_long)
                return -EMSGSIZE;
        list = containerd__list_namespaces_response__unpack(NULL, size, message);
        if (!list)
                return -EBADMSG;
        r = namespaces_take(containerd, list);
        containerd__list_namespaces_response__free_unpacked(list, NULL);
        return r;
}

static void namespaces_end(int error, const char *why, void *userdata) {
        struct containerd_source *containerd = userdata;

        containerd->listing.call = NULL;
        if (error < 0)
                containerd_lost(containerd, "cannot list namespaces", error, why);
        else
                list_next(containerd);
}

void containerd_list(struct containerd_source *containerd) {
        struct containerd_listing *listing = &containerd->listing;
        struct fact begin = FACT_INIT(FACT_LISTING_BEGIN);
        int r;

        if (listing->running)
                return;
        listing->running = true;
        listing->number++;
        listing->since = containerd->n_events;
        /* Now, not with the answer: what an event tells meanwhile is newer than that. */
        source_post(&containerd->source, &begin);
        r = containerd_call(containerd,
                        &(struct grpc_request){
                                        .method = "containerd.services.namespaces.v1.Namespaces/List",
                                        .unary = true,
                                        .timeout_us = CONTAINERD_CALL_TIMEOUT_US,
                                        .message_max = ANSWER_MAX_BYTES,
                                        .on_message = namespaces_message,
                                        .on_end = namespaces_end,
                                        .userdata = containerd,
                        },
                        NULL, &listing->call);
        if (r < 0)
                containerd_lost(containerd, "cannot list namespaces", r, "");
}
