#pragma once
/* The inventory: every VM, container and unit that a source knows, by id. Pure: it is told, it does
 * not look. */

#include <json-c/json.h>

#include "base/list.h"
#include "base/map.h"
#include "model/exit.h"

/* What a source says of a workload. Borrowed for the call. NULL, 0 or -1 means "not said": what was
 * known stays. */
struct workload_info {
        enum workload_kind kind;
        const char *native_id; /* the runtime's own id, required: UUID, 64 hex digits, unit name,
                                  "ns/id" */
        const char *name;
        const char *uuid;           /* VMs */
        const char *runtime;        /* "qemu" "test" "lxc" "docker" "podman" "containerd" "machined"
                                       "systemd" */
        const char *image;          /* containers */
        const char *uri;            /* VMs: the connection */
        const char *cgroup;         /* path below the hierarchy's mount, e.g. "/docker/<id>" */
        const char *job;            /* compose service, slice, … */
        struct json_object *labels; /* borrowed; name to text */
        struct json_object *addresses; /* borrowed; array of texts: all that it has now */
        enum workload_state state;     /* WORKLOAD_STATE_MAX_: not said */
        const char *state_reason;
        const char *lifecycle_event, *lifecycle_detail; /* VMs: the last one's words */
        int domain_id;                                  /* VMs: -1 not said */
        uint32_t pid;         /* main process: container's init, QEMU; 0 not said */
        uint64_t created_us;  /* CLOCK_REALTIME */
        uint64_t started_us;  /* this life's start; 0 not said. A changed value is a new life */
        uint64_t finished_us; /* last life's end */
        int exit_code;        /* of the last life; -1 not said */
        int oom_killed;       /* the runtime's flag: 1, 0, -1 not said */
        int64_t restarts;     /* by the runtime's restart policy; -1 not said */
        int transient;        /* gone when it ends: 1, 0, -1 not said */
        enum exit_how how; /* how the last life ended, where state is STOPPED or FAILED (listings)
                            */
};

#define WORKLOAD_INFO_INIT                                                                        \
        {                                                                                         \
                .state = WORKLOAD_STATE_MAX_, .domain_id = -1, .exit_code = -1, .oom_killed = -1, \
                .restarts = -1, .transient = -1                                                   \
        }

/* More are cut: a guest that runs containers may have any number. */
#define WORKLOAD_ADDRESSES_MAX 16
#define WORKLOAD_ADDRESS_SIZE  46 /* INET6_ADDRSTRLEN */

struct workload {
        struct list by_age; /* private */
        char *id;     /* public: the native id; "NATIVE@SOURCE" where another source has the same */
        char *source; /* the source's name; none of the texts is ever NULL */
        char *native_id, *name, *uuid, *runtime, *image, *uri, *cgroup, *job, *state_reason;
        char *lifecycle_event,
                        *lifecycle_detail; /* VMs, as lifecycle.h words them; "": none seen */
        struct json_object *labels;        /* owned, may be NULL */
        /* Its own IP addresses while it lives, as inet_ntop(3) writes them, those first that its
         * guest or its network names first. NULL where n_addresses is 0: none are known. */
        char (*addresses)[WORKLOAD_ADDRESS_SIZE];
        size_t n_addresses;
        enum workload_kind kind;
        enum workload_state state;
        enum workload_state last_known; /* equals state while the source is up; the state before it
                                           was lost */
        uint64_t since_us;              /* CLOCK_REALTIME of the last change of state */
        int domain_id;
        uint32_t pid;         /* 0 when it does not run */
        uint32_t indexed_pid; /* private to the inventory: the last one that was not 0 */
        uint64_t created_us, started_us, finished_us;
        int64_t restarts;
        uint64_t oom_kills;
        bool transient;
        bool listed; /* private to the tracker: seen in the listing under way */

        struct { /* last exit; action "": none known */
                char action[32], reason[32], evidence[40], confidence[16], scope[16];
                int code;
                uint64_t time_us;
        } last_exit;

        void *extra; /* private to the tracker */
};

struct inventory;

/** At most @max workloads (DESIGN decision 7). Return: 0; -ENOMEM. */
int inventory_new(size_t max, struct inventory **ret_inventory);
struct inventory *inventory_free(struct inventory *inventory);
DEFINE_FREEP(struct inventory, inventory_free);

struct workload *inventory_find(const struct inventory *inventory, const char *id);
struct workload *inventory_find_native(
                const struct inventory *inventory, const char *source, const char *native_id);
/** The running workload whose main process is @pid; NULL otherwise. */
struct workload *inventory_find_pid(const struct inventory *inventory, uint32_t pid);
/** The same, also when it has ended since: evidence of its death may come later. */
struct workload *inventory_find_last_pid(const struct inventory *inventory, uint32_t pid);
/** For people: by exact id, else by a unique name, else by a unique id prefix of at least 4 bytes;
 * NULL otherwise. */
struct workload *inventory_find_any(const struct inventory *inventory, const char *text);
/**
 * The workload whose cgroup @path is or lies in: by its recorded cgroup or by a 64-digit container
 * id component, whichever is deeper (a VM or container before a unit of the same path), else by
 * "machine-qemu\x2dID\x2d….scope" or "qemu-ID-….libvirt-qemu" and the domain id, else by the name
 * of its systemd unit as a component. NULL otherwise.
 */
struct workload *inventory_find_cgroup(const struct inventory *inventory, const char *path);

/**
 * Find or make the workload, and take over what @info says, its state and how excepted (see
 * workload_set_state()).
 *
 * Return: 1 made; 0 was there; -ENOSPC inventory full (counted); -ENOMEM; -EINVAL no native id.
 */
int inventory_update(struct inventory *inventory, const char *source,
                const struct workload_info *info, struct workload **ret_workload);
/** Give it another public id. Return: 0; -EEXIST another one has it; -ENOMEM. */
int inventory_rename(struct inventory *inventory, struct workload *workload, const char *id);
/** Take it out and free it. */
void inventory_remove(struct inventory *inventory, struct workload *workload);

/**
 * Set state, last_known and since. A life that ended had its addresses: they are forgotten.
 *
 * Return: whether state changed.
 */
bool workload_set_state(struct workload *workload, enum workload_state state, const char *reason,
                uint64_t now_us);

/**
 * Take @n texts over as its addresses: IPv4 and IPv6 addresses without prefix length, others and
 * repeats are passed over, and what comes after WORKLOAD_ADDRESSES_MAX.
 *
 * Return: 1 they changed; 0 they are the same; -ENOMEM (the old ones stay).
 */
int workload_set_addresses(struct workload *workload, const char *const *addresses, size_t n);

size_t inventory_size(const struct inventory *inventory);
uint64_t inventory_refused(const struct inventory *inventory);
/** Walk in order of first sight: inventory_for_each(w, inventory). */
struct list *inventory_list(const struct inventory *inventory);
#define inventory_for_each(workload, inventory) \
        list_for_each(workload, inventory_list(inventory), by_age)

/** The object REST, D-Bus Describe and the CLI print. Caller puts; NULL: no memory. */
struct json_object *workload_to_json(const struct workload *workload);
/** The object the store keeps, and back (all but listed, by_age, extra). Return: 0; -EINVAL;
 * -ENOMEM; -EEXIST. */
struct json_object *workload_freeze(const struct workload *workload);
int inventory_thaw(struct inventory *inventory, struct json_object *frozen,
                struct workload **ret_workload);
