#pragma once
/* An app: a slug, and what belongs to it: VMs and containers by name, containers by label, host
 * names. Pure. */

#include <json-c/json.h>

#include "base/diag.h"
#include "model/workload.h"

/* [a-z0-9][a-z0-9-]{0,62}; in words for who wrote another. */
#define APP_SLUG_MAX  63
#define APP_SLUG_FORM "1 to 63 of a-z, 0-9 and -, not - first"

#define APP_ITEMS_MAX 64
#define APP_NAME_MAX  512
#define APP_HOST_MAX  259 /* a name of 253, and a port */

struct app_list {
        char *items[APP_ITEMS_MAX];
        size_t n;
};

struct app {
        char slug[APP_SLUG_MAX + 1];
        struct app_list vms, containers, hosts;
        struct app_list label_names, label_values; /* pairs: containers with all of them */
        bool configured;                           /* by the configuration: read-only over REST */
};

bool app_slug_is_valid(const char *slug);

/**
 * Read what binds @slug: {"vm_name"|"vm_names", "container"|"containers", "labels", "hosts"}. Names
 * that are not there are empty; other members are refused.
 *
 * Return: 0; -EINVAL with the member and what is allowed in @diag; -ENOMEM.
 */
int app_parse(const char *slug, struct json_object *object, struct diag *diag,
                struct app **ret_app);
/** The member of a binding nearest to @name, for who mistyped it; NULL: none is near. */
const char *app_member_suggest(const char *name);
struct app *app_free(struct app *app);
DEFINE_FREEP(struct app, app_free);

/** {"slug","vm_names","containers","labels","hosts"}; app_parse() takes it, without the slug. */
struct json_object *app_to_json(const struct app *app);

/** Whether @workload is one that the app names. */
bool app_has(const struct app *app, const struct workload *workload);
