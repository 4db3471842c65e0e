#pragma once
/* What operators ask to be done to workloads: the one place that says whether it may be, has the
 * workload's source do it, and keeps the record: an event of each request, durable before anything
 * is done, and one of what came of it. One at a time for each workload, and few at once in all. An
 * answer that does not come is one, too: after the timeout. Loop thread only. */

#include <systemd/sd-event.h>

#include "model/action.h"
#include "model/event.h"

#define ACTIONS_MAX          64
#define ACTIONS_ASKED_BY_MAX 96 /* bytes, with NUL */

struct actions;
struct tracker;

struct actions_config {
        bool enabled;
        uint64_t timeout_us; /* 1 s..10 min; default 30 s */
};

struct actions_hooks {
        /** Have @workload's source do it; actions_answer() follows with @ticket, never from within.
         * Return: 0; as source_ops.control says. */
        int (*control)(const struct workload *workload, const struct action *action,
                        uint64_t ticket, void *userdata);
        /** What can be done to @workload, bits of ACTION_BIT(). @ret_why: why not the others, a
         * constant; NULL: its source cannot. */
        unsigned int (*controls)(
                        const struct workload *workload, const char **ret_why, void *userdata);
        void (*limits)(const struct workload *workload, struct action_limits *ret_limits,
                        void *userdata);
        /** The app of @workload; NULL: none. */
        const char *(*slug)(const struct workload *workload, void *userdata);
        /** Store @event (borrowed); @done: on the loop, once it is durable; may be NULL. Return: 0;
         * negative errno. */
        int (*record)(struct event *event, void (*done)(struct event *event, void *userdata),
                        void *done_userdata, void *userdata);
        struct spans *spans; /* what is asked of a source belongs to the request's trace; borrowed;
                                NULL: there are none */
        void *userdata;
};

struct actions_request {
        const char *id; /* the workload's */
        struct action action;
        const char *confirm;  /* the name that was given; NULL: the face has made sure */
        const char *asked_by; /* "uid 0", "token deploy" */
};

/* What came of it. */
struct actions_outcome {
        const char *id, *name; /* of the workload */
        struct action action;
        int error;        /* 0: done; 1: asked, it may take its time; negative errno, see below */
        const char *text; /* one sentence for people, never empty */
};

int actions_new(const struct actions_config *config, sd_event *event, struct tracker *tracker,
                const struct actions_hooks *hooks, struct actions **ret_actions);
/** Those under way keep their timeout. */
void actions_configure(struct actions *actions, const struct actions_config *config);
/** Nothing is asked of a source any more; what is under way is told as given up. */
void actions_stop(struct actions *actions);
/** Once nothing calls back any more: after the journal has closed. */
struct actions *actions_free(struct actions *actions);
DEFINE_FREEP(struct actions, actions_free);

bool actions_enabled(const struct actions *actions);
/** Whether @verb could be asked for @workload now. Return: 0; -EPERM, -EOPNOTSUPP, -ESRCH,
 * -ENOTCONN as below, and in @diag why not. */
int actions_check(const struct actions *actions, const struct workload *workload,
                enum action_verb verb, struct diag *diag);

/**
 * Begin. @done is called once, later, never from within.
 *
 * Return: 0; or what is refused at once, with one sentence in @diag: -EPERM not enabled; -ENOENT no
 * such workload; -EINVAL a number out of bounds, beginning with the member's name; -EKEYREJECTED
 * the name is not the workload's; -EBUSY another one is under way for it; -EAGAIN too many at once,
 * or the journal takes no more; -EOPNOTSUPP not for this workload; -ESRCH not in its state;
 * -ENOTCONN its source is down; -ENOMEM. Those of an outcome: as these, and what
 * source_ops.control says.
 */
int actions_begin(struct actions *actions, const struct actions_request *request,
                void (*done)(const struct actions_outcome *outcome, void *userdata), void *userdata,
                struct diag *diag);
/** What the source says; see source_env.answer. One that comes after the timeout changes nothing.
 */
void actions_answer(struct actions *actions, uint64_t ticket, int error, const char *text);

/** The source of that name ends, and answers nothing any more: whoever waits for it is told at
 * once. What is not recorded yet will find its successor. */
void actions_source_ended(struct actions *actions, const char *source);

/** The word for an error of the above, the same on every face: "actions_disabled" "not_found"
 * "bad_request" "confirm_mismatch" "in_progress" "unavailable" "unsupported" "invalid_state"
 * "source_down" "workload_hung" "action_failed". */
const char *actions_error_word(int error);
