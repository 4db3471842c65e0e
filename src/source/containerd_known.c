/* What is remembered of each container: enough to tell its own end from an exec's, one life from
 * the next, and a listing's answer from one that an event has overtaken. An event of creation says
 * no name and no labels, so they are asked for, and the container's events wait for the answer. */

#include <string.h>

#include "base/log.h"
#include "loop/timer.h"
#include "source/containerd.pb-c.h"
#include "source/containerd_link.h"

#define LOOKS_MAX        8
#define LOOK_TIMEOUT_US  USEC_PER_SEC
#define HELD_MAX         32
#define RECORD_MAX_BYTES (4U << 20)

struct held_event {
        struct list list;
        struct containerd_event event;
};

static void held_free(struct held_event *held) {
        list_remove(&held->list);
        containerd_event_done(&held->event);
        free(held);
}

static void known_free(struct known *known) {
        struct held_event *held;

        if (!known)
                return;
        while ((held = list_first(&known->held, struct held_event, list)))
                held_free(held);
        list_remove(&known->look);
        grpc_call_cancel(known->look_call);
        free(known->native_id);
        free(known);
}

int known_get(struct containerd_source *containerd, const char *native_id,
                struct known **ret_known) {
        struct known *known = map_get(containerd->known, native_id);
        int r;

        *ret_known = known;
        if (known)
                return 0;
        if (map_size(containerd->known) >= CONTAINERD_KNOWN_MAX)
                return -ENOSPC;

        known = calloc(1, sizeof(*known));
        if (!known)
                return -ENOMEM;
        known->containerd = containerd;
        list_init(&known->look);
        list_init(&known->held);
        known->native_id = strdup(native_id);
        r = known->native_id ? map_put(containerd->known, native_id, known) : -ENOMEM;
        if (r < 0) {
                known_free(known);
                return r;
        }
        known->ns_size = strcspn(native_id, "/");
        *ret_known = known;
        return 1;
}

/* Not while a call is under way whose end will want it, or a listing that may name it again. */
static void known_let_go(struct known *known) {
        struct containerd_source *containerd = known->containerd;

        if (!known->gone || known->look_call || known->releasing || known->n_held > 0 ||
                        containerd->listing.running)
                return;
        (void) map_remove(containerd->known, known->native_id);
        known_free(known);
}

void known_forget(struct known *known) {
        known->gone = true;
        list_remove(&known->look);
        known_let_go(known);
}

void known_sweep(struct containerd_source *containerd) {
        struct known *known;

        map_for_each(known, containerd->known) {
                if (known->seen != containerd->listing.number &&
                                known->touched <= containerd->listing.since)
                        known->gone = true;
                known_let_go(known);
        }
}

void known_free_all(struct containerd_source *containerd) {
        struct known *known;

        if (containerd->known)
                map_for_each(known, containerd->known)
                        known_free(known);
        containerd->known = map_free(containerd->known);
}

/* ---- holding events back ---- */

bool known_held(struct known *known, struct containerd_event *event) {
        struct held_event *held;

        if (!known->holding)
                return false;
        if (known->n_held >= HELD_MAX) {
                known_release(known);
                return false;
        }
        held = calloc(1, sizeof(*held));
        if (!held) {
                known_release(known);
                return false;
        }
        held->event = *event;
        *event = (struct containerd_event){};
        list_append(&known->held, &held->list);
        known->n_held++;
        return true;
}

void known_release(struct known *known) {
        struct held_event *held;

        known->holding = false;
        known->releasing = true; /* an event of its end among them must not end it yet */
        while ((held = list_first(&known->held, struct held_event, list))) {
                known->n_held--;
                containerd_tell(known, &held->event);
                held_free(held);
        }
        known->releasing = false;
}

void known_hold(struct known *known) {
        known->holding = true;
        known_look(known);
}

/* ---- looking ---- */

void containerd_info_of_record(
                const struct containerd_record *record, struct workload_info *ret_info) {
        ret_info->name = record->name ? record->name : record->id;
        ret_info->image = record->image;
        ret_info->job = record->job;
        ret_info->labels = record->labels;
        ret_info->created_us = record->created_us;
}

static int look_message(const void *message, size_t size, bool too_long, void *userdata) {
        struct known *known = userdata;
        struct containerd_source *containerd = known->containerd;
        struct fact fact = FACT_INIT(FACT_WORKLOAD);
        struct containerd_record record;
        int r;

        if (known->gone || known->look_again)
                return 0;
        r = too_long ? -EINVAL : containerd_record_parse(message, size, &record);
        if (r == -EINVAL)
                source_malformed(&containerd->source, "Unreadable container", message, size);
        if (r < 0)
                return r;

        fact.quiet = true;
        fact.workload.kind = WORKLOAD_CONTAINER;
        fact.workload.runtime = "containerd";
        fact.workload.native_id = known->native_id;
        containerd_info_of_record(&record, &fact.workload);
        known->named = true;
        source_post(&containerd->source, &fact);
        containerd_record_done(&record);
        return 0;
}

static void look_end(int error, const char *why, void *userdata) {
        struct known *known = userdata;
        struct containerd_source *containerd = known->containerd;

        known->look_call = NULL;
        containerd->n_looking--;
        if (error < 0) /* gone already, as a rule */
                log_debug_errno(error, "Cannot look at container %s: %s%s%m", known->native_id, why,
                                why[0] ? ", " : "");
        if (known->look_again && !known->gone)
                list_append(&containerd->looks, &known->look);
        else
                known_release(known);
        known->look_again = false;
        known_let_go(known);
        known_pump(containerd);
}

static int look_start(struct known *known) {
        Containerd__GetContainerRequest request;
        char ns[CONTAINERD_NAME_MAX + 1];
        int r;

        if (known->ns_size >= sizeof(ns))
                return -EINVAL;
        memcpy(ns, known->native_id, known->ns_size);
        ns[known->ns_size] = '\0';
        containerd__get_container_request__init(&request);
        /* protobuf-c knows no const. */
        request.id = (char *) (uintptr_t) (known->native_id + known->ns_size + 1);
        r = containerd_call(known->containerd,
                        &(struct grpc_request){
                                        .method = "containerd.services.containers.v1.Containers/Get",
                                        .unary = true,
                                        .message = &request.base,
                                        .timeout_us = LOOK_TIMEOUT_US,
                                        .message_max = RECORD_MAX_BYTES,
                                        .on_message = look_message,
                                        .on_end = look_end,
                                        .userdata = known,
                        },
                        ns, &known->look_call);
        if (r >= 0)
                known->containerd->n_looking++;
        return r;
}

void known_pump(struct containerd_source *containerd) {
        struct known *known;

        while (containerd->n_looking < LOOKS_MAX &&
                        (known = list_first(&containerd->looks, struct known, look))) {
                list_remove(&known->look);
                if (look_start(known) < 0) /* no memory to ask with */
                        known_release(known);
        }
}

void known_look(struct known *known) {
        struct containerd_source *containerd = known->containerd;

        if (known->look_call) {
                known->look_again = true;
                return;
        }
        list_remove(&known->look);
        list_append(&containerd->looks, &known->look);
        /* From a timer: this may be the last word of a connection that is being given up. */
        (void) timer_arm(containerd->look_timer, 0);
}

void known_stop(struct containerd_source *containerd) {
        struct known *known;

        map_for_each(known, containerd->known) {
                list_remove(&known->look);
                known->look_call = grpc_call_cancel(known->look_call);
                known->look_again = false;
                known_release(known);
                known_let_go(known);
        }
        containerd->n_looking = 0;
        timer_off(containerd->look_timer);
}
