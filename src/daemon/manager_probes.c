/* Probes: which they are, what they may ask, and how what they find reaches the journal. */

#include <string.h>
#include <sys/resource.h>

#include "api/dbus.h"
#include "base/log.h"
#include "daemon/manager_internal.h"

static int keep_probe(const char *slug, const char *document, struct event *event,
                void (*done)(struct event *event, void *userdata), void *done_userdata,
                void *userdata) {
        return manager_keep("probe", slug, document, event, done, done_userdata, userdata);
}

static bool serves(
                const struct manager *manager, const struct workload *workload, const char *slug) {
        const char *own;

        if (!workload || workload->n_addresses == 0 || workload->state != STATE_RUNNING)
                return false;
        own = apps_slug_of(manager->apps, workload);
        return own && strcmp(own, slug) == 0;
}

/* A container serves as long as no VM does: where one is known, only VMs are looked at, and whose
 * they are is asked of them alone. */
static const struct workload *find_workload(const char *slug, const char *hint, void *userdata) {
        struct manager *manager = userdata;
        const struct inventory *inventory = tracker_inventory(manager->tracker);
        const struct workload *workload = hint ? inventory_find(inventory, hint) : NULL,
                              *container = NULL;

        if (workload && serves(manager, workload, slug)) {
                if (workload->kind == WORKLOAD_VM)
                        return workload;
                container = workload;
        }
        inventory_for_each(workload, inventory) {
                const bool is_vm = workload->kind == WORKLOAD_VM;

                if ((container && !is_vm) || !serves(manager, workload, slug))
                        continue;
                if (is_vm)
                        return workload;
                container = workload;
        }
        return container;
}

static void on_changed(const char *slug, void *userdata) {
        struct manager *manager = userdata;

        if (manager->dbus)
                dbus_probe_changed(manager->dbus, slug);
}

int manager_load_probe(const char *slug, const char *document, void *userdata) {
        int r;

        r = prober_restore(((struct manager *) userdata)->prober, slug, document);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                log_warn_errno(r, "Cannot restore the probe of %s, skipped: %m", slug);
        return 0;
}

/* Each run has a socket, and many may hang. */
static void raise_descriptors(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= limit.rlim_max)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
}

static size_t ranges_of(const struct config_list *list, struct address_range *ranges) {
        size_t n = 0;

        for (size_t i = 0; i < list->n && n < ADDRESS_RANGES_MAX; i++)
                n += address_range_parse(list->items[i], &ranges[n]) >= 0; /* config has checked */
        return n;
}

static struct prober_config prober_config_of(
                const struct manager *manager, const struct config *config) {
        struct prober_config prober = {
                .enabled = config->probes.enabled,
                .user_agent = config->probes.user_agent,
                .ca_file = config->probes.ca_file,
                .apps = manager->apps,
        };

        prober.policy.n_allow = ranges_of(&config->probes.allow, prober.policy.allow);
        prober.policy.n_deny = ranges_of(&config->probes.deny, prober.policy.deny);
        return prober;
}

/* Those that the faces listen on now. */
static void add_own_addresses(struct manager *manager) {
        for (size_t i = 0; http_address(manager->http, i); i++)
                prober_add_own(manager->prober, http_address(manager->http, i));
}

int manager_configure_prober(struct manager *manager, const struct config *config) {
        const struct prober_config prober = prober_config_of(manager, config);
        int r;

        r = prober_configure(manager->prober, &prober);
        add_own_addresses(manager);
        return r;
}

int manager_add_prober(struct manager *manager) {
        const struct prober_config prober = prober_config_of(manager, &manager->config);
        int r;

        raise_descriptors();
        r = prober_new(manager->event, &prober,
                        &(struct prober_hooks){ .keep = keep_probe,
                                        .changed = on_changed,
                                        .workload = find_workload,
                                        .userdata = manager },
                        &manager->prober);
        if (r >= 0)
                add_own_addresses(manager);
        if (r < 0)
                return log_error_errno(r, "Cannot set up the probes: %m");
        r = journal_load_documents(manager->journal, "probe", manager_load_probe, manager);
        if (r < 0)
                (void) log_error_errno(r, "Cannot read the stored probes: %m");
        manager->api.prober = manager->prober;
        return 0;
}

void manager_free_prober(struct manager *manager) {
        manager->api.prober = NULL;
        manager->prober = prober_free(manager->prober);
}
