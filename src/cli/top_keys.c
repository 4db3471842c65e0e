/* What keys do to the model. */

#include <string.h>

#include "cli/top_model_internal.h"

#define MESSAGE_US (5 * USEC_PER_SEC)

void top_model_say(struct top_model *model, uint64_t now_us, const char *what, const char *whom) {
        (void) snprintf(model->message, sizeof(model->message), "%s%s", what, whom);
        model->message_end = now_us + MESSAGE_US;
}

bool top_model_tick(struct top_model *model, uint64_t now_us) {
        if (!model->message[0] || now_us < model->message_end)
                return false;
        model->message[0] = '\0';
        return true;
}

static void focus(struct top_model *model, unsigned int step) {
        model->focus = (enum top_pane)((model->focus + step) % TOP_PANE_MAX_);
        (void) top_model_rebuild(model);
}

/* The columns from left to right; at the ends it stays. */
static void sort(struct top_model *model, int step, uint64_t now_us) {
        int key = (int) model->sort + step;

        if (model->focus != TOP_WORKLOADS) {
                top_model_say(model, now_us, "only workloads can be sorted", "");
                return;
        }
        if (key >= 0 && key < ROWS_KEY_MAX_)
                model->sort = (enum rows_key) key;
        rows_sort(model->rows, model->n_rows, model->sort);
        (void) top_model_rebuild(model);
        top_model_say(model, now_us, "sorted by ", rows_key_to_string(model->sort));
}

static void act(struct top_model *model, uint32_t key, uint64_t now_us) {
        const struct top_list *list = &model->lists[TOP_WORKLOADS];
        const struct row *row;

        if (model->focus != TOP_WORKLOADS || list->n == 0) {
                top_model_say(model, now_us, "select a workload first", "");
                return;
        }
        row = top_model_row(model, list->selected);
        if (key == 's' || key == 'd')
                top_ask_begin(model, row, key == 's', now_us);
        else
                top_model_say(model, now_us, "this daemon offers no logs yet: ", row->name);
}

/* ---- the filter ---- */

static void edit(struct top_model *model, uint32_t key) {
        if (key == TOP_KEY_ENTER || key == TOP_KEY_ESCAPE) {
                model->mode = TOP_BROWSE;
                if (key == TOP_KEY_ESCAPE)
                        model->filter[0] = '\0';
        } else if (!top_text_key(model->filter, sizeof(model->filter), key)) {
                return;
        }
        (void) top_model_rebuild(model);
}

/* ---- keys ---- */

static void browse(struct top_model *model, uint32_t key, uint64_t now_us) {
        switch (key) {
        case TOP_KEY_TAB:
                focus(model, 1);
                break;
        case TOP_KEY_BACKTAB:
                focus(model, TOP_PANE_MAX_ - 1);
                break;
        case TOP_KEY_UP:
        case 'k':
                top_model_move(model, -1);
                break;
        case TOP_KEY_DOWN:
        case 'j':
                top_model_move(model, 1);
                break;
        case '<':
                sort(model, -1, now_us);
                break;
        case '>':
                sort(model, 1, now_us);
                break;
        case TOP_KEY_ENTER:
        case 'l':
        case 's':
        case 'd':
                act(model, key, now_us);
                break;
        case '/':
                model->mode = TOP_EDIT;
                break;
        case '?':
                model->mode = TOP_HELP;
                break;
        default:
                break;
        }
}

enum top_answer top_model_key(struct top_model *model, uint32_t key, uint64_t now_us) {
        model->message[0] = '\0';
        if (model->mode == TOP_EDIT) {
                edit(model, key);
        } else if (model->mode == TOP_ASK) {
                top_ask_key(model, key, now_us);
        } else if (model->mode == TOP_HELP) {
                model->mode = TOP_BROWSE;
        } else if (key == 'q' || key == TOP_KEY_ESCAPE) {
                return TOP_QUIT;
        } else {
                browse(model, key, now_us);
        }
        return TOP_STAY;
}
