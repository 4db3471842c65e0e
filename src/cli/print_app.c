/* The tables of apps and of their requests. As in print.c, nothing is taken to be of the type it
 * should be. */

#include <string.h>

#include "base/text.h"
#include "cli/cells.h"
#include "cli/cli.h"

/* "tier=web": of containers. */
static int labels_of(struct json_object *labels, struct buf *names) {
        int r = 0;

        if (!json_object_is_type(labels, json_type_object))
                return 0;
        json_object_object_foreach(labels, name, value) {
                const char *text = json_object_get_string(value);

                r = buf_printf(names, "%s%s=%s", names->size ? ", " : "", name, text ? text : "?");
                if (r < 0)
                        break;
        }
        return r;
}

/* "a, b, c": what is named by each list, one behind the other. */
static int names_of(struct json_object *app, struct buf *names) {
        static const char *const lists[] = { "vm_names", "containers", "hosts" };
        int r = 0;

        for (size_t l = 0; r >= 0 && l < ARRAY_SIZE(lists); l++) {
                struct json_object *list = json_get(app, lists[l]);

                for (size_t i = 0; r >= 0 && i < json_length(list); i++) {
                        const char *name =
                                        json_object_get_string(json_object_array_get_idx(list, i));

                        r = buf_printf(names, "%s%s", names->size ? ", " : "", name ? name : "?");
                }
        }
        return r < 0 ? r : labels_of(json_get(app, "labels"), names);
}

void print_apps(const struct cli *cli, struct json_object *apps) {
        if (cli->json) {
                print_json(apps);
                return;
        }
        (void) printf("%-24s  %-6s  %9s  %s\n", "SLUG", "BY", "WORKLOADS", "BOUND TO");
        if (json_length(apps) == 0)
                (void) fprintf(stderr, "virtwatch: there is no app yet\n");
        for (size_t i = 0; i < json_length(apps); i++) {
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
                                        json_length(json_get(app, "workloads")), shown);
                }
        }
}

/* "12.3", or "-" for what is not a number. */
static void print_number(struct json_object *row, const char *name) {
        struct json_object *value = json_get(row, name);

        if (json_object_is_type(value, json_type_int) ||
                        json_object_is_type(value, json_type_double))
                (void) printf("  %8.1f", json_object_get_double(value));
        else
                (void) printf("  %8s", "-");
}

/* "Importing logs: 1200 of 5120 MiB (23 %)": the table below grows meanwhile. */
static void print_import(struct json_object *import) {
        const int64_t done = json_get_int(import, "done_bytes", 0),
                      total = json_get_int(import, "total_bytes", 0);

        if (total > 0 && done >= 0 && done <= total) {
                (void) printf("Importing logs: %jd of %jd MiB (%.0f %%); what follows is not all yet\n",
                                (intmax_t) (done >> 20), (intmax_t) (total >> 20),
                                100 * ((double) done / (double) total));
        }
}

/* An empty table says neither of what, nor why. */
static void print_no_requests(struct json_object *analytics) {
        const char *slug = json_get_string(analytics, "slug");
        _cleanup_(freep) char *shown = text_escape_terminal(slug ? slug : "it");

        (void) fprintf(stderr,
                        "virtwatch: no requests to %s in these %jd days; those to the hosts that it is bound to are counted\n",
                        shown ? shown : "it", (intmax_t) json_get_int(analytics, "days", 7));
}

void print_analytics(const struct cli *cli, struct json_object *analytics) {
        static const char *const counts[] = { "requests", "status_2xx", "status_3xx", "status_4xx",
                "status_5xx" };
        struct json_object *rows = json_get(analytics, "rollups");

        if (cli->json) {
                print_json(analytics);
                return;
        }
        print_import(json_get(analytics, "import"));
        (void) printf("%-10s  %10s  %10s  %10s  %10s  %10s  %8s  %8s  %12s\n", "DATE", "REQUESTS",
                        "2xx", "3xx", "4xx", "5xx", "P50 ms", "P95 ms", "BYTES OUT");
        if (json_length(rows) == 0)
                print_no_requests(analytics);
        for (size_t i = 0; i < json_length(rows); i++) {
                struct json_object *row = json_object_array_get_idx(rows, i);
                const char *date = json_get_string(row, "date");
                _cleanup_(freep) char *cell = cells_pad(date ? date : "?", 10);

                (void) printf("%s", cell ? cell : "");
                for (size_t c = 0; c < ARRAY_SIZE(counts); c++)
                        (void) printf("  %10jd", (intmax_t) json_get_int(row, counts[c], 0));
                print_number(row, "p50_ms");
                print_number(row, "p95_ms");
                (void) printf("  %12jd\n", (intmax_t) json_get_int(row, "bytes_out", 0));
        }
}
