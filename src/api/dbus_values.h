#pragma once
/* What a workload shows on the bus, as numbers to compare: a property is told as changed only if it
 * did. Pure. */

#include "model/allocation.h"
#include "model/workload.h"

/* More than there are properties; a mask of them is an unsigned int. */
#define DBUS_PROPERTIES_MAX 24

/* What the properties of a workload are taken from. All borrowed. */
struct dbus_shown {
        const struct workload *workload;
        const struct allocation *allocation; /* NULL: not known */
        const char *slug;                    /* of its app; NULL: none */
};

struct dbus_values {
        uint64_t values[DBUS_PROPERTIES_MAX]; /* numbers as they are, texts as a 64-bit hash */
};

/* Which changed, by interface; both NULL-terminated names of properties. */
struct dbus_changes {
        const char *workload[DBUS_PROPERTIES_MAX]; /* org.virtwatch1.Workload */
        const char *kind[DBUS_PROPERTIES_MAX];     /* VirtualMachine or Container */
        size_t n_workload, n_kind;
};

uint64_t dbus_hash_text(const char *text);
uint64_t dbus_hash_texts(char *const *texts, size_t n);
/** Whole CPUs: a part of one counts as one. @allocation: NULL: not known. Return: 0: not known. */
uint32_t dbus_vcpus(const struct allocation *allocation);
/** STATS_UNKNOWN as 0. */
uint64_t dbus_known_bytes(uint64_t bytes);
void dbus_values_read(const struct dbus_shown *shown, struct dbus_values *ret_values);
/** Whether these are the values of a workload that runs. */
bool dbus_values_running(const struct dbus_values *values);
/** The properties of a @kind whose values differ. Return: how many. */
size_t dbus_values_diff(enum workload_kind kind, const struct dbus_values *old,
                const struct dbus_values *new, struct dbus_changes *ret_changes);
/** org.virtwatch1.VirtualMachine or Container; NULL for a unit, which has no interface of its own.
 */
const char *dbus_kind_interface(enum workload_kind kind);
