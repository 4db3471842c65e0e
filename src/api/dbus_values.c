/* The properties of a workload that can change, in one table. */

#include "api/dbus_values.h"

#include "virtwatch/virtwatch.h"

/* FNV-1a, 64 bits (draft-eastlake-fnv-17). Two texts that collide cost a signal, nothing else. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size) {
        const unsigned char *bytes = data;

        for (size_t i = 0; i < size; i++)
                hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
        return hash;
}

static uint64_t hash_text(uint64_t hash, const char *text) {
        size_t size = 0;

        while (text[size])
                size++;
        return hash_bytes(hash, text, size + 1);
}

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

#define TEXT(field)                                                     \
        static uint64_t value_##field(const struct dbus_shown *shown) { \
                return hash_text(HASH_BEGIN, shown->workload->field);   \
        }
#define NUMBER(field)                                                   \
        static uint64_t value_##field(const struct dbus_shown *shown) { \
                return (uint64_t) shown->workload->field;               \
        }

TEXT(name)
TEXT(uuid)
TEXT(runtime)
TEXT(job)
TEXT(state_reason)
TEXT(image)
TEXT(cgroup)
NUMBER(state)
NUMBER(restarts)
NUMBER(started_us)
NUMBER(domain_id)
NUMBER(oom_kills)
NUMBER(pid)

static uint64_t value_last_exit(const struct dbus_shown *shown) {
        const struct workload *workload = shown->workload;
        uint64_t hash = hash_text(HASH_BEGIN, workload->last_exit.action);

        hash = hash_bytes(hash, &workload->last_exit.code, sizeof(workload->last_exit.code));
        hash = hash_text(hash, workload->last_exit.evidence);
        hash = hash_text(hash, workload->last_exit.reason);
        return hash_bytes(hash, &workload->last_exit.time_us, sizeof(workload->last_exit.time_us));
}

static uint64_t value_last_lifecycle(const struct dbus_shown *shown) {
        return hash_text(hash_text(HASH_BEGIN, shown->workload->lifecycle_event),
                        shown->workload->lifecycle_detail);
}

/* ---- what it was given, and whose it is ---- */

uint32_t dbus_vcpus(const struct allocation *allocation) {
        uint32_t whole;

        if (!allocation || !(allocation->vcpus > 0))
                return 0;
        if (allocation->vcpus >= UINT32_MAX)
                return UINT32_MAX;
        whole = (uint32_t) allocation->vcpus;
        return whole + (allocation->vcpus - whole > 1e-6);
}

uint64_t dbus_known_bytes(uint64_t bytes) {
        return bytes == STATS_UNKNOWN ? 0 : bytes;
}

static uint64_t value_vcpus(const struct dbus_shown *shown) {
        return dbus_vcpus(shown->allocation);
}

static uint64_t value_memory(const struct dbus_shown *shown) {
        return shown->allocation ? dbus_known_bytes(shown->allocation->memory_bytes) : 0;
}

static uint64_t value_disks(const struct dbus_shown *shown) {
        uint64_t hash = HASH_BEGIN;

        for (size_t i = 0; shown->allocation && i < shown->allocation->n_disks; i++) {
                const struct allocation_disk *disk = &shown->allocation->disks[i];

                hash = hash_text(hash, disk->target);
                hash = hash_bytes(hash, &disk->capacity_bytes, sizeof(disk->capacity_bytes));
        }
        return hash;
}

static uint64_t value_addresses(const struct dbus_shown *shown) {
        uint64_t hash = HASH_BEGIN;

        for (size_t i = 0; i < shown->workload->n_addresses; i++)
                hash = hash_text(hash, shown->workload->addresses[i]);
        return hash;
}

static uint64_t value_app(const struct dbus_shown *shown) {
        return hash_text(HASH_BEGIN, shown->slug ? shown->slug : "");
}

static const struct {
        const char *name;
        uint64_t (*value)(const struct dbus_shown *shown);
        enum workload_kind kind; /* WORKLOAD_KIND_MAX_: of every workload */
} properties[] = {
        { "State", value_state, WORKLOAD_KIND_MAX_ },
        { "StateReason", value_state_reason, WORKLOAD_KIND_MAX_ },
        { "LastExit", value_last_exit, WORKLOAD_KIND_MAX_ },
        { "Restarts", value_restarts, WORKLOAD_KIND_MAX_ },
        { "StartedUSec", value_started_us, WORKLOAD_KIND_MAX_ },
        { "Name", value_name, WORKLOAD_KIND_MAX_ },
        { "UUID", value_uuid, WORKLOAD_KIND_MAX_ },
        { "Runtime", value_runtime, WORKLOAD_KIND_MAX_ },
        { "Job", value_job, WORKLOAD_KIND_MAX_ },
        { "App", value_app, WORKLOAD_KIND_MAX_ },
        { "Addresses", value_addresses, WORKLOAD_KIND_MAX_ },
        { "VCpus", value_vcpus, WORKLOAD_KIND_MAX_ },
        { "MemoryBytes", value_memory, WORKLOAD_KIND_MAX_ },
        { "Disks", value_disks, WORKLOAD_KIND_MAX_ },
        { "DomainId", value_domain_id, WORKLOAD_VM },
        { "LastLifecycle", value_last_lifecycle, WORKLOAD_VM },
        { "Image", value_image, WORKLOAD_CONTAINER },
        { "CgroupPath", value_cgroup, WORKLOAD_CONTAINER },
        { "OomKills", value_oom_kills, WORKLOAD_CONTAINER },
        { "Pid", value_pid, WORKLOAD_CONTAINER },
};
_Static_assert(ARRAY_SIZE(properties) < DBUS_PROPERTIES_MAX, "the lists end with NULL");

uint64_t dbus_hash_text(const char *text) {
        return hash_text(HASH_BEGIN, text);
}

uint64_t dbus_hash_texts(char *const *texts, size_t n) {
        uint64_t hash = HASH_BEGIN;

        for (size_t i = 0; i < n; i++)
                hash = hash_text(hash, texts[i]);
        return hash;
}

void dbus_values_read(const struct dbus_shown *shown, struct dbus_values *ret_values) {
        *ret_values = (struct dbus_values){};
        for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
                ret_values->values[i] = properties[i].value(shown);
}

bool dbus_values_running(const struct dbus_values *values) {
        return values->values[0] == STATE_RUNNING; /* the table begins with the state */
}

size_t dbus_values_diff(enum workload_kind kind, const struct dbus_values *old,
                const struct dbus_values *new, struct dbus_changes *ret_changes) {
        struct dbus_changes changes = {};

        for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
                if (old->values[i] == new->values[i])
                        continue;
                if (properties[i].kind == WORKLOAD_KIND_MAX_)
                        changes.workload[changes.n_workload++] = properties[i].name;
                else if (properties[i].kind == kind)
                        changes.kind[changes.n_kind++] = properties[i].name;
        }
        *ret_changes = changes;
        return changes.n_workload + changes.n_kind;
}

const char *dbus_kind_interface(enum workload_kind kind) {
        static const char *const interfaces[] = {
                [WORKLOAD_VM] = VW_INTERFACE_VIRTUAL_MACHINE,
                [WORKLOAD_CONTAINER] = VW_INTERFACE_CONTAINER,
                [WORKLOAD_UNIT] = NULL,
        };

        return interfaces[kind];
}
