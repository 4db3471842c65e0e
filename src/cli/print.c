/* Lines and tables for people. Names and messages are the guests' and containers': control
 * characters are shown, not obeyed. */

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"

static const char *color_of(const struct cli *cli, const char *severity) {
        if (!cli->color || !severity)
                return "";
        if (strcmp(severity, "error") == 0)
                return "\033[31m";
        return strcmp(severity, "warning") == 0 ? "\033[33m" : "";
}

static char *field(struct json_object *object, const char *name) {
        const char *text = json_get_string(object, name);

        return text_escape_terminal(text ? text : "");
}

static void local_time(const char *rfc3339, char *text, size_t size) {
        uint64_t time_us = 0;
        struct tm tm = {};
        time_t seconds;

        text[0] = '\0';
        if (!rfc3339 || clock_parse_rfc3339(rfc3339, &time_us) < 0)
                return;
        seconds = (time_t) (time_us / USEC_PER_SEC);
        (void) localtime_r(&seconds, &tm);
        (void) strftime(text, size, "%b %d %H:%M:%S", &tm);
}

void print_event(const struct cli *cli, struct json_object *event) {
        _cleanup_(freep) char *kind = field(event, "kind"), *name = field(event, "name"),
                              *action = field(event, "action"), *message = field(event, "message");
        const char *warning = json_get_string(event, "warning"),
                   *color = color_of(cli, json_get_string(event, "severity"));
        char time[32];

        if (cli->json) {
                (void) printf("%s\n", json_text(event));
                (void) fflush(stdout);
                return;
        }
        if (warning) {
                (void) printf("-- %s --\n", warning);
                (void) fflush(stdout);
                return;
        }
        local_time(json_get_string(event, "timestamp"), time, sizeof(time));
        (void) printf("%s  %-9s  %-20s  %s%-11s%s  %s%s\n", time, kind ? kind : "",
                        name ? name : "", color, action ? action : "", color[0] ? "\033[0m" : "",
                        message ? message : "",
                        json_get_bool(event, "synthetic", false) ? " [made up for the time away]"
                                                                 : "");
        (void) fflush(stdout);
}

void print_workloads(const struct cli *cli, struct json_object *workloads) {
        if (cli->json) {
                (void) printf("%s\n", json_text(workloads));
                return;
        }
        (void) printf("%-14s  %-20s  %-9s  %-8s  %-8s  %-15s  %s\n", "ID", "NAME", "KIND",
                        "RUNTIME", "STATE", "SINCE", "LAST EXIT");
        for (size_t i = 0; i < json_object_array_length(workloads); i++) {
                struct json_object *workload = json_object_array_get_idx(workloads, i);
                _cleanup_(freep) char *id = field(workload, "id"), *name = field(workload, "name"),
                                      *kind = field(workload, "kind"),
                                      *runtime = field(workload, "runtime"),
                                      *state = field(workload, "state");
                const char *action = json_get_string(workload, "last_exit/action"),
                           *reason = json_get_string(workload, "last_exit/reason");
                char since[32];

                local_time(json_get_string(workload, "since"), since, sizeof(since));
                (void) printf("%-14.12s  %-20s  %-9s  %-8s  %-8s  %-15s  %s%s%s%s\n", id, name,
                                kind, runtime, state, since, action ? action : "",
                                reason ? " (" : "", reason ? reason : "", reason ? ")" : "");
        }
}

void print_status(const struct cli *cli, struct json_object *ready, struct json_object *health,
                struct json_object *version, struct json_object *workloads) {
        struct json_object *sources = json_get(ready, "sources");
        size_t n = json_object_array_length(workloads), running = 0;

        for (size_t i = 0; i < n; i++) {
                const char *state =
                                json_get_string(json_object_array_get_idx(workloads, i), "state");

                running += state && strcmp(state, "running") == 0;
        }
        if (cli->json) {
                _cleanup_(json_putp) struct json_object *object = json_object_new_object();

                (void) json_add(object, "ready", json_object_get(json_get(ready, "ready")));
                (void) json_add(object, "version", json_object_get(json_get(version, "version")));
                (void) json_add(object, "node", json_object_get(json_get(version, "node")));
                (void) json_add(object, "uptime_secs",
                                json_object_get(json_get(health, "uptime_secs")));
                (void) json_add_uint(object, "workloads", n);
                (void) json_add_uint(object, "running", running);
                (void) json_add(object, "sources", json_object_get(sources));
                (void) printf("%s\n", json_text(object));
                return;
        }
        (void) printf("Node       %s\nVersion    %s\nReady      %s\nUptime     %jd s\nWorkloads  %zu, %zu running\n",
                        json_get_string(version, "node"), json_get_string(version, "version"),
                        json_get_bool(ready, "ready", false) ? "yes" : "no",
                        (intmax_t) json_get_int(health, "uptime_secs", 0), n, running);
        json_object_object_foreach(sources, name, source) {
                _cleanup_(freep) char *error = field(source, "error"),
                                      *shown = text_escape_terminal(name);

                (void) printf("Source     %-10s  %s%s%s\n", json_get_string(source, "state"),
                                shown ? shown : "", error && error[0] ? ": " : "",
                                error ? error : "");
        }
}
