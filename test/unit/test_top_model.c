/* What keys and answers do to the lists of `top`, with no terminal in sight. */

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/top_model.h"
#include "cli/top_text.h"
#include "test.h"

#define NOW (100 * USEC_PER_SEC)
#define FOUR                                                                                \
        "[{\"id\":\"1\",\"name\":\"web\",\"kind\":\"vm\",\"state\":\"running\",\"sample\":" \
        "{\"cpu_pct\":5,\"mem_pct\":70,\"disk_pct\":1}},"                                   \
        "{\"id\":\"2\",\"name\":\"db\",\"kind\":\"vm\",\"state\":\"failed\"},"              \
        "{\"id\":\"3\",\"name\":\"cache\",\"kind\":\"container\",\"state\":\"running\","    \
        "\"sample\":{\"cpu_pct\":90,\"mem_pct\":7}},"                                       \
        "{\"id\":\"4\",\"name\":\"数据库\",\"kind\":\"container\",\"state\":\"paused\"," \
        "\"sample\":{\"cpu_pct\":0,\"mem_pct\":50}}]"

static struct json_object *object_of(const char *text) {
        struct json_object *object = NULL;

        assert_int_equal(json_parse(text, strlen(text), &object), 0);
        return object;
}

static void set_workloads(struct top_model *model, const char *json) {
        struct json_object *object = object_of(json);

        assert_int_equal(top_model_set_workloads(model, object, NOW), 0);
        (void) json_object_put(object);
}

static void add_event(struct top_model *model, const char *name) {
        struct json_object *event = json_object_new_object();

        (void) json_add_string(event, "name", name);
        assert_int_equal(top_model_add_event(model, event), 0);
        (void) json_object_put(event);
}

static enum top_answer key(struct top_model *model, uint32_t key) {
        return top_model_key(model, key, NOW);
}

static void type(struct top_model *model, const char *text) {
        for (; *text; text++)
                assert_int_equal(key(model, (unsigned char) *text), TOP_STAY);
}

static void expect_order(const struct top_model *model, const char *ids) {
        char found[16] = "";

        for (size_t i = 0; i < model->lists[TOP_WORKLOADS].n; i++)
                (void) strncat(found, top_model_row(model, i)->id, 1);
        assert_string_equal(found, ids);
}

static void expect_selected(const struct top_model *model, const char *id) {
        const struct top_list *list = &model->lists[TOP_WORKLOADS];

        assert_true(list->selected < list->n);
        assert_string_equal(top_model_row(model, list->selected)->id, id);
        assert_true(list->first <= list->selected);
        assert_true(list->page == 0 || list->selected < list->first + list->page);
}

static const char *event_name(const struct top_model *model, size_t i) {
        return json_get_string(top_model_event(model, i), "name");
}

static int setup(void **state) {
        struct top_model *model = malloc(sizeof(*model));

        if (!model || top_model_init(model, ROWS_BY_CPU) < 0)
                return -1;
        top_model_resize(model, 24, 80);
        *state = model;
        return 0;
}

static int teardown(void **state) {
        top_model_done(*state);
        free(*state);
        return 0;
}

/* ---- selection ---- */

static void arrows_stop_at_both_ends(void **state) {
        struct top_model *model = *state;

        assert_int_equal(key(model, 'j'), TOP_STAY); /* nothing to move over */
        set_workloads(model, FOUR);
        expect_order(model, "3142");
        expect_selected(model, "3");
        (void) key(model, 'k');
        expect_selected(model, "3");
        (void) key(model, 'j');
        (void) key(model, TOP_KEY_DOWN);
        expect_selected(model, "4");
        for (int i = 0; i < 5; i++)
                (void) key(model, 'j');
        expect_selected(model, "2");
        (void) key(model, TOP_KEY_UP);
        expect_selected(model, "4");
}

static void what_is_selected_stays_so_wherever_it_goes(void **state) {
        struct top_model *model = *state;

        set_workloads(model, FOUR);
        (void) key(model, 'j');
        expect_selected(model, "1");
        set_workloads(model,
                        "[{\"id\":\"9\",\"name\":\"a\",\"sample\":{\"cpu_pct\":100}},"
                        "{\"id\":\"8\",\"name\":\"b\",\"sample\":{\"cpu_pct\":99}},"
                        "{\"id\":\"1\",\"name\":\"web\",\"sample\":{\"cpu_pct\":1}}]");
        expect_order(model, "981");
        expect_selected(model, "1");
        set_workloads(model, "[{\"id\":\"9\"},{\"id\":\"8\"}]"); /* it is gone */
        expect_selected(model, "9");
        set_workloads(model, "[]");
        assert_int_equal(model->lists[TOP_WORKLOADS].n, 0);
        set_workloads(model, FOUR);
        expect_selected(model, "3");
}

static void a_long_list_scrolls_with_the_selection(void **state) {
        struct buf json = BUF_INIT(1 << 20);
        struct top_model *model = *state;
        const struct top_list *list = &model->lists[TOP_WORKLOADS];
        size_t page;

        for (int i = 0; i < 100; i++)
                (void) buf_printf(&json, "%c{\"id\":\"%d\",\"name\":\"n%d\"}", i ? ',' : '[', i, i);
        (void) buf_append_str(&json, "]");
        set_workloads(model, json.data);
        buf_done(&json);
        page = list->page;
        assert_true(page > 3 && page < 20);
        for (int i = 0; i < 50; i++)
                (void) key(model, 'j');
        expect_selected(model, "50");
        assert_int_equal(list->first, 51 - page);
        (void) key(model, 'k');
        assert_int_equal(list->first, 51 - page); /* no scrolling before the edge */
        for (int i = 0; i < 100; i++)
                (void) key(model, 'j');
        assert_int_equal(list->first, 100 - page);
        top_model_resize(model, 60, 80);
        expect_selected(model, "99");
        assert_int_equal(list->first, 100 - list->page); /* no empty lines */
        top_model_resize(model, 10, 40);
        expect_selected(model, "99");
}

/* ---- sorting and the filter ---- */

static void the_sort_column_moves_and_stops_at_both_ends(void **state) {
        static const struct {
                uint32_t key;
                const char *order;
                enum rows_usage usage;
        } steps[] = { { '>', "1432", ROWS_MEMORY }, { '>', "1324", ROWS_DISK },
                { '>', "1324", ROWS_DISK }, { '<', "1432", ROWS_MEMORY }, { '<', "3142", ROWS_CPU },
                { '<', "2431", ROWS_CPU }, { '<', "3214", ROWS_CPU }, { '<', "3214", ROWS_CPU } };
        struct top_model *model = *state;

        set_workloads(model, FOUR);
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                (void) key(model, steps[i].key);
                expect_order(model, steps[i].order);
                assert_int_equal(top_model_usage(model), steps[i].usage);
                expect_selected(model, "3");
        }
        model->focus = TOP_EVENTS;
        (void) key(model, '>');
        assert_int_equal(model->sort, ROWS_BY_NAME);
        assert_string_equal(model->message, "only workloads can be sorted");
}

static void a_filter_is_looked_for_in_all_that_is_shown(void **state) {
        struct top_model *model = *state;

        set_workloads(model, FOUR);
        add_event(model, "web");
        add_event(model, "other");
        (void) key(model, '/');
        type(model, "WEB");
        expect_order(model, "1");
        assert_int_equal(model->lists[TOP_EVENTS].n, 1);
        (void) key(model, TOP_KEY_ENTER);
        assert_int_equal(model->mode, TOP_BROWSE);
        assert_string_equal(model->filter, "WEB");
        set_workloads(model, FOUR);
        expect_order(model, "1");
        (void) key(model, '/');
        for (int i = 0; i < 5; i++)
                (void) key(model, TOP_KEY_BACKSPACE);
        assert_string_equal(model->filter, "");
        type(model, "container");
        expect_order(model, "34");
        (void) key(model, TOP_KEY_ESCAPE);
        assert_int_equal(model->mode, TOP_BROWSE);
        expect_order(model, "3142");
}

static void keys_are_text_while_the_filter_is_written(void **state) {
        struct top_model *model = *state;

        set_workloads(model, FOUR);
        (void) key(model, '/');
        type(model, "q?s/<");
        assert_string_equal(model->filter, "q?s/<");
        (void) key(model, TOP_KEY_UP);
        (void) key(model, TOP_KEY_TAB);
        (void) key(model, 0x01);
        (void) key(model, 0x7f);
        assert_string_equal(model->filter, "q?s/<");
        assert_int_equal(model->lists[TOP_WORKLOADS].n, 0);
        assert_int_equal(model->focus, TOP_WORKLOADS);
}

static void a_filter_has_whole_characters_and_a_limit(void **state) {
        struct top_model *model = *state;

        set_workloads(model, FOUR);
        (void) key(model, '/');
        (void) key(model, 0x6570); /* 数 */
        (void) key(model, 0x636e);
        assert_string_equal(model->filter, "数据");
        expect_order(model, "4");
        (void) key(model, TOP_KEY_BACKSPACE);
        assert_string_equal(model->filter, "数");
        for (int i = 0; i < 200; i++)
                (void) key(model, 0x6570);
        assert_int_equal(strlen(model->filter), (TOP_FILTER_MAX - 1) / 3 * 3);
        (void) key(model, 0xd800); /* no character */
        assert_int_equal(strlen(model->filter), (TOP_FILTER_MAX - 1) / 3 * 3);
}

/* ---- panes ---- */

static void tab_goes_round_the_panes(void **state) {
        struct top_model *model = *state;

        for (int i = 1; i <= 3; i++) {
                (void) key(model, TOP_KEY_TAB);
                assert_int_equal(model->focus, i % 3);
        }
        for (int i = 2; i >= 0; i--) {
                (void) key(model, TOP_KEY_BACKTAB);
                assert_int_equal(model->focus, i);
        }
}

/* All lines but the first and the last belong to one pane each. */
static void expect_tiled(const struct top_model *model) {
        unsigned int y = 1;

        for (int pane = 0; pane < TOP_PANE_MAX_; pane++) {
                const struct top_list *list = &model->lists[pane];

                if (list->height == 0)
                        continue;
                assert_int_equal(list->y, y);
                assert_true(list->page > 0 && list->page < list->height);
                y += list->height;
        }
        assert_int_equal(y, model->lines - 1);
}

static void the_panes_fill_a_terminal_of_any_size(void **state) {
        struct json_object *nodes = object_of("[{\"name\":\"a\"},{\"name\":\"b\"}]");
        struct top_model *model = *state;

        for (unsigned int lines = 0; lines < 200; lines++) {
                top_model_resize(model, lines, 80);
                assert_int_equal(top_model_fits(model), lines >= 10);
                for (int pane = 0; top_model_fits(model) && pane < TOP_PANE_MAX_; pane++) {
                        expect_tiled(model);
                        assert_true(model->lists[model->focus].height > 0);
                        if (lines < 18)
                                assert_int_equal(model->lists[model->focus].height, lines - 2);
                        (void) key(model, TOP_KEY_TAB);
                }
                if (lines == 100)
                        assert_int_equal(top_model_set_nodes(model, nodes), 0);
        }
        assert_int_equal(model->lists[TOP_NODES].page, 2);
        top_model_resize(model, 24, 39);
        assert_false(top_model_fits(model));
        (void) json_object_put(nodes);
}

/* ---- events ---- */

static void events_are_there_the_newest_first(void **state) {
        struct top_model *model = *state;
        const struct top_list *list = &model->lists[TOP_EVENTS];

        add_event(model, "a");
        add_event(model, "b");
        assert_string_equal(event_name(model, 0), "b");
        assert_string_equal(event_name(model, 1), "a");
        assert_int_equal(list->selected, 0); /* follows the newest */
        model->focus = TOP_EVENTS;
        (void) key(model, 'j');
        add_event(model, "c");
        assert_int_equal(list->selected, 2); /* stays with "a" */
        assert_string_equal(event_name(model, list->selected), "a");
}

static void old_events_leave(void **state) {
        struct top_model *model = *state;
        char name[16];

        for (int i = 0; i < TOP_EVENTS_MAX + 10; i++) {
                (void) snprintf(name, sizeof(name), "%d", i);
                add_event(model, name);
        }
        assert_int_equal(model->lists[TOP_EVENTS].n, TOP_EVENTS_MAX);
        assert_string_equal(event_name(model, 0), "509");
        assert_string_equal(event_name(model, TOP_EVENTS_MAX - 1), "10");
}

/* ---- what cannot be done ---- */

static void actions_say_why_not_and_the_message_goes(void **state) {
        struct top_model *model = *state;

        (void) key(model, 's');
        assert_string_equal(model->message, "select a workload first");
        set_workloads(model, FOUR);
        (void) key(model, 's');
        assert_string_equal(model->message, "no actions on this daemon: cannot scale cache");
        (void) key(model, 'd');
        assert_string_equal(model->message, "no actions on this daemon: cannot delete cache");
        (void) key(model, TOP_KEY_ENTER);
        assert_string_equal(model->message, "this daemon offers no logs yet: cache");
        (void) key(model, 'l');
        assert_string_equal(model->message, "this daemon offers no logs yet: cache");
        assert_false(top_model_tick(model, NOW + 4 * USEC_PER_SEC));
        assert_true(top_model_tick(model, NOW + 5 * USEC_PER_SEC));
        assert_string_equal(model->message, "");
        assert_false(top_model_tick(model, NOW + 6 * USEC_PER_SEC));
        (void) key(model, 'd');
        (void) key(model, 'j');
        assert_string_equal(model->message, "");
        (void) key(model, TOP_KEY_TAB);
        (void) key(model, 'd');
        assert_string_equal(model->message, "select a workload first");
}

static void help_is_left_by_any_key_and_the_rest_by_q_or_escape(void **state) {
        struct top_model *model = *state;

        assert_int_equal(key(model, '?'), TOP_STAY);
        assert_int_equal(model->mode, TOP_HELP);
        assert_int_equal(key(model, 'q'), TOP_STAY);
        assert_int_equal(model->mode, TOP_BROWSE);
        assert_int_equal(key(model, 'x'), TOP_STAY);
        assert_int_equal(key(model, TOP_KEY_OTHER), TOP_STAY);
        assert_int_equal(key(model, 'q'), TOP_QUIT);
        assert_int_equal(key(model, TOP_KEY_ESCAPE), TOP_QUIT);
}

/* ---- answers ---- */

static void answers_of_the_wrong_shape_change_nothing(void **state) {
        static const char *const shapes[] = { "{}", "7", "\"text\"", "null" };
        struct top_model *model = *state;

        set_workloads(model, FOUR);
        for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
                struct json_object *object = object_of(shapes[i]);

                assert_int_equal(top_model_set_workloads(model, object, NOW), -EINVAL);
                assert_int_equal(top_model_set_nodes(model, object), -EINVAL);
                assert_int_equal(top_model_set_history(model, "1", object), -EINVAL);
                if (i > 0)
                        assert_int_equal(top_model_add_event(model, object), -EINVAL);
                (void) json_object_put(object);
        }
        expect_order(model, "3142");
}

static void a_ring_is_kept_as_long_as_its_workload(void **state) {
        struct json_object *samples = object_of(
                        "[{\"cpu_pct\":0},{\"cpu_pct\":null},{\"cpu_pct\":50},{\"cpu_pct\":100},7]");
        struct top_model *model = *state;
        const struct top_history *history;

        set_workloads(model, FOUR);
        assert_null(top_model_history(model, "1"));
        assert_int_equal(top_model_set_history(model, "1", samples), 0);
        assert_int_equal(top_model_set_history(model, "1", samples), 0);
        history = top_model_history(model, "1");
        assert_int_equal(history->n, 5);
        assert_true(isnan(history->percent[1][ROWS_CPU]));
        assert_true(isnan(history->percent[2][ROWS_MEMORY]));
        assert_true(history->percent[3][ROWS_CPU] > 99);
        set_workloads(model, FOUR);
        assert_non_null(top_model_history(model, "1"));
        set_workloads(model, "[{\"id\":\"2\"}]");
        assert_null(top_model_history(model, "1"));
        (void) json_object_put(samples);
}

static void a_long_ring_keeps_its_newest(void **state) {
        struct json_object *samples = json_object_new_array(), *sample;
        struct top_model *model = *state;
        const struct top_history *history;

        for (int i = 0; i < 1000; i++) {
                sample = json_object_new_object();
                (void) json_add_int(sample, "cpu_pct", i);
                (void) json_object_array_add(samples, sample);
        }
        set_workloads(model, FOUR);
        assert_int_equal(top_model_set_history(model, "1", samples), 0);
        (void) json_object_put(samples);
        history = top_model_history(model, "1");
        assert_int_equal(history->n, TOP_HISTORY_MAX);
        assert_true(history->percent[TOP_HISTORY_MAX - 1][ROWS_CPU] > 998);
}

/* ---- texts ---- */

static void expect_status(const struct top_model *model, uint64_t now_us, const char *text) {
        struct buf buf = BUF_INIT(4096);

        assert_int_equal(top_text_status(model, now_us, &buf), 0);
        assert_string_equal(buf.data, text);
        buf_done(&buf);
}

static void the_status_tells_the_age_and_the_next_try(void **state) {
        struct top_model *model = *state;

        expect_status(model, NOW, "virtwatch  no data yet");
        top_model_set_lost(model, "no such file", NOW + 1500000);
        expect_status(model, NOW, "LOST  no data yet  next try in 2 s  no such file");
        set_workloads(model, FOUR);
        model->node_name = strdup("host");
        expect_status(model, NOW + 1999999, "host  2 of 4 running  data 1 s old");
        top_model_set_lost(model, "gone", NOW + 8 * USEC_PER_SEC);
        expect_status(model, NOW + 7 * USEC_PER_SEC, "LOST  data 7 s old  next try in 1 s  gone");
        top_model_set_lost(model, NULL, 0);
        expect_status(model, NOW + 200 * USEC_PER_SEC, "LOST  data 3 min old  trying now  gone");
        expect_status(model, NOW + 9000 * USEC_PER_SEC, "LOST  data 2 h old  trying now  gone");
        set_workloads(model, FOUR);
        expect_status(model, NOW, "host  2 of 4 running  data 0 s old");
}

static void expect_sparkline(
                const struct top_history *history, size_t columns, bool utf8, const char *text) {
        struct buf buf = BUF_INIT(4096);

        (void) buf_append_str(&buf, "");
        assert_int_equal(top_text_sparkline(history, ROWS_CPU, columns, utf8, &buf), 0);
        assert_string_equal(buf.data ? buf.data : "", text);
        buf_done(&buf);
}

static void a_sparkline_has_the_newest_at_the_right_and_gaps(void **state) {
        struct top_history history = { .n = 6 };
        static const float values[] = { 0, 13, NAN, 50, 99, 250 };

        for (size_t i = 0; i < ARRAY_SIZE(values); i++)
                history.percent[i][ROWS_CPU] = values[i];
        expect_sparkline(&history, 8, true, "  ▁▂ ▅██");
        expect_sparkline(&history, 3, true, "▅██");
        expect_sparkline(&history, 8, false, "  _. =##");
        expect_sparkline(NULL, 3, true, "   ");
        expect_sparkline(&history, 0, true, "");
        history.percent[5][ROWS_CPU] = -INFINITY;
        expect_sparkline(&history, 1, true, "▁");
}

static void an_empty_pane_says_why(void **state) {
        struct top_model *model = *state;

        assert_string_equal(top_text_empty(model, TOP_WORKLOADS), "not known yet");
        set_workloads(model, "[]");
        assert_string_equal(top_text_empty(model, TOP_WORKLOADS), "no workloads");
        assert_string_equal(top_text_empty(model, TOP_EVENTS), "no events yet");
        assert_string_equal(top_text_empty(model, TOP_NODES), "not known yet");
        top_model_refuse_nodes(model);
        assert_string_equal(top_text_empty(model, TOP_NODES), "not offered by this daemon");
        set_workloads(model, FOUR);
        assert_null(top_text_empty(model, TOP_WORKLOADS));
        (void) key(model, '/');
        type(model, "zzz");
        assert_string_equal(top_text_empty(model, TOP_WORKLOADS), "nothing passes the filter");
}

static void the_help_fits_on_the_smallest_terminal(void **state) {
        size_t n = 0;

        for (const char *line; (line = top_text_help(n, false)); n++)
                assert_true(strlen(line) <= TOP_COLUMNS_MIN);
        assert_int_equal(n, TOP_LINES_MIN - 1);
}

static int utf8(void **state) {
        return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

#define OFFERED                                                                                 \
        "[{\"id\":\"1\",\"name\":\"web\",\"kind\":\"vm\",\"state\":\"running\",\"allocation\":" \
        "{\"vcpus\":2,\"memory_mb\":512},\"actions\":[\"stop\",\"destroy\",\"scale\"]},"        \
        "{\"id\":\"2\",\"name\":\"wob\",\"kind\":\"vm\",\"state\":\"paused\",\"actions\":"      \
        "[\"destroy\"],\"actions_refused\":{\"scale\":\"scale: not today\"}}]"

static void expect_footer(const struct top_model *model, const char *wanted) {
        struct buf footer = BUF_INIT(4096);

        assert_int_equal(top_text_footer(model, &footer), 0);
        assert_string_equal(footer.data, wanted);
        buf_done(&footer);
}

static int setup_offered(void **state) {
        struct top_model *model;

        if (setup(state) < 0)
                return -1;
        model = *state;
        model->has_actions = true;
        set_workloads(model, OFFERED);
        return 0;
}

static const struct top_ask *sent(struct top_model *model) {
        const struct top_ask *wanted = NULL;

        return top_model_take_wanted(model, &wanted) ? wanted : NULL;
}

static void a_scale_asks_for_numbers_and_the_name(void **state) {
        struct top_model *model = *state;
        const struct top_ask *wanted;

        (void) key(model, 's');
        expect_footer(model, "scale web: vCPUs (now 2), Enter keeps it: ");
        type(model, "x");
        (void) key(model, TOP_KEY_BACKSPACE);
        type(model, "4");
        expect_footer(model, "scale web: vCPUs (now 2), Enter keeps it: 4");
        (void) key(model, TOP_KEY_ENTER);
        expect_footer(model, "scale web: memory in MiB (now 512), Enter keeps it: ");
        (void) key(model, TOP_KEY_ENTER);
        expect_footer(model, "type the name to scale web to 4 vCPUs: ");
        type(model, "web");
        assert_null(sent(model));
        (void) key(model, TOP_KEY_ENTER);
        wanted = sent(model);
        assert_non_null(wanted);
        assert_string_equal(wanted->id, "1");
        assert_string_equal(wanted->verb, "scale");
        assert_int_equal(wanted->vcpus, 4);
        assert_int_equal(wanted->memory_mb, 0);
        assert_null(sent(model)); /* once */
        expect_footer(model, "scale web to 4 vCPUs: no answer yet");
        (void) key(model, 's');
        assert_string_equal(model->message, "one at a time: there is no answer yet for web");
        top_model_set_outcome(model, "done", NOW);
        expect_footer(model, "scale web to 4 vCPUs: done");
        assert_true(top_model_tick(model, NOW + 15 * USEC_PER_SEC));
        (void) key(model, 's');
        assert_int_equal(model->mode, TOP_ASK);
}

static void a_delete_asks_how_and_for_the_name(void **state) {
        struct top_model *model = *state;
        const struct top_ask *wanted;

        (void) key(model, 'd');
        expect_footer(model, "delete web: s stop  d destroy  Esc neither");
        type(model, "qx");
        (void) key(model, TOP_KEY_ENTER);
        (void) key(model, 's');
        expect_footer(model, "type the name to stop web: ");
        type(model, "web");
        (void) key(model, TOP_KEY_ENTER);
        wanted = sent(model);
        assert_non_null(wanted);
        assert_string_equal(wanted->verb, "stop");
        top_model_set_outcome(model, "it is asked", NOW);
        (void) key(model, 'j');
        (void) key(model, 'd');
        expect_footer(model, "delete wob: d destroy  Esc neither");
        (void) key(model, 's'); /* it is paused */
        expect_footer(model, "delete wob: d destroy  Esc neither");
        (void) key(model, 'd');
        type(model, "wob");
        (void) key(model, TOP_KEY_ENTER);
        assert_string_equal(sent(model)->verb, "destroy");
}

static void what_is_not_sure_is_not_done(void **state) {
        struct top_model *model = *state;
        static const char *const names[] = { "", "we", "webb", "Web", "web ", "1" };
        static const char *const numbers[] = { "0", "-1", "1.5", "two", "99999999999999999999" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                type(model, "dd");
                type(model, names[i]);
                (void) key(model, TOP_KEY_ENTER);
                assert_string_equal(model->message, "that is not its name: nothing was done");
                assert_int_equal(model->mode, TOP_BROWSE);
                assert_null(sent(model));
        }
        type(model, "ddweb");
        assert_int_equal(key(model, TOP_KEY_ESCAPE), TOP_STAY);
        assert_string_equal(model->message, "nothing was done");
        (void) key(model, TOP_KEY_ENTER);
        assert_null(sent(model));
        (void) key(model, 's');
        (void) key(model, TOP_KEY_ENTER);
        (void) key(model, TOP_KEY_ENTER);
        assert_string_equal(model->message, "as it was: nothing was done");
        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                (void) key(model, 's');
                type(model, numbers[i]);
                (void) key(model, TOP_KEY_ENTER);
                assert_string_equal(model->message,
                                "that is no whole number from 1 on: nothing was done");
        }
        (void) key(model, 'j');
        (void) key(model, 's');
        assert_string_equal(model->message, "cannot scale wob: not today");
        assert_null(sent(model));
}

static void what_was_asked_about_stays_though_the_list_moves(void **state) {
        struct top_model *model = *state;
        const struct top_ask *wanted;

        type(model, "ddwe");
        set_workloads(model, "[]");
        type(model, "b");
        (void) key(model, TOP_KEY_ENTER);
        wanted = sent(model);
        assert_non_null(wanted);
        assert_string_equal(wanted->id, "1");
}

#define MODEL_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                MODEL_TEST(arrows_stop_at_both_ends),
                cmocka_unit_test_setup_teardown(
                                a_scale_asks_for_numbers_and_the_name, setup_offered, teardown),
                cmocka_unit_test_setup_teardown(
                                a_delete_asks_how_and_for_the_name, setup_offered, teardown),
                cmocka_unit_test_setup_teardown(
                                what_is_not_sure_is_not_done, setup_offered, teardown),
                cmocka_unit_test_setup_teardown(what_was_asked_about_stays_though_the_list_moves,
                                setup_offered, teardown),
                MODEL_TEST(what_is_selected_stays_so_wherever_it_goes),
                MODEL_TEST(a_long_list_scrolls_with_the_selection),
                MODEL_TEST(the_sort_column_moves_and_stops_at_both_ends),
                MODEL_TEST(a_filter_is_looked_for_in_all_that_is_shown),
                MODEL_TEST(keys_are_text_while_the_filter_is_written),
                MODEL_TEST(a_filter_has_whole_characters_and_a_limit),
                MODEL_TEST(tab_goes_round_the_panes),
                MODEL_TEST(the_panes_fill_a_terminal_of_any_size),
                MODEL_TEST(events_are_there_the_newest_first),
                MODEL_TEST(old_events_leave),
                MODEL_TEST(actions_say_why_not_and_the_message_goes),
                MODEL_TEST(help_is_left_by_any_key_and_the_rest_by_q_or_escape),
                MODEL_TEST(answers_of_the_wrong_shape_change_nothing),
                MODEL_TEST(a_ring_is_kept_as_long_as_its_workload),
                MODEL_TEST(a_long_ring_keeps_its_newest),
                MODEL_TEST(the_status_tells_the_age_and_the_next_try),
                cmocka_unit_test(a_sparkline_has_the_newest_at_the_right_and_gaps),
                MODEL_TEST(an_empty_pane_says_why),
                cmocka_unit_test(the_help_fits_on_the_smallest_terminal),
        };

        return cmocka_run_group_tests(tests, utf8, NULL);
}
