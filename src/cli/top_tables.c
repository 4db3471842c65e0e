/* The tables of the panes: which columns a terminal has room for, and what stands in them. */

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/top_screen_internal.h"
#include "cli/top_text.h"

#define LINE_BYTES_MAX 4096
#define HISTORY_MAX    32 /* columns for a sparkline */

/* One column of a table. */
struct column {
        const char *title;
        unsigned int width; /* 0: what the others leave */
        unsigned int from;  /* on terminals of so many columns */
        enum cells_align align;
};

/* How wide each column is; those that the terminal has no room for get 0. */
static void measure(const struct column *columns, size_t n, unsigned int room,
                unsigned int *ret_widths) {
        unsigned int taken = 0;

        for (size_t i = 0; i < n; i++) {
                ret_widths[i] = room >= columns[i].from ? columns[i].width : 0;
                taken += ret_widths[i] ? ret_widths[i] + 1 : 0;
        }
        for (size_t i = 0; i < n; i++)
                if (columns[i].width == 0)
                        ret_widths[i] = room > taken ? room - taken : 0;
}

/* @attributes: for the whole line; @colors: further ones for each field, or NULL. */
static void put_fields(unsigned int y, attr_t attributes, const struct column *columns,
                const unsigned int *widths, size_t n, const char *const *fields,
                const attr_t *colors) {
        unsigned int x = 0;

        for (size_t i = 0; i < n; i++) {
                if (widths[i] == 0)
                        continue;
                if (x > 0)
                        top_screen_put(y, x - 1, attributes, " ", 1, CELLS_LEFT);
                top_screen_put(y, x, attributes | (colors ? colors[i] : 0), fields[i], widths[i],
                                columns[i].align);
                x += widths[i] + 1;
        }
}

static attr_t line_attributes(const struct top_model *model, enum top_pane pane, size_t i) {
        const struct top_list *list = &model->lists[pane];

        return model->focus == pane && i == list->selected ? (attr_t) A_REVERSE : 0;
}

/* Where the item @i of the pane's list is drawn. Return: whether it is. */
static bool line_of(const struct top_list *list, size_t i, unsigned int *ret_y) {
        if (i >= list->n || i >= list->first + list->page)
                return false;
        *ret_y = list->y + list->height - list->page + (unsigned int) (i - list->first);
        return true;
}

/* ---- workloads ---- */

enum {
        COLUMN_NAME,
        COLUMN_KIND,
        COLUMN_STATE,
        COLUMN_CPU,
        COLUMN_MEMORY,
        COLUMN_DISK,
        COLUMN_HISTORY,
        COLUMN_VCPUS,
        COLUMN_MEMORY_MB,
        COLUMN_EXIT,
        COLUMN_MAX_,
};

static const struct column workload_columns[COLUMN_MAX_] = {
        [COLUMN_NAME] = { "NAME", 0, 0, CELLS_LEFT },
        [COLUMN_KIND] = { "KIND", 9, 60, CELLS_LEFT },
        [COLUMN_STATE] = { "STATE", 8, 0, CELLS_LEFT },
        [COLUMN_CPU] = { "CPU", 5, 0, CELLS_RIGHT },
        [COLUMN_MEMORY] = { "MEM", 5, 0, CELLS_RIGHT },
        [COLUMN_DISK] = { "DISK", 5, 48, CELLS_RIGHT },
        [COLUMN_HISTORY] = { NULL, 20, 80, CELLS_LEFT },
        [COLUMN_VCPUS] = { "VCPUS", 5, 92, CELLS_RIGHT },
        [COLUMN_MEMORY_MB] = { "MEM MiB", 9, 100, CELLS_RIGHT },
        [COLUMN_EXIT] = { "LAST EXIT", 24, 126, CELLS_LEFT },
};

static enum top_color state_color(const char *state) {
        if (strcmp(state, "running") == 0)
                return TOP_GREEN;
        if (strcmp(state, "failed") == 0)
                return TOP_RED;
        return strcmp(state, "paused") == 0 || strcmp(state, "unknown") == 0 ? TOP_YELLOW
                                                                             : TOP_PLAIN;
}

static void draw_workload(const struct top_screen *screen, const struct top_model *model,
                const unsigned int *widths, size_t i, unsigned int y) {
        const struct row *row = top_model_row(model, i);
        struct buf history = BUF_INIT(LINE_BYTES_MAX), last = BUF_INIT(LINE_BYTES_MAX);
        char percent[ROWS_USAGE_MAX_][ROWS_PERCENT_MAX], vcpus[ROWS_AMOUNT_MAX],
                        memory[ROWS_AMOUNT_MAX];
        attr_t colors[COLUMN_MAX_] = { [COLUMN_STATE] = top_screen_color(
                                                       screen, state_color(row->state)) };

        for (size_t usage = 0; usage < ROWS_USAGE_MAX_; usage++)
                (void) rows_percent(row->percent[usage], percent[usage]);
        (void) rows_amount(row->vcpus, vcpus);
        (void) rows_amount(row->memory_mb, memory);
        (void) buf_append_str(&history, "");
        if (json_get(row->json, "sample/at")) /* one that rests has a past, but no present */
                (void) top_text_sparkline(top_model_history(model, row->id), top_model_usage(model),
                                widths[COLUMN_HISTORY], cells_utf8(), &history);
        (void) buf_printf(&last, row->reason[0] ? "%s (%s)" : "%s%s", row->action, row->reason);
        put_fields(y, line_attributes(model, TOP_WORKLOADS, i), workload_columns, widths,
                        COLUMN_MAX_,
                        (const char *const[COLUMN_MAX_]){ row->name, row->kind, row->state,
                                        percent[ROWS_CPU], percent[ROWS_MEMORY], percent[ROWS_DISK],
                                        history.data ? history.data : "", vcpus, memory,
                                        last.data ? last.data : "" },
                        colors);
        buf_done(&history);
        buf_done(&last);
}

static void draw_workloads(const struct top_screen *screen, const struct top_model *model) {
        static const int sorted[] = { COLUMN_NAME, COLUMN_STATE, COLUMN_CPU, COLUMN_MEMORY,
                COLUMN_DISK };
        static const char *const histories[] = { "CPU LATELY", "MEM LATELY", "DISK LATELY" };
        const struct top_list *list = &model->lists[TOP_WORKLOADS];
        const char *titles[COLUMN_MAX_];
        attr_t colors[COLUMN_MAX_] = {};
        unsigned int widths[COLUMN_MAX_], y = 0;

        measure(workload_columns, COLUMN_MAX_, model->columns, widths);
        if (widths[COLUMN_HISTORY] && widths[COLUMN_NAME] > 40) {
                unsigned int more = widths[COLUMN_NAME] - 40;

                more = more > HISTORY_MAX - 20 ? HISTORY_MAX - 20 : more;
                widths[COLUMN_HISTORY] += more;
                widths[COLUMN_NAME] -= more;
        }
        for (size_t i = 0; i < COLUMN_MAX_; i++)
                titles[i] = workload_columns[i].title;
        colors[sorted[model->sort]] = (attr_t) A_UNDERLINE;
        titles[COLUMN_HISTORY] = histories[top_model_usage(model)];
        put_fields(list->y + 1, A_BOLD, workload_columns, widths, COLUMN_MAX_, titles, colors);
        for (size_t i = list->first; line_of(list, i, &y); i++)
                draw_workload(screen, model, widths, i, y);
}

/* ---- nodes ---- */

static const struct column node_columns[] = {
        { "NAME", 0, 0, CELLS_LEFT },
        { "ROLE", 14, 80, CELLS_LEFT },
        { "STATUS", 8, 0, CELLS_LEFT },
        { "CORES", 5, 60, CELLS_RIGHT },
        { "CPU", 5, 0, CELLS_RIGHT },
        { "MEM", 5, 0, CELLS_RIGHT },
        { "MEM MiB", 9, 80, CELLS_RIGHT },
        { "WORKLOADS", 9, 48, CELLS_RIGHT },
};

static void draw_nodes(const struct top_model *model) {
        const struct top_list *list = &model->lists[TOP_NODES];
        char cores[ROWS_AMOUNT_MAX], cpu[ROWS_PERCENT_MAX], used[ROWS_PERCENT_MAX],
                        memory[ROWS_AMOUNT_MAX], pods[ROWS_AMOUNT_MAX];
        unsigned int widths[ARRAY_SIZE(node_columns)], y = 0;
        const char *titles[ARRAY_SIZE(node_columns)];
        double total_bytes;

        measure(node_columns, ARRAY_SIZE(node_columns), model->columns, widths);
        for (size_t i = 0; i < ARRAY_SIZE(node_columns); i++)
                titles[i] = node_columns[i].title;
        put_fields(list->y + 1, A_BOLD, node_columns, widths, ARRAY_SIZE(node_columns), titles,
                        NULL);
        for (size_t i = list->first; line_of(list, i, &y); i++) {
                struct json_object *node = top_model_node(model, i);
                const char *name = json_get_string(node, "name"),
                           *role = json_get_string(node, "role"),
                           *status = json_get_string(node, "status");

                total_bytes = rows_number(node, "memory_total_bytes");
                (void) rows_amount(rows_number(node, "cpu_cores"), cores);
                (void) rows_percent(rows_number(node, "cpu_usage_percent"), cpu);
                (void) rows_percent(total_bytes > 0 ? 100 * rows_number(node, "memory_used_bytes") /
                                                                total_bytes
                                                    : (double) NAN,
                                used);
                (void) rows_amount(total_bytes / (1024 * 1024), memory);
                (void) rows_amount(rows_number(node, "pod_count"), pods);
                put_fields(y, line_attributes(model, TOP_NODES, i), node_columns, widths,
                                ARRAY_SIZE(node_columns),
                                (const char *const[]){ name ? name : "", role ? role : "",
                                                status ? status : "", cores, cpu, used, memory,
                                                pods },
                                NULL);
        }
}

/* ---- events ---- */

static const struct column event_columns[] = {
        { "TIME", 8, 0, CELLS_LEFT },
        { "KIND", 9, 90, CELLS_LEFT },
        { "NAME", 12, 0, CELLS_LEFT },
        { "ACTION", 11, 0, CELLS_LEFT },
        { "MESSAGE", 0, 0, CELLS_LEFT },
};

static void event_time(struct json_object *event, char *text, size_t size) {
        const char *time = json_get_string(event, "timestamp");
        uint64_t time_us;
        time_t seconds;
        struct tm tm;

        text[0] = '\0';
        if (!time || clock_parse_rfc3339(time, &time_us) < 0)
                return;
        seconds = (time_t) (time_us / USEC_PER_SEC);
        if (localtime_r(&seconds, &tm))
                (void) strftime(text, size, "%H:%M:%S", &tm);
}

static void draw_event(const struct top_screen *screen, const struct top_model *model,
                const unsigned int *widths, size_t i, unsigned int y) {
        struct json_object *event = top_model_event(model, i);
        const char *severity = json_get_string(event, "severity"),
                   *action = json_get_string(event, "action"),
                   *kind = json_get_string(event, "kind"), *name = json_get_string(event, "name"),
                   *message = json_get_string(event, "message"),
                   *warning = json_get_string(event, "warning");
        bool bad = severity && strcmp(severity, "error") == 0,
             odd = severity && strcmp(severity, "warning") == 0;
        attr_t colors[ARRAY_SIZE(event_columns)] = { [3] = bad
                                ? top_screen_color(screen, TOP_RED) | A_BOLD
                                : odd ? top_screen_color(screen, TOP_YELLOW)
                                      : 0 };
        char time[16];

        if (!action && warning)
                message = warning;
        event_time(event, time, sizeof(time));
        put_fields(y, line_attributes(model, TOP_EVENTS, i), event_columns, widths,
                        ARRAY_SIZE(event_columns),
                        (const char *const[]){ time, kind ? kind : "", name ? name : "",
                                        action ? action : "", message ? message : "" },
                        colors);
}

static void draw_events(const struct top_screen *screen, const struct top_model *model) {
        const struct top_list *list = &model->lists[TOP_EVENTS];
        unsigned int widths[ARRAY_SIZE(event_columns)], y = 0;

        measure(event_columns, ARRAY_SIZE(event_columns), model->columns, widths);
        if (model->columns >= 70) {
                widths[2] += 8;
                widths[4] -= 8;
        }
        if (model->columns >= 100) { /* "deploy_succeeded" */
                widths[3] += 7;
                widths[4] -= 7;
        }
        for (size_t i = list->first; line_of(list, i, &y); i++)
                draw_event(screen, model, widths, i, y);
}

void top_tables_draw(const struct top_screen *screen, const struct top_model *model,
                enum top_pane pane) {
        if (pane == TOP_WORKLOADS)
                draw_workloads(screen, model);
        else if (pane == TOP_NODES)
                draw_nodes(model);
        else
                draw_events(screen, model);
}
