/* Entry by entry; what nobody wants is skipped. */

#include "source/bus_dict.h"

static int read_entry(sd_bus_message *message,
                int (*take)(sd_bus_message *message, const char *name, const char *type,
                                void *userdata),
                void *userdata) {
        const char *name, *type;
        int r;

        r = sd_bus_message_read_basic(message, 's', &name);
        if (r >= 0)
                r = sd_bus_message_peek_type(message, NULL, &type);
        if (r >= 0)
                r = take(message, name, type, userdata);
        return r == 0 ? sd_bus_message_skip(message, "v") : r;
}

int bus_dict_read(sd_bus_message *message,
                int (*take)(sd_bus_message *message, const char *name, const char *type,
                                void *userdata),
                void *userdata) {
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        while (r >= 0) {
                r = sd_bus_message_enter_container(message, 'e', "sv");
                if (r <= 0)
                        break;
                r = read_entry(message, take, userdata);
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}
