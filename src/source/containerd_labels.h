#pragma once
/* Labels of an event and of a container are the same; only the two files that read protobuf include
 * this. */

#include <json-c/json.h>

#include "source/containerd.pb-c.h"

/** As an object of texts, clean UTF-8, at most 256. Caller puts. Return: 0; -ENOMEM. */
int containerd_labels_read(
                size_t n, Containerd__Label *const *labels, struct json_object **ret_labels);
