/* One container as containerd keeps it: an id, an image, labels. Its name for people is in the
 * labels of whoever made it. Pure. */

#include <fnmatch.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "source/containerd.h"
#include "source/containerd_labels.h"

#define LABELS_MAX      256
#define LABEL_MAX_BYTES 4096

bool containerd_name_is_valid(const char *name) {
        static const char allowed[] =
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789._-";
        size_t n = strlen(name);

        return n > 0 && n <= CONTAINERD_NAME_MAX && strspn(name, allowed) == n;
}

bool containerd_namespace_is_wanted(const char *const *patterns, const char *ns) {
        if (!patterns)
                return strcmp(ns, "moby") != 0;
        for (size_t i = 0; patterns[i]; i++)
                if (fnmatch(patterns[i], ns, 0) == 0)
                        return true;
        return false;
}

uint64_t containerd_time_us(int64_t seconds, int32_t nanos) {
        if (seconds <= 0 || seconds > INT64_C(253402300799) || nanos < 0 || nanos > 999999999)
                return 0; /* 9999-12-31 is protobuf's last day */
        return (uint64_t) seconds * USEC_PER_SEC + (uint64_t) nanos / NSEC_PER_USEC;
}

int containerd_labels_read(
                size_t n, Containerd__Label *const *labels, struct json_object **ret_labels) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        int r;

        if (!object)
                return -ENOMEM;
        for (size_t i = 0; i < n && i < LABELS_MAX; i++) {
                _cleanup_(freep) char *key = NULL, *value = NULL;

                r = text_sanitize(labels[i]->key, strlen(labels[i]->key), LABEL_MAX_BYTES, &key);
                if (r >= 0)
                        r = text_sanitize(labels[i]->value, strlen(labels[i]->value),
                                        LABEL_MAX_BYTES, &value);
                if (r >= 0)
                        r = json_add_string(object, key, value);
                if (r < 0)
                        return r;
        }
        *ret_labels = TAKE_PTR(object);
        return 0;
}

static const char *label(const struct containerd_record *record, const char *name) {
        struct json_object *value;

        /* Not json_get_string(): the names have slashes in them. */
        if (!json_object_object_get_ex(record->labels, name, &value) ||
                        json_object_get_string_len(value) == 0)
                return NULL;
        return json_object_get_string(value);
}

static void name_record(struct containerd_record *record) {
        const char *pod = label(record, "io.kubernetes.pod.name"),
                   *in_pod = label(record, "io.kubernetes.container.name");

        record->name = label(record, "nerdctl/name");
        if (!record->name && pod && in_pod &&
                        (size_t) snprintf(record->pod_name, sizeof(record->pod_name), "%s/%s", pod,
                                        in_pod) < sizeof(record->pod_name))
                record->name = record->pod_name;
        else if (!record->name)
                record->name = pod;
        record->job = label(record, "com.docker.compose.service");
        if (!record->job)
                record->job = pod;
}

void containerd_record_done(struct containerd_record *record) {
        free(record->image);
        (void) json_object_put(record->labels);
        *record = (struct containerd_record){};
}

static int record_fill(const Containerd__Container *container, struct containerd_record *record) {
        int r;

        if (!container || !containerd_name_is_valid(container->id))
                return -EINVAL;
        memcpy(record->id, container->id, strlen(container->id) + 1);
        r = containerd_labels_read(container->n_labels, container->labels, &record->labels);
        if (r < 0)
                return r;
        record->image = strdup(container->image);
        if (!record->image)
                return -ENOMEM;
        if (container->created_at)
                record->created_us = containerd_time_us(
                                container->created_at->seconds, container->created_at->nanos);
        return 0;
}

int containerd_record_parse(const void *data, size_t size, struct containerd_record *ret_record) {
        Containerd__ListContainerMessage *message;
        int r;

        message = containerd__list_container_message__unpack(NULL, size, data);
        if (!message)
                return -EINVAL;
        *ret_record = (struct containerd_record){};
        r = record_fill(message->container, ret_record);
        containerd__list_container_message__free_unpacked(message, NULL);
        if (r < 0)
                containerd_record_done(ret_record);
        else
                name_record(ret_record); /* pointers into it: now that it has its place */
        return r;
}
