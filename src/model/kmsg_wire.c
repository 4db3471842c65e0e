/* The words between virtwatch-kmsg and its clients. */

#include "model/kmsg_wire.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"

#define ASK    "virtwatch-kmsg 1 from "
#define LOST   "lost "
#define NEXT   "next "
#define FAILED "failed "

/* What follows @word in a packet that begins with it; NULL: it does not. */
static const char *behind(const char *packet, size_t size, const char *word, size_t *ret_size) {
        size_t n = strlen(word);

        if (size < n || memcmp(packet, word, n) != 0)
                return NULL;
        *ret_size = size - n;
        return packet + n;
}

static int read_number(const char *text, size_t size, uint64_t *ret_value) {
        char digits[24] = {};

        if (size == 0 || size >= sizeof(digits) || memchr(text, '\0', size))
                return -EINVAL;
        memcpy(digits, text, size);
        return text_to_u64(digits, ret_value) < 0 || *ret_value == KMSG_WIRE_END ? -EINVAL : 0;
}

size_t kmsg_wire_ask(char text[static KMSG_WIRE_ASK_MAX], uint64_t from) {
        int n = from == KMSG_WIRE_END
                        ? snprintf(text, KMSG_WIRE_ASK_MAX, ASK "end")
                        : snprintf(text, KMSG_WIRE_ASK_MAX, ASK "%ju", (uintmax_t) from);

        return (size_t) n;
}

int kmsg_wire_read_ask(const char *packet, size_t size, uint64_t *ret_from) {
        const char *from;
        uint64_t number;
        size_t n;

        from = behind(packet, size, ASK, &n);
        if (!from)
                return -EINVAL;
        if (n == strlen("end") && memcmp(from, "end", n) == 0) {
                *ret_from = KMSG_WIRE_END;
                return 0;
        }
        if (read_number(from, n, &number) < 0)
                return -EINVAL;
        *ret_from = number;
        return 0;
}

int kmsg_wire_read(const char *packet, size_t size, struct kmsg_message *ret_message) {
        struct kmsg_message message = {};
        const char *at;
        size_t n;
        int r = 0;

        if (size > KMSG_WIRE_MAX)
                return -EINVAL;
        if (size > 0 && isdigit((unsigned char) packet[0])) {
                message.type = KMSG_WIRE_RECORD;
                r = kmsg_parse(packet, size, &message.record);
                if (r >= 0 &&
                                (message.record.facility != 0 ||
                                                message.record.sequence == KMSG_WIRE_END))
                        r = -EINVAL;
        } else if ((at = behind(packet, size, LOST, &n))) {
                message.type = KMSG_WIRE_LOST;
                r = read_number(at, n, &message.number);
        } else if ((at = behind(packet, size, NEXT, &n))) {
                message.type = KMSG_WIRE_NEXT;
                r = read_number(at, n, &message.number);
        } else if ((at = behind(packet, size, FAILED, &n))) {
                message.type = KMSG_WIRE_FAILED;
                message.text = at;
                message.text_size = n;
        } else {
                r = -EINVAL;
        }
        if (r < 0)
                return r;
        *ret_message = message;
        return 0;
}
