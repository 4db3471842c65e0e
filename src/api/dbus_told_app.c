/* Apps, as the bus was told of them. An app comes with its binding or with the first workload whose
 * labels name it, and goes with the last of both. */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/dbus_values.h"
#include "base/log.h"
#include "base/map.h"
#include "engine/apps.h"
#include "virtwatch/virtwatch.h"

#define FLUSH_MAX 256

static struct dbus_app *told_app_free(struct dbus_app *app) {
        list_remove(&app->dirty);
        free(app->slug);
        free(app);
        return NULL;
}

static struct dbus_app *told_app_get(struct dbus *dbus, const char *slug) {
        struct dbus_app *app = map_get(dbus->apps, slug);

        if (app)
                return app;
        app = calloc(1, sizeof(*app));
        if (!app)
                return NULL;
        list_init(&app->dirty);
        list_init(&app->members);
        app->slug = strdup(slug);
        if (!app->slug || map_put(dbus->apps, slug, app) < 0)
                return told_app_free(app);
        return app;
}

static void mark(struct dbus *dbus, struct dbus_app *app) {
        if (list_is_empty(&app->dirty))
                list_append(&dbus->dirty_apps, &app->dirty);
        dbus_pump_soon(dbus);
}

struct dbus_app *dbus_app_mark(struct dbus *dbus, const char *slug) {
        struct dbus_app *app = told_app_get(dbus, slug);

        if (app)
                mark(dbus, app);
        return app;
}

void dbus_app_join(struct dbus *dbus, struct dbus_member *member, const char *slug) {
        struct dbus_app *app = member->app;

        if (app && slug && strcmp(app->slug, slug) == 0)
                return;
        if (app) {
                list_remove(&member->list);
                app->n_members--;
                app->moved = true;
                mark(dbus, app);
        }
        member->app = app = slug ? dbus_app_mark(dbus, slug) : NULL;
        if (app) {
                list_append(&app->members, &member->list);
                app->n_members++;
                app->moved = true;
        }
}

/* ---- what is told ---- */

/* Return: which of the three lists differ from what was announced; they count as announced now. */
static size_t bindings_differ(
                struct dbus *dbus, struct dbus_app *app, const char **changed /* of 3 */) {
        const struct app *binding = apps_get(dbus->api->apps, app->slug);
        const struct app none = {};
        const struct {
                const char *name;
                const struct app_list *list;
                uint64_t *hash;
        } lists[] = { { "VmNames", binding ? &binding->vms : &none.vms, &app->vms },
                { "Containers", binding ? &binding->containers : &none.containers,
                                &app->containers },
                { "Hosts", binding ? &binding->hosts : &none.hosts, &app->hosts } };
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                uint64_t hash = dbus_hash_texts(lists[i].list->items, lists[i].list->n);

                if (hash != *lists[i].hash)
                        changed[n++] = lists[i].name;
                *lists[i].hash = hash;
        }
        return n;
}

static void tell_gone(struct dbus *dbus, struct dbus_app *app, const char *path) {
        static const char *const interfaces[] = { VW_INTERFACE_APP, VW_INTERFACE_PROBE, NULL };

        (void) map_remove(dbus->apps, app->slug);
        if (app->announced)
                dbus_signal_removed(dbus, path, interfaces);
        told_app_free(app);
}

static void tell(struct dbus *dbus, struct dbus_app *app) {
        _cleanup_(freep) char *path = dbus_app_path(app->slug);
        const char *changed[5] = {}, *probe[DBUS_PROBE_TOLD + 1] = {};
        size_t n, n_probe;
        int r;

        if (!path)
                return; /* no memory: the next change tells it */
        if (app->n_members == 0 && !apps_get(dbus->api->apps, app->slug)) {
                tell_gone(dbus, app, path);
                return;
        }
        n = bindings_differ(dbus, app, changed);
        n_probe = dbus_probe_differs(dbus, app, probe);
        if (app->moved)
                changed[n++] = "Workloads";
        app->moved = false;
        if (!app->announced) {
                app->announced = true;
                r = sd_bus_emit_object_added(dbus->bus, path);
                if (r < 0)
                        log_debug_errno(r, "Cannot send InterfacesAdded: %m");
                return;
        }
        if (n) {
                (void) sd_bus_emit_properties_changed_strv(
                                dbus->bus, path, VW_INTERFACE_APP, (char **) (uintptr_t) changed);
        }
        if (n_probe) {
                (void) sd_bus_emit_properties_changed_strv(
                                dbus->bus, path, VW_INTERFACE_PROBE, (char **) (uintptr_t) probe);
        }
}

bool dbus_apps_flush(struct dbus *dbus) {
        struct dbus_app *app;

        for (unsigned int i = 0; i < FLUSH_MAX && !list_is_empty(&dbus->dirty_apps); i++) {
                if (!dbus_may_send(dbus))
                        return true;
                app = list_first(&dbus->dirty_apps, struct dbus_app, dirty);
                list_remove(&app->dirty);
                tell(dbus, app);
        }
        return !list_is_empty(&dbus->dirty_apps);
}

/* ---- life ---- */

static void note_bound(const struct app *app, void *userdata) {
        (void) told_app_get(userdata, app->slug); /* no memory: it is announced when it changes */
}

void dbus_apps_begin(struct dbus *dbus) {
        const char *changed[DBUS_PROBE_TOLD];
        struct dbus_app *app;

        apps_for_each(dbus->api->apps, note_bound, dbus);
        map_for_each(app, dbus->apps) {
                (void) bindings_differ(dbus, app, changed);
                (void) dbus_probe_differs(dbus, app, changed);
                list_remove(&app->dirty);
                app->announced = true;
                app->moved = false;
        }
}

/* The workloads' side is gone already. */
void dbus_apps_clear(struct dbus *dbus) {
        struct dbus_app *app;

        map_for_each(app, dbus->apps) {
                (void) map_remove(dbus->apps, app->slug);
                told_app_free(app);
        }
}

int dbus_apps_init(struct dbus *dbus) {
        list_init(&dbus->dirty_apps);
        return map_new(&dbus->apps);
}

void dbus_apps_done(struct dbus *dbus) {
        if (dbus->apps)
                dbus_apps_clear(dbus);
        dbus->apps = map_free(dbus->apps);
}
