/* What is most important stands first: a narrow terminal cuts the end. */

#include "cli/top_text.h"

#include <math.h>
#include <string.h>

static const char *const panes[] = { "Workloads", "Nodes", "Events" };

static int add_span(struct buf *buf, uint64_t span_us) {
        uint64_t seconds = span_us / USEC_PER_SEC;

        if (seconds < 120)
                return buf_printf(buf, "%ju s", (uintmax_t) seconds);
        if (seconds < 7200)
                return buf_printf(buf, "%ju min", (uintmax_t) (seconds / 60));
        return buf_printf(buf, "%ju h", (uintmax_t) (seconds / 3600));
}

static int add_age(const struct top_model *model, uint64_t now_us, struct buf *buf) {
        int r;

        if (!model->updated_us)
                return buf_append_str(buf, "no data yet");
        r = buf_append_str(buf, "data ");
        if (r >= 0)
                r = add_span(buf, now_us - model->updated_us);
        return r < 0 ? r : buf_append_str(buf, " old");
}

int top_text_status(const struct top_model *model, uint64_t now_us, struct buf *buf) {
        size_t running = 0;
        int r;

        if (model->lost) {
                r = buf_append_str(buf, "LOST  ");
                if (r >= 0)
                        r = add_age(model, now_us, buf);
                if (r >= 0 && model->retry_us > now_us) {
                        r = buf_printf(buf, "  next try in %ju s",
                                        (uintmax_t) ((model->retry_us - now_us + USEC_PER_SEC - 1) /
                                                        USEC_PER_SEC));
                } else if (r >= 0) {
                        r = buf_append_str(buf, "  trying now");
                }
                return r < 0 ? r : buf_printf(buf, "  %s", model->error);
        }
        for (size_t i = 0; i < model->n_rows; i++)
                running += strcmp(model->rows[i].state, "running") == 0;
        r = buf_printf(buf, "%s  ", model->node_name ? model->node_name : "virtwatch");
        if (r >= 0 && model->updated_us)
                r = buf_printf(buf, "%zu of %zu running  ", running, model->n_rows);
        return r < 0 ? r : add_age(model, now_us, buf);
}

int top_text_title(const struct top_model *model, enum top_pane pane, struct buf *buf) {
        const struct top_list *list = &model->lists[pane];
        int r;

        r = buf_printf(buf, " %s", panes[pane]);
        if (r >= 0 && list->n > 0)
                r = buf_printf(buf, " %zu/%zu", list->selected + 1, list->n);
        if (r >= 0 && pane == TOP_WORKLOADS)
                r = buf_printf(buf, "  by %s", rows_key_to_string(model->sort));
        if (r >= 0 && model->filter[0])
                r = buf_printf(buf, "  /%s", model->filter);
        return r;
}

int top_text_footer(const struct top_model *model, struct buf *buf) {
        if (model->mode == TOP_EDIT)
                return buf_printf(buf, "/%s", model->filter);
        if (model->mode == TOP_ASK)
                return top_ask_text(model, buf);
        if (model->message[0])
                return buf_append_str(buf, model->message);
        if (model->under_way.id)
                return top_ask_waiting(model, buf);
        return buf_append_str(buf,
                        "? help  q quit  Tab pane  / filter  < > sort  l logs  s scale  d delete");
}

int top_text_sparkline(const struct top_history *history, enum rows_usage usage, size_t columns,
                bool utf8, struct buf *buf) {
        static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
        static const char *const ascii[] = { "_", ".", ":", "-", "=", "+", "*", "#" };
        size_t n = history ? history->n : 0, level;
        float percent;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < columns; i++) {
                percent = columns - i <= n ? history->percent[n - (columns - i)][usage] : NAN;
                if (isnan(percent))
                        r = buf_append_str(buf, " ");
                if (r < 0 || isnan(percent))
                        continue;
                level = percent >= 100 ? 7 : percent <= 0 ? 0 : (size_t) (percent * 8 / 100);
                r = buf_append_str(buf, utf8 ? blocks[level] : ascii[level]);
        }
        return r;
}

const char *top_text_empty(const struct top_model *model, enum top_pane pane) {
        if (model->lists[pane].n > 0)
                return NULL;
        if (pane == TOP_NODES && model->nodes_refused)
                return "not offered by this daemon";
        if (model->filter[0])
                return "nothing passes the filter";
        if (pane == TOP_EVENTS)
                return "no events yet";
        if (pane == TOP_NODES)
                return model->nodes ? "no nodes" : "not known yet";
        return model->updated_us ? "no workloads" : "not known yet";
}

const char *top_text_help(size_t i, bool utf8) {
        static const char *const lines[] = {
                "Tab Shift-Tab  the next, previous pane",
                NULL, /* by what the terminal can show */
                "l Enter        logs",
                "s              scale: vCPUs, memory",
                "d              delete: stop or destroy",
                "/              filter (Esc drops it)",
                "< >            sort by another column",
                "?              this help",
                "q Esc          quit",
        };

        if (i == 1)
                return utf8 ? "↑ ↓ k j        up, down" : "Up Down k j    up, down";
        return i < ARRAY_SIZE(lines) ? lines[i] : NULL;
}
