/* /org/virtwatch1/app/SLUG: what is bound to a slug, or what labels say. */

#include <string.h>

#include "api/dbus_internal.h"
#include "api/view_app.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "engine/analytics.h"
#include "engine/apps.h"
#include "model/probe.h"
#include "store/journal.h"
#include "virtwatch/virtwatch.h"

#define ROLLUP_DAYS_MAX 366

char *dbus_app_path(const char *slug) {
        char *path = NULL;

        return sd_bus_path_encode(DBUS_APP_PREFIX, slug, &path) < 0 ? NULL : path;
}

/* It may be gone, and the bus not told yet. */
static bool is_there(struct dbus *dbus, const struct dbus_app *app) {
        return app->n_members > 0 || apps_get(dbus->api->apps, app->slug);
}

static int find_app(sd_bus *bus, const char *path, const char *interface, void *userdata,
                void **ret_found, sd_bus_error *error) {
        _cleanup_(freep) char *slug = NULL;
        struct dbus *dbus = userdata;
        struct dbus_app *app;

        if (sd_bus_path_decode(path, DBUS_APP_PREFIX, &slug) <= 0)
                return 0;
        app = map_get(dbus->apps, slug);
        *ret_found = app;
        return app && is_there(dbus, app);
}

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                sd_bus_error *error) {
        struct dbus *dbus = userdata;
        struct dbus_app *app;
        char **nodes;
        size_t n = 0;

        nodes = calloc(map_size(dbus->apps) + 1, sizeof(*nodes));
        if (!nodes)
                return -ENOMEM;
        map_for_each(app, dbus->apps) {
                nodes[n] = is_there(dbus, app) ? dbus_app_path(app->slug) : NULL;
                if (nodes[n])
                        n++;
        }
        *ret_nodes = nodes;
        return 1;
}

static const struct app *binding_of(sd_bus *bus, const struct dbus_app *app) {
        return apps_get(dbus_of(bus)->api->apps, app->slug);
}

/* ---- size ---- */

static size_t list_size(const struct app_list *list) {
        size_t size = 0;

        for (size_t i = 0; i < list->n; i++)
                size += strlen(list->items[i]) + 8;
        return size;
}

static size_t app_size(struct dbus *dbus, const struct dbus_app *app) {
        const struct app *binding = apps_get(dbus->api->apps, app->slug);
        struct dbus_member *member;
        size_t size = 1024 + PROBE_TARGET_MAX + PROBE_ERROR_MAX; /* and the names of all */

        if (binding) {
                size += list_size(&binding->vms) + list_size(&binding->containers) +
                                list_size(&binding->hosts);
        }
        list_for_each(member, &app->members, list)
                size += 48 + 3 * strlen(member->id);
        return size;
}

size_t dbus_apps_size(struct dbus *dbus, bool whole) {
        struct dbus_app *app;
        size_t size = 0;

        map_for_each(app, dbus->apps)
                size += 128 + (whole ? app_size(dbus, app) : APP_HOST_MAX);
        return size;
}

/* ---- properties ---- */

DBUS_PROPERTY(slug) {
        return dbus_append_text(reply, ((const struct dbus_app *) userdata)->slug);
}

static int append_list(sd_bus_message *reply, const struct app_list *list) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; r >= 0 && list && i < list->n; i++)
                r = dbus_append_text(reply, list->items[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

DBUS_PROPERTY(vm_names) {
        const struct app *binding = binding_of(bus, userdata);

        return append_list(reply, binding ? &binding->vms : NULL);
}

DBUS_PROPERTY(containers) {
        const struct app *binding = binding_of(bus, userdata);

        return append_list(reply, binding ? &binding->containers : NULL);
}

DBUS_PROPERTY(hosts) {
        const struct app *binding = binding_of(bus, userdata);

        return append_list(reply, binding ? &binding->hosts : NULL);
}

DBUS_PROPERTY(workloads) {
        const struct dbus_app *app = userdata;
        struct dbus_member *member;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "o");
        list_for_each(member, &app->members, list) {
                _cleanup_(freep) char *of = dbus_workload_path(member->id);

                if (r >= 0)
                        r = of ? sd_bus_message_append(reply, "o", of) : -ENOMEM;
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* ---- methods ---- */

static int method_get_events(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const struct dbus_app *app = userdata;
        struct journal_query query = { .newest_first = true, .filter.slug = app->slug };
        uint32_t limit;
        int r;

        r = sd_bus_message_read(message, "u", &limit);
        if (r < 0)
                return r;
        if (limit < 1 || limit > VW_EVENTS_PAGE_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "limit is 1 to %d",
                                VW_EVENTS_PAGE_MAX);
        query.limit = limit;
        return dbus_read_events(dbus_of(sd_bus_message_get_bus(message)), message, &query, error);
}

static int append_row(sd_bus_message *reply, const struct analytics_row *row) {
        return sd_bus_message_append(reply, "(stttttddt)", row->date, row->requests,
                        row->status_2xx, row->status_3xx, row->status_4xx, row->status_5xx,
                        row->p50_ms, row->p95_ms, row->bytes_out);
}

static int reply_rows(sd_bus_message *message, const struct analytics_row *rows, size_t n) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(stttttddt)");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = append_row(reply, &rows[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static void on_rows(int error, const struct analytics_row *rows, size_t n, void *userdata) {
        _cleanup_(dbus_call_freep) struct dbus_call *call = userdata;
        int r;

        if (!call->dbus)
                return; /* the bus it was asked on is gone */
        r = error < 0 ? dbus_call_reply_error(call,
                                        &SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_FAILED,
                                                        "The rollups cannot be read"))
                      : reply_rows(call->message, rows, n);
        if (r < 0)
                log_debug_errno(r, "Cannot answer GetRollups: %m");
}

static int method_get_rollups(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct dbus *dbus = dbus_of(sd_bus_message_get_bus(message));
        const struct app *binding = binding_of(sd_bus_message_get_bus(message), userdata);
        _cleanup_(dbus_call_freep) struct dbus_call *call = NULL;
        uint32_t days;
        int r;

        r = sd_bus_message_read(message, "u", &days);
        if (r < 0)
                return r;
        if (days < 1 || days > ROLLUP_DAYS_MAX)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "days is 1 to %d",
                                ROLLUP_DAYS_MAX);
        if (!binding || binding->hosts.n == 0 || !dbus->api->analytics)
                return reply_rows(message, NULL, 0); /* no host, no requests */
        r = dbus_may_reply(dbus, message, (size_t) days * sizeof(struct analytics_row), error);
        if (r >= 0)
                r = dbus_call_new(dbus, message, error, &call);
        if (r >= 0) {
                r = analytics_query(dbus->api->analytics,
                                (const char *const *) binding->hosts.items, binding->hosts.n, days,
                                clock_realtime_us(), on_rows, call);
        }
        if (r == -EAGAIN)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many queries at once, try again");
        if (r < 0)
                return r;
        call = NULL; /* on_rows() has it */
        return 1;
}

static int method_describe(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct dbus *dbus = dbus_of(sd_bus_message_get_bus(message));
        const struct dbus_app *app = userdata;
        _cleanup_(json_putp) struct json_object *object = view_app(dbus->api, app->slug);
        const char *text = object ? json_text(object) : NULL;
        int r;

        if (!object)
                return sd_bus_error_set(
                                error, SD_BUS_ERROR_UNKNOWN_OBJECT, "The app has just gone");
        if (!text)
                return -ENOMEM;
        r = dbus_may_reply(dbus, message, strlen(text), error);
        return r < 0 ? r : dbus_reply_text(message, text);
}

static int append_app(sd_bus_message *reply, struct dbus *dbus, const struct dbus_app *app) {
        const struct app *binding = apps_get(dbus->api->apps, app->slug);
        _cleanup_(freep) char *path = dbus_app_path(app->slug);
        int r;

        if (!path)
                return -ENOMEM;
        r = sd_bus_message_open_container(reply, 'r', "ssso");
        if (r >= 0)
                r = sd_bus_message_append(reply, "ss", app->slug,
                                binding ? binding->configured ? "config" : "api" : "label");
        if (r >= 0)
                r = dbus_append_text(
                                reply, binding && binding->hosts.n ? binding->hosts.items[0] : "");
        if (r >= 0)
                r = sd_bus_message_append(reply, "o", path);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

int dbus_method_list_apps(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        struct dbus *dbus = userdata;
        struct dbus_app *app;
        int r;

        r = dbus_may_reply(dbus, message, dbus_apps_size(dbus, false), error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ssso)");
        map_for_each(app, dbus->apps) {
                if (r >= 0 && is_there(dbus, app))
                        r = append_app(reply, dbus, app);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* ---- objects ---- */

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

/* A call of each is a span. */
DBUS_SERVE(method_get_events)
DBUS_SERVE(method_get_rollups)
DBUS_SERVE(method_describe)

static const sd_bus_vtable app_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Slug", "s", property_slug, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("VmNames", "as", property_vm_names, 0, CHANGES),
        SD_BUS_PROPERTY("Containers", "as", property_containers, 0, CHANGES),
        SD_BUS_PROPERTY("Hosts", "as", property_hosts, 0, CHANGES),
        SD_BUS_PROPERTY("Workloads", "ao", property_workloads, 0, CHANGES),
        SD_BUS_METHOD_WITH_ARGS("GetEvents", SD_BUS_ARGS("u", limit),
                        SD_BUS_RESULT("a(ttsssssa{sv})", events), serve_method_get_events,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetRollups", SD_BUS_ARGS("u", days),
                        SD_BUS_RESULT("a(stttttddt)", rollups), serve_method_get_rollups,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json),
                        serve_method_describe, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int dbus_app_export(struct dbus *dbus) {
        int r;

        r = sd_bus_add_fallback_vtable(dbus->bus, NULL, DBUS_APP_PREFIX, VW_INTERFACE_APP,
                        app_vtable, find_app, dbus);
        if (r >= 0) {
                r = sd_bus_add_fallback_vtable(dbus->bus, NULL, DBUS_APP_PREFIX, VW_INTERFACE_PROBE,
                                dbus_probe_vtable, find_app, dbus);
        }
        if (r >= 0)
                r = sd_bus_add_node_enumerator(dbus->bus, NULL, DBUS_APP_PREFIX, enumerate, dbus);
        return r;
}
