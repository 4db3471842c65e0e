/* The table of nodes. As in print.c, nothing is taken to be of the type it should be. */

#include <string.h>

#include "cli/cells.h"
#include "cli/cli.h"

#define GIB        (1024.0 * 1024 * 1024)
#define NUMBER_MAX 320 /* the longest double without an exponent */

/* A text, harmless, at least so many columns wide; blank for what is none. Caller frees. */
static char *shown(struct json_object *object, const char *name, size_t columns) {
        const char *text = json_get_string(object, name);
        char *cell = cells_pad(text ? text : "", columns);

        return cell ? cell : strdup("?");
}

/* "12.3", or "-" for what is not a number. */
static const char *number(
                struct json_object *object, const char *path, char text[static NUMBER_MAX]) {
        struct json_object *value = json_get(object, path);

        if (json_object_is_type(value, json_type_int) ||
                        json_object_is_type(value, json_type_double))
                (void) snprintf(text, NUMBER_MAX, "%.1f", json_object_get_double(value));
        else
                (void) snprintf(text, NUMBER_MAX, "-");
        return text;
}

static void print_uptime(struct json_object *node) {
        struct json_object *value = json_get(node, "uptime_secs");
        double seconds = value ? json_object_get_double(value) : -1;

        if (!(seconds >= 0 && seconds < 1e12))
                (void) printf("%8s", "-");
        else if (seconds < 86400)
                (void) printf("%5d:%02d", (int) seconds / 3600, (int) seconds % 3600 / 60);
        else
                (void) printf("%7jdd", (intmax_t) seconds / 86400);
}

void print_nodes(const struct cli *cli, struct json_object *nodes) {
        size_t n = json_length(nodes);

        if (cli->json) {
                print_json(nodes);
                return;
        }
        (void) printf("%-20s  %-14s  %-9s  %4s  %5s  %9s  %9s  %5s  %5s  %6s  %8s  %s\n", "NAME",
                        "ROLE", "STATUS", "CPUS", "CPU%", "USED GiB", "OF GiB", "MEM%", "DISK%",
                        "LOAD", "UPTIME", "WORKLOADS");
        for (size_t i = 0; i < n; i++) {
                struct json_object *node = json_object_array_get_idx(nodes, i);
                _cleanup_(freep) char *name = shown(node, "name", 20),
                                      *role = shown(node, "role", 14),
                                      *state = shown(node, "status", 9);
                char cpu[NUMBER_MAX], memory[NUMBER_MAX], disk[NUMBER_MAX], load[NUMBER_MAX];

                (void) printf("%s  %s  %s  %4jd  %5s  %9.1f  %9.1f  %5s  %5s  %6s  ", name, role,
                                state, (intmax_t) json_get_int(node, "cpu_cores", 0),
                                number(node, "sample/cpu_pct", cpu),
                                (double) json_get_int(node, "memory_used_bytes", 0) / GIB,
                                (double) json_get_int(node, "memory_total_bytes", 0) / GIB,
                                number(node, "sample/mem_pct", memory),
                                number(node, "sample/disk_pct", disk),
                                number(node, "load/1m", load));
                print_uptime(node);
                (void) printf("  %jd\n", (intmax_t) json_get_int(node, "pod_count", 0));
        }
}
