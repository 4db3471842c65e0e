/* The daemon's own traces: off, or sent to where the environment says. */

#include <string.h>

#include "base/log.h"
#include "daemon/manager_internal.h"
#include "engine/tracer.h"

static const char *from_environment(const char *name) {
        return getenv(name);
}

static void on_warning(const char *text, void *userdata) {
        log_warn("Traces: %s", text);
}

/* Where to, without what people may have put there to prove who they are. */
static void tell(const struct tracer_config *tracing) {
        const char *host, *at;

        if (!tracing->url)
                return;
        if (tracing->disabled) {
                log_info("Traces go nowhere, as the environment says");
                return;
        }
        host = strstr(tracing->url, "://") + strlen("://");
        at = memrchr(host, '@', strcspn(host, "/?#"));
        host = at ? at + 1 : host;
        log_info("Traces go to %.*s", (int) strcspn(host, "?#"), host);
}

int manager_add_tracer(struct manager *manager) {
        int r;

        r = tracer_new(manager->event, manager->curl, &manager->own_traces);
        if (r < 0)
                return log_error_errno(r, "Cannot set up traces: %m");
        manager_configure_tracer(manager, &manager->config);
        return 0;
}

void manager_configure_tracer(struct manager *manager, const struct config *config) {
        struct tracer_config tracing = {};
        int r = 0;

        manager->api.request_log = config->request_log;
        if (manager->tracing == config->tracing)
                return; /* the environment is what it was */
        if (config->tracing != TRACER_OFF)
                r = tracer_config_load(config->tracing, config->node_name, from_environment,
                                on_warning, NULL, &tracing);
        if (r < 0) {
                (void) log_error_errno(r, "Cannot set up traces: %m");
                return;
        }
        tell(&tracing);
        tracer_configure(manager->own_traces, config->tracing == TRACER_OFF ? NULL : &tracing);
        manager->tracing = config->tracing;
        tracer_config_done(&tracing);
}
