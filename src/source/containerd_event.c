/* One event of containerd out of its envelope. Which message lies in it is told by the topic; one
 * table says how each is read. Pure. */

#include <string.h>

#include "source/containerd.h"
#include "source/containerd_labels.h"

struct meaning {
        const char *name;
        enum containerd_topic topic;
        int (*read)(size_t size, const uint8_t *data, struct containerd_event *event);
};

static int take_id(struct containerd_event *event, const char *id) {
        if (!containerd_name_is_valid(id))
                return -EINVAL;
        memcpy(event->id, id, strlen(id) + 1);
        return 0;
}

static int take_image(struct containerd_event *event, const char *image) {
        event->image = strdup(image);
        return event->image ? 0 : -ENOMEM;
}

/* The folder above "ns/id" in the path of a task's own folder. */
static int take_bundles(struct containerd_event *event, const char *bundle) {
        char tail[CONTAINERD_NATIVE_MAX + 2];
        size_t n = strlen(bundle), n_tail;

        (void) snprintf(tail, sizeof(tail), "/%s/%s", event->ns, event->id);
        n_tail = strlen(tail);
        if (bundle[0] != '/' || n <= n_tail || strcmp(bundle + n - n_tail, tail) != 0)
                return 0;
        event->bundles = strndup(bundle, n - n_tail);
        return event->bundles ? 0 : -ENOMEM;
}

static void take_time(struct containerd_event *event, const Containerd__Timestamp *time) {
        uint64_t time_us = time ? containerd_time_us(time->seconds, time->nanos) : 0;

        if (time_us)
                event->time_us = time_us;
}

static int read_container_create(size_t size, const uint8_t *data, struct containerd_event *event) {
        Containerd__ContainerCreate *message =
                        containerd__container_create__unpack(NULL, size, data);
        int r;

        if (!message)
                return -EINVAL;
        r = take_id(event, message->id);
        if (r >= 0)
                r = take_image(event, message->image);
        containerd__container_create__free_unpacked(message, NULL);
        return r;
}

static int read_container_update(size_t size, const uint8_t *data, struct containerd_event *event) {
        Containerd__ContainerUpdate *message =
                        containerd__container_update__unpack(NULL, size, data);
        int r;

        if (!message)
                return -EINVAL;
        r = take_id(event, message->id);
        if (r >= 0)
                r = take_image(event, message->image);
        if (r >= 0)
                r = containerd_labels_read(message->n_labels, message->labels, &event->labels);
        containerd__container_update__free_unpacked(message, NULL);
        return r;
}

static int read_container_delete(size_t size, const uint8_t *data, struct containerd_event *event) {
        Containerd__ContainerDelete *message =
                        containerd__container_delete__unpack(NULL, size, data);
        int r;

        if (!message)
                return -EINVAL;
        r = take_id(event, message->id);
        containerd__container_delete__free_unpacked(message, NULL);
        return r;
}

static int read_task_create(size_t size, const uint8_t *data, struct containerd_event *event) {
        Containerd__TaskCreate *message = containerd__task_create__unpack(NULL, size, data);
        int r;

        if (!message)
                return -EINVAL;
        r = take_id(event, message->container_id);
        if (r >= 0)
                r = take_bundles(event, message->bundle);
        event->pid = message->pid;
        containerd__task_create__free_unpacked(message, NULL);
        return r;
}

static int read_task_start(size_t size, const uint8_t *data, struct containerd_event *event) {
        Containerd__TaskStart *message = containerd__task_start__unpack(NULL, size, data);
        int r;

        if (!message)
                return -EINVAL;
        r = take_id(event, message->container_id);
        event->pid = message->pid;
        containerd__task_start__free_unpacked(message, NULL);
        return r;
}

static int read_task_exit(size_t size, const uint8_t *data, struct containerd_event *event) {
        Containerd__TaskExit *message = containerd__task_exit__unpack(NULL, size, data);
        int r;

        if (!message)
                return -EINVAL;
        r = take_id(event, message->container_id);
        event->exec = message->id[0] && strcmp(message->id, message->container_id) != 0;
        event->pid = message->pid;
        event->exit_status = message->exit_status;
        take_time(event, message->exited_at);
        containerd__task_exit__free_unpacked(message, NULL);
        return r;
}

static int read_task_delete(size_t size, const uint8_t *data, struct containerd_event *event) {
        Containerd__TaskDelete *message = containerd__task_delete__unpack(NULL, size, data);
        int r;

        if (!message)
                return -EINVAL;
        r = take_id(event, message->container_id);
        event->exec = message->id[0] && strcmp(message->id, message->container_id) != 0;
        event->pid = message->pid;
        event->exit_status = message->exit_status;
        take_time(event, message->exited_at);
        containerd__task_delete__free_unpacked(message, NULL);
        return r;
}

static int read_exec_started(size_t size, const uint8_t *data, struct containerd_event *event) {
        Containerd__TaskExecStarted *message =
                        containerd__task_exec_started__unpack(NULL, size, data);
        int r;

        if (!message)
                return -EINVAL;
        r = take_id(event, message->container_id);
        event->exec = true;
        event->pid = message->pid;
        containerd__task_exec_started__free_unpacked(message, NULL);
        return r;
}

static int read_named(size_t size, const uint8_t *data, struct containerd_event *event) {
        Containerd__TaskNamed *message = containerd__task_named__unpack(NULL, size, data);
        int r;

        if (!message)
                return -EINVAL;
        r = take_id(event, message->container_id);
        containerd__task_named__free_unpacked(message, NULL);
        return r;
}

/* clang-format off */
static const struct meaning meanings[] = {
        { "/containers/create",  CONTAINERD_CREATED,      read_container_create },
        { "/containers/update",  CONTAINERD_UPDATED,      read_container_update },
        { "/containers/delete",  CONTAINERD_DELETED,      read_container_delete },
        { "/tasks/create",       CONTAINERD_TASK_CREATED, read_task_create },
        { "/tasks/start",        CONTAINERD_TASK_STARTED, read_task_start },
        { "/tasks/exit",         CONTAINERD_TASK_EXITED,  read_task_exit },
        { "/tasks/delete",       CONTAINERD_TASK_DELETED, read_task_delete },
        { "/tasks/oom",          CONTAINERD_TASK_OOM,     read_named },
        { "/tasks/paused",       CONTAINERD_TASK_PAUSED,  read_named },
        { "/tasks/resumed",      CONTAINERD_TASK_RESUMED, read_named },
        { "/tasks/exec-started", CONTAINERD_EXEC_STARTED, read_exec_started },
};
/* clang-format on */

void containerd_event_done(struct containerd_event *event) {
        free(event->image);
        free(event->bundles);
        (void) json_object_put(event->labels);
        *event = (struct containerd_event){};
}

static int envelope_read(const Containerd__Envelope *envelope, struct containerd_event *ret_event) {
        const Containerd__Timestamp *time = envelope->timestamp;
        const struct meaning *meaning = NULL;
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(meanings) && !meaning; i++)
                if (strcmp(meanings[i].name, envelope->topic) == 0)
                        meaning = &meanings[i];
        if (!envelope->topic[0])
                return -EINVAL;
        if (!meaning)
                return 0;
        if (!envelope->event || !containerd_name_is_valid(envelope->namespace_))
                return -EINVAL;

        ret_event->topic = meaning->topic;
        memcpy(ret_event->ns, envelope->namespace_, strlen(envelope->namespace_) + 1);
        take_time(ret_event, time);
        r = meaning->read(envelope->event->value.len, envelope->event->value.data, ret_event);
        if (r < 0)
                return r;

        (void) snprintf(ret_event->native_id, sizeof(ret_event->native_id), "%s/%s", ret_event->ns,
                        ret_event->id);
        (void) snprintf(ret_event->origin, sizeof(ret_event->origin), "%ju%09u/%s%s",
                        (uintmax_t) (time && time->seconds > 0 ? time->seconds : 0),
                        time && time->nanos > 0 ? (unsigned int) time->nanos : 0,
                        ret_event->native_id, meaning->name);
        return 1;
}

int containerd_event_parse(const void *data, size_t size, struct containerd_event *ret_event) {
        Containerd__Envelope *envelope;
        int r;

        envelope = containerd__envelope__unpack(NULL, size, data);
        if (!envelope)
                return -EINVAL;
        *ret_event = (struct containerd_event){};
        r = envelope_read(envelope, ret_event);
        containerd__envelope__free_unpacked(envelope, NULL);
        if (r <= 0)
                containerd_event_done(ret_event);
        return r;
}
