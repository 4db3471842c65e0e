#pragma once
/* What the D-Bus face's files share: dbus.c (connection, signals), dbus_manager.c and
 * dbus_workload.c (objects). */

#include <systemd/sd-bus.h>

#include "api/dbus.h"
#include "engine/feed.h"
#include "engine/tracker.h"

struct dbus {
        struct api_context *api;
        char *bus_kind, *address;
        sd_bus *bus;
        sd_event_source *retry;
        uint64_t wait_us;
        struct feed_reader reader;
        sd_event_source *pump;
        bool reading;
};

extern const sd_bus_vtable dbus_manager_vtable[];
extern const sd_bus_vtable dbus_log_vtable[];
int dbus_workload_export(struct dbus *dbus);
/** Caller frees; NULL: no memory. */
char *dbus_workload_path(const char *id);
int dbus_append_details(sd_bus_message *message, struct json_object *details);
