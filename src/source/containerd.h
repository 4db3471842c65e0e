#pragma once
/* What containerd's bytes say: one event (containerd_event.c) and one container
 * (containerd_record.c). Pure; nothing of protobuf is seen outside. The connection is
 * containerd.c's, what is known of each container containerd_known.c's, the listing
 * containerd_listing.c's; they share containerd_link.h. */

#include <json-c/json.h>

#include "base/macro.h"

#define CONTAINERD_NAME_MAX   127 /* containerd allows 76 */
#define CONTAINERD_NATIVE_MAX (2 * CONTAINERD_NAME_MAX + 2)

enum containerd_topic {
        CONTAINERD_CREATED,      /* /containers/create: image */
        CONTAINERD_UPDATED,      /* /containers/update: image, labels */
        CONTAINERD_DELETED,      /* /containers/delete */
        CONTAINERD_TASK_CREATED, /* /tasks/create: pid, bundles; its process waits to be started */
        CONTAINERD_TASK_STARTED, /* /tasks/start: pid */
        CONTAINERD_TASK_EXITED,  /* /tasks/exit: pid, exit_status, time_us */
        CONTAINERD_TASK_DELETED, /* /tasks/delete: the same */
        CONTAINERD_TASK_OOM,     /* /tasks/oom: of whichever process in it */
        CONTAINERD_TASK_PAUSED,
        CONTAINERD_TASK_RESUMED,
        CONTAINERD_EXEC_STARTED, /* /tasks/exec-started: exec, pid */
};

struct containerd_event {
        enum containerd_topic topic;
        char ns[CONTAINERD_NAME_MAX + 1];
        char id[CONTAINERD_NAME_MAX + 1];        /* of the container */
        char native_id[CONTAINERD_NATIVE_MAX];   /* "ns/id" */
        char origin[CONTAINERD_NATIVE_MAX + 64]; /* "TIMENANO/ns/id/topic" */
        uint64_t time_us; /* CLOCK_REALTIME; exits: when it exited; 0: not said */
        bool exec;        /* about a process that was put into the container, not its own */
        uint32_t pid;
        uint32_t exit_status;
        char *image;                /* owned; NULL: not said */
        char *bundles;              /* owned; folder of "ns/id" folders; NULL: not said */
        struct json_object *labels; /* owned; NULL: not said */
};

void containerd_event_done(struct containerd_event *event);

/**
 * Read one message of Events/Subscribe.
 *
 * Return: 1 and *ret_event; 0 a topic that means nothing to us; -EINVAL no envelope, or not the
 * event its topic promises, or a name that containerd itself would refuse; -ENOMEM.
 */
int containerd_event_parse(const void *data, size_t size, struct containerd_event *ret_event);

struct containerd_record {
        char id[CONTAINERD_NAME_MAX + 1];
        const char *name; /* as nerdctl or Kubernetes calls it; NULL. In labels */
        const char *job;  /* compose service or pod; NULL. In labels */
        char pod_name[2 * CONTAINERD_NAME_MAX + 2]; /* name may point here */
        char *image;                                /* owned */
        struct json_object *labels;                 /* owned */
        uint64_t created_us;
};

void containerd_record_done(struct containerd_record *record);

/** Read one message of Containers/ListStream, or of Containers/Get: they look alike. Return: 0;
 * -EINVAL; -ENOMEM. */
int containerd_record_parse(const void *data, size_t size, struct containerd_record *ret_record);

/** Is it a name of a namespace or a container: letters, digits, '.', '_' and '-'? It goes into a
 * header and into ids. */
bool containerd_name_is_valid(const char *name);

/** By what config names: any of the globs; NULL: all but "moby", which is docker's own. */
bool containerd_namespace_is_wanted(const char *const *patterns, const char *ns);

/** A Timestamp's value. Return: microseconds; 0: none (Go's zero time lies before 1970), or out of
 * range. */
uint64_t containerd_time_us(int64_t seconds, int32_t nanos);
