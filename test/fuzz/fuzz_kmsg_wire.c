/* What a helper that is none may send: a message lies within its packet, and is the kernel's word
 * only where it says so. What a client asks for is read as it would be written. */

#include <string.h>

#include "base/macro.h"
#include "model/kmsg_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(const uint8_t *data, size_t size, const char *text, size_t text_size) {
        return text >= (const char *) data && text + text_size <= (const char *) data + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *packet = (const char *) data;
        char again[KMSG_WIRE_ASK_MAX];
        struct kmsg_message message;
        uint64_t from, same;

        if (kmsg_wire_read(packet, size, &message) >= 0) {
                assert(size <= KMSG_WIRE_MAX);
                if (message.type == KMSG_WIRE_RECORD) {
                        assert(message.record.facility == 0);
                        assert(message.record.sequence != KMSG_WIRE_END);
                        assert(is_within(
                                        data, size, message.record.text, message.record.text_size));
                } else if (message.type == KMSG_WIRE_FAILED) {
                        assert(is_within(data, size, message.text, message.text_size));
                } else {
                        assert(message.number != KMSG_WIRE_END);
                }
        }
        if (kmsg_wire_read_ask(packet, size, &from) >= 0) {
                assert(kmsg_wire_read_ask(again, kmsg_wire_ask(again, from), &same) == 0);
                assert(same == from);
        }
        return 0;
}
