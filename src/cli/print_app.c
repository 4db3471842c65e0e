/* The table of apps. As in print.c, nothing is taken to be of the type it should be. */

#include <string.h>

#include "base/text.h"
#include "cli/cells.h"
#include "cli/cli.h"

static size_t length(struct json_object *array) {
        return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

/* "a,b,c": what is named by each list, one behind the other. */
static int names_of(struct json_object *app, struct buf *names) {
        static const char *const lists[] = { "vm_names", "containers", "hosts" };
        int r = 0;

        for (size_t l = 0; r >= 0 && l < ARRAY_SIZE(lists); l++) {
                struct json_object *list = json_get(app, lists[l]);

                for (size_t i = 0; r >= 0 && i < length(list); i++) {
                        const char *name =
                                        json_object_get_string(json_object_array_get_idx(list, i));

                        r = buf_printf(names, "%s%s", names->size ? ", " : "", name ? name : "?");
                }
        }
        return r;
}

void print_apps(const struct cli *cli, struct json_object *apps) {
        if (cli->json) {
                print_json(apps);
                return;
        }
        (void) printf("%-24s  %-6s  %9s  %s\n", "SLUG", "BY", "WORKLOADS", "BOUND TO");
        for (size_t i = 0; i < length(apps); i++) {
                struct json_object *app = json_object_array_get_idx(apps, i);
                const char *slug = json_get_string(app, "slug"),
                           *origin = json_get_string(app, "origin");
                _cleanup_(freep) char *slug_cell = cells_pad(slug ? slug : "?", 24),
                                      *origin_cell = cells_pad(origin ? origin : "", 6);
                _cleanup_(buf_done) struct buf names = BUF_INIT(1U << 20);
                _cleanup_(freep) char *shown = NULL;

                (void) names_of(app, &names);
                shown = text_escape_terminal(names.data ? names.data : "");
                if (slug_cell && origin_cell && shown) {
                        (void) printf("%s  %s  %9zu  %s\n", slug_cell, origin_cell,
                                        length(json_get(app, "workloads")), shown);
                }
        }
}
