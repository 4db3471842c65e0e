/* A request is checked, recorded, done and recorded, in this order; whatever fails on the way ends
 * it with an outcome of its own. */

#include "engine/actions.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/tracker.h"
#include "loop/timer.h"
#include "model/spans.h"

#define TEXT_BYTES_MAX 512 /* of what a runtime says */

struct running {
        struct list list; /* in actions->running, oldest first */
        struct actions *actions;
        uint64_t ticket, timeout_us, deadline_us;
        char *id, *name, *slug;
        enum event_kind kind;
        struct action action;
        char asked_by[ACTIONS_ASKED_BY_MAX];
        struct trace_context context; /* of who asked */
        bool traced;                  /* it has one */
        bool recording; /* the journal has the request, and will say when it is durable */
        bool over;      /* its outcome has been told; the journal still holds it */
        void (*done)(const struct actions_outcome *outcome, void *userdata);
        void *userdata;
};

struct actions {
        struct actions_config config;
        struct actions_hooks hooks;
        struct tracker *tracker;
        sd_event_source *timer;
        struct list running;
        size_t n_running;
        uint64_t last_ticket;
        bool stopping;
};

const char *actions_error_word(int error) {
        static const struct {
                int error;
                const char *word;
        } words[] = {
                { -EPERM, "actions_disabled" },
                { -ENOENT, "not_found" },
                { -EINVAL, "bad_request" },
                { -EKEYREJECTED, "confirm_mismatch" },
                { -EBUSY, "in_progress" },
                { -EAGAIN, "unavailable" },
                { -ENOMEM, "unavailable" },
                { -ECANCELED, "unavailable" },
                { -EOPNOTSUPP, "unsupported" },
                { -EROFS, "unsupported" },
                { -ESRCH, "invalid_state" },
                { -ENOTCONN, "source_down" },
                { -ETIMEDOUT, "workload_hung" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (words[i].error == error)
                        return words[i].word;
        return "action_failed";
}

static const char *sentence_of(int error) {
        static const struct {
                int error;
                const char *sentence;
        } sentences[] = {
                { 0, "done" },
                { 1, "asked for; it may take its time" },
                { -ENOENT, "there is no such workload any more" },
                { -EAGAIN, "too many actions at once, try again" },
                { -ECANCELED, "the daemon ends" },
                { -EOPNOTSUPP, "that cannot be done to this kind of workload" },
                { -ESRCH, "it does not run" },
                { -ENOTCONN, "its source is down" },
                { -EACCES, "the daemon may not do that there" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(sentences); i++)
                if (sentences[i].error == error)
                        return sentences[i].sentence;
        return error < 0 ? strerrordesc_np(-error) : "asked for";
}

/* ---- running ---- */

static void running_free(struct running *running) {
        if (!running)
                return;
        list_remove(&running->list);
        running->actions->n_running--;
        free(running->id);
        free(running->name);
        free(running->slug);
        free(running);
}

static struct running *running_new(struct actions *actions, const struct workload *workload,
                const struct actions_request *request) {
        const char *slug = actions->hooks.slug(workload, actions->hooks.userdata);
        struct running *running = calloc(1, sizeof(*running));

        if (!running)
                return NULL;
        list_append(&actions->running, &running->list);
        actions->n_running++;
        running->actions = actions;
        running->ticket = ++actions->last_ticket;
        running->timeout_us = actions->config.timeout_us;
        running->deadline_us = clock_monotonic_us() + running->timeout_us;
        running->kind = event_kind_of_workload(workload->kind);
        running->action = request->action;
        (void) snprintf(running->asked_by, sizeof(running->asked_by), "%s", request->asked_by);
        running->id = strdup(workload->id);
        running->name = strdup(workload->name);
        running->slug = strdup(slug ? slug : "");
        if (!running->id || !running->name || !running->slug) {
                running_free(running);
                return NULL;
        }
        return running;
}

static struct running *running_of(const struct actions *actions, const char *id, uint64_t ticket) {
        struct running *running;

        list_for_each(running, &actions->running, list)
                if (!running->over &&
                                (id ? strcmp(running->id, id) == 0 : running->ticket == ticket))
                        return running;
        return NULL;
}

static struct workload *workload_of(const struct running *running) {
        return inventory_find(tracker_inventory(running->actions->tracker), running->id);
}

/* ---- the record ---- */

static struct json_object *details_of(const struct running *running) {
        struct json_object *details = json_object_new_object();

        (void) json_add_string(details, "verb", action_verb_to_string(running->action.verb));
        (void) json_add_string(details, "asked_by", running->asked_by);
        if (running->action.vcpus)
                (void) json_add_uint(details, "vcpus", running->action.vcpus);
        if (running->action.memory_mb)
                (void) json_add_uint(details, "memory_mb", running->action.memory_mb);
        return details;
}

/* Takes @details. */
static int record(const struct running *running, const char *action, enum severity severity,
                const char *message, struct json_object *details,
                void (*done)(struct event *event, void *userdata)) {
        const struct actions_hooks *hooks = &running->actions->hooks;
        _cleanup_(event_unrefp) struct event *event = NULL;
        int r;

        r = event_new(
                        &(struct event_fields){
                                        .time_us = clock_realtime_us(),
                                        .kind = running->kind,
                                        .severity = severity,
                                        .name = running->name,
                                        .action = action,
                                        .message = message,
                                        .workload = running->id,
                                        .slug = running->slug,
                                        .details = details,
                        },
                        &event);
        if (r < 0)
                return r;
        return hooks->record(event, done, (void *) (uintptr_t) running, hooks->userdata);
}

static void record_outcome(const struct running *running, int error, const char *text) {
        struct json_object *details = details_of(running);
        char message[EVENT_MESSAGE_MAX], words[80];
        int r;

        (void) json_add_string(details, "outcome", error < 0 ? "failed" : error ? "asked" : "done");
        (void) json_add_string(details, "error", error < 0 ? actions_error_word(error) : NULL);
        (void) snprintf(message, sizeof(message), "%s: %s", action_words(&running->action, words),
                        text);
        r = record(running, error < 0 ? "action_failed" : "action_done",
                        error < 0 ? SEVERITY_WARNING : SEVERITY_INFO, message, details, NULL);
        if (r < 0)
                log_warn_errno(r, "Cannot record what came of '%s' of %s: %m", words,
                                running->name);
}

/* ---- the end of it ---- */

static void finish(struct running *running, int error, const char *text) {
        struct actions *actions = running->actions;
        char clean[TEXT_BYTES_MAX] = "";
        const struct actions_outcome outcome = {
                .id = running->id,
                .name = running->name,
                .action = running->action,
                .error = error,
                .text = text && text[0] ? clean : sentence_of(error),
        };
        struct workload *workload = workload_of(running);

        if (text) /* a runtime's own words, which may have been cut in the middle of a character */
                text_fit(clean, sizeof(clean), text);

        /* Where it hangs, what was asked may still happen. */
        if (error < 0 && error != -ETIMEDOUT && running->action.verb != ACTION_SCALE && workload)
                tracker_expect(actions->tracker, workload, EXIT_ASKED_NOBODY);
        if (!actions->stopping)
                record_outcome(running, error, outcome.text);
        running->over = true;
        running->done(&outcome, running->userdata);
        if (!running->recording)
                running_free(running);
}

/* A timeout that was configured anew may end before older ones. */
static void arm(struct actions *actions) {
        uint64_t now_us = clock_monotonic_us(), first_us = UINT64_MAX;
        struct running *running;

        list_for_each(running, &actions->running, list)
                if (!running->over && running->deadline_us < first_us)
                        first_us = running->deadline_us;
        if (first_us == UINT64_MAX)
                timer_off(actions->timer);
        else
                (void) timer_arm(actions->timer, first_us > now_us ? first_us - now_us : 0);
}

static int on_timer(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct actions *actions = userdata;
        uint64_t now_us = clock_monotonic_us();
        struct running *running, *next;
        char text[160];

        list_for_each_safe(running, next, &actions->running, list) {
                if (running->over || running->deadline_us > now_us)
                        continue;
                if (running->recording) {
                        finish(running, -EAGAIN,
                                        "the journal does not take the request, so nothing was done");
                        continue;
                }
                (void) snprintf(text, sizeof(text),
                                "no answer within %ju s: it hangs or takes longer, and what was asked may still happen",
                                (uintmax_t) (running->timeout_us / USEC_PER_SEC));
                finish(running, -ETIMEDOUT, text);
        }
        arm(actions);
        return 0;
}

void actions_answer(struct actions *actions, uint64_t ticket, int error, const char *text) {
        struct running *running = running_of(actions, NULL, ticket);

        if (!running) {
                log_debug("An answer that nobody waits for any more: %s",
                                text ? text : sentence_of(error));
                return;
        }
        finish(running, error, text);
        arm(actions);
}

void actions_source_ended(struct actions *actions, const char *source) {
        struct running *running, *next;

        list_for_each_safe(running, next, &actions->running, list) {
                const struct workload *workload = workload_of(running);

                if (running->over || running->recording || !workload ||
                                strcmp(workload->source, source) != 0)
                        continue;
                finish(running, -ENOTCONN,
                                "its source was configured anew; what was asked may still happen");
        }
        arm(actions);
}

/* ---- the beginning of it ---- */

static void expect_end(struct running *running, struct workload *workload) {
        if (running->action.verb == ACTION_STOP)
                tracker_expect(running->actions->tracker, workload, EXIT_ASKED_STOP);
        else if (running->action.verb == ACTION_DESTROY)
                tracker_expect(running->actions->tracker, workload, EXIT_ASKED_DESTROY);
}

static void on_recorded(struct event *event, void *userdata) {
        struct running *running = userdata;
        struct actions *actions = running->actions;
        struct workload *workload = workload_of(running);
        int r;

        running->recording = false;
        if (running->over) {
                running_free(running);
                return;
        }
        if (!workload || actions->stopping) {
                finish(running, workload ? -ECANCELED : -ENOENT, NULL);
                return;
        }
        expect_end(running, workload);
        if (running->traced)
                spans_enter(actions->hooks.spans, &running->context);
        r = actions->hooks.control(
                        workload, &running->action, running->ticket, actions->hooks.userdata);
        if (running->traced)
                spans_leave(actions->hooks.spans);
        if (r < 0)
                finish(running, r, NULL);
        arm(actions);
}

static int refuse(struct diag *diag, int error, const char *text) {
        diag_set(diag, 0, 0, "%s", text);
        return error;
}

int actions_check(const struct actions *actions, const struct workload *workload,
                enum action_verb verb, struct diag *diag) {
        const char *why = NULL;
        unsigned int can;

        if (!actions->config.enabled)
                return refuse(diag, -EPERM,
                                "actions are switched off on this daemon: actions.enabled");
        can = actions->hooks.controls(workload, &why, actions->hooks.userdata);
        if (!(can & ACTION_BIT(verb))) {
                diag_set(diag, 0, 0, "%s: %s%.64s", action_verb_to_string(verb),
                                why ? why : "not for what is watched by ",
                                why ? "" : workload->source);
                return -EOPNOTSUPP;
        }
        if (!action_fits(verb, workload, &why)) {
                diag_set(diag, 0, 0, "%s: it is %s", action_verb_to_string(verb), why);
                return workload->state == STATE_UNKNOWN ? -ENOTCONN : -ESRCH;
        }
        return 0;
}

static int check(struct actions *actions, const struct actions_request *request,
                const struct workload *workload, struct diag *diag) {
        const char *name = workload->name[0] ? workload->name : workload->id;
        struct action_limits limits = {};
        int r;

        if (request->confirm && strcmp(request->confirm, name) != 0)
                return refuse(diag, -EKEYREJECTED,
                                "confirm: that is not the name of this workload");
        r = actions_check(actions, workload, request->action.verb, diag);
        if (r < 0)
                return r;
        actions->hooks.limits(workload, &limits, actions->hooks.userdata);
        return action_check(&request->action, &limits, diag);
}

static int begin(struct actions *actions, const struct actions_request *request,
                const struct workload *workload, struct running **ret_running) {
        char message[EVENT_MESSAGE_MAX], words[80];
        struct running *running;
        int r;

        running = running_new(actions, workload, request);
        if (!running)
                return -ENOMEM;
        (void) snprintf(message, sizeof(message), "%s asks for it: %s", running->asked_by,
                        action_words(&running->action, words));
        running->recording = true;
        r = record(running, "action_requested", SEVERITY_INFO, message, details_of(running),
                        on_recorded);
        if (r < 0) {
                running_free(running);
                return r;
        }
        *ret_running = running;
        return 0;
}

int actions_begin(struct actions *actions, const struct actions_request *request,
                void (*done)(const struct actions_outcome *outcome, void *userdata), void *userdata,
                struct diag *diag) {
        const struct workload *workload;
        struct running *running;
        int r;

        if (!actions->config.enabled)
                return refuse(diag, -EPERM,
                                "actions are switched off on this daemon: actions.enabled");
        workload = inventory_find(tracker_inventory(actions->tracker), request->id);
        if (!workload)
                return refuse(diag, -ENOENT, "there is no such workload");
        r = check(actions, request, workload, diag);
        if (r < 0)
                return r;
        if (running_of(actions, workload->id, 0))
                return refuse(diag, -EBUSY, "another action is under way for this workload");
        if (actions->n_running >= ACTIONS_MAX || actions->stopping)
                return refuse(diag, -EAGAIN, "too many actions at once, try again");
        r = begin(actions, request, workload, &running);
        if (r < 0)
                return refuse(diag, r == -ENOMEM ? r : -EAGAIN,
                                "the journal takes no more now, so nothing was done");
        running->done = done;
        running->userdata = userdata;
        running->traced = spans_current(actions->hooks.spans) != NULL;
        if (running->traced)
                running->context = *spans_current(actions->hooks.spans);
        arm(actions);
        return 0;
}

bool actions_enabled(const struct actions *actions) {
        return actions->config.enabled;
}

/* ---- life ---- */

void actions_configure(struct actions *actions, const struct actions_config *config) {
        actions->config = *config;
}

int actions_new(const struct actions_config *config, sd_event *event, struct tracker *tracker,
                const struct actions_hooks *hooks, struct actions **ret_actions) {
        _cleanup_(actions_freep) struct actions *actions = calloc(1, sizeof(*actions));
        int r;

        if (!actions)
                return -ENOMEM;
        list_init(&actions->running);
        actions->config = *config;
        actions->hooks = *hooks;
        actions->tracker = tracker;
        r = timer_new(event, on_timer, actions, &actions->timer);
        if (r < 0)
                return r;
        *ret_actions = TAKE_PTR(actions);
        return 0;
}

void actions_stop(struct actions *actions) {
        struct running *running, *next;

        actions->stopping = true;
        timer_off(actions->timer);
        list_for_each_safe(running, next, &actions->running, list)
                if (!running->over)
                        finish(running, -ECANCELED, NULL);
}

struct actions *actions_free(struct actions *actions) {
        struct running *running, *next;

        if (!actions)
                return NULL;
        list_for_each_safe(running, next, &actions->running, list)
                running_free(running);
        sd_event_source_disable_unref(actions->timer);
        free(actions);
        return NULL;
}
