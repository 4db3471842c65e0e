/* Lines and tables for people. Names and messages are the guests' and containers', and with --host
 * the server may be anybody's: control characters are shown, not obeyed, and nothing is taken to be
 * of the type it should be. */

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/cells.h"
#include "cli/cli.h"
#include "cli/rows.h"

#define ID_SHOWN_MAX     12 /* bytes */
#define NAME_COLUMNS_MIN 20
#define NAME_COLUMNS_MAX 64

static const char *color_of(const struct cli *cli, const char *severity) {
        if (!cli->color || !severity)
                return "";
        if (strcmp(severity, "error") == 0)
                return "\033[31m";
        return strcmp(severity, "warning") == 0 ? "\033[33m" : "";
}

/* What is there, harmless; "" for what is not. Caller frees. */
static char *field(struct json_object *object, const char *name) {
        const char *text = json_get_string(object, name);

        char *shown = text_escape_terminal(text ? text : "");

        return shown ? shown : strdup("?");
}

/* JSON as it is, but for DEL, C1 controls and marks of direction, which JSON lets pass and
 * terminals obey. Such bytes are only found within its strings. */
void print_json(struct json_object *object) {
        const char *text = json_text(object);

        for (const char *c = text ? text : ""; *c;) {
                unsigned int point = text_terminal_mark(c);

                if (point)
                        (void) printf("\\u%04x", point);
                else
                        (void) putchar(*c);
                c += point < 0x80 ? 1 : point < 0x800 ? 2 : 3;
        }
        (void) putchar('\n');
        (void) fflush(stdout);
}

void print_cell(const char *text, size_t columns) {
        _cleanup_(freep) char *cell = cells_pad(text ? text : "-", columns);

        (void) printf("%s  ", cell ? cell : "");
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

const char *print_when(
                const char *rfc3339, const char *otherwise, char text[static PRINT_WHEN_MAX]) {
        uint64_t time_us = 0;
        struct tm tm = {};
        time_t seconds;

        (void) snprintf(text, PRINT_WHEN_MAX, "%s", otherwise);
        if (!rfc3339 || clock_parse_rfc3339(rfc3339, &time_us) < 0)
                return text;
        seconds = (time_t) (time_us / USEC_PER_SEC);
        if (!localtime_r(&seconds, &tm) ||
                        strftime(text, PRINT_WHEN_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                (void) snprintf(text, PRINT_WHEN_MAX, "%s", otherwise);
        return text;
}

/* A text of @object, at least so many columns wide. */
static char *shown(struct json_object *object, const char *name, size_t columns) {
        const char *text = json_get_string(object, name);

        return cells_pad(text ? text : "", columns);
}

const char *print_synthetic(struct json_object *event) {
        return json_get_bool(event, "synthetic", false) ? " [found afterwards, no event told it]"
                                                        : "";
}

void print_event(const struct cli *cli, struct json_object *event) {
        _cleanup_(freep) char *kind = shown(event, "kind", 9), *name = shown(event, "name", 20),
                              *action = shown(event, "action", 11),
                              *message = field(event, "message");
        const char *color = color_of(cli, json_get_string(event, "severity"));
        char time[32];

        if (cli->json) {
                print_json(event);
                return;
        }
        if (!json_get_string(event, "action") && json_get_string(event, "warning")) {
                _cleanup_(freep) char *warning = field(event, "warning");

                (void) printf("-- %s --\n", warning ? warning : "");
                (void) fflush(stdout);
                return;
        }
        local_time(json_get_string(event, "timestamp"), time, sizeof(time));
        (void) printf("%s  %s  %s  %s%s%s  %s%s\n", time, kind ? kind : "", name ? name : "", color,
                        action ? action : "", color[0] ? "\033[0m" : "", message ? message : "",
                        print_synthetic(event));
        (void) fflush(stdout);
}

static void print_row(const struct row *row, size_t name_columns) {
        char begin[ID_SHOWN_MAX + 1]; /* may be asked for by, where no other begins so */
        _cleanup_(freep) char *id = NULL, *name = cells_pad(row->name, name_columns),
                              *kind = cells_pad(row->kind, 9),
                              *runtime = cells_pad(row->runtime, 8),
                              *state = cells_pad(row->state, 8),
                              *action = text_escape_terminal(row->action),
                              *reason = text_escape_terminal(row->reason);
        char percent[ROWS_USAGE_MAX_][ROWS_PERCENT_MAX], since[32];

        text_fit(begin, sizeof(begin), row->id);
        id = cells_pad(begin, 14);
        if (!id || !name || !kind || !runtime || !state || !action || !reason)
                return;
        for (size_t i = 0; i < ROWS_USAGE_MAX_; i++)
                (void) rows_percent(row->percent[i], percent[i]);
        local_time(json_get_string(row->json, "since"), since, sizeof(since));
        (void) printf("%s  %s  %s  %s  %s  %5s  %5s  %5s  %-15s  %s%s%s%s\n", id, name, kind,
                        runtime, state, percent[ROWS_CPU], percent[ROWS_MEMORY], percent[ROWS_DISK],
                        since, action, reason[0] ? " (" : "", reason, reason[0] ? ")" : "");
}

/* As wide as the longest name, within reason: one that is longer shifts its own line. */
static size_t name_columns(const struct row *rows, size_t n) {
        size_t columns = NAME_COLUMNS_MIN, width;

        for (size_t i = 0; i < n; i++) {
                width = cells_width(rows[i].name);
                if (width > columns && width <= NAME_COLUMNS_MAX)
                        columns = width;
        }
        return columns;
}

void print_workloads(const struct cli *cli, struct json_object *workloads) {
        struct row *rows = NULL;
        size_t n = 0, columns;

        if (cli->json) {
                print_json(workloads);
                return;
        }
        (void) rows_read(workloads, &rows, &n);
        columns = name_columns(rows, n);
        (void) printf("%-14s  %-*s  %-9s  %-8s  %-8s  %5s  %5s  %5s  %-15s  %s\n", "ID",
                        (int) columns, "NAME", "KIND", "RUNTIME", "STATE", "CPU", "MEM", "DISK",
                        "SINCE", "LAST EXIT");
        for (size_t i = 0; i < n; i++)
                print_row(&rows[i], columns);
        rows_free(rows, n);
}

static void print_listeners(struct json_object *listeners) {
        for (size_t i = 0; i < json_length(listeners); i++) {
                struct json_object *listener = json_object_array_get_idx(listeners, i);
                struct json_object *serves = json_get(listener, "serves");
                _cleanup_(freep) char *address = field(listener, "address"),
                                      *until = field(listener, "certificate_expires");
                const bool tls = json_get_bool(listener, "tls", false);

                (void) printf("Listener   %s  ", address);
                for (size_t j = 0; j < json_length(serves); j++) {
                        _cleanup_(freep) char *name = text_escape_terminal(json_object_get_string(
                                        json_object_array_get_idx(serves, j)));

                        (void) printf("%s%s", j ? ", " : "", name ? name : "");
                }
                (void) printf("%s%s\n", tls ? "; TLS, certificate until " : "", tls ? until : "");
        }
}

static void print_sources(struct json_object *sources) {
        if (!json_object_is_type(sources, json_type_object))
                return;
        json_object_object_foreach(sources, name, source) {
                _cleanup_(freep) char *error = field(source, "error"),
                                      *state = field(source, "state"),
                                      *shown = text_escape_terminal(name);

                (void) printf("Source     %-10s  %s%s%s\n", state, shown, error[0] ? ": " : "",
                                error);
        }
}

static void print_store(struct json_object *store) {
        _cleanup_(freep) char *state = field(store, "state"), *error = field(store, "error");
        const char *word = json_get_string(store, "state");

        if (!word)
                return; /* a daemon before there was this */
        (void) printf("Store      %s", state);
        if (strcmp(word, "ok") != 0) {
                (void) printf("%s%s, %jd %s", error[0] ? ": " : "", error,
                                (intmax_t) json_get_int(store, "waiting", 0),
                                strcmp(word, "memory") == 0 ? "kept in memory only"
                                                            : "waiting in memory");
        }
        if (json_get_int(store, "lost", 0) > 0)
                (void) printf(", %jd lost", (intmax_t) json_get_int(store, "lost", 0));
        (void) printf("\n");
}

/* Who may not see them is not told that there are none. */
static void print_count(struct json_object *workloads, size_t n, size_t running) {
        _cleanup_(freep) char *why = NULL;

        if (json_object_is_type(workloads, json_type_array)) {
                (void) printf("Workloads  %zu, %zu running\n", n, running);
                return;
        }
        why = field(json_get(workloads, "error"), "message");
        (void) printf("Workloads  not shown%s%s\n", why && why[0] ? ": " : "", why ? why : "");
}

void print_status(const struct cli *cli, struct json_object *ready, struct json_object *health,
                struct json_object *version, struct json_object *workloads,
                struct json_object *listeners) {
        struct json_object *sources = json_get(ready, "sources");
        _cleanup_(freep) char *node = field(version, "node"), *number = field(version, "version");
        size_t n = json_length(workloads), running = 0;

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
                if (json_object_is_type(workloads, json_type_array)) {
                        (void) json_add_uint(object, "workloads", n);
                        (void) json_add_uint(object, "running", running);
                }
                (void) json_add(object, "health", json_object_get(json_get(health, "status")));
                (void) json_add(object, "store", json_object_get(json_get(ready, "store")));
                (void) json_add(object, "sources", json_object_get(sources));
                if (json_object_is_type(listeners, json_type_array))
                        (void) json_add(object, "listeners", json_object_get(listeners));
                print_json(object);
                return;
        }
        (void) printf("Node       %s\nVersion    %s\nReady      %s\nUptime     %jd s\n", node,
                        number, json_get_bool(ready, "ready", false) ? "yes" : "no",
                        (intmax_t) json_get_int(health, "uptime_secs", 0));
        print_count(workloads, n, running);
        if (json_get(health, "held_up_secs"))
                (void) printf("Health     late: its loop was held up for %jd s\n",
                                (intmax_t) json_get_int(health, "held_up_secs", 0));
        print_store(json_get(ready, "store"));
        if (json_get_string(ready, "analytics")) {
                _cleanup_(freep) char *error = field(ready, "analytics");

                (void) printf("Analytics  not stored: %s\n", error);
        }
        print_sources(sources);
        print_listeners(listeners);
}
