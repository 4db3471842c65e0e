#pragma once
/* Which app a workload or a host name belongs to: by a binding that somebody made, else by the
 * workload's own label "virtwatch.slug", else by its compose project. Loop thread only. */

#include "model/app.h"

struct apps;

#define APPS_MAX 5000

int apps_new(struct apps **ret_apps);
struct apps *apps_free(struct apps *apps);
DEFINE_FREEP(struct apps, apps_free);

/** Bind; takes @app, in place of what was bound to its slug. Return: 0; -ENOSPC; -ENOMEM. */
int apps_put(struct apps *apps, struct app *app);
/** Return: 0; -ENOENT. */
int apps_remove(struct apps *apps, const char *slug);
/** NULL: nobody bound it. */
const struct app *apps_get(const struct apps *apps, const char *slug);
size_t apps_size(const struct apps *apps);
/** Call @each for every binding, in order of slug. */
void apps_for_each(const struct apps *apps, void (*each)(const struct app *app, void *userdata),
                void *userdata);

/** The slug of @workload; borrowed until the next change of either; NULL: none. */
const char *apps_slug_of(const struct apps *apps, const struct workload *workload);
/** The slug that @host (from a request) belongs to; NULL: none. */
const char *apps_slug_of_host(const struct apps *apps, const char *host);
