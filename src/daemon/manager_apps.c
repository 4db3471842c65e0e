/* What people tell the daemon, apps and events, on its way to the store. */

#include <string.h>

#include "api/dbus.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/manager_internal.h"

static int load_app(const char *slug, const char *document, void *userdata) {
        _cleanup_(json_putp) struct json_object *object = NULL;
        _cleanup_(app_freep) struct app *app = NULL;
        struct manager *manager = userdata;
        struct diag diag = {};
        int r;

        r = json_parse(document, strlen(document), &object);
        if (r >= 0)
                r = app_parse(slug, object, &diag, &app);
        if (r >= 0)
                r = apps_put(manager->apps, app);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                log_warn_errno(r, "Cannot restore app %s, skipped: %m", slug);
        else
                app = NULL;
        return 0;
}

static void tell_app(const char *slug, void *userdata) {
        struct manager *manager = userdata;

        if (manager->dbus)
                dbus_app_changed(manager->dbus, slug);
}

void manager_configure_apps(struct manager *manager) {
        int r;

        r = apps_configure(manager->apps, manager->config.apps.items, manager->config.apps.n,
                        tell_app, manager);
        if (r < 0)
                log_warn_errno(r, "Cannot bind all apps of the configuration: %m");
        manager->config.apps.n = 0; /* they were taken */
        manager_note_hosts(manager);
}

int manager_load_apps(struct manager *manager) {
        int r;

        r = apps_new(&manager->apps);
        if (r < 0)
                return r;
        r = journal_load_documents(manager->journal, "app", load_app, manager);
        if (r < 0)
                (void) log_error_errno(r, "Cannot read the stored apps: %m");
        manager_configure_apps(manager);
        return r == -ENOMEM ? r : 0;
}

void manager_restored(const char *kind, const char *id, const char *document, void *userdata) {
        struct manager *manager = userdata;

        if (strcmp(kind, "app") == 0 && !apps_get(manager->apps, id)) {
                (void) load_app(id, document, manager);
                manager_app_changed(id, manager);
        } else if (strcmp(kind, "token") == 0) {
                (void) manager_load_token(id, document, manager);
        } else if (strcmp(kind, "probe") == 0 && manager->prober &&
                        !prober_get(manager->prober, id)) {
                (void) manager_load_probe(id, document, manager);
        }
}

const char *manager_slug_of(const struct workload *workload, void *userdata) {
        struct manager *manager = userdata;

        return manager->apps ? apps_slug_of(manager->apps, workload) : NULL;
}

int manager_post(struct event *event, void (*done)(struct event *event, void *userdata),
                void *done_userdata, void *userdata) {
        struct manager *manager = userdata;
        int r;

        if (event->origin[0] && tracker_has_origin(manager->tracker, event->source, event->origin))
                return -EALREADY;
        r = journal_append(manager->journal,
                        &(struct journal_entry){
                                        .event = event_ref(event),
                                        .done = done,
                                        .userdata = done_userdata,
                        });
        if (r < 0)
                return r;
        if (event->origin[0])
                (void) tracker_restore_origin(manager->tracker, event->source, event->origin);
        return 0;
}

int manager_keep(const char *kind, const char *id, const char *document, struct event *event,
                void (*done)(struct event *event, void *userdata), void *done_userdata,
                void *userdata) {
        struct manager *manager = userdata;

        return journal_append(manager->journal,
                        &(struct journal_entry){
                                        .event = event,
                                        .document_kind = kind,
                                        .document_id = id,
                                        .document = document,
                                        .done = done,
                                        .userdata = done_userdata,
                        });
}

void manager_app_changed(const char *slug, void *userdata) {
        tell_app(slug, userdata);
        manager_note_hosts(userdata);
}
