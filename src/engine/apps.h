#pragma once
/* Which app a workload or a host name belongs to: by a binding that somebody made, else by the
 * workload's own label "virtwatch.slug" (of a VM: its metadata), else by its compose project. A
 * binding of the configuration hides one of the same slug that was made over REST. Where several
 * apps name the same, the configuration's come first, then the first by slug. Names, labels and
 * hosts are hashed: looking up costs the same however many apps there are. Loop thread only. */

#include "model/app.h"

struct apps;

#define APPS_MAX 5000

int apps_new(struct apps **ret_apps);
struct apps *apps_free(struct apps *apps);
DEFINE_FREEP(struct apps, apps_free);

/**
 * Bind; takes @app, in place of what was bound to its slug in the same way (app->configured or
 * not).
 *
 * Return: 0; -ENOSPC; -ENOMEM, @app is still the caller's.
 */
int apps_put(struct apps *apps, struct app *app);
/** Take back what was not configured. Return: 0; -ENOENT. */
int apps_remove(struct apps *apps, const char *slug);
/**
 * Replace what the configuration binds by @items, each of which is taken and its place set to NULL.
 *
 * @changed: called for every slug whose binding is another now, once all are; may be NULL
 *
 * Return: 0; -ENOSPC, -ENOMEM some are not bound, and were freed.
 */
int apps_configure(struct apps *apps, struct app **items, size_t n,
                void (*changed)(const char *slug, void *userdata), void *userdata);
/** NULL: nobody bound it. */
const struct app *apps_get(const struct apps *apps, const char *slug);
size_t apps_size(const struct apps *apps);
/** Call @each for every binding, in order of slug. */
void apps_for_each(const struct apps *apps, void (*each)(const struct app *app, void *userdata),
                void *userdata);

/** The slug of @workload; borrowed until the next change of either; NULL: none. */
const char *apps_slug_of(const struct apps *apps, const struct workload *workload);
