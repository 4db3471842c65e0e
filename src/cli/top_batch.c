/* `virtwatch top --batch`: what a script or a file wants of it. Blocking: there is no terminal to
 * keep alive. */

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/top.h"
#include "virtwatch/virtwatch.h"

#define FRAME_S      2
#define FIRST_EVENTS 20

struct frame {
        struct json_object *workloads; /* sorted */
        struct json_object *nodes;     /* NULL: the daemon does not offer them */
        struct json_object *events;    /* since the frame before */
        struct json_object *version;
};

struct batch {
        const struct top_options *options;
        bool begun;
        int64_t last_seq; /* of the events that were shown */
};

static void frame_done(struct frame *frame) {
        (void) json_object_put(frame->workloads);
        (void) json_object_put(frame->nodes);
        (void) json_object_put(frame->events);
        (void) json_object_put(frame->version);
}

/* @optional: 404 is an answer too, and none; @ret_object is left alone then. */
static int get(const struct cli *cli, const char *path, bool optional,
                struct json_object **ret_object) {
        _cleanup_(json_putp) struct json_object *answer = NULL;
        long status = 0;
        int r;

        r = client_get(cli, path, &answer, &status);
        if (r < 0)
                return r; /* it has been told */
        if (status == 404 && optional)
                return 0;
        if (status == 200) {
                *ret_object = TAKE_PTR(answer);
                return 0;
        }
        return client_refused(answer, status, "not what it should answer");
}

static int get_events(struct batch *batch, struct frame *frame) {
        _cleanup_(json_putp) struct json_object *page = NULL;
        _cleanup_(freep) char *path = NULL;
        int r;

        r = batch->begun ? asprintf(&path, "/api/v1/events?after=%jd&limit=%d&%s",
                                           (intmax_t) batch->last_seq, VW_EVENTS_PAGE_MAX,
                                           batch->options->query)
                         : asprintf(&path, "/api/v1/events?newest=1&limit=%d&%s", FIRST_EVENTS,
                                           batch->options->query);
        if (r < 0)
                return -ENOMEM;
        r = get(batch->options->cli, path, false, &page);
        if (r < 0)
                return r;
        frame->events = json_object_get(json_get(page, "events"));
        batch->last_seq = json_get_int(
                        page, batch->begun ? "next_after" : "last_seq", batch->last_seq);
        batch->begun = true;
        return 0;
}

static int get_frame(struct batch *batch, struct frame *frame) {
        const struct top_options *options = batch->options;
        _cleanup_(json_putp) struct json_object *workloads = NULL;
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "/api/v1/workloads?%s", options->query) < 0)
                return -ENOMEM;
        r = get(options->cli, path, false, &workloads);
        if (r < 0)
                return r;
        r = rows_sorted(workloads, options->sort, &frame->workloads);
        if (r < 0)
                (void) fprintf(stderr, "virtwatch: the answer is no list of workloads\n");
        if (r >= 0)
                r = get(options->cli, "/api/v1/nodes", true, &frame->nodes);
        if (r >= 0)
                r = get(options->cli, "/api/v1/version", true, &frame->version);
        return r < 0 ? r : get_events(batch, frame);
}

static int print_frame_json(const struct frame *frame) {
        _cleanup_(json_putp) struct json_object *object = json_object_new_object();
        char time[CLOCK_RFC3339_MAX];
        int r;

        if (!object)
                return -ENOMEM;
        r = json_add_string(object, "at", clock_format_rfc3339(clock_realtime_us(), time));
        if (r >= 0)
                r = json_add(object, "node", json_object_get(json_get(frame->version, "node")));
        if (r >= 0)
                r = json_add(object, "workloads", json_object_get(frame->workloads));
        if (r >= 0 && json_object_object_add(object, "nodes", json_object_get(frame->nodes)) < 0)
                r = -ENOMEM;
        if (r >= 0)
                r = json_add(object, "events", json_object_get(frame->events));
        if (r >= 0)
                print_json(object);
        return r;
}

static void print_frame_table(const struct cli *cli, const struct frame *frame) {
        char time[CLOCK_RFC3339_MAX];

        (void) printf("%s\n", clock_format_rfc3339(clock_realtime_us(), time));
        if (frame->nodes)
                print_nodes(cli, frame->nodes);
        else
                (void) printf("Nodes: not offered by this daemon\n");
        print_workloads(cli, frame->workloads);
        for (size_t i = 0; i < json_length(frame->events); i++)
                print_event(cli, json_object_array_get_idx(frame->events, i));
        (void) printf("\n");
        (void) fflush(stdout);
}

int top_batch(const struct top_options *options) {
        struct batch batch = { .options = options };
        int r = 0;

        for (uint64_t i = 0; r >= 0 && i < options->frames; i++) {
                struct frame frame = {};

                if (i > 0)
                        (void) sleep(FRAME_S);
                r = get_frame(&batch, &frame);
                if (r >= 0 && options->cli->json)
                        r = print_frame_json(&frame);
                else if (r >= 0)
                        print_frame_table(options->cli, &frame);
                frame_done(&frame);
        }
        return r;
}
