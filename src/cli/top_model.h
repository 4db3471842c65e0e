#pragma once
/* What `virtwatch top` knows and shows, without a terminal and without a network: the answers of
 * the daemon as lists that are sorted, filtered and walked through, and what keys do to them. Times
 * are CLOCK_MONOTONIC, microseconds, and arguments. */

#include "base/buf.h"
#include "base/map.h"
#include "cli/rows.h"

#define TOP_LINES_MIN   10
#define TOP_COLUMNS_MIN 40
#define TOP_EVENTS_MAX  500 /* the oldest leave */
#define TOP_HISTORY_MAX 64  /* samples of a ring that are kept, the newest */
#define TOP_FILTER_MAX  64  /* bytes, with NUL */

enum top_pane {
        TOP_WORKLOADS,
        TOP_NODES,
        TOP_EVENTS,
        TOP_PANE_MAX_,
};

enum top_mode {
        TOP_BROWSE,
        TOP_EDIT, /* the filter is being written */
        TOP_ASK,  /* what is to be done to a workload */
        TOP_HELP,
};

/* A key is a character's code point or one of these. */
enum top_key {
        TOP_KEY_UP = 0x110000, /* past Unicode */
        TOP_KEY_DOWN,
        TOP_KEY_TAB,
        TOP_KEY_BACKTAB,
        TOP_KEY_ENTER,
        TOP_KEY_ESCAPE,
        TOP_KEY_BACKSPACE,
        TOP_KEY_OTHER, /* does nothing, but closes the help */
};

/* The newest samples of one workload, the oldest first. */
struct top_history {
        size_t n;
        float percent[TOP_HISTORY_MAX][ROWS_USAGE_MAX_]; /* NaN: no reading */
        uint64_t round;                                  /* private */
};

/* One pane's list after the filter, and where in it one is. */
struct top_list {
        size_t *shown; /* private: which of the items */
        size_t n;
        size_t selected, first; /* of shown; first: the one at the top */
        char *key;              /* private: of the selected item */
        unsigned int y, height; /* lines on the screen, with title and header; height 0: hidden */
        unsigned int page;      /* lines for items */
};

enum top_ask_step {
        TOP_ASK_HOW, /* stop or destroy */
        TOP_ASK_VCPUS,
        TOP_ASK_MEMORY,
        TOP_ASK_NAME, /* typed out */
};

/* What is asked, and then done, about one workload. */
struct top_ask {
        char *id, *name;  /* NULL: nothing */
        const char *verb; /* "stop" "destroy" "scale"; "": not known yet */
        enum top_ask_step step;
        bool can_stop;
        double vcpus_now, memory_now; /* NaN: not known */
        uint64_t vcpus, memory_mb;    /* 0: as it is */
        char text[512];               /* as typed so far */
};

struct top_model {
        struct top_list lists[TOP_PANE_MAX_];
        enum top_pane focus;
        enum top_mode mode;
        enum rows_key sort;
        char filter[TOP_FILTER_MAX];
        unsigned int lines, columns; /* of the terminal */

        struct row *rows;
        size_t n_rows;
        struct json_object *nodes;                  /* NULL: none yet */
        bool nodes_refused;                         /* the daemon does not offer them */
        char *node_name;                            /* of the daemon; NULL: not known yet */
        bool has_actions;                           /* the daemon offers them */
        struct top_ask ask;                         /* private: what is being asked */
        struct top_ask wanted;                      /* private: what is to be sent */
        struct top_ask under_way;                   /* what there is no answer to yet */
        struct json_object *events[TOP_EVENTS_MAX]; /* private: a ring */
        uint64_t n_events;                          /* ever; the newest is at n_events - 1 */
        struct map *histories;                      /* private */
        uint64_t round;                             /* private: of answers with workloads */

        uint64_t updated_us; /* when the workloads were answered; 0: never */
        bool lost;
        char error[160];      /* why */
        uint64_t retry_us;    /* the next try; 0: under way */
        char message[160];    /* in the footer; "": none */
        uint64_t message_end; /* private: when it goes, microseconds */
};

enum top_answer {
        TOP_STAY,
        TOP_QUIT,
};

/** Return: 0; -ENOMEM. */
int top_model_init(struct top_model *model, enum rows_key sort);
void top_model_done(struct top_model *model);

/** The terminal has this size now. */
void top_model_resize(struct top_model *model, unsigned int lines, unsigned int columns);
bool top_model_fits(const struct top_model *model);

/* What the daemon answered; objects are borrowed for the call, other shapes are refused with
 * -EINVAL. All: 0; -ENOMEM, and lists may be empty until the next answer. */
int top_model_set_workloads(
                struct top_model *model, struct json_object *workloads, uint64_t now_us);
int top_model_set_nodes(struct top_model *model, struct json_object *nodes);
int top_model_add_event(struct top_model *model, struct json_object *event);
/** @samples: of the ring, the oldest first. */
int top_model_set_history(struct top_model *model, const char *id, struct json_object *samples);
void top_model_refuse_nodes(struct top_model *model);
/** The daemon cannot be reached, and why; the next try is at @retry_us, 0: it is under way. */
void top_model_set_lost(struct top_model *model, const char *error, uint64_t retry_us);

/** What stands at @i of the pane's list (i < n). Borrowed until the next change. */
const struct row *top_model_row(const struct top_model *model, size_t i);
struct json_object *top_model_node(const struct top_model *model, size_t i);
struct json_object *top_model_event(const struct top_model *model, size_t i); /* newest first */
/** NULL: none. */
const struct top_history *top_model_history(const struct top_model *model, const char *id);
/** Which usage the history is shown of: the one sorted by, else the CPU. */
enum rows_usage top_model_usage(const struct top_model *model);

/** Whether something is to be done now; it counts as under way then. *ret_wanted: borrowed until
 * its outcome. */
bool top_model_take_wanted(struct top_model *model, const struct top_ask **ret_wanted);
/** What came of it, in a few words. */
void top_model_set_outcome(struct top_model *model, const char *text, uint64_t now_us);
/** The question in the footer, and what has been typed. Return: 0; -ENOMEM. */
int top_ask_text(const struct top_model *model, struct buf *buf);
int top_ask_waiting(const struct top_model *model, struct buf *buf);

enum top_answer top_model_key(struct top_model *model, uint32_t key, uint64_t now_us);
/** Drop what has run out. Return: whether something did. */
bool top_model_tick(struct top_model *model, uint64_t now_us);
