#pragma once
/* The D-Bus face: org.virtwatch1 with Manager, Workload, Node and App objects, ObjectManager,
 * Properties and LogControl1. */

#include "api/api.h"

struct dbus;

struct dbus_config {
        const char *bus;     /* "system" "user" or NULL for address */
        const char *address; /* --bus-address= */
        /** The name became ours: at first, and after each time that the bus was away. May be NULL.
         */
        void (*named)(void *userdata);
        void *userdata;
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

/** Whether the name is ours now. */
bool dbus_is_named(const struct dbus *dbus);

/** The manager tells of changes that are no events. What really differs from what the bus was told
 * last goes out a moment later, as PropertiesChanged and the matching signals. */
struct workload;
/** @workload is new, or may have changed. */
void dbus_workload_changed(struct dbus *dbus, const struct workload *workload);
void dbus_workload_removed(struct dbus *dbus, const char *id);
/** The state of @source has changed, and with it perhaps that of its workloads. */
void dbus_source_changed(struct dbus *dbus, const char *source);
/** Another configuration is in force: other sources, other slots of samples. */
void dbus_configuration_changed(struct dbus *dbus);
/** The app of that @slug was bound, bound anew or unbound. */
void dbus_app_changed(struct dbus *dbus, const char *slug);
/** The probe of that slug was set, removed, or changed its status. */
void dbus_probe_changed(struct dbus *dbus, const char *slug);
/** The samples of the slot at @at_us are complete. */
void dbus_samples_ready(struct dbus *dbus, uint64_t at_us);
/** Now and then: look at what changes without anybody telling. */
void dbus_refresh(struct dbus *dbus);
