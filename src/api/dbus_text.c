/* Text on its way to the bus. A message with a text that is not UTF-8 is refused by sd-bus, or gets
 * its sender thrown off the bus; sd-bus, and so busctl, also refuses Unicode's noncharacters, which
 * RFC 3629 allows. One name with one of them must not keep all other workloads from being listed.
 */

#include <string.h>

#include "api/dbus_internal.h"
#include "base/json.h"
#include "base/text.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The length of the noncharacter at @c (U+FDD0 to U+FDEF, and the last two of each plane), 0 if
 * there is none. */
static size_t noncharacter_size(const char *text) {
        const unsigned char *c = (const unsigned char *) text;

        if (c[0] == 0xef && c[1] == 0xb7 && c[2] >= 0x90 && c[2] <= 0xaf)
                return 3;
        if (c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe)
                return 3;
        if (c[0] >= 0xf0 && (c[1] & 0x0f) == 0x0f && c[2] == 0xbf && c[3] >= 0xbe)
                return 4;
        return 0;
}

static bool is_clean(const char *text) {
        if (!text_is_utf8(text, strlen(text)))
                return false;
        for (const char *c = text; *c; c++)
                if (noncharacter_size(c))
                        return false;
        return true;
}

char *dbus_text_clean(const char *text) {
        char *clean, *to;
        size_t n;

        if (text_sanitize(text, strlen(text), SIZE_MAX / 2, &clean) < 0)
                return NULL;
        to = clean;
        for (const char *from = clean; *from; from += n ? n : 1) {
                n = noncharacter_size(from);
                if (n) {
                        memcpy(to, REPLACEMENT, strlen(REPLACEMENT));
                        to += strlen(REPLACEMENT);
                } else {
                        *to++ = *from;
                }
        }
        *to = '\0';
        return clean;
}

int dbus_append_text(sd_bus_message *message, const char *text) {
        _cleanup_(freep) char *clean = NULL;

        if (is_clean(text))
                return sd_bus_message_append_basic(message, 's', text);
        clean = dbus_text_clean(text);
        return clean ? sd_bus_message_append_basic(message, 's', clean) : -ENOMEM;
}

void dbus_error_clean(sd_bus_error *error) {
        _cleanup_(sd_bus_error_free) sd_bus_error was = SD_BUS_ERROR_NULL;
        _cleanup_(freep) char *clean = NULL;

        if (!error || !error->message || is_clean(error->message))
                return;
        clean = dbus_text_clean(error->message);
        was = *error;
        *error = SD_BUS_ERROR_NULL;
        (void) sd_bus_error_set(error, was.name, clean);
}

int dbus_reply_text(sd_bus_message *message, const char *text) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = dbus_append_text(reply, text);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* ---- an event's details ---- */

static bool is_list_of_texts(struct json_object *value) {
        size_t n = json_object_array_length(value);

        for (size_t i = 0; i < n; i++)
                if (!json_object_is_type(json_object_array_get_idx(value, i), json_type_string))
                        return false;
        return true;
}

static int append_texts(sd_bus_message *message, struct json_object *array) {
        size_t n = json_object_array_length(array);
        int r;

        r = sd_bus_message_open_container(message, 'a', "s");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = dbus_append_text(message,
                                json_object_get_string(json_object_array_get_idx(array, i)));
        return r < 0 ? r : sd_bus_message_close_container(message);
}

/* What has no type of its own on the bus goes out as JSON text. */
static const char *signature_of(struct json_object *value) {
        switch (json_object_get_type(value)) {
        case json_type_int:
                return "x";
        case json_type_boolean:
                return "b";
        case json_type_double:
                return "d";
        case json_type_array:
                return is_list_of_texts(value) ? "as" : "s";
        default:
                return "s";
        }
}

static int append_value(sd_bus_message *message, char type, struct json_object *value) {
        switch (type) {
        case 'x':
                return sd_bus_message_append(message, "x", json_object_get_int64(value));
        case 'b':
                return sd_bus_message_append(message, "b", json_object_get_boolean(value));
        case 'd':
                return sd_bus_message_append(message, "d", json_object_get_double(value));
        case 'a':
                return append_texts(message, value);
        default:
                return dbus_append_text(message,
                                json_object_is_type(value, json_type_string)
                                                ? json_object_get_string(value)
                                                : json_text(value));
        }
}

static int append_detail(sd_bus_message *message, const char *name, struct json_object *value) {
        const char *signature = signature_of(value);
        int r;

        r = sd_bus_message_open_container(message, 'e', "sv");
        if (r >= 0)
                r = dbus_append_text(message, name);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', signature);
        if (r >= 0)
                r = append_value(message, signature[0], value);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

/* What the signature has no place for, under the names that the JSON faces give it. */
static int append_rest(sd_bus_message *message, const struct event *event) {
        const struct {
                const char *name, *text;
        } rest[] = { { "id", event->workload }, { "source", event->source },
                { "slug", event->slug } };
        struct json_object *value;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(rest); i++) {
                if (!rest[i].text[0] || json_get(event->details, rest[i].name))
                        continue;
                value = json_object_new_string(rest[i].text);
                r = value ? append_detail(message, rest[i].name, value) : -ENOMEM;
                (void) json_object_put(value);
        }
        if (r >= 0 && event->synthetic && !json_get(event->details, "synthetic"))
                r = sd_bus_message_append(message, "{sv}", "synthetic", "b", true);
        return r;
}

int dbus_append_event(sd_bus_message *message, const struct event *event) {
        int r;

        r = sd_bus_message_append(message, "tts", event->seq, event->time_us,
                        event_kind_to_string(event->kind));
        if (r >= 0)
                r = dbus_append_text(message, event->name);
        if (r >= 0)
                r = dbus_append_text(message, event->action);
        if (r >= 0)
                r = sd_bus_message_append(message, "s", severity_to_string(event->severity));
        if (r >= 0)
                r = dbus_append_text(message, event->message);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "{sv}");
        json_object_object_foreach(event->details, name, value) {
                if (r >= 0)
                        r = append_detail(message, name, value);
        }
        if (r >= 0)
                r = append_rest(message, event);
        return r < 0 ? r : sd_bus_message_close_container(message);
}
