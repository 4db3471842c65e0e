#pragma once
/* The D-Bus face: org.virtwatch1 with Manager, Workload objects, ObjectManager, Properties and
 * LogControl1. */

#include "api/api.h"

struct dbus;

struct dbus_config {
        const char *bus;     /* "system" "user" or NULL for address */
        const char *address; /* --bus-address= */
};

/**
 * Connect, claim the name, publish the objects. If the bus is away, try again with back-off while
 * the loop runs.
 *
 * Return: 0 (also if the bus is not there yet); -ENOMEM; -EINVAL.
 */
int dbus_new(const struct dbus_config *config, struct api_context *api, struct dbus **ret_dbus);
struct dbus *dbus_free(struct dbus *dbus);
DEFINE_FREEP(struct dbus, dbus_free);

bool dbus_is_connected(const struct dbus *dbus);

/** The manager tells of changes that are no events; each sends PropertiesChanged and the matching
 * signals. */
struct workload;
void dbus_workload_added(struct dbus *dbus, const struct workload *workload);
void dbus_workload_removed(struct dbus *dbus, const char *id);
void dbus_workload_changed(struct dbus *dbus, const struct workload *workload);
void dbus_source_changed(
                struct dbus *dbus, const char *source, const char *state, const char *error);
