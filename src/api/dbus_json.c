/* From the bus to JSON: what somebody hands in as a{sv}, as the object that the same words in the
 * body of a request would be. Arrays and structures become arrays, variants vanish. Frames instead
 * of recursion: how deep it goes is for the sender to choose. */

#include <math.h>
#include <string.h>

#include "api/dbus_internal.h"
#include "base/json.h"

/* The bus allows 64; sd-bus 128. */
#define FRAMES_MAX 128
/* The body of a request around it would be one more. */
#define LEVELS_MAX (JSON_DEPTH_MAX - 1)

struct frame {
        struct json_object *to; /* the object or array that values go to; borrowed */
        const char *name;       /* of the next value, in an object */
        bool level;             /* it is one in JSON, too */
};

struct reader {
        sd_bus_message *message;
        struct frame frames[FRAMES_MAX];
        size_t n, levels, size, size_max;
};

static int count(struct reader *reader, size_t size) {
        if (size > reader->size_max - reader->size)
                return -E2BIG;
        reader->size += size;
        return 0;
}

/* Takes @value. */
static int put(struct reader *reader, struct json_object *value) {
        struct frame *frame = &reader->frames[reader->n - 1];
        int r;

        if (!value)
                return -ENOMEM;
        if (!frame->name) {
                r = json_object_array_add(frame->to, value);
        } else if (json_object_object_get_ex(frame->to, frame->name, NULL)) {
                (void) json_object_put(value);
                return -EINVAL;
        } else {
                r = json_object_object_add(frame->to, frame->name, value);
        }
        if (r < 0)
                (void) json_object_put(value);
        return r < 0 ? -ENOMEM : 0;
}

/* ---- values ---- */

static struct json_object *signed_number(int64_t value) {
        return json_object_new_int64(value);
}

static int put_text(struct reader *reader, char type) {
        const char *text;
        int r;

        r = sd_bus_message_read_basic(reader->message, type, &text);
        if (r >= 0)
                r = count(reader, strlen(text) + 2);
        return r < 0 ? r : put(reader, json_object_new_string(text));
}

static int put_basic(struct reader *reader, char type) {
        union {
                uint8_t y;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                int b;
                double d;
        } value;
        int r;

        if (type == 's' || type == 'o' || type == 'g')
                return put_text(reader, type);
        if (type == 'h')
                return -EINVAL;
        r = sd_bus_message_read_basic(reader->message, type, &value);
        if (r >= 0)
                r = count(reader, 1);
        if (r < 0)
                return r;
        switch (type) {
        case 'y':
                return put(reader, signed_number(value.y));
        case 'n':
                return put(reader, signed_number(value.n));
        case 'q':
                return put(reader, signed_number(value.q));
        case 'i':
                return put(reader, signed_number(value.i));
        case 'u':
                return put(reader, signed_number(value.u));
        case 'x':
                return put(reader, signed_number(value.x));
        case 't':
                return put(reader, json_object_new_uint64(value.t));
        case 'b':
                return put(reader, json_object_new_boolean(value.b));
        case 'd':
                return isfinite(value.d) ? put(reader, json_object_new_double(value.d)) : -EINVAL;
        default:
                return -EINVAL;
        }
}

/* ---- containers ---- */

static int push(struct reader *reader, char type, const char *contents, struct frame frame) {
        int r;

        if (reader->n >= FRAMES_MAX || reader->levels + frame.level > LEVELS_MAX)
                return -E2BIG;
        r = sd_bus_message_enter_container(reader->message, type, contents);
        if (r < 0)
                return r;
        reader->levels += frame.level;
        reader->frames[reader->n++] = frame;
        return 0;
}

static int pop(struct reader *reader) {
        reader->levels -= reader->frames[--reader->n].level;
        return sd_bus_message_exit_container(reader->message);
}

static int enter(struct reader *reader, char type, const char *contents) {
        struct frame *top = &reader->frames[reader->n - 1];
        struct json_object *value;
        int r;

        if (type == 'v')
                return push(reader, type, contents, (struct frame){ top->to, top->name, false });
        if (type == 'e') {
                if (contents[0] != 's')
                        return -EINVAL;
                r = push(reader, type, contents, (struct frame){ .to = top->to });
                top = &reader->frames[reader->n - 1];
                if (r >= 0)
                        r = sd_bus_message_read_basic(reader->message, 's', &top->name);
                return r < 0 ? r : count(reader, strlen(top->name) + 3);
        }
        value = type == 'a' && contents[0] == '{' ? json_object_new_object()
                                                  : json_object_new_array();
        r = count(reader, 2);
        if (r < 0)
                (void) json_object_put(value);
        else
                r = put(reader, value);
        return r < 0 ? r
                     : push(reader, type, contents, (struct frame){ .to = value, .level = true });
}

int dbus_read_object(sd_bus_message *message, size_t size_max, struct json_object **ret_object) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        struct reader reader = { .message = message, .size_max = size_max };
        const char *contents;
        char type;
        int r;

        if (!object)
                return -ENOMEM;
        r = push(&reader, 'a', "{sv}", (struct frame){ .to = object, .level = true });
        while (r >= 0 && reader.n > 0) {
                r = sd_bus_message_peek_type(message, &type, &contents);
                if (r == 0)
                        r = pop(&reader);
                else if (r > 0)
                        r = contents ? enter(&reader, type, contents) : put_basic(&reader, type);
        }
        if (r < 0)
                return r;
        *ret_object = TAKE_PTR(object);
        return 0;
}
