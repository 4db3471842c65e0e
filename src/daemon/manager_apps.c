/* What people tell the daemon, apps and events, on its way to the store. */

#include <string.h>

#include "api/dbus.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/manager_internal.h"
#include "model/post_keys.h"

#define POST_KEYS_MAX 65536 /* said in virtwatch-http(7) */

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

static int restore_post(const char *seq, const char *origin, void *userdata) {
        uint64_t number;
        int r;

        r = text_to_u64(seq, &number);
        return r < 0 ? r : post_keys_put(((struct manager *) userdata)->post_keys, origin, number);
}

static int load_posts(struct manager *manager) {
        int r;

        r = post_keys_new(POST_KEYS_MAX, &manager->post_keys);
        if (r < 0)
                return r;
        r = journal_load_posts(manager->journal, POST_KEYS_MAX, restore_post, manager);
        if (r < 0)
                (void) log_error_errno(r, "Cannot read which events were posted: %m");
        return r == -ENOMEM ? r : 0;
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
        return r == -ENOMEM ? r : load_posts(manager);
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

/* The oldest leave the journal, and their keys with them. */
uint64_t manager_posted(const char *origin, void *userdata) {
        struct manager *manager = userdata;
        uint64_t seq = post_keys_get(manager->post_keys, origin),
                 first = journal_first_seq(manager->journal);

        if (seq > journal_last_seq(manager->journal))
                return seq; /* on its way to the disk */
        return first > 0 && seq >= first ? seq : 0;
}

int manager_post(struct event *event, void (*done)(struct event *event, void *userdata),
                void *done_userdata, void *userdata) {
        struct manager *manager = userdata;
        int r;

        if (event->origin[0] && manager_posted(event->origin, manager))
                return -EALREADY;
        r = journal_append(manager->journal,
                        &(struct journal_entry){
                                        .event = event_ref(event),
                                        .done = done,
                                        .userdata = done_userdata,
                        });
        if (r < 0)
                return r;
        if (event->origin[0]) /* no memory: then it is stored again if it is sent again */
                (void) post_keys_put(manager->post_keys, event->origin, event->seq);
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
