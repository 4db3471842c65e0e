#pragma once
/* What operators ask of a peer on the bus: one call each, whose reply is the answer. */

#include "source/bus_link.h"

#define BUS_SYSTEMD1 "org.freedesktop.systemd1"

struct bus_control_call {
        const char *peer, *path, *interface, *member;
        bool gone_is_done; /* that nothing of it runs any more is as good */
};

/**
 * Begin a call and answer @ticket with its reply. @types and what follows as
 * sd_bus_message_append().
 *
 * @outcome: of a reply that is no error: 0 it is done; 1 it is asked for
 *
 * Return: 0; -ENOTCONN; -ENOMEM; another negative errno. A connection that is lost answers nothing:
 * whoever waits has a timeout.
 */
int bus_control(struct bus_link *link, uint64_t ticket, int outcome,
                const struct bus_control_call *call, const char *types, ...);
/** Have systemd stop @unit, and once the stop is under way kill all of it: killed sooner, it would
 * be started again where it says Restart=. @stop and @kill are static. Return: as bus_control(). */
int bus_control_stop_and_kill(struct bus_link *link, uint64_t ticket,
                const struct bus_control_call *stop, const struct bus_control_call *kill,
                const char *unit);
/** Have systemd set CPUQuota= and MemoryMax= of @unit. @runtime: until the next boot only. */
int bus_control_scale(struct bus_link *link, const struct source_control *control, const char *unit,
                bool runtime);
