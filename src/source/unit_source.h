#pragma once
/* What the unit source's files share: unit.c (the bus: listing, signals) and unit_facts.c (what is
 * posted of a unit). Nobody else includes this. */

#include "base/list.h"
#include "base/map.h"
#include "source/bus_link.h"
#include "source/unit_life.h"

struct unit_source {
        struct source source;
        struct bus_link link;
        char **patterns;    /* NULL-terminated */
        struct map *units;  /* by object path */
        struct list asking; /* of struct unit: properties wanted, not asked for yet */
        size_t n_calls, n_listing;
        sd_bus_slot *list_call;
        sd_event_source *settle_timer, *relist_timer;
        bool listing, reloading;
};

struct unit {
        struct list asking;
        struct unit_source *owner;
        char *name, *path;
        struct unit_view view;
        struct unit_life life;
        sd_bus_slot *call;
        bool seen;           /* its properties have been read once */
        bool listed;         /* by the listing under way */
        bool in_listing;     /* the listing waits for its properties */
        uint32_t told_pid;   /* as posted last */
        uint64_t gone_by_us; /* CLOCK_MONOTONIC: removed, if it does not come back; 0: no */
};

/** Post what happened, bits of enum unit_change. Return: whether a life began, whose cgroup no
 * signal tells. */
bool unit_post_changes(struct unit *unit, unsigned int changes);
/** The pid and cgroup of a life that is on record. */
void unit_post_look(struct unit *unit);
/** How it ended was told by no signal. */
void unit_post_vanished(struct unit *unit);
/** It is not loaded any more, which is no news. */
void unit_post_removed(struct unit *unit);
/** As it is now; what differs from what was known is for the tracker to find. */
void unit_post_listed(struct unit *unit);
