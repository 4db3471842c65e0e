/* Machines that systemd-machined knows: systemd-nspawn's containers, and VMs that no other source
 * has. libvirt registers its VMs and containers there too; those are its own source's to tell.
 *
 * machined does not know how a machine ended. Its unit may: a systemd-nspawn@.service ends with the
 * container's exit status, a moment after the machine has gone; a scope has only a Result. machined
 * ends by itself where there is no machine, and is started by the bus for the next one. */

#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "loop/timer.h"
#include "source/bus_control.h"
#include "source/bus_dict.h"
#include "source/proc.h"
#include "source/unit_life.h"

#define MACHINES_MAX   4096
#define UNIT_ASKS_MAX  20
#define UNIT_AGAIN_US  (100 * USEC_PER_MSEC)
#define MACHINE1       "org.freedesktop.machine1"
#define MACHINE1_PATH  "/org/freedesktop/machine1"
#define PROPERTIES_GET "org.freedesktop.DBus.Properties"

struct machined_source {
        struct source source;
        struct bus_link link;
        struct map *machines; /* by object path */
        struct list ending;   /* of struct machine: gone, its unit is asked how */
        size_t n_listing;
        sd_bus_slot *list_call;
        sd_event_source *again_timer;
        bool listing;
};

struct machine {
        struct list ending;
        struct machined_source *owner;
        char *name, *path, *class, *service, *unit, *cgroup; /* NULL: not told */
        uint32_t leader;
        uint64_t started_us, ended_us;
        unsigned int asks;
        sd_bus_slot *call;
        bool told; /* the tracker knows it */
        bool ours; /* not another source's, not the host itself */
        bool in_listing, listed, gone, wait;
};

static struct machined_source *machined_of(struct source *source) {
        return CONTAINER_OF(source, struct machined_source, source);
}

static struct machined_source *machined_of_link(struct bus_link *link) {
        return CONTAINER_OF(link, struct machined_source, link);
}

static void listing_check(struct machined_source *machined);
static void ask_unit(struct machine *machine);

/* ---- machines ---- */

static void machine_drop_call(struct machine *machine) {
        machine->call = sd_bus_slot_unref(machine->call);
        machine->owner->n_listing -= machine->in_listing;
        machine->in_listing = false;
}

static void machine_free(struct machine *machine) {
        machine_drop_call(machine);
        list_remove(&machine->ending);
        if (map_get(machine->owner->machines, machine->path) == machine)
                (void) map_remove(machine->owner->machines, machine->path);
        free(machine->name);
        free(machine->path);
        free(machine->class);
        free(machine->service);
        free(machine->unit);
        free(machine->cgroup);
        free(machine);
}

static struct machine *machine_get(
                struct machined_source *machined, const char *name, const char *path) {
        struct machine *machine = map_get(machined->machines, path);

        if (machine)
                return machine;
        if (map_size(machined->machines) >= MACHINES_MAX) {
                machined->source.stats.dropped++;
                return NULL;
        }
        machine = calloc(1, sizeof(*machine));
        if (!machine)
                return NULL;
        list_init(&machine->ending);
        machine->owner = machined;
        machine->name = strdup(name);
        machine->path = strdup(path);
        if (!machine->name || !machine->path || map_put(machined->machines, path, machine) < 0) {
                free(machine->name);
                free(machine->path);
                free(machine);
                return NULL;
        }
        return machine;
}

static void fill_info(const struct machine *machine, struct workload_info *info) {
        info->kind = text_equal(machine->class, "vm") ? WORKLOAD_VM : WORKLOAD_CONTAINER;
        info->native_id = machine->name;
        info->name = machine->name;
        info->runtime = "machined";
        info->cgroup = machine->cgroup;
        info->job = machine->unit;
        info->pid = machine->leader;
        info->started_us = machine->started_us;
        info->transient = true;
}

static struct json_object *machine_details(const struct machine *machine) {
        struct json_object *details = json_object_new_object();

        if (!details)
                return NULL;
        (void) json_add_string(details, "service", machine->service);
        (void) json_add_string(details, "unit", machine->unit);
        return details;
}

static void post(struct machine *machine, struct fact *fact, const char *what) {
        char origin[512];

        (void) snprintf(origin, sizeof(origin), "%s/%ju/%s", machine->name,
                        (uintmax_t) machine->started_us, what);
        fact->origin = origin;
        source_post(&machine->owner->source, fact);
        fact->origin = NULL;
}

static void post_alive(struct machine *machine, bool listed) {
        struct fact fact = FACT_INIT(listed ? FACT_WORKLOAD : FACT_ACTION);

        fill_info(machine, &fact.workload);
        fact.workload.state = STATE_RUNNING;
        fact.details = machine_details(machine);
        machine->told = true;
        if (listed) {
                source_post(&machine->owner->source, &fact);
        } else {
                fact.action = "started";
                fact.time_us = machine->started_us;
                post(machine, &fact, "started");
        }
        (void) json_object_put(fact.details);
}

/* @view: its unit's; NULL: nobody can say how it ended. */
static void post_ended(struct machine *machine, const struct unit_view *view) {
        struct fact exit = FACT_INIT(FACT_EXIT), gone = FACT_INIT(FACT_REMOVED);
        const struct unit_life life = {};

        if (view)
                unit_exit_fill(&life, view, false, &exit);
        if (view && !view->has_exec)
                exit.code = -1; /* a scope's success says nothing of an exit status */
        fill_info(machine, &exit.workload);
        exit.how = EXIT_PROCESS;
        exit.time_us = machine->ended_us;
        exit.details = machine_details(machine);
        if (exit.details && view && view->result[0])
                (void) json_add_string(exit.details, "result", view->result);
        post(machine, &exit, "exit");
        (void) json_object_put(exit.details);

        gone.workload.native_id = machine->name;
        gone.time_us = machine->ended_us;
        post(machine, &gone, "removed");
        machine_free(machine);
}

/* ---- what a machine is ---- */

/* A machine of libvirt's is libvirt's; ".host" is no machine. */
static bool is_ours(const struct machine *machine) {
        if (!machine->class || text_equal(machine->class, "host"))
                return false;
        return !machine->service || !text_starts_with(machine->service, "libvirt");
}

/* Its leader's cgroup, up to the unit: what lies below is the machine's own. */
static void find_cgroup(struct machine *machine) {
        char path[4096], *at;

        if (!machine->leader || proc_memory_cgroup(machine->leader, path, sizeof(path)) < 0)
                return;
        at = machine->unit ? strstr(path, machine->unit) : NULL;
        if (at && at > path && at[-1] == '/')
                at[strlen(machine->unit)] = '\0';
        free(machine->cgroup);
        machine->cgroup = strdup(path);
}

static int take_text(char **field, sd_bus_message *message) {
        const char *text;
        char *copy;
        int r;

        r = sd_bus_message_read(message, "v", "s", &text);
        if (r < 0)
                return r;
        copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        free(*field);
        *field = copy;
        return 1;
}

static int take_property(
                sd_bus_message *message, const char *name, const char *type, void *userdata) {
        struct machine *machine = userdata;
        const struct {
                const char *name;
                char **field;
        } texts[] = { { "Class", &machine->class }, { "Service", &machine->service },
                { "Unit", &machine->unit } };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                if (strcmp(name, texts[i].name) == 0 && strcmp(type, "s") == 0)
                        return take_text(texts[i].field, message);
        if (strcmp(name, "Leader") == 0 && strcmp(type, "u") == 0)
                return sd_bus_message_read(message, "v", "u", &machine->leader);
        if (strcmp(name, "Timestamp") == 0 && strcmp(type, "t") == 0)
                return sd_bus_message_read(message, "v", "t", &machine->started_us);
        return 0;
}

static int on_machine(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct machine *machine = userdata;
        struct machined_source *machined = machine->owner;
        bool listed = machine->in_listing, vanished = false;

        machine_drop_call(machine);
        if (bus_link_is_silence(message)) {
                bus_link_fail(&machined->link, "does not answer",
                                -sd_bus_message_get_errno(message));
                return 0;
        }
        if (sd_bus_message_is_method_error(message, NULL)) {
                vanished = true; /* ended meanwhile */
        } else if (bus_dict_read(message, take_property, machine) < 0) {
                source_malformed(&machined->source, "Unreadable machine", machine->name,
                                strlen(machine->name));
        } else {
                machine->ours = is_ours(machine);
                if (machine->ours && (listed || !machine->told)) {
                        find_cgroup(machine);
                        post_alive(machine, listed);
                }
        }
        if (!vanished && machine->gone && machine->told) /* MachineRemoved came before the answer */
                ask_unit(machine);
        else if (vanished || machine->gone)
                machine_free(machine);
        listing_check(machined);
        return 0;
}

static int ask_machine(struct machine *machine, bool listing) {
        struct machined_source *machined = machine->owner;

        if (listing && !machine->in_listing) {
                machine->in_listing = true;
                machined->n_listing++;
        }
        if (machine->call)
                return 0;
        return bus_link_call(&machined->link, &machine->call, machine->path,
                        PROPERTIES_GET ".GetAll", on_machine, machine, "s", MACHINE1 ".Machine");
}

/* ---- how it ended ---- */

static bool unit_is_over(const struct unit_view *view) {
        return strcmp(view->active_state, "inactive") == 0 ||
                        strcmp(view->active_state, "failed") == 0 ||
                        strncmp(view->sub_state, "auto-restart", 12) == 0;
}

/* A unit that is loaded for the asking has never run: it is not the one that held the machine. */
static bool unit_is_the_one(const struct machine *machine, const struct unit_view *view) {
        return strcmp(view->load_state, "not-found") != 0 &&
                        view->inactive_enter_us >= machine->started_us;
}

static int on_unit(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct machine *machine = userdata;
        struct machined_source *machined = machine->owner;
        struct unit_view view = {};
        bool known = false;

        machine->call = sd_bus_slot_unref(machine->call);
        if (!sd_bus_message_is_method_error(message, NULL) && unit_view_read(&view, message) >= 0) {
                if (!unit_is_over(&view) && machine->asks < UNIT_ASKS_MAX) {
                        machine->wait = true;
                        (void) timer_arm(machined->again_timer, UNIT_AGAIN_US);
                        unit_view_done(&view);
                        return 0;
                }
                known = unit_is_over(&view) && unit_is_the_one(machine, &view);
        }
        post_ended(machine, known ? &view : NULL);
        unit_view_done(&view);
        return 0;
}

static void ask_unit(struct machine *machine) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        struct machined_source *machined = machine->owner;
        _cleanup_(freep) char *path = NULL;
        int r = -ENODATA;

        machine->asks++;
        machine->wait = false;
        if (machine->unit && machine->unit[0])
                r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", machine->unit, &path);
        if (r >= 0)
                r = sd_bus_message_new_method_call(machined->link.bus, &message,
                                "org.freedesktop.systemd1", path, PROPERTIES_GET, "GetAll");
        if (r >= 0)
                r = sd_bus_message_append(message, "s", "");
        if (r >= 0)
                r = bus_link_send(&machined->link, &machine->call, message, on_unit, machine);
        if (r < 0)
                post_ended(machine, NULL);
}

static int on_again(sd_event_source *timer, uint64_t time_us, void *userdata) {
        struct machined_source *machined = userdata;
        struct machine *machine, *next;

        list_for_each_safe(machine, next, &machined->ending, ending)
                if (machine->wait)
                        ask_unit(machine);
        return 0;
}

/* ---- signals ---- */

static int on_machine_new(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct machined_source *machined = machined_of_link(userdata);
        const char *name, *path;
        struct machine *machine;
        int r;

        if (!bus_link_is_peer(&machined->link, message) ||
                        sd_bus_message_read(message, "so", &name, &path) < 0)
                return 0;
        machined->source.stats.raw_events++;
        machine = machine_get(machined, name, path);
        if (!machine)
                return 0;
        machine->listed = true;
        r = ask_machine(machine, false);
        if (r < 0)
                bus_link_fail(&machined->link, "cannot be asked", r);
        return 0;
}

static int on_machine_removed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct machined_source *machined = machined_of_link(userdata);
        const char *name, *path;
        struct machine *machine;

        if (!bus_link_is_peer(&machined->link, message) ||
                        sd_bus_message_read(message, "so", &name, &path) < 0)
                return 0;
        machined->source.stats.raw_events++;
        machine = map_get(machined->machines, path);
        if (!machine)
                return 0;
        /* The name may be used again at once. */
        (void) map_remove(machined->machines, path);
        machine->gone = true;
        machine->ended_us = clock_realtime_us();
        list_append(&machined->ending, &machine->ending);
        if (machine->call)
                return 0;
        if (machine->told)
                ask_unit(machine);
        else
                machine_free(machine);
        return 0;
}

/* ---- listing ---- */

static void listing_check(struct machined_source *machined) {
        struct fact end = FACT_INIT(FACT_LISTING_END);
        struct machine *machine;

        if (!machined->listing || machined->list_call || machined->n_listing > 0)
                return;
        machined->listing = false;
        map_for_each(machine, machined->machines)
                if (!machine->listed)
                        machine_free(machine);
        source_post(&machined->source, &end);
        bus_link_up(&machined->link);
}

static int on_listed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        struct machined_source *machined = userdata;
        const char *name, *path;
        struct machine *machine;
        int r;

        machined->list_call = sd_bus_slot_unref(machined->list_call);
        r = sd_bus_message_is_method_error(message, NULL)
                        ? -sd_bus_message_get_errno(message)
                        : sd_bus_message_enter_container(message, 'a', "(ssso)");
        while (r >= 0) {
                r = sd_bus_message_read(message, "(ssso)", &name, NULL, NULL, &path);
                if (r <= 0)
                        break;
                machine = machine_get(machined, name, path);
                if (!machine)
                        continue;
                machine->listed = true;
                /* Where machined had nothing to do before, what there is now is new. */
                r = ask_machine(machine, !machined->link.up);
        }
        if (r < 0)
                bus_link_fail(&machined->link, "cannot list machines", r);
        else
                listing_check(machined);
        return 0;
}

static int machined_on_peer(struct bus_link *link) {
        struct machined_source *machined = machined_of_link(link);
        struct fact begin = FACT_INIT(FACT_LISTING_BEGIN);
        struct machine *machine;

        map_for_each(machine, machined->machines)
                machine->listed = false;
        machined->listing = !link->up;
        if (machined->listing)
                source_post(&machined->source, &begin);
        return bus_link_call(link, &machined->list_call, MACHINE1_PATH,
                        MACHINE1 ".Manager.ListMachines", on_listed, machined, "");
}

static void machined_on_gone(struct bus_link *link) {
        struct machined_source *machined = machined_of_link(link);
        struct machine *machine, *next;

        machined->list_call = sd_bus_slot_unref(machined->list_call);
        machined->listing = false;
        timer_off(machined->again_timer);
        list_for_each_safe(machine, next, &machined->ending, ending) {
                machine_drop_call(machine);
                if (machine->told)
                        post_ended(machine, NULL); /* its unit cannot be asked any more */
                else
                        machine_free(machine);
        }
        map_for_each(machine, machined->machines)
                machine_free(machine);
}

static bool machined_may_idle(struct bus_link *link) {
        struct machined_source *machined = machined_of_link(link);
        struct machine *machine;

        map_for_each(machine, machined->machines)
                if (!text_equal(machine->name, ".host"))
                        return false;
        return true;
}

#define FROM_MACHINED                                                                       \
        "type='signal',sender='" MACHINE1 "',path='" MACHINE1_PATH "',interface='" MACHINE1 \
        ".Manager',"
static const struct bus_link_match machined_matches[] = {
        { FROM_MACHINED "member='MachineNew'", on_machine_new },
        { FROM_MACHINED "member='MachineRemoved'", on_machine_removed },
        {},
};

static const struct bus_link_ops machined_link_ops = {
        .peer = MACHINE1,
        .activate = true,
        .matches = machined_matches,
        .on_peer = machined_on_peer,
        .on_gone = machined_on_gone,
        .may_idle = machined_may_idle,
};

/* ---- life of the source ---- */

static int machined_start(struct source *source) {
        bus_link_start(&machined_of(source)->link);
        return 0;
}

static void machined_stop(struct source *source) {
        bus_link_stop(&machined_of(source)->link);
}

static void machined_free(struct source *source) {
        struct machined_source *machined = machined_of(source);

        if (machined->link.ops)
                bus_link_done(&machined->link);
        map_free(machined->machines);
        sd_event_source_disable_unref(machined->again_timer);
        source_done(source);
        free(machined);
}

static int machined_create(const struct source_config *config, const struct source_env *env,
                struct source **ret_source) {
        struct machined_source *machined;
        int r;

        machined = calloc(1, sizeof(*machined));
        if (!machined)
                return -ENOMEM;

        list_init(&machined->ending);
        r = source_init(&machined->source, &machined_source_ops, config, env);
        if (r >= 0)
                r = map_new(&machined->machines);
        if (r >= 0)
                r = timer_new(env->event, on_again, machined, &machined->again_timer);
        if (r >= 0)
                r = bus_link_init(&machined->link, &machined->source, config->address,
                                &machined_link_ops);
        if (r < 0) {
                machined_free(&machined->source);
                return r;
        }
        *ret_source = &machined->source;
        return 0;
}

static int machined_control(struct source *source, const struct source_control *control) {
        struct machined_source *machined = machined_of(source);
        const struct workload *workload = control->workload;

        switch (control->action.verb) {
        case ACTION_STOP: /* what its init takes for a wish to power off, as machinectl does */
                return bus_control(&machined->link, control->ticket, 1,
                                &(struct bus_control_call){ MACHINE1, MACHINE1_PATH,
                                                MACHINE1 ".Manager", "KillMachine", false },
                                "ssi", workload->native_id, "leader", (int32_t) SIGRTMIN + 4);
        case ACTION_DESTROY:
                return bus_control(&machined->link, control->ticket, 0,
                                &(struct bus_control_call){ MACHINE1, MACHINE1_PATH,
                                                MACHINE1 ".Manager", "TerminateMachine", true },
                                "s", workload->native_id);
        default:
                return bus_control_scale(&machined->link, control, workload->job, true);
        }
}

const struct source_ops machined_source_ops = { .name = "machined",
        .create = machined_create,
        .start = machined_start,
        .stop = machined_stop,
        .free = machined_free,
        .controls = ACTION_BIT(ACTION_STOP) | ACTION_BIT(ACTION_DESTROY) | ACTION_BIT(ACTION_SCALE),
        .control = machined_control };
