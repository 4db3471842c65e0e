/* A record's text lies within the record. */

#include "model/kmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct kmsg_record record;

        if (size > 8192 || kmsg_parse((const char *) data, size, &record) < 0)
                return 0;
        assert(record.priority <= 7);
        assert(record.text >= (const char *) data &&
                        record.text + record.text_size <= (const char *) data + size);
        return 0;
}
