/* A look at the files now and then, rather than inotify: what a path leads to changes by renames of
 * folders and links too, which is how certificates are mostly renewed. */

#include "daemon/manager_tls.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "api/tls_ca.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "daemon/manager_internal.h"
#include "daemon/web_config.h"
#include "loop/timer.h"
#include "model/listener.h"

#define LOOK_US        (2 * USEC_PER_SEC)
#define OWN_EVERY      30 /* looks: have this host's names and addresses changed? */
#define CA_MAX         (64U << 10)
#define COMPLAIN_EVERY 300 /* looks, while it goes on failing */

struct manager_tls {
        struct tls_context *context, *web_context;
        struct http_web *web;
        char *ca; /* PEM; NULL: another's certificate is shown */
        char *web_path;
        struct stat web_st;
        bool is_own; /* of our making */
};

struct manager_tls *manager_tls_free(struct manager_tls *tls) {
        if (!tls)
                return NULL;
        tls_context_unref(tls->context);
        tls_context_unref(tls->web_context);
        http_web_unref(tls->web);
        free(tls->ca);
        free(tls->web_path);
        free(tls);
        return NULL;
}

/* ---- making ---- */

static bool wants_tls(const struct config *config) {
        struct listener listener;

        for (size_t i = 0; i < config->listen.n; i++) {
                if (listener_parse(config->listen.items[i], &listener, NULL) < 0)
                        continue;
                if (listener.tls == LISTENER_TLS_ON ||
                                (listener.tls == LISTENER_TLS_AUTO && !listener.is_local))
                        return true;
        }
        return false;
}

static int provide(const struct config *config, const char *dir) {
        return tls_ca_provide(
                        &(struct tls_ca_config){ .dir = dir,
                                        .node_name = config->node_name,
                                        .names = (const char *const *) config->tls.names.items,
                                        .n_names = config->tls.names.n,
                                        .lifetime_us = config->tls.lifetime_us },
                        clock_realtime_us());
}

static enum tls_client_auth client_auth_of(const struct config *config) {
        if (!config->tls.client_ca[0])
                return TLS_CLIENT_NONE;
        return strcmp(config->tls.client_auth, "if-given") == 0 ? TLS_CLIENT_VERIFY_IF_GIVEN
                                                                : TLS_CLIENT_REQUIRE;
}

static int stage_context(const struct config *config, const char *certificate, const char *key,
                struct diag *diag, struct tls_context **ret_context) {
        const struct tls_context_config context = {
                .certificate.path = certificate,
                .key.path = key,
                .client_ca.path = config->tls.client_ca[0] ? config->tls.client_ca : NULL,
                .client_auth = client_auth_of(config),
        };

        return tls_context_new(&context, diag, ret_context);
}

enum own {
        OWN_NONE,
        OWN_AS_IT_IS,
        OWN_MADE,
};

/* Without a listener that needs it, what cannot be made is no reason not to start. */
static int stage_own(const struct config *config, enum own own, struct manager_tls *tls,
                struct diag *diag) {
        _cleanup_(freep) char *dir = NULL, *ca = NULL, *server = NULL;
        const bool wanted = wants_tls(config);
        int r;

        if (asprintf(&dir, "%s/tls", config->state_dir) < 0 ||
                        asprintf(&ca, "%s/ca.pem", dir) < 0 ||
                        asprintf(&server, "%s/server.pem", dir) < 0)
                return -ENOMEM;
        tls->is_own = true;
        r = own == OWN_MADE ? provide(config, dir) : 0;
        if (r > 0)
                log_info("A new server certificate is in %s, signed by %s", server, ca);
        if (r >= 0)
                r = fs_read_text(AT_FDCWD, ca, CA_MAX, &tls->ca, NULL);
        if (r < 0) {
                (void) snprintf(diag->path, sizeof(diag->path), "%s", dir);
                diag_set(diag, 0, 0, "%s",
                                r == -EKEYREJECTED
                                                ? "ca.key and ca.pem do not belong together; remove both for a new authority"
                                                : strerrordesc_np(-r));
        }
        if (r >= 0 && wanted)
                r = stage_context(config, server, NULL, diag, &tls->context);
        if (r >= 0 || wanted)
                return r;
        log_warn_errno(r, "Cannot make certificates in %s, which no listener needs now: %m", dir);
        *diag = (struct diag){};
        return 0;
}

static struct tls_pem pem_of(const struct web_pem *pem) {
        return (struct tls_pem){ pem->path, pem->text, pem->line, pem->column };
}

static int stage_web(const struct config *config, struct manager_tls *tls, struct diag *diag) {
        _cleanup_(web_config_done) struct web_config web = {};
        struct tls_context_config context;
        int r;

        if (!config->web_config[0])
                return 0;
        tls->web_path = strdup(config->web_config);
        if (!tls->web_path)
                return -ENOMEM;
        if (stat(tls->web_path, &tls->web_st) < 0)
                tls->web_st = (struct stat){};
        r = web_config_read(&web, tls->web_path, diag);
        if (r < 0)
                return r;
        tls->web = http_web_ref(web.web);
        if (!web.has_tls)
                return 0;
        context = (struct tls_context_config){ .certificate = pem_of(&web.certificate),
                .key = pem_of(&web.key),
                .client_ca = pem_of(&web.client_ca),
                .client_auth = web.client_auth,
                .n_client_sans = web.n_client_sans,
                .min_version = web.min_version,
                .max_version = web.max_version };
        for (size_t i = 0; i < web.n_client_sans; i++)
                context.client_sans[i] = web.client_sans[i];
        return tls_context_new(&context, diag, &tls->web_context);
}

/* "PATH:LINE:COLUMN: what is wrong", as one text. */
static void place(int r, const struct diag *from, struct diag *to) {
        const char *text = from->text[0] ? from->text : strerrordesc_np(-r);

        if (from->line > 0) {
                diag_set(to, 0, 0, "%.200s:%u:%u: %.280s", from->path, from->line, from->column,
                                text);
        } else {
                diag_set(to, 0, 0, "%.200s%s%.280s", from->path, from->path[0] ? ": " : "", text);
        }
}

static int stage(const struct config *config, enum own own, struct diag *diag,
                struct manager_tls **ret_tls) {
        _cleanup_(manager_tls_freep) struct manager_tls *tls = calloc(1, sizeof(*tls));
        struct diag found = {};
        int r = 0;

        if (!tls)
                return -ENOMEM;
        if (config->tls.certificate[0]) {
                r = stage_context(config, config->tls.certificate,
                                config->tls.key[0] ? config->tls.key : NULL, &found, &tls->context);
        } else if (own != OWN_NONE) {
                r = stage_own(config, own, tls, &found);
        }
        if (r >= 0)
                r = stage_web(config, tls, &found);
        if (r < 0) {
                place(r, &found, diag);
                return r;
        }
        *ret_tls = TAKE_PTR(tls);
        return 0;
}

int manager_tls_stage(const struct config *config, bool make, struct diag *diag,
                struct manager_tls **ret_tls) {
        return stage(config, make ? OWN_MADE : OWN_AS_IT_IS, diag, ret_tls);
}

int manager_tls_check(const struct config *config, struct diag *diag) {
        _cleanup_(manager_tls_freep) struct manager_tls *tls = NULL;

        return stage(config, OWN_NONE, diag, &tls);
}

void manager_tls_give(const struct manager_tls *tls, struct http_config *http) {
        http->tls = tls->context;
        http->web_tls = tls->web_context;
        http->web = tls->web;
}

void manager_tls_commit(struct manager *manager, struct manager_tls *tls) {
        manager_tls_free(manager->tls);
        manager->tls = tls;
        manager->api.ca = tls->ca;
}

/* ---- looking after it ---- */

static bool is_web_stale(const struct manager_tls *tls) {
        const struct stat *was = &tls->web_st;
        struct stat st;

        if (!tls->web_path || stat(tls->web_path, &st) < 0)
                return false;
        return st.st_ino != was->st_ino || st.st_dev != was->st_dev || st.st_size != was->st_size ||
                        st.st_mtim.tv_sec != was->st_mtim.tv_sec ||
                        st.st_mtim.tv_nsec != was->st_mtim.tv_nsec;
}

/* In the last third of its life. */
static bool is_old(const struct manager *manager) {
        const int64_t lifetime = (int64_t) (manager->config.tls.lifetime_us / USEC_PER_SEC);
        const struct manager_tls *tls = manager->tls;

        return tls->is_own && tls->context &&
                        tls_context_expires(tls->context) -
                                        (int64_t) (clock_realtime_us() / USEC_PER_SEC) <=
                        lifetime / 3;
}

/* This host may have other addresses by now. */
static bool is_of_others(const struct manager *manager) {
        _cleanup_(freep) char *dir = NULL;

        if (!manager->tls->is_own || !manager->tls->context ||
                        asprintf(&dir, "%s/tls", manager->config.state_dir) < 0)
                return false;
        return provide(&manager->config, dir) > 0;
}

static int on_look(sd_event_source *source, uint64_t time_us, void *userdata) {
        struct manager *manager = userdata;
        const struct manager_tls *tls = manager->tls;
        struct manager_tls *staged = NULL;
        struct diag diag = {};
        int r;

        (void) timer_arm(source, LOOK_US);
        if (manager_disk_hangs(manager))
                return 0; /* to make one would hold the loop up */
        manager->n_tls_looks++;
        if (!is_web_stale(tls) && !is_old(manager) &&
                        !(tls->context && tls_context_is_stale(tls->context)) &&
                        !(tls->web_context && tls_context_is_stale(tls->web_context)) &&
                        !(manager->n_tls_looks % OWN_EVERY == 0 && is_of_others(manager))) {
                manager->n_tls_failures = 0;
                return 0;
        }
        r = manager_tls_stage(&manager->config, true, &diag, &staged);
        if (r < 0) {
                /* half of it may be there, but not yet all: it is tried again */
                if (manager->n_tls_failures++ % COMPLAIN_EVERY == 0) {
                        (void) log_error_errno(r,
                                        "Certificates not read anew, the old ones stay: %s",
                                        diag.text);
                }
                return 0;
        }
        manager->n_tls_failures = 0;
        manager_tls_commit(manager, staged);
        http_set_tls(manager->http, staged->context, staged->web_context, staged->web);
        log_info("Certificates were read anew");
        return 0;
}

int manager_tls_start(struct manager *manager) {
        int r;

        r = timer_new(manager->event, on_look, manager, &manager->tls_timer);
        if (r >= 0)
                r = timer_arm(manager->tls_timer, LOOK_US);
        return r < 0 ? log_error_errno(r, "Cannot set up the timer for certificates: %m") : 0;
}

void manager_tls_stop(struct manager *manager) {
        manager->tls_timer = sd_event_source_disable_unref(manager->tls_timer);
        manager->tls = manager_tls_free(manager->tls);
}
