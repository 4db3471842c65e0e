#pragma once
/* The manager owns everything and joins what must not know each other: sources to tracker, tracker
 * to journal, journal to feed, feed to faces. Only src/daemon knows it. */

#include <systemd/sd-event.h>

#include "daemon/config.h"

struct manager;

/* How to make the configuration again, for reload. */
struct manager_reload {
        /* Return: 0; negative errno, with what is wrong in @faults. Does not log. */
        int (*load)(struct config *ret_config, struct config_faults *faults, void *userdata);
        void *userdata;
};

/** Build all, bottom-up. @config is taken on success. Logs what failed. Return: 0 or negative
 * errno. */
int manager_new(struct config *config, const struct manager_reload *reload,
                struct manager **ret_manager);
struct manager *manager_free(struct manager *manager);
DEFINE_FREEP(struct manager, manager_free);

/** Run until SIGTERM or SIGINT. Return: 0 or negative errno. */
int manager_run(struct manager *manager);
