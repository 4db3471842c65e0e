/* What `top` asks before it has something done to a workload: how, how much, and the name typed
 * out. Esc leaves everything as it is. */

#include <limits.h>
#include <math.h>
#include <string.h>
#include <wchar.h>

#include "base/text.h"
#include "cli/top_model_internal.h"

#define OUTCOME_US (15 * USEC_PER_SEC)

static void forget(struct top_ask *ask) {
        free(ask->id);
        free(ask->name);
        *ask = (struct top_ask){};
}

void top_ask_done(struct top_model *model) {
        forget(&model->ask);
        forget(&model->wanted);
        forget(&model->under_way);
}

bool top_text_key(char *text, size_t size, uint32_t key) {
        size_t n = strlen(text), m;
        char bytes[MB_LEN_MAX];
        mbstate_t state = {};

        if (key == TOP_KEY_BACKSPACE) {
                while (n > 0 && ((unsigned char) text[--n] & 0xc0) == 0x80)
                        ; /* the bytes of one character */
                text[n] = '\0';
                return true;
        }
        if (key >= TOP_KEY_UP || key < ' ' || key == 0x7f)
                return false;
        m = wcrtomb(bytes, (wchar_t) key, &state);
        if (m > sizeof(bytes) || n + m >= size)
                return false;
        memcpy(text + n, bytes, m);
        text[n + m] = '\0';
        return true;
}

/* ---- may it be? ---- */

/* Why not, by what the daemon says of the row; NULL: it may. */
static const char *why_not(const struct row *row, const char *verb) {
        struct json_object *actions = json_get(row->json, "actions");
        char path[32];
        const char *why;

        for (size_t i = 0; i < json_length(actions); i++)
                if (text_equal(json_object_get_string(json_object_array_get_idx(actions, i)), verb))
                        return NULL;
        (void) snprintf(path, sizeof(path), "actions_refused/%s", verb);
        why = json_get_string(row->json, path);
        if (!why)
                return "not offered";
        return text_starts_with(why, verb) && text_starts_with(why + strlen(verb), ": ")
                        ? why + strlen(verb) + 2 /* what was tried is said already */
                        : why;
}

void top_ask_begin(struct top_model *model, const struct row *row, bool scale, uint64_t now_us) {
        const char *why = why_not(row, scale ? "scale" : "destroy"),
                   *what = scale ? "scale" : "delete";
        char text[160];

        if (!model->has_actions) {
                (void) snprintf(text, sizeof(text), "no actions on this daemon: cannot %s ", what);
                top_model_say(model, now_us, text, row->name);
                return;
        }
        if (model->under_way.id || model->wanted.id) {
                top_model_say(model, now_us, "one at a time: there is no answer yet for ",
                                model->under_way.id ? model->under_way.name : model->wanted.name);
                return;
        }
        if (why) {
                (void) snprintf(text, sizeof(text), "cannot %s %.48s: ", what, row->name);
                top_model_say(model, now_us, text, why);
                return;
        }
        forget(&model->ask);
        model->ask.id = strdup(row->id);
        model->ask.name = strdup(row->name[0] ? row->name : row->id);
        if (!model->ask.id || !model->ask.name) {
                forget(&model->ask);
                return;
        }
        model->ask.verb = scale ? "scale" : "";
        model->ask.step = scale ? TOP_ASK_VCPUS : TOP_ASK_HOW;
        model->ask.can_stop = !why_not(row, "stop");
        model->ask.vcpus_now = row->vcpus;
        model->ask.memory_now = row->memory_mb;
        model->mode = TOP_ASK;
}

/* ---- the steps ---- */

static void leave(struct top_model *model, uint64_t now_us, const char *why) {
        forget(&model->ask);
        model->mode = TOP_BROWSE;
        top_model_say(model, now_us, why, "");
}

static void step_how(struct top_model *model, uint32_t key, uint64_t now_us) {
        if (key == 's' && model->ask.can_stop)
                model->ask.verb = "stop";
        else if (key == 'd')
                model->ask.verb = "destroy";
        else
                return;
        model->ask.step = TOP_ASK_NAME;
}

/* An empty one leaves things as they are. */
static bool take_number(struct top_ask *ask, uint64_t *ret_number) {
        uint64_t number = 0;

        if (ask->text[0] && (text_to_u64(ask->text, &number) < 0 || number == 0))
                return false;
        *ret_number = number;
        ask->text[0] = '\0';
        return true;
}

static void step_number(struct top_model *model, uint64_t now_us) {
        struct top_ask *ask = &model->ask;

        if (!take_number(ask, ask->step == TOP_ASK_VCPUS ? &ask->vcpus : &ask->memory_mb)) {
                leave(model, now_us, "that is no whole number from 1 on: nothing was done");
                return;
        }
        if (ask->step == TOP_ASK_VCPUS)
                ask->step = TOP_ASK_MEMORY;
        else if (ask->vcpus || ask->memory_mb)
                ask->step = TOP_ASK_NAME;
        else
                leave(model, now_us, "as it was: nothing was done");
}

static void step_name(struct top_model *model, uint64_t now_us) {
        if (strcmp(model->ask.text, model->ask.name) != 0) {
                leave(model, now_us, "that is not its name: nothing was done");
                return;
        }
        model->wanted = model->ask;
        model->ask = (struct top_ask){};
        model->mode = TOP_BROWSE;
}

void top_ask_key(struct top_model *model, uint32_t key, uint64_t now_us) {
        if (key == TOP_KEY_ESCAPE)
                leave(model, now_us, "nothing was done");
        else if (model->ask.step == TOP_ASK_HOW)
                step_how(model, key, now_us);
        else if (key == TOP_KEY_ENTER && model->ask.step == TOP_ASK_NAME)
                step_name(model, now_us);
        else if (key == TOP_KEY_ENTER)
                step_number(model, now_us);
        else
                (void) top_text_key(model->ask.text, sizeof(model->ask.text), key);
}

/* ---- words ---- */

static int add_now(struct buf *buf, double now) {
        char amount[ROWS_AMOUNT_MAX];

        return isnan(now) ? 0 : buf_printf(buf, " (now %s)", rows_amount(now, amount));
}

static int add_what(struct buf *buf, const struct top_ask *ask) {
        int r;

        r = buf_printf(buf, "%s %s", ask->verb, ask->name);
        if (r >= 0 && ask->vcpus)
                r = buf_printf(buf, " to %ju vCPU%s", (uintmax_t) ask->vcpus,
                                ask->vcpus == 1 ? "" : "s");
        if (r >= 0 && ask->memory_mb)
                r = buf_printf(buf, " %s %ju MiB", ask->vcpus ? "and" : "to",
                                (uintmax_t) ask->memory_mb);
        return r;
}

int top_ask_text(const struct top_model *model, struct buf *buf) {
        const struct top_ask *ask = &model->ask;
        int r;

        switch (ask->step) {
        case TOP_ASK_HOW:
                return buf_printf(buf, "delete %s: %sd destroy  Esc neither", ask->name,
                                ask->can_stop ? "s stop  " : "");
        case TOP_ASK_VCPUS:
        case TOP_ASK_MEMORY:
                r = buf_printf(buf, "scale %s: %s", ask->name,
                                ask->step == TOP_ASK_VCPUS ? "vCPUs" : "memory in MiB");
                if (r >= 0) {
                        r = add_now(buf,
                                        ask->step == TOP_ASK_VCPUS ? ask->vcpus_now
                                                                   : ask->memory_now);
                }
                if (r >= 0)
                        r = buf_append_str(buf, ", Enter keeps it: ");
                break;
        default:
                r = buf_append_str(buf, "type the name to ");
                if (r >= 0)
                        r = add_what(buf, ask);
                if (r >= 0)
                        r = buf_append_str(buf, ": ");
        }
        return r < 0 ? r : buf_append_str(buf, ask->text);
}

int top_ask_waiting(const struct top_model *model, struct buf *buf) {
        int r;

        r = add_what(buf, &model->under_way);
        return r < 0 ? r : buf_append_str(buf, ": no answer yet");
}

/* ---- what the loop does with it ---- */

bool top_model_take_wanted(struct top_model *model, const struct top_ask **ret_wanted) {
        if (!model->wanted.id)
                return false;
        forget(&model->under_way);
        model->under_way = model->wanted;
        model->wanted = (struct top_ask){};
        *ret_wanted = &model->under_way;
        return true;
}

void top_model_set_outcome(struct top_model *model, const char *text, uint64_t now_us) {
        struct buf whole = BUF_INIT(1024);

        if (!model->under_way.id)
                return;
        if (add_what(&whole, &model->under_way) >= 0 && buf_append_str(&whole, ": ") >= 0)
                (void) buf_append_str(&whole, text);
        (void) snprintf(model->message, sizeof(model->message), "%s",
                        whole.data ? whole.data : text);
        model->message_end = now_us + OUTCOME_US;
        buf_done(&whole);
        forget(&model->under_way);
}
