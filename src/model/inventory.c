/* The inventory's look-ups: by public id, by source and native id, by pid, by cgroup. */

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "model/workload.h"

#define NAME_MAX_BYTES 512
#define TEXT_MAX_BYTES 4096

struct inventory {
        struct map *by_id;
        struct map *by_native; /* "SOURCE\nNATIVE" */
        struct map *by_pid;
        struct list all;
        size_t max;
        uint64_t refused;
};

int inventory_new(size_t max, struct inventory **ret_inventory) {
        _cleanup_(inventory_freep) struct inventory *inventory = NULL;
        int r;

        inventory = calloc(1, sizeof(*inventory));
        if (!inventory)
                return -ENOMEM;

        inventory->max = max;
        list_init(&inventory->all);
        r = map_new(&inventory->by_id);
        if (r >= 0)
                r = map_new(&inventory->by_native);
        if (r >= 0)
                r = map_new(&inventory->by_pid);
        if (r < 0)
                return r;

        *ret_inventory = TAKE_PTR(inventory);
        return 0;
}

static void workload_free(struct workload *workload) {
        free(workload->id);
        free(workload->source);
        free(workload->native_id);
        free(workload->name);
        free(workload->uuid);
        free(workload->runtime);
        free(workload->image);
        free(workload->uri);
        free(workload->cgroup);
        free(workload->job);
        free(workload->state_reason);
        free(workload->lifecycle_event);
        free(workload->lifecycle_detail);
        free(workload->addresses);
        (void) json_object_put(workload->labels);
        free(workload);
}

struct inventory *inventory_free(struct inventory *inventory) {
        struct workload *workload, *next;

        if (!inventory)
                return NULL;

        list_for_each_safe(workload, next, &inventory->all, by_age)
                workload_free(workload);
        map_free(inventory->by_id);
        map_free(inventory->by_native);
        map_free(inventory->by_pid);
        free(inventory);
        return NULL;
}

static char *native_key(const char *source, const char *native_id) {
        char *key;

        return asprintf(&key, "%s\n%s", source, native_id) < 0 ? NULL : key;
}

static void index_pid(struct inventory *inventory, struct workload *workload, uint32_t pid) {
        char key[16];

        if (workload->indexed_pid) {
                (void) snprintf(key, sizeof(key), "%u", workload->indexed_pid);
                if (map_get(inventory->by_pid, key) == workload)
                        (void) map_remove(inventory->by_pid, key);
        }
        workload->pid = workload->indexed_pid = pid;
        if (pid) {
                (void) snprintf(key, sizeof(key), "%u", pid);
                (void) map_remove(inventory->by_pid, key); /* a number used again */
                (void) map_put(inventory->by_pid, key, workload);
        }
}

void inventory_remove(struct inventory *inventory, struct workload *workload) {
        _cleanup_(freep) char *key = native_key(workload->source, workload->native_id);

        list_remove(&workload->by_age);
        (void) map_remove(inventory->by_id, workload->id);
        if (key)
                (void) map_remove(inventory->by_native, key);
        index_pid(inventory, workload, 0);
        workload_free(workload);
}

int inventory_rename(struct inventory *inventory, struct workload *workload, const char *id) {
        char *copy;
        int r;

        copy = strdup(id);
        if (!copy)
                return -ENOMEM;
        r = map_put(inventory->by_id, id, workload);
        if (r < 0) {
                free(copy);
                return r;
        }
        (void) map_remove(inventory->by_id, workload->id);
        free(workload->id);
        workload->id = copy;
        return 0;
}

struct workload *inventory_find(const struct inventory *inventory, const char *id) {
        return map_get(inventory->by_id, id);
}

struct workload *inventory_find_native(
                const struct inventory *inventory, const char *source, const char *native_id) {
        _cleanup_(freep) char *key = NULL;

        if (!native_id)
                return NULL;
        key = native_key(source, native_id);
        return key ? map_get(inventory->by_native, key) : NULL;
}

struct workload *inventory_find_pid(const struct inventory *inventory, uint32_t pid) {
        struct workload *workload = inventory_find_last_pid(inventory, pid);

        return workload && workload->pid == pid ? workload : NULL;
}

struct workload *inventory_find_last_pid(const struct inventory *inventory, uint32_t pid) {
        char key[16];

        (void) snprintf(key, sizeof(key), "%u", pid);
        return map_get(inventory->by_pid, key);
}

struct workload *inventory_find_any(const struct inventory *inventory, const char *text) {
        struct workload *workload = inventory_find(inventory, text), *named = NULL,
                        *prefixed = NULL;
        size_t n_named = 0, n_prefixed = 0;

        if (workload)
                return workload;
        list_for_each(workload, &inventory->all, by_age) {
                if (strcmp(workload->name, text) == 0) {
                        named = workload;
                        n_named++;
                } else if (strlen(text) >= 4 && text_starts_with(workload->id, text)) {
                        prefixed = workload;
                        n_prefixed++;
                }
        }
        if (n_named > 0)
                return n_named == 1 ? named : NULL;
        return n_prefixed == 1 ? prefixed : NULL;
}

/* The 64 hex digits that name a container, the last in a cgroup's path, and where they end. */
static struct workload *find_by_hex(
                const struct inventory *inventory, const char *path, size_t *ret_depth) {
        struct workload *found = NULL, *workload;
        char id[65];
        size_t run = 0;

        for (const char *c = path;; c++) {
                if (isxdigit((unsigned char) *c)) {
                        run++;
                        continue;
                }
                if (run == 64) {
                        memcpy(id, c - 64, 64);
                        id[64] = '\0';
                        workload = inventory_find(inventory, id);
                        if (workload) {
                                found = workload;
                                *ret_depth = (size_t) (c - path);
                        }
                }
                run = 0;
                if (!*c)
                        return found;
        }
}

/* "machine-qemu\x2d3\x2dweb.scope" or "qemu-3-web.libvirt-qemu" in the path: domain 3, its name, or
 * the beginning of it. */
static bool names_domain(const char *path, const struct workload *workload) {
        char begin[48];
        const char *at;
        size_t n;

        for (size_t i = 0; i < 2; i++) {
                if (i == 0) {
                        (void) snprintf(begin, sizeof(begin), "/machine-qemu\\x2d%d\\x2d",
                                        workload->domain_id);
                } else {
                        (void) snprintf(begin, sizeof(begin), "/qemu-%d-", workload->domain_id);
                }
                at = strstr(path, begin);
                if (!at)
                        continue;
                at += strlen(begin);
                n = strcspn(at, "./\\");
                if (n > 0 && strncmp(at, workload->name, n) == 0)
                        return true;
        }
        return false;
}

/* Bytes of @path that are @workload's recorded cgroup; 0: it does not lie there. */
static size_t lies_in(const char *path, const struct workload *workload) {
        size_t n = strlen(workload->cgroup);

        if (n <= 1 || strncmp(path, workload->cgroup, n) != 0)
                return 0;
        return path[n] == '\0' || path[n] == '/' ? n : 0;
}

/* The systemd unit that is or holds the workload; NULL: not known. */
static const char *unit_of(const struct workload *workload) {
        const char *last = strrchr(workload->cgroup, '/');

        if (workload->kind == WORKLOAD_UNIT)
                return workload->name;
        if (last && (strstr(last, ".scope") || strstr(last, ".service")))
                return last + 1;
        return NULL;
}

/* Is one component of the path that unit of the system's? A user's units have the names they like.
 */
static bool names_unit(const char *path, const char *unit) {
        size_t n = strlen(unit);

        if (n == 0 || strstr(path, "/user@"))
                return false;
        for (const char *at = path; (at = strstr(at, unit)); at++)
                if (at > path && at[-1] == '/' && (at[n] == '\0' || at[n] == '/'))
                        return true;
        return false;
}

struct workload *inventory_find_cgroup(const struct inventory *inventory, const char *path) {
        struct workload *workload, *deepest, *named = NULL;
        size_t n, depth = 1;

        deepest = find_by_hex(inventory, path, &depth);
        list_for_each(workload, &inventory->all, by_age) {
                n = lies_in(path, workload);
                /* A container may lie in a unit that is watched too, or be one. */
                if (n > depth || (deepest && n == depth && deepest->kind == WORKLOAD_UNIT)) {
                        deepest = workload;
                        depth = n;
                }
                if (unit_of(workload) && names_unit(path, unit_of(workload)) &&
                                (!named || named->kind == WORKLOAD_UNIT))
                        named = workload;
        }
        if (deepest)
                return deepest;
        list_for_each(workload, &inventory->all, by_age)
                if (workload->kind == WORKLOAD_VM && workload->domain_id > 0 &&
                                names_domain(path, workload))
                        return workload;
        return named;
}

static int take_text(char **field, const char *text, size_t max) {
        char *copy;
        int r;

        if (!text || (*field && strcmp(*field, text) == 0))
                return 0;
        r = text_sanitize(text, strlen(text), max, &copy);
        if (r < 0)
                return r;
        free(*field);
        *field = copy;
        return 0;
}

static bool canonical_address(const char *text, char to[static WORKLOAD_ADDRESS_SIZE]) {
        unsigned char bytes[sizeof(struct in6_addr)];
        int family = strchr(text, ':') ? AF_INET6 : AF_INET;

        return inet_pton(family, text, bytes) == 1 &&
                        inet_ntop(family, bytes, to, WORKLOAD_ADDRESS_SIZE);
}

static bool has_address(char (*addresses)[WORKLOAD_ADDRESS_SIZE], size_t n, const char *address) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(addresses[i], address) == 0)
                        return true;
        return false;
}

int workload_set_addresses(struct workload *workload, const char *const *addresses, size_t n) {
        char wanted[WORKLOAD_ADDRESSES_MAX][WORKLOAD_ADDRESS_SIZE] = {},
             address[WORKLOAD_ADDRESS_SIZE], (*copy)[WORKLOAD_ADDRESS_SIZE] = NULL;
        size_t n_wanted = 0;

        for (size_t i = 0; i < n && n_wanted < WORKLOAD_ADDRESSES_MAX; i++) {
                if (!addresses[i] || !canonical_address(addresses[i], address) ||
                                has_address(wanted, n_wanted, address))
                        continue;
                memcpy(wanted[n_wanted++], address, strlen(address) + 1);
        }
        if (n_wanted == workload->n_addresses &&
                        (n_wanted == 0 ||
                                        memcmp(wanted, workload->addresses,
                                                        n_wanted * sizeof(address)) == 0))
                return 0;
        if (n_wanted) {
                copy = calloc(n_wanted, sizeof(address));
                if (!copy)
                        return -ENOMEM;
                memcpy(copy, wanted, n_wanted * sizeof(address));
        }
        free(workload->addresses);
        workload->addresses = copy;
        workload->n_addresses = n_wanted;
        return 1;
}

static int take_addresses(struct workload *workload, struct json_object *array) {
        const char *texts[WORKLOAD_ADDRESSES_MAX];
        size_t n = 0;

        if (!json_object_is_type(array, json_type_array))
                return 0;
        for (size_t i = 0; i < json_object_array_length(array) && n < ARRAY_SIZE(texts); i++)
                texts[n++] = json_object_get_string(json_object_array_get_idx(array, i));
        return workload_set_addresses(workload, texts, n);
}

static int take_info(struct inventory *inventory, struct workload *workload,
                const struct workload_info *info) {
        int r;

        r = take_text(&workload->name, info->name, NAME_MAX_BYTES);
        if (r >= 0)
                r = take_text(&workload->uuid, info->uuid, NAME_MAX_BYTES);
        if (r >= 0)
                r = take_text(&workload->runtime, info->runtime, NAME_MAX_BYTES);
        if (r >= 0)
                r = take_text(&workload->image, info->image, NAME_MAX_BYTES);
        if (r >= 0)
                r = take_text(&workload->uri, info->uri, NAME_MAX_BYTES);
        if (r >= 0)
                r = take_text(&workload->cgroup, info->cgroup, TEXT_MAX_BYTES);
        if (r >= 0)
                r = take_text(&workload->job, info->job, NAME_MAX_BYTES);
        if (r >= 0)
                r = take_text(&workload->lifecycle_event, info->lifecycle_event, NAME_MAX_BYTES);
        if (r >= 0)
                r = take_text(&workload->lifecycle_detail, info->lifecycle_detail, NAME_MAX_BYTES);
        if (r >= 0)
                r = take_addresses(workload, info->addresses);
        if (r < 0)
                return r;

        if (info->labels && info->labels != workload->labels) {
                (void) json_object_put(workload->labels);
                workload->labels = json_object_get(info->labels);
        }
        if (info->domain_id >= 0)
                workload->domain_id = info->domain_id;
        if (info->pid && info->pid != workload->pid)
                index_pid(inventory, workload, info->pid);
        if (info->created_us)
                workload->created_us = info->created_us;
        if (info->started_us)
                workload->started_us = info->started_us;
        if (info->finished_us)
                workload->finished_us = info->finished_us;
        if (info->restarts >= 0)
                workload->restarts = info->restarts;
        if (info->transient >= 0)
                workload->transient = info->transient > 0;
        return 0;
}

static int empty_texts(struct workload *workload) {
        char **const fields[] = { &workload->name, &workload->uuid, &workload->runtime,
                &workload->image, &workload->uri, &workload->cgroup, &workload->job,
                &workload->state_reason, &workload->lifecycle_event, &workload->lifecycle_detail };

        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                *fields[i] = strdup("");
                if (!*fields[i])
                        return -ENOMEM;
        }
        return 0;
}

static int workload_new(struct inventory *inventory, const char *source,
                const struct workload_info *info, struct workload **ret_workload) {
        struct workload *workload;
        char *key = NULL;
        int r = -ENOMEM;

        workload = calloc(1, sizeof(*workload));
        if (!workload)
                return -ENOMEM;

        list_init(&workload->by_age);
        workload->kind = info->kind;
        workload->domain_id = -1;
        workload->source = strdup(source);
        if (take_text(&workload->native_id, info->native_id, NAME_MAX_BYTES) < 0 ||
                        !workload->source)
                goto fail;
        if (empty_texts(workload) < 0)
                goto fail;
        if (map_get(inventory->by_id, workload->native_id)) {
                if (asprintf(&workload->id, "%s@%s", workload->native_id, source) < 0)
                        workload->id = NULL;
        } else {
                workload->id = strdup(workload->native_id);
        }
        key = native_key(source, workload->native_id);
        if (!workload->id || !key)
                goto fail;

        r = map_put(inventory->by_native, key, workload);
        if (r < 0)
                goto fail;
        r = map_put(inventory->by_id, workload->id, workload);
        if (r < 0) {
                (void) map_remove(inventory->by_native, key);
                goto fail;
        }
        free(key);
        list_append(&inventory->all, &workload->by_age);
        *ret_workload = workload;
        return 0;

fail:
        free(key);
        workload_free(workload);
        return r;
}

int inventory_update(struct inventory *inventory, const char *source,
                const struct workload_info *info, struct workload **ret_workload) {
        struct workload *workload;
        int r, made = 0;

        if (!info->native_id || !info->native_id[0])
                return -EINVAL;

        workload = inventory_find_native(inventory, source, info->native_id);
        if (!workload) {
                if (map_size(inventory->by_id) >= inventory->max) {
                        inventory->refused++;
                        return -ENOSPC;
                }
                r = workload_new(inventory, source, info, &workload);
                if (r < 0)
                        return r;
                made = 1;
        }
        r = take_info(inventory, workload, info);
        if (r < 0)
                return r;
        if (!workload->name[0])
                (void) take_text(&workload->name, workload->native_id, NAME_MAX_BYTES);

        *ret_workload = workload;
        return made;
}

bool workload_set_state(struct workload *workload, enum workload_state state, const char *reason,
                uint64_t now_us) {
        bool changed = workload->state != state;

        if (state == WORKLOAD_STATE_MAX_)
                return false;
        if (reason)
                (void) take_text(&workload->state_reason, reason, NAME_MAX_BYTES);
        if (workload->last_known != state || workload->since_us == 0)
                workload->since_us = now_us;
        if (state == STATE_STOPPED || state == STATE_FAILED || state == STATE_CREATED)
                (void) workload_set_addresses(workload, NULL, 0);
        workload->state = state;
        workload->last_known = state;
        return changed;
}

size_t inventory_size(const struct inventory *inventory) {
        return map_size(inventory->by_id);
}

uint64_t inventory_refused(const struct inventory *inventory) {
        return inventory->refused;
}

struct list *inventory_list(const struct inventory *inventory) {
        return (struct list *) (uintptr_t) &inventory->all;
}
