/* Apps as they are written down and matched. */

#include "model/app.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"

bool app_slug_is_valid(const char *slug) {
        size_t n = strspn(slug, "abcdefghijklmnopqrstuvwxyz0123456789-");

        return n > 0 && n <= APP_SLUG_MAX && slug[n] == '\0' && slug[0] != '-';
}

static void list_done(struct app_list *list) {
        for (size_t i = 0; i < list->n; i++)
                free(list->items[i]);
        list->n = 0;
}

struct app *app_free(struct app *app) {
        if (!app)
                return NULL;
        list_done(&app->vms);
        list_done(&app->containers);
        list_done(&app->hosts);
        list_done(&app->label_names);
        list_done(&app->label_values);
        free(app);
        return NULL;
}

/* ---- reading ---- */

static int add(struct app_list *list, const char *text) {
        list->items[list->n] = strdup(text);
        if (!list->items[list->n])
                return -ENOMEM;
        list->n++;
        return 0;
}

static bool is_name(const char *text) {
        for (const char *c = text; *c; c++)
                if ((unsigned char) *c < ' ' || *c == 0x7f)
                        return false;
        return text[0] && strlen(text) <= APP_NAME_MAX;
}

static bool is_port(const char *text) {
        uint64_t port;

        return strlen(text) <= 5 && text_to_u64(text, &port) >= 0 && port >= 1 && port <= 65535;
}

/* Letters, digits, hyphens and dots, and a port; or an address in brackets. */
static bool is_host(const char *text) {
        static const char name_bytes[] =
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
        const bool bracketed = text[0] == '[';
        size_t n = strcspn(text, bracketed ? "]" : ":");
        char address[INET6_ADDRSTRLEN];
        struct in6_addr six;

        if (bracketed) {
                if (text[n] != ']' || n > sizeof(address))
                        return false;
                memcpy(address, text + 1, n - 1);
                address[n - 1] = '\0';
                if (inet_pton(AF_INET6, address, &six) != 1)
                        return false;
                n++;
        } else if (n == 0 || n > 253 || strspn(text, name_bytes) != n) {
                return false;
        }
        return !text[n] || (text[n] == ':' && is_port(text + n + 1));
}

static int take_item(struct app_list *list, struct json_object *item, const char *member,
                bool (*is_valid)(const char *text), struct diag *diag) {
        static const char names
                        [] = "wants names of 1 to 512 bytes without control characters",
                   hosts[] = "wants host names or addresses, IPv6 in brackets, with or without a port";
        const char *text = json_whole_string(item);

        if (!text || !is_valid(text))
                return diag_refuse(diag, member, is_valid == is_host ? hosts : names);
        if (list->n >= APP_ITEMS_MAX)
                return diag_refuse(diag, member, "has more than 64 items");
        return add(list, text);
}

static int take_list(struct app_list *list, struct json_object *value, const char *member,
                bool (*is_valid)(const char *text), struct diag *diag) {
        int r = 0;

        if (!json_object_is_type(value, json_type_array))
                return diag_refuse(diag, member, "wants a list of names");
        for (size_t i = 0; r >= 0 && i < json_object_array_length(value); i++)
                r = take_item(list, json_object_array_get_idx(value, i), member, is_valid, diag);
        return r;
}

static int take_labels(struct app *app, struct json_object *value, struct diag *diag) {
        int r = 0;

        if (!json_object_is_type(value, json_type_object))
                return diag_refuse(diag, "labels", "wants an object of names and values");
        json_object_object_foreach(value, name, label) {
                const char *text = json_whole_string(label);

                if (!is_name(name) || !text || strlen(text) > APP_NAME_MAX)
                        return diag_refuse(diag, "labels",
                                        "wants names and values of at most 512 bytes");
                if (app->label_names.n >= APP_ITEMS_MAX)
                        return diag_refuse(diag, "labels", "has more than 64 items");
                r = add(&app->label_names, name);
                if (r >= 0)
                        r = add(&app->label_values, text);
                if (r < 0)
                        return r;
        }
        return 0;
}

const char *app_member_suggest(const char *name) {
        static const char *const members[] = { "vm_name", "vm_names", "container", "containers",
                "labels", "hosts" };
        const char *found = NULL;
        size_t best = 3, distance;

        for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
                distance = text_distance(name, members[i]);
                if (distance < best) {
                        best = distance;
                        found = members[i];
                }
        }
        return found;
}

static int take_member(
                struct app *app, const char *name, struct json_object *value, struct diag *diag) {
        const char *near;

        if (strcmp(name, "slug") == 0) {
                if (json_object_is_type(value, json_type_string) &&
                                strcmp(json_object_get_string(value), app->slug) == 0)
                        return 0;
                return diag_refuse(diag, name, "is another than the one in the path");
        }
        if (strcmp(name, "vm_name") == 0)
                return take_item(&app->vms, value, name, is_name, diag);
        if (strcmp(name, "vm_names") == 0)
                return take_list(&app->vms, value, name, is_name, diag);
        if (strcmp(name, "container") == 0)
                return take_item(&app->containers, value, name, is_name, diag);
        if (strcmp(name, "containers") == 0)
                return take_list(&app->containers, value, name, is_name, diag);
        if (strcmp(name, "hosts") == 0)
                return take_list(&app->hosts, value, name, is_host, diag);
        if (strcmp(name, "labels") == 0)
                return take_labels(app, value, diag);
        near = app_member_suggest(name);
        diag_set(diag, 0, 0, "%.64s: there is no such member; %s%s%s", name,
                        near ? "did you mean '"
                             : "there are vm_name, vm_names, container, containers, labels and hosts",
                        near ? near : "", near ? "'?" : "");
        return -EINVAL;
}

int app_parse(const char *slug, struct json_object *object, struct diag *diag,
                struct app **ret_app) {
        _cleanup_(app_freep) struct app *app = NULL;
        int r;

        if (!app_slug_is_valid(slug))
                return diag_refuse(diag, "slug", "wants " APP_SLUG_FORM);
        app = calloc(1, sizeof(*app));
        if (!app)
                return -ENOMEM;
        memcpy(app->slug, slug, strlen(slug) + 1);
        json_object_object_foreach(object, name, value) {
                r = take_member(app, name, value, diag);
                if (r < 0)
                        return r;
        }
        *ret_app = TAKE_PTR(app);
        return 0;
}

/* ---- writing ---- */

static struct json_object *list_to_json(const struct app_list *list) {
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < list->n; i++)
                (void) json_object_array_add(array, json_object_new_string(list->items[i]));
        return array;
}

struct json_object *app_to_json(const struct app *app) {
        struct json_object *object = json_object_new_object(), *labels = json_object_new_object();

        (void) json_add_string(object, "slug", app->slug);
        (void) json_add(object, "vm_names", list_to_json(&app->vms));
        (void) json_add(object, "containers", list_to_json(&app->containers));
        for (size_t i = 0; i < app->label_names.n; i++)
                (void) json_add_string(
                                labels, app->label_names.items[i], app->label_values.items[i]);
        (void) json_add(object, "labels", labels);
        (void) json_add(object, "hosts", list_to_json(&app->hosts));
        return object;
}

/* ---- matching ---- */

static bool list_has(const struct app_list *list, const char *text) {
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->items[i], text) == 0)
                        return true;
        return false;
}

static bool has_label(const struct workload *workload, const char *name, const char *value) {
        struct json_object *label;

        return workload->labels && json_object_object_get_ex(workload->labels, name, &label) &&
                        text_equal(json_object_get_string(label), value);
}

static bool has_labels(const struct app *app, const struct workload *workload) {
        for (size_t i = 0; i < app->label_names.n; i++)
                if (!has_label(workload, app->label_names.items[i], app->label_values.items[i]))
                        return false;
        return app->label_names.n > 0;
}

bool app_has(const struct app *app, const struct workload *workload) {
        switch (workload->kind) {
        case WORKLOAD_VM:
                return list_has(&app->vms, workload->name) || list_has(&app->vms, workload->id);
        case WORKLOAD_CONTAINER:
                return list_has(&app->containers, workload->name) ||
                                list_has(&app->containers, workload->id) ||
                                has_labels(app, workload);
        default:
                return false;
        }
}
