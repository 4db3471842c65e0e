/* One round of visits. A visit asks nothing that needs QEMU's monitor; what it asks may hang
 * nevertheless: an agent that does not answer, an image on storage that is gone. An agent gets few
 * seconds, and is left alone for longer each time it does not answer. Images are opened, by libvirt
 * on our behalf, only where this host's kernel says that they lie on a file system of its own:
 * libvirt keeps a domain locked meanwhile, which would cost others too. */

#include <arpa/inet.h>
#include <libvirt/virterror.h>
#include <linux/magic.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/text.h"
#include "model/address.h"
#include "source/libvirt_guest_internal.h"
#include "source/libvirt_link.h"
#include "source/libvirt_round.h"
#include "source/libvirt_stats.h"
#include "source/libvirt_xml.h"

#define ROUND_US        (10 * USEC_PER_SEC)
#define AGENT_TIMEOUT_S 5
#define FAILURES_MAX    5                  /* asked each 2^5 periods at the most seldom */
#define SOON_US         (5 * USEC_PER_SEC) /* a guest that boots may have its agent soon */
#define YOUNG_US        (120 * USEC_PER_SEC)
#define OFF_PERIOD_US   (60 * USEC_PER_SEC) /* an image may have been resized */
#define SKIP_US         (600 * USEC_PER_SEC)
#define POOLS_US        (60 * USEC_PER_SEC)

/* What is remembered of a domain. */
struct known {
        char uuid[VIR_UUID_STRING_BUFLEN];
        unsigned int life; /* domain id; 0: none yet */
        uint64_t since_us; /* this life was first seen */
        uint64_t due_us;
        unsigned int failures; /* of its agent, in a row */
        bool timeout_set;
        uint64_t xml_hash; /* while it is off */
        uint64_t seen;     /* number of the round */
};

struct guest_memory {
        uint64_t period_us;
        bool write, local;
        char skip[VIR_UUID_STRING_BUFLEN];
        uint64_t skip_until_us;
        uint64_t pools_due_us;
        struct map *known; /* by uuid */
        uint64_t n_rounds;
};

struct guest_round {
        struct libvirt_worker *worker;
        struct guest_memory *memory;
        struct guest_notes *notes;
        bool monitored; /* QEMU's driver: its readings tell the devices of what runs */
        uint64_t now_us;
};

struct guest_notes *guest_notes_free(struct guest_notes *notes) {
        if (!notes)
                return NULL;
        for (size_t i = 0; i < notes->n; i++) {
                stats_free(notes->notes[i].guest);
                stats_free(notes->notes[i].given);
                free(notes->notes[i].addresses);
        }
        free(notes->notes);
        free(notes->pools);
        free(notes);
        return NULL;
}

struct guest_memory *guest_memory_free(struct guest_memory *memory) {
        struct known *known;

        if (!memory)
                return NULL;
        if (memory->known)
                map_for_each(known, memory->known)
                        free(known);
        map_free(memory->known);
        free(memory);
        return NULL;
}

struct guest_memory *guest_memory_new(const struct guest_memory_config *config) {
        struct guest_memory *memory = calloc(1, sizeof(*memory));

        if (!memory || map_new(&memory->known) < 0)
                return guest_memory_free(memory);
        memory->period_us = config->period_us;
        memory->write = config->write;
        memory->local = config->local;
        memory->skip_until_us = clock_monotonic_us() + SKIP_US;
        (void) snprintf(memory->skip, sizeof(memory->skip), "%s", config->skip);
        return memory;
}

static struct known *known_get(struct guest_memory *memory, const char *uuid) {
        struct known *known = map_get(memory->known, uuid);

        if (known)
                return known;
        known = calloc(1, sizeof(*known));
        if (!known)
                return NULL;
        (void) snprintf(known->uuid, sizeof(known->uuid), "%s", uuid);
        if (map_put(memory->known, uuid, known) < 0) {
                free(known);
                return NULL;
        }
        return known;
}

static struct guest_note *note_of(struct guest_round *round, const struct known *known) {
        struct guest_note *note = &round->notes->notes[round->notes->n++];

        *note = (struct guest_note){ .life = known->life };
        (void) snprintf(note->uuid, sizeof(note->uuid), "%s", known->uuid);
        return note;
}

static int read_xml(virDomainPtr domain, unsigned int flags, struct libvirt_xml *ret_xml,
                uint64_t *ret_hash) {
        _cleanup_(freep) char *text = virDomainGetXMLDesc(domain, flags);
        uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

        if (!text)
                return -EIO;
        for (const char *c = text; *c; c++)
                hash = (hash ^ (unsigned char) *c) * UINT64_C(0x100000001b3);
        *ret_hash = hash;
        return libvirt_xml_parse(text, strlen(text), ret_xml);
}

/* ---- images ---- */

/* Asking for its file system does not open it; where that hangs, it is our own thread that does. */
static bool is_on_local_storage(const char *path) {
        static const unsigned long magics[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,
                BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC, OVERLAYFS_SUPER_MAGIC,
                0x2fc12fc1 /* zfs */ };
        struct statfs fs;

        if (statfs(path, &fs) < 0)
                return false;
        for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
                if ((unsigned long) fs.f_type == magics[i])
                        return true;
        return false;
}

/* The bytes that raw images take: what QEMU calls their actual size, and libvirt 9 does not tell.
 */
static void read_images(const struct guest_memory *memory, const struct libvirt_xml *xml,
                struct stats *to) {
        struct stats_block *block;
        struct stat st;

        for (size_t i = 0; memory->local && i < xml->n_disks; i++) {
                const struct libvirt_xml_disk *disk = &xml->disks[i];

                if (!disk->file || !disk->raw || !disk->path || stat(disk->path, &st) < 0 ||
                                !S_ISREG(st.st_mode))
                        continue;
                block = stats_add_block(to, disk->target);
                if (block)
                        block->file_bytes = (uint64_t) st.st_blocks * 512;
        }
}

static void read_given_devices(struct guest_round *round, virDomainPtr domain,
                const struct libvirt_xml *xml, struct stats *to) {
        virDomainBlockInfo info;

        for (size_t i = 0; i < xml->n_nets; i++)
                if (xml->nets[i].target[0])
                        (void) stats_add_net(to, xml->nets[i].target);
        for (size_t i = 0; i < xml->n_disks; i++) {
                const struct libvirt_xml_disk *disk = &xml->disks[i];
                struct stats_block *block = stats_add_block(to, disk->target);

                if (!block || !disk->path)
                        continue;
                if (round->monitored &&
                                (!round->memory->local || !disk->file ||
                                                !is_on_local_storage(disk->path)))
                        continue;
                if (virDomainGetBlockInfo(domain, disk->target, &info, 0) >= 0)
                        block->capacity_bytes = info.capacity;
        }
        to->has_devices = true;
}

static struct stats *given_new(void) {
        struct stats *stats = stats_new(STATS_FROM_RUNTIME);

        if (stats)
                stats->given_only = true;
        return stats;
}

/* ---- guests ---- */

static bool is_own_card(
                const virDomainInterface *interface, const char (*macs)[18], size_t n_macs) {
        for (size_t i = 0; interface->hwaddr && i < n_macs; i++)
                if (macs[i][0] && strcasecmp(interface->hwaddr, macs[i]) == 0)
                        return true;
        return false;
}

static bool is_reachable(const char *text) {
        static const struct address_policy policy = {};
        struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
        struct sockaddr_in four = { .sin_family = AF_INET };

        if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
                return !address_refusal(&policy, (struct sockaddr *) &four);
        return inet_pton(AF_INET6, text, &six.sin6_addr) == 1 &&
                        !address_refusal(&policy, (struct sockaddr *) &six);
}

size_t guest_pick_addresses(virDomainInterfacePtr *interfaces, size_t n, const char (*macs)[18],
                size_t n_macs,
                char ret_addresses[static WORKLOAD_ADDRESSES_MAX][WORKLOAD_ADDRESS_SIZE]) {
        size_t found = 0;

        for (unsigned int all = 0; all < 2 && found == 0; all++) {
                for (size_t i = 0; i < n; i++) {
                        const virDomainInterface *interface = interfaces[i];

                        if (!all && !is_own_card(interface, macs, n_macs))
                                continue;
                        for (size_t j = 0; j < interface->naddrs && found < WORKLOAD_ADDRESSES_MAX;
                                        j++) {
                                const char *text = interface->addrs[j].addr;

                                if (!text || !is_reachable(text))
                                        continue;
                                (void) snprintf(ret_addresses[found++], WORKLOAD_ADDRESS_SIZE, "%s",
                                                text);
                        }
                }
        }
        return found;
}

/* A call that the agent in the guest answers, or does not. */
static struct span *agent_span(
                struct libvirt_worker *worker, const struct known *known, const char *what) {
        struct span *span = libvirt_worker_span(worker, what);

        span_add(span, "virtwatch.native_id", known->uuid);
        return span;
}

/* Return: 0; -ENOENT: the source knows none; -EIO: it did not answer. */
static int read_addresses(virDomainPtr domain, const struct libvirt_xml *xml, unsigned int source,
                struct guest_note *note) {
        char found[WORKLOAD_ADDRESSES_MAX][WORKLOAD_ADDRESS_SIZE] = {}, (*macs)[18];
        virDomainInterfacePtr *interfaces = NULL;
        size_t n_found;
        int n;

        n = virDomainInterfaceAddresses(domain, &interfaces, source, 0);
        if (n < 0)
                return -EIO;
        macs = calloc(xml->n_nets + 1, sizeof(*macs));
        for (size_t i = 0; macs && i < xml->n_nets; i++)
                memcpy(macs[i], xml->nets[i].mac, sizeof(*macs));
        n_found = guest_pick_addresses(interfaces, (size_t) n, (const char(*)[18]) macs,
                        macs ? xml->n_nets : 0, found);
        free(macs);
        for (int i = 0; i < n; i++)
                virDomainInterfaceFree(interfaces[i]);
        free(interfaces);
        if (n_found == 0)
                return -ENOENT;
        note->addresses = calloc(n_found, sizeof(*note->addresses));
        if (!note->addresses)
                return -EIO;
        memcpy(note->addresses, found, n_found * sizeof(*note->addresses));
        note->n_addresses = n_found;
        note->addresses_known = true;
        return 0;
}

static void ask_agent(const struct guest_round *round, virDomainPtr domain,
                const struct libvirt_xml *xml, struct known *known, struct guest_note *note) {
        virTypedParameterPtr params = NULL;
        struct span *span;
        int n_params = 0, r;

        if (!known->timeout_set) {
                known->timeout_set = true;
                (void) virDomainAgentSetResponseTimeout(domain, AGENT_TIMEOUT_S, 0);
        }
        span = agent_span(round->worker, known, "guest-file-systems");
        r = virDomainGetGuestInfo(domain, VIR_DOMAIN_GUEST_INFO_FILESYSTEM, &params, &n_params, 0);
        libvirt_span_end(span, r < 0 ? -EIO : 0, NULL);
        if (r < 0 && virGetLastErrorCode() == VIR_ERR_AGENT_UNRESPONSIVE) {
                known->failures += known->failures < FAILURES_MAX;
                return;
        }
        if (r >= 0)
                libvirt_stats_parse_guest(params, n_params, note->guest);
        virTypedParamsFree(params, n_params);
        span = agent_span(round->worker, known, "guest-addresses");
        r = read_addresses(domain, xml, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, note);
        libvirt_span_end(span, r == -ENOENT ? 0 : r, NULL);
        if (r == -ENOENT)
                note->addresses_known = true; /* it has none now */
        known->failures = 0;
}

/* ---- visits ---- */

static bool answers(virDomainPtr domain) {
        virDomainControlInfo info = {};
        int state = 0;

        if (virDomainGetControlInfo(domain, &info, 0) >= 0 && info.state != VIR_DOMAIN_CONTROL_OK)
                return false;
        /* A guest that is paused says nothing, and its agent would count as dead. */
        return virDomainGetState(domain, &state, NULL, 0) >= 0 && state == VIR_DOMAIN_RUNNING;
}

static void visit_running(struct guest_round *round, virDomainPtr domain, struct known *known) {
        struct guest_memory *memory = round->memory;
        struct guest_note *note;
        struct libvirt_xml xml;
        uint64_t hash;
        bool asked;

        if (!answers(domain) || read_xml(domain, 0, &xml, &hash) < 0)
                return;
        note = note_of(round, known);
        note->guest = stats_new(STATS_FROM_RUNTIME);
        asked = memory->write && xml.agent && note->guest;
        if (note->guest)
                read_images(memory, &xml, note->guest);
        if (asked)
                ask_agent(round, domain, &xml, known, note);
        if (!note->addresses_known)
                (void) read_addresses(domain, &xml, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, note);
        if (!round->monitored)
                note->given = given_new();
        if (note->given)
                read_given_devices(round, domain, &xml, note->given);
        libvirt_xml_done(&xml);

        known->due_us = round->now_us + (memory->period_us << known->failures);
        if (!asked && memory->write && round->now_us < known->since_us + YOUNG_US &&
                        memory->period_us > SOON_US)
                known->due_us = round->now_us + SOON_US;
}

/* Libvirt tells of a new definition, not of a device that is attached to one: so each round
 * compares. */
static void visit_off(struct guest_round *round, virDomainPtr domain, struct known *known) {
        struct guest_note *note;
        struct libvirt_xml xml;
        uint64_t hash;

        if (read_xml(domain, VIR_DOMAIN_XML_INACTIVE, &xml, &hash) < 0)
                return;
        if (hash != known->xml_hash || round->now_us >= known->due_us) {
                note = note_of(round, known);
                note->given = given_new();
                if (note->given) {
                        libvirt_round_complete(domain, note->given);
                        read_given_devices(round, domain, &xml, note->given);
                }
                known->xml_hash = hash;
                known->due_us = round->now_us + OFF_PERIOD_US;
        }
        libvirt_xml_done(&xml);
}

static void visit(struct libvirt_worker *worker, struct guest_round *round, virDomainPtr domain,
                unsigned int flags) {
        struct guest_memory *memory = round->memory;
        unsigned int life = virDomainGetID(domain);
        char uuid[VIR_UUID_STRING_BUFLEN];
        struct known *known;

        if (virDomainGetUUIDString(domain, uuid) < 0)
                return;
        known = known_get(memory, uuid);
        if (!known)
                return;
        known->seen = memory->n_rounds;
        if (life != known->life) {
                *known = (struct known){
                        .life = life, .since_us = round->now_us, .seen = memory->n_rounds
                };
                (void) snprintf(known->uuid, sizeof(known->uuid), "%s", uuid);
        }
        if (strcmp(uuid, memory->skip) == 0 && round->now_us < memory->skip_until_us)
                return;
        libvirt_worker_at(worker, uuid);
        if (life == (unsigned int) -1)
                visit_off(round, domain, known);
        else if (round->now_us >= known->due_us)
                visit_running(round, domain, known);
}

/* ---- storage pools ---- */

static void take_pool(virStoragePoolPtr pool, struct guest_notes *notes) {
        struct pool *to = &notes->pools[notes->n_pools];
        const char *name = virStoragePoolGetName(pool);
        virStoragePoolInfo info;

        if (!name || virStoragePoolGetInfo(pool, &info) < 0)
                return;
        text_fit(to->name, sizeof(to->name), name);
        to->state = (unsigned int) info.state;
        to->capacity_bytes = info.capacity;
        to->allocation_bytes = info.allocation;
        to->available_bytes = info.available;
        notes->n_pools++;
}

/* Libvirt answers with what it knew when the pool was refreshed last. While it is being refreshed,
 * which may hang, it does not answer: then pools are left out as a domain is. */
static void read_pools(struct guest_round *round, virConnectPtr connection) {
        struct guest_memory *memory = round->memory;
        virStoragePoolPtr *pools = NULL;
        int n;

        if (!round->notes || round->now_us < memory->pools_due_us ||
                        (strcmp(memory->skip, GUEST_AT_POOLS) == 0 &&
                                        round->now_us < memory->skip_until_us))
                return;
        memory->pools_due_us = round->now_us + POOLS_US;
        libvirt_worker_at(round->worker, GUEST_AT_POOLS);
        n = virConnectListAllStoragePools(connection, &pools, 0);
        if (n < 0)
                return; /* a driver without */
        round->notes->pools = calloc((size_t) n + 1, sizeof(*round->notes->pools));
        for (int i = 0; i < n; i++) {
                if (round->notes->pools && round->notes->n_pools < POOLS_MAX)
                        take_pool(pools[i], round->notes);
                (void) virStoragePoolFree(pools[i]);
        }
        free(pools);
}

static void forget_gone(struct guest_memory *memory) {
        struct known *known;

        map_for_each(known, memory->known) {
                if (known->seen == memory->n_rounds)
                        continue;
                (void) map_remove(memory->known, known->uuid);
                free(known);
        }
}

struct guest_notes *guest_round(struct libvirt_worker *worker, struct guest_memory *memory,
                virConnectPtr connection, unsigned int flags) {
        struct guest_round round = {
                .worker = worker, .memory = memory, .now_us = clock_monotonic_us()
        };
        uint64_t begin_us = round.now_us;
        virDomainPtr *domains = NULL;
        int n;

        if (!connection)
                return NULL;
        round.monitored = !libvirt_each_may_ask(connection);
        n = virConnectListAllDomains(connection, &domains, 0);
        if (n < 0)
                return NULL;
        round.notes = calloc(1, sizeof(*round.notes));
        if (round.notes)
                round.notes->notes = calloc((size_t) n + 1, sizeof(*round.notes->notes));
        if (round.notes && !round.notes->notes)
                round.notes = guest_notes_free(round.notes);
        memory->n_rounds++;
        for (int i = 0; i < n; i++) {
                round.now_us = clock_monotonic_us();
                if (round.notes && !round.notes->more && n <= LIBVIRT_DOMAINS_MAX) {
                        round.notes->more = round.now_us > begin_us + ROUND_US;
                        visit(worker, &round, domains[i], flags);
                }
                (void) virDomainFree(domains[i]);
        }
        free(domains);
        if (round.notes && !round.notes->more)
                forget_gone(memory);
        read_pools(&round, connection);
        return round.notes;
}
