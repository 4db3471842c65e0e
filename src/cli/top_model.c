/* The lists. After every change of what is in them, of their order, the filter or the size of the
 * terminal they are made anew; what is selected stays selected by its name, wherever it went. */

#include "cli/top_model.h"

#include <math.h>
#include <string.h>

#include "cli/top_model_internal.h"

int top_model_init(struct top_model *model, enum rows_key sort) {
        *model = (struct top_model){ .sort = sort };
        return map_new(&model->histories);
}

void top_model_done(struct top_model *model) {
        struct top_history *history;

        for (size_t i = 0; i < TOP_PANE_MAX_; i++) {
                free(model->lists[i].shown);
                free(model->lists[i].key);
        }
        rows_free(model->rows, model->n_rows);
        (void) json_object_put(model->nodes);
        free(model->node_name);
        top_ask_done(model);
        for (size_t i = 0; i < TOP_EVENTS_MAX; i++)
                (void) json_object_put(model->events[i]);
        if (model->histories)
                map_for_each(history, model->histories)
                        free(history);
        model->histories = map_free(model->histories);
}

/* ---- what is in the lists ---- */

static size_t items(const struct top_model *model, enum top_pane pane) {
        if (pane == TOP_WORKLOADS)
                return model->n_rows;
        if (pane == TOP_NODES)
                return model->nodes ? json_object_array_length(model->nodes) : 0;
        return model->n_events < TOP_EVENTS_MAX ? (size_t) model->n_events : TOP_EVENTS_MAX;
}

static struct json_object *item(const struct top_model *model, enum top_pane pane, size_t i) {
        if (pane == TOP_WORKLOADS)
                return model->rows[i].json;
        if (pane == TOP_NODES)
                return json_object_array_get_idx(model->nodes, i);
        return model->events[(model->n_events - 1 - i) % TOP_EVENTS_MAX];
}

/* What tells an item from others of its pane. Caller frees; NULL: no memory. */
static char *item_key(const struct top_model *model, enum top_pane pane, size_t i) {
        const char *text;
        char *key;

        if (pane == TOP_EVENTS)
                return asprintf(&key, "%ju", (uintmax_t) (model->n_events - i)) < 0 ? NULL : key;
        text = json_get_string(item(model, pane, i), pane == TOP_NODES ? "name" : "id");
        return strdup(text ? text : "");
}

static bool passes(const struct top_model *model, enum top_pane pane, size_t i) {
        static const char *const fields[] = { "name", "id", "kind", "runtime", "state", "image",
                "role", "status", "action", "message", "severity" };
        const char *text;

        if (!model->filter[0])
                return true;
        for (size_t field = 0; field < ARRAY_SIZE(fields); field++) {
                text = json_get_string(item(model, pane, i), fields[field]);
                if (text && strcasestr(text, model->filter))
                        return true;
        }
        return false;
}

/* ---- where in them one is ---- */

static void scroll(struct top_list *list) {
        if (list->selected >= list->n)
                list->selected = list->n > 0 ? list->n - 1 : 0;
        if (list->first > list->selected)
                list->first = list->selected;
        if (list->page > 0 && list->selected >= list->first + list->page)
                list->first = list->selected - list->page + 1;
        if (list->first + list->page > list->n) /* no empty lines while there is something above */
                list->first = list->n > list->page ? list->n - list->page : 0;
}

static void keep_key(struct top_model *model, enum top_pane pane) {
        struct top_list *list = &model->lists[pane];

        free(list->key);
        list->key = list->n > 0 ? item_key(model, pane, list->shown[list->selected]) : NULL;
}

static int rebuild_list(struct top_model *model, enum top_pane pane) {
        struct top_list *list = &model->lists[pane];
        size_t n = items(model, pane), *shown = calloc(n + 1, sizeof(*shown));
        /* At the newest event one stays at the newest. */
        bool follow = pane == TOP_EVENTS && list->selected == 0;

        list->n = 0; /* whatever comes, nothing of what was shown before may be asked for */
        if (!shown)
                return -ENOMEM;
        free(list->shown);
        list->shown = shown;
        for (size_t i = 0; i < n; i++) {
                _cleanup_(freep) char *key = NULL;

                if (!passes(model, pane, i))
                        continue;
                key = list->key && !follow ? item_key(model, pane, i) : NULL;
                if (key && strcmp(key, list->key) == 0)
                        list->selected = list->n;
                shown[list->n++] = i;
        }
        scroll(list);
        keep_key(model, pane);
        return 0;
}

int top_model_rebuild(struct top_model *model) {
        int r = 0;

        top_model_layout(model);
        for (int pane = 0; r >= 0 && pane < TOP_PANE_MAX_; pane++)
                r = rebuild_list(model, (enum top_pane) pane);
        return r;
}

void top_model_move(struct top_model *model, int step) {
        struct top_list *list = &model->lists[model->focus];

        if (step < 0 && list->selected > 0)
                list->selected--;
        else if (step > 0 && list->selected + 1 < list->n)
                list->selected++;
        scroll(list);
        keep_key(model, model->focus);
}

/* ---- the screen's lines ---- */

/* Title and header; events have no header. */
static unsigned int heads(enum top_pane pane) {
        return pane == TOP_EVENTS ? 1 : 2;
}

static void place(
                struct top_model *model, enum top_pane pane, unsigned int y, unsigned int height) {
        struct top_list *list = &model->lists[pane];

        list->y = y;
        list->height = height;
        list->page = height > heads(pane) ? height - heads(pane) : 0;
}

/* The first line is the title, the last the footer. On a low terminal the rest is the focused
 * pane's; else nodes get what they need, events a third, workloads the rest. */
void top_model_layout(struct top_model *model) {
        unsigned int rest = model->lines > 2 ? model->lines - 2 : 0, nodes, events;
        size_t n_nodes = items(model, TOP_NODES);

        if (model->lines < 18) {
                for (int pane = 0; pane < TOP_PANE_MAX_; pane++)
                        place(model, (enum top_pane) pane, 1,
                                        (int) model->focus == pane ? rest : 0);
                return;
        }
        nodes = heads(TOP_NODES) + (n_nodes > 3 ? 3 : n_nodes > 0 ? (unsigned int) n_nodes : 1);
        events = rest / 3;
        place(model, TOP_WORKLOADS, 1, rest - nodes - events);
        place(model, TOP_NODES, 1 + rest - nodes - events, nodes);
        place(model, TOP_EVENTS, 1 + rest - events, events);
}

void top_model_resize(struct top_model *model, unsigned int lines, unsigned int columns) {
        model->lines = lines;
        model->columns = columns;
        (void) top_model_rebuild(model); /* without memory: empty until the next answer */
}

bool top_model_fits(const struct top_model *model) {
        return model->lines >= TOP_LINES_MIN && model->columns >= TOP_COLUMNS_MIN;
}

/* ---- answers ---- */

static void forget_histories(struct top_model *model) {
        struct top_history *history;

        for (size_t i = 0; i < model->n_rows; i++) {
                history = map_get(model->histories, model->rows[i].id);
                if (history)
                        history->round = model->round;
        }
        /* The map's keys are its own, so that the walk is over its entries. */
        for (struct lh_entry *entry = map_table(model->histories)->head, *next; entry;
                        entry = next) {
                next = entry->next;
                history = lh_entry_v(entry);
                if (history->round != model->round) {
                        (void) map_remove(model->histories, lh_entry_k(entry));
                        free(history);
                }
        }
}

int top_model_set_workloads(
                struct top_model *model, struct json_object *workloads, uint64_t now_us) {
        struct row *rows;
        size_t n;
        int r;

        r = rows_read(workloads, &rows, &n);
        if (r < 0)
                return r;
        rows_sort(rows, n, model->sort);
        rows_free(model->rows, model->n_rows);
        model->rows = rows;
        model->n_rows = n;
        model->round++;
        forget_histories(model);
        model->updated_us = now_us;
        model->lost = false;
        model->retry_us = 0;
        return top_model_rebuild(model);
}

int top_model_set_nodes(struct top_model *model, struct json_object *nodes) {
        if (!json_object_is_type(nodes, json_type_array))
                return -EINVAL;
        (void) json_object_put(model->nodes);
        model->nodes = json_object_get(nodes);
        model->nodes_refused = false;
        return top_model_rebuild(model);
}

void top_model_refuse_nodes(struct top_model *model) {
        (void) json_object_put(TAKE_PTR(model->nodes));
        model->nodes_refused = true;
        (void) top_model_rebuild(model);
}

int top_model_add_event(struct top_model *model, struct json_object *event) {
        size_t at = model->n_events % TOP_EVENTS_MAX;

        if (!json_object_is_type(event, json_type_object))
                return -EINVAL;
        (void) json_object_put(model->events[at]);
        model->events[at] = json_object_get(event);
        model->n_events++;
        return rebuild_list(model, TOP_EVENTS);
}

int top_model_set_history(struct top_model *model, const char *id, struct json_object *samples) {
        static const char *const names[] = { "cpu_pct", "mem_pct", "disk_pct" };
        struct top_history *history = map_get(model->histories, id);
        size_t n, skip;
        int r;

        if (!json_object_is_type(samples, json_type_array))
                return -EINVAL;
        if (!history) {
                history = calloc(1, sizeof(*history));
                r = history ? map_put(model->histories, id, history) : -ENOMEM;
                if (r < 0) {
                        free(history);
                        return r;
                }
        }
        n = json_object_array_length(samples);
        skip = n > TOP_HISTORY_MAX ? n - TOP_HISTORY_MAX : 0;
        history->n = n - skip;
        history->round = model->round;
        for (size_t i = 0; i < history->n; i++) {
                for (size_t usage = 0; usage < ROWS_USAGE_MAX_; usage++)
                        history->percent[i][usage] = (float) rows_number(
                                        json_object_array_get_idx(samples, i + skip), names[usage]);
        }
        return 0;
}

void top_model_set_lost(struct top_model *model, const char *error, uint64_t retry_us) {
        model->lost = true;
        model->retry_us = retry_us;
        if (error)
                (void) snprintf(model->error, sizeof(model->error), "%s", error);
}

/* ---- for the screen ---- */

const struct row *top_model_row(const struct top_model *model, size_t i) {
        assert(i < model->lists[TOP_WORKLOADS].n);
        return &model->rows[model->lists[TOP_WORKLOADS].shown[i]];
}

struct json_object *top_model_node(const struct top_model *model, size_t i) {
        assert(i < model->lists[TOP_NODES].n);
        return item(model, TOP_NODES, model->lists[TOP_NODES].shown[i]);
}

struct json_object *top_model_event(const struct top_model *model, size_t i) {
        assert(i < model->lists[TOP_EVENTS].n);
        return item(model, TOP_EVENTS, model->lists[TOP_EVENTS].shown[i]);
}

const struct top_history *top_model_history(const struct top_model *model, const char *id) {
        return map_get(model->histories, id);
}

enum rows_usage top_model_usage(const struct top_model *model) {
        return model->sort < ROWS_BY_CPU ? ROWS_CPU : (enum rows_usage)(model->sort - ROWS_BY_CPU);
}
