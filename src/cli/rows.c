/* Reading and sorting workloads. */

#include "cli/rows.h"

#include <math.h>
#include <string.h>

static const char *const keys[] = { "name", "state", "cpu", "mem", "disk" };

const char *rows_key_to_string(enum rows_key key) {
        return keys[key];
}

int rows_key_from_string(const char *text) {
        for (size_t i = 0; i < ROWS_KEY_MAX_; i++)
                if (strcmp(keys[i], text) == 0)
                        return (int) i;
        return -EINVAL;
}

double rows_number(struct json_object *object, const char *path) {
        struct json_object *value = json_get(object, path);

        return json_object_is_type(value, json_type_double) ||
                                        json_object_is_type(value, json_type_int)
                        ? json_object_get_double(value)
                        : (double) NAN;
}

const char *rows_percent(double percent, char text[static ROWS_PERCENT_MAX]) {
        if (isnan(percent))
                (void) snprintf(text, ROWS_PERCENT_MAX, "-");
        else
                (void) snprintf(text, ROWS_PERCENT_MAX, fabs(percent) < 1e6 ? "%.1f" : "%.0e",
                                percent);
        return text;
}

const char *rows_amount(double amount, char text[static ROWS_AMOUNT_MAX]) {
        if (isnan(amount))
                (void) snprintf(text, ROWS_AMOUNT_MAX, "-");
        else
                (void) snprintf(text, ROWS_AMOUNT_MAX,
                                amount > 999 && amount < 1e9 ? "%.0f" : "%.3g", amount);
        return text;
}

static const char *word(struct json_object *object, const char *path) {
        const char *text = json_get_string(object, path);

        return text ? text : "";
}

static void read_row(struct json_object *json, struct row *row) {
        *row = (struct row){
                .json = json_object_get(json),
                .id = word(json, "id"),
                .name = word(json, "name"),
                .kind = word(json, "kind"),
                .runtime = word(json, "runtime"),
                .state = word(json, "state"),
                .action = word(json, "last_exit/action"),
                .reason = word(json, "last_exit/reason"),
                .percent = { rows_number(json, "sample/cpu_pct"),
                                rows_number(json, "sample/mem_pct"),
                                rows_number(json, "sample/disk_pct") },
                .vcpus = rows_number(json, "allocation/vcpus"),
                .memory_mb = rows_number(json, "allocation/memory_mb"),
        };
}

int rows_read(struct json_object *workloads, struct row **ret_rows, size_t *ret_n) {
        struct row *rows;
        size_t n, filled = 0;

        if (!json_object_is_type(workloads, json_type_array))
                return -EINVAL;
        n = json_object_array_length(workloads);
        rows = calloc(n + 1, sizeof(*rows));
        if (!rows)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                struct json_object *json = json_object_array_get_idx(workloads, i);

                if (json_object_is_type(json, json_type_object))
                        read_row(json, &rows[filled++]);
        }
        *ret_rows = rows;
        *ret_n = filled;
        return 0;
}

void rows_free(struct row *rows, size_t n) {
        for (size_t i = 0; i < n; i++)
                (void) json_object_put(rows[i].json);
        free(rows);
}

static int state_rank(const char *state) {
        static const char *const order[] = { "failed", "paused", "stopping", "starting", "running",
                "unknown", "created", "stopped" };
        int i = 0;

        while (i < (int) ARRAY_SIZE(order) && strcmp(order[i], state) != 0)
                i++;
        return i;
}

static int compare_percent(double a, double b) {
        if (isnan(a) || isnan(b))
                return isnan(a) - isnan(b);
        return (a < b) - (a > b);
}

static int compare(const void *left, const void *right, void *userdata) {
        const enum rows_key *key = userdata;
        const struct row *a = left, *b = right;
        int order = 0;

        if (*key == ROWS_BY_STATE)
                order = state_rank(a->state) - state_rank(b->state);
        else if (*key != ROWS_BY_NAME)
                order = compare_percent(
                                a->percent[*key - ROWS_BY_CPU], b->percent[*key - ROWS_BY_CPU]);
        if (order == 0)
                order = strverscmp(a->name, b->name);
        return order ? order : strcmp(a->id, b->id);
}

void rows_sort(struct row *rows, size_t n, enum rows_key key) {
        qsort_r(rows, n, sizeof(*rows), compare, &key);
}

int rows_sorted(struct json_object *workloads, enum rows_key key, struct json_object **ret_sorted) {
        struct json_object *sorted;
        struct row *rows;
        size_t n;
        int r;

        r = rows_read(workloads, &rows, &n);
        if (r < 0)
                return r;
        rows_sort(rows, n, key);
        sorted = json_object_new_array();
        r = sorted ? 0 : -ENOMEM;
        for (size_t i = 0; r >= 0 && i < n; i++) {
                if (json_object_array_add(sorted, json_object_get(rows[i].json)) < 0) {
                        (void) json_object_put(rows[i].json);
                        r = -ENOMEM;
                }
        }
        rows_free(rows, n);
        if (r < 0) {
                (void) json_object_put(sorted);
                return r;
        }
        *ret_sorted = sorted;
        return 0;
}
