/* A message of containerd, as an event and as a container: what is taken has names that may go into
 * a header and into an id, and texts that may go into JSON. */

#include <string.h>

#include "base/text.h"
#include "source/containerd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_labels(struct json_object *labels) {
        json_object_object_foreach(labels, key, value) {
                assert(text_is_utf8(key, strlen(key)));
                assert(text_is_utf8(json_object_get_string(value),
                                (size_t) json_object_get_string_len(value)));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct containerd_record record;
        struct containerd_event event;

        if (size > 65536)
                return 0;
        if (containerd_event_parse(data, size, &event) == 1) {
                assert(containerd_name_is_valid(event.ns) && containerd_name_is_valid(event.id));
                assert(strlen(event.native_id) == strlen(event.ns) + 1 + strlen(event.id));
                assert(event.origin[0] && text_is_utf8(event.origin, strlen(event.origin)));
                if (event.labels)
                        check_labels(event.labels);
                containerd_event_done(&event);
        }
        if (containerd_record_parse(data, size, &record) == 0) {
                assert(containerd_name_is_valid(record.id) && record.image && record.labels);
                check_labels(record.labels);
                containerd_record_done(&record);
        }
        return 0;
}
